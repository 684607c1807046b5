"""The sister trials' records: their traps, who informs whom, what cannot be pooled."""

import math
import tomllib

import pytest

from secondlook.data import InputError, load_record
from secondlook.data.audit import audit
from secondlook.data.evidence import sister_trials, studies_of, study_of
from secondlook.data.reading import parse_record, record_text
from secondlook.data.reconstruction import reconstruct

FIVE = ("mf07-01", "tata", "e2108", "jcog1017", "abcsg-28")
PRINTED = {  # log hazard ratio, SE and deaths as the evidence sheet has them
    "mf07-01": (-0.4155, 0.149, 177),
    "tata": (0.0392, 0.128, 235),
    "e2108": (0.1044, 0.188, 121),
    "jcog1017": (-0.1543, 0.136, 221),
    "abcsg-28": (0.3696, 0.335, None),
}


def changed(trial, **fields):
    """Return a built-in record with fields of its overall hazard ratio left out (``None``) or replaced."""
    raw = tomllib.loads(record_text(trial))
    (row, *_) = raw["hazard_ratio"]
    for name, value in fields.items():
        row.pop(name)
        row |= {} if value is None else {name: value}
    return parse_record(raw)


def verdicts(record, check):
    return {finding.verdict for finding in audit(record) if finding.check == check}


@pytest.mark.parametrize("trial", FIVE)
def test_numbers_of_the_evidence_sheet(trial):
    study = study_of(load_record(trial))
    estimate, error, deaths = PRINTED[trial]
    assert study.log_hazard_ratio == pytest.approx(estimate, abs=5e-5)
    assert study.standard_error == pytest.approx(error, abs=5e-4)
    assert study.deaths == deaths


@pytest.mark.parametrize("trial", FIVE[1:])
def test_right_records_are_free_of_contradictions(trial):
    assert {finding.verdict for finding in audit(load_record(trial))} <= {"ok", "note"}
    for check in ("interval level", "direction", "precision against deaths"):
        assert verdicts(load_record(trial), check) == {"ok"}


@pytest.mark.parametrize("trial", ["e2108", "jcog1017"])
def test_audit_notices_a_level_that_is_left_out(trial):
    """Read as 95% the intervals need more deaths than there were, and only 90% fits."""
    record = changed(trial, level=None)
    assert verdicts(record, "interval level") == {"note"}
    assert verdicts(record, "precision against deaths") == {"inconsistent"}
    (finding,) = (one for one in audit(record) if one.check == "interval level")
    assert finding.computed == 0.90
    assert verdicts(record, "p-value") <= {"note", "inconsistent"}


def test_audit_notices_a_direction_that_is_left_out():
    record = changed("abcsg-28", comparison=None)
    assert verdicts(record, "direction") == {"note"}
    (finding,) = (one for one in audit(record) if one.check == "direction")
    assert "the inverse would agree" in finding.arithmetic
    assert study_of(record).log_hazard_ratio == pytest.approx(-PRINTED["abcsg-28"][0], abs=5e-5)


def test_inverted_ratio_is_read_as_treatment_over_control():
    ratio, lower, upper = study_of(load_record("abcsg-28")).printed
    assert (ratio, lower, upper) == pytest.approx((1.447, 0.750, 2.793), abs=5e-4)


@pytest.mark.parametrize("trial", FIVE)
def test_a_trial_is_informed_by_all_the_others(trial):
    assert sorted(study.id for study in sister_trials(load_record(trial))) == sorted({*FIVE} - {trial})


def test_an_update_informs_nobody_and_is_not_informed_by_its_own_patients():
    sisters = {study.id for study in sister_trials(load_record("mf07-01-10y"))}
    assert sisters == {"tata", "e2108", "jcog1017", "abcsg-28"}


def mine(tmp_path, text="", **evidence):
    record = tmp_path / "mine.toml"
    lines = [f"{name} = {value}" for name, value in evidence.items()]
    ratio = 'estimate = "0.80"\nci = ["0.60", "1.07"]'
    record.write_text(
        f'schema = 1\nid = "mine"\ntitle = "t"\n{text}\narms.control.label = "C"\narms.treatment.label = "T"\n'
        f"[evidence]\n" + "\n".join(lines) + f"\n[[hazard_ratio]]\n{ratio}\n",
        encoding="utf-8",
    )
    return load_record(record)


def test_a_users_record_joins_the_pool_of_a_question(tmp_path):
    record = mine(tmp_path, question='"surgery-de-novo-stage-iv"')
    assert {study.id for study in sister_trials(record)} == {*FIVE}
    assert study_of(record).label == "mine"


def test_a_users_records_inform_each_other(tmp_path):
    other = (tmp_path / "other.toml").resolve()
    mine(tmp_path, question='"q"')
    (tmp_path / "mine.toml").rename(other)
    other.write_text(other.read_text(encoding="utf-8").replace('id = "mine"', 'id = "other"'), encoding="utf-8")
    record = mine(tmp_path, question='"q"', trials='["other.toml"]')
    (study,) = sister_trials(record)
    assert (study.id, study.log_hazard_ratio) == ("other", pytest.approx(math.log(0.8)))
    assert sister_trials(mine(tmp_path, question='"q"')) == ()
    record = mine(tmp_path, question='"q"', trials='["absent.toml"]')
    with pytest.raises(InputError, match=r"absent\.toml: cannot be read"):
        sister_trials(record)


def test_another_endpoint_is_another_question(tmp_path):
    text = 'endpoint = "progression-free survival"'
    assert sister_trials(mine(tmp_path, text, question='"surgery-de-novo-stage-iv"')) == ()


def test_trials_that_cannot_be_pooled_are_named(tmp_path):
    other = mine(tmp_path, 'endpoint = "progression-free survival"', question='"q"')
    records = [load_record("mf07-01"), load_record("mf07-01-10y"), changed("tata", ci=None), other]
    with pytest.raises(InputError) as caught:
        studies_of(records)
    text = str(caught.value)
    assert "tata: hazard_ratio: prints no overall hazard ratio with an interval to pool" in text
    assert "mf07-01, mf07-01-10y: are about the same patients, who would count twice" in text
    assert "mf07-01, mine: have different endpoints: overall survival and progression-free survival" in text
    with pytest.raises(InputError, match="give at least two trials to pool"):
        studies_of([load_record("tata")])


def test_survival_is_rebuilt_to_beyond_the_printed_medians():
    """E2108 prints landmarks at 36 months only, and medians beyond 50."""
    made = reconstruct(load_record("e2108"), imputations=1)
    medians = made.fit_sheet[made.fit_sheet["item"].eq("median")]
    assert medians["printed"].tolist() == ["53.1", "54.9"]
    assert medians["half_widths_off"].abs().max() < 1


@pytest.mark.parametrize(
    ("trial", "missing"),
    [
        ("tata", "patients of both arms"),
        ("abcsg-28", "events of both arms or in all"),
    ],
)
def test_why_survival_cannot_be_rebuilt(trial, missing):
    with pytest.raises(InputError, match=f"{trial}: published survival cannot be rebuilt: .* prints no {missing}"):
        reconstruct(load_record(trial))
