"""The overall effect under many priors, from one compilation and one fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..data import InputError, Problem, Record, load_record
from ..data.errors import input_error
from ..models.priors import PRIMARY, Prior, named_prior
from .fitting import fit_tasks
from .options import Options
from .overall import integrated
from .reported import reported_ratios
from .sensitivity import varied_row
from .sources import Notes, Notify, tables_of, tell_nobody
from .tables import SENSITIVITY
from .tasks import effects_task, piecewise_task


def prior_grid(
    trial: str | Path | Record,
    priors: Sequence[str | Prior],
    options: Options | None = None,
    notify: Notify = tell_nobody,
) -> pd.DataFrame:
    """Return the crude overall hazard ratio under many priors.

    The model is compiled once and fitted under `weak`. Other priors follow from those draws with the overall effect
    integrated out (`marginal`); where k-hat exceeds 0.7 the compiled model is sampled afresh.

    Parameters
    ----------
    trial
        Id of a built-in trial, path of a record, or a record.
    priors
        Names, such as ``sceptical`` or ``-0.2,0.5``, or priors.
    options
        How to run it.
    notify
        Told what is being done.

    Returns
    -------
    DataFrame
        One row per prior, in their order, with the columns of ``sensitivity.csv``.

    Raises
    ------
    InputError
        When the record, an option or a prior is wrong, all priors at once; or when nothing is printed about the
        overall effect.
    """
    record = trial if isinstance(trial, Record) else load_record(trial)
    given = options or Options()
    chosen = _chosen(priors, record, given)
    notes = Notes(notify)
    sources = tables_of(record, [""], given, notes)
    task = piecewise_task("piecewise", sources[""], (), given) if "" in sources else effects_task(record, given)
    whole = None
    if task is not None:
        (result,) = fit_tasks([task], [named_prior(PRIMARY, record)], given, notify)
        whole = next((ratio for ratio in reported_ratios(result) if ratio.is_whole), None)
    if whole is None:
        raise input_error(
            record.place, "", None, "; ".join(notes) or "prints no overall hazard ratio with its interval"
        )
    effect = integrated(result, whole.quantity.part, chosen, given)
    rows = [varied_row(whole, "prior", prior.name, prior, effect.under(prior).summary(given)) for prior in chosen]
    return SENSITIVITY.arranged(pd.DataFrame(rows), trial=record.id)


def _chosen(priors: Sequence[str | Prior], record: Record, options: Options) -> list[Prior]:
    """Return priors by their names; what is wrong with any of them is told at once."""
    found: list[Prior] = []
    problems: list[Problem] = []
    for prior in priors:
        try:
            if isinstance(prior, str):
                prior = named_prior(prior, record, options.design_hazard_ratio, options.trial_tau_scale)
            found.append(prior)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return found
