"""Kaplan-Meier, Greenwood, Cox and the test of proportional hazards against lifelines and closed forms."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.statistics import proportional_hazard_test
from scipy.optimize import minimize_scalar

from secondlook.data import cohort as measure
from secondlook.data import estimators, load_record
from secondlook.data.estimators import (
    confidence_limit,
    cox,
    cox_of_patients,
    kaplan_meier,
    kaplan_meier_of_table,
    proportional_hazards_test,
    risk_sets,
)
from secondlook.data.fields import ARMS
from secondlook.data.patient_table import patient_table
from secondlook.data.patients import read_patients
from secondlook.data.table import edges, survival_table

Z = 1.959963984540054


@st.composite
def patients(draw, *, late=True):
    """Whole numbers of months, so that many are tied, and one end of follow-up; some enter late, some die at once."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(12, 120))
    time, end = rng.geometric(draw(st.floats(0.05, 0.5)), size) - 1, draw(st.integers(3, 25))
    frame = pd.DataFrame({"time": np.minimum(time, end), "event": (time <= end) & (rng.random(size) < 0.8)})
    frame["treatment"] = rng.random(size) < 0.5
    frame["weight"] = rng.choice([0.5, 1.0, 2.0, 3.3], size) if draw(st.booleans()) else 1.0
    comes = late and draw(st.booleans())  # between two times
    frame["entry"] = np.where(comes & (rng.random(size) < 0.4), np.floor(rng.random(size) * frame["time"]) - 0.5, 0)
    frame["entry"] = frame["entry"].clip(lower=0.0)
    frame["stratum"] = rng.integers(0, 2, size) if draw(st.booleans()) else 0
    return frame.astype({"time": float})


def columns(frame, *names):
    return [frame[name].to_numpy() for name in names]


def of(frame, estimator, *names, **more):
    entry, weights = columns(frame, "entry", "weight")
    return estimator(*columns(frame, *names), entry if entry.any() else None, weights, **more)


@settings(max_examples=25, deadline=None)
@given(patients())
def test_kaplan_meier_and_greenwood_are_lifelines(frame):
    """Whole weights: lifelines' variance takes no others."""
    frame = frame.assign(weight=np.ceil(frame["weight"]))
    own = of(frame, kaplan_meier, "time", "event")
    time, event, entry, weight = columns(frame, "time", "event", "entry", "weight")
    curve = KaplanMeierFitter().fit(time, event, entry=entry if entry.any() else None, weights=weight)
    at = np.unique(time)
    survival = own.at(at)
    np.testing.assert_allclose(survival, curve.predict(at), atol=1e-10)
    inside = (survival > 1e-9) & (survival < 1 - 1e-9)
    limits = curve.confidence_interval_survival_function_.loc[at[inside]].to_numpy().T
    for quantile, limit in zip((-Z, Z), limits, strict=True):
        found = confidence_limit(survival[inside], own.variance_at(at[inside]), quantile, "log-log")
        np.testing.assert_allclose(found, limit, rtol=1e-6)
    assert np.isinf(own.variance_at(at[survival == 0])).all()


