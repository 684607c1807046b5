"""How a trial was planned and run, as its paper tells: question, arms, design, recruitment, flow, follow-up."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .fields import TRIAL_ID, ArmId, FileName, Item, Month, Number, Size, Table, Text, Time, not_more
from .printed import ErrorRate, Loss, NonNegative, Probability, PValue
from .references import references


class Citation(Table):
    """How to cite the paper."""

    text: Text
    doi: str = ""


class Evidence(Table):
    """The question that the trial answers, by which it informs other trials and is informed by them.

    Trials of one question and endpoint are sister trials: the built-in ones, and those of further files.
    ``update_of`` is the id of a trial whose patients this paper reports again: it is informed, but informs nobody.
    """

    question: Annotated[str, Field(pattern=TRIAL_ID)]
    label: str = Field("", description="short name of the trial in tables and figures; its id by default")
    update_of: Annotated[str, Field(pattern=TRIAL_ID)] | None = None
    trials: tuple[FileName, ...] = Field((), description="further records of the question, relative to the record")


class Arm(Table):
    """One arm: its label, and patients and events where printed."""

    label: Text
    patients: Size | None = None
    events: Number | None = None
    source: str = ""

    @model_validator(mode="after")
    def _events_within_patients(self) -> Self:
        return not_more(self, self.events, self.patients, "events")


class Arms(Table):
    """The two arms."""

    control: Arm
    treatment: Arm


class Totals(Item):
    """Both arms together, when a paper prints totals only."""

    patients: Size | None = None
    events: Number | None = None

    @model_validator(mode="after")
    def _events_within_patients(self) -> Self:
        return not_more(self, self.events, self.patients, "events")


class Design(Item):
    """What the trial was powered for."""

    time: Time | None = None
    control_survival: Probability | None = None
    treatment_survival: Probability | None = None
    survival_difference: Probability | None = None
    alpha: ErrorRate | None = None
    sided: Literal[1, 2] = 2
    power: ErrorRate | None = None
    dropout: Loss | None = None
    patients: Size | None = None
    patients_per_arm: Size | None = None
    test: str = "log-rank"

    @property
    def hazard_ratio(self) -> float | None:
        """Design hazard ratio, ``log S1 / log S0`` at the design's time; ``None`` when not printed."""
        if self.control_survival is None or self.treatment_survival is None:
            return None
        control, treatment = self.control_survival.value, self.treatment_survival.value
        if not (0 < control < 1 and 0 < treatment < 1):
            return None
        return math.log(treatment) / math.log(control)


class Recruitment(Item):
    """When patients entered the trial, as year and month."""

    start: Month
    end: Month

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


class FlowBox(Item):
    """One box of the flow diagram; ``parent`` is the label of the box it leaves."""

    label: Text
    n: Number
    arm: ArmId | None = None
    parent: str | None = None

    @field_validator("parent")
    @classmethod
    def _printed_box(cls, parent: str | None, info: ValidationInfo) -> str | None:
        boxes = references(info).boxes
        if parent is not None and parent not in boxes:
            raise ValueError(f"no flow box is labelled {parent!r}; labels are {', '.join(boxes) or 'none'}")
        return parent


class Intercurrent(Item):
    """Events after randomisation that bear on what is estimated, and how the published analysis treats them."""

    label: Text
    arm: ArmId | None = None
    n: Number | None = None
    strategy: Literal["treatment policy", "hypothetical", "composite", "while on treatment", "principal stratum"] = (
        "treatment policy"
    )


class FollowUp(Item):
    """Time to death or censoring, over all patients of the arm (of the trial without ``arm``).

    ``survivors_p`` compares the survivors' follow-up of the two arms; it stands with the treatment arm.
    """

    arm: ArmId | None = None
    mean: NonNegative | None = None
    sd: NonNegative | None = None
    q25: NonNegative | None = None
    median: NonNegative | None = None
    q75: NonNegative | None = None
    survivors_median: NonNegative | None = None
    survivors_range: tuple[NonNegative, NonNegative] | None = None
    survivors_p: PValue | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        quartiles = [number for number in (self.q25, self.median, self.q75) if number is not None]
        for numbers in (quartiles, self.survivors_range or ()):
            if any(first.value > second.value for first, second in pairwise(numbers)):
                raise ValueError(f"{' '.join(map(str, numbers))}: must not decrease")
        return self
