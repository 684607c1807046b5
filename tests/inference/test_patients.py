"""Patients' own data through a whole analysis: GBSG2 against Cox, saved and read back."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_gbsg2
from lifelines.utils import restricted_mean_survival_time

from secondlook.data import InputError, load_record
from secondlook.data.estimators import cox
from secondlook.data.reading import parse_record
from secondlook.data.sources import Curve
from secondlook.data.table import regroup
from secondlook.inference import Options, fit, load, reanalyse
from secondlook.inference.fitting import fit_tasks, refitted
from secondlook.inference.imputations import Imputations
from secondlook.inference.likelihood import without_row
from secondlook.inference.merging import check_same_record
from secondlook.inference.reanalysis import analyse
from secondlook.inference.sources import Notes, tables_of
from secondlook.inference.tasks import baseline_note, check_landmarks, default_landmarks, piecewise_task, tasks_of
from secondlook.inference.versions import input_hashes
from secondlook.models.priors import Prior

OF_ARMS = {
    "schema": 1,
    "id": "mine",
    "title": "t",
    "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
    "patients": {"time": "time", "unit": "months", "event": "died", "arm": "arm", "control": "0", "treatment": "1"},
}
VAGUE = Prior("vague", (0.0,), (10.0,))
RECORD = """schema = 1
id = "gbsg2"
title = "GBSG2"
endpoint = "recurrence-free survival"
landmarks = [36, 60]
arms.control.label = "none"
arms.treatment.label = "hormones"
[patients]
file = "data/gbsg2.csv"
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
    (folder / "data").mkdir()
    (folder / "gbsg2.toml").write_text(RECORD)
    load_gbsg2().to_csv(folder / "data" / "gbsg2.csv", index=False)
    return folder / "gbsg2.toml"


@pytest.fixture(scope="module")
def found(record, mf07, few):
    """Both models on as many intervals as MF07-01's, whose graph they share: of six months, but for the last."""
    intervals = len(mf07.fits[0].edges) - 1
    options = Options(draws=1000, seed=few.seed, intervals=(*np.arange(0.0, 6 * intervals, 6), 88.0))
    return analyse(
        record, ("piecewise", "nonproportional"), ("vague",), None, ("half-normal",), options, lambda _: None
    )


def test_the_posterior_agrees_with_cox(found):
    rows = load_gbsg2()
    rows["x"] = rows.horTh.eq("yes") * 1
    cox = CoxPHFitter().fit(rows[["time", "cens", "x"]], "time", "cens").summary.loc["x"]
    draws = found.fits[0].posterior["beta"].to_numpy()
    assert draws.mean() == pytest.approx(cox["coef"], abs=0.02)
    assert draws.std() == pytest.approx(cox["se(coef)"], rel=0.05)
    compared = found.comparison.iloc[0]
    assert np.log(compared["cox"]) == pytest.approx(cox["coef"], abs=0.005)


def test_a_model_is_sampled_again_without_a_row_of_its_table(found):
    """The control arm's second interval is left out: its deaths and person-time tell nothing any more."""
    imputations, bounds = Imputations(found.table), found.fits[0].edges
    options = Options(draws=400, chains=2, intervals=bounds)
    (result,) = fit_tasks(
        [piecewise_task("piecewise", imputations, (36,), options)], [VAGUE], options, lambda _: None
    )
    rows = regroup(found.table, bounds)
    without = without_row(rows, 1)
    assert float((rows.deaths - without.deaths).sum()) == float(rows.deaths[0, 0, 0, 1]) > 10
    again = refitted(result, options, without)
    deaths, exposure = (without[name].to_numpy()[0, 0] for name in ("deaths", "exposure"))
    middle, error = (float(value) for value in cox(deaths, exposure))
    assert again["beta"].mean() == pytest.approx(middle, abs=0.2 * error)
    assert again["beta"].std() == pytest.approx(error, rel=0.12)
    alpha = result.fit.posterior["alpha"].std(("chain", "draw", "imputation"))
    assert again["alpha"].std(("chain", "draw"))[1] > 1.3 * alpha[1]
    assert "omega" not in again


def test_survival_agrees_with_kaplan_meier(found):
    """Within 0.01, and restricted means within 0.2 months, but for the Monte Carlo error of few draws."""
    rows = found.estimates[found.estimates["model"].eq("nonproportional")].set_index(["estimand", "time"])
    for arm, hormones in (("control", "no"), ("treatment", "yes")):
        patients = load_gbsg2()[load_gbsg2().horTh.eq(hormones)]
        curve = KaplanMeierFitter().fit(patients.time / 30.4375, patients.cens)
        for time in (36.0, 60.0):
            survival, mean = (rows.loc[(f"{name}_{arm}", time)] for name in ("survival", "rmst"))
            assert survival["mean"] == pytest.approx(curve.predict(time), abs=0.01 + 3 * survival["mcse"])
            expected = restricted_mean_survival_time(curve, time)
            assert mean["mean"] == pytest.approx(expected, abs=0.2 + 3 * mean["mcse"])


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
    assert "data/" not in run
    assert json.loads((tmp_path / "results" / "record.json").read_text())["patients"]["file"] == "gbsg2.csv"


