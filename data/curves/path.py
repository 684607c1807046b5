"""One arm's deaths and censored on a fine grid, and what they make of the Kaplan-Meier curve.

Between two numbers at risk, ``R`` falls by deaths ``d`` and censored ``c``; taking turns within a cell, they make the
estimate fall by ``S'/S = (R'/R)^(d/(d + c))``, which is the Kaplan-Meier product where nobody is censored. Within an
interval of the risk table ``c`` is what the deaths leave of its fall, spread evenly unless the known number of deaths
speaks against that: the same curve takes more deaths where more patients are at risk. After the last number at risk
follow-up ends as a power of the time that is left, and who is left at the end is censored there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ..estimators import kaplan_meier

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
CELLS = 240
SMOOTHING = 0.08  # of follow-up: bandwidth of the hazard about which deaths scatter
LEVEL = 1e-4  # by how much a step's corners may differ
FEWEST_ROWS = 4
MOST_UNIT = 0.1  # patients, that half a unit of survival is worth
FEWEST = 1e-3  # patients at risk: keeps logarithms finite


@dataclass(frozen=True)
class ArmCurve:
    """What is known about the survival of one arm.

    Parameters
    ----------
    time, survival
        Digitised points, shape ``(n,)``, times not decreasing, survival as read (not made monotone).
    risk_times, at_risk
        The risk table, beginning at 0 with all patients; no trailing zeros.
    events
        Deaths, where known.
    end
        End of follow-up: of the curve, or of the risk table if that goes on longer.
    """

    time: Array
    survival: Array
    risk_times: Array
    at_risk: Counts
    events: int | None
    end: float

    @property
    def patients(self) -> int:
        """Patients at time zero."""
        return int(self.at_risk[0])

    @property
    def has_table(self) -> bool:
        """Whether there are numbers at risk after time zero."""
        return self.risk_times.size > 1

    @cached_property
    def drops(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which points are upper and lower corners: two points at one time are the ends of a step."""
        below = np.append(np.diff(self.time) == 0, False)
        return below, np.roll(below, 1)

    @cached_property
    def plateaus(self) -> Array:
        """Begin and end of steps of which both corners are points, shape ``(n, 2)``: nobody dies within."""
        upper, lower = self.drops
        begins, ends = lower | (self.time == 0), upper | (self.time == self.time[-1])
        level = np.abs(np.diff(self.survival)) < LEVEL
        flat = np.flatnonzero(level & begins[:-1] & ends[1:])
        return np.column_stack([self.time[flat], self.time[flat + 1]])

    def within_steps(self, begin: Array, end: Array) -> NDArray[np.bool_]:
        """Return which stretches of time lie within a step both corners of which are points.

        A death at a bound belongs to the stretch that begins there, as numbers at risk count it still; at the end of
        follow-up to the last one.
        """
        begins, ends = self.plateaus.T.copy()
        near = 1e-9 * max(self.end, 1.0)
        begins[begins == 0] = -np.inf
        ends[(ends == self.end) & self.drops[0][-2:-1].any()] -= 2 * near
        place = np.searchsorted(begins, begin - near, side="right")
        return np.asarray(end <= np.append(-np.inf, ends)[place] + near)

    @cached_property
    def steps(self) -> tuple[Array, Array] | None:
        """Times of steps and survival after each, where the points are those of a step function itself; else `None`.

        They are where every level has both its corners, or where every row is a death: the first ones lower the
        curve by whole patients, and none by less than one.
        """
        upper, _ = self.drops
        last = np.append(np.diff(self.time) > 0, True)  # the lowest of each time
        times, levels = self.time[last], self.survival[last]
        later = times > 0
        times, levels, before = times[later], levels[later], np.append(1.0, levels[later])[:-1]
        if upper.any():
            highest = self.survival[np.searchsorted(self.time, times)]
            exact = bool((np.abs(highest - before) < LEVEL).all())
        else:
            exact = self._rows_are_deaths(times, before, levels)
        falls = levels < before
        return (times[falls], levels[falls]) if exact and falls.any() else None

    def _rows_are_deaths(self, times: Array, before: Array, levels: Array) -> bool:
        """Return whether each row is a death, the last one perhaps the end: as no digitiser's rows are by chance.

        Times are uneven, survival is given more exactly than a patient counts, the first rows are whole patients'
        deaths, and none falls by less than one.
        """
        dying = np.append(levels[:-1] < before[:-1], True) if levels.size else np.zeros(0, dtype=bool)
        if levels.size < FEWEST_ROWS or not dying.all() or np.ptp(np.diff(times)) < 0.1 * np.diff(times).max():
            return False
        deaths, unit = self.patients * (1 - levels[:2]), LEVEL * self.patients / 2
        falls = (before - levels)[levels < before]
        one = before[levels < before] / self.patients
        whole = np.abs(deaths - np.maximum(np.round(deaths), 1)) < 0.02 + unit
        return bool(unit < MOST_UNIT and whole.all() and (falls > one - LEVEL).all() and self._is_fine(levels))

    @staticmethod
    def _is_fine(levels: Array) -> bool:
        """Return whether survival is given to more than two decimals."""
        return not np.allclose(levels, levels.round(2), rtol=0, atol=1e-9)

    def nearest(self, time: Array, died: NDArray[np.bool_], reach: float) -> Array:
        """Return the values nearest to those read off that a curve of patients, with its steps, takes at their times.

        The last point is the curve's end, after every death.

        Parameters
        ----------
        time, died
            One entry per patient.
        reach
            How far to the sides to look, as a share of follow-up.
        """
        order = np.lexsort((~died, time))
        survival = np.append(1.0, np.cumprod(np.where(died[order], 1 - 1 / np.arange(time.size, 0, -1), 1.0)))
        low, high = (
            survival[np.searchsorted(time[order], self.time + way * self.end, side="right")]
            for way in (reach, -reach)
        )
        high[-1] = low[-1]
        return np.clip(self.survival, low, high)

    @cached_property
    def room(self) -> Counts:
        """By how many patients each interval of the risk table falls; the last one ends with follow-up."""
        return -np.diff(np.append(self.at_risk, 0))

    @cached_property
    def edges(self) -> Array:
        """Bounds of the risk table's intervals."""
        return np.append(self.risk_times, self.end)


