"""Digitised curves: files of points, read, checked and put in order. What was put in order is told in notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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
HEADINGS = {  # what digitisers and programs call them, letter case and units in brackets apart
    "time": ("time", "x", "tk", "t"),
    "survival": ("survival", "surv", "survival probability", "y", "sk", "s"),
}
FAILURE_HEADINGS = ("failure", "incidence", "cumulative incidence", "events")
AXES = {"time": "x", "survival": "y"}  # ends of the headings of several curves in one file: NAME x, NAME y
PERCENT = 1.5  # where most of the higher half of a curve lies above this, it is in percent
OUTLIERS = 0.02  # of the points: so many may lie outside the range, and are dropped
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

    def holds_same(self, other: DigitisedCurve) -> bool:
        """Whether another arm's curve has the same points."""
        return np.array_equal(self.time, other.time) and np.array_equal(self.survival, other.survival)


Curves = tuple[DigitisedCurve, ...]  # control, treatment, or one of them alone


def read_curves(record: Record) -> Curves:
    """Read the curves that a record names: control and treatment, or one arm alone.

    Parameters
    ----------
    record
        With one ``curve`` for each arm that it concerns; its files lie where the record
        says, relative to the record's own file.

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
    first, *others = found = tuple(curves[arm] for arm in record.concerned)
    if any(first.file == other.file and first.holds_same(other) for other in others):
        told = "stands there twice; each arm has a file of its own, or columns NAME x and NAME y of its own"
        raise input_error(record.place, "curve", first.file, told)
    return found


def _arms(record: Record) -> Iterator[Problem]:
    for arm in ARMS:
        number = sum(curve.arm == arm for curve in record.curve)
        if number > 1 or not record.curve:
            given = f"{number} of {arm}"
            yield Problem(record.place, "curve", given, "give one [[curve]] for each arm")


def _read(record: Record, curve: Curve) -> DigitisedCurve:
    recognise = partial(_recognised, curve=curve, label=record.arm(curve.arm).label)
    rows = _filled(file_rows(record.beside(curve.file), curve.file, COLUMNS, COLUMNS, recognise=recognise))
    time, share = (_numbers(rows, column) for column in COLUMNS)
    percent = _in_percent(rows, time, share, curve.failure)
    unit = 100.0 if percent else 1.0
    end = float(np.nanmax(time, initial=0.0))
    longest = LONGEST * MONTHS[record.time_unit]
    outside = (share < -OUTSIDE * unit) | (share > (1 + OUTSIDE) * unit)
    early = time < -NEAR_ZERO * end
    notes = [*_taken(rows)]
    if percent:
        notes.append(f"{'share of events' if curve.failure else 'survival'} is in percent: divided by 100")
    dropped = outside | early
    if dropped.any() and dropped.sum() <= OUTLIERS * dropped.size:
        notes.append(_told_dropped(rows, dropped, unit))
        rows, time, share = rows.subset(~dropped), time[~dropped], share[~dropped]
        outside, early = outside[~dropped], early[~dropped]
    problems = [
        *_refused(rows, "time", ~np.isfinite(time), f"must be a number of {record.time_unit}"),
        *_refused(rows, "survival", ~np.isfinite(share), "must be a number"),
        *_refused(rows, "time", early, "must not be negative"),
        *_refused(rows, "time", time > longest, f"must be at most {longest:g} {record.time_unit}, a century"),
        *_refused(rows, "survival", outside, f"must lie between 0 and {unit:g}"),
    ]
    if not problems and len(np.unique(time)) < FEWEST_POINTS:
        points = number_of(len(time), "point")
        problems = [Problem(curve.file, "", points, f"must hold at least {FEWEST_POINTS} at different times")]
    if problems:
        raise InputError(problems)
    survival = 1 - share / unit if curve.failure else share / unit
    found = _in_order(time, survival)
    _check_direction(rows, found[1], curve)
    if problems := [*_refused(rows, "survival", _strays(time, survival), ASTRAY)]:
        raise InputError(problems)
    name = f"curve of {curve.arm} ({curve.file})"
    return DigitisedCurve(curve.arm, *found[:2], curve.file, tuple(f"{name}: {note}" for note in notes + found[2]))


def _recognised(found: Sequence[str], curve: Curve, label: str) -> Mapping[str, str]:
    """Return what a file calls time and survival: known headings, else the curve's own pair ``NAME x, NAME y``."""
    headings = HEADINGS | {"survival": (*HEADINGS["survival"], *FAILURE_HEADINGS * curve.failure)}
    named = {wanted: _alike(names, found) for wanted, names in headings.items()}
    pairs = _pairs(found)
    if not all(named.values()) and pairs:
        own = [pair for name, pair in pairs.items() if name in (curve.arm, label.casefold())]
        if len(pairs) == 1 or len(own) == 1:
            return (own or [*pairs.values()])[0]
    return {wanted: name for wanted, name in named.items() if name}


