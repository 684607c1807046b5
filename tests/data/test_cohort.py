"""What papers print, against closed forms and lifelines."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy.stats import norm

from secondlook.data import cohort as measure
from secondlook.data.cohort import Cohort
from secondlook.data.estimators import cox

GRID = np.arange(0.0, 121.0)


def exponential(rate, censoring, patients=100.0, edges=GRID):
    """Return the expected cohort of an exponential arm, in closed form."""
    at_risk = patients * np.exp(-(rate + censoring) * edges)
    exposure = -np.diff(at_risk) / (rate + censoring)
    return Cohort(edges, at_risk, rate * exposure, exposure, censoring * exposure)


def counted(time, event, edges):
    """Return simulated patients on a grid; who is followed up to its end is at risk there."""
    at_risk = (time.size - np.searchsorted(np.sort(time), edges)).astype(float)
    deaths = np.histogram(time[event], edges)[0].astype(float)
    censored = -np.diff(at_risk) - deaths
    exposure = np.diff(np.minimum(time[:, None], edges).sum(axis=0))
    return Cohort(edges, at_risk, deaths, exposure, censored)


def simulated(rng, size, rate, censoring):
    death, end = rng.exponential(1 / rate, size), rng.exponential(1 / censoring, size)
    return np.minimum(death, end), death <= end


def test_without_censoring_the_estimate_is_the_fraction_alive():
    """Whatever the hazards: exp(-sum D/E dt) = R(t)/R(0), as R' = R exp(-r dt)."""
    rates = np.array([0.01, 0.2, 0.0001, 0.05])
    edges = np.array([0.0, 1.0, 4.0, 5.5, 12.0])
    at_risk = 80 * np.exp(-np.r_[0, np.cumsum(rates * np.diff(edges))])
    exposure = -np.diff(at_risk) / rates
    cohort = Cohort(edges, at_risk, rates * exposure, exposure, 0 * exposure)
    for edge, alive in zip(edges[1:], at_risk[1:], strict=True):
        assert measure.survival(cohort, edge) == pytest.approx(alive / 80, rel=1e-12)
    np.testing.assert_allclose(np.exp(-cohort.cumulative_hazard), at_risk / 80, rtol=1e-12)


@pytest.mark.parametrize("time", [1.0, 13.0, 36.0, 100.5])
def test_without_censoring_greenwood_is_the_binomial_variance(time):
    """The integral of dD/R^2 is 1/R(t) - 1/n; times S^2 that is S (1 - S) / n."""
    cohort = exponential(0.02, 0.0, 136.0)
    alive = np.exp(-0.02 * time)
    variance = measure.survival(cohort, time) ** 2 * measure.greenwood(cohort, time)
    # inside an interval the sum grows linearly, the integral does not: exact on the grid only
    exact = time == np.floor(time)
    assert variance == pytest.approx(alive * (1 - alive) / 136, rel=1e-10 if exact else 1e-4)


def test_greenwood_with_censoring_is_the_closed_integral():
    """D' = r R, R = n exp(-(r + k) t): the integral of r/R is r (exp((r + k) t) - 1) / (n (r + k))."""
    cohort = exponential(0.02, 0.015, 90.0)
    for time in (6.0, 36.0, 72.0):
        expected = 0.02 * np.expm1(0.035 * time) / (90 * 0.035)
        assert measure.greenwood(cohort, time) == pytest.approx(expected, rel=1e-10)


def test_an_exponential_arm_has_its_closed_forms():
    rate, censoring, patients = 0.02, 0.015, 200.0
    edges = np.linspace(0, 1000, 20001)  # far enough for everybody to have gone
    cohort = exponential(rate, censoring, patients, edges)
    total = rate + censoring
    assert cohort.patients == patients
    assert measure.mean_follow_up(cohort) == pytest.approx(1 / total, rel=1e-8)
    assert measure.sd_follow_up(cohort) == pytest.approx(np.sqrt(patients / (patients - 1)) / total, rel=1e-5)
    for probability in (0.25, 0.5, 0.75):
        expected = -np.log1p(-probability) / total
        assert measure.quantile_follow_up(cohort, probability) == pytest.approx(expected, rel=1e-10)
    assert measure.median_survival(cohort) == pytest.approx(np.log(2) / rate, rel=1e-10)
    assert measure.survival(cohort, 36.0) == pytest.approx(np.exp(-0.72), rel=1e-10)
    assert measure.number_at_risk(cohort, 36.0) == pytest.approx(200 * np.exp(-1.26), rel=1e-9)
    assert measure.share_followed_up_to(cohort, 36.0) == pytest.approx(1 - np.exp(-1.26), rel=1e-9)
    # the censored have the same exponential times as all others
    assert measure.median_follow_up_of_survivors(cohort) == pytest.approx(np.log(2) / total, rel=1e-5)


