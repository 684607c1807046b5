"""Pooling over imputations: one posterior per imputation, concatenated with equal weight.

With within-imputation variance W, between-imputation variance B of the posterior means, and m imputations,

    MCSE^2 = W / ESS + B / m,    imputation_share = B / (W + B).

The means are known only up to the Monte Carlo error of each imputation's draws, which is taken off their variance:
B = max(0, variance of the means - mean of W_i / ESS_i).

Source: Gelman et al. 2013, Bayesian Data Analysis, 3rd ed., section 18.2; Zhou and Reiter 2010, Am Stat 64:159.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from .diagnostics import Diagnostics
from .options import Options
from .quantities import NEUTRAL, Draws, Quantity

MOST_IMPUTATION_ERROR = 0.1  # of a posterior SD: the between-imputation part of the Monte Carlo error
MOST_IMPUTATIONS = 200
PERCENTILES = (0.5, 0.025, 0.975)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Variances:
    """Within- and between-imputation variance of each quantity, shape ``(quantity,)``."""

    within: Array
    between: Array

    @property
    def imputation_share(self) -> Array:
        """Share of the posterior variance that is due to what the publication leaves open."""
        total = self.within + self.between
        return np.divide(self.between, total, out=np.zeros_like(total), where=total > 0)


def variances(draws: Draws, diagnostics: Diagnostics) -> Variances:
    """Return within- and between-imputation variance, the latter without the Monte Carlo error of few draws.

    A quantity that is infinite in some draws has neither; its ranks take its place.

    Parameters
    ----------
    draws
        Draws of all imputations.
    diagnostics
        Their diagnostics, whose effective sizes say how well each imputation's mean is known.
    """
    imputations = draws.values.shape[0]
    flat = draws.values.reshape(*draws.values.shape[:2], -1)
    with np.errstate(invalid="ignore"):  # infinite ones, which follow
        within = np.stack([one.var(axis=1, ddof=1) for one in flat])  # one by one: less memory to walk through
        means = np.stack([one.mean(axis=1) for one in flat])
    for index in np.flatnonzero(~np.isfinite(means).all(axis=0)):
        ranks = rankdata(flat[:, index]).reshape(imputations, -1)
        within[:, index], means[:, index] = ranks.var(axis=1, ddof=1), ranks.mean(axis=1)
    if imputations == 1:
        return Variances(within[0], np.zeros(len(draws.quantities)))
    error = np.divide(within, diagnostics.ess_bulk, out=np.zeros_like(within), where=diagnostics.ess_bulk > 0)
    between = means.var(axis=0, ddof=1) - error.mean(axis=0)
    return Variances(within.mean(axis=0), np.maximum(between, 0.0))


def imputations_needed(draws: Draws, diagnostics: Diagnostics) -> int:
    """Return how many imputations make the between-imputation error small enough, at most 200.

    Parameters
    ----------
    draws, diagnostics
        See `variances`.
    """
    share = variances(draws, diagnostics).imputation_share.max(initial=0.0)
    return min(math.ceil(share / MOST_IMPUTATION_ERROR**2), MOST_IMPUTATIONS)


def estimate_rows(draws: Draws, diagnostics: Diagnostics, options: Options) -> list[dict[str, object]]:
    """Return the estimates of the reported quantities, one row each.

    Parameters
    ----------
    draws
        Draws of all imputations.
    diagnostics
        Their diagnostics.
    options
        Thresholds for hazard ratios.
    """
    spread = variances(draws, diagnostics)
    ess = np.nansum(diagnostics.ess_bulk, axis=0)
    usable = np.where(ess > 0, ess, np.inf)
    mcse = np.sqrt(spread.within / usable + spread.between / draws.values.shape[0])
    rows: list[dict[str, object]] = []
    for index, quantity in enumerate(draws.quantities):
        values = draws.values[:, index].ravel()
        rows.append(
            _identity(quantity)
            | summary(values)
            | _probabilities(quantity, values, options)
            | {
                "ess_bulk": ess[index],
                "ess_tail": np.nansum(diagnostics.ess_tail[:, index]),
                "rhat": diagnostics.rhat[:, index].max(),
                "mcse": mcse[index] if np.isfinite(values).all() else np.nan,
                "imputation_share": spread.imputation_share[index],
            }
        )
    return rows


def _identity(quantity: Quantity) -> dict[str, object]:
    names = ("endpoint", "partition", "subgroup", "reference", "label", "estimand")
    time = np.nan if quantity.time is None else quantity.time
    return {name: getattr(quantity, name) for name in names} | {"time": time}


def summary(values: Array) -> dict[str, float]:
    """Return median, mean, SD and 95% interval of draws; mean and SD are empty where some are infinite."""
    finite = bool(np.isfinite(values).all())
    median, lower, upper = np.quantile(values, PERCENTILES, method="linear" if finite else "inverted_cdf")
    moments = (values.mean(), values.std(ddof=1)) if finite else (np.nan, np.nan)
    return {"median": median, "mean": moments[0], "sd": moments[1], "lower": lower, "upper": upper}


def ratio_probabilities(values: Array, options: Options) -> dict[str, float]:
    """Return the probabilities of benefit, meaningful benefit and harm from draws of a hazard ratio.

    Parameters
    ----------
    values
        Draws.
    options
        Thresholds.
    """
    return {
        "prob_benefit": float((values < 1).mean()),
        "prob_meaningful": float((values < options.benefit_threshold).mean()),
        "prob_harm": float((values > options.harm_threshold).mean()),
    }


def _probabilities(quantity: Quantity, values: Array, options: Options) -> dict[str, float]:
    empty = {"prob_benefit": np.nan, "prob_meaningful": np.nan, "prob_harm": np.nan}
    if quantity.is_ratio:
        return ratio_probabilities(values, options)
    if quantity.estimand in NEUTRAL:
        above = values > NEUTRAL[quantity.estimand]
        return empty | {"prob_benefit": float((above if quantity.more_is_better else ~above).mean())}
    if quantity.is_contrast:
        return empty | {"prob_benefit": float((values < 1).mean())}
    return empty | {"prob_benefit": float((values > 0).mean())} if quantity.is_difference else empty
