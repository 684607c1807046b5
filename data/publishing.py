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

from .estimators import Array, Mask, confidence_limit, cox_of_patients, kaplan_meier
from .fields import ARMS, ArmId

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
    log_ratio, error = cox_of_patients(patients.time[among], patients.event[among], group[among])
    limits = [f"{math.exp(log_ratio + z * error):.{digits}f}" for z in (-QUANTILE, QUANTILE)]
    p = 2 * float(ndtr(-abs(log_ratio) / error))
    row = {"estimate": f"{math.exp(log_ratio):.{digits}f}", "ci": limits, "p": p_text(p)}
    return row | _named(where)


def _named(where: Where) -> dict[str, Any]:
    return {"where": dict(where)} if where else {}


def _survival(patients: Patients, arm: ArmId, where: Where, at: float, digits: int) -> dict[str, Any]:
    mask = patients.arm(arm) & patients.inside(where)
    curve = kaplan_meier(patients.time[mask], patients.event[mask])
    estimate, variance = float(curve.at(at)), float(curve.variance_at(at))
    row = {"arm": arm, "time": at, "estimate": f"{estimate:.{digits}f}"} | _named(where)
    if not 0 < estimate < 1:
        return row
    low, high = (confidence_limit(estimate, variance, z, "log-log") for z in (-QUANTILE, QUANTILE))
    return row | {"ci": [f"{low:.{digits}f}", f"{high:.{digits}f}"]}


def _median(patients: Patients, arm: ArmId) -> list[dict[str, Any]]:
    mask = patients.arm(arm)
    median = kaplan_meier(patients.time[mask], patients.event[mask]).median
    return [] if median is None else [{"arm": arm, "estimate": f"{median:.1f}"}]


def _follow_up(patients: Patients, arm: ArmId) -> dict[str, Any]:
    mask = patients.arm(arm)
    time, alive = patients.time[mask], patients.time[mask & ~patients.event]
    quartiles = {name: f"{np.quantile(time, q):.0f}" for name, q in QUARTILES}
    survivors = {"survivors_median": f"{np.median(alive):.0f}"} if alive.size else {}
    return {"arm": arm, "mean": f"{time.mean():.1f}", "sd": f"{time.std(ddof=1):.1f}"} | quartiles | survivors
