"""Patients' own data: one row each in a file or a frame, checked, in one form.

What the columns mean is told by the record's ``patients``. Codes match as they are written, else by what they mean:
``1``, ``1.0`` and ``true`` are one code. Grouping into a survival table is `patient_table`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .cohort import LONGEST, MONTHS
from .errors import InputError, Problem, input_error, listed
from .fields import ARMS
from .labels import number_of
from .patient_files import PatientRows, file_rows, frame_rows
from .record import Record
from .sources import Patients

Array = NDArray[np.float64]
SHOWN = 5  # rows named of each fault
CODED = ("0", "1")  # an event coded as one of these has the other for censoring
TRUTH = {"true": "1", "false": "0"}


def read_patients(record: Record) -> pd.DataFrame:
    """Read and check the patients whom a record names or holds.

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
    if record.held is not None:
        return check_patients(record.held, record)
    if not source.file:
        allowed = "missing: name a file of patients, or hand them over in a notebook (patients=...)"
        raise input_error(record.place, "patients.file", None, allowed)
    numbers = [source.time, source.entry, *(source.column(name) for name in source.cut)]
    return _checked(file_rows(record.beside(source.file), source.file, wanted_columns(source), numbers), record)


def check_patients(frame: pd.DataFrame, record: Record, place: str = "patients") -> pd.DataFrame:
    """Check patients' data and return them in one form.

    Parameters
    ----------
    frame
        One row per patient, with the columns that the record's ``patients`` names.
    record
        The trial.
    place
        What messages call the data.

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
    return _checked(frame_rows(frame, wanted_columns(_source(record)), place), record)


def wanted_columns(source: Patients) -> list[str]:
    """Return the columns that a source of patients must have."""
    factors = (source.column(name) for name in source.factors)
    return list(dict.fromkeys(filter(None, [source.time, source.event, source.arm, source.entry, *factors])))


def _checked(rows: PatientRows, record: Record) -> pd.DataFrame:
    if rows.frame.empty:
        raise input_error(rows.place, "", None, "holds no patient")
    source, reading = _source(record), _Reading(rows)
    scale = MONTHS[record.time_unit] / MONTHS[source.unit]
    entry, time = _times(source, reading)
    columns: dict[str, Any] = {"entry": entry * scale, "time": time * scale}
    columns["event"] = reading.events(source.event, source.event_value)
    columns["arm"] = reading.levels(source.arm, (source.control, source.treatment), ARMS)
    for name in source.factors:
        levels, cuts = record.factors[name].levels, source.cut.get(name)
        column = source.column(name)
        columns[name] = reading.cut(column, cuts, levels) if cuts else reading.levels(column, levels, levels, name)
    if reading.problems:
        raise InputError(reading.problems)
    patients = pd.DataFrame(columns)
    if absent := [*_absent(patients, record, rows.place)]:
        raise InputError(absent)
    return patients


def _times(source: Patients, reading: _Reading) -> tuple[Array, Array]:
    """Return times of entry and of the end, in the source's unit."""
    time = reading.times(source.time, source.unit)
    most = LONGEST * MONTHS[source.unit]
    reading.refuse(source.time, time > most, f"must be at most {most:g} {source.unit}, a century; see patients.unit")
    if not source.entry:
        return np.zeros(len(time)), time
    entry = reading.times(source.entry, source.unit)
    reading.refuse(source.entry, (entry > 0) & (entry >= time), f"must lie before {source.time}")
    return entry, time


def _absent(patients: pd.DataFrame, record: Record, place: str) -> list[Problem]:
    """Return who or what is missing: an arm, its deaths, a level, or any follow-up."""
    source, counted = _source(record), patients.groupby("arm", observed=False)["event"].agg(["size", "sum"])
    codes = {arm: f"{arm} ({getattr(source, arm)})" for arm in ARMS}
    arms = [codes[arm] for arm in ARMS if not counted.loc[arm, "size"]]
    deaths = [codes[arm] for arm in ARMS if counted.loc[arm, "size"] and not counted.loc[arm, "sum"]]
    found = [
        *((source.arm, f"no patient of {name}") for name in arms),
        *((source.event, f"nobody of {name} has the event ({source.event_value})") for name in deaths),
        *([] if patients["time"].max() > 0 else [(source.time, "nobody was followed: all are 0")]),
    ]
    for name in source.factors:
        if empty := [str(level) for level, number in patients[name].value_counts().items() if not number]:
            allowed = f"no patient has {' or '.join(empty)}; take that out of factors.{name}.levels"
            found.append((source.column(name), allowed))
    return [Problem(place, f"column {column}", "", allowed) for column, allowed in found]


