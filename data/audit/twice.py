"""9. The same quantity printed twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from itertools import combinations

from ..printed import Printed
from ..record import Record
from .finding import Finding, Verdict

Numbers = dict[str, Printed]
_BARE = ("estimate", "difference", "n")  # shown without their names
_LIMITS = ("lower", "upper")


def printed_twice(record: Record) -> Iterator[Finding]:
    """9. The same quantity has the same value wherever it is printed (abstract, text, table)."""
    found: dict[Hashable, list[tuple[str, Numbers, str]]] = {}
    for key, item, numbers, source in _quantities(record):
        found.setdefault(key, []).append((item, numbers, source))
    for places in found.values():
        for (item, first, source), (_, second, other) in combinations(places, 2):
            common = [name for name in first if name in second]
            if common:
                yield _compared(item, {name: (first[name], second[name]) for name in common}, source, other)


def _compared(item: str, pairs: dict[str, tuple[Printed, Printed]], source: str, other: str) -> Finding:
    units = [_units_apart(first, second) for first, second in pairs.values()]
    verdict: Verdict = "ok" if max(units) == 0 else "note" if max(units) <= 1 else "inconsistent"
    shown = [_shown({name: pair[side] for name, pair in pairs.items()}) for side in (0, 1)]
    differing = [name for name, count in zip(pairs, units, strict=True) if count]
    which = f"{', '.join(differing)} " if len(pairs) > 1 else ""
    text = f"{which}differ" if differing else "agree"
    return Finding(
        "printed twice",
        verdict,
        item,
        shown[0],
        next(iter(pairs.values()))[1].value,
        arithmetic=f"{shown[0]} ({source}) and {shown[1]} ({other}): {text}",
        source=f"{source}; {other}",
    )


def _shown(numbers: Numbers) -> str:
    """Write numbers as papers do, ``0.64 (0.46-0.91), p 0.01``, and percentages behind their names."""
    limits = [str(numbers[name]) for name in _LIMITS if name in numbers]
    bare = [str(number) for name, number in numbers.items() if name in _BARE]
    first = " ".join([*bare, *([f"({'-'.join(limits)})"] if limits else [])])
    named = [
        f"{name.removesuffix(' %')} {number}%" if name.endswith("%") else f"{name} {number}"
        for name, number in numbers.items()
        if name not in (*_BARE, *_LIMITS)
    ]
    return ", ".join([*([first] if first else []), *named])


def _units_apart(first: Printed, second: Printed) -> float:
    """Return by how many units of the coarser last digit two numbers differ beyond their rounding."""
    room = first.half_width + second.half_width
    coarser = 2 * max(first.half_width, second.half_width)
    excess = abs(first.value - second.value) - (room if first.half_width != second.half_width else 0.0)
    return max(0.0, round(excess / coarser, 6))


def _quantities(record: Record) -> Iterator[tuple[Hashable, str, Numbers, str]]:
    """Yield every quantity with a key that says what it is."""
    for row in record.hazard_ratio:
        numbers = _numbers(estimate=row.estimate, ci=row.ci, p=row.p)
        yield ("hazard_ratio", row.where, row.comparison, row.level), f"hazard ratio {row.label}", numbers, row.source
    for item in record.prognostic:
        name = f"prognostic {item.label or item.where.key}"
        if item.estimate:
            numbers = _numbers(estimate=item.estimate, ci=item.ci, p=item.p)
            yield ("prognostic", item.where), name, numbers, item.source
        if item.adjusted:
            numbers = _numbers(estimate=item.adjusted.estimate, ci=item.adjusted.ci, p=item.adjusted.p)
            source = item.adjusted.source or item.source
            yield ("adjusted", item.where), f"{name}, adjusted", numbers, source
    for landmark in record.survival:
        numbers = _numbers(estimate=landmark.estimate, ci=landmark.ci)
        key = ("survival", landmark.arm, landmark.time, landmark.where)
        yield key, f"survival {landmark.arm} at {landmark.time:g}", numbers, landmark.source
    for median in record.median:
        numbers = _numbers(estimate=median.reached, difference=median.difference, ci=median.ci)
        kind = "median difference" if median.difference else f"median {median.arm or ''}"
        yield ("median", kind, median.arm, median.where), f"{kind} {median.where.key}", numbers, median.source
    for baseline in record.baseline:
        cells = {"control": baseline.control, "treatment": baseline.treatment}
        numbers = {f"{arm} %": cell.percent for arm, cell in cells.items() if cell and cell.percent}
        if numbers:
            yield ("baseline", baseline.where or baseline.label), baseline.label, numbers, baseline.source
    yield from _boxes(record)


def _boxes(record: Record) -> Iterator[tuple[Hashable, str, Numbers, str]]:
    """Yield the boxes of the flow diagram that their label and arm tell apart."""
    drawn = Counter((box.label, box.arm) for box in record.flow if box.use)
    for box in record.flow:
        if drawn[box.label, box.arm] <= 1:
            name = f"flow: {box.label}" + (f", {box.arm}" if box.arm else "")
            yield ("flow", box.label, box.arm), name, {"n": Printed(str(box.n))}, box.source


def _numbers(ci: tuple[Printed, Printed] | None = None, **others: Printed | None) -> Numbers:
    limits = {"lower": ci[0], "upper": ci[1]} if ci else {}
    return {name: number for name, number in (others | limits).items() if isinstance(number, Printed)}