@pytest.mark.filterwarnings("ignore::lifelines.exceptions.StatisticalWarning")  # weights that are not whole
@settings(max_examples=25, deadline=None)
@given(patients())
def test_cox_is_lifelines(frame):
    strata = frame["stratum"].to_numpy()
    found, error = of(frame, cox_of_patients, "time", "event", "treatment", strata=strata)
    assume(abs(found) < 3 and error < 2)  # lifelines does not reach the others
    late = frame["entry"].any()
    at_zero = frame["time"].clip(lower=0.25) if late else frame["time"]  # lifelines wants time after entry
    model = CoxPHFitter().fit(
        frame.assign(time=at_zero).astype({"treatment": float, "entry": float}),
        "time",
        "event",
        weights_col="weight",
        entry_col="entry" if late else None,
        strata=["stratum"],
        formula="treatment",
        robust=False,
        fit_options={"precision": 1e-14, "r_precision": 1e-14},
    )
    row = model.summary.loc["treatment"]
    assert (found, error) == pytest.approx((row["coef"], row["se(coef)"]), rel=1e-5, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(patients())
def test_a_weight_of_two_is_two_patients_but_for_efrons_ties(frame):
    """Without ties, and of the curve always; rates of one interval are its deaths over its exposure."""
    frame = frame.assign(time=frame["time"] + np.linspace(0.01, 0.4, len(frame)), weight=2.0)
    twice = pd.concat([frame, frame]).assign(weight=1.0)
    at = np.linspace(0, frame["time"].max(), 9)
    one, two = (of(rows, kaplan_meier, "time", "event") for rows in (frame, twice))
    np.testing.assert_allclose(one.at(at), two.at(at), atol=1e-12)
    assert one.median == pytest.approx(two.median)


def test_who_enters_at_a_death_is_not_at_risk_and_who_enters_at_zero_is():
    """Kaplan-Meier (1 - 1/2)(1 - 1/2): at 1 patients a and b, at 2 c has come and a has gone."""
    time, event = np.array([1.0, 3.0, 2.0]), np.array([True, False, True])
    curve = kaplan_meier(time, event, np.array([0.0, 0.0, 1.0]))
    assert curve.at([0.9, 1.0, 2.0]).tolist() == [1.0, 0.5, 0.25]
    assert curve.before(1.0) == 1.0
    at_once = kaplan_meier(np.array([0.0, 1.0]), np.array([True, False]), np.array([0.0, 0.5]))
    assert at_once.at(0.0) == 0.0  # the other had not come


def test_a_median_is_reached_when_exactly_half_are_left():
    for size in range(2, 60, 2):
        curve = kaplan_meier(np.arange(1.0, size + 1), np.ones(size, dtype=bool))
        assert curve.median == size / 2
    assert kaplan_meier(np.array([1.0, 2, 3]), np.array([True, False, False])).median is None


def test_cox_without_a_maximum():
    """Deaths in one arm, in none, or while the other arm has nobody at risk."""
    at_risk = np.full((2, 2), 9.0)
    deaths = np.array([[[1.0, 1], [0, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]], [[1, 1], [1, 0]]])
    ratios, errors = cox(deaths, np.broadcast_to(at_risk, deaths.shape))
    assert ratios[:2].tolist() == [-math.inf, math.inf] and math.isnan(ratios[2]) and math.isfinite(ratios[3])
    assert errors[:3].tolist() == [math.inf] * 3
    alone = cox_of_patients(np.array([1.0, 2, 3, 4]), np.ones(4, bool), np.array([False, False, True, True]))
    assert alone == (-math.inf, math.inf)


def test_a_table_of_single_deaths_has_the_patients_fit():
    """Patients' risk sets are a table: its Cox fit, and its curve up to Greenwood's next order."""
    rng = np.random.default_rng(1)
    time, event, treatment = rng.exponential(30, 400), rng.random(400) < 0.7, rng.random(400) < 0.5
    sets = risk_sets(time, event, treatment)
    stacked = cox(np.stack([sets.deaths] * 3), np.stack([sets.at_risk] * 3))
    assert stacked[0] == pytest.approx([cox_of_patients(time, event, treatment)[0]] * 3, rel=1e-12)
    edges = np.append(0.0, np.unique(time))
    at_risk = np.append(400.0 - np.arange(400), 1e-6)
    order = np.argsort(time)
    died = event[order].astype(float)
    table = measure.Cohort(edges, at_risk, died, at_risk[:-1] * np.diff(edges), 1 - died)
    curve = kaplan_meier(time, event)
    assert measure.survival(table, 20.0) == pytest.approx(curve.at(20.0), abs=1e-3)
    assert measure.greenwood(table, 20.0) == pytest.approx(curve.variance_at(20.0), rel=0.01)


@settings(max_examples=25, deadline=None)
@given(patients(late=False), st.integers(0, 2**32 - 1))
def test_the_curve_of_patients_tables_is_theirs_but_for_the_order_within_an_interval(frame, seed):
    """Between the curves of all who are censored leaving before an interval's deaths, and after them."""
    assume(frame["event"].any())
    shifted = frame["time"] + np.random.default_rng(seed).random(len(frame))
    arm = pd.Categorical(np.where(frame["treatment"], "treatment", "control"), list(ARMS))
    table = patient_table(frame.assign(time=5 * shifted, arm=arm), load_record("gbsg2"))
    made, bounds = kaplan_meier_of_table(table).isel(imputation=0, stratum=0), edges(table)
    for name in ARMS:
        time, event = 5 * shifted[arm == name].to_numpy(), frame["event"].to_numpy()[arm == name]
        place = np.searchsorted(bounds, time)
        before = kaplan_meier(np.where(event, bounds[place], bounds[place - 1] + 1e-6), event).at(bounds[1:])
        after = kaplan_meier(bounds[place], event).at(bounds[1:])
        found = made.sel(arm=name).to_numpy()
        assert (found >= before - 1e-9).all() and (found <= after + 1e-9).all()


def test_the_curve_of_a_table_whose_patients_enter_late():
    """Four enter in the first interval; of eight at risk in the second two die."""
    facts = {"trial": "t", "source": "patients", "time_unit": "months"}
    counts = [np.broadcast_to(row, (1, 1, 2, 2)) for row in ([0.0, 2.0], [6.0, 7.0], [0.0, 6.0], [4.0, 0.0])]
    table = survival_table(*counts[:3], [[[8, 8]]], [0, 1, 2], entered=counts[3], **facts)
    np.testing.assert_allclose(kaplan_meier_of_table(table)[0, 0], [[1, 0.75]] * 2)


# --- proportional hazards -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gbsg2():
    rows = read_patients(load_record("gbsg2"))
    return rows.assign(treatment=rows["arm"].eq("treatment"))


@pytest.mark.parametrize(("transform", "rel"), [("km", 0.05), ("identity", 0.05), ("rank", 0.05)])
def test_proportional_hazards_of_gbsg2_are_near_lifelines(gbsg2, transform, rel):
    """Theirs is the classical test: variances of the deaths for their mean."""
    statistic, p = proportional_hazards_test(*columns(gbsg2, "time", "event", "treatment"), transform=transform)
    rows = gbsg2[["time", "event", "treatment"]].astype(float)
    model = CoxPHFitter().fit(rows, "time", "event")
    theirs = proportional_hazard_test(model, rows, time_transform=transform)
    assert statistic == pytest.approx(float(theirs.test_statistic.iloc[0]), rel=rel)
    assert p == pytest.approx(float(np.squeeze(theirs.p_value)), rel=0.02)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1.0, 1.0))
