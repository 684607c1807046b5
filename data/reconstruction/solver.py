"""Least squares with whitened unknowns, and draws by randomise-then-optimise.

With ``f`` the functionals, ``y`` the printed numbers and ``s`` their rounding SDs, the unknowns ``x`` minimise

    |(f(x) - y) / s|^2 + |x - x0|^2 .

At the mode ``x0 = 0``. A draw replaces ``y`` by ``y + Uniform(-w, w)`` (``w`` the rounding's half-width) and ``x0``
by a standard normal, and solves again (Bardsley et al. 2014, SIAM J Sci Comput 36:A1895): exact for linear ``f``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve as solve_symmetric

from ..cohort import Array

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]
PROBE = 0.1  # of a step, for its curvature
MOST_ACCELERATION = 1.5  # of the velocity
FIRST_DAMPING, STIFFEST = 1e-3, 1e8
MOST_STEPS = 100


@dataclass(frozen=True)
class Problem:
    """Functionals, the numbers they must come to, and how closely, for several draws at once.

    Parameters
    ----------
    functionals
        Function of the unknowns of some draws, shape ``(..., draws, n)``, and of which draws they are, shape
        ``(draws,)``; returns shape ``(..., draws, m)``.
    jacobian
        Their derivatives: function of one draw's unknowns, shape ``(n,)``, and of which draw it is; returns shape
        ``(m, n)``.
    values, half_widths, sds
        Numbers, rounding half-widths and residual SDs, shape ``(m,)``.
    """

    functionals: Callable[[Array, Indices], Array]
    jacobian: Callable[[Vector, int], Vector]
    values: Vector
    half_widths: Vector
    sds: Vector


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # a step that leads too far is taken back
def solve(problem: Problem, values: Array, centres: Array, start: Vector, tolerance: float) -> Array:
    """Minimise the objective of each draw by Levenberg-Marquardt steps with geodesic acceleration.

    Numbers printed to three digits make a narrow, curved valley; the acceleration bends each step along it
    (Transtrum and Sethna 2012, arXiv:1201.5885). Every draw goes its own way; the functionals of all are computed
    together.

    Parameters
    ----------
    problem
        Functionals and residual SDs.
    values
        The numbers to reproduce, shape ``(draws, m)`` (the printed ones, or randomised copies).
    centres
        Prior centres of the unknowns, shape ``(draws, n)``.
    start
        Where to begin, shape ``(n,)``.
    tolerance
        Decrease of the objective in one step at which the solution is good enough.

    Returns
    -------
    array
        The unknowns, shape ``(draws, n)``.
    """
    draws = np.arange(len(values))
    reproduced = problem.functionals(np.tile(start, (len(draws), 1)), draws)
    searches = [_Search(problem, int(draw), values[draw], centres[draw], start, reproduced[draw]) for draw in draws]
    going = searches
    for _ in range(MOST_STEPS):
        before = [search.loss for search in going]
        _advance(problem, going)
        going = [search for search, loss in zip(going, before, strict=True) if loss - search.loss > tolerance]
        if not going:
            break
    return np.stack([search.unknowns for search in searches])


@np.errstate(all="ignore")  # what is not finite is infinitely far off
def objective(problem: Problem, unknowns: Vector) -> float:
    """Return the objective of some unknowns about the printed numbers and a prior centre of zero.

    Parameters
    ----------
    problem
        Functionals, numbers and residual SDs.
    unknowns
        Shape ``(n,)``.
    """
    reproduced = problem.functionals(unknowns[None], np.array([0]))[0]
    value = float((((reproduced - problem.values) / problem.sds) ** 2).sum() + (unknowns**2).sum())
    return value if np.isfinite(value) else np.inf


def _advance(problem: Problem, searches: Sequence[_Search]) -> None:
    """Take every search one step further, unless no damping makes a step that leads down."""
    for search in searches:
        search.linearise()
    while searches:
        draws = np.array([search.draw for search in searches])
        velocities = np.stack([-search.solution(search.gradient) for search in searches])
        here = np.stack([search.unknowns for search in searches])
        around = problem.functionals(here + PROBE * np.array([1.0, -1.0])[:, None, None] * velocities, draws)
        steps = [search.bent(*given) for search, *given in zip(searches, velocities, around.sum(axis=0), strict=True)]
        proposals = here + np.stack(steps)
        results = problem.functionals(proposals, draws)
        taken = [search.take(*given) for search, *given in zip(searches, proposals, results, strict=True)]
        searches = [
            search for search, done in zip(searches, taken, strict=True) if not done and search.damping < STIFFEST
        ]


class _Search:
    """Where the search for the unknowns of one draw has come to."""

    def __init__(
        self, problem: Problem, draw: int, values: Vector, centre: Vector, unknowns: Vector, reproduced: Vector
    ) -> None:
        self.problem, self.draw, self.values, self.centre = problem, draw, values, centre
        self.unknowns, self.reproduced, self.damping = unknowns, reproduced, FIRST_DAMPING
        self.loss, slope = self._loss(unknowns, reproduced), self._slope(unknowns)
        self.slope = np.where(np.isfinite(slope), slope, 0.0)  # what has no slope here pulls nowhere

    def _loss(self, unknowns: Vector, reproduced: Vector) -> float:
        misfit = np.sum(((reproduced - self.values) / self.problem.sds) ** 2)
        loss = misfit + np.sum((unknowns - self.centre) ** 2)
        return float(loss) if np.isfinite(loss) else np.inf

    def _slope(self, unknowns: Vector) -> Vector:
        return np.asarray(self.problem.jacobian(unknowns, self.draw) / self.problem.sds[:, None])

    def linearise(self) -> None:
        """Find what the steps from here have in common."""
        self.normal = self.slope @ self.slope.T
        misfit = (self.reproduced - self.values) / self.problem.sds
        self.gradient = self.slope.T @ misfit + self.unknowns - self.centre

    def solution(self, right: Vector) -> Vector:
        """Solve ``(J'J + ridge I) x = right`` in the (smaller) space of the numbers, ``normal`` being ``JJ'``."""
        ridge = 1 + self.damping
        inner = self.normal + ridge * np.eye(len(self.normal))
        weights = solve_symmetric(inner, self.slope @ right, assume_a="pos")
        return np.asarray((right - self.slope.T @ weights) / ridge)

    def bent(self, velocity: Vector, around: Vector) -> Vector:
        """Return the damped Gauss-Newton step, bent by half its acceleration where that is the smaller part."""
        curvature = (around - 2 * self.reproduced) / PROBE**2 / self.problem.sds
        if not np.isfinite(curvature).all():
            return velocity
        acceleration = -self.solution(self.slope.T @ curvature)
        bent = 2 * np.linalg.norm(acceleration) <= MOST_ACCELERATION * np.linalg.norm(velocity)
        return velocity + acceleration / 2 if bent else velocity

    def take(self, proposal: Vector, result: Vector) -> bool:
        """Go there if that leads down; otherwise steps become shorter."""
        proposed = self._loss(proposal, result)
        there = self._slope(proposal) if proposed < self.loss else self.slope
        if proposed < self.loss and np.isfinite(there).all():
            self.unknowns, self.reproduced, self.slope = proposal, result, there
            self.loss, self.damping = proposed, self.damping / 5
            return True
        self.damping *= 5
        return False
