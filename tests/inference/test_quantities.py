"""Reported quantities against closed forms."""

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad

from secondlook.inference.quantities import Curves, Quantity, curve_quantities, curves_of, ratio_quantities

EDGES = np.array([0.0, 6.0, 12.0, 36.0, 80.0])


def exponential(control, treatment, edges=EDGES):
    return Curves(edges, tuple(np.full((1, len(edges) - 1), rate) for rate in (control, treatment)))


@pytest.fixture
def crossing_hazards():
    """Treatment harmful first, then helpful; two draws."""
    control = np.array([[0.02, 0.03, 0.04, 0.02], [0.01, 0.01, 0.05, 0.03]])
    treatment = np.array([[0.05, 0.03, 0.01, 0.01], [0.02, 0.03, 0.02, 0.02]])
    return Curves(EDGES, (control, treatment))


def survival_by_hand(curves, arm, draw, time):
    rates, total = curves.rates[arm][draw], 0.0
    for rate, start, stop in zip(rates, EDGES[:-1], EDGES[1:], strict=True):
        total += rate * max(0.0, min(stop, time) - start)
    return np.exp(-total)


@pytest.mark.parametrize("time", [1.0, 6.0, 36.0, 59.5])
def test_an_exponential_arm_has_its_closed_forms(time):
    curves = exponential(0.02, 0.013)
    for arm, rate in ((0, 0.02), (1, 0.013)):
        assert curves.survival(arm, time) == pytest.approx(np.exp(-rate * time), rel=1e-13)
        assert curves.rmst(arm, time) == pytest.approx(-np.expm1(-rate * time) / rate, rel=1e-13)
        assert curves.median(arm) == pytest.approx(np.log(2) / rate, rel=1e-13)
    assert curves.hazard_ratio(time) == pytest.approx(0.65)


def test_restricted_mean_is_the_integral_of_the_curve(crossing_hazards):
    for arm, draw in np.ndindex(2, 2):
        for time in (4.0, 30.0, 60.0):
            points = [edge for edge in EDGES if 0 < edge < time] or None
            area, _ = quad(
                lambda t, a=arm, d=draw: survival_by_hand(crossing_hazards, a, d, t), 0, time, points=points
            )
            assert crossing_hazards.rmst(arm, time)[draw] == pytest.approx(area, rel=1e-9)


def test_median_is_where_the_curve_is_one_half(crossing_hazards):
    for arm in (0, 1):
        medians = crossing_hazards.median(arm)
        reached = np.isfinite(medians)
        for draw in np.flatnonzero(reached):
            assert survival_by_hand(crossing_hazards, arm, draw, medians[draw]) == pytest.approx(0.5, rel=1e-12)
        assert reached.any()


def test_a_median_beyond_the_last_interval_is_infinite():
    curves = exponential(np.log(2) / 79.99, np.log(2) / 80.01)
    assert curves.median(0) == pytest.approx(79.99)
    assert np.isinf(curves.median(1)).all()


@pytest.mark.parametrize("time", [3.0, 36.0, 60.0])
def test_average_hazard_ratio_is_the_ratio_under_proportional_hazards(time):
    baseline = np.array([[0.01, 0.05, 0.02, 0.04]])
    curves = Curves(EDGES, (baseline, 0.66 * baseline))
    assert curves.average_hazard_ratio(time) == pytest.approx(0.66, rel=1e-12)


def test_average_hazard_ratio_is_the_ratio_of_integrals(crossing_hazards):
    """The integral of S0 dF1 over that of S1 dF0 (Kalbfleisch and Prentice 1981), by quadrature."""

    def integrand(time, arm, draw):
        interval = min(np.searchsorted(EDGES, time, side="right") - 1, 3)
        both = survival_by_hand(crossing_hazards, 0, draw, time) * survival_by_hand(crossing_hazards, 1, draw, time)
        return both * crossing_hazards.rates[arm][draw, interval]

    for draw in (0, 1):
        integrals = [quad(integrand, 0, 60, args=(arm, draw), points=EDGES[1:4])[0] for arm in (0, 1)]
        expected = integrals[1] / integrals[0]
        assert crossing_hazards.average_hazard_ratio(60.0)[draw] == pytest.approx(expected, rel=1e-8)


