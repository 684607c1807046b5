"""Whole patients behind the exact steps of a Kaplan-Meier curve, as software or a vector graphic writes it.

A step from ``S`` to ``S'`` at time ``t`` is ``d`` deaths of ``R`` at risk, ``d / R = 1 - S'/S`` within the rounding
of both: whole numbers that few pairs meet. Between steps patients are censored, ``c = (R - d) - R'`` of them, Poisson
about a rate that is constant within an interval of the risk table, whose numbers at risk are met exactly (they count
those who die at that very time). A forward pass over the numbers at risk that each step allows, and a backward one,
give the most probable patients, or draws of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from .path import ArmCurve, Array, Counts

Patients = tuple[Array, NDArray[np.bool_]]
Forward = tuple[list[Array], Array]
MOST_WAYS = 4  # numbers of deaths that one number at risk allows
ROUNDS = 3  # of the rates of censoring
LEAST_RATE = 0.05  # of an interval's patients: so many may be censored where none are expected


@dataclass(frozen=True)
class Steps:
    """An arm whose steps are known exactly.

    Parameters
    ----------
    known
        With `ArmCurve.steps`.
    """

    known: ArmCurve

    def patients(self, rng: np.random.Generator | None = None) -> Patients | None:
        """Return whole patients, times and whether they are deaths; ``None`` where nothing meets what is known.

        Parameters
        ----------
        rng
            Draws them; without it they are the most probable ones.
        """
        parts = [interval.patients(rng) for interval in self.intervals]
        if any(part is None for part in parts):
            return None
        times, died = (np.concatenate(each) for each in zip(*(part for part in parts if part), strict=True))
        return (times, died) if self.known.events in (None, int(died.sum())) else None

    @cached_property
    def rounding(self) -> float:
        """Half a unit of the last digit that survival is given to."""
        assert self.known.steps is not None
        levels = self.known.steps[1]
        digits = next((n for n in range(2, 9) if np.allclose(levels, levels.round(n), rtol=0, atol=1e-10)), 9)
        return 0.5 * 10.0**-digits + 1e-12

    @cached_property
    def intervals(self) -> list[_Interval]:
        """The intervals of the risk table; the last one ends with follow-up."""
        assert self.known.steps is not None
        (times, levels), edges, numbers = self.known.steps, self.known.edges, self.known.at_risk.tolist()
        found = []
        for k, (begin, stop) in enumerate(pairwise(edges)):
            last = k == len(numbers) - 1
            inside = (times >= begin) & ((times < stop) | last)
            before = np.append(1.0, levels)[:-1][inside]
            at_risk = numbers[k], None if last else numbers[k + 1]
            found.append(_Interval(times[inside], before, levels[inside], begin, stop, *at_risk, self.rounding))
        return found


@dataclass(frozen=True)
class _Interval:
    """Steps between two numbers at risk: their times, survival before and after each, shape ``(n,)`` all."""

    times: Array
    before: Array
    after: Array
    begin: float
    stop: float
    start: int
    end: int | None
    rounding: float

    @cached_property
    def _allowed(self) -> list[tuple[Counts, Counts]]:
        """The numbers at risk and deaths that each step allows, shape ``(n,)`` both."""
        least, found = self.end or 0, []
        for step, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            later = self.times.size - step  # at least so many die here and later, and as many steps have died before
            at_risk = np.arange(least + later, self.start - step + 1)
            low = 1 - (after + self.rounding) / max(before - self.rounding, 1e-12)
            high = 1 - max(after - self.rounding, 0.0) / (before + self.rounding)
            least_deaths = np.maximum(np.ceil(at_risk * low - 1e-9), 1).astype(np.int64)
            pairs = [
                (at_risk[fits], deaths[fits])
                for more in range(MOST_WAYS)
                for deaths in (least_deaths + more,)
                for fits in ((deaths <= at_risk * high + 1e-9) & (deaths <= at_risk - least),)
            ]
            numbers, died = (np.concatenate(part) for part in zip(*pairs, strict=True))
            found.append((numbers, died))
        return found

    def patients(self, rng: np.random.Generator | None) -> Patients | None:
        """Return the patients who leave in the interval; ``None`` where no whole numbers fit."""
        if not self.times.size:
            none = np.zeros(0, dtype=np.int64)
            return self._spread(none, none, rng)
        if any(not numbers.size for numbers, _ in self._allowed):
            return None
        found = self._backwards(*(self._likeliest if rng is None else self._all), rng)
        return None if found is None else self._spread(*found, rng)

    @cached_property
    def rate(self) -> float:
        """Rate of censoring: of those whom the deaths leave, over the interval's length."""
        passed = (self.times - self.begin) / max(self.stop - self.begin, 1e-12)
        at_risk = self.start * self.before / self.before[0] * (1 - passed) + (self.end or 0) * passed
        died = float(at_risk @ (1 - self.after / self.before))
        for _ in range(ROUNDS):
            rate = max(self.start - (self.end or 0) - died, LEAST_RATE) / max(self.stop - self.begin, 1e-12)
            found = self._backwards(*self._forward(rate, np.maximum), None)
            if found is None:
                break
            died = float(found[0].sum())
        return float(rate)

    @cached_property
    def _likeliest(self) -> Forward:
        return self._forward(self.rate, np.maximum)

    @cached_property
    def _all(self) -> Forward:
        return self._forward(self.rate, np.logaddexp)

    def _forward(self, rate: float, add: np.ufunc) -> Forward:
        """Return, under a rate of censoring, scores of each step's numbers by those before, and of the last ones."""
        gaps = np.diff(np.r_[self.begin, self.times, self.stop]) * rate + 1e-3
        factorials = gammaln(np.arange(self.start + 1) + 1.0)

        def log_poisson(number: Counts, mean: float) -> Array:
            known = factorials[np.clip(number, 0, self.start)]
            return np.where(number >= 0, number * np.log(mean) - mean - known, -np.inf)

        places, left, scores = np.array([self.start]), np.zeros(1), []
        for (at_risk, deaths), gap in zip(self._allowed, gaps, strict=False):
            values = left[:, None] + log_poisson(places[:, None] - at_risk, gap)
            scores.append(values)
            left, places = add.reduce(values, axis=0), at_risk - deaths
        return scores, left if self.end is None else left + log_poisson(places - self.end, gaps[-1])

    def _backwards(
        self, scores: list[Array], left: Array, rng: np.random.Generator | None
    ) -> tuple[Counts, Counts] | None:
        """Return deaths and numbers at risk of each step, the most probable ones or a draw."""
        if not np.isfinite(left.max()):
            return None
        chosen = [_pick(left, rng)]
        for values in scores[:0:-1]:
            chosen.append(_pick(values[:, chosen[-1]], rng))
        picks = list(zip(self._allowed, chosen[::-1], strict=True))
        return np.array([d[i] for (_, d), i in picks]), np.array([r[i] for (r, _), i in picks])

    def _spread(self, deaths: Counts, at_risk: Counts, rng: np.random.Generator | None) -> Patients:
        """Return times, and whether they are deaths: deaths at their steps, the censored evenly between these."""
        bounds = np.r_[self.begin, self.times, self.stop]
        following = np.r_[at_risk, self.end or 0]
        before = np.r_[self.start, at_risk - deaths]
        censored = [
            np.full(number, self.stop)
            if self.end is None and place == self.times.size
            else _between(bounds[place], bounds[place + 1], number, rng)
            for place, number in enumerate(before - following)
        ]
        died = np.repeat(self.times, deaths)
        times = np.concatenate([died, *censored])
        return times, np.arange(times.size) < died.size


def _pick(scores: Array, rng: np.random.Generator | None) -> int:
    if rng is None:
        return int(np.argmax(scores))
    weights = np.exp(scores - scores.max())
    return int(rng.choice(weights.size, p=weights / weights.sum()))


def _between(low: float, high: float, number: int, rng: np.random.Generator | None) -> Array:
    """Return times of the censored after one step and before the next."""
    shares = (np.arange(number) + 0.5) / max(number, 1) if rng is None else np.sort(rng.uniform(size=number))
    return low + (high - low) * shares
