"""The effects model against quadrature, closed forms and other people's printed results.

Given tau, everything about mu and theta is normal in closed form (Rubin 1981), so the exact posterior is a mixture of
normals over tau: one-dimensional quadrature.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from secondlook.data import load_record
from secondlook.data.effect_sets import effect_sets
from secondlook.models.effects import NO_INFORMATION, effects, effects_data
from secondlook.models.priors import Prior

SCHOOLS = np.array([28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16])
SCHOOL_ERRORS = np.array([14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6])
SCEPTICAL = Prior("s", (0.0,), (0.3920,))
ROOM = (6, 5)  # of MF07-01's graph: its sets, and its question's trials


@dataclass(frozen=True)
class Mixture:
    """Normals with weights: an exact posterior."""

    weights: np.ndarray
    means: np.ndarray
    sds: np.ndarray

    def cdf(self, x):
        return float(self.weights @ stats.norm.cdf(x, self.means, self.sds))

    def quantile(self, probability):
        return brentq(lambda x: self.cdf(x) - probability, -200, 200, xtol=1e-10)

    @property
    def mean(self):
        return float(self.weights @ self.means)

    @property
    def sd(self):
        return math.sqrt(float(self.weights @ (self.sds**2 + (self.means - self.mean) ** 2)))


@dataclass(frozen=True)
class Exact:
    """The posterior by quadrature over tau, for one set of rows and a normal prior on mu."""

    tau: np.ndarray
    weights: np.ndarray
    mu: Mixture
    theta: list[Mixture]

    def tau_quantile(self, probability):
        middle = np.cumsum(self.weights) - self.weights / 2
        return np.interp(probability, middle, self.tau)


def exact_posterior(y, error, mean, sd, tau_prior, most, points=8001):
    """Integrate over tau in (0, most) by the midpoint rule on a grid that is dense near 0."""
    share = (np.arange(points - 1) + 0.5) / (points - 1)
    tau, width = most * share**2, 2 * most * share / (points - 1)
    total = error**2 + tau[:, None] ** 2  # of y about mu
    precision = (1 / total).sum(axis=1) + 1 / sd**2
    centre = ((y / total).sum(axis=1) + mean / sd**2) / precision
    quadratic = (y**2 / total).sum(axis=1) + mean**2 / sd**2 - centre**2 * precision
    log_weight = -0.5 * (np.log(total).sum(axis=1) + np.log(precision) + quadratic) + tau_prior.logpdf(tau)
    weights = np.exp(log_weight - log_weight.max()) * width
    weights = weights / weights.sum()
    theta = []
    for row, own in zip(y, error, strict=True):
        shrink = tau**2 / (tau**2 + own**2)
        means = centre + shrink * (row - centre)
        theta.append(Mixture(weights, means, np.sqrt(shrink * own**2 + (1 - shrink) ** 2 / precision)))
    return Exact(tau, weights, Mixture(weights, centre, precision**-0.5), theta)


@pytest.fixture(scope="module")
def exact_schools():
    return exact_posterior(SCHOOLS, SCHOOL_ERRORS, 0.0, 50.0, stats.halfcauchy(scale=25), 2000.0)


def test_eight_schools_quadrature_gives_the_printed_numbers(exact_schools):
    """As printed by bayesmeta, which approximates to about 1e-4 (its ``epsilon``)."""
    assert 1 - exact_schools.mu.cdf(0) == pytest.approx(0.9487521, abs=5e-5)
    assert exact_schools.mu.quantile(0.95) == pytest.approx(16.11009, abs=1e-3)
    assert exact_schools.tau_quantile(0.95) == pytest.approx(15.16589, abs=1e-3)
    assert exact_schools.tau_quantile(0.025) == pytest.approx(0.2199559, abs=1e-4)
    assert exact_schools.tau_quantile(0.975) == pytest.approx(18.0531718, abs=1e-3)


def test_eight_schools_sampled(sampled, agrees, exact_schools):
    prior = Prior("s", (0.0,), (50.0,))
    schools = sampled(
        "schools", effects([SCHOOLS], [SCHOOL_ERRORS], prior, tau_scale=25, tau_family="half-cauchy")
    ).isel(set=0)
    quantiles = (0.025, 0.05, 0.5, 0.95, 0.975)
    of_mu = {probability: exact_schools.mu.quantile(probability) for probability in quantiles}
    agrees(schools.mu, exact_schools.mu.mean, exact_schools.mu.sd, of_mu)
    agrees(schools.mu > 0, 0.9487521)
    agrees(schools.tau, quantiles={0.025: 0.2199559, 0.95: 15.16589, 0.975: 18.0531718})
    for school, exact in enumerate(exact_schools.theta):
        theta = schools.theta.isel(place=school)
        agrees(theta, exact.mean, exact.sd, {0.05: exact.quantile(0.05), 0.95: exact.quantile(0.95)})


@pytest.fixture(scope="module")
def sets():
    """MF07-01's six sets, which give one graph its shape."""
    found = effect_sets(load_record("mf07-01"))
    assert [row.label for row in found[1].effects] == ["ER/PR(+)", "ER/PR(-) HER2(+)", "Triple-negative"]
    y = [np.array([row.log_hazard_ratio for row in one.effects]) for one in found]
    return y, [np.array([row.standard_error for row in one.effects]) for one in found]


@pytest.fixture(scope="module")
def published(sampled, sets):
    data = effects_data(*sets, shape=ROOM)  # given anew: the graph may have been compiled with another prior
    return sampled("mf07 effects", effects(*sets, SCEPTICAL, shape=ROOM), prior=SCEPTICAL.padded(), **data)


