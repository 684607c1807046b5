"""Digitised curves: what files may look like, whole patients behind noisy points, and the round trip."""

import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter
from lifelines.datasets import load_gbsg2
from scipy.optimize import brentq

from secondlook.data import InputError
from secondlook.data.curves import rebuild_curves
from secondlook.data.curves.path import ArmCurve
from secondlook.data.curves.plausible import check_plausible
from secondlook.data.curves.rebuilding import fit_arm
from secondlook.data.estimators import cox_of_patients, kaplan_meier
from secondlook.data.outcomes import Survival
from secondlook.data.reading import parse_record
from secondlook.data.rebuilding import rebuild, with_curves
from secondlook.inference import Options
from secondlook.inference.sources import Notes, tables_of
from secondlook.inference.tasks import check_landmarks

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RISK_TIMES = [0, 12, 24, 36, 48]
POINTS = "time,survival\n0,1\n6,0.9\n12,0.8\n24,0.6\n36,0.5\n"
LOG_RATIO, DEATHS, MEDIANS = 0.014, 0.015, 0.02


@pytest.fixture(scope="module")
def study():
    sys.path.append(str(BENCHMARKS))  # as Python does for a script
    spec = importlib.util.spec_from_file_location("curves_study", BENCHMARKS / "curves.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def trial(study):
    return study.simulated(3, 400, 5)


@pytest.fixture(scope="module")
def published(study, trial, digitised, tmp_path_factory):
    """The record of a simulated trial with digitised curves, numbers at risk and an overall hazard ratio."""
    place, rng = tmp_path_factory.mktemp("curves"), np.random.default_rng(8)
    at_risk = []
    for arm, treated in (("control", False), ("treatment", True)):
        time, event = trial.time[trial.treatment == treated], trial.event[trial.treatment == treated]
        points = np.column_stack(study.digitised(time, event, trial.time.max(), rng))
        np.savetxt(place / f"{arm}.csv", points, fmt="%.4f", delimiter=",", header="time,survival", comments="")
        numbers = [int((time >= at).sum()) for at in RISK_TIMES]
        at_risk.append({"arm": arm, "times": RISK_TIMES, "patients": numbers})
    patients = {
        arm: int((trial.treatment == treated).sum()) for arm, treated in (("control", False), ("treatment", True))
    }
    return digitised(
        arms={arm: {"label": arm, "patients": number} for arm, number in patients.items()},
        at_risk=at_risk,
        hazard_ratio=[{"estimate": "0.80", "ci": ["0.60", "1.07"]}],
    ).located(place)


@pytest.fixture(scope="module")
def rebuilt(published):
    return rebuild_curves(published, imputations=2, seed=3)


def test_more_at_risk_than_alive_is_told_or_refused(located):
    def with_last(number):
        at_risk = [{"arm": "control", "times": [0, 24, 36], "patients": [100, 62, number]}]
        return located(at_risk=at_risk)

    assert "at risk at" not in " ".join(rebuild_curves(with_last(52), imputations=1).notes)
    told = "control has 55 of 100 at risk at 36, but its curve leaves no more than 50% alive"
    assert told in rebuild_curves(with_last(55), imputations=1).notes
    with pytest.raises(InputError, match=r"at_risk of control: 61 of 100 at risk at 36.*; check both, or set use"):
        rebuild_curves(with_last(61), imputations=1)
    at_risk = [{"arm": "control", "times": [0, 36], "patients": [100, 52]}]
    in_years = located(*[scaled(POINTS, 1 / 12)] * 2, at_risk=at_risk)
    with pytest.raises(InputError, match="at_risk goes on to 36, its curve to 3: give both in months"):
        rebuild_curves(in_years, imputations=0)
    at_risk = [{"arm": "control", "times": [0, 1, 3], "patients": [100, 80, 52]}]
    with pytest.raises(InputError, match="at_risk of control: ends at 3, its curve at 36; give both in months"):
        rebuild_curves(located(at_risk=at_risk), imputations=0)
    at_risk = [{"arm": "control", "times": [0, 12], "patients": [100, 80]}]
    told = rebuild_curves(located(at_risk=at_risk), imputations=0).notes
    assert "at_risk of control ends at 12, its curve at 36: are both in months?" in told


def test_patients_must_be_told(located):
    with pytest.raises(InputError, match=r"arms\.control\.patients: missing"):
        rebuild_curves(located(arms={"control": {"label": "C"}, "treatment": {"label": "T"}}))


# --- one arm ------------------------------------------------------------------------------------------------------


def arm_curve(study, time, event, table, deaths=None, jitter=0.0, end=None):
    x, y = study.drawn(time, event)
    at = np.linspace(0, x[-1], 120)
    error = jitter * np.random.default_rng(0).normal(size=120)
    survival = y[np.searchsorted(x, at, side="right") - 1] + error
    numbers = np.array([(time >= one).sum() for one in table])
    return ArmCurve(at, survival, np.array(table, dtype=float), numbers, deaths, end or float(at[-1]))


def test_a_clean_curve_gives_its_patients_back(study):
    """40 patients, all of whom die: every death is found, within a cell of the grid and a point of the curve."""
    time = np.sort(np.random.default_rng(1).exponential(20, 40))
    found, died = fit_arm(arm_curve(study, time, np.ones(40, dtype=bool), [0, 20])).patients()
    assert died.all()
    np.testing.assert_allclose(np.sort(found), time, atol=1.5 * time[-1] / 120)


def test_no_deaths_on_a_flat_tail(study):
    """Half die in a year, nobody later, and the rest are censored: however the numbers at risk fall, nobody dies."""
    rng = np.random.default_rng(2)
    time = np.concatenate([rng.uniform(0, 12, 60), rng.uniform(12, 60, 60)])
    event = np.arange(120) < 60
    fit = fit_arm(arm_curve(study, time, event, [0, 12, 24, 36, 48], jitter=0.004))
    for rng in (None, np.random.default_rng(3)):
        found, died = fit.patients(rng)
        assert (found[died] <= 13).all()
        assert died.sum() == pytest.approx(60, abs=1)
        np.testing.assert_array_equal([(found >= at).sum() for at in (12, 24, 36, 48)], fit.known.at_risk[1:])


@pytest.mark.parametrize(("with_deaths", "with_table"), [(True, False), (True, True), (False, True)])
def test_small_arms_meet_their_curve(with_deaths, with_table):
    """28 patients, points off by 0.0025: draws, and the typical one, miss them by little more than the true ones."""
    off = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        death, censored = rng.exponential(12, 28), rng.uniform(3, 30, 28)
        time, event = np.minimum(death, censored), death <= censored
        at = np.linspace(0, time.max(), 65)
        survival = kaplan_meier(time, event).at(at) + rng.normal(0, 0.0025, 65)
        table = np.arange(0, time.max() - 1, 6) if with_table else np.zeros(1)
        at_risk, deaths = (time[:, None] >= table).sum(axis=0), int(event.sum())
        known = ArmCurve(at, survival, table, at_risk, deaths if with_deaths else None, time.max())
        fit = fit_arm(known)
        sets = [(time, event), fit.patients(), fit.patients(np.random.default_rng(1))]
        off.append([np.abs(known.nearest(*patients, 0.003) - survival).mean() for patients in sets])
        for made, died in sets:
            np.testing.assert_array_equal((made[:, None] >= table).sum(axis=0), at_risk)
            assert died.sum() == pytest.approx(deaths, abs=0 if with_deaths else 2)
    true, typical, drawn = np.mean(off, axis=0)
    assert true < 0.002
    assert typical < 0.006
    assert drawn < 0.008


def test_sparse_points_do_not_exclude_deaths(located):
    """Between points at 12 and 36 survival at 24 lies between both: all of those who left may have died."""
    text = "time,survival\n0,1\n6,0.85\n12,0.7\n36,0.1\n48,0.1\n"
    at_risk = [{"arm": "control", "times": [0, 24, 48], "patients": [100, 30, 10]}]
    arms = with_deaths(90)
    made = rebuild_curves(located(text, text, at_risk=at_risk, arms=arms), imputations=0)
    assert made.patients.groupby("arm")["event"].sum()["control"] == 90
    assert any("hold the same points" in note for note in made.notes)


def test_nobody_dies_between_the_corners_of_a_step(study):
    """Drawn as corners: deaths are where the curve falls, to a 240th of follow-up, and nearly as many."""
    trial = study.simulated(2, 150, 5)
    time, event = (values[trial.treatment] for values in (trial.time, trial.event))
    table = np.linspace(0, time.max(), 6)[:-1]
    at_risk = np.array([(time >= at).sum() for at in table])
    known = ArmCurve(*study.drawn(time, event), table, at_risk, None, time.max())
    made, died = fit_arm(known).patients()
    off = np.abs(made[died][:, None] - time[event]).min(axis=1)
    assert off.max() < known.end / 240
    assert died.sum() == pytest.approx(event.sum(), abs=1)


def test_known_deaths_are_met(study, trial):
    time, event = trial.time[trial.treatment], trial.event[trial.treatment]
    known = arm_curve(study, time, event, [0.0, 12, 24, 36], int(event.sum()), jitter=0.005)
    fit = fit_arm(known)
    assert fit.patients()[1].sum() == event.sum()
    assert fit.patients(np.random.default_rng(1))[1].sum() == event.sum()
    alone = fit_arm(replace(known, risk_times=np.zeros(1), at_risk=known.at_risk[:1]))
    found, died = alone.patients()
    assert died.sum() == event.sum()
    assert found.size == time.size
    assert kaplan_meier(found, died).at(24.0) == pytest.approx(kaplan_meier(time, event).at(24.0), abs=0.02)


@pytest.fixture(scope="module")
def steady(study):
    """A curve of 400 patients whose follow-up ends at any time between 24 and 60 months, and their times."""
    rng = np.random.default_rng(4)
    death, closing = rng.exponential(50, 400), rng.uniform(24, 60, 400)
    time = np.minimum(death, closing)
    return arm_curve(study, time, death < closing, [0, 12, 24, 36, 48], jitter=0.005), time, death < closing


def test_censoring_goes_on_after_the_last_number_at_risk(study):
    """Two of five leave in the interval before: nothing says that the 143 who are left stay till the curve's end."""
    trial = study.simulated(12, 796, 11)
    time, event = trial.time[trial.treatment], trial.event[trial.treatment]
    table = trial.time.max() * np.arange(6) / 6
    for seed in range(3):
        points = study.digitised(time, event, trial.time.max(), np.random.default_rng(seed))
        numbers = np.array([(time >= at).sum() for at in table])
        found, died = fit_arm(ArmCurve(*points, table, numbers, None, float(points[0][-1]))).patients()
        assert (found >= 48).sum() < numbers[-1] / 2
        assert died.sum() == pytest.approx(event.sum(), abs=4)


def test_draws_keep_up_with_the_curve(study):
    """A death of 1,500 patients is two steps of the loss: what is rounded off must not add up to deaths."""
    rng = np.random.default_rng(4)
    death, closing = rng.exponential(50, 1500), rng.uniform(24, 60, 1500)
    known = arm_curve(study, np.minimum(death, closing), death < closing, [0, 12, 24, 36, 48], jitter=0.005)
    chain = fit_arm(known).chains[0]
    deaths = [chain.draw(np.random.default_rng(seed)) for seed in range(20)]
    assert min(map(min, deaths)) == 0
    totals = np.sum(deaths, axis=1)
    assert 0 < totals.std() < 1.5
    assert totals.mean() == pytest.approx((death < closing).sum(), rel=DEATHS)


def test_numbers_at_risk_are_right_by_construction(study, steady):
    time = np.sort(np.random.default_rng(1).exponential(20, 90))
    everyone = arm_curve(study, time, np.ones(90, dtype=bool), [0, 10, 20, 40], jitter=0.005)
    for known in (everyone, steady[0]):
        path = fit_arm(known).chains[0].path
        at_risk = path.at_risk[np.searchsorted(path.bounds, known.risk_times)]
        if known is everyone:  # all that the table loses are deaths
            np.testing.assert_array_less(at_risk - known.at_risk, 2)
        np.testing.assert_array_less(known.at_risk - 1e-6, at_risk)


def test_known_deaths_tell_when_the_censored_left(steady):
    """The same curve takes more deaths where more patients are at risk."""
    known = steady[0]
    alone = fit_arm(known).chains[0]
    more, fewer = (fit_arm(replace(known, events=round(alone.deaths.sum()) + by)).chains[0] for by in (6, -6))
    assert fewer.path.timing < 1 < more.path.timing
    assert fewer.path.at_risk.sum() < alone.path.at_risk.sum() < more.path.at_risk.sum()
    assert fewer.deaths.sum() < alone.deaths.sum() < more.deaths.sum()


def test_no_two_deaths_at_one_time(steady):
    found, died = fit_arm(steady[0]).patients()
    assert np.unique(found[died]).size == died.sum()


def test_the_usual_way_that_the_benchmark_compares_with(study, steady):
    guyot = importlib.import_module("guyot").guyot
    time = np.sort(np.random.default_rng(1).exponential(20, 40))
    found, died = guyot(arm_curve(study, time, np.ones(40, dtype=bool), [0, 20]))
    assert died.all()
    np.testing.assert_allclose(np.sort(found), time, atol=1.5 * time[-1] / 120)
    known = steady[0]
    found, _ = guyot(known)
    assert found.size == known.patients
    np.testing.assert_allclose([(found >= at).sum() for at in known.risk_times[1:]], known.at_risk[1:], atol=6)


def test_a_risk_table_longer_than_the_curve(study):
    time = np.concatenate([np.linspace(1, 20, 30), np.full(30, 40.0)])
    event = np.arange(60) < 30
    known = arm_curve(study, time, event, [0, 10, 20])
    shorter = known.time <= 24
    known = ArmCurve(
        known.time[shorter],
        known.survival[shorter],
        np.array([0.0, 10, 20, 36]),
        np.array([60, (time >= 10).sum(), 30, 30]),
        None,
        36.0,
    )
    found, died = fit_arm(known).patients()
    assert died.sum() == 30
    assert found[died].max() < 24
    assert (found >= 36).sum() == 30


def test_follow_up_ends_with_the_curve_where_the_risk_table_goes_on(located):
    steps = "\n".join(f"{month},{0.98**month:.4f}" for month in range(37))
    cut = "\n".join(f"{month},{0.98**month:.4f}" for month in range(28))
    arms = {"control": {"label": "C", "patients": 100, "events": 52}, "treatment": {"label": "T", "patients": 100}}
    at_risk = [{"arm": arm, "times": [0, 12, 24, 36], "patients": [100, 78, 62, 48]} for arm in arms]
    head = "time,survival\n"
    made = rebuild_curves(located(head + cut, head + steps, arms=arms, at_risk=at_risk), imputations=1)
    assert any("at_risk of control goes on to 36, its curve to 27 only" in note for note in made.notes)
    time, event = made.of_arm("control")
    assert time.max() <= 27
    assert abs(event.sum() - 100 * (1 - 0.98**27)) < 3  # not the 52 that include later deaths
    sheet = made.fit_sheet
    shown = sheet[sheet["item"].eq("at_risk") & sheet["arm"].eq("control")]
    assert list(shown["time"]) == [12, 24] and (shown["half_widths_off"] == 0).all()
    rows = made.patients
    log_ratio, _ = cox_of_patients(
        rows["time"].to_numpy(), rows["event"].to_numpy() == 1, rows["arm"].eq("treatment").to_numpy()
    )
    assert abs(log_ratio) < 0.06  # one curve in both arms


# --- a trial ------------------------------------------------------------------------------------------------------


def test_small_study(study):
    """One trial of the benchmark; that prints how far all of them are off."""
    for trial in (study.simulated(20, 1265, 1),):
        (made,) = study.rebuilt(trial, 1, 20, ways=["risk table"])["risk table"]
        log_ratio = [cox_of_patients(one.time, one.event, one.treatment)[0] for one in (trial, made)]
        assert abs(log_ratio[0] - log_ratio[1]) < LOG_RATIO
        assert made.event.sum() == pytest.approx(trial.event.sum(), rel=DEATHS)
        for treated in (False, True):
            medians = [
                kaplan_meier(one.time[one.treatment == treated], one.event[one.treatment == treated]).median
                for one in (trial, made)
            ]
            if None not in medians:
                assert medians[1] == pytest.approx(medians[0], rel=MEDIANS)


def nearly_all_dead(study):
    rng, treated = np.random.default_rng(0), np.arange(1000) % 2 == 1
    death, closing = rng.exponential(np.where(treated, 12, 8)), rng.uniform(16, 46, 1000)
    return study.Trial("0", np.minimum(death, closing), death <= closing, treated)


@pytest.mark.parametrize("made_by", [lambda study: study.simulated(16, 950, 1), nearly_all_dead])
def test_deaths_alone(study, made_by):
    """Without a risk table the arms' deaths tell when patients were censored: half a standard error off at most."""
    trial = made_by(study)
    (made,) = study.rebuilt(trial, 1, int(trial.name), ways=["deaths alone"])["deaths alone"]
    (truth, error), (found, _) = (cox_of_patients(one.time, one.event, one.treatment) for one in (trial, made))
    assert made.event.sum() == trial.event.sum()
    assert abs(found - truth) < 0.5 * error


def test_round_trip(rebuilt):
    sheet = rebuilt.fit_sheet
    points = sheet[sheet["item"] == "curve"]
    assert len(points) == 160
    off = (points["reproduced"] - points["printed"].astype(float)).abs()
    assert off.median() < 0.006
    assert off[points["arm"] == "treatment"].quantile(0.95) < 0.03
    np.testing.assert_allclose(off, points["half_widths_off"].abs() * points["half_width"], atol=1e-12)
    table = sheet[sheet["item"] == "at_risk"]
    np.testing.assert_array_equal(table["reproduced"], table["printed"].astype(float))
    ratio = sheet[sheet["item"] == "hazard_ratio"].iloc[0]
    assert not ratio["used"] and ratio["printed"] == "0.80"
    assert ratio["reproduced"] == pytest.approx(float(rebuilt.predicted("hazard_ratio").mean()), abs=0.03)
    with pytest.raises(KeyError):
        rebuilt.predicted("median")


def test_one_curve_gives_the_patients_of_its_arm(published, rebuilt):
    for arm, other in (("control", "treatment"), ("treatment", "control")):
        alone = published.model_copy(update={"curve": tuple(one for one in published.curve if one.arm == arm)})
        made = rebuild(
            parse_record(alone.model_dump(by_alias=True)).located(published._directory), imputations=2, seed=3
        )
        both = rebuilt.patients.query(f"arm == '{arm}'").reset_index(drop=True)
        pd.testing.assert_frame_equal(made.patients, both)
        assert f"no curve is given of {other}: {arm} alone is rebuilt" in made.notes
        assert set(made.fit_sheet.arm) == {arm}
        assert made.table.arm.to_numpy().tolist() == [arm]
        for name in ("deaths", "exposure", "patients"):
            whole = rebuilt.table[name].sel(arm=arm)
            sums = [
                table.sum([dim for dim in table.dims if dim != "imputation"]) for table in (made.table[name], whole)
            ]
            np.testing.assert_allclose(*sums)
        with pytest.raises(KeyError):
            made.predicted("hazard_ratio")
        with pytest.raises(InputError, match=f"curve: nothing of {other}: strata need both arms"):
            rebuild(made.record, "age")


def test_imputations_are_draws_and_stay(rebuilt):
    table = rebuilt.table
    assert table.attrs["source"] == "curves"
    assert table.sizes["imputation"] == 2
    np.testing.assert_array_equal(table.patients.isel(stratum=0), [[200, 200]] * 2)
    leaving = (table.deaths + table.censored).sum("interval").transpose("imputation", "stratum", "arm")
    np.testing.assert_array_equal(leaving, table.patients.transpose("imputation", "stratum", "arm"))
    assert (table.deaths.isel(imputation=0) != table.deaths.isel(imputation=1)).any()
    more = rebuilt.with_imputations(3)
    np.testing.assert_array_equal(more.table.deaths.isel(imputation=[0, 1]), table.deaths)
    lived = rebuilt.patients.groupby("arm")["time"].sum()
    assert float(table.exposure.isel(arm=0).sum("interval").mean()) == pytest.approx(lived["control"], rel=0.02)


FALLING, BETTER = (
    "time,survival\n" + "".join(f"{at},{monthly**at:.2f}\n" for at in range(0, 37, 2)) for monthly in (0.97, 0.985)
)


def with_deaths(control):
    arms = {"control": {"label": "C", "patients": 100}, "treatment": {"label": "T", "patients": 100}}
    return arms | {"control": arms["control"] | {"events": control}}


def censored_alike(followed, power_sd=1.25):
    """Return how many of 80 deaths are control's if ``followed(s)^p`` reach a share ``s``, and a weight."""
    time = np.linspace(0, 36, 20_001)
    kept = followed((time[1:] + time[:-1]) / 72)

    def deaths(power):
        return [-100 * (kept**power @ np.diff(yearly ** (time / 12))) for yearly in (0.97**12, 0.985**12)]

    power = np.exp(brentq(lambda log: sum(deaths(np.exp(log))) - 80, -5, 5))
    return deaths(power)[0], np.exp(-((np.log(power) / power_sd) ** 2) / 2)


def test_deaths_of_both_arms_are_shared_out_and_the_shares_vary(located):
    """200 patients, 66.6 and 42.0 deaths if nobody is censored, 80 in all: the same censoring in both arms."""
    made = rebuild_curves(located(FALLING, BETTER, totals={"events": 80}), imputations=6)
    ways = [lambda s, start=start: np.clip((1 - s) / (1 - start), 0, 1) for start in (0, 0.25, 0.5)]
    share, weight = np.transpose([censored_alike(way) for way in (*ways, lambda s: 1 - s / 2)])
    control = np.average(share, weights=weight)
    events = made.patients.groupby("arm")["event"].sum()
    assert events.to_dict() == {"control": round(control), "treatment": 80 - round(control)}
    deaths = made.table.deaths.sum(("stratum", "interval")).transpose("imputation", "arm").to_numpy()
    np.testing.assert_array_equal(deaths.sum(axis=1), 80)
    alone, hidden = np.array([66.6, 42.0]), np.array([66.6 - control, 42.0 - 80 + control])
    variance = 1 + hidden * (1 - hidden / alone) + (0.1 * hidden) ** 2
    between = np.average((share - control) ** 2, weights=weight)
    assert deaths[:, 0].std() == pytest.approx(np.sqrt(variance.prod() / variance.sum() + between), abs=0.4)
    assert any("no numbers at risk of control" in note for note in made.notes)
    assert any(
        f"only 80 of both: {control:.0f} of control and {80 - control:.0f} of treatment" in note
        for note in made.notes
    )
    rows = made.fit_sheet.query("item == 'deaths'")
    assert rows[["arm", "printed", "reproduced", "source"]].to_numpy().tolist() == [["", "80", 80.0, "totals"]]


def test_one_arm_has_the_deaths_that_the_other_leaves(located):
    record = located(FALLING, BETTER, arms=with_deaths(60), totals={"events": 95})
    made = rebuild_curves(record, imputations=2)
    deaths = made.table.deaths.sum(("stratum", "interval")).transpose("imputation", "arm").to_numpy()
    np.testing.assert_array_equal(deaths, [[60, 35]] * 2)
    assert made.fit_sheet.query("item == 'deaths'")["printed"].tolist() == ["60", "95"]


def test_what_is_missing_is_told(located):
    plain = rebuild_curves(located(FALLING, BETTER), imputations=1)
    told = "neither numbers at risk nor deaths of control: nobody is censored before the curve's end"
    assert any(told in note for note in plain.notes)
    other = rebuild_curves(located(FALLING, BETTER, endpoint="progression-free survival"), imputations=0)
    assert not any("death" in note for note in other.notes)
    assert plain.patients.groupby("arm")["event"].sum()["control"] == pytest.approx(100 * (1 - 0.97**36), abs=1)


AT_RISK = [{"arm": arm, "times": [0, 18, 36], "patients": [100, 50, 20]} for arm in ("control", "treatment")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": with_deaths(0)}, "arms.control.events: 0: must be 46 to 70 by the curve and numbers at risk;"),
        ({"arms": with_deaths(90)}, "90: must be 46 to 70 by the curve and numbers at risk;"),
        ({"totals": {"events": 30}}, "totals.events: 30: must be 66 to 110 by the curves and numbers at risk;"),
        ({"arms": with_deaths(60), "totals": {"events": 105}}, "totals.events less arms.control.events: 45: must be"),
    ],
)
def test_deaths_that_no_censoring_explains_are_refused(located, changes, message):
    """Survival falls to .578 at 18 and to .334 at 36: by 51 to 63 deaths of the control arm, give or take a tenth."""
    with pytest.raises(InputError, match=message):
        rebuild_curves(located(FALLING, BETTER, at_risk=AT_RISK, **changes), imputations=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"totals": {"events": 190}}, r"totals.events: 190: must be 1 to 1\d\d by the curves; check"),
        (
            {"arms": with_deaths(1)},
            r"arms.control.events: 1: with that half of the patients of control would be",
        ),
        ({"totals": {"events": 4}}, "totals.events: 4: with that"),
    ],
)
def test_deaths_with_which_nobody_would_be_followed_are_refused(located, changes, message):
    """Without numbers at risk all might be censored at once, but no trial is like that."""
    with pytest.raises(InputError, match=message):
        rebuild_curves(located(FALLING, BETTER, **changes), imputations=0)


