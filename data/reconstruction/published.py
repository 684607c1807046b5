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
from ..cohort import time_within
from ..errors import InputError, input_error
from ..fields import ARMS, ArmId
from ..imputed import FIT_SHEET_COLUMNS, alone_note
from ..record import Record
from ..subgroup import OVERALL, Subgroup
from ..table import patient_rows, survival_table
from .grid import follow_up_known, grid_to, horizon_of, last_printed, person_time, printed_times
from .misfits import Misfit, Solution, accusations, find_culprits
from .solver import Indices, Problem, Vector, objective, solve
from .strata import Strata, check_partition, strata_of, whole
from .targets import Target, targets_of, withhold
from .unknowns import RealisedTable, Unknowns

MODE_TOLERANCE, DRAW_TOLERANCE = 1e-4, 0.5  # decrease of the objective (twice a log density) at which to stop
MOST_ATTEMPTS = 25  # per imputation
MOST_ROUNDS = 4  # of looking for numbers that contradict the others
LATE = 0.1  # of an arm's deaths
CONFLICT_SDS = 3.0  # within which a draw must reproduce a number in conflict, whose distance is its SD


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
    strata
        The strata and their sizes.
    sizes
        Patients that the sizes are drawn about in each imputation, shape ``(imputations, C, 2)``.
    attempts
        How many draws were made to keep these.
    seed
        Seed of the draws.
    misfits
        The numbers that stay outside their rounding, culprits among them.
    """

    record: Record
    targets: tuple[Target, ...]
    unknowns: Unknowns
    mode: Vector
    sds: Vector
    draws: Vector
    strata: Strata
    sizes: Vector
    attempts: int
    seed: int
    misfits: tuple[Misfit, ...] = ()

    @property
    def acceptance_rate(self) -> float:
        """Share of the draws that reproduced every number and were kept."""
        return len(self.draws) / self.attempts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What must stand beside every result: numbers that contradict all others."""
        return accusations(self.misfits)

    @property
    def imputations(self) -> int:
        """How many imputations there are."""
        return len(self.draws)

    @property
    def partition(self) -> str:
        """The partition whose strata are rebuilt; empty for whole arms."""
        return self.strata.partition

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: culprits, strata's sizes, numbers off by more than rounding, late deaths."""
        off = (misfit.message for misfit in self.misfits if not (misfit.culprit or misfit.is_rounding))
        alone = [alone_note(self.record)] if len(self.record.concerned) == 1 else []
        return (*self.warnings, *alone, *self.strata.notes, *off, *self._late)

    @property
    def _late(self) -> list[str]:
        """Return a note on each arm of whose deaths a tenth lie after the last printed time."""
        last, table = last_printed(self.record), self.unknowns.table(self.mode)
        if self.partition or not last:
            return []
        within = time_within(table.edges, last) / np.diff(table.edges)
        cohorts = {arm: table.cohort(self.strata.cells(OVERALL, arm)) for arm in self.record.concerned}
        deaths = {arm: cohort.deaths for arm, cohort in cohorts.items()}
        late = {arm: 1 - float(each @ within / each.sum()) for arm, each in deaths.items() if each.sum()}
        said = [f"{share:.0%} of the {self.record.event}s of {arm}" for arm, share in late.items() if share >= LATE]
        when = f"fall after {last:g} {self.record.time_unit}, beyond which no survival is printed"
        return [f"{' and '.join(said)} {when}: what is said of later times rests on assumptions"] if said else []

    @property
    def patients(self) -> pd.DataFrame:
        """Whole patients of the first imputation: see `patient_rows`."""
        return patient_rows(self.table)

    @cached_property
    def _tables(self) -> RealisedTable:
        """The realised tables of all draws."""
        return self.unknowns.table(self.draws, self.sizes)

    @cached_property
    def table(self) -> xr.Dataset:
        """The survival table by cell of the grid, one imputation per draw."""
        tables = self._tables
        subgroups = self.strata.subgroups
        levels = {
            name: [stratum.levels(name)[0] for stratum in subgroups]  # type: ignore[index]  # every stratum has one
            for name in subgroups[0].factors
        }
        return survival_table(
            tables.deaths,
            tables.exposure,
            _with_the_last(tables),
            tables.at_risk[..., 0],
            tables.edges,
            strata=[stratum.key for stratum in subgroups],
            factors=levels,
            trial=self.record.id,
            source="curves" if self.record.curve else "published",
            time_unit=self.record.time_unit,
            partition=self.strata.partition,
        ).sel(arm=list(self.record.concerned))

    @cached_property
    def fit_sheet(self) -> pd.DataFrame:
        """Every number with what the most probable table makes of it; predictions have nothing printed."""
        mode = self.unknowns.table(self.mode)
        rows = [_sheet_row(target, float(target.functional(mode))) for target in self.targets]
        sheet = pd.DataFrame([*rows, *self._predictions()])
        return sheet.assign(trial=self.record.id, partition=self.strata.partition)[list(FIT_SHEET_COLUMNS)]

    def _predictions(self) -> list[dict[str, object]]:
        printed = {(target.subgroup.key, target.arm) for target in self.targets if target.item == "median"}
        if not len(self.draws):
            return []
        medians = {
            arm: measure.median_survival(self._tables.cohort(self.strata.cells(OVERALL, arm)))
            for arm in self.record.concerned
            if (OVERALL.key, arm) not in printed
        }
        told = {
            item.arm: {"printed": str(item.estimate), "source": item.source}
            for item in self.record.median
            if item.use and item.where.is_overall and item.estimate
        }
        return [
            _prediction("median", arm, float(np.median(values))) | told.get(arm, {})
            for arm, values in medians.items()
        ]

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
                return target.functional(self._tables)
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
        new = range(len(self.draws), number)
        sources = {imputation: np.random.default_rng([self.seed, imputation]) for imputation in new}
        found: dict[int, tuple[Vector, Vector]] = {}
        attempts, rounds = self.attempts, 0
        while missing := [imputation for imputation in new if imputation not in found]:
            if rounds == MOST_ATTEMPTS:
                raise self._impossible()
            kept = self._attempt([sources[imputation] for imputation in missing])
            found |= {imputation: draw for imputation, draw in zip(missing, kept, strict=True) if draw is not None}
            attempts, rounds = attempts + len(missing), rounds + 1
        draws, sizes = (
            np.concatenate([before, *(found[imputation][part][None] for imputation in new)])
            for part, before in enumerate((self.draws, self.sizes))
        )
        return replace(self, draws=draws, sizes=sizes, attempts=attempts)

    def varied(
        self, imputations: int, *, stratum_effect_sd: float | None = None, without: tuple[str, Subgroup] | None = None
    ) -> Reconstruction:
        """Return the reconstruction when one thing that it rests on is changed, solved from its own mode.

        Parameters
        ----------
        imputations
            How many tables to draw, by the same random numbers.
        stratum_effect_sd
            SD of what each stratum's log hazard ratio has beside the common one, before the numbers are read.
        without
            A number to predict instead of using it: first word of its item, and whom it is about.

        Raises
        ------
        InputError
            When draws keep missing the printed numbers.
        """
        sd = self.unknowns.stratum_effect_sd if stratum_effect_sd is None else stratum_effect_sd
        unknowns = replace(self.unknowns, stratum_effect_sd=sd)
        targets = tuple(withhold(self.targets, *without)) if without else self.targets
        problem = _problem(unknowns, targets, self.sds, unknowns.patients[None])
        (mode,) = solve(problem, problem.values[None], np.zeros((1, unknowns.size)), self.mode, MODE_TOLERANCE)
        changed = replace(
            self,
            unknowns=unknowns,
            targets=targets,
            mode=mode,
            draws=self.draws[:0],
            sizes=self.sizes[:0],
            attempts=0,
        )
        return changed.with_imputations(imputations)

    def _attempt(self, sources: Sequence[np.random.Generator]) -> list[tuple[Vector, Vector] | None]:
        """Randomise, then optimise; return unknowns and sizes of each draw that comes near enough to every number."""
        used = [target.used for target in self.targets]
        half_widths = np.array([target.half_width for target in self.targets])[used]
        printed, sds = np.array([target.value for target in self.targets])[used], self.sds[used]
        sizes, values, centres = [], [], []
        for rng in sources:
            sizes.append(self.strata.draw(rng))
            values.append(printed + rng.uniform(-1, 1, printed.size) * half_widths)
            centres.append(rng.standard_normal(self.mode.size))
        problem = _problem(self.unknowns, self.targets, self.sds, np.stack(sizes))
        solutions = solve(problem, np.stack(values), np.stack(centres), self.mode, DRAW_TOLERANCE)
        table = self.unknowns.table(solutions, np.stack(sizes))
        exact = np.stack([target.functional(table) for target in self.targets if target.used], axis=-1)
        near = half_widths + np.where(sds > half_widths, CONFLICT_SDS, 1.0) * sds
        kept = (np.abs(exact - printed) <= near).all(axis=-1)
        drawn = zip(solutions, sizes, kept, strict=True)
        return [(unknowns, own) if keep else None for unknowns, own, keep in drawn]

    def _impossible(self) -> InputError:
        contradictions = "; ".join(misfit.message for misfit in self.misfits) or "none stands out"
        allowed = f"no table reproduces all printed numbers: {contradictions}"
        return input_error(self.record.place, f"partitions.{self.strata.partition}".rstrip("."), None, allowed)


