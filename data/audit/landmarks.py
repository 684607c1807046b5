"""Checks of survival landmarks, medians and rates against the hazard ratio; they allow for sampling error."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scipy.special import ndtri

from ..estimators import Transform
from ..fields import ARMS
from ..intervals import interval_transform
from ..outcomes import HazardRatio, Survival
from ..record import Record
from ..subgroup import Subgroup
from .finding import Finding

MEDIAN_ERRORS = 2.4  # standard errors of the hazard ratio by which medians may mislead about direction
RATE_ERRORS = 1.5  # of the hazard ratio, by which the crude rate ratio may differ
DEATHS_ERRORS = 3.0  # of the deaths, by which shares of patients who died may mislead
LANDMARK_ERRORS = 2.6  # of the difference between a landmark's hazard ratio and Cox's


def direction(record: Record) -> Iterator[Finding]:
    """5. Medians and landmarks point the way the hazard ratio does."""
    for row in record.hazard_ratio:
        medians = _medians(record, row.where)
        error = row.standard_error or _error_of_deaths(record, row)
        if error and medians:
            evidence = f"medians {medians[1]:g} and {medians[0]:g}"
            yield _direction(row, evidence, medians[0] / medians[1], MEDIAN_ERRORS * error)
        if row.where.is_overall and (shares := _shares_dead(record)) and (spread := _error_of_deaths(record, row)):
            control, treatment = shares
            evidence = f"{record.event}s of {treatment:.0%} and {control:.0%}"
            implied = math.log1p(-treatment) / math.log1p(-control)
            yield _direction(row, evidence, implied, DEATHS_ERRORS * spread)
        for time, arms in both_arms(record, row.where).items():
            spread = _spread(row, arms) or _rough_spread(record, arms)
            if spread:
                control, treatment = arms["control"].estimate, arms["treatment"].estimate
                evidence = f"survival at {time:g} of {treatment} and {control}"
                yield _direction(row, evidence, _implied(arms), LANDMARK_ERRORS * spread)


def _shares_dead(record: Record) -> tuple[float, float] | None:
    """Return the share of each arm's patients who died, where it is neither none nor all."""
    shares = [(record.arm(arm).events or 0) / (record.arm(arm).patients or math.inf) for arm in ARMS]
    return (shares[0], shares[1]) if all(0 < share < 1 for share in shares) else None


def _error_of_deaths(record: Record, row: HazardRatio) -> float | None:
    """Return the standard error that the deaths of the arms give an overall log hazard ratio."""
    events = [record.arm(arm).events for arm in ARMS]
    if not row.where.is_overall or not all(events):
        return None
    return math.sqrt(sum(1 / count for count in events if count))


def _rough_spread(record: Record, arms: dict[str, Survival]) -> float | None:
    """Return `_spread` without printed intervals: binomial, as if half of the patients were still followed."""
    sizes = [_patients(record, item) for item in arms.values()]
    if None in sizes:
        return None
    shares = [item.estimate.value for item in arms.values()]
    each = [(1 - s) / (s * (size or 1) / 2 * math.log(s) ** 2) for s, size in zip(shares, sizes, strict=True)]
    return math.sqrt(sum(each))


def _direction(row: HazardRatio, evidence: str, implied: float, room: float) -> Finding:
    printed = math.log(row.treatment_over_control)
    wrong = printed * math.log(implied) < 0 and abs(printed - math.log(implied)) > room
    hint = "; the inverse would agree: is it control over treatment?" if wrong else ""
    return Finding(
        "direction",
        "note" if wrong else "ok",
        f"hazard ratio {row.label or row.where.key}",
        row.estimate.text,
        implied,
        arithmetic=f"{evidence} (treatment, control) suggest about {implied:.2f}; printed "
        f"{row.treatment_over_control:.3g} (treatment over control){hint}",
        source=row.source,
    )


def _medians(record: Record, where: Subgroup) -> tuple[float, float] | None:
    found = {
        item.arm: item.reached.value for item in record.median if item.where == where and item.arm and item.reached
    }
    return (found["control"], found["treatment"]) if len(found) == 2 else None


def both_arms(record: Record, where: Subgroup) -> dict[float, dict[str, Survival]]:
    """Return the landmarks that are printed for both arms, by time and arm; those at 0 or 1 are left out.

    Parameters
    ----------
    record
        The trial.
    where
        Whom they are about.
    """
    found: dict[float, dict[str, Survival]] = {}
    for item in record.survival:
        if item.use and item.where == where:
            found.setdefault(item.time, {})[item.arm] = item
    return {
        time: arms
        for time, arms in found.items()
        if len(arms) == 2 and all(0 < item.estimate.value < 1 for item in arms.values())
    }


