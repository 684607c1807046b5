"""The trial record: one TOML file that holds what a paper prints about a trial.

Numbers are kept as printed (`Printed`), so that their rounding is known. The file format is described in the
template that `secondlook new` writes and by the JSON schema that `secondlook schema` prints; this module
defines it. Hazard ratios are read as treatment over control.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from scipy.special import ndtri

from .labels import within_text
from .printed import AnyNumber, ErrorRate, Loss, NonNegative, Percent, Positive, Printed, Probability, PValue
from .subgroup import OVERALL, Subgroup, subgroup

if TYPE_CHECKING:
    import pandas as pd

ArmId = Literal["control", "treatment"]
ARMS: tuple[ArmId, ArmId] = ("control", "treatment")


@dataclass(frozen=True)
class References:
    """What items of a record refer to: read before them, so that all problems can be told at once."""

    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    characteristics: tuple[str, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> References:
        """Read the references from an unchecked record; whatever is malformed there is left out."""

        def table(value: object) -> Mapping[str, Any]:
            return value if isinstance(value, Mapping) else {}

        def levels(value: object) -> tuple[str, ...]:
            found = table(value).get("levels")
            return tuple(level for level in found if isinstance(level, str)) if isinstance(found, list) else ()

        def labels(value: object) -> tuple[str, ...]:
            found = [table(item).get("label") for item in value] if isinstance(value, list | tuple) else []
            return tuple(dict.fromkeys(label for label in found if isinstance(label, str) and label))

        sizes = {arm: table(item).get("patients") for arm, item in table(raw.get("arms")).items()}
        known = {
            (name, arm): size
            for name, factor in table(raw.get("factors")).items()
            for arm, size in table(table(factor).get("known")).items()
        }
        return cls(
            factors={name: levels(item) for name, item in table(raw.get("factors")).items()},
            patients={arm: size for arm, size in sizes.items() if type(size) is int and size > 0},
            known={key: size for key, size in known.items() if type(size) is int and size > 0},
            rows=labels(raw.get("hazard_ratio")),
            partitions=tuple(table(raw.get("partitions"))),
            boxes=labels(raw.get("flow")),
            characteristics=labels(raw.get("baseline")),
        )


def _references(info: ValidationInfo) -> References:
    return info.context if isinstance(info.context, References) else References()


def _where(value: object, info: ValidationInfo) -> Subgroup:
    if isinstance(value, Subgroup):
        return value
    if not isinstance(value, Mapping) or not all(_is_level(level) for level in value.values()):
        raise ValueError('must be a table of factor and level or levels, such as { er = "+" }')
    return subgroup(value, _references(info).factors)


def _is_level(value: object) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


def _spelled_out(where: Subgroup) -> dict[str, Any]:
    return {name: levels[0] if len(levels) == 1 else list(levels) for name, levels in where.restrictions}


IDENTIFIER = "^[a-z][a-z0-9_]*$"
TRIAL_ID = "^[a-z0-9][a-z0-9-]*$"
MONTH = "^[0-9]{4}-(0[1-9]|1[0-2])$"
_LEVELS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Where = Annotated[
    Subgroup,
    BeforeValidator(_where),
    PlainSerializer(_spelled_out),
    WithJsonSchema({"type": "object", "additionalProperties": _LEVELS}),
]
Size = Annotated[int, Field(gt=0, strict=True)]
Number = Annotated[int, Field(ge=0, strict=True)]
Time = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Level = Annotated[float, Field(gt=0.5, lt=1, strict=True)]
Identifier = Annotated[str, Field(pattern=IDENTIFIER)]
Month = Annotated[str, Field(pattern=MONTH)]
Text = Annotated[str, Field(min_length=1)]
TimeUnit = Literal["days", "weeks", "months", "years"]
LIFELINES = "lifelines:"  # begins the name of one of its data sets


def base_name(file: str) -> str:
    """Return a file's name without its folders, written in either way."""
    return PureWindowsPath(file).name


FileName = Annotated[str, PlainSerializer(base_name)]  # outputs hold no path


