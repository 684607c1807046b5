"""Unknowns of a log-linear Poisson model in coordinates in which its posterior is nearly standard normal.

The cells' log rates are linear in some free unknowns ``f``, and in some scaled ones ``theta``, whose prior SDs ``s``
are unknown themselves:

    log rate = A theta + B f,    theta ~ Normal(0, s),    f ~ Normal(0, r)

The unknowns that are sampled, ``v`` and ``u``, are about standard normal in the posterior whatever ``s`` is:

    theta = Q (s z),    z = (b s + sqrt(1 + a s^2) v) / (1 + a s^2)
    f = f0 - G theta + V u

``a`` and ``b`` are what the data say about each ``theta`` in the normal approximation at the mode: its information,
``f`` integrated out, and information times estimate. With ``a = b = 0`` the form is the non-centred one, with much
information the centred one. ``G`` is what the best ``f`` gives way to ``theta``, ``V`` a root of its covariance, and
``Q`` turns what shares a scale, so that its information is diagonal; a normal prior does not notice. Nothing of this
changes the model: ``z`` and ``f`` keep their priors, and only ``sqrt(1 + a s^2)`` has a Jacobian that varies.

Source: Papaspiliopoulos, Roberts and Skold 2007, Stat Sci 22:59 (partially non-centred parametrisations); the
posterior of a Poisson regression by Newton's method, McCullagh and Nelder 1989, Generalized Linear Models, ch. 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular

NEWTON_STEPS = 30
CONVERGED = 1e-8  # of the log density
SHORTEST_STEP = 1e-4

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Geometry:
    """Where the posterior lies, for T scaled and N free unknowns.

    Parameters
    ----------
    rotation
        ``Q``, shape ``(T, T)``.
    information, score
        ``a`` and ``b``, shape ``(T,)``.
    free
        ``f`` out of ``u``, ``Q' theta`` and 1, shape ``(N, N + T + 1)``.
    """

    rotation: Array
    information: Array
    score: Array
    free: Array

    def rewritten(self, rows: Array) -> Array:
        """Return linear functions of the unknowns as functions of ``u``, ``Q' theta`` and 1.

        Parameters
        ----------
        rows
            Coefficients of ``theta``, ``f`` and 1, shape ``(..., T + N + 1)``.
        """
        scaled, free, constant = np.split(rows, [len(self.rotation), len(self.rotation) + len(self.free)], axis=-1)
        own = np.zeros((*rows.shape[:-1], len(self.free)))
        return np.asarray(np.concatenate([own, scaled @ self.rotation, constant], axis=-1) + free @ self.free)


def geometry(
    design: Array,
    deaths: Array,
    exposure: Array,
    prior_sd: Array,
    together: Sequence[Places],
    known: NDArray[np.bool_],
) -> Geometry:
    """Return the geometry of a Poisson model with log link.

    Parameters
    ----------
    design
        ``A`` and ``B`` side by side, shape ``(cells, T + N)``.
    deaths, exposure
        Of the cells, shape ``(cells,)``.
    prior_sd
        SDs of the unknowns at which the mode is taken, shape ``(T + N,)``.
    together
        Scaled unknowns that may be turned together, as they share a scale.
    known
        Which scaled unknowns the data's information is used for, shape ``(T,)``; the others are non-centred.
    """
    scaled, precision = len(known), prior_sd**-2.0
    mode, information = _mode(design, deaths, exposure, precision)
    of_free = cho_factor(information[scaled:, scaled:] + np.diag(precision[scaled:]))
    gives_way = cho_solve(of_free, information[scaled:, :scaled])
    left = information[:scaled, :scaled] - information[:scaled, scaled:] @ gives_way
    rotation = _rotation(left, together)
    turned, own = rotation.T @ left @ rotation, rotation.T @ mode[:scaled]
    a = np.where(known, np.maximum(np.diag(turned), 0.0), 0.0)
    b = np.where(known, a * own + rotation.T @ (precision[:scaled] * mode[:scaled]), 0.0)
    root = solve_triangular(of_free[0], np.eye(len(mode) - scaled), lower=of_free[1])
    centre = mode[scaled:] + gives_way @ mode[:scaled]
    return Geometry(rotation, a, b, np.hstack([root, -gives_way @ rotation, centre[:, None]]))


def _mode(design: Array, deaths: Array, exposure: Array, precision: Array) -> tuple[Array, Array]:
    """Return the posterior mode, by damped Newton steps, and the information of the data there."""

    def log_density(at: Array) -> float:
        with np.errstate(over="ignore"):
            rates = np.exp(design @ at)
        return float(deaths @ (design @ at) - exposure @ rates - precision @ at**2 / 2)

    at, value = np.zeros(len(precision)), log_density(np.zeros(len(precision)))
    for _ in range(NEWTON_STEPS):
        means = exposure * np.exp(design @ at)
        slope = design.T @ (deaths - means) - precision * at
        step = np.linalg.solve(design.T @ (means[:, None] * design) + np.diag(precision), slope)
        while not (found := log_density(at + step)) >= value and np.abs(step).max() > SHORTEST_STEP:
            step = step / 2
        if not found - value > CONVERGED:
            break
        at, value = at + step, found
    means = exposure * np.exp(design @ at)
    return at, design.T @ (means[:, None] * design)


def _rotation(information: Array, together: Sequence[Places]) -> Array:
    """Return the rotation that makes the information of what shares a scale diagonal."""
    rotation = np.eye(len(information))
    for places in together:
        block = np.ix_(places, places)
        rotation[block] = np.linalg.eigh(information[block])[1]
    return rotation
