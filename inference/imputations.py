"""A trial's survival tables: one per imputation where they are reconstructed, one in all where patients are known."""

from __future__ import annotations

from threading import Lock

import pandas as pd
import xarray as xr

from ..data.imputed import Imputed
from ..data.table import pooled


class Imputations:
    """Survival tables of one division of a trial; more are drawn when they are asked for.

    Parameters
    ----------
    source
        A rebuilt trial, or the table of known patients.
    patients
        The patients, where they are known; nothing of them is kept with results.
    """

    def __init__(self, source: Imputed | xr.Dataset, patients: pd.DataFrame | None = None) -> None:
        self.patients = patients
        self.reconstruction: Imputed | None = None if isinstance(source, xr.Dataset) else source
        self._drawing = Lock()
        self._table = source if isinstance(source, xr.Dataset) else None

    @property
    def imputed(self) -> bool:
        """Whether there can be several imputations."""
        return self.reconstruction is not None

    @property
    def tables(self) -> xr.Dataset:
        """All imputations that there are."""
        if self.reconstruction is not None:
            return self.reconstruction.table
        assert self._table is not None
        return self._table

    def table(self, imputation: int) -> xr.Dataset:
        """Return one imputation of the strata's table by month, drawn if need be, by one thread at a time."""
        with self._drawing:
            if self.reconstruction is not None and imputation >= self.reconstruction.imputations:
                self.reconstruction = self.reconstruction.with_imputations(imputation + 1)
            return self.tables.isel(imputation=[imputation])

    def whole(self, imputation: int) -> xr.Dataset:
        """Return one imputation of the whole trial's table by month."""
        return pooled(self.table(imputation))
