"""Reported quantities: what each is, and its draws from a posterior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data import ARMS
from ..data.cohort import crossing, time_within

Array = NDArray[np.float64]
RATIOS = ("hazard_ratio", "average_hazard_ratio")
NEUTRAL = {"odds_ratio": 1.0, "risk_ratio": 1.0, "risk_difference": 0.0}  # of binary endpoints


@dataclass(frozen=True)
class Quantity:
    """One reported quantity.

    Parameters
    ----------
    estimand
        One of the contract's estimands, such as ``survival_difference``.
    label
        For people.
    time
        Landmark, where there is one.
    subgroup, partition
        Whom it is about, by key.
    shrinkage, model
        Shrinkage and model, where they differ from the fit's.
    variant
        Which of several versions of one estimand, such as ``first order``.
    part
        Which of the model's independent parts it comes from.
    reference
        The other subgroup of a contrast, by key.
    endpoint, more_is_better
        The endpoint, where it is not the trial's, and whether more events are what one hopes for.
    """

    estimand: str
    label: str
    time: float | None = None
    subgroup: str = "overall"
    partition: str = ""
    shrinkage: str | None = None
    part: int = 0
    model: str | None = None
    variant: str = ""
    reference: str = ""
    endpoint: str = ""
    more_is_better: bool = False

    @property
    def name(self) -> str:
        """The estimand with its time, subgroup, variant and endpoint, such as ``survival_difference 36``."""
        time = None if self.time is None else f"{self.time:g}"
        subgroup = None if self.subgroup == "overall" else self.subgroup
        return " ".join(part for part in (self.estimand, time, subgroup, self.variant, self.endpoint) if part)

    @property
    def is_ratio(self) -> bool:
        """Whether it is a hazard ratio, below 1 where treatment is better."""
        return self.estimand in RATIOS

    @property
    def is_contrast(self) -> bool:
        """Whether it is a ratio of hazard ratios, below 1 where the subgroup benefits more than its reference."""
        return self.estimand == "ratio_of_hazard_ratios"

    @property
    def is_difference(self) -> bool:
        """Whether it is a difference, above 0 where treatment is better."""
        return self.estimand.endswith("_difference")


@dataclass(frozen=True)
class Draws:
    """Draws of reported quantities.

    Parameters
    ----------
    quantities
        What they are.
    values
        Shape ``(imputation, quantity, chain, draw)``.
    """

    quantities: tuple[Quantity, ...]
    values: Array


class SurvivalCurves(Protocol):
    """Survival of both arms (0 control, 1 treatment), of one group of patients or of several."""

    def survival(self, arm: int, time: float) -> Array:
        """Return survival at ``time``."""
        ...

    def rmst(self, arm: int, time: float) -> Array:
        """Return restricted mean survival time."""
        ...

    def median(self, arm: int) -> Array:
        """Return median survival; infinite where it is not reached."""
        ...


@dataclass(frozen=True)
class Curves:
    """Piecewise-exponential survival of both arms in every draw.

    Parameters
    ----------
    edges
        Interval bounds, shape ``(J + 1,)``.
    rates
        Hazards, control then treatment, each of shape ``(..., J)``.
    """

    edges: Array
    rates: tuple[Array, Array]

    def cumulative_hazard(self, arm: int) -> Array:
        """Return the cumulative hazard at the edges, shape ``(..., J + 1)``."""
        steps = self.rates[arm] * np.diff(self.edges)
        return np.concatenate([np.zeros_like(steps[..., :1]), np.cumsum(steps, axis=-1)], axis=-1)

    def survival(self, arm: int, time: float) -> Array:
        """Return survival at ``time``."""
        return np.exp(-self.rates[arm] @ time_within(self.edges, time))

    def rmst(self, arm: int, time: float) -> Array:
        """Return restricted mean survival time: the integral of the survival curve up to ``time``."""
        return self._integral(np.exp(-self.cumulative_hazard(arm)[..., :-1]), self.rates[arm], time).sum(axis=-1)

    def median(self, arm: int) -> Array:
        """Return median survival; infinite where it lies beyond the last interval."""
        cumulative = self.cumulative_hazard(arm)
        reached = cumulative[..., -1] >= np.log(2)
        return np.where(reached, crossing(cumulative, self.edges, np.log(2)), np.inf)

    def average_hazard_ratio(self, time: float) -> Array:
        """Return the average hazard ratio up to ``time``: the integral of S0 dF1 over that of S1 dF0.

        Source: Kalbfleisch and Prentice 1981, Biometrika 68:105.
        """
        both = np.exp(-self.cumulative_hazard(0)[..., :-1] - self.cumulative_hazard(1)[..., :-1])
        weight = self._integral(both, self.rates[0] + self.rates[1], time)
        return (weight * self.rates[1]).sum(axis=-1) / (weight * self.rates[0]).sum(axis=-1)

    def _integral(self, start: Array, rate: Array, time: float) -> Array:
        """Return the integral over each interval, up to ``time``, of what falls from ``start`` at ``rate``."""
        return start * -np.expm1(-rate * time_within(self.edges, time)) / rate

    def hazard_ratio(self, time: float) -> Array:
        """Return the hazard ratio in the interval that holds ``time`` (in the earlier one, on an edge)."""
        interval = max(int(np.searchsorted(self.edges, time)) - 1, 0)
        return self.rates[1][..., interval] / self.rates[0][..., interval]


def curves_of(posterior: xr.Dataset, edges: Array) -> Curves:
    """Return the survival curves that a piecewise-exponential posterior stands for.

    Parameters
    ----------
    posterior
        With ``alpha``, ``beta`` and, where hazards are not proportional, ``omega``; dimensions
        ``(chain, draw, ..., interval)``.
    edges
        Interval bounds.
    """
    alpha = posterior["alpha"]
    log_ratio = posterior["beta"] + posterior["omega"] if "omega" in posterior else posterior["beta"]
    treatment = (alpha + log_ratio).transpose(*alpha.dims)
    return Curves(edges, (np.exp(alpha.to_numpy()), np.exp(treatment.to_numpy())))


def curve_quantities(curves: SurvivalCurves, landmarks: Sequence[float]) -> list[tuple[Quantity, Array]]:
    """Return survival, RMST and medians by arm and their differences.

    Parameters
    ----------
    curves
        Curves.
    landmarks
        Times to report at, within the intervals.
    """
    found: list[tuple[Quantity, Array]] = []
    for time in landmarks:
        found += _by_arm("survival", f"Survival at {time:g}", time, [curves.survival(arm, time) for arm in (0, 1)])
        found += _by_arm(
            "rmst", f"Mean survival time up to {time:g}", time, [curves.rmst(arm, time) for arm in (0, 1)]
        )
    return found + _by_arm("median", "Median survival", None, [curves.median(arm) for arm in (0, 1)])


def _by_arm(estimand: str, label: str, time: float | None, values: list[Array]) -> list[tuple[Quantity, Array]]:
    both_infinite = np.isinf(values[0]) & np.isinf(values[1])
    difference = np.where(both_infinite, 0.0, values[1] - np.where(both_infinite, 0.0, values[0]))
    arms = [
        (Quantity(f"{estimand}_{arm}", f"{label}, {arm}", time), value)
        for arm, value in zip(ARMS, values, strict=True)
    ]
    return [*arms, (Quantity(f"{estimand}_difference", f"{label}, difference", time), difference)]


def ratio_quantities(curves: Curves, landmarks: Sequence[float], proportional: bool) -> list[tuple[Quantity, Array]]:
    """Return the hazard ratio, or its values at the landmarks and its average where hazards are not proportional."""
    if proportional:
        return [(Quantity("hazard_ratio", "Hazard ratio"), curves.hazard_ratio(0.0))]
    last = max(landmarks, default=float(curves.edges[-1]))
    average = Quantity("average_hazard_ratio", f"Average hazard ratio up to {last:g}", last)
    at = [
        (Quantity("hazard_ratio", f"Hazard ratio at {time:g}", time), curves.hazard_ratio(time)) for time in landmarks
    ]
    return [(average, curves.average_hazard_ratio(last)), *at]
