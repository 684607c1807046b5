"""Coordinates of a Poisson model's unknowns: they change nothing, and make its posterior nearly standard normal."""

import numpy as np
import pytest
from scipy.integrate import quad

from secondlook.models.geometry import geometry

SDS = np.array([0.4, 0.4, 0.25, 0.25, 0.25, 1.0, 1.0, 10.0])
TOGETHER = [np.array([0, 1]), np.array([2, 3, 4])]
KNOWN = np.ones(5, dtype=bool)


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(3)
    design = rng.normal(size=(40, 8))
    design[:, 4] = design[:, 7] - design[:, 2] - design[:, 3]  # three effects of one-hot levels beside an overall one
    exposure = rng.uniform(1e3, 3e3, 40)
    deaths = rng.poisson(exposure * np.exp(design @ rng.normal(scale=0.2, size=8))).astype(float)
    return design, deaths, exposure


def log_posterior(trial, theta, free, scale):
    design, deaths, exposure = trial
    eta = design @ np.append(theta, free)
    prior = ((theta / scale) ** 2).sum() + ((free / SDS[5:]) ** 2).sum()
    return deaths @ eta - exposure @ np.exp(eta) - prior / 2


def at(made, scale, u, v):
    """Unknowns, and the log of the Jacobian that depends on the scale."""
    left = 1 / (1 + made.information * scale**2)
    turned = scale * (left * made.score * scale + np.sqrt(left) * v)
    return made.rotation @ turned, made.free @ np.concatenate([u, turned, [1.0]]), np.log(scale * np.sqrt(left)).sum()


@pytest.mark.parametrize("scale", [0.1, 0.25, 2.0])
def test_the_posterior_is_nearly_standard_normal_whatever_the_scale(trial, scale):
    """The log density falls from its top as a standard normal's, along every coordinate and in any direction."""
    made = geometry(*trial, SDS, TOGETHER, KNOWN)
    rng = np.random.default_rng(1)

    def density(u, v):
        theta, free, _ = at(made, scale, u, v)
        return log_posterior(trial, theta, free, scale)

    top = density(np.zeros(3), np.zeros(5))
    for _ in range(20):
        u, v = np.split(rng.normal(size=8), [3])
        fall = top - density(u, v)
        assert fall == pytest.approx((u @ u + v @ v) / 2, rel=0.35)


def test_the_jacobian_is_that_of_the_map(trial):
    made = geometry(*trial, SDS, TOGETHER, KNOWN)
    rng = np.random.default_rng(2)
    u, v = np.split(rng.normal(size=8), [3])

    def log_volume(scale):
        step, columns = 1e-5, []
        for direction in np.eye(8):
            ends = [at(made, scale, u + way * direction[:3], v + way * direction[3:]) for way in (step, -step)]
            columns.append((np.append(*ends[0][:2]) - np.append(*ends[1][:2])) / (2 * step))
        return np.linalg.slogdet(np.array(columns))[1]

    ours = [at(made, scale, u, v)[2] for scale in (0.1, 1.0)]
    assert log_volume(1.0) - log_volume(0.1) == pytest.approx(ours[1] - ours[0], abs=1e-6)


def test_the_prior_of_a_scaled_unknown_stays_standard_normal():
    """With its Jacobian, the density of z over v integrates to a normal's whatever information and score are."""
    for information, score, scale in ((0.0, 0.0, 0.3), (40.0, -9.0, 0.3), (1e5, 3e3, 2.0)):
        left = 1 / (1 + information * scale**2)

        def density(v, left=left, score=score, scale=scale):
            return np.exp(-((left * score * scale + np.sqrt(left) * v) ** 2) / 2) * np.sqrt(left)

        centre, spread = -score * scale * np.sqrt(left), 1 / np.sqrt(left)
        total, _ = quad(density, centre - 12 * spread, centre + 12 * spread)
        assert total == pytest.approx(np.sqrt(2 * np.pi))


def test_linear_functions_are_the_same_in_both_coordinates(trial):
    made = geometry(*trial, SDS, TOGETHER, np.array([True, True, False, False, False]))
    rng = np.random.default_rng(4)
    rows, u, turned = rng.normal(size=(6, 9)), rng.normal(size=3), rng.normal(size=5)
    unknowns = np.concatenate([made.rotation @ turned, made.free @ np.concatenate([u, turned, [1.0]]), [1.0]])
    np.testing.assert_allclose(made.rewritten(rows) @ np.concatenate([u, turned, [1.0]]), rows @ unknowns)
    assert (made.information[2:] == 0).all() and (made.score[2:] == 0).all()  # plainly non-centred


def test_levels_that_add_up_to_the_overall_effect_leave_one_direction_to_the_prior(trial):
    made = geometry(*trial, SDS, TOGETHER, KNOWN)
    information = np.sort(made.information[2:])
    assert information[0] < 0.02 < 100 < information[1]
