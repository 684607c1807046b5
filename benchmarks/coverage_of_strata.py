"""How often the intervals of strata whose effects are not printed hold the truth, over simulated trials.

A trial has two factors, er and her2, and 300 patients. ER is strongly prognostic and out of balance: 70% of controls
and 85% of the treated are er=+, and er=- multiplies the hazard by 2. The treatment's log hazard ratio is -0.4 plus,
in each of the four cells, a normal deviation with SD 0.25, drawn anew in every trial. Survival is exponential in each
cell, censoring uniform between 24 and 90 months.

What is printed, with two decimals and whole counts: patients, deaths and hazard ratio of every level of each factor,
the size of the cell er=-,her2=-, the prognosis of er and of her2, survival and follow-up by arm, the overall hazard
ratio. No cell's hazard ratio is printed, nor does one follow.

The interval of a cell is that of Cox fits to the rebuilt tables, pooled over the imputations (Rubin 1987): what is
checked is the reconstruction, not the shrinkage, whose prior draws small cells towards the others on purpose.

Usage: python benchmarks/coverage_of_strata.py [--trials 100] [--imputations 10] [--seed 1]
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from multiprocessing import Pool

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from recovery import cox_effects, patient_table
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest, t

from secondlook.data.publishing import Contents, Patients, Where, published
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction import reconstruct

SIZE, BASE_RATE = 300, 1 / 45  # patients; deaths per month of er=+, her2=- controls
SHARES = {"er": (0.70, 0.85), "her2": (0.30, 0.30)}  # of "+", by arm
PROGNOSIS = {"er": (0.0, np.log(2)), "her2": (0.2, 0.0)}  # log hazard of "+" and "-"
EFFECT, SPREAD = -0.4, 0.25
FOLLOW_UP = (24.0, 90.0)
LANDMARKS = (36.0, 60.0)
LEVELS = ("+", "-")


def simulated(rng: np.random.Generator) -> tuple[Patients, dict[str, float]]:
    """Return one trial's patients, and the true log hazard ratio of every cell by its key."""
    treatment = np.arange(SIZE) % 2 == 1
    level = {name: rng.random(SIZE) >= np.where(treatment, *share[::-1]) for name, share in SHARES.items()}
    effects = EFFECT + SPREAD * rng.standard_normal((2, 2))
    rate = np.log(BASE_RATE) + sum(np.asarray(PROGNOSIS[name])[level[name].astype(int)] for name in level)
    rate = np.exp(rate + treatment * effects[level["er"].astype(int), level["her2"].astype(int)])
    death, censoring = rng.exponential(1 / rate), rng.uniform(*FOLLOW_UP, SIZE)
    factors = {name: np.asarray(LEVELS)[values.astype(int)] for name, values in level.items()}
    truth = {
        f"er={er},her2={her2}": float(effects[i, j]) for i, er in enumerate(LEVELS) for j, her2 in enumerate(LEVELS)
    }
    return Patients(np.minimum(death, censoring), death <= censoring, treatment, factors), truth


def fields(patients: Patients) -> dict[str, object]:
    """Return what the trial's paper prints."""
    levels: list[Where] = [{name: level} for name in SHARES for level in LEVELS]
    cell: Where = {"er": "-", "her2": "-"}
    prognostic: list[Where] = [{name: "+"} for name in SHARES]
    contents = Contents(LANDMARKS, [*levels, cell], levels, levels, prognostic)
    return published(patients, contents) | {
        "schema": 1,
        "id": "simulated",
        "title": "Simulated",
        "median": [],
        "factors": {name: {"label": name, "levels": list(LEVELS)} for name in SHARES},
        "partitions": {"receptor": {"label": "Receptor", "factors": list(SHARES)}},
    }


def intervals(seed: int, imputations: int) -> list[dict[str, object]]:
    """Return, for every cell of one trial, whether its interval holds the truth, and how wide it is."""
    patients, truth = simulated(np.random.default_rng(seed))
    rebuilt = reconstruct(parse_record(fields(patients)), "receptor", imputations=imputations, seed=seed)
    own = cox_effects(patient_table(patients, rebuilt.strata.subgroups))
    rows = []
    for key, (values, errors) in cox_effects(rebuilt.table).items():
        if key in truth and np.isfinite(errors).all() and np.isfinite(own[key][1]).all():
            within, between = float((errors**2).mean()), float(values.var(ddof=1)) * (1 + 1 / imputations)
            freedom = (imputations - 1) * (1 + within / between) ** 2
            error = abs(float(values.mean()) - truth[key])
            spread = np.sqrt(within + between)
            covered = bool(error <= t.ppf(0.975, freedom) * spread)
            rows.append({"cell": key, "covered": covered, "sd_ratio": spread / float(own[key][1][0])})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--imputations", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    seeds = range(1000 * given.seed, 1000 * given.seed + given.trials)
    with Pool() as pool:
        found = pool.map(partial(intervals, imputations=given.imputations), seeds, chunksize=1)
    frame = pd.DataFrame([row for rows in found for row in rows])
    table = Table("cell", "intervals", "hold the truth", "95% limits", "median SD over the patients'")
    for name, rows in [*frame.groupby("cell"), ("all", frame)]:
        held = int(rows.covered.sum())
        low, high = binomtest(held, len(rows)).proportion_ci()
        numbers = (f"{held / len(rows):.3f}", f"{low:.3f}-{high:.3f}", f"{rows.sd_ratio.median():.2f}")
        table.add_row(str(name), str(len(rows)), *numbers)
    Console().print(table)


if __name__ == "__main__":
    main()
