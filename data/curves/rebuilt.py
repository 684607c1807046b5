"""A trial rebuilt from its digitised curves: imputed survival tables, and the round trip to what was read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from ..cohort import cox_of_counts
from ..errors import input_error
from ..fields import ARMS, ArmId
from ..imputed import FIT_SHEET_COLUMNS
from ..patient_table import patient_table
from ..publishing import QUANTILE, cox_fit, kaplan_meier, km_median
from ..record import Record
from ..subgroup import OVERALL
from .path import ArmCurve, Array, Counts
from .reading import DigitisedCurve, read_curves
from .rebuilding import ArmFit, fit_arm

COUNT_HALF_WIDTH = 0.5
LATER = 0.02  # of the curve: a risk table that goes on this much longer is worth a note
ODD, IMPOSSIBLE = 0.03, 0.1  # by how much more of the patients are at risk than the curve leaves alive


@dataclass(frozen=True)
class RebuiltCurves:
    """Patients rebuilt from digitised curves, one set per imputation.

    Built by `rebuild_curves`.

    Parameters
    ----------
    record
        The trial.
    curves
        The points as read, control and treatment.
    fits
        What they stand for, by arm.
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
    curves: tuple[DigitisedCurve, DigitisedCurve]
    fits: tuple[ArmFit, ArmFit]
    imputations: int
    seed: int
    notes: tuple[str, ...]
    partition: str = ""
    drawn: dict[int, xr.Dataset] = field(default_factory=dict, repr=False, compare=False)

    @property
    def acceptance_rate(self) -> float:
        """Share of the draws that were kept: all of them."""
        return 1.0

    @cached_property
    def patients(self) -> pd.DataFrame:
        """The most probable patients: columns ``time``, ``event`` (1 death, 0 censored) and ``arm``."""
        return self._together(None)

    def _together(self, imputation: int | None) -> pd.DataFrame:
        frames = []
        for place, (arm, fit) in enumerate(zip(ARMS, self.fits, strict=True)):
            rng = None if imputation is None else np.random.default_rng([self.seed, imputation, place])
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
        return _without_the_last(grouped, end).assign_attrs(source="curves")

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
        if item != "hazard_ratio":
            raise KeyError(item)
        control, treatment = (self.table.isel(stratum=0, arm=arm) for arm in (0, 1))
        cells = (one[name].to_numpy() for one in (control, treatment) for name in ("deaths", "exposure"))
        return np.exp(cox_of_counts(*cells)[0])

    @cached_property
    def fit_sheet(self) -> pd.DataFrame:
        """The round trip: points, numbers at risk and deaths as read and as rebuilt; printed numbers as checks."""
        rows = [
            row for curve, fit in zip(self.curves, self.fits, strict=True) for row in self._round_trip(curve, fit)
        ]
        sheet = pd.DataFrame([*rows, *self._checks()])
        fixed = {"trial": self.record.id, "partition": self.partition, "subgroup": OVERALL.key}
        return sheet.assign(**fixed)[list(FIT_SHEET_COLUMNS)]

    def of_arm(self, arm: ArmId) -> tuple[Array, Array]:
        """Return times and events (1 or 0) of one arm's most probable patients."""
        rows = self.patients[self.patients["arm"] == arm]
        return rows["time"].to_numpy(), rows["event"].to_numpy()

    def _round_trip(self, curve: DigitisedCurve, fit: ArmFit) -> Iterator[dict[str, object]]:
        time, event = self.of_arm(curve.arm)
        half = math.sqrt(3) * fit.sigma  # a uniform of this half-width has the digitising error for its SD
        errors = fit.error
        for at, read, error in zip(curve.time, curve.survival, errors, strict=True):
            made = _nearest(time, event == 1, float(at), float(read), fit.sigma * fit.known.end)
            yield _row("curve", curve.arm, at, f"{read:.4f}", read, made, half * error, curve.file)
        known = fit.known
        printed = {time for item in self.record.at_risk if item.arm == curve.arm for time in item.times}
        for at, number in zip(known.risk_times[1:], known.at_risk[1:], strict=True):
            if at not in printed:
                continue  # between two printed numbers, at the curve's end
            made = float((time >= at).sum())
            yield _row("at_risk", curve.arm, at, str(number), number, made, COUNT_HALF_WIDTH, "risk table")
        if known.events is not None:
            number, made = known.events, float(event.sum())
            yield _row("deaths", curve.arm, None, str(number), number, made, COUNT_HALF_WIDTH, "events")

    def _checks(self) -> Iterator[dict[str, object]]:
        """Yield what the rebuilt patients make of printed numbers that were not used."""
        for item in self.record.survival:
            if item.use and item.where.is_overall:
                time, event = self.of_arm(item.arm)
                made = kaplan_meier(time, event == 1, item.time)[0]
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
            if median.use and median.where.is_overall and median.arm and median.estimate:
                time, event = self.of_arm(median.arm)
                made, number = km_median(time, event == 1) or np.nan, median.estimate
                yield _row(
                    "median",
                    median.arm,
                    None,
                    number.text,
                    number.value,
                    made,
                    number.half_width,
                    median.source,
                    used=False,
                )
        yield from self._effect()

    def _effect(self) -> Iterator[dict[str, object]]:
        ratio, rows = self.record.overall_hazard_ratio, self.patients
        if ratio is None:
            return
        treated = (rows["arm"] == "treatment").to_numpy()
        group = ~treated if ratio.inverted else treated
        log_ratio, error = cox_fit(np.maximum(rows["time"].to_numpy(), 1e-9), rows["event"].to_numpy() == 1, group)
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


