"""Least squares with whitened unknowns, and draws by randomise-then-optimise.

With ``f`` the functionals, ``y`` the printed numbers and ``s`` their rounding SDs, the unknowns ``x`` minimise

    |(f(x) - y) / s|^2 + |x - x0|^2 .

At the mode ``x0 = 0``. A draw replaces ``y`` by ``y + Uniform(-w, w)`` (``w`` the rounding's half-width) and ``x0``
by a standard normal, and solves again (Bardsley et al. 2014, SIAM J Sci Comput 36:A1895): exact for linear ``f``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve as solve_symmetric

from ..cohort import Array

Vector = NDArray[np.float64]
PROBE = 0.1  # of a step, for its curvature
MOST_ACCELERATION = 1.5  # of the velocity
FIRST_DAMPING, STIFFEST = 1e-3, 1e8
MOST_STEPS = 100


@dataclass(frozen=True)
class Problem:
    """Functionals, the numbers they must come to, and how closely.

    Parameters
    ----------
    functionals
        Function of unknowns, shape ``(..., n)``; returns shape ``(..., m)``.
    jacobian
        Their derivatives: function of unknowns, shape ``(n,)``; returns shape ``(m, n)``.
    values, half_widths, sds
        Numbers, rounding half-widths and residual SDs, shape ``(m,)``.
    """

    functionals: Callable[[Array], Array]
    jacobian: Callable[[Vector], Vector]
    values: Vector
    half_widths: Vector
    sds: Vector


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # a step that leads too far is taken back
def solve(problem: Problem, values: Vector, centre: Vector, start: Vector, tolerance: float) -> Vector:
    """Minimise the objective by Levenberg-Marquardt steps with geodesic acceleration.

    Numbers printed to three digits make a narrow, curved valley; the acceleration bends each step along it
    (Transtrum and Sethna 2012, arXiv:1201.5885).

    Parameters
    ----------
    problem
        Functionals and residual SDs.
    values
        The numbers to reproduce, shape ``(m,)`` (the printed ones, or a randomised copy).
    centre
        Prior centre of the unknowns, shape ``(n,)``.
    start
        Where to begin, shape ``(n,)``.
    tolerance
        Decrease of the objective in one step at which the solution is good enough.

    Returns
    -------
    array
        The unknowns, shape ``(n,)``.
    """
    unknowns, damping = start, FIRST_DAMPING
    reproduced = problem.functionals(start)
    loss = _loss(problem, values, centre, start, reproduced)
    slope = problem.jacobian(start) / problem.sds[:, None]
    for _ in range(MOST_STEPS):
        normal, gradient = slope @ slope.T, slope.T @ ((reproduced - values) / problem.sds) + unknowns - centre
        before = loss
        while damping < STIFFEST:
            solution = partial(_solution, slope, normal, 1 + damping)
            proposal = unknowns + _step(problem, unknowns, reproduced, slope, -solution(gradient), solution)
            result = problem.functionals(proposal)
            proposed = _loss(problem, values, centre, proposal, result)
            there = problem.jacobian(proposal) / problem.sds[:, None] if proposed < loss else slope
            if proposed < loss and np.isfinite(there).all():
                unknowns, reproduced, slope = proposal, result, there
                loss, damping = proposed, damping / 5
                break
            damping *= 5
        if before - loss <= tolerance:
            break
    return unknowns


def _loss(problem: Problem, values: Vector, centre: Vector, unknowns: Vector, reproduced: Vector) -> float:
    loss = np.sum(((reproduced - values) / problem.sds) ** 2) + np.sum((unknowns - centre) ** 2)
    return float(loss) if np.isfinite(loss) else np.inf


def _solution(slope: Vector, normal: Vector, ridge: float, right: Vector) -> Vector:
    """Solve ``(J'J + ridge I) x = right`` in the (smaller) space of the numbers, ``normal`` being ``JJ'``."""
    weights = solve_symmetric(normal + ridge * np.eye(len(normal)), slope @ right, assume_a="pos")
    result: Vector = (right - slope.T @ weights) / ridge
    return result


def _step(
    problem: Problem,
    unknowns: Vector,
    reproduced: Vector,
    slope: Vector,
    velocity: Vector,
    solution: Callable[[Vector], Vector],
) -> Vector:
    """Return the damped Gauss-Newton step, bent by half its acceleration where that is the smaller part."""
    around = problem.functionals(unknowns + PROBE * np.array([[1.0], [-1.0]]) * velocity)
    curvature = (around.sum(axis=0) - 2 * reproduced) / PROBE**2 / problem.sds
    if not np.isfinite(curvature).all():
        return velocity
    acceleration = -solution(slope.T @ curvature)
    bent = 2 * np.linalg.norm(acceleration) <= MOST_ACCELERATION * np.linalg.norm(velocity)
    return velocity + acceleration / 2 if bent else velocity
