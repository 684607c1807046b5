"""Recovering a known truth: publish a trial's patients as papers do, rebuild and fit, and compare with the patients.

GBSG2 (686 patients, hormone therapy against none, recurrence-free survival) is printed with two decimals and whole
counts, with about the numbers that MF07-01 prints; medians are not printed. Each study is a partition:

    menopause, grade, age, nodes    patients, deaths, hazard ratio and prognosis of every level
    receptor                        ER crossed with menopause: both margins, and one cell
    receptor-open                   the same without the cell's hazard ratio and prognosis: no stratum's follows

Survival is printed of whole arms, and by arm of ten and more nodes and of premenopausal patients. A seed is that of
the reconstruction and the sampler; what is printed does not depend on it.

Imputations grow from 20 as those of a reanalysis do, until they add little to the error of any posterior mean.

Two comparisons. Cox: log hazard ratios and standard errors of the tables, in the patients' standard errors.
Posterior (half-normal shrinkage, weak prior): log hazard ratios of strata and the standardised overall effect, in SDs
of the patients' posterior.

Usage: python benchmarks/recovery.py [--partitions menopause,grade] [--seeds 1-5] [--imputations 20] [--draws 500]
       python benchmarks/recovery.py --cox-only        # no sampling: half a minute
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from lifelines.datasets import load_gbsg2
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from secondlook.data import Record
from secondlook.data.cohort import MONTHS
from secondlook.data.estimators import cox
from secondlook.data.publishing import Contents, Patients, Where, published
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction import Reconstruction, members_of, reconstruct
from secondlook.data.subgroup import Subgroup
from secondlook.data.table import pooled, regroup, survival_table
from secondlook.inference.options import Options
from secondlook.inference.pooling import MOST_IMPUTATION_ERROR, MOST_IMPUTATIONS
from secondlook.inference.sampling import compile_model, sample
from secondlook.inference.standardised import mixtures, stratum_rates
from secondlook.inference.tasks import OF_STRATA, model_edges
from secondlook.models.piecewise import log_time
from secondlook.models.priors import named_prior
from secondlook.models.subgroups import ShrinkageForm, subgroup_data, subgroups

Array = NDArray[np.float64]
DAYS = MONTHS["days"]
LANDMARKS = (36.0, 60.0)
LEVELS = {
    "menopause": ("pre", "post"),
    "grade": ("I", "II", "III"),
    "age": ("below 50", "50 or older"),
    "nodes": ("1-3", "4-9", "10 or more"),
    "er": ("+", "-"),
}
CELL: Where = {"er": "+", "menopause": "post"}
SURVIVAL: tuple[Where, ...] = ({"nodes": "10 or more"}, {"menopause": "pre"})
ER_POSITIVE = 10  # fmol/l
STUDIES = ("menopause", "grade", "age", "nodes", "receptor", "receptor-open")
MOST_STRATA = 4
MEDIAN_ERROR, MOST_ERROR, SD_RATIO = 0.2, 0.5, (0.85, 1.15)
FORM = ShrinkageForm()


@dataclass(frozen=True)
class Comparison:
    """One quantity from the reconstruction and from the patients.

    Parameters
    ----------
    study, seed
        Where it comes from.
    level
        ``Cox`` or ``posterior``.
    name
        What it is about: a stratum's key, ``overall`` or a prognostic contrast.
    known
        Whether its value is printed, or follows from what is printed.
    difference
        Reconstruction less patients, in the patients' SDs.
    sd_ratio
        SD of the reconstruction over that of the patients.
    """

    study: str
    seed: int
    level: str
    name: str
    known: bool
    difference: float
    sd_ratio: float


def gbsg2_patients() -> Patients:
    """Return the patients of GBSG2, times in months."""
    frame = load_gbsg2()
    factors = {
        "menopause": np.where(frame.menostat == "Pre", "pre", "post"),
        "grade": frame.tgrade.to_numpy(dtype=str),
        "age": np.where(frame.age < 50, *LEVELS["age"]),
        "nodes": np.asarray(LEVELS["nodes"])[np.searchsorted([3, 9], frame.pnodes)],
        "er": np.where(frame.estrec >= ER_POSITIVE, "+", "-"),
    }
    return Patients(
        frame.time.to_numpy() / DAYS, (frame.cens == 1).to_numpy(), (frame.horTh == "yes").to_numpy(), factors
    )


def published_record(patients: Patients, study: str) -> Record:
    """Return the record of what a paper prints about the patients.

    Parameters
    ----------
    patients
        The patients.
    study
        One of `STUDIES`; it decides whether the cell of the crossed partition has a hazard ratio.
    """
    levels: list[Where] = [{name: level} for name, all_levels in LEVELS.items() for level in all_levels]
    cell = [CELL] if study == "receptor" else []
    prognostic: list[Where] = [
        {name: level} for name, found in LEVELS.items() for level in (found if len(found) > 2 else found[:1])
    ]
    contents = Contents(LANDMARKS, [*levels, CELL], levels, [*levels, *cell], [*prognostic, *cell], SURVIVAL)
    fields = published(patients, contents) | {
        "schema": 1,
        "id": "gbsg2",
        "title": "GBSG2",
        "endpoint": "recurrence-free survival",
        "median": [],
        "factors": {name: {"label": name, "levels": list(found)} for name, found in LEVELS.items()},
        "partitions": {
            "menopause": {"label": "Menopause", "factors": ["menopause"]},
            "receptor": {"label": "Receptor", "factors": ["er", "menopause"]},
        },
    }
    return parse_record(fields)


def patient_table(patients: Patients, strata: Sequence[Subgroup]) -> xr.Dataset:
    """Return the patients' own survival table by month.

    Parameters
    ----------
    patients
        The patients.
    strata
        Subgroups that divide them.
    """
    edges = np.arange(0.0, np.ceil(patients.time.max()) + 1)
    arms = (~patients.treatment, patients.treatment)
    cells = [[patients.inside(dict(one.restrictions)) & arm for arm in arms] for one in strata]

    def by_month(mask: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
        time, event = patients.time[mask], patients.event[mask]
        lived = np.clip(time[:, None] - edges[:-1], 0, np.diff(edges)).sum(axis=0)
        return np.histogram(time[event], edges)[0], lived, np.histogram(time[~event], edges)[0]

    counts = np.array([[by_month(mask) for mask in row] for row in cells])  # (stratum, arm, 3, month)
    sizes = np.array([[mask.sum() for mask in row] for row in cells])
    deaths, exposure, censored = (counts[None, :, :, place] for place in range(3))
    keys = [one.key for one in strata]
    return survival_table(
        deaths,
        exposure,
        censored,
        sizes[None],
        edges,
        strata=keys,
        trial="gbsg2",
        source="patients",
        time_unit="months",
    )


def follows(record: Record, strata: Sequence[Subgroup]) -> list[bool]:
    """Return whether each stratum's hazard ratio is printed, or is the difference of unions' whose ones are."""
    unions = [members_of(row.where, strata) for row in record.hazard_ratio if row.use]
    rows = np.array([np.isin(np.arange(len(strata)), union) for union in unions if union], dtype=float)
    rank = np.linalg.matrix_rank(rows)
    return [bool(np.linalg.matrix_rank(np.vstack([rows, one])) == rank) for one in np.eye(len(strata))]


def cox_effects(table: xr.Dataset) -> dict[str, tuple[Array, Array]]:
    """Return Cox log hazard ratios with standard errors, shape ``(imputation,)``.

    The effect of treatment overall and in each stratum, and each stratum's prognosis against the others.
    """
    chosen = table.transpose("stratum", "arm", "imputation", "interval")
    deaths, exposure = chosen.deaths.to_numpy(), chosen.exposure.to_numpy()

    def ratio(reference: tuple[Any, ...], group: tuple[Any, ...]) -> tuple[Array, Array]:
        def of(values: Array) -> Array:
            cells = [values[where].reshape(-1, *values.shape[2:]).sum(axis=0) for where in (reference, group)]
            return np.stack(cells, axis=-2)

        return cox(of(deaths), of(exposure))

    every = np.arange(len(deaths))
    found = {"overall": ratio((every, 0), (every, 1))}
    found |= {str(key): ratio(([place], 0), ([place], 1)) for place, key in enumerate(table.stratum.to_numpy())}
    for place, key in enumerate(table.stratum.to_numpy()):
        found[f"prognosis {key}"] = ratio((every != place,), (every == place,))
    return found


def compare_cox(study: str, rebuilt: Reconstruction, patients: xr.Dataset) -> Iterator[Comparison]:
    """Compare Cox fits to the tables; between-imputation variance counts as the reconstruction's own."""
    truth, known = cox_effects(patients), _known(rebuilt)
    for name, (values, errors) in cox_effects(rebuilt.table).items():
        value, error = (float(found[0]) for found in truth[name])
        spread = float(np.sqrt((errors**2).mean() + values.var(ddof=1)))
        difference = (float(values.mean()) - value) / error
        yield Comparison(study, rebuilt.seed, "Cox", name, known.get(name, False), difference, spread / error)


