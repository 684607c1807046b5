"""Who the patients of a trial are: the factors that divide them, counts of subgroups, the baseline table."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from .fields import ArmId, Item, Number, Size, Table, Text, Where, not_a_share, not_more
from .labels import number_of
from .printed import AnyNumber, NonNegative, Percent, PValue
from .references import references


class Cut(Table):
    """Where a measured characteristic is cut in two: the label of its baseline row, with mean and SD, and the cut."""

    row: Text
    below: AnyNumber

    @field_validator("row")
    @classmethod
    def _printed_row(cls, row: str, info: ValidationInfo) -> str:
        labels = references(info).characteristics
        if row not in labels:
            raise ValueError(f"no baseline row is labelled {row!r}; labels are {', '.join(labels) or 'none'}")
        return row


class Factor(Table):
    """A factor that divides the patients; ``known`` counts those whose level is known, when not all.

    With ``cut``, the first of two levels holds the patients below a value of a measured characteristic. Levels of a
    factor of known patients default to those in their file.
    """

    label: Text
    levels: Annotated[tuple[Text, ...], Field(min_length=2)] = ()
    known: dict[ArmId, Size] = Field({})
    cut: Cut | None = None
    post_randomisation: bool = False
    source: str = ""

    @field_validator("levels")
    @classmethod
    def _levels_usable(cls, levels: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(levels)) < len(levels):
            raise ValueError("levels must differ")
        return levels

    @model_validator(mode="after")
    def _cut_in_two(self) -> Self:
        if self.cut is not None and len(self.levels) != 2:
            raise ValueError(f"a factor with a cut has two levels, below it first; {len(self.levels)} are given")
        return self

    @model_validator(mode="after")
    def _known_within_arms(self, info: ValidationInfo) -> Self:
        for arm, known in self.known.items():
            not_more(self, known, references(info).patients.get(arm), f"known.{arm}")
        return self


class Partition(Table):
    """Disjoint strata: the cross of some factors."""

    label: Text
    factors: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("factors")
    @classmethod
    def _declared(cls, factors: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        declared = references(info).factors
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
        known = references(info).known
        for name in self.where.factors:
            most = known.get((name, self.arm))
            if most is not None and self.n > most:
                raise ValueError(f"n is {self.n}, more than the {number_of(most, 'patient')} whose {name} is known")
        return not_more(self, self.n, references(info).patients.get(self.arm), "n")


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
                patients = references(info).patients.get(arm)
                not_more(self, cell.n, patients, f"{arm}.n")
                not_a_share(cell.percent, cell.n, patients, f"{arm}.percent")
        return self
