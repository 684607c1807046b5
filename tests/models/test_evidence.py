"""Meta-analysis against published poolings, closed forms, quadrature by scipy and the one-dimensional mixture."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from secondlook.data import load_record
from secondlook.data.evidence import studies_of
from secondlook.models.evidence import (
    Mixture,
    approximated,
    dersimonian_laird,
    effective_events,
    pool,
)

Z = stats.norm.ppf(0.975)


def printed(*rows):
    """Return log hazard ratios and SEs of printed ratios with 95% intervals."""
    y = [math.log(row[0]) for row in rows]
    return y, [math.log(row[2] / row[1]) / (2 * Z) for row in rows]


def built_in(*trials):
    studies = studies_of([load_record(trial) for trial in trials])
    return [one.log_hazard_ratio for one in studies], [one.standard_error for one in studies]


TATA, MF07 = (1.04, 0.81, 1.34), (0.66, 0.49, 0.88)
FIVE = built_in("mf07-01", "tata", "e2108", "jcog1017", "abcsg-28")
FOUR = built_in("tata", "e2108", "jcog1017", "abcsg-28")


@pytest.mark.parametrize(
    ("rows", "ratio", "lower", "upper", "tau_squared"),
    [
        (built_in("tata", "mf07-01"), 0.834, 0.534, 1.302, 0.084),  # Cochrane 2018: 0.83 (0.53-1.31)
        (printed(TATA, MF07), 0.834, 0.534, 1.302, 0.084),
        # Reinhorn 2021, 0.97 (0.72-1.29): E2108's first cut, its 90% interval read as 95%
        (printed(TATA, MF07, (1 / 0.691, 1 / 1.333, 1 / 0.358), (1.09, 0.80, 1.49)), 0.966, 0.723, 1.290, None),
        (FIVE, 0.931, 0.747, 1.161, 0.033),
        (FOUR, 1.002, 0.855, 1.174, 0.0),
    ],
)
def test_published_poolings(rows, ratio, lower, upper, tau_squared):
    found = dersimonian_laird(*rows)
    assert np.round(np.exp([found.estimate, *found.interval()]), 3).tolist() == [ratio, lower, upper]
    if tau_squared is not None:
        assert round(found.tau_squared, 3) == tau_squared


def test_heterogeneity_of_the_five_trials():
    found = dersimonian_laird(*FIVE)
    assert round(found.i_squared, 2) == 0.55
    assert found.q == pytest.approx(4 / (1 - found.i_squared))
    assert found.q_p == pytest.approx(stats.chi2(4).sf(found.q))
    assert found.weights.sum() == pytest.approx(1)
    low, high = found.prediction_interval
    half = stats.t(3).ppf(0.975) * math.hypot(found.standard_error, math.sqrt(found.tau_squared))
    assert (low, high) == pytest.approx((found.estimate - half, found.estimate + half))


def test_a_single_trial_has_neither_heterogeneity_nor_a_prediction_interval():
    found = dersimonian_laird([0.1], [0.2])
    assert (found.estimate, found.standard_error, found.tau_squared, found.i_squared) == (0.1, 0.2, 0.0, 0.0)
    assert math.isnan(found.q_p) and found.prediction_interval == (-math.inf, math.inf)


def expectations(y, s, tau_scale, *functions):
    """Return expectations of functions of mu and tau by Gauss-Legendre quadrature in two dimensions."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    mu, tau = np.meshgrid(3 * nodes, 3 * tau_scale * (nodes + 1))
    joint = weights * weights[:, None] * stats.norm.pdf(mu) * np.exp(-0.5 * (tau / tau_scale) ** 2)
    for estimate, error in zip(y, s, strict=True):
        joint = joint * stats.norm.pdf(estimate, mu, np.hypot(error, tau))
    return [(joint * function(mu, tau)).sum() / joint.sum() for function in functions]


def test_pool_agrees_with_quadrature_in_two_dimensions():
    """Two trials; expectations of mu, tau, the first trial's effect and a new trial's probability of benefit."""
    y, s = [-0.4155, 0.0392], [0.149, 0.128]
    found = pool(y, s, tau_scale=0.5)

    def effect(mu, tau):
        return mu + tau**2 / (tau**2 + s[0] ** 2) * (y[0] - mu)

    both, mean_tau, benefit, first = expectations(
        y, s, 0.5, np.add, lambda _, tau: tau, lambda mu, tau: stats.norm.cdf(0, mu, tau), effect
    )
    assert float(found.weights @ found.tau) == pytest.approx(mean_tau, abs=1e-5)
    assert found.average.mean == pytest.approx(both - mean_tau, abs=1e-5)
    assert float(found.predicted.cdf(0.0)) == pytest.approx(benefit, abs=1e-4)
    assert found.shrunken(0).mean == pytest.approx(first, abs=1e-5)


