"""What a reanalysis says about its own models, as text: predictive checks, and which model predicts better."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from ..data.labels import number_of
from ..inference.checks import IN_TAIL
from ..inference.prior_predictive import DOUBLING, STEP_SD
from . import subgroups
from .printing import heading, paragraph, rows_of, table, with_interval

if TYPE_CHECKING:
    from ..inference import Reanalysis

CHANGE = "landmark hazard ratio, "  # with the times
CHANGES = {
    DOUBLING: "What the trend multiplies the hazard ratio by while time doubles",
    STEP_SD: "SD of a year's step of the log hazard ratio about its trend",
}
MOST_NAMED = 6


def checks(result: Reanalysis) -> None:
    """Print which of the paper's numbers lie in the tails of what the models predict."""
    rows = result.checks
    if rows.empty:
        return
    by_model = rows.groupby(["model", "partition"])["replicates"].max()
    counts = sorted({int(by_model.min()), int(by_model.max())})
    heading(f"Predictive checks: {' to '.join(map(str, counts))} trials simulated from each posterior")
    paragraph(_in_tails(rows))
    exist = rows["tail_probability"].notna()
    for row in rows_of(rows[exist & rows["item"].str.startswith(CHANGE) & rows["partition"].eq("")]):
        predicted = with_interval(row["median"], row["lower"], row["upper"])
        times = str(row["item"]).removeprefix(CHANGE)
        tail = f"two-sided probability {row['tail_probability']:.2f}"
        paragraph(f"Hazard ratios from survival, {times}: {row['value']:.2f}; {row['model']} {predicted}, {tail}.")
    _change(result.prior_predictive)


def _in_tails(rows: pd.DataFrame) -> str:
    """Return what lies in the tails, else the number that comes nearest."""
    rows = rows[rows["tail_probability"].notna()]
    if rows.empty:
        return "No number exists that could be held against the simulated trials."
    numbers = number_of(len(rows.drop_duplicates(["subgroup", "item", "arm", "time"])), "number")
    models = ", ".join(dict.fromkeys(map(_model, rows_of(rows))))
    found = rows[rows["tail_probability"].lt(IN_TAIL)].sort_values("tail_probability", kind="stable")
    if found.empty:
        nearest = _named(rows.iloc[int(rows["tail_probability"].argmin())])
        return f"None of {numbers} lies in the tails (below {IN_TAIL:g}) of {models}; nearest: {nearest}."
    named = [_named(row) for row in rows_of(found.head(MOST_NAMED))]
    more = [f"{len(found) - MOST_NAMED} more in checks.csv"] if len(found) > MOST_NAMED else []
    return f"Of {numbers}, in the tails (below {IN_TAIL:g}): {'; '.join([*named, *more])}."


def _model(row: pd.Series) -> str:
    return f"{row['model']}, no pooling" if row["shrinkage"] == subgroups.RAW else str(row["model"])


def _named(row: pd.Series) -> str:
    """Return a number with its tail probability and model, such as ``Triple-negative median control 18 (...)``."""
    at = "" if pd.isna(row["time"]) else f"at {row['time']:g}"
    value = row["printed"] or f"{row['value']:.3g}"
    item = str(row["item"]).replace("_", " ")
    what = " ".join(part for part in (row["label"], item, row["arm"], at, value) if part)
    return f"{what} ({row['tail_probability']:.3f}, {_model(row)})"


def _change(rows: pd.DataFrame) -> None:
    """Print how the hazard ratio may change over time, before and after the data."""
    for estimand, what in CHANGES.items():
        for row in rows_of(rows[rows["estimand"].eq(estimand)]):
            before, after = (
                with_interval(*(row[f"{side}_{name}"] for name in ("median", "lower", "upper")))
                for side in ("prior", "posterior")
            )
            paragraph(f"{what}: {after}; its prior {before}.")


def model_comparison(rows: pd.DataFrame) -> None:
    """Print models of one table by what they predict of rows that are left out; nothing where none are compared."""
    for partition, own in rows.groupby("partition", sort=False):
        about = f" by {partition!s}" if partition else ""
        heading(f"Models{about} by leave-one-row-out prediction ({int(own['rows'].iloc[0])} rows; PSIS-LOO)")
        columns = ("Model", "elpd", "Difference", "SE", "Parameters", "Weight", "Worst k-hat")
        table(columns, _compared(own), right=columns[1:])
        if own["refitted"].gt(0).any():
            paragraph("Rows with a high k-hat were left out in earnest, and the model sampled again without them.")
        if own["bad_rows"].gt(0).any():
            paragraph("* k-hat above its limit in some rows: such an estimate is unreliable.")


def _compared(rows: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for row in rows_of(rows):
        numbers = (f"{row[name]:.1f}" for name in ("elpd", "difference", "difference_se", "parameters"))
        star = "*" if row["bad_rows"] else ""
        name = " ".join(part for part in (row["model"], row["shrinkage"]) if part)
        yield name, *numbers, f"{row['weight']:.2f}", f"{row['worst_k']:.2f}{star}"
