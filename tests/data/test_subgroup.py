"""Subgroups: keys, overlap, nesting."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondlook.data import OVERALL, Subgroup
from secondlook.data.subgroup import overlapping, parse_key, subgroup

FACTORS = {"er": ("+", "-"), "her2": ("+", "-"), "site": ("bone", "lung", "other")}
CELLS = tuple(dict(zip(FACTORS, levels, strict=True)) for levels in product(*FACTORS.values()))


@st.composite
def subgroups(draw: st.DrawFn) -> Subgroup:
    names = draw(st.lists(st.sampled_from(list(FACTORS)), unique=True))
    levels = {name: draw(st.lists(st.sampled_from(FACTORS[name]), min_size=1, unique=True)) for name in names}
    return subgroup(levels, FACTORS)


def cells(group: Subgroup) -> set[int]:
    """Members by enumeration: the definition that overlap and nesting must agree with."""
    return {
        index for index, cell in enumerate(CELLS) if all(cell[name] in levels for name, levels in group.restrictions)
    }


@pytest.mark.parametrize(
    ("where", "key"),
    [
        ({}, "overall"),
        ({"er": "+"}, "er=+"),
        ({"her2": "-", "er": "+"}, "er=+,her2=-"),
        ({"site": ["lung", "bone"]}, "site=bone|lung"),
        ({"site": ["other", "bone", "lung"], "er": "-"}, "er=-"),
    ],
)
def test_key_follows_the_order_of_the_record(where: dict[str, str | list[str]], key: str) -> None:
    group = subgroup(where, FACTORS)
    assert group.key == str(group) == key
    assert group.is_overall == (key == "overall")


def test_levels_and_factors_of_a_subgroup() -> None:
    group = subgroup({"site": ["lung", "bone"], "er": "+"}, FACTORS)
    assert group.factors == ("er", "site")
    assert group.levels("site") == ("bone", "lung")
    assert group.levels("her2") is None


@given(subgroups(), subgroups())
def test_overlap_is_symmetric_and_means_shared_patients(first: Subgroup, second: Subgroup) -> None:
    assert first.overlaps(second) == second.overlaps(first) == bool(cells(first) & cells(second))


@given(subgroups(), subgroups())
def test_within_means_a_subset_of_the_patients(inner: Subgroup, outer: Subgroup) -> None:
    assert inner.within(outer) == (cells(inner) <= cells(outer))


@given(subgroups(), subgroups())
def test_subgroups_that_lie_within_each_other_have_one_key(first: Subgroup, second: Subgroup) -> None:
    assert (first.within(second) and second.within(first)) == (first.key == second.key)


@given(subgroups())
def test_every_subgroup_lies_within_the_trial_and_meets_itself(group: Subgroup) -> None:
    assert group.within(OVERALL)
    assert group.overlaps(group)
    assert OVERALL.overlaps(group)


def test_overlapping_names_the_pairs_that_share_patients() -> None:
    groups = {
        "ER+": subgroup({"er": "+"}, FACTORS),
        "HER2-": subgroup({"her2": "-"}, FACTORS),
        "ER-HER2+": subgroup({"er": "-", "her2": "+"}, FACTORS),
    }
    assert overlapping(groups) == [("ER+", "HER2-")]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"pr": "+"}, "unknown factor 'pr'; the record declares 'er', 'her2', 'site'"),
        ({"er": "positive"}, r"unknown level 'positive' of er; its levels are '\+', '-'"),
        ({"site": ["bone", "skin"]}, "unknown level 'skin' of site; its levels are 'bone', 'lung', 'other'"),
        ({"site": []}, "no level of site is named; its levels are 'bone', 'lung', 'other'"),
    ],
)
def test_what_the_record_does_not_declare_is_refused(where: dict[str, str | list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        subgroup(where, FACTORS)


def test_without_factors_the_message_says_so() -> None:
    with pytest.raises(ValueError, match="unknown factor 'er'; the record declares none"):
        subgroup({"er": "+"}, {})


@given(subgroups())
def test_complement_is_all_other_patients_where_levels_can_say_so(group: Subgroup) -> None:
    complement = group.complement(FACTORS)
    if complement is None:
        assert len(group.factors) != 1
    else:
        assert cells(complement) == set(range(len(CELLS))) - cells(group)
        assert complement == subgroup(dict(complement.restrictions), FACTORS)
        assert complement.complement(FACTORS) == group


LEVELS = st.text(alphabet=st.sampled_from(",|=\\ab \n+"), min_size=1, max_size=6)


@given(
    st.dictionaries(st.from_regex("^[a-z][a-z0-9_]{0,3}$", fullmatch=True), st.lists(LEVELS, min_size=1, unique=True))
)
def test_a_key_is_read_back_whatever_the_levels_hold(where: dict[str, list[str]]) -> None:
    group = Subgroup(tuple((factor, tuple(levels)) for factor, levels in where.items()))
    assert parse_key(group.key) == group


def test_commas_and_bars_in_levels_are_escaped_in_keys() -> None:
    factors = {"site": ("lung, left", "a|b", "x=y", "c\\d")}
    group = subgroup({"site": ["lung, left", "a|b", "x=y"]}, factors)
    assert group.key == r"site=lung\, left|a\|b|x=y"
    assert Subgroup((("site", ("c\\d",)),)).key == r"site=c\\d"


@pytest.mark.parametrize("key", ["", "er", "er=", "=+", "er=+,", "er=+,,her2=-", "er=+,her2"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a subgroup's key"):
        parse_key(key)