def test_without_heterogeneity_pooling_is_conjugate():
    """As tau's scale goes to 0 the average is the fixed effect's, with the prior as one more estimate."""
    y, s = map(np.array, FIVE)
    found = pool(y, s, tau_scale=1e-4)
    precision = (s**-2).sum() + 1
    assert found.average.mean == pytest.approx((y / s**2).sum() / precision, abs=1e-6)
    assert found.average.sd == pytest.approx(precision**-0.5, abs=1e-6)
    for place in range(5):
        assert found.shrunken(place).quantile(0.975) == pytest.approx(found.average.quantile(0.975), abs=1e-4)
    assert found.predicted.mean == found.average.mean


def test_quantiles_invert_the_distribution():
    predicted = pool(*FOUR).predicted
    for probability in (0.001, 0.025, 0.5, 0.9):
        assert float(predicted.cdf(predicted.quantile(probability))) == pytest.approx(probability, abs=1e-9)
    tau = pool(*FOUR).tau_quantile
    assert 0 < tau(0.025) < tau(0.5) < tau(0.975)


def test_one_component_approximates_by_mean_and_sd():
    """The normal of least divergence has the mixture's own mean and SD."""
    exact = Mixture(np.array([0.3, 0.7]), np.array([0.5, -0.2]), np.array([0.2, 0.4]))
    (found,) = [approximated(exact, 1).mixture]
    assert (found.means[0], found.sds[0]) == pytest.approx((exact.mean, exact.sd), abs=1e-6)


def test_a_mixture_of_two_is_found_again():
    exact = Mixture(np.array([0.6, 0.4]), np.array([0.0, 0.3]), np.array([0.1, 0.5]))
    found = approximated(exact, 2)
    assert found.error < 1e-4
    assert np.sort(found.mixture.sds) == pytest.approx([0.1, 0.5], abs=1e-3)


def test_mixture_density_integrates_to_its_distribution():
    mixture = Mixture(np.array([0.6, 0.4]), np.array([0.0, 0.3]), np.array([0.1, 0.5]))
    below, _ = integrate.quad(lambda x: float(mixture.density(x)), -6, 0.2, points=[0.0])
    assert float(mixture.cdf(0.2)) == pytest.approx(below, abs=1e-8)


@pytest.mark.parametrize("sd", [0.1, 0.3, 1.0])
def test_effective_events_of_a_normal(sd):
    """4/s^2: a trial of that many deaths, arms of equal size, has this standard error."""
    normal = Mixture(np.ones(1), np.array([0.2]), np.array([sd]))
    assert effective_events(normal) == pytest.approx(4 / sd**2, rel=1e-6)


def test_effective_events_of_a_mixture_are_expected_curvature():
    mixture = Mixture(np.array([0.5, 0.5]), np.array([0.0, 0.3]), np.array([0.15, 1.0]))

    def curvature(x, step=1e-4):
        before, here, after = (np.log(mixture.density(x + shift)) for shift in (-step, 0, step))
        return -(before - 2 * here + after) / step**2

    x = np.linspace(-5, 5, 20_001)
    expected = float((curvature(x) * mixture.density(x)).sum() * (x[1] - x[0]))
    assert effective_events(mixture) == pytest.approx(4 * expected, rel=1e-4)


def test_updating_is_conjugate_and_by_predictive_weights():
    mixture = Mixture(np.array([0.5, 0.5]), np.array([0.0, -0.3]), np.array([1.0, 0.2]))
    posterior = mixture.updated(-0.4155, 0.149)
    predicted = 0.5 * stats.norm.pdf(-0.4155, mixture.means, np.hypot(mixture.sds, 0.149))
    assert posterior.weights == pytest.approx(predicted / predicted.sum())
    density = [
        integrate.quad(lambda x: float(mixture.density(x)) * stats.norm.pdf(-0.4155, x, 0.149), -4, upper)[0]
        for upper in (-0.4, 4)
    ]
    assert float(posterior.cdf(-0.4)) == pytest.approx(density[0] / density[1], abs=1e-7)
