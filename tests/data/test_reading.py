"""Finding and checking records: what is wrong is named, all of it at once."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from secondlook.data import InputError, built_in_trials, load_record
from secondlook.data.reading import parse_record, record_text

MINIMAL = """
schema = 1
id = "small"
title = "A small trial"
[arms.control]
label = "A"
patients = 100
[arms.treatment]
label = "B"
patients = 102
"""


def small(**fields: Any) -> dict[str, Any]:
    """Return an unchecked record with two arms, two factors and what is given."""
    raw: dict[str, Any] = {
        "schema": 1,
        "id": "small",
        "title": "A small trial",
        "arms": {"control": {"label": "A", "patients": 100}, "treatment": {"label": "B", "patients": 102}},
        "factors": {
            "er": {"label": "ER", "levels": ["+", "-"]},
            "age": {"label": "Age", "levels": ["young", "old"]},
        },
    }
    return {**copy.deepcopy(raw), **fields}


def problems(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse_record(raw, "small.toml")
    return str(caught.value).splitlines()


def test_built_in_trials_are_listed_and_load() -> None:
    assert built_in_trials() == ("abcsg-28", "e2108", "gbsg2", "jcog1017", "mf07-01", "mf07-01-10y", "tata")
    for trial in built_in_trials():
        assert load_record(trial).id == trial


def test_text_of_a_built_in_trial_is_its_file() -> None:
    assert 'id = "mf07-01"' in record_text("mf07-01")


def test_unknown_trial_names_those_there_are() -> None:
    known = "abcsg-28, e2108, gbsg2, jcog1017, mf07-01, mf07-01-10y, tata"
    allowed = f"not a built-in trial; give one of {known} or the path of a .toml file"
    with pytest.raises(InputError) as caught:
        load_record("mf07-02")
    assert str(caught.value) == f"trial: mf07-02: {allowed}"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    with pytest.raises(InputError) as caught:
        load_record(path)
    assert str(caught.value) == f"{path}: cannot be read (No such file or directory)"


def test_a_folder_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "folder.toml"
    path.mkdir()
    with pytest.raises(InputError, match=r"folder\.toml: cannot be read \(Is a directory\)"):
        load_record(path)


def test_malformed_toml_is_named_alone_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('id = "x"\ntitle = \n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_record(path)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(f"{path}: not valid TOML: ")
    assert "line 2" in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'title = "\xe9t\xe9"')
    with pytest.raises(InputError, match=r"latin\.toml: byte 9: not UTF-8 text"):
        load_record(path)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_text(MINIMAL, encoding="utf-8-sig")
    assert load_record(path).arms.treatment.patients == 102


LEVELS_OF_ER = "its levels are '+', '-'"
OUTSIDE = "the estimate 0.70 lies outside its interval 0.80 to 0.90"
PROBABILITY = "must be a probability between 0 and 1 (60% is written 0.60)"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        # the record itself
        ({"schema": 2}, "schema: 2: must be 1"),
        (
            {"id": "My Trial"},
            "id: 'My Trial': must be lower-case letters, digits and -, beginning with a letter or digit",
        ),
        ({"title": ""}, "title: '': must not be empty"),
        ({"title": 7}, "title: 7: must be text"),
        ({"factor": [{"name": "er"}]}, "factor: unknown key; did you mean factors?"),
        (
            {"factors": {"er": {"label": "ER", "levels": ["-", "+"], "level": 1}}},
            "factors.er.level: 1: unknown key; did you mean levels?",
        ),
        ({"titel": "x"}, "titel: 'x': unknown key; did you mean title?"),
        ({"time_unit": "hours"}, "time_unit: 'hours': must be 'days', 'weeks', 'months' or 'years'"),
        ({"landmarks": [60, 36]}, "landmarks: [60, 36]: landmarks must increase"),
        ({"landmarks": ["36"]}, "landmarks[1]: '36': must be a number, not quoted"),
        ({"landmarks": [float("inf")]}, "landmarks[1]: inf: must be finite"),
        ({"landmarks": 36}, "landmarks: 36: must be a list"),
        ({"horizon": 0}, "horizon: 0: must be above 0"),
        ({"citation": "Soran"}, "citation: 'Soran': must be a table"),
        ({"factors": ["er"]}, "factors: ['er']: must be a table"),
        # arms and totals
        ({"arms": {"control": {"label": "A"}}}, "arms.treatment: missing, but required"),
        (
            {"totals": {"patients": 10, "events": 12}},
            "totals: events is 12, more than the 10 patients",
        ),
        # design, recruitment, flow
        ({"design": {"control_survival": "17"}}, f"design.control_survival: '17': {PROBABILITY}"),
        (
            {"design": {"control_survival": 0.9}},
            f'design.control_survival: 0.9: {PROBABILITY}, quoted as printed, such as "0.60"',
        ),
        ({"design": {"power": "1"}}, "design.power: '1': must be above 0 and below 1"),
        ({"design": {"alpha": "0.00"}}, "design.alpha: '0.00': must be above 0 and below 1"),
        ({"design": {"dropout": "1.0"}}, "design.dropout: '1.0': must be at least 0 and below 1"),
        (
            {
                "factors": {"er": {"label": "ER", "levels": ["+", "-"], "known": {"control": 9}}},
                "patients_count": [{"arm": "control", "where": {"er": "+"}, "n": 10}],
            },
            "patients_count[1]: n is 10, more than the 9 patients whose er is known",
        ),
        ({"design": {"sided": 3}}, "design.sided: 3: must be 1 or 2"),
        (
            {"recruitment": {"start": "2012-12", "end": "2007-11"}},
            "recruitment: start 2012-12 is after end 2007-11",
        ),
        (
            {"recruitment": {"start": "2012", "end": "2012-12"}},
            "recruitment.start: '2012': must be a year and a month, such as 2007-11",
        ),
        (
            {"flow": [{"label": "Excluded", "n": 3, "parent": "Assessed"}]},
            "flow[1].parent: 'Assessed': no flow box is labelled 'Assessed'; labels are Excluded",
        ),
        ({"flow": [{"label": "Excluded", "n": -3}]}, "flow[1].n: -3: must be at least 0"),
        ({"flow": [{"label": "Excluded", "n": 3.5}]}, "flow[1].n: 3.5: must be a whole number"),
        # follow-up, survival, medians, deaths, numbers at risk
        ({"follow_up": [{"q25": "40", "median": "37"}]}, "follow_up[1]: 40 37: must not decrease"),
        ({"follow_up": [{"survivors_range": ["74", "45"]}]}, "follow_up[1]: 74 45: must not decrease"),
        ({"follow_up": [{"mean": "-1"}]}, "follow_up[1].mean: '-1': must be a number that is not negative"),
        (
            {"survival": [{"arm": "control", "time": 36, "estimate": "60"}]},
            f"survival[1].estimate: '60': {PROBABILITY}",
        ),
        (
            {"survival": [{"arm": "placebo", "time": 36, "estimate": "0.6"}]},
            "survival[1].arm: 'placebo': must be 'control' or 'treatment'",
        ),
        (
            {"survival": [{"arm": "control", "time": -36, "estimate": "0.6"}]},
            "survival[1].time: -36: must be above 0",
        ),
        ({"survival": [{"arm": "control", "estimate": "0.6"}]}, "survival[1].time: missing, but required"),
        ({"median": [{"arm": "control"}]}, "median[1]: give estimate or difference"),
        (
            {"median": [{"estimate": "40", "difference": "3"}]},
            "median[1]: give estimate or difference, not both",
        ),
        ({"deaths": [{"arm": "control"}]}, "deaths[1]: give n or percent"),
        ({"deaths": [{"percent": "185"}]}, "deaths[1].percent: '185': must be a percentage between 0 and 100"),
        ({"deaths": [{"arm": "control", "n": 101}]}, "deaths[1]: n is 101, more than the 100 patients"),
        (
            {"at_risk": [{"arm": "control", "times": [0, 24, 12], "patients": [9, 8, 7]}]},
            "at_risk[1].times: [0, 24, 12]: times must increase",
        ),
        (
            {"at_risk": [{"arm": "control", "times": [0, 12], "patients": [9]}]},
            "at_risk[1]: 2 times but 1 number of patients",
        ),
        (
            {"at_risk": [{"arm": "control", "times": [0, 12], "patients": [8, 9]}]},
            "at_risk[1]: numbers at risk must not increase",
        ),
        (
            {"at_risk": [{"arm": "control", "times": [0, 12], "patients": [101, 9]}]},
            "at_risk[1]: patients is 101, more than the 100 patients",
        ),
        # factors, partitions, counts
        (
            {"factors": {"ER": {"label": "ER", "levels": ["+", "-"]}}},
            "factors.ER: 'ER': must be lower-case letters, digits and _, beginning with a letter",
        ),
        (
            {"factors": {"er": {"label": "ER", "levels": ["+"]}}},
            "factors.er.levels: ['+']: must have at least 2 entries, not 1",
        ),
        (
            {"factors": {"er": {"label": "ER", "levels": ["+", "+"]}}},
            "factors.er.levels: ['+', '+']: levels must differ",
        ),
        ({"factors": {"er": {"label": "ER"}}}, "factors.er.levels: missing, but required"),
        (
            {"factors": {"er": {"label": "ER", "levels": ["+", "-"], "known": {"control": 101}}}},
            "factors.er: known.control is 101, more than the 100 patients",
        ),
        (
            {"factors": {"er": {"label": "ER", "levels": ["+", "-"], "known": {"placebo": 9}}}},
            "factors.er.known.placebo: 'placebo': must be 'control' or 'treatment'",
        ),
        (
            {"factors": {"er": {"label": "ER", "levels": ["+", "-"], "post_randomisation": "later"}}},
            "factors.er.post_randomisation: 'later': must be true or false",
        ),
        (
            {"partitions": {"both": {"label": "Both", "factors": ["er", "pr"]}}},
            "partitions.both.factors: ['er', 'pr']: unknown factor 'pr'; the record declares er, age",
        ),
        (
            {"patients_count": [{"arm": "control", "where": {"er": "+"}, "n": 101}]},
            "patients_count[1]: n is 101, more than the 100 patients",
        ),
        # hazard ratios
        (
            {"hazard_ratio": [{"estimate": "0.70", "ci": ["0.90", "0.50"]}]},
            "hazard_ratio[1].ci: ['0.90', '0.50']: the lower limit 0.90 is above the upper limit 0.50",
        ),
        ({"hazard_ratio": [{"estimate": "0.70", "ci": ["0.80", "0.90"]}]}, f"hazard_ratio[1]: {OUTSIDE}"),
        ({"hazard_ratio": [{"estimate": "0.70", "ci": ["0.50"]}]}, "hazard_ratio[1].ci[2]: missing, but required"),
        (
            {"hazard_ratio": [{"estimate": "0.7", "ci": ["0.5", "0.7", "0.9"]}]},
            "hazard_ratio[1].ci: ['0.5', '0.7', '0.9']: must have at most 2 entries, not 3",
        ),
        (
            {"hazard_ratio": [{"estimate": 0.7}]},
            'hazard_ratio[1].estimate: 0.7: must be a number above 0, quoted as printed, such as "0.60"',
        ),
        ({"hazard_ratio": [{"estimate": "0"}]}, "hazard_ratio[1].estimate: '0': must be a number above 0"),
        (
            {"hazard_ratio": [{"estimate": "0.7", "p": "5"}]},
            "hazard_ratio[1].p: '5': must be a p-value between 0 and 1",
        ),
        ({"hazard_ratio": [{"estimate": "0.7", "level": 95}]}, "hazard_ratio[1].level: 95: must be below 1"),
        ({"hazard_ratio": [{"estimate": "0.7", "level": 0.05}]}, "hazard_ratio[1].level: 0.05: must be above 0.5"),
        (
            {"hazard_ratio": [{"estimate": "0.7", "comparison": "A/B"}]},
            "hazard_ratio[1].comparison: 'A/B': must be 'treatment/control' or 'control/treatment'",
        ),
        (
            {"hazard_ratio": [{"estimate": "0.7", "where": {"pr": "+"}}]},
            "hazard_ratio[1].where: unknown factor 'pr'; the record declares 'er', 'age'",
        ),
        (
            {"hazard_ratio": [{"estimate": "0.7", "where": {"er": "positive"}}]},
            f"hazard_ratio[1].where: unknown level 'positive' of er; {LEVELS_OF_ER}",
        ),
        (
            {"hazard_ratio": [{"estimate": "0.7", "where": "er=+"}]},
            "hazard_ratio[1].where: 'er=+': must be a table of factor and level or levels, such as { er = \"+\" }",
        ),
        (
            {"hazard_ratio": [{"estimate": "0.7", "use": "maybe"}]},
            "hazard_ratio[1].use: 'maybe': must be true or false",
        ),
        (
            {"hazard_ratio": [{"estimate": "0.64"}, {"estimate": "0.63"}]},
            "given twice: hazard_ratio of overall; mark all but one with use = false",
        ),
        (
            {"survival": [{"arm": "control", "time": 36, "estimate": text} for text in ("0.5", "0.51")]},
            "given twice: survival of overall of control at 36; mark all but one with use = false",
        ),
        (
            {"effects_set": [{"partition": "er", "rows": ["ER+"]}]},
            "effects_set[1].rows: ['ER+']: no hazard_ratio is labelled 'ER+'; labels are none",
        ),
        (
            {"hazard_ratio": [{"label": "a", "estimate": "1"}], "effects_set": [{"partition": "pr", "rows": ["a"]}]},
            "effects_set[1].partition: 'pr': unknown partition 'pr'; the record declares er, age",
        ),
        # baseline and secondary endpoints
        (
            {"baseline": [{"label": "ER+", "control": {"n": 101}}]},
            "baseline[1]: control.n is 101, more than the 100 patients",
        ),
        (
            {"baseline": [{"label": "ER+", "treatment": {"n": 51, "percent": "0.50"}}]},
            "baseline[1]: treatment.percent is 0.50 for 51 of 102; must be between 0 and 100, not 0 and 1",
        ),
        (
            {"baseline": [{"label": "ER+", "both": {"percent": "101"}}]},
            "baseline[1].both.percent: '101': must be a percentage between 0 and 100",
        ),
        (
            {"binary": [{"label": "LPR", "control": {"patients": 100}, "treatment": {"patients": 9, "events": 1}}]},
            "binary[1].control: give events or percent",
        ),
        (
            {
                "binary": [
                    {
                        "label": "LPR",
                        "control": {"patients": 9, "events": 10},
                        "treatment": {"patients": 9, "events": 1},
                    }
                ]
            },
            "binary[1].control: events is 10, more than the 9 patients",
        ),
        (
            {
                "binary": [
                    {
                        "label": "LPR",
                        "control": {"patients": 100, "events": 11, "percent": "0.11"},
                        "treatment": {"patients": 9, "events": 1},
                    }
                ]
            },
            "binary[1].control: percent is 0.11 for 11 of 100; must be between 0 and 100, not 0 and 1",
        ),
        # files
        ({"curve": [{"arm": "control"}]}, "curve[1].file: missing, but required"),
    ],
)
def test_a_problem_is_named_with_file_field_value_and_what_is_allowed(fields: dict[str, Any], problem: str) -> None:
    assert problems(small(**fields)) == [f"small.toml: {problem}"]


@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        ({"label": "A", "patients": 0}, "arms.control.patients: 0: must be above 0"),
        ({"label": "A", "patients": -3}, "arms.control.patients: -3: must be above 0"),
        ({"label": "A", "patients": True}, "arms.control.patients: True: must be a whole number"),
        ({"label": "A", "patients": "136"}, "arms.control.patients: '136': must be a whole number"),
        ({"label": "A", "events": -1}, "arms.control.events: -1: must be at least 0"),
        ({"label": "A", "patients": 10, "events": 11}, "arms.control: events is 11, more than the 10 patients"),
        ({"patients": 10}, "arms.control.label: missing, but required"),
        (3, "arms.control: 3: must be a table"),
    ],
)
def test_problems_of_an_arm(arm: object, problem: str) -> None:
    assert problems(small(arms={"control": arm, "treatment": {"label": "B"}})) == [f"small.toml: {problem}"]


def test_an_unknown_arm() -> None:
    raw = small()
    raw["arms"]["placebo"] = {"label": "C"}
    assert problems(raw) == ["small.toml: arms.placebo: unknown key; known are control, treatment"]


def test_an_empty_record_names_all_that_it_needs() -> None:
    assert problems({}) == [f"small.toml: {name}: missing, but required" for name in ("id", "title", "arms")]


def test_several_problems_are_all_named_at_once() -> None:
    raw = small(
        titel="x",
        landmarks=[60, 36],
        survival=[{"arm": "placebo", "time": 0, "estimate": "51"}],
        hazard_ratio=[
            {"estimate": "0.66", "ci": ["0.88", "0.49"]},
            {"estimate": "0.64", "where": {"pr": "+"}, "p": "7"},
        ],
    )
    fields = [line.split(": ")[1] for line in problems(raw)]
    assert sorted(fields) == sorted(
        [
            "titel",
            "landmarks",
            "survival[1].arm",
            "survival[1].time",
            "survival[1].estimate",
            "hazard_ratio[1].ci",
            "hazard_ratio[2].where",
            "hazard_ratio[2].p",
        ]
    )


def test_a_wrong_field_does_not_hide_what_is_wrong_between_the_others() -> None:
    raw = small(
        hazard_ratio=[{"estimate": "0.70", "ci": ["0.80", "0.90"], "p": "7", "colour": "red"}],
        at_risk=[{"arm": "control", "where": {"pr": "+"}, "times": [0, 12], "patients": [8, 9]}],
    )
    assert sorted(problems(raw)) == [
        "small.toml: at_risk[1].where: unknown factor 'pr'; the record declares 'er', 'age'",
        "small.toml: at_risk[1]: numbers at risk must not increase",
        "small.toml: hazard_ratio[1].colour: 'red': unknown key; known are analysis, ci, comparison, estimate, "
        "label, level, margin, p, planned, reduction, sided, source, use, where",
        "small.toml: hazard_ratio[1].p: '7': must be a p-value between 0 and 1",
        f"small.toml: hazard_ratio[1]: {OUTSIDE}",
    ]


def test_a_wrong_item_does_not_hide_that_others_are_given_twice() -> None:
    raw = small(
        hazard_ratio=[
            {"estimate": "0.70", "ci": ["0.80", "0.90"]},
            {"estimate": "0.64", "where": {"er": "+"}},
            {"estimate": "0.63", "where": {"er": "+"}},
        ]
    )
    assert problems(raw) == [
        f"small.toml: hazard_ratio[1]: {OUTSIDE}",
        "small.toml: given twice: hazard_ratio of er=+; mark all but one with use = false",
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"median": [{"estimate": "-4"}]},
        {"deaths": [{"n": -4}]},
        {
            "binary": [
                {"label": "x", "control": {"patients": 9, "events": -1}, "treatment": {"patients": 9, "events": 1}}
            ]
        },
        # without its wrong `where` the first item would be about all patients, as the second is
        {"hazard_ratio": [{"estimate": "0.7", "where": {"pr": "+"}}, {"estimate": "0.6"}]},
        {"hazard_ratio": [{"estimate": "0.7", "use": "no!"}, {"estimate": "0.6"}]},
        {"arms": {"control": {"label": "A", "patients": -5, "events": 3}, "treatment": {"label": "B"}}},
        {"hazard_ratio": [5, 6][:1]},
    ],
)
def test_one_problem_does_not_make_up_another(fields: dict[str, Any]) -> None:
    assert len(problems(small(**fields))) == 1


def test_checking_leaves_the_unchecked_record_alone() -> None:
    raw = small(hazard_ratio=[{"estimate": "0.70", "p": "7"}])
    before = copy.deepcopy(raw)
    problems(raw)
    assert raw == before