def test_arms_that_are_followed_unlike_each_other_are_told(located):
    events = {"control": 25, "treatment": 40}  # nobody is censored before the end if they are 67 and 42
    arms = {arm: {"label": arm, "patients": 100, "events": number} for arm, number in events.items()}
    told = " ".join(rebuild_curves(located(FALLING, BETTER, arms=arms), imputations=0).notes)
    assert "half of the patients are censored by " in told and "as deaths of the arms imply: check them" in told
    arms["control"]["events"] = 62
    assert "are censored by" not in " ".join(rebuild_curves(located(FALLING, BETTER, arms=arms), imputations=0).notes)


def test_a_printed_hazard_ratio_that_the_curves_contradict_is_told(located):
    """Monthly survival of .97 and .985: a hazard ratio of log .985 / log .97 = .496."""
    deaths = {"control": 67, "treatment": 42}
    arms = {arm: {"label": arm, "patients": 100, "events": number} for arm, number in deaths.items()}
    made = rebuild_curves(located(FALLING, BETTER, arms=arms), imputations=0)

    def notes(printed):
        ratio = [{"estimate": printed, "ci": [f"{float(printed) * by:.2f}" for by in (0.7, 1.4)]}]
        return " ".join(check_plausible(located(FALLING, BETTER, arms=arms, hazard_ratio=ratio), made.fits))

    assert "is printed" not in notes("0.49")
    told = "the curves come to a hazard ratio of 0.49, but"
    assert f"{told} 0.70 is printed: another endpoint, an adjusted ratio, or a fault?" in notes("0.70")
    assert f"{told} 2.02 is printed: are the arms exchanged?" in notes("2.02")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_known_deaths_under_early_censoring_leave_the_curve_where_it_is(study, seed):
    """Half of the patients are censored in 5 months, half died in 18: hardly anybody is seen at the end."""
    rng = np.random.default_rng(seed)
    death, censored = rng.exponential(26, 300), rng.exponential(7, 300)
    time, event = np.minimum(death, censored), death <= censored
    at, survival = study.digitised(time, event, time.max(), rng)
    known = ArmCurve(at, survival, np.array([0.0]), np.array([300]), int(event.sum()), float(at[-1]))
    fit = fit_arm(known)
    off = np.abs(kaplan_meier(*fit.patients()).at(at) - survival)
    many = np.array([(time >= when).sum() >= 10 for when in at])
    assert off[many].mean() < 0.02 and np.median(off) < 0.05  # a step of the last few is larger
    assert fit.chains[0].deaths.sum() == pytest.approx(event.sum(), rel=0.05)
    half_censored = kaplan_meier(time, ~event).median
    assert kaplan_meier(fit.patients()[0], ~fit.patients()[1]).median == pytest.approx(half_censored, rel=0.25)


