"""The commands that fit models: `reanalyse` and `fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .. import inference
from ..data import load_record
from ..data.errors import input_error
from ..inference.merging import check_same_record, merge
from ..inference.storage import replacing, write
from . import printing
from .auditing import MF07_01
from .main import DONE, FAILED_DIAGNOSTICS
from .options import Shared, checked_options
from .terminal import Progress

SHRINKAGE = ("half-normal",)


def reanalyse(trial: str = MF07_01, /, *, out: Path | None = None, shared: Shared | None = None) -> int:
    """Reanalyse a trial: every model, prior, table and figure.

    Earlier results in the directory are replaced as a whole once the new ones are complete. Exits with 3 when a
    posterior fails its diagnostics; everything is written all the same.

    Parameters
    ----------
    trial
        Id of a built-in trial, or path of a .toml record.
    out
        Directory to write to: a new one, or one that holds results. Default: results/ID.
    """
    from .. import figures

    given = shared or Shared()
    options = checked_options(given)
    record = load_record(trial)
    directory = out or Path("results") / record.id
    with Progress(given.quiet) as progress, replacing(directory) as staged:
        reanalysis = inference.reanalyse(record, options, progress)
        write(reanalysis, staged)
        progress("drawing figures")
        figures.write_figures(reanalysis, staged / "figures")
    printing.reanalysis(reanalysis, directory)
    return DONE if reanalysis.passed else FAILED_DIAGNOSTICS


def fit(
    trial: str = MF07_01,
    /,
    *,
    out: Path,
    model: str = "piecewise",
    prior: Annotated[str, Parameter(allow_leading_hyphen=True)] = "weak",
    partition: str | None = None,
    shrinkage: str = "half-normal",
    tau_scale: float = 0.25,
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
        piecewise (one hazard ratio), nonproportional (a hazard ratio that changes over time) or effects
        (the printed hazard ratios, shrunken towards each other).
    prior
        Prior on the overall log hazard ratio: weak, vague, sceptical, enthusiastic, pessimistic, or MEAN,SD.
    partition
        For effects: only this partition's rows.
    shrinkage
        For effects: how subgroups are shrunken; half-normal is the only form yet.
    tau_scale
        For effects: scale of the half-normal prior on the SD between subgroups.
    """
    given = shared or Shared()
    options = checked_options(given, tau_scale)
    if shrinkage not in SHRINKAGE:
        raise input_error("--shrinkage", "", shrinkage, f"not available; give {' or '.join(SHRINKAGE)}")
    record = load_record(trial)
    with Progress(given.quiet) as progress, replacing(out, keep=True) as staged:
        check_same_record(staged, record, out)
        reanalysis = inference.fit(record, model, prior, partition, options, progress)
        merge(reanalysis, staged)
    printing.fit(reanalysis, out)
    return DONE if reanalysis.passed else FAILED_DIAGNOSTICS
