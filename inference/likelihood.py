"""The log likelihood of a survival table, row by row, under posterior draws.

A row is a cell of the table: one stratum's arm in one interval, with deaths ``d`` and person-time ``e``. Under the
draw's hazard ``r`` its log likelihood is the Poisson kernel

    d log(r) - e r,

which is the log density of the times of the cell's patients. With ``d log(e) - log(d!)`` added it is the log
probability of the number of deaths; that term is the same in every model of one table, and cancels wherever models
are compared. Nothing here needs a compiled graph.

Source: Holford 1980, Biometrics 36:299.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy

from ..data.table import edges
from .quantities import curves_of
from .standardised import stratum_rates

Array = NDArray[np.float64]
CELL = ("stratum", "arm", "interval")
CELL_NAMES = ("stratum", "arm", "start")  # the interval by its start


def cell_rates(table: xr.Dataset, posterior: xr.Dataset) -> Array:
    """Return the hazard of every cell of a table in every draw.

    Parameters
    ----------
    table
        Survival table on the model's intervals, whose first imputation was the data.
    posterior
        Of that imputation, by one of the piecewise models (``alpha``, ``beta`` and perhaps ``omega``) or by
        `subgroups` (see `stratum_rates`; strata beyond the table's are padding); dimensions ``(chain, draw, ...)``.

    Returns
    -------
    array
        Shape ``(chain, draw, stratum, arm, interval)``.
    """
    if "delta" not in posterior:
        return np.stack(curves_of(posterior, edges(table)).rates, axis=-2)[:, :, None]
    from ..models.piecewise import log_time

    deaths = table.deaths.isel(imputation=0).sum(("stratum", "arm")).to_numpy()
    strata = posterior.isel(stratum=slice(table.sizes["stratum"]))
    return stratum_rates(strata, log_time(table, deaths))


def row_log_likelihood(table: xr.Dataset, posterior: xr.Dataset, fitted_to: xr.Dataset | None = None) -> xr.DataArray:
    """Return the log likelihood of every row of a table in every draw.

    Parameters
    ----------
    table, posterior
        See `cell_rates`. Rows are the table's cells that somebody was at risk in.
    fitted_to
        The table whose posterior it is, where that is another.

    Returns
    -------
    DataArray
        Dimensions ``(chain, draw, row)``; ``stratum``, ``arm`` and ``start`` say which cell a row is.
    """
    deaths, exposure, at_risk = _cells(table)
    rates = cell_rates(table if fitted_to is None else fitted_to, posterior)
    kernel = (deaths * np.log(rates) - exposure * rates)[..., at_risk]
    draws = {name: posterior[name] for name in ("chain", "draw") if name in posterior.coords}
    return xr.DataArray(kernel, dims=("chain", "draw", "row"), coords=_rows(table, at_risk) | draws)


def row_constant(table: xr.Dataset) -> xr.DataArray:
    """Return what makes a row's log likelihood the log probability of its deaths: ``d log(e) - log(d!)``.

    Parameters
    ----------
    table
        See `cell_rates`.

    Returns
    -------
    DataArray
        Dimension ``row``, as in `row_log_likelihood`.
    """
    deaths, exposure, at_risk = _cells(table)
    constant = xlogy(deaths, exposure) - gammaln(deaths + 1)
    return xr.DataArray(constant[at_risk], dims="row", coords=_rows(table, at_risk))


def without_row(table: xr.Dataset, row: int) -> xr.Dataset:
    """Return a table in which nobody was ever at risk in one of its rows.

    Parameters
    ----------
    table
        See `cell_rates`.
    row
        Which, as in `row_log_likelihood`.
    """
    ordered = table.transpose("imputation", *CELL)
    *_, at_risk = _cells(table)
    place = tuple(index[row] for index in np.nonzero(at_risk))
    emptied = {name: ordered[name].copy() for name in ("deaths", "exposure", "censored")}
    for values in emptied.values():
        values[(0, *place)] = 0.0
    return ordered.assign(emptied)


def _cells(table: xr.Dataset) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return deaths, person-time and whether there is any, by stratum, arm and interval."""
    chosen = table.isel(imputation=0).transpose(*CELL, ...)
    deaths, exposure = chosen.deaths.to_numpy(), chosen.exposure.to_numpy()
    return deaths, exposure, exposure > 0


def _rows(table: xr.Dataset, at_risk: NDArray[np.bool_]) -> dict[str, tuple[str, NDArray[np.generic]]]:
    """Return the coordinates that say which cell a row is."""
    places = zip(CELL_NAMES, np.nonzero(at_risk), strict=True)
    return {name: ("row", table[name].to_numpy()[index]) for name, index in places}
