"""The command `evidence`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .main import DONE, FAILED_DIAGNOSTICS, MF07_01
from .options import OUT, Shared, checked_options


def evidence(
    trials: tuple[str, ...] = (MF07_01,),
    /,
    *,
    out: Annotated[Path, OUT],
    tau_scale: float = 0.5,
    force: Annotated[bool, Parameter(negative=())] = False,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    shared: Shared | None = None,
) -> int:
    """Pool the trials of one question; hold each to the others.

    Random-effects meta-analysis of overall hazard ratios: the average, what it foretells for a new trial, every trial
    shrunken, each left out in turn, and DerSimonian and Laird's estimate beside it. In a directory of the same record
    other results are kept. Exits with 3 when the posterior fails its diagnostics; everything is written all the same.

    Parameters
    ----------
    trials
        Ids of built-in trials, or paths of .toml records. One alone is pooled with its sister trials.
    out
        Directory to write to: a new one, or results of the first trial.
    tau_scale
        Scale of the half-normal prior on the SD of log hazard ratios between trials.
    force
        Pool trials whose records name different questions or endpoints.
    overwrite
        Replace results of an earlier version of the first trial's record.
    """
    from .. import figures, inference
    from ..data import load_record
    from ..inference.merging import begin, merge
    from ..inference.storage import replacing
    from . import summary
    from .terminal import Progress

    given = shared or Shared()
    options = checked_options(given, trial_tau_scale=tau_scale)
    records = [load_record(trial) for trial in trials]
    with Progress(given.quiet) as progress, replacing(out, keep=True) as staged:
        begin(staged, records[0], out, overwrite=overwrite)
        found = inference.evidence(records, options, progress, force=force)
        merge(found, staged)
        figures.write_figures(found, staged / "figures", kind="evidence")
    summary.pooled(found, out)
    return DONE if found.passed else FAILED_DIAGNOSTICS