def survival_at(time: Array, died: NDArray[np.bool_], *when: Array) -> tuple[Array, ...]:
    """Return the Kaplan-Meier estimate of patients at some times, each an array of them."""
    curve = kaplan_meier(time, died)
    return tuple(curve.at(one) for one in when)


@dataclass(frozen=True)
class Tail:
    """Censoring after the last number at risk: the share that is followed up falls to 0 as a power of the time left.

    Parameters
    ----------
    power
        0 when nobody is censored before the end, 1 when it is equally likely at any time.
    start
        Share of the time left that passes before it begins.
    beyond
        Time left at the end of the curve, as a share of that at the last number at risk: 0 when nobody is followed up
        longer, more when the end cuts follow-up short.
    """

    power: float
    start: float = 0.0
    beyond: float = 0.0

    @property
    def way(self) -> tuple[float, float]:
        """What is left of it when known deaths have moved the power."""
        return self.start, self.beyond


@dataclass(frozen=True)
class Path:
    """Expected deaths on a fine grid, and everything that follows from them.

    Parameters
    ----------
    known
        What is known of the arm.
    bounds
        Grid, shape ``(G + 1,)``.
    deaths
        Expected deaths by cell, shape ``(G,)``.
    tail
        Censoring after the last number at risk.
    timing
        When in an interval of the risk table its censored leave: their share by a time is that of the interval which
        has passed, to this power.
    """

    known: ArmCurve
    bounds: Array
    deaths: Array
    tail: Tail
    timing: float = 1.0

    @cached_property
    def interval(self) -> Counts:
        """The interval of the risk table that each cell belongs to."""
        middle = (self.bounds[:-1] + self.bounds[1:]) / 2
        return np.searchsorted(self.known.risk_times, middle, side="right") - 1

    @cached_property
    def censored(self) -> Array:
        """Censored by cell, without those who are still followed up at the end, shape ``(G,)``."""
        last = self.known.risk_times.size - 1
        deaths = np.bincount(self.interval, self.deaths, last + 1)
        counts = np.maximum(self.known.room - deaths, 0.0)
        counts[last] = 0.0
        censored = self.passing * counts[self.interval]
        left = float(self.known.at_risk[last])
        for cell, share in zip(np.flatnonzero(self.interval == last), self.tail_shares, strict=True):
            left = max(left - self.deaths[cell], 0.0)
            censored[cell] = left * share
            left -= censored[cell]
        return censored

    @cached_property
    def passing(self) -> Array:
        """Which share of an interval's censored leaves in each of its cells, shape ``(G,)``."""
        begin, end = self.known.edges[self.interval], self.known.edges[self.interval + 1]
        sides = self.bounds[:-1], self.bounds[1:]
        passed = [((bound - begin) / np.maximum(end - begin, 1e-12)).clip(0, 1) for bound in sides]
        return np.asarray(passed[1] ** self.timing - passed[0] ** self.timing)

    @cached_property
    def tail_shares(self) -> Array:
        """Which share of those whom deaths leave is censored in each cell after the last number at risk."""
        start, end = self.known.edges[-2:]
        bounds = np.append(self.bounds[:-1][self.interval == self.known.risk_times.size - 1], end)
        begin = start + self.tail.start * (end - start)
        last = (end - begin) / max(float(self.known.at_risk[-1]), 1.0)  # of n leaving, the end is the last one's
        last += self.tail.beyond * (end - start)
        followed = np.clip((end + last - bounds) / max(end + last - begin, 1e-12), 0.0, 1.0) ** self.tail.power
        return np.asarray(1 - followed[1:] / np.maximum(followed[:-1], 1e-12))

    @cached_property
    def at_risk(self) -> Array:
        """Patients at risk at each bound, shape ``(G + 1,)``: the risk table's own at its times."""
        leaving = self.deaths + self.censored
        total = np.bincount(self.interval, leaving, self.known.room.size)
        share = np.minimum(1.0, self.known.room / np.maximum(total, 1e-12))
        gone = np.concatenate([[0.0], np.cumsum(leaving * share[self.interval])])
        return np.asarray(np.maximum(self.known.patients - gone, FEWEST))

    @cached_property
    def survival(self) -> Array:
        """Kaplan-Meier estimate at each bound, shape ``(G + 1,)``."""
        before = self.at_risk[:-1]
        fall = np.maximum(before - self.at_risk[1:], 1e-9 * before)
        losses = self.deaths * -np.log1p(-fall / before) / fall
        return np.exp(-np.concatenate([[0.0], np.cumsum(losses)]))

    @cached_property
    def reached(self) -> Array:
        """Deaths up to each bound, shape ``(G + 1,)``."""
        return np.concatenate([[0.0], np.cumsum(self.deaths)])

    @cached_property
    def weight(self) -> Array:
        """By how much a death lowers the curve, by cell, shape ``(G,)``."""
        return np.asarray(self.survival[:-1] / np.maximum(self.at_risk[:-1] - self.censored / 2, 1.0))

    @cached_property
    def expected(self) -> Array:
        """Deaths by cell under a smooth hazard; none after the curve's end and within steps, shape ``(G,)``."""
        width, middle = np.diff(self.bounds), (self.bounds[:-1] + self.bounds[1:]) / 2
        exposure = (self.at_risk[:-1] + self.at_risk[1:]) / 2 * width
        flat = self.known.within_steps(self.bounds[:-1], self.bounds[1:])
        drawn = (self.bounds[:-1] < self.known.time[-1]) & ~flat
        kernel = np.exp(-(((middle[:, None] - middle) / (SMOOTHING * self.known.end)) ** 2) / 2) * drawn
        hazard = (kernel @ self.deaths + 1e-3) / np.maximum(kernel @ exposure, 1e-12)
        return np.where(drawn, hazard * exposure, 0.0)


