"""Patients grouped into a survival table, once, by counting.

Under a constant hazard within each interval, deaths and person-time are sufficient, so that everything afterwards
costs the same for a million patients as for a hundred. The grid is monthly, and finer where follow-up is short. An
interval holds its end, not its start; who dies at time 0 dies in the first interval, having lived half a day. Delayed
entry (left truncation) takes the time before entry out of the exposure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .cohort import MONTHS
from .errors import InputError, input_error
from .fields import ARMS
from .patients import Tell, silent
from .record import Record
from .subgroup import OVERALL, Subgroup
from .table import survival_table

Array = NDArray[np.float64]
Places = NDArray[np.int64]
LEAST_INTERVALS = 60
MOST_CELLS = 2000
HALF_A_DAY = 0.5 / MONTHS["days"]  # in months
ON_A_BOUND = 1e-12  # relative distance within which a time lies on an interval's bound


def patient_table(patients: pd.DataFrame, record: Record, partition: str = "", tell: Tell = silent) -> xr.Dataset:
    """Group patients into a survival table by stratum, arm and month.

    Who lacks one of the partition's factors is left out of its table, and of no other.

    Parameters
    ----------
    patients
        From `read_patients` or `check_patients`.
    record
        The trial.
    partition
        Name of a partition, or factors joined by commas; ``""`` makes one stratum of all.
    tell
        Told how many are left out.

    Returns
    -------
    Dataset
        A survival table of one imputation; strata are the cells that occur. Where patients enter late it has
        ``entered`` too.

    Raises
    ------
    InputError
        When there is no such partition, its factors make too many cells, or are not known of anybody in an arm.
    """
    factors = _factors(record, partition)
    patients = _complete(patients, factors, tell)
    stratum, levels = _cells(patients, factors)
    number = len(next(iter(levels.values()))) if factors else 1
    group = len(ARMS) * stratum + patients["arm"].cat.codes.to_numpy()
    time, entry, event = (patients[name].to_numpy() for name in ("time", "entry", "event"))
    grid = _Grid.until(float(time.max()), MONTHS[record.time_unit], group, number)
    at_once = HALF_A_DAY * MONTHS[record.time_unit] * grid.counted(time, event & (time == 0))
    strata = [_stratum(factors, cell).key for cell in zip(*levels.values(), strict=True)] or [OVERALL.key]
    return survival_table(
        grid.counted(time, event),
        np.maximum(grid.lived(time) - grid.lived(entry), 0.0) + at_once,
        grid.counted(time, ~event),
        np.bincount(group, minlength=2 * number).reshape(1, number, 2),
        grid.width * np.arange(grid.intervals + 1),
        entered=grid.counted(entry, entry > 0) if (entry > 0).any() else None,
        strata=strata,
        factors=levels,
        trial=record.id,
        source="patients",
        time_unit=record.time_unit,
        partition=record.partition_name(partition),
    )


def _factors(record: Record, partition: str) -> tuple[str, ...]:
    """Return a partition's factors in record order."""
    if not partition:
        return ()
    found = record.partition(partition)
    usable = record.patients.factors if record.patients else ()
    if found is None or not {*found.factors} <= {*usable}:
        known = ", ".join(record.all_partitions) or "none"
        allowed = f"not a partition of {record.id} ({known}), nor factors of its patients ({', '.join(usable)})"
        raise input_error("--partition", "", partition, allowed)
    return tuple(name for name in record.factors if name in found.factors)


def _complete(patients: pd.DataFrame, factors: Sequence[str], tell: Tell) -> pd.DataFrame:
    """Return the patients of whom all factors are known."""
    unknown = {name: int(number) for name, number in patients[list(factors)].isna().sum().items() if number}
    known = patients[list(factors)].notna().all(axis="columns")
    if known.all():
        return patients
    for arm in ARMS:
        if not (known & patients["arm"].eq(arm)).any():
            allowed = f"of nobody of {arm} all of these are known; take fewer factors, or name patients.missing"
            raise input_error("--partition", "", ",".join(factors), allowed)
    counts = ", ".join(f"{name} {number}" for name, number in unknown.items())
    left_out = f"{(~known).sum()} of {len(known)} patients are left out, of whom a factor is not known ({counts})"
    tell(f"by {', '.join(factors)}: {left_out}")
    return patients[known]


def _cells(patients: pd.DataFrame, factors: Sequence[str]) -> tuple[Places, dict[str, list[str]]]:
    """Return each patient's place among the crossed levels that occur, and those cells' levels by factor."""
    if not factors:
        return np.zeros(len(patients), dtype=np.int64), {}
    categories = [patients[name].cat.categories for name in factors]
    shape = tuple(map(len, categories))
    if math.prod(shape) > np.iinfo(np.int64).max:
        raise _too_many(factors, math.prod(shape))
    codes = [patients[name].cat.codes.to_numpy().astype(np.int64) for name in factors]
    cells, stratum = np.unique(np.ravel_multi_index(codes, shape), return_inverse=True)
    if len(cells) > MOST_CELLS:
        raise _too_many(factors, len(cells))
    places = np.unravel_index(cells, shape)
    levels = {
        name: [str(names[code]) for code in place]
        for name, names, place in zip(factors, categories, places, strict=True)
    }
    return stratum, levels


def _too_many(factors: Sequence[str], cells: int) -> InputError:
    allowed = f"cross into {cells} strata; must be at most {MOST_CELLS}: take fewer factors or coarser levels"
    return input_error("--partition", "", ",".join(factors), allowed)


@dataclass(frozen=True)
class _Grid:
    """A time grid and who belongs where: counts are of shape ``(1, stratum, arm, interval)``.

    Parameters
    ----------
    width, intervals
        Of the intervals, and how many.
    group
        Each patient's stratum and arm, as one number.
    strata
        How many strata.
    """

    width: float
    intervals: int
    group: Places
    strata: int

    @classmethod
    def until(cls, end: float, month: float, group: Places, strata: int) -> _Grid:
        """Return a monthly grid up to ``end``, or a finer one of at least 60 intervals."""
        width = month / math.ceil(LEAST_INTERVALS * month / max(end, ON_A_BOUND))
        return cls(width, max(math.ceil(end / width * (1 - ON_A_BOUND)), 1), group, strata)

    def counted(self, times: Array, chosen: NDArray[np.bool_]) -> Array:
        """Return how many of the chosen patients' times lie in each interval."""
        return self._summed(self._interval(times), chosen.astype(float))

    def lived(self, times: Array) -> Array:
        """Return the time lived in each interval, from 0 up to each patient's time."""
        own = self._interval(times)
        ending = self._summed(own, np.ones(len(times)))
        beyond = ending.sum(axis=-1, keepdims=True) - ending.cumsum(axis=-1)
        return np.asarray(beyond * self.width + self._summed(own, times - own * self.width))

    def _summed(self, interval: Places, weights: Array) -> Array:
        place = self.group * self.intervals + interval
        shape = (1, self.strata, len(ARMS), self.intervals)
        return np.bincount(place, weights, math.prod(shape)).reshape(shape)

    def _interval(self, times: Array) -> Places:
        """Return the interval of each time: the one that ends with it at a bound, the first at 0."""
        places = np.ceil(times / self.width * (1 - ON_A_BOUND)).astype(np.int64) - 1
        return np.clip(places, 0, self.intervals - 1)


def _stratum(factors: Sequence[str], levels: Sequence[str]) -> Subgroup:
    return Subgroup(tuple((name, (level,)) for name, level in zip(factors, levels, strict=True)))
