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

What ``gamma``, ``kappa`` and ``delta`` are made of is a `Division`: in a partition each stratum has its own. With
several factors the strata are the cells of their cross, and a cell's are the sums over its factors of what belongs to
its levels: prognosis and slope of each level unshrunk, effects of all levels of a factor shrunken together with a
``tau`` of the factor's own, or by one horseshoe across all factors.

All forms and divisions of one size, and partitions filled up to one number of strata, are one graph: what differs is
data. As ``eta`` is linear in the unknowns of the control arm, ``y``, the deaths matter only by their sufficient
statistics: with ``X`` the design, ``sum d eta = (d' X) y``, and ``d' X`` is one more row of it. Geometry: everything
is non-centred, and ``tau`` may have either sign, as only its size matters: no wall at 0. ``lambda`` is half-t of 3
degrees of freedom instead of half-Cauchy, whose tails made the sampler diverge now and then; the slab hides the
difference.

Sources: Gelman 2006, Bayesian Anal 1:515 (half-t scales); Piironen and Vehtari 2017, Electron J Stat 11:5018
(regularised horseshoe); Jones et al. 2011, Clin Trials 8:129 (shrunken subgroup effects).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import helmert

from .piecewise import LEVEL_SD, STEP_SD, log_time, overall_prior, walk_basis
from .priors import Prior
from .shrinkage import SETTINGS, ShrinkageForm

STRATUM_SD = 1.0  # of a stratum's log rate about the trial's
SLOPE_SD = 0.3  # of its change per unit of log time
DEGREES_OF_FREEDOM = 3.0
SLAB = 0.5  # the most that the horseshoe lets a log hazard ratio differ, as an SD

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Division:
    """What the strata's prognosis and treatment effects are made of.

    Parameters
    ----------
    prognosis
        Share of each of K deviations in a stratum's ``gamma`` and ``kappa``, shape ``(C, K)``.
    effects
        Share of each of M effects in a stratum's ``delta``, shape ``(C, M)``.
    scales
        Which of F ``tau`` each effect has: 1 there and 0 elsewhere, shape ``(F, M)``.
    """

    prognosis: Array
    effects: Array
    scales: Array


def one_factor(patients: Array, form: ShrinkageForm, strata: int | None = None) -> Division:
    """Return the division of a partition, whose strata have a prognosis and an effect each.

    Parameters
    ----------
    patients
        Of the strata, both arms together.
    form
        Form of shrinkage.
    strata
        How many strata the graph has (C = K = M); those beyond ``patients`` are empty.
    """
    present = len(patients)
    number = strata or present
    fill = (0, number - present)
    own = _contrasts(present) if form.name == "none" else np.eye(present)
    prognosis = np.eye(present) - patients / patients.sum()
    return Division(np.pad(prognosis, (fill, fill)), np.pad(own, (fill, fill)), np.ones((1, number)))


def several_factors(levels: Sequence[NDArray[np.str_]], patients: Array, form: ShrinkageForm) -> Division:
    """Return the division of crossed factors, which add up.

    Parameters
    ----------
    levels
        Level of every stratum, factor by factor, each of shape ``(C,)``.
    patients
        Of the strata, both arms together.
    form
        Form of shrinkage: ``tau`` differs between factors, but for the horseshoe.
    """
    belongs = [(names[:, None] == np.unique(names)).astype(float) for names in levels]
    sizes = [one.shape[1] for one in belongs]
    centred = [one - patients @ one / patients.sum() for one in belongs]
    own = [one @ _contrasts(size) if form.name == "none" else one for one, size in zip(belongs, sizes, strict=True)]
    scales = np.repeat(np.eye(len(sizes)), sizes, axis=1)
    if form.name == "horseshoe":
        scales = np.vstack([np.ones(sum(sizes)), np.zeros((len(sizes) - 1, sum(sizes)))])
    return Division(np.hstack(centred), np.hstack(own), scales)


def _contrasts(strata: int) -> Array:
    """Return the matrix that makes deviations from their mean out of independent normals, the last of no account."""
    return np.column_stack([helmert(strata).T, np.zeros(strata)])


def subgroups(
    table: xr.Dataset,
    prior: Prior,
    form: ShrinkageForm | None = None,
    *,
    strata: int | None = None,
    division: Division | None = None,
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
    division
        What the strata are made of; each of its own by default.
    """
    form = form or ShrinkageForm()
    made = division or one_factor(_patients(table, 0), form, strata)
    data = subgroup_data(table, 0, form, strata=strata, division=made)
    (number, deviations), (scales, effects) = made.prognosis.shape, made.scales.shape
    intervals = data["exposure"].shape[1]
    sizes = {"stratum": number, "interval": intervals, "step": intervals - 1, "deviation": deviations}
    coords = {name: np.arange(size) for name, size in {**sizes, "effect": effects, "scale": scales}.items()}
    with pm.Model(coords=coords) as model:
        design, exposure = (pm.Data(name, data[name]) for name in ("design", "exposure"))
        parts = pm.Data("effects", data["effects"])
        control = _control(design, parts[-1, SETTINGS], number, intervals)
        treatment = _effects(parts, overall_prior(prior), number, effects, scales)
        rate = pt.exp(control[:-1]).reshape((number, intervals))
        at_risk = exposure[:number] + pt.exp(treatment[:-1])[:, None] * exposure[number:]
        pm.Potential("likelihood", control[-1] + treatment[-1] - (rate * at_risk).sum())
    return model


def _control(design: Any, log_rate: Any, strata: int, intervals: int) -> Any:
    """Return the control arm's ``eta`` relative to the crude log rate, and behind it its sum over all deaths."""
    step_sd = pm.Deterministic("alpha_step_sd", STEP_SD * pm.HalfNormal("alpha_unit_sd", 1.0))
    walk = pt.concatenate(
        [pm.Normal("alpha_level", shape=1), step_sd / STEP_SD * pm.Normal("alpha_steps", dims="step")]
    )
    gamma, kappa = (pm.Normal(f"{name}_deviation", dims="deviation") for name in ("gamma", "kappa"))
    of_strata = design[: strata * intervals : intervals, intervals : intervals + gamma.shape[0]]
    pm.Deterministic("alpha", log_rate + pt.dot(design[:intervals, :intervals], walk), dims="interval")
    pm.Deterministic("gamma", pt.dot(of_strata, gamma), dims="stratum")
    pm.Deterministic("kappa", SLOPE_SD / STRATUM_SD * pt.dot(of_strata, kappa), dims="stratum")
    return pt.dot(design, pt.concatenate([walk, gamma, kappa]))


def _effects(parts: Any, beta: Any, strata: int, effects: int, scales: int) -> Any:
    """Return the strata's log hazard ratios, and behind them their sum over the treatment arm's deaths."""
    scale, fixed, is_t, own = (parts[-1, place] for place in range(SETTINGS))
    mixing = pm.Gamma("tau_mixing_deviation", DEGREES_OF_FREEDOM / 2, DEGREES_OF_FREEDOM / 2, dims="scale")
    signed = scale * pm.Normal("signed_tau", dims="scale") * mixing ** (-is_t / 2) + fixed
    pm.Deterministic("tau", abs(signed[0]) if scales == 1 else abs(signed), dims=None if scales == 1 else "scale")
    of_effects = pt.dot(signed, parts[-1 - scales : -1, 1 : 1 + effects])
    local = pm.HalfStudentT("local_deviation", DEGREES_OF_FREEDOM, 1.0, dims="effect")
    regularised = SLAB * local / pt.sqrt(SLAB**2 + (of_effects * local) ** 2)
    free = of_effects * pt.switch(own > 0, regularised, 1.0) * pm.Normal("delta_deviation", dims="effect")
    delta = pt.dot(parts[: strata + 1, 1 : 1 + effects], free)
    pm.Deterministic("delta", delta[:-1], dims="stratum")
    return parts[: strata + 1, 0] * beta + delta


def subgroup_data(
    table: xr.Dataset,
    imputation: int,
    form: ShrinkageForm,
    *,
    strata: int | None = None,
    division: Division | None = None,
) -> dict[str, Array]:
    """Return the model data of one imputation of a table with C strata and J intervals.

    Parameters
    ----------
    table
        Survival table on the model's intervals.
    imputation
        Which imputation.
    form, strata, division
        See `subgroups`; ``strata`` is C below, and the division has sizes K, M and F.

    Returns
    -------
    dict
        ``design``, shape ``(C J + 1, J + 2 K)``: ``eta`` of the control arm by stratum and interval out of the walk's
        level and steps and the deviations of ``gamma`` and ``kappa``; last its sum over all deaths. ``exposure``,
        shape ``(2 C, J)``: by arm and stratum, times the trial's crude rate. ``effects``, shape
        ``(C + 2 + F, max(M, 4) + 1)``: the log hazard ratio of a stratum out of ``beta`` and the effects, its sum
        over the treatment arm's deaths, the scales, and in the last row the settings of the shrinkage and the crude
        log rate.
    """
    chosen = table.isel(imputation=imputation).transpose("arm", "stratum", "interval")
    made = division or one_factor(_patients(table, imputation), form, strata)
    fill = ((0, 0), (0, len(made.prognosis) - table.sizes["stratum"]), (0, 0))
    deaths, exposure = (np.pad(chosen[name].to_numpy(), fill) for name in ("deaths", "exposure"))
    log_rate = float(np.log(deaths.sum() / exposure.sum()))
    design = _design(table, deaths.sum(axis=(0, 1)), made.prognosis)
    effects = np.column_stack([np.ones(len(made.effects)), made.effects])
    last = np.array([[*form.settings(), log_rate]])
    width = max(effects.shape[1], last.size)
    scales = np.pad(made.scales, ((0, 0), (1, 0)))
    rows = (effects, deaths[1].sum(axis=1) @ effects[None], scales, last)
    return {
        "design": np.vstack([design, deaths.sum(axis=0).ravel() @ design]),
        "exposure": np.exp(log_rate) * exposure.reshape(-1, exposure.shape[2]),
        "effects": np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows]),
    }


def _patients(table: xr.Dataset, imputation: int) -> Array:
    return np.asarray(table.patients.isel(imputation=imputation).sum("arm").to_numpy(), dtype=float)


def _design(table: xr.Dataset, deaths: Array, prognosis: Array) -> Array:
    """Return the control arm's design, shape ``(C J, J + 2 K)``."""
    walk = np.column_stack([np.full(len(deaths), LEVEL_SD), STEP_SD * walk_basis(table, deaths)])
    tilt = SLOPE_SD * log_time(table, deaths)
    levels = STRATUM_SD * np.repeat(prognosis, len(deaths), axis=0)
    return np.hstack([np.tile(walk, (len(prognosis), 1)), levels, np.kron(prognosis, tilt[:, None])])
