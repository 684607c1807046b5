"""A trial's survival rebuilt from whatever its record names: digitised curves, else published numbers.

Where a record has both curves and numbers about subgroups, the curves supply the time structure and the numbers the
strata: what the curves say about whole arms is handed to the reconstruction as if the paper had printed it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from .cohort import MONTHS
from .conduct import Arms
from .curves import RebuiltCurves, rebuild_curves
from .estimators import cox_of_patients, kaplan_meier
from .fields import ARMS
from .imputed import Imputed
from .outcomes import HazardRatio, Survival
from .printed import Printed
from .publishing import QUANTILE
from .reconstruction import reconstruct
from .record import Record

EVERY_MONTHS = 6.0  # the curve is handed on at these times
FEWEST_AT_RISK = 5  # later the curve says hardly anything
CURVE = "curve"
SOURCES = ("published numbers", "digitised curves")  # without and with curves


def rebuild(
    record: Record,
    partition: str = "",
    *,
    imputations: int = 20,
    seed: int = 1,
    horizon: float | None = None,
    curves: RebuiltCurves | None = None,
) -> Imputed:
    """Rebuild a trial's survival table with its uncertainty.

    Parameters
    ----------
    record
        The trial.
    partition
        Name of the partition whose strata to rebuild; whole arms by default.
    imputations
        How many tables to draw.
    seed
        Seed of the draws.
    horizon
        See `reconstruct`.
    curves
        The record's curves, where they are rebuilt already.

    Raises
    ------
    InputError
        When a file is wrong, or the record does not say enough.
    """
    if partition:
        record.check_both_arms("strata")
    if record.source != "curves":
        return reconstruct(record, partition, imputations=imputations, seed=seed, horizon=horizon)
    whole = curves or rebuild_curves(record, imputations=imputations, seed=seed)
    if not partition:
        return whole
    told = with_curves(record, whole)
    made = reconstruct(told, partition, imputations=imputations, seed=seed, horizon=horizon)
    return replace(made, record=record)


def rebuild_with_curves(record: Record, partition: str, *, imputations: int, seed: int) -> tuple[Imputed, ...]:
    """Rebuild a partition's strata, and before them the whole arms where curves supply those.

    Parameters
    ----------
    record, partition, imputations, seed
        See `rebuild`.

    Raises
    ------
    InputError
        See `rebuild`.
    """
    if record.source != "curves" or not partition:
        return (rebuild(record, partition, imputations=imputations, seed=seed),)
    whole = rebuild_curves(record, imputations=imputations, seed=seed)
    return whole, rebuild(record, partition, imputations=imputations, seed=seed, curves=whole)


def with_curves(record: Record, curves: RebuiltCurves) -> Record:
    """Return a record that prints what its curves say about whole arms.

    Patients, deaths, survival every six months and the overall hazard ratio are the curves'; what the paper prints
    about whole arms beside them is left to the audit, but for the numbers at risk. Numbers about subgroups stay.

    Parameters
    ----------
    record
        The trial.
    curves
        Its curves, rebuilt.
    """
    month = MONTHS[record.time_unit]
    end = math.ceil(max(fit.known.end for fit in curves.fits) / month * (1 - 1e-12)) * month
    return record.model_copy(
        update={
            "arms": Arms(**{arm: _arm(record, curves, arm) for arm in ARMS}),
            "survival": (*_survival(record, curves), *_of_subgroups(record.survival)),
            "median": _of_subgroups(record.median),
            "follow_up": (),
            "hazard_ratio": (_effect(curves), *_of_subgroups(record.hazard_ratio)),
            "horizon": record.horizon or max(end, *record.landmark_times(), end),
        }
    )


def _of_subgroups[T: Any](items: tuple[T, ...]) -> tuple[T, ...]:
    return tuple(item for item in items if not item.where.is_overall)


def _arm(record: Record, curves: RebuiltCurves, arm: Any) -> Any:
    _, event = curves.of_arm(arm)
    told = {"patients": len(event), "events": int(event.sum()), "source": CURVE}
    return record.arm(arm).model_copy(update=told)


def _survival(record: Record, curves: RebuiltCurves) -> list[Survival]:
    step = EVERY_MONTHS * MONTHS[record.time_unit]
    found = []
    for arm in ARMS:
        time, event = curves.of_arm(arm)
        curve = kaplan_meier(time, event == 1)
        for at in np.arange(step, time.max(), step).tolist():
            if (time >= at).sum() >= FEWEST_AT_RISK:
                estimate = Printed(f"{float(curve.at(at)):.2f}")
                found.append(Survival(arm=arm, time=at, estimate=estimate, source=CURVE))
    return found


def _effect(curves: RebuiltCurves) -> HazardRatio:
    rows = curves.patients
    log_ratio, error = cox_of_patients(
        rows["time"].to_numpy(), rows["event"].to_numpy() == 1, (rows["arm"] == "treatment").to_numpy()
    )
    texts = [Printed(f"{math.exp(log_ratio + z * error):.2f}") for z in (0.0, -QUANTILE, QUANTILE)]
    return HazardRatio(label="All patients", estimate=texts[0], ci=(texts[1], texts[2]), source=CURVE)
