"""What is known about an arm beside its curve: numbers at risk, patients and deaths, held against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.optimize import isotonic_regression

from ..errors import input_error
from ..fields import ARMS, ArmId
from ..record import Record
from .deaths import check_deaths
from .path import ArmCurve, Array, Counts
from .reading import Curves, DigitisedCurve

LATER = 0.02  # of the curve: a risk table that goes on this much longer is worth a note
LENGTHS, UNITS = 3.0, 10.0  # one curve so much longer than the other is odd; is read in another unit
LONG_AFTER = 2.0  # times the last number at risk: a curve that goes on so long after it is odd
ODD, IMPOSSIBLE = 0.03, 0.1  # by how much more of the patients are at risk than the curve leaves alive
NOBODY = 0.01  # of the patients: a curve that has fallen so low leaves nobody


def known_of(record: Record, curve: DigitisedCurve, notes: list[str]) -> tuple[ArmCurve, bool]:
    """Return what is known of an arm up to its curve's end, and whether its risk table goes on after that.

    Parameters
    ----------
    record
        The trial: numbers at risk, patients and deaths.
    curve
        The arm's points.
    notes
        What a reader must know is added to them.

    Raises
    ------
    InputError
        When nothing says how many patients there are, or curve, risk table and deaths exclude each other.
    """
    times, numbers = _risk_table(record, curve, notes)
    end, later = float(curve.time[-1]), float(times[-1])
    goes_on = later > end * (1 + LATER)
    if times.size > 1:
        notes += _too_short(record, curve, later)
    exact = ArmCurve(curve.time, curve.survival, times, numbers, None, end).steps is not None
    if goes_on and exact:  # every death has its step: nobody dies later
        notes.append(
            f"at_risk of {curve.arm} goes on to {later:g}, the steps of its curve to {end:g}: it is flat up to there"
        )
        curve = replace(
            curve, time=np.append(curve.time, later), survival=np.append(curve.survival, curve.survival[-1])
        )
        end, goes_on = later, False
    if goes_on:
        notes.append(
            f"at_risk of {curve.arm} goes on to {later:g}, its curve to {end:g} only: follow-up ends with the "
            f"curve, as nothing tells who dies later; {record.event}s that include later ones are not used"
        )
        left = round(float(np.interp(end, times, numbers)))
        within = times < end
        times, numbers = np.append(times[within], end), np.append(numbers[within], left)
    events = record.arm(curve.arm).events
    if events is not None and events > numbers[0]:
        raise input_error(
            record.place, f"arms.{curve.arm}.events", events, f"more than the {numbers[0]} at risk at time 0"
        )
    used = None if goes_on else events
    known = ArmCurve(curve.time, curve.survival, times, numbers, used, max(end, float(times[-1])))
    notes += _too_many(record, curve.arm, known, later)
    if used is not None:
        check_deaths(record, f"arms.{curve.arm}.events", used, known)
    return known, goes_on


def check_lengths(record: Record, curves: Curves) -> Iterator[str]:
    """Yield that an arm's curve is much longer than the other's, or the same; refuse curves in different units.

    Parameters
    ----------
    record
        The trial.
    curves
        Its arms' points.

    Raises
    ------
    InputError
        Names both files and where they end.
    """
    if len(curves) < len(ARMS):
        return
    control, treatment = curves
    if control.holds_same(treatment):
        yield f"{control.file} and {treatment.file} hold the same points: check that each is of its own arm"
    shorter, longer = sorted(curves, key=lambda curve: float(curve.time[-1]))
    ends = [float(curve.time[-1]) for curve in (shorter, longer)]
    if ends[1] < LENGTHS * ends[0]:
        return
    told = f"ends at {ends[0]:g}, that of {longer.arm} ({longer.file}) at {ends[1]:g}"
    if ends[1] > UNITS * ends[0] and shorter.survival[-1] > NOBODY:  # else everybody of the arm has died
        raise input_error(shorter.file, "column time", None, f"{told}; give both in {record.time_unit}")
    yield f"the curve of {shorter.arm} {told}: what comes later rests on one arm; are both in {record.time_unit}?"


def _too_short(record: Record, curve: DigitisedCurve, last: float) -> Iterator[str]:
    """Yield that a curve goes on long after its risk table; refuse one in another unit."""
    end = float(curve.time[-1])
    field, told = f"at_risk of {curve.arm}", f"ends at {last:g}, its curve at {end:g}"
    if end > UNITS * last:
        raise input_error(record.place, field, None, f"{told}; give both in {record.time_unit}")
    if end > LONG_AFTER * last:
        yield f"{field} {told}: are both in {record.time_unit}?"


def _too_many(record: Record, arm: ArmId, known: ArmCurve, later: float) -> Iterator[str]:
    """Yield where more patients are at risk than the curve leaves alive; refuse what no digitising explains."""
    survival = isotonic_regression(known.survival, increasing=False).x
    until = np.searchsorted(known.time, known.risk_times, side="right")  # the point before
    step = np.isin(known.risk_times, known.time[known.drops[0]]) | (known.steps is not None)
    until = np.where(step, np.searchsorted(known.time, known.risk_times), until)  # who dies at that time counts
    alive = np.append(1.0, survival)[until]
    alive[0] = 1.0  # everybody is alive at time 0, whatever was read off there
    beyond = known.at_risk / known.patients - alive
    worst = int(np.argmax(beyond))
    time, number = known.risk_times[worst], known.at_risk[worst]
    share = f"{alive[worst]:.0%}"
    told = f"{number} of {known.patients} at risk at {time:g}, but its curve leaves no more than {share} alive"
    if beyond[worst] > (ODD if alive[worst] < NOBODY else IMPOSSIBLE):
        check = "check both, or set use = false"
        if later > known.end:
            check = f"at_risk goes on to {later:g}, its curve to {known.end:g}: give both in {record.time_unit}"
        raise input_error(record.place, f"at_risk of {arm}", None, f"{told}; {check}")
    if beyond[worst] > ODD:
        yield f"{arm} has {told}"


def _risk_table(record: Record, curve: DigitisedCurve, notes: list[str]) -> tuple[Array, Counts]:
    """Return an arm's numbers at risk, beginning at time 0, without those who are nobody."""
    patients = record.arm(curve.arm).patients
    rows = [
        (time, number)
        for item in record.at_risk
        if item.use and item.arm == curve.arm and item.where.is_overall
        for time, number in zip(item.times, item.patients, strict=True)
    ]
    table = dict(sorted(rows))
    if 0.0 not in table:
        if patients is None:
            allowed = f"missing; give them, or numbers at risk from time 0, to rebuild the curve of {curve.arm}"
            raise input_error(record.place, f"arms.{curve.arm}.patients", None, allowed)
        table = {0.0: patients, **table}
    if patients is not None and table[0.0] != patients:
        notes.append(f"{curve.arm} has {patients} patients but {table[0.0]} at risk at time 0, which are rebuilt")
    numbers = np.array(list(table.values()), dtype=np.int64)
    if (np.diff(numbers) > 0).any():
        raise input_error(record.place, "at_risk", curve.arm, "numbers at risk must not increase")
    some = numbers > 0
    gone = min((time for time, number in table.items() if number == 0), default=math.inf)
    if gone < curve.time[-1] * (1 - LATER):
        notes.append(f"at_risk of {curve.arm} is 0 at {gone:g}, but its curve goes on to {curve.time[-1]:g}")
    if len(table) == 1:
        notes.append(_without_table(record, curve.arm))
    return np.array(list(table))[some], numbers[some]


def _without_table(record: Record, arm: ArmId) -> str:
    told = record.arm(arm).events is not None or (record.totals is not None and record.totals.events is not None)
    if told:
        follows = f"when patients were censored follows from its {record.event}s and curve only"
        return f"no numbers at risk of {arm}: {follows}"
    return (
        f"neither numbers at risk nor {record.event}s of {arm}: nobody is censored before the curve's end, "
        f"which makes {record.event}s too many and intervals too narrow if somebody was"
    )
