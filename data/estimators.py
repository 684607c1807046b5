"""Kaplan-Meier, Greenwood and Cox, for patients with exact times and for tables of deaths and exposure by interval.

Two arms, ``a = 0`` control and ``a = 1`` treatment. The partial likelihood is a sum over risk sets ``i`` with
``D[a,i]`` deaths among ``n[a,i]`` at risk:

    p[i] = n[1,i] e^b / (n[0,i] + n[1,i] e^b),
    U(b) = sum_i D[1,i] - D[i] p[i],    V[i] = D[i] p[i] (1 - p[i]),    I(b) = sum_i V[i].

Of a table each interval is a risk set, its exposure (a constant factor cancels) the number at risk. Of patients each
death is one: of ``m`` tied deaths each takes an m-th of their weight ``W[a]`` from ``n[a] - (l/m) W[a]``, l = 0..m-1,
which is Efron's likelihood. Patients are at risk after their entry up to their time, both times included at time 0.

Sources: Kalbfleisch and Prentice 2002, The Statistical Analysis of Failure Time Data, chapters 1 and 4; Efron 1977,
J Am Stat Assoc 72:557 (ties).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Transform = Literal["plain", "log", "log-log"]
TRANSFORMS: tuple[Transform, ...] = ("log-log", "log", "plain")
TimeTransform = Literal["km", "rank", "identity"]
MOST_NEWTON_STEPS, NEWTON_TOLERANCE = 50, 1e-10  # of the last step: the information is that before it
LONGEST_STEP = 1.0  # of a log hazard ratio
NOTHING = 1e-12  # a share that is rounding error alone


@dataclass(frozen=True)
class KaplanMeier:
    """Kaplan-Meier curve of patients, who leave one after the other: of those with one time, deaths first.

    Parameters
    ----------
    time
        Patients' times in order, shape ``(n,)``.
    deaths, at_risk
        Weight of who dies then, 0 for the censored, and of who is at risk.
    """

    time: Array
    deaths: Array
    at_risk: Array

    @cached_property
    def _survivors(self) -> Array:
        """Share of those at risk who outlive each time: the product over tied deaths is that of all at once."""
        share = 1 - self.deaths / np.maximum(self.at_risk, self.deaths + (self.deaths == 0))
        return np.where(share < NOTHING, 0.0, share)

    @cached_property
    def survival(self) -> Array:
        """Survival after each time, shape ``(n,)``."""
        return np.cumprod(self._survivors)

    @cached_property
    def variance(self) -> Array:
        """Greenwood's variance of ``log S`` after each time, infinite where nobody survives, shape ``(n,)``."""
        with np.errstate(divide="ignore", invalid="ignore"):
            step = self.deaths / (self.at_risk * self.at_risk * self._survivors)
        return np.cumsum(np.where(self.deaths > 0, step, 0.0))

    def at(self, when: ArrayLike) -> Array:
        """Return survival at some times, deaths at them included."""
        return np.asarray(np.append(1.0, self.survival)[np.searchsorted(self.time, when, side="right")])

    def before(self, when: ArrayLike) -> Array:
        """Return survival just before some times."""
        return np.asarray(np.append(1.0, self.survival)[np.searchsorted(self.time, when)])

    def variance_at(self, when: ArrayLike) -> Array:
        """Return Greenwood's variance of ``log S`` at some times."""
        return np.asarray(np.append(0.0, self.variance)[np.searchsorted(self.time, when, side="right")])

    @property
    def median(self) -> float | None:
        """The first time at which half or fewer are left; ``None`` when it is not reached."""
        below = np.flatnonzero(self.survival <= 0.5 + NOTHING)
        return float(self.time[below[0]]) if below.size else None


