"""Patients' own data: one row each in a file or a frame, checked, in one form.

What the columns mean is told by the record's ``patients``. Codes match as they are written, else by what they mean:
``1``, ``1.0`` and ``true`` are one code. Who is in neither arm is left out; of whom a factor is not known stays, for
what needs it not. Grouping into a survival table is `patient_table`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import ValidationError

from .cohort import LONGEST, MONTHS
from .errors import InputError, Problem, input_error, listed
from .fields import ARMS
from .labels import number_of
from .patient_files import PatientRows, file_rows, frame_rows
from .record import Record
from .sources import Patients

Array = NDArray[np.float64]
Tell = Callable[[str], object]
SHOWN = 5  # rows named of each fault
CODED = {"0", "1"}  # an event coded as one of these has the other for censoring
DECIMAL = re.compile(r"[+-]?\d+,\d+")  # a number with a decimal comma
TRUTH = {"true": "1", "false": "0"}
UNKNOWN = {"", "na", "n/a", "#n/a", "nan", "<na>", "null", "."}  # where levels do not hold it
MOST_LEVELS = 12  # by default
LONG, SHORT = 300.0, 2.0  # follow-up of more months, or fewer of the unit, is odd
FEWEST_TIMES = 20  # that are no whole numbers, to tell a unit by
DAYS_OFF = 0.2  # within this of a whole number of days


def silent(_: str) -> None:
    """Tell nobody."""


def read_patients(record: Record, tell: Tell = silent) -> pd.DataFrame:
    """Read and check the patients whom a record names or holds.

    Parameters
    ----------
    record
        With ``patients``; their file lies where the record says, relative to the record's own file.
    tell
        Told who is left out, and what is taken for granted or odd.

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
        return check_patients(record.held, record, tell=tell)
    if not source.file:
        allowed = "missing: name a file of patients, or hand them over in a notebook (patients=...)"
        raise input_error(record.place, "patients.file", None, allowed)
    return _checked(_file_rows(source, record.beside(source.file)), record, tell)


def check_patients(frame: pd.DataFrame, record: Record, place: str = "patients", tell: Tell = silent) -> pd.DataFrame:
    """Check patients' data and return them in one form.

    Parameters
    ----------
    frame
        One row per patient, with the columns that the record's ``patients`` names.
    record
        The trial.
    place
        What messages call the data.
    tell
        See `read_patients`.

    Returns
    -------
    pandas.DataFrame
        Columns ``entry`` and ``time`` (in the record's unit), ``event`` (bool), ``arm`` (categorical, control and
        treatment) and every factor (categorical, levels in the record's order, missing where it is not known).

    Raises
    ------
    InputError
        Names every problem found; of many rows with the same fault, the first five.
    """
    record = record.holding(frame)
    return _checked(frame_rows(frame, wanted_columns(_source(record)), place), record, tell)


def wanted_columns(source: Patients) -> list[str]:
    """Return the columns that a source of patients must have."""
    factors = (source.column(name) for name in source.factors)
    wanted = (source.time, source.event, source.arm, source.entry, source.id, *factors)
    return list(dict.fromkeys(filter(None, wanted)))


