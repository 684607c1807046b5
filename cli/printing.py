"""Results as text for people: tables that wrap and lose nothing when piped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.padding import Padding
from rich.table import Table

from ..data import Record
from ..data.audit import VERDICTS
from ..data.describe import Section, TrialSummary
from ..data.imputed import POINT
from ..data.labels import number_of, shown_limits
from ..data.publishing import p_text
from .terminal import console

if TYPE_CHECKING:
    from ..data.imputed import Imputed
    from ..inference import Reanalysis

GAP = 2  # between columns
_BREAKS = re.compile(r"(\s+)|(?<=[^\W\d][-/])(?=[^\W\d])")  # between words, and within them after - and /
EVERYBODY = "overall"
NUMERIC = frozenset({"n", "p", "events", "control", "treatment", "both"})


def line(text: str = "") -> None:
    """Print a line of text."""
    console().print(text, soft_wrap=True)


def paragraph(text: str) -> None:
    """Print text that wraps."""
    console().print(text)


def heading(text: str) -> None:
    """Print the title of what follows."""
    out = console()
    out.print()
    out.print(text, style="bold")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """Print a table; columns without any text are left out.

    Parameters
    ----------
    columns
        Names of the columns.
    rows
        Text by row and column.
    right
        Columns that are aligned to the right.
    """
    cells = [list(row) for row in rows]
    shown = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    out = console()
    kept = [[columns[index], *(row[index] for row in cells)] for index in shown]
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    found = widths(kept, out.width)
    for (name, *_), width in zip(kept, found, strict=True):
        drawn.add_column(name, justify="right" if name in set(right) else "left", overflow="fold", width=width)
    for row in zip(*(_wrapped(column, width) for column, width in zip(kept, found, strict=True)), strict=True):
        drawn.add_row(*row)
    out.print(drawn)


def widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return how wide columns may be: headers wrap first, then the widest cells, and words last of all.

    Parameters
    ----------
    columns
        Header and cells of each column.
    room
        Width of the page.
    """
    room -= GAP * (len(columns) - 1)
    found = [max(map(len, column)) for column in columns]
    if sum(found) > room:
        found = [max(_longest_word(header), *map(len, cells)) for header, *cells in columns]
    words = [max(map(_longest_word, column)) for column in columns]
    while sum(found) > max(room, len(found)):
        wraps = [index for index, width in enumerate(found) if width > words[index]]
        widest = max(wraps or range(len(found)), key=found.__getitem__)
        found[widest] -= 1
    return found


def _longest_word(text: str) -> int:
    return max(map(len, _BREAKS.split(text)[::2]), default=0)


def _wrapped(column: Sequence[str], width: int) -> list[str]:
    """Return a column's cells in lines of a width, broken between words and after hyphens and slashes."""
    return [_lines(text, width) for text in column[1:]]


def _lines(text: str, width: int) -> str:
    first, *others = _BREAKS.split(text)
    lines = [first]
    for space, word in zip(others[::2], others[1::2], strict=True):
        longer = f"{lines[-1]}{space or ''}{word}"
        lines[-1:] = [longer] if len(longer) <= width else [lines[-1], word]
    return "\n".join(lines)


def files(paths: Iterable[Path]) -> None:
    """Print where files are."""
    for path in paths:
        line(f"Wrote {path}")


# --- numbers ------------------------------------------------------------------------------------------------------


def probability(value: float) -> str:
    """Return a probability with three decimals, never as a certainty."""
    if pd.isna(value):
        return ""
    return "<0.001" if value < 0.0005 else ">0.999" if value >= 0.9995 else f"{value:.3f}"


