"""What the priors imply before any data, beside the posterior: survival curves, hazard ratios and their spreads.

Drawn forward, without the models' graphs, which they are tested against; what a log hazard ratio's named prior
implies is a closed form. The baseline's log rate has a level, normal about the trial's crude log rate (SD 2), a trend
in log time (SD 0.5) and a random walk about it, whose steps have a half-normal SD of scale 1 per square root of a
year. The log hazard ratio has a trend (SD 0.3) and a walk whose steps' SD is a gamma variable of shape 4 and mean 0.5
(`piecewise`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import brentq

from ..data import ARMS
from ..data.table import regroup
from ..models.priors import Prior
from ..models.shrinkage import ShrinkageForm
from .fitting import Fit
from .imputations import Imputations
from .options import Options
from .quantities import Curves, curves_of
from .tables import PRIOR_PREDICTIVE

Array = NDArray[np.float64]
Row = dict[str, object]
DRAWS = 10_000
MOST_POSTERIOR_DRAWS = 20_000
PERCENTILES = {"lower": 0.025, "q25": 0.25, "median": 0.5, "q75": 0.75, "upper": 0.975}
STEP_SD = "hazard_ratio_step_sd"
DOUBLING = "hazard_ratio_per_doubling"
FARTHEST = 12.0  # standard deviations from a component's mean, within which every quantile lies


def prior_predictive(
    trial: str, fits: Sequence[Fit], sources: Mapping[str, Imputations], options: Options
) -> pd.DataFrame:
    """Return prior and posterior quantiles of what the models are about.

    Parameters
    ----------
    trial
        Its id.
    fits
        Posteriors; survival curves and spreads are those under the first one's prior.
    sources
        Survival tables by partition: the first imputation's crude rate and deaths are what the walks are centred at.
    options
        Seed and scale of the prior on the SD between subgroups.

    Returns
    -------
    DataFrame
        The columns of ``prior-predictive.csv``: median, quartiles and 95% limits before (``prior_``) and after
        (``posterior_``), of the hazard ratio under every prior; of survival by arm at the end of every interval, and
        of the hazard ratio in it; of ``hazard_ratio_per_doubling``, what the trend multiplies the hazard ratio by
        while time doubles; of ``hazard_ratio_step_sd``, the SD of a year's step of the log hazard ratio about that
        trend; and of ``interaction_sd``, the SD between a partition's strata (``variant`` is the factor, where it has
        several).
    """
    rows: list[Row] = []
    primary = [fit for fit in fits if fit.prior.name == fits[0].prior.name]
    rows += [_of_ratio(fit) for fit in fits if fit.model == "piecewise"]
    curves = [fit for fit in primary if fit.model in ("piecewise", "nonproportional")]
    if curves:
        prior = _drawn_curves(curves[0], sources[""], options.seed)
        rows += [row for fit in curves for row in _of_curves(fit, prior)]
    rows += _of_strata(primary, options)
    frame = pd.DataFrame(rows, columns=list(PRIOR_PREDICTIVE.columns))
    return PRIOR_PREDICTIVE.arranged(frame, trial=trial)


def prior_quantile(prior: Prior, probability: float) -> float:
    """Return a quantile of a prior on the log hazard ratio."""
    reach = FARTHEST * max(prior.sds)
    return float(
        brentq(lambda x: prior.probability_below(x) - probability, min(prior.means) - reach, max(prior.means) + reach)
    )


def _of_ratio(fit: Fit) -> Row:
    before = np.exp([prior_quantile(fit.prior, level) for level in PERCENTILES.values()])
    after = _quantiles(np.exp(_thinned(fit.posterior["beta"])))
    return _row(fit, "hazard_ratio", before, after)


def _drawn_curves(fit: Fit, source: Imputations, seed: int) -> xr.Dataset:
    """Return prior draws of the piecewise model that leaves the hazard ratio free over time."""
    table = regroup(source.whole(0), fit.edges).isel(imputation=0, stratum=0)
    return curve_priors(table, fit.prior, np.random.default_rng(seed))


def curve_priors(table: xr.Dataset, prior: Prior, rng: np.random.Generator, draws: int = DRAWS) -> xr.Dataset:
    """Return draws from the priors of `piecewise`.

    Parameters
    ----------
    table
        One stratum and imputation of a survival table on the model's intervals.
    prior
        Prior on ``beta``.
    rng, draws
        Source of randomness, and how many.

    Returns
    -------
    Dataset
        ``alpha``, ``omega`` (interval), ``beta``, ``omega_step_sd`` and ``omega_trend``, dimensions
        ``(chain, draw, ...)``.
    """
    from ..models import piecewise as model

    weights = table.deaths.sum("arm").to_numpy()
    time, basis = model.log_time(table, weights), model.walk_about_trend(table, weights)
    level = np.log(float(table.deaths.sum() / table.exposure.sum())) + model.LEVEL_SD * rng.standard_normal(draws)
    component = rng.choice(len(prior.weights), draws, p=prior.weights)
    beta = rng.normal(np.array(prior.means)[component], np.array(prior.sds)[component])
    shape, mean = model.EFFECT_STEP_SHAPE, model.EFFECT_STEP_SD
    step_sds = [model.STEP_SD * np.abs(rng.standard_normal(draws)), rng.gamma(shape, mean / shape, draws)]
    trends = [sd * rng.standard_normal(draws) for sd in (model.TREND_SD, model.EFFECT_TREND_SD)]
    steps = [rng.standard_normal((draws, basis.shape[1])) @ basis.T for _ in step_sds]
    alpha, omega = (
        trend[:, None] * time + sd[:, None] * step for trend, sd, step in zip(trends, step_sds, steps, strict=True)
    )
    dims = ("chain", "draw", "interval")
    found = {"alpha": level[:, None] + alpha, "omega": omega, "beta": beta}
    found |= {"omega_step_sd": step_sds[1], "omega_trend": trends[1]}
    return xr.Dataset({name: (dims[: one.ndim + 1], one[None]) for name, one in found.items()})


def tau_prior(form: ShrinkageForm, rng: np.random.Generator, draws: int = DRAWS) -> Array:
    """Return draws from the prior of ``tau`` of `subgroups`, shape ``(draws,)``.

    Parameters
    ----------
    form
        Form of shrinkage.
    rng, draws
        Source of randomness, and how many.
    """
    from ..models.subgroups import DEGREES_OF_FREEDOM

    scale, fixed, is_t, _ = form.settings()
    mixing = rng.gamma(DEGREES_OF_FREEDOM / 2, 2 / DEGREES_OF_FREEDOM, draws)
    return np.asarray(np.abs(scale * rng.standard_normal(draws) * mixing ** (-is_t / 2) + fixed))


def _thinned(draws: xr.DataArray) -> Array:
    """Return draws at equal distances, chains and imputations after each other, shape ``(draw, ...)``."""
    leading = [name for name in ("imputation", "chain", "draw") if name in draws.dims]
    values = draws.transpose(*leading, ...).to_numpy()
    flat = values.reshape(-1, *values.shape[len(leading) :])
    return np.asarray(flat[:: max(-(-len(flat) // MOST_POSTERIOR_DRAWS), 1)])


def _curves(fit: Fit, draws: xr.Dataset) -> Curves:
    """Return curves of draws of the model's parameters, one leading dimension."""
    names = ("alpha", "beta", *(("omega",) if fit.model == "nonproportional" else ()))
    dims = ("draw", "interval")
    thin = {name: _thinned(draws[name]) for name in names}
    return curves_of(xr.Dataset({name: (dims[: one.ndim], one) for name, one in thin.items()}), np.array(fit.edges))


