"""Whole deaths behind a digitised curve: a hidden Markov chain about a reference path.

With ``R`` patients at risk a death lowers the Kaplan-Meier estimate by ``w = S / R``. On a fine grid with bounds
``g``, the curve's loss ``L = 1 - S`` is a chain, observed at the digitised points:

    L[g + 1] = L[g] + w[g] d[g],    d[g] ~ Poisson(mu[g])     mu: a smooth hazard times person-time
    s[i] = 1 - L[g] + error                                   g: the bound nearest to the time of point i
    SD of the error: sigma sqrt(1 + (T dS/dt)^2)              one digitising error, as a share of each axis

where ``w`` and ``mu`` are those of the reference path, whose numbers at risk the risk table keeps right. Losses are
multiples of a small step, a death's being shared out between the two nearest; forward and backward recursions over
those near the path give the likelihood, the expected deaths of each cell, and whole draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import gammaln

from .path import Array, Counts, Path

LEAST_SIGMA, MOST_SIGMA = 5e-4, 0.05
OUTLIER = 1e-5  # density of a stray point, relative to the peak of a good one's
STEPS = 8  # of the loss, in a digitising error
WINDOW_SDS, WINDOW_DEATHS = 8.0, 2.5  # half the width of the window of losses about the path
SLOPE_REACH = 0.02  # of the time axis, on both sides
TINY = 1e-300


@dataclass(frozen=True)
class Chain:
    """The chain about a path.

    Parameters
    ----------
    path
        Reference path.
    sigma
        Digitising error, as a share of each axis.
    """

    path: Path
    sigma: float

    @property
    def step(self) -> float:
        """The step of the losses."""
        return self.sigma / STEPS

    @cached_property
    def states(self) -> Counts:
        """Losses in steps at each bound, shape ``(G + 1, W)``: a window about the path's."""
        most = min(float(self.path.weight[self.path.deaths > 1e-6].max(initial=0.0)), 0.1)
        half = math.ceil((WINDOW_SDS * self.sigma + WINDOW_DEATHS * most) / self.step)
        base = np.round((1 - self.path.survival) / self.step).astype(np.int64) - half
        return base[:, None] + np.arange(2 * half + 1)

    @cached_property
    def _deaths(self) -> Array:
        """Probabilities of numbers of deaths by cell, shape ``(G, K)``."""
        mean = self.path.expected[:, None]
        most = float(mean.max())
        number = np.arange(math.ceil(most + 6 * math.sqrt(most)) + 5)
        logs = number * np.log(np.maximum(mean, 1e-12)) - mean - gammaln(number + 1)
        return np.asarray(np.exp(logs))

    @cached_property
    def _jumps(self) -> tuple[Counts, Array, Array]:
        """By cell, losses in steps, their probabilities, shape ``(G, 2 K)``, and deaths: the two nearest of each."""
        number = np.arange(self._deaths.shape[1])
        losses = number * (self.path.weight[:, None] / self.step)
        whole = np.floor(losses).astype(np.int64)
        probabilities = self._deaths * (1 - losses + whole), self._deaths * (losses - whole)
        return np.hstack([whole, whole + 1]), np.hstack(probabilities), np.tile(number, 2)

    @cached_property
    def _nearest(self) -> Counts:
        bounds, known = self.path.bounds, self.path.known
        nearest = np.searchsorted((bounds[:-1] + bounds[1:]) / 2, known.time)
        cell = np.clip(np.searchsorted(bounds, known.time, side="right") - 1, 0, bounds.size - 2)
        return np.select(known.drops, [cell, cell + 1], nearest)

    @cached_property
    def error(self) -> Array:
        """SD of each point's error, in units of sigma."""
        known, path = self.path.known, self.path
        reach = SLOPE_REACH * known.end
        before, after = (np.interp(known.time + way, path.bounds, path.survival) for way in (-reach, reach))
        return np.asarray(np.hypot(1.0, (before - after) / (2 * SLOPE_REACH)))

    @cached_property
    def _off(self) -> Array:
        """How far each point lies from each state at its bound, as a share of the axis, shape ``(n, W)``."""
        return np.asarray(self.path.known.survival[:, None] - 1 + self.step * self.states[self._nearest])

    @cached_property
    def _evidence(self) -> tuple[Array, float]:
        """Likelihood of the points by bound and state, a bound's largest 1, and the log of what that leaves out."""
        scale = self.sigma * self.error
        logs = np.zeros(self.states.shape)
        np.add.at(logs, self._nearest, np.log(np.exp(-((self._off / scale[:, None]) ** 2) / 2) + OUTLIER))
        most = math.ceil(1 / self.step)
        logs[(self.states < 0) | (self.states > most)] = -np.inf
        logs[0, self.states[0] != 0] = -np.inf
        peaks = logs.max(axis=1, keepdims=True)
        return np.exp(logs - peaks), float(peaks.sum() - np.log(scale).sum())

    @cached_property
    def _moves(self) -> Counts:
        """By how many steps the window moves in each cell."""
        return np.diff(self.states[:, 0])

    @cached_property
    def _forward(self) -> tuple[Array, float]:
        """Probability of each state given the points so far, and the log likelihood."""
        evidence, log_likelihood = self._evidence
        losses, probabilities, _ = self._jumps
        shifted = _shifting(self._moves[:, None] - losses, evidence.shape[1])
        forward = np.zeros_like(evidence)
        forward[0] = evidence[0] / evidence[0].sum()
        for cell in range(len(losses)):
            reached = probabilities[cell] @ shifted(forward[cell], cell)
            values = reached * evidence[cell + 1]
            total = values.sum()
            log_likelihood += math.log(max(total, TINY))
            forward[cell + 1] = values / total if total > 0 else evidence[cell + 1] / evidence[cell + 1].sum()
        return forward, log_likelihood

    @property
    def log_likelihood(self) -> float:
        """Log likelihood of the points, up to a constant."""
        return self._forward[1]

    @cached_property
    def _smoothed(self) -> tuple[Array, Array]:
        """Probability of each state given all points, shape ``(G + 1, W)``, and expected deaths, ``(G,)``."""
        evidence, _ = self._evidence
        forward, (losses, probabilities, number) = self._forward[0], self._jumps
        shifted = _shifting(losses - self._moves[:, None], forward.shape[1])
        probability, deaths = forward.copy(), np.zeros(len(forward) - 1)
        backward = np.ones(forward.shape[1])
        for cell in range(deaths.size - 1, -1, -1):
            later = shifted(evidence[cell + 1] * backward, cell)
            backward = probabilities[cell] @ later
            largest = max(backward.max(), TINY)
            product = forward[cell] * backward / largest
            total = max(product.sum(), TINY)
            probability[cell] = product / total
            deaths[cell] = (probabilities[cell] * number) @ (later @ forward[cell]) / largest / total
            backward = backward / largest
        return probability, deaths

    @property
    def deaths(self) -> Array:
        """Expected deaths by cell given all points, shape ``(G,)``."""
        return self._smoothed[1]

    @property
    def better_sigma(self) -> float:
        """The digitising error of greatest expected likelihood (a step of expectation-maximisation)."""
        scaled = self._off / self.error[:, None]
        good = np.exp(-((scaled / self.sigma) ** 2) / 2)
        weight = self._smoothed[0][self._nearest] * good / (good + OUTLIER)
        variance = (weight * scaled**2).sum() / max(weight.sum(), 1e-12)
        return float(np.clip(math.sqrt(variance), LEAST_SIGMA, MOST_SIGMA))

    def draw(self, rng: np.random.Generator) -> Counts:
        """Draw whole deaths by cell, shape ``(G,)``, from the last cell backwards.

        Parameters
        ----------
        rng
            Source of randomness.
        """
        forward, (losses, probabilities, number) = self._forward[0], self._jumps
        width, deaths, lost = forward.shape[1], np.zeros(len(forward) - 1, dtype=np.int64), np.zeros(len(forward) - 1)
        place = int(rng.choice(width, p=forward[-1] / forward[-1].sum()))
        for cell in range(deaths.size - 1, -1, -1):
            before = place + self._moves[cell] - losses[cell]
            possible = (before >= 0) & (before < width)
            weights = np.where(possible, forward[cell][np.where(possible, before, 0)] * probabilities[cell], 0.0)
            total = weights.cumsum()
            if total[-1] > 0:
                chosen = min(int(np.searchsorted(total, rng.uniform() * total[-1], side="right")), total.size - 1)
                deaths[cell], place, lost[cell] = number[chosen], int(before[chosen]), losses[cell][chosen]
            else:
                place = int(np.clip(place + self._moves[cell], 0, width - 1))
        return _corrected(deaths, lost * self.step / np.maximum(self.path.weight, TINY))


def _corrected(deaths: Counts, worth: Array) -> Counts:
    """Return deaths that keep up with the loss: what its steps round off would add up to several deaths.

    Parameters
    ----------
    deaths
        Drawn deaths by cell.
    worth
        The loss by cell, in deaths.
    """
    corrected, ahead = deaths.copy(), 0.0
    for cell, surplus in enumerate((worth - deaths).tolist()):
        ahead += surplus
        change = int(max(ahead, -corrected[cell]))  # towards 0: a whole death, once it is one
        corrected[cell] += change
        ahead -= change
    return corrected


def _shifting(shifts: Counts, width: int) -> Callable[[Array, int], Array]:
    """Return a function of values and a cell: ``values[x + shift]`` for the cell's shifts, 0 beyond the ends."""
    padded = np.zeros(3 * width)
    windows, places = sliding_window_view(padded, width), np.clip(shifts, -width, width) + width

    def shifted(values: Array, cell: int) -> Array:
        padded[width : 2 * width] = values
        return np.asarray(windows[places[cell]])

    return shifted
