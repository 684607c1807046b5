"""What the fitted models are worth: predictive checks, comparison by cross-validation, what their priors imply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd

from ..data import Record
from .checks import LATE_ENTRY, predictive_checks
from .fitting import Result, refitted
from .imputations import Imputations
from .model_comparison import comparable, model_comparison, notes_on
from .options import Options
from .prior_predictive import prior_predictive


def judged(
    record: Record,
    results: Sequence[Result],
    sources: Mapping[str, Imputations],
    landmarks: Sequence[float],
    options: Options,
    add_note: Callable[[str], None],
) -> dict[str, pd.DataFrame]:
    """Return the tables ``checks``, ``model_comparison`` and ``prior_predictive`` of a reanalysis.

    Parameters
    ----------
    record
        The trial.
    results
        Fitted models; the first one's prior is the one under which models are checked and compared.
    sources
        Survival tables by partition.
    landmarks
        Times to report at.
    options
        Seed and scale of the prior on the SD between subgroups.
    add_note
        Told what a reader must know.
    """
    fits = [result.fit for result in results]
    if not fits:
        return {}
    primary = [fit for fit in fits if fit.prior.name == fits[0].prior.name]
    refits = {
        result.fit.name: partial(refitted, result, options)
        for result in results
        if result.task.of_table is not None and result.compiled is not None
    }
    compared = model_comparison(record.id, primary, sources, refits)
    for note in notes_on(compared, any(comparable(primary, sources, imputed=True))):
        add_note(note)
    if record.patients and record.patients.entry and sources:
        add_note(LATE_ENTRY)
    return {
        "checks": predictive_checks(record, primary, sources, landmarks, seed=options.seed),
        "model_comparison": compared,
        "prior_predictive": prior_predictive(record.id, fits, sources, options),
    }
