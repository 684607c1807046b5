"""A trial rebuilt from its digitised curves: imputed survival tables, and the round trip to what was read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr

from ..errors import input_error
from ..estimators import cox, cox_of_patients, kaplan_meier
from ..fields import ARMS, ArmId
from ..imputed import FIT_SHEET_COLUMNS, POINT, alone_note
from ..patient_table import patient_table
from ..publishing import QUANTILE
from ..record import Record
from ..subgroup import OVERALL
from .deaths import Fits, printed_total, share_out
from .known import check_lengths, known_of
from .path import ArmCurve, Array
from .plausible import check_plausible
from .reading import Curves, DigitisedCurve, read_curves
from .rebuilding import ArmFit, alike, fit_arm

COUNT_HALF_WIDTH = 0.5


@dataclass(frozen=True)
class RebuiltCurves:
    """Patients rebuilt from digitised curves, one set per imputation.

    Built by `rebuild_curves`.

    Parameters
    ----------
    record
        The trial.
    curves
        The points as read: control and treatment, or one arm alone.
    ways
        What they stand for, by arm: equally likely ways, the most probable one first, between which imputations take
        turns. There are several where deaths are known of both arms together only.
    imputations
        How many sets of patients there are.
    seed
        Of the draws; imputation i is the same however many there are.
    notes
        What was put in order, and what was assumed.
    partition
        Whole arms: empty.
    drawn
        Tables of single imputations made so far, kept when more are asked for.
    """

    record: Record
    curves: Curves
    ways: tuple[Fits, ...]
    imputations: int
    seed: int
    notes: tuple[str, ...]
    partition: str = ""
    drawn: dict[int, xr.Dataset] = field(default_factory=dict, repr=False, compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """None: curves that contradict other numbers are told in the notes."""
        return ()

    @property
    def acceptance_rate(self) -> float:
        """Share of the draws that were kept: all of them."""
        return 1.0

    @property
    def fits(self) -> Fits:
        """What the curves most probably stand for, by arm."""
        return self.ways[0]

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The most probable patients: columns ``time``, ``event`` (1 death, 0 censored) and ``arm``."""
        return self._together(None)

    def _together(self, imputation: int | None) -> pd.DataFrame:
        frames, fits = [], self.ways[(imputation or 0) % len(self.ways)]
        for arm, fit in zip(self.record.concerned, fits, strict=True):
            rng = None if imputation is None else np.random.default_rng([self.seed, imputation, ARMS.index(arm)])
            time, event = fit.patients(rng)
            frames.append(pd.DataFrame({"time": time, "event": event.astype(int), "arm": arm}))
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def table(self) -> xr.Dataset:
        """The survival table by month, one imputation per draw."""
        for imputation in range(self.imputations):
            if imputation not in self.drawn:  # the same whoever draws it, so that threads may
                self.drawn[imputation] = self._table(self._together(imputation))
        first, *_ = tables = [self.drawn[imputation] for imputation in range(self.imputations)]
        stacked = {
            str(name): (values.dims, np.concatenate([table[name].to_numpy() for table in tables]))
            for name, values in first.data_vars.items()
        }
        return xr.Dataset(stacked, first.coords, first.attrs)

    def _table(self, patients: pd.DataFrame) -> xr.Dataset:
        """Return one set of patients as a table; whoever ends last does so at the end of follow-up."""
        end = max(fit.known.end for fit in self.fits)
        grouped = patient_table(
            pd.DataFrame(
                {
                    "entry": 0.0,
                    "time": np.append(patients["time"], end),
                    "event": np.append(patients["event"] == 1, False),
                    "arm": pd.Categorical(np.append(patients["arm"], "control"), categories=list(ARMS)),
                }
            ),
            self.record,
        )
        whole = _without_the_last(grouped, end).assign_attrs(source="curves")
        return whole.sel(arm=list(self.record.concerned))

    def with_imputations(self, number: int) -> RebuiltCurves:
        """Return the same with more imputations; those it has are kept.

        Parameters
        ----------
        number
            How many there shall be.
        """
        return replace(self, imputations=max(number, self.imputations))

    def predicted(self, item: str) -> Array:
        """Return the curves' own hazard ratio in every imputation.

        Parameters
        ----------
        item
            ``hazard_ratio``.

        Raises
        ------
        KeyError
            For any other item.
        """
        if item != "hazard_ratio" or len(self.fits) < len(ARMS):
            raise KeyError(item)
        table = self.table.isel(stratum=0)
        return np.exp(cox(table.deaths.to_numpy(), table.exposure.to_numpy())[0])

    @cached_property
    def fit_sheet(self) -> pd.DataFrame:
        """The round trip: points, numbers at risk and deaths as read and as rebuilt; printed numbers as checks."""
        rows = [
            row for curve, fit in zip(self.curves, self.fits, strict=True) for row in self._round_trip(curve, fit)
        ]
        sheet = pd.DataFrame([*rows, *self._total(), *self._checks()])
        fixed = {"trial": self.record.id, "partition": self.partition, "subgroup": OVERALL.key}
        return sheet.assign(**fixed)[list(FIT_SHEET_COLUMNS)]

    def of_arm(self, arm: ArmId) -> tuple[Array, Array]:
        """Return times and events (1 or 0) of one arm's most probable patients."""
        rows = self.patients[self.patients["arm"] == arm]
        return rows["time"].to_numpy(), rows["event"].to_numpy()

    def _round_trip(self, curve: DigitisedCurve, fit: ArmFit) -> Iterator[dict[str, object]]:
        time, event = self.of_arm(curve.arm)
        half = math.sqrt(3) * fit.sigma  # a uniform of this half-width has the digitising error for its SD
        found = fit.known.nearest(time, event == 1, fit.sigma)
        for at, read, made, error in zip(curve.time, curve.survival, found, fit.error, strict=True):
            yield _row(POINT, curve.arm, at, f"{read:.4f}", read, made, half * error, curve.file)
        known = fit.known
        printed = {time for item in self.record.at_risk if item.arm == curve.arm for time in item.times}
        for at, number in zip(known.risk_times[1:], known.at_risk[1:], strict=True):
            if at not in printed:
                continue  # between two printed numbers, at the curve's end
            made = float((time >= at).sum())
            yield _row("at_risk", curve.arm, at, str(number), number, made, COUNT_HALF_WIDTH, "risk table")
        if known.events is not None and self.record.arm(curve.arm).events is not None:
            number, made = known.events, float(event.sum())
            yield _row("deaths", curve.arm, None, str(number), number, made, COUNT_HALF_WIDTH, "events")

    def _total(self) -> Iterator[dict[str, object]]:
        """Yield the deaths of both arms, where they were shared out."""
        total = printed_total(self.record)
        if (
            total is not None
            and len(self.fits) == len(ARMS)
            and all(fit.known.events is not None for fit in self.fits)
        ):
            made = float(self.patients["event"].sum())
            yield _row("deaths", "", None, str(total), total, made, COUNT_HALF_WIDTH, "totals")

    def _checks(self) -> Iterator[dict[str, object]]:
        """Yield what the rebuilt patients make of printed numbers that were not used."""
        for item in self.record.survival:
            if item.use and item.where.is_overall and item.arm in self.record.concerned:
                time, event = self.of_arm(item.arm)
                made = float(kaplan_meier(time, event == 1).at(item.time))
                number = item.estimate
                yield _row(
                    "survival",
                    item.arm,
                    item.time,
                    number.text,
                    number.value,
                    made,
                    number.half_width,
                    item.source,
                    used=False,
                )
        for median in self.record.median:
            if median.use and median.where.is_overall and median.arm in self.record.concerned and median.estimate:
                time, event = self.of_arm(median.arm)
                number = median.estimate
                made = kaplan_meier(time, event == 1).median or (np.nan if median.reached else np.inf)
                half = median.reached.half_width if median.reached else np.nan
                value = median.reached.value if median.reached else np.nan
                yield _row("median", median.arm, None, number.text, value, made, half, median.source, used=False)
        yield from self._effect()

    def _effect(self) -> Iterator[dict[str, object]]:
        ratio, rows = self.record.overall_hazard_ratio, self.patients
        if ratio is None or len(self.fits) < len(ARMS):
            return
        treated = (rows["arm"] == "treatment").to_numpy()
        group = ~treated if ratio.inverted else treated
        log_ratio, error = cox_of_patients(rows["time"].to_numpy(), rows["event"].to_numpy() == 1, group)
        limits = zip(
            ("hazard_ratio lower", "hazard_ratio upper"), ratio.ci or (), (-QUANTILE, QUANTILE), strict=False
        )
        for name, number, shift in (("hazard_ratio", ratio.estimate, 0.0), *limits):
            made = math.exp(log_ratio + shift * error)
            yield _row(name, "", None, number.text, number.value, made, number.half_width, ratio.source, used=False)


