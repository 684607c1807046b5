"""What an audit finds: one verdict with the arithmetic behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal

import pandas as pd

from ..printed import Printed
from ..record import Record

Verdict = Literal["ok", "note", "inconsistent", "impossible"]
VERDICTS: tuple[Verdict, ...] = ("ok", "note", "inconsistent", "impossible")
Range = tuple[float, float]

COLUMNS = (
    "trial",
    "check",
    "verdict",
    "item",
    "printed",
    "computed",
    "lower",
    "upper",
    "arithmetic",
    "source",
    "domain",
)
RESULTS = "results"  # INSPECT-SR's domains: conduct, governance and transparency; text and figures; results
DOMAINS = {
    "sample size": "conduct, governance and transparency",
    "printed twice": "text and figures",
    "record": "text and figures",
}


@dataclass(frozen=True)
class Finding:
    """One checked item.

    Parameters
    ----------
    check
        Name of the check.
    verdict
        ``ok``, ``note``, ``inconsistent`` or ``impossible``.
    item
        What was checked.
    printed, computed
        The number as printed, and what it should be.
    lower, upper
        The range that the rounding of the printed numbers allows for ``computed``.
    arithmetic
        The calculation, for people.
    source
        Where the paper prints it.
    """

    check: str
    verdict: Verdict
    item: str
    printed: str = ""
    computed: float | None = None
    lower: float | None = None
    upper: float | None = None
    arithmetic: str = ""
    source: str = ""


Check = Callable[[Record], Iterator[Finding]]


def findings_frame(record: Record, findings: Iterable[Finding]) -> pd.DataFrame:
    """Return findings as a table with the columns of ``audit.csv``.

    Parameters
    ----------
    record
        The trial.
    findings
        From `secondlook.data.audit.audit`.
    """
    rows = [
        {"trial": record.id, **asdict(finding), "domain": DOMAINS.get(finding.check, RESULTS)} for finding in findings
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(("computed", "lower", "upper"), float))


def ranges(numbers: Sequence[Printed]) -> list[Range]:
    """Return the unrounded values that the numbers allow."""
    return [(number.low, number.high) for number in numbers]


def with_a_slip(numbers: Sequence[Printed]) -> Iterator[list[Range]]:
    """Yield the allowed values when one number is off by one unit in its last digit."""
    exact = ranges(numbers)
    for index, number in enumerate(numbers):
        unit = 2 * number.half_width
        yield [*exact[:index], (number.low - unit, number.high + unit), *exact[index + 1 :]]


def overlap(first: Range, second: Range) -> bool:
    """Whether two ranges share a value (up to rounding of the arithmetic itself)."""
    room = 1e-9 * max(1.0, *(abs(value) for value in (*first, *second)))
    return first[0] <= second[1] + room and second[0] <= first[1] + room


def judged(numbers: Sequence[Printed], agree: Callable[[Sequence[Range]], bool]) -> Verdict:
    """Return ``ok`` when the numbers agree, ``note`` when they do but for one unit of one of them.

    Parameters
    ----------
    numbers
        Printed numbers.
    agree
        Function of their ranges: whether some unrounded values in them satisfy the identity.
    """
    if agree(ranges(numbers)):
        return "ok"
    return "note" if any(agree(slipped) for slipped in with_a_slip(numbers)) else "inconsistent"


def increasing(values: Sequence[float]) -> bool:
    """Whether values never fall."""
    return all(first <= second for first, second in pairwise(values))
