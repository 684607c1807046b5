"""Where patients' rows come from: a CSV or Parquet file, or a data set of lifelines. Only needed columns are read.

CSV is read as it comes out of spreadsheets: UTF-8, or UTF-16 or UTF-32 with a byte order mark, separated by commas,
semicolons or tabs (numbers may then have decimal commas), lines ending in any way, blank lines anywhere.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InputError, Problem, input_error, listed, meant, shortened
from .labels import number_of
from .sources import LIFELINES

SEPARATORS = (",", ";", "\t", "|")
ENCODINGS = {  # by byte order mark; that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NO_TEXT = {  # by first bytes
    b"PK\x03\x04": "an Excel workbook or a zip file; save it as CSV or Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); save it as CSV or Parquet",
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
    b"\x1f\x8b": "compressed with gzip; decompress it",
}
WIDE = 0.1  # of the bytes are 0: two or four of them make a character


@dataclass(frozen=True)
class PatientRows:
    """Patients as a source has them, not checked.

    Parameters
    ----------
    frame
        One row per patient, with at least the wanted columns.
    place
        What messages call the source.
    row_name
        What messages call the row at a place from 0.
    decimal_comma
        Whether numbers may have a comma for the point.
    bare
        Whether the columns had no names.
    called
        What the source calls the columns, where it has them by other names.
    """

    frame: pd.DataFrame
    place: str
    row_name: Callable[[int], str]
    decimal_comma: bool = False
    bare: bool = False
    called: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, column: str) -> str:
        """Return what the source calls a column."""
        return self.called.get(column, column)


def frame_rows(frame: pd.DataFrame, wanted: Sequence[str], place: str = "patients") -> PatientRows:
    """Return patients who are in memory.

    Parameters
    ----------
    frame
        One row per patient; its index does not matter.
    wanted
        Columns that it must have.
    place
        What messages call it.

    Raises
    ------
    InputError
        Names the columns that are missing, or says that this is no frame.
    """
    frame = as_frame(frame, place)
    _check_columns(wanted, [str(name) for name in frame.columns], place)
    return PatientRows(frame[list(wanted)].reset_index(drop=True), place, lambda row: f"row {row + 1}")


def as_frame(patients: object, place: str = "patients") -> pd.DataFrame:
    """Return patients who are in memory, if they are a frame.

    Parameters
    ----------
    patients, place
        See `frame_rows`.

    Raises
    ------
    InputError
        Says what they are instead.
    """
    if isinstance(patients, pd.DataFrame):
        return patients
    allowed = f"must be a pandas.DataFrame with a row per patient, not a {type(patients).__name__}"
    raise input_error(place, "", None, allowed)


def file_rows(
    path: Path,
    name: str,
    wanted: Sequence[str],
    numbers: Sequence[str],
    *,
    aliases: Mapping[str, str] | None = None,
) -> PatientRows:
    """Return the patients of a file or of a data set.

    Parameters
    ----------
    path
        Where the file is: Parquet if it is called so, else CSV.
    name
        What the record calls it: a path, or ``lifelines:`` and the name of one of its data sets.
    wanted
        Columns to read.
    numbers
        Those of them that hold measurements rather than codes.
    aliases
        For files whose columns are known without their names: other names of the wanted columns. Letter case does
        not matter then, and a CSV file may begin with numbers: its columns are the wanted ones, in order.

    Raises
    ------
    InputError
        Names what cannot be read: file, line and column.
    """
    if name.startswith(LIFELINES):
        return frame_rows(data_set(name), wanted, name)
    if path.suffix.lower() in (".parquet", ".pq"):
        return _parquet_rows(path, name, wanted, aliases)
    return _Csv(_decoded(path, name), name, tuple(wanted), aliases).rows(numbers)


def _check_columns(wanted: Sequence[str], found: Sequence[str], place: str) -> None:
    problems = [
        *(Problem(place, f"column {one}", "", _missing(one, found)) for one in wanted if one not in found),
        *(Problem(place, f"column {one}", "", "stands there twice") for one in wanted if found.count(one) > 1),
    ]
    if problems:
        raise InputError(problems)


def _called(wanted: Sequence[str], found: Sequence[str], aliases: Mapping[str, str] | None) -> dict[str, str]:
    """Return the names under which a file has the wanted columns; their own where it does not, or is ambiguous."""
    if aliases is None:
        return {one: one for one in wanted}
    return {one: _alike(one, found) or _alike(aliases[one], found) or one for one in wanted}


def _alike(name: str, found: Sequence[str]) -> str | None:
    """Return the only name that differs in letter case at most."""
    alike = {one for one in found if one.casefold() == name}
    return name if name in alike else alike.pop() if len(alike) == 1 else None


def _missing(column: str, found: Sequence[str]) -> str:
    near = meant(column, found)
    return f"missing; there are {listed(found)}" + (f"; did you mean {shortened(near)}?" if near else "")


def data_set(name: str) -> pd.DataFrame:
    """Return a data set of lifelines.

    Parameters
    ----------
    name
        ``lifelines:`` and its name.

    Raises
    ------
    InputError
        When there is none of this name.
    """
    from lifelines import datasets

    known = [one.removeprefix("load_") for one in dir(datasets) if one.startswith("load_")]
    wanted = name.removeprefix(LIFELINES)
    if wanted not in known:
        raise input_error(name, "", None, f"not a data set of lifelines; give one of {', '.join(known)}")
    frame: pd.DataFrame = getattr(datasets, f"load_{wanted}")()
    return frame


def _parquet_rows(path: Path, name: str, wanted: Sequence[str], aliases: Mapping[str, str] | None) -> PatientRows:
    from pyarrow import ArrowException, parquet

    try:
        found = parquet.read_schema(path).names
        called = _called(wanted, found, aliases)
        _check_columns([*called.values()], found, name)
        frame = parquet.read_table(path, columns=[*called.values()]).to_pandas(ignore_metadata=True)
    except InputError:
        raise
    except OSError as error:
        raise input_error(name, "", None, f"cannot be read ({error.strerror or 'not Parquet'})") from None
    except (ArrowException, ValueError):
        raise input_error(name, "", None, "cannot be read (not Parquet)") from None
    wanted_names = {column: one for one, column in called.items()}
    return replace(frame_rows(frame.rename(columns=wanted_names), wanted, name), called=called)


# --- CSV ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Csv:
    """The text of a CSV file, lines ending as Unix has them, and the columns that are wanted of it."""

    text: str
    place: str
    wanted: tuple[str, ...]
    aliases: Mapping[str, str] | None = None

    @cached_property
    def separator(self) -> str:
        """The separator under which most of the wanted columns are there, then the one that makes most columns."""
        bare = [one for one in SEPARATORS if self._holds_numbers(one)]
        headers = {one: _header(self.text, one) for one in bare or SEPARATORS}
        named = {one: {*_called(self.wanted, names, self.aliases).values()} for one, names in headers.items()}
        return max(headers, key=lambda one: (len({*headers[one]} & named[one]), len(headers[one])))

    def _holds_numbers(self, separator: str) -> bool:
        """Return whether the first row holds numbers of the wanted columns where names may be left out."""
        first = [_point(text) if separator != "," else text for text in _header(self.text, separator)]
        return self.aliases is not None and len(first) == len(self.wanted) and all(map(_is_number, first))

    @cached_property
    def bare(self) -> bool:
        """Whether the columns have no names."""
        return self._holds_numbers(self.separator)

    @cached_property
    def header(self) -> list[str]:
        """The names of the columns."""
        return list(self.wanted) if self.bare else _header(self.text, self.separator)

    @cached_property
    def called(self) -> dict[str, str]:
        """The names under which the file has the wanted columns."""
        return _called(self.wanted, self.header, self.aliases)

    def rows(self, numbers: Sequence[str]) -> PatientRows:
        """Return the wanted columns: measurements as text, codes as categories of text."""
        if not self.header:
            raise input_error(self.place, "", None, "is empty")
        _check_columns([*self.called.values()], self.header, self.place)
        frame = self._frame(numbers)
        self._check_widths()
        kept = np.flatnonzero(~self._blank(frame))
        name = self._row_name
        found = frame if len(kept) == len(frame) else frame.iloc[kept].reset_index(drop=True)
        decimal_comma = self.separator != ","
        return PatientRows(found, self.place, lambda row: name(int(kept[row])), decimal_comma, self.bare, self.called)

    def _frame(self, numbers: Sequence[str]) -> pd.DataFrame:
        """Return the wanted columns, rows as they stand after the header; what a row has beyond it is cut off."""
        places = {one: self.header.index(name) for one, name in self.called.items()}
        types = {place: str if name in numbers else "category" for name, place in places.items()}
        options: dict[str, Any] = {"dtype": types, "na_filter": False, "skip_blank_lines": False, "index_col": False}
        try:
            frame: pd.DataFrame = pd.read_csv(
                io.StringIO(self.text),
                sep=self.separator,
                header=None,
                names=range(len(self.header)),
                skiprows=self._blank_lines + (not self.bare),
                usecols=list(places.values()),
                skipinitialspace=True,
                **options,
            )
        except pd.errors.EmptyDataError:
            frame = pd.DataFrame({place: pd.Series(dtype=str) for place in places.values()})
        except pd.errors.ParserError:
            raise InputError([self._unclosed()]) from None
        return frame.rename(columns={place: name for name, place in places.items()})

    def _check_widths(self) -> None:
        """Refuse a row with more fields than the header, unless they are empty."""
        columns = len(self.header)
        if '"' not in self.text:
            content = np.frombuffer(self.text.encode(), dtype=np.uint8)
            ends = np.append(np.flatnonzero(content == ord("\n")), content.size)
            separators = np.searchsorted(np.flatnonzero(content == ord(self.separator)), ends)
            if np.diff(separators, prepend=0).max() < columns:
                return
        for row, record in enumerate(self._records()):
            if any(text.strip() for text in record[columns:]):
                fields, named = number_of(len(record), "field"), number_of(columns, "column")
                allowed = f"has {fields}, but the header names {named}"
                raise input_error(self.place, self._row_name(row), None, allowed)

    def _starts_of(self, record: int) -> int:
        """Return how many lines stand before a record, blank ones counted; the header is record 0."""
        return self._starts[record] if '"' in self.text else record + self._blank_lines

    @cached_property
    def _blank_lines(self) -> int:
        return len(self.text) - len(self.text.lstrip("\n"))

    @cached_property
    def _starts(self) -> list[int]:
        """Lines before each record: only needed where quoted text holds line breaks."""
        reader = csv.reader(io.StringIO(self.text), delimiter=self.separator, skipinitialspace=True)
        starts = [0]
        starts += [reader.line_num for _ in reader]
        return starts[self._blank_lines :]

    def _row_name(self, row: int) -> str:
        return f"line {self._starts_of(row + (not self.bare)) + 1}"

    def _blank(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows hold nothing at all, in other columns either."""
        blank = np.logical_and.reduce([frame[name].str.strip().eq("").to_numpy() for name in self.wanted])
        if blank.any():
            rows = np.flatnonzero(blank)
            others = {row: record for row, record in enumerate(self._records()) if row in set(rows.tolist())}
            blank[rows] = [not any(text.strip() for text in others.get(row, [])) for row in rows.tolist()]
        return np.asarray(blank)

    def _records(self, strict: bool = False) -> Iterator[list[str]]:
        """Yield the records, without the header."""
        lines = io.StringIO(self.text[self._blank_lines :])
        reader = csv.reader(lines, delimiter=self.separator, skipinitialspace=True, strict=strict)
        if not self.bare:
            next(reader, None)
        yield from reader

    def _unclosed(self) -> Problem:
        """Return what is wrong with a text that is no table: a quotation mark that is not closed."""
        whole = 0
        try:
            for _ in self._records(strict=True):
                whole += 1
        except csv.Error as error:
            return Problem(self.place, self._row_name(whole), "", f"not a row of separated values ({error})")
        return Problem(self.place, "", "", "not a table of separated values")


