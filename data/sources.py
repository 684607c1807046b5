"""What supplies a trial's time structure beside printed numbers: patients' own data, or digitised curves."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from .fields import ArmId, FileName, Identifier, Table, Text, TimeUnit

LIFELINES = "lifelines:"  # began the name of one of its data sets, which are read no more


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _as_given(codes: tuple[str, ...]) -> str | list[str]:
    return codes[0] if len(codes) == 1 else list(codes)


Codes = Annotated[
    tuple[str, ...],
    BeforeValidator(_as_list),
    PlainSerializer(_as_given),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Patients(Table):
    """Patient-level source: a file of one row per patient.

    A factor's column has its name unless ``columns`` says otherwise; it holds the levels, or numbers that ``cut``
    divides into as many. Rows of other arms than the two that are named are left out.
    """

    file: FileName = Field("", description="CSV, Parquet or Excel; not needed for patients in memory")
    id: str = Field("", description="column that numbers the patients, each of whom has one row")
    time: Text
    entry: str = Field("", description="column of the time of delayed entry")
    unit: TimeUnit | None = Field(None, description="of the times; time_unit by default")
    event: Text
    event_value: Codes = Field(("1",), description="what stands for the event: one code or several")
    censored: Codes = Field((), description="what stands for censoring, where that are several codes")
    arm: Text
    control: str
    treatment: str
    factors: tuple[str, ...] = ()
    columns: dict[Identifier, Text] = Field({}, description="columns of factors, where they are called otherwise")
    cut: dict[Identifier, tuple[float, ...]] = Field(
        {}, description="bounds of a factor's levels; a bound belongs above"
    )
    missing: str = Field(
        "", description="level of those of whom a factor is not known; they are left out where levels do not hold it"
    )
    stratify: str = Field("", description="factor whose levels have baseline hazards of their own in joint models")

    @model_validator(mode="after")
    def _arms_differ(self) -> Self:
        if self.control == self.treatment:
            raise ValueError(f"control and treatment are both {self.control!r}; each arm needs a code of its own")
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        roles: dict[str, str] = {}
        for role in ("time", "event", "arm", "entry", "id"):
            column = getattr(self, role)
            if column and column in roles:
                raise ValueError(f"{roles[column]} and {role} are both column {column!r}; each has its own")
            roles[column] = role
        return self

    @model_validator(mode="after")
    def _codes_differ(self) -> Self:
        if not self.event_value:
            raise ValueError("event_value must name a code at least")
        if both := {*self.event_value} & {*self.censored}:
            raise ValueError(f"event_value and censored both name {', '.join(sorted(both))}")
        return self

    def measured(self, levels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the levels of those of whom a factor is known."""
        return tuple(level for level in levels if level != self.missing)

    def column(self, factor: str) -> str:
        """Return the column of a factor."""
        return self.columns.get(factor, factor)


class Curve(Table):
    """A digitised Kaplan-Meier curve of one arm: a file with columns time and survival.

    With ``failure`` the curve is the share of patients with the event, which rises from 0: survival is what is left.
    """

    arm: ArmId
    file: FileName
    failure: bool = Field(False, description="the curve rises from 0: survival is 1 minus it")
