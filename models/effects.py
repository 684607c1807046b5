"""Hierarchical model of published effects, for when only hazard ratios with intervals exist.

Sets k of disjoint subgroups g, independent of each other; ``y`` their printed log hazard ratios, ``s`` the SEs:

    y[k,g] ~ Normal(theta[k,g], s[k,g]),    theta[k,g] ~ Normal(mu[k], tau[k])

``mu`` has the named prior and ``tau`` is half-normal. Geometry: ``theta`` is integrated out, so that ``mu`` and
``tau`` see ``y[k,g] ~ Normal(mu[k], sqrt(s^2 + tau^2))``, and drawn back from its exact conditional,

    theta = mu + shrink (y - mu) + sqrt(shrink) s z,    shrink = tau^2 / (tau^2 + s^2).

As only ``tau^2`` matters, ``tau`` is the size of a number with either sign: no wall at 0, no long tail of its log.

A single row is not shrunk towards others: its ``tau`` is 0 and ``theta`` is ``mu``. Sets of fewer rows than the widest
are filled up with rows that carry no information. Source: Rubin 1981, J Educ Stat 6:377;
Jones et al. 2011, Clin Trials 8:129.
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

TAU_SCALE = 0.25
NO_INFORMATION = 1e6  # standard error of a place that is not filled


def effects(
    estimates: Sequence[ArrayLike],
    standard_errors: Sequence[ArrayLike],
    prior: Prior,
    *,
    tau_scale: float = TAU_SCALE,
    tau_family: Literal["half-normal", "half-cauchy"] = "half-normal",
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
    """
    data = effects_data(estimates, standard_errors, tau_scale=tau_scale)
    sets, places = data["estimates"].shape
    with pm.Model(coords={"set": np.arange(sets), "place": np.arange(places)}) as model:
        node = {name: pm.Data(name, values) for name, values in data.items()}
        mu = overall_prior(prior, "mu", dims="set")
        family = pm.Normal if tau_family == "half-normal" else pm.Cauchy
        tau = pm.Deterministic("tau", abs(family("signed_tau", 0, node["tau_scale"], dims="set")), dims="set")
        residual = node["estimates"] - mu[:, None]
        between = (node["several"] * tau)[:, None] ** 2
        total = between + node["standard_errors"] ** 2
        pm.Potential("likelihood", -0.5 * (residual**2 / total + pt.log(total)).sum())
        shrink = between / total
        spread = pt.sqrt(shrink) * node["standard_errors"] * pm.Normal("deviation", dims=("set", "place"))
        pm.Deterministic("theta", mu[:, None] + shrink * residual + spread, dims=("set", "place"))
    return model


def effects_data(
    estimates: Sequence[ArrayLike], standard_errors: Sequence[ArrayLike], *, tau_scale: float = TAU_SCALE
) -> dict[str, NDArray[np.float64]]:
    """Return the model data: estimates and standard errors, shape ``(sets, places)``, and the scale of ``tau``.

    Parameters
    ----------
    estimates, standard_errors, tau_scale
        See `effects`.
    """
    sizes = [len(np.atleast_1d(values)) for values in estimates]
    shape = (len(sizes), max(sizes))
    filled = np.arange(shape[1]) < np.array(sizes)[:, None]
    y, error = np.zeros(shape), np.full(shape, NO_INFORMATION)
    y[filled], error[filled] = np.concatenate(estimates, axis=None), np.concatenate(standard_errors, axis=None)
    several = np.array(sizes, dtype=float) > 1
    return {
        "estimates": y,
        "standard_errors": error,
        "tau_scale": np.array(tau_scale),
        "several": several.astype(float),
    }