def _nearest(time: Array, event: NDArray[np.bool_], at: float, read: float, reach: float) -> float:
    """Return the value nearest to one read off that the rebuilt curve, steps included, takes about a time."""
    low, high = (kaplan_meier(time, event, when)[0] for when in (at + reach, at - reach))
    return float(np.clip(read, low, high))


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


# --- what is known about the arms ---------------------------------------------------------------------------------


def rebuild_curves(record: Record, *, imputations: int = 20, seed: int = 1) -> RebuiltCurves:
    """Rebuild a trial's patients from its digitised curves.

    Parameters
    ----------
    record
        With a ``curve`` for each arm, and numbers at risk or patients of the arms.
    imputations
        How many sets of patients to draw.
    seed
        Of the draws.

    Raises
    ------
    InputError
        When a file or a risk table is wrong, or nothing says how many patients an arm has.
    """
    curves = read_curves(record)
    notes = [note for curve in curves for note in curve.notes]
    arms = [_known(record, curve, notes) for curve in curves]
    known, goes_on = [one for one, _ in arms], any(later for _, later in arms)
    fits = [fit_arm(one) for one in known]
    if (
        not goes_on
        and any(one.events is None for one in known)
        and record.totals
        and record.totals.use
        and record.totals.events
    ):
        fits = _sharing(fits, record.totals.events)
    for curve, fit in zip(curves, fits, strict=True):
        notes += _deviations(record, curve.arm, fit)
    return RebuiltCurves(record, curves, (fits[0], fits[1]), imputations, seed, tuple(notes))


def _known(record: Record, curve: DigitisedCurve, notes: list[str]) -> tuple[ArmCurve, bool]:
    """Return what is known of an arm up to its curve's end, and whether its risk table goes on after that."""
    times, numbers = _risk_table(record, curve, notes)
    end = float(curve.time[-1])
    goes_on = times[-1] > end * (1 + LATER)
    if goes_on:
        notes.append(
            f"at_risk of {curve.arm} goes on to {times[-1]:g}, its curve to {end:g} only: follow-up ends with the "
            "curve, as nothing tells who dies later; deaths that include later ones are not used"
        )
        left = round(float(np.interp(end, times, numbers)))
        within = times < end
        times, numbers = np.append(times[within], end), np.append(numbers[within], left)
    events = record.arm(curve.arm).events
    if events is not None and events > numbers[0]:
        raise input_error(
            record.id, f"arms.{curve.arm}.events", events, f"more than the {numbers[0]} at risk at time 0"
        )
    used = None if goes_on else events
    known = ArmCurve(curve.time, curve.survival, times, numbers, used, max(end, float(times[-1])))
    notes += _too_many(record, curve.arm, known)
    return known, bool(goes_on)


