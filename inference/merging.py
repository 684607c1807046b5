"""Adding to a directory of results: what has the same key is replaced, everything else is kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..data import Record
from ..data.errors import InputError, input_error
from ..data.imputed import Imputed
from ..data.writing import write_csv
from . import synthesis
from .options import Options
from .reanalysis import Reanalysis
from .storage import RECORD, RUN, read_csv, read_run, write, write_json, write_table
from .tables import RECONSTRUCTION, TABLES
from .versions import HELD, input_hashes, record_hash, run_facts


def check_same_record(directory: Path, record: Record, name: str | Path = "", *, overwrite: bool = False) -> None:
    """Refuse results of another trial, or of another version of the record.

    Parameters
    ----------
    directory
        Directory of results; an empty or missing one is fine.
    record
        The record that results shall be added for.
    name
        What messages call the directory.
    overwrite
        Whether another version of the record is fine.

    Raises
    ------
    InputError
        When the directory's ``run.json`` names another trial or record, or cannot be read.
    """
    path = directory / RUN
    if not path.exists():
        return
    run = read_run(path)
    place = str(name or directory)
    if run["trial"] != record.id:
        allowed = f"holds results of this trial; give another directory for those of {record.id}"
        raise input_error(place, "", str(run["trial"]), allowed)
    if overwrite:
        return
    if run["record_sha256"] != record_hash(record):
        allowed = f"holds results of another version of {record.id}'s record; give another directory, or --overwrite"
        raise input_error(place, "", None, allowed)
    earlier = run.get("inputs", {})
    if changed := [file for file, digest in input_hashes(record).items() if earlier.get(file) != digest]:
        of = "patients in memory, not of" if HELD in earlier else "another version of"
        allowed = f"holds results of {of} this file; give another directory, or --overwrite"
        raise input_error(place, "", ", ".join(changed), allowed)


def begin(staged: Path, record: Record, name: str | Path, *, overwrite: bool = False) -> None:
    """Check that results of a record may be added to a copy of a directory; empty it where they take its place.

    Parameters
    ----------
    staged
        The copy: `storage.replacing` with ``keep``.
    record
        The record that results shall be added for.
    name
        What messages call the directory.
    overwrite
        Whether results of an earlier version of the record give way.

    Raises
    ------
    InputError
        See `check_same_record`; results of another trial never give way.
    """
    try:
        check_same_record(staged, record, name)
    except InputError:
        if not overwrite or read_run(staged / RUN)["trial"] != record.id:
            raise
        for path in staged.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def merge(reanalysis: Reanalysis, directory: Path) -> None:
    """Add a reanalysis to an existing directory, which may hold results of the same record.

    Rows with the same key are replaced, others kept, in their order; so are posteriors, by name. Audit, table, fit
    sheet and imbalance are those of the new run, where it has them.

    Parameters
    ----------
    reanalysis
        What to add.
    directory
        Where; give a copy (`storage.replacing` with ``keep``), so that a failure harms nothing.

    Raises
    ------
    InputError
        When what is there is of another trial or record, or cannot be read.
    """
    check_same_record(directory, reanalysis.record)
    frames: dict[str, Any] = {
        table.name: merged(earlier(_present(directory / table.file), new), new, table.key)
        for table in TABLES
        if table.key
        for new in (reanalysis[table.name],)
    }
    run = _merged_run(directory / RUN, reanalysis.run, [fit.name for fit in reanalysis.fits])
    write(replace(reanalysis, **frames, run=run), directory)


def earlier(old: pd.DataFrame | None, new: pd.DataFrame) -> pd.DataFrame | None:
    """Return the rows that are there, without those of trials pooled before where trials are pooled now.

    The rows of a pool belong together, and another pool may have other trials.

    Parameters
    ----------
    old
        What is there, if anything.
    new
        What is added.
    """
    if old is None or "model" not in new or not new["model"].eq(synthesis.MODEL).any():
        return old
    return old[old["model"].ne(synthesis.MODEL)]


def merged(old: pd.DataFrame | None, new: pd.DataFrame, keys: Iterable[str]) -> pd.DataFrame:
    """Return the rows of both tables; where keys are the same, those of the new one.

    Parameters
    ----------
    old
        What is there, if anything.
    new
        What is added.
    keys
        Columns that identify a row.
    """
    if old is None or old.empty or new.empty:
        return new if old is None or old.empty else old
    names = list(keys)
    replaced = pd.MultiIndex.from_frame(_comparable(new[names]))
    kept = old[~pd.MultiIndex.from_frame(_comparable(old[names])).isin(replaced)]
    return pd.concat([kept, new], ignore_index=True) if len(kept) else new


def _comparable(keys: pd.DataFrame) -> pd.DataFrame:
    """Return keys as text, the same for a number whether it was computed or read back."""
    return keys.map(
        lambda value: "" if pd.isna(value) else f"{value:.6g}" if isinstance(value, float) else str(value)
    )


def _present(path: Path) -> pd.DataFrame | None:
    return read_csv(path) if path.exists() else None


def _merged_run(path: Path, new: Mapping[str, Any], fits: Iterable[str]) -> dict[str, Any]:
    """Return the new run's facts with what the old one resolved and noted about other fits."""
    if not path.exists():
        return dict(new)
    old = read_run(path)
    stale = tuple(start for name in fits for start in (f"{name} fails", f"{name}:"))
    notes = [note for note in old.get("notes", []) if not note.startswith(stale)]
    return {
        **new,
        "resolved": _merged_facts(old.get("resolved", {}), new["resolved"], set(fits)),
        "notes": list(dict.fromkeys([*notes, *new["notes"]])),
        "warnings": list(dict.fromkeys([*old.get("warnings", []), *new.get("warnings", [])])),
    }


def _merged_facts(old: Mapping[str, Any], new: Mapping[str, Any], fits: set[str]) -> dict[str, Any]:
    both = [name for name in new if isinstance(new[name], dict) and isinstance(old.get(name), dict)]
    tables = {name: {**old[name], **new[name]} for name in both}
    reweighted = sorted(
        {*old.get("reweighted", []), *new.get("reweighted", [])} - (fits - {*new.get("reweighted", [])})
    )
    return {**old, **new, **tables, "reweighted": reweighted}


def write_reconstruction(made: Imputed, options: Options, directory: Path) -> None:
    """Add a reconstruction to an existing directory, which may hold results of the same record.

    Parameters
    ----------
    made
        What to write: its fit sheet and table.
    options
        What it was made with.
    directory
        Where; files of the same names are replaced, others kept.

    Raises
    ------
    InputError
        When what is there is of another trial or record, or cannot be read.
    """
    check_same_record(directory, made.record)
    path = directory / RECONSTRUCTION.file
    write_csv(merged(_present(path), made.fit_sheet, RECONSTRUCTION.key), path)
    write_table(made.table, made.partition, directory)
    write_json(made.record.model_dump(mode="json", by_alias=True), directory / RECORD)
    acceptance = {made.partition or "overall": made.acceptance_rate}
    facts = run_facts(made.record, options, {"reconstruction_acceptance": acceptance}, [], made.warnings)
    write_json(json.loads(json.dumps(_merged_run(directory / RUN, facts, []))), directory / RUN)
