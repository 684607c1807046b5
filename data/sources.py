"""What supplies a trial's time structure beside printed numbers: patients' own data, or digitised curves."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from .fields import ArmId, FileName, Identifier, Table, Text, TimeUnit

LIFELINES = "lifelines:"  # begins the name of one of its data sets


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

    @model_validator(mode="after")
    def _arms_differ(self) -> Self:
        if self.control == self.treatment:
            raise ValueError(f"control and treatment are both {self.control!r}; each arm needs a code of its own")
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        roles: dict[str, str] = {}
        for role in ("time", "event", "arm", "entry"):
            column = getattr(self, role)
            if column and column in roles:
                raise ValueError(f"{roles[column]} and {role} are both column {column!r}; each has its own")
            roles[column] = role
        return self

    def column(self, factor: str) -> str:
        """Return the column of a factor."""
        return self.columns.get(factor, factor)


class Curve(Table):
    """A digitised Kaplan-Meier curve of one arm: a file with columns time and survival."""

    arm: ArmId
    file: FileName
