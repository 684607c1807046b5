"""Fitting one model to every imputation and under every prior, with one compilation.

The primary prior is sampled for every imputation, with one re-run where the gate fails and stricter settings may mend
that. Other priors reweight those draws (the ratio of priors is closed-form; Pareto-smoothed) and are sampled afresh
where Pareto k-hat exceeds 0.7 or the reweighted draws fail the gate by more than the chance of few draws.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ..models.priors import Prior
from .diagnostics import LEAST_ESS, Diagnostics, diagnose, joined
from .imputations import Imputations
from .options import Options
from .pooling import estimate_rows, imputations_needed
from .quantities import Draws, Quantity
from .sampling import FIRST, RERUN, Resampling, Settings, compile_model, resample, sample, stack

MOST_K_HAT = 0.7
REFIT_DRAWS = 500  # per chain, enough for a mean over draws

Data = Mapping[str, NDArray[np.float64]]
Refit = Callable[[xr.Dataset], xr.Dataset | None]
Values = list[tuple[Quantity, NDArray[np.float64]]]


def _as_it_is(posterior: xr.Dataset) -> xr.Dataset:
    return posterior


@dataclass(frozen=True)
class Task:
    """One model and its data.

    Parameters
    ----------
    model, shrinkage, partition
        What outputs call it.
    build
        Function of a prior; returns the `pymc.Model` of the first imputation.
    data
        Function of an imputation's number; returns its model data.
    quantities
        Function of a posterior with dimensions ``(chain, draw, ...)`` and the number of its ``imputation`` as a
        coordinate; returns quantities with their draws, shape ``(chain, draw)``.
    overall
        Name of the parameter that has the prior; its dimensions beyond chain and draw are independent parts.
    imputed
        Whether there are several imputations.
    edges
        Interval bounds of the model's table, empty where it has none.
    graph
        Name of the compiled model that the task shares with others of the same shape; ``model`` by default.
    absent
        Parameters that the graph has and this model has not.
    primary_only
        Whether only the first prior is of interest.
    tidy
        Function of a posterior; returns what is kept and reported of it.
    unrelated_priors
        Names of priors that are about something else than this model's overall effect.
    of_table
        Function of a table of one imputation on the model's intervals; returns its model data. ``None`` where the
        model has no table.
    settings
        What the sampler is told at first.
    shifts
        Function of a posterior; returns by how much something beside the treatment moves the overall effect, one
        array of shape ``(chain, draw)`` for each way to have it. What is left is an effect that has the prior itself,
        and a part of its own behind those of ``overall``.
    on
        Function of other tables of the same strata; returns the same model of them. ``None`` where there are none.
    """

    model: str
    shrinkage: str
    partition: str
    build: Callable[[Prior], Any]
    data: Callable[[int], Data]
    quantities: Callable[[xr.Dataset], Values]
    overall: str
    imputed: bool
    edges: tuple[float, ...] = ()
    graph: str = ""
    absent: tuple[str, ...] = ()
    primary_only: bool = False
    tidy: Callable[[xr.Dataset], xr.Dataset] = _as_it_is
    unrelated_priors: tuple[str, ...] = ()
    of_table: Callable[[xr.Dataset], Data] | None = None
    settings: Settings = FIRST
    shifts: Callable[[xr.Dataset], Sequence[NDArray[np.float64]]] | None = None
    on: Callable[[Imputations], Task] | None = None

    def priors(self, priors: Sequence[Prior]) -> list[Prior]:
        """Return those priors, of a run's, that the model is fitted under."""
        related = [prior for prior in priors if prior.name not in self.unrelated_priors]
        return related[:1] if self.primary_only else related


@dataclass(frozen=True)
class Fit:
    """A posterior: what is kept of a fitted model.

    Parameters
    ----------
    model, shrinkage, partition
        What outputs call it.
    prior
        The prior on the overall effect.
    tree
        ArviZ `DataTree` with groups ``posterior`` and ``sample_stats``, dimensions
        ``(chain, draw, imputation, ...)``; a reweighted posterior holds the overall effect alone.
    edges
        Interval bounds of the model's table, empty where it has none.
    """

    model: str
    shrinkage: str
    partition: str
    prior: Prior
    tree: xr.DataTree
    edges: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Name of the posterior's file, without its ending."""
        return "-".join(part for part in (self.model, self.shrinkage, self.partition, self.prior.name) if part)

    @property
    def posterior(self) -> xr.Dataset:
        """Posterior draws, dimensions ``(chain, draw, imputation, ...)``."""
        return self.tree["posterior"].to_dataset()


