"""Hierarchical model of published effects, for when only hazard ratios with intervals exist.

    y[g] ~ Normal(theta[g], s[g]),    theta[g] = mu + tau z[g],    z[g] ~ Normal(0, 1)

with ``y`` the log hazard ratios of disjoint subgroups and ``s`` their standard errors; ``mu`` has the named prior and
``tau`` is half-normal. A single row is not shrunk: ``theta`` is then ``mu``. Sets of fewer rows than the graph has
places are filled up with rows that carry no information. Source: Rubin 1981, J Educ Stat 6:377; Jones et al. 2011,
Clin Trials 8:129.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pymc as pm
from numpy.typing import ArrayLike, NDArray

from .piecewise import overall_prior
from .priors import Prior

TAU_SCALE = 0.25
NO_INFORMATION = 1e6  # standard error of a place that is not filled


def effects(
    estimates: ArrayLike,
    standard_errors: ArrayLike,
    prior: Prior,
    *,
    tau_scale: float = TAU_SCALE,
    tau_family: Literal["half-normal", "half-cauchy"] = "half-normal",
    places: int | None = None,
) -> pm.Model:
    """Return the hierarchical model of disjoint published effects.

    Parameters
    ----------
    estimates, standard_errors
        Of the log hazard ratios, shape ``(G,)``.
    prior
        Prior on ``mu``.
    tau_scale
        Scale of the prior on ``tau``, the SD between subgroups.
    tau_family
        Family of the prior on ``tau``.
    places
        Rows of the graph, at least ``G``; ``G`` by default.
    """
    data = effects_data(estimates, standard_errors, tau_scale=tau_scale, places=places)
    with pm.Model(coords={"row": np.arange(len(data["estimates"]))}) as model:
        node = {name: pm.Data(name, values) for name, values in data.items()}
        mu = overall_prior(prior, "mu")
        family = pm.HalfNormal if tau_family == "half-normal" else pm.HalfCauchy
        tau = family("tau", node["tau_scale"])
        deviation = pm.Normal("deviation", dims="row")
        theta = pm.Deterministic("theta", mu + node["several"] * tau * deviation, dims="row")
        residual = (node["estimates"] - theta) / node["standard_errors"]
        pm.Potential("likelihood", -0.5 * (residual**2).sum())
    return model


def effects_data(
    estimates: ArrayLike, standard_errors: ArrayLike, *, tau_scale: float = TAU_SCALE, places: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the model data of one set of rows, filled up to the graph's places.

    Parameters
    ----------
    estimates, standard_errors, tau_scale, places
        See `effects`.
    """
    y, error = np.asarray(estimates, dtype=float), np.asarray(standard_errors, dtype=float)
    missing = (places or len(y)) - len(y)
    return {
        "estimates": np.append(y, np.zeros(missing)),
        "standard_errors": np.append(error, np.full(missing, NO_INFORMATION)),
        "tau_scale": np.array(tau_scale),
        "several": np.array(float(len(y) > 1)),
    }
