"""Reported hazard ratios under another prior, by Pareto-smoothed importance weights.

A draw of the log hazard ratio ``t`` has weight ``q(b) / p(b)``, with ``b`` that draw of the effect that has the
prior, ``p`` the prior of the draws and ``q`` the other. Imputations count equally. Weights are smoothed over all of
them together; a k-hat above 0.7 says that the draws are too far from what ``q`` makes of the data.

A subgroup's effect has no prior of its own in the hierarchical model: there ``b`` is the overall effect. Without
pooling its draws stand for its likelihood alone, as its own prior is so wide, and a prior may be put on ``t`` itself.

Source: Vehtari et al. 2024, J Mach Learn Res 25(72).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..models.priors import Prior
from .options import Options
from .pooling import PERCENTILES
from .sampling import SAME_DENSITY, pareto_smoothed

Array = NDArray[np.float64]
MOST_DRAWS = 40_000  # over all imputations
LIMITS = PERCENTILES[1:]


class Distribution(Protocol):
    """A distribution of a log hazard ratio."""

    def below(self, log_hazard_ratio: float) -> float:
        """Return the probability of a smaller log hazard ratio."""
        ...

    def quantile(self, probability: float) -> float:
        """Return a quantile of the log hazard ratio."""
        ...


@dataclass(frozen=True)
class Shifted:
    """A log hazard ratio moved by a constant.

    Parameters
    ----------
    distribution
        Before.
    shift
        By how much it moves.
    """

    distribution: Distribution
    shift: float

    def below(self, log_hazard_ratio: float) -> float:
        """See `Distribution`."""
        return self.distribution.below(log_hazard_ratio - self.shift)

    def quantile(self, probability: float) -> float:
        """See `Distribution`."""
        return self.distribution.quantile(probability) + self.shift


@dataclass(frozen=True)
class Belief:
    """What is believed of a log hazard ratio under some prior.

    Parameters
    ----------
    distribution
        Its posterior.
    k_hat
        Pareto k-hat of the weights that it rests on.
    resampled
        Whether it was sampled afresh, not had by reweighting draws under the primary prior.
    """

    distribution: Distribution
    k_hat: float
    resampled: bool = False

    def summary(self, options: Options) -> dict[str, float | bool]:
        """Return median, 95% interval and probabilities, on the natural scale.

        Parameters
        ----------
        options
            Thresholds.
        """
        median, lower, upper = (float(np.exp(self.distribution.quantile(p))) for p in (0.5, *LIMITS))
        return {
            "median": median,
            "lower": lower,
            "upper": upper,
            "prob_benefit": self.distribution.below(0.0),
            "prob_meaningful": self.distribution.below(float(np.log(options.benefit_threshold))),
            "prob_harm": 1 - self.distribution.below(float(np.log(options.harm_threshold))),
            "k_hat": self.k_hat,
            "resampled": self.resampled,
        }


class Density(Protocol):
    """A prior, on whatever has one."""

    def log_density(self, value: Array) -> Array:
        """Return the log density, same shape."""
        ...


class Believable(Protocol):
    """A log hazard ratio that can be had under any prior."""

    def under(self, prior: Prior) -> Belief:
        """Return what is believed of it under a prior."""
        ...

    def distribution(self, prior: Prior) -> Distribution:
        """Return the same without saying how far it can be relied on: quicker, for those who ask often."""
        ...


@dataclass(frozen=True)
class WeightedDraws:
    """Draws of a log hazard ratio with weights.

    Parameters
    ----------
    values
        In increasing order, shape ``(n,)``.
    cumulative
        Sum of the weights up to each draw, its own half included; shape ``(n,)``, weights adding up to 1.
    """

    values: Array
    cumulative: Array

    def below(self, log_hazard_ratio: float) -> float:
        """See `Distribution`."""
        return float(np.interp(log_hazard_ratio, self.values, self.cumulative, left=0.0, right=1.0))

    def quantile(self, probability: float) -> float:
        """See `Distribution`."""
        return float(np.interp(probability, self.cumulative, self.values))


@dataclass(frozen=True)
class Reweighted:
    """Draws of a log hazard ratio that other priors reweight.

    Parameters
    ----------
    log_ratio
        Shape ``(imputation, n)``.
    overall
        The same draws of what has the prior: the overall log hazard ratio, or the SD between strata.
    prior
        Its prior in the draws; ``None`` where it is so wide that it does not count.
    """

    log_ratio: Array
    overall: Array
    prior: Density | None

    @cached_property
    def _few(self) -> tuple[Array, Array, NDArray[np.int64]]:
        """Draws, what has the prior, both thinned, and the order of the draws."""
        step = max(1, -(-self.log_ratio.size // MOST_DRAWS))
        values, overall = self.log_ratio[:, ::step], self.overall[:, ::step]
        return values, overall, np.argsort(values, axis=None)

    def under(self, prior: Density) -> Belief:
        """Return what is believed of it under a prior.

        Parameters
        ----------
        prior
            On what has the prior.
        """
        logs = self._log_weights(prior)
        if np.ptp(logs) < SAME_DENSITY:
            return Belief(self._weighted(logs), 0.0)
        smoothed, k_hat = pareto_smoothed(logs.ravel())
        return Belief(self._weighted(smoothed.reshape(logs.shape)), k_hat)

    def distribution(self, prior: Density) -> WeightedDraws:
        """Return what is believed of it, by weights that are not smoothed.

        Parameters
        ----------
        prior
            On what has the prior.
        """
        return self._weighted(self._log_weights(prior))

    def _log_weights(self, prior: Density) -> Array:
        """Return log weights whose mean weight is the same in every imputation."""
        _, overall, _ = self._few
        logs = prior.log_density(overall) - (0.0 if self.prior is None else self.prior.log_density(overall))
        logs = logs - logs.max(axis=1, keepdims=True)  # imputations may lie so far apart that weights underflow
        return np.asarray(logs - np.log(np.exp(logs).mean(axis=1, keepdims=True)))

    def _weighted(self, log_weights: Array) -> WeightedDraws:
        values, _, order = self._few
        weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True) * len(weights)
        ordered = weights.ravel()[order]
        return WeightedDraws(values.ravel()[order], np.cumsum(ordered) - ordered / 2)
