"""What a run was made with: versions, platform, options, hashes of the inputs."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import pandas as pd

from ..data import Record
from .options import Options

HELD = "patients"  # what inputs call patients in memory
PACKAGES = ("secondlook", "pymc", "pytensor", "nutpie", "arviz", "numpy", "pandas", "xarray", "scipy")


def record_hash(record: Record) -> str:
    """Return the SHA-256 of a record's content; layout and comments do not matter."""
    content = json.dumps(record.model_dump(mode="json", by_alias=True), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def input_hashes(record: Record) -> dict[str, str]:
    """Return the SHA-256 of the files that a record names, by their base names, and of other patients' rows."""
    files = list(record.evidence.trials) if record.evidence else []
    if record.patients and record.held is None:
        files.insert(0, record.patients.file)
    files += [curve.file for curve in record.curve]
    paths = map(record.beside, files)
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file()}
    if record.held is not None:
        return {HELD: _hash_of(record.held), **found}
    return found


def _hash_of(patients: pd.DataFrame) -> str:
    rows = pd.util.hash_pandas_object(patients, index=False).to_numpy()
    names = "\0".join(map(str, patients.columns))
    return hashlib.sha256(names.encode() + rows.tobytes()).hexdigest()


def run_facts(
    record: Record,
    options: Options,
    resolved: Mapping[str, Any],
    notes: Sequence[str],
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the contents of ``run.json``: no path, no patient.

    Parameters
    ----------
    record
        The trial.
    options
        As given.
    resolved
        What was made of them: landmarks, intervals, priors, imputations by model and the like.
    notes
        What a reader must know.
    warnings
        What must stand beside every result.
    """
    facts = {
        "trial": record.id,
        "record_sha256": record_hash(record),
        "inputs": input_hashes(record),
        "seed": options.seed,
        "options": asdict(options),
        "resolved": dict(resolved),
        "notes": list(notes),
        "warnings": list(warnings),
        "versions": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    content: dict[str, Any] = json.loads(json.dumps(facts))  # as it is read back
    return content
