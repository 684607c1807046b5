"""Hierarchical model of published effects, for when only hazard ratios with intervals exist.

Sets k of disjoint subgroups g, independent of each other; ``y`` their printed log hazard ratios, ``s`` the SEs:

    y[k,g] ~ Normal(theta[k,g], s[k,g]),    theta[k,g] = mu[k] + tau[k] z[k,g],    z[k,g] ~ Normal(0, 1)

``mu`` has the named prior and ``tau`` is half-normal. A single row is not shrunk: ``theta`` is then ``mu``. Sets of
fewer rows than the widest are filled up with rows that carry no information. Source: Rubin 1981, J Educ Stat 6:377;
Jones et al. 2011, Clin Trials 8:129.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pymc as pm
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
        family = pm.HalfNormal if tau_family == "half-normal" else pm.HalfCauchy
        tau = family("tau", node["tau_scale"], dims="set")
        deviation = pm.Normal("deviation", dims=("set", "place"))
        shrunk = mu[:, None] + node["several"][:, None] * tau[:, None] * deviation
        theta = pm.Deterministic("theta", shrunk, dims=("set", "place"))
        residual = (node["estimates"] - theta) / node["standard_errors"]
        pm.Potential("likelihood", -0.5 * (residual**2).sum())
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
