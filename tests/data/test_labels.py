"""Labels and numbers of things in a text."""

import pytest

from secondlook.data.labels import number_of


@pytest.mark.parametrize(("number", "text"), [(0, "0 points"), (1, "1 point"), (2, "2 points")])
def test_one_of_a_thing_is_in_the_singular(number, text):
    assert number_of(number, "point") == text
