"""Where patients' rows come from: a CSV, Parquet or Excel file, or a frame. Only needed columns are kept.

CSV is read as it comes out of spreadsheets and other programs: UTF-8, or UTF-16 or UTF-32 with a byte order mark,
separated by commas, semicolons, tabs, bars or spaces (but for commas, numbers may have decimal commas), lines ending
in any way, blank lines and comments (``#``) anywhere.
"""

from __future__ import annotations

import _csv
import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InputError, Problem, input_error, listed, meant, shortened
from .labels import number_of
from .sources import LIFELINES

SEPARATORS = (",", ";", "\t", "|")  # spaces where none of these divides the header
COMMENT, END = "#", "\0"
UTF_32, UTF_16 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE), (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
NO_TEXT = {  # by first bytes
    b"PK\x03\x04": "an Excel workbook or a zip file; save it as CSV or Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); save it as CSV or Parquet",
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
    b"\x1f\x8b": "compressed with gzip; decompress it",
}
PARQUET, EXCEL = (".parquet", ".pq"), (".xlsx", ".xlsm", ".xls", ".ods")
Recogniser = Callable[[Sequence[str]], Mapping[str, str]]  # from a file's columns to the names of wanted ones
IDS = (
    "id",
    "pid",
    "patid",
    "patno",
    "patient",
    "patientid",
    "patientno",
    "subject",
    "subjectid",
    "subjid",
    "usubjid",
)


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
        What the source calls the columns.
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

    def subset(self, chosen: NDArray[np.bool_]) -> PatientRows:
        """Return the chosen rows, which keep their names."""
        rows, name = np.flatnonzero(chosen), self.row_name
        return replace(
            self, frame=self.frame[chosen].reset_index(drop=True), row_name=lambda row: name(int(rows[row]))
        )

    @property
    def ids(self) -> list[str]:
        """Columns whose names say that they number the patients."""
        return [name for name in self.frame.columns if _is_id(name)]


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


def frame_rows(
    frame: pd.DataFrame,
    wanted: Sequence[str],
    place: str = "patients",
    *,
    recognise: Recogniser | None = None,
    first: int = 1,
) -> PatientRows:
    """Return patients who are in memory.

    Parameters
    ----------
    frame
        One row per patient; its index does not matter.
    wanted
        Columns that it must have.
    place
        What messages call it.
    recognise
        See `file_rows`.
    first
        Number of the first row in messages.

    Raises
    ------
    InputError
        Names the columns that are missing, or says that this is no frame.
    """
    found = [str(name) for name in as_frame(frame, place).columns]
    called = _called(wanted, found, recognise, place)
    chosen = frame.iloc[:, [found.index(name) for name in called.values()]]
    named = chosen.set_axis([*called], axis="columns").reset_index(drop=True)
    return PatientRows(named, place, lambda row: f"row {row + first}", called=called)


def file_rows(
    path: Path,
    name: str,
    wanted: Sequence[str],
    numbers: Sequence[str],
    *,
    recognise: Recogniser | None = None,
) -> PatientRows:
    """Return the patients of a file.

    Parameters
    ----------
    path
        Where the file is: Parquet or Excel if it is called so, else CSV.
    name
        What the record calls it.
    wanted
        Columns to read.
    numbers
        Those of them that hold measurements rather than codes.
    recognise
        For files whose columns may be called otherwise: tells what the wanted ones are called, of those it finds. A
        CSV file may begin with numbers then (its columns are the wanted ones, in order), and what begins with ``#``
        is always a comment.

    Raises
    ------
    InputError
        Names what cannot be read: file, line and column.
    """
    if name.startswith(LIFELINES):
        allowed = "data sets of lifelines are not read any more: save it as CSV (gbsg2 is a built-in trial)"
        raise input_error(name, "", None, allowed)
    if path.suffix.lower() in PARQUET:
        return frame_rows(_parquet(path, name, wanted, recognise), wanted, name, recognise=recognise)
    if path.suffix.lower() in EXCEL:
        sheet = _excel(path, name)
        rows = frame_rows(sheet, wanted, name, recognise=recognise, first=2)
        return rows.subset(sheet.notna().any(axis="columns").to_numpy())
    return _csv_rows(_decoded(path, name), name, wanted, numbers, recognise)


def _called(wanted: Sequence[str], found: Sequence[str], recognise: Recogniser | None, place: str) -> dict[str, str]:
    """Return the names under which a source has the wanted columns and, where those are fixed, patients' ids."""
    if recognise is None:
        called = {one: one for one in wanted}
        ids = {one: one for one in found if _is_id(one) and found.count(one) == 1}
    else:
        named, ids = recognise(found), {}
        called = {one: named.get(one, one) for one in wanted}
    names = called.values()
    problems = [
        *(Problem(place, f"column {one}", "", _missing(one, found)) for one in names if one not in found),
        *(Problem(place, f"column {one}", "", "stands there twice") for one in names if found.count(one) > 1),
    ]
    if problems:
        raise InputError(problems)
    return called | ids


def _is_id(name: str) -> bool:
    return "".join(filter(str.isalnum, name)).casefold() in IDS


def _missing(column: str, found: Sequence[str]) -> str:
    near = meant(column, found)
    return f"missing; there are {listed(found)}" + (f"; did you mean {shortened(near)}?" if near else "")


def _parquet(path: Path, name: str, wanted: Sequence[str], recognise: Recogniser | None) -> pd.DataFrame:
    from pyarrow import ArrowException, parquet

    try:
        columns = [*_called(wanted, parquet.read_schema(path).names, recognise, name).values()]
        frame: pd.DataFrame = parquet.read_table(path, columns=columns).to_pandas(ignore_metadata=True)
    except InputError:
        raise
    except OSError as error:
        raise input_error(name, "", None, f"cannot be read ({error.strerror or 'not Parquet'})") from None
    except (ArrowException, ValueError):
        raise input_error(name, "", None, "cannot be read (not Parquet)") from None
    return frame


def _excel(path: Path, name: str) -> pd.DataFrame:
    """Return the first sheet of a workbook, where pandas has what it needs for that."""
    try:
        return pd.read_excel(path, dtype=object)
    except ImportError as error:
        allowed = f"an Excel workbook, which cannot be read here ({error}); save it as CSV or Parquet"
        raise input_error(name, "", None, allowed) from None
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        reason = getattr(error, "strerror", None) or "not an Excel workbook"
        raise input_error(name, "", None, f"cannot be read ({reason})") from None


# --- CSV ----------------------------------------------------------------------------------------------------------


def _csv_rows(
    text: str, place: str, wanted: Sequence[str], numbers: Sequence[str], recognise: Recogniser | None
) -> PatientRows:
    """Return the wanted columns of a CSV file as text; blank lines and comments are left out."""
    lines = [*io.StringIO(text)]
    top = next((at for at, line in enumerate(lines) if line.strip() and not line.startswith(COMMENT)), len(lines))
    if top == len(lines):
        raise input_error(place, "", None, "is empty")
    separator, header, named_in = _header(lines[top:], wanted, recognise)
    called = _called(wanted, header, recognise, place)
    of_numbers = recognise is not None or header[0] in [called[one] for one in numbers]  # # is no patient's id then
    columns = [header.index(name) for name in called.values()]
    pick, width = itemgetter(*columns, 0), len(header)  # of tuples, however few the columns are
    starts, rows = [], []
    for line, fields in islice(_records(lines, top, separator, place), named_in, None):
        whole = len(fields) == width
        if not "".join(fields).strip() or (fields[0].startswith(COMMENT) and (of_numbers or not whole)):
            continue
        if not whole and any(text.strip() for text in fields[width:]):
            given, named = number_of(len(fields), "field"), number_of(width, "column")
            raise input_error(place, f"line {line}", None, f"has {given}, but the header names {named}")
        starts.append(line)
        rows.append(pick(fields if whole else fields + [""] * width))
    frame = pd.DataFrame({name: [row[at] for row in rows] for at, name in enumerate(called)}, dtype=object)
    return PatientRows(frame, place, lambda row: f"line {starts[row]}", separator != ",", not named_in, called)


def _header(lines: Sequence[str], wanted: Sequence[str], recognise: Recogniser | None) -> tuple[str, list[str], int]:
    """Return the separator, the names of the columns, and in how many rows these are written: none before numbers.

    The separator is that under which most of the wanted columns are there, then the one that makes most columns.
    """
    first = {one: [name.strip() for name in next(_reader(lines, one))] for one in (*SEPARATORS, " ")}
    likely = [one for one in SEPARATORS if len(first[one]) > 1] or [" "]
    if recognise is not None:
        whole = [one for one in likely if len(first[one]) == len(wanted)]
        if bare := [one for one in whole if all(_is_number(text, one) for text in first[one])]:
            return bare[0], list(wanted), 0
    names = {name.casefold() for name in wanted}
    known = recognise or (lambda found: dict.fromkeys({*map(str.casefold, found)} & names, ""))
    best = max(likely, key=lambda one: (len(known(first[one])), len(first[one])))
    joined = _joined([*islice(_reader(lines, best), 2)]) if recognise else []
    return best, joined or first[best], 2 if joined else 1


def _joined(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return names of columns that stand in two rows: a curve's above the first of its own, and x and y below."""
    if len(rows) < 2:
        return []
    names, axes = ([text.strip() for text in row] for row in rows)
    if len(names) != len(axes) or "" not in names or {*map(str.casefold, axes)} != {"x", "y"}:
        return []
    last = [max(at for at in range(place + 1) if names[at] or not at) for place in range(len(names))]
    return [f"{names[at]} {axis}".strip() for at, axis in zip(last, axes, strict=True)]


def _records(lines: Sequence[str], top: int, separator: str, place: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows from the header on, each with the number of the line on which it begins."""
    reader, line = _reader(chain(islice(lines, top, None), [END]), separator), top + 1
    try:
        for fields in reader:
            if fields == [END]:
                return
            if fields and fields[-1].endswith(END):
                raise csv.Error("a quotation mark is not closed")
            yield line, fields
            line = top + reader.line_num + 1
    except csv.Error as error:
        raise input_error(place, f"line {line}", None, f"not a row of separated values ({error})") from None


def _reader(lines: Iterable[str], separator: str) -> _csv.Reader:
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


def _is_number(text: str, separator: str) -> bool:
    try:
        float(text if separator == "," else text.replace(",", "."))
    except ValueError:
        return False
    return True


def _decoded(path: Path, place: str) -> str:
    """Return a file's text, lines ending as Unix has them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise input_error(place, "", None, f"cannot be read ({error.strerror})") from None
    if kind := next((kind for beginning, kind in NO_TEXT.items() if content.startswith(beginning)), ""):
        raise input_error(place, "", None, f"not CSV but {kind}")
    encoding = "utf-32" if content.startswith(UTF_32) else "utf-16" if content.startswith(UTF_16) else "utf-8-sig"
    if encoding == "utf-8-sig" and b"\0" in content:
        allowed = "looks like UTF-16 or UTF-32 without a byte order mark; save the file as UTF-8"
        raise input_error(place, "", None, allowed)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("latin-1")
        line, start = before.count("\n") + 1, before.rfind("\n") + 1
        shown = content[start:].split(b"\n", 1)[0].decode("latin-1").strip()
        where = f"line {line}, character {len(before) - start + 1}"
        raise input_error(place, where, shown, "not UTF-8 text; save the file as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
