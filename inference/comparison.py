"""Comparison with the frequentist results: the paper's hazard ratios, a Cox fit to the table, the posterior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..data import OVERALL, Record
from ..data.cohort import cox_of_counts, normal_quantile
from ..data.outcomes import HazardRatio
from ..data.reconstruction import members_of
from ..data.subgroup import parse_key
from ..data.table import pooled
from . import columns, imbalance, synthesis

LEVEL = 0.95


def cox_table(table: xr.Dataset) -> tuple[float, float, float]:
    """Return the Cox hazard ratio of a survival table with its 95% interval, pooled over imputations.

    The partial likelihood on the table's intervals, which should be short; imputations are pooled by Rubin's rules
    on the log scale.

    Parameters
    ----------
    table
        Survival table; its strata are added up.

    Returns
    -------
    tuple of float
        Hazard ratio, lower and upper limit.
    """
    whole = pooled(table).isel(stratum=0)
    arms = [whole.isel(arm=arm) for arm in (0, 1)]
    log_ratios, errors = cox_of_counts(
        arms[0].deaths.to_numpy(), arms[0].exposure.to_numpy(), arms[1].deaths.to_numpy(), arms[1].exposure.to_numpy()
    )
    between = log_ratios.var(ddof=1) * (1 + 1 / log_ratios.size) if log_ratios.size > 1 else 0.0
    half = normal_quantile(LEVEL) * np.sqrt((errors**2).mean() + between)
    middle = log_ratios.mean()
    return float(np.exp(middle)), float(np.exp(middle - half)), float(np.exp(middle + half))


def cox_patients(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Return lifelines' Cox hazard ratio of whole patients with its 95% interval.

    Parameters
    ----------
    rows
        Columns ``time``, ``event``, ``arm`` (``control`` or ``treatment``).
    """
    from lifelines import CoxPHFitter

    patients = rows[["time", "event"]].assign(treatment=(rows["arm"] == "treatment").astype(float))
    summary = CoxPHFitter(alpha=1 - LEVEL).fit(patients, "time", "event").summary.loc["treatment"]
    names = ("exp(coef)", f"exp(coef) lower {LEVEL:.0%}", f"exp(coef) upper {LEVEL:.0%}")
    hazard_ratio, lower, upper = (float(summary[name]) for name in names)
    return hazard_ratio, lower, upper


def comparison_rows(
    record: Record,
    estimates: pd.DataFrame,
    tables: Mapping[str, xr.Dataset],
    withheld: NDArray[np.float64] | None,
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
    """
    printed = {row.where.key: row for row in record.hazard_ratio if row.use}
    overall_ratio = estimates["estimand"].eq("hazard_ratio") & estimates["time"].isna()
    crude = ~estimates["model"].isin((imbalance.MODEL, synthesis.MODEL))
    ratios = estimates[crude & (overall_ratio | estimates["estimand"].eq("average_hazard_ratio"))]
    cox: dict[tuple[str, str], tuple[float, float, float] | None] = {}
    predicted = None if withheld is None else tuple(np.quantile(withheld, (0.5, 0.025, 0.975)).tolist())
    rows = []
    for row in ratios.itertuples():
        group = str(row.partition), str(row.subgroup)
        standardised = row.subgroup == OVERALL.key and bool(row.partition)  # neither printed nor a Cox fit
        if group not in cox:
            cox[group] = None if standardised else _cox_of(tables, *group)
        rows.append(
            {name: getattr(row, name) for name in ("partition", "subgroup", "label", "model", "shrinkage", "prior")}
            | _published(None if standardised else printed.get(str(row.subgroup)))
            | _triple("cox", cox[group])
            | _triple("posterior", (row.median, row.lower, row.upper))
            | _triple("withheld", predicted if group == ("", OVERALL.key) else None)
        )
    return pd.DataFrame(rows, columns=[name for name in columns.COMPARISON if name != "trial"])


def _cox_of(tables: Mapping[str, xr.Dataset], partition: str, subgroup: str) -> tuple[float, float, float] | None:
    """Return the Cox fit to a subgroup's table; ``None`` where its strata are not known, or there is none."""
    if partition not in tables:
        return None
    table = tables[partition]
    strata = [parse_key(str(key)) for key in table.stratum.to_numpy()]
    members = members_of(parse_key(subgroup), strata)
    chosen = pooled(table.isel(stratum=list(members))) if members else None
    return cox_table(chosen) if chosen is not None and _died_in_both_arms(chosen) else None


def _died_in_both_arms(table: xr.Dataset) -> bool:
    """Return whether there is a hazard ratio to estimate: deaths in both arms while both are at risk."""
    both = (table.exposure > 0).all("arm")
    return bool((table.deaths.where(both).sum("interval") > 0).all())


def _published(row: HazardRatio | None) -> dict[str, object]:
    if row is None:
        return _triple("published", None) | {"published_level": np.nan}
    limits = row.treatment_over_control_ci or (np.nan, np.nan)
    level = row.level if row.ci else np.nan
    return _triple("published", (row.treatment_over_control, *limits)) | {"published_level": level}


def _triple(name: str, values: tuple[object, object, object] | None) -> dict[str, object]:
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values or (np.nan,) * 3, strict=True))