def frame_levels(record: Record, frame: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the levels of factors of which the record declares none: those of patients in memory.

    Parameters
    ----------
    record
        The trial.
    frame
        One row per patient.
    """
    names = [name for name, factor in record.factors.items() if not factor.levels]
    return _levels(_source(record), frame_rows(frame, wanted_columns(_source(record))), names) if names else {}


def file_levels(raw: Mapping[str, Any], directory: Path) -> dict[str, tuple[str, ...]]:
    """Return the levels of factors of which an unchecked record declares none: those in its patients' file.

    Parameters
    ----------
    raw
        The record as read from TOML.
    directory
        Where its file lies.
    """
    try:
        source = Patients.model_validate(raw.get("patients"))
    except ValidationError:
        return {}
    factors = raw.get("factors")
    tables = factors.items() if isinstance(factors, Mapping) else []
    names = [name for name, one in tables if isinstance(one, Mapping) and "levels" not in one]
    wanted = [name for name in names if name in source.factors]
    return _levels(source, _file_rows(source, directory / source.file), wanted) if wanted and source.file else {}


def _file_rows(source: Patients, path: Path) -> PatientRows:
    numbers = [source.time, source.entry, *(source.column(name) for name in source.cut)]
    return file_rows(path, source.file, wanted_columns(source), [one for one in numbers if one])


def _levels(source: Patients, rows: PatientRows, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    reading = _Reading(_of_arms(rows, source, silent))
    found = {name: reading.default_levels(source, name) for name in names}
    if reading.problems:
        raise InputError(reading.problems)
    return found


def _of_arms(rows: PatientRows, source: Patients, tell: Tell) -> PatientRows:
    """Return the rows of the two arms, where both occur: there may be others, but no other spellings of these."""
    codes, texts = _Reading(rows).texts(source.arm)
    arms = {_code(source.control).casefold(), _code(source.treatment).casefold()}
    others = np.array([_code(text).casefold() not in arms for text in texts] + [False])
    if not others.any() or not arms <= {_code(text).casefold() for text in texts}:
        return rows
    if any(isinstance(value, list | tuple | dict | set) for value in rows.frame[source.arm]):
        return rows  # nothing that names an arm
    number, total = int(others[codes].sum()), len(codes)
    counts = (f"{text} {(codes == place).sum()}" for place, text in enumerate(texts) if others[place])
    column = f"{rows.place}: column {source.arm}: {number} of {total}"
    tell(f"{column} patients are in neither of the two arms and left out ({listed([*counts])})")
    return rows.subset(~others[codes])


def _checked(rows: PatientRows, record: Record, tell: Tell) -> pd.DataFrame:
    if rows.frame.empty:
        raise input_error(rows.place, "", None, "holds no patient")
    source = _source(record)
    rows = _of_arms(rows, source, tell)
    reading, unit = _Reading(rows), source.unit or record.time_unit
    scale = MONTHS[record.time_unit] / MONTHS[unit]
    entry, time = _times(source, unit, reading)
    columns: dict[str, Any] = {"entry": entry * scale, "time": time * scale}
    columns["event"] = reading.events(source)
    columns["arm"] = reading.levels(source.arm, (source.control, source.treatment), ARMS)
    for name in source.factors:
        columns[name] = reading.factor(source, name, record.factors[name].levels)
    if source.id:
        reading.once(source.id)
    if reading.problems:
        raise InputError(reading.problems)
    patients = pd.DataFrame(columns)
    if absent := [*_absent(patients, record, rows.place)]:
        raise InputError(absent)
    if source.unit is None:
        tell(f"patients.unit is not given: times of {rows.place} are taken as {unit}, the record's time_unit")
    for note in (*_odd_unit(time, unit), *_repeated(rows, source)):
        tell(f"{rows.place}: {note}")
    return patients


def _odd_unit(time: Array, unit: str) -> Iterator[str]:
    """Yield why times seem to be in another unit than they are said to be."""
    longest = float(time.max()) / MONTHS[unit]
    parts = np.unique(time[time % 1 != 0])
    days = MONTHS["days"] / np.array([MONTHS[one] for one in MONTHS])
    off = {one: _off_whole_days(parts, length) for one, length in zip(MONTHS, days, strict=True)}
    fit = [one for one in ("months", "years", "weeks") if off[one] <= DAYS_OFF]
    if longest > LONG:
        years = f"{longest / 12:.0f} years"
        yield f"the longest time is {time.max():g} {unit}, which is {years}: are they {unit}? see patients.unit"
    elif parts.size < FEWEST_TIMES or off[unit] <= DAYS_OFF:
        return
    elif fit:
        yield f"all times are whole days if they are {fit[0]}, but not if they are {unit}: see patients.unit"
    elif time.max() <= SHORT and unit != "years":
        yield f"the longest time is {time.max():g} {unit}: are they {unit}, or years? see patients.unit"


def _off_whole_days(time: Array, days: float) -> float:
    """Return how far times are off whole days at most, or may be by their rounding."""
    places = next((places for places in range(10) if np.abs(time - time.round(places)).max(initial=0) < 1e-10), 12)
    return max(float(np.abs(time * days - np.round(time * days)).max(initial=0)), days * 0.5 * 10.0**-places)


def _repeated(rows: PatientRows, source: Patients) -> Iterator[str]:
    """Yield which columns seem to number the patients, but hold numbers twice."""
    for name in [] if source.id else [one for one in rows.ids if one not in wanted_columns(source)]:
        values = rows.frame[name].astype(str).str.strip()
        values = values[values.ne("") & rows.frame[name].notna()]
        if again := int(values.duplicated().sum()):
            many = f"{again} of {number_of(len(values), 'row')} repeat an earlier one's"
            yield f"column {name}: {many}: must be a row per patient; patients.id = {name!r} has that checked"


def _times(source: Patients, unit: str, reading: _Reading) -> tuple[Array, Array]:
    """Return times of entry and of the end, in the source's unit."""
    time = reading.times(source.time, unit)
    most = LONGEST * MONTHS[unit]
    reading.refuse(source.time, time > most, f"must be at most {most:g} {unit}, a century; see patients.unit")
    if not source.entry:
        return np.zeros(len(time)), time
    entry = reading.times(source.entry, unit)
    reading.refuse(source.entry, (entry > 0) & (entry >= time), f"must lie before {source.time}")
    return entry, time


def _absent(patients: pd.DataFrame, record: Record, place: str) -> list[Problem]:
    """Return who or what is missing: an arm, its deaths, a level, or any follow-up."""
    source, counted = _source(record), patients.groupby("arm", observed=False)["event"].agg(["size", "sum"])
    codes = {arm: f"{arm} ({getattr(source, arm)})" for arm in ARMS}
    arms = [codes[arm] for arm in ARMS if not counted.loc[arm, "size"]]
    found = [
        *((source.arm, f"no patient of {name}") for name in arms),
        *(
            []
            if counted["sum"].any()
            else [(source.event, f"nobody has the event ({', '.join(source.event_value)})")]
        ),
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

    def numbers(self, column: str, *, percent: bool = False) -> Array:
        """Return a column as numbers, not finite where it holds none; ``%`` may follow them."""
        values = self.frame[column]
        if values.dtype.kind in "mMc":  # times of a calendar or a clock are no numbers, nor are complex ones
            return np.full(len(values), np.nan)
        if values.dtype == object or isinstance(values.dtype, pd.CategoricalDtype | pd.StringDtype):
            values = values.astype(str).str.strip().str.replace("\u00b7", ".", regex=False)
            if self.rows.decimal_comma:
                values = values.str.replace(",", ".", regex=False)
            values = values.str.removesuffix("%") if percent else values
        return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)

    def times(self, column: str, unit: str) -> Array:
        """Return a column of times."""
        values = self.numbers(column)
        self.refuse(column, ~(np.isfinite(values) & (values >= 0)), f"must be a number of {unit}, 0 or above")
        return np.where(np.isfinite(values), values, 0.0)

    def events(self, source: Patients) -> NDArray[np.bool_]:
        """Return of whom the event is told."""
        column, event = source.event, " or ".join(source.event_value)
        codes, texts = self.texts(column)
        means = [_code(text) for text in texts]
        died = {*map(_code, source.event_value)}
        frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=len(means)), kind="stable")
        others = list(dict.fromkeys(means[place] for place in frequent if means[place] not in {*died, ""}))
        coded = len(died) == 1 and died <= CODED
        allowed = died | ({*map(_code, source.censored)} or (CODED if coded else {*others[:1]}))
        if not died & {*means} and not {*others} <= CODED | allowed:
            told = f"no row has this; there are {listed(others)}: tell which is the event in patients.event_value"
            self.refuse_all(column, event, told)
            self.refuse(column, codes < 0, "missing, but required")
        else:
            rule = _event_rule(event, coded, others, source.censored)
            self.refuse(column, ~_among(codes, means, allowed), rule)
        return _among(codes, means, died)

    def levels(self, column: str, values: Sequence[str], names: Sequence[str]) -> pd.Categorical:
        """Return a column of values as a categorical of their names."""
        own = self._places(column, values)
        self.refuse(column, own < 0, f"must be {' or '.join(values)}")
        return _categorical(own, names)

    def factor(self, source: Patients, name: str, levels: Sequence[str]) -> pd.Categorical:
        """Return a factor as a categorical of its levels, missing where it is not known and no level says so."""
        column, measured = source.column(name), source.measured(tuple(levels))
        if cuts := source.cut.get(name):
            values = self.numbers(column, percent=True)
            known = np.isfinite(values)
            own = np.where(known, np.searchsorted(cuts, values, side="right"), -1)
            rule = "must be a number"
        else:
            own, rule, measured = self._places(column, levels), f"must be {' or '.join(levels)}", tuple(levels)
        unknown = (own < 0) & self._unknown(column, source.missing)
        if not cuts and (own < 0).all() and (number := self._different_numbers(column)) > len(levels):
            told = f"{number} different numbers, no levels; tell where to divide them in patients.cut.{name}"
            self.refuse_all(column, "", told)
        else:
            self.refuse(column, (own < 0) & ~unknown, rule)
        places = np.array([*map([*levels].index, measured), -1])[own]  # there may be a level of the unknown between
        if source.missing in levels:
            places[unknown] = [*levels].index(source.missing)
        return _categorical(places, levels)

    def default_levels(self, source: Patients, name: str) -> tuple[str, ...]:
        """Return the levels of a factor that its cuts make, or that the column holds."""
        column = source.column(name)
        unknown = self._unknown(column, source.missing)
        if cuts := source.cut.get(name):
            inner = [f"{low:g} to {high:g}" for low, high in pairwise(cuts)]
            found = [f"below {cuts[0]:g}", *inner, f"{cuts[-1]:g} or more"]
        else:
            codes, texts = self.texts(column)
            kept = dict.fromkeys(_code(texts[code], {}) for code in np.unique(codes[~unknown]))
            found = sorted(kept, key=lambda text: (float(text) if _is_number(text) else np.inf, text))
            if not 1 < len(found) <= MOST_LEVELS:
                told = f"{number_of(len(found), 'different value')}: give factors.{name}.levels, or bounds of levels"
                self.refuse_all(column, "", f"{told} in patients.cut.{name}")
        return (*found, *([source.missing] if source.missing and unknown.any() else []))

    def once(self, column: str) -> None:
        """Refuse rows that have an earlier one's value, or none."""
        values = self.frame[column].astype(str).str.strip()
        wrong = values.duplicated() | values.eq("") | self.frame[column].isna()
        self.refuse(column, wrong.to_numpy(), "stands in an earlier row too; give one row per patient")

    def _places(self, column: str, values: Sequence[str]) -> NDArray[np.int64]:
        """Return each row's place among values, -1 for none of them."""
        codes, texts = self.texts(column)
        places = {_code(value): place for place, value in enumerate(values)}
        exact = {value: place for place, value in enumerate(values)}
        if len(places) < len(values):  # levels such as 1 and 1.0 are told apart as they are written
            places = exact
        return np.array([exact.get(text, places.get(_code(text), -1)) for text in texts] + [-1])[codes]

    def _unknown(self, column: str, missing: str = "") -> NDArray[np.bool_]:
        """Return which rows hold nothing, or what says so."""
        codes, texts = self.texts(column)
        return np.array([text.casefold() in UNKNOWN or text == missing for text in texts] + [True])[codes]

    def _different_numbers(self, column: str) -> int:
        """Return how many different numbers a column holds, 0 if anything else."""
        values = self.numbers(column)
        known = np.isfinite(values)
        return len(np.unique(values[known])) if (known | self._unknown(column)).all() else 0

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return each row's place among the texts of the distinct values, -1 for none."""
        try:
            codes, values = pd.factorize(self.frame[column])
        except TypeError:  # lists and the like
            codes, values = pd.factorize(self.frame[column].astype(str))
        texts = [str(value).strip() for value in values]
        if self.rows.decimal_comma:
            texts = [text.replace(",", ".") if DECIMAL.fullmatch(text) else text for text in texts]
        blank = np.array([text == "" for text in texts] + [False])
        return np.where(blank[codes], -1, codes), texts


