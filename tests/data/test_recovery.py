"""Recovering a known truth from what a paper prints: GBSG2 by menopausal status, and what `published` prints."""

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter

from secondlook.data.estimators import cox_of_patients, kaplan_meier
from secondlook.data.publishing import Contents, Patients, published
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction import reconstruct

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture(scope="module")
def recovery():
    yield from benchmark("recovery")


@pytest.fixture(scope="module")
def papers():
    yield from benchmark("papers")


@pytest.fixture(scope="module")
def patients(recovery):
    return recovery.gbsg2_patients()


def test_menopausal_status_is_recovered(recovery, patients):
    rebuilt = reconstruct(recovery.published_record(patients, "menopause"), "menopause", imputations=3)
    own = recovery.patient_table(patients, rebuilt.strata.subgroups)
    found = {row.name: row for row in recovery.compare_cox("menopause", rebuilt, own)}
    assert set(found) >= {"overall", "menopause=pre", "menopause=post", "prognosis menopause=pre"}
    for row in found.values():
        assert abs(row.difference) < 0.2, row
        assert 0.85 < row.sd_ratio < 1.15, row


def test_the_patients_own_table_has_their_cox_fit(recovery, patients):
    strata = reconstruct(recovery.published_record(patients, "menopause"), "menopause", imputations=0).strata
    effects = recovery.cox_effects(recovery.patient_table(patients, strata.subgroups))
    for level in ("pre", "post"):
        inside = patients.inside({"menopause": level})
        exact = cox_of_patients(patients.time[inside], patients.event[inside], patients.treatment[inside])
        log_ratio, error = (float(values[0]) for values in effects[f"menopause={level}"])
        assert log_ratio == pytest.approx(exact[0], abs=0.03 * exact[1])  # order within a month is lost
        assert error == pytest.approx(exact[1], rel=0.01)


@pytest.mark.parametrize(("study", "known"), [("nodes", 3), ("receptor", 4), ("receptor-open", 0)])
def test_which_strata_follow_from_printed_hazard_ratios(recovery, patients, study, known):
    record = recovery.published_record(patients, study)
    strata = reconstruct(record, study.removesuffix("-open"), imputations=0).strata.subgroups
    assert sum(recovery.follows(record, strata)) == known


def test_tied_times_agree_with_lifelines(patients):
    rows = pd.DataFrame({"time": patients.time, "event": patients.event, "treatment": patients.treatment * 1.0})
    summary = CoxPHFitter().fit(rows, "time", "event").summary.loc["treatment"]
    expected = (summary["coef"], summary["se(coef)"])  # Efron's ties
    assert cox_of_patients(patients.time, patients.event, patients.treatment) == pytest.approx(expected, rel=5e-3)
    curve = KaplanMeierFitter().fit(patients.time, patients.event)
    assert kaplan_meier(patients.time, patients.event).at(36) == pytest.approx(curve.predict(36), rel=1e-9)


def test_published_counts_and_survival():
    time, event = np.array([1.0, 2, 3, 4, 1, 2, 3, 4]), np.array([1, 0, 1, 0, 1, 1, 0, 0]) == 1
    treatment = np.repeat([False, True], 4)
    factors = {"side": np.array(["left", "right"] * 4)}
    left = {"side": "left"}
    contents = Contents((0.5, 3.5), [left], [left], survival=[left])
    fields = published(Patients(time, event, treatment, factors), contents)
    assert fields["arms"]["control"] == {"label": "control", "patients": 4, "events": 2}
    assert [row["n"] for row in fields["patients_count"]] == [2, 2]
    assert fields["deaths"] == [{"where": left, "n": 3}]
    survival = {(row["arm"], row["time"], "where" in row): row for row in fields["survival"]}
    assert survival["control", 0.5, False] == {"arm": "control", "time": 0.5, "estimate": "1.00"}
    assert survival["control", 3.5, False]["estimate"] == "0.38"  # 3/4 of 1/2
    assert survival["treatment", 3.5, False]["estimate"] == "0.50"
    assert survival["control", 3.5, True]["estimate"] == "0.00"
    assert survival["treatment", 3.5, True] == {
        "arm": "treatment",
        "time": 3.5,
        "estimate": "0.50",
        "ci": ["0.01", "0.91"],
        "where": left,
    }


@pytest.mark.parametrize("seed", [1059, 1096])
def test_trials_whose_steps_empty_an_arm_are_rebuilt(monkeypatch, seed):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    coverage = importlib.import_module("coverage_of_strata")
    patients, _ = coverage.simulated(np.random.default_rng(seed))
    rebuilt = reconstruct(parse_record(coverage.fields(patients)), "receptor", imputations=0, seed=seed)
    off = rebuilt.fit_sheet.query("used")["half_widths_off"]
    assert (off <= 1).mean() > 0.9


def test_coherent_papers_are_rebuilt(papers):
    """A small version of ``benchmarks/papers.py``: nothing refused or accused, and ranges that hold the patients."""
    verdicts = papers.coherent(8, tables=40, seed=1)
    assert not any(verdict.refused or verdict.culprits for verdict in verdicts)
    assert sum(verdict.off > 1 for verdict in verdicts) <= 1
    ranges = [one for verdict in verdicts for one in verdict.ranges]
    assert np.mean([held for held, _, _ in ranges]) > 0.8
    assert np.mean([width for _, width, _ in ranges]) < 0.2


def test_the_wrong_number_of_a_paper_is_named(papers):
    found = papers.incoherent(4, seed=1)
    assert {how for how, _, _ in found} == set(papers.WRONG)
    right = [any(f"printed {number}" in name for name in names) for _, number, names in found]
    assert sum(right) >= 3