def scaled(text, by):
    header, *rows = text.splitlines()
    return "\n".join([header, *(f"{float(at) * by},{level}" for at, level in (row.split(",") for row in rows))])


def test_curves_in_different_units_are_refused(located):
    message = r"control\.csv: column time: ends at 3, that of treatment .* at 36; give both in months"
    with pytest.raises(InputError, match=message):
        rebuild_curves(located(scaled(FALLING, 1 / 12), BETTER), imputations=0)
    everybody = "time,survival\n0,1\n1,0.6\n2,0.2\n3,0\n"
    told = rebuild_curves(located(everybody, BETTER), imputations=0).notes
    assert "the curve of control ends at 3, that of treatment (treatment.csv) at 36" in " ".join(told)
    told = rebuild_curves(located(FALLING, scaled(BETTER, 4)), imputations=0).notes
    assert "the curve of control ends at 36, that of treatment (treatment.csv) at 144: what comes" in " ".join(told)
    told = rebuild_curves(located(FALLING, scaled(BETTER, 2)), imputations=0).notes
    assert "what comes later" not in " ".join(told)


def test_an_arm_without_deaths_is_refused(located):
    with pytest.raises(InputError, match=r"control\.csv: the curve of control does not fall: no deaths"):
        rebuild_curves(located("time,survival\n0,1\n12,1\n24,1\n", BETTER), imputations=0)