class Table(BaseModel):
    """A table of the record; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True)


class Item(Table):
    """Something printed: where it stands in the paper, and whether analyses use it or only the audit."""

    source: str = ""
    use: bool = True


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
        return _not_more(self, self.events, self.patients, "events")


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
        return _not_more(self, self.events, self.patients, "events")


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
        boxes = _references(info).boxes
        if parent is not None and parent not in boxes:
            raise ValueError(f"no flow box is labelled {parent!r}; labels are {', '.join(boxes) or 'none'}")
        return parent


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


class Estimate(Item):
    """A number with an optional confidence interval."""

    ci: tuple[Printed, Printed] | None = None
    level: Level = 0.95

    @field_validator("ci")
    @classmethod
    def _limits_in_order(cls, ci: tuple[Printed, Printed] | None) -> tuple[Printed, Printed] | None:
        if ci is not None and ci[0].value > ci[1].value:
            raise ValueError(f"the lower limit {ci[0]} is above the upper limit {ci[1]}")
        return ci

    @model_validator(mode="after")
    def _estimate_inside(self) -> Self:
        estimate = getattr(self, "estimate", None)
        if self.ci and estimate and not self.ci[0].low <= estimate.value <= self.ci[1].high:
            raise ValueError(f"the estimate {estimate} lies outside its interval {self.ci[0]} to {self.ci[1]}")
        return self


class Survival(Estimate):
    """Survival of one arm at a landmark; ``p`` compares the arms there and stands with the treatment arm."""

    arm: ArmId
    time: Time
    where: Where = OVERALL
    estimate: Probability
    ci: tuple[Probability, Probability] | None = None
    p: PValue | None = None


class Median(Estimate):
    """Median survival of an arm, or the difference between the arms (treatment minus control)."""

    arm: ArmId | None = None
    where: Where = OVERALL
    estimate: Positive | None = None
    ci: tuple[NonNegative, NonNegative] | None = None
    difference: AnyNumber | None = None
    p: PValue | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.estimate is not None and self.difference is not None:
            raise ValueError("give estimate or difference, not both")
        return _given(self, "estimate", "difference")


class Deaths(Item):
    """Deaths in a subgroup, as a count or as a percentage of its patients; both arms without ``arm``."""

    where: Where = OVERALL
    arm: ArmId | None = None
    n: Number | None = None
    percent: Percent | None = None

    @model_validator(mode="after")
    def _something_given(self, info: ValidationInfo) -> Self:
        _given(self, "n", "percent")
        patients = _references(info).patients.get(self.arm) if self.arm else None
        return _not_more(self, self.n, patients, "n")


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
            raise ValueError(f"{len(self.times)} times but {len(self.patients)} numbers of patients")
        if any(second > first for first, second in pairwise(self.patients)):
            raise ValueError("numbers at risk must not increase")
        return _not_more(self, max(self.patients, default=None), _references(info).patients.get(self.arm), "patients")


class Cut(Table):
    """Where a measured characteristic is cut in two: the label of its baseline row, with mean and SD, and the cut."""

    row: Text
    below: AnyNumber

    @field_validator("row")
    @classmethod
    def _printed_row(cls, row: str, info: ValidationInfo) -> str:
        labels = _references(info).characteristics
        if row not in labels:
            raise ValueError(f"no baseline row is labelled {row!r}; labels are {', '.join(labels) or 'none'}")
        return row


class Factor(Table):
    """A factor that divides the patients; ``known`` counts those whose level is known, when not all.

    With ``cut``, the first of two levels holds the patients below a value of a measured characteristic.
    """

    label: Text
    levels: Annotated[tuple[Text, ...], Field(min_length=2)]
    known: dict[ArmId, Size] = {}
    cut: Cut | None = None
    post_randomisation: bool = False
    source: str = ""

    @field_validator("levels")
    @classmethod
    def _levels_usable(cls, levels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(levels)) < len(levels):
            raise ValueError("levels must differ")
        if any(set(level) & set(",|=") for level in levels):
            raise ValueError("levels must not contain , | or =")
        return levels

    @model_validator(mode="after")
    def _cut_in_two(self) -> Self:
        if self.cut is not None and len(self.levels) != 2:
            raise ValueError(f"a factor with a cut has two levels, below it first; {len(self.levels)} are given")
        return self

    @model_validator(mode="after")
    def _known_within_arms(self, info: ValidationInfo) -> Self:
        for arm, known in self.known.items():
            _not_more(self, known, _references(info).patients.get(arm), f"known.{arm}")
        return self


class Partition(Table):
    """Disjoint strata: the cross of some factors."""

    label: Text
    factors: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("factors")
    @classmethod
    def _declared(cls, factors: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        declared = _references(info).factors
        for name in factors:
            if name not in declared:
                raise ValueError(f"unknown factor {name!r}; the record declares {', '.join(declared) or 'none'}")
        return factors


class PatientsCount(Item):
    """Patients of an arm in a subgroup."""

    arm: ArmId
    where: Where
    n: Number

    @model_validator(mode="after")
    def _within_arm(self, info: ValidationInfo) -> Self:
        known = _references(info).known
        for name in self.where.factors:
            most = known.get((name, self.arm))
            if most is not None and self.n > most:
                raise ValueError(f"n is {self.n}, more than the {most} patients whose {name} is known")
        return _not_more(self, self.n, _references(info).patients.get(self.arm), "n")


class HazardRatio(Estimate):
    """A printed hazard ratio; all patients without ``where``.

    ``planned`` tells whether the paper says that the subgroup was, or was not, chosen before the data were seen.
    """

    label: str = ""
    where: Where = OVERALL
    estimate: Positive
    ci: tuple[Positive, Positive] | None = None
    p: PValue | None = None
    sided: Literal[1, 2] = 2
    comparison: Literal["treatment/control", "control/treatment"] = "treatment/control"
    reduction: Percent | None = None
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
        printed = _references(info).rows
        for row in rows:
            if row not in printed:
                raise ValueError(f"no hazard_ratio is labelled {row!r}; labels are {', '.join(printed) or 'none'}")
        return rows

    @field_validator("partition")
    @classmethod
    def _declared(cls, partition: str, info: ValidationInfo) -> str:
        names = (*_references(info).partitions, *_references(info).factors)
        if partition not in names:
            raise ValueError(f"unknown partition {partition!r}; the record declares {', '.join(names) or 'none'}")
        return partition


class Cell(Table):
    """One arm's entry in a table of baseline characteristics."""

    n: Number | None = None
    percent: Percent | None = None
    mean: AnyNumber | None = None
    sd: NonNegative | None = None
    median: AnyNumber | None = None
    q25: AnyNumber | None = None
    q75: AnyNumber | None = None