@dataclass(frozen=True)
class Result:
    """A fit with its reported quantities and their diagnostics.

    Parameters
    ----------
    fit
        The posterior.
    draws
        Draws of the reported quantities.
    diagnostics
        Their diagnostics.
    rerun
        Whether each imputation was run again under stricter settings, shape ``(imputation,)``.
    reweighted
        Whether each imputation's draws were reweighted from the primary prior's, shape ``(imputation,)``.
    task
        What was fitted.
    compiled
        Its compiled model, for whoever wants to sample it again.
    """

    fit: Fit
    draws: Draws
    diagnostics: Diagnostics
    rerun: NDArray[np.bool_]
    reweighted: NDArray[np.bool_]
    task: Task
    compiled: Any = field(default=None, repr=False)

    @property
    def passed(self) -> bool:
        """Whether every reported quantity passes the diagnostics gate."""
        return bool(self.diagnostics.sound.all() and self.diagnostics.enough.all())

    def estimates(self, options: Options) -> list[dict[str, object]]:
        """Return one row per reported quantity, with what identifies the fit."""
        rows = estimate_rows(self.draws, self.diagnostics, options)
        fits = zip(self._own("model"), self._own("shrinkage"), strict=True)
        prior = self.fit.prior.name
        return [
            row | {"model": model, "shrinkage": shrinkage, "prior": prior}
            for row, (model, shrinkage) in zip(rows, fits, strict=True)
        ]

    def diagnostic_rows(self) -> pd.DataFrame:
        """Return one row per imputation and reported quantity."""
        imputations, quantities = self.diagnostics.rhat.shape
        flat = self.draws.values.reshape(imputations, quantities, -1)
        finite = np.isfinite(flat).all(axis=-1)
        spread = np.where(finite, np.where(finite[..., None], flat, 0.0).std(axis=-1), np.nan)
        ess = self.diagnostics.ess_bulk
        by_imputation = {
            "imputation": np.arange(imputations),
            "divergences": self.diagnostics.divergences,
            "bfmi_min": self.diagnostics.bfmi_min,
            "rerun": self.rerun,
        }
        each = {
            "rhat": self.diagnostics.rhat,
            "ess_bulk": ess,
            "ess_tail": self.diagnostics.ess_tail,
            "mcse": spread / np.sqrt(np.where(ess > 0, ess, np.nan)),
        }
        passed = self.diagnostics.sound[:, None] & self.diagnostics.enough
        return pd.DataFrame(
            {name: np.repeat(values, quantities) for name, values in by_imputation.items()}
            | {name: values.ravel() for name, values in each.items()}
            | {"quantity": np.tile([quantity.name for quantity in self.draws.quantities], imputations)}
            | {name: np.tile(self._own(name), imputations) for name in ("model", "shrinkage")}
            | {"partition": np.tile([quantity.partition for quantity in self.draws.quantities], imputations)}
            | {"passed": passed.ravel(), "prior": self.fit.prior.name}
        )

    def _own(self, name: str) -> list[str]:
        """Return each quantity's model or shrinkage: its own, else the fit's."""
        own = (getattr(quantity, name) for quantity in self.draws.quantities)
        return [getattr(self.fit, name) if value is None else value for value in own]


@dataclass(frozen=True)
class _Sampled:
    """One imputation, sampled; ``parts`` tell what to choose of the ``draws`` under the prior, all without any."""

    posterior: xr.Dataset
    sample_stats: xr.Dataset
    draws: Draws
    diagnostics: Diagnostics
    rerun: bool
    parts: Sequence[Resampling] = ()
    reweighted: bool = False