def _alike(names: Sequence[str], found: Sequence[str]) -> str | None:
    """Return the heading that is the first of some names, in any letter case if it is the only one."""
    for name in names:
        alike = {one for one in found if re.sub(r"[\s_.]+", " ", _without_unit(one)) == name}
        if alike:
            return name if name in alike else alike.pop() if len(alike) == 1 else None
    return None


def _without_unit(heading: str) -> str:
    return re.sub(r"\s*(\(.*\)|\[.*\]|%)\s*$", "", heading.casefold()).strip()


def _pairs(found: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """Return the columns ``NAME x`` and ``NAME y`` by their names, in lower case."""
    ends = {axis: wanted for wanted, axis in AXES.items()}
    pairs: dict[str, dict[str, str]] = {}
    for heading in found:
        if match := re.fullmatch(r"(.*[^\s_.-])[\s_.-]+([xy])", heading.casefold()):
            pairs.setdefault(match[1], {})[ends[match[2]]] = heading
    return {name: pair for name, pair in pairs.items() if len(pair) == len(ends)}


def _filled(rows: PatientRows) -> PatientRows:
    """Return the rows that hold a point: curves side by side in a file are of different length."""
    blank = [rows.frame[column].isna() | rows.frame[column].astype(str).str.strip().eq("") for column in COLUMNS]
    return rows.subset(~(blank[0] & blank[1]).to_numpy(dtype=bool))


def _in_percent(rows: PatientRows, time: Array, share: Array, failure: bool) -> bool:
    """Whether most points, or most of the higher half of a curve (the later one if it rises), or signs say so."""
    order, half = np.argsort(time), (time.size + 1) // 2
    higher = share[order][-half:] if failure else share[order][:half]
    if any((points > PERCENT).sum() > points.size / 2 for points in (share, higher)):
        return True
    signs = rows.frame["survival"].astype(str).str.contains("%", regex=False).sum() > time.size / 2
    return bool((signs or "%" in rows.name_of("survival")) and (failure or (higher > PERCENT).any()))


def _told_dropped(rows: PatientRows, dropped: NDArray[np.bool_], unit: float) -> str:
    shown = ", ".join(
        f"{rows.row_name(row)} ({rows.frame['time'].iloc[row]}, {rows.frame['survival'].iloc[row]})"
        for row in np.flatnonzero(dropped)[:SHOWN].tolist()
    )
    more = " and others" if dropped.sum() > SHOWN else ""
    return f"{_points(dropped)} before time 0 or outside 0 to {unit:g} dropped: {shown}{more}"


def _check_direction(rows: PatientRows, survival: Array, curve: Curve) -> None:
    """Refuse a curve that rises as a whole, or falls where it is said to rise."""
    few = max(survival.size // FEWEST_POINTS, 1)
    first, last = np.median(survival[:few]), np.median(survival[-few:])
    if last <= first + OUTSIDE:
        return
    told = f"rises from {first:.3g} to {last:.3g}: give survival, or failure = true where it is the share of events"
    if curve.failure:
        told = (
            f"falls from {1 - first:.3g} to {1 - last:.3g}, but failure = true is for a share of events, which rises"
        )
    raise input_error(curve.file, f"column {rows.name_of('survival')}", None, told)


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