def test_nobody_is_at_risk_where_the_curve_leaves_nobody(located):
    """5 of 100 at risk are few enough to be told only, unless the curve has come to 0."""
    ends = "time,survival\n0,1\n6,0.5\n12,0\n24,0\n"
    at_risk = [{"arm": "control", "times": [0, 18], "patients": [100, 5]}, AT_RISK[1]]
    with pytest.raises(InputError, match="5 of 100 at risk at 18, but its curve leaves no more than 0% alive"):
        rebuild_curves(located(ends, BETTER, at_risk=at_risk), imputations=0)


def test_known_deaths_leave_the_last_steps_alone():
    """GBSG2's last death is a fall of 0.12 after 80 months: all 205 deaths, told, must not move it."""
    patients = load_gbsg2().query("horTh == 'no'")
    months, rng = patients["time"] / 30.4375, np.random.default_rng(1)
    curve = KaplanMeierFitter().fit(months, patients["cens"])
    time = np.linspace(0, months.max(), 80)
    survival = curve.survival_function_at_times(time).to_numpy()
    read = time + rng.normal(0, 0.4, 80).clip(-time), survival + rng.normal(0, 0.005, 80)
    read = tuple(axis[np.argsort(read[0])] for axis in read)
    table = np.arange(0.0, 73.0, 12.0)
    at_risk = np.array([(months >= at).sum() for at in table])
    found, died = fit_arm(ArmCurve(*read, table, at_risk, 205, float(read[0][-1]))).patients()
    assert died.sum() == 205
    assert kaplan_meier(found, died).at(80.0) == pytest.approx(0.348, abs=0.015)
    assert kaplan_meier(found, died).at(82.0) == pytest.approx(0.232, abs=0.015)


