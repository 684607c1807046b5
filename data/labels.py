"""Labels of subgroups and partitions, and numbers of things, as they stand in a text or below a heading."""

from __future__ import annotations

import math

UNBOUNDED = 1000.0  # a limit of a ratio beyond which data say nothing


def within_text(label: str) -> str:
    """Return a label without its capital, unless that begins an abbreviation."""
    return label[:1].lower() + label[1:] if label[1:2].islower() else label


def number_of(number: int, thing: str) -> str:
    """Return how many there are of a thing, which is named in the singular."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def within_partition(label: str, partition: str) -> str:
    """Return a subgroup's label without its partition's, for where that is named already.

    Parameters
    ----------
    label
        Such as ``Age: 55 or older``.
    partition
        Label of the partition, such as ``Age``. A level of one letter is a code: it stays as it is.
    """
    short = label.removeprefix(f"{partition}: ")
    return short if short == label or len(short) == 1 else short[:1].upper() + short[1:]


def shown_limits(lower: float, upper: float) -> tuple[float, float]:
    """Return limits of a ratio as they are shown: 0 and infinite where data say nothing, beyond a factor of 1000."""
    return (0.0 if lower < 1 / UNBOUNDED else lower), (math.inf if upper > UNBOUNDED else upper)
