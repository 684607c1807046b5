"""Piecewise-exponential models of a two-arm survival table.

Arm a in {0, 1}, interval j, deaths d and exposure e:

    d[a,j] ~ Poisson(e[a,j] exp(eta[a,j])),    eta[a,j] = alpha[j] + a (beta + omega[j])

``alpha`` is a level, a trend in log time and a Gaussian random walk about it, ``omega`` a trend and a walk:

    alpha[j] = level + rho u[j] + walk[j],    omega[j] = theta u[j] + walk'[j]

``u`` is the log of the intervals' middles. A trend of the log hazard is a Weibull distribution of shape ``1 + rho``;
``rho ~ Normal(0, 0.5)`` puts 95% of the shapes between 0 and 2. A trend of the log hazard ratio is two Weibull
distributions whose shapes differ by ``theta``, and what tests of proportionality look for with the log of time;
``theta ~ Normal(0, 0.3)`` lets the hazard ratio change by up to half when time doubles. The walks' steps scale with
the square root of the gap between interval middles, so that the grid hardly changes the prior. Without trends a
steady change would have to come out of the steps, whose SD few deaths draw to 0: survival would be smoothed towards
one hazard, and the arms' towards each other. For the same reason the SD of the log hazard ratio's steps is a gamma
variable that keeps away from 0 (shape 4, mean 0.5, 95% from 0.14 to 1.1); a hazard ratio that stays the same is the
other model, with proportional hazards, where ``omega`` is 0. Both are one graph: whether ``omega`` is there is data.

Trends and walks sum to zero weighted by the pooled deaths, so that the prior on ``beta`` is a prior on the average
log hazard ratio. In the same metric a walk has no trend, so that a trend's prior is that of the whole slope, and the
two are nearly uncorrelated in the posterior.

Geometry: a walk is ``basis @ steps`` with standard normal steps. The basis' columns are the walk's principal
components in the metric of the deaths, which leaves the prior as it is and makes the posterior nearly uncorrelated.

Deaths may be fractional (reconstructed tables), so the Poisson kernel ``d log(mu) - mu`` stands in for the
likelihood. Source: Holford 1980, Biometrics 36:299; Ibrahim, Chen and Sinha 2001, Bayesian Survival Analysis, ch. 3;
of the hazard ratio's trend, Grambsch and Therneau 1994, Biometrika 81:515; of scales that keep away from 0, Chung et
al. 2013, Psychometrika 78:685.
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
TREND_SD = 0.5  # of the baseline's change per unit of log time
EFFECT_STEP_SD = 0.5  # mean SD of the log hazard ratio's steps, per square root of a year
EFFECT_STEP_SHAPE = 4.0  # of that SD's gamma distribution
EFFECT_TREND_SD = 0.3  # of the log hazard ratio's change per unit of log time
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
        Whether the hazard ratio is the same at all times.
    """
    intervals = table.sizes["interval"]
    arm = np.array([[0.0], [1.0]])
    with pm.Model(coords={"interval": np.arange(intervals), "step": np.arange(max(intervals - 2, 0))}) as model:
        data = pm.Data("table", piecewise_data(table, 0, proportional=proportional)["table"])
        deaths, exposure, changes, trend, walk = data[:2], data[2:4], data[4, 0], data[5], data[6:].T
        level = pt.log(deaths.sum() / exposure.sum()) + LEVEL_SD * pm.Normal("alpha_level")
        step_sd = STEP_SD * pm.HalfNormal("alpha_unit_sd", 1.0)
        of_time = level + _over_time("alpha", trend, walk, TREND_SD, step_sd)
        alpha = pm.Deterministic("alpha", of_time, dims="interval")
        unit_sd = pm.Gamma("omega_unit_sd", EFFECT_STEP_SHAPE, EFFECT_STEP_SHAPE)
        of_time = _over_time("omega", trend, walk, changes * EFFECT_TREND_SD, changes * EFFECT_STEP_SD * unit_sd)
        omega = pm.Deterministic("omega", of_time, dims="interval")
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
        ``table``, J columns: deaths by arm, exposure by arm, whether the hazard ratio changes (0 or 1), centred log
        time, and in J - 2 rows the walks' basis. They are one array because every one that a model holds costs a
        second of compilation.
    """
    chosen = table.isel(imputation=imputation, stratum=0)
    deaths, exposure = chosen.deaths.to_numpy(), chosen.exposure.to_numpy()
    weights, changes = deaths.sum(axis=0), np.full(deaths.shape[1], 0.0 if proportional else 1.0)
    basis = walk_about_trend(table, weights)
    return {"table": np.vstack([deaths, exposure, changes, log_time(table, weights), basis.T])}


def log_time(table: xr.Dataset, deaths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the intervals' middles, centred at the deaths, shape ``(J,)``.

    Parameters
    ----------
    table
        Survival table of J intervals.
    deaths
        Weights, shape ``(J,)``.
    """
    middle = np.log(_middle(table))
    return np.asarray(middle - deaths @ middle / deaths.sum())