def test_strata_follow_the_curves(published, rebuilt):
    """Two like strata: the arms' curves come from the files, and the strata add up to them."""
    counts = [{"arm": arm, "where": {"sex": level}, "n": 100} for arm in ("control", "treatment") for level in "fm"]
    ratios = [
        *published.model_dump(mode="json", by_alias=True)["hazard_ratio"],
        {"where": {"sex": "f"}, "estimate": "0.70", "ci": ["0.46", "1.06"]},
    ]
    raw = published.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {
        "factors": {"sex": {"label": "Sex", "levels": ["f", "m"]}},
        "patients_count": counts,
        "hazard_ratio": ratios,
    }
    record = parse_record(raw).located(published.beside(""))
    made = rebuild(record, "sex", imputations=1, seed=1, curves=rebuilt)
    assert made.record is record
    assert made.table.attrs["source"] == "curves"
    told = with_curves(record, rebuilt)
    assert told.overall_hazard_ratio.source == "curve"
    sheet = made.fit_sheet.query("subgroup == 'overall' and item == 'survival'")
    assert (sheet["half_widths_off"].abs() < 1.5).all()
    deaths = made.table.deaths.sum(("stratum", "interval")).isel(imputation=0).to_numpy()
    events = rebuilt.patients.groupby("arm")["event"].sum()
    np.testing.assert_allclose(deaths, [events["control"], events["treatment"]], atol=0.2)


