"""The time grid of a reconstruction: where it ends, its bounds, its knots, and the crude rates on it.

Where no horizon is stated the grid lies beyond the last patient that any printed number allows: beyond the latest
printed time, beyond mean + 2.5 SD of follow-up, and beyond the time at which the printed deaths have happened under
the hazard that printed survival implies. Follow-up itself ends where the numbers, and what they leave open, let it:
nobody needs to die or be censored before the grid does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cohort import MONTHS
from ..conduct import FollowUp
from ..fields import ARMS, ArmId
from ..record import Record

BEYOND_LATEST = 1.2  # times the latest printed time
BEYOND_DEATHS = 1.5  # times when the printed deaths have happened, if nobody is censored before
BEYOND_MEAN_SDS = 2.5
BEYOND_MIDDLE = 2.5  # times mean or median of follow-up, where nothing tells how far it spreads
KNOT_MONTHS = 6.0
FEWEST_CELLS, MOST_CELLS = 40, 120
FEWEST_KNOTS, MOST_KNOTS = 8, 24  # distances between knots
SNAP = 0.4  # of a cell: bounds that near to a printed time move there


@dataclass(frozen=True)
class Grid:
    """Bounds and knots in time.

    Parameters
    ----------
    edges
        Bounds of the cells, shape ``(T + 1,)``, from 0.
    knot
        Distance between knots.
    """

    edges: NDArray[np.float64]
    knot: float


def grid_to(record: Record, end: float) -> Grid:
    """Return the grid that ends at a time: months and six-month knots for follow-up in years, else in proportion.

    Every printed time of survival and numbers at risk is a bound.

    Parameters
    ----------
    record
        The trial.
    end
        Where the grid ends, in the record's unit.
    """
    month = MONTHS[record.time_unit]
    width = month if FEWEST_CELLS * month <= end <= MOST_CELLS * month else _width(end, month)
    knot = float(np.clip(KNOT_MONTHS * month, end / MOST_KNOTS, end / FEWEST_KNOTS))
    edges = np.append(np.arange(0.0, end - SNAP * width, width), end)
    return Grid(_with_bounds(edges, width, _bounds(record, end)), knot)


def _width(end: float, month: float) -> float:
    return end / FEWEST_CELLS if end < FEWEST_CELLS * month else end / MOST_CELLS


def _with_bounds(edges: NDArray[np.float64], width: float, times: list[float]) -> NDArray[np.float64]:
    """Return the edges with times among them: the nearest bound moves there, or one is added."""
    inner = edges[1:-1].copy()
    added = []
    for time in times:
        nearest = int(np.argmin(np.abs(inner - time)))
        if abs(inner[nearest] - time) <= SNAP * width:
            inner[nearest] = time
        else:
            added.append(time)
    return np.unique(np.concatenate([edges[:1], inner, added, edges[-1:]]))


def _bounds(record: Record, end: float) -> list[float]:
    survival = [item.time for item in record.survival if item.use]
    at_risk = [time for item in record.at_risk if item.use for time in item.times]
    return sorted({time for time in (*survival, *at_risk, *record.landmark_times()) if 0 < time < end})


def horizon_of(record: Record, start: float = 0.0) -> float:
    """Return where the grid ends: as stated, else beyond the last patient that any printed number allows.

    Parameters
    ----------
    record
        The trial, which prints patients of both arms.
    start
        Not before this time.
    """
    if record.horizon:
        return record.horizon
    knot, end = KNOT_MONTHS * MONTHS[record.time_unit], max(start, *_ends(record))
    return math.ceil(end / knot) * knot if end > FEWEST_KNOTS * knot else end


def _ends(record: Record) -> Iterator[float]:
    medians = [item.reached.value for item in record.median if item.use and item.reached]
    yield from (BEYOND_LATEST * time for time in (*printed_times(record), *medians))
    yield from (BEYOND_LATEST * time for time in record.landmark_times())
    yield from _follow_up_ends([item for item in record.follow_up if item.use])
    for arm in ARMS:
        yield from _deaths_end(record, arm)


def _follow_up_ends(items: Sequence[FollowUp]) -> Iterator[float]:
    """Yield the ends that follow-up implies: by its range, else by mean and SD, else by its middle."""
    if any(item.survivors_range for item in items):
        return  # printed times, which are counted already
    moments = [(item.mean.value, item.sd.value) for item in items if item.mean and item.sd]
    middles = [number.value for item in items for number in (item.mean, item.median, item.survivors_median) if number]
    yield from (mean + BEYOND_MEAN_SDS * sd for mean, sd in moments)
    yield from (BEYOND_MIDDLE * middle for middle in middles if not moments)


def _deaths_end(record: Record, arm: ArmId) -> Iterator[float]:
    """Yield when the printed deaths of an arm have happened under the hazard that its survival implies."""
    patients, events = record.arm(arm).patients, record.arm(arm).events
    hazard = hazard_of(record, arm)
    if patients and events and hazard:
        yield -math.log1p(-min(events, patients - 0.5) / patients) / hazard * BEYOND_DEATHS


def hazard_of(record: Record, arm: ArmId) -> float | None:
    """Return the mean hazard of an arm that its latest printed survival, else its median, implies.

    Parameters
    ----------
    record
        The trial.
    arm
        Which arm.
    """
    survival = [
        (item.time, item.estimate.value)
        for item in record.survival
        if item.use and item.arm == arm and item.where.is_overall and 0 < item.estimate.value < 1
    ]
    medians = [
        (item.reached.value, 0.5)
        for item in record.median
        if item.use and item.arm == arm and item.where.is_overall and item.reached
    ]
    time, share = max(survival or medians, default=(0.0, 1.0))
    return -math.log(share) / time if time else None


def person_time(record: Record, deaths: int) -> float:
    """Return roughly how long the patients of both arms were followed, from what the record prints.

    Parameters
    ----------
    record
        The trial.
    deaths
        Deaths of both arms.
    """
    sizes = {arm: record.arm(arm).patients or 0 for arm in ARMS}
    means = {item.arm: item.mean.value for item in record.follow_up if item.use and item.mean and item.arm}
    if {*record.concerned} <= {*means}:
        return float(sum(sizes[arm] * means[arm] for arm in record.concerned))
    hazards = [hazard for arm in ARMS if (hazard := hazard_of(record, arm))]
    if hazards and deaths:
        return deaths / float(np.mean(hazards))
    return sum(sizes.values()) * float(np.mean(printed_times(record))) * 0.8


def printed_times(record: Record) -> list[float]:
    """Return the times at which a record says something about whole arms.

    Parameters
    ----------
    record
        The trial.
    """
    follow_up = [
        number.value
        for item in record.follow_up
        if item.use
        for number in (item.mean, item.median, item.q75, item.survivors_median, *(item.survivors_range or ()))
        if number is not None
    ]
    return [*_survival_times(record), *follow_up]


def last_printed(record: Record) -> float:
    """Return the latest time at which survival or numbers at risk of whole arms are printed; 0 without any.

    Parameters
    ----------
    record
        The trial.
    """
    return max(_survival_times(record), default=0.0)


def _survival_times(record: Record) -> list[float]:
    """Return the times of survival, numbers at risk and medians that are printed of whole arms."""
    landmarks = [item.time for item in record.survival if item.use and item.where.is_overall]
    at_risk = [item.times[-1] for item in record.at_risk if item.use and item.where.is_overall]
    medians = [item.reached.value for item in record.median if item.use and item.where.is_overall and item.reached]
    return [*landmarks, *at_risk, *medians]


def follow_up_known(record: Record, arm: ArmId) -> bool:
    """Return whether a record prints when an arm's follow-up ended: its times, or its numbers at risk.

    Parameters
    ----------
    record
        The trial.
    arm
        Which arm.
    """
    numbers = ("mean", "sd", "q25", "median", "q75", "survivors_median")
    followed = any(
        item.use and item.arm == arm and any(getattr(item, name) is not None for name in numbers)
        for item in record.follow_up
    )
    counted = any(item.use and item.arm == arm and item.where.is_overall for item in record.at_risk)
    return followed or counted
