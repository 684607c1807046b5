"""Strata of a partition and how many patients of each arm they hold.

Sizes follow from the printed counts of unions of strata and the arms' sizes by linear algebra. Two things may be
left open, and then differ between imputations: patients whose level is not known (up to 5% of an arm), who get a
stratum at random, in proportion to the known ones; and the share of patients below a cut when only mean and SD are
printed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..characteristics import Baseline, Partition, PatientsCount
from ..errors import InputError, Problem, input_error
from ..fields import ARMS, ArmId
from ..prevalence import counted_prevalences, prevalences
from ..record import Record
from ..subgroup import OVERALL, Subgroup
from .unknowns import Cells

MOST_UNKNOWN = 0.05  # of an arm
FEWEST_PATIENTS = 1e-3  # an empty stratum of one arm, kept off zero so that rates exist
MOST_TRIES = 1000


@dataclass(frozen=True)
class _Margin:
    """A printed count of an arm's patients in a union of strata.

    Parameters
    ----------
    members
        Indices of its strata.
    count
        Patients, of those whose level is known.
    unknown
        Least and most patients whose level is not known.
    """

    members: tuple[int, ...]
    count: int
    unknown: tuple[int, int]


@dataclass(frozen=True)
class Strata:
    """Strata of a trial.

    Parameters
    ----------
    partition
        Name of the partition; empty for the whole trial as one stratum.
    subgroups
        The strata, in the order of the crossed levels.
    expected
        Expected patients by stratum and arm, shape ``(C, 2)``.
    share_sd
        SD of the logit of the first of two strata's share, by arm; zero where sizes are known.
    margins
        Printed counts by arm.
    arm_sizes
        Patients of each arm.
    crude_median
        Rough median survival of the trial, in its unit.
    notes
        What a reader must know about the sizes.
    """

    partition: str
    subgroups: tuple[Subgroup, ...]
    expected: NDArray[np.float64]
    share_sd: NDArray[np.float64]
    margins: tuple[tuple[_Margin, ...], tuple[_Margin, ...]]
    arm_sizes: tuple[int, int]
    crude_median: float
    notes: tuple[str, ...] = ()

    def members(self, subgroup: Subgroup) -> tuple[int, ...] | None:
        """Return the strata whose union a subgroup is; ``None`` when it cuts through a stratum."""
        return members_of(subgroup, self.subgroups)

    def cells(self, subgroup: Subgroup, arm: ArmId | None) -> Cells:
        """Return the cells of a union of strata in one arm, or in both without ``arm``."""
        arms = (0, 1) if arm is None else (ARMS.index(arm),)
        return tuple((stratum, one) for stratum in self.members(subgroup) or () for one in arms)

    def patients(self, subgroup: Subgroup, arm: ArmId | None) -> float:
        """Return the expected patients of a union of strata."""
        return float(sum(self.expected[cell] for cell in self.cells(subgroup, arm)))

    @cached_property
    def vary(self) -> bool:
        """Whether patients of unknown level make the sizes differ between imputations."""
        return any(margin.unknown[1] for margins in self.margins for margin in margins)

    def draw(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return sizes with patients of unknown level allocated at random, shape ``(C, 2)``.

        Parameters
        ----------
        rng
            Source of randomness.
        """
        if not self.vary:
            return self.expected
        arms = [
            _allocated(margins, self.expected[:, arm], self.arm_sizes[arm], rng)
            for arm, margins in enumerate(self.margins)
        ]
        return np.maximum(np.stack(arms, axis=1), FEWEST_PATIENTS)


def members_of(subgroup: Subgroup, strata: Sequence[Subgroup]) -> tuple[int, ...] | None:
    """Return the indices of the strata whose union a subgroup is; ``None`` when it cuts through one."""
    touched = [index for index, stratum in enumerate(strata) if stratum.overlaps(subgroup)]
    return tuple(touched) if all(strata[index].within(subgroup) for index in touched) else None


def crossed(record: Record, factors: Sequence[str]) -> tuple[Subgroup, ...]:
    """Return the cells of some factors' levels, factors in record order.

    Parameters
    ----------
    record
        The trial.
    factors
        Names of factors.
    """
    ordered = [name for name in record.factors if name in factors]
    levels = itertools.product(*(record.factors[name].levels for name in ordered))
    return tuple(
        Subgroup(tuple((name, (level,)) for name, level in zip(ordered, cell, strict=True))) for cell in levels
    )


def outside_partitions(record: Record) -> list[str]:
    """Return a note on every hazard ratio that no reconstruction can use, and on those without an interval.

    Parameters
    ----------
    record
        The trial.
    """
    cells = [crossed(record, partition.factors) for partition in record.all_partitions.values()]
    notes = []
    for row in record.hazard_ratio:
        if not row.use or row.where.is_overall:
            continue
        if all(members_of(row.where, strata) is None for strata in cells):
            about = "it is no union of strata of any partition"
            notes.append(f"hazard_ratio {row.estimate} of {row.where} is not used: {about}")
        elif row.ci is None:
            notes.append(f"hazard_ratio {row.estimate} of {row.where} has no interval: its estimate alone is used")
    return notes


