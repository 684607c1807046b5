"""17. What looks like an oversight in the record: placeholders of the template, times in another unit."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from ..cohort import MONTHS
from ..fields import ARMS
from ..record import Record
from .finding import Finding

LONGEST_MONTHS = 300.0  # of follow-up: what is longer is rather counted in a shorter unit
SHORTEST_SHARE = 0.25  # of recruitment, below which follow-up is rather counted in a longer unit


def entered(record: Record) -> Iterator[Finding]:
    """17. No placeholder of the template is left, and times fit their unit."""
    yield from _placeholders(record)
    longest = max(_times(record), default=None)
    if longest:
        yield _unit(record, longest)


def _placeholders(record: Record) -> Iterator[Finding]:
    template: dict[str, Any] = tomllib.loads((files("secondlook.data") / "template.toml").read_text("utf-8"))
    left = {
        "title": record.title == template["title"],
        **{
            f"arms.{arm}": record.arm(arm).label == template["arms"][arm]["label"]
            and record.arm(arm).events == template["arms"][arm]["events"]
            for arm in ARMS
        },
    }
    for field, same in left.items():
        if same:
            yield Finding("record", "note", field, arithmetic=f"{field} is still that of the template")


def _times(record: Record) -> Iterator[float]:
    yield from (item.time for item in record.survival)
    yield from (item.reached.value for item in record.median if item.reached)
    for item in record.follow_up:
        numbers = (item.mean, item.median, item.q75, item.survivors_median, *(item.survivors_range or ()))
        yield from (number.value for number in numbers if number)
    yield from (time for item in record.at_risk for time in item.times)


def _unit(record: Record, longest: float) -> Finding:
    months = longest / MONTHS[record.time_unit]
    told = _recruitment_months(record)
    text = f"the latest time is {longest:g} {record.time_unit}, {months:.3g} months"
    if months > LONGEST_MONTHS:
        hint = "; are the times in a shorter unit than time_unit says?"
    elif told and months < SHORTEST_SHARE * told:
        hint = f", recruitment took {told:.0f}; are the times in a longer unit than time_unit says?"
    else:
        hint = ""
    return Finding("record", "note" if hint else "ok", "time_unit", f"{longest:g}", months, arithmetic=text + hint)


def _recruitment_months(record: Record) -> float | None:
    if record.recruitment is None:
        return None
    (first, started), (last, ended) = (
        map(int, when.split("-")[:2]) for when in (record.recruitment.start, record.recruitment.end)
    )
    return 12.0 * (last - first) + ended - started
