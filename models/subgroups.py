"""Hierarchical piecewise-exponential model of a trial's strata.

Stratum c, arm a in {0, 1}, interval j, deaths d and exposure e:

    d[c,a,j] ~ Poisson(e[c,a,j] exp(eta[c,a,j])),
    eta[c,a,j] = alpha[j] + gamma[c] + kappa[c] u[j] + a (beta + delta[c])

``alpha`` is the walk of `piecewise`; ``gamma`` and ``kappa`` are the strata's prognosis and its slope over centred
log time ``u``, both summing to zero weighted by patients. ``delta`` are the strata's treatment effects beside
``beta``, which has the named prior. Forms of shrinkage, with ``z`` standard normal:

=================  ==========================================================================================
``half-normal``    ``delta = tau z``, ``tau`` half-normal of scale ``tau_scale``
``half-student-t`` the same with ``tau`` half-t of 3 degrees of freedom
``horseshoe``      ``delta = tau l z``, ``l^2 = s^2 lambda^2 / (s^2 + tau^2 lambda^2)``, ``lambda`` half-t
``none``           ``delta = 5 (z - mean(z))``: ``beta`` is the strata's average effect; written in as many
                   independent contrasts (Helmert's) as there are, which has the same distribution
``pooled``         ``delta = 0``
=================  ==========================================================================================

All of them, and partitions filled up to one number of strata, are one graph: what differs is data. Geometry:
everything is non-centred, and ``tau`` may have either sign, as only its size matters: no wall at 0. ``lambda`` is
half-t of 3 degrees of freedom instead of half-Cauchy, whose tails made the sampler diverge now and then; the slab
hides the difference.

Sources: Gelman 2006, Bayesian Anal 1:515 (half-t scales); Piironen and Vehtari 2017, Electron J Stat 11:5018
(regularised horseshoe); Jones et al. 2011, Clin Trials 8:129 (shrunken subgroup effects).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import helmert

from ..data.cohort import MONTHS
from .piecewise import LEVEL_SD, MONTHS_PER_YEAR, STEP_SD, overall_prior, random_walk, walk_basis
from .priors import Prior
from .shrinkage import SETTINGS, ShrinkageForm

STRATUM_SD = 1.0  # of a stratum's log rate about the trial's
SLOPE_SD = 0.3  # of its change per unit of log time
DEGREES_OF_FREEDOM = 3.0
SLAB = 0.5  # the most that the horseshoe lets a log hazard ratio differ, as an SD


def subgroups(
    table: xr.Dataset, prior: Prior, form: ShrinkageForm | None = None, *, strata: int | None = None
) -> pm.Model:
    """Return the hierarchical model of a survival table with strata.

    Parameters
    ----------
    table
        Survival table on the model's intervals; its first imputation is the data.
    prior
        Prior on ``beta``.
    form
        Form of shrinkage; half-normal by default.
    strata
        How many strata the graph has; those beyond the table's are empty.
    """
    data = subgroup_data(table, 0, form or ShrinkageForm(), strata=strata)
    number, intervals = data["strata"].shape[0] - 1, data["table"].shape[1]
    coords = {"stratum": np.arange(number), "interval": np.arange(intervals), "step": np.arange(intervals - 1)}
    with pm.Model(coords=coords) as model:
        cells = pm.Data("table", data["table"])
        settings = pm.Data("strata", data["strata"])
        deaths, exposure = (cells[part * 2 * number :][: 2 * number] for part in (0, 1))
        log_time, basis = cells[4 * number], cells[4 * number + 1 :].T
        weights = settings[:number, 0]
        level = pt.log(deaths.sum() / exposure.sum()) + LEVEL_SD * pm.Normal("alpha_level")
        alpha = pm.Deterministic("alpha", level + random_walk("alpha", basis, STEP_SD), dims="interval")
        gamma = _centred("gamma", STRATUM_SD, weights)
        kappa = _centred("kappa", SLOPE_SD, weights)
        effect = overall_prior(prior) + _delta(settings, number)
        control = alpha + gamma[:, None] + kappa[:, None] * log_time
        eta = pt.concatenate([control, control + effect[:, None]])
        pm.Potential("likelihood", (deaths * eta - exposure * pt.exp(eta)).sum())
    return model


def _centred(name: str, sd: float, weights: Any) -> Any:
    """Return strata's deviations that sum to zero with these weights."""
    free = sd * pm.Normal(f"{name}_deviation", dims="stratum")
    return pm.Deterministic(name, free - pt.dot(weights, free), dims="stratum")