def _too_many(record: Record, arm: ArmId, known: ArmCurve) -> Iterator[str]:
    """Yield where more patients are at risk than the curve leaves alive; refuse what no digitising explains."""
    survival = isotonic_regression(known.survival, increasing=False).x
    alive = np.append(1.0, survival)[np.searchsorted(known.time, known.risk_times, side="right")]  # the point before
    beyond = known.at_risk / known.patients - alive
    worst = int(np.argmax(beyond))
    time, number = known.risk_times[worst], known.at_risk[worst]
    share = f"{alive[worst]:.0%}"
    told = f"{number} of {known.patients} at risk at {time:g}, but its curve leaves no more than {share} alive"
    if beyond[worst] > IMPOSSIBLE:
        raise input_error(record.id, f"at_risk of {arm}", None, f"{told}; check both, or leave one out: use = false")
    if beyond[worst] > ODD:
        yield f"{arm} has {told}"


def _risk_table(record: Record, curve: DigitisedCurve, notes: list[str]) -> tuple[Array, Counts]:
    """Return an arm's numbers at risk, beginning at time 0, without those who are nobody."""
    patients = record.arm(curve.arm).patients
    rows = [
        (time, number)
        for item in record.at_risk
        if item.use and item.arm == curve.arm and item.where.is_overall
        for time, number in zip(item.times, item.patients, strict=True)
    ]
    table = dict(sorted(rows))
    if 0.0 not in table:
        if patients is None:
            allowed = f"missing; give them, or numbers at risk from time 0, to rebuild the curve of {curve.arm}"
            raise input_error(record.id, f"arms.{curve.arm}.patients", None, allowed)
        table = {0.0: patients, **table}
    if patients is not None and table[0.0] != patients:
        notes.append(f"{curve.arm} has {patients} patients but {table[0.0]} at risk at time 0, which are rebuilt")
    numbers = np.array(list(table.values()), dtype=np.int64)
    if (np.diff(numbers) > 0).any():
        raise input_error(record.id, "at_risk", curve.arm, "numbers at risk must not increase")
    some = numbers > 0
    gone = min((time for time, number in table.items() if number == 0), default=math.inf)
    if gone < curve.time[-1] * (1 - LATER):
        notes.append(f"at_risk of {curve.arm} is 0 at {gone:g}, but its curve goes on to {curve.time[-1]:g}")
    if len(table) == 1:
        notes.append(_without_table(record, curve.arm))
    return np.array(list(table))[some], numbers[some]


def _without_table(record: Record, arm: ArmId) -> str:
    told = record.arm(arm).events is not None or (record.totals is not None and record.totals.events is not None)
    if told:
        return f"no numbers at risk of {arm}: when patients were censored follows from its deaths and curve only"
    return (
        f"neither numbers at risk nor deaths of {arm}: nobody is censored before the curve's end, "
        "which makes deaths too many and intervals too narrow if somebody was"
    )


def _sharing(fits: list[ArmFit], events: int) -> list[ArmFit]:
    """Share the trial's deaths out between arms of unknown deaths, in proportion to what their curves say."""
    open_ = [place for place, fit in enumerate(fits) if fit.known.events is None]
    left = events - sum(fit.known.events or 0 for fit in fits)
    told = np.array([fits[place].chains[0].deaths.sum() for place in open_])
    exact = told / told.sum() * left
    first = min(max(round(exact[0]), 0), fits[open_[0]].known.patients)
    shares = [first, left - first][: len(open_)] if len(open_) > 1 else [left]
    for place, number in zip(open_, shares, strict=True):
        fits[place] = fit_arm(replace(fits[place].known, events=int(np.clip(number, 0, fits[place].known.patients))))
    return fits


def _deviations(record: Record, arm: ArmId, fit: ArmFit) -> Iterator[str]:
    """Yield where known deaths and curve contradict each other."""
    told, events = float(fit.chains[0].deaths.sum()), fit.known.events
    if events is not None and abs(told - events) > max(3.0, 0.05 * events):
        yield f"{arm} has {events} deaths, but its curve and numbers at risk come to {told:.0f}"
    elif events is None and record.totals is None and fit.known.risk_times.size > 1:
        _, died = fit.patients()
        yield f"deaths of {arm} are not printed: {died.sum()} follow from its curve and numbers at risk"