def rate_ratio(record: Record) -> Iterator[Finding]:
    """6. Events over patients times mean follow-up agree with the hazard ratio."""
    row = record.overall_hazard_ratio
    means = {item.arm: item.mean.value for item in record.follow_up if item.arm and item.mean}
    rates = {}
    for arm, mean in means.items():
        item = record.arm(arm)
        if item.events and item.patients and mean:
            rates[arm] = (item.events, item.patients, mean, item.events / (item.patients * mean))
    if row and row.standard_error and len(rates) == 2:
        ratio = rates["treatment"][3] / rates["control"][3]
        off = abs(math.log(ratio / row.treatment_over_control)) / row.standard_error
        parts = [f"{rates[arm][0]}/({rates[arm][1]} x {rates[arm][2]:g})" for arm in ("treatment", "control")]
        yield Finding(
            "rate ratio",
            "note" if off > RATE_ERRORS else "ok",
            "hazard ratio overall",
            row.estimate.text,
            ratio,
            arithmetic=f"{parts[0]} over {parts[1]} = {ratio:.3f}; {off:.1f} standard errors from {row.estimate}",
            source=row.source,
        )


def landmark_interval(record: Record) -> Iterator[Finding]:
    """7. A landmark's interval is not narrower than the binomial with every patient followed up."""
    transform = interval_transform(record.survival)
    for item in record.survival:
        patients = _patients(record, item)
        error = _survival_error(item, transform)
        if error and patients:
            survival = item.estimate.value
            binomial = math.sqrt((1 - survival) / (survival * patients)) * _per_log(survival, transform)
            yield Finding(
                "landmark interval",
                "note" if error < binomial else "ok",
                f"survival {item.arm} at {item.time:g}" + ("" if item.where.is_overall else f", {item.where.key}"),
                f"{item.ci[0]} to {item.ci[1]}" if item.ci else "",
                error,
                binomial,
                None,
                f"SE on the {transform} scale at most {error:.3f}; at least {binomial:.3f} with {patients} patients",
                item.source,
            )


def _patients(record: Record, item: Survival) -> int | None:
    if item.where.is_overall:
        return record.arm(item.arm).patients
    return next((c.n for c in record.patients_count if c.arm == item.arm and c.where == item.where), None)


def _per_log(survival: float, transform: Transform) -> float:
    """Return the derivative of the interval's scale with respect to log S, without its sign."""
    return {"log-log": 1 / abs(math.log(survival)), "log": 1.0, "plain": survival}[transform]


def _survival_error(item: Survival, transform: Transform) -> float | None:
    """Return the largest standard error, on the interval's scale, that rounding allows; ``None`` without interval."""
    if not item.ci or not 0 < item.ci[0].low <= item.ci[1].high < 1:
        return None
    low, high = item.ci[0].low, item.ci[1].high
    scaled = {
        "log-log": (math.log(-math.log(high)), math.log(-math.log(low))),
        "log": (math.log(low), math.log(high)),
        "plain": (low, high),
    }[transform]
    return float(abs(scaled[1] - scaled[0]) / (2 * ndtri((1 + item.level) / 2)))


def landmark_hazard_ratio(record: Record) -> Iterator[Finding]:
    """8. The hazard ratio that landmarks imply agrees with the reported one (proportional hazards)."""
    for row in record.hazard_ratio:
        for time, arms in both_arms(record, row.where).items():
            spread = _spread(row, arms)
            if row.use and spread:
                yield _landmark_ratio(row, time, arms, spread)


def _implied(arms: dict[str, Survival]) -> float:
    """Return the hazard ratio that survival at one time implies."""
    return math.log(arms["treatment"].estimate.value) / math.log(arms["control"].estimate.value)


def _spread(row: HazardRatio, arms: dict[str, Survival]) -> float | None:
    """Return the standard error of the difference between a landmark's log hazard ratio and Cox's."""
    errors = [_survival_error(item, "log-log") for item in arms.values()]
    if row.standard_error is None or None in errors:
        return None
    error = math.hypot(*(value or 0.0 for value in errors))
    return math.sqrt(max(error**2 - row.standard_error**2, 0.25 * error**2))  # Cox's estimate is the efficient one


def _landmark_ratio(row: HazardRatio, time: float, arms: dict[str, Survival], spread: float) -> Finding:
    control, treatment = arms["control"].estimate, arms["treatment"].estimate
    implied = _implied(arms)
    off = abs(math.log(implied / row.treatment_over_control)) / spread
    return Finding(
        "landmark hazard ratio",
        "note" if off > LANDMARK_ERRORS else "ok",
        f"survival at {time:g}" + ("" if row.where.is_overall else f", {row.where.key}"),
        row.estimate.text,
        implied,
        arithmetic=f"log {treatment} / log {control} = {implied:.2f}; {off:.1f} standard errors from {row.estimate}",
        source=arms["treatment"].source,
    )
