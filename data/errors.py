"""What is wrong with an input: which file, which field, which value, and what is allowed instead."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Parameters
    ----------
    place
        The file (or command-line option) that holds the value.
    field
        The field's path inside it, such as ``hazard_ratio[3].ci``; empty when the whole input is meant.
    value
        The value as given; empty when there is none.
    allowed
        What is wrong with it and what is allowed.
    """

    place: str
    field: str
    value: str
    allowed: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.place, self.field, self.value, self.allowed) if part)


class InputError(ValueError):
    """Bad input; carries every problem found, not only the first.

    Parameters
    ----------
    problems
        The problems, in the order in which the input is read.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def input_error(place: str, field: str, value: object, allowed: str) -> InputError:
    """Return an `InputError` with a single problem.

    Parameters
    ----------
    place, field, allowed
        See `Problem`.
    value
        Any value; shown as it is when it is text, by its ``repr`` otherwise; ``None`` for none.
    """
    text = "" if value is None else value if isinstance(value, str) else repr(value)
    return InputError([Problem(place, field, text, allowed)])
