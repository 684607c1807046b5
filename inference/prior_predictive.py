"""What the priors imply before any data, beside the posterior: survival curves, hazard ratios and their spreads.

Drawn forward, without the models' graphs, which they are tested against; what a log hazard ratio's named prior
implies is a closed form. The baseline is a random walk of the log rate: its level is normal about the trial's crude
log rate (SD 2), the SD of its steps half-normal of scale 1 per square root of a year. The log hazard ratio's walk has
steps whose SD is half-normal of scale 0.5 (`piecewise`).
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
from . import columns
from .fitting import Fit
from .imputations import Imputations
from .options import Options
from .quantities import Curves, curves_of

Array = NDArray[np.float64]
Row = dict[str, object]
DRAWS = 10_000
MOST_POSTERIOR_DRAWS = 20_000
PERCENTILES = {"lower": 0.025, "q25": 0.25, "median": 0.5, "q75": 0.75, "upper": 0.975}
STEP_SD = "hazard_ratio_step_sd"
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
        of the hazard ratio in it; of ``hazard_ratio_step_sd``, the SD of a year's step of the log hazard ratio; and
        of ``interaction_sd``, the SD between a partition's strata (``variant`` is the factor, where it has several).
    """
    rows: list[Row] = []
    primary = [fit for fit in fits if fit.prior.name == fits[0].prior.name]
    rows += [_of_ratio(fit) for fit in fits if fit.model == "piecewise"]
    curves = [fit for fit in primary if fit.model in ("piecewise", "nonproportional")]
    if curves:
        prior = _drawn_curves(curves[0], sources[""], options.seed)
        rows += [row for fit in curves for row in _of_curves(fit, prior)]
    rows += _of_strata(primary, options)
    frame = pd.DataFrame(rows, columns=list(columns.PRIOR_PREDICTIVE))
    return columns.arranged(frame, columns.PRIOR_PREDICTIVE, trial=trial)


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
        ``alpha``, ``omega`` (interval), ``beta`` and ``omega_step_sd``, dimensions ``(chain, draw, ...)``.
    """
    from ..models.piecewise import EFFECT_STEP_SD, LEVEL_SD, STEP_SD, walk_basis

    basis = walk_basis(table, table.deaths.sum("arm").to_numpy())
    level = np.log(float(table.deaths.sum() / table.exposure.sum())) + LEVEL_SD * rng.standard_normal(draws)
    component = rng.choice(len(prior.weights), draws, p=prior.weights)
    beta = rng.normal(np.array(prior.means)[component], np.array(prior.sds)[component])
    scales = [most * np.abs(rng.standard_normal(draws)) for most in (STEP_SD, EFFECT_STEP_SD)]
    steps = [rng.standard_normal((draws, basis.shape[1])) @ basis.T for _ in scales]
    walks = [scale[:, None] * step for scale, step in zip(scales, steps, strict=True)]
    dims = ("chain", "draw", "interval")
    found = {"alpha": level[:, None] + walks[0], "omega": walks[1], "beta": beta, "omega_step_sd": scales[1]}
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
        spreads = [_quantiles(_thinned(draws["omega_step_sd"])) for draws in (prior, fit.posterior)]
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
