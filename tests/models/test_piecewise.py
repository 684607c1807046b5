"""Piecewise-exponential models: one interval against quadrature and Gamma, log densities against formulas."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from secondlook.data.table import survival_table
from secondlook.models.piecewise import (
    EFFECT_STEP_SD,
    EFFECT_STEP_SHAPE,
    EFFECT_TREND_SD,
    LEVEL_SD,
    STEP_SD,
    TREND_SD,
    log_time,
    piecewise,
    piecewise_data,
    walk_about_trend,
)
from secondlook.models.priors import Prior

MIXTURE = Prior("m", (0.0, -0.4), (1.0, 0.2), (0.5, 0.5))
DEATHS = np.array([[[[20.0, 15.5, 9.0], [12.0, 11.0, 8.25]]]])
EXPOSURE = np.array([[[[900.0, 700.0, 500.0], [950.0, 820.0, 640.0]]]])


@pytest.fixture(scope="module")
def table():
    return survival_table(
        DEATHS, EXPOSURE, DEATHS, [[[100, 100]]], [0, 6, 12, 30], trial="t", source="published", time_unit="months"
    )


def test_log_time_is_centred_at_the_deaths(table):
    pooled = DEATHS[0, 0].sum(axis=0)
    trend = log_time(table, pooled)
    assert pooled @ trend == pytest.approx(0, abs=1e-12)
    assert np.diff(trend) == pytest.approx(np.log([9 / 3, 21 / 9]))


def even(edges, deaths=10.0):
    """A table with equally many deaths in all intervals."""
    cells = np.full((1, 1, 2, len(edges) - 1), deaths)
    return survival_table(
        cells, 40 * cells, cells, [[[99, 99]]], edges, trial="t", source="published", time_unit="months"
    )


def plain_walk(middles, weights):
    """A centred random walk of independent steps, variance by the gap in years."""
    walk = np.tril(np.ones((len(middles), len(middles) - 1)), -1) * np.sqrt(np.diff(middles) / 12)
    return walk - weights @ walk / weights.sum()


@pytest.mark.parametrize("weights", [[30.0, 8.0, 50.0, 21.0, 4.0], [30.0, 0.0, 50.0, 21.0, 4.0]])
def test_the_walk_about_the_trend_is_what_a_regression_on_log_time_leaves_of_a_walk(weights):
    made, weights = even([0, 3, 6, 18, 40, 60]), 1000 * np.array(weights)
    whole, middles = plain_walk([1.5, 4.5, 12, 29, 50], weights), np.log([1.5, 4.5, 12, 29, 50])
    trend, about = log_time(made, weights), walk_about_trend(made, weights)
    np.testing.assert_allclose(np.diff(trend), np.diff(middles))
    assert about.shape == (5, 3)
    slopes = (weights * trend) @ whole / (weights @ trend**2)
    left = whole - np.outer(trend, slopes)
    np.testing.assert_allclose(about @ about.T, left @ left.T, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(weights @ about, 0, atol=1e-8)
    for intervals in (1, 2):
        assert walk_about_trend(even(range(intervals + 1)), np.ones(intervals)).shape == (intervals, 0)


def hand_written(table, prior, point, proportional):
    """Return the log density of a point, constants of the likelihood left out as in the model."""
    deaths, exposure = DEATHS[0, 0], EXPOSURE[0, 0]
    pooled = deaths.sum(axis=0)
    trend, basis = log_time(table, pooled), walk_about_trend(table, pooled)
    alpha = np.log(deaths.sum() / exposure.sum()) + LEVEL_SD * point["alpha_level"]
    alpha = alpha + TREND_SD * point["alpha_unit_trend"] * trend
    alpha = alpha + STEP_SD * np.exp(point["alpha_unit_sd_log__"]) * (basis @ point["alpha_steps"])
    log_ratio = point["beta"] * np.ones(3)
    density = stats.norm.logpdf(point["alpha_level"]) + prior.log_density(point["beta"])
    unit = stats.gamma(EFFECT_STEP_SHAPE, scale=1 / EFFECT_STEP_SHAPE)
    for name, of_unit_sd in (("alpha", stats.halfnorm()), ("omega", unit)):
        log_sd = point[f"{name}_unit_sd_log__"]
        density += of_unit_sd.logpdf(np.exp(log_sd)) + log_sd
        density += stats.norm.logpdf(point[f"{name}_steps"]).sum() + stats.norm.logpdf(point[f"{name}_unit_trend"])
    if not proportional:
        log_ratio = log_ratio + EFFECT_STEP_SD * np.exp(point["omega_unit_sd_log__"]) * (basis @ point["omega_steps"])
        log_ratio = log_ratio + EFFECT_TREND_SD * point["omega_unit_trend"] * trend
    eta = np.stack([alpha, alpha + log_ratio])
    return density + (deaths * eta - exposure * np.exp(eta)).sum()


@pytest.mark.parametrize("proportional", [True, False])
def test_log_density(table, proportional):
    model = piecewise(table, MIXTURE, proportional=proportional)
    log_density = model.compile_logp()
    rng = np.random.default_rng(1)
    for _ in range(3):
        point = {name: rng.normal(0, 0.3, np.shape(value)) for name, value in model.initial_point().items()}
        assert log_density(point) == pytest.approx(hand_written(table, MIXTURE, point, proportional), rel=1e-9)


def test_what_changes_over_time_is_centred_at_the_deaths_and_has_its_priors(table):
    """Prior draws: the prior on beta is one on the average log hazard ratio, whatever the grid."""
    model = piecewise(table, MIXTURE, proportional=False)
    names = ("omega", "omega_step_sd", "omega_trend", "alpha", "alpha_level", "alpha_trend")
    draws = pm.draw([model[name] for name in names], draws=8000, random_seed=2)
    omega, scale, slope, alpha, level, alpha_slope = draws
    pooled = DEATHS[0, 0].sum(axis=0)
    np.testing.assert_allclose(omega @ pooled, 0, atol=1e-9)
    crude = np.log(DEATHS.sum() / EXPOSURE.sum())
    np.testing.assert_allclose(alpha @ pooled / pooled.sum(), crude + LEVEL_SD * level, rtol=1e-9, atol=1e-9)
    trend, basis = log_time(table, pooled), walk_about_trend(table, pooled)
    for values, slopes, sd in ((omega, slope, EFFECT_TREND_SD), (alpha, alpha_slope, TREND_SD)):
        np.testing.assert_allclose(values @ (pooled * trend) / (pooled @ trend**2), slopes, atol=1e-3)
        assert slopes.std() == pytest.approx(sd, rel=0.03)
    about = (omega - slope[:, None] * trend) / scale[:, None]
    np.testing.assert_allclose(about.var(axis=0), (basis**2).sum(axis=1), rtol=0.06)
    assert (scale.mean(), scale.std()) == pytest.approx((EFFECT_STEP_SD, EFFECT_STEP_SD / 2), rel=0.03)


def test_the_grid_does_not_change_the_prior():
    """A trend between the first and last middle is the log of their ratio."""
    for edges in ([0, 24, 48, 72], [0, 12, 24, 36, 48, 60, 72]):
        made, first = even(edges), np.diff(edges)[0]
        weights = np.full(len(edges) - 1, 20.0)
        trend = log_time(made, weights)
        assert trend[-1] - trend[0] == pytest.approx(np.log((144 - first) / first))


@pytest.mark.parametrize(("early", "late"), [(3, 63), (9, 63), (33, 63)])
def test_the_grid_hardly_changes_the_prior_of_a_change_in_the_log_hazard_ratio(early, late):
    """Its SD between two times, intervals of six and of two months, deaths spread evenly over them."""
    sds = []
    for edges in (np.arange(0, 73, 6.0), np.arange(0, 73, 2.0)):
        made, weights = even(edges), np.ones(len(edges) - 1)
        first, last = (int(np.searchsorted(edges, time)) - 1 for time in (early, late))
        basis, trend = walk_about_trend(made, weights), log_time(made, weights)
        square = EFFECT_STEP_SD**2 * (1 + 1 / EFFECT_STEP_SHAPE)  # mean of the gamma variable's square
        variance = square * ((basis[last] - basis[first]) ** 2).sum()
        sds.append(np.sqrt(variance + (EFFECT_TREND_SD * (trend[last] - trend[first])) ** 2))
    assert sds[0] == pytest.approx(sds[1], rel=0.07)


def test_data_of_each_imputation_and_unit():
    """Years and months give the same basis; each imputation has its own."""
    arguments = {"trial": "t", "source": "published"}
    deaths = np.concatenate([DEATHS, 2 * DEATHS[..., ::-1]])
    exposure = np.concatenate([EXPOSURE, EXPOSURE])
    sizes, bounds = [[[100, 100]], [[100, 100]]], np.array([0, 6, 12, 30])
    months = survival_table(deaths, exposure, deaths, sizes, bounds, time_unit="months", **arguments)
    years = survival_table(deaths, exposure, deaths, sizes, bounds / 12, time_unit="years", **arguments)
    for imputation in (0, 1):
        ours = piecewise_data(months, imputation)["table"]
        np.testing.assert_array_equal(ours[:2], deaths[imputation, 0])
        np.testing.assert_array_equal(ours[2:4], exposure[imputation, 0])
        np.testing.assert_allclose(piecewise_data(years, imputation)["table"], ours, rtol=1e-12, atol=1e-12)
    assert np.abs(piecewise_data(months, 0)["table"][5:] - piecewise_data(months, 1)["table"][5:]).max() > 0.01


def test_the_overall_prior_is_the_mixture(table):
    model = piecewise(table, MIXTURE)
    log_prior = model.compile_logp(vars=[model["beta"]])
    point = model.initial_point()
    for value in (-1.5, -0.4, 0.0, 0.7):
        assert log_prior(point | {"beta": np.array(value)}) == pytest.approx(float(MIXTURE.log_density(value)))


# --- one interval: a walk with no step

ONE = {"deaths": np.array([300.0, 200.0]), "exposure": np.array([9000.0, 8500.0])}


@pytest.fixture(scope="module")
def one_interval(sampled):
    cells = [values[None, None, :, None] for values in (ONE["deaths"], ONE["exposure"], ONE["deaths"])]
    made = survival_table(*cells, [[[500, 500]]], [0, 60], trial="t", source="patients", time_unit="months")
    return sampled("one interval", piecewise(made, Prior("vague", (0.0,), (10.0,))))


def quadrature():
    """Return grids of level and log hazard ratio, and the posterior's weights: the model's priors, Poisson kernel."""
    crude = np.log(ONE["deaths"].sum() / ONE["exposure"].sum())
    level = np.linspace(-0.5, 0.5, 801)[:, None] + np.log(ONE["deaths"][0] / ONE["exposure"][0])
    beta = np.linspace(-0.9, 0.9, 901) + np.log(200 / 8500 / (300 / 9000))
    log_density = stats.norm.logpdf(level, crude, LEVEL_SD) + stats.norm.logpdf(beta, 0, 10)
    for arm in (0, 1):
        eta = level + arm * beta
        log_density = log_density + ONE["deaths"][arm] * eta - ONE["exposure"][arm] * np.exp(eta)
    weights = np.exp(log_density - log_density.max())
    return level[:, 0], beta, weights / weights.sum()


def quantile(grid, weights, probability):
    return float(np.interp(probability, np.cumsum(weights) - weights / 2, grid))


def test_one_interval_agrees_with_quadrature(one_interval, agrees):
    level, beta, weights = quadrature()
    alpha = one_interval.alpha.isel(interval=0)
    for draws, grid, marginal in (
        (alpha, level, weights.sum(axis=1)),
        (one_interval.beta, beta, weights.sum(axis=0)),
    ):
        exact = {probability: quantile(grid, marginal, probability) for probability in (0.025, 0.25, 0.5, 0.975)}
        sd = np.sqrt(marginal @ grid**2 - (marginal @ grid) ** 2)
        agrees(draws, marginal @ grid, sd, exact)
    log_rates = np.array([alpha.values.ravel(), one_interval.beta.values.ravel()])
    centred = [level - weights.sum(axis=1) @ level, beta - weights.sum(axis=0) @ beta]
    assert np.cov(log_rates)[0, 1] == pytest.approx(centred[0] @ weights @ centred[1], rel=0.1)


def test_one_interval_is_gamma_poisson(one_interval, agrees):
    """Under flat priors on the log rates they are Gamma(deaths, exposure), and their ratio a scaled F."""
    deaths, exposure = ONE["deaths"], ONE["exposure"]
    probabilities = np.array([0.025, 0.5, 0.975])
    rate = np.exp(one_interval.alpha.isel(interval=0))
    gamma = stats.gamma(deaths[0], scale=1 / exposure[0])
    crude = deaths[1] / exposure[1] / (deaths[0] / exposure[0])
    ratio = stats.f(2 * deaths[1], 2 * deaths[0], scale=crude)
    # the priors (SD 2 of the level, 10 of the effect) move 500 deaths by less than a thousandth
    level, beta, weights = quadrature()
    for grid, marginal, exact in ((level, weights.sum(axis=1), gamma), (beta, weights.sum(axis=0), ratio)):
        ours = [np.exp(quantile(grid, marginal, probability)) for probability in probabilities]
        np.testing.assert_allclose(ours, exact.ppf(probabilities), rtol=2e-3)
    agrees(rate, gamma.mean(), gamma.std(), dict(zip(probabilities, gamma.ppf(probabilities), strict=True)))
    agrees(np.exp(one_interval.beta), ratio.mean(), ratio.std())
