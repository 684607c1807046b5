"""How tables are written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from .disk import naming

SIX_DIGITS = "%.6g"


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table so that it appears whole or not at all: UTF-8, header, six digits, empty for not applicable.

    Parameters
    ----------
    frame
        The table.
    path
        File to write or replace.

    Raises
    ------
    OSError
        When it cannot be written; names it.
    """
    staged = path.with_name(f".{path.name}.new")
    try:
        with naming(path):
            frame.to_csv(staged, index=False, float_format=SIX_DIGITS, encoding="utf-8", lineterminator="\n")
            staged.replace(path)
    finally:
        staged.unlink(missing_ok=True)
