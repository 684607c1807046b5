"""What the tables of a record are made of: kinds of fields, tables of them, and checks that several tables share.

Fields with a number that a paper prints are those of `secondlook.data.printed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from .labels import number_of
from .printed import Printed
from .references import references
from .subgroup import Subgroup, subgroup

ArmId = Literal["control", "treatment"]
ARMS: tuple[ArmId, ArmId] = ("control", "treatment")


def _where(value: object, info: ValidationInfo) -> Subgroup:
    if isinstance(value, Subgroup):
        return value
    if not isinstance(value, Mapping) or not all(_is_level(level) for level in value.values()):
        raise ValueError('must be a table of factor and level or levels, such as { er = "+" }')
    return subgroup(value, references(info).factors)


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


class Estimate(Item):
    """A number with an optional confidence interval."""

    ci: tuple[Printed, Printed] | None = None
    level: Level = 0.95

    @field_validator("ci")
    @classmethod
    def _limits_in_order(cls, ci: tuple[Printed, Printed] | None) -> tuple[Printed, Printed] | None:
        if ci is not None and isinstance(ci[0], Printed) and ci[0].value > ci[1].value:
            raise ValueError(f"the lower limit {ci[0]} is above the upper limit {ci[1]}")
        return ci

    @model_validator(mode="after")
    def _estimate_inside(self) -> Self:
        estimate = getattr(self, "estimate", None)
        if self.ci and estimate and not self.ci[0].low <= estimate.value <= self.ci[1].high:
            raise ValueError(f"the estimate {estimate} lies outside its interval {self.ci[0]} to {self.ci[1]}")
        return self


def not_more[T](item: T, count: int | None, patients: int | None, name: str) -> T:
    """Return an item whose count is not larger than its patients are many.

    Parameters
    ----------
    item
        What holds the count.
    count, patients
        Numbers to compare; nothing is checked without both.
    name
        What the record calls the count.

    Raises
    ------
    ValueError
        When the count is larger.
    """
    if count is not None and patients is not None and count > patients:
        raise ValueError(f"{name} is {count}, more than the {number_of(patients, 'patient')}")
    return item


def given[T](item: T, *names: str) -> T:
    """Return an item that has at least one of some fields.

    Parameters
    ----------
    item
        What holds the fields.
    names
        What the fields are called.

    Raises
    ------
    PydanticCustomError
        When it has none of them.
    """
    if all(getattr(item, name) is None for name in names):
        raise PydanticCustomError("one_missing", "give {names}", {"names": " or ".join(names)})
    return item


def not_a_share(percent: Printed | None, count: int | None, patients: int | None, name: str) -> None:
    """Refuse ``0.42`` where 42% is meant: the count alone makes at least 2% of all patients.

    Parameters
    ----------
    percent, count, patients
        Numbers about the same patients; nothing is checked without all of them.
    name
        What the record calls the percentage.

    Raises
    ------
    ValueError
        When the percentage can only be a share of 1.
    """
    if percent and count and patients and percent.value <= 1 and count > 0.02 * patients:
        raise ValueError(f"{name} is {percent} for {count} of {patients}; must be between 0 and 100, not 0 and 1")
