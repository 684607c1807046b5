"""Numbers as printed: value, rounding, what they admit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from secondlook.data import Printed
from secondlook.data.printed import (
    AnyNumber,
    NonNegative,
    NotReached,
    Percent,
    Positive,
    Probability,
    PValue,
    Quantile,
    QuantileLimit,
)


@st.composite
def printed_numbers(draw: st.DrawFn) -> Printed:
    digits = draw(st.integers(0, 4))
    units = draw(st.integers(-(10**6), 10**6))
    return Printed(str(Decimal(units).scaleb(-digits)) if digits else str(units))


@pytest.mark.parametrize(
    ("text", "value", "half_width"),
    [("0.60", 0.60, 0.005), ("0.6", 0.6, 0.05), ("41.0", 41.0, 0.05), ("101", 101.0, 0.5), ("-11.5", -11.5, 0.05)],
)
def test_precision_is_that_of_the_last_digit(text: str, value: float, half_width: float) -> None:
    number = Printed(text)
    assert number.value == value
    assert number.half_width == pytest.approx(half_width, rel=1e-12)
    assert (number.low, number.high) == pytest.approx((value - half_width, value + half_width))


def test_a_bound_reaches_down_to_nought() -> None:
    bound = Printed("<0.0001")
    assert bound.is_bound
    assert (bound.low, bound.value, bound.high) == (0.0, 0.0001, 0.0001)
    assert bound.admits(3e-7)
    assert not bound.admits(0.0002)


@given(printed_numbers(), st.floats(-0.999, 0.999))
def test_any_value_within_the_half_width_prints_back_the_same(number: Printed, off: float) -> None:
    unrounded = number.value + off * number.half_width
    digits = len(number.text.partition(".")[2])
    assert float(f"{unrounded:.{digits}f}") == number.value
    assert number.admits(unrounded)


@given(printed_numbers(), st.floats(1.01, 100))
def test_a_value_beyond_the_half_width_is_not_admitted(number: Printed, off: float) -> None:
    for unrounded in (number.value - off * number.half_width, number.value + off * number.half_width):
        # admission forgives floating-point error in proportion to the number
        forgiven = 1e-9 * max(1.0, abs(number.value)) > (off - 1) * number.half_width
        assert number.admits(unrounded) == forgiven


@given(printed_numbers(), st.floats(0.1, 5))
def test_slack_counts_in_units_of_the_last_digit(number: Printed, slack: float) -> None:
    unit = 2 * number.half_width
    assert number.admits(number.high + 0.99 * slack * unit, slack=slack)
    assert not number.admits(number.high + 1.01 * slack * unit + 1e-3 * unit, slack=slack)


def test_an_interval_of_values_is_admitted_when_it_reaches_the_rounding_interval() -> None:
    number = Printed("0.60")
    assert number.admits(0.50, 0.596)
    assert number.admits(0.604, 0.70)
    assert not number.admits(0.50, 0.594)
    assert not number.admits(0.606, 0.70)


@given(printed_numbers())
def test_text_is_kept_as_printed(number: Printed) -> None:
    assert str(number) == number.text
    assert Printed(str(number)) == number


@pytest.mark.parametrize("text", ["", "abc", "1e5", "0,60", "0.60%", "1.", ".5", "nan", "inf", "0.6\n", ">0.05", "٣"])
def test_only_plain_digits_are_numbers(text: str) -> None:
    with pytest.raises(ValueError, match=r'not a number as printed: quote plain digits, such as "0\.60"'):
        Printed(text)


@pytest.mark.parametrize(
    ("kind", "given_value", "message"),
    [
        (AnyNumber, 0.66, 'must be a number, quoted as printed, such as "0.60"'),
        (AnyNumber, True, 'must be a number, quoted as printed, such as "0.60"'),
        (AnyNumber, "many", 'must be a number; not a number as printed: quote plain digits, such as "0.60"'),
        (AnyNumber, "<0.6", "must be a number; a bound (<) is for p-values only"),
        (NonNegative, "-0.1", "must be a number that is not negative"),
        (Positive, "0.00", "must be a number above 0"),
        (Positive, "-1", "must be a number above 0"),
        (Probability, "60", "must be a probability between 0 and 1 (60% is written 0.60)"),
        (Probability, "1.01", "must be a probability between 0 and 1 (60% is written 0.60)"),
        (Percent, "100.1", "must be a percentage between 0 and 100"),
        (Percent, "-1", "must be a percentage between 0 and 100"),
        (PValue, "1.2", "must be a p-value between 0 and 1"),
        (PValue, 0.05, 'must be a p-value between 0 and 1, quoted as printed, such as "<0.001"'),
    ],
)
def test_each_kind_of_number_says_what_it_allows(kind: Any, given_value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(given_value)
    assert caught.value.errors()[0]["msg"] == f"Value error, {message}"


@pytest.mark.parametrize(
    ("kind", "given_value", "text"),
    [
        (PValue, "<0.001", "<0.001"),
        (Positive, " 0.60 ", "0.60"),
        (Percent, 85, "85"),
        (Probability, "1.00", "1.00"),
        (NonNegative, "0", "0"),
        (AnyNumber, Printed("-3.5"), "-3.5"),
    ],
)
def test_numbers_are_read_as_printed_and_written_as_text(kind: Any, given_value: object, text: str) -> None:
    adapter: TypeAdapter[Printed] = TypeAdapter(kind)
    number = adapter.validate_python(given_value)
    assert number == Printed(text)
    assert adapter.dump_python(number, mode="json") == text


@pytest.mark.parametrize(
    ("kind", "printed", "text"),
    [
        (Probability, "0\N{MIDDLE DOT}66", "0.66"),
        (Probability, "49.4%", "0.494"),
        (Probability, "60%", "0.60"),
        (Percent, "49\N{MIDDLE DOT}4%", "49.4"),
        (PValue, "P < 0.001", "< 0.001"),
        (PValue, "p=0\N{MIDDLE DOT}03", "0.03"),
        (PValue, "p<0.001", "<0.001"),
        (Quantile, "41\N{MIDDLE DOT}5", "41.5"),
        (AnyNumber, "\N{MINUS SIGN}1.5", "-1.5"),
    ],
)
def test_numbers_as_journals_print_them(kind, printed, text):
    assert str(TypeAdapter(kind).validate_python(printed)) == text


@pytest.mark.parametrize("text", ["NR", "NE", "ne", "N.R.", "not reached", "Not yet reached", "not estimable"])
@pytest.mark.parametrize("kind", [Quantile, QuantileLimit])
def test_a_median_that_is_not_reached_is_kept_as_printed(kind, text):
    adapter = TypeAdapter(kind)
    found = adapter.validate_python(f" {text} ")
    assert found == NotReached(text) and str(found) == text
    assert adapter.dump_python(found, mode="json") == text
    assert adapter.validate_python(found) == found
    with pytest.raises(ValidationError, match="must be a number above 0; not a number as printed"):
        TypeAdapter(Positive).validate_python(text)
    with pytest.raises(ValidationError, match=r"or NR \(not reached\); not a number as printed"):
        adapter.validate_python("later")
