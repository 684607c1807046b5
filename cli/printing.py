"""Results as text for people: tables that wrap and lose nothing when piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.padding import Padding
from rich.table import Table

from ..data import Record
from ..data.audit import VERDICTS
from ..data.describe import Section, TrialSummary
from .terminal import console

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
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    for index in shown:
        side = "right" if columns[index] in set(right) else "left"
        drawn.add_column(columns[index], justify=side, overflow="fold")  # type: ignore[arg-type]
    for row in cells:
        drawn.add_row(*(row[index] for index in shown))
    console().print(Padding(drawn, (0, 0, 0, 2)))


def files(paths: Iterable[Path]) -> None:
    """Print where files are."""
    for path in paths:
        line(f"Wrote {path}")


# --- numbers ------------------------------------------------------------------------------------------------------


def probability(value: float) -> str:
    """Return a probability with three decimals, never as a certainty."""
    if pd.isna(value):
        return ""
    return "< 0.001" if value < 0.0005 else "> 0.999" if value > 0.9995 else f"{value:.3f}"


def with_interval(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Return ``0.66 (0.49 to 0.88)``; empty for no value."""
    if pd.isna(value):
        return ""
    if pd.isna(lower):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({lower:.{digits}f} to {upper:.{digits}f})"


def percentage(row: pd.Series) -> str:
    """Return an estimate of a probability, or of a difference between two, in percent."""
    return with_interval(*(100 * float(row[name]) for name in ("median", "lower", "upper")), digits=1)


# --- records ------------------------------------------------------------------------------------------------------


def trials(summaries: Iterable[TrialSummary]) -> None:
    """Print a line for each trial."""
    columns = ("Id", "Title", "Endpoint", "Patients", "Events", "Source", "Hazard ratio")
    rows = [
        (one.id, one.title, one.endpoint, _whole(one.patients), _whole(one.events), one.source, one.hazard_ratio)
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


def audit(record: Record, findings: pd.DataFrame, directory: Path | None) -> None:
    """Print an audit: verdicts by check, and the arithmetic of all that is not in order."""
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
    if notable.empty:
        paragraph("Every number that can be checked is in order.")
    for verdict in reversed(VERDICTS[1:]):
        findings_of(notable[notable["verdict"] == verdict], verdict)
    if directory is not None:
        line()
        files([directory / "audit.csv"])
    else:
        line()
        paragraph(f"All checks with their numbers: secondlook audit {record.id} --out DIR")


def _rows_of(counted: pd.DataFrame) -> Iterable[tuple[object, list[int]]]:
    return ((index, [int(number) for number in row]) for index, row in zip(counted.index, counted.to_numpy()))


def findings_of(findings: pd.DataFrame, verdict: str) -> None:
    """Print findings of one verdict, each with its arithmetic below it."""
    if findings.empty:
        return
    heading(f"{verdict.capitalize()}: {len(findings)}")
    out = console()
    for row in findings.itertuples():
        source = f" [{row.source}]" if row.source else ""
        out.print(Padding(f"{row.item} ({row.check}){source}", (0, 0, 0, 2)))
        out.print(Padding(str(row.arithmetic), (0, 0, 0, 6)))
