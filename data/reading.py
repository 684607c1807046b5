"""Finding, reading and checking trial records."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .errors import InputError, Problem, input_error
from .record import Record, References

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
        allowed = (
            f"not a built-in trial; give one of {', '.join(built_in_trials())} or the path of a .toml file"
        )
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
    return parse_record(raw, str(trial))


def parse_record(raw: Mapping[str, Any], place: str = "record") -> Record:
    """Check an unchecked record.

    Parameters
    ----------
    raw
        The record as read from TOML.
    place
        What messages call it: its file.

    Raises
    ------
    InputError
        Names every problem found.
    """
    try:
        return Record.model_validate(raw, context=References.of(raw))
    except ValidationError as error:
        raise InputError(_problem(place, detail) for detail in error.errors()) from None


_ALLOWED = {
    "extra_forbidden": "unknown key",
    "missing": "missing, but required",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
}


def _problem(place: str, detail: Any) -> Problem:
    message = _ALLOWED.get(detail["type"], detail["msg"]).format(**detail.get("ctx", {}))
    given = detail["input"]
    shown = "" if detail["type"] == "missing" or isinstance(given, Mapping) else repr(given)
    return Problem(place, _path(detail["loc"]), shown, message.removeprefix("Value error, "))


def _path(location: tuple[int | str, ...]) -> str:
    """Spell a field's path; items of a list are counted from 1, as a reader counts them."""
    path = ""
    for part in location:
        path += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