def with_interval(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Return ``0.66 (0.49-0.88)``, ``0.05 (-0.10 to 0.20)``, or what there is of it."""
    if pd.isna(value):
        return ""
    middle, low, high = (f"{number:z.{digits}f}" for number in (value, lower, upper))
    if pd.isna(lower):
        return middle
    return f"{middle} ({low}{' to ' if lower < 0 else '-'}{high})"


def cox_ratio(row: pd.Series) -> str:
    """Return a row's Cox hazard ratio with its interval."""
    return with_interval(row["cox"], *shown_limits(row["cox_lower"], row["cox_upper"]))


def p_value(p: float | None) -> str:
    """Return a p-value as papers print it, empty where there is none."""
    return "" if pd.isna(p) else p_text(p)


def percentage(row: pd.Series) -> str:
    """Return an estimate of a probability, or of a difference between two, in percent."""
    value, lower, upper = (100 * float(row[name]) for name in ("median", "lower", "upper"))
    return with_interval(value, lower, upper, digits=0)


# --- records ------------------------------------------------------------------------------------------------------


def rows_of(frame: pd.DataFrame) -> Iterable[pd.Series]:
    """Return the rows of a table."""
    return (row for _, row in frame.iterrows())


def published_ratio(row: pd.Series) -> str:
    """Return a row's published hazard ratio with its interval."""
    return with_interval(row["published"], row["published_lower"], row["published_upper"])


def ratio(row: pd.Series) -> str:
    """Return a row's posterior median with its interval."""
    return with_interval(row["median"], row["lower"], row["upper"])


PROBABILITIES = ("P(benefit)", "P(HR <{benefit_threshold:.2f})", "P(HR >{harm_threshold:.2f})")


def probability_columns(result: Reanalysis) -> list[str]:
    """Return the titles of a hazard ratio's probabilities, with their thresholds."""
    return [name.format(**result.run["options"]) for name in PROBABILITIES]


def probabilities(row: pd.Series) -> list[str]:
    """Return a hazard ratio's probabilities."""
    return [probability(row[name]) for name in ("prob_benefit", "prob_meaningful", "prob_harm")]


def first_prior(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates under the first prior."""
    return estimates[estimates["prior"].eq(estimates["prior"].iloc[0])]


def trials(summaries: Iterable[TrialSummary]) -> None:
    """Print a line for each trial."""
    columns = ("Id", "Title", "Patients", "Events", "Source", "Hazard ratio")
    rows = [
        (one.id, one.title, _whole(one.patients), _whole(one.events), one.source, one.hazard_ratio)
        for one in summaries
    ]
    table(columns, rows, right=("Patients", "Events"))


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)


def sections(parts: Iterable[Section]) -> None:
    """Print titled tables."""
    for part in parts:
        heading(part.title)
        table(part.columns, part.rows, right=NUMERIC)


# --- audit --------------------------------------------------------------------------------------------------------


def audit(record: Record, findings: pd.DataFrame, trial: str, directory: Path | None) -> None:
    """Print an audit: verdicts by check, and the arithmetic of all that is not in order.

    Parameters
    ----------
    record
        The trial.
    findings
        The columns of ``audit.csv``.
    trial
        How the trial was named on the command line.
    directory
        Where ``audit.csv`` was written; ``None`` where it was not.
    """
    paragraph(f"Audit of {record.id}: {record.title}")
    heading("Checks")
    counted = pd.crosstab(findings["check"], findings["verdict"]).reindex(
        index=findings["check"].unique(), columns=list(VERDICTS), fill_value=0
    )
    rows = [(str(check), *(str(n) if n else "" for n in counts)) for check, counts in _rows_of(counted)]
    total = counted.sum()
    rows.append(("all", *(str(total[verdict]) for verdict in VERDICTS)))
    table(("Check", *VERDICTS), rows, right=VERDICTS)
    notable = findings[findings["verdict"] != "ok"]
    if not len(findings[findings["check"] != "record"]):
        paragraph("0 checks possible: the record prints nothing that can be held against anything else.")
    elif notable.empty:
        paragraph("Every number that can be checked is in order.")
    for verdict in reversed(VERDICTS[1:]):
        findings_of(notable[notable["verdict"] == verdict], verdict)
    if directory is not None:
        line()
        files([directory / "audit.csv"])
    else:
        line()
        paragraph(f"All checks with their numbers: secondlook audit {trial} --out DIR")


def _rows_of(counted: pd.DataFrame) -> Iterable[tuple[object, list[int]]]:
    return ((index, list(map(int, row))) for index, row in zip(counted.index, counted.to_numpy(), strict=True))


def findings_of(findings: pd.DataFrame, verdict: str) -> None:
    """Print findings of one verdict, each with its arithmetic below it."""
    if findings.empty:
        return
    heading(f"{verdict.capitalize()}: {len(findings)}")
    out = console()
    for row in rows_of(findings):
        source = f" [{row['source']}]" if row["source"] else ""
        out.print(Padding(f"{row['item']} ({row['check']}){source}", (0, 0, 0, 2), expand=False))
        out.print(Padding(str(row["arithmetic"]), (0, 0, 0, 6), expand=False))


# --- reconstruction -----------------------------------------------------------------------------------------------


def reconstruction(made: Imputed) -> None:
    """Print the fit sheet: every published number beside what the rebuilt data make of it."""
    for warning in made.warnings:
        paragraph(f"Warning: {warning}.")
    by = f" by {made.partition}" if made.partition else ""
    heading(f"What was read of {made.record.id}{by}, and what the rebuilt data make of it")
    read = "Read" if made.record.curve else "Printed"
    columns = ("Item", "Subgroup", "Arm", "Time", read, "Rebuilt", "Half-widths off", "Used", "Source")
    rows = [
        (
            str(row["item"]).replace("_", " ").replace("death", made.record.event),
            "" if row["subgroup"] == EVERYBODY else str(row["subgroup"]),
            or_nothing(row["arm"]),
            or_nothing(row["time"]),
            or_nothing(row["printed"]),
            f"{row['reproduced']:.4g}",
            "" if pd.isna(row["half_widths_off"]) else f"{row['half_widths_off']:.2f}",
            "yes" if row["used"] else "predicted",
            or_nothing(row["source"]),
        )
        for row in rows_of(_in_short(made.fit_sheet))
    ]
    table(columns, rows, right=("Time", read, "Rebuilt", "Half-widths off"))
    for note in _round_trip(made.fit_sheet):
        paragraph(note)
    if made.record.curve and not made.partition:
        paragraph(f"{number_of(made.imputations, 'imputation')}.")
    else:
        imputations = number_of(made.imputations, "imputation")
        off = int((made.fit_sheet["used"] & made.fit_sheet["half_widths_off"].abs().gt(1)).sum())
        numbers = "every number" + (f" but {off}, in conflict with the others" if off else "")
        paragraph(f"{imputations}; {made.acceptance_rate:.0%} of the draws reproduced {numbers}.")
    line()


def _in_short(sheet: pd.DataFrame) -> pd.DataFrame:
    """Return a fit sheet with each curve's largest deviation for all of its points."""
    largest = [group["half_widths_off"].abs().idxmax() for _, group in _curves(sheet)]
    return sheet[sheet["item"].ne(POINT) | sheet.index.isin(largest)]


def _curves(sheet: pd.DataFrame) -> Iterable[tuple[object, pd.DataFrame]]:
    return sheet[sheet["item"].eq(POINT)].groupby("arm", sort=False)


def _round_trip(sheet: pd.DataFrame) -> Iterable[str]:
    """Yield how closely each curve's points are met."""
    for arm, group in _curves(sheet):
        off = (group["reproduced"] - group["printed"].astype(float)).abs()
        yield (
            f"Curve of {arm}: {number_of(len(group), 'point')} (the one furthest off is shown): off by "
            f"{off.mean():.4f} on average and {off.max():.4f} at most."
        )


def or_nothing(value: object) -> str:
    """Return a cell's text, empty for what is not applicable."""
    if value is None or value != value:  # not a number
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