class _Reading:
    """Columns of patients' rows turned into what they mean; faults are gathered."""

    def __init__(self, rows: PatientRows) -> None:
        self.rows, self.frame = rows, rows.frame
        self.problems: list[Problem] = []

    def refuse(self, column: str, wrong: NDArray[np.bool_], allowed: str) -> None:
        """Gather the rows that are wrong."""
        rows = np.flatnonzero(wrong)
        for row in rows[:SHOWN].tolist():
            value = self.frame[column].iloc[row]
            shown = "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip()
            text = "missing, but required" if shown == "" else allowed
            where = f"{self.rows.row_name(row)}, column {column}"
            self.problems.append(Problem(self.rows.place, where, shown, text))
        if len(rows) > SHOWN:
            self.refuse_all(column, number_of(len(rows) - SHOWN, "more row"), allowed)

    def refuse_all(self, column: str, value: str, allowed: str) -> None:
        """Gather what is wrong with a column as a whole."""
        self.problems.append(Problem(self.rows.place, f"column {column}", value, allowed))

    def numbers(self, column: str) -> Array:
        """Return a column as numbers, not finite where it holds none."""
        values = self.frame[column]
        if values.dtype.kind in "mMc":  # times of a calendar or a clock are no numbers, nor are complex ones
            return np.full(len(values), np.nan)
        if self.rows.decimal_comma:
            values = values.astype(str).str.replace(",", ".", regex=False)
        return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)

    def times(self, column: str, unit: str) -> Array:
        """Return a column of times."""
        values = self.numbers(column)
        self.refuse(column, ~(np.isfinite(values) & (values >= 0)), f"must be a number of {unit}, 0 or above")
        return np.where(np.isfinite(values), values, 0.0)

    def events(self, column: str, event: str) -> NDArray[np.bool_]:
        """Return whether a column says that the event occurred."""
        codes, texts = self._texts(column)
        means = [_code(text) for text in texts]
        died = _code(event)
        frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(means)), kind="stable")
        others = list(dict.fromkeys(means[place] for place in frequent if means[place] not in (died, "")))
        coded = died in CODED
        allowed = {*CODED} if coded else {died, *others[:1]}
        if died not in means and not {*others} <= {*CODED}:
            told = f"no row has this; there are {listed(others)}: tell which is the event in patients.event_value"
            self.refuse_all(column, event, told)
            self.refuse(column, codes < 0, "missing, but required")
        else:
            self.refuse(column, ~_among(codes, means, allowed), _event_rule(event, coded, others))
        return _among(codes, means, {died})

    def levels(self, column: str, values: Sequence[str], names: Sequence[str], factor: str = "") -> pd.Categorical:
        """Return a column of values, of a factor or not, as a categorical of their names."""
        codes, texts = self._texts(column)
        places = {_code(value): place for place, value in enumerate(values)}
        exact = {value: place for place, value in enumerate(values)}
        if len(places) < len(values):  # levels such as 1 and 1.0 are told apart as they are written
            places = exact
        own = np.array([exact.get(text, places.get(_code(text), -1)) for text in texts] + [-1])[codes]
        if factor and len(texts) > len(values) and (own < 0).all() and self._is_measured(column, codes):
            told = f"{len(texts)} different numbers, no levels; tell where to divide them in patients.cut.{factor}"
            self.refuse_all(column, "", told)
        else:
            self.refuse(column, own < 0, f"must be {' or '.join(values)}")
        return _categorical(own, names)

    def cut(self, column: str, cuts: Sequence[float], names: Sequence[str]) -> pd.Categorical:
        """Return a measured characteristic as a categorical; a cut belongs to the level above it."""
        values = self.numbers(column)
        self.refuse(column, ~np.isfinite(values), "must be a number")
        return _categorical(np.searchsorted(cuts, values, side="right"), names)

    def _is_measured(self, column: str, codes: NDArray[np.int64]) -> bool:
        """Return whether a column holds numbers wherever it holds anything."""
        return bool((np.isfinite(self.numbers(column)) | (codes < 0)).all())

    def _texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return each row's place among the texts of the distinct values, -1 for none."""
        try:
            codes, values = pd.factorize(self.frame[column])
        except TypeError:  # lists and the like
            codes, values = pd.factorize(self.frame[column].astype(str))
        texts = [str(value).strip() for value in values]
        blank = np.array([text == "" for text in texts] + [False])
        return np.where(blank[codes], -1, codes), texts


def _categorical(codes: Any, names: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def _among(codes: NDArray[np.int64], texts: Sequence[str], allowed: set[str]) -> NDArray[np.bool_]:
    return np.array([text in allowed for text in texts] + [False])[codes]


def _event_rule(event: str, coded: bool, others: Sequence[str]) -> str:
    """Return what a column of events may hold: 0 and 1, else the event's value and the most frequent other."""
    if not coded:
        return f"must be {event} or one value that stands for censoring, such as {others[0] if others else 0}"
    other = others[0] if len(others) == 1 and others[0] not in CODED else ""
    return "must be 0 or 1" + (f"; if {other} stands for the event, tell so in patients.event_value" if other else "")


def _code(text: str) -> str:
    """Return what a code means: whole numbers without a point, truth as 1 and 0."""
    if text.lower() in TRUTH:
        return TRUTH[text.lower()]
    try:
        number = float(text)
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _source(record: Record) -> Patients:
    if record.patients is None:
        raise input_error(record.place, "patients", None, "missing: the record names no file of patients")
    return record.patients
