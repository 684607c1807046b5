"""The usual way from a digitised curve to patients, written from its description, to compare with.

At every point as many patients die as bring the Kaplan-Meier estimate nearest to the point; the censored of an
interval of the risk table are spread evenly over it, as many as make its next number right. After the last number
they leave at the mean rate before, or as many as make the known number of deaths right. Points are made monotone
first.

P. Guyot, A. E. Ades, M. J. N. M. Ouwens, N. J. Welton (2012). Enhanced secondary analysis of survival data. BMC
Medical Research Methodology 12:9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from secondlook.data.curves.path import ArmCurve, Array, Counts

ROUNDS = 100


@dataclass(frozen=True)
class Stretch:
    """Points of an interval of the risk table, and where the walk along the curve stands at its beginning."""

    time: Array
    survival: Array
    end: float
    patients: int
    level: float

    def censored_at(self, number: int) -> Array:
        """Return times of so many censored, spread evenly."""
        return self.time[0] + (self.end - self.time[0]) * (np.arange(number) + 0.5) / max(number, 1)

    def walk(self, censored: int) -> tuple[Counts, int, float]:
        """Return deaths at each point, patients left at the end, and the level of the curve there."""
        leaving = np.histogram(self.censored_at(censored), np.append(self.time, self.end))[0]
        deaths, left, level = np.zeros(self.time.size, dtype=np.int64), self.patients, self.level
        for place, (survival, gone) in enumerate(zip(self.survival, leaving, strict=True)):
            if left > 0 and level > 0:
                deaths[place] = min(max(round(left * (1 - survival / level)), 0), left)
                level *= 1 - deaths[place] / left
            left = max(left - int(deaths[place]) - int(gone), 0)
        return deaths, left, level


def guyot(known: ArmCurve) -> tuple[Array, NDArray[np.bool_]]:
    """Return patients: times, and whether they are deaths."""
    time, survival = np.append(0.0, known.time), np.append(1.0, known.survival)
    survival = np.clip(isotonic_regression(survival, increasing=False).x, 0.0, 1.0)
    interval = np.searchsorted(known.risk_times, time, side="right") - 1
    patients, level = known.patients, 1.0
    died: list[Array] = []
    lost: list[Array] = []
    for k, (begin, end) in enumerate(pairwise(known.edges.tolist())):
        inside = interval == k
        points = (time[inside], survival[inside]) if inside.any() else (np.array([begin]), np.array([level]))
        stretch = Stretch(*points, max(end, begin + 1e-9), patients, level)
        if k + 1 < known.at_risk.size:
            censored = _adjusted(0, lambda c, here=stretch, to=int(known.at_risk[k + 1]): here.walk(c)[1] - to)
        else:
            censored = min(round(sum(map(len, lost)) / max(begin, 1e-9) * (end - begin)), patients)
            if known.events is not None:
                left = known.events - sum(map(len, died))
                censored = _adjusted(censored, lambda c, here=stretch, to=left: int(here.walk(c)[0].sum()) - to)
        deaths, reached, level = stretch.walk(censored)
        died.append(np.repeat(stretch.time, deaths))
        lost.append(stretch.censored_at(patients - reached - int(deaths.sum())))
        patients = reached
    times = np.concatenate([*died, *lost, np.full(patients, known.end)])
    return times, np.arange(times.size) < sum(map(len, died))


def _adjusted(censored: int, over: Callable[[int], int]) -> int:
    """Return a number censored that leaves nothing over, if there is one."""
    for _ in range(ROUNDS):
        change = over(censored)
        if change == 0 or censored + change < 0:
            break
        censored += change
    return censored
