"""Hierarchical piecewise-exponential model of a trial's strata.

Stratum c, arm a in {0, 1}, interval j, deaths d and exposure e:

    d[c,a,j] ~ Poisson(e[c,a,j] exp(eta[c,a,j])),
    eta[c,a,j] = alpha[j] + gamma[c] + kappa[c] u[j] + a (beta + delta[c])

``alpha`` is that of `piecewise`, a trend and a walk about it; ``gamma`` and ``kappa`` are the strata's prognosis and
its slope over centred log time ``u``, both summing to zero weighted by patients. ``delta`` are the strata's treatment
effects beside ``beta``, which has the named prior. Forms of shrinkage, with ``z`` standard normal:

=================  ==========================================================================================
``half-normal``    ``delta = tau z``, ``tau`` half-normal of scale ``tau_scale``
``half-student-t`` the same with ``tau`` half-t of 3 degrees of freedom
``horseshoe``      ``delta = tau l z``, ``l^2 = s^2 lambda^2 / (s^2 + tau^2 lambda^2)``, ``lambda`` half-t
``none``           ``delta = 5 (z - mean(z))``: ``beta`` is the strata's average effect; written in as many
                   independent contrasts (Helmert's) as there are, which has the same distribution
``pooled``         ``delta = 0``
=================  ==========================================================================================

A baseline may be stratified by a factor: ``alpha`` is then its level's own, and the factor has no ``gamma`` and
``kappa`` beside it; the SD of the walks' steps is one for all levels.

What ``gamma``, ``kappa`` and ``delta`` are made of is a `Division`: in a partition each stratum has its own. With
several factors the strata are the cells of their cross, and a cell's are the sums over its factors of what belongs to
its levels: prognosis and slope of each level unshrunk, effects of all levels of a factor shrunken together with a
``tau`` of the factor's own, or by one horseshoe across all factors.

All forms and divisions of one size, and partitions filled up to one number of strata, are one graph: what differs is
data. Given the scales, which are the SD of the walk's steps and ``tau``, everything is linear in the unknowns: in
those that have a scale (the walk's steps, the effects), and in the free ones (level, trend, ``gamma``, ``kappa`` and
``beta``). So the deaths matter only by the sum of ``d eta``, one more linear function. The unknowns are sampled in
the coordinates of `geometry`, where the posterior is nearly standard normal however many patients there are; only the
horseshoe's effects, each with a scale of its own, are plainly non-centred. ``lambda`` is half-t of 3 degrees of
freedom instead of half-Cauchy, whose tails made the sampler diverge now and then; the slab hides the difference.

Sources: Gelman 2006, Bayesian Anal 1:515 (half-t scales); Piironen and Vehtari 2017, Electron J Stat 11:5018
(regularised horseshoe); Jones et al. 2011, Clin Trials 8:129 (shrunken subgroup effects).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import block_diag, helmert

from .geometry import Geometry, geometry
from .piecewise import LEVEL_SD, STEP_SD, TREND_SD, log_time, overall_density, walk_about_trend
from .priors import Prior
from .shrinkage import UNSHRUNKEN_SD, ShrinkageForm

STRATUM_SD = 1.0  # of a stratum's log rate about the trial's
SLOPE_SD = 0.3  # of its change per unit of log time
DEGREES_OF_FREEDOM = 3.0
SLAB = 0.5  # the most that the horseshoe lets a log hazard ratio differ, as an SD
TYPICAL_STEP_SD = 0.4  # of the walk, where the mode is looked for
TYPICAL_BETA = 10.0  # the same of the overall log hazard ratio: the data alone
DATA = ("exposure", "linear", "reported", "scaled")

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
    baseline
        Which of L baselines each stratum has: 1 there and 0 elsewhere, shape ``(C, L)``.
    """

    prognosis: Array
    effects: Array
    scales: Array
    baseline: Array

    @property
    def free(self) -> int:
        """Unknowns without a scale: level and trend of every baseline, ``gamma`` and ``kappa``, and ``beta``."""
        baselines, deviations = self.baseline.shape[1], self.prognosis.shape[1]
        return int(2 * baselines + 2 * deviations + 1)


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
    return Division(
        np.pad(prognosis, (fill, fill)), np.pad(own, (fill, fill)), np.ones((1, number)), np.ones((number, 1))
    )