def first_path(known: ArmCurve) -> Path:
    """Return a rough path: the points made monotone, numbers at risk taken from the table.

    Parameters
    ----------
    known
        What is known of the arm.
    """
    bounds = _grid(known)
    monotone = np.clip(isotonic_regression(known.survival, increasing=False).x, 0.0, 1.0)
    survival = np.interp(bounds, np.append(0.0, known.time), np.append(1.0, monotone))
    last = max(float(np.interp(known.risk_times[-1], bounds, survival)), 1e-9)
    at_risk = np.interp(bounds, known.risk_times, known.at_risk)
    at_risk = np.where(bounds > known.risk_times[-1], known.at_risk[-1] * survival / last, at_risk)
    deaths = at_risk[:-1] * (1 - survival[1:] / np.maximum(survival[:-1], 1e-9))
    path = Path(known, bounds, deaths, Tail(0.0))
    total = np.bincount(path.interval, deaths, known.room.size)
    within = deaths * np.minimum(1.0, known.room / np.maximum(total, 1e-12))[path.interval]
    return Path(known, bounds, within, Tail(0.0))


def step_values(known: ArmCurve, bounds: Array) -> Array:
    """Return an exact curve at some bounds, shape ``(G + 1,)``: before a step there, but after one at the end.

    Parameters
    ----------
    known
        What is known of the arm, with `ArmCurve.steps`.
    bounds
        Bounds of the cells.
    """
    assert known.steps is not None
    times, levels = known.steps
    places = np.searchsorted(times, bounds - 1e-9 * max(known.end, 1.0))
    places[-1] = times.size
    return np.append(1.0, levels)[places]


