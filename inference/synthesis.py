"""Evidence synthesis: the trials of one question pooled, and each held against the others.

The model is that of `models.effects` with trials in place of subgroups, sampled through the same graph, so that its
draws, diagnostics and estimates are like any other model's. The table ``evidence.csv`` holds the same model computed
exactly (`models.evidence`), with other scales of the prior on ``tau``, each trial left out in turn, and DerSimonian
and Laird's estimate beside it.

How surprising a trial is: with F the distribution function that the others predict for its estimate (their
meta-analytic-predictive distribution, and its own standard error),

    z = Phi^-1(F(y)),    p = 2 min(F(y), 1 - F(y)).

Source: Gelman, Meng and Stern 1996, Stat Sinica 6:733; Higgins and Thompson 2002, Stat Med 21:1539 (I^2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr, ndtri

from ..data.evidence import Study
from ..models.evidence import (
    DerSimonianLaird,
    Mixture,
    Pool,
    dersimonian_laird,
    effective_events,
    pool,
)
from ..models.priors import EXTERNAL_SHARE, FROM_SISTERS, Prior
from .fitting import Data, Task, Values
from .options import Options
from .quantities import Quantity
from .tables import EVIDENCE

MODEL = "evidence"
PARTITION = "sister-trials"  # no record's partition: identifiers have no hyphen
BAYES, MOMENTS = "bayes", "dersimonian-laird"
SCALES = (0.25, 0.5, 1.0)  # of the prior on tau, to show what depends on it
WEAK_SDS = (1.0, 2.0)  # of the weak half of `robust`
LIMITS = (0.5, 0.025, 0.975)

Row = dict[str, object]


def evidence_task(studies: Sequence[Study], options: Options, beside: Task | None = None) -> Task:
    """Return the random-effects meta-analysis of trials as something to sample.

    Parameters
    ----------
    studies
        The trials.
    options
        Seed, and scale of the prior on ``tau``.
    beside
        A task of the model `effects`, whose graph is used where it has room for the trials.
    """
    from ..models.effects import effects, effects_data

    y, errors = _numbers(studies)
    scale, shape, graph = options.trial_tau_scale, (1, len(studies)), ""
    if beside is not None and beside.data(0)["rows"].shape[2] >= len(studies):
        _, *room = beside.data(0)["rows"].shape
        shape, graph = (room[0], room[1]), beside.graph or beside.model
    data: Data = effects_data([y], [errors], tau_scale=scale, shape=shape)

    def build(prior: Prior) -> object:
        return effects([y], [errors], prior, tau_scale=scale, shape=shape)

    return Task(
        model=MODEL,
        shrinkage="half-normal",
        partition="",
        build=build,
        data=lambda _: data,
        quantities=partial(_values, studies),
        overall="mu",
        imputed=False,
        graph=graph,
        primary_only=True,
        tidy=partial(_tidied, studies, options.seed),
        unrelated_priors=FROM_SISTERS,
    )


def _numbers(studies: Sequence[Study]) -> tuple[list[float], list[float]]:
    return [one.log_hazard_ratio for one in studies], [one.standard_error for one in studies]


def _tidied(studies: Sequence[Study], seed: int, posterior: xr.Dataset) -> xr.Dataset:
    """Return the draws of the trials alone, under their ids, with a new trial's effect beside them."""
    kept = posterior.isel(set=0, place=slice(len(studies)), drop=True).drop_vars("set", errors="ignore")
    named = kept.drop_vars("place", errors="ignore").rename(place="study")
    draws = np.random.default_rng(seed).standard_normal(named["mu"].shape)
    predicted = named["mu"] + named["tau"] * draws
    return named.assign_coords(study=[one.id for one in studies]).assign(predicted=predicted)


