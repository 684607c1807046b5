"""What is wrong with an input: which file, which field, which value, and what is allowed instead.

What an input holds can be anything, a terminal's control sequences too: told are printable characters, and not many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import accumulate

LONGEST_VALUE = 60  # characters shown of a value or a name
LONGEST_ALLOWED = 1000  # of what is wrong with it, which may cite the input


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
        place, field, value, allowed = map(printable, (self.place, self.field, self.value, self.allowed))
        parts = (place, field, shortened(value), shortened(allowed, LONGEST_ALLOWED))
        return ": ".join(part for part in parts if part)


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


def printable(text: str) -> str:
    """Return a text on one line, in which whatever does not print is escaped as ``repr`` does: it cannot steer."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def shortened(text: str, longest: int = LONGEST_VALUE) -> str:
    """Return the beginning and the end of a text that is longer than so many characters, else the text."""
    end = longest // 4
    return text if len(text) <= longest else f"{text[: longest - end - 3]}...{text[-end:]}"


def listed(names: Sequence[str], longest: int = 3 * LONGEST_VALUE) -> str:
    """Return names separated by commas: the first of them, and how many more there are, where they are many."""
    shown = [shortened(name) for name in names]
    number = sum(end <= longest for end in accumulate(len(name) + 2 for name in shown))
    more = len(names) - number
    return ", ".join(shown[:number]) + (f" and {more} more" if more else "")


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a wrong one is near to, letter case and spaces apart; ``None`` if none is."""
    plain = {_plain(one): one for one in known}
    close = get_close_matches(_plain(name), plain, 1)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return "".join(name.split()).casefold()
