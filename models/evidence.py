"""Random-effects meta-analysis of sister trials, exactly, and the prior that it gives for another trial.

Trials i with estimates ``y`` and standard errors ``s`` of the log hazard ratio:

    y[i] ~ Normal(theta[i], s[i]),    theta[i] ~ Normal(mu, tau),    mu ~ Normal(m, d),    tau ~ HalfNormal(scale)

Given ``tau`` everything is normal, with precision ``P = 1/d^2 + sum 1/(s^2 + tau^2)`` of ``mu`` about

    c = (m/d^2 + sum y/(s^2 + tau^2)) / P,      p(y | tau) ~ P^(-1/2) prod (s^2 + tau^2)^(-1/2) exp(-Q/2),
    Q = sum y^2/(s^2 + tau^2) + m^2/d^2 - c^2 P.

So every posterior is a mixture of normals over ``tau``: a sum over a grid, no sampling. That of ``theta`` of a new
trial, the meta-analytic-predictive (MAP) distribution, is a prior for a trial that is not in the pool. It is
approximated by a mixture of few normals, as every prior is (`priors`).

The same model is `effects`, which samples it. Beside it stands DerSimonian and Laird's estimate, for comparison with
what is published. Source: Rubin 1981, J Educ Stat 6:377; Schmidli et al. 2014, Biometrics 70:1023 (MAP and its
mixture); Neuenschwander et al. 2020, Biometrics 76:578 (effective sample size); Roever et al. 2021, Res Synth Methods
12:448 (half-normal of scale 0.5 for log ratios); DerSimonian and Laird 1986, Control Clin Trials 7:177; Higgins,
Thompson and Spiegelhalter 2009, J R Stat Soc A 172:137 (its prediction interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import chdtrc, ndtr, ndtri, stdtrit

Array = NDArray[np.float64]
TRIAL_TAU_SCALE = 0.5  # of the half-normal prior on the SD of log hazard ratios between trials
AVERAGE_SD = 1.0  # of the normal prior on their average: the prior `weak`
POINTS = 2000  # of the grid of tau
MOST_TAU = 6.0  # scales: the prior's probability beyond is 2e-9
REACH, NODES, CROWDING = 10.0, 601, 4.0  # SDs to which a distribution is integrated, and how
MOST_EM_STEPS, EM_TOLERANCE = 4000, 1e-10
EVENT_INFORMATION = 0.25  # of one death about the log hazard ratio, arms of equal size


@dataclass(frozen=True)
class Mixture:
    """A mixture of normals.

    Parameters
    ----------
    weights, means, sds
        Shape ``(K,)``; the weights add up to 1.
    """

    weights: Array
    means: Array
    sds: Array

    @property
    def mean(self) -> float:
        """Its mean."""
        return float(self.weights @ self.means)

    @property
    def sd(self) -> float:
        """Its standard deviation."""
        return math.sqrt(float(self.weights @ (self.sds**2 + (self.means - self.mean) ** 2)))

    def density(self, x: ArrayLike) -> Array:
        """Return the density, same shape as ``x``."""
        z = (np.asarray(x, dtype=float)[..., None] - self.means) / self.sds
        return np.asarray(np.exp(-0.5 * z**2) @ (self.weights / self.sds) / math.sqrt(2 * math.pi))

    def cdf(self, x: ArrayLike) -> Array:
        """Return the probability of a smaller value, same shape as ``x``."""
        return np.asarray(ndtr((np.asarray(x, dtype=float)[..., None] - self.means) / self.sds) @ self.weights)

    def quantile(self, probability: float) -> float:
        """Return a quantile."""
        z = abs(float(ndtri(probability))) + 1.0
        low, high = float((self.means - z * self.sds).min()), float((self.means + z * self.sds).max())
        return float(brentq(lambda x: float(self.cdf(x)) - probability, low, high, xtol=1e-12))

    def updated(self, estimate: float, standard_error: float) -> Mixture:
        """Return the posterior after a normal estimate: components conjugate, weights by what each predicted."""
        total = self.sds**2 + standard_error**2
        log_weight = np.log(self.weights) - 0.5 * (np.log(total) + (estimate - self.means) ** 2 / total)
        weights = np.exp(log_weight - log_weight.max())
        means = self.means + self.sds**2 / total * (estimate - self.means)
        return Mixture(weights / weights.sum(), means, self.sds * standard_error / np.sqrt(total))


@dataclass(frozen=True)
class Pool:
    """The exact posterior of a random-effects meta-analysis, on a grid of ``tau``.

    Built by `pool`.

    Parameters
    ----------
    estimates, standard_errors
        Of the log hazard ratios, shape ``(I,)``.
    tau, weights
        Grid and its posterior probabilities, shape ``(T,)``.
    centres, sds
        Mean and SD of ``mu`` given ``tau``, shape ``(T,)``.
    """

    estimates: Array
    standard_errors: Array
    tau: Array
    weights: Array
    centres: Array
    sds: Array

    @property
    def average(self) -> Mixture:
        """Posterior of ``mu``, the average log hazard ratio of such trials."""
        return Mixture(self.weights, self.centres, self.sds)

    @property
    def predicted(self) -> Mixture:
        """Posterior of a new trial's ``theta``: the meta-analytic-predictive distribution."""
        return Mixture(self.weights, self.centres, np.hypot(self.sds, self.tau))

    def shrunken(self, place: int) -> Mixture:
        """Return the posterior of one trial's ``theta``."""
        y, s = self.estimates[place], self.standard_errors[place]
        shrink = self.tau**2 / (self.tau**2 + s**2)
        means = self.centres + shrink * (y - self.centres)
        return Mixture(self.weights, means, np.sqrt(shrink * s**2 + (1 - shrink) ** 2 * self.sds**2))

    def tau_quantile(self, probability: float) -> float:
        """Return a quantile of ``tau``."""
        middle = np.cumsum(self.weights) - self.weights / 2
        return float(np.interp(probability, middle, self.tau))


