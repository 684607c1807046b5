"""What every rebuilt trial offers, whatever from: one survival table per imputation, and a fit sheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from .cohort import Array
    from .record import Record

POINT = "curve"  # the fit sheet's item for a digitised point
FIT_SHEET_COLUMNS = (
    "trial",
    "partition",
    "item",
    "subgroup",
    "arm",
    "time",
    "printed",
    "reproduced",
    "half_width",
    "half_widths_off",
    "used",
    "source",
)


def alone_note(record: Record) -> str:
    """Return what is told of a record that concerns one arm.

    Parameters
    ----------
    record
        The trial.
    """
    (arm,) = record.concerned
    other = "control" if arm == "treatment" else "treatment"
    source = "curve is given" if record.curve else "number is printed"
    return f"no {source} of {other}: {arm} alone is rebuilt"


class Imputed(Protocol):
    """A trial rebuilt with the uncertainty that its source leaves."""

    @property
    def record(self) -> Record:
        """The trial."""

    @property
    def partition(self) -> str:
        """The partition whose strata are rebuilt; empty for whole arms."""

    @property
    def imputations(self) -> int:
        """How many imputations there are."""

    @property
    def table(self) -> xr.Dataset:
        """The survival table, one imputation per draw."""

    @property
    def fit_sheet(self) -> pd.DataFrame:
        """What was read beside what the rebuilt data make of it, with `FIT_SHEET_COLUMNS`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the notes that must stand beside every result."""

    @property
    def acceptance_rate(self) -> float:
        """Share of the draws that reproduced what they must and were kept."""

    @property
    def patients(self) -> pd.DataFrame:
        """Whole patients of one rebuilt data set, as `table.patient_rows` returns them."""

    def with_imputations(self, number: int) -> Self:
        """Return the same with at least so many imputations; those it has are kept."""

    def predicted(self, item: str) -> Array:
        """Return the overall value of a published number in every imputation; a KeyError if there is none."""
