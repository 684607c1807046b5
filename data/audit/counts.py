"""10. Counts against percentages and denominators, totals, flow diagram.

A percentage must be some count over its denominator (Brown and Heathers 2017, Soc Psychol Personal Sci 8:363).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..characteristics import Baseline, Cell
from ..fields import ARMS, ArmId
from ..outcomes import Binary, Proportion
from ..printed import Printed
from ..record import Record
from .bounds import patients_counted
from .finding import Finding, Verdict

LEAST_KNOWN = 0.75  # of an arm: a smaller denominator is no missing data


def counts(record: Record) -> Iterator[Finding]:
    """10. Counts, percentages, denominators, totals and the flow diagram agree."""
    yield from _cells(record)
    yield from _groups(record)
    yield from _deaths(record)
    yield from _arms(record)
    yield from _flow(record)
    for endpoint in record.binary:
        yield from _binary(endpoint)
    for row in record.hazard_ratio:
        if row.reduction:
            low, high = 100 * (1 - row.estimate.high), 100 * (1 - row.estimate.low)
            agree = row.reduction.admits(low, high)
            text = f"1 - {row.estimate} = {low:.1f}% to {high:.1f}%; printed {row.reduction}%"
            verdict: Verdict = (
                "ok" if agree else "note" if row.reduction.admits(low, high, slack=1) else "inconsistent"
            )
            yield Finding(
                "counts", verdict, "reduction of hazard", row.reduction.text, None, low, high, text, row.source
            )


def _arm_cells(item: Baseline) -> Iterator[tuple[ArmId, Cell]]:
    for arm, cell in zip(ARMS, (item.control, item.treatment), strict=True):
        if cell is not None:
            yield arm, cell


def denominators(count: int, percent: Printed, largest: int) -> list[int]:
    """Return the denominators, up to ``largest``, for which a count prints as a percentage."""
    return [size for size in range(max(count, 1), largest + 1) if percent.admits(100 * count / size)]


def _cells(record: Record) -> Iterator[Finding]:
    for item in record.baseline:
        for arm, cell in _arm_cells(item):
            size = record.arm(arm).patients
            if cell.n is not None and cell.percent is not None and size:
                total = _group_total(record, item, arm)
                yield _percentage(f"{item.label}, {arm}", cell.n, cell.percent, size, total, item.source)


def _group_total(record: Record, item: Baseline, arm: ArmId) -> int | None:
    """Return the sum of the counts of a variable's levels."""
    rows = [row for row in record.baseline if item.group and row.group == item.group and row.use]
    cells = [cell for row in rows for name, cell in _arm_cells(row) if name == arm]
    found = [cell.n for cell in cells if cell.n is not None]
    return sum(found) if len(rows) > 1 and len(found) == len(rows) else None


def _percentage(item: str, count: int, percent: Printed, size: int, total: int | None, source: str) -> Finding:
    fitting = denominators(count, percent, size)
    plausible = [value for value in fitting if value >= LEAST_KNOWN * size or value == total]
    verdict: Verdict = "ok" if size in fitting or total in fitting else "note" if plausible else "inconsistent"
    if verdict == "inconsistent" and any(
        percent.admits(100 * count / value, slack=1) for value in range(max(count, int(LEAST_KNOWN * size)), size + 1)
    ):
        verdict = "note"
    base = total if total is not None and total < size else size
    exact = 100 * count / base
    text = f"{count}/{base} = {exact:.2f}%, printed {percent}%"
    if verdict != "ok":
        text += f"; {_denominator_text(count, percent, plausible, size)}"
    return Finding("counts", verdict, item, f"{count} ({percent}%)", exact, None, None, text, source)


def _denominator_text(count: int, percent: Printed, plausible: Sequence[int], size: int) -> str:
    if plausible:
        return f"the denominator is {_span(plausible)}"
    near = [value for value in range(max(count, 1), size + 1) if percent.admits(100 * count / value, slack=1)]
    shown = [value for value in near if value >= LEAST_KNOWN * size]
    return f"no denominator up to {size} gives it" + (f"; but for one digit, {_span(shown)} would" if shown else "")


def _span(values: Sequence[int]) -> str:
    return f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0])


