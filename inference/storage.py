"""Writing results without ever harming what is there, and reading them back."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from ..data.disk import (
    STAGED,
    copied,
    is_remnant,
    locked,
    naming,
    put_back,
    swap,
    telling,
    umask,
    unwritable,
)
from ..data.errors import input_error
from ..data.reading import parse_record
from ..data.writing import write_csv
from ..models.priors import Prior
from .fitting import Fit
from .tables import TABLES, TEXTS

if TYPE_CHECKING:
    from .reanalysis import Reanalysis

RUN, RECORD, TABLE, POSTERIOR = "run.json", "record.json", "table", "posterior"
ENGINE: Final = "netcdf4"
SPARE_BYTES: Final = 1 << 18  # more than what netCDF adds to the numbers of a file


@contextmanager
def replacing(directory: str | Path, *, keep: bool = False) -> Iterator[Path]:
    """Give a temporary directory that takes the place of a results directory when all went well.

    Nobody else can write results there meanwhile, see `data.disk`.

    Parameters
    ----------
    directory
        Where results shall stand. Missing parents are created; an existing directory is replaced only when it is
        empty or holds results.
    keep
        Whether to begin with a copy of what is there.

    Yields
    ------
    Path
        The temporary directory, beside ``directory``.

    Raises
    ------
    InputError
        When the directory holds something else, cannot be written, or another run is writing there. What is there
        stays as it is.
    """
    check_replaceable(Path(directory))
    with locked(directory, "--out") as target:
        try:
            staged = Path(tempfile.mkdtemp(prefix=f".{target.name}{STAGED}", dir=target.parent))
        except OSError as error:
            raise input_error("--out", "", str(directory), unwritable(error)) from None
        try:
            with telling(staged, directory):
                staged.chmod(0o777 & ~umask())
                if keep and target.exists():
                    copied(target, staged)
                yield staged
                swap(staged, target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


def check_replaceable(directory: str | Path) -> None:
    """Check that results may take a directory's place.

    Parameters
    ----------
    directory
        Where results shall stand.

    Raises
    ------
    InputError
        When it is a file, holds something other than results, or lies below a file.
    """
    target = Path(directory)
    if target.exists() and not target.is_dir():
        raise input_error("--out", "", str(target), "is a file; give a directory")
    held = [path for path in target.iterdir() if not is_remnant(path)] if target.is_dir() else []
    if held and not (target / RUN).exists():
        raise input_error("--out", "", str(target), "holds something other than results; give an empty directory")
    parent = next(folder for folder in target.absolute().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise input_error("--out", "", str(target), f"cannot be written: {parent.name} is not a writable directory")


def write(reanalysis: Reanalysis, directory: Path) -> None:
    """Write a reanalysis into an existing directory: tables, posteriors, the record and ``run.json``.

    Parameters
    ----------
    reanalysis
        What to write.
    directory
        Where; files of the same names are replaced.
    """
    for table in TABLES:
        write_csv(reanalysis[table.name], directory / table.file)
    (directory / POSTERIOR).mkdir(exist_ok=True)
    for fit in reanalysis.fits:
        _write_netcdf(_described(fit), directory / POSTERIOR / f"{fit.name}.nc")
    for partition, survival in reanalysis.tables.items():
        write_table(survival, partition, directory)
    record = reanalysis.record.model_dump(mode="json", by_alias=True)
    write_json(record, directory / RECORD)
    write_json(reanalysis.run, directory / RUN)


def table_name(partition: str) -> str:
    """Return the file of a survival table: ``table.nc`` for the whole trial, ``table-<partition>.nc`` for strata."""
    return f"{TABLE}-{partition}.nc" if partition else f"{TABLE}.nc"


def write_table(table: xr.Dataset, partition: str, directory: Path) -> None:
    """Write a survival table, see `table_name`."""
    _write_netcdf(table, directory / table_name(partition))


def _write_netcdf(content: xr.Dataset | xr.DataTree, path: Path) -> None:
    """Write a netCDF file. Its library neither says why it cannot nor lets go of the file: room is made sure of."""
    size = content.nbytes + SPARE_BYTES
    _check_room(path, size)
    try:
        content.to_netcdf(path, engine=ENGINE)
    except (OSError, RuntimeError):
        _check_room(path, size)  # taken meanwhile
        raise


def _check_room(path: Path, size: int) -> None:
    """Raise the `OSError` that keeps a file of some bytes from being written, if anything does."""
    with naming(path):
        path.write_bytes(bytes(size))
        path.unlink()


def _read_tables(folder: Path) -> dict[str, xr.Dataset]:
    found = sorted(folder.glob(f"{TABLE}*.nc"))
    return {path.stem.removeprefix(TABLE).removeprefix("-"): _read_table(path) for path in found}


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write facts as JSON, indented and in UTF-8.

    Parameters
    ----------
    content
        What to write.
    path
        Where.
    """
    with naming(path):
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _described(fit: Fit) -> xr.DataTree:
    """Return a fit's tree with what identifies it as attributes."""
    tree = fit.tree.copy()
    tree.attrs = {
        "model": fit.model,
        "shrinkage": fit.shrinkage,
        "partition": fit.partition,
        "prior": fit.prior.name,
        "prior_means": np.array(fit.prior.means),
        "prior_sds": np.array(fit.prior.sds),
        "prior_weights": np.array(fit.prior.weights),
        "prior_parts": ",".join(fit.prior.parts),
        "edges": np.array(fit.edges),
    }
    return tree


