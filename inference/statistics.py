"""Numbers that a paper prints about a trial, or might, as functionals of a table.

What a reconstruction imposes (survival, deaths, medians, follow-up, hazard ratios, each with the limits of its
interval) and, in addition, p-values: Wald's of the Cox fit, and of the difference in survival on the scale of the
printed intervals. Three comparisons of the arms are made of printed survival: its difference, the hazard ratio
``log S1 / log S0`` that it implies, and how that changes from the first to the last landmark.

Source: Klein et al. 2007, Stat Med 26:4505 (survival of two groups at one time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtr

from ..data import ARMS, OVERALL, Printed, Record, Subgroup
from ..data import cohort as measure
from ..data.audit.landmarks import both_arms
from ..data.cohort import Cohort
from ..data.estimators import Transform
from ..data.intervals import interval_transform
from ..data.outcomes import Survival
from ..data.reconstruction import Reconstruction, Target
from ..data.reconstruction.unknowns import Cells, RealisedTable
from ..data.replication import observed_table
from ..data.subgroup import parse_key
from .standardised import partition_subgroups

Array = NDArray[np.float64]
Functional = Callable[[RealisedTable], Array]


@dataclass(frozen=True)
class Statistic:
    """A number of the trial, and how it is computed of a replicate.

    Parameters
    ----------
    item
        What it is, such as ``survival`` or ``hazard_ratio p``.
    subgroup
        Whom it is about.
    functional
        Function of a table.
    value
        The trial's own.
    low, high
        The smallest and largest value that it may have before rounding.
    arm
        ``""`` for both arms.
    time
        Landmark, or nan.
    printed
        As printed; empty for what is made of printed numbers, or of patients.
    source
        Where in the paper.
    """

    item: str
    subgroup: Subgroup
    functional: Functional
    value: float
    low: float
    high: float
    arm: str = ""
    time: float = np.nan
    printed: str = ""
    source: str = ""

    def of(self, table: RealisedTable) -> Array:
        """Return the number of every trial of a stack: infinite or not a number where it does not exist.

        Parameters
        ----------
        table
            The trials.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # where nobody dies, or nobody is left
            values = self.functional(table)
        if self.item == "median":
            return np.where(values > table.edges[-1], np.inf, values)
        return np.where(np.isfinite(values), values, np.nan) if self.item.startswith("landmark") else values


@dataclass(frozen=True)
class _Arms:
    """The two arms of a group of patients, as cells of a table."""

    control: Cells
    treatment: Cells

    def of(self, table: RealisedTable, arm: str | None, measure: Callable[[Cohort], Array]) -> Array:
        """Return a quantity of one arm's patients, or of both arms' together."""
        cells = {"control": self.control, "treatment": self.treatment, None: self.control + self.treatment}
        return measure(table.cohort(cells[arm]))

    def hazard_ratio(self, table: RealisedTable) -> Array:
        """Return the Cox hazard ratio."""
        return np.exp(table.cox(self.control, self.treatment)[0])

    def wald_p(self, table: RealisedTable, sided: int = 2) -> Array:
        """Return Wald's p-value of the Cox fit."""
        log_ratio, error = table.cox(self.control, self.treatment)
        return np.asarray(sided * ndtr(-np.abs(log_ratio) / error))

    def survival(self, table: RealisedTable, time: float) -> tuple[Array, Array]:
        """Return Kaplan-Meier survival of control and treatment."""
        control, treatment = (measure.survival(table.cohort(cells), time) for cells in (self.control, self.treatment))
        return control, treatment

    def difference(self, table: RealisedTable, time: float) -> Array:
        """Return the difference in survival, treatment minus control."""
        control, treatment = self.survival(table, time)
        return treatment - control

    def landmark_ratio(self, table: RealisedTable, time: float) -> Array:
        """Return the hazard ratio that survival at one time implies."""
        control, treatment = self.survival(table, time)
        return np.asarray(np.log(treatment) / np.log(control))

    def change(self, table: RealisedTable, times: tuple[float, float]) -> Array:
        """Return the ratio of the hazard ratios that survival implies, the later over the earlier."""
        early, late = (self.landmark_ratio(table, time) for time in times)
        return late / early

    def landmark_p(self, table: RealisedTable, time: float, transform: Transform) -> Array:
        """Return the p-value of the difference in survival at one time."""
        scaled = []
        for cells in (self.control, self.treatment):
            survival = measure.survival(table.cohort(cells), time)
            variance = measure.greenwood(table.cohort(cells), time)  # of log S
            log = np.log(survival)
            scaled.append(
                {
                    "plain": (survival, survival**2 * variance),
                    "log": (log, variance),
                    "log-log": (np.log(-log), variance / log**2),
                }[transform]
            )
        (control, first), (treatment, second) = scaled
        return np.asarray(2 * ndtr(-np.abs(treatment - control) / np.sqrt(first + second)))


