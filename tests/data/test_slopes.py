"""Slopes of printed quantities against central differences."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from secondlook.data import cohort as measure
from secondlook.data.cohort import Cohort
from secondlook.data.estimators import TRANSFORMS
from secondlook.data.reconstruction import slopes

NAMES = ("at_risk", "deaths", "exposure", "censored")
TIME = 17.3


def simulated(patients, rate, seed):
    """One group on a monthly grid with uneven rates."""
    rng = np.random.default_rng(seed)
    edges = np.arange(41.0)
    death, censoring = rate * np.exp(0.3 * rng.standard_normal(40)), 0.007 * np.exp(0.1 * rng.standard_normal(40))
    at_risk = patients * np.exp(-np.append(0.0, np.cumsum(death + censoring)))
    exposure = -np.diff(at_risk) / (death + censoring)
    return Cohort(edges, at_risk, death * exposure, exposure, censoring * exposure)


CONTROL, TREATMENT = simulated(100.0, 0.03, 1), simulated(120.0, 0.022, 2)


def differences(function, cohorts, changed):
    """Derivatives of a function of cohorts with respect to one of them, by central differences."""
    result = {}
    for name in NAMES:
        base = getattr(cohorts[changed], name)
        result[name] = np.empty_like(base)
        for place in range(base.size):
            step = 1e-5 * max(1.0, abs(base[place])) * (np.arange(base.size) == place)
            ends = []
            for sign in (1, -1):
                moved = list(cohorts)
                moved[changed] = replace(cohorts[changed], **{name: base + sign * step})
                ends.append(float(function(*moved)))
            result[name][place] = (ends[0] - ends[1]) / (2 * step[place])
    return result


def assert_slope(slope, function, cohorts, changed=0):
    expected = differences(function, cohorts, changed)
    scale = max(np.abs(values).max() for values in expected.values())
    assert scale > 0
    for name, values in expected.items():
        np.testing.assert_allclose(slope.get(name, 0.0), values, atol=1e-6 * scale, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("deaths", {}),
        ("percent_dead", {}),
        ("survival", {"time": TIME}),
        ("greenwood", {"time": TIME}),
        *(
            ("survival_limit", {"time": TIME, "quantile": quantile, "transform": transform})
            for transform in TRANSFORMS
            for quantile in (-1.96, 1.96)
        ),
        ("share_dead_by", {"time": TIME}),
        ("smooth_median_survival", {"window": 6.0}),
        ("mean_follow_up", {}),
        ("sd_follow_up", {}),
        ("number_at_risk", {"time": TIME}),
        ("number_at_risk", {"time": 12.0}),
        ("share_followed_up_to", {"time": TIME}),
        ("share_of_survivors_followed_up_to", {"time": TIME}),
    ],
)
def test_slopes_are_the_derivatives_of_the_measures(name, arguments):
    function = partial(getattr(measure, name), **arguments)
    assert_slope(getattr(slopes, name)(CONTROL, **arguments), function, [CONTROL])


def test_slope_of_a_quantile():
    def quantile(cohort):
        return measure.quantile_near(partial(measure.share_followed_up_to, cohort), 0.5, 20.0, 1.0)

    share, slope = (partial(module.share_followed_up_to, CONTROL) for module in (measure, slopes))
    assert_slope(slopes.quantile_near(share, slope, 0.5, 20.0, 1.0), quantile, [CONTROL])


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("arm", [0, 1])
def test_slopes_of_cox(part, arm):
    found = slopes.cox(CONTROL, TREATMENT)[part][arm]
    assert_slope(found, lambda *groups: measure.cox(*groups)[part], [CONTROL, TREATMENT], arm)


def test_a_flat_interval_keeps_greenwoods_slope_finite():
    at_risk = np.array([100.0, 100.0 - 1e-7, 90.0])
    nobody = Cohort(np.arange(3.0), at_risk, np.array([1e-8, 9.0]), np.array([100.0, 95.0]), np.array([9e-8, 1.0]))
    slope = slopes.greenwood(nobody, 2.0)
    assert all(np.isfinite(values).all() for values in slope.values())


def test_the_smooth_median_of_an_exponential_is_its_median():
    edges = np.arange(61.0)
    at_risk = 50 * np.exp(-0.03 * edges)
    exposure = -np.diff(at_risk) / 0.03
    exponential = Cohort(edges, at_risk, 0.03 * exposure, exposure, 0 * exposure)
    assert measure.smooth_median_survival(exponential, 6.0) == pytest.approx(np.log(2) / 0.03, rel=1e-9)
    long = Cohort(edges[:13], at_risk[:13], 0.03 * exposure[:12], exposure[:12], 0 * exposure[:12])
    assert measure.smooth_median_survival(long, 6.0) == pytest.approx(np.log(2) / 0.03, rel=1e-9)  # beyond the grid


@pytest.mark.parametrize("gone", ["control", "treatment"])
def test_slopes_of_cox_after_one_arm_has_gone(gone):
    last = np.arange(40) >= 35

    def ended(cohort):
        return replace(
            cohort, deaths=np.where(last, 0.0, cohort.deaths), exposure=np.where(last, 0.0, cohort.exposure)
        )

    def shortened(cohort):
        return replace(cohort, deaths=cohort.deaths[:35], exposure=cohort.exposure[:35])

    cohorts = [ended(one) if name == gone else one for name, one in (("control", CONTROL), ("treatment", TREATMENT))]
    for found, expected in zip(
        slopes.cox(*cohorts), slopes.cox(shortened(CONTROL), shortened(TREATMENT)), strict=True
    ):
        for arm, alone in zip(found, expected, strict=True):
            for name, values in alone.items():
                np.testing.assert_allclose(arm[name][:35], values, rtol=1e-9, err_msg=name)
                assert (arm[name][35:] == 0).all()
