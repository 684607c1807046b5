"""The unknowns of a reconstruction and the table they stand for (whitened: a standard normal prior each).

Notation: stratum c, arm a in {0, 1}, month t. With ``l`` and ``b`` random walks on knots (linear between),

    log h[c,a,t] = l(t) + gamma[c] + a (b(t) + delta[c])          hazard of death
    log k[a,t]                                                    rate of censoring, common to the strata
    log r[c,a,t] = log h[c,a,t] + z[c,a,t] / sqrt(mu[c,a,t] + 1/2)   realised rate, mu = expected deaths

The realised table follows by recursion: ``R' = R exp(-(r + k) dt)``, ``E`` the integral of ``R``, ``D = r E``.
The sampling noise ``z`` belongs to the unknowns because what is published are realised, not expected, numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..cohort import Array, Cohort, cox, sum_of

KNOT_MONTHS = 6.0
LEVEL_SD = 1.0  # of each walk's first knot: log hazard about the crude log rate, log hazard ratio about 0
CENSORING_LEVEL_SD = 3.0  # hardly anybody is censored before the shortest planned follow-up,
BASELINE_STEP_SD = 0.35  # per knot
EFFECT_STEP_SD = 0.25
CENSORING_STEP_SD = 1.5  # and then most are: the end of a study comes suddenly
STRATUM_SD = 0.7
STRATUM_EFFECT_SD = 0.5


@dataclass(frozen=True)
class Unknowns:
    """What a trial's realised table may be before its numbers are read.

    Parameters
    ----------
    patients
        Patients by stratum and arm, shape ``(C, 2)``.
    edges
        Monthly grid, shape ``(T + 1,)``.
    month
        Length of a month in the trial's time unit.
    death_rate
        Crude rate of death of the trial, per time unit: where the baseline hazard is centred.
    censoring_rate
        Crude rate of censoring.
    """

    patients: NDArray[np.float64]
    edges: NDArray[np.float64]
    month: float
    death_rate: float
    censoring_rate: float

    @cached_property
    def _interpolation(self) -> NDArray[np.float64]:
        """Linear interpolation from knots to the middle of each month, shape ``(K, T)``."""
        middle = (self.edges[:-1] + self.edges[1:]) / 2 / self.month
        knots = np.arange(0, self.edges[-1] / self.month + KNOT_MONTHS, KNOT_MONTHS)
        return np.array([np.interp(middle, knots, unit) for unit in np.eye(len(knots))])

    def _walk(self, level_sd: float, step_sd: float) -> NDArray[np.float64]:
        """Random walk from whitened steps to months, shape ``(K, T)``; the first step is its level."""
        knots = len(self._interpolation)
        steps = np.diag(np.r_[level_sd, np.full(knots - 1, step_sd)])
        return steps @ np.triu(np.ones((knots, knots))) @ self._interpolation

    @cached_property
    def _walks(self) -> tuple[NDArray[np.float64], ...]:
        return (
            self._walk(LEVEL_SD, BASELINE_STEP_SD),
            self._walk(LEVEL_SD, EFFECT_STEP_SD),
            self._walk(CENSORING_LEVEL_SD, CENSORING_STEP_SD),
        )

    @cached_property
    def _layout(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        knots, months, strata = *self._interpolation.shape, len(self.patients)
        several = strata if strata > 1 else 0  # one stratum has no contrasts
        shapes = {
            "baseline": (knots,),
            "effect": (knots,),
            "censoring": (2, knots),
            "stratum": (several,),
            "stratum_effect": (several,),
            "noise": (strata, 2, months),
        }
        sizes = [int(np.prod(shape)) for shape in shapes.values()]
        ends = np.cumsum(sizes)
        return {
            name: (slice(end - size, end), shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        }

    @property
    def size(self) -> int:
        """How many unknowns there are."""
        return max(int(part.stop) for part, _ in self._layout.values())

    def _part(self, unknowns: Array, name: str) -> Array:
        part, shape = self._layout[name]
        return unknowns[..., part].reshape(*unknowns.shape[:-1], *shape)

    def table(self, unknowns: Array) -> RealisedTable:
        """Return the realised table.

        Parameters
        ----------
        unknowns
            Shape ``(..., size)``.
        """
        baseline, effect, censoring_walk = self._walks
        log_hazard = np.log(self.death_rate) + self._part(unknowns, "baseline") @ baseline
        log_ratio = self._part(unknowns, "effect") @ effect
        log_hazard, log_ratio = log_hazard[..., None, :], log_ratio[..., None, :]
        if len(self.patients) > 1:
            log_hazard = log_hazard + STRATUM_SD * self._part(unknowns, "stratum")[..., None]
            log_ratio = log_ratio + STRATUM_EFFECT_SD * self._part(unknowns, "stratum_effect")[..., None]
        hazard = np.exp(np.stack([log_hazard, log_hazard + log_ratio], axis=-2))
        censoring = np.exp(np.log(self.censoring_rate) + self._part(unknowns, "censoring") @ censoring_walk)
        censoring = censoring[..., None, :, :]
        expected = self._follow(hazard, censoring).deaths
        noise = self._part(unknowns, "noise") / np.sqrt(expected + 0.5)
        return self._follow(hazard * np.exp(noise), censoring)

    def _follow(self, rate: Array, censoring: Array) -> RealisedTable:
        """Follow the patients through the grid under given rates of death and censoring."""
        total = rate + censoring
        gone = np.cumsum(total * np.diff(self.edges), axis=-1)
        at_risk = np.empty((*gone.shape[:-1], gone.shape[-1] + 1))
        at_risk[..., 0] = self.patients
        at_risk[..., 1:] = self.patients[..., None] * np.exp(-gone)
        exposure = (at_risk[..., :-1] - at_risk[..., 1:]) / total
        return RealisedTable(self.edges, at_risk, rate * exposure, exposure, censoring * exposure)


@dataclass(frozen=True)
class RealisedTable:
    """Deaths and person-time by stratum, arm and month, leading dimensions stacked.

    Parameters
    ----------
    edges
        Monthly grid, shape ``(T + 1,)``.
    at_risk
        Shape ``(..., C, 2, T + 1)``.
    deaths, exposure, censored
        Shape ``(..., C, 2, T)``.
    """

    edges: NDArray[np.float64]
    at_risk: Array = field(repr=False)
    deaths: Array = field(repr=False)
    exposure: Array = field(repr=False)
    censored: Array = field(repr=False)

    _memo: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def cohort(self, strata: tuple[int, ...], arms: tuple[int, ...]) -> Cohort:
        """Return the patients of some strata and arms as one cohort."""
        key = (strata, arms)
        if key not in self._memo:
            self._memo[key] = sum_of(self._cell(stratum, arm) for stratum in strata for arm in arms)
        return cast(Cohort, self._memo[key])

    def cox(self, strata: tuple[int, ...]) -> tuple[Array, Array]:
        """Return the Cox model's log hazard ratio and standard error within the union of some strata."""
        if strata not in self._memo:
            self._memo[strata] = cox(self.cohort(strata, (0,)), self.cohort(strata, (1,)))
        return cast(tuple[Array, Array], self._memo[strata])

    def _cell(self, stratum: int, arm: int) -> Cohort:
        cells = (self.at_risk, self.deaths, self.exposure, self.censored)
        return Cohort(self.edges, *(values[..., stratum, arm, :] for values in cells))