def test_results_of_other_patients_are_not_added_to(found, record, tmp_path):
    found.save(tmp_path / "results")
    check_same_record(tmp_path / "results", load_record(record))
    (tmp_path / "gbsg2.toml").write_text(RECORD)
    (tmp_path / "data").mkdir()
    load_gbsg2()[:600].to_csv(tmp_path / "data" / "gbsg2.csv", index=False)
    with pytest.raises(InputError, match=r"gbsg2\.csv: holds results of another version of this file"):
        check_same_record(tmp_path / "results", load_record(tmp_path / "gbsg2.toml"))
    run = json.loads((tmp_path / "results" / "run.json").read_text())
    (tmp_path / "results" / "run.json").write_text(json.dumps(run | {"inputs": {"patients": "0"}}))
    with pytest.raises(InputError, match=r"gbsg2\.csv: holds results of patients in memory, not of this file"):
        check_same_record(tmp_path / "results", load_record(record))


def test_patients_of_a_notebook_take_the_place_of_the_file(record):
    """What is fitted is the frame; its hash is kept, not its rows."""
    frame = load_gbsg2()[:600]
    held = load_record(record).holding(frame)
    arms = held.arms.model_copy(update={"treatment": held.arms.treatment.model_copy(update={"events": 94})})
    notes = Notes(lambda _: None)
    tables = tables_of(held.model_copy(update={"arms": arms}), [""], Options(), notes)
    assert float(tables[""].tables.patients.sum()) == 600
    died = frame.cens[frame.horTh.eq("yes")].sum()
    assert notes == [f"arms.treatment.events is 94, but the patients' data hold {died}, which are analysed"]
    (digest,) = input_hashes(held).values()
    assert digest != input_hashes(held.holding(load_gbsg2()[:599]))["patients"]
    assert digest == input_hashes(held.holding(frame.reset_index(drop=True)))["patients"]
    assert list(input_hashes(load_record("gbsg2"))) == ["gbsg2.csv"]
    with pytest.raises(InputError, match="mf07-01: patients: missing: it tells what the columns of patients mean"):
        fit("mf07-01", patients=frame)
    with pytest.raises(InputError, match="patients: column horTh: missing"):
        fit(record, patients=frame.drop(columns="horTh"))
    for wanted in (fit, reanalyse):
        with pytest.raises(
            InputError, match=r"^patients: must be a pandas\.DataFrame with a row per patient, not a dict"
        ):
            wanted(record, patients=frame.to_dict())


def test_landmarks_default_to_the_follow_up_of_both_arms_and_must_lie_within(record):
    trial = load_record(record)
    table = tables_of(trial, [""], Options(), Notes(lambda _: None))[""].tables
    assert default_landmarks(trial, table) == (36, 60)
    bare = trial.model_copy(update={"landmarks": ()})
    assert default_landmarks(bare, table) == (57, 85)  # 2563 of 2659 days: 84.2 months
    with pytest.raises(InputError, match="--landmarks: 86: must lie within follow-up of both arms, up to 85 months"):
        check_landmarks(trial, table, Options(landmarks=(86.0,)))


@pytest.mark.parametrize(("last", "limit"), [((1, 1), None), ((1, 0), 40), ((0, 1), 20), ((0, 0), 20)])
def test_landmarks_may_lie_beyond_an_arm_in_which_all_have_died(last, limit):
    """Control is followed to 20 months, treatment to 40; the last of an arm has died, or is censored."""
    times = np.r_[np.linspace(0.5, 20, 30), np.linspace(0.5, 40, 30)]
    frame = pd.DataFrame({"time": times, "died": 1, "arm": np.repeat([0, 1], 30)})
    frame.loc[[29, 59], "died"] = last
    record = parse_record(OF_ARMS).holding(frame)
    imputations = tables_of(record, [""], Options(), Notes(lambda _: None))[""]
    if limit is None:
        check_landmarks(record, imputations.tables, Options(landmarks=(12.0, 90.0)))
    else:
        check_landmarks(record, imputations.tables, Options(landmarks=(12.0, limit)))
        with pytest.raises(InputError, match=f"must lie within follow-up of both arms, up to {limit} months"):
            check_landmarks(record, imputations.tables, Options(landmarks=(limit + 1.0,)))
    later = record.model_copy(update={"landmarks": (24.0,)})
    with pytest.raises(InputError, match="up to 18 months"):
        check_landmarks(later, imputations.tables, Options(intervals=(0.0, 12.0, 18.0)))


