"""What the commands say: results to standard output, progress and notes to standard error."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

    from ..data import Record
    from ..data.audit import Finding
    from ..data.describe import Section, TrialSummary
    from ..data.reconstruction import Reconstruction
    from ..inference import Reanalysis

PIPED_WIDTH = 120
STYLES = {"impossible": "bold red", "inconsistent": "red", "note": "yellow", "ok": "green"}


def console() -> Console:
    """Return the console of standard output; 120 columns wide when it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def notifier(quiet: bool) -> Callable[[str], None]:
    """Return what is told about progress: notes always, the rest only to a terminal, nothing when quiet."""

    def tell(message: str) -> None:
        if not quiet and (sys.stderr.isatty() or message.startswith("note:")):
            print(message, file=sys.stderr, flush=True)

    return tell


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> Table:
    """Return a table whose last ``numbers`` columns are numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for index, column in enumerate(columns):
        right = index >= len(columns) - numbers
        table.add_column(column, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        table.add_row(*row)
    return table


def _rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield a table's rows; their cells have no common type."""
    return frame.itertuples()


def _number(value: Any, digits: int = 2) -> str:
    import math

    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return "not reached" if math.isinf(value) else f"{value:.{digits}f}"


def _interval(middle: float, lower: float, upper: float, digits: int = 2) -> str:
    if not _number(middle):
        return ""
    limits = f" ({_number(lower, digits)} to {_number(upper, digits)})" if _number(lower) else ""
    return _number(middle, digits) + limits


def _probability(value: float) -> str:
    if not _number(value):
        return ""
    return ">0.999" if value > 0.999 else "<0.001" if value < 0.001 else f"{value:.3f}"


def reanalysis(found: Reanalysis, directory: Path) -> None:
    """Print what a reanalysis found: the headline, the landmarks, subgroups, comparison, audit and gate."""
    out = console()
    record, estimates = found.record, found.estimates
    out.print(f"[bold]{record.title}[/bold]")
    treatment, control = record.arms.treatment.label, record.arms.control.label
    out.print(f"{record.endpoint}; hazard ratios are {treatment} over {control}\n")
    whole = estimates[(estimates["subgroup"] == "overall") & (estimates["partition"] == "")]
    ratios = whole[whole["estimand"].isin(["hazard_ratio", "average_hazard_ratio"])]
    _ratios(out, "Overall hazard ratio", ratios, ["model", "label", "prior"])
    first = next(iter(found.run["resolved"]["priors"]), "weak")
    primary = estimates[estimates["prior"] == first]
    differences = primary[primary["estimand"].isin(["survival_difference", "rmst_difference", "median_difference"])]
    _differences(out, f"{treatment} minus {control}, prior {first}", differences)
    subgroups = primary[(primary["partition"] != "") & (primary["estimand"] == "hazard_ratio")]
    _ratios(out, f"Subgroups, prior {first}", subgroups, ["partition", "label", "shrinkage"])
    _comparison(out, found.comparison[found.comparison["prior"] == first])
    verdicts = Counter(found.audit["verdict"])
    out.print("Audit: " + ", ".join(f"{verdicts[name]} {name}" for name in STYLES if verdicts[name]))
    for row in found.audit[found.audit["verdict"].isin(["impossible", "inconsistent"])].itertuples():
        out.print(f"  {row.verdict}: {row.item}: {row.arithmetic}")
    gate(out, found)
    out.print(f"Results are in {directory}")


def fit(found: Reanalysis, directory: Path) -> None:
    """Print what one fit found."""
    out = console()
    ratios = found.estimates[found.estimates["estimand"].isin(["hazard_ratio", "average_hazard_ratio"])]
    _ratios(out, "Hazard ratios", ratios, ["model", "label", "prior"])
    differences = found.estimates[found.estimates["estimand"].str.endswith("_difference")]
    _differences(out, "Treatment minus control", differences)
    gate(out, found)
    out.print(f"Results are in {directory}")


def gate(out: Console, found: Reanalysis) -> None:
    """Print the verdict of the diagnostics gate."""
    worst = found.estimates["rhat"].max()
    least = found.estimates[["ess_bulk", "ess_tail"]].min().min()
    divergences = int(found.diagnostics["divergences"].max())
    text = f"largest R-hat {worst:.4f}, least ESS {least:.0f}, divergences {divergences}"
    if found.passed:
        out.print(f"Diagnostics: [green]passed[/green] ({text})")
    else:
        failed = sorted(set(found.diagnostics.loc[~found.diagnostics["passed"], "quantity"]))
        out.print(f"Diagnostics: [bold red]FAILED[/bold red] ({text}): {', '.join(failed)}")