def check_partition(record: Record, name: str) -> str:
    """Check that a record has a partition of this name, or factors to cross; return what outputs call it.

    Parameters
    ----------
    record
        The trial.
    name
        Name of a partition, or factors joined by commas.

    Raises
    ------
    InputError
        Lists the partitions that there are.
    """
    if record.partition(name) is None:
        known = ", ".join(record.all_partitions)
        allowed = f"no partition of {record.id}; give one of {known}" if known else f"{record.id} has no partition"
        usable = [one for one in record.factors if record.partition(one)]
        more = f", or one or more of its factors, joined by commas: {', '.join(usable)}" if usable else ""
        raise input_error("--partition", "", name, f"{allowed}{more}")
    return record.partition_name(name)


def whole(sizes: tuple[int, int], crude_median: float) -> Strata:
    """Return the whole trial as one stratum.

    Parameters
    ----------
    sizes
        Patients of each arm; none of one that the record does not concern.
    crude_median
        Rough median survival.
    """
    expected = np.maximum(np.array([sizes], dtype=float), FEWEST_PATIENTS)
    return Strata("", (OVERALL,), expected, np.zeros(2), ((), ()), sizes, crude_median)


def strata_of(record: Record, name: str, sizes: tuple[int, int], crude_median: float) -> Strata:
    """Return the strata of a partition with their sizes.

    Parameters
    ----------
    record
        The trial.
    name
        Name of the partition.
    sizes
        Patients of each arm; none of one that the record does not concern.
    crude_median
        Rough median survival.

    Raises
    ------
    InputError
        When the sizes do not follow from what is printed, exceed an arm, or leave too many patients out.
    """
    partition = record.partition(name)
    assert partition is not None  # see check_partition
    subgroups = crossed(record, partition.factors)
    if cut := _cut_share(record, partition, subgroups):
        share, spread = cut
        expected = np.stack([share, 1 - share]) * np.array(sizes)
        note = f"{name}: how many patients lie on each side follows from mean and SD only, and varies"
        return Strata(name, subgroups, expected, spread, ((), ()), sizes, crude_median, (note,))
    margins, problems = [], []
    for arm, size in zip(ARMS, sizes, strict=True):
        found, wrong = _margins(record, partition, subgroups, arm, size)
        margins.append(found)
        problems += wrong
    if problems:
        raise InputError(problems)
    expected = [_expected(record, name, subgroups, *each) for each in zip(margins, sizes, ARMS, strict=True)]
    notes = [
        f"{name}: {_range(margin.unknown)} {arm} patients of unknown level are allocated at random"
        for arm, found in zip(ARMS, margins, strict=True)
        for margin in sorted(found, key=lambda margin: margin.unknown[1])[-1:]
        if margin.unknown[1]
    ]
    both = np.maximum(np.stack(expected, axis=1), FEWEST_PATIENTS)
    return Strata(name, subgroups, both, np.zeros(2), (margins[0], margins[1]), sizes, crude_median, tuple(notes))


def _range(numbers: tuple[int, int]) -> str:
    least, most = numbers
    return str(most) if least == most else f"{least} to {most}"


