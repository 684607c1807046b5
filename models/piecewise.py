"""Piecewise-exponential models of a two-arm survival table.

Arm a in {0, 1}, interval j, deaths d and exposure e:

    d[a,j] ~ Poisson(e[a,j] exp(eta[a,j])),    eta[a,j] = alpha[j] + a (beta + omega[j])

``alpha`` is a Gaussian random walk whose steps scale with the square root of the gap between interval middles, so
that the grid does not change the prior. With proportional hazards ``omega`` is 0; without, it is a random walk of its
own scale. Both walks are written as a level plus a walk that sums to zero weighted by the pooled deaths, so that the
prior on ``beta`` is a prior on the average log hazard ratio. Both models are one graph: the scale of ``omega`` is
data.

Geometry: a walk is ``basis @ steps`` with standard normal steps. The basis' columns are the walk's principal
components in the metric of the deaths, which leaves the prior as it is and makes the posterior nearly uncorrelated.

Deaths may be fractional (reconstructed tables), so the Poisson kernel ``d log(mu) - mu`` stands in for the
likelihood. Source: Holford 1980, Biometrics 36:299; Ibrahim, Chen and Sinha 2001, Bayesian Survival Analysis, ch. 3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import NDArray

from ..data.cohort import MONTHS
from .priors import Prior

LEVEL_SD = 2.0  # of the baseline's average log rate about the trial's crude log rate
STEP_SD = 1.0  # scale of the baseline's steps, per square root of a year
EFFECT_STEP_SD = 0.5  # scale of the log hazard ratio's steps, per square root of a year
MONTHS_PER_YEAR = 12.0
SMALLEST_WEIGHT = 1e-3  # deaths; keeps the basis whole where an interval has none


def piecewise(table: xr.Dataset, prior: Prior, *, proportional: bool = True) -> pm.Model:
    """Return the piecewise-exponential model of a two-arm trial.

    Parameters
    ----------
    table
        Survival table of one stratum on the model's intervals; its first imputation is the data.
    prior
        Prior on ``beta``: the log hazard ratio, or its average over the deaths.
    proportional
        Whether the hazard ratio is the same at all times; otherwise its log is a random walk.
    """
    coords = {"interval": np.arange(table.sizes["interval"]), "step": np.arange(table.sizes["interval"] - 1)}
    arm = np.array([[0.0], [1.0]])
    with pm.Model(coords=coords) as model:
        data = pm.Data("table", piecewise_data(table, 0, proportional=proportional)["table"])
        deaths, exposure, effect_scale, basis = data[:2], data[2:4], data[4, 0], data[5:].T
        level = pt.log(deaths.sum() / exposure.sum()) + LEVEL_SD * pm.Normal("alpha_level")
        alpha = pm.Deterministic("alpha", level + random_walk("alpha", basis, STEP_SD), dims="interval")
        omega = pm.Deterministic("omega", random_walk("omega", basis, effect_scale), dims="interval")
        eta = alpha + arm * (overall_prior(prior) + omega)
        pm.Potential("likelihood", (deaths * eta - exposure * pt.exp(eta)).sum())
    return model


def piecewise_data(
    table: xr.Dataset, imputation: int, *, proportional: bool = True
) -> dict[str, NDArray[np.float64]]:
    """Return the model data of one imputation of a one-stratum table.

    Parameters
    ----------
    table
        Survival table on the model's intervals.
    imputation
        Which imputation.
    proportional
        See `piecewise`.

    Returns
    -------
    dict
        ``table``, shape ``(J + 4, J)``: deaths by arm, exposure by arm, the scale of the effect's steps, and the
        walks' basis. They are one array because every one that a model holds costs a second of compilation.
    """
    chosen = table.isel(imputation=imputation, stratum=0)
    deaths, exposure = chosen.deaths.to_numpy(), chosen.exposure.to_numpy()
    scale = np.full(deaths.shape[1], 0.0 if proportional else EFFECT_STEP_SD)
    return {"table": np.vstack([deaths, exposure, scale, walk_basis(table, deaths.sum(axis=0)).T])}


def walk_basis(table: xr.Dataset, deaths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a walk's basis: unit steps per square root of a year, centred at the deaths, rotated.

    Parameters
    ----------
    table
        Survival table of J intervals.
    deaths
        Weights, shape ``(J,)``.
    """
    middle = ((table.start + table.stop) / 2).to_numpy() / (MONTHS[table.time_unit] * MONTHS_PER_YEAR)
    walk = np.tril(np.ones((len(middle), len(middle) - 1)), -1) * np.sqrt(np.diff(middle))
    centred = walk - (deaths / deaths.sum()) @ walk
    *_, components = np.linalg.svd(np.sqrt(deaths + SMALLEST_WEIGHT)[:, None] * centred, full_matrices=False)
    return np.asarray(centred @ components.T)


def overall_prior(prior: Prior, name: str = "beta", dims: str | None = None) -> Any:
    """Return the node of the overall log hazard ratio: a normal mixture whose parameters are data (``prior``)."""
    data = pm.Data("prior", prior.padded())
    return pm.NormalMixture(name, w=data[0], mu=data[1], sigma=data[2], dims=dims)


def random_walk(name: str, basis: Any, most: Any) -> Any:
    """Return a random walk in non-centred form, its step SD half-normal of scale ``most``."""
    step_sd = pm.Deterministic(f"{name}_step_sd", most * pm.HalfNormal(f"{name}_unit_sd", 1.0))
    return step_sd * (basis @ pm.Normal(f"{name}_steps", dims="step"))