def fit_tasks(
    tasks: Sequence[Task], priors: Sequence[Prior], options: Options, notify: Callable[[str], None]
) -> list[Result]:
    """Fit several models under several priors; compilation runs beside what else there is to do.

    Parameters
    ----------
    tasks
        The models and their data.
    priors
        The first is sampled for every imputation, whose number grows until the Monte Carlo error that they add is at
        most a tenth of every quantity's posterior SD (or 200 are reached); the others reweight its draws.
    options
        Draws, chains, seed, imputations and thresholds.
    notify
        Told what is being done.
    """
    results = []
    with ThreadPoolExecutor(max_workers=1) as compiler:
        pending: dict[str, Future[Any]] = {}
        for task in tasks:
            if _graph(task) not in pending:
                pending[_graph(task)] = compiler.submit(compile_model, task.build(priors[0]))
        try:
            for task in tasks:
                chosen = task.priors(priors)
                name = " ".join(part for part in (task.model, task.shrinkage, task.partition) if part)
                notify(f"fitting {name} under {', '.join(prior.name for prior in chosen)}")
                results += _fit_task(task, pending[_graph(task)], chosen, options)
        finally:
            compiler.shutdown(wait=False, cancel_futures=True)
    return results


def _processors() -> int:
    return os.cpu_count() or 1


def _graph(task: Task) -> str:
    return task.graph or task.model


def _fit_task(task: Task, pending: Future[Any], priors: Sequence[Prior], options: Options) -> list[Result]:
    """Fit one model, whose compilation may still be under way, under several priors."""
    primary, *others = priors
    sampled: list[_Sampled] = []
    needed = options.imputations if task.imputed else 1
    compiled = pending.result()
    while len(sampled) < needed:
        sampled += _sampled(task, compiled, primary, options, range(len(sampled), needed))
        if task.imputed:
            needed = imputations_needed(_joined_draws(sampled), joined([one.diagnostics for one in sampled]))
            if needed > len(sampled):
                task.data(needed - 1)  # draws all that are missing at once

    def moved(prior: Prior) -> Result:
        found = [_moved(task, compiled, primary, prior, options, i, one) for i, one in enumerate(sampled)]
        diagnostics = joined([one.diagnostics for one in found])
        if diagnostics.mendable(options.draws).any() or not diagnostics.enough.all():
            found = _sampled(task, compiled, prior, options, range(len(sampled)))
        return _result(task, prior, found)

    result = replace(_result(task, primary, sampled), compiled=compiled)
    with ThreadPoolExecutor(_processors()) as side_by_side:
        return [result, *side_by_side.map(moved, others)]


def refitted(result: Result, options: Options, table: xr.Dataset) -> xr.Dataset | None:
    """Return a model's posterior of another table, ``None`` where the sampler diverges.

    Parameters
    ----------
    result
        The model as it was sampled under the primary prior, fitted to a table.
    options
        Draws, chains and seed.
    table
        Of one imputation, on the same intervals and with the same strata.
    """
    task, compiled = result.task, result.compiled
    assert task.of_table is not None
    data = {**task.of_table(table), "prior": result.fit.prior.padded()}
    options = replace(options, draws=min(options.draws, REFIT_DRAWS))
    for settings in (task.settings, RERUN):
        posterior, stats = sample(compiled, data, options, 0, settings)
        if not stats["diverging"].any():
            return posterior.drop_vars(task.absent)
    return None


def _sampled(task: Task, compiled: Any, prior: Prior, options: Options, imputations: Sequence[int]) -> list[_Sampled]:
    """Sample some imputations; once more where stricter settings may mend what fails the gate."""
    first = _sampled_once(task, compiled, prior, options, imputations, task.settings)
    alone = not task.imputed and options.chains * options.draws >= LEAST_ESS
    failed = [
        one.diagnostics.mendable(options.draws).any() or (alone and not one.diagnostics.enough.all()) for one in first
    ]
    again = [imputation for imputation, has_failed in zip(imputations, failed, strict=True) if has_failed]
    second = iter(_sampled_once(task, compiled, prior, options, again, RERUN) if again else [])
    return [replace(next(second), rerun=True) if wanting else one for one, wanting in zip(first, failed, strict=True)]


def _sampled_once(
    task: Task, compiled: Any, prior: Prior, options: Options, imputations: Sequence[int], settings: Settings
) -> list[_Sampled]:
    """Sample and diagnose some imputations once, several side by side."""
    workers = min(len(imputations), _processors())
    cores = _processors() // workers

    def one(imputation: int) -> _Sampled:
        data = {**task.data(imputation), "prior": prior.padded()}
        found = _diagnosed(task, *sample(compiled, data, options, imputation, settings, cores), imputation)
        if task.shifts is None:
            return found
        return _resampled(found, _parts(task, found.posterior, prior, prior, (options.seed, imputation)))

    with ThreadPoolExecutor(workers) as side_by_side:
        return list(side_by_side.map(one, imputations))