def _row(
    item: str,
    arm: str,
    time: float | None,
    printed: str,
    value: float,
    reproduced: float,
    half_width: float,
    source: str,
    *,
    used: bool = True,
) -> dict[str, object]:
    return {
        "item": item,
        "arm": arm,
        "time": time,
        "printed": printed,
        "reproduced": reproduced,
        "half_width": half_width,
        "half_widths_off": (reproduced - value) / half_width,
        "used": used,
        "source": source,
    }


def _without_the_last(table: xr.Dataset, end: float) -> xr.Dataset:
    """Return a table without the patient of the control arm who was added to make it reach the end."""
    lived = np.clip(end - table.start, 0.0, table.stop - table.start)
    control = (table.arm == "control").astype(float)
    last = (table.stop == table.stop[-1]).astype(float)
    return table.assign(
        exposure=(table.exposure - control * lived).clip(min=0.0).transpose(*table.exposure.dims),
        censored=(table.censored - control * last).transpose(*table.censored.dims),
        patients=(table.patients - control).transpose(*table.patients.dims),
    )


def rebuild_curves(record: Record, *, imputations: int = 20, seed: int = 1) -> RebuiltCurves:
    """Rebuild a trial's patients from its digitised curves.

    Parameters
    ----------
    record
        With a ``curve`` for each arm, or for one that is rebuilt alone, and numbers at risk or patients of the arms.
    imputations
        How many sets of patients to draw.
    seed
        Of the draws.

    Raises
    ------
    InputError
        When a file or a risk table is wrong, nothing says how many patients an arm has, or nobody of it died.
    """
    curves = read_curves(record)
    notes = [note for curve in curves for note in curve.notes]
    notes += check_lengths(record, curves)
    arms = [known_of(record, curve, notes) for curve in curves]
    fits = tuple(_fitted(record, curve, known) for curve, (known, _) in zip(curves, arms, strict=True))
    ways: tuple[Fits, ...] = (fits,)
    if len(fits) == len(ARMS):
        control, treatment = fits
        goes_on = any(later for _, later in arms)
        pairs = ((control, treatment),) if goes_on else share_out(record, (control, treatment), notes)
        ways = tuple(alike(*pair) for pair in pairs)
    else:
        notes.append(alone_note(record))
    notes += check_plausible(record, ways[0])
    return RebuiltCurves(record, curves, ways, imputations, seed, tuple(notes))


def _fitted(record: Record, curve: DigitisedCurve, known: ArmCurve) -> ArmFit:
    fit = fit_arm(known)
    if fit.patients()[1].any():
        return fit
    raise input_error(curve.file, "", None, f"the curve of {curve.arm} does not fall: no {record.event}s")
