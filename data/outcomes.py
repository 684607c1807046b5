"""What a trial found, as its paper prints it: survival, deaths, hazard ratios, and secondary endpoints.

The standard error of a log hazard ratio is that of its interval with limits ``l`` and ``u`` at level ``c``:
``log(u / l) / (2 z)``, where ``z`` is the standard normal quantile of ``(1 + c) / 2``.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from scipy.special import ndtri

from .fields import ArmId, Estimate, Item, Number, Size, Table, Text, Time, Where, given, not_a_share, not_more
from .labels import number_of
from .printed import AnyNumber, Percent, Positive, Printed, Probability, PValue, Quantile, QuantileLimit
from .references import references
from .subgroup import OVERALL


class Survival(Estimate):
    """Survival of one arm at a landmark; ``p`` compares the arms there and stands with the treatment arm."""

    arm: ArmId
    time: Time
    where: Where = OVERALL
    estimate: Probability
    ci: tuple[Probability, Probability] | None = None
    p: PValue | None = None


class Median(Estimate):
    """Median survival of an arm, or the difference between the arms (treatment minus control).

    Where it is printed as not reached, so it is kept; `reached` is the median that analyses use.
    """

    arm: ArmId | None = None
    where: Where = OVERALL
    estimate: Quantile | None = None
    ci: tuple[QuantileLimit, QuantileLimit] | None = None
    difference: AnyNumber | None = None
    p: PValue | None = None

    @property
    def reached(self) -> Printed | None:
        """The median, where it is known."""
        return self.estimate if isinstance(self.estimate, Printed) else None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.estimate is not None and self.difference is not None:
            raise ValueError("give estimate or difference, not both")
        return given(self, "estimate", "difference")


class Deaths(Item):
    """Deaths in a subgroup, as a count or as a percentage of its patients; both arms without ``arm``."""

    where: Where = OVERALL
    arm: ArmId | None = None
    n: Number | None = None
    percent: Percent | None = None

    @model_validator(mode="after")
    def _something_given(self, info: ValidationInfo) -> Self:
        given(self, "n", "percent")
        patients = references(info).patients.get(self.arm) if self.arm else None
        return not_more(self, self.n, patients, "n")


class AtRisk(Item):
    """Numbers at risk below a Kaplan-Meier curve."""

    arm: ArmId
    where: Where = OVERALL
    times: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]
    patients: tuple[Number, ...]

    @field_validator("times")
    @classmethod
    def _times_increase(cls, times: tuple[float, ...]) -> tuple[float, ...]:
        if any(second <= first for first, second in pairwise(times)):
            raise ValueError("times must increase")
        return times

    @model_validator(mode="after")
    def _matching(self, info: ValidationInfo) -> Self:
        if len(self.times) != len(self.patients):
            times, numbers = number_of(len(self.times), "time"), number_of(len(self.patients), "number")
            raise ValueError(f"{times} but {numbers} of patients")
        if any(second > first for first, second in pairwise(self.patients)):
            raise ValueError("numbers at risk must not increase")
        return not_more(self, max(self.patients, default=None), references(info).patients.get(self.arm), "patients")


class HazardRatio(Estimate):
    """A printed hazard ratio; all patients without ``where``.

    ``planned`` tells whether the paper says that the subgroup was, or was not, chosen before the data were seen;
    ``margin`` is the hazard ratio that a non-inferiority p-value refers to, in the direction of ``comparison``.
    """

    label: str = ""
    where: Where = OVERALL
    estimate: Positive
    ci: tuple[Positive, Positive] | None = None
    p: PValue | None = None
    sided: Literal[1, 2] = 2
    comparison: Literal["treatment/control", "control/treatment"] = "treatment/control"
    reduction: Percent | None = None
    analysis: Literal["unadjusted", "stratified", "adjusted"] = "unadjusted"
    margin: Positive | None = None
    planned: bool | None = None

    @property
    def inverted(self) -> bool:
        """Whether the paper prints control over treatment."""
        return self.comparison == "control/treatment"

    @property
    def treatment_over_control(self) -> float:
        """The estimate, as treatment over control."""
        estimate = float(self.estimate.value)
        return 1 / estimate if self.inverted else estimate

    @property
    def treatment_over_control_ci(self) -> tuple[float, float] | None:
        """The interval, as treatment over control."""
        if self.ci is None:
            return None
        low, high = self.ci[0].value, self.ci[1].value
        return (1 / high, 1 / low) if self.inverted else (low, high)

    @property
    def standard_error(self) -> float | None:
        """Standard error of the log hazard ratio: the interval's log width over twice the normal quantile."""
        return standard_error(self.ci, self.level)


class Adjusted(Estimate):
    """A mutually adjusted hazard ratio of a multivariable model."""

    estimate: Positive
    ci: tuple[Positive, Positive] | None = None
    p: PValue | None = None


class Prognostic(Estimate):
    """Hazard ratio of a factor level against its complement, arms pooled."""

    label: str = ""
    where: Where
    estimate: Positive | None = None
    ci: tuple[Positive, Positive] | None = None
    p: PValue | None = None
    adjusted: Adjusted | None = None


class EffectsSet(Table):
    """Disjoint printed rows, by label, that the `effects` model may pool."""

    partition: str
    rows: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("rows")
    @classmethod
    def _printed_rows(cls, rows: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        printed = references(info).rows
        for row in rows:
            if row not in printed:
                raise ValueError(f"no hazard_ratio is labelled {row!r}; labels are {', '.join(printed) or 'none'}")
        return rows

    @field_validator("partition")
    @classmethod
    def _declared(cls, partition: str, info: ValidationInfo) -> str:
        names = (*references(info).partitions, *references(info).factors)
        if partition not in names:
            raise ValueError(f"unknown partition {partition!r}; the record declares {', '.join(names) or 'none'}")
        return partition


class Proportion(Table):
    """Events among patients of one arm."""

    events: Number | None = None
    patients: Size
    percent: Percent | None = None

    @model_validator(mode="after")
    def _events_within_patients(self) -> Self:
        given(self, "events", "percent")
        not_a_share(self.percent, self.events, self.patients, "percent")
        return not_more(self, self.events, self.patients, "events")


class Ratio(Item):
    """A printed ratio of two risks."""

    estimate: Positive
    comparison: Literal["treatment/control", "control/treatment"] = "treatment/control"


class Binary(Item):
    """A secondary endpoint that is a proportion."""

    label: Text
    favourable: Literal["fewer", "more"] = "fewer"
    control: Proportion
    treatment: Proportion
    p: PValue | None = None
    risk_ratio: Ratio | None = None


def standard_error(ci: tuple[Printed, Printed] | None, level: float) -> float | None:
    """Return the standard error of a log ratio from its printed interval.

    Parameters
    ----------
    ci
        Lower and upper limit of the ratio.
    level
        Coverage of the interval, such as 0.95.

    Returns
    -------
    float or None
        Half the interval's width on the log scale over the normal quantile; ``None`` without interval.
    """
    if ci is None:
        return None
    return float(math.log(ci[1].value / ci[0].value) / (2 * ndtri((1 + level) / 2)))