def _values(studies: Sequence[Study], posterior: xr.Dataset) -> Values:
    """Return the average, the SD between trials, a new trial's effect, and every trial's shrunken one."""
    ratio = partial(Quantity, "hazard_ratio", partition=PARTITION)
    found: Values = [
        (ratio(f"Average of {len(studies)} trials"), np.exp(posterior["mu"].to_numpy())),
        (ratio("A new trial", subgroup="trial=new"), np.exp(posterior["predicted"].to_numpy())),
    ]
    for one in studies:
        values = posterior["theta"].sel(study=one.id).to_numpy()
        found.append((ratio(one.label, subgroup=f"trial={one.id}"), np.exp(values)))
    label = "SD of log hazard ratios between trials"
    return [*found, (Quantity("interaction_sd", label, partition=PARTITION), posterior["tau"].to_numpy())]


def evidence_rows(studies: Sequence[Study], options: Options) -> pd.DataFrame:
    """Return everything that trials say together, exactly, one number with its interval to a row.

    ``quantity`` is one of: ``hazard_ratio`` (of a trial: ``printed``, ``shrunken``, or its posterior under
    ``external`` and ``robust``), ``average``, ``prediction`` (of a new trial), ``tau``, ``i_squared``, ``q``,
    ``q_p``, ``weight`` (of a trial in the average), ``surprise_z`` and ``surprise_p`` (of a trial, given the others),
    ``external_events`` (effective sample size of the others' prediction, in deaths) and ``external_weight``
    (posterior weight of ``external`` in ``robust``). ``without`` is the trial that is left out. Intervals hold 95%;
    by moments, two trials have no interval of a prediction.

    Parameters
    ----------
    studies
        The trials; none gives no rows.
    options
        Scale of the prior on ``tau``; the others of `SCALES` are shown beside it.

    Returns
    -------
    pandas.DataFrame
        The columns of ``evidence.csv`` but ``trial``.
    """
    rows = [*_printed(studies), *_all_together(studies, options)] if studies else []
    for place in range(len(studies)):
        others = [one for other, one in enumerate(studies) if other != place]
        if others:
            rows += _one_left_out(studies[place], others, options)
    names = [name for name in EVIDENCE.columns if name != "trial"]
    return pd.DataFrame(rows, columns=names).fillna({"study": "", "label": "", "without": ""})


def _scales(options: Options) -> list[float]:
    """Return the scale of the prior on ``tau``, then the others that are shown beside it."""
    return list(dict.fromkeys((options.trial_tau_scale, *SCALES)))


def _row(quantity: str, method: str, **fields: object) -> Row:
    return {"quantity": quantity, "method": method, **fields}


def _ratio_row(quantity: str, method: str, mixture: Mixture, **fields: object) -> Row:
    """Return a row of a hazard ratio whose logarithm is distributed like this."""
    median, lower, upper = (math.exp(mixture.quantile(probability)) for probability in LIMITS)
    limits: Row = {"estimate": median, "lower": lower, "upper": upper, "prob_benefit": float(mixture.cdf(0.0))}
    return _row(quantity, method, **limits, **fields)


def _printed(studies: Sequence[Study]) -> Iterator[Row]:
    half = float(ndtri(LIMITS[2]))
    for one in studies:
        middle, error = one.log_hazard_ratio, one.standard_error
        estimate, lower, upper = (math.exp(middle + side * half * error) for side in (0, -1, 1))
        name: Row = {"study": one.id, "label": one.label}
        yield _row("hazard_ratio", "printed", **name, estimate=estimate, lower=lower, upper=upper)


def _all_together(studies: Sequence[Study], options: Options) -> Iterator[Row]:
    moments = dersimonian_laird(*_numbers(studies))
    for scale in _scales(options):
        found = pool(*_numbers(studies), tau_scale=scale)
        yield from _pooled(found, scale, "")
        for place, one in enumerate(studies):
            name: Row = {"study": one.id, "label": one.label, "tau_scale": scale}
            yield _ratio_row("hazard_ratio", "shrunken", found.shrunken(place), **name)
    yield from _by_moments(moments, "")
    for one, weight in zip(studies, moments.weights, strict=True):
        yield _row("weight", MOMENTS, study=one.id, label=one.label, estimate=float(weight))


