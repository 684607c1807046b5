"""What a paper prints about patients, as the fields of an unchecked record: rounded, and no more than is asked for.

The estimates are the textbook ones: Kaplan-Meier with Greenwood's variance and log-log intervals, Cox with a Wald
interval (Efron's ties), quantiles of follow-up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from .fields import ARMS, ArmId

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Where = Mapping[str, str | Sequence[str]]
QUANTILE = float(ndtri(0.975))
QUARTILES = (("q25", 0.25), ("median", 0.5), ("q75", 0.75))


@dataclass(frozen=True)
class Patients:
    """Patients of a two-arm trial, one entry each.

    Parameters
    ----------
    time, event
        Months to death or censoring, and whether it is death.
    treatment
        Whether the patient was randomised to treatment.
    factors
        Each patient's level of each factor.
    """

    time: Array
    event: Mask
    treatment: Mask
    factors: Mapping[str, NDArray[np.str_]]

    def arm(self, arm: ArmId) -> Mask:
        """Return which patients are of an arm."""
        return self.treatment if arm == "treatment" else ~self.treatment

    def inside(self, where: Where) -> Mask:
        """Return which patients belong to a subgroup.

        Parameters
        ----------
        where
            A level, or several, of each factor that it restricts.
        """
        chosen = np.ones(self.time.size, dtype=bool)
        for name, levels in where.items():
            chosen &= np.isin(self.factors[name], levels)
        return chosen


@dataclass(frozen=True)
class Contents:
    """What a paper prints beside the numbers of whole arms.

    Parameters
    ----------
    landmarks
        When survival is printed, in months.
    patients, deaths
        Subgroups whose patients are counted by arm, and whose deaths in both arms together.
    hazard_ratios
        Subgroups whose effect of treatment is printed.
    prognostic
        Subgroups that are compared with all other patients, arms pooled.
    survival
        Subgroups whose survival is printed by arm at every landmark.
    digits
        Decimals of survival and hazard ratios.
    """

    landmarks: Sequence[float]
    patients: Sequence[Where] = ()
    deaths: Sequence[Where] = ()
    hazard_ratios: Sequence[Where] = ()
    prognostic: Sequence[Where] = ()
    survival: Sequence[Where] = ()
    digits: int = 2


def published(patients: Patients, contents: Contents) -> dict[str, Any]:
    """Return what a paper prints about patients, as fields of an unchecked record.

    Arms with patients and events, follow-up, survival, medians and the overall hazard ratio, and what ``contents``
    names. Identity, factors' levels and partitions of more than one factor are the caller's.

    Parameters
    ----------
    patients
        The patients.
    contents
        What is printed.
    """
    everyone: Where = {}
    digits = contents.digits
    return {
        "arms": {arm: _arm(patients, arm) for arm in ARMS},
        "follow_up": [_follow_up(patients, arm) for arm in ARMS],
        "survival": [
            _survival(patients, arm, where, at, digits)
            for where in (everyone, *contents.survival)
            for arm in ARMS
            for at in contents.landmarks
        ],
        "median": [row for arm in ARMS for row in _median(patients, arm)],
        "hazard_ratio": [_effect(patients, where, digits) for where in (everyone, *contents.hazard_ratios)],
        "prognostic": [_prognostic(patients, where, digits) for where in contents.prognostic],
        "patients_count": [
            {"arm": arm, "where": dict(where), "n": int((patients.arm(arm) & patients.inside(where)).sum())}
            for arm in ARMS
            for where in contents.patients
        ],
        "deaths": [
            {"where": dict(where), "n": int(patients.event[patients.inside(where)].sum())}
            for where in contents.deaths
        ],
    }


def cox_fit(time: Array, event: Mask, group: Mask, entry: Array | None = None) -> tuple[float, float]:
    """Return the Cox log hazard ratio of one binary covariate and its standard error (Efron's ties).

    Parameters
    ----------
    time, event, group
        One entry per patient.
    entry
        When each came under observation; all at time zero without.

    Returns
    -------
    tuple of float
        Infinite, with an infinite standard error, where events of one group alone can be compared.
    """
    died, of_group = time[event], group[event]
    times, place, ties = np.unique(died, return_inverse=True, return_counts=True)
    tied = ties[place]
    rank = np.empty(died.size)
    rank[np.argsort(place, kind="stable")] = np.arange(died.size) - np.repeat(np.cumsum(ties) - ties, ties)
    at_risk = []
    for mask, dead in ((group, of_group), (~group, ~of_group)):
        number = mask.sum() - np.searchsorted(np.sort(time[mask]), times)
        late = 0 if entry is None else mask.sum() - np.searchsorted(np.sort(entry[mask]), times)
        at_risk.append((number - late)[place] - rank / tied * np.bincount(place, dead, times.size)[place])
    compared = np.minimum(*at_risk) > 0
    events = float(of_group[compared].sum())
    if not 0 < events < compared.sum():
        return math.copysign(math.inf, events - 0.5), math.inf
    log_ratio = 0.0
    for _ in range(50):
        odds = at_risk[0][compared] * math.exp(log_ratio)
        share = odds / (odds + at_risk[1][compared])
        information = float((share * (1 - share)).sum())
        step = (events - share.sum()) / information
        log_ratio += float(np.clip(step, -1, 1))
        if abs(step) < 1e-10:
            break
    return log_ratio, 1 / math.sqrt(information)


def kaplan_meier(time: Array, event: Mask, at: float) -> tuple[float, float]:
    """Return the Kaplan-Meier estimate and Greenwood's variance of its logarithm.

    Deaths at one time are taken one after the other, before the censored: their product and their sum are those of
    all at once.

    Parameters
    ----------
    time, event
        One entry per patient.
    at
        When.
    """
    order = np.lexsort((~event, time))
    at_risk = np.arange(time.size, 0, -1)[event[order] & (time[order] <= at)]
    return float(np.prod(1 - 1 / at_risk)), float(np.sum(1 / (at_risk * np.maximum(at_risk - 1, 1))))


def kaplan_meier_curve(time: Array, event: Mask) -> tuple[Array, Array]:
    """Return patients' times in order and the Kaplan-Meier estimate after each, shape ``(n,)`` both.

    Parameters
    ----------
    time, event
        One entry per patient.
    """
    order = np.lexsort((~event, time))
    return time[order], np.cumprod(np.where(event[order], 1 - 1 / np.arange(time.size, 0, -1), 1.0))


def km_median(time: Array, event: Mask) -> float | None:
    """Return the Kaplan-Meier median, ``None`` when it is not reached."""
    ordered, survival = kaplan_meier_curve(time, event)
    below = np.flatnonzero(survival <= 0.5)
    return float(ordered[below[0]]) if below.size else None


def p_text(p: float) -> str:
    """Return a p-value as papers print it: two decimals, three below 0.01."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def _arm(patients: Patients, arm: ArmId) -> dict[str, Any]:
    mask = patients.arm(arm)
    return {"label": arm, "patients": int(mask.sum()), "events": int(patients.event[mask].sum())}


def _effect(patients: Patients, where: Where, digits: int) -> dict[str, Any]:
    return _ratio(patients, where, patients.inside(where), patients.treatment, digits)


def _prognostic(patients: Patients, where: Where, digits: int) -> dict[str, Any]:
    return _ratio(patients, where, patients.inside({}), patients.inside(where), digits)


def _ratio(patients: Patients, where: Where, among: Mask, group: Mask, digits: int) -> dict[str, Any]:
    """Return the hazard ratio of a group over the others among some patients."""
    log_ratio, error = cox_fit(patients.time[among], patients.event[among], group[among])
    limits = [f"{math.exp(log_ratio + z * error):.{digits}f}" for z in (-QUANTILE, QUANTILE)]
    p = 2 * float(ndtr(-abs(log_ratio) / error))
    row = {"estimate": f"{math.exp(log_ratio):.{digits}f}", "ci": limits, "p": p_text(p)}
    return row | _named(where)


def _named(where: Where) -> dict[str, Any]:
    return {"where": dict(where)} if where else {}


def _survival(patients: Patients, arm: ArmId, where: Where, at: float, digits: int) -> dict[str, Any]:
    mask = patients.arm(arm) & patients.inside(where)
    estimate, variance = kaplan_meier(patients.time[mask], patients.event[mask], at)
    row = {"arm": arm, "time": at, "estimate": f"{estimate:.{digits}f}"} | _named(where)
    if not 0 < estimate < 1:
        return row
    power = np.exp(np.array([-1, 1]) * QUANTILE * math.sqrt(variance) / math.log(estimate))
    low, high = sorted(float(estimate**exponent) for exponent in power)
    return row | {"ci": [f"{low:.{digits}f}", f"{high:.{digits}f}"]}


def _median(patients: Patients, arm: ArmId) -> list[dict[str, Any]]:
    mask = patients.arm(arm)
    median = km_median(patients.time[mask], patients.event[mask])
    return [] if median is None else [{"arm": arm, "estimate": f"{median:.1f}"}]


def _follow_up(patients: Patients, arm: ArmId) -> dict[str, Any]:
    mask = patients.arm(arm)
    time, alive = patients.time[mask], patients.time[mask & ~patients.event]
    quartiles = {name: f"{np.quantile(time, q):.0f}" for name, q in QUARTILES}
    survivors = {"survivors_median": f"{np.median(alive):.0f}"} if alive.size else {}
    return {"arm": arm, "mean": f"{time.mean():.1f}", "sd": f"{time.std(ddof=1):.1f}"} | quartiles | survivors