def test_the_classical_test_of_lifelines_follows_from_the_same_residuals(seed, change):
    """Schoenfeld's residuals of our risk sets give lifelines' statistic exactly."""
    rng = np.random.default_rng(seed)
    treatment = np.arange(600) % 2 == 1
    time = rng.exponential(1 / np.exp(change * treatment), 600)
    event, time = (time < 1.5), np.minimum(time, 1.5)
    rows = pd.DataFrame({"time": time, "event": event, "treatment": treatment.astype(float)})
    model = CoxPHFitter().fit(rows, "time", "event", fit_options={"precision": 1e-9})
    theirs = float(proportional_hazard_test(model, rows, time_transform="identity").test_statistic.iloc[0])
    sets = risk_sets(time, event, treatment)
    log_ratio, error = cox(sets.deaths, sets.at_risk)
    odds = np.exp(log_ratio) * sets.at_risk[1] / sets.at_risk[0]
    g = sets.time - sets.time.mean()
    score = (g * (sets.deaths[1] - odds / (1 + odds))).sum()
    assert theirs == pytest.approx(score**2 * error**2 * g.size / (g**2).sum(), rel=1e-4, abs=1e-8)


def test_the_test_is_the_score_test_of_an_effect_that_changes_with_time():
    """By brute force: slope and curvature of the profile likelihood of theta at 0, without ties."""
    rng = np.random.default_rng(3)
    treatment = np.arange(120) % 3 == 0
    time = rng.weibull(np.where(treatment, 1.6, 0.8))
    entry = np.where(rng.random(120) < 0.2, 0.3 * time, 0.0)
    event = rng.random(120) < 0.8

    def loss(b, theta):
        total = 0.0
        for own, at in zip(treatment[event], time[event], strict=True):
            effect = b + theta * at
            risk = (entry < at) & (time >= at)
            total += np.log(np.exp(effect * treatment[risk]).sum()) - effect * own
        return total

    def profile(theta):
        return minimize_scalar(loss, bounds=(-4, 4), args=(theta,), method="bounded", options={"xatol": 1e-9}).fun

    step = 0.01
    low, middle, high = (profile(theta) for theta in (-step, 0.0, step))
    slope, curvature = (high - low) / (2 * step), (high - 2 * middle + low) / step**2
    statistic, p = proportional_hazards_test(time, event, treatment, entry, transform="identity")
    assert statistic == pytest.approx(slope**2 / curvature, rel=1e-3)
    assert p == pytest.approx(math.erfc(math.sqrt(statistic / 2)), rel=1e-9)
    assert p < 0.05


def test_what_has_no_test_of_proportional_hazards():
    """One time of death, or deaths in one arm."""
    time, treatment = np.array([2.0, 2, 3, 3]), np.array([False, True, False, True])
    assert np.isnan(proportional_hazards_test(time, time == 2, treatment)).all()
    assert np.isnan(proportional_hazards_test(time, ~treatment & (time == 2), treatment)).all()


def test_examples_run():
    tested = doctest.testmod(estimators)
    assert tested.attempted >= 6 and not tested.failed
