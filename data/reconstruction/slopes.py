"""Derivatives of what a paper prints with respect to the table it is computed from.

Each function has the name of the quantity in `secondlook.data.cohort` that it differentiates, takes the same single
cohort (no stack) and returns derivatives by array of the cohort: with respect to the numbers at risk at each edge,
and to deaths, exposure and censored in each interval; an array that does not matter is left out. A sum of cells has
the derivatives of each cell, so these serve for any union of strata and arms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .. import cohort as measure
from ..cohort import Array, Cohort, time_within
from ..estimators import Transform

NOBODY = 1e-150  # person-time that is rounding error alone
SMALL_FALL = 1e-4  # below it, a difference of exponentials is replaced by its series

Derivatives = Mapping[str, Array]  # by name of the cohort's array


def weighted(*terms: tuple[float, Derivatives]) -> Derivatives:
    """Return a linear combination of derivatives: the chain rule."""
    total: dict[str, Array] = {}
    for weight, derivatives in terms:
        for name, values in derivatives.items():
            total[name] = total[name] + weight * values if name in total else weight * values
    return total


def _at_start(cohort: Cohort, value: float) -> Array:
    at_risk = np.zeros_like(cohort.at_risk)
    at_risk[0] = value
    return at_risk


def deaths(cohort: Cohort) -> Derivatives:
    """Return the slope of the number of deaths."""
    return {"deaths": np.ones_like(cohort.deaths)}


def percent_dead(cohort: Cohort) -> Derivatives:
    """Return the slope of the percentage of patients who died."""
    percent = measure.percent_dead(cohort)
    by_death = np.full_like(cohort.deaths, 100 / cohort.patients)
    return {"deaths": by_death, "at_risk": _at_start(cohort, -float(percent / cohort.patients))}


def _log_survival(cohort: Cohort, time: float) -> Derivatives:
    return _cumulative_hazard(cohort, -time_within(cohort.edges, time))


def _cumulative_hazard(cohort: Cohort, within: Array) -> Derivatives:
    """Return the slope of the hazards' sum weighted by time within each interval."""
    return {"deaths": within / cohort.exposure, "exposure": -within * cohort.rate / cohort.exposure}


def survival(cohort: Cohort, time: float) -> Derivatives:
    """Return the slope of the Kaplan-Meier estimate."""
    return weighted((float(measure.survival(cohort, time)), _log_survival(cohort, time)))


def greenwood(cohort: Cohort, time: float) -> Derivatives:
    """Return the slope of Greenwood's variance of ``log S``."""
    within, fall = time_within(cohort.edges, time), cohort.log_fall
    start, stop = cohort.at_risk[:-1], cohort.at_risk[1:]
    mean = np.expm1(fall) / (fall * start)  # mean of 1 / R over the interval
    safe = np.maximum(fall, SMALL_FALL)
    series = 0.5 + fall / 3
    by_fall = within * cohort.rate * np.where(fall < SMALL_FALL, series, (np.exp(safe) * (safe - 1) + 1) / safe**2)
    at_risk = np.zeros_like(cohort.at_risk)
    at_risk[:-1] += (by_fall / start - within * cohort.rate * mean) / start
    at_risk[1:] -= by_fall / start / stop
    by_death = within * mean / cohort.exposure
    return {"at_risk": at_risk, "deaths": by_death, "exposure": -by_death * cohort.rate}


def survival_limit(cohort: Cohort, time: float, quantile: float, transform: Transform) -> Derivatives:
    """Return the slope of a confidence limit for survival."""
    estimate, variance = float(measure.survival(cohort, time)), float(measure.greenwood(cohort, time))
    deviation, log = quantile * np.sqrt(variance), np.log(estimate)
    limit = float(measure.survival_limit(cohort, time, quantile, transform))
    if transform == "plain":
        by_log, by_deviation = limit, estimate
    elif transform == "log":
        by_log, by_deviation = limit, limit
    else:
        by_deviation = limit * np.exp(deviation / log)
        by_log = by_deviation * (1 - deviation / log)
    by_variance = by_deviation * deviation / (2 * variance)
    return weighted((by_log, _log_survival(cohort, time)), (by_variance, greenwood(cohort, time)))


def share_dead_by(cohort: Cohort, time: float) -> Derivatives:
    """Return the slope of one minus the Kaplan-Meier estimate."""
    return weighted((-1.0, survival(cohort, time)))


def smooth_median_survival(cohort: Cohort, window: float) -> Derivatives:
    """Return the slope of the median of the smoothed Kaplan-Meier curve."""
    within, inside = measure.windowed_time(cohort.edges, measure.smooth_median_survival(cohort, window), window)
    return weighted((-1 / float(cohort.rate @ inside), _cumulative_hazard(cohort, within)))


