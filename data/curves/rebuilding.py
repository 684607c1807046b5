"""From what is known about an arm to whole patients: the most probable ones, and draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..estimators import kaplan_meier
from .chain import LEAST_SIGMA, Chain
from .path import ArmCurve, Array, Counts, Path, Tail, first_path, step_values, with_curve
from .small_arms import SMALL, SmallArm
from .steps import Steps

FIRST_SIGMA = 0.006
ROUNDS = 6
TAILS = {0.0: 0.2, 0.5: 0.2, 1.0: 0.4, 2.0: 0.2}  # powers and their prior probabilities
OPEN_TAILS = (Tail(1.0), Tail(1.0, start=0.25), Tail(1.0, start=0.5), Tail(1.0, beyond=1.0))  # without a risk table
PATIENTS_BEFORE, LEAST_SHARE = 10, 0.02  # what the interval before the last counts for
TIMING_SD, MOST_SDS = 0.25, 3.0  # of the log of the timing of the censored
OPEN_TIMING_SD, OPEN_DEATHS = 0.5, 0.5  # that SD, and a share of `DEATHS_SD`, without any risk table
TRIED = 25  # of them, before the best is refined
TAIL_TIMING = 2.5  # by how much more the last interval's may change
LEAST_PROBABILITY = 0.02  # of a way of censoring that draws take
DEATHS_SD = 0.01  # of the deaths that a chain expects, as a share; at least one death


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
    def is_open(self) -> bool:
        """Whether only its deaths tell when patients of the arm were censored."""
        return self.known.events is not None and not self.known.has_table

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
        return self.likeliest if rng is None else self._to_the_end(*self._drawn(rng))

    @cached_property
    def likeliest(self) -> tuple[Array, NDArray[np.bool_]]:
        """The most probable patients, typical ones of a small arm: times, and whether they are deaths."""
        return self._to_the_end(*self._likeliest())

    def _to_the_end(self, time: Array, died: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """Return patients, the last of whom dies where the curve ends nearer to 0 than to where they leave it."""
        last = int(np.argmax(time))
        alone = not died[last] and (time == time[last]).sum() == 1
        if not alone or self.known.events is not None or self.known.steps:
            return time, died
        left = float(kaplan_meier(time, died).at(time[last]))
        dies = self.known.survival[-1] < left / 2
        return time, np.where(np.arange(time.size) == last, dies, died)

    def _likeliest(self) -> tuple[Array, NDArray[np.bool_]]:
        if exact := self._exact(None):
            return exact
        chain = self.chains[0]
        deaths = _honoured(chain.path.deaths if self.known.steps else chain.deaths, chain.path)
        reached = np.floor(np.append(0.0, np.cumsum(deaths)) + 0.5 + 1e-9).astype(np.int64)
        patients = _patients(chain.path, reached, None)
        return SmallArm(chain).typical(patients) if self._is_small else patients

    def _exact(self, rng: np.random.Generator | None) -> tuple[Array, NDArray[np.bool_]] | None:
        return self._steps.patients(rng) if self._steps else None

    @cached_property
    def _steps(self) -> Steps | None:
        return Steps(self.known) if self.known.steps else None

    def _drawn(self, rng: np.random.Generator) -> tuple[Array, NDArray[np.bool_]]:
        if exact := self._exact(rng):
            return exact
        chain = self.chains[int(rng.choice(len(self.chains), p=self.probabilities))]
        if self.known.steps:  # nothing is open but when patients were censored
            reached = np.floor(np.append(0.0, np.cumsum(_honoured(chain.path.deaths, chain.path))) + 0.5 + 1e-9)
            return _patients(chain.path, reached.astype(np.int64), rng)
        deaths = _honoured(chain.draw(rng).astype(float), chain.path)
        reached = np.floor(np.append(0.0, np.cumsum(deaths)) + rng.uniform()).astype(np.int64)
        patients = _patients(chain.path, reached, rng)
        return SmallArm(chain).moved(patients, rng) if self._is_small else patients

    @property
    def _is_small(self) -> bool:
        return self.known.steps is None and self.known.patients <= SMALL and (self.known.has_table or self.is_open)


def fit_arm(known: ArmCurve) -> ArmFit:
    """Fit an arm's deaths and censored to what is known about it.

    Parameters
    ----------
    known
        Curve, risk table and deaths.
    """
    first = first_path(known)
    tails = _tails(first)
    fitted = [_fitted(first, tail) for tail in tails]
    scores = np.array([score for _, score in fitted]) + np.log(list(tails.values()))
    return _of_likely([chain for chain, _ in fitted], np.exp(scores - scores.max()))


def alike(control: ArmFit, treatment: ArmFit) -> tuple[ArmFit, ArmFit]:
    """Return two arms of which nothing but the deaths is known, with the ways of censoring that suit them both.

    Parameters
    ----------
    control, treatment
        Arms of a trial; where anything else is known, or nothing suits both, they stay as they are.
    """
    one, other = (
        {
            chain.path.tail.way: (chain, probability)
            for chain, probability in zip(fit.chains, fit.probabilities, strict=True)
        }
        for fit in (control, treatment)
    )
    shared = [way for way in one if way in other]
    if not (control.is_open and treatment.is_open and shared):
        return control, treatment
    both = np.array([one[way][1] * other[way][1] for way in shared])
    return _of_likely([one[way][0] for way in shared], both), _of_likely([other[way][0] for way in shared], both)


def deaths_alike(control: ArmFit, treatment: ArmFit, events: int) -> tuple[Array, Array]:
    """Return how the deaths of both arms divide between them if their censored leave alike, and how probable that is.

    Parameters
    ----------
    control, treatment
        Arms whose own deaths are not known.
    events
        Deaths of both.

    Returns
    -------
    deaths, probabilities
        By way of censoring, shape ``(W, 2)`` and ``(W,)``.
    """
    arms = control.chains[0].path, treatment.chains[0].path
    curves, tables = [arm.survival for arm in arms], [arm.known.has_table for arm in arms]
    table, deaths, off = any(tables), [], []
    for tail in OPEN_TAILS[:1] if all(tables) else OPEN_TAILS:  # a risk table leaves no choice
        paths = [arm if arm.known.has_table else replace(arm, tail=tail) for arm in arms]
        timing = _timing(paths, curves, events, last=True)
        later = (_later(path, curve, timing, last=True) for path, curve in zip(paths, curves, strict=True))
        found = np.array([path.deaths.sum() for path in later])
        deaths.append(found / found.sum() * events)
        off.append(_improbable(timing, float(found.sum()), events, table=table))
    weights = np.exp(-(np.array(off) - min(off)) / 2)
    return np.array(deaths), weights / weights.sum()


def _of_likely(chains: Sequence[Chain], weights: Array) -> ArmFit:
    """Return the fit of chains that are likely enough, the most probable one first."""
    order = np.argsort(-weights, kind="stable")
    order = order[weights[order] > LEAST_PROBABILITY * weights.sum()]
    return ArmFit(tuple(chains[place] for place in order), weights[order] / weights[order].sum())


def _fitted(first: Path, tail: Tail) -> tuple[Chain, float]:
    """Return the chain of a way of censoring, and its score: the log likelihood of points, deaths and timing."""
    path, known = replace(first, tail=tail), first.known
    if known.steps is not None:
        curve = step_values(known, path.bounds)
        timing = 0.0 if known.events is None else _timing([path], [curve], known.events, last=True)
        return Chain(_later(path, curve, timing, last=True), LEAST_SIGMA), 0.0
    if known.events is not None and not known.has_table:  # where a curve ends nothing but the deaths holds it
        return _timed(path, FIRST_SIGMA, first.survival, last=True, rounds=ROUNDS)
    chain = _settled(path, FIRST_SIGMA, ROUNDS)
    if known.events is None:
        return chain, chain.log_likelihood
    # the censored after the last number at risk may shift with the others or not: what the curve says decides, as
    # whole deaths must fit its last, steep steps
    ways = (_timed(chain.path, chain.sigma, chain.path.survival, last=last) for last in (True, False))
    return max(ways, key=itemgetter(1))


def _timed(path: Path, sigma: float, survival: Array, *, last: bool, rounds: int = 2) -> tuple[Chain, float]:
    """Return a chain whose censored leave when the known number of deaths makes most probable, and its score.

    The same curve takes more deaths if the censored leave later. Which curve it is, the points tell first, the chain
    then.
    """
    events, table = path.known.events or 0, path.known.has_table
    for times in (rounds, 2):
        timing = _timing([path], [survival], events, last=last)
        chain = _settled(_later(path, survival, timing, last=last), sigma, times)
        survival, sigma = chain.path.survival, chain.sigma
    return chain, chain.log_likelihood - _improbable(timing, float(chain.deaths.sum()), events, table=table) / 2


def _timing(paths: Sequence[Path], curves: Sequence[Array], events: int, *, last: bool) -> float:
    """Return the most probable log of the timing of the censored, given the deaths of all paths and their curves."""
    table = any(path.known.has_table for path in paths)

    def improbable(timing: float) -> float:
        later = (_later(path, curve, timing, last=last) for path, curve in zip(paths, curves, strict=True))
        return _improbable(timing, sum(float(path.deaths.sum()) for path in later), events, table=table)

    most = MOST_SDS * (TIMING_SD if table else OPEN_TIMING_SD)
    tried = np.linspace(-most, most, TRIED)
    place = int(np.argmin([improbable(one) for one in tried]))
    around = tried[max(place - 1, 0)], tried[min(place + 1, TRIED - 1)]
    return float(minimize_scalar(improbable, bounds=around, method="bounded").x)


def _improbable(timing: float, found: float, events: int, *, table: bool) -> float:
    """Return twice the negative log probability of a timing, ``N(0, s^2)``, and of deaths, ``N(found, sd^2)``."""
    spread, share = (TIMING_SD, 1.0) if table else (OPEN_TIMING_SD, OPEN_DEATHS)
    return ((events - found) / (share * deaths_sd(found))) ** 2 + (timing / spread) ** 2


def deaths_sd(found: float) -> float:
    """Return the SD of an arm's deaths, given how many its curve and numbers at risk come to."""
    return max(DEATHS_SD * found, 1.0)


