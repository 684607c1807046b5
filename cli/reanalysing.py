"""The commands that fit models: `reanalyse` and `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .main import DONE, FAILED_DIAGNOSTICS, MF07_01
from .options import OUT, Shared, checked_options


def reanalyse(
    trial: str | None = None,
    /,
    *,
    out: Annotated[Path | None, OUT] = None,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    shared: Shared | None = None,
) -> int:
    """Reanalyse a trial: every model, prior, table and figure.

    Earlier results of the record are replaced as a whole once the new ones are complete. Exits with 3 when a
    posterior fails its diagnostics; everything is written all the same.

    Parameters
    ----------
    trial
        Id of a built-in trial, or path of a .toml record.
    out
        Directory to write to: a new one, or results of the same record. Default: results/ID.
    overwrite
        Replace results of an earlier version of the record, or of the files that it names.
    """
    from .. import figures, inference
    from ..data import load_record
    from ..inference.merging import check_same_record
    from ..inference.storage import replacing, write
    from . import summary
    from .terminal import Progress

    given = shared or Shared()
    options = checked_options(given)
    record = load_record(trial or MF07_01)
    directory = out or Path("results") / record.id
    with Progress(given.quiet) as progress, replacing(directory) as staged:
        check_same_record(directory, record, overwrite=overwrite)
        if trial is None:
            progress(f"note: no TRIAL is given: this is the built-in case, {MF07_01}")
        reanalysis = inference.reanalyse(record, options, progress)
        write(reanalysis, staged)
        progress("drawing figures")
        figures.write_figures(reanalysis, staged / "figures", notify=progress)
    summary.reanalysis(reanalysis, directory)
    return DONE if reanalysis.passed else FAILED_DIAGNOSTICS


def fit(
    trial: str,
    /,
    *,
    out: Annotated[Path, OUT],
    model: str = "piecewise",
    prior: Annotated[str, Parameter(allow_leading_hyphen=True)] = "weak",
    partition: str | None = None,
    shrinkage: str = "half-normal",
    tau_scale: float = 0.25,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    shared: Shared | None = None,
) -> int:
    """Fit one model under one prior, into a directory of results.

    In a directory of the same record, estimates of the same quantities are replaced and all others kept. Exits with
    3 when the posterior fails its diagnostics; everything is written all the same.

    Parameters
    ----------
    trial
        Id of a built-in trial, or path of a .toml record.
    out
        Directory to write to: a new one, or results of the same record.
    model
        piecewise (one hazard ratio), nonproportional (a hazard ratio that changes over time), subgroups (strata
        with effects shrunken towards each other), effects (the printed hazard ratios, shrunken likewise),
        binary (secondary endpoints) or evidence (the trial and its sister trials).
    prior
        Prior on the overall log hazard ratio: weak, vague, external (from sister trials), robust (half external,
        half weak), sceptical, enthusiastic, pessimistic, or MEAN,SD.
    partition
        For subgroups and effects: only this partition; for subgroups factors joined by commas, too. Default: all
        that the record has, or all factors of its patients together.
    shrinkage
        For subgroups: half-normal, half-student-t, horseshoe, none or pooled.
    tau_scale
        For subgroups and effects: scale of the prior on the SD of log hazard ratios between subgroups.
    overwrite
        Replace results of an earlier version of the record, or of the files that it names.
    """
    from .. import inference
    from ..data import load_record
    from ..inference.merging import begin, merge
    from ..inference.storage import replacing
    from . import summary
    from .terminal import Progress

    given = shared or Shared()
    options = checked_options(given, tau_scale=tau_scale)
    record = load_record(trial)
    with Progress(given.quiet) as progress, replacing(out, keep=True) as staged:
        begin(staged, record, out, overwrite=overwrite)
        reanalysis = inference.fit(record, model, prior, partition, shrinkage, options, progress)
        merge(reanalysis, staged)
    summary.fit(reanalysis, out)
    return DONE if reanalysis.passed else FAILED_DIAGNOSTICS