def _delta(settings: Any, strata: int) -> Any:
    """Return the strata's treatment effects beside the overall one."""
    scale, fixed, is_t, own = (settings[strata, place] for place in range(SETTINGS))
    mixing = pm.Gamma("tau_mixing_deviation", DEGREES_OF_FREEDOM / 2, DEGREES_OF_FREEDOM / 2)
    signed = scale * pm.Normal("signed_tau") * mixing ** (-is_t / 2) + fixed
    pm.Deterministic("tau", abs(signed))
    local = pm.HalfStudentT("local_deviation", DEGREES_OF_FREEDOM, 1.0, dims="stratum")
    square = local**2
    regularised = SLAB**2 * square / (SLAB**2 + signed**2 * square)
    spread = pt.switch(own > 0, pt.sqrt(regularised), 1.0)
    free = signed * spread * pm.Normal("delta_deviation", dims="stratum")
    return pm.Deterministic("delta", pt.dot(settings[:strata, 1 : strata + 1], free), dims="stratum")


def subgroup_data(
    table: xr.Dataset, imputation: int, form: ShrinkageForm, *, strata: int | None = None
) -> dict[str, NDArray[np.float64]]:
    """Return the model data of one imputation of a table with C strata and J intervals.

    Parameters
    ----------
    table
        Survival table on the model's intervals.
    imputation
        Which imputation.
    form, strata
        See `subgroups`; ``strata`` is C below.

    Returns
    -------
    dict
        ``table``, shape ``(4 C + J, J)``: deaths by arm and stratum, exposure likewise, centred log time, the walk's
        basis. ``strata``, shape ``(C + 1, max(C + 1, 4))``: weights and the matrix that makes ``delta``, and in the
        last row the settings of the shrinkage.
    """
    chosen = table.isel(imputation=imputation).transpose("arm", "stratum", "interval")
    present, number = table.sizes["stratum"], strata or table.sizes["stratum"]
    filled = ((0, 0), (0, number - present), (0, 0))
    deaths, exposure = (np.pad(chosen[name].to_numpy(), filled) for name in ("deaths", "exposure"))
    pooled = deaths.sum(axis=(0, 1))
    cells = [deaths.reshape(2 * number, -1), exposure.reshape(2 * number, -1)]
    packed = np.vstack([*cells, log_time(table, pooled), walk_basis(table, pooled).T])
    settings = np.zeros((number + 1, max(number + 1, SETTINGS)))
    settings[:present, 0] = (chosen["patients"].sum("arm") / chosen["patients"].sum()).to_numpy()
    settings[:present, 1 : present + 1] = _contrasts(present) if form.name == "none" else np.eye(present)
    settings[number, :SETTINGS] = form.settings()
    return {"table": packed, "strata": settings}


def _contrasts(strata: int) -> NDArray[np.float64]:
    """Return the matrix that makes deviations from their mean out of independent normals, the last of no account."""
    return np.column_stack([helmert(strata).T, np.zeros(strata)])


def log_time(table: xr.Dataset, deaths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of the intervals' middles, centred at the deaths, shape ``(J,)``.

    Parameters
    ----------
    table
        Survival table of J intervals.
    deaths
        Weights, shape ``(J,)``.
    """
    middle = np.log(((table.start + table.stop) / 2).to_numpy() / (MONTHS[table.time_unit] * MONTHS_PER_YEAR))
    return np.asarray(middle - deaths @ middle / deaths.sum())
