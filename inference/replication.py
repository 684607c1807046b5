"""Trials simulated from a posterior: the patients of the trial, dying at its hazards and censored as they were.

Every replicate takes one draw of one imputation: its hazards, its patients by stratum and arm, and its rates of
censoring by month (of all strata of an arm together), and draws deaths and censoring anew.

Source: Gelman, Meng and Stern 1996, Stat Sinica 6:733 (posterior predictive checks).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.replication import ReplicatedTable, censoring_rates, replicated_table
from ..data.table import edges, regroup
from .fitting import Fit
from .likelihood import cell_rates

Array = NDArray[np.float64]
REPLICATES = 4000
FEWEST_REPLICATES = 400
MOST_CELLS_IN_ALL = 12_000_000
MOST_CELLS = 4_000_000  # trials, strata, arms and months that are simulated at a time


def affordable(table: xr.Dataset, number: int) -> int:
    """Return how many trials of a table to simulate: ``number``, or fewer where it has very many strata."""
    cells = 2 * table.sizes["stratum"] * table.sizes["interval"]
    return min(number, max(FEWEST_REPLICATES, MOST_CELLS_IN_ALL // cells))


def replicates(fit: Fit, table: xr.Dataset, number: int = REPLICATES, seed: int = 1) -> Iterator[ReplicatedTable]:
    """Yield trials simulated from a posterior, in stacks.

    Parameters
    ----------
    fit
        Of a piecewise model or of `subgroups`, with all parameters.
    table
        The survival table by month that it was fitted to, with as many imputations; everybody at risk from time 0.
    number
        How many trials: shared out over the imputations, each of which takes draws at equal distances.
    seed
        Same seed, same trials.
    """
    rng = np.random.default_rng(seed)
    posterior = fit.posterior
    grid = _grid(table, fit.edges[-1])
    size = max(MOST_CELLS // (2 * table.sizes["stratum"] * (grid.size - 1)), 1)
    parts: list[_Rates] = []
    for imputation, share in enumerate(np.array_split(np.arange(number), posterior.sizes["imputation"])):
        one, own = posterior.isel(imputation=imputation), table.isel(imputation=[imputation])
        places = np.linspace(0, posterior.sizes["chain"] * posterior.sizes["draw"] - 1, share.size).astype(int)
        for piece in np.array_split(places, -(-share.size // size)) if share.size else ():
            parts.append(_rates(own, _chosen(one, piece), np.array(fit.edges), grid))
            if sum(len(part.dying) for part in parts) >= size:
                yield _simulated(parts, grid, rng)
                parts = []
    if parts:
        yield _simulated(parts, grid, rng)


@dataclass(frozen=True)
class _Rates:
    """Patients, rates of death and rates of censoring of some trials, shapes as in `replicated_table`."""

    patients: Array
    dying: Array
    censoring: Array


def _simulated(parts: list[_Rates], grid: Array, rng: np.random.Generator) -> ReplicatedTable:
    patients, dying, censoring = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("patients", "dying", "censoring")
    )
    return replicated_table(patients, dying, censoring, grid, rng)


def _grid(table: xr.Dataset, end: float) -> Array:
    """Return the table's grid up to where the model ends."""
    bounds = edges(table)
    return bounds if end >= bounds[-1] else np.append(bounds[bounds < end], end)


def _chosen(posterior: xr.Dataset, places: NDArray[np.int64]) -> xr.Dataset:
    """Return some draws of one imputation, counted over chains, as one chain."""
    chain, draw = np.divmod(places, posterior.sizes["draw"])
    bare = posterior.drop_vars(["chain", "draw"], errors="ignore")
    picked = bare.isel(chain=xr.DataArray(chain, dims="place"), draw=xr.DataArray(draw, dims="place"))
    return picked.rename(place="draw").expand_dims("chain")


def _rates(table: xr.Dataset, posterior: xr.Dataset, bounds: Array, grid: Array) -> _Rates:
    """Return the rates of one imputation's trials by month, averaged where an interval ends within one."""
    rates = cell_rates(regroup(table, bounds), posterior)[0]
    within = np.minimum(bounds[1:, None], grid[1:]) - np.maximum(bounds[:-1, None], grid[:-1])
    dying = rates @ (np.maximum(within, 0) / np.diff(grid))
    months = table if grid.size == table.sizes["interval"] + 1 else regroup(table, grid)
    first = months.isel(imputation=0)
    patients = np.broadcast_to(first.patients.transpose("stratum", "arm").to_numpy(), dying.shape[:-1])
    return _Rates(patients, dying, np.broadcast_to(censoring_rates(first), (len(dying), 1, 2, grid.size - 1)))