def test_the_hazard_ratio_on_an_edge_is_that_before_it(crossing_hazards):
    expected = {0.0: 2.5, 3.0: 2.5, 6.0: 2.5, 6.01: 1.0, 36.0: 0.25, 60.0: 0.5}
    for time, ratio in expected.items():
        assert crossing_hazards.hazard_ratio(time)[0] == pytest.approx(ratio)


def posterior(omega=None):
    dims = ("chain", "draw", "interval")
    alpha = np.log([[[0.02, 0.03], [0.01, 0.04]]])
    variables = {"alpha": (dims, alpha), "beta": (dims[:2], np.log([[0.5, 0.8]]))}
    if omega is not None:
        variables["omega"] = (dims, omega)
    return xr.Dataset(variables)


def test_curves_of_a_posterior():
    curves = curves_of(posterior(), np.array([0.0, 12.0, 60.0]))
    np.testing.assert_allclose(curves.rates[0], [[[0.02, 0.03], [0.01, 0.04]]])
    np.testing.assert_allclose(curves.rates[1], [[[0.01, 0.015], [0.008, 0.032]]])
    moved = curves_of(posterior(np.log([[[2.0, 0.5], [1.0, 1.0]]])), np.array([0.0, 12.0, 60.0]))
    np.testing.assert_allclose(moved.rates[1], [[[0.02, 0.0075], [0.008, 0.032]]])


def test_what_is_reported_of_the_curves():
    curves = curves_of(posterior(), np.array([0.0, 12.0, 60.0]))
    found = {quantity.name: values for quantity, values in curve_quantities(curves, [36, 60])}
    assert len(found) == 2 * 6 + 3
    np.testing.assert_allclose(found["survival_control 36"], [[np.exp(-0.96), np.exp(-1.08)]])
    np.testing.assert_allclose(found["survival_treatment 36"], [[np.exp(-0.48), np.exp(-0.864)]])
    for estimand in ("survival", "rmst"):
        for time in (36, 60):
            arms = [found[f"{estimand}_{arm} {time}"] for arm in ("control", "treatment")]
            np.testing.assert_allclose(found[f"{estimand}_difference {time}"], arms[1] - arms[0])
    np.testing.assert_allclose(found["median_difference"], found["median_treatment"] - found["median_control"])


def test_differences_of_medians_that_are_not_reached():
    """Finite minus infinite is infinite; two infinite ones do not differ."""
    rates = np.array([0.05, 0.05, 0.001, 0.001]), np.array([0.04, 0.001, 0.05, 0.001])
    curves = Curves(np.array([0.0, 60.0]), tuple(rate[:, None] for rate in rates))
    values = {quantity.estimand: value for quantity, value in curve_quantities(curves, [])}
    expected = [np.log(2) / 0.04 - np.log(2) / 0.05, np.inf, -np.inf, 0.0]
    np.testing.assert_allclose(values["median_difference"], expected)


def test_which_ratios_are_reported():
    baseline = np.array([[0.01, 0.05, 0.02, 0.04]])
    curves = Curves(EDGES, (baseline, np.array([[2.0, 1.0, 0.5, 0.4]]) * baseline))
    (quantity, value), *rest = ratio_quantities(exponential(0.02, 0.01), [36], proportional=True)
    assert (quantity.name, value.item(), rest) == ("hazard_ratio", pytest.approx(0.5), [])
    found = {
        quantity.name: value.item() for quantity, value in ratio_quantities(curves, [36, 60], proportional=False)
    }
    assert found == {
        "average_hazard_ratio 60": pytest.approx(curves.average_hazard_ratio(60.0).item()),
        "hazard_ratio 36": pytest.approx(0.5),
        "hazard_ratio 60": pytest.approx(0.4),
    }


def test_names_and_directions():
    quantity = Quantity("survival_difference", "", 36.0, subgroup="er=+")
    assert quantity.name == "survival_difference 36 er=+"
    assert quantity.is_difference and not quantity.is_ratio
    assert Quantity("average_hazard_ratio", "").is_ratio
    assert not Quantity("interaction_sd", "").is_ratio and not Quantity("interaction_sd", "").is_difference
    contrast = Quantity("ratio_of_hazard_ratios", "", 60.0, "er=+", reference="er=-")
    assert contrast.is_contrast and not contrast.is_ratio and not quantity.is_contrast