def _ratios(out: Console, title: str, rows: pd.DataFrame, names: Sequence[str]) -> None:
    lines = [
        [
            *(str(getattr(row, name)) for name in names),
            _interval(row.median, row.lower, row.upper),
            *map(_probability, (row.prob_benefit, row.prob_meaningful, row.prob_harm)),
        ]
        for row in _rows(rows)
    ]
    if lines:
        columns = [*names, "hazard ratio (95%)", "P(benefit)", "P(meaningful)", "P(harm)"]
        out.print(_table(title, columns, lines, numbers=4), "")


def _differences(out: Console, title: str, rows: pd.DataFrame) -> None:
    lines = [
        [str(row.label), str(row.model), _interval(row.median, row.lower, row.upper), _probability(row.prob_benefit)]
        for row in _rows(rows.sort_values(["label", "model"]))
    ]
    if lines:
        out.print(_table(title, ["", "model", "difference (95%)", "P(benefit)"], lines, numbers=2), "")


def comparison(found: Reanalysis) -> None:
    """Print published, Cox and posterior hazard ratios of every fit."""
    _comparison(console(), found.comparison)


def _comparison(out: Console, rows: pd.DataFrame) -> None:
    lines = [
        [
            str(row.label),
            f"{row.model}, {row.prior}",
            _interval(row.published, row.published_lower, row.published_upper),
            _interval(row.cox, row.cox_lower, row.cox_upper),
            _interval(row.posterior, row.posterior_lower, row.posterior_upper),
        ]
        for row in _rows(rows)
    ]
    columns = ["", "posterior of", "published", "Cox on the table", "posterior"]
    out.print(_table("Hazard ratios compared", columns, lines, numbers=3))
    withheld = rows["withheld"].dropna()
    if len(withheld):
        out.print(f"With the overall hazard ratio withheld, the other numbers predict {withheld.iloc[0]:.3f}")
    out.print("")


def audit(record: Record, findings: Sequence[Finding]) -> None:
    """Print what an audit found, with the arithmetic."""
    out = console()
    counts: Counter[str] = Counter(finding.verdict for finding in findings)
    out.print(f"[bold]{record.title}[/bold]")
    for verdict, style in STYLES.items():
        chosen = [finding for finding in findings if finding.verdict == verdict]
        if verdict == "ok" or not chosen:
            continue
        table = _table("", ["check", "item", "arithmetic"], [])
        for finding in chosen:
            table.add_row(finding.check, finding.item, finding.arithmetic)
        out.print(f"\n[{style}]{verdict}[/{style}]", table)
    out.print(
        f"\n{len(findings)} items checked: " + ", ".join(f"{counts[name]} {name}" for name in STYLES if counts[name])
    )


def reconstruction(made: Reconstruction) -> None:
    """Print a fit sheet."""
    rows = [
        [
            f"{row.item} {row.arm} {_number(row.time, 0)}".strip(),
            str(row.printed or "").replace("nan", ""),
            f"{row.reproduced:.4g}",
            _number(row.half_widths_off),
            "used" if row.used else "predicted",
        ]
        for row in _rows(made.fit_sheet)
    ]
    out = console()
    columns = ["number", "printed", "reproduced", "half-widths off", ""]
    out.print(_table(f"{made.record.id}: fit sheet", columns, rows, numbers=4))
    out.print(f"{len(made.draws)} imputations, {made.acceptance_rate:.0%} of the draws accepted")


def trials(summaries: Sequence[TrialSummary]) -> None:
    """Print the built-in trials."""
    rows = [
        [item.id, item.title, item.endpoint, str(item.patients or ""), str(item.events or ""), item.hazard_ratio]
        for item in summaries
    ]
    console().print(_table("", ["id", "title", "endpoint", "patients", "events", "hazard ratio"], rows, numbers=3))


def sections(found: Sequence[Section]) -> None:
    """Print a record, section by section."""
    out = console()
    for section in found:
        out.print(_table(section.title, section.columns, section.rows), "")
