"""Deaths that a paper prints beside its curves: held against them, and shared out where only their sum is printed.

Between two numbers at risk ``R`` and ``R'`` the curve falls from ``S`` to ``S'``. Deaths are fewest when the censored
of the interval leave at its beginning, ``R' (S / S' - 1)``, and most when they leave at its end, ``R (1 - S' / S)``.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import isotonic_regression

from ..errors import input_error
from ..fields import ARMS
from ..record import Record
from .path import ArmCurve
from .rebuilding import ArmFit, deaths_alike, deaths_sd, fit_arm

Fits = tuple[ArmFit, ...]  # control, treatment, or one of them alone
Pair = tuple[ArmFit, ArmFit]  # control, treatment
BEYOND = 0.1  # of the fewest or most deaths: what digitising may explain
CENSORED_SD = 0.1  # of the deaths that nobody sees as patients were censored: how unlike the arms may be, as a share
THREE = math.sqrt(1.5)  # a mean and this many SDs on either side, equally likely, have a normal's mean and SD


def check_deaths(record: Record, field: str, events: int, *arms: ArmCurve) -> None:
    """Refuse deaths that no censoring reconciles with curves and numbers at risk.

    Parameters
    ----------
    record
        The trial.
    field
        Where its deaths stand.
    events
        How many they are.
    arms
        Those whose deaths they are; what they are known to be is not asked.

    Raises
    ------
    InputError
        Tells how many deaths there can be.
    """
    fewest, most = (sum(bounds) for bounds in zip(*map(_bounds, arms), strict=True))
    low, high = max(math.floor(fewest * (1 - BEYOND)), 1), math.ceil(most * (1 + BEYOND))
    if not low <= events <= high:
        by = f"curve{'s' * (len(arms) > 1)}"
        by += " and numbers at risk" * any(arm.has_table for arm in arms)
        told = f"must be {low} to {high} by the {by}"
        raise input_error(record.place, field, events, f"{told}; check them, or leave these out")


def _bounds(known: ArmCurve) -> tuple[float, float]:
    """Return the fewest and the most deaths that an arm's curve and numbers at risk allow.

    Survival at a time is between those at the points before and after it.
    """
    survival = np.maximum(isotonic_regression(known.survival, increasing=False).x.clip(max=1.0), 1e-9)
    before = np.append(1.0, survival)[np.searchsorted(known.time, known.edges, side="right")]
    after = np.append(survival, survival[-1])[np.searchsorted(known.time, known.edges)]
    after[0] = 1.0
    least, most = np.minimum(before[1:] / after[:-1], 1.0), after[1:] / before[:-1]
    later = np.append(known.at_risk[1:], 0)
    return float((later * (1 / least - 1)).sum()), float((known.at_risk * (1 - most)).sum())


def printed_total(record: Record) -> int | None:
    """Return the deaths of both arms together, where they tell more than those of the arms.

    Parameters
    ----------
    record
        The trial.
    """
    totals, own = record.totals, [record.arm(arm).events for arm in ARMS]
    return totals.events if totals is not None and totals.use and None in own else None


def share_out(record: Record, fits: Pair, notes: list[str]) -> tuple[Pair, ...]:
    """Return equally likely ways of what two curves stand for, given the deaths of both; the likeliest first.

    Patients of both arms are followed alike, as those of a randomised trial are, give or take `CENSORED_SD` of the
    deaths that are hidden: of ``m`` that a curve has if nobody is censored, ``h`` do not happen, with a variance by
    chance of ``h (m - h) / m``. With ``v`` the variance that this and reading the curve leave to an arm's deaths,
    given the sum it is ``v1 v2 / (v1 + v2)``, and ways of censoring add theirs; three ways to share have it all.

    Parameters
    ----------
    record
        The trial.
    fits
        Its arms, control and treatment, fitted to their own deaths where those are known.
    notes
        What a reader must know is added to them.

    Raises
    ------
    InputError
        When the curves exclude so many or so few deaths.
    """
    total = printed_total(record)
    if total is None:
        return (fits,)
    check_deaths(record, "totals.events", total, *(fit.known for fit in fits))
    if any(fit.known.events is not None for fit in fits):
        return (_with_the_rest(record, fits, total),)
    deaths, probabilities = deaths_alike(*fits, total)
    share = probabilities @ deaths
    seen = np.array([fit.chains[0].deaths.sum() for fit in fits])
    hidden = np.maximum(seen - share, 0.0)
    variance = [deaths_sd(one) ** 2 for one in seen] + hidden * (1 - hidden / seen) + (CENSORED_SD * hidden) ** 2
    between = float(probabilities @ (deaths[:, 0] - share[0]) ** 2)
    sd = math.sqrt(variance.prod() / variance.sum() + between)
    least, most = max(1, total - fits[1].known.patients), min(fits[0].known.patients, total - 1)
    ways = [int(np.clip(round(share[0] + z * sd), least, most)) for z in (0.0, -THREE, THREE)]
    notes.append(
        f"{record.event}s of the arms are not printed, only {total} of both: {ways[0]} of control and "
        f"{total - ways[0]} of treatment follow from their curves, give or take {sd:.0f}, and vary"
    )
    control, treatment = fits
    return tuple((_with_deaths(control, way), _with_deaths(treatment, total - way)) for way in dict.fromkeys(ways))


def _with_the_rest(record: Record, fits: Pair, total: int) -> Pair:
    """Return fits of which one takes the deaths that the other leaves of both arms'."""
    control, treatment = (fit.known.events for fit in fits)
    rest = total - (control or 0) - (treatment or 0)
    place = 0 if control is None else 1
    field = f"totals.events less arms.{ARMS[1 - place]}.events"
    check_deaths(record, field, rest, fits[place].known)
    return (_with_deaths(fits[0], rest), fits[1]) if place == 0 else (fits[0], _with_deaths(fits[1], rest))


def _with_deaths(fit: ArmFit, events: int) -> ArmFit:
    return fit_arm(replace(fit.known, events=events))