def _later(path: Path, survival: Array, timing: float, *, last: bool) -> Path:
    """Return a path that falls as a curve, its censored later; after the last number at risk too, or not there."""
    shift = TAIL_TIMING * timing if last else 0.0
    tail = replace(path.tail, power=path.tail.power * float(np.exp(-shift)))
    return with_curve(replace(path, tail=tail, timing=float(np.exp(timing))), survival)


def _settled(path: Path, sigma: float, rounds: int) -> Chain:
    """Return the chain about a path that is moved to the chain's own expectation, some times over."""
    chain = Chain(path, sigma)
    for _ in range(rounds):
        chain = Chain(replace(chain.path, deaths=chain.deaths), chain.better_sigma)
    return chain


def _tails(first: Path) -> dict[Tail, float]:
    """Return ways of censoring after the last number at risk, with their prior probabilities.

    The interval before it tells: if a power holds there already, ``1 - (l / (l + w))^power`` of its patients are
    censored, with ``w`` its width and ``l`` the time that is left. It counts as so many patients, not as all of them,
    since censoring may begin in between.
    """
    known = first.known
    if not known.has_table:
        if known.events is None:
            return {Tail(0.0): 1.0}  # nothing tells about censoring
        return dict.fromkeys(OPEN_TAILS, 1 / len(OPEN_TAILS))  # known deaths move the powers
    before, last, end = known.edges[-3:]
    if end <= last:
        return {Tail(0.0): 1.0}
    deaths = float(first.deaths[first.interval == known.risk_times.size - 2].sum())
    found = max(known.room[-2] - deaths, 0.0) / max(known.at_risk[-2] - deaths / 2, 1.0)
    tails = {}
    for power, prior in TAILS.items():
        share = float(np.clip(1 - ((end - last) / (end - before)) ** power, LEAST_SHARE, 1 - LEAST_SHARE))
        tails[Tail(power)] = prior * (share**found * (1 - share) ** (1 - found)) ** PATIENTS_BEFORE
    return tails


def _honoured(deaths: Array, path: Path) -> Array:
    """Return deaths that add up to the known number: more or fewer of them where each lowers the curve least.

    Of the changes ``c`` that do it, ``sum((c w)^2 / d)`` is least for ``c`` in proportion to ``d / w^2``.
    """
    events = path.known.events
    if events is None:
        return deaths
    shares = deaths + 1e-3 * path.expected
    ease = shares * (path.weight.min() / path.weight) ** 2
    shares = np.maximum(shares + (events - shares.sum()) / ease.sum() * ease, 0.0)
    return np.asarray(shares / max(shares.sum(), 1e-12) * events)


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
    if rng is None:  # evenly within a cell: ties would be deaths at one time
        share = (np.arange(cells.size) - np.searchsorted(cells, cells) + 0.5) / np.bincount(cells)[cells]
    else:
        share = rng.uniform(size=cells.size)
    return np.sort(bounds[cells] + np.diff(bounds)[cells] * share)


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
