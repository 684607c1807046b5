"""Sets of disjoint printed effects, for the `effects` model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from .errors import InputError, Problem
from .outcomes import EffectsSet, HazardRatio
from .record import Record
from .subgroup import Subgroup, overlapping


@dataclass(frozen=True)
class Effect:
    """A printed treatment effect.

    Parameters
    ----------
    label
        For people.
    subgroup
        Whom it is about.
    log_hazard_ratio
        Treatment over control.
    standard_error
        From the printed interval at its stated level.
    """

    label: str
    subgroup: Subgroup
    log_hazard_ratio: float
    standard_error: float


@dataclass(frozen=True)
class EffectSet:
    """Effects in disjoint subgroups of one partition; ``partition`` is empty for the whole trial."""

    partition: str
    effects: tuple[Effect, ...]


def effect_sets(record: Record, partition: str | None = None) -> list[EffectSet]:
    """Return the sets of printed effects that may be pooled: the whole trial's, then those the record declares.

    Parameters
    ----------
    record
        The trial.
    partition
        Only the sets of this partition.

    Raises
    ------
    InputError
        When rows of a set overlap, so that patients would count twice, or have no interval, naming them.
    """
    overall = record.overall_hazard_ratio
    whole = [EffectSet("", (_effect(overall),))] if overall and overall.ci and partition is None else []
    rows = {row.label: row for row in record.hazard_ratio if row.use and row.label}
    chosen = [item for item in record.effects_set if partition in (None, item.partition)]
    problems = [problem for item in chosen for problem in _problems(record, item, rows)]
    if problems:
        raise InputError(problems)
    return whole + [EffectSet(item.partition, tuple(_effect(rows[name]) for name in item.rows)) for item in chosen]


def _problems(record: Record, item: EffectsSet, rows: dict[str, HazardRatio]) -> Iterator[Problem]:
    field = f"effects_set {item.partition}"
    for name in item.rows:
        if name not in rows:
            yield Problem(
                record.place, field, repr(name), "its hazard_ratio has use = false; only used rows can be pooled"
            )
        elif rows[name].ci is None:
            yield Problem(record.place, field, repr(name), "has no confidence interval, so its weight is unknown")
    known = {name: rows[name].where for name in item.rows if name in rows}
    for first, second in overlapping(known):
        allowed = "overlap: patients would count twice; put only disjoint subgroups into one effects_set"
        yield Problem(record.place, field, f"{first!r} and {second!r}", allowed)


def _effect(row: HazardRatio) -> Effect:
    error = row.standard_error
    assert error is not None  # rows without interval are refused above
    return Effect(row.label or "All patients", row.where, math.log(row.treatment_over_control), error)