def printed_statistics(record: Record, made: Reconstruction) -> list[Statistic]:
    """Return what a paper prints about the strata of a reconstruction and their unions.

    Of the whole trial's reconstruction everything; of a partition's what is about subgroups.

    Parameters
    ----------
    record
        The trial.
    made
        The reconstruction.
    """
    found = [
        *(_of_target(target) for target in made.targets),
        *_printed_ratio_p(record, made),
        *_of_landmarks(record, made),
    ]
    return [one for one in found if one.subgroup.is_overall != bool(made.strata.partition)]


def _of_target(target: Target) -> Statistic:
    width = Printed(target.printed).half_width
    return Statistic(
        target.item,
        target.subgroup,
        target.functional,
        target.value,
        target.value - width,
        target.value + width,
        target.arm or "",
        np.nan if target.time is None else target.time,
        target.printed,
        target.source,
    )


def _arms(made: Reconstruction, where: Subgroup) -> _Arms:
    control, treatment = (made.strata.cells(where, arm) for arm in ARMS)
    return _Arms(control, treatment)


def _p_value(
    item: str, where: Subgroup, functional: Functional, printed: Printed, time: float, source: str
) -> Statistic:
    bounds = printed.value, printed.low, printed.high
    return Statistic(item, where, functional, *bounds, time=time, printed=printed.text, source=source)


def _printed_ratio_p(record: Record, made: Reconstruction) -> Iterator[Statistic]:
    for row in record.hazard_ratio:
        if row.use and row.p is not None and made.strata.members(row.where) is not None:
            functional = partial(_arms(made, row.where).wald_p, sided=row.sided)
            yield _p_value("hazard_ratio p", row.where, functional, row.p, np.nan, row.source)


def _of_landmarks(record: Record, made: Reconstruction) -> Iterator[Statistic]:
    """Yield p-values and comparisons of the arms' printed survival."""
    transform = interval_transform(record.survival)
    groups = dict.fromkeys(item.where for item in record.survival)
    for where in groups:
        if made.strata.members(where) is None:
            continue
        arms, by_time = _arms(made, where), both_arms(record, where)
        for time, items in by_time.items():
            for item in items.values():
                if item.p is not None:
                    functional = partial(arms.landmark_p, time=time, transform=transform)
                    yield _p_value("survival p", where, functional, item.p, time, item.source)
            yield _difference(arms, where, time, items)
            yield _landmark_ratio(arms, where, time, items)
        if len(by_time) > 1:
            yield _change(arms, where, by_time)


def _difference(arms: _Arms, where: Subgroup, time: float, items: Mapping[str, Survival]) -> Statistic:
    control, treatment = (items[arm].estimate for arm in ARMS)
    bounds = treatment.value - control.value, treatment.low - control.high, treatment.high - control.low
    return Statistic("survival difference", where, partial(arms.difference, time=time), *bounds, time=time)


def _implied(items: Mapping[str, Survival]) -> tuple[float, float, float]:
    """Return the hazard ratio that printed survival implies, the least and the most that rounding allows."""
    control, treatment = (items[arm].estimate for arm in ARMS)
    pairs = [(treatment.value, control.value), (treatment.high, control.low), (treatment.low, control.high)]
    value, low, high = (np.log(one) / np.log(other) for one, other in pairs)
    return float(value), float(low), float(high)