def with_curve(path: Path, survival: Array) -> Path:
    """Return a path with the deaths that make it fall as a curve does, given its own way of censoring.

    A cell that falls by a share ``f`` has ``f (R - c/2)`` deaths. Before the last number at risk ``c`` is a known
    share of the interval's censored, whose number is the one that meets the next number at risk; after it, ``c`` is a
    known share of those whom the deaths leave.

    Parameters
    ----------
    path
        The path.
    survival
        The curve at each bound, shape ``(G + 1,)``.
    """
    falls = 1 - survival[1:] / np.maximum(survival[:-1], 1e-9)
    deaths, last = np.zeros(falls.size), path.known.risk_times.size - 1
    for k, (left, room) in enumerate(zip(path.known.at_risk.tolist(), path.known.room.tolist(), strict=True)):
        cells = np.flatnonzero(path.interval == k)
        if k == last:
            for cell, share in zip(cells, path.tail_shares, strict=True):
                deaths[cell] = left * falls[cell] * (1 - share / 2) / (1 - falls[cell] * share / 2)
                left = (left - deaths[cell]) * (1 - share)
            continue
        kept = np.append(np.cumprod(1 - falls[cells][::-1])[::-1], 1.0)  # of those at risk before and after each cell
        worth = float(path.passing[cells] * (1 - falls[cells] / 2) @ kept[1:])
        lost = path.passing[cells] * max(left * kept[0] - (left - room), 0.0) / max(worth, 1e-12)
        for cell, one in zip(cells, lost, strict=True):
            deaths[cell] = falls[cell] * max(left - one / 2, 0.0)
            left -= deaths[cell] + one
    return replace(path, deaths=deaths)


def _grid(known: ArmCurve) -> Array:
    """Return an even grid, bounds moved to the times of the risk table."""
    even = np.linspace(0.0, known.end, CELLS + 1)
    inner = known.risk_times[(known.risk_times > 0) & (known.risk_times < known.end)]
    if not inner.size:
        return even
    away = np.abs(even[:, None] - inner).min(axis=1) > even[1] / 3
    away[[0, -1]] = True
    return np.union1d(even[away], inner)
