"""The survival table: deaths and person-time by stratum, arm and interval, whatever the source.

A table is an `xarray.Dataset` with dimensions ``(imputation, stratum, arm, interval)``:

=============  =======================================  ==========================================
variable       dimensions                               meaning
=============  =======================================  ==========================================
``deaths``     imputation, stratum, arm, interval       deaths (fractional when reconstructed)
``exposure``   imputation, stratum, arm, interval       person-time at risk, in ``time_unit``
``censored``   imputation, stratum, arm, interval       patients whose follow-up ends without death
``patients``   imputation, stratum, arm                 all patients
``entered``    imputation, stratum, arm, interval       patients who enter after time zero, if any do
=============  =======================================  ==========================================

``start`` and ``stop`` bound the intervals, ``arm`` is ``control`` or ``treatment``, ``stratum`` holds the strata's
keys. Every model sees such a table and nothing else: under a constant rate within each interval, deaths and
exposure are sufficient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from .fields import ARMS

DIMENSIONS = ("imputation", "stratum", "arm", "interval")
CELLS = ("deaths", "exposure", "censored", "entered")  # by interval


def survival_table(
    deaths: ArrayLike,
    exposure: ArrayLike,
    censored: ArrayLike,
    patients: ArrayLike,
    edges: ArrayLike,
    *,
    entered: ArrayLike | None = None,
    strata: Sequence[str] = ("overall",),
    factors: Mapping[str, Sequence[str]] | None = None,
    trial: str,
    source: str,
    time_unit: str,
    partition: str = "",
) -> xr.Dataset:
    """Build a survival table.

    Parameters
    ----------
    deaths, exposure, censored
        Arrays of shape ``(imputation, stratum, arm, interval)``; arms are control, then treatment.
    patients
        Array of shape ``(imputation, stratum, arm)``.
    edges
        The intervals' bounds, one more than there are intervals, in ``time_unit``.
    entered
        Patients who enter late, where there are any; of the shape of ``deaths``.
    strata
        Keys of the strata.
    factors
        The level of each stratum, by factor: one more coordinate each.
    trial, source, time_unit, partition
        Attributes; ``source`` is ``published``, ``curves`` or ``patients``.

    Raises
    ------
    ValueError
        When a number is negative or not finite, or a cell has deaths but no exposure.
    """
    bounds = np.asarray(edges, dtype=float)
    cells = {"deaths": deaths, "exposure": exposure, "censored": censored}
    cells |= {} if entered is None else {"entered": entered}
    table = xr.Dataset(
        {name: (DIMENSIONS, np.asarray(values, dtype=float)) for name, values in cells.items()}
        | {"patients": (DIMENSIONS[:3], np.asarray(patients, dtype=float))},
        coords={
            "stratum": list(strata),
            "arm": list(ARMS),
            "start": ("interval", bounds[:-1]),
            "stop": ("interval", bounds[1:]),
            **{name: ("stratum", list(levels)) for name, levels in (factors or {}).items()},
        },
        attrs={"trial": trial, "source": source, "time_unit": time_unit, "partition": partition},
    )
    _check(table)
    return table


def _check(table: xr.Dataset) -> None:
    for name, values in table.data_vars.items():
        if not np.isfinite(values).all() or (values < 0).any():
            raise ValueError(f"survival table: {name} must be finite and not negative")
    if ((table.deaths > 0) & (table.exposure <= 0)).any():
        raise ValueError("survival table: a cell has deaths but no exposure")


def edges(table: xr.Dataset) -> NDArray[np.float64]:
    """Return the interval bounds, one more than there are intervals."""
    return np.append(table.start.to_numpy(), table.stop.to_numpy()[-1])


def interval_edges(end: float, width: float) -> NDArray[np.float64]:
    """Return bounds of intervals of one width that end at ``end``.

    A last interval shorter than half the width is merged with the one before it.

    Parameters
    ----------
    end
        Where the last interval ends, such as the last death.
    width
        Width of the intervals, in the same unit.
    """
    inner = np.arange(0.0, end, width)
    if len(inner) > 1 and end - inner[-1] < width / 2:
        inner = inner[:-1]
    return np.append(inner, end)


def regroup(table: xr.Dataset, bounds: ArrayLike) -> xr.Dataset:
    """Return the table on other intervals.

    Deaths and exposure of an interval that is cut are shared out by its length.

    Parameters
    ----------
    table
        A survival table.
    bounds
        The new intervals' bounds, increasing from 0 to at least the table's end (what lies beyond its end is
        empty) or to an earlier end (what lies beyond the bounds is dropped).
    """
    new = np.asarray(bounds, dtype=float)
    start, stop = table.start.to_numpy()[:, None], table.stop.to_numpy()[:, None]
    overlap = np.clip(np.minimum(stop, new[1:]) - np.maximum(start, new[:-1]), 0, None)
    share = xr.DataArray(overlap / (stop - start), dims=("interval", "regrouped"))
    cells = table[[name for name in CELLS if name in table]].map(lambda values: xr.dot(values, share, dim="interval"))
    limits = {"start": ("interval", new[:-1]), "stop": ("interval", new[1:])}
    outside = table.drop_dims("interval")
    return outside.assign(cells.rename(regrouped="interval")).assign_coords(limits).assign_attrs(table.attrs)


def numbers_at_risk(table: xr.Dataset) -> xr.DataArray:
    """Return the patients at risk at the intervals' starts: who entered by then, less who died or was censored.

    Parameters
    ----------
    table
        A survival table.

    Returns
    -------
    DataArray
        Dimensions as those of ``deaths``.
    """
    gained = -(table.deaths + table.censored)
    first = table.patients
    if "entered" in table:
        gained, first = gained + table.entered, first - table.entered.sum("interval")
    at_risk: xr.DataArray = first + (gained.cumsum("interval") - gained)
    return at_risk


def pooled(table: xr.Dataset) -> xr.Dataset:
    """Return the table with its strata added up to one, ``overall``."""
    total = table.drop_vars([name for name in table.coords if table[name].dims == ("stratum",)]).sum("stratum")
    whole = total.expand_dims(stratum=["overall"]).transpose(*DIMENSIONS, missing_dims="ignore")
    return whole.assign_attrs({**table.attrs, "partition": ""})


def patient_rows(table: xr.Dataset, imputation: int = 0) -> pd.DataFrame:
    """Return whole patients whose survival follows one imputation of a table.

    The i-th death of a stratum's arm falls where the table's cumulative deaths reach i - 1/2, and the censored
    likewise, so that counts are whole and curves are kept to within half a patient.

    Parameters
    ----------
    table
        A survival table.
    imputation
        Which imputation.

    Returns
    -------
    pandas.DataFrame
        Columns ``time`` (in the table's unit), ``event`` (1 death, 0 censored), ``arm``, and ``stratum`` when the
        table has several.
    """
    chosen = table.isel(imputation=imputation)
    frames = [
        _rows(chosen.sel(stratum=stratum, arm=arm), edges(table)).assign(arm=arm, stratum=stratum)
        for stratum in table.stratum.to_numpy()
        for arm in table.arm.to_numpy()
    ]
    rows = pd.concat(frames, ignore_index=True)
    return rows if table.sizes["stratum"] > 1 else rows.drop(columns="stratum")


def _rows(cell: xr.Dataset, bounds: NDArray[np.float64]) -> pd.DataFrame:
    patients, deaths = round(float(cell.patients)), round(float(cell.deaths.sum()))
    times = [_event_times(cell.deaths.to_numpy(), deaths, bounds)]
    times.append(_event_times(cell.censored.to_numpy(), patients - deaths, bounds))
    return pd.DataFrame({"time": np.concatenate(times), "event": np.repeat([1, 0], [deaths, patients - deaths])})


def _event_times(counts: NDArray[np.float64], number: int, bounds: NDArray[np.float64]) -> NDArray[np.float64]:
    cumulative = np.concatenate([[0.0], np.cumsum(counts)])
    if cumulative[-1] <= 0:
        return np.full(number, bounds[-1])
    return (
        np.interp((np.arange(number) + 0.5) / number * cumulative[-1], cumulative, bounds) if number else bounds[:0]
    )
