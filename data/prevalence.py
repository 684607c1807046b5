"""How common a prognostic factor's level is in each arm: counted, or derived from a printed mean and SD.

A share below a cut c that is not printed follows from the arm's mean m and SD s if the characteristic is normal:

    share = Phi(z),    z = (c - m) / s.

The realised share of n patients with this mean and SD varies about it with variance

    (Phi(z) (1 - Phi(z)) - phi(z)^2 (1 + z^2 / 2)) / n.

Source: Durbin 1973, Ann Stat 1:279 (the empirical distribution when mean and SD are estimated).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtr

from .characteristics import Baseline
from .fields import ARMS, ArmId
from .record import Record
from .subgroup import Subgroup


@dataclass(frozen=True)
class Prevalence:
    """How common a level is in one arm.

    Parameters
    ----------
    share
        Share of the arm's patients, between 0 and 1.
    known
        Patients whose level is known.
    error
        Standard error of the share as a statement about these very patients: 0 where they are counted.
    """

    share: float
    known: int
    error: float = 0.0


def follows_randomisation(record: Record, where: Subgroup) -> bool:
    """Whether a subgroup is defined by something that is not known at randomisation."""
    return any(record.factors[name].post_randomisation for name in where.factors)


def prevalences(record: Record, where: Subgroup) -> tuple[Prevalence, Prevalence] | None:
    """Return how common a subgroup is in control and treatment, counted where possible, else from mean and SD.

    Parameters
    ----------
    record
        The trial.
    where
        The subgroup.

    Returns
    -------
    tuple of Prevalence, or None
        ``None`` when the record says it of neither arm, or of one only.
    """
    return counted_prevalences(record, where) or _derived_prevalences(record, where)


def counted_prevalences(record: Record, where: Subgroup) -> tuple[Prevalence, Prevalence] | None:
    """Return how common a subgroup is in control and treatment by the record's counts of patients.

    From ``patients_count``, else from a row of the baseline table; over the patients whose level is known.

    Parameters
    ----------
    record
        The trial.
    where
        The subgroup.

    Returns
    -------
    tuple of Prevalence, or None
        ``None`` when patients are not counted in both arms.
    """
    counts = {item.arm: item.n for item in record.patients_count if item.use and item.where == where}
    if len(counts) < len(ARMS):
        counts = _baseline_counts(record, where)
    sizes = {arm: _known_patients(record, where, arm) for arm in ARMS}
    found = [
        Prevalence(counts[arm] / size, size)
        for arm, size in sizes.items()
        if size and 0 <= counts.get(arm, -1) <= size
    ]
    return (found[0], found[1]) if len(found) == len(ARMS) else None


def _baseline_counts(record: Record, where: Subgroup) -> dict[ArmId, int]:
    rows = [row for row in record.baseline if row.use and row.where == where]
    cells = [(arm, row.control if arm == "control" else row.treatment) for row in rows for arm in ARMS]
    return {arm: cell.n for arm, cell in cells if cell is not None and cell.n is not None}


def _known_patients(record: Record, where: Subgroup, arm: ArmId) -> int | None:
    """Return how many patients of an arm are known to belong to a subgroup or not; ``None`` when not printed."""
    known = [record.factors[name].known.get(arm) for name in where.factors]
    return min((size for size in known if size), default=record.arm(arm).patients)


def _derived_prevalences(record: Record, where: Subgroup) -> tuple[Prevalence, Prevalence] | None:
    """Return the shares on one side of a cut from the means and SDs of a baseline row."""
    if len(where.factors) != 1:
        return None
    ((name, levels),) = where.restrictions
    factor = record.factors[name]
    if factor.cut is None:
        return None
    row = next((row for row in record.baseline if row.use and row.label == factor.cut.row), None)
    below = levels == factor.levels[:1]
    found = [_derived(row, arm, factor.cut.below.value, below, record.arm(arm).patients) for arm in ARMS]
    return (found[0], found[1]) if found[0] and found[1] else None


def _derived(row: Baseline | None, arm: ArmId, cut: float, below: bool, patients: int | None) -> Prevalence | None:
    cell = None if row is None else row.control if arm == "control" else row.treatment
    if cell is None or cell.mean is None or cell.sd is None or not cell.sd.value or not patients:
        return None
    z = (cut - cell.mean.value) / cell.sd.value
    share, density = float(ndtr(z)), math.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    variance = (share * (1 - share) - density**2 * (1 + z**2 / 2)) / patients
    return Prevalence(share if below else 1 - share, patients, math.sqrt(max(variance, 0.0)))