def _known(rebuilt: Reconstruction) -> dict[str, bool]:
    strata = rebuilt.strata.subgroups
    by_stratum = zip(strata, follows(rebuilt.record, strata), strict=True)
    return {"overall": True} | {one.key: known for one, known in by_stratum}


def posterior_effects(
    compiled: Any, table: xr.Dataset, bounds: Array, record: Record, options: Options
) -> dict[str, Array]:
    """Return draws of the strata's log hazard ratios and of the log standardised overall effect.

    Parameters
    ----------
    compiled
        The model of `MOST_STRATA` strata.
    table
        Table by month; its imputations are sampled one by one and pooled.
    bounds
        The model's intervals.
    record
        For its prior.
    options
        Draws and seed.
    """
    model_table = regroup(table, bounds)
    prior = {"prior": named_prior("weak", record).padded()}
    keys = [str(key) for key in table.stratum.to_numpy()]
    found: dict[str, list[Array]] = {key: [] for key in ("overall", *keys)}
    for imputation in range(table.sizes["imputation"]):
        data = subgroup_data(model_table, imputation, FORM, strata=MOST_STRATA) | prior
        posterior, _ = sample(compiled, data, options, imputation, OF_STRATA)
        posterior = posterior.isel(stratum=slice(len(keys)))
        chosen = model_table.isel(imputation=imputation)
        rates = stratum_rates(posterior, log_time(chosen, chosen.deaths.sum(("stratum", "arm")).to_numpy()))
        everyone = mixtures(bounds, rates, chosen.patients.sum("arm").to_numpy()[None])
        found["overall"].append(np.log(everyone.average_hazard_ratio(LANDMARKS[-1])[0]).ravel())
        for place, key in enumerate(keys):
            found[key].append((posterior["beta"] + posterior["delta"].isel(stratum=place)).to_numpy().ravel())
    return {name: np.concatenate(draws) for name, draws in found.items()}