def _diagnosed(task: Task, posterior: xr.Dataset, stats: xr.Dataset, imputation: int) -> _Sampled:
    """Return a sampled imputation with its reported quantities and their diagnostics."""
    posterior = task.tidy(posterior.drop_vars(task.absent)).assign_coords(imputation=imputation)
    quantities, values = zip(*task.quantities(posterior), strict=True)
    draws = Draws(quantities, np.stack(values)[None])
    return _Sampled(posterior, stats, draws, diagnose(draws, stats.expand_dims("imputation")), rerun=False)


def _moved(
    task: Task, compiled: Any, old: Prior, new: Prior, options: Options, imputation: int, sampled: _Sampled
) -> _Sampled:
    """Return one imputation's draws under another prior."""
    parts = _parts(task, sampled.posterior, old, new, (options.seed, imputation))
    if max(part.k_hat for part in parts) > MOST_K_HAT:
        return _sampled(task, compiled, new, options, [imputation])[0]
    overall = sampled.posterior[task.overall].transpose(..., "chain", "draw")
    every = np.stack([part.chosen for part in parts[: overall[..., 0, 0].size]]).reshape(overall.shape)
    posterior = overall.copy(data=np.take_along_axis(overall.to_numpy(), every, axis=-1)).to_dataset()
    return replace(_resampled(sampled, parts), posterior=posterior, reweighted=True)


def _parts(task: Task, posterior: xr.Dataset, old: Prior, new: Prior, seed: tuple[int, int]) -> list[Resampling]:
    """Return what to choose of draws under one prior so that they follow another, for each part.

    A shifted effect has the new prior itself: its draws come with the old prior's density of the effect as a whole.
    """
    overall = posterior[task.overall].transpose(..., "chain", "draw")
    effects = list(overall.to_numpy().reshape(-1, *overall.shape[-2:]))
    moved = [*effects, *(effects[0] - shift for shift in (task.shifts(posterior) if task.shifts else ()))]
    before = [*effects, *(effects[0] for _ in moved[len(effects) :])]
    ratios = [new.log_density(to) - old.log_density(of) for to, of in zip(moved, before, strict=True)]
    return [resample(ratio, (*seed, part)) for part, ratio in enumerate(ratios)]


def _resampled(sampled: _Sampled, parts: Sequence[Resampling]) -> _Sampled:
    efficiency = np.array([[parts[quantity.part].efficiency for quantity in sampled.draws.quantities]])
    before = (
        [sampled.parts[quantity.part].efficiency for quantity in sampled.draws.quantities] if sampled.parts else 1.0
    )
    return replace(sampled, diagnostics=sampled.diagnostics.scaled(efficiency / before), parts=parts)


def _joined_draws(sampled: Sequence[_Sampled]) -> Draws:
    """Return the draws of all imputations, in one go: they are what takes most memory."""
    quantities, (_, *shape) = sampled[0].draws.quantities, sampled[0].draws.values.shape
    values = np.empty((len(sampled), *shape))
    chains = np.arange(shape[1])[:, None]
    for joined_values, one in zip(values, sampled, strict=True):
        for place, quantity in enumerate(quantities):
            own = one.draws.values[0, place]
            joined_values[place] = own[chains, one.parts[quantity.part].chosen] if one.parts else own
    return Draws(quantities, values)


def _result(task: Task, prior: Prior, sampled: Sequence[_Sampled]) -> Result:
    kept = set.intersection(*({str(name) for name in one.posterior.data_vars} for one in sampled))
    groups = {
        "posterior": stack([one.posterior[sorted(kept)] for one in sampled]),
        "sample_stats": stack([one.sample_stats for one in sampled]),
    }
    fit = Fit(task.model, task.shrinkage, task.partition, prior, xr.DataTree.from_dict(groups), task.edges)
    return Result(
        fit,
        _joined_draws(sampled),
        joined([one.diagnostics for one in sampled]),
        np.array([one.rerun for one in sampled]),
        np.array([one.reweighted for one in sampled]),
        task,
    )