def pool(
    estimates: ArrayLike,
    standard_errors: ArrayLike,
    *,
    tau_scale: float = TRIAL_TAU_SCALE,
    mean: float = 0.0,
    sd: float = AVERAGE_SD,
) -> Pool:
    """Pool trials' log hazard ratios.

    Parameters
    ----------
    estimates, standard_errors
        Shape ``(I,)``, at least one trial.
    tau_scale
        Scale of the half-normal prior on ``tau``.
    mean, sd
        Of the normal prior on ``mu``.
    """
    y, s = np.asarray(estimates, dtype=float), np.asarray(standard_errors, dtype=float)
    share = (np.arange(POINTS) + 0.5) / POINTS  # the midpoint rule on a grid that is dense near 0
    tau, width = MOST_TAU * tau_scale * share**2, share
    total = s**2 + tau[:, None] ** 2
    precision = 1 / sd**2 + (1 / total).sum(axis=1)
    centres = (mean / sd**2 + (y / total).sum(axis=1)) / precision
    quadratic = (y**2 / total).sum(axis=1) + mean**2 / sd**2 - centres**2 * precision
    log_weight = -0.5 * (np.log(total).sum(axis=1) + np.log(precision) + quadratic + (tau / tau_scale) ** 2)
    weights = np.exp(log_weight - log_weight.max()) * width
    return Pool(y, s, tau, weights / weights.sum(), centres, precision**-0.5)


@dataclass(frozen=True)
class Approximation:
    """A distribution approximated by few normals.

    Parameters
    ----------
    mixture
        The few normals.
    error
        Largest difference of the two distribution functions.
    """

    mixture: Mixture
    error: float


def approximated(exact: Mixture, components: int) -> Approximation:
    """Approximate a mixture by one of few components: those of least Kullback-Leibler divergence, by EM.

    Parameters
    ----------
    exact
        What to approximate.
    components
        How many normals.
    """
    x, width = _nodes(exact)
    mass = exact.density(x) * width
    spread = np.geomspace(0.6, 1.6, components) if components > 1 else np.ones(1)
    found = Mixture(np.full(components, 1 / components), np.full(components, exact.mean), exact.sd * spread)
    before = -math.inf
    for _ in range(MOST_EM_STEPS):
        found, fit = _em_step(found, x, mass)
        if fit - before < EM_TOLERANCE:
            break
        before = fit
    return Approximation(found, float(np.abs(found.cdf(x) - exact.cdf(x)).max()))