def enough(found: Mapping[str, Array], imputations: int) -> int:
    """Return how many imputations a reanalysis would have made, by the rule of `inference.pooling`."""
    shares = [draws.reshape(imputations, -1).mean(axis=1).var(ddof=1) / draws.var(ddof=1) for draws in found.values()]
    return min(math.ceil(max(shares) / MOST_IMPUTATION_ERROR**2), MOST_IMPUTATIONS)


def compare_posteriors(
    study: str, rebuilt: Reconstruction, truth: dict[str, Array], found: dict[str, Array]
) -> Iterator[Comparison]:
    """Compare posteriors of the reconstruction and of the patients."""
    known = _known(rebuilt)
    for name, draws in found.items():
        spread = truth[name].std(ddof=1)
        difference = float((draws.mean() - truth[name].mean()) / spread)
        ratio = float(draws.std(ddof=1) / spread)
        yield Comparison(study, rebuilt.seed, "posterior", name, known[name], difference, ratio)


def recover(
    studies: Sequence[str], seeds: Sequence[int], imputations: int, draws: int, *, cox_only: bool
) -> Iterator[Comparison]:
    """Yield every comparison of some studies.

    Parameters
    ----------
    studies
        Some of `STUDIES`.
    seeds
        Seeds of reconstruction and sampler.
    imputations
        Tables per reconstruction, at least 2; more where they differ much.
    draws
        Posterior draws per chain and imputation.
    cox_only
        Whether to leave out the sampling.
    """
    patients, compiled = gbsg2_patients(), None
    for study in studies:
        record = published_record(patients, study)
        build = partial(reconstruct, record, study.removesuffix("-open"), imputations=imputations)
        rebuilt = [build(seed=seed) for seed in seeds]
        own = patient_table(patients, rebuilt[0].strata.subgroups)
        for one in rebuilt:
            yield from compare_cox(study, one, own)
        if cox_only:
            continue
        bounds = model_edges(pooled(own), Options())
        prior = named_prior("weak", record)
        compiled = compiled or compile_model(subgroups(regroup(own, bounds), prior, FORM, strata=MOST_STRATA))
        truth = posterior_effects(compiled, own, bounds, record, Options(draws=4 * draws, seed=1))
        for one in rebuilt:
            options = Options(draws=draws, seed=one.seed)
            found = posterior_effects(compiled, one.table, bounds, record, options)
            if (needed := enough(found, imputations)) > imputations:
                one = build(seed=one.seed, imputations=needed)
                found = posterior_effects(compiled, one.table, bounds, record, options)
            yield from compare_posteriors(study, one, truth, found)