def mean_follow_up(cohort: Cohort) -> Derivatives:
    """Return the slope of the mean time to death or censoring."""
    by_time = np.full_like(cohort.exposure, 1 / cohort.patients)
    mean = float(measure.mean_follow_up(cohort))
    return {"exposure": by_time, "at_risk": _at_start(cohort, -mean / float(cohort.patients))}


def sd_follow_up(cohort: Cohort) -> Derivatives:
    """Return the slope of the standard deviation of the time to death or censoring."""
    middle = (cohort.edges[:-1] + cohort.edges[1:]) / 2
    number, mean = float(cohort.patients), float(measure.mean_follow_up(cohort))
    deviation = float(measure.sd_follow_up(cohort))
    square = 2 * float(cohort.exposure @ middle) / number
    of_square = {"exposure": 2 * middle / number, "at_risk": _at_start(cohort, -square / number)}
    bessel = number / (number - 1)
    of_bessel = -(square - mean**2) / (number - 1) ** 2
    of_variance = weighted((bessel, of_square), (-2 * bessel * mean, mean_follow_up(cohort)))
    whole = weighted((1.0, of_variance), (1.0, {"at_risk": _at_start(cohort, of_bessel)}))
    return weighted((1 / (2 * deviation), whole))


def number_at_risk(cohort: Cohort, time: float) -> Derivatives:
    """Return the slope of the number at risk."""
    interval = min(max(int(np.searchsorted(cohort.edges, time)) - 1, 0), len(cohort.edges) - 2)
    left, right = cohort.edges[interval : interval + 2]
    part, number = (min(time, right) - left) / (right - left), float(measure.number_at_risk(cohort, time))
    at_risk = np.zeros_like(cohort.at_risk)
    at_risk[interval] = number * (1 - part) / cohort.at_risk[interval]
    at_risk[interval + 1] = number * part / cohort.at_risk[interval + 1]
    return {"at_risk": at_risk}


def share_followed_up_to(cohort: Cohort, time: float) -> Derivatives:
    """Return the slope of the share of patients who died or were censored by a time."""
    patients, left = float(cohort.patients), float(measure.number_at_risk(cohort, time))
    start = {"at_risk": _at_start(cohort, left / patients**2)}
    return weighted((-1 / patients, number_at_risk(cohort, time)), (1.0, start))


def share_of_survivors_followed_up_to(cohort: Cohort, time: float) -> Derivatives:
    """Return the slope of the share of survivors whose follow-up ended by a time."""
    within = time_within(cohort.edges, time) / np.diff(cohort.edges)
    total = float(cohort.censored.sum() + cohort.at_risk[-1])
    share = float(cohort.censored @ within) / total
    at_risk = np.zeros_like(cohort.at_risk)
    at_risk[-1] = -share / total
    return {"at_risk": at_risk, "censored": (within - share) / total}


def quantile_near(
    share: Callable[[float], Array],
    share_slope: Callable[[float], Derivatives],
    probability: float,
    time: float,
    width: float,
) -> Derivatives:
    """Return the slope of a quantile linearised about ``time``."""
    early, late = max(time - width / 2, 0.0), time + width / 2
    density = np.float64(share(late) - share(early)) / (late - early)  # where nobody leaves, no slope is finite
    change = (probability - float(share(time))) / density**2 / (late - early)
    return weighted((-1 / density, share_slope(time)), (-change, share_slope(late)), (change, share_slope(early)))


def cox(
    control: Cohort, treatment: Cohort
) -> tuple[tuple[Derivatives, Derivatives], tuple[Derivatives, Derivatives]]:
    """Return the slopes of the Cox log hazard ratio and of its standard error, each for control and treatment.

    From the score ``U = D1 - sum D p`` at its root and the information ``I = sum D p (1 - p)``. Intervals in which
    one arm has nobody left add to neither.
    """
    log_ratio, error = measure.cox(control, treatment)
    deaths_both = control.deaths + treatment.deaths
    compared = np.minimum(control.exposure, treatment.exposure) > NOBODY
    weight = treatment.exposure * np.exp(log_ratio)
    share = np.where(compared, weight / np.where(compared, control.exposure + weight, 1.0), 0.0)
    spread = share * (1 - share)
    curve = deaths_both * spread * (1 - 2 * share)
    scale, information = float(error**2), float(1 / error**2)
    exposures = [  # of the log odds
        sign * compared / np.where(compared, arm.exposure, 1.0) for sign, arm in ((-1, control), (1, treatment))
    ]
    ratio = [
        {"deaths": scale * compared * (arm - share), "exposure": -scale * deaths_both * spread * by_exposure}
        for arm, by_exposure in enumerate(exposures)
    ]
    total = float(curve.sum())
    inform = [
        weighted((total, slope), (1.0, {"deaths": spread, "exposure": curve * by_exposure}))
        for slope, by_exposure in zip(ratio, exposures, strict=True)
    ]
    of_error = [weighted((-0.5 * information**-1.5, slope)) for slope in inform]
    return (ratio[0], ratio[1]), (of_error[0], of_error[1])
