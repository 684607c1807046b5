"""Published numbers as functionals of the realised table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .. import cohort as measure
from ..cohort import Array, Cohort
from ..intervals import interval_transform
from ..record import ARMS, ArmId, AtRisk, FollowUp, HazardRatio, Record, Survival
from ..subgroup import OVERALL, Subgroup
from .unknowns import RealisedTable

COUNT_HALF_WIDTH = 0.05  # a whole count is exact; a fractional table reproduces it to a tenth

Functional = Callable[[RealisedTable], Array]
CohortFunction = Callable[[Cohort], Array]


@dataclass(frozen=True)
class Target:
    """One published number and the functional of the table that must reproduce it.

    Parameters
    ----------
    item
        What the number is, such as ``survival`` or ``hazard_ratio lower``.
    subgroup
        Whom it is about.
    arm
        ``None`` for both arms.
    time
        Landmark, or ``None``.
    printed
        The text as printed.
    value, half_width
        What the functional must come to, and the rounding's half-width.
    functional
        Function of a `RealisedTable`.
    source
        Where the paper prints it.
    smooth
        The functional without its kinks, for the optimiser; ``None`` when it has none.
    used
        Whether the reconstruction is conditioned on the number; otherwise it is predicted.
    """

    item: str
    subgroup: Subgroup
    arm: ArmId | None
    time: float | None
    printed: str
    value: float
    half_width: float
    functional: Functional
    source: str
    smooth: Functional | None = None
    used: bool = True


def arm_targets(record: Record) -> list[Target]:
    """Return the numbers that a record prints about whole arms, for a table of one stratum.

    Numbers with ``use = false`` are left out; the printed range of the survivors' follow-up is audited, not
    imposed.
    """
    return [
        *_deaths(record),
        *_survivals(record),
        *_follow_ups(record),
        *_at_risks(record),
        *_hazard_ratios(record),
    ]


def withhold(targets: list[Target], item: str, subgroup: Subgroup = OVERALL) -> list[Target]:
    """Return the targets with the numbers of one item predicted instead of used.

    Parameters
    ----------
    targets
        Targets.
    item
        First word of the items, such as ``hazard_ratio``.
    subgroup
        Whom they are about.
    """
    return [
        replace(target, used=target.used and (target.item.split()[0], target.subgroup) != (item, subgroup))
        for target in targets
    ]


def _of_cohort(function: CohortFunction, arm: ArmId | None) -> Functional:
    """Return a function of one arm's patients (of both arms' without ``arm``) as a function of the table."""
    arms = (0, 1) if arm is None else (ARMS.index(arm),)
    return lambda table: function(table.cohort((0,), arms))


def _deaths(record: Record) -> Iterator[Target]:
    def deaths(cohort: Cohort) -> Array:
        return cohort.deaths.sum(axis=-1)

    counts: list[tuple[ArmId | None, int | None, str]] = [
        (arm, record.arm(arm).events, record.arm(arm).source) for arm in ARMS
    ]
    if record.totals and None in [events for _, events, _ in counts]:
        counts.append((None, record.totals.events, record.totals.source))
    for arm, events, source in counts:
        if events is not None:
            functional = _of_cohort(deaths, arm)
            yield Target("deaths", OVERALL, arm, None, str(events), events, COUNT_HALF_WIDTH, functional, source)


def _survivals(record: Record) -> Iterator[Target]:
    transform = interval_transform(record.survival)
    for item in record.survival:
        if item.use and item.where.is_overall:
            yield _survival(item, "survival", partial(measure.survival, time=item.time))
            if item.ci is not None:
                quantile = measure.normal_quantile(item.level)
                for index, name, limit in ((0, "lower", -quantile), (1, "upper", quantile)):
                    function = partial(measure.survival_limit, time=item.time, quantile=limit, transform=transform)
                    yield _survival(item, f"survival {name}", function, index)


def _survival(item: Survival, name: str, function: CohortFunction, limit: int | None = None) -> Target:
    printed = item.estimate if limit is None or item.ci is None else item.ci[limit]
    functional = _of_cohort(function, item.arm)
    return Target(
        name,
        item.where,
        item.arm,
        item.time,
        printed.text,
        printed.value,
        printed.half_width,
        functional,
        item.source,
    )


_MOMENTS: dict[str, CohortFunction] = {"mean": measure.mean_follow_up, "sd": measure.sd_follow_up}
_QUANTILES: dict[str, tuple[Callable[[Cohort, float], Array], float]] = {
    "q25": (measure.share_followed_up_to, 0.25),
    "median": (measure.share_followed_up_to, 0.5),
    "q75": (measure.share_followed_up_to, 0.75),
    "survivors_median": (measure.share_of_survivors_followed_up_to, 0.5),
}
_EXACT: dict[str, CohortFunction] = {
    "q25": partial(measure.quantile_follow_up, probability=0.25),
    "median": partial(measure.quantile_follow_up, probability=0.5),
    "q75": partial(measure.quantile_follow_up, probability=0.75),
    "survivors_median": measure.median_follow_up_of_survivors,
}


def _follow_ups(record: Record) -> Iterator[Target]:
    for item in record.follow_up:
        if item.use:
            yield from (
                _follow_up(item, name, function) for name, function in _MOMENTS.items() if getattr(item, name)
            )
            for name, (share, probability) in _QUANTILES.items():
                if getattr(item, name):
                    printed = getattr(item, name)
                    smooth = partial(_quantile_near, share, probability, printed.value, 2 * printed.half_width)
                    yield _follow_up(item, name, _EXACT[name], smooth)


def _quantile_near(
    share: Callable[[Cohort, float], Array], probability: float, time: float, width: float, cohort: Cohort
) -> Array:
    return measure.quantile_near(partial(share, cohort), probability, time, width)


def _follow_up(item: FollowUp, name: str, function: CohortFunction, smooth: CohortFunction | None = None) -> Target:
    printed = getattr(item, name)
    return Target(
        f"follow_up {name}",
        OVERALL,
        item.arm,
        None,
        printed.text,
        printed.value,
        printed.half_width,
        _of_cohort(function, item.arm),
        item.source,
        smooth and _of_cohort(smooth, item.arm),
    )


def _at_risks(record: Record) -> Iterator[Target]:
    for item in record.at_risk:
        if item.use and item.where.is_overall:
            yield from (
                _at_risk(item, time, number)
                for time, number in zip(item.times, item.patients, strict=True)
                if time > 0
            )


def _at_risk(item: AtRisk, time: float, number: int) -> Target:
    functional = _of_cohort(partial(measure.number_at_risk, time=time), item.arm)
    return Target("at_risk", item.where, item.arm, time, str(number), number, 0.5, functional, item.source)


def _hazard_ratios(record: Record) -> Iterator[Target]:
    for row in record.hazard_ratio:
        if row.use and row.where.is_overall:
            quantile = measure.normal_quantile(row.level)
            yield _hazard_ratio(row, None, 0.0)
            if row.ci is not None:
                yield from (_hazard_ratio(row, limit, quantile) for limit in (0, 1))


def _hazard_ratio(row: HazardRatio, limit: int | None, quantile: float) -> Target:
    printed = row.estimate if limit is None or row.ci is None else row.ci[limit]
    name = "hazard_ratio" + ("" if limit is None else (" lower", " upper")[limit])
    sign, shift = -1 if row.inverted else 1, 0.0 if limit is None else (-quantile, quantile)[limit]

    def functional(table: RealisedTable) -> Array:
        log_ratio, error = table.cox((0,))
        return np.exp(sign * log_ratio + shift * error)

    return Target(
        name, row.where, None, None, printed.text, printed.value, printed.half_width, functional, row.source
    )
