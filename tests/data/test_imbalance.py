"""Prevalences counted and derived, and which prognostic factors an adjustment may use."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.data import InputError, load_record
from secondlook.data.imbalance import imbalance_terms
from secondlook.data.prevalence import counted_prevalences, prevalences
from secondlook.data.reading import parse_record
from secondlook.data.subgroup import Subgroup

ADJUSTED = {"estimate": "0.64", "ci": ["0.39", "1.04"]}
AGE = {"label": "Age", "levels": ["below 55", "older"], "cut": {"row": "Mean age", "below": "55"}}
MEAN_AGE = {
    "label": "Mean age",
    "control": {"mean": "51.5", "sd": "13.6"},
    "treatment": {"mean": "48.0", "sd": "12.6"},
}


def record(**sections):
    raw = {
        "schema": 1,
        "id": "small",
        "title": "Small",
        "arms": {"control": {"label": "C", "patients": 100}, "treatment": {"label": "T", "patients": 120}},
        "factors": {
            "er": {"label": "ER", "levels": ["+", "-"], "known": {"control": 80}},
            "site": {"label": "Site", "levels": ["bone", "lung", "other"]},
            "drug": {"label": "Drug", "levels": ["yes", "no"], "post_randomisation": True},
            "age": AGE,
        },
        "patients_count": [*counts({"er": "+"}, 40, 90), *counts({"drug": "yes"}, 30, 60)],
        "baseline": [MEAN_AGE],
    }
    return parse_record(raw | sections)


def counts(where, control, treatment):
    return [{"arm": arm, "where": where, "n": n} for arm, n in (("control", control), ("treatment", treatment))]


def terms_of(*prognostic, **sections):
    return imbalance_terms(record(prognostic=prognostic, **sections))


def test_a_term_holds_what_is_printed():
    ((term,), notes) = terms_of({"where": {"er": "+"}, "label": "ER(+)", "estimate": "0.43", "adjusted": ADJUSTED})
    assert notes == ()
    assert (term.label, term.subgroup.key) == ("ER(+)", "er=+")
    assert term.log_hazard_ratio == math.log(0.64)
    assert term.standard_error == pytest.approx(math.log(1.04 / 0.39) / (2 * stats.norm.ppf(0.975)))
    assert (term.control.share, term.control.known, term.control.error) == (40 / 80, 80, 0)
    assert (term.treatment.share, term.treatment.known) == (90 / 120, 120)


def test_the_interval_is_read_at_its_level():
    adjusted = ADJUSTED | {"level": 0.9}
    ((term,), _) = terms_of({"where": {"er": "+"}, "adjusted": adjusted})
    assert term.standard_error == pytest.approx(math.log(1.04 / 0.39) / (2 * stats.norm.ppf(0.95)))


@pytest.mark.parametrize(
    ("item", "note"),
    [
        ({"where": {"drug": "yes"}, "adjusted": ADJUSTED}, "drug=yes: it follows randomisation"),
        ({"where": {"er": "+", "drug": "yes"}, "adjusted": ADJUSTED}, "drug=yes: it follows randomisation"),
        ({"where": {"er": "+"}, "estimate": "0.43"}, "er=[+]: no adjusted hazard ratio is printed"),
        ({"where": {"er": "+"}, "adjusted": ADJUSTED | {"use": False}}, "no adjusted hazard ratio is printed"),
        ({"where": {"er": "+"}, "adjusted": {"estimate": "0.64"}}, "its adjusted hazard ratio has no interval"),
        ({"where": {"site": "bone"}, "adjusted": ADJUSTED}, "how common it is in each arm is not printed"),
    ],
)
def test_what_cannot_be_used_is_left_out_with_a_note(item, note):
    terms, (told,) = terms_of(item)
    assert terms == ()
    assert told.startswith("adjustment for imbalance leaves out ")
    assert told.endswith(note.replace("[+]", "+"))


def test_numbers_marked_as_not_used_are_passed_over_in_silence():
    item = {"where": {"er": "+"}, "adjusted": ADJUSTED, "use": False}
    assert terms_of(item) == ((), ())


def test_two_adjusted_ratios_of_one_level_are_refused():
    item = {"where": {"er": "+"}, "adjusted": ADJUSTED}
    with pytest.raises(InputError, match=r"given twice: adjusted prognostic hazard ratio of er=\+; mark all but one"):
        terms_of(item, item)


def test_counts_may_stand_in_the_baseline_table():
    row = {"label": "B", "where": {"site": ["bone", "lung"]}, "control": {"n": 25}, "treatment": {"n": 60}}
    where = Subgroup((("site", ("bone", "lung")),))
    found = counted_prevalences(record(baseline=[row, MEAN_AGE]), where)
    assert [one.share for one in found] == [0.25, 0.5]
    one_arm = row | {"treatment": {"percent": "50"}}
    assert counted_prevalences(record(baseline=[one_arm, MEAN_AGE]), where) is None


@pytest.mark.parametrize(("level", "sign"), [("below 55", 1), ("older", -1)])
def test_the_share_below_a_cut_follows_from_mean_and_sd(level, sign):
    control, treatment = prevalences(record(), Subgroup((("age", (level,)),)))
    assert control.share == pytest.approx(stats.norm.cdf(sign * (55 - 51.5) / 13.6))
    assert treatment.share == pytest.approx(stats.norm.cdf(sign * (55 - 48.0) / 12.6))


def test_counts_come_before_mean_and_sd():
    counted = record(patients_count=counts({"age": "below 55"}, 61, 66))
    control, treatment = prevalences(counted, Subgroup((("age", ("below 55",)),)))
    assert (control.share, treatment.share, control.error) == (0.61, 0.55, 0)


def test_the_error_of_a_derived_share_is_that_of_patients_with_this_mean_and_sd():
    """Simulated arms, each scaled to have exactly the printed mean and SD."""
    control, _ = prevalences(record(), Subgroup((("age", ("below 55",)),)))
    patients = np.random.default_rng(1).normal(size=(20_000, 100))
    patients = (patients - patients.mean(axis=1, keepdims=True)) / patients.std(axis=1, ddof=1, keepdims=True)
    shares = (51.5 + 13.6 * patients < 55).mean(axis=1)
    assert shares.mean() == pytest.approx(control.share, abs=0.001)
    assert shares.std() == pytest.approx(control.error, rel=0.03)


@pytest.mark.parametrize(
    ("age", "message"),
    [
        (AGE | {"levels": ["a", "b", "c"]}, "factors.age: a factor with a cut has two levels, below it first; 3 are"),
        (AGE | {"cut": {"row": "BMI", "below": "55"}}, "no baseline row is labelled 'BMI'; labels are Mean age"),
    ],
)
def test_a_cut_that_makes_no_sense_is_refused(age, message):
    with pytest.raises(InputError, match=message):
        record(factors={"er": {"label": "ER", "levels": ["+", "-"]}, "age": age}, patients_count=[])


def test_mf07_01():
    terms, notes = imbalance_terms(load_record("mf07-01"))
    assert [term.label for term in terms] == ["Age below 55", "T2", "T4", "ER/PR(+)", "Triple-negative", "Bone only"]
    assert notes == ("adjustment for imbalance leaves out Bisphosphonates: it follows randomisation",)
    assert terms[0].hazard_ratio == (0.69, 0.51, 0.93)  # of the Results, not Table 2's 0.68
    counted = [(97 / 135, 118 / 138), (23 / 135, 10 / 138), (55 / 136, 71 / 138)]
    assert [(term.control.share, term.treatment.share) for term in terms[3:]] == counted