def _header(text: str, separator: str) -> list[str]:
    record = next(csv.reader(io.StringIO(text.lstrip("\n")), delimiter=separator, skipinitialspace=True), [])
    return [name.strip() for name in record]


def _point(text: str) -> str:
    return text.replace(",", ".")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _decoded(path: Path, place: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise input_error(place, "", None, f"cannot be read ({error.strerror})") from None
    try:
        text = content.decode(_encoding(content, place))
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("latin-1")
        line, start = before.count("\n") + 1, before.rfind("\n") + 1
        shown = content[start:].split(b"\n", 1)[0].decode("latin-1").strip()
        where = f"line {line}, character {len(before) - start + 1}"
        raise input_error(place, where, shown, "not UTF-8 text; save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _encoding(content: bytes, place: str) -> str:
    """Return how a text is encoded, and refuse what is none."""
    for beginning, kind in NO_TEXT.items():
        if content.startswith(beginning):
            raise input_error(place, "", None, f"not CSV but {kind}")
    for mark, encoding in ENCODINGS.items():
        if content.startswith(mark):
            return encoding
    if content.count(0) > WIDE * len(content):
        allowed = "looks like UTF-16 or UTF-32 without a byte order mark; save the file as UTF-8"
        raise input_error(place, "", None, allowed)
    return "utf-8-sig"
