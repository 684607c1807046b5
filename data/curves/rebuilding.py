"""From what is known about an arm to whole patients: the most probable ones, and draws."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .chain import Chain
from .path import ArmCurve, Array, Counts, Path, Tail, first_path

FIRST_SIGMA = 0.006
ROUNDS = 6
TAILS = {0.0: 0.2, 0.5: 0.2, 1.0: 0.4, 2.0: 0.2}  # powers and their prior probabilities
STARTS = (0.0, 0.5)  # where there is no risk table at all
TIMING_PROBE, MOST_TIMING, TIMED_ROUNDS = 0.3, 1.2, 3  # of the log of the timing of the censored
LEAST_PROBABILITY = 0.02  # of a way of censoring that draws take
EVENTS_SD = 0.01  # of the deaths that a chain expects, as a share; at least one death


@dataclass(frozen=True)
class ArmFit:
    """An arm's chains, one for each way of censoring after the last number at risk, and their probabilities.

    Parameters
    ----------
    chains
        The most probable one first.
    probabilities
        They add up to 1.
    """

    chains: tuple[Chain, ...]
    probabilities: Array

    @property
    def known(self) -> ArmCurve:
        """What the arm was fitted to."""
        return self.chains[0].path.known

    @property
    def sigma(self) -> float:
        """Digitising error, as a share of each axis."""
        return self.chains[0].sigma

    @property
    def error(self) -> Array:
        """SD of each point's survival, in units of sigma: more where the curve falls steeply."""
        return self.chains[0].error

    def patients(self, rng: np.random.Generator | None = None) -> tuple[Array, NDArray[np.bool_]]:
        """Return whole patients: times, and whether they are deaths.

        Parameters
        ----------
        rng
            Draws them; without it they are the most probable ones.
        """
        if rng is None:
            chain = self.chains[0]
            deaths = _honoured(chain.deaths, chain.path)
            reached = np.floor(np.append(0.0, np.cumsum(deaths)) + 0.5 + 1e-9).astype(np.int64)
        else:
            chain = self.chains[int(rng.choice(len(self.chains), p=self.probabilities))]
            deaths = _honoured(chain.draw(rng).astype(float), chain.path)
            reached = np.floor(np.append(0.0, np.cumsum(deaths)) + rng.uniform()).astype(np.int64)
        return _patients(chain.path, reached, rng)


def fit_arm(known: ArmCurve) -> ArmFit:
    """Fit an arm's deaths and censored to what is known about it.

    Parameters
    ----------
    known
        Curve, risk table and deaths.
    """
    first = first_path(known)
    tails = _tails(known)
    fitted = [_fitted(Chain(replace(first, tail=tail), FIRST_SIGMA)) for tail in tails]
    scores = np.array([score for _, score in fitted]) + np.log(list(tails.values()))
    order = np.argsort(-scores, kind="stable")
    weights = np.exp(scores[order] - scores.max())
    likely = weights > LEAST_PROBABILITY * weights.sum()
    chains = tuple(_timed(fitted[place][0]) for place in order[likely])
    return ArmFit(chains, weights[likely] / weights[likely].sum())


def _fitted(chain: Chain) -> tuple[Chain, float]:
    """Return a converged chain and its log likelihood, the known number of deaths included."""
    chain = _settled(chain, ROUNDS)
    events, found = chain.path.known.events, float(chain.deaths.sum())
    if events is None:
        return chain, chain.log_likelihood
    return chain, chain.log_likelihood - ((events - found) / max(EVENTS_SD * found, 1.0)) ** 2 / 2


def _timed(chain: Chain) -> Chain:
    """Return a chain whose censored leave their intervals when the known number of deaths says (secant steps)."""
    events = chain.path.known.events
    if events is None or chain.path.known.risk_times.size == 1:
        return chain
    before, found = chain, float(chain.deaths.sum())
    timing = TIMING_PROBE if events > found else -TIMING_PROBE
    for _ in range(TIMED_ROUNDS):
        if abs(events - found) < 0.3:
            break
        chain = _settled(Chain(replace(before.path, timing=float(np.exp(timing))), before.sigma))
        slope = (float(chain.deaths.sum()) - found) / (timing - np.log(before.path.timing))
        before, found = chain, float(chain.deaths.sum())
        if slope <= 0:
            break
        timing = float(np.clip(timing + (events - found) / slope, -MOST_TIMING, MOST_TIMING))
        if timing == np.log(chain.path.timing):
            break
    return before


