"""Patients' own data through a whole analysis: GBSG2 against Cox, saved and read back."""

import json

import numpy as np
import pytest
from lifelines import CoxPHFitter
from lifelines.datasets import load_gbsg2

from secondlook.data import InputError, load_record
from secondlook.inference import Options, load
from secondlook.inference.merging import check_same_record
from secondlook.inference.reanalysis import analyse

RECORD = """schema = 1
id = "gbsg2"
title = "GBSG2"
endpoint = "recurrence-free survival"
landmarks = [36, 60]
arms.control.label = "none"
arms.treatment.label = "hormones"
[patients]
file = "gbsg2.csv"
time = "time"
unit = "days"
event = "cens"
arm = "horTh"
control = "no"
treatment = "yes"
"""


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gbsg2")
    (folder / "gbsg2.toml").write_text(RECORD)
    load_gbsg2().to_csv(folder / "gbsg2.csv", index=False)
    return folder / "gbsg2.toml"


@pytest.fixture(scope="module")
def found(record, mf07, few):
    """The proportional model on as many intervals as MF07-01's, whose graph it shares."""
    intervals = len(mf07.fits[0].edges) - 1
    options = Options(draws=1000, seed=few.seed, intervals=tuple(np.linspace(0, 88, intervals + 1)))
    return analyse(record, ("piecewise",), ("vague",), None, ("half-normal",), options, lambda _: None)


def test_the_posterior_agrees_with_cox(found):
    rows = load_gbsg2()
    rows["x"] = rows.horTh.eq("yes") * 1
    cox = CoxPHFitter().fit(rows[["time", "cens", "x"]], "time", "cens").summary.loc["x"]
    draws = found.fits[0].posterior["beta"].to_numpy()
    assert draws.mean() == pytest.approx(cox["coef"], abs=0.02)
    assert draws.std() == pytest.approx(cox["se(coef)"], rel=0.05)
    compared = found.comparison.iloc[0]
    assert np.log(compared["cox"]) == pytest.approx(cox["coef"], abs=0.005)


def test_known_patients_are_one_imputation_that_adds_no_variance(found):
    assert found.table.sizes["imputation"] == 1
    assert set(found.estimates["source"]) == {"patients"}
    assert (found.estimates["imputation_share"] == 0).all()
    assert found.reconstruction.empty


def test_results_are_saved_without_a_path_and_read_back(found, tmp_path):
    found.save(tmp_path / "results")
    again = load(tmp_path / "results")
    assert again.record.id == "gbsg2"
    assert len(again.estimates) == len(found.estimates)
    run = (tmp_path / "results" / "run.json").read_text()
    assert list(json.loads(run)["inputs"]) == ["gbsg2.csv"]
    assert str(tmp_path) not in run
    assert str(tmp_path) not in (tmp_path / "results" / "record.json").read_text()


def test_results_of_other_patients_are_not_added_to(found, record, tmp_path):
    found.save(tmp_path / "results")
    check_same_record(tmp_path / "results", load_record(record))
    (tmp_path / "gbsg2.toml").write_text(RECORD)
    load_gbsg2()[:600].to_csv(tmp_path / "gbsg2.csv", index=False)
    with pytest.raises(InputError, match=r"gbsg2\.csv: holds results of another version of this file"):
        check_same_record(tmp_path / "results", load_record(tmp_path / "gbsg2.toml"))