def _cut_share(
    record: Record, partition: Partition, subgroups: Sequence[Subgroup]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the share below a factor's cut by arm, and the SD of its logit, where patients are not counted.

    The share's standard error is the binomial one: as wide as if mean and SD told the share and nothing about the
    shape, of which they tell little.
    """
    (name, *more) = partition.factors
    cut = record.factors[name].cut
    if more or cut is None or counted_prevalences(record, subgroups[0]):
        return None
    arms = prevalences(record, subgroups[0])
    if arms is None:
        allowed = "needs a baseline row with mean and sd of both arms, or counts of patients"
        raise input_error(record.place, f"factors.{name}.cut", None, allowed)
    shares = np.array([arm.share for arm in arms])
    if min(arm.known * min(arm.share, 1 - arm.share) for arm in arms) < 0.5:
        allowed = "leaves no patients on one side, by mean and sd"
        raise input_error(record.place, f"factors.{name}.cut.below", str(cut.below), allowed)
    return shares, 1 / np.sqrt(np.array([arm.known for arm in arms]) * shares * (1 - shares))


def _margins(
    record: Record, partition: Partition, subgroups: Sequence[Subgroup], arm: ArmId, size: int
) -> tuple[tuple[_Margin, ...], list[Problem]]:
    """Return an arm's printed counts of unions of strata, and what is wrong with them."""
    counts = [
        (item, members)
        for item in record.patients_count
        if item.use
        and item.arm == arm
        and (members := members_of(item.where, subgroups))
        and not item.where.is_overall
    ]
    unknown = {name: _unknown(record, name, [item for item, _ in counts], arm, size) for name in partition.factors}
    problems = [
        Problem(
            record.place,
            f"factors.{name}",
            f"{number} of {size} {arm} patients",
            "are in no level; at most 5% may be unknown, and `known` must say so",
        )
        for name, number in unknown.items()
        if number > MOST_UNKNOWN * size
    ]
    margins = tuple(_Margin(members, item.n, _unknown_of(record, item, unknown, size)) for item, members in counts)
    return margins, problems


def _unknown(record: Record, name: str, counts: Sequence[PatientsCount], arm: ArmId, size: int) -> int:
    """Return how many of an arm's patients are in no level of a factor."""
    factor = record.factors[name]
    if arm in factor.known:
        return size - factor.known[arm]
    alone = {item.where.levels(name): item.n for item in counts if item.where.factors == (name,)}
    counted = [alone.get((level,)) for level in factor.levels]
    return max(size - sum(number for number in counted if number is not None), 0) if None not in counted else 0


def _unknown_of(record: Record, item: PatientsCount, unknown: dict[str, int], size: int) -> tuple[int, int]:
    """Return the least and the most patients of unknown level behind a count.

    At least those with any of its factors unknown; at most those that its printed percentage leaves out.
    """
    least = max(unknown[name] for name in item.where.factors)
    if not least or len(item.where.factors) == 1:
        return least, least
    rows = [row for row in record.baseline if row.use and row.where == item.where]
    denominators = [number for row in rows for number in _denominators(row, item, size - least)]
    return least, max([size - number for number in denominators[:1]], default=least)


def _denominators(row: Baseline, item: PatientsCount, most: int) -> list[int]:
    """Return the denominators, largest first, of which a count is the percentage printed beside it."""
    cell = getattr(row, item.arm)
    if cell is None or cell.n != item.n or cell.percent is None:
        return []
    return [number for number in range(most, item.n, -1) if cell.percent.admits(100 * item.n / number)]


def _solved(margins: Sequence[_Margin], counts: Sequence[float], size: float, strata: int) -> NDArray[np.float64]:
    """Return the strata's sizes from the sizes of unions and of the arm, least squares, shape ``(C,)``."""
    system, right = _system(margins, strata), np.array([*counts, size])
    solution: NDArray[np.float64] = np.linalg.lstsq(system, right, rcond=None)[0]
    return solution


def _system(margins: Sequence[_Margin], strata: int) -> NDArray[np.float64]:
    rows = [[float(index in margin.members) for index in range(strata)] for margin in margins]
    return np.array([*rows, [1.0] * strata])


def _expected(
    record: Record, name: str, subgroups: Sequence[Subgroup], margins: Sequence[_Margin], size: int, arm: ArmId
) -> NDArray[np.float64]:
    """Return an arm's expected sizes of the strata; refuse those that do not follow or cannot be."""
    field, strata = f"partitions.{name}", len(subgroups)
    if np.linalg.matrix_rank(_system(margins, strata)) < strata:
        allowed = f"sizes of its strata do not follow from the patients_count of the {arm} arm; add counts"
        raise input_error(record.place, field, None, allowed)
    shares = [margin.count / (size - sum(margin.unknown) / 2) for margin in margins]
    counts = [share * size for share in shares]
    sizes = _solved(margins, counts, size, strata)
    slack = 0.5 + max((margin.unknown[1] for margin in margins), default=0)
    problems = [
        Problem(
            record.place,
            field,
            f"{subgroup}: {number:.0f} {arm} patients",
            f"cannot be: the counts of its unions exceed each other or the arm's {size}",
        )
        for subgroup, number in zip(subgroups, sizes, strict=True)
        if number < -slack
    ]
    off = np.abs(_system(margins, strata) @ sizes - [*counts, size])
    if not problems and off.max() > slack:
        allowed = f"the patients_count of the {arm} arm do not add up to its {size} patients"
        problems.append(Problem(record.place, field, "", allowed))
    if problems:
        raise InputError(problems)
    return np.maximum(sizes, 0.0)


def _allocated(
    margins: Sequence[_Margin], expected: NDArray[np.float64], size: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return one arm's sizes with its patients of unknown level allocated at random."""
    strata, shares = len(expected), expected / expected.sum()
    for _ in range(MOST_TRIES):
        unknown = [int(rng.integers(margin.unknown[0], margin.unknown[1] + 1)) for margin in margins]
        levels = rng.choice(strata, size=max(unknown, default=0), p=shares)
        counts = [
            margin.count + int(np.isin(levels[:number], margin.members).sum())
            for margin, number in zip(margins, unknown, strict=True)
        ]
        sizes = np.round(_solved(margins, counts, size, strata), 9)
        if (sizes >= 0).all() and np.allclose(_system(margins, strata) @ sizes, np.array([*counts, size])):
            return sizes
    return expected