def _details(frame: pd.DataFrame) -> Table:
    """Return the mean over seeds of each quantity."""
    columns = ("study", "quantity", "known", "difference", "largest error", "SD ratio")
    table = Table(*columns, title=f"{frame.level.iloc[0]}: differences in the patients' SDs, seeds averaged")
    for (study, name), rows in frame.groupby(["study", "name"], sort=False):
        known = "" if name.startswith("prognosis") else "yes" if rows.known.all() else "no"
        numbers = rows.difference.mean(), rows.difference.abs().max(), rows.sd_ratio.mean()
        table.add_row(study, name, known, *(f"{number:.2f}" for number in numbers))
    return table


def _verdicts(frame: pd.DataFrame) -> Table:
    """Return the targets and what became of them."""
    table = Table("comparison", "target", "reached", "", title="targets")
    for level, rows in frame.groupby("level", sort=False):
        known, unknown = rows[rows.known], rows[~rows.known & ~rows.name.str.startswith("prognosis")]
        error = known.difference.abs()
        low, high = SD_RATIO
        checks = [
            (f"median error at most {MEDIAN_ERROR}", error.median(), error.median() <= MEDIAN_ERROR),
            (f"90th percentile at most {MOST_ERROR}", error.quantile(0.9), error.quantile(0.9) <= MOST_ERROR),
            (f"SD ratio at least {low}", known.sd_ratio.min(), known.sd_ratio.min() >= low),
            (f"SD ratio at most {high}", known.sd_ratio.max(), known.sd_ratio.max() <= high),
        ]
        if len(unknown):
            checks.append(("elsewhere SD ratio at least 1", unknown.sd_ratio.min(), unknown.sd_ratio.min() >= 1))
        for target, value, reached in checks:
            table.add_row(str(level), target, f"{value:.2f}", "yes" if reached else "[red]no[/red]")
    return table


def _seeds(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--partitions", default=",".join(STUDIES))
    parser.add_argument("--seeds", type=_seeds, default="1-5")
    parser.add_argument("--imputations", type=int, default=20)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--cox-only", action="store_true")
    given = parser.parse_args()
    studies = given.partitions.split(",")
    if unknown := [study for study in studies if study not in STUDIES]:
        parser.error(f"--partitions {','.join(unknown)}: give some of {','.join(STUDIES)}")
    if given.imputations < 2:
        parser.error("--imputations: at least 2")
    found = recover(studies, given.seeds, given.imputations, given.draws, cox_only=given.cox_only)
    frame = pd.DataFrame(list(found))
    console = Console()
    for _, rows in frame.groupby("level", sort=False):
        console.print(_details(rows))
    console.print(_verdicts(frame))


if __name__ == "__main__":
    main()
