"""Simulated trials on a time grid, and what a paper would print about them.

Patients of a stratum and arm die at rate ``h`` and are censored at rate ``k``, both constant within an interval of
length ``dt``. Of ``R`` at risk at its start,

    R - R' ~ Binomial(R, 1 - exp(-(h + k) dt)),    D ~ Binomial(R - R', h / (h + k)).

A `ReplicatedTable` holds many such trials and can be read as a rebuilt table is: every printed number is a functional
of it. Person-time is ``E = dt (R - R') / log(R / R')``: ``exp(-sum D / E dt)`` is then the Kaplan-Meier estimate,
exactly so without censoring. For Cox fits it stands for the patients at risk when one dies: those at the start of
the interval, the dying one included, less half of the others who leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .cohort import Array
from .estimators import cox
from .reconstruction.unknowns import Cells, RealisedTable
from .table import edges as table_edges

Counts = NDArray[np.int64]
NOBODY = 1e-6  # patients, where nobody is left, so that rates and logarithms exist


def simulated_intervals(
    patients: Array, entering: Array, dying: Array, censoring: Array, steps: Array, rng: np.random.Generator
) -> Iterator[tuple[Counts, Counts, Counts]]:
    """Follow patients through the grid; yield those at risk, dead and gone (dead or censored) of each interval.

    Parameters
    ----------
    patients
        Expected patients; numbers that are fractional are rounded up or down at random.
    entering
        Share of them who join at each interval's start (last dimension), see `entering_shares`.
    dying, censoring
        Rates by interval (last dimension); ``censoring`` may be infinite. All but the last dimension broadcast
        against ``patients``.
    steps
        The intervals' lengths, shape ``(T,)``.
    rng
        Source of randomness.
    """
    at_risk = np.zeros(patients.shape, dtype=np.int64)
    for interval, step in enumerate(steps):
        if (joining := patients * entering[..., interval]).any():
            at_risk = at_risk + np.floor(joining + rng.random(patients.shape)).astype(np.int64)
        leaving = dying[..., interval] + censoring[..., interval]
        gone = rng.binomial(at_risk, -np.expm1(-leaving * step))
        dead = rng.binomial(gone, dying[..., interval] / leaving)
        yield at_risk, dead, gone
        at_risk = at_risk - gone


def entering_shares(table: xr.Dataset) -> Array:
    """Return the share of an arm's patients who join at each interval's start: the one after that they enter in.

    Parameters
    ----------
    table
        One imputation of a survival table; its strata are added up.

    Returns
    -------
    array
        Shape ``(arm, interval)``; all join at time zero where nobody enters late.
    """
    whole = table.sum("stratum")
    shares = np.zeros((2, table.sizes["interval"]))
    if "entered" in table:
        late = (whole.entered / whole.patients).transpose("arm", "interval").to_numpy()
        shares[:, 1:] = late[:, :-1]
    shares[:, 0] = 1 - shares[:, 1:].sum(axis=1)
    return shares


def censoring_rates(table: xr.Dataset) -> Array:
    """Return rates of censoring by arm and interval; infinite where nobody was followed up any more.

    Parameters
    ----------
    table
        One imputation of a survival table; its strata are added up.
    """
    whole = table.sum("stratum")
    exposure = whole.exposure.transpose("arm", "interval").to_numpy()
    censored = whole.censored.transpose("arm", "interval").to_numpy()
    return np.asarray(np.divide(censored, exposure, out=np.full_like(exposure, np.inf), where=exposure > 0))


def exposure_at_deaths(at_risk: Array | Counts, gone: Array | Counts, steps: Array | float) -> Array:
    """Return person-time that stands for the patients at risk when one of a group dies, see the module."""
    return np.asarray((at_risk - np.maximum(gone - 1, 0) / 2) * steps)


@dataclass(frozen=True)
class ReplicatedTable(RealisedTable):
    """Many simulated trials as one stack of tables.

    Parameters
    ----------
    edges, at_risk, deaths, exposure, censored, rate
        As for all realised tables, leading dimension the trial; nobody left is a millionth of a patient.
    gone
        Dead or censored, shape ``(trial, C, 2, T)``.
    """

    gone: Array = field(repr=False, kw_only=True)

    def cox(self, control: Cells, treatment: Cells) -> tuple[Array, Array]:
        """Return the Cox model's log hazard ratio and standard error for two groups of cells.

        See `estimators.cox`.
        """

        def fitted() -> tuple[Array, Array]:
            deaths, gone, at_risk = (
                np.stack([_added(values, cells) for cells in (control, treatment)], axis=-2)
                for values in (self.deaths, self.gone, np.where(self.at_risk > NOBODY, self.at_risk, 0)[..., :-1])
            )
            return cox(deaths, exposure_at_deaths(at_risk, gone, np.diff(self.edges)))

        return self._once((control, treatment), fitted)


def _added(values: Array, cells: Cells) -> Array:
    strata, arms = map(list, zip(*cells, strict=True))
    return np.asarray(values[:, strata, arms].sum(axis=1))


def replicated_table(
    patients: Array, dying: Array, censoring: Array, edges: Array, rng: np.random.Generator
) -> ReplicatedTable:
    """Simulate trials.

    Parameters
    ----------
    patients
        Expected patients by trial, stratum and arm, shape ``(trial, C, 2)``, all at risk from time zero.
    dying
        Rates of death, shape ``(trial, C, 2, T)``.
    censoring
        Rates of censoring, the same shape or one that broadcasts against it.
    edges
        Grid, shape ``(T + 1,)``.
    rng
        Source of randomness.
    """
    steps = np.diff(edges)
    at_once = (np.arange(steps.size) == 0).astype(float)
    intervals = list(simulated_intervals(patients, at_once, dying, censoring, steps, rng))
    at_risk, dead, gone = (np.stack(values, axis=-1).astype(float) for values in zip(*intervals, strict=True))
    return _followed(at_risk[..., :1], dead, gone, edges)


def observed_table(table: xr.Dataset) -> ReplicatedTable:
    """Return known patients' table as a stack of one trial, to be read as the simulated ones are.

    Parameters
    ----------
    table
        A survival table of one imputation, everybody at risk from time 0.
    """
    chosen = table.transpose("imputation", "stratum", "arm", "interval")
    dead, censored, exposure = (getattr(chosen, name).to_numpy() for name in ("deaths", "censored", "exposure"))
    edges, start = table_edges(table), chosen.patients.to_numpy()[..., None]
    gone = dead + censored
    before = np.concatenate([start, start - np.cumsum(gone, axis=-1)], axis=-1)[..., :-1]
    to_the_end = np.clip(2 * (exposure / np.diff(edges) - before) + gone, 0, censored)  # those followed through it
    gone[..., -1] -= to_the_end[..., -1]
    followed = _followed(start, dead, gone, edges)
    known = np.maximum(exposure, NOBODY * np.diff(edges))
    return replace(followed, exposure=known, rate=dead / known)


def _followed(start: Array, dead: Array, gone: Array, edges: Array) -> ReplicatedTable:
    """Return the tables of trials from who died and who left in each interval."""
    at_risk = np.concatenate([start, start - np.cumsum(gone, axis=-1)], axis=-1)
    left = np.maximum(at_risk, NOBODY)
    fall = np.log(left[..., :-1] / left[..., 1:])
    some_left = fall > 0
    mean = np.divide(-np.diff(left), fall, out=left[..., 1:].copy(), where=some_left)
    exposure = mean * np.diff(edges)
    return ReplicatedTable(edges, left, dead, exposure, gone - dead, dead / exposure, gone=gone)
