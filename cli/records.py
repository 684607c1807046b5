"""The commands that show and make records: `trials`, `show`, `new`, `schema`."""

from __future__ import annotations

import json
from pathlib import Path


def trials() -> None:
    """List the built-in trials."""
    from ..data.describe import describe_trials
    from . import printing

    printing.trials(describe_trials())


def show(trial: str, /) -> None:
    """Print everything that a trial's record holds.

    Every number stands as the paper prints it, with its place in the paper; what only the audit reads is marked.

    Parameters
    ----------
    trial
        Id of a built-in trial, or path of a .toml record.
    """
    from ..data import load_record
    from ..data.describe import describe_record
    from . import printing

    printing.sections(describe_record(load_record(trial)))


def new(file: Path, /) -> None:
    """Write a commented record to fill in.

    Parameters
    ----------
    file
        Where to write it: a new name that ends in .toml.
    """
    from ..data.describe import write_template
    from . import printing

    write_template(file)
    printing.line(f"Wrote {file}. Fill it in, then check it: secondlook audit {file}")


def schema() -> None:
    """Print the JSON schema of a record, for editors."""
    from ..data.describe import json_schema

    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
