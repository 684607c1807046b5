"""From a trial record to imputed survival tables and a fit sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from .. import cohort as measure
from ..errors import input_error
from ..record import ARMS, ArmId, Record
from ..subgroup import OVERALL
from ..table import survival_table
from .solver import Problem, Vector, solve
from .targets import Target, arm_targets, withhold
from .unknowns import KNOT_MONTHS, RealisedTable, Unknowns

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
HORIZON_BEYOND = 1.2  # times the latest printed time: printed ranges of follow-up are often too short
MODE_TOLERANCE, DRAW_TOLERANCE = (
    1e-4,
    0.05,
)  # decrease of the objective (twice a log density) at which to stop
MOST_ATTEMPTS = 25  # per imputation


@dataclass(frozen=True)
class Reconstruction:
    """Tables that reproduce a record's numbers, one per imputation.

    Built by `reconstruct`.

    Parameters
    ----------
    record
        The trial.
    targets
        The published numbers, used and predicted, and their functionals.
    unknowns
        What the table is made of.
    mode
        The most probable unknowns, shape ``(n,)``.
    sds
        Residual SD of each target; above ``half_width / sqrt(3)`` for a number in conflict with the others.
    draws
        Unknowns of each imputation, shape ``(imputations, n)``.
    attempts
        How many draws were made to keep these.
    seed
        Seed of the draws.
    """

    record: Record
    targets: tuple[Target, ...]
    unknowns: Unknowns
    mode: Vector
    sds: Vector
    draws: Vector
    attempts: int
    seed: int

    @property
    def acceptance_rate(self) -> float:
        """Share of the draws that reproduced every number and were kept."""
        return len(self.draws) / self.attempts

    @property
    def conflicts(self) -> tuple[Target, ...]:
        """The numbers that contradict the others under the model."""
        usual = np.array([target.half_width for target in self.targets]) / math.sqrt(3)
        return tuple(
            target
            for target, sd, own in zip(self.targets, self.sds, usual, strict=True)
            if target.used and sd > own * (1 + 1e-9)
        )

    @cached_property
    def table(self) -> xr.Dataset:
        """The survival table by month, one imputation per draw."""
        tables = self.unknowns.table(self.draws)
        sizes = np.broadcast_to(self.unknowns.patients, (len(self.draws), *self.unknowns.patients.shape))
        return survival_table(
            tables.deaths,
            tables.exposure,
            _with_the_last(tables),
            sizes,
            tables.edges,
            trial=self.record.id,
            source="published",
            time_unit=self.record.time_unit,
        )

    @cached_property
    def fit_sheet(self) -> pd.DataFrame:
        """Every number with what the most probable table makes of it; predictions have nothing printed."""
        mode = self.unknowns.table(self.mode)
        rows = [_sheet_row(target, float(target.functional(mode))) for target in self.targets]
        sheet = pd.DataFrame([*rows, *self._predictions()])
        return sheet.assign(trial=self.record.id, partition="")[list(FIT_SHEET_COLUMNS)]

    def _predictions(self) -> list[dict[str, object]]:
        if not len(self.draws):
            return []
        tables = self.unknowns.table(self.draws)
        medians = {arm: measure.median_survival(tables.cohort((0,), (i,))) for i, arm in enumerate(ARMS)}
        return [_prediction("median", arm, float(np.median(values))) for arm, values in medians.items()]

    def predicted(self, item: str) -> Vector:
        """Return the values of a published number in every imputation, used or not.

        Parameters
        ----------
        item
            The fit sheet's item, such as ``hazard_ratio``.

        Raises
        ------
        KeyError
            When the record prints no such number.
        """
        for target in self.targets:
            if target.item == item and target.subgroup.is_overall:
                return target.functional(self.unknowns.table(self.draws))
        raise KeyError(item)

    def with_imputations(self, number: int) -> Reconstruction:
        """Return the reconstruction with more imputations; those it has are kept.

        Parameters
        ----------
        number
            How many there shall be.

        Raises
        ------
        InputError
            When draws keep missing the printed numbers.
        """
        drawn = [self._draw(imputation) for imputation in range(len(self.draws), number)]
        draws = np.concatenate([self.draws, *(unknowns[None] for unknowns, _ in drawn)])
        return replace(self, draws=draws, attempts=self.attempts + sum(attempts for _, attempts in drawn))

    def _draw(self, imputation: int) -> tuple[Vector, int]:
        """Randomise, then optimise, until every number is within its half-width plus one residual SD."""
        problem = _problem(self.unknowns, self.targets, self.sds)
        rng = np.random.default_rng([self.seed, imputation])
        for attempt in range(1, MOST_ATTEMPTS + 1):
            values = problem.values + rng.uniform(-1, 1, problem.values.size) * problem.half_widths
            centre = rng.standard_normal(self.mode.size)
            unknowns = solve(problem, values, centre, self.mode, DRAW_TOLERANCE)
            off = np.abs(_exact(self.unknowns, self.targets, unknowns) - problem.values)
            if (off <= problem.half_widths + problem.sds).all():
                return unknowns, attempt
        allowed = f"no table was found in {MOST_ATTEMPTS} attempts that reproduces all printed numbers"
        raise input_error(self.record.id, "", None, allowed)


def reconstruct(
    record: Record,
    *,
    imputations: int = 20,
    seed: int = 1,
    horizon: float | None = None,
    without: Sequence[str] = (),
) -> Reconstruction:
    """Rebuild a trial's survival table from its published numbers.

    Parameters
    ----------
    record
        The trial.
    imputations
        How many tables to draw.
    seed
        Seed of the draws; imputation i is the same however many there are.
    horizon
        Where the time grid ends, in the record's unit; the record's own by default, else 1.2 times the latest
        printed time.
    without
        Items to predict instead of using them, such as ``hazard_ratio``.

    Raises
    ------
    InputError
        When the record does not print enough: patients, deaths and something about time in both arms.
    """
    targets = arm_targets(record)
    for item in without:
        targets = withhold(targets, item, OVERALL)
    unknowns = _unknowns(record, horizon)
    mode, sds = _mode(unknowns, targets)
    empty = np.empty((0, unknowns.size))
    return Reconstruction(record, tuple(targets), unknowns, mode, sds, empty, 0, seed).with_imputations(imputations)


def _mode(unknowns: Unknowns, targets: Sequence[Target]) -> tuple[Vector, Vector]:
    """Return the most probable unknowns and the residual SDs, conflicts given their distance as SD."""
    sds = np.array([target.half_width for target in targets]) / math.sqrt(3)
    problem, start = _problem(unknowns, targets, sds), np.zeros(unknowns.size)
    mode = solve(problem, problem.values, start, start, MODE_TOLERANCE)
    half_widths, values = (
        np.array([getattr(target, name) for target in targets]) for name in ("half_width", "value")
    )
    used = np.array([target.used for target in targets])
    off = np.abs(np.array([target.functional(unknowns.table(mode)) for target in targets]) - values)
    conflict = used & (off > half_widths)
    if not conflict.any():
        return mode, sds
    sds = np.where(conflict, off, sds)
    problem = _problem(unknowns, targets, sds)
    return solve(problem, problem.values, start, mode, MODE_TOLERANCE), sds


def _problem(unknowns: Unknowns, targets: Sequence[Target], sds: Vector) -> Problem:
    used = [target for target in targets if target.used]

    def functionals(values: Vector) -> Vector:
        table = unknowns.table(values)
        return np.stack([(target.smooth or target.functional)(table) for target in used], axis=-1)

    return Problem(
        functionals,
        np.array([target.value for target in used]),
        np.array([target.half_width for target in used]),
        sds[[target.used for target in targets]],
    )


def _exact(unknowns: Unknowns, targets: Sequence[Target], values: Vector) -> Vector:
    table = unknowns.table(values)
    return np.array([target.functional(table) for target in targets if target.used])


def _with_the_last(tables: RealisedTable) -> NDArray[np.float64]:
    """Return the censored by month; who is still followed up at the grid's end counts in its last month."""
    censored = tables.censored.copy()
    censored[..., -1] += tables.at_risk[..., -1]
    return censored


