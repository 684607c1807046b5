"""The overall effect adjusted for imbalance of prognostic factors between the arms.

With `beta` the crude log hazard ratio, `g[k]` the mutually adjusted log hazard ratio of prognostic level k against
its complement, and `p1[k]`, `p0[k]` how common the level is under treatment and control, imbalance has moved `beta`
by the sum over k of

    first order      g[k] (p1[k] - p0[k])
    exact mixture    log((1 + p1[k] (e^g[k] - 1)) / (1 + p0[k] (e^g[k] - 1)))

which is subtracted. Levels that exclude each other (T2 and T4) enter one such ratio together, their terms added up;
other levels are taken as independent within an arm. The exact form compares the arms' mean hazards at the start of
follow-up, when an arm is a mixture of the levels; the first-order form is its linearisation for small `g`.

What is estimated: the hazard ratio conditional on the named levels, to first order. It is not collapsible: the hazard
ratio given prognostic factors is further from 1 than the marginal one even without any imbalance, and neither form
corrects for that. The `g` are of the same trial, so that their errors and those of `beta` are not independent in
truth; they are treated as independent, as nothing is published about it. Correlations among the `g` are not published
either, so one common correlation is supposed, and two are shown.

Source: Gail, Wieand and Piantadosi 1984, Biometrika 71:431; Lin, Psaty and Kronmal 1998, Biometrics 54:948.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Groups = Sequence[Sequence[int]]
Form = Callable[[Array, Array, Array, Groups], Array]
CORRELATIONS = (0.0, 0.5)  # the first is the primary one


def coefficients(means: ArrayLike, errors: ArrayLike, correlation: float, normals: Array) -> Array:
    """Return draws of normal coefficients any two of which have the same correlation.

    Parameters
    ----------
    means, errors
        Of the coefficients, shape ``(K,)``.
    correlation
        Between 0 and 1.
    normals
        Independent standard normal numbers, shape ``(..., K + 1)``; the last is common to all coefficients.

    Returns
    -------
    array
        Shape ``(..., K)``.

    Raises
    ------
    ValueError
        For a correlation that is not between 0 and 1.
    """
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation {correlation} is not between 0 and 1")
    own, common = normals[..., :-1], normals[..., -1:]
    mixed = np.sqrt(1 - correlation) * own + np.sqrt(correlation) * common
    return np.asarray(np.asarray(means) + np.asarray(errors) * mixed)


def first_order(coefficient: Array, control: Array, treatment: Array, groups: Groups = ()) -> Array:
    """Return by how much imbalance moves the log hazard ratio, to first order, shape ``(...)``.

    Parameters
    ----------
    coefficient
        Adjusted log hazard ratios of the levels, shape ``(..., K)``.
    control, treatment
        How common the levels are in each arm, likewise.
    groups
        Levels that exclude each other: to first order they do not matter.
    """
    del groups
    return np.asarray((coefficient * (treatment - control)).sum(axis=-1))


def exact_mixture(coefficient: Array, control: Array, treatment: Array, groups: Groups) -> Array:
    """Return by how much imbalance moves the log ratio of the arms' mean hazards, shape ``(...)``.

    Parameters
    ----------
    coefficient
        Adjusted log hazard ratios of the levels, shape ``(..., K)``.
    control, treatment
        How common the levels are in each arm, likewise.
    groups
        Indices of levels that exclude each other, every level in one group.
    """
    excess = np.expm1(coefficient)

    def log_mean(shares: Array, group: Sequence[int]) -> Array:
        return np.asarray(np.log1p((shares * excess)[..., list(group)].sum(axis=-1)))

    return np.asarray(sum(log_mean(treatment, group) - log_mean(control, group) for group in groups))


FORMS: Mapping[str, Form] = {"first order": first_order, "exact mixture": exact_mixture}


def estimate_label(form: str, correlation: float = CORRELATIONS[0]) -> str:
    """Return what an adjusted estimate is called; the correlation is named where it is not the primary one.

    Parameters
    ----------
    form
        A key of `FORMS`.
    correlation
        Of the coefficients.
    """
    label = f"Adjusted for imbalance, {form}"
    return label if correlation == CORRELATIONS[0] else f"{label}, correlation {correlation:g}"