def test_survival_after_all_have_died_is_none():
    """The last hazard goes on: a posterior of it, not the survival of the last death."""
    frame = pd.DataFrame({"time": np.linspace(0.5, 20, 40), "died": 1, "arm": [0, 1] * 20})
    imputations = tables_of(parse_record(OF_ARMS).holding(frame), [""], Options(), Notes(lambda _: None))[""]
    task = piecewise_task("piecewise", imputations, (12.0, 200.0), Options())
    assert task.edges[-1] == 200
    hazards = xr.DataArray(np.full((1, 1, len(task.edges) - 1), np.log(0.1)), dims=("chain", "draw", "interval"))
    beta = xr.DataArray(np.zeros((1, 1)), dims=("chain", "draw"))
    posterior = xr.Dataset({"alpha": hazards, "beta": beta})
    survival = {(one.estimand, one.time): value.item() for one, value in task.quantities(posterior)}
    assert survival["survival_control", 200.0] == pytest.approx(np.exp(-20))
    assert survival["survival_treatment", 12.0] == pytest.approx(np.exp(-1.2))


def test_who_lacks_a_covariate_stops_no_model_that_uses_none():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.integers(0, 2, 200).astype(object) for name in ("died", "arm", "sex", "stage")})
    frame["time"] = rng.uniform(1, 40, 200)
    frame.loc[[3, 5], "sex"] = None
    frame.loc[[5, 9], "stage"] = "NA"
    notes = Notes(lambda _: None)
    tables = tables_of(of_two_factors().holding(frame), ("", "sex", "sex,stage"), Options(), notes)
    assert [float(tables[name].tables.patients.sum()) for name in ("", "sex", "sex,stage")] == [200, 198, 197]
    assert notes == [
        "by sex: 2 of 200 patients are left out, of whom a factor is not known (sex 2)",
        "by sex, stage: 3 of 200 patients are left out, of whom a factor is not known (sex 2, stage 2)",
    ]


def of_two_factors(**source):
    factors = {name: {"label": name, "levels": ["0", "1"]} for name in ("sex", "stage")}
    fields = {"schema": 1, "id": "mine", "title": "t", "factors": factors, "landmarks": [12]}
    arms = {"control": {"label": "C"}, "treatment": {"label": "T"}}
    columns = {"time": "time", "unit": "months", "event": "died", "arm": "arm", "control": "0", "treatment": "1"}
    return parse_record(fields | {"arms": arms, "patients": columns | {"factors": ["sex", "stage"]} | source})


def test_which_baselines_are_stratified_is_told():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.integers(0, 2, 200) for name in ("died", "arm", "sex", "stage")})
    record = of_two_factors(stratify="stage").holding(frame.assign(time=rng.uniform(1, 40, 200)))
    assert [record.stratified_by(name) for name in ("", "stage", "sex", "sex,stage")] == ["", "", "", "stage"]
    names, options = ("", "sex", "sex,stage"), Options()
    sources = tables_of(record, names, options, Notes(lambda _: None))
    tasks = tasks_of(
        record, ("piecewise", "subgroups", "effects"), None, ("half-normal",), sources, (12.0,), options, ()
    )
    assert baseline_note(record, tasks) == (
        "patients.stratify stage: baseline hazards of each level in subgroups by sex,stage; "
        "one baseline hazard for all levels in piecewise and subgroups by sex"
    )
    assert baseline_note(of_two_factors(), tasks) == ""


def test_curves_beside_patients_are_told_to_be_unused():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.integers(0, 2, 200) for name in ("died", "arm", "sex", "stage")})
    record = of_two_factors().holding(frame.assign(time=rng.uniform(1, 40, 200)))
    told, silent = Notes(lambda _: None), Notes(lambda _: None)
    tables_of(record, ("",), Options(), silent)
    curves = tuple(Curve(arm=arm, file=f"{arm}.csv") for arm in ("control", "treatment"))
    tables_of(record.model_copy(update={"curve": curves}), ("",), Options(), told)
    assert [note for note in told if note not in silent] == [
        "the record names patients: its digitised curves are not used"
    ]


def test_a_level_without_deaths_cannot_have_a_baseline_of_its_own():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({name: rng.integers(0, 2, 200) for name in ("died", "arm", "sex", "stage")})
    frame = frame.assign(time=rng.uniform(1, 40, 200), died=frame["died"].where(frame["stage"].eq(0), 0))
    record = of_two_factors(stratify="stage").holding(frame)
    with pytest.raises(InputError, match=r"patients\.stratify: stage: cannot stratify the baseline: no death with"):
        fit(record, "subgroups")
