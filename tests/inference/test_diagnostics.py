"""The gate: each criterion fails where it must, and only it."""

import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats

from secondlook.inference.diagnostics import Diagnostics, diagnose, joined
from secondlook.inference.quantities import Draws, Quantity

QUANTITIES = (Quantity("hazard_ratio", "HR"), Quantity("median_control", "Median"))
SHAPE = (3, 2, 4, 500)  # imputation, quantity, chain, draw


def stats(energy=None, divergences=0):
    rng = np.random.default_rng(1)
    shape = (4, 500, 3)
    diverging = np.zeros(shape, dtype=bool)
    diverging[0, :divergences, 1] = True
    energy = rng.normal(size=shape) if energy is None else energy
    dims = ("chain", "draw", "imputation")
    return xr.Dataset({"diverging": (dims, diverging), "energy": (dims, energy)})


@pytest.fixture
def values():
    return np.random.default_rng(2).normal(size=SHAPE)


def diagnosed(values, **arguments):
    return diagnose(Draws(QUANTITIES, values), stats(**arguments))


@pytest.mark.parametrize("draws", [500, 499])
def test_independent_draws_pass(values, draws):
    values = values[..., :draws]
    found = diagnosed(values)
    assert found.sound.all() and found.enough.all()
    assert found.rhat.shape == (3, 2) and found.bfmi_min.shape == (3,)
    np.testing.assert_allclose(found.ess_bulk, 4 * draws, rtol=0.25)
    for imputation, quantity in np.ndindex(3, 2):  # as ArviZ has it, chain by chain
        ours = values[imputation, quantity]
        assert found.rhat[imputation, quantity] == pytest.approx(array_stats.rhat(ours, chain_axis=0, draw_axis=1))
        assert found.ess_bulk[imputation, quantity] == pytest.approx(array_stats.ess(ours, chain_axis=0, draw_axis=1))
        assert found.ess_tail[imputation, quantity] == pytest.approx(
            array_stats.ess(ours, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95))
        )


def test_a_chain_elsewhere_fails(values):
    values[1, 0, 0] += 1
    found = diagnosed(values)
    assert found.sound.tolist() == [True, False, True]
    assert (found.rhat > 1.01).sum() == 1


def test_chains_of_different_width_fail(values):
    """Same means: only the folded ranks see it."""
    values[2, 1, :2] *= 3
    assert diagnosed(values).sound.tolist() == [True, True, False]


def test_divergences_fail(values):
    found = diagnosed(values, divergences=2)
    assert found.divergences.tolist() == [0, 2, 0]
    assert found.sound.tolist() == [True, False, True]


def test_energy_that_wanders_fails(values):
    rng = np.random.default_rng(3)
    energy = rng.normal(size=(4, 500, 3))
    steps = rng.normal(size=500)
    energy[2, :, 1] = np.cumsum(steps)  # successive energies are alike: BFMI = mean squared step over variance
    found = diagnosed(values, energy=energy)
    expected = np.square(np.diff(energy[2, :, 1])).sum() / np.square(energy[2, :, 1] - energy[2, :, 1].mean()).sum()
    assert found.bfmi_min[1] == pytest.approx(expected, rel=0.02)
    assert found.bfmi_min[1] < 0.3
    assert found.sound.tolist() == [True, False, True]


