"""Commands that analyse: reanalyse, reconstruct, fit, compare, plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import Shared
from .records import DEFAULT_TRIAL

DIAGNOSTICS_FAILED = 3
RESULTS = Path("results")
SHARED = Shared()


def reanalyse(trial: str = DEFAULT_TRIAL, /, *, out: Path | None = None, shared: Shared = SHARED) -> int:
    """Reanalyse a trial: audit, reconstruction, every model under every prior, comparison, figures.

    Parameters
    ----------
    trial
        Id of a built-in trial, or a .toml file.
    out
        Results directory, replaced as a whole; results/<id> by default.
    """
    from ..data import load_record
    from ..inference import reanalyse as library
    from . import printing, writing

    options = shared.checked()
    record = load_record(trial)
    directory = out or RESULTS / record.id
    writing.check_writable(directory)
    found = library(record, options, printing.notifier(shared.quiet))
    writing.save_with_figures(found, directory)
    printing.reanalysis(found, directory)
    return 0 if found.passed else DIAGNOSTICS_FAILED


def reconstruct(
    trial: str = DEFAULT_TRIAL,
    /,
    *,
    out: Path,
    partition: str | None = None,
    patients_out: Path | None = None,
    shared: Shared = SHARED,
) -> None:
    """Rebuild a trial's survival table from its published numbers.

    Parameters
    ----------
    trial
        Id of a built-in trial, or a .toml file.
    out
        Directory for reconstruction.csv and table.nc.
    partition
        Not supported yet: tables are rebuilt for whole arms.
    patients_out
        Also write whole patients of the first imputation (time, event, arm) to this CSV file.
    """
    from ..data import load_record
    from ..data.errors import input_error
    from ..data.reconstruction import reconstruct as library
    from ..data.table import patient_rows
    from . import printing, writing

    if partition is not None:
        raise input_error("--partition", "", partition, "tables are rebuilt for whole arms only; leave it out")
    options = shared.checked()
    made = library(load_record(trial), imputations=options.imputations, seed=options.seed)
    tables = {"reconstruction.csv": made.fit_sheet}
    writing.write_tables(out, tables, made.table)
    if patients_out is not None:
        writing.write_tables(patients_out.parent, {patients_out.name: patient_rows(made.table)})
    printing.reconstruction(made)


def fit(
    trial: str = DEFAULT_TRIAL,
    /,
    *,
    out: Path,
    model: str = "piecewise",
    prior: str = "weak",
    partition: str | None = None,
    shrinkage: str = "half-normal",
    tau_scale: float = 0.25,
    shared: Shared = SHARED,
) -> int:
    """Fit one model under one prior, and add it to a results directory of the same trial.

    Parameters
    ----------
    trial
        Id of a built-in trial, or a .toml file.
    out
        Results directory; rows of the same fit are replaced, others kept.
    model
        piecewise, nonproportional or effects.
    prior
        weak, vague, sceptical, enthusiastic, pessimistic, or MEAN,SD on the log scale.
    partition
        For effects: only this partition's rows.
    shrinkage
        For effects: half-normal.
    tau_scale
        Scale of the prior on the SD between subgroups.
    """
    from ..data.errors import input_error
    from ..inference import fit as library
    from ..inference.merging import merged
    from . import printing, writing

    if shrinkage != "half-normal":
        raise input_error("--shrinkage", "", shrinkage, "must be half-normal")
    options = shared.checked(tau_scale)
    writing.check_writable(out)
    found = library(trial, model, prior, partition, options, printing.notifier(shared.quiet))
    merged(found, out).save(out, keep=True)
    printing.fit(found, out)
    return 0 if found.passed else DIAGNOSTICS_FAILED


def compare(directory: Path, /) -> None:
    """Show published, Cox and posterior hazard ratios side by side.

    Parameters
    ----------
    directory
        Results directory.
    """
    from ..inference import load
    from . import printing

    printing.comparison(load(directory))


def plot(directory: Path, kind: str = "all", /, *, width: Annotated[float, Parameter(alias="-w")] = 180.0) -> None:
    """Draw a figure of a results directory anew, into its folder figures.

    Parameters
    ----------
    directory
        Results directory.
    kind
        Which figure, or all.
    width
        Width in millimetres.
    """
    from ..inference import load
    from . import writing

    for path in writing.redraw(load(directory), directory, kind, width):
        print(path)
