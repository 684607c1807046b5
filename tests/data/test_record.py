"""The record: what it derives, and that the built-in ones carry the papers' numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secondlook.data import OVERALL, Printed, Record, built_in_trials, load_record
from secondlook.data.outcomes import HazardRatio, Prognostic, standard_error
from secondlook.data.reading import parse_record
from secondlook.data.subgroup import overlapping

MINIMAL: dict[str, Any] = {
    "schema": 1,
    "id": "small",
    "title": "A small trial",
    "arms": {"control": {"label": "A"}, "treatment": {"label": "B"}},
    "factors": {
        "er": {"label": "ER", "levels": ["+", "-"]},
        "age": {"label": "Age", "levels": ["young", "middle", "old"]},
        "after": {"label": "After", "levels": ["yes", "no"], "post_randomisation": True},
    },
}


@pytest.fixture(scope="module")
def mf07() -> Record:
    return load_record("mf07-01")


@pytest.fixture(scope="module")
def ten_years() -> Record:
    return load_record("mf07-01-10y")


def texts(numbers: Iterable[Printed | None]) -> list[str]:
    return [str(number) for number in numbers]


# ---- what a record derives


@st.composite
def ratios(draw: st.DrawFn) -> dict[str, Any]:
    estimate = draw(st.integers(10, 300))
    low, high = draw(st.integers(1, estimate)), draw(st.integers(estimate, 900))
    levels = st.lists(st.sampled_from(["young", "middle", "old"]), min_size=1, max_size=2, unique=True)
    where = draw(st.fixed_dictionaries({}, optional={"er": st.sampled_from("+-"), "age": levels}))
    return {
        "label": draw(st.text(max_size=8)),
        "where": where,
        "estimate": f"{estimate / 100:.2f}",
        "ci": [f"{low / 100:.2f}", f"{high / 100:.2f}"],
        "level": draw(st.sampled_from([0.9, 0.95, 0.99])),
        "p": draw(st.sampled_from(["<0.001", "0.04", "0.5", None])),
        "comparison": draw(st.sampled_from(["treatment/control", "control/treatment"])),
        "use": False,
    }


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    patients = draw(st.integers(1, 500))
    events = draw(st.integers(0, patients))
    control = {"label": "A", "patients": patients, "events": events}
    times = sorted(draw(st.sets(st.integers(1, 200), max_size=4)))
    survival = [{"arm": "control", "time": time, "estimate": "0.60"} for time in times]
    return {
        **MINIMAL,
        "arms": {**MINIMAL["arms"], "control": control},
        "landmarks": times,
        "survival": survival,
        "hazard_ratio": draw(st.lists(ratios(), max_size=4)),
    }


@given(records())
def test_a_record_survives_being_written_and_read(raw: dict[str, Any]) -> None:
    record = parse_record(raw)
    again = parse_record(record.model_dump(mode="json", by_alias=True))
    assert again.located(record.beside("")) == record


@pytest.mark.parametrize("trial", built_in_trials())
def test_built_in_records_survive_being_written_and_read(trial: str) -> None:
    record = load_record(trial)
    again = parse_record(record.model_dump(mode="json", by_alias=True))
    assert again.located(record.beside("")) == record


@given(ratios())
def test_inverting_a_comparison_mirrors_the_log_hazard_ratio(raw: dict[str, Any]) -> None:
    one = parse_record({**MINIMAL, "hazard_ratio": [{**raw, "comparison": "treatment/control"}]}).hazard_ratio[0]
    other = parse_record({**MINIMAL, "hazard_ratio": [{**raw, "comparison": "control/treatment"}]}).hazard_ratio[0]
    assert math.log(one.treatment_over_control) == pytest.approx(-math.log(other.treatment_over_control))
    assert one.treatment_over_control_ci is not None
    assert other.treatment_over_control_ci is not None
    low, high = other.treatment_over_control_ci
    assert one.treatment_over_control_ci == pytest.approx((1 / high, 1 / low))
    assert low <= high
    assert one.standard_error == other.standard_error


def test_abcsg_28_inverted() -> None:
    printed = {"estimate": "0.691", "ci": ["0.358", "1.333"], "comparison": "control/treatment"}
    ratio = parse_record({**MINIMAL, "hazard_ratio": [printed]}).hazard_ratio[0]
    assert ratio.treatment_over_control == pytest.approx(1.447, abs=5e-4)
    assert ratio.treatment_over_control_ci == pytest.approx((0.750, 2.793), abs=5e-4)


@pytest.mark.parametrize(
    ("ci", "level", "expected"),
    [
        (("0.49", "0.88"), 0.95, 0.149),
        (("0.81", "1.34"), 0.95, 0.128),
        (("0.82", "1.52"), 0.90, 0.188),
        (("0.686", "1.072"), 0.90, 0.136),
        (("0.358", "1.333"), 0.95, 0.335),
    ],
)
def test_standard_errors_of_the_sister_trials(ci: tuple[str, str], level: float, expected: float) -> None:
    assert standard_error((Printed(ci[0]), Printed(ci[1])), level) == pytest.approx(expected, abs=5e-4)


def test_without_an_interval_there_is_no_standard_error() -> None:
    ratio = parse_record({**MINIMAL, "hazard_ratio": [{"estimate": "0.7"}]}).hazard_ratio[0]
    assert ratio.standard_error is None
    assert ratio.treatment_over_control_ci is None


def test_overall_hazard_ratio_is_the_one_in_use() -> None:
    rows = [{"estimate": "0.5", "use": False}, {"estimate": "0.6", "where": {"er": "+"}}, {"estimate": "0.7"}]
    overall = parse_record({**MINIMAL, "hazard_ratio": rows}).overall_hazard_ratio
    assert overall is not None
    assert str(overall.estimate) == "0.7"
    assert parse_record({**MINIMAL, "hazard_ratio": rows[:2]}).overall_hazard_ratio is None


def test_a_subgroup_of_all_levels_is_all_patients() -> None:
    rows = [{"estimate": "0.7", "where": {"er": ["-", "+"]}}]
    assert parse_record({**MINIMAL, "hazard_ratio": rows}).hazard_ratio[0].where == OVERALL


def test_factors_that_hazard_ratios_restrict_on_are_partitions() -> None:
    rows = [{"estimate": "0.7", "where": {name: level}} for name, level in (("age", "old"), ("after", "yes"))]
    record = parse_record({**MINIMAL, "hazard_ratio": rows})
    assert {name: part.factors for name, part in record.all_partitions.items()} == {"age": ("age",)}


@pytest.mark.parametrize(
    ("fields", "times"),
    [
        ({"landmarks": [12, 24], "survival": [{"arm": "control", "time": 36, "estimate": "0.5"}]}, (12, 24)),
        ({"survival": [{"arm": "control", "time": time, "estimate": "0.5"} for time in (60, 36)]}, (36, 60)),
        (
            {
                "follow_up": [
                    {"arm": "control", "survivors_range": ["45", "74"]},
                    {"arm": "treatment", "survivors_range": ["45", "60"]},
                ]
            },
            (40, 60),
        ),
        ({}, ()),
    ],
)
def test_landmarks_are_stated_or_printed_or_taken_from_follow_up(
    fields: dict[str, Any], times: tuple[float, ...]
) -> None:
    assert parse_record({**MINIMAL, **fields}).landmark_times() == pytest.approx(times)


@pytest.mark.parametrize(
    ("endpoint", "event"),
    [
        ({}, "death"),
        ({"endpoint": "Overall survival (all randomised)"}, "death"),
        ({"endpoint": "recurrence-free survival"}, "event"),
        ({"endpoint": "progression"}, "event"),
    ],
)
def test_an_event_is_a_death_where_the_endpoint_is_overall_survival(endpoint: dict[str, str], event: str) -> None:
    assert parse_record({**MINIMAL, **endpoint}).event == event


def test_source_is_the_richest_there_is() -> None:
    curve = {"curve": [{"arm": "control", "file": "c.csv"}]}
    columns = {name: name for name in ("file", "time", "event", "arm", "control", "treatment")} | {"unit": "days"}
    assert parse_record(MINIMAL).source == "published"
    assert parse_record({**MINIMAL, **curve}).source == "curves"
    assert parse_record({**MINIMAL, **curve, "patients": columns}).source == "patients"


@pytest.mark.parametrize(
    "survival", [{}, {"control_survival": "0.17"}, {"control_survival": "0", "treatment_survival": "1"}]
)
def test_a_design_without_two_survival_probabilities_has_no_hazard_ratio(survival: dict[str, str]) -> None:
    design = parse_record({**MINIMAL, "design": survival}).design
    assert design is not None
    assert design.hazard_ratio is None


# ---- MF07-01


def row(record: Record, label: str, *, use: bool = True) -> HazardRatio:
    (found,) = [item for item in record.hazard_ratio if item.label == label and item.use == use]
    return found


def level(record: Record, label: str, *, use: bool = True) -> Prognostic:
    (found,) = [item for item in record.prognostic if item.label == label and item.use == use]
    return found


def test_arms_and_design(mf07: Record) -> None:
    arms = mf07.arms
    assert (arms.control.label, arms.control.patients, arms.control.events) == ("ST", 136, 101)
    assert (arms.treatment.label, arms.treatment.patients, arms.treatment.events) == ("LRT", 138, 76)
    design = mf07.design
    assert design is not None
    assert design.hazard_ratio == pytest.approx(math.log(0.35) / math.log(0.17))
    assert (design.time, design.sided, design.patients, design.patients_per_arm) == (36, 1, 271, 136)
    assert texts([design.alpha, design.power, design.dropout]) == ["0.05", "0.90", "0.10"]
    assert mf07.landmark_times() == (36, 60)


@pytest.mark.parametrize(
    ("label", "key", "numbers"),
    [
        ("All patients", "overall", "0.66 0.49 0.88 0.005"),
        ("ER/PR(+)", "er=+", "0.64 0.46 0.91 0.01"),
        ("HER2(-)", "her2=-", "0.64 0.45 0.91 0.01"),
        ("Age below 55", "age=below 55", "0.57 0.38 0.86 0.007"),
        ("Solitary bone", "metastasis=solitary bone", "0.47 0.23 0.98 0.04"),
        ("Bone only", "metastasis=solitary bone|multiple bone", "0.67 0.43 1.07 0.09"),
        ("ER/PR(+) HER2(+)", "er=+,her2=+", "0.48 0.23 0.96 0.04"),
        ("Triple-negative", "er=-,her2=-", "0.74 0.32 1.75 0.49"),
        ("ER/PR(-) HER2(+)", "er=-,her2=+", "2.21 0.91 5.37 0.08"),
    ],
)
def test_hazard_ratios_in_use(mf07: Record, label: str, key: str, numbers: str) -> None:
    ratio = row(mf07, label)
    assert ratio.where.key == key
    assert ratio.ci is not None
    assert texts([ratio.estimate, *ratio.ci, ratio.p]) == numbers.split()
    assert not ratio.inverted
    assert ratio.source


def test_the_second_hazard_ratio_of_er_pr_positive_is_kept_for_the_audit(mf07: Record) -> None:
    ratio = row(mf07, "ER/PR(+)", use=False)
    assert ratio.ci is not None
    assert texts([ratio.estimate, *ratio.ci, ratio.p]) == ["0.63", "0.44", "0.89", "0.008"]
    assert [item for item in mf07.hazard_ratio if not item.use] == [ratio]


def test_standard_error_of_the_overall_log_hazard_ratio(mf07: Record) -> None:
    overall = mf07.overall_hazard_ratio
    assert overall is not None
    assert overall.standard_error == pytest.approx(0.149, abs=5e-4)
    assert str(overall.reduction) == "34"
    assert float(str(overall.reduction)) == pytest.approx(100 * (1 - overall.treatment_over_control))


@pytest.mark.parametrize(
    ("arm", "time", "key", "numbers"),
    [
        ("control", 36, "overall", "0.51 0.42 0.59"),
        ("treatment", 36, "overall", "0.60 0.51 0.68"),
        ("control", 60, "overall", "0.244 0.169 0.326"),
        ("treatment", 60, "overall", "0.416 0.325 0.504"),
        ("control", 60, "metastasis=solitary bone", "0.292 0.114 0.496"),
        ("treatment", 60, "metastasis=solitary bone", "0.517 0.312 0.689"),
        ("control", 36, "metastasis=multiple pulmonary/liver", "0.67 0.38 0.85"),
        ("treatment", 36, "metastasis=multiple pulmonary/liver", "0.31 0.09 0.55"),
    ],
)
def test_survival_at_the_landmarks(mf07: Record, arm: str, time: float, key: str, numbers: str) -> None:
    (item,) = [item for item in mf07.survival if (item.arm, item.time, item.where.key) == (arm, time, key)]
    assert item.ci is not None
    assert texts([item.estimate, *item.ci]) == numbers.split()


def test_p_values_at_the_landmarks_stand_with_the_treatment_arm(mf07: Record) -> None:
    found = {(item.time, item.where.key): str(item.p) for item in mf07.survival if item.p}
    assert found == {
        (36, "overall"): "0.10",
        (60, "overall"): "0.005",
        (36, "metastasis=multiple pulmonary/liver"): "0.05",
    }
    assert {item.arm for item in mf07.survival if item.p} == {"treatment"}


def test_follow_up(mf07: Record) -> None:
    control, treatment, both = mf07.follow_up
    names = ("mean", "sd", "q25", "median", "q75", "survivors_median")
    assert texts(getattr(control, name) for name in names) == ["35.8", "21.7", "18", "37", "49", "55"]
    assert texts(getattr(treatment, name) for name in names) == ["40.5", "22.0", "24", "41.0", "54", "54.5"]
    assert texts(control.survivors_range or ()) == ["45", "74"]
    assert texts(treatment.survivors_range or ()) == ["45", "70"]
    assert str(treatment.survivors_p) == "0.85"
    assert (both.arm, str(both.median)) == (None, "40")


def test_medians_and_their_differences(mf07: Record) -> None:
    medians = {(item.where.key, item.arm): str(item.estimate) for item in mf07.median if item.estimate}
    assert medians == {
        ("er=+", "control"): "42",
        ("er=+", "treatment"): "49",
        ("er=-,her2=-", "control"): "18",
        ("er=-,her2=-", "treatment"): "17.5",
        ("pmrt=yes", None): "41",
        ("pmrt=no", None): "35",
    }
    differences = {item.where.key: str(item.difference) for item in mf07.median if item.difference and item.use}
    assert differences == {
        "er=+,her2=+": "3.5",
        "er=-,her2=+": "-11.5",
        "her2=-": "12",
        "age=below 55": "14",
        "metastasis=solitary bone|multiple bone": "14",
        "metastasis=solitary bone": "9.5",
    }
    assert not any(item.where.is_overall for item in mf07.median)


@pytest.mark.parametrize(
    ("label", "unadjusted", "adjusted"),
    [
        ("Age below 55", "0.75 0.55 1.00 0.05", "0.69 0.51 0.93 0.01"),
        ("T2", "0.57 0.42 0.77 0.0003", "0.74 0.51 1.06 0.10"),
        ("T4", "1.87 1.35 2.58 0.0002", "1.49 1.00 2.19 0.05"),
        ("ER/PR(+)", "0.43 0.31 0.61 <0.0001", "0.64 0.39 1.04 0.07"),
        ("Triple-negative", "2.34 1.56 3.51 <0.0001", "1.35 0.77 2.39 0.29"),
        ("Bone only", "0.65 0.48 0.88 0.005", "0.78 0.56 1.07 0.12"),
        ("Bisphosphonates", "0.48 0.33 0.71 0.0002", "0.56 0.38 0.82 0.003"),
    ],
)
def test_prognostic_hazard_ratios(mf07: Record, label: str, unadjusted: str, adjusted: str) -> None:
    item = level(mf07, label)
    assert item.ci is not None
    assert texts([item.estimate, *item.ci, item.p]) == unadjusted.split()
    assert item.adjusted is not None
    assert item.adjusted.ci is not None
    assert texts([item.adjusted.estimate, *item.adjusted.ci, item.adjusted.p]) == adjusted.split()


def test_the_second_adjusted_age_ratio_is_kept_for_the_audit(mf07: Record) -> None:
    item = level(mf07, "Age below 55", use=False)
    assert item.adjusted is not None
    assert item.adjusted.ci is not None
    assert texts([item.adjusted.estimate, *item.adjusted.ci]) == ["0.68", "0.50", "0.92"]
    assert item.estimate is None


def test_deaths_and_the_patients_they_are_of(mf07: Record) -> None:
    percents = {item.where.key: float(str(item.percent)) for item in mf07.deaths if item.use}
    counts = {(item.where.key, item.arm): item.n for item in mf07.patients_count}
    sizes = {key: sum(n for (name, _), n in counts.items() if name == key) for key in percents}
    assert sizes == {"er=-,her2=-": 33, "metastasis=multiple pulmonary/liver": 28}
    assert percents == {"er=-,her2=-": 85, "metastasis=multiple pulmonary/liver": 68}
    assert round(100 * 19 / 28) == 68  # the reading that the record's comment argues for
    printed = {item.arm: (item.n, str(item.percent)) for item in mf07.deaths if item.where.is_overall}
    assert printed == {"control": (101, "74"), "treatment": (76, "55")}


def test_known_denominators_reproduce_the_percentages_to_one_digit(mf07: Record) -> None:
    for label, factor in (("ER/PR(+)", "er"), ("HER2(+)", "her2")):
        (item,) = [item for item in mf07.baseline if item.label == label]
        for arm, cell in (("control", item.control), ("treatment", item.treatment)):
            assert cell is not None
            assert cell.n is not None
            assert cell.percent is not None
            denominator = mf07.factors[factor].known[arm]  # type: ignore[index]
            assert cell.percent.admits(100 * cell.n / denominator, slack=1)
    assert mf07.factors["er"].known == {"control": 135, "treatment": 138}
    assert not Printed("71.8").admits(100 * 97 / 136, slack=1)


@pytest.mark.parametrize(
    ("group", "control", "treatment"),
    [
        ("Tumour size", 136, 138),
        ("Histologic grade", 104, 138),
        ("Tumour type", 136, 138),
        ("Metastasis site", 136, 138),
        ("Solitary/multiple metastasis", 85, 97),
    ],
)
def test_groups_of_table_1_sum_as_printed(mf07: Record, group: str, control: int, treatment: int) -> None:
    rows = [item for item in mf07.baseline if item.group == group]
    assert sum(item.control.n or 0 for item in rows if item.control) == control
    assert sum(item.treatment.n or 0 for item in rows if item.treatment) == treatment
    assert [bool(item.p) for item in rows] == [True, *[False] * (len(rows) - 1)]


def test_p_values_of_table_1(mf07: Record) -> None:
    printed = {item.group or item.label: (str(item.p), item.test) for item in mf07.baseline if item.p}
    assert printed == {
        "Mean age": ("0.87", "t"),
        "Mean BMI": ("0.70", "t"),
        "Mean follow-up": ("0.08", "t"),
        "Median follow-up": ("0.10", ""),
        "Tumour size": ("0.23", "chi-square"),
        "Histologic grade": ("0.16", "chi-square"),
        "Tumour type": ("0.26", "chi-square"),
        "ER/PR": ("0.01", "chi-square"),
        "HER2": ("0.90", "chi-square"),
        "Triple-negative": ("0.01", "chi-square"),
        "Intervention to metastasis": ("0.07", "chi-square"),
        "Anthracycline-based chemotherapy": ("0.38", "chi-square"),
        "Bisphosphonates": ("0.53", "chi-square"),
        "Metastasis site": ("0.17", "chi-square"),
        "Solitary/multiple metastasis": ("0.71", "chi-square"),
    }


def test_counts_of_patients_agree_with_table_1(mf07: Record) -> None:
    rows = {item.where.key: item for item in mf07.baseline if item.where and item.use}
    for item in mf07.patients_count:
        cell = getattr(rows[item.where.key], item.arm)
        assert item.n == cell.n


def test_solitary_bone_is_printed_twice(mf07: Record) -> None:
    table, text = [item for item in mf07.baseline if item.label == "Solitary bone"]
    assert (table.use, text.use) == (True, False)
    assert text.control is not None
    assert text.treatment is not None
    assert texts([text.control.percent, text.treatment.percent]) == ["60", "66.7"]


def test_flow_diagram_and_the_text(mf07: Record) -> None:
    boxes = [(box.label, box.arm, box.n) for box in mf07.flow if box.use]
    assert [n for _, _, n in boxes] == [312, 34, 19, 10, 5, 278, 140, 138, 2, 2, 138, 136]
    text = {(box.label, box.arm): box.n for box in mf07.flow if not box.use}
    assert text[("Randomized", None)] == 274
    assert text[("Not meeting inclusion criteria", None)] == 34


def test_secondary_endpoints(mf07: Record) -> None:
    progression, mortality = mf07.binary
    assert (progression.control.events, progression.treatment.events, str(progression.p)) == (15, 2, "0.001")
    assert progression.risk_ratio is not None
    assert (str(progression.risk_ratio.estimate), progression.risk_ratio.comparison) == ("11", "control/treatment")
    assert texts([mortality.control.percent, mortality.treatment.percent]) == ["1.5", "1.4"]


def test_partitions(mf07: Record) -> None:
    assert {name: part.factors for name, part in mf07.all_partitions.items()} == {
        "receptor": ("er", "her2"),
        "age": ("age",),
        "metastasis": ("metastasis",),
    }
    assert [name for name, factor in mf07.factors.items() if factor.post_randomisation] == ["bisphosphonates", "pmrt"]


def test_rows_of_an_effects_set_share_no_patient(mf07: Record) -> None:
    assert len(mf07.effects_set) == 5
    for item in mf07.effects_set:
        assert not overlapping({label: row(mf07, label).where for label in item.rows})


def test_every_printed_item_says_where_it_stands(mf07: Record, ten_years: Record) -> None:
    for record in (mf07, ten_years):
        names = ("flow", "follow_up", "survival", "median", "deaths", "patients_count", "hazard_ratio", "prognostic")
        for name in (*names, "baseline", "binary"):
            assert all(item.source for item in getattr(record, name)), name


# ---- the ten-year update


def test_ten_year_update(ten_years: Record) -> None:
    overall = ten_years.overall_hazard_ratio
    assert overall is not None
    assert overall.ci is not None
    assert texts([overall.estimate, *overall.ci, overall.p]) == ["0.71", "0.59", "0.86", "0.0003"]
    assert (ten_years.arms.treatment.patients, ten_years.arms.control.patients) == (134, 131)
    assert {item.arm: str(item.estimate) for item in ten_years.survival} == {"control": "0.05", "treatment": "0.19"}
    assert {item.time for item in ten_years.survival} == {120}
    assert overall.standard_error is not None
    assert 4 / overall.standard_error**2 > 265  # it implies more deaths than patients: hence for the audit only
    assert "never pool" in ten_years.title


def test_landmark_intervals_hold_their_estimates(mf07: Record, ten_years: Record) -> None:
    for item in (*mf07.survival, *ten_years.survival):
        assert item.ci is not None
        assert all(low.value < high.value for low, high in pairwise((item.ci[0], item.estimate, item.ci[1])))