def check_results(directory: str | Path) -> None:
    """Check that a directory holds results; those that a killed run was about to replace are put back.

    Parameters
    ----------
    directory
        Where results shall stand.

    Raises
    ------
    InputError
        When there are none.
    """
    put_back(directory)
    if not (Path(directory) / RUN).is_file():
        raise input_error(str(directory), "", None, "holds no results (no run.json)")


def load(directory: str | Path) -> Reanalysis:
    """Read a reanalysis back.

    Parameters
    ----------
    directory
        Where it was saved.

    Raises
    ------
    InputError
        When the directory holds no results or no fitted models, or a file in it is damaged; names the file.
    """
    from .reanalysis import Reanalysis

    folder = Path(directory)
    check_results(folder)
    if not any((folder / name).exists() for name in (POSTERIOR, "estimates.csv")):
        raise input_error(str(directory), "", None, "holds no fitted models; run 'secondlook fit' or 'reanalyse'")
    record = parse_record(read_json(folder / RECORD), str(folder / RECORD))
    posteriors = sorted((folder / POSTERIOR).glob("*.nc"))
    return Reanalysis(
        record,
        _read_tables(folder),
        tuple(_read_fit(path) for path in posteriors),
        **{table.name: read_csv(folder / table.file) for table in TABLES},
        run=read_run(folder / RUN),
    )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        When it is missing or not JSON; names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise input_error(str(path), "", None, _unreadable(error)) from None


def _unreadable(error: OSError | ValueError) -> str:
    """Say why a file of results cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "is missing: these results are incomplete, or another version's; make them anew"
    return f"cannot be read ({(error.strerror if isinstance(error, OSError) else None) or error})"


def read_run(path: Path) -> dict[str, Any]:
    """Read the facts of a run, ``run.json``.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        When it cannot be read or holds no facts of a run; names it.
    """
    run = read_json(path)
    if not isinstance(run, dict) or not {"trial", "record_sha256"} <= run.keys():
        raise input_error(str(path), "", None, "was not written by secondlook")
    return run


def read_csv(path: Path) -> pd.DataFrame:
    """Read a table that `write` wrote, with its columns of text as text.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        When it is missing or not such a table; names it.
    """
    try:
        frame = pd.read_csv(path, dtype={"printed": str}, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise input_error(str(path), "", None, _unreadable(error)) from None
    present = [name for name in TEXTS if name in frame]
    return frame.fillna(dict.fromkeys(present, "")).astype(dict.fromkeys(present, str))


def _read_netcdf(path: Path, reader: Any) -> Any:
    try:
        return reader(path, engine=ENGINE)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise input_error(str(path), "", None, f"not a readable netCDF file ({error})") from None


def _read_table(path: Path) -> xr.Dataset:
    table: xr.Dataset = _read_netcdf(path, xr.load_dataset)
    if not {"deaths", "exposure", "patients"} <= set(table.data_vars):
        raise input_error(str(path), "", None, "not a survival table written by secondlook")
    return table


def _read_fit(path: Path) -> Fit:
    tree = _read_netcdf(path, xr.load_datatree)
    try:
        numbers = {name: tuple(map(float, np.atleast_1d(tree.attrs[f"prior_{name}"]))) for name in _PRIOR}
        parts = tuple(filter(None, str(tree.attrs.get("prior_parts", "")).split(",")))
        prior = Prior(str(tree.attrs["prior"]), **numbers, parts=parts)
        names = (str(tree.attrs[name]) for name in ("model", "shrinkage", "partition"))
        edges = tuple(map(float, np.atleast_1d(tree.attrs["edges"])))
        tree["posterior"], tree["sample_stats"]  # both must be there
    except (KeyError, ValueError) as error:
        raise input_error(str(path), "", None, f"not a posterior written by secondlook ({error})") from None
    model, shrinkage, partition = names
    return Fit(model, shrinkage, partition, prior, tree, edges)


_PRIOR = ("means", "sds", "weights")
