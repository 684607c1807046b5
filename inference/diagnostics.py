"""The diagnostics gate: R-hat, effective sample size, divergences and BFMI.

R-hat, divergences and BFMI concern one imputation and the worst counts; effective sample sizes add up over the
imputations. Source: Vehtari et al. 2021, Bayesian Anal 16:667 (rank-normalised R-hat and ESS); Betancourt 2016,
arXiv:1604.00695 (BFMI).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from .quantities import Draws

MOST_RHAT = 1.01
LEAST_ESS = 1000.0
LEAST_BFMI = 0.3
MOST_INFINITE = 0.975  # share of the draws above which every reported quantile is infinite
ENOUGH_DRAWS = 1000  # per chain: with fewer, chance alone moves R-hat beyond the gate
TAIL = (0.05, 0.95)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of reported quantities, by imputation.

    Parameters
    ----------
    rhat, ess_bulk, ess_tail
        Shape ``(imputation, quantity)``; not a number for a quantity that does not vary.
    divergences, bfmi_min
        Shape ``(imputation,)``.
    """

    rhat: Array
    ess_bulk: Array
    ess_tail: Array
    divergences: NDArray[np.int64]
    bfmi_min: Array

    @property
    def sound(self) -> NDArray[np.bool_]:
        """Whether each imputation's chains agree and explored freely, shape ``(imputation,)``."""
        return self._sound(MOST_RHAT)

    def mendable(self, draws: int) -> NDArray[np.bool_]:
        """Whether each imputation has faults that stricter settings may mend, shape ``(imputation,)``.

        The excess of R-hat over 1 that chance makes goes as one over the draws; where they are few, only what exceeds
        that is held to be a fault of the sampler.

        Parameters
        ----------
        draws
            Draws per chain.
        """
        return ~self._sound(1 + (MOST_RHAT - 1) * max(1.0, ENOUGH_DRAWS / draws))

    def _sound(self, most_rhat: float) -> NDArray[np.bool_]:
        mixed = ~(self.rhat > most_rhat).any(axis=1)
        return np.asarray(mixed & (self.divergences == 0) & (self.bfmi_min >= LEAST_BFMI))

    @property
    def enough(self) -> NDArray[np.bool_]:
        """Whether each quantity has enough effective draws in all imputations together, shape ``(quantity,)``."""
        bulk, tail = (np.nansum(ess, axis=0) for ess in (self.ess_bulk, self.ess_tail))
        constant = np.isnan(self.ess_bulk).all(axis=0)
        return constant | ((bulk >= LEAST_ESS) & (tail >= LEAST_ESS))

    def scaled(self, efficiency: Array) -> Diagnostics:
        """Return the diagnostics of reweighted draws: effective sizes times the weights' efficiency.

        Parameters
        ----------
        efficiency
            Kish's effective share of the draws, shape ``(imputation, quantity)``.
        """
        bulk, tail = (ess * efficiency for ess in (self.ess_bulk, self.ess_tail))
        return Diagnostics(self.rhat, bulk, tail, self.divergences, self.bfmi_min)


def diagnose(draws: Draws, sample_stats: xr.Dataset) -> Diagnostics:
    """Diagnose the draws of reported quantities.

    Parameters
    ----------
    draws
        Draws of the quantities, in some imputations.
    sample_stats
        ``diverging`` and ``energy``, dimensions ``(chain, draw, imputation)``.
    """
    from arviz_stats.base import array_stats

    values = _finite(draws.values)
    flat = values.reshape(*values.shape[:2], -1)
    infinite = np.isinf(draws.values).reshape(flat.shape).mean(axis=-1)  # medians that are hardly ever reached
    varies = (np.ptp(flat, axis=-1) > 0) & (infinite < MOST_INFINITE)
    rhat, bulk, tail = (np.full(values.shape[:2], np.nan) for _ in range(3))
    if varies.any():
        rhat[varies], bulk[varies] = _rhat_and_bulk(values[varies])
        tail[varies] = array_stats.ess(values[varies], chain_axis=-2, draw_axis=-1, method="tail", prob=TAIL)
    diverging = sample_stats["diverging"].transpose("imputation", "chain", "draw").to_numpy()
    energy = sample_stats["energy"].transpose("imputation", "chain", "draw").to_numpy()
    bfmi = np.asarray(array_stats.bfmi(energy)).min(axis=-1)
    return Diagnostics(rhat, bulk, tail, diverging.sum(axis=(1, 2)), bfmi)


def _rhat_and_bulk(values: Array) -> tuple[Array, Array]:
    """Return rank-normalised R-hat and bulk ESS, shape ``(quantity,)``, of draws, ``(quantity, chain, draw)``.

    As ArviZ has them by name; here both are computed of the same ranks, which are most of the work.
    """
    from arviz_stats.base import array_stats

    if values.shape[-1] % 2:  # chains are halved without the draw in the middle
        values = np.delete(values, values.shape[-1] // 2, axis=-1)
    median = np.median(values, axis=(1, 2), keepdims=True)
    bulk, folded = (_normal_scores(each) for each in (values, np.abs(values - median)))
    axes = {"chain_axis": -2, "draw_axis": -1}
    rhat = np.maximum(*(array_stats.rhat(scores, method="split", **axes) for scores in (bulk, folded)))
    return rhat, array_stats.ess(bulk, method="mean", **axes)


def _normal_scores(values: Array) -> Array:
    """Return the normal quantiles of the ranks of each quantity's draws (Blom 1958)."""
    ranks = rankdata(values.reshape(len(values), -1), axis=1)
    return np.asarray(ndtri((ranks - 3 / 8) / (ranks.shape[1] + 1 / 4))).reshape(values.shape)


def _finite(values: Array) -> Array:
    """Return the values with infinite ones put beyond all others: diagnostics use ranks only."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    beyond = 2 * np.abs(values[finite]).max(initial=1.0)
    return np.where(finite, values, np.sign(values) * beyond)


def joined(parts: list[Diagnostics]) -> Diagnostics:
    """Return the diagnostics of several imputations as one."""
    names = ("rhat", "ess_bulk", "ess_tail", "divergences", "bfmi_min")
    return Diagnostics(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