class Baseline(Item):
    """One row of the baseline table; rows of one ``group`` are levels of one variable.

    A p-value printed for a group stands with its first row; ``test`` is ``t``, ``chi-square`` or whatever the
    paper names. ``both`` is for numbers about both arms together, or about an arm that is not named.
    """

    label: Text
    group: str = ""
    where: Where | None = None
    control: Cell | None = None
    treatment: Cell | None = None
    both: Cell | None = None
    p: PValue | None = None
    test: str = ""
    unit: str = ""

    @model_validator(mode="after")
    def _within_arms(self, info: ValidationInfo) -> Self:
        for arm, cell in (("control", self.control), ("treatment", self.treatment)):
            if cell is not None:
                patients = _references(info).patients.get(arm)
                _not_more(self, cell.n, patients, f"{arm}.n")
                _not_a_share(cell.percent, cell.n, patients, f"{arm}.percent")
        return self


class Proportion(Table):
    """Events among patients of one arm."""

    events: Number | None = None
    patients: Size
    percent: Percent | None = None

    @model_validator(mode="after")
    def _events_within_patients(self) -> Self:
        _given(self, "events", "percent")
        _not_a_share(self.percent, self.events, self.patients, "percent")
        return _not_more(self, self.events, self.patients, "events")


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


class Patients(Table):
    """Patient-level source: a file of one row per patient, or a data set of lifelines (``lifelines:gbsg2``).

    A factor's column has its name unless ``columns`` says otherwise; it holds the levels, or numbers that ``cut``
    divides into as many.
    """

    file: FileName = Field("", description="CSV or Parquet, or lifelines:NAME; not needed for patients in memory")
    time: Text
    entry: str = Field("", description="column of the time of delayed entry")
    unit: TimeUnit
    event: Text
    event_value: str = "1"
    arm: Text
    control: str
    treatment: str
    factors: tuple[str, ...] = ()
    columns: dict[Identifier, Text] = Field({}, description="columns of factors, where they are called otherwise")
    cut: dict[Identifier, tuple[float, ...]] = Field(
        {}, description="bounds of a factor's levels; a bound belongs above"
    )
    stratify: str = Field("", description="factor whose levels have baseline hazards of their own in joint models")

    def column(self, factor: str) -> str:
        """Return the column of a factor."""
        return self.columns.get(factor, factor)