def software_table(time, event, corners):
    """A Kaplan-Meier table as software writes it: four decimals, a row for each death's time or both corners."""
    times = np.unique(time[event])
    after = kaplan_meier(time, event).at(times).round(4)
    if not corners:
        return np.append(0.0, times), np.append(1.0, after)
    before = np.append(1.0, after[:-1])
    ends = [[0.0, 1.0], *np.column_stack([np.repeat(times, 2), np.column_stack([before, after]).ravel()])]
    return np.array([*ends, [time.max(), after[-1]]][: None if time.max() > times[-1] else -1]).T


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("unit", [1e-3, 0.1, 1.0, 1.84])
@pytest.mark.parametrize("size", [20, 61, 300])
def test_tables_of_software_are_rebuilt_with_their_deaths(size, unit, corners):
    """Whatever the times are multiples of: thousandths, tenths, whole months, or scans every eight weeks."""
    rng = np.random.default_rng([size, int(unit * 1000)])
    logs, arms = [], []
    for hazard in (0.04, 0.03):
        death, closing = rng.exponential(1 / hazard, size), rng.uniform(12, 48, size)
        time, event = np.ceil(np.minimum(death, closing) / unit) * unit, death <= closing
        at = np.arange(0.0, time.max(), 12.0)  # numbers at risk count those who die then
        numbers = np.array([(time >= one).sum() for one in at])
        points = software_table(time, event, corners)
        known = ArmCurve(
            *points, at[numbers > 0], numbers[numbers > 0], None, max(points[0][-1], at[numbers > 0][-1])
        )
        if known.steps is None:  # a table of rows may not tell that it is one
            assert not corners
            pytest.skip("rows that may be points")
        arms.append((time, event))
        logs.append(fit_arm(known).patients())
        assert logs[-1][1].sum() == pytest.approx(event.sum(), abs=max(1, 0.02 * event.sum()))
    ratios = [
        cox_of_patients(np.concatenate(times), np.concatenate(events), np.repeat([False, True], size))
        for times, events in (zip(*arms, strict=True), zip(*logs, strict=True))
    ]
    assert ratios[1][0] == pytest.approx(
        ratios[0][0], abs=max(0.01, 0.35 * ratios[0][1])
    )  # when they were censored stays open


