"""The trial record: one TOML file that holds what a paper prints about a trial.

Numbers are kept as printed (`Printed`), so that their rounding is known. The file format is described in the
template that `secondlook new` writes and by the JSON schema that `secondlook schema` prints; this module
defines it, from the tables in `conduct`, `characteristics`, `outcomes` and `sources`. Hazard ratios are read
as treatment over control.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from .characteristics import Baseline, Factor, Partition, PatientsCount
from .conduct import Arm, Arms, Citation, Design, Evidence, FlowBox, FollowUp, Intercurrent, Recruitment, Totals
from .errors import input_error
from .fields import ARMS, TRIAL_ID, ArmId, Identifier, Table, Text, Time, TimeUnit
from .labels import within_text
from .outcomes import AtRisk, Binary, Deaths, EffectsSet, HazardRatio, Median, Prognostic, Survival
from .references import references
from .sources import Curve, Patients

if TYPE_CHECKING:
    import pandas as pd


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
    intercurrent: tuple[Intercurrent, ...] = ()
    follow_up: tuple[FollowUp, ...] = ()
    survival: tuple[Survival, ...] = ()
    median: tuple[Median, ...] = ()
    deaths: tuple[Deaths, ...] = ()
    at_risk: tuple[AtRisk, ...] = ()
    factors: dict[Identifier, Factor] = Field({})
    partitions: dict[Identifier, Partition] = Field({})
    patients_count: tuple[PatientsCount, ...] = ()
    hazard_ratio: tuple[HazardRatio, ...] = ()
    prognostic: tuple[Prognostic, ...] = ()
    effects_set: tuple[EffectsSet, ...] = ()
    baseline: tuple[Baseline, ...] = ()
    binary: tuple[Binary, ...] = ()
    patients: Patients | None = None
    curve: tuple[Curve, ...] = ()
    _directory: Path = PrivateAttr(default_factory=Path)
    _file: str = PrivateAttr(default="")
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
    def _factors_have_levels(self, info: ValidationInfo) -> Self:
        known = references(info).of_patients
        if unknown := [name for name, factor in self.factors.items() if not factor.levels and name not in known]:
            raise ValueError("; ".join(f"factors.{name}.levels: missing, but required" for name in unknown))
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
            levels = self.patients.measured(self.factors[name].levels) or ("",) * (len(cuts) + 1)  # or by default
            if len(cuts) != len(levels) - 1 or any(second <= first for first, second in pairwise(cuts)):
                raise ValueError(f"patients.cut.{name} must be {len(levels) - 1} increasing numbers")
        return self

    def located(self, directory: Path, file: str = "") -> Self:
        """Return the record, whose own file and those that it names lie in a directory: known, but never written."""
        self._directory, self._file = directory, file
        return self

    @property
    def place(self) -> str:
        """What messages call the record: its file where it has one, else its id."""
        return self._file or self.id

    def beside(self, name: str) -> Path:
        """Return the path of a file that the record names."""
        return self._directory / name

    def holding(self, frame: pd.DataFrame) -> Self:
        """Return a copy of the record with its patients in memory, used in place of the file and never written."""
        from .patients import frame_levels

        levels = frame_levels(self, frame).items()
        found = {name: self.factors[name].model_copy(update={"levels": given}) for name, given in levels}
        copy = self.model_copy(update={"factors": self.factors | found})
        copy._frame = frame
        return copy

    @property
    def held(self) -> pd.DataFrame | None:
        """The patients in memory, where there are some: see `holding`."""
        frame: pd.DataFrame | None = self._frame
        return frame

    @property
    def event(self) -> str:
        """What texts call an event of the endpoint: a death where that is overall survival."""
        return "death" if "overall survival" in self.endpoint.casefold() else "event"

    @property
    def source(self) -> str:
        """What supplies the time structure: ``patients``, then ``curves``, then ``published``."""
        return "patients" if self.patients else "curves" if self.curve else "published"

    @property
    def concerned(self) -> tuple[ArmId, ...]:
        """The arms that curves or printed numbers are about: both, or the only one of which anything is known."""
        if self.source == "patients":
            return ARMS
        about = {curve.arm for curve in self.curve} or self._printed_arms
        return tuple(arm for arm in ARMS if arm in about) or ARMS

    @property
    def _printed_arms(self) -> set[ArmId | None]:
        if self.totals or self.hazard_ratio or self.binary:
            return {*ARMS}
        items: tuple[Any, ...] = (*self.survival, *self.median, *self.deaths, *self.follow_up, *self.at_risk)
        known = [arm for arm in ARMS if self.arm(arm).patients is not None or self.arm(arm).events is not None]
        return {*known, *(item.arm for item in items if item.arm)}

    def check_both_arms(self, needed_by: str) -> None:
        """Refuse a record that is about one arm alone.

        Parameters
        ----------
        needed_by
            What needs both arms, in the plural.

        Raises
        ------
        InputError
            Says which arm is missing.
        """
        if len(self.concerned) < len(ARMS):
            (alone,) = self.concerned
            (other,) = {*ARMS} - {alone}
            field = "curve" if self.curve else f"arms.{other}"
            told = f"nothing of {other}: {needed_by} need both arms; reconstruct rebuilds {alone} alone"
            raise input_error(self.place, field, None, told)

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

    def stratified_by(self, name: str) -> str:
        """Return the factor whose levels have baseline hazards of their own in a partition's model; empty if none."""
        factor = self.patients.stratify if self.patients else ""
        return factor if self.is_joint(name) and factor in name.split(",") else ""

    @property
    def patient_partition(self) -> str:
        """All factors of the patients that may divide them, joined by commas; empty without any."""
        factors = self.patients.factors if self.patients else ()
        return ",".join(name for name in self.factors if name in factors and self.partition(name))

    @property
    def overall_hazard_ratio(self) -> HazardRatio | None:
        """The printed overall hazard ratio that analyses use."""
        return next((row for row in self.hazard_ratio if row.use and row.where.is_overall), None)

    @property
    def not_analysed(self) -> dict[ArmId, int]:
        """Patients of each arm who were randomised but not analysed, by the flow diagram; empty when none are."""
        found: dict[ArmId, int] = {}
        arms = {box.label: box.arm for box in self.flow if box.use}
        for box in self.flow:
            if box.use and box.arm and not arms.get(box.parent or ""):
                analysed = self.arm(box.arm).patients
                found[box.arm] = 0 if analysed is None else max(box.n - analysed, 0)
        return {arm: number for arm, number in found.items() if number}

    def arm(self, arm: ArmId) -> Arm:
        """Return one arm by its id."""
        return self.arms.control if arm == "control" else self.arms.treatment

    def landmark_times(self) -> tuple[float, ...]:
        """Return the times to report at.

        The record's ``landmarks``, else the times of its printed survival, else `thirds` of the shorter of the arms'
        printed follow-up; empty when the record prints none of these.
        """
        printed = sorted({item.time for item in self.survival if item.use})
        shorter = min((limit for limit in map(_longest, self.follow_up) if limit), default=None)
        return self.landmarks or tuple(printed) or (thirds(shorter) if shorter else ())


def thirds(followed: float) -> tuple[float, float]:
    """Return two thirds of follow-up, to two digits, and all of it."""
    return float(f"{followed * 2 / 3:.2g}"), followed


def _longest(item: FollowUp) -> float | None:
    numbers = (item.survivors_range[1] if item.survivors_range else None, item.q75, item.median, item.mean)
    return next((number.value for number in numbers if number is not None), None)
