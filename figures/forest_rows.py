"""The lines of a forest: which effects it shows, and what stands beside them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..inference import Reanalysis
from ..inference.comparison import LEVEL
from .selection import primary_prior
from .strata import (
    LONGEST_LABEL,
    STANDARDISED,
    SubgroupRow,
    Triple,
    frequentist,
    partitions_of,
    standardised_over,
    subgroup_rows,
    title_of,
)

KEY = ["model", "shrinkage", "prior", "partition", "subgroup"]
ADJUSTED = "Adjusted for imbalance"
NOTHING = (np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Row:
    """One line of the forest: a heading has a label only.

    Parameters
    ----------
    label
        For people.
    frequentist, posterior
        Hazard ratio with limits, the first as printed or by Cox; ``nan`` where there is none.
    prob_benefit
        Posterior probability of a hazard ratio below 1.
    shrunken
        Whether the row is pooled with others, or is about the whole trial.
    indent
        Whether it stands under a heading.
    level
        Coverage of the frequentist interval; ``nan`` where there is none.
    raw
        Posterior without pooling, where it is drawn too.
    """

    label: str
    frequentist: Triple | None = None
    posterior: Triple | None = None
    prob_benefit: float = np.nan
    shrunken: bool = True
    indent: bool = False
    level: float = np.nan
    raw: Triple | None = None


def forest_rows(reanalysis: Reanalysis) -> list[Row]:
    """Return the lines of the forest: effects in all patients, then each partition's heading and subgroups.

    Of a partition that the ``subgroups`` model was fitted to, the subgroups with a printed hazard ratio (those with a
    Cox fit where nothing is printed); otherwise the printed effects that were pooled.
    """
    compared = _chosen(reanalysis)
    whole = compared[compared["subgroup"].eq("overall") & compared["partition"].eq("")]
    first = whole[whole["model"].eq("piecewise") if whole["model"].eq("piecewise").any() else whole["model"].ne("")]
    fitted = {partition: subgroup_rows(reanalysis, partition) for partition in partitions_of(reanalysis)}
    source = frequentist(reanalysis)
    rows = [_row(item, "All patients", source, whole=True) for _, item in first.iterrows()]
    if fitted:
        rows = [Row("All patients"), *(replace(row, label="Crude", indent=True) for row in rows)]
        for partition, found in fitted.items():
            rows.append(_unpooled(found[0], f"Standardised {standardised_over(reanalysis, partition)}"))
        rows += _adjusted_rows(reanalysis)
    for partition, found in fitted.items():
        rows.append(_heading(reanalysis, partition, 2))
        beside = [row for row in found[1:] if row.frequentist]
        rows += [_unpooled(row, row.label) for row in beside or found[1:]]
    parts = compared[compared["model"].eq("effects") & compared["partition"].ne("")]
    for name, group in parts[~parts["partition"].isin(list(fitted))].groupby("partition", sort=False):
        rows.append(_heading(reanalysis, str(name), 2))
        rows += [_row(item, str(item["label"]), source) for _, item in group.iterrows()]
    return rows


def partition_rows(reanalysis: Reanalysis, partition: str) -> list[Row]:
    """Return the lines of a partition's own forest: its heading, all patients and every subgroup.

    Parameters
    ----------
    reanalysis
        With a ``subgroups`` fit of the partition.
    partition
        Name of the partition.
    """
    overall, *others = subgroup_rows(reanalysis, partition)
    rows = [_subgroup_row(row) for row in (replace(overall, label=STANDARDISED), *others)]
    rows = [replace(row, label=textwrap.fill(row.label, LONGEST_LABEL)) if row.raw else row for row in rows]
    return [_heading(reanalysis, partition), *rows]


def _heading(reanalysis: Reanalysis, partition: str, most_lines: int | None = None) -> Row:
    title = title_of(reanalysis, partition)
    return Row(textwrap.fill(title, LONGEST_LABEL, max_lines=most_lines, placeholder=" ..."))


def _unpooled(row: SubgroupRow, label: str) -> Row:
    return replace(_subgroup_row(row), label=label, raw=None)


def _adjusted_rows(reanalysis: Reanalysis) -> list[Row]:
    """Return the overall effect adjusted for imbalance, in its first form."""
    rows = reanalysis.estimates
    found = rows[rows["model"].eq("imbalance") & rows["prior"].eq(primary_prior(reanalysis))]
    return [
        Row(ADJUSTED, NOTHING, (item["median"], item["lower"], item["upper"]), benefit, indent=True)
        for item in found[:1].to_dict("records")
        for benefit in (item["prob_benefit"],)
    ]


def _subgroup_row(row: SubgroupRow) -> Row:
    beside = row.frequentist or NOTHING
    level = np.nan if np.isnan(beside[1]) else LEVEL
    return Row(row.label, beside, row.shrunken, row.prob_benefit, indent=True, level=level, raw=row.raw)


def _chosen(reanalysis: Reanalysis) -> pd.DataFrame:
    """Return the comparison under the primary prior, with the estimates' probability of benefit."""
    ratios = reanalysis.estimates
    ratios = ratios[ratios["estimand"].eq("hazard_ratio") & ratios["time"].isna()]
    both = reanalysis.comparison.merge(ratios[[*KEY, "prob_benefit"]], on=KEY)
    return both[both["prior"].eq(primary_prior(reanalysis))]


def _row(item: pd.Series, label: str, source: str, *, whole: bool = False) -> Row:
    def triple(name: str) -> Triple:
        return float(item[name]), float(item[f"{name}_lower"]), float(item[f"{name}_upper"])

    shrunken = whole or item["shrinkage"] != "none"
    level = LEVEL if source == "cox" else float(item["published_level"])
    return Row(label, triple(source), triple("posterior"), float(item["prob_benefit"]), shrunken, not whole, level)
