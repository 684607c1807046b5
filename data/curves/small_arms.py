"""Small arms: whole patients moved until their own Kaplan-Meier curve meets the points.

A chain takes numbers at risk from a path of expectations. In an arm of some dozens they are off by more than the
points, as each patient's step shows. There patients are moved, by Metropolis steps that keep what is known:

    s[i] = S(t[i]) + error,  SD sigma    S: their Kaplan-Meier curve, about as far to the sides as upwards
    deaths and censored                  Poisson with the path's expectations

A death and a censoring may change places, which leaves deaths and numbers at risk as they are; where deaths are not
known, one may become the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .chain import LEAST_SIGMA, OUTLIER, Chain
from .path import ArmCurve, Array, survival_at

Mask = NDArray[np.bool_]
Patients = tuple[Array, Mask]
SMALL = 60  # patients: more need none of it
REACHES = (0.004, 0.03, 0.2)  # of follow-up: SDs of a move in time
STEPS_PER_PATIENT, DRAWS = 100, 11  # the typical one of so many draws
HOT = (4.0, 2.8, 2.0, 1.4)  # times the chain's error in the first rounds, in which patients find their places
ROUNDS = 8  # of steps, the error estimated after each of the others
ANYWHERE = 0.02  # of the mean rate: how rarely, at least, somebody is censored at any time


@dataclass(frozen=True)
class SmallArm:
    """What decides about the patients of a small arm.

    Parameters
    ----------
    chain
        Its chain: what is known, and how many deaths and censored are expected when.
    """

    chain: Chain

    @property
    def known(self) -> ArmCurve:
        """What is known of the arm."""
        return self.chain.path.known

    def typical(self, patients: Patients) -> Patients:
        """Return, of some draws, the patients nearest to their mean: in survival and patients at risk over time.

        Parameters
        ----------
        patients
            As of `moved`.
        """
        draws = [self.moved(patients, np.random.default_rng(seed)) for seed in range(DRAWS)]
        grid = self.chain.path.bounds
        at_risk = [(time[:, None] >= grid).mean(axis=0) for time, _ in draws]
        values = np.hstack([at_risk, [survival_at(*draw, grid)[0] for draw in draws]])
        return draws[int(np.argmin(((values - values.mean(axis=0)) ** 2).sum(axis=1)))]

    def moved(self, patients: Patients, rng: np.random.Generator) -> Patients:
        """Return patients moved at random as the points allow.

        Parameters
        ----------
        patients
            Times, and whether they are deaths; deaths and numbers at risk as known.
        rng
            Source of randomness.
        """
        state, steps = patients, STEPS_PER_PATIENT * patients[0].size // ROUNDS
        sigma = self.chain.sigma
        for place in range(ROUNDS):
            hot = HOT[place] if place < len(HOT) else 1.0
            score = self._score(hot * sigma, state)
            for _ in range(steps):
                proposed = self._proposed(*state, rng)
                if proposed is None:
                    continue
                other = self._score(hot * sigma, proposed)
                if other >= score or rng.uniform() < math.exp(other - score):
                    state, score = proposed, other
            if place >= len(HOT):
                sigma = min(self._error(sigma, state), self.chain.sigma)
        return state

    def _error(self, sigma: float, patients: Patients) -> float:
        """Return the digitising error that patients leave."""
        off = self.known.survival - self.known.nearest(*patients, sigma)
        return max(float(np.sqrt((off**2).mean())), LEAST_SIGMA)

    @cached_property
    def _log_rates(self) -> tuple[Array, Array]:
        """Log of how many die, and are censored, per time in each cell and, last, at the end of follow-up."""
        path, known = self.chain.path, self.known
        begin, end = known.edges[-2:]
        width, mean = np.diff(path.bounds), known.patients / known.end
        left = max(known.patients - float((path.deaths + path.censored).sum()), 0.0) / max(end - begin, 1e-9)
        deaths, censored = np.append(path.expected / width, 0.0), np.append(path.censored / width, left)
        return np.log(deaths + OUTLIER * mean), np.log(censored + ANYWHERE * mean)

    def _score(self, sigma: float, patients: Patients) -> float:
        time, died = patients
        off = (self.known.survival - self.known.nearest(time, died, sigma)) / sigma
        cells = np.searchsorted(self.chain.path.bounds, time, side="right") - 1
        dying, leaving = self._log_rates
        rates = np.where(died, dying[np.minimum(cells, dying.size - 2)], leaving[cells])
        return float(np.log(np.exp(-(off**2) / 2) + OUTLIER).sum() + rates.sum())

    def _proposed(self, time: Array, died: Mask, rng: np.random.Generator) -> Patients | None:
        """Return patients one of whom is moved, or two of whom change places; none where that is not possible."""
        known, one, way = self.known, int(rng.integers(time.size)), rng.uniform()
        time, died = time.copy(), died.copy()
        interval = int(np.searchsorted(known.risk_times, time[one], side="right")) - 1
        begin, end = known.edges[interval], known.edges[interval + 1]
        at_end = not died[one] and time[one] >= known.end
        if way < 0.4:  # to another time of its interval
            if at_end or end <= begin:
                return None
            by = REACHES[int(rng.integers(len(REACHES)))] * known.end * rng.normal()
            to = (time[one] + by - begin) % (2 * (end - begin))
            time[one] = begin + min(to, 2 * (end - begin) - to)
        elif way < 0.5:  # to the end, or from there
            if died[one] or interval < known.risk_times.size - 1 or end <= begin:
                return None
            time[one] = rng.uniform(begin, end) if at_end else known.end
        elif way < 0.9 or known.events is not None:  # a death and a censoring
            other = int(rng.integers(time.size))
            if died[one] == died[other]:
                return None
            died[[one, other]] = died[[other, one]]
        else:
            died[one] = not died[one]
        return time, died
