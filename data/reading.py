"""Finding, reading and checking trial records."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .errors import InputError, Problem, input_error, meant
from .fields import IDENTIFIER, MONTH, TRIAL_ID
from .record import Record
from .references import References

BUILT_IN = files(__package__) / "trials"


def built_in_trials() -> tuple[str, ...]:
    """Return the ids of the records that come with the package, in alphabetical order."""
    return tuple(
        sorted(item.name.removesuffix(".toml") for item in BUILT_IN.iterdir() if item.name.endswith(".toml"))
    )


def record_text(trial: str | Path) -> str:
    """Return the text of a record.

    Parameters
    ----------
    trial
        Id of a built-in trial, or the path of a ``.toml`` file.

    Raises
    ------
    InputError
        When there is no such trial or file, or the file is not readable UTF-8 text.
    """
    name = str(trial)
    if name in built_in_trials():
        return (BUILT_IN / f"{name}.toml").read_text(encoding="utf-8")
    if not name.endswith(".toml"):
        allowed = f"not a built-in trial; give one of {', '.join(built_in_trials())} or the path of a .toml file"
        raise input_error("trial", "", name, allowed)
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise input_error(name, "", f"byte {error.start}", "not UTF-8 text") from None
    except OSError as error:
        raise input_error(name, "", None, f"cannot be read ({error.strerror})") from None


def load_record(trial: str | Path) -> Record:
    """Read and check a trial record.

    Parameters
    ----------
    trial
        Id of a built-in trial, or the path of a ``.toml`` file.

    Raises
    ------
    InputError
        Names every problem found; a TOML syntax error alone.
    """
    text = record_text(trial)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise input_error(str(trial), "", None, f"not valid TOML: {error}") from None
    path = Path(trial)
    directory = path.parent if path.suffix else Path(str(BUILT_IN))
    record = parse_record(_with_levels(raw, directory), str(trial))
    if path.suffix:
        return record.located(directory, path.name)
    return record.located(directory) if record.patients else record


def _with_levels(raw: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Return an unchecked record whose factors have the levels that its patients' file holds, where it gives none."""
    factors = raw.get("factors")
    given = factors.values() if isinstance(factors, dict) and "patients" in raw else []
    if all("levels" in one for one in given if isinstance(one, dict)):
        return raw
    from .patients import file_levels

    levels = file_levels(raw, directory).items()
    found = {name: raw["factors"][name] | {"levels": [*given]} for name, given in levels}
    return raw | {"factors": raw["factors"] | found}


def parse_record(raw: object, place: str = "record") -> Record:
    """Check an unchecked record.

    Parameters
    ----------
    raw
        The record as read from TOML or JSON.
    place
        What messages call it: its file.

    Raises
    ------
    InputError
        Names every problem found.
    """
    if not isinstance(raw, Mapping):
        raise input_error(place, "", None, f"not a record: must be a table of fields, not a {type(raw).__name__}")
    references = References.of(raw)
    try:
        return Record.model_validate(raw, context=references)
    except ValidationError as error:
        found = [*error.errors(), *_hidden(raw, error.errors(), references)]
        raise InputError(_problem(place, detail) for detail in found) from None


def _hidden(raw: Mapping[str, Any], found: Sequence[ErrorDetails], references: References) -> list[ErrorDetails]:
    """Return the problems that others hide.

    Pydantic compares the fields of an item only when each is right by itself, and the items of a record only
    when each item is. So the items are checked again without the fields that are wrong (what is missing then
    is no news), and the record without the items that are.
    """
    pruned = copy.deepcopy(dict(raw))
    for detail in found:
        _remove(pruned, detail["loc"])
    known = {detail["loc"] for detail in found}
    between_fields = [
        detail
        for detail in _errors(pruned, references)
        if detail["loc"] and detail["loc"] not in known and detail["type"] not in _MISSING
    ]
    wrong = {location[:2] for location in (*known, *(detail["loc"] for detail in between_fields))}
    between_items = [
        detail
        for detail in _errors(_without(raw, wrong), references)
        if not detail["loc"] and detail["loc"] not in known
    ]
    return [*between_fields, *between_items]


def _errors(raw: Mapping[str, Any], references: References) -> list[ErrorDetails]:
    try:
        Record.model_validate(raw, context=references)
    except ValidationError as error:
        return error.errors()
    return []


def _remove(raw: Any, location: Sequence[int | str]) -> None:
    """Remove the innermost named field that holds a location; list items keep their place."""
    path = [part for part in location if part != _KEY]
    if path and isinstance(path[-1], int) and isinstance(_at(raw, path), Mapping):
        return  # the fault lies between the fields of this item: none of them has to go
    while path and isinstance(path[-1], int):
        path.pop()
    table = _at(raw, path[:-1])
    if path and isinstance(table, dict):
        table.pop(path[-1], None)


def _at(raw: Any, path: Sequence[int | str]) -> Any:
    for part in path:
        try:
            raw = raw[part]
        except (LookupError, TypeError):
            return None
    return raw


def _without(raw: Mapping[str, Any], places: Collection[tuple[int | str, ...]]) -> dict[str, Any]:
    """Return a record without some items of its lists, and without other fields that are wrong."""
    return {
        name: [item for index, item in enumerate(value) if (name, index) not in places]
        if isinstance(value, list)
        else value
        for name, value in raw.items()
        if (name,) not in places
    }


_KEY = "[key]"  # how pydantic marks that a table's key is wrong, not its value
_MISSING = ("missing", "one_missing")
_ALLOWED = {
    "extra_forbidden": "unknown key",
    "missing": "missing, but required",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "literal_error": "must be {expected}",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "float_type": "must be a number, not quoted",
    "finite_number": "must be finite",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must have at least {min_length} entries, not {actual_length}",
    "too_long": "must have at most {max_length} entries, not {actual_length}",
}
_PATTERNS = {
    IDENTIFIER: "must be lower-case letters, digits and _, beginning with a letter",
    TRIAL_ID: "must be lower-case letters, digits and -, beginning with a letter or digit",
    MONTH: "must be a year and a month, such as 2007-11",
}


def _problem(place: str, detail: ErrorDetails) -> Problem:
    context = detail.get("ctx", {})
    message = _PATTERNS.get(context.get("pattern", ""), _ALLOWED.get(detail["type"], "").format(**context))
    given = detail["input"]
    unknown = detail["type"] == "extra_forbidden"
    if unknown:
        message += f"; {_known_keys(detail['loc'])}"
    whole = isinstance(given, Mapping) or (unknown and isinstance(given, list))
    shown = "" if detail["type"] == "missing" or whole else repr(given)
    return Problem(place, _path(detail["loc"]), shown, message or detail["msg"].removeprefix("Value error, "))


def _known_keys(location: Sequence[int | str]) -> str:
    """Tell the keys of the table that a location lies in, or the one that was meant."""
    models: list[type[BaseModel]] = [Record]
    for part in location[:-1]:
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = [model for field in fields for model in _models(field.annotation)] or models
    known = sorted({field.alias or name for model in models for name, field in model.model_fields.items()})
    near = meant(str(location[-1]), known)
    return f"did you mean {near}?" if near else f"known are {', '.join(known)}"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the tables that a field may hold, by itself, in a list or under names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _path(location: tuple[int | str, ...]) -> str:
    """Spell a field's path; items of a list are counted from 1, as a reader counts them."""
    path = ""
    for part in location:
        if part != _KEY:
            path += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
