"""How far each published subgroup can be believed: what the numbers tell, and what a reader must fill in.

The columns follow what two published instruments ask of a subgroup claim, in our own words: Schandelmaier et al.
2020, CMAJ 192:E901 (ICEMAN), and Sun et al. 2010, BMJ 340:c117. What no printed number tells is left empty for the
reader: whether the direction was foretold, what earlier evidence and mechanism there is, whether a cut point was
free to choose, how many subgroups were looked at and not printed, and the verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..data import Record, Subgroup
from ..data.outcomes import HazardRatio
from .homogeneity import (
    HomogeneousTrials,
    chance,
    common_log_hazard_ratio,
    deviation,
    homogeneous_effects,
    homogeneous_trials,
    levels_of,
    members,
    separate,
)
from .quantities import RATIOS
from .tables import CREDIBILITY, HOMOGENEITY

FOR_THE_READER = (
    *("direction_foretold", "prior_evidence", "plausibility", "cut_point", "looked_at_unprinted", "verdict"),
)
MODELS = ("subgroups", "effects")  # where a subgroup's posterior is taken from: the first that has it
UNSHRUNKEN = ("", "none")
YES_NO = {True: "yes", False: "no", None: ""}


def published_subgroups(record: Record) -> list[HazardRatio]:
    """Return the printed hazard ratios of subgroups that analyses use."""
    return [row for row in record.hazard_ratio if row.use and not row.where.is_overall]


def trials_without_heterogeneity(
    record: Record, tables: Sequence[xr.Dataset], trials: int = 4000, seed: int = 1
) -> HomogeneousTrials | None:
    """Simulate what homogeneous trials of this size would have printed of the published subgroups.

    From the tables where any has strata; then only subgroups that are unions of crossed strata are looked at. From
    the printed hazard ratios and intervals alone where none has.

    Parameters
    ----------
    record
        The trial.
    tables
        Its survival tables, one per partition.
    trials
        How many to simulate.
    seed
        Same seed, same trials.

    Returns
    -------
    HomogeneousTrials or None
        ``None`` when the record prints no subgroup, or neither tables nor intervals tell enough.
    """
    crossed = separate(tables)
    factors = {name for table in crossed for name in levels_of(table)}
    rows = [row for row in published_subgroups(record) if not crossed or factors.issuperset(row.where.factors)]
    if crossed and rows:
        common = common_log_hazard_ratio(crossed)
        return homogeneous_trials(crossed, [row.where for row in rows], common, trials, seed)
    overall = record.overall_hazard_ratio
    errors = {row.where: row.standard_error for row in rows if row.standard_error is not None}
    if not errors or overall is None or overall.standard_error is None:
        return None
    common = float(np.log(overall.treatment_over_control))
    return homogeneous_effects(errors, overall.standard_error, common, trials, seed)


def credibility(
    record: Record,
    tables: Sequence[xr.Dataset],
    estimates: pd.DataFrame,
    simulated: HomogeneousTrials | None,
) -> pd.DataFrame:
    """Lay out what bears on each published subgroup, a row for it and one for its complement where that is estimated.

    Posterior and interaction are those of the first prior, from the model over strata, else from the printed
    effects. ``interaction`` is the ratio of the subgroup's hazard ratio to its complement's (``reference``),
    ``interaction_prob`` the probability that treatment does more for the subgroup. The chances are those of
    `HomogeneousTrials`, among ``chance_among`` subgroups; ``deviation`` is the distance from the overall effect in
    the subgroup's standard errors.

    Parameters
    ----------
    record
        The trial.
    tables
        Its survival tables, one per partition; events and patients are the first's that has the subgroup.
    estimates
        Estimates of all models and priors, with the columns of ``estimates.csv``.
    simulated
        See `trials_without_heterogeneity`.

    Returns
    -------
    pandas.DataFrame
        The columns of ``credibility.csv``; those that only a reader can fill are there and empty.
    """
    usable = estimates[estimates["prior"].eq(estimates["prior"].iloc[0])] if len(estimates) else estimates
    published = published_subgroups(record)
    printed = {row.where.key for row in published}
    rows: list[dict[str, object]] = []
    for row in published:
        interaction = _interaction(usable, row.where.key)
        own = _row(record, tables, usable, row) | _looked_at(record) | _chances(record, row, simulated)
        rows.append(own | interaction)
        complement = str(interaction["reference"])
        if complement and complement not in printed | {str(found["subgroup"]) for found in rows}:
            rows.append(_complement_row(record, tables, usable, row, complement))
    frame = pd.DataFrame(rows, columns=list(CREDIBILITY.columns))
    blanks = dict.fromkeys(FOR_THE_READER, "")
    texts = {name: frame[name].fillna("").astype(str) for name in _TEXTS}
    return CREDIBILITY.arranged(frame.assign(**texts), trial=record.id, **blanks)


_TEXTS = ("reference", "model", "shrinkage", "prior", "planned", "baseline", "chance_source")


def homogeneity(record: Record, simulated: HomogeneousTrials) -> pd.DataFrame:
    """Return what homogeneous trials print of their subgroups as a whole, beside what this trial printed.

    Parameters
    ----------
    record
        The trial.
    simulated
        See `trials_without_heterogeneity`.

    Returns
    -------
    pandas.DataFrame
        A row per statistic: smallest and largest subgroup hazard ratio, largest deviation from the overall effect
        in standard errors, subgroups with significant benefit. ``published`` is this trial's; median and 95% range
        are the homogeneous trials'; ``chance`` is that of one at least as extreme.
    """
    rows = {row.where: row for row in published_subgroups(record)}
    looked_at = [rows[one] for one in simulated.subgroups]
    ratios = [row.treatment_over_control for row in looked_at]
    distances = [_deviation(record, row) for row in looked_at]
    benefits = [limits[1] < 1 for row in looked_at if (limits := row.treatment_over_control_ci)]
    smallest, largest = np.exp(simulated.smallest), np.exp(simulated.largest)
    lowest, highest = min(ratios), max(ratios)
    farthest = max((one for one in distances if np.isfinite(one)), default=np.nan)
    found = [
        ("smallest hazard ratio", lowest, smallest, smallest <= lowest),
        ("largest hazard ratio", highest, largest, largest >= highest),
        ("largest deviation", farthest, simulated.largest_deviation, simulated.largest_deviation >= farthest),
        ("significant benefits", float(sum(benefits)), simulated.benefits, simulated.benefits >= sum(benefits)),
    ]
    frame = pd.DataFrame([_statistic(*one) for one in found])
    return HOMOGENEITY.arranged(frame, trial=record.id, source=simulated.source)


def _statistic(
    name: str, published: float, values: NDArray[np.float64], extreme: NDArray[np.bool_]
) -> dict[str, object]:
    lower, median, upper = np.quantile(values, (0.025, 0.5, 0.975), method="nearest")
    known = chance(extreme) if np.isfinite(published) else np.nan
    return {
        "statistic": name,
        "published": published,
        "median": median,
        "lower": lower,
        "upper": upper,
        "chance": known,
    }


def _row(
    record: Record, tables: Sequence[xr.Dataset], estimates: pd.DataFrame, row: HazardRatio
) -> dict[str, object]:
    limits = row.treatment_over_control_ci or (np.nan, np.nan)
    return {
        "partition": _partition(record, row.where),
        "subgroup": row.where.key,
        "label": row.label or row.where.key,
        **_counts(tables, row.where),
        "published": row.treatment_over_control,
        "published_lower": limits[0],
        "published_upper": limits[1],
        "published_level": row.level if row.ci else np.nan,
        **_posterior(estimates, row.where.key),
        "planned": YES_NO[row.planned],
        "baseline": YES_NO[not any(record.factors[name].post_randomisation for name in row.where.factors)],
    }


def _complement_row(
    record: Record, tables: Sequence[xr.Dataset], estimates: pd.DataFrame, row: HazardRatio, complement: str
) -> dict[str, object]:
    """Return what there is about the patients outside a printed subgroup, which were not printed."""
    labels = estimates.loc[estimates["subgroup"].eq(complement), "label"]
    return {
        "partition": _partition(record, row.where),
        "subgroup": complement,
        "label": labels.iloc[0] if len(labels) else f"not {row.label or row.where.key}",
        **_counts(tables, row.where, outside=True),
        **_posterior(estimates, complement),
    }


def _partition(record: Record, where: Subgroup) -> str:
    """Return the first partition whose strata can form a subgroup; empty without one."""
    names = (name for name, one in record.all_partitions.items() if set(where.factors) <= set(one.factors))
    return next(names, "")


def _counts(tables: Sequence[xr.Dataset], where: Subgroup, *, outside: bool = False) -> dict[str, float]:
    """Return patients by arm, and deaths with their 95% range over imputations, of a subgroup or of all others."""
    table = next((one for one in tables if set(where.factors) <= set(levels_of(one))), None)
    if table is None:
        return {}
    strata = members(levels_of(table), where) ^ outside
    deaths = table.deaths.isel(stratum=strata).sum(("stratum", "arm", "interval"))
    patients = table.patients.isel(stratum=strata).sum("stratum").mean("imputation")
    lower, upper = np.quantile(deaths, (0.025, 0.975))
    return {
        "patients_control": float(patients.sel(arm="control")),
        "patients_treatment": float(patients.sel(arm="treatment")),
        "events": float(deaths.mean()),
        "events_lower": float(lower),
        "events_upper": float(upper),
    }


def _first(estimates: pd.DataFrame, subgroup: str, estimands: Iterable[str]) -> pd.Series | None:
    """Return the first estimate of a subgroup by model, of those that shrink."""
    chosen = estimates[
        estimates["subgroup"].eq(subgroup)
        & estimates["estimand"].isin(list(estimands))
        & estimates["model"].isin(MODELS)
        & ~estimates["shrinkage"].isin(UNSHRUNKEN)
    ]
    ordered = chosen.sort_values("model", key=partial(_positions, MODELS), kind="stable")
    return ordered.iloc[0] if len(ordered) else None


def _positions(names: Sequence[str], values: pd.Series) -> pd.Series:
    return values.map({name: position for position, name in enumerate(names)})


def _posterior(estimates: pd.DataFrame, subgroup: str) -> dict[str, object]:
    found = _first(estimates, subgroup, RATIOS)
    if found is None:
        return {}
    numbers = {"posterior": found["median"], "posterior_lower": found["lower"], "posterior_upper": found["upper"]}
    return numbers | {name: found[name] for name in ("model", "shrinkage", "prior")}


def _interaction(estimates: pd.DataFrame, subgroup: str) -> dict[str, object]:
    found = _first(estimates, subgroup, ("ratio_of_hazard_ratios",))
    if found is None:
        return {"reference": ""}
    return {
        "reference": found["reference"],
        "interaction": found["median"],
        "interaction_lower": found["lower"],
        "interaction_upper": found["upper"],
        "interaction_prob": found["prob_benefit"],
    }


def _looked_at(record: Record) -> dict[str, object]:
    """Return how many subgroups, and factors, the paper prints a treatment effect for."""
    rows = published_subgroups(record)
    return {
        "subgroups_printed": len(rows),
        "factors_printed": len({name for row in rows for name in row.where.factors}),
    }


def _deviation(record: Record, row: HazardRatio) -> float:
    """Return a printed subgroup's distance from the printed overall effect in its standard errors."""
    overall = record.overall_hazard_ratio
    if overall is None or row.standard_error is None:
        return np.nan
    logs = [np.log([one.treatment_over_control]) for one in (row, overall)]
    return float(deviation(logs[0], np.array([row.standard_error]), logs[1])[0])


def _chances(record: Record, row: HazardRatio, simulated: HomogeneousTrials | None) -> dict[str, object]:
    distance = _deviation(record, row)
    if simulated is None or row.where not in simulated.subgroups:
        return {"deviation": distance}
    log_ratio = float(np.log(row.treatment_over_control))
    return {
        "chance_own": simulated.chance_own(row.where, log_ratio),
        "chance_largest": simulated.chance_largest(log_ratio),
        "deviation": distance,
        "chance_deviation": simulated.chance_deviation(distance) if np.isfinite(distance) else np.nan,
        "chance_among": len(simulated.subgroups),
        "chance_source": simulated.source,
    }
