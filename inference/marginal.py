"""The overall effect under any prior, without sampling again: everything else is drawn, the effect integrated.

Notation: ``b`` is the overall log hazard ratio, ``x[s]`` everything else in draw s. Given ``x``, the likelihood of
``b`` has a closed form: with ``D`` deaths under treatment, of which ``M(x)`` were expected at ``b = 0``, and with
printed effects ``y`` whose errors are ``v(x)``,

    log l(b | x) = D b - M(x) e^b            (tables: `GivenRates`)
    log l(b | x) = -(b - c(x))^2 / (2 v(x))   (printed effects: `GivenSpread`)

With draws under prior ``p``, and ``Z[s]`` the integral of ``p(b) l(b | x[s])``, the posterior under prior ``q`` is

    p(b | q) ~ q(b) mean_s l(b | x[s]) / Z[s],

on a grid of ``b``. It is importance sampling of ``x`` with weights ``w[s]``, the integral of ``q(b) l(b | x[s])
/ Z[s]`` over ``b``, which has no Monte Carlo error; k-hat of the weights tells when the draws are too far off.
Imputations count equally, each normalised by itself. Where ``x`` is known, as for one printed effect, it is exact.

Sources: Gelfand and Smith 1990, J Am Stat Assoc 85:398 (conditional densities averaged); Vehtari et al. 2024, J Mach
Learn Res 25(72) (k-hat).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.special import logsumexp

from ..models.priors import Prior
from .sampling import pareto_smoothed

Array = NDArray[np.float64]

MOST_DRAWS = 16_000  # of everything else, over all imputations: more change nothing that is reported
MOST_FOR_K_HAT = 4_000
LIKELY = 20.0  # log likelihoods this far below the largest do not count
FARTHEST = 12.0  # log hazard ratios beyond are not looked at
POINTS_PER_SD, MOST_POINTS = 2.0, 1200  # of the grid on which likelihoods are smooth
FINE_POINTS = 801  # of the grid on which a posterior is integrated: Simpson's rule
SAME_WEIGHTS = 1e-8  # range of their logs that is rounding error alone
SDS = 9.0  # of a prior, beyond which it has no mass


class Given(Protocol):
    """The likelihood of the overall log hazard ratio given each draw of everything else."""

    @property
    def middles(self) -> Array:
        """Where the likelihood is largest, shape ``(S,)``."""
        ...

    @property
    def sd(self) -> float:
        """Its typical width."""
        ...

    def log_likelihood(self, log_hazard_ratio: Array) -> Array:
        """Return it at G values, shape ``(S, G)``, up to a constant of each draw."""
        ...

    def thinned(self, most: int) -> Given:
        """Return it with at most so many draws, evenly chosen."""
        ...


@dataclass(frozen=True)
class GivenRates:
    """Deaths under treatment are Poisson about ``expected * exp(b)``.

    Parameters
    ----------
    deaths
        Deaths under treatment.
    expected
        Deaths expected at a hazard ratio of 1, shape ``(S,)``.
    """

    deaths: float
    expected: Array

    @property
    def middles(self) -> Array:
        """See `Given`."""
        return np.asarray(np.log((self.deaths + 0.5) / self.expected))

    @property
    def sd(self) -> float:
        """See `Given`."""
        return 1 / math.sqrt(self.deaths + 0.5)

    def log_likelihood(self, log_hazard_ratio: Array) -> Array:
        """See `Given`."""
        return self.deaths * log_hazard_ratio - self.expected[:, None] * np.exp(log_hazard_ratio)

    def thinned(self, most: int) -> GivenRates:
        """See `Given`."""
        return GivenRates(self.deaths, _evenly(self.expected, most))


@dataclass(frozen=True)
class GivenSpread:
    """Printed effects are normal about the overall one.

    Parameters
    ----------
    centre, variance
        Their weighted mean and its variance, shape ``(S,)``.
    """

    centre: Array
    variance: Array

    @property
    def middles(self) -> Array:
        """See `Given`."""
        return self.centre

    @property
    def sd(self) -> float:
        """See `Given`."""
        return math.sqrt(float(np.median(self.variance)))

    def log_likelihood(self, log_hazard_ratio: Array) -> Array:
        """See `Given`."""
        return -0.5 * (log_hazard_ratio - self.centre[:, None]) ** 2 / self.variance[:, None]

    def thinned(self, most: int) -> GivenSpread:
        """See `Given`."""
        return GivenSpread(_evenly(self.centre, most), _evenly(self.variance, most))


def _evenly(values: Array, most: int) -> Array:
    return values[:: max(1, -(-len(values) // most))]


@dataclass(frozen=True)
class Posterior:
    """The posterior of the overall log hazard ratio on a grid.

    Parameters
    ----------
    grid, density
        Log hazard ratios, evenly spaced, and the density, shape ``(F,)``.
    """

    grid: Array
    density: Array

    @cached_property
    def _distribution(self) -> CubicHermiteSpline:
        cumulative = cumulative_simpson(self.density, x=self.grid, initial=0.0)
        return CubicHermiteSpline(self.grid, cumulative / cumulative[-1], self.density / cumulative[-1])

    def below(self, log_hazard_ratio: float) -> float:
        """Return the probability of a smaller log hazard ratio."""
        inside = np.clip(log_hazard_ratio, self.grid[0], self.grid[-1])
        return float(np.clip(self._distribution(inside), 0.0, 1.0))

    def quantile(self, probability: float) -> float:
        """Return a quantile of the log hazard ratio."""
        cumulative = self._distribution.c[-1]  # at the grid's points
        place = int(np.clip(np.searchsorted(cumulative, probability) - 1, 0, len(self.grid) - 2))
        fine = np.linspace(self.grid[place], self.grid[place + 1], 65)
        return float(np.interp(probability, self._distribution(fine), fine))


@dataclass(frozen=True)
class Marginal:
    """What the data say about the overall log hazard ratio, from draws under one prior.

    Built by `marginal`.

    Parameters
    ----------
    grid
        Log hazard ratios, evenly spaced, shape ``(G,)``.
    kernels
        Likelihood given each draw of everything else, over its mean under the draws' prior, one array of shape
        ``(S, G)`` per imputation.
    """

    grid: Array
    kernels: tuple[Array, ...]
    _k_hats: dict[Prior, float] = field(default_factory=dict, repr=False)

    @cached_property
    def log_likelihood(self) -> CubicSpline:
        """The log of the marginal likelihood of each imputation, a function of the log hazard ratio."""
        with np.errstate(divide="ignore"):
            logs = np.log([kernel.mean(axis=0) for kernel in self.kernels])
        return CubicSpline(self.grid, np.maximum(logs, np.log(np.finfo(float).tiny)), axis=1)

    def under(self, prior: Prior) -> Posterior:
        """Return the posterior under a prior.

        Parameters
        ----------
        prior
            On the log hazard ratio.
        """
        means, reach = np.array(prior.means), SDS * np.array(prior.sds)
        ends = np.clip([(means - reach).min(), (means + reach).max()], self.grid[0], self.grid[-1])
        low, high = ends if ends[0] < ends[1] else self.grid[[0, -1]]
        fine = np.linspace(low, high, FINE_POINTS)
        logs = self.log_likelihood(fine) + prior.log_density(fine)
        densities = np.exp(logs - logs.max(axis=1, keepdims=True))
        densities /= densities.sum(axis=1, keepdims=True) * (fine[1] - fine[0])
        return Posterior(fine, densities.mean(axis=0))

    def k_hat(self, prior: Prior) -> float:
        """Return the Pareto k-hat of the weights that the draws of everything else have under a prior.

        Infinite where the grid does not resolve the prior, or the draws have no weight.

        Parameters
        ----------
        prior
            On the log hazard ratio.
        """
        if prior not in self._k_hats:
            self._k_hats[prior] = self._k_hat(prior)
        return self._k_hats[prior]

    def _k_hat(self, prior: Prior) -> float:
        step = self.grid[1] - self.grid[0]
        if min(prior.sds) < step:
            return math.inf
        density = np.exp(prior.log_density(self.grid)) * step
        most = max(1, MOST_FOR_K_HAT // len(self.kernels))
        weights = [kernel[:: max(1, -(-len(kernel) // most))] @ density for kernel in self.kernels]
        if min(float(weight.max()) for weight in weights) < np.finfo(float).tiny:
            return math.inf
        with np.errstate(divide="ignore"):
            logs = np.log(np.concatenate([weight / weight.mean() for weight in weights]))
        if np.ptp(logs) < SAME_WEIGHTS:
            return 0.0
        return pareto_smoothed(np.maximum(logs, -700.0))[1]


def marginal(given: Sequence[Given], prior: Prior, priors: Sequence[Prior] = ()) -> Marginal:
    """Return what the data say about the overall log hazard ratio.

    Parameters
    ----------
    given
        Its likelihood given everything else, by imputation.
    prior
        That of the draws.
    priors
        Others that it will be asked about: the grid reaches to where they are.
    """
    few = [one.thinned(max(1, MOST_DRAWS // len(given))) for one in given]
    grid = _grid(few, prior, priors)
    log_prior = prior.log_density(grid)
    return Marginal(grid, tuple(_kernel(one, grid, log_prior) for one in few))


def _kernel(given: Given, grid: Array, log_prior: Array) -> Array:
    logs = given.log_likelihood(grid)
    evidence = logsumexp(logs + log_prior, axis=1, keepdims=True) + math.log(grid[1] - grid[0])
    return np.asarray(np.exp(logs - evidence))


def _grid(given: Sequence[Given], prior: Prior, priors: Sequence[Prior]) -> Array:
    """Return log hazard ratios that cover what the data allow, and where priors draw it."""
    sd = max(one.sd for one in given)
    middles = np.concatenate([one.middles for one in given])
    reach = math.sqrt(2 * LIKELY) * sd
    low, high = float(middles.min()) - reach, float(middles.max()) + reach
    normals = [(m, s) for one in (prior, *priors) for m, s in zip(one.means, one.sds, strict=True)]
    wide = high - low
    low = max(min(low, *(max(mean - 4 * scale, low - wide) for mean, scale in normals)), -FARTHEST)
    high = min(max(high, *(min(mean + 4 * scale, high + wide) for mean, scale in normals)), FARTHEST)
    finest = min(sd, *(scale for _, scale in normals)) / POINTS_PER_SD
    return np.linspace(low, high, min(max(math.ceil((high - low) / finest) + 1, 101), MOST_POINTS))
