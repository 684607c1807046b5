"""Small arms: whole patients moved until their own Kaplan-Meier curve meets the points.

A chain takes numbers at risk from a path of expectations. In an arm of some dozens they are off by more than the
points, as each patient's step shows. There patients are moved, by Metropolis steps that keep what is known:

    s[i] = S(t[i]) + error,  SD sigma        S: their Kaplan-Meier curve, about as far to the sides as upwards
    times                                    uniform within their interval of the risk table, whoever it is
    the last interval's censored             at the end of follow-up or before it, equally likely

A death and a censoring may change places, which leaves deaths and numbers at risk as they are; where deaths are not
known, one may become the other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .chain import LEAST_SIGMA, OUTLIER
from .path import CELLS, ArmCurve, Array

Mask = NDArray[np.bool_]
SMALL = 60  # patients: more need none of it
REACHES = (0.004, 0.03, 0.2)  # of follow-up: SDs of a move in time
STEPS_PER_PATIENT, MORE = 100, 3  # for draws; as many times more for the most probable patients
ROUNDS = 8  # of steps, the error estimated after each


def moved(
    known: ArmCurve, sigma: float, time: Array, died: Mask, rng: np.random.Generator, *, best: bool
) -> tuple[Array, Mask]:
    """Return patients of a small arm moved at random as the points allow.

    Parameters
    ----------
    known
        What is known of the arm.
    sigma
        Digitising error, at first.
    time, died
        One entry per patient; deaths and numbers at risk as known.
    rng
        Source of randomness.
    best
        Whether to return the most probable patients met, not the last ones.
    """
    steps = STEPS_PER_PATIENT * time.size * (MORE if best else 1) // ROUNDS
    state = time, died
    sigma = max(sigma, _error(known, sigma, *state))  # far from the points, all of them would be outliers
    for _ in range(ROUNDS):
        score = most = _score(known, sigma, *state)
        kept = state
        for _ in range(steps):
            proposed = _proposed(known, *state, rng)
            if proposed is None:
                continue
            other = _score(known, sigma, *proposed)
            if other >= score or rng.uniform() < math.exp(other - score):
                state, score = proposed, other
                if score > most:
                    most, kept = score, state
        if best:
            state = kept
        sigma = _error(known, sigma, *state)
    return state


def _error(known: ArmCurve, sigma: float, time: Array, died: Mask) -> float:
    """Return the digitising error that patients leave."""
    off = known.survival - known.nearest(time, died, sigma)
    return max(float(np.sqrt((off**2).mean())), LEAST_SIGMA)


def _score(known: ArmCurve, sigma: float, time: Array, died: Mask) -> float:
    off = (known.survival - known.nearest(time, died, sigma)) / sigma
    at, near = time[died], known.end / CELLS
    astray = int(known.within_steps(at - near, np.minimum(at + near, known.end)).sum())
    return float(np.log(np.exp(-(off**2) / 2) + OUTLIER).sum()) + astray * math.log(OUTLIER)


def _proposed(known: ArmCurve, time: Array, died: Mask, rng: np.random.Generator) -> tuple[Array, Mask] | None:
    """Return patients one of whom is moved, or two of whom change places; none where that is not possible."""
    one, way = int(rng.integers(time.size)), rng.uniform()
    time, died = time.copy(), died.copy()
    interval = int(np.searchsorted(known.risk_times, time[one], side="right")) - 1
    begin, end = known.edges[interval], known.edges[interval + 1]
    at_end = not died[one] and time[one] >= known.end
    if way < 0.4:  # to another time of its interval
        if at_end or end <= begin:
            return None
        to = (time[one] + REACHES[int(rng.integers(len(REACHES)))] * known.end * rng.normal() - begin) % (
            2 * (end - begin)
        )
        time[one] = begin + min(to, 2 * (end - begin) - to)
    elif way < 0.5:  # to the end, or from there
        if died[one] or interval < known.risk_times.size - 1 or end <= begin:
            return None
        time[one] = rng.uniform(begin, end) if at_end else known.end
    elif way < 0.9 or known.events is not None:  # a death and a censoring
        other = int(rng.integers(time.size))
        if died[one] == died[other] or at_end or time[other] >= known.end:
            return None
        died[[one, other]] = died[[other, one]]
    else:
        if at_end:
            return None
        died[one] = not died[one]
    return time, died
