"""Bounds on patients and deaths of a subgroup, from whatever the record counts.

A subgroup has at most the patients of each of its restrictions; a union of levels at most the sum of its levels, and
at most what its complement leaves of the arm. Its deaths are those printed, else at most its patients and at most the
deaths of the trial.
"""

from __future__ import annotations

from ..fields import ARMS, ArmId
from ..outcomes import Deaths
from ..record import Record
from ..subgroup import OVERALL, Subgroup


def trial_patients(record: Record) -> int | None:
    """Return the patients of both arms together; ``None`` when not printed."""
    return _both(record, "patients")


def trial_deaths(record: Record) -> int | None:
    """Return the deaths of both arms together; ``None`` when not printed."""
    return _both(record, "events")


def _both(record: Record, name: str) -> int | None:
    numbers: list[int | None] = [getattr(record.arm(arm), name) for arm in ARMS]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        return sum(known)
    total: int | None = getattr(record.totals, name) if record.totals else None
    return total


def most_patients(record: Record, where: Subgroup) -> int | None:
    """Return the largest number of patients that a subgroup can have, both arms together."""
    arms = [_most_of_arm(record, where, arm) for arm in ARMS]
    known = [size for size in arms if size is not None]
    return sum(known) if len(known) == len(arms) else trial_patients(record)


def _most_of_arm(record: Record, where: Subgroup, arm: ArmId) -> int | None:
    size = record.arm(arm).patients
    counts = {item.where: item.n for item in record.patients_count if item.arm == arm and item.use}
    found = [count for count in (counts.get(where), size) if count is not None]
    for factor, levels in where.restrictions:
        single = {level: counts.get(Subgroup(((factor, (level,)),))) for level in record.factors[factor].levels}
        inside = [number for level in levels if (number := single[level]) is not None]
        outside = [number for level, number in single.items() if level not in levels and number is not None]
        union = counts.get(Subgroup(((factor, levels),)))
        found += [union] if union is not None else []
        found += [sum(inside)] if len(inside) == len(levels) else []
        found += [max(size - sum(outside), 0)] if size is not None else []
    return min(found, default=None)


def patients_counted(record: Record, where: Subgroup, arm: ArmId | None) -> int | None:
    """Return how many patients a subgroup has by the record's counts, of one arm or of both.

    Parameters
    ----------
    record
        The trial.
    where
        The subgroup.
    arm
        The arm; both together without.

    Returns
    -------
    int or None
        ``None`` where they are not counted.
    """
    counts = {item.arm: item.n for item in record.patients_count if item.where == where}
    sizes = [record.arm(one).patients if where.is_overall else counts.get(one) for one in (arm and [arm]) or ARMS]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def deaths_printed(record: Record, item: Deaths) -> list[int]:
    """Return the numbers of deaths that an item may mean: its count, or what its percentage admits."""
    if item.n is not None:
        return [item.n]
    size = patients_counted(record, item.where, item.arm)
    if item.percent is None or not size:
        return []
    return [number for number in range(size + 1) if item.percent.admits(100 * number / size)]


def deaths_between(record: Record, where: Subgroup) -> tuple[int, int | None]:
    """Return the fewest and the most deaths of a subgroup, both arms together.

    Parameters
    ----------
    record
        The trial.
    where
        The subgroup.

    Returns
    -------
    tuple of int and (int or None)
        0 and ``None`` where the record bounds them in no way.
    """
    total = trial_deaths(record)
    if where == OVERALL:
        return total or 0, total
    items = [item for item in record.deaths if item.where == where and item.arm is None]
    printed = [number for item in items for number in deaths_printed(record, item)]
    most = [*printed, *(count for count in (most_patients(record, where), total) if count is not None)]
    return min(printed, default=0), min(most, default=None) if not printed else max(printed)
