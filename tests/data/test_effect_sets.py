"""Sets of disjoint printed effects, and the refusal of sets that count patients twice."""

import math

import pytest

from secondlook.data import InputError, load_record
from secondlook.data.effect_sets import effect_sets
from secondlook.data.reading import parse_record


def raw_record():
    rows = [
        ("All", {}, "0.66", ["0.49", "0.88"]),
        ("ER(+)", {"er": "+"}, "0.64", ["0.46", "0.91"]),
        ("ER(-)", {"er": "-"}, "0.90", ["0.50", "1.62"]),
        ("HER2(-)", {"her2": "-"}, "0.64", ["0.45", "0.91"]),
        ("TN", {"er": "-", "her2": "-"}, "0.74", ["0.32", "1.75"]),
    ]
    return {
        "schema": 1,
        "id": "sets",
        "title": "Sets of rows",
        "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
        "factors": {name: {"label": name, "levels": ["+", "-"]} for name in ("er", "her2")},
        "partitions": {"receptor": {"label": "Receptor", "factors": ["er", "her2"]}},
        "hazard_ratio": [
            {"label": label, "where": where, "estimate": estimate, "ci": ci} for label, where, estimate, ci in rows
        ],
        "effects_set": [{"partition": "er", "rows": ["ER(+)", "ER(-)"]}],
    }


def test_the_whole_trial_comes_first():
    whole, er = effect_sets(parse_record(raw_record()))
    assert (whole.partition, [effect.label for effect in whole.effects]) == ("", ["All"])
    assert (er.partition, [effect.subgroup.key for effect in er.effects]) == ("er", ["er=+", "er=-"])
    assert whole.effects[0].log_hazard_ratio == math.log(0.66)
    expected = math.log(0.88 / 0.49) / (2 * 1.959964)
    assert whole.effects[0].standard_error == pytest.approx(expected, rel=1e-6)


def test_the_level_of_the_interval_counts():
    raw = raw_record()
    raw["hazard_ratio"][0]["level"] = 0.90
    error = effect_sets(parse_record(raw))[0].effects[0].standard_error
    assert error == pytest.approx(math.log(0.88 / 0.49) / (2 * 1.644854), rel=1e-6)


def test_an_inverted_row_is_turned_over():
    raw = raw_record()
    raw["hazard_ratio"][0] |= {"estimate": "1.52", "ci": ["1.14", "2.04"], "comparison": "control/treatment"}
    effect = effect_sets(parse_record(raw))[0].effects[0]
    assert effect.log_hazard_ratio == pytest.approx(-math.log(1.52))
    assert effect.standard_error == pytest.approx(math.log(2.04 / 1.14) / (2 * 1.959964), rel=1e-6)


def test_a_partition_alone():
    assert [one.partition for one in effect_sets(parse_record(raw_record()), "er")] == ["er"]
    assert effect_sets(parse_record(raw_record()), "her2") == []


def test_rows_of_mf07_share_no_patient():
    sets = effect_sets(load_record("mf07-01"))
    receptor = [one for one in sets if one.partition == "receptor"]
    assert [[effect.subgroup.key for effect in one.effects] for one in receptor] == [
        ["er=+", "er=-,her2=+", "er=-,her2=-"],
        ["her2=-", "er=+,her2=+", "er=-,her2=+"],
    ]
    assert receptor[0].effects[0].log_hazard_ratio == math.log(0.64)  # the Abstract's, not the Results' 0.63


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda raw: raw["effects_set"].append({"partition": "receptor", "rows": ["ER(+)", "HER2(-)", "TN"]}),
            [
                r"sets: effects_set receptor: 'ER\(\+\)' and 'HER2\(-\)': overlap: patients would count twice",
                r"'HER2\(-\)' and 'TN': overlap: patients would count twice; put only disjoint subgroups into one",
            ],
        ),
        (
            lambda raw: raw["hazard_ratio"][2].pop("ci"),
            [r"sets: effects_set er: 'ER\(-\)': has no confidence interval, so its weight is unknown"],
        ),
        (
            lambda raw: raw["hazard_ratio"][2].update(use=False),
            [r"sets: effects_set er: 'ER\(-\)': its hazard_ratio has use = false; only used rows can be pooled"],
        ),
    ],
)
def test_sets_that_cannot_be_pooled(change, message):
    raw = raw_record()
    change(raw)
    with pytest.raises(InputError) as caught:
        effect_sets(parse_record(raw))
    for pattern in message:
        assert caught.match(pattern)
    assert len(caught.value.problems) == len(message)


def test_an_overall_result_without_interval_makes_no_set():
    raw = raw_record()
    raw["hazard_ratio"][0].pop("ci")
    assert [one.partition for one in effect_sets(parse_record(raw))] == ["er"]
