"""The command `reconstruct`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import OUT, Whole


def reconstruct(
    trial: str,
    /,
    *,
    out: Annotated[Path, OUT],
    partition: str | None = None,
    patients_out: Path | None = None,
    seed: Whole = 1,
    imputations: Whole = 20,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    quiet: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Rebuild survival data from published numbers or curves.

    Writes reconstruction.csv (everything that was read beside what the rebuilt data make of it) and table.nc (deaths
    and person-time by arm and month, one data set per imputation).

    Parameters
    ----------
    trial
        Id of a built-in trial, or path of a .toml record.
    out
        Directory to write to: a new one, or results of the same record, whose other files are kept.
    partition
        Rebuild the strata of this partition instead of whole arms; digitised curves of whole arms are rebuilt too.
    patients_out
        File to write the patients of one rebuilt data set to: CSV with columns time, event (1 death, 0 censored)
        and arm (control, treatment), and stratum for a partition.
    seed
        Seed of everything random: the same seed gives the same numbers.
    imputations
        How many data sets to rebuild.
    overwrite
        Replace results of an earlier version of the record, or of the files that it names.
    quiet
        Print no progress and no notes to stderr.
    """
    from ..data import load_record
    from ..data.rebuilding import SOURCES, rebuild_with_curves
    from ..data.writing import write_csv
    from ..inference import Options
    from ..inference.merging import begin, write_reconstruction
    from ..inference.storage import replacing, table_name
    from . import printing
    from .terminal import Progress

    options = Options(seed=seed, imputations=imputations)
    record = load_record(trial)
    with (
        Progress(quiet) as progress,
        replacing(out, keep=True) as staged,
        _patients_file(patients_out, out, staged) as patients_file,
    ):
        begin(staged, record, out, overwrite=overwrite)
        progress(f"rebuilding survival of {record.id} from {SOURCES[record.source == 'curves']}")
        if record.source == "patients":
            progress(f"note: models use the patients themselves{' and no curves' if record.curve else ''}")
        made = rebuild_with_curves(record, partition or "", imputations=imputations, seed=seed)
        for one in made:
            for note in one.notes:
                progress(f"note: {note}")
            write_reconstruction(one, options, staged)
        if patients_file is not None:
            write_csv(made[-1].patients, patients_file)
    for one in made:
        printing.reconstruction(one)
    files = [out / "reconstruction.csv", *(out / table_name(one.partition) for one in made)]
    printing.files([*files, *([patients_out] if patients_out else [])])


def _patients_file(file: Path | None, out: Path, staged: Path) -> AbstractContextManager[Path | None]:
    """Give the file of the patients; one that lies among the results is staged with them."""
    from ..data.disk import new_file
    from ..data.errors import input_error

    if file is None:
        return nullcontext()
    place, results = Path(os.path.abspath(file)), Path(os.path.abspath(out))
    if place == results:
        raise input_error("--patients-out", "", str(file), "is the directory of the results; give the name of a file")
    return new_file(staged / place.relative_to(results) if place.is_relative_to(results) else file)