def kaplan_meier(time: Array, event: Mask, entry: Array | None = None, weights: Array | None = None) -> KaplanMeier:
    """Return the Kaplan-Meier curve of patients.

    Parameters
    ----------
    time, event
        Of each patient, shape ``(n,)``.
    entry
        When each came under observation, before ``time``; all at time zero without.
    weights
        Of each patient; 1 without.

    Examples
    --------
    >>> curve = kaplan_meier(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, True]))
    >>> curve.at([0.5, 1.0, 3.5]).round(3).tolist(), curve.median
    ([1.0, 0.75, 0.5], 2.0)
    """
    order = np.lexsort((~event, time))
    own = np.ones(time.size) if weights is None else weights
    at_risk = np.cumsum(own[order][::-1])[::-1]
    if entry is not None:
        at_risk = at_risk - _reaching(_entry(entry), own, time[order])
    return KaplanMeier(time[order], (own * event)[order], at_risk)


def _entry(entry: Array) -> Array:
    """Return times of entry; who enters at time zero is at risk at it."""
    return np.where(entry > 0, entry, -np.inf)


def _reaching(values: Array, weights: Array, times: Array) -> Array:
    """Return the weight of the values that are at least as large as each time."""
    order = np.argsort(values, kind="stable")
    total = np.append(np.cumsum(weights[order][::-1])[::-1], 0.0)
    return np.asarray(total[np.searchsorted(values[order], times)])


def kaplan_meier_of_table(table: xr.Dataset) -> xr.DataArray:
    """Return known patients' Kaplan-Meier estimate at each interval's end.

    ``1 - D/n`` by interval, with ``n`` from the exposure, ``E/dt + D/2``, but no less than if all who are censored
    left before the deaths, and no more than if all who enter did. Exact where nobody does in an interval with deaths.

    Parameters
    ----------
    table
        Survival table of whole patients.

    Returns
    -------
    DataArray
        Dimensions as those of ``deaths``.
    """
    from .table import numbers_at_risk

    start, late = numbers_at_risk(table), table.get("entered", 0.0 * table.deaths)
    mean = table.exposure / (table.stop - table.start) + table.deaths / 2
    at_risk = np.clip(mean, start - table.censored, start + late)
    died = (table.deaths / at_risk.where(table.deaths > 0, 1.0).clip(min=NOTHING)).clip(max=1.0)
    survival: xr.DataArray = (1 - died).cumprod("interval")
    return survival.transpose(*table.deaths.dims)


def survival_of_rates(rate: Array, within: Array) -> Array:
    """Return a table's Kaplan-Meier estimate, ``exp(-sum D/E dt)``.

    Parameters
    ----------
    rate
        Deaths over exposure by interval, shape ``(..., T)``.
    within
        Time before the landmark in each interval, shape ``(T,)``.
    """
    return np.asarray(np.exp(-rate @ within))


def greenwood_rates(rate: Array, at_risk: Array, log_fall: Array) -> Array:
    """Return what each unit of time adds to a table's Greenwood sum: the mean of ``r / R`` by interval.

    Parameters
    ----------
    rate
        Deaths over exposure by interval, shape ``(..., T)``.
    at_risk
        Patients at risk when each begins, of the same shape.
    log_fall
        ``log(R / R')`` by interval, not zero.
    """
    return np.asarray(rate * np.expm1(log_fall) / (log_fall * at_risk))


def confidence_limit(
    survival: Array | float, variance: Array | float, quantile: float, transform: Transform
) -> Array:
    """Return a confidence limit for survival.

    Parameters
    ----------
    survival, variance
        Kaplan-Meier estimate and Greenwood's variance of its logarithm.
    quantile
        Normal quantile: negative for the lower limit, positive for the upper.
    transform
        Scale on which the limit is symmetric (Kalbfleisch and Prentice 1980 for ``log-log``).
    """
    deviation = quantile * np.sqrt(variance)
    if transform == "plain":
        return np.asarray(survival * (1 + deviation))
    if transform == "log":
        return np.asarray(survival * np.exp(deviation))
    return np.asarray(survival ** np.exp(deviation / np.log(survival)))


@dataclass(frozen=True)
class RiskSets:
    """Patients' deaths one after the other, and who was at risk: a table with an interval for each.

    Parameters
    ----------
    time
        Of each death, shape ``(K,)``.
    deaths, at_risk
        By arm, control and treatment, shape ``(2, K)``.
    """

    time: Array
    deaths: Array
    at_risk: Array