def several_factors(
    levels: Sequence[NDArray[np.str_]], patients: Array, form: ShrinkageForm, stratified: int | None = None
) -> Division:
    """Return the division of crossed factors, which add up.

    Parameters
    ----------
    levels
        Level of every stratum, factor by factor, each of shape ``(C,)``.
    patients
        Of the strata, both arms together.
    form
        Form of shrinkage: ``tau`` differs between factors, but for the horseshoe.
    stratified
        Place of the factor whose levels have baselines of their own.
    """
    belongs = [(names[:, None] == np.unique(names)).astype(float) for names in levels]
    sizes = [one.shape[1] for one in belongs]
    centred = [one - patients @ one / patients.sum() for place, one in enumerate(belongs) if place != stratified]
    baseline = np.ones((len(patients), 1)) if stratified is None else belongs[stratified]
    own = [one @ _contrasts(size) if form.name == "none" else one for one, size in zip(belongs, sizes, strict=True)]
    scales = np.repeat(np.eye(len(sizes)), sizes, axis=1)
    if form.name == "horseshoe":
        scales = np.vstack([np.ones(sum(sizes)), np.zeros((len(sizes) - 1, sum(sizes)))])
    return Division(np.hstack(centred), np.hstack(own), scales, baseline)


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
    sizes = {"stratum": number, "interval": intervals, "deviation": deviations, "effect": effects, "scale": scales}
    sizes["baseline"] = made.baseline.shape[1]
    scaled, free = data["scaled"].shape[1], made.free
    with pm.Model(coords={name: np.arange(size) for name, size in sizes.items()}) as model:
        exposure, linear, reported, of_scaled = (pm.Data(name, data[name]) for name in DATA)
        theta = _scaled(of_scaled, scales, effects, scaled)
        unknown = pm.Flat("free_deviation", shape=free)
        rows = _linear(linear, unknown, theta)
        control = pt.exp(rows[: number * intervals]).reshape((number, intervals))
        treatment, own, beta, total = pt.split(rows[number * intervals :], [number, free - 1, 1, 1], n_splits=4)
        at_risk = exposure[:number] + pt.exp(treatment)[:, None] * exposure[number:]
        pm.Potential("free_prior", -(own**2).sum() / 2)
        pm.Potential("overall_prior", overall_density(prior, beta[0]))
        pm.Potential("likelihood", total[0] - (control * at_risk).sum())
        pm.Deterministic("beta", beta[0])
        _report(_linear(reported, unknown, theta), number, shared=sizes["baseline"] == 1)
    return model


def _linear(rows: Any, free: Any, theta: Any) -> Any:
    """Return linear functions of the unknowns (`Geometry.rewritten`)."""
    place = free.shape[0]
    return pt.dot(rows[:, :place], free) + pt.dot(rows[:, place:-1], theta) + rows[:, -1]


