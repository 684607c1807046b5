"""The overall effect with everything else integrated out, against conjugate formulas and quadrature."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from secondlook.inference.marginal import GivenRates, GivenSpread, marginal
from secondlook.models.priors import Prior

WEAK = Prior("weak", (0.0,), (1.0,))
PROBABILITIES = (0.025, 0.25, 0.5, 0.975)


def normal(mean, sd):
    return Prior(f"{mean},{sd}", (mean,), (sd,))


@pytest.fixture
def one_effect():
    """One printed effect: everything else is known, so that no draws matter."""
    return [GivenSpread(np.full(10, math.log(0.66)), np.full(10, 0.149**2))]


@pytest.mark.parametrize("prior", [WEAK, normal(0, 10), normal(0, 0.31), normal(-0.5, 0.3), normal(0.8, 0.1)])
def test_one_effect_under_a_normal_prior_is_the_conjugate_posterior(one_effect, normal_posterior, prior):
    exact = stats.norm(*normal_posterior(math.log(0.66), 0.149, prior.means[0], prior.sds[0]))
    found = marginal(one_effect, WEAK, [prior]).under(prior)
    assert [found.quantile(p) for p in PROBABILITIES] == pytest.approx(exact.ppf(PROBABILITIES), abs=2e-5)
    thresholds = [0.0, math.log(0.8), math.log(1.25), exact.ppf(0.9)]
    assert [found.below(x) for x in thresholds] == pytest.approx(exact.cdf(thresholds), abs=2e-5)


def test_a_mixture_prior_gives_a_mixture(one_effect, normal_posterior):
    prior = Prior("robust", (-0.4, 0.3), (0.2, 1.0), (0.7, 0.3))
    parts = [stats.norm(*normal_posterior(math.log(0.66), 0.149, m, s)) for m, s in ((-0.4, 0.2), (0.3, 1.0))]
    weights = np.array(prior.weights) * [
        stats.norm.pdf(math.log(0.66), mean, math.hypot(sd, 0.149)) for mean, sd in ((-0.4, 0.2), (0.3, 1.0))
    ]
    exact = sum(w * part.cdf(-0.3) for w, part in zip(weights / weights.sum(), parts, strict=True))
    assert marginal(one_effect, WEAK).under(prior).below(-0.3) == pytest.approx(exact, abs=2e-5)


def test_andromeda_shock():
    """Reference results, 2: HR 0.75 with upper limit 1.02, sceptical prior Normal(0, 0.392)."""
    error = (math.log(1.02) - math.log(0.75)) / stats.norm.ppf(0.975)
    given = [GivenSpread(np.array([math.log(0.75)]), np.array([error**2]))]
    found = marginal(given, WEAK).under(normal(0, 0.392))
    assert np.exp([found.quantile(p) for p in (0.5, 0.025, 0.975)]) == pytest.approx([0.780, 0.587, 1.038], abs=5e-4)
    assert found.below(0.0) == pytest.approx(0.956, abs=5e-4)


DEATHS, EXPOSURE = (101.0, 76.0), (4900.0, 5600.0)
ALPHA = stats.norm(math.log(0.02), 2.0)


def exact_below(threshold, prior):
    """P(b < threshold) of two exponential arms by quadrature over the control rate and the log hazard ratio."""

    def density(beta):
        a = np.linspace(-5, -3, 801)
        logs = DEATHS[0] * a - EXPOSURE[0] * np.exp(a) + DEATHS[1] * (a + beta) - EXPOSURE[1] * np.exp(a + beta)
        return np.exp(logs + ALPHA.logpdf(a) + 870).sum() * math.exp(float(prior.log_density(beta)))

    grid = np.linspace(-1.6, 0.8, 1201)
    values = np.array([density(beta) for beta in grid])
    cumulative = integrate.cumulative_simpson(values, x=grid, initial=0)
    return np.interp(threshold, grid, cumulative / cumulative[-1])


@pytest.fixture(scope="module")
def exponential():
    """Draws of the control rate of two exponential arms from its exact posterior under `weak`."""
    a, b = np.linspace(-4.6, -3.2, 701)[:, None], np.linspace(-1.6, 0.8, 481)
    logs = DEATHS[0] * a - EXPOSURE[0] * np.exp(a) + DEATHS[1] * (a + b) - EXPOSURE[1] * np.exp(a + b)
    weights = np.exp(logs + ALPHA.logpdf(a) + WEAK.log_density(b) + 870).sum(axis=1)
    cumulative = np.cumsum(weights) / weights.sum()
    draws = np.interp(np.random.default_rng(1).uniform(size=4000), cumulative, a.ravel())
    return marginal([GivenRates(DEATHS[1], EXPOSURE[1] * np.exp(draws))], WEAK, [normal(0.8, 0.1)])


@pytest.mark.parametrize("prior", [WEAK, normal(0, 0.3), normal(0, 0.14), normal(0.5, 0.3), normal(-0.5, 0.3)])
def test_two_exponential_arms_agree_with_quadrature(exponential, prior):
    """The control rate is drawn, the effect is not: far nearer than four thousand draws would be."""
    found = exponential.under(prior)
    for threshold in (-0.3, -0.15, 0.0):
        assert found.below(threshold) == pytest.approx(exact_below(threshold, prior), abs=0.006)
    assert exponential.k_hat(prior) < 0.7


def test_k_hat_tells_where_the_draws_do_not_reach(exponential):
    assert exponential.k_hat(WEAK) == 0.0
    assert exponential.k_hat(normal(0.8, 0.1)) > 0.7
    assert exponential.k_hat(normal(0.0, 1e-4)) == math.inf  # narrower than the grid
    assert exponential.k_hat(normal(11.0, 0.05)) == math.inf  # beyond the grid


def test_imputations_count_equally():
    """One imputation with many draws, one with few: the average of the two posteriors, whatever each is likely."""
    effects = ((-0.6, 2000), (-0.2, 50))
    given = [GivenSpread(np.full(number, y), np.full(number, 0.1**2)) for y, number in effects]
    sceptic = normal(0, 0.2)
    parts = [stats.norm(y * 0.8, 0.1 * math.sqrt(0.8)) for y, _ in effects]
    exact = np.mean([part.cdf(-0.3) for part in parts])
    assert marginal(given, WEAK, [sceptic]).under(sceptic).below(-0.3) == pytest.approx(exact, abs=1e-4)


def test_no_deaths_under_treatment():
    """The likelihood falls only towards harm: what holds the effect is the prior."""
    found = marginal([GivenRates(0.0, np.full(5, 3.0))], WEAK).under(WEAK)
    density = lambda b: math.exp(-3 * math.exp(b)) * stats.norm.pdf(b)  # noqa: E731
    total = integrate.quad(density, -9, 3)[0]
    assert found.below(-1.0) == pytest.approx(integrate.quad(density, -9, -1)[0] / total, abs=1e-4)
