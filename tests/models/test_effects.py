"""The effects model against quadrature, closed forms and other people's printed results."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.data import InputError, load_record
from secondlook.data.effect_sets import effect_sets
from secondlook.data.reading import parse_record
from secondlook.models.effects import effects, effects_data
from secondlook.models.priors import Prior

SCHOOLS = [28.39, 7.94, -2.75, 6.82, -0.64, 0.63, 18.01, 12.16]
SCHOOL_ERRORS = [14.9, 10.2, 16.3, 11.0, 9.4, 11.4, 10.4, 17.6]


def quadrature(y, error, mean, sd, tau_density, mu_grid, tau_grid):
    """Return the joint posterior weights of mu and tau on a grid, effects integrated out."""
    y, error = np.asarray(y), np.asarray(error)
    mu, tau = np.meshgrid(mu_grid, tau_grid, indexing="ij")
    log_density = stats.norm(mean, sd).logpdf(mu) + tau_density.logpdf(tau)
    for value, standard_error in zip(y, error, strict=True):
        log_density += stats.norm.logpdf(value, mu, np.hypot(standard_error, tau))
    weights = np.exp(log_density - log_density.max()) * np.gradient(tau_grid)[None, :]
    return weights / weights.sum()


def quantile(grid, weights, probability):
    return np.interp(probability, np.cumsum(weights) - weights / 2, grid)


def test_eight_schools_quadrature_gives_the_printed_numbers():
    mu, tau = np.linspace(-60, 80, 2801), np.concatenate([np.linspace(0, 60, 3000), np.geomspace(60.1, 2000, 600)])
    weights = quadrature(SCHOOLS, SCHOOL_ERRORS, 0, 50, stats.halfcauchy(scale=25), mu, tau)
    of_mu, of_tau = weights.sum(axis=1), weights.sum(axis=0)
    assert of_mu[mu > 0].sum() + of_mu[mu == 0].sum() / 2 == pytest.approx(0.9487521, abs=2e-4)
    assert quantile(mu, of_mu, 0.95) == pytest.approx(16.11009, abs=0.02)
    assert quantile(tau, of_tau, 0.95) == pytest.approx(15.16589, abs=0.03)
    assert quantile(tau, of_tau, 0.025) == pytest.approx(0.2199559, abs=0.02)
    assert quantile(tau, of_tau, 0.975) == pytest.approx(18.0531718, abs=0.04)


@pytest.fixture(scope="module")
def schools(sampled):
    return sampled(
        effects([SCHOOLS], [SCHOOL_ERRORS], Prior("s", (0,), (50,)), tau_scale=25, tau_family="half-cauchy")
    )


def test_eight_schools_sampled(schools):
    mu, tau = (schools[name].to_numpy().ravel() for name in ("mu", "tau"))
    assert (mu > 0).mean() == pytest.approx(0.9487521, abs=0.01)
    assert np.quantile(mu, 0.95) == pytest.approx(16.11009, abs=0.5)
    assert np.quantile(tau, 0.95) == pytest.approx(15.16589, abs=0.7)
    assert np.quantile(tau, 0.025) == pytest.approx(0.2199559, abs=0.1)
    # shrinkage: each school's mean lies between its estimate and the common mean
    theta = schools["theta"].mean(("chain", "draw")).to_numpy()[0]
    assert ((theta - mu.mean()) * (np.array(SCHOOLS) - mu.mean()) > 0).all()
    assert (np.abs(theta - mu.mean()) < np.abs(np.array(SCHOOLS) - mu.mean())).all()


@pytest.fixture(scope="module")
def receptor(sampled):
    """MF07-01's first receptor set under half-normal tau, beside ANDROMEDA-SHOCK as a single row."""
    rows = effect_sets(load_record("mf07-01"))[1].effects
    y, error = [row.log_hazard_ratio for row in rows], [row.standard_error for row in rows]
    andromeda = math.log(1.02 / 0.75) / 1.959964
    posterior = sampled(effects([y, [math.log(0.75)]], [error, [andromeda]], Prior("s", (0,), (0.3920,))))
    return y, error, andromeda, posterior


def test_receptor_rows_agree_with_quadrature(receptor):
    y, error, _, posterior = receptor
    mu, tau = np.linspace(-2, 2, 1601), np.linspace(0, 1.5, 1501)
    weights = quadrature(y, error, 0, 0.3920, stats.halfnorm(scale=0.25), mu, tau)
    sampled_mu, sampled_tau = (posterior[name].isel(set=0).to_numpy().ravel() for name in ("mu", "tau"))
    assert sampled_mu.mean() == pytest.approx(weights.sum(axis=1) @ mu, abs=0.02)
    assert sampled_tau.mean() == pytest.approx(weights.sum(axis=0) @ tau, abs=0.02)
    shrink = tau**2 / (tau**2 + error[1] ** 2)
    exact = (weights * (mu[:, None] * (1 - shrink) + shrink * y[1])).sum()
    assert posterior["theta"].isel(set=0, place=1).mean().item() == pytest.approx(exact, abs=0.03)


def test_andromeda_shock_is_conjugate(receptor):
    _, _, error, posterior = receptor
    precision = 1 / error**2 + 1 / 0.3920**2
    mean, sd = math.log(0.75) / error**2 / precision, precision**-0.5
    assert np.exp([mean, mean - 1.959964 * sd, mean + 1.959964 * sd]) == pytest.approx(
        [0.780, 0.587, 1.038], abs=6e-4
    )
    assert stats.norm.cdf(0, mean, sd) == pytest.approx(0.956, abs=6e-4)
    theta = posterior["theta"].isel(set=1, place=0).to_numpy().ravel()
    assert theta == pytest.approx(posterior["mu"].isel(set=1).to_numpy().ravel())  # one row is not shrunk
    assert np.exp(np.quantile(theta, [0.5, 0.025, 0.975])) == pytest.approx([0.780, 0.587, 1.038], abs=0.02)
    assert (theta < 0).mean() == pytest.approx(0.956, abs=0.012)


def test_sets_are_filled_up_without_information():
    y, error, scale = effects_data([[0.1, 0.2, 0.3], [0.4]], [[1, 2, 3], [4]], tau_scale=0.5)["rows"]
    assert y[1].tolist() == [0.4, 0, 0]
    assert error[1, 1] > 1e5
    assert scale.tolist() == [[0.5] * 3, [0] * 3]


def test_overlapping_rows_are_refused():
    raw = {
        "schema": 1,
        "id": "overlapping",
        "title": "t",
        "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
        "factors": {"er": {"label": "ER", "levels": ["+", "-"]}, "her2": {"label": "HER2", "levels": ["+", "-"]}},
        "hazard_ratio": [
            {"label": "ER(+)", "where": {"er": "+"}, "estimate": "0.64", "ci": ["0.46", "0.91"]},
            {"label": "HER2(-)", "where": {"her2": "-"}, "estimate": "0.64", "ci": ["0.45", "0.91"]},
        ],
        "effects_set": [{"partition": "er", "rows": ["ER(+)", "HER2(-)"]}],
    }
    with pytest.raises(InputError, match=r"'ER\(\+\)' and 'HER2\(-\)': overlap: patients would count twice"):
        effect_sets(parse_record(raw))
