"""What a paper prints, as functions of a survival table: Kaplan-Meier, Greenwood, quantiles, follow-up, Cox.

A cohort is one group of patients on a fine time grid. Within an interval the hazard ``r`` of death and the rate
``k`` of censoring are constant, so with ``R`` at risk at its start, ``x = (r + k) dt`` and ``E`` person-time,

    R' = R exp(-x),    E = R dt (1 - exp(-x)) / x,    D = r E,    C = k E,    R - R' = D + C exactly.

The Kaplan-Meier estimate is then ``exp(-sum D/E dt)``: without censoring that is the fraction alive, as it must
be, and with deaths one at a time it differs by less than the last digit a paper prints. Functions work on
stacks: leading dimensions broadcast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from . import estimators
from .estimators import Transform

Array = NDArray[np.float64]
MONTHS = {"days": 30.4375, "weeks": 30.4375 / 7, "months": 1.0, "years": 1 / 12}  # a month, in each unit
LONGEST = 1200.0  # months of follow-up: whoever has more is measured in another unit
MOST_NEWTON_STEPS, NEWTON_TOLERANCE = 8, 1e-8  # of the last step, whose error is of the order of its square


@dataclass(frozen=True)
class Cohort:
    """One group of patients on a time grid.

    Parameters
    ----------
    edges
        Grid, shape ``(T + 1,)``, from 0.
    at_risk
        Patients at risk at each edge, shape ``(..., T + 1)``.
    deaths, exposure, censored
        By interval, shape ``(..., T)``.
    """

    edges: NDArray[np.float64]
    at_risk: Array
    deaths: Array
    exposure: Array
    censored: Array

    def __add__(self, other: Cohort) -> Cohort:
        return Cohort(
            self.edges,
            self.at_risk + other.at_risk,
            self.deaths + other.deaths,
            self.exposure + other.exposure,
            self.censored + other.censored,
        )

    @property
    def patients(self) -> Array:
        """Patients at time zero."""
        return self.at_risk[..., 0]

    @cached_property
    def rate(self) -> Array:
        """Hazard of death by interval."""
        return self.deaths / self.exposure

    @cached_property
    def log_fall(self) -> Array:
        """``log(R / R')`` by interval, kept off zero so that it may divide."""
        return np.log(self.at_risk[..., :-1] / self.at_risk[..., 1:]) + 1e-15

    @cached_property
    def greenwood_rate(self) -> Array:
        """Mean of ``r / R`` by interval: what each unit of time adds to Greenwood's sum."""
        return estimators.greenwood_rates(self.rate, self.at_risk[..., :-1], self.log_fall)

    @property
    def cumulative_hazard(self) -> Array:
        """Cumulative hazard at each edge, shape ``(..., T + 1)``."""
        return _cumulate(self.rate * np.diff(self.edges))


def sum_of(cohorts: Iterable[Cohort]) -> Cohort:
    """Return several groups of patients as one."""
    return reduce(Cohort.__add__, cohorts)


def _cumulate(steps: Array) -> Array:
    return np.concatenate([np.zeros_like(steps[..., :1]), np.cumsum(steps, axis=-1)], axis=-1)


def time_within(edges: NDArray[np.float64], time: float) -> NDArray[np.float64]:
    """Return how much of each interval lies before ``time``, shape ``(T,)``."""
    return np.minimum(np.maximum(edges[:-1], time), edges[1:]) - edges[:-1]


def deaths(cohort: Cohort) -> Array:
    """Return the number of deaths."""
    return cohort.deaths.sum(axis=-1)


def percent_dead(cohort: Cohort) -> Array:
    """Return the percentage of patients who died."""
    return 100 * cohort.deaths.sum(axis=-1) / cohort.patients


def survival(cohort: Cohort, time: float) -> Array:
    """Return the Kaplan-Meier estimate at ``time``."""
    return estimators.survival_of_rates(cohort.rate, time_within(cohort.edges, time))


def greenwood(cohort: Cohort, time: float) -> Array:
    """Return Greenwood's variance of ``log S`` at ``time``: the integral of ``dD / R^2`` up to it."""
    return cohort.greenwood_rate @ time_within(cohort.edges, time)


def survival_limit(cohort: Cohort, time: float, quantile: float, transform: Transform) -> Array:
    """Return a confidence limit for survival at ``time``, see `estimators.confidence_limit`."""
    return estimators.confidence_limit(survival(cohort, time), greenwood(cohort, time), quantile, transform)


def crossing(cumulative: Array, edges: NDArray[np.float64], level: Array | float) -> Array:
    """Return where an increasing quantity, linear between edges, reaches a level.

    Beyond the last edge the last interval's slope is continued, so that the result stays differentiable.

    Parameters
    ----------
    cumulative
        Values at the edges, shape ``(..., T + 1)``.
    edges
        Grid, shape ``(T + 1,)``.
    level
        Level to reach, broadcast against the leading dimensions.
    """
    levels = np.asarray(level) + np.zeros_like(cumulative[..., 0])
    below = (cumulative[..., 1:-1] < levels[..., None]).sum(axis=-1)
    left = np.take_along_axis(cumulative, below[..., None], axis=-1)[..., 0]
    right = np.take_along_axis(cumulative, below[..., None] + 1, axis=-1)[..., 0]
    return edges[below] + (levels - left) / (right - left) * np.diff(edges)[below]


def share_dead_by(cohort: Cohort, time: float) -> Array:
    """Return one minus the Kaplan-Meier estimate at ``time``."""
    return 1 - survival(cohort, time)


def median_survival(cohort: Cohort) -> Array:
    """Return the median of the Kaplan-Meier curve (continued beyond the grid when it is not reached)."""
    return crossing(cohort.cumulative_hazard, cohort.edges, np.log(2))


def smooth_median_survival(cohort: Cohort, window: float) -> Array:
    """Return the median of a Kaplan-Meier curve whose cumulative hazard is averaged over a window about each time.

    Unlike `median_survival` it has no kink where the median passes an edge of the grid. Beyond the grid the last
    interval goes on.

    Parameters
    ----------
    cohort
        Patients.
    window
        Width of the window.
    """
    median = median_survival(cohort)
    for _ in range(MOST_NEWTON_STEPS):
        reached, hazard = (cohort.rate * part for part in windowed_time(cohort.edges, median, window))
        step = (np.log(2) - reached.sum(axis=-1)) / hazard.sum(axis=-1)
        median = median + step
        if not (np.abs(step) > NEWTON_TOLERANCE * window).any():
            break
    return median


def windowed_time(edges: NDArray[np.float64], time: Array | float, window: float) -> tuple[Array, Array]:
    """Return `time_within`, averaged over a window about each time, and its derivative, shape ``(..., T)``."""
    middle, right = np.asarray(time)[..., None], np.append(edges[1:-1], np.inf)

    def areas(end: Array) -> tuple[Array, Array]:
        """Return the integral of ``time_within`` from 0 to ``end``, and its value there."""
        before, after = np.maximum(end - edges[:-1], 0), np.maximum(end - right, 0)
        return (before**2 - after**2) / 2, before - after

    (late, late_end), (early, early_end) = areas(middle + window / 2), areas(middle - window / 2)
    return (late - early) / window, (late_end - early_end) / window


def mean_follow_up(cohort: Cohort) -> Array:
    """Return the mean time to death or censoring, over all patients."""
    return cohort.exposure.sum(axis=-1) / cohort.patients


def sd_follow_up(cohort: Cohort) -> Array:
    """Return the standard deviation (n - 1) of the time to death or censoring."""
    middle = (cohort.edges[:-1] + cohort.edges[1:]) / 2
    square = 2 * (cohort.exposure * middle).sum(axis=-1) / cohort.patients
    variance = square - mean_follow_up(cohort) ** 2
    return np.sqrt(variance * cohort.patients / (cohort.patients - 1))


def quantile_follow_up(cohort: Cohort, probability: float) -> Array:
    """Return a quantile of the time to death or censoring."""
    gone = np.log(cohort.patients[..., None] / cohort.at_risk)
    return crossing(gone, cohort.edges, -np.log1p(-probability))


def median_follow_up_of_survivors(cohort: Cohort) -> Array:
    """Return the median follow-up of those not known to have died (at risk on the last edge included)."""
    left = _cumulate(cohort.censored)
    return crossing(left, cohort.edges, (left[..., -1] + cohort.at_risk[..., -1]) / 2)


def number_at_risk(cohort: Cohort, time: float) -> Array:
    """Return the patients at risk at ``time``."""
    interval = min(max(int(np.searchsorted(cohort.edges, time)) - 1, 0), len(cohort.edges) - 2)
    left, right = cohort.edges[interval : interval + 2]
    part = (min(time, right) - left) / (right - left)
    start, stop = cohort.at_risk[..., interval], cohort.at_risk[..., interval + 1]
    return np.asarray(start * (stop / start) ** part)


def share_followed_up_to(cohort: Cohort, time: float) -> Array:
    """Return the share of all patients who died or were censored by ``time``."""
    return 1 - number_at_risk(cohort, time) / cohort.patients


def share_of_survivors_followed_up_to(cohort: Cohort, time: float) -> Array:
    """Return the share of those not known to have died whose follow-up ended by ``time``."""
    ended = (cohort.censored / np.diff(cohort.edges)) @ time_within(cohort.edges, time)
    return ended / (cohort.censored.sum(axis=-1) + cohort.at_risk[..., -1])


def quantile_near(share: Callable[[float], Array], probability: float, time: float, width: float) -> Array:
    """Return a quantile of a distribution by linearising about ``time``.

    ``crossing`` has a kink at every edge of the grid, which stalls an optimiser; this is smooth, and agrees with it
    where the quantile is close to ``time``.

    Parameters
    ----------
    share
        Distribution function: time to probability.
    probability
        Which quantile.
    time
        Where the quantile is expected.
    width
        Width of the window whose mean density is used.
    """
    density = (share(time + width / 2) - share(max(time - width / 2, 0.0))) / (min(time, width / 2) + width / 2)
    return time + (probability - share(time)) / density


def cox(control: Cohort, treatment: Cohort) -> tuple[Array, Array]:
    """Return the Cox log hazard ratio and standard error of two cohorts on one grid: their person-time is at risk.

    Returns
    -------
    tuple of arrays
        Log hazard ratio, treatment over control, and its standard error.
    """
    deaths, exposure = (
        np.stack([getattr(control, name), getattr(treatment, name)], axis=-2) for name in ("deaths", "exposure")
    )
    return estimators.cox(deaths, exposure)


def normal_quantile(level: float) -> float:
    """Return the upper normal quantile of a two-sided interval, 1.96 for 0.95."""
    return float(ndtri((1 + level) / 2))