def test_too_few_effective_draws_fail():
    """Autocorrelation 0.95 leaves about 150 of 6,000 draws; effective sizes add up over imputations."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=SHAPE)
    for draw in range(1, SHAPE[-1]):
        values[:, 1, :, draw] = 0.95 * values[:, 1, :, draw - 1] + np.sqrt(1 - 0.95**2) * values[:, 1, :, draw]
    found = diagnosed(values)
    assert found.enough.tolist() == [True, False]
    assert found.ess_bulk[:, 1].sum() < 300


@pytest.mark.parametrize(("tail", "bulk", "enough"), [(999, 3000, False), (3000, 999, False), (1000, 1000, True)])
def test_bulk_and_tail_both_count(tail, bulk, enough):
    found = Diagnostics(
        np.ones((2, 1)), np.array([[bulk - 400.0], [400]]), np.array([[tail - 400.0], [400]]), np.zeros(2), np.ones(2)
    )
    assert found.enough.tolist() == [enough]


def test_limits_are_inclusive():
    def sound(rhat, bfmi):
        ones = np.full((1, 1), 2000.0)
        return Diagnostics(np.full((1, 1), rhat), ones, ones, np.zeros(1), np.array([bfmi])).sound.item()

    assert sound(1.01, 0.3)
    assert not sound(1.0101, 0.3)
    assert not sound(1.01, 0.2999)


@pytest.mark.parametrize(("draws", "most"), [(4000, 1.01), (1000, 1.01), (500, 1.02), (200, 1.05)])
def test_stricter_settings_may_mend_what_chance_does_not_explain(draws, most):
    def mendable(rhat, divergences=0, bfmi=1.0):
        ones = np.full((1, 1), 2000.0)
        found = Diagnostics(np.full((1, 1), rhat), ones, ones, np.array([divergences]), np.array([bfmi]))
        return found.mendable(draws).item()

    assert not mendable(most - 1e-9)
    assert mendable(most + 1e-9)
    assert mendable(1.0, divergences=1)
    assert mendable(1.0, bfmi=0.29)


def test_chance_alone_is_seldom_held_to_be_a_fault():
    """Independent chains of 50 draws: most imputations of 15 quantities exceed 1.01 somewhere, none 1.2."""
    values = np.random.default_rng(8).normal(size=(50, 15, 4, 50))
    rhat = array_stats.rhat(values, chain_axis=-2, draw_axis=-1)
    ess = np.full(rhat.shape, 2000.0)
    found = Diagnostics(rhat, ess, ess, np.zeros(50), np.ones(50))
    assert found.sound.mean() < 0.5
    assert not found.mendable(50).any()


def test_a_quantity_that_does_not_vary_needs_no_draws(values):
    values[:, 1] = 0.0
    found = diagnosed(values)
    assert np.isnan(found.rhat[:, 1]).all()
    assert found.enough.tolist() == [True, True] and found.sound.all()


def test_infinite_draws_are_ranked_beyond_all_others(values):
    """As ranks count, an infinite median is as good as a very large one."""
    infinite, large = values.copy(), values.copy()
    late = values[:, 1] > 1.5
    infinite[:, 1][late], large[:, 1][late] = np.inf, 1e6
    for name in ("rhat", "ess_bulk", "ess_tail"):
        np.testing.assert_allclose(getattr(diagnosed(infinite), name), getattr(diagnosed(large), name), rtol=1e-9)


def test_reweighting_scales_effective_sizes(values):
    found = diagnosed(values)
    efficiency = np.array([[0.5, 0.1]] * 3)
    scaled = found.scaled(efficiency)
    np.testing.assert_allclose(scaled.ess_bulk, found.ess_bulk * efficiency)
    np.testing.assert_allclose(scaled.ess_tail, found.ess_tail * efficiency)
    assert scaled.enough.tolist() == [True, False]
    np.testing.assert_array_equal(scaled.rhat, found.rhat)


def test_imputations_are_joined_in_order(values):
    whole = diagnosed(values)
    parts = [diagnose(Draws(QUANTITIES, values[[i]]), stats().isel(imputation=[i])) for i in range(3)]
    for name in ("rhat", "ess_bulk", "ess_tail", "divergences", "bfmi_min"):
        np.testing.assert_allclose(getattr(joined(parts), name), getattr(whole, name))


def test_a_median_that_hardly_any_draw_reaches_is_no_failure(values):
    values[:, 1] = np.inf
    values[1, 1, 2, :3] = 40.0
    found = diagnosed(values)
    assert found.sound.all() and found.enough.all()
