"""Printed numbers that the others contradict: which ones, by how much, and which of them is to blame.

At the mode ``r = (y - f) / s`` are the numbers' residuals and ``J`` the slopes of ``f / s``. In the linear model
the numbers have covariance ``C = I + J J'``, and leaving a block ``B`` of them out lowers the objective (twice a log
density) by

    r_B' [(C^-1)_BB]^-1 r_B ,

which is about chi-squared on as many degrees of freedom as the block has numbers if the paper is coherent. The
blocks with the largest drops are then left out one at a time. The culprit is the one whose drop is the least probable
by chance, of those from which the others imply a value that is `MATERIAL` or more of its standard errors away (the
sampling noise of the table tells them): less than that may be the fault of a model that is only nearly right.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import gammaincc, gammaln
from scipy.stats import chi2

from .solver import Problem, Vector
from .targets import Target

CULPRIT = 1e-4  # probability of so large a drop in a coherent paper
SUSPECT = 1e-3  # of what is worth leaving out
MATERIAL = 2.5
TINY = 1e-250  # a tail that is had from its expansion instead
MOST_SUSPECTS = 12
MOST_CULPRITS = 3  # numbers


@dataclass(frozen=True)
class Misfit:
    """A printed number that the rebuilt table does not reproduce.

    Parameters
    ----------
    target
        The number.
    rebuilt
        What the most probable table makes of it; for a culprit, what the other numbers imply.
    culprit
        Whether the others fit without it.
    partition
        Where that is so; empty for whole arms.
    """

    target: Target
    rebuilt: float
    culprit: bool
    partition: str

    @property
    def is_rounding(self) -> bool:
        """Whether it is off by no more than one unit of the last printed digit."""
        return not self.culprit and abs(self.rebuilt - self.target.value) <= 2 * self.target.half_width * (1 + 1e-9)

    @property
    def message(self) -> str:
        """What a reader is told."""
        where = f" in the {self.partition} partition" if self.partition else ""
        return f"printed {self.target.name}, rebuilt {self.rebuilt:.3g}{where}"


def accusations(misfits: Sequence[Misfit]) -> tuple[str, ...]:
    """Return a sentence on each kind of number that contradicts all others: an estimate stands for its interval.

    Parameters
    ----------
    misfits
        The numbers that stay outside their rounding.
    """
    kinds: dict[tuple[object, ...], list[Misfit]] = {}
    for misfit in misfits:
        if misfit.culprit:
            kinds.setdefault(kind_of(misfit.target), []).append(misfit)
    return tuple(_accusation(*kind) for kind in kinds.values())


def _accusation(first: Misfit, *limits: Misfit) -> str:
    interval = f" ({'-'.join(limit.target.printed for limit in limits)})" if limits else ""
    about = "" if first.target.subgroup.is_overall else f" of {first.target.subgroup}"
    name = first.target.name.removesuffix(about) + interval + about
    where = f" in the {first.partition} partition" if first.partition else ""
    return f"printed {name} contradicts all other numbers, which imply {first.rebuilt:.3g}{where}: it hardly counts"


def kind_of(target: Target) -> tuple[object, ...]:
    """Return what belongs together: an estimate with its interval, one count, one number of follow-up."""
    item = target.item if target.item.startswith("follow_up") else target.item.split()[0]
    return item, target.subgroup.key, target.arm, target.time


def kinds_of(targets: Sequence[Target]) -> dict[tuple[object, ...], Vector]:
    """Return which of the targets, all used, belong to each kind, shape ``(m,)`` each."""
    kinds = [kind_of(target) for target in targets]
    return {kind: np.array([other == kind for other in kinds]) for kind in dict.fromkeys(kinds)}


@np.errstate(all="ignore")
def drops(problem: Problem, mode: Vector, blocks: Sequence[Vector]) -> list[float]:
    """Return by how much leaving each block out lowers the objective, under the linearised model.

    Parameters
    ----------
    problem
        Functionals, numbers and residual SDs.
    mode
        The most probable unknowns, shape ``(n,)``.
    blocks
        Which numbers belong to each block, shape ``(m,)``.
    """
    slope = np.nan_to_num(problem.jacobian(mode, 0) / problem.sds[:, None])
    reproduced = problem.functionals(mode[None], np.array([0]))[0]
    residual = np.nan_to_num((problem.values - reproduced) / problem.sds)
    inverse = np.linalg.inv(np.eye(len(slope)) + slope @ slope.T)
    return [
        float(residual[block] @ np.linalg.solve(inverse[np.ix_(block, block)], residual[block])) for block in blocks
    ]


def suspects(drop: Sequence[float], blocks: Sequence[Vector]) -> list[int]:
    """Return the blocks worth leaving out, the most suspicious first."""
    tails = [chi2.sf(value, block.sum()) for value, block in zip(drop, blocks, strict=True)]
    order = sorted(range(len(tails)), key=lambda index: -drop[index])
    return [index for index in order if tails[index] < SUSPECT][:MOST_SUSPECTS]


class Solution(NamedTuple):
    """The most probable unknowns given some numbers, and the objective there."""

    problem: Problem
    mode: Vector
    objective: float


def find_culprits(
    used: Sequence[Target], solve: Callable[[Sequence[Target]], Solution], noise: slice
) -> tuple[tuple[Target, ...], Vector]:
    """Return the numbers that contradict all others, and the most probable unknowns without them.

    Parameters
    ----------
    used
        The numbers.
    solve
        Solves the reconstruction from some of them.
    noise
        Which unknowns are sampling noise.
    """
    culprits: tuple[Target, ...] = ()
    solution = solve(used)
    while len(culprits) < MOST_CULPRITS and (better := _relieved(used, solution, solve, noise)):
        found, solution = better
        culprits += found
        used = [target for target in used if target not in found]
    return culprits, solution.mode


def _relieved(
    used: Sequence[Target], solution: Solution, solve: Callable[[Sequence[Target]], Solution], noise: slice
) -> tuple[tuple[Target, ...], Solution] | None:
    """Return the kind whose absence relieves the others most, and the solution without it; `None` for chance."""
    blocks = list(kinds_of(used).values())
    best: tuple[float, Vector, Solution] | None = None
    for index in suspects(drops(solution.problem, solution.mode, blocks), blocks):
        block = blocks[index]
        without = solve([target for target, inside in zip(used, block, strict=True) if not inside])
        chance = _log_chance(solution.objective - without.objective, int(block.sum()))
        if (
            chance < (best[0] if best else math.log(CULPRIT))
            and _distance(solution.problem, without.mode, noise)[block][0] >= MATERIAL
        ):
            best = chance, block, without
    if best is None:
        return None
    _, block, without = best
    return tuple(target for target, inside in zip(used, block, strict=True) if inside), without


def _log_chance(drop: float, numbers: int) -> float:
    """Return the log probability of so large a drop in a coherent paper: the chi-squared tail, however far out."""
    degrees, half = numbers / 2, max(drop, 0.0) / 2
    tail = float(gammaincc(degrees, half))
    return math.log(tail) if tail > TINY else (degrees - 1) * math.log(half) - half - float(gammaln(degrees))


@np.errstate(all="ignore")
def _distance(problem: Problem, mode: Vector, noise: slice) -> Vector:
    """Return how far the numbers lie from those of a mode, in standard errors, shape ``(m,)``."""
    off = np.abs(problem.values - problem.functionals(mode[None], np.array([0]))[0])
    return np.asarray(off / np.sqrt((problem.jacobian(mode, 0)[:, noise] ** 2).sum(axis=1)))
