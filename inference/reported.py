"""Reported hazard ratios of a fit, with the draws that bear on them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..models.imbalance import FORMS
from ..models.priors import Prior
from .fitting import Result
from .quantities import Quantity
from .reweighting import Reweighted

Array = NDArray[np.float64]
HEADLINE_MODELS = ("piecewise", "effects")  # whose crude hazard ratio is the overall one, in this order
VARIANTS = ("", next(iter(FORMS)))  # of the adjusted effect, only the primary form


@dataclass(frozen=True)
class ReportedRatio:
    """One reported hazard ratio under the prior that was sampled.

    Parameters
    ----------
    quantity
        What it is.
    place
        Its place among the fit's quantities.
    model, shrinkage
        What outputs call them.
    log_ratio
        Draws of its logarithm, shape ``(imputation, chain, draw)``.
    overall
        The same draws of the log hazard ratio that has the prior.
    prior
        That prior.
    """

    quantity: Quantity
    place: int
    model: str
    shrinkage: str
    log_ratio: Array
    overall: Array
    prior: Prior

    @property
    def identity(self) -> dict[str, str]:
        """Columns that say which hazard ratio it is."""
        named = ("partition", "subgroup", "label", "estimand")
        return {"model": self.model, "shrinkage": self.shrinkage} | {
            name: getattr(self.quantity, name) for name in named
        }

    @property
    def is_whole(self) -> bool:
        """Whether it is the crude hazard ratio of the whole trial, the same at all times: what has the prior."""
        crude = self.quantity.subgroup == "overall" and not self.quantity.partition and not self.quantity.variant
        return crude and self.quantity.estimand == "hazard_ratio"

    @cached_property
    def reweighted(self) -> Reweighted:
        """The same for any prior on the overall effect."""
        return Reweighted(self._flat(self.log_ratio), self._flat(self.overall), self.prior)

    @cached_property
    def alone(self) -> Reweighted:
        """The same for any prior on this very effect, whose own prior is too wide to count."""
        draws = self._flat(self.log_ratio)
        return Reweighted(draws, draws, None)

    def _flat(self, draws: Array) -> Array:
        return draws.reshape(len(draws), -1)


def reported_ratios(result: Result) -> list[ReportedRatio]:
    """Return the hazard ratios of a fit that hold for all times, or are averages over time.

    Parameters
    ----------
    result
        A fit under the prior that was sampled.
    """
    overall = result.fit.posterior[result.task.overall].transpose("imputation", "chain", "draw", ...).to_numpy()
    parts = overall.reshape(*overall.shape[:3], -1)
    return [
        ReportedRatio(
            quantity,
            place,
            result.fit.model if quantity.model is None else quantity.model,
            result.fit.shrinkage if quantity.shrinkage is None else quantity.shrinkage,
            np.log(result.draws.values[:, place]),
            _with_prior(np.log(result.draws.values[:, place]), parts, quantity.part),
            result.fit.prior,
        )
        for place, quantity in enumerate(result.draws.quantities)
        if _for_all_times(quantity) and quantity.variant in VARIANTS
    ]


def _with_prior(log_ratio: Array, parts: Array, part: int) -> Array:
    """Return the draws of what has the prior: a part of the overall effect, or a shifted effect itself."""
    return parts[..., part] if part < parts.shape[-1] else log_ratio


def _for_all_times(quantity: Quantity) -> bool:
    return quantity.is_ratio and (quantity.time is None or quantity.estimand == "average_hazard_ratio")