def _groups(record: Record) -> Iterator[Finding]:
    groups = dict.fromkeys(item.group for item in record.baseline if item.group and item.use)
    for group in groups:
        rows = [item for item in record.baseline if item.group == group and item.use]
        for arm in ARMS:
            total = _group_total(record, rows[0], arm)
            size = record.arm(arm).patients
            if total is not None and size and len(rows) > 1:
                numbers = [cell.n for row in rows for name, cell in _arm_cells(row) if name == arm]
                text = f"{' + '.join(map(str, numbers))} = {total} of {size} patients"
                verdict: Verdict = "ok" if total == size else "note" if total < size else "inconsistent"
                if total < size:
                    text += f": {size - total} are not accounted for"
                yield Finding(
                    "counts", verdict, f"{group}, {arm}", str(size), total, None, None, text, rows[0].source
                )


def _deaths(record: Record) -> Iterator[Finding]:
    for item in record.deaths:
        size = patients_counted(record, item.where, item.arm)
        if item.percent is not None and size:
            name = f"deaths {item.where.key}" + (f", {item.arm}" if item.arm else "")
            if item.n is not None:
                yield _percentage(name, item.n, item.percent, size, None, item.source)
            else:
                yield _share(name, item.percent, size, "deaths", item.source)


def _share(item: str, percent: Printed, size: int, counted: str, source: str) -> Finding:
    """Say which count gives a percentage that is printed without one."""
    fitting = [number for number in range(size + 1) if percent.admits(100 * number / size)]
    near = any(percent.admits(100 * number / size, slack=1) for number in range(size + 1))
    verdict: Verdict = "ok" if fitting else "note" if near else "inconsistent"
    text = f"{percent}% of {size} is " + (f"{_span(fitting)} {counted}" if fitting else "no whole number")
    computed = float(fitting[0]) if fitting else None
    return Finding("counts", verdict, item, f"{percent}%", computed, None, None, text, source)


def _arms(record: Record) -> Iterator[Finding]:
    totals = record.totals
    if totals is None:
        return
    for name in ("patients", "events"):
        numbers = [getattr(record.arm(arm), name) for arm in ARMS]
        total = getattr(totals, name)
        if total is not None and None not in numbers:
            verdict: Verdict = "ok" if sum(numbers) == total else "inconsistent"
            text = f"{numbers[0]} + {numbers[1]} = {sum(numbers)}; printed {total}"
            yield Finding(
                "counts", verdict, f"total {name}", str(total), sum(numbers), None, None, text, totals.source
            )


def _flow(record: Record) -> Iterator[Finding]:
    for box in record.flow:
        inside = [child for child in record.flow if child.parent == box.label and child.use]
        if inside and box.use:
            total = sum(child.n for child in inside)
            verdict: Verdict = "ok" if total == box.n else "note" if total < box.n else "impossible"
            text = f"{' + '.join(str(child.n) for child in inside)} = {total}; printed {box.n}"
            yield Finding("counts", verdict, f"flow: {box.label}", str(box.n), total, None, None, text, box.source)


def _binary(endpoint: Binary) -> Iterator[Finding]:
    for arm, cell in (("control", endpoint.control), ("treatment", endpoint.treatment)):
        if cell.events is not None and cell.percent is not None:
            item = f"{endpoint.label}, {arm}"
            yield _percentage(item, cell.events, cell.percent, cell.patients, None, endpoint.source)
        elif cell.percent is not None:
            yield _share(f"{endpoint.label}, {arm}", cell.percent, cell.patients, "events", endpoint.source)
    ratio = endpoint.risk_ratio
    if ratio is not None and endpoint.control.events and endpoint.treatment.events:
        top, bottom = endpoint.control, endpoint.treatment
        if ratio.comparison == "treatment/control":
            top, bottom = bottom, top
        exact = _risk(top) / _risk(bottom)
        verdict: Verdict = "ok" if ratio.estimate.admits(exact) else "inconsistent"
        if verdict != "ok" and ratio.estimate.admits(exact, slack=1):
            verdict = "note"
        risks = f"({top.events}/{top.patients}) / ({bottom.events}/{bottom.patients})"
        text = f"{risks} = {exact:.2f}; printed {ratio.estimate}"
        if verdict != "ok" and top.percent and bottom.percent and bottom.percent.value:
            text += f" (the rounded percentages give {top.percent.value / bottom.percent.value:.3g})"
        label = f"{endpoint.label}, risk ratio"
        yield Finding("counts", verdict, label, ratio.estimate.text, exact, None, None, text, ratio.source)


def _risk(cell: Proportion) -> float:
    return (cell.events or 0) / cell.patients