def test_those_at_risk_on_the_last_edge_count_as_survivors():
    """Nobody censored before the end but on the last edge: half of the survivors are not gone before it."""
    cohort = exponential(0.02, 0.001, 100.0, np.arange(0.0, 25.0))
    survivors = cohort.censored.sum() + cohort.at_risk[-1]
    share = measure.share_of_survivors_followed_up_to(cohort, 24.0)
    assert share == pytest.approx(cohort.censored.sum() / survivors, rel=1e-12)
    assert measure.median_follow_up_of_survivors(cohort) > 24


def test_sd_of_follow_up_of_counted_patients():
    rng = np.random.default_rng(3)
    time, event = simulated(rng, 300, 0.02, 0.01)
    cohort = counted(time, event, np.linspace(0, time.max() + 1e-6, 40001))
    assert measure.mean_follow_up(cohort) == pytest.approx(time.mean(), rel=1e-9)
    assert measure.sd_follow_up(cohort) == pytest.approx(time.std(ddof=1), rel=1e-4)


def test_quantile_near_agrees_with_the_crossing_where_it_is_expected():
    cohort = exponential(0.02, 0.015, 200.0)
    for probability in (0.25, 0.5, 0.75):
        exact = measure.quantile_follow_up(cohort, probability)
        for offset in (0.0, 0.4, -0.4):
            near = measure.quantile_near(
                lambda time: measure.share_followed_up_to(cohort, time), probability, exact + offset, 1.0
            )
            assert near == pytest.approx(exact, abs=0.005)
    # at time zero the window has no left half
    early = measure.quantile_near(lambda time: measure.share_followed_up_to(cohort, time), 0.01, 0.0, 1.0)
    assert early == pytest.approx(-np.log(0.99) / 0.035, abs=0.01)


def test_crossing_goes_on_beyond_the_last_edge():
    edges = np.array([0.0, 1.0, 3.0])
    cumulative = np.array([[0.0, 1.0, 2.0], [0.0, 4.0, 5.0]])
    np.testing.assert_allclose(measure.crossing(cumulative, edges, 0.5), [0.5, 0.125])
    np.testing.assert_allclose(measure.crossing(cumulative, edges, np.array([1.5, 4.5])), [2.0, 2.0])
    np.testing.assert_allclose(measure.crossing(cumulative, edges, np.array([3.0, 5.5])), [5.0, 4.0])


def test_median_on_an_edge_and_between_edges():
    cohort = exponential(np.log(2) / 36, 0.01)
    assert measure.median_survival(cohort) == pytest.approx(36.0, rel=1e-12)
    assert measure.median_survival(exponential(np.log(2) / 36.37, 0.01)) == pytest.approx(36.37, rel=1e-12)


@pytest.fixture(scope="module")
def two_arms():
    rng = np.random.default_rng(20181)
    grid = np.linspace(0.0, 100.0, 4001)
    arms = [simulated(rng, 800, rate, 0.008) for rate in (0.025, 0.017)]
    arms = [(np.minimum(time, grid[-1]), event & (time < grid[-1])) for time, event in arms]
    return arms, [counted(time, event, grid) for time, event in arms]


def test_cox_agrees_with_lifelines(two_arms):
    arms, cohorts = two_arms
    log_ratio, error = measure.cox(*cohorts)
    rows = pd.DataFrame(
        {
            "time": np.concatenate([time for time, _ in arms]),
            "event": np.concatenate([event for _, event in arms]).astype(int),
            "treatment": np.repeat([0.0, 1.0], 800),
        }
    )
    expected = CoxPHFitter().fit(rows, "time", "event").summary.loc["treatment"]
    assert log_ratio == pytest.approx(expected["coef"], abs=0.003)
    assert error == pytest.approx(expected["se(coef)"], rel=0.01)


def test_cox_of_a_constant_ratio_is_that_ratio():
    """Expected tables under proportional hazards: the score's root is the hazard ratio itself."""
    control, treatment = exponential(0.03, 0.01, 120.0), exponential(0.03 * 0.66, 0.02, 130.0)
    log_ratio, error = measure.cox(control, treatment)
    assert np.exp(log_ratio) == pytest.approx(0.66, rel=1e-9)
    assert error > 2 / np.sqrt(control.deaths.sum() + treatment.deaths.sum())  # information <= d / 4
    swapped, _ = measure.cox(treatment, control)
    assert swapped == pytest.approx(-log_ratio, rel=1e-9)