def risk_sets(
    time: Array,
    event: Mask,
    treatment: Mask,
    entry: Array | None = None,
    weights: Array | None = None,
    strata: NDArray[np.int64] | None = None,
) -> RiskSets:
    """Return the risk sets of patients, see the module.

    Parameters
    ----------
    time, event, treatment
        Of each patient, shape ``(n,)``.
    entry, weights
        As in `kaplan_meier`.
    strata
        Patients are compared within strata only; all of one without.
    """
    own = np.ones(time.size) if weights is None else weights
    late = np.full(time.size, -np.inf) if entry is None else _entry(entry)
    groups = [slice(None)] if strata is None else [strata == one for one in np.unique(strata)]
    parts = [_risk_sets(time[rows], event[rows], treatment[rows], late[rows], own[rows]) for rows in groups]
    return RiskSets(*(np.concatenate(values, axis=-1) for values in zip(*parts, strict=True)))


def _risk_sets(time: Array, event: Mask, treatment: Mask, late: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Return the parts of `RiskSets` of one stratum."""
    times, place, ties = np.unique(time[event], return_inverse=True, return_counts=True)
    gone = (np.arange(place.size) - np.repeat(np.cumsum(ties) - ties, ties)) / np.repeat(ties, ties)  # l/m
    deaths, at_risk = [], []
    for arm in (~treatment, treatment):
        died = np.bincount(place, (weights * arm)[event], times.size)
        number = _reaching(time[arm], weights[arm], times) - _reaching(late[arm], weights[arm], times)
        left = np.repeat(number, ties) - gone * np.repeat(died, ties)
        deaths.append(np.repeat(died / ties, ties))
        at_risk.append(np.where(left > NOTHING * weights.sum(), left, 0.0))
    return np.repeat(times, ties), np.array(deaths), np.array(at_risk)


def cox(deaths: Array, at_risk: Array) -> tuple[Array, Array]:
    """Return Cox log hazard ratios, treatment over control, and their standard errors.

    Intervals in which an arm has nobody at risk tell nothing. An effect with deaths in one arm only is infinite, with
    an infinite standard error; without deaths it is not a number.

    Parameters
    ----------
    deaths
        By arm (control, treatment) and interval, shape ``(..., 2, T)``.
    at_risk
        Patients at risk or exposure, of the same shape.

    Returns
    -------
    tuple of arrays
        Shape ``(...)``.

    Examples
    --------
    >>> log_ratio, error = cox(np.array([[10.0, 8.0], [5.0, 4.0]]), np.array([[100.0, 80.0], [100.0, 80.0]]))
    >>> round(float(np.exp(log_ratio)), 3), round(float(error), 3)
    (0.5, 0.408)
    """
    compared = (at_risk > 0).all(axis=-2, keepdims=True)
    if not compared.all():
        deaths, at_risk = deaths * compared, at_risk * compared
    died = deaths.sum(axis=-1) > 0
    fitted = died.all(axis=-1)
    if fitted.all():
        return _partial_likelihood(deaths, at_risk)
    log_ratios = np.select([~died.any(axis=-1), ~died[..., 0]], [np.nan, np.inf], -np.inf)
    errors = np.full_like(log_ratios, np.inf)
    if fitted.any():
        log_ratios[fitted], errors[fitted] = _partial_likelihood(deaths[fitted], at_risk[fitted])
    return log_ratios, errors


def _partial_likelihood(deaths: Array, at_risk: Array) -> tuple[Array, Array]:
    """Return the score's roots and their standard errors by Newton's method, quadratic from the crude rate ratio."""
    died, followed, both = deaths.sum(axis=-1), at_risk.sum(axis=-1), deaths.sum(axis=-2)
    control, treatment = at_risk[..., 0, :], at_risk[..., 1, :]
    odds = np.divide(treatment, control, out=np.zeros_like(both), where=control > 0)
    log_rates = np.log(died / followed)
    log_ratio = log_rates[..., 1] - log_rates[..., 0]
    for _ in range(MOST_NEWTON_STEPS):
        share = odds * np.exp(log_ratio)[..., None]
        share = share / (1 + share)
        expected = both * share
        information = (expected * (1 - share)).sum(axis=-1)
        step = (died[..., 1] - expected.sum(axis=-1)) / information
        log_ratio = log_ratio + np.minimum(np.maximum(step, -LONGEST_STEP), LONGEST_STEP)
        if not (np.abs(step) > NEWTON_TOLERANCE).any():
            break
    return log_ratio, 1 / np.sqrt(information)


def cox_of_patients(
    time: Array,
    event: Mask,
    treatment: Mask,
    entry: Array | None = None,
    weights: Array | None = None,
    strata: NDArray[np.int64] | None = None,
) -> tuple[float, float]:
    """Return the Cox log hazard ratio of one binary covariate and its standard error (Efron's ties).

    Parameters
    ----------
    time, event, treatment, entry, weights, strata
        See `risk_sets`.

    Returns
    -------
    tuple of float
        See `cox`.

    Examples
    --------
    >>> time, event = np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, True, False])
    >>> log_ratio, error = cox_of_patients(time, event, np.array([False, True, False, True]))
    >>> round(log_ratio, 3), round(error, 3)
    (-1.326, 1.251)
    """
    sets = risk_sets(time, event, treatment, entry, weights, strata)
    log_ratio, error = cox(sets.deaths, sets.at_risk)
    return float(log_ratio), float(error)


def proportional_hazards_test(
    time: Array,
    event: Mask,
    treatment: Mask,
    entry: Array | None = None,
    weights: Array | None = None,
    strata: NDArray[np.int64] | None = None,
    transform: TimeTransform = "km",
) -> tuple[float, float]:
    """Return Grambsch and Therneau's test of proportional hazards: chi-squared of one degree of freedom, and p.

    The score test of ``theta = 0`` in a log hazard ratio ``b + theta g(t)``, as `cox.zph` of R's survival 3 has it.
    The classical test of scaled Schoenfeld residuals takes every ``V[i]`` for their mean. In symbols of the module

        U = sum_i g[i] (D[1,i] - D[i] p[i]),    chi2 = U^2 / (sum V g^2 - (sum V g)^2 / sum V).

    Parameters
    ----------
    time, event, treatment, entry, weights, strata
        See `risk_sets`.
    transform
        ``g``: ``km`` one minus the Kaplan-Meier estimate of all just before ``t``, ``rank`` of the deaths, or
        ``identity``.

    Returns
    -------
    tuple of float
        Not numbers where there is no Cox fit, or one time of death alone.

    Notes
    -----
    Grambsch and Therneau 1994, Biometrika 81:515.
    """
    sets = risk_sets(time, event, treatment, entry, weights, strata)
    log_ratio, _ = cox(sets.deaths, sets.at_risk)
    compared = (sets.at_risk > 0).all(axis=0)
    if not np.isfinite(log_ratio):
        return np.nan, np.nan
    if transform == "km":
        g = 1 - kaplan_meier(time, event, entry, weights).before(sets.time)
    else:
        g = _ranks(sets.time) if transform == "rank" else sets.time
    g = g[compared] - g[compared].mean()
    died, at_risk = sets.deaths[:, compared], sets.at_risk[:, compared]
    odds = at_risk[1] / at_risk[0] * np.exp(log_ratio)
    p = odds / (1 + odds)
    v = died.sum(axis=0) * p * (1 - p)
    score = float((g * (died[1] - died.sum(axis=0) * p)).sum())
    information = float((v * g**2).sum() - (v * g).sum() ** 2 / v.sum())
    if information <= NOTHING * float((g**2).max()):
        return np.nan, np.nan
    statistic = score**2 / information
    return statistic, 2 * float(ndtr(-np.sqrt(statistic)))


def _ranks(values: Array) -> Array:
    """Return ranks, of ties the mean."""
    _, place, ties = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(ties) - (ties - 1) / 2)[place])
