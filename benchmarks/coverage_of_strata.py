"""How often the intervals of strata whose effects are not printed hold the truth, over simulated trials.

A trial has two factors, er and her2, and 300 patients. ER is strongly prognostic and out of balance: 70% of controls
and 85% of the treated are er=+, and er=- multiplies the hazard by 2. The treatment's log hazard ratio is -0.4 plus,
in each of the four cells, a normal deviation with SD 0.25, drawn anew in every trial. Survival is exponential in each
cell, censoring uniform between 24 and 90 months.

What is printed, with two decimals and whole counts: patients, deaths and hazard ratio of every level of each factor,
the size of the cell er=-,her2=-, the prognosis of er and of her2, survival and follow-up by arm, the overall hazard
ratio. No cell's hazard ratio is printed, nor does one follow.

Three intervals of a cell are looked at: that of Cox fits to the rebuilt tables, pooled over the imputations (Rubin
1987), which checks the reconstruction by itself; that of the hierarchical model's posterior, which draws small cells
towards the others (``tau`` half-normal, the truth's SD between cells being its scale); and, as the mark to compare
it with, that of the same model fitted to the patients themselves.

Usage: python benchmarks/coverage_of_strata.py [--trials 100] [--imputations 10] [--draws 250] [--seed 1]

``--draws 0`` leaves out the posteriors, which take about three quarters of the time.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import xarray as xr
from recovery import FORM, cox_effects, patient_table, posterior_effects
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest, t

from secondlook.data.publishing import Contents, Patients, Where, published
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction import reconstruct
from secondlook.data.record import Record
from secondlook.data.table import regroup
from secondlook.inference.options import Options
from secondlook.inference.sampling import compile_model
from secondlook.models.priors import named_prior
from secondlook.models.subgroups import subgroups

SIZE, BASE_RATE = 300, 1 / 45  # patients; deaths per month of er=+, her2=- controls
SHARES = {"er": (0.70, 0.85), "her2": (0.30, 0.30)}  # of "+", by arm
PROGNOSIS = {"er": (0.0, np.log(2)), "her2": (0.2, 0.0)}  # log hazard of "+" and "-"
EFFECT, SPREAD = -0.4, 0.25
FOLLOW_UP = (24.0, 90.0)
LANDMARKS = (36.0, 60.0)
LEVELS = ("+", "-")
BOUNDS = np.arange(0.0, FOLLOW_UP[1] + 1, 6.0)  # the same for all trials, so that one graph serves them

Effects = dict[str, tuple[np.ndarray, np.ndarray]]  # log hazard ratios and their SEs, by cell
_compiled: dict[str, Any] = {}  # by each process once


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


def intervals(seed: int, imputations: int, draws: int) -> list[dict[str, object]]:
    """Return, for every cell of one trial, whether its intervals hold the truth, and how wide they are."""
    patients, truth = simulated(np.random.default_rng(seed))
    record = parse_record(fields(patients))
    rebuilt = reconstruct(record, "receptor", imputations=imputations, seed=seed)
    known = patient_table(patients, rebuilt.strata.subgroups)
    own = cox_effects(known)
    rows = [*_cox_rows(rebuilt.table, truth, own)]
    if draws:
        options = Options(draws=draws, seed=seed)
        for name, table in (("posterior", rebuilt.table), ("posterior of the patients", known)):
            rows += _posterior_rows(name, table, truth, own, record, options)
    return rows


def _cox_rows(table: xr.Dataset, truth: dict[str, float], own: Effects) -> Iterator[dict[str, object]]:
    imputations = table.sizes["imputation"]
    for key, (values, errors) in cox_effects(table).items():
        if key in truth and np.isfinite(errors).all() and np.isfinite(own[key][1]).all():
            within, between = float((errors**2).mean()), float(values.var(ddof=1)) * (1 + 1 / imputations)
            freedom = (imputations - 1) * (1 + within / between) ** 2
            spread = np.sqrt(within + between)
            reach = t.ppf(0.975, freedom) * spread
            yield _row("Cox", key, abs(float(values.mean()) - truth[key]) <= reach, spread, own)


def _row(interval: str, cell: str, covered: bool, spread: float, own: Effects) -> dict[str, object]:
    return {"interval": interval, "cell": cell, "covered": covered, "sd_ratio": spread / float(own[cell][1][0])}


def _posterior_rows(
    name: str, table: xr.Dataset, truth: dict[str, float], own: Effects, record: Record, options: Options
) -> Iterator[dict[str, object]]:
    within = regroup(table, BOUNDS)
    if "graph" not in _compiled:
        _compiled["graph"] = compile_model(subgroups(within, named_prior("weak", record), FORM, strata=len(truth)))
    found = posterior_effects(_compiled["graph"], within, BOUNDS, record, options)
    for key, value in truth.items():
        low, high = np.quantile(found[key], (0.025, 0.975))
        yield _row(name, key, bool(low <= value <= high), float(found[key].std()), own)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--imputations", type=int, default=10)
    parser.add_argument("--draws", type=int, default=250, help="of the posterior, by chain and imputation")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    seeds = range(1000 * given.seed, 1000 * given.seed + given.trials)
    with Pool() as pool:
        found = pool.map(partial(intervals, imputations=given.imputations, draws=given.draws), seeds, chunksize=1)
    frame = pd.DataFrame([row for rows in found for row in rows])
    for interval, every in frame.groupby("interval", sort=False):
        columns = ("cell", "intervals", "hold the truth", "95% limits", "median SD over the patients'")
        table = Table(*columns, title=f"Intervals: {interval}")
        for name, rows in [*every.groupby("cell"), ("all", every)]:
            held = int(rows.covered.sum())
            low, high = binomtest(held, len(rows)).proportion_ci()
            numbers = (f"{held / len(rows):.3f}", f"{low:.3f}-{high:.3f}", f"{rows.sd_ratio.median():.2f}")
            table.add_row(str(name), str(len(rows)), *numbers)
        Console().print(table)


if __name__ == "__main__":
    main()