def test_cox_ignores_deaths_after_one_arm_has_gone():
    deaths, exposure = np.array([[5.0, 5, 0], [3, 4, 9]]), np.array([[50.0, 40, 0], [50, 45, 30]])
    log_ratio, error = cox(deaths, exposure)
    without = cox(deaths[:, :2], exposure[:, :2])
    assert log_ratio == pytest.approx(without[0], rel=1e-9)
    assert error == pytest.approx(without[1], rel=1e-9)


@pytest.mark.parametrize("arm", [0, 1])
def test_survival_and_log_log_limits_agree_with_lifelines(two_arms, arm):
    arms, cohorts = two_arms
    fitted = KaplanMeierFitter().fit(*arms[arm])
    limits = fitted.confidence_interval_
    for time in (12.0, 36.0, 60.0):
        assert measure.survival(cohorts[arm], time) == pytest.approx(fitted.predict(time), abs=0.0015)
        row = limits.loc[:time].iloc[-1]
        for quantile, expected in ((-1.959964, row.iloc[0]), (1.959964, row.iloc[1])):
            limit = measure.survival_limit(cohorts[arm], time, quantile, "log-log")
            assert limit == pytest.approx(expected, abs=0.0015)


def test_survival_limits_are_symmetric_on_their_scale():
    cohort = exponential(0.02, 0.01, 100.0)
    estimate, variance = measure.survival(cohort, 36.0), measure.greenwood(cohort, 36.0)
    scales = {
        "plain": (lambda s: s, estimate * np.sqrt(variance)),
        "log": (np.log, np.sqrt(variance)),
        "log-log": (lambda s: np.log(-np.log(s)), np.sqrt(variance) / -np.log(estimate)),
    }
    for transform, (scale, error) in scales.items():
        lower, upper = (measure.survival_limit(cohort, 36.0, z, transform) for z in (-1.5, 1.5))
        assert lower < estimate < upper
        assert (scale(upper) + scale(lower)) / 2 == pytest.approx(scale(estimate), abs=1e-12)
        assert abs(scale(upper) - scale(lower)) / 2 == pytest.approx(1.5 * error, rel=1e-12)


def test_cohorts_add_up():
    rng = np.random.default_rng(4)
    parts = [simulated(rng, size, 0.03, 0.01) for size in (40, 60, 25)]
    grid = np.arange(0.0, 400.0)
    total = measure.sum_of(counted(*part, grid) for part in parts)
    time, event = (np.concatenate(values) for values in zip(*parts, strict=True))
    at_once = counted(time, event, grid)
    for name in ("at_risk", "deaths", "exposure", "censored"):
        np.testing.assert_allclose(getattr(total, name), getattr(at_once, name), rtol=1e-12)
    assert total.patients == 125


def test_stacks_of_cohorts_are_measured_one_by_one():
    rates, censorings = np.array([0.01, 0.03]), np.array([0.02, 0.005])
    one = [exponential(rate, censoring) for rate, censoring in zip(rates, censorings, strict=True)]
    stacked = Cohort(
        GRID,
        *(np.stack([getattr(part, name) for part in one]) for name in ("at_risk", "deaths", "exposure", "censored")),
    )
    for function in (
        measure.median_survival,
        measure.mean_follow_up,
        measure.sd_follow_up,
        measure.median_follow_up_of_survivors,
        lambda cohort: measure.survival(cohort, 36.0),
        lambda cohort: measure.quantile_follow_up(cohort, 0.25),
        lambda cohort: measure.survival_limit(cohort, 36.0, 1.96, "log-log"),
        lambda cohort: measure.number_at_risk(cohort, 12.5),
    ):
        np.testing.assert_allclose(function(stacked), [function(part) for part in one], rtol=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
def test_normal_quantile(level):
    assert norm.cdf(measure.normal_quantile(level)) - norm.cdf(-measure.normal_quantile(level)) == pytest.approx(
        level
    )


def test_a_month_in_each_unit():
    """365.25 days a year."""
    assert {unit: length * 12 for unit, length in measure.MONTHS.items()} == pytest.approx(
        {"days": 365.25, "weeks": 365.25 / 7, "months": 12.0, "years": 1.0}
    )