@pytest.fixture(scope="module")
def single(sampled, sets):
    """Sample other people's single rows through the same graph, each as a set of its own, under one prior."""

    def run(rows, prior):
        y, error = [list(values) for values in sets]
        for place, row in enumerate(rows):
            y[place], error[place] = np.array([row[0]]), np.array([row[1]])
        data = effects_data(y, error, shape=ROOM)
        posterior = sampled("mf07 effects", effects(*sets, prior, shape=ROOM), prior=prior.padded(), **data)
        return [posterior.theta.isel(set=place, place=0) for place in range(len(rows))]

    return run


@pytest.mark.parametrize("part", [1, 2])
def test_receptor_rows_agree_with_quadrature(published, agrees, sets, part):
    y, error = (values[part] for values in sets)
    exact = exact_posterior(y, error, 0.0, 0.3920, stats.halfnorm(scale=0.25), 2.5)
    receptor = published.isel(set=part, place=slice(3))
    for draws, mixture in [(receptor.mu, exact.mu), *zip(receptor.theta.T, exact.theta, strict=True)]:
        values = draws.transpose("chain", "draw")
        agrees(values, mixture.mean, mixture.sd, {p: mixture.quantile(p) for p in (0.025, 0.5, 0.975)})
        agrees(values < 0, mixture.cdf(0))
    mean = float(exact.weights @ exact.tau)
    agrees(receptor.tau, mean, quantiles={p: exact.tau_quantile(p) for p in (0.5, 0.975)})


def test_andromeda_shock_is_conjugate(single, agrees):
    """Posted: 0.78 (0.59 to 1.04), P(HR < 1) 0.95; exact to three digits: 0.780 (0.587 to 1.038), 0.956."""
    error = math.log(1.02 / 0.75) / 1.959964
    exact = conjugate(math.log(0.75), error, 0.3920)
    assert np.round(np.exp(exact.ppf([0.5, 0.025, 0.975])), 3).tolist() == [0.780, 0.587, 1.038]
    assert round(exact.cdf(0), 3) == 0.956
    (theta,) = single([(math.log(0.75), error)], SCEPTICAL)
    agrees(theta, exact.mean(), exact.std(), {p: exact.ppf(p) for p in (0.025, 0.5, 0.975)})
    agrees(theta < 0, 0.956)


def conjugate(y, error, prior_sd):
    precision = 1 / error**2 + 1 / prior_sd**2
    return stats.norm(y / error**2 / precision, precision**-0.5)


def test_credibility_of_the_overall_result(single, agrees):
    """Matthews' sceptical limit: under a prior whose 95% interval ends there, the posterior's touches 1."""
    low, high = math.log(0.49), math.log(0.88)
    limit = -((low - high) ** 2) / (4 * math.sqrt(low * high))  # of the log hazard ratio
    sd = -limit / 1.959964
    y, error = (low + high) / 2, (high - low) / (2 * 1.959964)
    exact = conjugate(y, error, sd)
    assert exact.ppf(0.975) == pytest.approx(0, abs=1e-6)
    (theta,) = single([(y, error)], Prior("just credible", (0.0,), (sd,)))
    agrees(theta, exact.mean(), exact.std(), {0.975: 0.0})


def test_a_single_row_is_not_shrunk(published, agrees, sets):
    """Its tau is 0 and its theta is mu, whatever the other sets do."""
    for part in (0, 3, 4, 5):
        alone = published.isel(set=part)
        np.testing.assert_array_equal(alone.tau, 0)
        np.testing.assert_allclose(alone.theta.isel(place=0), alone.mu, rtol=1e-12)
        exact = conjugate(sets[0][part].item(), sets[1][part].item(), 0.3920)
        agrees(alone.mu, exact.mean(), exact.std(), {0.025: exact.ppf(0.025), 0.975: exact.ppf(0.975)})


def test_sets_are_filled_up_without_information():
    y, error, scale = effects_data([[0.1, 0.2, 0.3], [0.4]], [[1, 2, 3], [4]], tau_scale=0.5)["rows"]
    assert y.tolist() == [[0.1, 0.2, 0.3], [0.4, 0, 0]]
    assert error.tolist() == [[1, 2, 3], [4, NO_INFORMATION, NO_INFORMATION]]
    assert scale.tolist() == [[0.5] * 3, [0] * 3]
    y, error, scale = effects_data([[0.1, 0.2]], [[1, 2]], tau_scale=0.5, shape=(2, 3))["rows"]
    assert y.tolist() == [[0.1, 0.2, 0], [0, 0, 0]]
    assert error.tolist() == [[1, 2, NO_INFORMATION], [NO_INFORMATION] * 3]
    assert scale.tolist() == [[0.5] * 3, [0] * 3]


def test_log_density():
    """The marginal likelihood of y given mu and tau, the priors of mu, tau's sign and theta's deviations."""
    y, error = np.array([0.1, -0.5]), np.array([0.2, 0.4])
    prior = Prior("m", (0.0, -0.4), (1.0, 0.2), (0.5, 0.5))
    model = effects([y], [error], prior, tau_scale=0.3)
    rng = np.random.default_rng(2)
    log_density = model.compile_logp()
    differences = []
    for _ in range(4):
        point = {name: rng.normal(size=np.shape(value)) for name, value in model.initial_point().items()}
        mu, signed = point["mu"][0], point["signed_tau"][0]
        expected = stats.norm.logpdf(y, mu, np.hypot(error, 0.3 * signed)).sum() + float(prior.log_density(mu))
        expected += stats.norm.logpdf(signed) + stats.norm.logpdf(point["deviation"]).sum()
        differences.append(log_density(point) - expected)
    assert np.ptp(differences) < 1e-9  # the same but for a constant
