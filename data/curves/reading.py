"""Digitised curves: files of points, read, checked and put in order. What was put in order is told in notes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..cohort import LONGEST, MONTHS
from ..errors import InputError, Problem, input_error
from ..fields import ARMS, ArmId
from ..labels import number_of
from ..patient_files import PatientRows, file_rows
from ..record import Record
from ..sources import Curve
from .path import Array

COLUMNS = ("time", "survival")
AXES = {"time": "x", "survival": "y"}  # what digitisers call them
PERCENT = 1.5  # survival that reaches this at several points is in percent
NEAR_ZERO = 0.02  # of the longest time: what may lie before 0 by digitising
OUTSIDE = 0.03  # what may lie outside 0 to 1 by digitising
STRAY, NEIGHBOURS = 0.1, 5  # off so many points beside it: not on the curve
TIMES_APART = 0.08  # of the time axis: nearer points may have changed places
ASTRAY = "far from the points beside it, on a curve that falls: check time and survival"
LONG_GAP, LONG_GAP_POINTS = 0.3, 10  # of the time axis, before the last of more points than that: odd
SHOWN = 5  # rows named of each fault
FEWEST_POINTS = 3


@dataclass(frozen=True)
class DigitisedCurve:
    """The points of one arm's curve.

    Parameters
    ----------
    arm
        Whose.
    time, survival
        Points in order of time (survival not made monotone), shape ``(n,)``.
    file
        Name of the file.
    notes
        What was put in order.
    """

    arm: ArmId
    time: Array
    survival: Array
    file: str
    notes: tuple[str, ...]


Curves = tuple[DigitisedCurve, DigitisedCurve]  # control, treatment


def read_curves(record: Record) -> Curves:
    """Read the curves that a record names, control and treatment.

    Parameters
    ----------
    record
        With one ``curve`` for each arm; its files lie where the record says, relative to the record's own file.

    Raises
    ------
    InputError
        Names file, line, column and value of what is wrong, in both files.
    """
    problems = [*_arms(record)]
    curves: dict[ArmId, DigitisedCurve] = {}
    for curve in record.curve:
        try:
            curves[curve.arm] = _read(record, curve)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return curves["control"], curves["treatment"]


def _arms(record: Record) -> Iterator[Problem]:
    for arm in ARMS:
        number = sum(curve.arm == arm for curve in record.curve)
        if number != 1:
            given = f"{number} of {arm}"
            yield Problem(record.place, "curve", given, "give one [[curve]] for each arm")
    files = {curve.arm: curve.file for curve in record.curve}
    if len(files) == len(ARMS) and len({*files.values()}) == 1:
        yield Problem(record.place, "curve", files["control"], "stands there twice; each arm has a file of its own")


def _read(record: Record, curve: Curve) -> DigitisedCurve:
    rows = file_rows(record.beside(curve.file), curve.file, COLUMNS, COLUMNS, aliases=AXES)
    time, survival = (_numbers(rows, column) for column in COLUMNS)
    percent = bool((survival > PERCENT).sum() >= FEWEST_POINTS)  # a stray point is none
    unit = 100.0 if percent else 1.0
    end = float(np.nanmax(time, initial=0.0))
    longest = LONGEST * MONTHS[record.time_unit]
    too_long = np.isfinite(time) & (time > longest)
    allowed = f"must lie between 0 and {unit:g}"
    problems = [
        *_refused(rows, "time", ~np.isfinite(time), f"must be a number of {record.time_unit}"),
        *_refused(rows, "survival", ~np.isfinite(survival), "must be a number"),
        *_refused(rows, "time", time < -NEAR_ZERO * end, "must not be negative"),
        *_refused(rows, "time", too_long, f"must be at most {longest:g} {record.time_unit}, a century"),
        *_refused(rows, "survival", (survival < -OUTSIDE * unit) | (survival > (1 + OUTSIDE) * unit), allowed),
    ]
    if not problems and len(np.unique(time)) < FEWEST_POINTS:
        problems = [
            Problem(
                curve.file,
                "",
                number_of(len(time), "point"),
                f"must hold at least {FEWEST_POINTS} at different times",
            )
        ]
    if problems:
        raise InputError(problems)
    name = f"curve of {curve.arm} ({curve.file})"
    found = _in_order(time, survival / unit)
    few = max(found[1].size // FEWEST_POINTS, 1)
    first, last = np.median(found[1][:few]), np.median(found[1][-few:])
    if last > first + OUTSIDE:
        told = f"rises from {first:.3g} to {last:.3g}: give survival, not the share of events"
        raise input_error(curve.file, f"column {rows.name_of('survival')}", None, told)
    if problems := [*_refused(rows, "survival", _strays(time, survival / unit), ASTRAY)]:
        raise InputError(problems)
    notes = [*_taken(rows)] + (["survival is in percent: divided by 100"] if percent else []) + found[2]
    return DigitisedCurve(curve.arm, *found[:2], curve.file, tuple(f"{name}: {note}" for note in notes))


def _taken(rows: PatientRows) -> Iterator[str]:
    """Yield which columns were taken as time and survival, where that was not said."""
    names = [rows.name_of(column) for column in COLUMNS]
    if rows.bare:
        yield "its columns have no names: taken as time and survival"
    elif any(name.casefold() != column for name, column in zip(names, COLUMNS, strict=True)):
        yield f"columns {', '.join(names)} taken as time and survival"


def _in_order(time: Array, survival: Array) -> tuple[Array, Array, list[str]]:
    """Return points in order of time, one or two at each time, and what was done to them."""
    notes = []
    if (time < 0).any():
        notes.append(f"{_points(time < 0)} just before time 0: moved there")
    if (outside := (survival < 0) | (survival > 1)).any():
        notes.append(f"{_points(outside)} just outside 0 to 1: taken as digitising error")
    time = np.maximum(time, 0.0)
    if (np.diff(time) < 0).any():
        notes.append(f"{_points(np.diff(time) < 0)} before the one above: sorted by time")
    order = np.lexsort((-survival, time))
    time, survival = time[order], survival[order]
    same = pd.Series(time).duplicated(keep=False).to_numpy()
    if same.any():
        notes.append(f"{_points(same)} share their time with another: the highest and the lowest count")
        time, survival = _ends(time, survival)
    if (rises := np.diff(survival) > 0).any():
        most = float(np.diff(survival).max())
        notes.append(f"{_points(rises)} higher than the one before, by up to {most:.3g}: the fit never rises")
    step = time.size > FEWEST_POINTS and time[-3] == time[-2] and survival[-2] == survival[-1]  # drawn to the end
    if time.size > LONG_GAP_POINTS and np.diff(time)[-1] > LONG_GAP * np.ptp(time) and not step:
        notes.append(f"the last point, at {time[-1]:g}, lies far after the one before, at {time[-2]:g}: check it")
    if time[0] > 0:
        notes.append("no point at time 0: the curve begins at 1")
    return time, survival, notes


def _strays(time: Array, survival: Array) -> NDArray[np.bool_]:
    """Return which points lie far above those before them, or far below those after: beyond errors in time, too."""
    order = np.lexsort((-survival, time))
    at, level = time[order], survival[order]
    reach, stray = TIMES_APART * np.ptp(at), np.zeros(at.size, dtype=bool)
    first, last = np.searchsorted(at, at - reach), np.searchsorted(at, at + reach, side="right")
    for place, value in enumerate(level):
        before, after = level[: first[place]][-NEIGHBOURS:], level[last[place] :][:NEIGHBOURS]
        above = before.size >= FEWEST_POINTS and value > np.median(before) + STRAY
        below = after.size >= FEWEST_POINTS and value < np.median(after) - STRAY
        stray[order[place]] = above or below
    return stray


def _points(which: NDArray[np.bool_]) -> str:
    return number_of(int(which.sum()), "point")


def _ends(time: Array, survival: Array) -> tuple[Array, Array]:
    """Keep the first (highest) and last (lowest) of the points at one time."""
    first, last = np.diff(time, prepend=-1.0) > 0, np.diff(time, append=np.inf) > 0
    return time[first | last], survival[first | last]


def _numbers(rows: PatientRows, column: str) -> Array:
    values = rows.frame[column].astype(str).str.strip()
    values = values.str.removesuffix("%")
    if rows.decimal_comma:
        values = values.str.replace(",", ".", regex=False)
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)


def _refused(rows: PatientRows, column: str, wrong: NDArray[np.bool_], allowed: str) -> Iterator[Problem]:
    places = np.flatnonzero(wrong)
    for row in places[:SHOWN].tolist():
        value = str(rows.frame[column].iloc[row]).strip()
        where = f"{rows.row_name(row)}, column {rows.name_of(column)}"
        yield Problem(rows.place, where, value, allowed if value else "missing, but required")
    if len(places) > SHOWN:
        more = number_of(len(places) - SHOWN, "more row")
        yield Problem(rows.place, f"column {rows.name_of(column)}", more, allowed)