def _unknowns(record: Record, horizon: float | None) -> Unknowns:
    sizes = [record.arm(arm).patients for arm in ARMS]
    if None in sizes:
        raise _cannot(record, "patients of both arms")
    deaths, times = _total_deaths(record), _printed_times(record)
    if deaths is None:
        raise _cannot(record, "events of both arms or in all")
    if not times:
        raise _cannot(record, "survival at a landmark, follow-up or numbers at risk")
    patients = np.array([sizes], dtype=float)
    month = measure.MONTHS[record.time_unit]
    end = horizon or record.horizon or _in_knots(HORIZON_BEYOND * max(times), month)
    if end < max(record.landmark_times(), default=0.0):
        raise input_error(record.id, "horizon", end, "must not lie before the latest landmark")
    person_time = patients.sum() * np.mean(times) * 0.8
    grid = np.append(np.arange(0.0, end, month), end)
    crude = deaths / person_time, max(patients.sum() - deaths, 1.0) / person_time
    return Unknowns(patients, grid, month, *crude)


def _cannot(record: Record, needed: str) -> Exception:
    return input_error(record.id, "", None, f"published survival cannot be rebuilt: the record prints no {needed}")


def _in_knots(time: float, month: float) -> float:
    return math.ceil(time / (KNOT_MONTHS * month)) * KNOT_MONTHS * month


def _total_deaths(record: Record) -> int | None:
    events = [record.arm(arm).events for arm in ARMS]
    known = [count for count in events if count is not None]
    return sum(known) if len(known) == len(events) else record.totals.events if record.totals else None


def _printed_times(record: Record) -> list[float]:
    """Return the times at which the record says something about whole arms."""
    landmarks = [item.time for item in record.survival if item.use and item.where.is_overall]
    at_risk = [item.times[-1] for item in record.at_risk if item.use and item.where.is_overall]
    follow_up = [
        number.value
        for item in record.follow_up
        if item.use
        for number in (item.median, item.q75, item.survivors_median, *(item.survivors_range or ()))
        if number is not None
    ]
    return [*landmarks, *at_risk, *follow_up]


def _sheet_row(target: Target, reproduced: float) -> dict[str, object]:
    return {
        "item": target.item,
        "subgroup": target.subgroup.key,
        "arm": target.arm or "",
        "time": target.time,
        "printed": target.printed,
        "reproduced": reproduced,
        "half_width": target.half_width,
        "half_widths_off": (reproduced - target.value) / target.half_width,
        "used": target.used,
        "source": target.source,
    }


def _prediction(item: str, arm: ArmId, value: float) -> dict[str, object]:
    return {
        "item": item,
        "subgroup": OVERALL.key,
        "arm": arm,
        "reproduced": value,
        "used": False,
        "source": "predicted",
    }