def _scaled(data: Any, scales: int, effects: int, scaled: int) -> Any:
    """Return the unknowns that have a scale, walk's steps before effects, with their prior."""
    scale, fixed, is_t = (data[place, : 1 + scales] for place in range(-3, 0))
    mixing = pm.Gamma("mixing_deviation", DEGREES_OF_FREEDOM / 2, DEGREES_OF_FREEDOM / 2, shape=1 + scales)
    sds = scale * pm.HalfNormal("scales_unit_sd", 1.0, shape=1 + scales) * mixing ** (-is_t / 2) + fixed
    pm.Deterministic("alpha_step_sd", STEP_SD * sds[0])
    pm.Deterministic("tau", sds[1] if scales == 1 else sds[1:], dims=None if scales == 1 else "scale")
    of_each = pt.dot(sds, data[: 1 + scales])
    local = pm.HalfStudentT("local_deviation", DEGREES_OF_FREEDOM, 1.0, dims="effect")
    regularised = SLAB * local / pt.sqrt(SLAB**2 + (of_each[scaled - effects :] * local) ** 2)
    of_each *= 1 + pt.dot(regularised - 1, data[1 + scales : -5])
    information, score = data[-5], data[-4]
    left = 1 / (1 + information * of_each**2)  # of the prior variance, when the data have spoken
    z = left * score * of_each + pt.sqrt(left) * pm.Flat("scaled_deviation", shape=scaled)
    pm.Potential("scaled_prior", (pt.log(left) - z**2).sum() / 2)
    return of_each * z


def _report(rows: Any, strata: int, *, shared: bool) -> None:
    """Name the parameters, in the order of ``reported``: ``alpha`` last, of all strata where they do not share it."""
    for place, name in enumerate(("gamma", "kappa", "delta")):
        pm.Deterministic(name, rows[place * strata : (place + 1) * strata], dims="stratum")
    alpha = rows[3 * strata :]
    if shared:
        pm.Deterministic("alpha", alpha, dims="interval")
    else:
        pm.Deterministic("alpha", alpha.reshape((strata, -1)), dims=("stratum", "interval"))


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
        See `subgroups`; ``strata`` is C below, and the division has sizes K, M, F and L.

    Returns
    -------
    dict
        ``exposure``, shape ``(2 C, J)``: by arm and stratum, times the trial's crude rate. ``linear``: linear
        functions of the 2 L + 2 K + 1 free unknowns, the L (J - 2) + M scaled ones and 1, namely the control arm's
        log rates relative to the crude one by stratum and interval (C J rows), the strata's log hazard ratios (C),
        the free unknowns (``beta`` last), and the sum of ``d eta``. ``reported``: the same of ``gamma``, ``kappa``,
        ``delta`` and ``alpha`` (of every stratum, where there are several baselines). ``scaled``: by scaled unknown,
        which of the 1 + F scales it has, its place among the effects where those have local scales (M rows),
        information, score, and three rows of settings by scale.
    """
    chosen = table.isel(imputation=imputation).transpose("arm", "stratum", "interval")
    made = division or one_factor(_patients(table, imputation), form, strata)
    fill = ((0, 0), (0, len(made.prognosis) - table.sizes["stratum"]), (0, 0))
    deaths, exposure = (np.pad(chosen[name].to_numpy(), fill) for name in ("deaths", "exposure"))
    log_rate = float(np.log(deaths.sum() / exposure.sum()))
    exposure = np.exp(log_rate) * exposure
    rows = _rows(table, deaths.sum(axis=0), made)
    by_arm = [rows["control"], rows["control"] + np.repeat(rows["ratio"], deaths.shape[2], axis=0)]
    total = sum(one.ravel() @ design for one, design in zip(deaths, by_arm, strict=True))
    turned = _geometry(np.vstack(by_arm)[:, :-1], deaths.ravel(), exposure.ravel(), made, form)
    linear = np.vstack([rows["control"], rows["ratio"], rows["free"], total])
    reported = np.vstack([rows[name] for name in ("gamma", "kappa", "delta", "alpha")])
    reported[-len(rows["alpha"]) :, -1] = log_rate
    return {
        "exposure": exposure.reshape(-1, exposure.shape[2]),
        "linear": turned.rewritten(linear),
        "reported": turned.rewritten(reported),
        "scaled": _of_scaled(turned, made, form),
    }


def _rows(table: xr.Dataset, deaths: Array, made: Division) -> dict[str, Array]:
    """Return what is linear in the unknowns: coefficients of walks' steps, effects, free unknowns, and 1."""
    every = made.baseline.T @ deaths  # of the strata of each baseline, shape (L, J)
    walks = block_diag(*(STEP_SD * walk_about_trend(table, one) for one in every))
    bases = block_diag(
        *(np.column_stack([np.full(one.size, LEVEL_SD), TREND_SD * log_time(table, one)]) for one in every)
    )
    (strata, deviations), effects = made.prognosis.shape, made.effects.shape[1]
    number, steps = deaths.shape[1], walks.shape[1]
    scaled, prognosis = steps + effects, steps + effects + bases.shape[1]
    sizes = {"gamma": strata, "kappa": strata, "delta": strata, "free": made.free}
    rows = {name: np.zeros((size, scaled + made.free + 1)) for name, size in sizes.items()}
    rows["gamma"][:, prognosis : prognosis + deviations] = STRATUM_SD * made.prognosis
    rows["kappa"][:, prognosis + deviations : -2] = SLOPE_SD * made.prognosis
    rows["delta"][:, steps:scaled] = made.effects
    rows["free"][:, scaled:-1] = np.eye(made.free)
    baselines = np.hstack([walks, np.zeros((len(walks), effects)), bases, np.zeros((len(walks), 2 + 2 * deviations))])
    of_strata = np.kron(made.baseline, np.eye(number)) @ baselines
    tilt = np.kron(rows["kappa"], log_time(table, deaths.sum(axis=0))[:, None])
    rows["alpha"] = baselines if len(every) == 1 else of_strata
    rows["control"] = of_strata + np.repeat(rows["gamma"], number, axis=0) + tilt
    return rows | {"ratio": rows["delta"] + rows["free"][-1]}