def walk_about_trend(table: xr.Dataset, deaths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the basis of a walk that has no trend in log time, least squares weighted by the deaths.

    Parameters
    ----------
    table
        Survival table of J intervals.
    deaths
        Weights, shape ``(J,)``.

    Returns
    -------
    array
        Shape ``(J, J - 2)``; no columns where J is 1.
    """
    walk, trend, weights = _walk(table, deaths), log_time(table, deaths), deaths + SMALLEST_WEIGHT
    slopes = (weights * trend) @ walk / max(float(weights @ trend**2), np.finfo(float).tiny)
    return _rotated(walk - np.outer(trend, slopes), deaths)[:, :-1]


def _middle(table: xr.Dataset) -> NDArray[np.float64]:
    """Return the middles of the intervals, in years."""
    middle = ((table.start + table.stop) / 2).to_numpy() / (MONTHS[table.time_unit] * MONTHS_PER_YEAR)
    return np.asarray(middle)


def _walk(table: xr.Dataset, deaths: NDArray[np.float64]) -> NDArray[np.float64]:
    middle = _middle(table)
    walk = np.tril(np.ones((len(middle), len(middle) - 1)), -1) * np.sqrt(np.diff(middle))
    return np.asarray(walk - (deaths / deaths.sum()) @ walk)


def _rotated(walk: NDArray[np.float64], deaths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a walk in principal components, largest first, in the metric of the deaths."""
    *_, components = np.linalg.svd(np.sqrt(deaths + SMALLEST_WEIGHT)[:, None] * walk, full_matrices=False)
    return np.asarray(walk @ components.T)


def overall_prior(prior: Prior, name: str = "beta", dims: str | None = None) -> Any:
    """Return the node of the overall log hazard ratio: a normal mixture whose parameters are data (``prior``)."""
    data = pm.Data("prior", prior.padded())
    return pm.NormalMixture(name, w=data[0], mu=data[1], sigma=data[2], dims=dims)


def overall_density(prior: Prior, value: Any) -> Any:
    """Return the log density of an overall log hazard ratio that is no node of its own; see `overall_prior`."""
    data = pm.Data("prior", prior.padded())
    return pm.logp(pm.NormalMixture.dist(w=data[0], mu=data[1], sigma=data[2]), value)


def _over_time(name: str, trend: Any, walk: Any, trend_sd: Any, step_sd: Any) -> Any:
    """Return a trend and a walk about it, in non-centred form."""
    slope = pm.Deterministic(f"{name}_trend", trend_sd * pm.Normal(f"{name}_unit_trend"))
    steps = pm.Deterministic(f"{name}_step_sd", step_sd) * (walk @ pm.Normal(f"{name}_steps", dims="step"))
    return slope * trend + steps