def _of_curves(fit: Fit, prior: xr.Dataset) -> Iterator[Row]:
    """Yield survival by arm at the end of every interval, and how the hazard ratio changes."""
    before, after = _curves(fit, prior), _curves(fit, fit.posterior)
    for time in fit.edges[1:]:
        for arm, name in enumerate(ARMS):
            survival = [_quantiles(curves.survival(arm, time)) for curves in (before, after)]
            yield _row(fit, f"survival_{name}", survival[0], survival[1], time)
        if fit.model == "nonproportional":
            ratios = [_quantiles(curves.hazard_ratio(time)) for curves in (before, after)]
            yield _row(fit, "hazard_ratio", ratios[0], ratios[1], time)
    if fit.model == "nonproportional":
        sides = (prior, fit.posterior)
        factors = [_quantiles(2.0 ** _thinned(draws["omega_trend"])) for draws in sides]
        yield _row(fit, DOUBLING, factors[0], factors[1])
        spreads = [_quantiles(_thinned(draws["omega_step_sd"])) for draws in sides]
        yield _row(fit, STEP_SD, spreads[0], spreads[1])


def _of_strata(fits: Iterable[Fit], options: Options) -> Iterator[Row]:
    """Yield the SD between a partition's strata, where the form of shrinkage has one."""
    for fit in fits:
        if fit.model == "subgroups" and "tau" in fit.posterior:
            form = ShrinkageForm(fit.shrinkage, options.tau_scale)
            before = _quantiles(tau_prior(form, np.random.default_rng(options.seed)))
            for factor, tau in _spreads(fit):
                yield _row(fit, "interaction_sd", before, _quantiles(_thinned(tau)), variant=factor)


def _spreads(fit: Fit) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield the SD between strata; of several factors together one for each, unless they share it."""
    tau = fit.posterior["tau"]
    if "scale" not in tau.dims:
        yield "", tau
    elif fit.shrinkage == "horseshoe":
        yield "", tau.isel(scale=0)
    else:
        yield from ((factor, tau.isel(scale=place)) for place, factor in enumerate(fit.partition.split(",")))


def _quantiles(draws: Array) -> Array:
    return np.asarray(np.quantile(draws, np.array(list(PERCENTILES.values())), axis=0))


def _row(fit: Fit, estimand: str, before: Array, after: Array, time: float = np.nan, variant: str = "") -> Row:
    sides = {"prior": before, "posterior": after}
    found = {
        f"{side}_{name}": value
        for side, values in sides.items()
        for name, value in zip(PERCENTILES, values, strict=True)
    }
    identity = {name: getattr(fit, name) for name in ("model", "shrinkage", "partition")}
    return identity | {"prior": fit.prior.name, "estimand": estimand, "variant": variant, "time": time} | found