class Curve(Table):
    """A digitised Kaplan-Meier curve of one arm: a file with columns time and survival."""

    arm: ArmId
    file: FileName


class Record(Table):
    """A published two-arm survival trial: see the module's documentation.

    Built by `secondlook.data.load_record`, which also checks what items refer to.
    """

    format: Literal[1] = Field(1, alias="schema", description="version of the record format")
    id: Annotated[str, Field(pattern=TRIAL_ID)]
    title: Text
    endpoint: Text = "overall survival"
    time_unit: TimeUnit = "months"
    landmarks: tuple[Time, ...] = ()
    horizon: Time | None = Field(None, description="where the reconstruction's time grid ends")
    citation: Citation | None = None
    evidence: Evidence | None = None
    arms: Arms
    totals: Totals | None = None
    design: Design | None = None
    recruitment: Recruitment | None = None
    flow: tuple[FlowBox, ...] = ()
    follow_up: tuple[FollowUp, ...] = ()
    survival: tuple[Survival, ...] = ()
    median: tuple[Median, ...] = ()
    deaths: tuple[Deaths, ...] = ()
    at_risk: tuple[AtRisk, ...] = ()
    factors: dict[Identifier, Factor] = {}
    partitions: dict[Identifier, Partition] = {}
    patients_count: tuple[PatientsCount, ...] = ()
    hazard_ratio: tuple[HazardRatio, ...] = ()
    prognostic: tuple[Prognostic, ...] = ()
    effects_set: tuple[EffectsSet, ...] = ()
    baseline: tuple[Baseline, ...] = ()
    binary: tuple[Binary, ...] = ()
    patients: Patients | None = None
    curve: tuple[Curve, ...] = ()
    _directory: Path = PrivateAttr(default_factory=Path)
    _frame: Any = PrivateAttr(default=None)

    @field_validator("landmarks")
    @classmethod
    def _landmarks_increase(cls, landmarks: tuple[float, ...]) -> tuple[float, ...]:
        if any(second <= first for first, second in pairwise(landmarks)):
            raise ValueError("landmarks must increase")
        return landmarks

    @model_validator(mode="after")
    def _one_used(self) -> Self:
        ratios = [("hazard_ratio", item.where.key) for item in self.hazard_ratio if item.use]
        landmarks = [
            ("survival", f"{item.where.key} of {item.arm} at {item.time:g}") for item in self.survival if item.use
        ]
        adjusted = [
            ("adjusted prognostic hazard ratio", item.where.key)
            for item in self.prognostic
            if item.use and item.adjusted and item.adjusted.use
        ]
        printed = Counter(ratios + landmarks + adjusted)
        if twice := [f"{name} of {what}" for (name, what), times in printed.items() if times > 1]:
            raise ValueError(f"given twice: {'; '.join(twice)}; mark all but one with use = false")
        return self

    @model_validator(mode="after")
    def _patients_have_factors(self) -> Self:
        if self.patients is None:
            return self
        for name in self.patients.factors:
            if name not in self.factors:
                raise ValueError(f"patients.factors: {name} is not one of factors; declare its levels")
        for part, names in {"cut": [*self.patients.cut], "columns": [*self.patients.columns]}.items():
            if unknown := [name for name in names if name not in self.patients.factors]:
                raise ValueError(f"patients.{part}: {', '.join(unknown)} is not one of patients.factors")
        if self.patients.stratify and self.patients.stratify not in self.patients.factors:
            raise ValueError(f"patients.stratify: {self.patients.stratify} is not one of patients.factors")
        for name, cuts in self.patients.cut.items():
            levels = self.factors[name].levels
            if len(cuts) != len(levels) - 1 or any(second <= first for first, second in pairwise(cuts)):
                raise ValueError(f"patients.cut.{name} must be {len(levels) - 1} increasing numbers")
        return self

    def located(self, directory: Path) -> Self:
        """Return the record, whose files lie in a directory: known while it is used, never written."""
        self._directory = directory
        return self

    def beside(self, name: str) -> Path:
        """Return the path of a file that the record names."""
        return self._directory / name

    def holding(self, frame: pd.DataFrame) -> Self:
        """Return a copy of the record with its patients in memory, used in place of the file and never written."""
        copy = self.model_copy()
        copy._frame = frame
        return copy

    @property
    def held(self) -> pd.DataFrame | None:
        """The patients in memory, where there are some: see `holding`."""
        frame: pd.DataFrame | None = self._frame
        return frame

    @property
    def source(self) -> str:
        """What supplies the time structure: ``patients``, then ``curves``, then ``published``."""
        return "patients" if self.patients else "curves" if self.curve else "published"

    @cached_property
    def all_partitions(self) -> dict[str, Partition]:
        """Declared partitions, and factors alone: patients' own, else those that only hazard ratios restrict on."""
        crossed = {name for partition in self.partitions.values() for name in partition.factors}
        restricted = {name for row in self.hazard_ratio for name in row.where.factors} - crossed
        restricted |= {*self.patients.factors} if self.patients else set()
        alone = {
            name: Partition.model_construct(label=factor.label, factors=(name,))
            for name, factor in self.factors.items()
            if name in restricted - {*self.partitions} and not factor.post_randomisation
        }
        return {**self.partitions, **alone}

    def partition(self, name: str) -> Partition | None:
        """Return a partition by its name, or the cross of factors joined by commas; ``None`` without such a one."""
        if name in self.all_partitions:
            return self.all_partitions[name]
        wanted = {part.strip() for part in name.split(",")}
        usable = self.patients.factors if self.patients else self.factors
        chosen = [one for one in self.factors if one in wanted and one in usable]
        if wanted != {*chosen} or any(self.factors[one].post_randomisation for one in chosen):
            return None
        first, *others = (self.factors[one].label for one in chosen)
        label = ", ".join([first, *map(within_text, others)])
        return Partition.model_construct(label=label, factors=tuple(chosen))

    def partition_name(self, name: str) -> str:
        """Return what outputs call a partition: its name, or its factors in record order, joined by commas."""
        found = self.partition(name)
        return name if found is None or name in self.all_partitions else ",".join(found.factors)

    def is_joint(self, name: str) -> bool:
        """Whether a partition's factors add up: several of the patients' joined by commas, not a declared cross."""
        return self.patients is not None and "," in name and name not in self.all_partitions

    @property
    def patient_partition(self) -> str:
        """All factors of the patients that may divide them, joined by commas; empty without any."""
        factors = self.patients.factors if self.patients else ()
        return ",".join(name for name in self.factors if name in factors and self.partition(name))

    @property
    def overall_hazard_ratio(self) -> HazardRatio | None:
        """The printed overall hazard ratio that analyses use."""
        return next((row for row in self.hazard_ratio if row.use and row.where.is_overall), None)

    def arm(self, arm: ArmId) -> Arm:
        """Return one arm by its id."""
        return self.arms.control if arm == "control" else self.arms.treatment

    def landmark_times(self) -> tuple[float, ...]:
        """Return the times to report at.

        The record's ``landmarks``, else the times of its printed survival, else two thirds and all of the
        shorter of the arms' printed follow-up; empty when the record prints none of these.
        """
        printed = sorted({item.time for item in self.survival if item.use})
        shorter = min((limit for limit in map(_longest, self.follow_up) if limit), default=None)
        return self.landmarks or tuple(printed) or ((shorter * 2 / 3, shorter) if shorter else ())


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


def _longest(item: FollowUp) -> float | None:
    numbers = (item.survivors_range[1] if item.survivors_range else None, item.q75, item.median, item.mean)
    return next((number.value for number in numbers if number is not None), None)


def _not_more[T](item: T, count: int | None, patients: int | None, name: str) -> T:
    if count is not None and patients is not None and count > patients:
        raise ValueError(f"{name} is {count}, more than the {patients} patients")
    return item


def _given[T](item: T, *names: str) -> T:
    if all(getattr(item, name) is None for name in names):
        raise PydanticCustomError("one_missing", "give {names}", {"names": " or ".join(names)})
    return item


def _not_a_share(percent: Printed | None, count: int | None, patients: int | None, name: str) -> None:
    """Refuse ``0.42`` where 42% is meant: the count alone makes at least 2% of all patients."""
    if percent and count and patients and percent.value <= 1 and count > 0.02 * patients:
        raise ValueError(f"{name} is {percent} for {count} of {patients}; must be between 0 and 100, not 0 and 1")