def test_everybody_dies_at_even_times():
    """The last step is to zero, and every corner lies on the grid."""
    time, event = np.repeat(np.arange(1, 21) * 0.5, 5), np.ones(100, dtype=bool)
    points = software_table(time, event, corners=True)
    at = np.arange(0.0, 10.5, 0.5)
    numbers = np.array([(time >= one).sum() for one in at])
    times, died = fit_arm(ArmCurve(*points, at, numbers, None, 10.0)).patients()
    np.testing.assert_array_equal(np.sort(times), time)
    assert died.all()


def test_steps_with_a_longer_risk_table_go_on_flat(located):
    """Thirty patients: deaths at six times, then nobody for as long again."""
    times, numbers = [1.3, 2.1, 3.7, 4.2, 5.9, 7.7], range(29, 23, -1)
    rows = "time,survival\n0,1\n" + "".join(
        f"{at},{left / 30:.4f}\n" for at, left in zip(times, numbers, strict=True)
    )
    arms = {arm: {"label": arm, "patients": 30, "events": 6} for arm in ("control", "treatment")}
    at_risk = [{"arm": arm, "times": [0, 6, 15], "patients": [30, 25, 20]} for arm in arms]
    made = rebuild_curves(located(rows, rows, arms=arms, at_risk=at_risk, landmarks=[12]), imputations=1)
    assert any("it is flat up to there" in note for note in made.notes)
    assert made.patients.groupby("arm").event.sum().tolist() == [6, 6]
    assert made.patients.time.max() == 15


