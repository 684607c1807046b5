"""Labels and numbers of things in a text."""

import pytest

from secondlook.data.labels import number_of, within_partition


@pytest.mark.parametrize(("number", "text"), [(0, "0 points"), (1, "1 point"), (2, "2 points")])
def test_one_of_a_thing_is_in_the_singular(number, text):
    assert number_of(number, "point") == text


@pytest.mark.parametrize(
    ("label", "text"), [("Age: 55 or older", "55 or older"), ("Age: young", "Young"), ("Age: f", "f"), ("Old", "Old")]
)
def test_what_a_heading_names_is_not_repeated(label, text):
    assert within_partition(label, "Age") == text
