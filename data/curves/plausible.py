"""Whether patients rebuilt from curves are plausible: held against the points, the arms' follow-up and the paper."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..errors import input_error
from ..estimators import cox_of_patients, kaplan_meier
from ..fields import ARMS, ArmId
from ..record import Record
from .deaths import Fits, printed_total
from .path import Array
from .rebuilding import ArmFit

MISSED, STEPS = 0.05, 2.0  # off the points on average, beyond so many deaths' steps: it is another curve
HARDLY, EARLY = 0.05, 0.15  # of follow-up: half of the patients censored so early is refused, is told
UNLIKE, MOST_ERRORS = 1.5, 4.0  # times as long until half of an arm is censored, and beyond chance: is told
CONTRADICTED, OPENLY_CONTRADICTED = 0.5, 1.0  # standard errors off a printed log hazard ratio; without risk tables
ASTRAY, SIDEWAYS = 0.03, 3.0  # off a point, beyond deaths' steps and so many digitising errors in time: worth a note


def check_plausible(record: Record, fits: Fits) -> Iterator[str]:
    """Yield what is odd about rebuilt arms; refuse deaths and numbers at risk that no curve like theirs has.

    Parameters
    ----------
    record
        The trial.
    fits
        The arms that it concerns.

    Raises
    ------
    InputError
        Names the deaths or numbers at risk that do not go with a curve.
    """
    arms = record.concerned
    ends = [_followed(record, arm, fit) for arm, fit in zip(arms, fits, strict=True)]
    for arm, fit, end in zip(arms, fits, ends, strict=True):
        yield from _check_met(record, arm, fit)
        yield from _deviations(record, arm, fit)
        if fit.is_open and end < EARLY * fit.known.end:
            told = f"half of the patients of {arm} are censored by {end:.3g} of {fit.known.end:.3g}"
            yield f"{told} {record.time_unit}, as {_field(record, arm)[0]} implies: check it"
    if len(fits) < len(ARMS):
        return
    implied = all(map(_is_determined, fits)) and any(fit.is_open for fit in fits)
    if implied and printed_total(record) is None and max(ends) > UNLIKE * min(ends) and _differ(fits):
        when = " but ".join(f"by {end:.3g} {record.time_unit} in {arm}" for arm, end in zip(arms, ends, strict=True))
        yield f"half of the patients are censored {when}, as {record.event}s of the arms imply: check them"
    yield from _contradiction(record, fits)


def _is_determined(fit: ArmFit) -> bool:
    """Return whether anything tells when patients of an arm were censored."""
    return fit.known.events is not None or fit.known.has_table


def _differ(fits: Fits) -> bool:
    """Return whether patients of the arms are censored at different rates, by more than chance."""
    time, event, treated = _together(fits)
    if event.all():
        return False
    ratio, error = cox_of_patients(time, ~event, treated)
    return abs(ratio) > MOST_ERRORS * error


def _together(fits: Fits) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return times of both arms, whether they are deaths, and whether of the treatment."""
    arms = [fit.patients() for fit in fits]
    time, event = (np.concatenate(parts) for parts in zip(*arms, strict=True))
    return time, event, np.repeat([False, True], [one.size for one, _ in arms])


def _field(record: Record, arm: ArmId) -> tuple[str, int | None]:
    """Return where the deaths that an arm was fitted to stand, and how many they are."""
    own = record.arm(arm).events
    return ("totals.events", printed_total(record)) if own is None else (f"arms.{arm}.events", own)


def _followed(record: Record, arm: ArmId, fit: ArmFit) -> float:
    """Return when half of an arm's patients would have been censored, by reverse Kaplan-Meier."""
    time, event = fit.patients()
    end = kaplan_meier(time, ~event).median or fit.known.end
    if fit.is_open and end < HARDLY * fit.known.end:
        told = f"with that half of the patients of {arm} would be censored by {end:.2g} of {fit.known.end:.3g}"
        raise input_error(record.place, *_field(record, arm), f"{told} {record.time_unit}; check it, or leave it out")
    return end


def _check_met(record: Record, arm: ArmId, fit: ArmFit) -> Iterator[str]:
    """Yield where patients rebuilt from what is known of an arm leave its curve; refuse it when they have another."""
    known, path = fit.known, fit.chains[0].path
    step = np.interp(known.time, (path.bounds[:-1] + path.bounds[1:]) / 2, path.weight)
    off = np.abs(known.nearest(*fit.patients(), SIDEWAYS * fit.sigma) - known.survival)
    beyond = np.maximum(off - STEPS * step, 0.0)
    if beyond.mean() <= MISSED:
        worst = int(np.argmax(beyond[:-1]))  # whether the last patient died is left open
        if beyond[worst] > ASTRAY:
            where = f"by up to {off[worst]:.2f}, at {known.time[worst]:.3g}"
            yield f"rebuilt patients of {arm} leave their curve {where}: what is known of it may be wrong"
        return
    field, value = (f"at_risk of {arm}", None) if known.events is None else _field(record, arm)
    told = f"with that the curve of {arm} would be off by {off.mean():.2f} on average"
    raise input_error(record.place, field, value, f"{told}; check both, or leave these out")


def _deviations(record: Record, arm: ArmId, fit: ArmFit) -> Iterator[str]:
    """Yield where known deaths and curve contradict each other, and deaths that follow from the curve."""
    told, own = float(fit.chains[0].deaths.sum()), record.arm(arm).events
    if fit.known.events is None:
        if fit.known.has_table:
            _, died = fit.patients()
            yield f"{record.event}s of {arm} are not printed: {died.sum()} follow from its curve and numbers at risk"
    elif own is not None and abs(told - own) > max(3.0, 0.05 * own):
        table = " and numbers at risk come" if fit.known.has_table else " comes"
        yield f"{arm} has {own} {record.event}s, but its curve{table} to {told:.0f}"


def _contradiction(record: Record, fits: Fits) -> Iterator[str]:
    """Yield that the paper's own hazard ratio is another than that of its curves."""
    printed = record.overall_hazard_ratio
    if printed is None or not all(map(_is_determined, fits)):
        return
    time, event, treated = _together(fits)
    found, error = cox_of_patients(time, event, treated)
    value = printed.treatment_over_control
    off = abs(found - math.log(value))
    tables = all(fit.known.has_table for fit in fits)
    if off > (CONTRADICTED if tables else OPENLY_CONTRADICTED) * error:
        exchanged = abs(found + math.log(value)) < off / 2
        asked = "are the arms exchanged?" if exchanged else "another endpoint, an adjusted ratio, or a fault?"
        yield f"the curves come to a hazard ratio of {math.exp(found):.2f}, but {value:.2f} is printed: {asked}"