def _pooled(found: Pool, scale: float, without: str) -> Iterator[Row]:
    about: Row = {"tau_scale": scale, "without": without}
    yield _ratio_row("average", BAYES, found.average, **about)
    yield _ratio_row("prediction", BAYES, found.predicted, **about)
    median, lower, upper = (found.tau_quantile(probability) for probability in LIMITS)
    yield _row("tau", BAYES, estimate=median, lower=lower, upper=upper, **about)


def _by_moments(found: DerSimonianLaird, without: str) -> Iterator[Row]:
    row = partial(_row, method=MOMENTS, without=without)
    for quantity, limits in (("average", found.interval()), ("prediction", found.prediction_interval)):
        lower, upper = (math.exp(limit) if math.isfinite(limit) else math.nan for limit in limits)
        yield row(quantity, estimate=math.exp(found.estimate), lower=lower, upper=upper)
    numbers = {"tau": math.sqrt(found.tau_squared), "i_squared": found.i_squared, "q": found.q, "q_p": found.q_p}
    yield from (row(quantity, estimate=number) for quantity, number in numbers.items())


def _one_left_out(one: Study, others: Sequence[Study], options: Options) -> Iterator[Row]:
    """Yield what the others say without a trial, and what they say about it."""
    numbers = _numbers(others)
    about: Callable[..., Row] = partial(_row, study=one.id, label=one.label, without=one.id)
    for scale in _scales(options):
        found = pool(*numbers, tau_scale=scale)
        yield from _pooled(found, scale, one.id)
        below = float(_for_estimate(found.predicted, one.standard_error).cdf(one.log_hazard_ratio))
        yield from _surprise(partial(about, method=BAYES, tau_scale=scale), below)
        yield about("external_events", method=BAYES, tau_scale=scale, estimate=effective_events(found.predicted))
        yield from _informed(one, found.predicted, scale)
    moments = dersimonian_laird(*numbers)
    yield from _by_moments(moments, one.id)
    error = math.sqrt(moments.standard_error**2 + moments.tau_squared + one.standard_error**2)
    below = float(ndtr((one.log_hazard_ratio - moments.estimate) / error))
    yield from _surprise(partial(about, method=MOMENTS), below)


def _surprise(about: Callable[..., Row], below: float) -> Iterator[Row]:
    yield about("surprise_z", estimate=float(ndtri(below)))
    yield about("surprise_p", estimate=2 * min(below, 1 - below))


def _for_estimate(mixture: Mixture, standard_error: float) -> Mixture:
    """Return the distribution of an estimate of what is distributed like this."""
    return Mixture(mixture.weights, mixture.means, np.hypot(mixture.sds, standard_error))


def _informed(one: Study, external: Mixture, scale: float) -> Iterator[Row]:
    """Yield a trial's effect under the priors from the others, and what is left of `external` in `robust`."""
    name: Row = {"study": one.id, "label": one.label, "tau_scale": scale, "without": one.id}
    numbers = one.log_hazard_ratio, one.standard_error
    yield _ratio_row("hazard_ratio", "external", external.updated(*numbers), **name)
    for sd in WEAK_SDS:
        method = "robust" if sd == WEAK_SDS[0] else f"robust, weak SD {sd:g}"
        posterior = _robust(external, sd).updated(*numbers)
        yield _ratio_row("hazard_ratio", method, posterior, **name)
        yield _row("external_weight", method, **name, estimate=float(posterior.weights[:-1].sum()))


def _robust(external: Mixture, weak_sd: float) -> Mixture:
    weights = np.append(EXTERNAL_SHARE * external.weights, 1 - EXTERNAL_SHARE)
    return Mixture(weights, np.append(external.means, 0.0), np.append(external.sds, weak_sd))