def _landmark_ratio(arms: _Arms, where: Subgroup, time: float, items: Mapping[str, Survival]) -> Statistic:
    functional = partial(arms.landmark_ratio, time=time)
    return Statistic("landmark hazard ratio", where, functional, *_implied(items), time=time)


def _change(arms: _Arms, where: Subgroup, by_time: Mapping[float, Mapping[str, Survival]]) -> Statistic:
    times = min(by_time), max(by_time)
    (first, first_low, first_high), (last, last_low, last_high) = (_implied(by_time[time]) for time in times)
    bounds = last / first, last_low / first_high, last_high / first_low
    return Statistic(_change_item(times), where, partial(arms.change, times=times), *bounds)


def _change_item(times: tuple[float, float]) -> str:
    return f"landmark hazard ratio, {times[1]:g} over {times[0]:g}"


def patient_statistics(record: Record, table: xr.Dataset, landmarks: Sequence[float]) -> list[Statistic]:
    """Return what a paper might print of known patients, computed of them.

    Of the whole trial deaths, medians and survival by arm and its comparisons; of a partition the hazard ratios of
    its subgroups, with p-values, and their deaths.

    Parameters
    ----------
    record
        The trial.
    table
        Their survival table by month, of one imputation.
    landmarks
        When survival is looked at.
    """
    strata = [parse_key(str(key)) for key in table.stratum.to_numpy()]
    observed = observed_table(table)
    if not table.attrs["partition"]:
        found = list(_of_patients(OVERALL, (0,), landmarks))
    else:
        reported = partition_subgroups(record, table.attrs["partition"], strata)
        groups = [(one.subgroup, one.members) for one in reported if not one.subgroup.is_overall]
        found = [statistic for group in groups for statistic in _of_effect(*group)]
    values = [float(one.of(observed)[0]) for one in found]
    return [replace(one, value=own, low=own, high=own) for one, own in zip(found, values, strict=True)]


def _arms_of(members: Sequence[int]) -> _Arms:
    control, treatment = (tuple((stratum, arm) for stratum in members) for arm in (0, 1))
    return _Arms(control, treatment)


def _unread(item: str, where: Subgroup, functional: Functional, arm: str = "", time: float = np.nan) -> Statistic:
    return Statistic(item, where, functional, np.nan, np.nan, np.nan, arm, time, source="patients")


def _of_effect(where: Subgroup, members: Sequence[int]) -> Iterator[Statistic]:
    arms = _arms_of(members)
    yield _unread("deaths", where, partial(arms.of, arm=None, measure=measure.deaths))
    yield _unread("hazard_ratio", where, arms.hazard_ratio)
    yield _unread("hazard_ratio p", where, arms.wald_p)


def _of_patients(where: Subgroup, members: Sequence[int], landmarks: Sequence[float]) -> Iterator[Statistic]:
    arms = _arms_of(members)
    for arm in ARMS:
        yield _unread("deaths", where, partial(arms.of, arm=arm, measure=measure.deaths), arm)
        yield _unread("median", where, partial(arms.of, arm=arm, measure=measure.median_survival), arm)
    yield from list(_of_effect(where, members))[1:]
    for time in landmarks:
        for arm in ARMS:
            survival = partial(measure.survival, time=time)
            yield _unread("survival", where, partial(arms.of, arm=arm, measure=survival), arm, time)
        yield _unread("survival p", where, partial(arms.landmark_p, time=time, transform="log-log"), time=time)
        yield _unread("survival difference", where, partial(arms.difference, time=time), time=time)
        yield _unread("landmark hazard ratio", where, partial(arms.landmark_ratio, time=time), time=time)
    if len(landmarks) > 1:
        times = landmarks[0], landmarks[-1]
        yield _unread(_change_item(times), where, partial(arms.change, times=times))