def _nodes(mixture: Mixture) -> tuple[Array, Array]:
    """Return points to integrate a mixture at, crowded about its mean, and what each stands for (trapezoids)."""
    even, scale = np.linspace(-CROWDING, CROWDING, NODES), mixture.sd * REACH / math.sinh(CROWDING)
    return mixture.mean + scale * np.sinh(even), scale * np.cosh(even) * (even[1] - even[0])


def _em_step(mixture: Mixture, x: Array, mass: Array) -> tuple[Mixture, float]:
    """Return the next mixture, and the mean log density of the present one."""
    z = (x[:, None] - mixture.means) / mixture.sds
    parts = np.exp(-0.5 * z**2) * mixture.weights / mixture.sds / math.sqrt(2 * math.pi)
    density = np.maximum(parts.sum(axis=1), np.finfo(float).tiny)
    shares = parts / density[:, None] * mass[:, None]
    weights = shares.sum(axis=0)
    means = x @ shares / weights
    sds = np.sqrt(((x[:, None] - means) ** 2 * shares).sum(axis=0) / weights)
    return Mixture(weights / weights.sum(), means, sds), float(mass @ np.log(density))


def effective_events(mixture: Mixture) -> float:
    """Return a prior's effective sample size in deaths: its expected local information ratio.

    The expectation of ``-d^2 log p / d theta^2``, which is that of the squared slope of ``log p``, over what one
    death tells about a log hazard ratio, 1/4 (Neuenschwander et al. 2020). For Normal(m, s) it is ``4/s^2``.

    Parameters
    ----------
    mixture
        The prior.
    """
    x, width = _nodes(mixture)
    z = (x[:, None] - mixture.means) / mixture.sds
    parts = np.exp(-0.5 * z**2) * mixture.weights / mixture.sds / math.sqrt(2 * math.pi)
    density, slope = parts.sum(axis=1), -(parts * z / mixture.sds).sum(axis=1)
    squared = np.divide(slope**2, density, out=np.zeros_like(density), where=density > 0)
    return float(squared @ width / EVENT_INFORMATION)


@dataclass(frozen=True)
class DerSimonianLaird:
    """DerSimonian and Laird's random-effects estimate.

    Built by `dersimonian_laird`.

    Parameters
    ----------
    estimate, standard_error
        Of the average log hazard ratio.
    tau_squared
        Variance between trials, by moments.
    q, trials
        Cochran's Q, and how many trials there are.
    weights
        Of the trials, shape ``(I,)``; they add up to 1.
    """

    estimate: float
    standard_error: float
    tau_squared: float
    q: float
    trials: int
    weights: Array

    @property
    def i_squared(self) -> float:
        """Share of the variation that is due to differences between trials: ``max(0, 1 - df/Q)``."""
        return max(0.0, 1 - (self.trials - 1) / self.q) if self.trials > 1 and self.q > 0 else 0.0

    @property
    def q_p(self) -> float:
        """P-value of Q as chi-square."""
        return float(chdtrc(self.trials - 1, self.q)) if self.trials > 1 else math.nan

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the confidence interval of the average log hazard ratio."""
        half = float(ndtri((1 + level) / 2)) * self.standard_error
        return self.estimate - half, self.estimate + half

    @cached_property
    def prediction_interval(self) -> tuple[float, float]:
        """95% prediction interval of a new trial's log hazard ratio, from t with ``I - 2`` degrees of freedom."""
        if self.trials < 3:
            return -math.inf, math.inf
        half = float(stdtrit(self.trials - 2, 0.975)) * math.sqrt(self.tau_squared + self.standard_error**2)
        return self.estimate - half, self.estimate + half


def dersimonian_laird(estimates: ArrayLike, standard_errors: ArrayLike) -> DerSimonianLaird:
    """Pool trials' log hazard ratios as most publications do.

    Parameters
    ----------
    estimates, standard_errors
        Shape ``(I,)``, at least one trial.
    """
    y, s = np.asarray(estimates, dtype=float), np.asarray(standard_errors, dtype=float)
    fixed = s**-2
    q = float(fixed @ (y - fixed @ y / fixed.sum()) ** 2)
    scale = fixed.sum() - (fixed**2).sum() / fixed.sum()
    tau_squared = max(0.0, (q - (y.size - 1)) / scale) if y.size > 1 else 0.0
    weights = 1 / (s**2 + tau_squared)
    share = weights / weights.sum()
    return DerSimonianLaird(float(share @ y), float(weights.sum() ** -0.5), float(tau_squared), q, y.size, share)
