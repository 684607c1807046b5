"""Comparison with the frequentist results: the paper's hazard ratios, Cox, the posterior.

Cox fits are to the patients where they are known (exact times, Efron's ties, delayed entry, strata that the record
asks for), with a test of proportional hazards; else to the rebuilt table.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..data import OVERALL, Record
from ..data.cohort import normal_quantile
from ..data.estimators import cox, cox_of_patients, proportional_hazards_test
from ..data.outcomes import HazardRatio
from ..data.reconstruction import members_of
from ..data.subgroup import parse_key
from ..data.table import pooled
from . import imbalance, synthesis
from .tables import COMPARISON

LEVEL = 0.95
Ratio = tuple[float, float, float]  # with its limits


def cox_table(table: xr.Dataset) -> Ratio | None:
    """Return the Cox hazard ratio of a survival table with its 95% interval, pooled over imputations.

    The partial likelihood on the table's intervals, which should be short; imputations are pooled by Rubin's rules
    on the log scale.

    Parameters
    ----------
    table
        Survival table; its strata are added up.

    Returns
    -------
    tuple of float or None
        Hazard ratio, lower and upper limit; ``None`` where an imputation has deaths in one arm only.
    """
    whole = pooled(table).isel(stratum=0).transpose("imputation", "arm", "interval")
    log_ratios, errors = cox(whole.deaths.to_numpy(), whole.exposure.to_numpy())
    if not np.isfinite(errors).all():
        return None
    between = log_ratios.var(ddof=1) * (1 + 1 / log_ratios.size) if log_ratios.size > 1 else 0.0
    return _with_limits(float(log_ratios.mean()), float(np.sqrt((errors**2).mean() + between)))


def cox_patients(patients: pd.DataFrame, factor: str = "") -> tuple[Ratio | None, float]:
    """Return the Cox hazard ratio of patients with its 95% interval, and the p-value for proportional hazards.

    Parameters
    ----------
    patients
        Columns ``time``, ``event``, ``arm`` (``control`` or ``treatment``), and ``entry`` where some enter late.
    factor
        A factor of the patients whose levels have baseline hazards of their own.

    Returns
    -------
    tuple
        ``None`` and not a number where one arm only has deaths while both are at risk.

    Examples
    --------
    >>> arms = ["control", "treatment", "control", "treatment"]
    >>> frame = pd.DataFrame({"time": [1.0, 2, 3, 4], "event": [True] * 4, "arm": arms})
    >>> ratio, p = cox_patients(frame)
    >>> [round(value, 2) for value in ratio], round(p, 2)
    ([0.34, 0.03, 4.36], 0.76)
    """
    followed = (
        patients["time"].to_numpy(dtype=float),
        patients["event"].to_numpy(dtype=bool),
        patients["arm"].eq("treatment").to_numpy(),
    )
    late = patients["entry"].to_numpy(dtype=float) if "entry" in patients else np.zeros(len(patients))
    entry = late if (late > 0).any() else None
    strata = pd.factorize(patients[factor])[0] if factor else None
    log_ratio, error = cox_of_patients(*followed, entry, strata=strata)
    if not np.isfinite(error):
        return None, np.nan
    return _with_limits(log_ratio, error), proportional_hazards_test(*followed, entry, strata=strata)[1]


def _with_limits(log_ratio: float, error: float) -> Ratio:
    half = normal_quantile(LEVEL) * error
    with np.errstate(over="ignore"):
        return float(np.exp(log_ratio)), float(np.exp(log_ratio - half)), float(np.exp(log_ratio + half))


def comparison_rows(
    record: Record,
    estimates: pd.DataFrame,
    tables: Mapping[str, xr.Dataset],
    withheld: NDArray[np.float64] | None,
    patients: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return published, Cox and posterior hazard ratios side by side.

    Parameters
    ----------
    record
        The trial.
    estimates
        Estimates of all models and priors; those adjusted for imbalance are left out, as none is published, and those
        of several trials together.
    tables
        Survival tables by partition: a Cox fit stands beside every union of their strata.
    withheld
        What the reconstruction predicts for the overall hazard ratio when that is withheld, shape ``(imputations,)``.
    patients
        The patients, where they are known: Cox fits are to them.
    """
    printed = {row.where.key: row for row in record.hazard_ratio if row.use}
    overall_ratio = estimates["estimand"].eq("hazard_ratio") & estimates["time"].isna()
    crude = ~estimates["model"].isin((imbalance.MODEL, synthesis.MODEL))
    ratios = estimates[crude & (overall_ratio | estimates["estimand"].eq("average_hazard_ratio"))]
    fits: dict[tuple[str, str], tuple[Ratio | None, float]] = {}
    predicted = None if withheld is None else tuple(np.quantile(withheld, (0.5, 0.025, 0.975)).tolist())
    rows = []
    for row in ratios.itertuples():
        group = str(row.partition), str(row.subgroup)
        standardised = row.subgroup == OVERALL.key and bool(row.partition)  # neither printed nor a Cox fit
        if group not in fits:
            fits[group] = (None, np.nan) if standardised else _cox_of(record, tables, patients, *group)
        rows.append(
            {name: getattr(row, name) for name in ("partition", "subgroup", "label", "model", "shrinkage", "prior")}
            | _published(None if standardised else printed.get(str(row.subgroup)))
            | _triple("cox", fits[group][0])
            | _triple("posterior", (row.median, row.lower, row.upper))
            | _triple("withheld", predicted if group == ("", OVERALL.key) else None)
            | {"proportional_p": fits[group][1]}
        )
    return pd.DataFrame(rows, columns=[name for name in COMPARISON.columns if name != "trial"])


def _cox_of(
    record: Record, tables: Mapping[str, xr.Dataset], patients: pd.DataFrame | None, partition: str, key: str
) -> tuple[Ratio | None, float]:
    """Return the Cox fit to a subgroup and its p-value; ``None`` where its strata are not known, or there is none."""
    if partition not in tables:
        return None, np.nan
    subgroup, table = parse_key(key), tables[partition]
    members = members_of(subgroup, [parse_key(str(stratum)) for stratum in table.stratum.to_numpy()])
    if not members:
        return None, np.nan
    if patients is None:
        return cox_table(table.isel(stratum=list(members))), np.nan
    division = record.partition(partition) if partition else None
    chosen = patients.dropna(subset=list(division.factors)) if division else patients  # whom the table has
    for name, levels in subgroup.restrictions:
        chosen = chosen[chosen[name].isin(levels)]
    return cox_patients(chosen, record.stratified_by(partition))


def _published(row: HazardRatio | None) -> dict[str, object]:
    if row is None:
        return _triple("published", None) | {"published_level": np.nan}
    limits = row.treatment_over_control_ci or (np.nan, np.nan)
    level = row.level if row.ci else np.nan
    return _triple("published", (row.treatment_over_control, *limits)) | {"published_level": level}


def _triple(name: str, values: tuple[object, object, object] | None) -> dict[str, object]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values or (np.nan,) * 3, strict=True))