def _settled(chain: Chain, rounds: int = 2) -> Chain:
    """Move a chain's reference path to its own expectation, some times over."""
    for _ in range(rounds):
        chain = Chain(replace(chain.path, deaths=chain.deaths), chain.better_sigma)
    return chain


def _tails(known: ArmCurve) -> dict[Tail, float]:
    """Return ways of censoring after the last number at risk, with their prior probabilities."""
    if known.risk_times.size > 1:
        return (
            {Tail(power): prior for power, prior in TAILS.items()}
            if known.edges[-1] > known.edges[-2]
            else {Tail(0.0): 1.0}
        )
    if known.events is None:
        return {Tail(0.0): 1.0}  # nothing tells about censoring
    return {Tail(power, start): prior for power, prior in TAILS.items() for start in STARTS if power or not start}


def _honoured(deaths: Array, path: Path) -> Array:
    """Return deaths that add up to the known number.

    The risk table pins down all intervals but the last: there the deaths are made more or fewer, as long as it has
    patients for them; else everywhere alike.
    """
    known = path.known
    if known.events is None:
        return deaths
    tail = path.interval == known.risk_times.size - 1
    wanted = known.events - deaths[~tail].sum()
    shares = np.where(tail, deaths + path.expected, 0.0)
    if shares.sum() > 0 and 0 <= wanted <= known.room[-1]:
        return np.where(tail, shares / shares.sum() * wanted, deaths)
    shares = deaths + path.expected
    return np.asarray(shares / shares.sum() * known.events)


# --- whole patients -----------------------------------------------------------------------------------------------


def _patients(path: Path, reached: Counts, rng: np.random.Generator | None) -> tuple[Array, NDArray[np.bool_]]:
    known = path.known
    places = np.searchsorted(path.bounds, known.edges - 1e-9)
    deaths = _allowed(reached[places], known)
    times, died = [], []
    for k, room in enumerate(known.room):
        cells = slice(places[k], places[k + 1] + 1)
        one = _death_times(path.bounds[cells], reached[cells], int(deaths[k]), rng)
        other = _censoring_times(path, k, int(room - deaths[k]), rng)
        times += [one, other]
        died += [np.ones(one.size, dtype=bool), np.zeros(other.size, dtype=bool)]
    return np.concatenate(times), np.concatenate(died)


def _allowed(reached: Counts, known: ArmCurve) -> Counts:
    """Return deaths by interval of the risk table: no more than it falls by, and in all as many as there are."""
    room = np.where(
        np.diff(known.edges) > 0, known.room, 0
    )  # follow-up that ends with the table has no last interval
    total = int(min(reached[-1] if known.events is None else known.events, room.sum()))
    still = total - np.append(np.cumsum(room[::-1])[::-1], 0)  # at least so many must have died by then
    allowed = np.zeros(reached.size, dtype=np.int64)
    for k in range(1, reached.size):
        low, high = max(allowed[k - 1], still[k]), min(allowed[k - 1] + room[k - 1], total)
        allowed[k] = min(max(reached[k], low), high)
    return np.diff(allowed)


def _death_times(bounds: Array, reached: Counts, number: int, rng: np.random.Generator | None) -> Array:
    """Return times of deaths in the cells where they occur, ``number`` of them."""
    if bounds.size < 2:
        return np.full(number, bounds[0])
    cells = np.repeat(np.arange(bounds.size - 1), np.diff(reached))
    if cells.size > number:  # more than the risk table allows: the last ones are censored instead
        cells = cells[:number]
    elif cells.size < number:
        even = np.linspace(0, bounds.size - 1, number - cells.size, endpoint=False).astype(int)
        cells = np.sort(np.append(cells, even))
    width = np.diff(bounds)[cells]
    return np.sort(bounds[cells] + width * (0.5 if rng is None else rng.uniform(size=cells.size)))


def _censoring_times(path: Path, k: int, number: int, rng: np.random.Generator | None) -> Array:
    """Return times of the censored of an interval; after the last number at risk, many of them at the end."""
    known, inside = path.known, path.interval == k
    end = known.edges[k + 1]
    if number <= 0 or not inside.any():
        return np.full(max(number, 0), end)
    expected = path.censored[inside]
    within = number if k < known.room.size - 1 else min(round(float(expected.sum())), number)
    ranks = (np.arange(within) + 0.5) / max(within, 1) if rng is None else np.sort(rng.uniform(size=within))
    bounds = path.bounds[np.append(inside, False) | np.append(False, inside)]
    cumulative = np.append(0.0, np.cumsum(expected + 1e-12))
    return np.append(np.interp(ranks * cumulative[-1], cumulative, bounds), np.full(number - within, end))
