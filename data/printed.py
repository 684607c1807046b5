"""Numbers as they are printed: a value and the half-width of its rounding.

A printed ``0.60`` says that the unrounded number lies in 0.60 +- 0.005; a printed ``0.6`` says 0.6 +- 0.05.
Trial records therefore quote numbers as text, and everything that compares with them asks for the half-width.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

_NUMBER = re.compile(r"<?\s*(?P<number>[-+]?[0-9]+(?:\.[0-9]+)?)")
_NOT_REACHED = r"[Nn]\.?[AaCcEeRr]\.?|[Nn]ot (yet )?(reached|attained|estimable|evaluable|calculable|available)"
_AS_PRINTED = str.maketrans({"\N{MIDDLE DOT}": ".", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"})  # 0\N{MIDDLE DOT}66


def plain(text: str) -> str:
    """Return a number in plain digits: journals print middle dots, long minus signs and ``P < 0.001``.

    Parameters
    ----------
    text
        As printed.
    """
    return re.sub(r"^[Pp]\s*=?\s*(?=[<0-9])", "", text.strip().translate(_AS_PRINTED))


@dataclass(frozen=True)
class Printed:
    """A number as printed.

    Parameters
    ----------
    text
        Digits as printed, such as ``"0.60"``; with a leading ``<`` for an upper bound (p-values).

    Raises
    ------
    ValueError
        When the text is not a plain decimal number.
    """

    text: str

    def __post_init__(self) -> None:
        if not _NUMBER.fullmatch(self.text):
            raise ValueError('not a number as printed: quote plain digits, such as "0.60"')

    @property
    def _digits(self) -> Decimal:
        match = _NUMBER.fullmatch(self.text)
        assert match is not None  # checked on construction
        return Decimal(match["number"])

    @property
    def is_bound(self) -> bool:
        """Whether only an upper bound is printed (``<0.001``)."""
        return self.text.startswith("<")

    @property
    def value(self) -> float:
        """The printed value (the bound itself for ``<0.001``)."""
        return float(self._digits)

    @property
    def half_width(self) -> float:
        """Half a unit in the last printed digit."""
        exponent = self._digits.as_tuple().exponent
        assert isinstance(exponent, int)  # the pattern admits finite numbers only
        return float(Decimal(5).scaleb(exponent - 1))

    @property
    def low(self) -> float:
        """Smallest unrounded value that prints like this (0 for a bound)."""
        return 0.0 if self.is_bound else self.value - self.half_width

    @property
    def high(self) -> float:
        """Largest unrounded value that prints like this."""
        return self.value if self.is_bound else self.value + self.half_width

    def admits(self, low: float, high: float | None = None, *, slack: float = 0.0) -> bool:
        """Whether an unrounded value in ``[low, high]`` would be printed like this.

        Parameters
        ----------
        low, high
            The interval of possible values; a single value when ``high`` is left out.
        slack
            Extra room on both sides, in units of the last printed digit.
        """
        high = low if high is None else high
        room = slack * 2 * self.half_width + 1e-9 * max(1.0, abs(self.value))
        return low <= self.high + room and high >= self.low - room

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class NotReached:
    """What is printed for a time that nobody knows yet: ``NR``, ``NE``, ``not reached``. It is later than any other.

    Parameters
    ----------
    text
        As printed.
    """

    text: str
    value: ClassVar[float] = math.inf
    low: ClassVar[float] = -math.inf
    high: ClassVar[float] = math.inf

    def __str__(self) -> str:
        return self.text


def _without_percent(text: str, divisor: int) -> str:
    """Return the number before a percent sign, its decimal point moved where a share is meant."""
    if not divisor or not text.endswith("%"):
        return text
    return format(Printed(text.removesuffix("%").strip())._digits.scaleb(-len(str(divisor)) + 1), "f")


def _printed(
    low: float, high: float, allowed: str, *, bound: bool = False, percent: int = 0, is_open: bool = False
) -> Any:
    """Return the pydantic type of a printed number within ``[low, high]``; ``percent``: what a ``%`` divides by.

    It may be `NotReached` where it ``is_open``.
    """
    example = '"<0.001"' if bound else '"0.60"'

    def parse(value: object) -> Printed | NotReached:
        if isinstance(value, Printed | NotReached):
            value = value.text
        if is_open and isinstance(value, str) and re.fullmatch(_NOT_REACHED, value.strip()):
            return NotReached(value.strip())
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{allowed}, quoted as printed, such as {example}")
        try:
            number = Printed(_without_percent(plain(str(value)), percent))
        except ValueError as error:
            raise ValueError(f"{allowed}; {error}") from None
        if number.is_bound and not bound:
            raise ValueError(f"{allowed}; a bound (<) is for p-values only")
        if not low <= number.value <= high:
            raise ValueError(allowed)
        return number

    pattern = r"^([Pp]\s*=?\s*)?<?\s*\d+([.\u00b7]\d+)?$" if bound else r"^[-+\u2212\u2013]?\d+([.\u00b7]\d+)?%?$"
    pattern += f"|^({_NOT_REACHED})$" * is_open
    schema = {"type": ["string", "integer"], "pattern": pattern, "description": allowed}
    return Annotated[
        Printed | NotReached if is_open else Printed,
        PlainValidator(parse),
        PlainSerializer(str, return_type=str),
        WithJsonSchema(schema),
    ]


AnyNumber = _printed(-math.inf, math.inf, "must be a number")
NonNegative = _printed(0.0, math.inf, "must be a number that is not negative")
Positive = _printed(1e-12, math.inf, "must be a number above 0")
Quantile = _printed(1e-12, math.inf, "must be a number above 0, or NR (not reached)", is_open=True)
QuantileLimit = _printed(0.0, math.inf, "must be a number that is not negative, or NR (not reached)", is_open=True)
Probability = _printed(0.0, 1.0, "must be a probability between 0 and 1 (60% is written 0.60)", percent=100)
ErrorRate = _printed(1e-9, 1 - 1e-9, "must be above 0 and below 1", percent=100)
Loss = _printed(0.0, 1 - 1e-9, "must be at least 0 and below 1", percent=100)
Percent = _printed(0.0, 100.0, "must be a percentage between 0 and 100", percent=1)
PValue = _printed(0.0, 1.0, "must be a p-value between 0 and 1", bound=True)
