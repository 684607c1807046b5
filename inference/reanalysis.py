"""The whole job: from a trial to posterior probabilities of benefit, diagnostics and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ..data import InputError, Record, load_record
from ..data.audit import audit, findings_frame
from ..data.errors import input_error
from ..data.imbalance import imbalance_terms
from ..data.reconstruction import FIT_SHEET_COLUMNS, Reconstruction, reconstruct
from ..models.priors import PRIMARY, available_priors, named_prior
from . import columns
from .columns import arranged
from .comparison import comparison_rows, cox_table
from .fitting import Fit, Result, Task, fit_tasks
from .imbalance import adjusting, imbalance_rows
from .options import Options
from .tasks import MODELS, PIECEWISE_MODELS, Imputations, effects_task, piecewise_task
from .versions import run_facts

Notify = Callable[[str], None]
WITHHELD_IMPUTATIONS = 5
ADJUSTED_MODEL = "piecewise"


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Reanalysis:
    """Everything that a reanalysis found.

    Parameters
    ----------
    record
        The trial.
    table
        Survival table by month, one imputation per reconstruction; ``None`` when only effects are published.
    fits
        Posteriors.
    estimates, comparison, diagnostics, audit, reconstruction
        Tables with the columns of the files of the same names.
    run
        Versions, options, hashes and notes: the contents of ``run.json``.
    imbalance
        Table with the columns of ``imbalance.csv``; without rows where nothing was adjusted.
    """

    record: Record
    table: xr.Dataset | None
    fits: tuple[Fit, ...]
    estimates: pd.DataFrame
    comparison: pd.DataFrame
    diagnostics: pd.DataFrame
    audit: pd.DataFrame
    reconstruction: pd.DataFrame
    run: Mapping[str, Any] = field(repr=False)
    imbalance: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(columns.IMBALANCE)))

    @property
    def passed(self) -> bool:
        """Whether every reported quantity of every model passes the diagnostics gate."""
        return bool(self.diagnostics["passed"].all())

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be done and why, and what a reader must know."""
        return tuple(self.run["notes"])

    def save(self, directory: str | Path, *, keep: bool = False) -> None:
        """Write everything but figures and report, replacing an earlier reanalysis as a whole.

        Parameters
        ----------
        directory
            Where to write; created when missing.
        keep
            Keep other files that are there, such as figures.

        Raises
        ------
        InputError
            When the directory cannot be written or holds something else.
        """
        from .storage import replacing, write

        with replacing(directory, keep=keep) as staged:
            write(self, staged)


def reanalyse(trial: str | Path | Record, options: Options | None = None, notify: Notify = _silent) -> Reanalysis:
    """Reanalyse a trial under every model and named prior that its record supports.

    Parameters
    ----------
    trial
        Id of a built-in trial, path of a record, or a record.
    options
        How to run it.
    notify
        Told what is being done, and notes.

    Raises
    ------
    InputError
        When the record or an option is wrong.
    """
    return analyse(trial, MODELS, None, None, options or Options(), notify)


def fit(
    trial: str | Path | Record,
    model: str = "piecewise",
    prior: str = PRIMARY,
    partition: str | None = None,
    options: Options | None = None,
    notify: Notify = _silent,
) -> Reanalysis:
    """Fit one model to a trial under one prior.

    Parameters
    ----------
    trial
        Id of a built-in trial, path of a record, or a record.
    model
        ``piecewise``, ``nonproportional`` or ``effects``.
    prior
        Name of the prior, or ``MEAN,SD``.
    partition
        For ``effects``: only this partition's rows.
    options
        How to run it.
    notify
        Told what is being done, and notes.

    Raises
    ------
    InputError
        When the record does not support the model, or an option is wrong.
    """
    if model not in MODELS:
        raise input_error("--model", "", model, f"not a model; give one of {', '.join(MODELS)}")
    return analyse(trial, (model,), (prior,), partition, options or Options(), notify)


def analyse(
    trial: str | Path | Record,
    models: Sequence[str],
    priors: Sequence[str] | None,
    partition: str | None,
    options: Options,
    notify: Notify,
) -> Reanalysis:
    """Fit some models under some priors; see `reanalyse` and `fit`.

    Parameters
    ----------
    models
        Which models; those that the record does not support are left out with a note, unless it is the only one.
    priors
        Names of the priors, the first sampled; every named prior that the record supports when ``None``.
    trial, partition, options, notify
        See `fit`.
    """
    record = trial if isinstance(trial, Record) else load_record(trial)
    names = priors or available_priors(record, options.design_hazard_ratio)
    chosen = [named_prior(name, record, options.design_hazard_ratio) for name in names]
    notes = Notes(notify)
    landmarks = _landmarks(record, options)
    imputations = _imputations(record, options, notes) if set(models) & set(PIECEWISE_MODELS) else None
    tasks = _tasks(record, models, partition, imputations, landmarks, options)
    tasks = [_adjusted(task, record, options, notes) for task in tasks]
    if not tasks:
        raise input_error(record.id, "", None, "; ".join(notes) or "prints no effect with an interval")
    results = fit_tasks(tasks, chosen, options, notify)
    return _collected(record, results, imputations, landmarks, options, notes)


