"""Piecewise-exponential models: the log density against hand-written formulas."""

import numpy as np
import pytest
from scipy import stats

from secondlook.data.table import survival_table
from secondlook.models.piecewise import (
    EFFECT_STEP_SD,
    LEVEL_SD,
    STEP_SD,
    data_of,
    nonproportional,
    piecewise,
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


def test_walk_basis_is_a_centred_random_walk(table):
    basis = data_of(table, 0)["table"][4:].T
    pooled = DEATHS[0, 0].sum(axis=0)
    assert pooled @ basis == pytest.approx(np.zeros(2), abs=1e-10)
    gaps = np.diff([3, 9, 21]) / 12  # years between interval middles
    steps = np.diff(basis, axis=0)
    assert steps @ steps.T == pytest.approx(np.diag(gaps))  # independent steps, variance by the gap


def hand_written(table, prior, point, proportional):
    """Return the log density of a point, constants of the likelihood left out as in the model."""
    deaths, exposure = DEATHS[0, 0], EXPOSURE[0, 0]
    basis = data_of(table, 0)["table"][4:].T
    alpha = np.log(deaths.sum() / exposure.sum()) + LEVEL_SD * point["alpha_level"]
    alpha = alpha + np.exp(point["alpha_step_sd_log__"]) * (basis @ point["alpha_steps"])
    log_ratio = point["beta"] * np.ones(3)
    names = ["alpha"] if proportional else ["alpha", "omega"]
    density = stats.norm.logpdf(point["alpha_level"]) + prior.log_density(point["beta"])
    for name, scale in zip(names, (STEP_SD, EFFECT_STEP_SD), strict=False):
        log_sd = point[f"{name}_step_sd_log__"]
        density += stats.halfnorm(scale=scale).logpdf(np.exp(log_sd)) + log_sd
        density += stats.norm.logpdf(point[f"{name}_steps"]).sum()
    if not proportional:
        log_ratio = log_ratio + np.exp(point["omega_step_sd_log__"]) * (basis @ point["omega_steps"])
    eta = np.stack([alpha, alpha + log_ratio])
    return density + (deaths * eta - exposure * np.exp(eta)).sum()


@pytest.mark.parametrize(("build", "proportional"), [(piecewise, True), (nonproportional, False)])
def test_log_density(table, build, proportional):
    model = build(table, MIXTURE)
    log_density = model.compile_logp()
    rng = np.random.default_rng(1)
    for _ in range(3):
        point = {name: rng.normal(0, 0.3, np.shape(value)) for name, value in model.initial_point().items()}
        assert log_density(point) == pytest.approx(hand_written(table, MIXTURE, point, proportional), rel=1e-9)
