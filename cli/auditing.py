"""The command `audit`. Neither PyMC nor lifelines is imported: an audit takes a second or two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .main import BUG, DONE
from .options import OUT

CONTRADICTIONS = ("inconsistent", "impossible")


def audit(
    trial: str,
    /,
    *,
    strict: Annotated[bool, Parameter(negative=())] = False,
    out: Annotated[Path | None, OUT] = None,
) -> int:
    """Check whether a paper's numbers can be right.

    Every check prints its arithmetic and a verdict: ok, note, inconsistent or impossible. Rounding is honoured.
    Exits with 0 whatever it finds, unless --strict is given.

    Parameters
    ----------
    trial
        Id of a built-in trial, or path of a .toml record.
    strict
        Exit with 1 when a number is inconsistent or impossible.
    out
        Directory to write audit.csv to: every check with its numbers, also those that are in order.
    """
    from ..data import load_record
    from ..data.audit import audit as audited
    from ..data.audit import findings_frame
    from ..data.disk import locked, new_file
    from ..data.writing import write_csv
    from . import printing

    record = load_record(trial)
    findings = findings_frame(record, audited(record))
    if out is not None:
        with locked(out):
            _check_same_trial(out, record.id)
            with new_file(out / "audit.csv") as path:
                write_csv(findings, path)
    printing.audit(record, findings, trial, out)
    return BUG if strict and findings["verdict"].isin(CONTRADICTIONS).any() else DONE


def _check_same_trial(directory: Path, trial: str) -> None:
    """Refuse to write among the results of another trial."""
    from ..data.errors import input_error

    try:
        run = json.loads((directory / "run.json").read_text(encoding="utf-8"))
        there = run.get("trial") if isinstance(run, dict) else None
    except (OSError, ValueError):
        there = None
    if there not in (None, trial):
        allowed = f"holds results of this trial; give another directory for the audit of {trial}"
        raise input_error(str(directory), "", str(there), allowed)
