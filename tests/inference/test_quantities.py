"""Reported quantities against closed forms."""

import numpy as np
import pytest
import xarray as xr

from secondlook.inference.quantities import Curves, curve_quantities, curves_of, ratio_quantities

EDGES = np.array([0.0, 6.0, 12.0, 30.0, 60.0])


def exponential(rate0, rate1):
    return Curves(EDGES, (np.full((1, 4), rate0), np.full((1, 4), rate1)))


def test_exponential_survival_rmst_and_median():
    curves = exponential(0.02, 0.05)
    for arm, rate in enumerate((0.02, 0.05)):
        for time in (3.0, 12.0, 45.0):
            assert curves.survival(arm, time) == pytest.approx(np.exp(-rate * time))
            assert curves.rmst(arm, time) == pytest.approx((1 - np.exp(-rate * time)) / rate)
        assert curves.median(arm) == pytest.approx(np.log(2) / rate)


def test_median_not_reached_is_infinite():
    assert exponential(0.005, 0.1).median(0) == np.inf


def test_rmst_is_the_integral_of_survival():
    rates = np.array([[0.01, 0.05, 0.02, 0.08]])
    curves = Curves(EDGES, (rates, rates))
    grid = np.linspace(0, 50, 20001)
    survival = np.array([curves.survival(0, time)[0] for time in grid])
    assert curves.rmst(0, 50.0)[0] == pytest.approx(np.trapezoid(survival, grid), rel=1e-6)


def test_average_hazard_ratio_is_the_hazard_ratio_when_hazards_are_proportional():
    rates = np.array([[0.01, 0.05, 0.02, 0.08]])
    assert Curves(EDGES, (rates, 0.6 * rates)).average_hazard_ratio(45.0) == pytest.approx(0.6)


def test_average_hazard_ratio_by_numerical_integration():
    first, second = np.array([[0.01, 0.05, 0.02, 0.08]]), np.array([[0.02, 0.02, 0.03, 0.01]])
    curves = Curves(EDGES, (first, second))
    grid = np.linspace(0, 60, 60001)
    s0, s1 = (np.array([curves.survival(arm, time)[0] for time in grid]) for arm in (0, 1))
    middle0, middle1 = (s0[:-1] + s0[1:]) / 2, (s1[:-1] + s1[1:]) / 2
    expected = (middle0 * -np.diff(s1)).sum() / (middle1 * -np.diff(s0)).sum()
    assert curves.average_hazard_ratio(60.0)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("proportional", [True, False])
def test_curves_of_a_posterior(proportional):
    rng = np.random.default_rng(1)
    alpha = xr.DataArray(rng.normal(-4, 0.1, (2, 5, 4)), dims=("chain", "draw", "interval"))
    beta = xr.DataArray(rng.normal(-0.4, 0.1, (2, 5)), dims=("chain", "draw"))
    omega = xr.DataArray(rng.normal(0, 0.1, (2, 5, 4)), dims=("chain", "draw", "interval"))
    posterior = xr.Dataset({"alpha": alpha, "beta": beta} | ({} if proportional else {"omega": omega}))
    curves = curves_of(posterior, EDGES)
    expected = beta.to_numpy()[..., None] + (0 if proportional else omega.to_numpy())
    assert np.log(curves.rates[1] / curves.rates[0]) == pytest.approx(np.broadcast_to(expected, (2, 5, 4)))
    found = {quantity.name: values for quantity, values in ratio_quantities(curves, (36.0,), proportional)}
    if proportional:
        assert found["hazard_ratio"] == pytest.approx(np.exp(beta.to_numpy()))
    else:
        assert found["hazard_ratio 36"] == pytest.approx(np.exp(beta + omega[..., 3]).to_numpy())


def test_differences_are_treatment_minus_control():
    found = {quantity.name: values for quantity, values in curve_quantities(exponential(0.05, 0.02), (36.0,))}
    assert found["survival_difference 36"] == pytest.approx(np.exp(-0.72) - np.exp(-1.8))
    assert found["median_difference"] == pytest.approx(np.log(2) * (50 - 20))
    never = {quantity.name: values for quantity, values in curve_quantities(exponential(0.05, 0.001), (36.0,))}
    assert never["median_difference"] == np.inf
