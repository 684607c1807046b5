"""Hierarchical model of published effects, for when only hazard ratios with intervals exist.

Sets k of disjoint subgroups g, independent of each other; ``y`` their printed log hazard ratios, ``s`` the SEs:

    y[k,g] ~ Normal(theta[k,g], s[k,g]),    theta[k,g] ~ Normal(mu[k], tau[k])

``mu`` has the named prior and ``tau`` is half-normal. Geometry: ``theta`` is integrated out, so that ``mu`` and
``tau`` see ``y[k,g] ~ Normal(mu[k], sqrt(s^2 + tau^2))``, and drawn back from its exact conditional,

    theta = mu + shrink (y - mu) + sqrt(shrink) s z,    shrink = tau^2 / (tau^2 + s^2).

As only ``tau^2`` matters, ``tau`` is the size of a number with either sign: no wall at 0, no long tail of its log.

A single row is not shrunk towards others: its ``tau`` is 0 and ``theta`` is ``mu``. Sets of fewer rows than the
widest are filled up with rows that carry no information. Trials take the place of subgroups in a meta-analysis
(`evidence`). Source: Rubin 1981, J Educ Stat 6:377; Jones et al. 2011,
Clin Trials 8:129.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike, NDArray

from .piecewise import overall_prior
from .priors import Prior
from .shrinkage import TAU_SCALE

NO_INFORMATION = 1e6  # standard error of a place that is not filled


def effects(
    estimates: Sequence[ArrayLike],
    standard_errors: Sequence[ArrayLike],
    prior: Prior,
    *,
    tau_scale: float = TAU_SCALE,
    tau_family: Literal["half-normal", "half-cauchy"] = "half-normal",
    shape: tuple[int, int] = (0, 0),
) -> pm.Model:
    """Return the hierarchical model of disjoint published effects.

    Parameters
    ----------
    estimates, standard_errors
        Of the log hazard ratios: one array per set, one number per subgroup.
    prior
        Prior on ``mu`` of each set.
    tau_scale
        Scale of the prior on ``tau``, the SD between the subgroups of a set.
    tau_family
        Family of the prior on ``tau``.
    shape
        Sets and places that the graph has at least, so that it serves other data too.
    """
    rows = effects_data(estimates, standard_errors, tau_scale=tau_scale, shape=shape)["rows"]
    _, sets, places = rows.shape
    with pm.Model(coords={"set": np.arange(sets), "place": np.arange(places)}) as model:
        data = pm.Data("rows", rows)
        y, error, scale = data[0], data[1], data[2]
        mu = overall_prior(prior, "mu", dims="set")
        family = pm.Normal if tau_family == "half-normal" else pm.Cauchy
        tau = pm.Deterministic("tau", scale[:, 0] * abs(family("signed_tau", 0, 1, dims="set")), dims="set")
        residual = y - mu[:, None]
        total = tau[:, None] ** 2 + error**2
        pm.Potential("likelihood", -0.5 * (residual**2 / total + pt.log(total)).sum())
        shrink = tau[:, None] ** 2 / total
        spread = pt.sqrt(shrink) * error * pm.Normal("deviation", dims=("set", "place"))
        pm.Deterministic("theta", mu[:, None] + shrink * residual + spread, dims=("set", "place"))
    return model


def effects_data(
    estimates: Sequence[ArrayLike],
    standard_errors: Sequence[ArrayLike],
    *,
    tau_scale: float = TAU_SCALE,
    shape: tuple[int, int] = (0, 0),
) -> dict[str, NDArray[np.float64]]:
    """Return the model data ``rows``, shape ``(3, sets, places)``: estimates, standard errors, scale of ``tau``.

    Parameters
    ----------
    estimates, standard_errors, tau_scale, shape
        See `effects`. The scale is 0 in sets of a single row and of none.
    """
    sizes = np.array([len(np.atleast_1d(values)) for values in estimates])
    sizes = np.append(sizes, np.zeros(max(shape[0] - sizes.size, 0), dtype=int))
    filled = np.arange(max(shape[1], sizes.max())) < sizes[:, None]
    y, error, scale = np.zeros(filled.shape), np.full(filled.shape, NO_INFORMATION), np.zeros(filled.shape)
    y[filled], error[filled] = np.concatenate(estimates, axis=None), np.concatenate(standard_errors, axis=None)
    scale[sizes > 1] = tau_scale
    return {"rows": np.stack([y, error, scale])}