def _categorical(codes: Any, names: Sequence[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(names)))


def _among(codes: NDArray[np.int64], texts: Sequence[str], allowed: set[str]) -> NDArray[np.bool_]:
    return np.array([text in allowed for text in texts] + [False])[codes]


def _event_rule(event: str, coded: bool, others: Sequence[str], censored: Sequence[str]) -> str:
    """Return what a column of events may hold: 0 and 1, else the event's value and the most frequent other."""
    if censored:
        return f"must be {event} for the event, or {' or '.join(censored)} for censoring; see patients.censored"
    if not coded:
        one = f"must be {event} or one value that stands for censoring, such as {others[0] if others else 0}"
        return f"{one}; several are named in patients.censored"
    if len(others) == 1 and others[0] not in CODED:
        return f"must be 0 or 1; if {others[0]} stands for the event, tell so in patients.event_value"
    return "must be 0 or 1; name other codes in patients.event_value and patients.censored"


def _code(text: str, truth: Mapping[str, str] = TRUTH) -> str:
    """Return what a code means: whole numbers without a point, truth as 1 and 0."""
    if text.lower() in truth:
        return truth[text.lower()]
    return str(int(float(text))) if _is_number(text) and float(text).is_integer() else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _source(record: Record) -> Patients:
    if record.patients is None:
        raise input_error(record.place, "patients", None, "missing: the record names no file of patients")
    return record.patients