@pytest.mark.parametrize("known", ["table", "events", "nothing"])
def test_a_landmark_after_all_of_an_arm_have_died_is_none(located, known):
    """Control is dead by 20 months, a fifth of treatment lives on: 30 months is reported."""
    error = np.random.default_rng(1).normal(0, 0.004, 60)

    def points(end, left):
        time = np.linspace(0, end, 60)
        survival = np.r_[1, (1 - (1 - left) * time / end + error)[1:-1].clip(0, 1), left]
        return "time,survival\n" + "".join(
            f"{at:.2f},{value:.4f}\n" for at, value in zip(time, survival, strict=True)
        )

    def tables(left):
        arms = {arm: {"label": arm, "patients": 100} for arm in ("control", "treatment")}
        if known == "events":
            arms["control"]["events"] = round(100 * (1 - left))
        numbers = [100, round(100 - (1 - left) * 50), 0 if left == 0 else 20]
        at_risk = [{"arm": "control", "times": [0, 10, 20], "patients": numbers}] if known == "table" else []
        record = located(points(20, left), points(40, 0.2), arms=arms, at_risk=at_risk, landmarks=[12, 30])
        return record, tables_of(record, [""], Options(imputations=4), Notes(lambda _: None))[""].tables

    record, table = tables(0.0)
    check_landmarks(record, table, Options())
    later = Survival(arm="control", time=30.0, estimate="0%")
    sheet = rebuild_curves(record.model_copy(update={"survival": (later,)}), imputations=1).fit_sheet
    assert sheet.set_index("item").loc["survival", "reproduced"] == 0
    told = r"landmarks: 30: must lie within the rebuilt survival, up to (19\.5|20) months"
    with pytest.raises(InputError, match=told):
        check_landmarks(*tables(0.2), Options())
