"""Published numbers as functionals of the realised table, with their slopes.

A number belongs to a reconstruction when the patients whom it is about are a union of its strata.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from .. import cohort as measure
from ..cohort import Array, Cohort
from ..conduct import FollowUp
from ..fields import ARMS, ArmId
from ..intervals import interval_transform
from ..outcomes import HazardRatio, Median, Prognostic, Survival
from ..printed import Printed
from ..record import Record
from ..subgroup import OVERALL, Subgroup
from . import slopes
from .slopes import Derivatives, weighted
from .strata import Strata
from .unknowns import Cells, RealisedTable, Slope

COUNT_HALF_WIDTH = 0.05  # a whole count is exact; a fractional table reproduces it to a tenth
NONE_HALF_WIDTH = 0.25  # but none is less than half a death: fractional deaths are never quite none
ADJUSTED_SD = 0.05  # by which a table without strata misses the log of a stratified or adjusted hazard ratio
MEDIAN_WINDOW = 0.2  # of the trial's crude median: over which a curve is averaged where its median's place is open

_Number = tuple[str, float, float]  # as printed, its value, half-width
_Distribution = tuple[Callable[[Cohort, float], Array], Callable[[Cohort, float], Derivatives]]  # and its slope
Functional = Callable[[RealisedTable], Array]
Differential = Callable[[RealisedTable], Slope]


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
    slope
        Derivatives of ``smooth`` (of ``functional`` where there is none) at a table of single unknowns.
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
    slope: Differential
    source: str
    smooth: Functional | None = None
    used: bool = True

    @property
    def name(self) -> str:
        """What messages call the number."""
        parts = (self.item, self.arm, self.time and f"at {self.time:g}", self.printed)
        about = "" if self.subgroup.is_overall else f" of {self.subgroup}"
        return " ".join(str(part) for part in parts if part) + about


def targets_of(record: Record, strata: Strata) -> list[Target]:
    """Return the numbers that a record prints about the strata and their unions, whole arms included.

    Numbers with ``use = false`` are left out; the printed range of the survivors' follow-up is audited, not
    imposed.

    Parameters
    ----------
    record
        The trial.
    strata
        The strata of the reconstruction.
    """
    return [
        *_arm_deaths(record, strata),
        *_subgroup_deaths(record, strata),
        *_survivals(record, strata),
        *_medians(record, strata),
        *_follow_ups(record, strata),
        *_at_risks(record, strata),
        *_hazard_ratios(record, strata),
        *_prognostics(record, strata),
    ]


def withhold(targets: Sequence[Target], item: str, subgroup: Subgroup = OVERALL) -> list[Target]:
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


def _in_strata[T: Any](items: Iterable[T], strata: Strata) -> Iterator[T]:
    """Yield the items to use that are about a union of the strata."""
    return (item for item in items if item.use and strata.members(item.where) is not None)


@dataclass(frozen=True)
class _Quantity:
    """A quantity of one group of patients: its value, its slope, and a smooth stand-in for the value."""

    value: Callable[[Cohort], Array]
    slope: Callable[[Cohort], Derivatives]
    smooth: Callable[[Cohort], Array] | None = None


def _target(
    item: str,
    where: Subgroup,
    arm: ArmId | None,
    time: float | None,
    number: _Number,
    quantity: _Quantity,
    source: str,
    strata: Strata,
) -> Target:
    """Return the target of a quantity of one group of patients: one arm's, or both arms' without ``arm``."""
    cells = strata.cells(where, arm)

    def of_group(function: Callable[[Cohort], Array]) -> Functional:
        return lambda table: function(table.cohort(cells))

    def slope(table: RealisedTable) -> Slope:
        return ((cells, quantity.slope(table.cohort(cells))),)

    smooth = quantity.smooth and of_group(quantity.smooth)
    return Target(item, where, arm, time, *number, of_group(quantity.value), slope, source, smooth)


def _number(printed: Printed, more: float = 0.0) -> _Number:
    return printed.text, printed.value, printed.half_width + more


def _count(number: int, half_width: float = COUNT_HALF_WIDTH) -> _Number:
    return str(number), number, half_width if number else max(half_width, NONE_HALF_WIDTH)


_MOMENTS = {
    "mean": _Quantity(measure.mean_follow_up, slopes.mean_follow_up),
    "sd": _Quantity(measure.sd_follow_up, slopes.sd_follow_up),
}
_OF_EVERYONE = {"q25": 0.25, "median": 0.5, "q75": 0.75}
_DEAD = measure.share_dead_by, slopes.share_dead_by
_ALL = measure.share_followed_up_to, slopes.share_followed_up_to
_SURVIVORS = measure.share_of_survivors_followed_up_to, slopes.share_of_survivors_followed_up_to
_QUANTILES = {
    name: (_ALL, partial(measure.quantile_follow_up, probability=probability), probability)
    for name, probability in _OF_EVERYONE.items()
} | {"survivors_median": (_SURVIVORS, measure.median_follow_up_of_survivors, 0.5)}
_DEATHS = _Quantity(measure.deaths, slopes.deaths)


def _arm_deaths(record: Record, strata: Strata) -> Iterator[Target]:
    counts: list[tuple[ArmId | None, int | None, str]] = [
        (arm, record.arm(arm).events, record.arm(arm).source) for arm in ARMS
    ]
    if record.totals and None in [events for _, events, _ in counts]:
        counts.append((None, record.totals.events, record.totals.source))
    for arm, events, source in counts:
        if events is not None:
            yield _target("deaths", OVERALL, arm, None, _count(events), _DEATHS, source, strata)


def _subgroup_deaths(record: Record, strata: Strata) -> Iterator[Target]:
    for item in _in_strata(record.deaths, strata):
        if item.where.is_overall:
            continue  # the arms' own counts are used
        if item.n is not None:
            yield _target("deaths", item.where, item.arm, None, _count(item.n), _DEATHS, item.source, strata)
        elif item.percent is not None:
            percent, number = _Quantity(measure.percent_dead, slopes.percent_dead), _number(item.percent)
            yield _target("percent_dead", item.where, item.arm, None, number, percent, item.source, strata)


def _survivals(record: Record, strata: Strata) -> Iterator[Target]:
    transform = interval_transform(record.survival)
    for item in _in_strata(record.survival, strata):
        yield _survival(item, "survival", item.estimate, measure.survival, slopes.survival, strata)
        if item.ci is not None:
            quantile = measure.normal_quantile(item.level)
            for printed, name, limit in zip(item.ci, ("lower", "upper"), (-quantile, quantile), strict=True):
                value = partial(measure.survival_limit, quantile=limit, transform=transform)
                slope = partial(slopes.survival_limit, quantile=limit, transform=transform)
                yield _survival(item, f"survival {name}", printed, value, slope, strata)


def _survival(
    item: Survival,
    name: str,
    printed: Printed,
    value: Callable[..., Array],
    slope: Callable[..., Derivatives],
    strata: Strata,
) -> Target:
    quantity = _Quantity(partial(value, time=item.time), partial(slope, time=item.time))
    return _target(name, item.where, item.arm, item.time, _number(printed), quantity, item.source, strata)


def _medians(record: Record, strata: Strata) -> Iterator[Target]:
    for item in _in_strata(record.median, strata):
        if item.difference is not None and item.arm is None:
            yield _median_difference(item, item.difference, strata)
        elif item.reached is not None:
            step = _half_step(item.reached.value, strata.patients(item.where, item.arm))
            number = _number(item.reached, step)
            quantity = _quantile(_DEAD, measure.median_survival, 0.5, number)
            yield _target("median", item.where, item.arm, None, number, quantity, item.source, strata)


def _half_step(time: float, patients: float, probability: float = 0.5) -> float:
    """Return half the time between patients at a quantile of their times.

    A printed quantile is one patient's time, at which the printed distribution steps past the probability; the
    table's is smooth and passes it within half a step of that. The density is an exponential's with this quantile.
    """
    return time / (2 * patients * (1 - probability) * -math.log1p(-probability))


def _median_difference(item: Median, printed: Printed, strata: Strata) -> Target:
    control, treatment = (strata.cells(item.where, arm) for arm in ARMS)
    window = MEDIAN_WINDOW * strata.crude_median

    def difference(median: Callable[[Cohort], Array]) -> Functional:
        return lambda table: median(table.cohort(treatment)) - median(table.cohort(control))

    def slope(table: RealisedTable) -> Slope:
        terms = ((control, -1.0), (treatment, 1.0))
        return [
            (cells, weighted((sign, slopes.smooth_median_survival(table.cohort(cells), window))))
            for cells, sign in terms
        ]

    exact, smooth = measure.median_survival, partial(measure.smooth_median_survival, window=window)
    steps = [_half_step(strata.crude_median, strata.patients(item.where, arm)) for arm in ARMS]
    number = _number(printed, math.hypot(*steps))
    return Target(
        "median_difference",
        item.where,
        None,
        None,
        *number,
        difference(exact),
        slope,
        item.source,
        difference(smooth),
    )


def _quantile(
    distribution: _Distribution,
    exact: Callable[[Cohort], Array],
    probability: float,
    number: _Number,
) -> _Quantity:
    """Return a quantile, with a smooth stand-in that is linear about the printed value."""
    (share, share_slope), (_, value, half_width) = distribution, number
    where = {"probability": probability, "time": value, "width": 2 * half_width}
    return _Quantity(
        exact,
        lambda cohort: slopes.quantile_near(partial(share, cohort), partial(share_slope, cohort), **where),
        lambda cohort: measure.quantile_near(partial(share, cohort), **where),
    )


def _follow_ups(record: Record, strata: Strata) -> Iterator[Target]:
    for item in record.follow_up:
        for name in (*_MOMENTS, *_QUANTILES):
            if item.use and getattr(item, name):
                number = _number(getattr(item, name), _follow_up_step(item, name, strata))
                quantity = _MOMENTS[name] if name in _MOMENTS else _follow_up_quantile(name, number)
                item_name = f"follow_up {name}"
                yield _target(item_name, OVERALL, item.arm, None, number, quantity, item.source, strata)


def _follow_up_quantile(name: str, number: _Number) -> _Quantity:
    distribution, exact, probability = _QUANTILES[name]
    return _quantile(distribution, exact, probability, number)


def _follow_up_step(item: FollowUp, name: str, strata: Strata) -> float:
    if name not in _OF_EVERYONE:
        return 0.0
    return _half_step(getattr(item, name).value, strata.patients(OVERALL, item.arm), _OF_EVERYONE[name])


def _at_risks(record: Record, strata: Strata) -> Iterator[Target]:
    for item in _in_strata(record.at_risk, strata):
        for time, number in zip(item.times, item.patients, strict=True):
            if time > 0:
                quantity = _Quantity(
                    partial(measure.number_at_risk, time=time), partial(slopes.number_at_risk, time=time)
                )
                count = _count(number, 0.5)
                yield _target("at_risk", item.where, item.arm, time, count, quantity, item.source, strata)


def _hazard_ratios(record: Record, strata: Strata) -> Iterator[Target]:
    for row in _in_strata(record.hazard_ratio, strata):
        control, treatment = (strata.cells(row.where, arm) for arm in ARMS)
        groups = (treatment, control) if row.inverted else (control, treatment)
        yield from _ratio("hazard_ratio", row, *groups)


def _prognostics(record: Record, strata: Strata) -> Iterator[Target]:
    for row in _in_strata(record.prognostic, strata):
        if row.estimate is not None:
            inside = strata.cells(row.where, None)
            outside = tuple(cell for cell in strata.cells(OVERALL, None) if cell not in inside)
            yield from _ratio("prognostic", row, outside, inside)


def _ratio(item: str, row: HazardRatio | Prognostic, reference: Cells, group: Cells) -> Iterator[Target]:
    """Yield a hazard ratio of a group over a reference, and the limits of its interval."""
    quantile = measure.normal_quantile(row.level)
    error = math.sqrt(3) * ADJUSTED_SD if isinstance(row, HazardRatio) and row.analysis != "unadjusted" else 0.0
    limits = [(f"{item} lower", -quantile), (f"{item} upper", quantile)]
    names = [(item, 0.0), *limits] if row.ci is not None else [(item, 0.0)]
    for (name, shift), printed in zip(names, (row.estimate, *(row.ci or ())), strict=True):
        assert printed is not None
        functional, slope = _ratio_functional(reference, group, shift)
        text, value, half_width = _number(printed)
        room = math.hypot(half_width, error * value)
        yield Target(name, row.where, None, None, text, value, room, functional, slope, row.source)


def _ratio_functional(reference: Cells, group: Cells, shift: float) -> tuple[Functional, Differential]:
    def functional(table: RealisedTable) -> Array:
        log_ratio, error = table.cox(reference, group)
        return np.exp(log_ratio + shift * error)

    def slope(table: RealisedTable) -> Slope:
        ratio = float(functional(table))
        of_ratio, of_error = table.cox_slopes(reference, group)
        return [
            (cells, weighted((ratio, by_ratio), (ratio * shift, by_error)))
            for (cells, by_ratio), (_, by_error) in zip(of_ratio, of_error, strict=True)
        ]

    return functional, slope