def _geometry(design: Array, deaths: Array, exposure: Array, made: Division, form: ShrinkageForm) -> Geometry:
    """Return the geometry at typical scales; the horseshoe's effects are left as they are."""
    effects = made.effects.shape[1]
    steps = design.shape[1] - effects - made.free
    tau = (form.tau_scale if form.has_tau else UNSHRUNKEN_SD,) * effects
    sds = np.array([*(TYPICAL_STEP_SD,) * steps, *tau, *(1.0,) * (made.free - 1), TYPICAL_BETA])
    known = np.repeat([True, form.name != "horseshoe"], [steps, effects])
    groups = [np.arange(steps), *(steps + np.flatnonzero(row) for row in made.scales if form.name != "horseshoe")]
    return geometry(design, deaths, exposure, sds, groups, known)


def _of_scaled(turned: Geometry, made: Division, form: ShrinkageForm) -> Array:
    """Return the data of the scaled unknowns; see `subgroup_data`."""
    (scales, effects), scaled = made.scales.shape, len(turned.information)
    steps = scaled - effects
    of_scale = np.zeros((1 + scales, scaled))
    of_scale[0, :steps], of_scale[1:, steps:] = 1.0, made.scales
    scale, fixed, is_t, own = form.settings()
    local = np.hstack([np.zeros((effects, steps)), own * np.eye(effects)])
    settings = np.zeros((3, scaled))
    settings[:, 0] = 1.0, 0.0, 0.0  # the walk's steps: half-normal of unit scale
    settings[:, 1 : 1 + scales] = np.array([[scale], [fixed], [is_t]])
    return np.vstack([of_scale, local, turned.information, turned.score, settings])


def _patients(table: xr.Dataset, imputation: int) -> Array:
    return np.asarray(table.patients.isel(imputation=imputation).sum("arm").to_numpy(), dtype=float)


def with_tau_scale(data: Mapping[str, Array], tau_scale: float) -> dict[str, Array]:
    """Return model data with another scale of the prior on ``tau``, where the form of shrinkage has one.

    Parameters
    ----------
    data
        From `subgroup_data`.
    tau_scale
        The scale.
    """
    scaled = data["scaled"].copy()
    scaled[-3, 1:] = np.where(scaled[-3, 1:] > 0, tau_scale, 0.0)
    return {**data, "scaled": scaled}