class Notes(list[str]):
    """What a reader must know; each note is told at once."""

    def __init__(self, notify: Notify) -> None:
        super().__init__()
        self.progress = notify

    def add(self, note: str) -> None:
        """Keep a note and tell it."""
        self.append(note)
        self.progress(f"note: {note}")


def _landmarks(record: Record, options: Options) -> tuple[float, ...]:
    return options.landmarks or record.landmark_times()


def _imputations(record: Record, options: Options, notes: Notes) -> Imputations | None:
    """Return the trial's tables; ``None``, with a note, when the record does not print enough for them."""
    notes.progress(f"rebuilding survival from {record.id}'s published numbers")
    try:
        made = reconstruct(record, imputations=1, seed=options.seed, horizon=options.horizon)
    except InputError as error:
        notes.add(str(error))
        return None
    for target in made.conflicts:
        notes.add(f"{target.item} {target.arm or ''} {target.printed} contradicts the other numbers under the model")
    return Imputations(made)


def _tasks(
    record: Record,
    models: Sequence[str],
    partition: str | None,
    imputations: Imputations | None,
    landmarks: Sequence[float],
    options: Options,
) -> list[Task]:
    tasks = [
        piecewise_task(model, imputations, landmarks, options)
        for model in PIECEWISE_MODELS
        if model in models and imputations is not None
    ]
    effects = effects_task(record, options, partition) if "effects" in models else None
    return [*tasks, effects] if effects else tasks


def _adjusted(task: Task, record: Record, options: Options, notes: Notes) -> Task:
    """Let the proportional model of the whole trial report the effect adjusted for imbalance too."""
    if task.model != ADJUSTED_MODEL:
        return task
    terms, left_out = imbalance_terms(record)
    for note in left_out:
        notes.add(note)
    return adjusting(task, terms, options)


def _collected(
    record: Record,
    results: Sequence[Result],
    imputations: Imputations | None,
    landmarks: Sequence[float],
    options: Options,
    notes: Notes,
) -> Reanalysis:
    constants = {"trial": record.id, "source": record.source, "endpoint": record.endpoint}
    estimates = pd.DataFrame([row for result in results for row in result.estimates(options)])
    diagnostics = pd.concat([result.diagnostic_rows() for result in results])
    for result in results:
        _note_on(result, notes)
    made = imputations.reconstruction if imputations else None
    table = made.table if made else None
    cox = cox_table(table) if table is not None else None
    compared = comparison_rows(record, estimates, cox, _withheld(record, made, options))
    resolved = {
        "landmarks": list(landmarks),
        "imputations": {result.fit.name: len(result.rerun) for result in results},
        "intervals": {result.fit.model: list(result.fit.edges) for result in results if result.fit.edges},
        "priors": {result.fit.prior.name: str(result.fit.prior) for result in results},
        "reweighted": sorted(result.fit.name for result in results if result.reweighted.all()),
        "reconstruction_acceptance": made.acceptance_rate if made else None,
    }
    return Reanalysis(
        record,
        table,
        tuple(result.fit for result in results),
        arranged(estimates, columns.ESTIMATES, **constants),
        arranged(compared, columns.COMPARISON, trial=record.id),
        arranged(diagnostics, columns.DIAGNOSTICS, trial=record.id),
        findings_frame(record, audit(record)),
        made.fit_sheet if made else pd.DataFrame(columns=list(FIT_SHEET_COLUMNS)),
        run_facts(record, options, resolved, notes),
        arranged(_imbalance(record, results, options), columns.IMBALANCE, trial=record.id),
    )


def _imbalance(record: Record, results: Sequence[Result], options: Options) -> pd.DataFrame:
    adjusted = any(result.fit.model == ADJUSTED_MODEL for result in results)
    return imbalance_rows(imbalance_terms(record)[0] if adjusted else (), options)


def _withheld(record: Record, made: Reconstruction | None, options: Options) -> float | None:
    """Return what the other numbers predict for the overall hazard ratio: the check that is not circular."""
    if made is None or record.overall_hazard_ratio is None:
        return None
    without = reconstruct(
        record,
        imputations=WITHHELD_IMPUTATIONS,
        seed=options.seed,
        horizon=options.horizon,
        without=("hazard_ratio",),
    )
    return float(np.mean(without.predicted("hazard_ratio")))


def _note_on(result: Result, notes: Notes) -> None:
    if not result.passed:
        notes.add(f"{result.fit.name} fails the diagnostics gate: see diagnostics.csv")
    if result.rerun.any():
        notes.add(f"{result.fit.name}: {int(result.rerun.sum())} imputations were sampled again, more strictly")