def reconstruct(
    record: Record,
    partition: str = "",
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
    partition
        Name of the partition whose strata to rebuild; the whole trial as one stratum by default.
    imputations
        How many tables to draw.
    seed
        Seed of the draws; imputation i is the same however many there are.
    horizon
        Where the time grid ends, in the record's unit; the record's own by default, else beyond the last patient
        that any printed number allows (see `grid`).
    without
        Items to predict instead of using them, such as ``hazard_ratio``.

    Raises
    ------
    InputError
        When the record does not print enough: patients, deaths and something about time in both arms, and for a
        partition what its strata's sizes follow from.
    """
    partition = check_partition(record, partition) if partition else ""
    strata, unknowns = _start(record, partition, horizon)
    targets = targets_of(record, strata)
    for item in without:
        targets = withhold(targets, item, OVERALL)
    mode, sds, misfits = _mode(unknowns, targets, strata.partition)
    draws, sizes = np.empty((0, unknowns.size)), np.empty((0, *strata.expected.shape))
    start = Reconstruction(record, tuple(targets), unknowns, mode, sds, draws, strata, sizes, 0, seed, misfits)
    return start.with_imputations(imputations)


def _mode(unknowns: Unknowns, targets: Sequence[Target], partition: str) -> tuple[Vector, Vector, tuple[Misfit, ...]]:
    """Return the most probable unknowns, the residual SDs, and the misfits.

    Culprits, and what else stays outside its rounding, get their distance as SD.
    """
    used = np.array([target.used for target in targets])
    half_widths = np.array([target.half_width for target in targets])
    values = np.array([target.value for target in targets])
    sds = half_widths / math.sqrt(3)

    def solution(chosen: Sequence[Target], within: Vector, start: Vector) -> Solution:
        problem = _problem(unknowns, chosen, within, unknowns.patients[None])
        (mode,) = solve(problem, problem.values[None], np.zeros((1, unknowns.size)), start, MODE_TOLERANCE)
        return Solution(problem, mode, objective(problem, mode))

    def alone(chosen: Sequence[Target]) -> Solution:
        return solution(chosen, np.array([t.half_width for t in chosen]) / math.sqrt(3), np.zeros(unknowns.size))

    def rebuilt(mode: Vector) -> Vector:
        table = unknowns.table(mode)
        return np.array([target.functional(table) for target in targets])

    culprits, mode = find_culprits([target for target in targets if target.used], alone, unknowns.noise)
    blamed = np.array([target in culprits for target in targets])
    implied = rebuilt(mode)
    sds = np.where(blamed, np.maximum(np.abs(implied - values), sds), sds)
    for _ in range(MOST_ROUNDS):
        mode = solution(targets, sds, mode).mode
        off = np.abs(rebuilt(mode) - values)
        conflict = used & (off > half_widths) & (sds < half_widths)
        if not conflict.any():
            break
        sds = np.where(conflict, off, sds)
    made = np.where(blamed, implied, rebuilt(mode))
    wide = used & (sds > half_widths)
    misfits = [
        Misfit(target, float(value), bool(blame), partition)
        for target, value, blame, misfit in zip(targets, made, blamed, wide, strict=True)
        if misfit
    ]
    return mode, sds, tuple(misfits)


def _problem(unknowns: Unknowns, targets: Sequence[Target], sds: Vector, sizes: Vector) -> Problem:
    """Return the problem of some draws, whose sizes have shape ``(draws, C, 2)``."""
    used = [target for target in targets if target.used]

    def functionals(values: Vector, draws: Indices) -> Vector:
        table = unknowns.table(values, sizes[draws])
        return np.stack([(target.smooth or target.functional)(table) for target in used], axis=-1)

    def jacobian(values: Vector, draw: int) -> Vector:
        table = unknowns.table(values, sizes[draw])
        return unknowns.jacobian(values, table, [target.slope(table) for target in used], sizes[draw])

    return Problem(
        functionals,
        jacobian,
        np.array([target.value for target in used]),
        np.array([target.half_width for target in used]),
        sds[[target.used for target in targets]],
    )


def _with_the_last(tables: RealisedTable) -> NDArray[np.float64]:
    """Return the censored by cell; who is still followed up at the grid's end counts in its last one."""
    censored = tables.censored.copy()
    censored[..., -1] += tables.at_risk[..., -1]
    return censored


def _start(record: Record, partition: str, horizon: float | None) -> tuple[Strata, Unknowns]:
    """Return the strata, and what their table may be before its numbers are read."""
    if partition:
        record.check_both_arms("strata")
    control, treatment = (record.arm(arm).patients if arm in record.concerned else 0 for arm in ARMS)
    if control is None or treatment is None:
        raise _cannot(record, f"patients of {_whom(record)}")
    sizes = control, treatment
    deaths = _total_deaths(record)
    if deaths is None:
        raise _cannot(record, f"events of {_whom(record)}{' or in all' * (len(record.concerned) > 1)}")
    if not printed_times(record):
        raise _cannot(record, "survival at a landmark, follow-up or numbers at risk")
    end = horizon or horizon_of(record)
    if end < max(record.landmark_times(), default=0.0):
        raise input_error(record.place, "horizon", end, "must not lie before the latest landmark")
    followed = person_time(record, deaths)
    crude = max(deaths, 0.5) / followed, max(sum(sizes) - deaths, 1.0) / followed
    median = math.log(2) / crude[0]
    strata = strata_of(record, partition, sizes, median) if partition else whole(sizes, median)
    grid, shared = grid_to(record, end), not all(follow_up_known(record, arm) for arm in record.concerned)
    return strata, Unknowns(strata.expected, grid.edges, grid.knot, *crude, strata.share_sd, shared)


def _whom(record: Record) -> str:
    return "both arms" if len(record.concerned) > 1 else record.concerned[0]


def _cannot(record: Record, needed: str) -> Exception:
    known = "; its patients are known, and reanalyse and fit use them" if record.patients else ""
    why = f"published survival cannot be rebuilt: the record prints no {needed}{known}"
    return input_error(record.place, "", None, why)


def _total_deaths(record: Record) -> int | None:
    events = [record.arm(arm).events for arm in record.concerned]
    known = [count for count in events if count is not None]
    return sum(known) if len(known) == len(events) else record.totals.events if record.totals else None


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
