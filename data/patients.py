"""Patients' own data: one row each in a file or a frame, checked, and grouped into a survival table.

Under a constant hazard within each interval, deaths and person-time are sufficient: patients are grouped once, by
counting, and everything afterwards costs the same for a million of them as for a hundred. Who dies at time 0 dies in
the first interval; an interval holds its end, not its start. Delayed entry (left truncation) takes the time before
entry out of the exposure.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .cohort import MONTHS
from .errors import InputError, Problem, input_error
from .record import ARMS, Patients, Record
from .subgroup import OVERALL, Subgroup
from .table import survival_table

Array = NDArray[np.float64]
SHOWN = 5  # rows named of each fault
CODED = ("0", "1")  # an event coded as one of these has the other for censoring


def read_patients(record: Record) -> pd.DataFrame:
    """Read and check the patients whom a record names.

    Parameters
    ----------
    record
        With ``patients``; their file lies where the record says, relative to the record's own file.

    Returns
    -------
    pandas.DataFrame
        See `check_patients`.

    Raises
    ------
    InputError
        Names file, line, column and value of what is wrong.
    """
    source = _source(record)
    path = record.beside(source.file)
    if path.suffix == ".parquet":
        return check_patients(_read_parquet(path, source.file), record, source.file)
    return check_patients(_read_csv(path, source.file), record, source.file, row_name=lambda row: f"line {row + 2}")


def check_patients(
    frame: pd.DataFrame,
    record: Record,
    place: str = "patients",
    row_name: Callable[[int], str] = lambda row: f"row {row + 1}",
) -> pd.DataFrame:
    """Check patients' data and return them in one form.

    Parameters
    ----------
    frame
        One row per patient, with the columns that the record's ``patients`` names.
    record
        The trial.
    place
        What messages call the data.
    row_name
        What messages call a row, given its place from 0.

    Returns
    -------
    pandas.DataFrame
        Columns ``entry`` and ``time`` (in the record's unit), ``event`` (bool), ``arm`` (categorical, control and
        treatment) and every factor (categorical, levels in the record's order).

    Raises
    ------
    InputError
        Names every problem found; of many rows with the same fault, the first five.
    """
    source = _source(record)
    wanted = [source.time, source.event, source.arm, *([source.entry] if source.entry else []), *source.factors]
    found = ", ".join(map(str, frame.columns))
    absent = [name for name in dict.fromkeys(wanted) if name not in frame.columns]
    if absent:
        raise InputError(Problem(place, f"column {name}", "", f"missing; there are {found}") for name in absent)
    if frame.empty:
        raise input_error(place, "", None, "holds no patient")
    reading = _Reading(frame, place, row_name)
    scale = MONTHS[record.time_unit] / MONTHS[source.unit]
    time = reading.times(source.time, source.unit)
    entry = reading.times(source.entry, source.unit) if source.entry else np.zeros(len(frame))
    late = (entry > 0) & (entry >= time)
    reading.refuse(source.entry, late, f"must lie before {source.time}")
    columns: dict[str, Any] = {"entry": entry * scale, "time": time * scale}
    columns["event"] = reading.events(source.event, source.event_value)
    columns["arm"] = reading.levels(source.arm, (source.control, source.treatment), ARMS)
    for name in source.factors:
        levels = record.factors[name].levels
        cuts = source.cut.get(name)
        columns[name] = reading.cut(name, cuts, levels) if cuts else reading.levels(name, levels, levels)
    missing_arm = [arm for arm in ARMS if not (columns["arm"] == arm).any()]
    if not reading.problems:
        reading.problems += [
            Problem(place, f"column {source.arm}", "", f"no patient of {arm} ({getattr(source, arm)})")
            for arm in missing_arm
        ]
    if not reading.problems and not columns["event"].any():
        raise input_error(place, f"column {source.event}", None, f"nobody has the event ({source.event_value})")
    if reading.problems:
        raise InputError(reading.problems)
    return pd.DataFrame(columns)


def patient_table(patients: pd.DataFrame, record: Record, partition: str = "") -> xr.Dataset:
    """Group patients into a survival table by stratum, arm and month.

    Parameters
    ----------
    patients
        From `read_patients` or `check_patients`.
    record
        The trial.
    partition
        Name of a partition, or factors joined by commas; ``""`` makes one stratum of all.

    Returns
    -------
    Dataset
        A survival table of one imputation; strata are the cells that occur.

    Raises
    ------
    InputError
        When there is no such partition, or all times are zero.
    """
    factors = _factors(record, partition, patients)
    month = MONTHS[record.time_unit]
    time, entry = patients["time"].to_numpy(), patients["entry"].to_numpy()
    if time.max() <= 0:
        raise input_error(record.id, "patients", None, "nobody was followed: all times are 0")
    intervals = int(np.ceil(time.max() / month * (1 - 1e-12)))
    levels = [patients[name].cat.categories for name in factors]
    codes = [patients[name].cat.codes.to_numpy().astype(np.int64) for name in factors]
    shape = tuple(map(len, levels))
    crossed = np.ravel_multi_index(codes, shape) if factors else np.zeros(len(patients), dtype=np.int64)
    cells, stratum = np.unique(crossed, return_inverse=True)
    group = 2 * stratum + patients["arm"].cat.codes.to_numpy()

    def counted(values: NDArray[np.bool_] | None = None) -> Array:
        weights = None if values is None else values.astype(float)
        return np.bincount(group, weights, 2 * len(cells)).reshape(1, len(cells), 2).astype(float)

    def by_interval(weights: Array, times: Array) -> Array:
        place = group * intervals + _interval(times, month, intervals)
        return np.bincount(place, weights, 2 * len(cells) * intervals).reshape(1, len(cells), 2, intervals)

    def lived(times: Array) -> Array:
        """Return time lived in each interval up to each patient's time."""
        own = _interval(times, month, intervals)
        beyond = by_interval(np.ones(len(times)), times)[..., ::-1].cumsum(axis=-1)[..., ::-1]
        whole = np.concatenate([beyond[..., 1:], np.zeros((*beyond.shape[:-1], 1))], axis=-1) * month
        return np.asarray(whole + by_interval(times - own * month, times))

    event = patients["event"].to_numpy()
    place = np.unravel_index(cells, shape) if factors else ()
    names = [[str(levels[k][code]) for code in place[k]] for k in range(len(factors))]
    strata = [_stratum(factors, cell) for cell in zip(*names, strict=True)] if factors else [OVERALL]
    return survival_table(
        by_interval(event.astype(float), time),
        np.maximum(lived(time) - lived(entry), 0.0),
        by_interval((~event).astype(float), time),
        counted(),
        np.arange(intervals + 1) * month,
        strata=[one.key for one in strata],
        factors=dict(zip(factors, names, strict=True)),
        trial=record.id,
        source="patients",
        time_unit=record.time_unit,
        partition=partition,
    )


def _interval(times: Array, width: float, intervals: int) -> NDArray[np.int64]:
    """Return the interval of each time: the one that ends with it at a bound, the first at 0."""
    return np.clip(np.ceil(times / width * (1 - 1e-12)).astype(np.int64) - 1, 0, intervals - 1)


def _stratum(factors: Sequence[str], levels: Sequence[str]) -> Subgroup:
    return Subgroup(tuple((name, (level,)) for name, level in zip(factors, levels, strict=True)))


def _factors(record: Record, partition: str, patients: pd.DataFrame) -> list[str]:
    """Return a partition's factors in record order."""
    if not partition:
        return []
    known = record.all_partitions
    wanted = set(known[partition].factors if partition in known else partition.split(","))
    if unknown := sorted(wanted - {*patients.columns} | wanted - {*record.factors}):
        allowed = f"not a partition of {record.id}, nor factors of its patients; give one of {', '.join(known)}"
        raise input_error("--partition", "", ",".join(unknown), allowed)
    return [name for name in record.factors if name in wanted]


class _Reading:
    """Columns of a frame turned into what they mean; faults are gathered."""

    def __init__(self, frame: pd.DataFrame, place: str, row_name: Callable[[int], str]) -> None:
        self.frame, self.place, self.row_name = frame, place, row_name
        self.problems: list[Problem] = []

    def refuse(self, column: str, wrong: NDArray[np.bool_], allowed: str) -> None:
        """Gather the rows that are wrong."""
        rows = np.flatnonzero(wrong)
        for row in rows[:SHOWN]:
            value = self.frame[column].iloc[row]
            shown = "" if pd.isna(value) else str(value)
            text = "missing, but required" if shown == "" else allowed
            where = f"{self.row_name(int(self.frame.index[row]))}, column {column}"
            self.problems.append(Problem(self.place, where, shown, text))
        if len(rows) > SHOWN:
            more = f"{len(rows) - SHOWN} more rows"
            self.problems.append(Problem(self.place, f"column {column}", more, allowed))

    def numbers(self, column: str) -> Array:
        """Return a column as numbers, not finite where it holds none."""
        return pd.to_numeric(self.frame[column], errors="coerce").to_numpy(dtype=float, na_value=np.nan)

    def times(self, column: str, unit: str) -> Array:
        """Return a column of times."""
        values = self.numbers(column)
        self.refuse(column, ~(np.isfinite(values) & (values >= 0)), f"must be a number of {unit}, 0 or above")
        return np.where(np.isfinite(values), values, 0.0)

    def events(self, column: str, event: str) -> NDArray[np.bool_]:
        """Return whether a column says that the event occurred."""
        codes, texts = self._texts(column)
        others = [text for text in texts if text not in (event, "")]
        if event in CODED:
            allowed = set(CODED)
            message = "must be 0 or 1"
        else:
            allowed = {event, *others[:1]}
            message = f"must be {event} or one value that stands for censoring, such as {others[0] if others else 0}"
        self.refuse(column, ~_among(codes, texts, allowed), message)
        return _among(codes, texts, {event})

    def levels(self, column: str, values: Sequence[str], names: Sequence[str]) -> pd.Categorical:
        """Return a column of values as a categorical of their names."""
        codes, texts = self._texts(column)
        self.refuse(column, ~_among(codes, texts, set(values)), f"must be {' or '.join(values)}")
        own = np.array([values.index(text) if text in values else -1 for text in texts] + [-1])
        return _categorical(own[codes], names)

    def cut(self, column: str, cuts: Sequence[float], names: Sequence[str]) -> pd.Categorical:
        """Return a measured characteristic as a categorical; a cut belongs to the level above it."""
        values = self.numbers(column)
        self.refuse(column, ~np.isfinite(values), "must be a number")
        return _categorical(np.searchsorted(cuts, values, side="right"), names)

    def _texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return each row's place among the texts of the distinct values, -1 for none."""
        codes, values = pd.factorize(self.frame[column])
        texts = [_text(value) for value in values]
        blank = np.array([text == "" for text in texts] + [False])
        return np.where(blank[codes], -1, codes), texts


def _categorical(codes: Any, names: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def _among(codes: NDArray[np.int64], texts: Sequence[str], allowed: set[str]) -> NDArray[np.bool_]:
    return np.array([text in allowed for text in texts] + [False])[codes]


def _text(value: object) -> str:
    """Return a value as a record writes it: whole numbers without a point, truth as 1 and 0."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _source(record: Record) -> Patients:
    if record.patients is None:
        raise input_error(record.id, "patients", None, "missing: the record names no file of patients")
    return record.patients


def _read_parquet(path: Path, place: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(path).reset_index(drop=True)
    except OSError as error:
        raise input_error(place, "", None, f"cannot be read ({error.strerror or 'not Parquet'})") from None
    except ValueError:
        raise input_error(place, "", None, "cannot be read (not Parquet)") from None


def _read_csv(path: Path, place: str) -> pd.DataFrame:
    """Return a CSV file's columns as text, rows numbered as lines are."""
    text = _decoded(path, place)
    header = text.partition("\n")[0]
    if ";" in header and "," not in header:
        raise input_error(place, "line 1", header.strip(), "columns are separated by semicolons; must be commas")
    names = [name.strip().strip('"') for name in header.strip().split(",")]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise input_error(place, "line 1", ", ".join(twice), "columns that stand there twice")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "skip_blank_lines": False}
            frame: pd.DataFrame = pd.read_csv(io.StringIO(text), index_col=False, skipinitialspace=True, **options)
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise input_error(place, "", None, f"not a table of comma-separated values: {error}") from None
    frame.columns = frame.columns.str.strip()
    return frame[~frame.isin(["", None, np.nan]).all(axis=1)]


def _decoded(path: Path, place: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise input_error(place, "", None, f"cannot be read ({error.strerror})") from None
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise input_error(place, f"line {line}", None, "not UTF-8 text") from None
