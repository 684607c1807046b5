"""Sister trials: those that answer the question of a trial with other patients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from .errors import InputError, Problem
from .fields import ARMS
from .reading import built_in_trials, load_record
from .record import Record

Ratio = tuple[float, float, float]


@dataclass(frozen=True)
class Study:
    """What a trial says about a question: its overall treatment effect.

    Parameters
    ----------
    id, label
        The record's id, and its name for people.
    log_hazard_ratio, standard_error
        Treatment over control; the error from the printed interval at its stated level.
    printed, level
        Hazard ratio (treatment over control) with its limits, and the level of that interval.
    deaths
        In both arms together; ``None`` when not printed.
    """

    id: str
    label: str
    log_hazard_ratio: float
    standard_error: float
    printed: Ratio
    level: float
    deaths: int | None


def study_of(record: Record) -> Study | None:
    """Return what a trial says about its question; ``None`` without an overall hazard ratio and its interval."""
    row = record.overall_hazard_ratio
    if row is None or not row.standard_error or row.treatment_over_control_ci is None:
        return None
    label = (record.evidence.label if record.evidence else "") or record.id
    ratio = row.treatment_over_control
    printed = (ratio, *row.treatment_over_control_ci)
    return Study(record.id, label, math.log(ratio), row.standard_error, printed, row.level, _deaths(record))


def _deaths(record: Record) -> int | None:
    events = [record.arm(arm).events for arm in ARMS]
    known = [count for count in events if count is not None]
    return sum(known) if len(known) == len(events) else record.totals.events if record.totals else None


def sister_trials(record: Record) -> tuple[Study, ...]:
    """Return the trials that may inform one: same question and endpoint, other patients.

    Parameters
    ----------
    record
        The trial; never one of them, nor is a report of its patients, nor one that it reports again.

    Returns
    -------
    tuple of Study
        The built-in ones in alphabetical order of id, then those of the record's own files; none without a
        question.

    Raises
    ------
    InputError
        When a file that the record names is wrong.
    """
    if record.evidence is None:
        return ()
    found = [*_built_in(), *_further(record)]
    return tuple(study for other in found if _informs(other, record) and (study := study_of(other)))


def pooled_trials(record: Record) -> tuple[Study, ...]:
    """Return a trial and its sister trials, to be pooled: itself first; none where it has no sister.

    Parameters
    ----------
    record
        The trial.

    Raises
    ------
    InputError
        As `sister_trials`.
    """
    sisters, own = sister_trials(record), study_of(record)
    return (own, *sisters) if own and sisters else sisters if len(sisters) > 1 else ()


def why_alone(record: Record) -> str:
    """Return why a trial has no sister trials, for messages."""
    if record.evidence is None:
        return f"{record.id} has no sister trials: its record has no [evidence]"
    question = record.evidence.question
    return f"{record.id} has no sister trials: no other of the question {question!r} and its endpoint is known"


@cache
def _built_in() -> tuple[Record, ...]:
    return tuple(load_record(trial) for trial in built_in_trials())


def _further(record: Record) -> Iterator[Record]:
    known = record.evidence.trials if record.evidence else ()
    for name in known:
        yield load_record(record.beside(name))


def _informs(other: Record, record: Record) -> bool:
    assert record.evidence is not None  # the caller's condition
    return (
        other.evidence is not None
        and other.evidence.question == record.evidence.question
        and other.evidence.update_of is None
        and other.id not in (record.id, record.evidence.update_of)
        and other.endpoint.casefold() == record.endpoint.casefold()
    )


def studies_of(records: Sequence[Record]) -> tuple[Study, ...]:
    """Return what several trials say, to be pooled.

    Parameters
    ----------
    records
        The trials, at least two.

    Raises
    ------
    InputError
        When one has no overall hazard ratio with interval, two are about the same patients, or endpoints differ;
        names every one.
    """
    problems = [*_unusable(records), *_not_to_be_pooled(records)]
    if len(records) < 2:
        problems.append(
            Problem("trial", "", ", ".join(one.id for one in records), "give at least two trials to pool")
        )
    if problems:
        raise InputError(problems)
    return tuple(study for record in records if (study := study_of(record)))


def _unusable(records: Iterable[Record]) -> Iterator[Problem]:
    for record in records:
        if study_of(record) is None:
            yield Problem(record.place, "hazard_ratio", "", "prints no overall hazard ratio with an interval to pool")


def _not_to_be_pooled(records: Iterable[Record]) -> Iterator[Problem]:
    for first, second in combinations(records, 2):
        if _patients_of(first) == _patients_of(second):
            yield Problem(
                "trial", "", f"{first.id}, {second.id}", "are about the same patients, who would count twice"
            )
        if first.endpoint.casefold() != second.endpoint.casefold():
            endpoints = f"{first.endpoint} and {second.endpoint}"
            yield Problem("trial", "", f"{first.id}, {second.id}", f"have different endpoints: {endpoints}")


def _patients_of(record: Record) -> str:
    """Return the id of the trial whose patients a record is about."""
    return (record.evidence.update_of if record.evidence else None) or record.id
