"""Predictive checks in the space of published numbers: what the paper would print of trials like the model's.

Trials are simulated from a posterior (`replication`), every number that the paper prints is recomputed in each of
them (`statistics`), and the printed one is placed in that distribution: median, 95% range, and the two-sided tail
probability

    2 min(P(T <= y + w), P(T >= y - w)),    at most 1, each P as (k + 1) / (n + 1),

of a number y printed to within w. The posterior has seen these numbers, so the probability is conservative: a model
that fits puts them in the middle. What it cannot hide is a number that the model has no parameter for.

Source: Gelman, Meng and Stern 1996, Stat Sinica 6:733; Bayarri and Berger 2000, J Am Stat Assoc 95:1127 (on using
the data twice).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data import OVERALL, Record, Subgroup
from ..data.reconstruction import Reconstruction
from ..data.subgroup import parse_key
from .fitting import Fit
from .imputations import Imputations
from .replication import REPLICATES, affordable, replicates
from .standardised import partition_subgroups
from .statistics import Statistic, patient_statistics, printed_statistics
from .tables import CHECKS

Array = NDArray[np.float64]
IN_TAIL = 0.05
LATE_ENTRY = "predictive checks are left out, as patients enter late: the table does not say who"
PERCENTILES = {"lower": 0.025, "q25": 0.25, "median": 0.5, "q75": 0.75, "upper": 0.975}


def tail_probability(values: Array, low: float, high: float) -> float:
    """Return the two-sided probability of a number as extreme as one between two bounds; see the module.

    Parameters
    ----------
    values
        Of simulated trials; those that do not exist (nan) are left out.
    low, high
        Bounds of the number before rounding; a number that does not exist (nan) has no probability.
    """
    if np.isnan(low) or np.isnan(high):
        return float("nan")
    known = values[~np.isnan(values)]
    below, above = ((hit.sum() + 1) / (hit.size + 1) for hit in (known <= high, known >= low))
    return float(min(2 * min(below, above), 1.0))


def predictive_checks(
    record: Record,
    fits: Iterable[Fit],
    sources: Mapping[str, Imputations],
    landmarks: Sequence[float],
    *,
    number: int = REPLICATES,
    seed: int = 1,
) -> pd.DataFrame:
    """Check every fit of survival tables that has all its parameters against what is printed.

    Parameters
    ----------
    record
        The trial.
    fits
        Posteriors; those without a survival table, and reweighted ones, are left out.
    sources
        The tables by partition.
    landmarks
        When survival of known patients is looked at; a paper's own landmarks are taken from what it prints.
    number
        How many trials to simulate of each fit; fewer of very large tables.
    seed
        Same seed, same trials.

    Returns
    -------
    DataFrame
        The columns of ``checks.csv``, a row per fit and number. ``value`` is the number, as ``printed`` or computed
        of the patients; ``median``, ``lower`` and ``upper`` (95%), ``q25`` and ``q75`` are those of ``replicates``
        simulated trials; ``tail_probability`` is two-sided.
    """
    rows: list[dict[str, object]] = []
    if not (record.patients and record.patients.entry):  # delayed entry: the table does not say who enters when
        chosen = [fit for fit in fits if "alpha" in fit.tree["posterior"] and fit.partition in sources]
        for fit in chosen:
            rows += _checked(record, fit, sources[fit.partition], landmarks, number, seed)
    return CHECKS.arranged(pd.DataFrame(rows, columns=list(CHECKS.columns)), trial=record.id)


def _checked(
    record: Record, fit: Fit, source: Imputations, landmarks: Sequence[float], number: int, seed: int
) -> list[dict[str, object]]:
    made = source.reconstruction
    statistics = (
        printed_statistics(record, made)
        if isinstance(made, Reconstruction)
        else patient_statistics(record, source.tables.isel(imputation=[0]), landmarks)
    )
    stacks = [
        np.stack([one.of(table) for one in statistics])
        for table in replicates(fit, source.tables, affordable(source.tables, number), seed)
    ]
    labels = _labels(record, fit.partition, source)
    identity = {name: getattr(fit, name) for name in ("model", "shrinkage", "partition")} | {"prior": fit.prior.name}
    return [
        identity | {"label": labels.get(one.subgroup, one.subgroup.key)} | _row(one, values)
        for one, values in zip(statistics, np.concatenate(stacks, axis=1), strict=True)
    ]


def _labels(record: Record, partition: str, source: Imputations) -> dict[Subgroup, str]:
    """Return what people call the subgroups."""
    if not partition:
        return {OVERALL: "All patients"}
    strata = [parse_key(str(key)) for key in source.tables.stratum.to_numpy()]
    return {one.subgroup: one.label for one in partition_subgroups(record, partition, strata)}


def _row(statistic: Statistic, values: Array) -> dict[str, object]:
    known = values[~np.isnan(values)]
    found = dict(zip(PERCENTILES, _quantiles(known), strict=True))
    names = ("item", "arm", "time", "printed", "value", "source")
    return (
        {name: getattr(statistic, name) for name in names}
        | {"subgroup": statistic.subgroup.key, **found, "replicates": known.size}
        | {"tail_probability": tail_probability(values, *_bounds(statistic))}
    )


def _bounds(statistic: Statistic) -> tuple[float, float]:
    """Return the bounds of a number; only a median can be infinite, what else is does not exist."""
    exists = statistic.item == "median" or bool(np.isfinite([statistic.low, statistic.high]).all())
    return (statistic.low, statistic.high) if exists else (np.nan, np.nan)


def _quantiles(values: Array) -> Array:
    """Return the percentiles, infinite ones among them; not a number without values."""
    if not values.size:
        return np.full(len(PERCENTILES), np.nan)
    finite = bool(np.isfinite(values).all())
    levels = np.array(list(PERCENTILES.values()))
    return np.asarray(np.quantile(values, levels, method="linear" if finite else "inverted_cdf"))
