"""Checks of the table of baseline characteristics: p-values recomputed, prognostic imbalance."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, gammaln, ndtr, stdtr

from ..characteristics import Baseline, Cell
from ..fields import ARMS, ArmId
from ..outcomes import Binary, Prognostic
from ..prevalence import Prevalence, counted_prevalences, follows_randomisation
from ..printed import Printed
from ..record import Record
from .counts import denominators
from .finding import Finding, Verdict

SIGNIFICANCE = 0.05  # of the least p-value among the prognostic factors (Bonferroni)
NAMED = 0.10  # when that is reached, every factor below this is named
Table = NDArray[np.float64]


def recomputed_p(record: Record) -> Iterator[Finding]:
    """11. P-values of tables follow from their counts (chi-square, Fisher) or means and SDs (t)."""
    for item in record.baseline:
        if item.p is not None and item.use:
            rows = [row for row in record.baseline if item.group and row.group == item.group and row.use] or [item]
            found = _p_from_means(record, item) or _p_from_counts(record, rows)
            if found:
                yield _p_finding(item.group or item.label, item.p, found, item.source)
    for endpoint in record.binary:
        if endpoint.p is not None and endpoint.use and (found := _p_of_tables(_events(endpoint))):
            yield _p_finding(endpoint.label, endpoint.p, found, endpoint.source)


def _events(endpoint: Binary) -> Iterator[Table]:
    """Yield the table of patients with and without an event, by arm, where both arms' events are printed."""
    cells = [(cell.events, cell.patients) for cell in (endpoint.control, endpoint.treatment)]
    observed = np.array([[n, patients - n] for n, patients in cells if n is not None], dtype=float)
    if len(observed) == len(ARMS):
        yield observed.T


def _p_finding(name: str, printed: Printed, found: dict[str, tuple[float, float]], source: str) -> Finding:
    agree = any(printed.admits(*p) for p in found.values())
    near = any(printed.admits(*p, slack=1) for p in found.values())
    verdict: Verdict = "ok" if agree else "note" if near else "inconsistent"
    texts = [f"{name} p = {_p_text(*p)}" for name, p in found.items()]
    first = next(iter(found.values()))
    text = f"{'; '.join(texts)}; printed {printed}"
    return Finding("table p-value", verdict, name, printed.text, first[0], *_outer(found), text, source)


def _outer(found: dict[str, tuple[float, float]]) -> tuple[float, float]:
    return min(p[0] for p in found.values()), max(p[1] for p in found.values())


def _p_text(low: float, high: float) -> str:
    return f"{low:.3g}" if math.isclose(low, high, rel_tol=1e-6) else f"{low:.3g} to {high:.3g}"


def _p_from_means(record: Record, item: Baseline) -> dict[str, tuple[float, float]]:
    """Return the p-values of Student's and Welch's t that rounded means and SDs allow."""
    cells = (item.control, item.treatment)
    sizes = [record.arm(arm).patients for arm in ARMS]
    if any(cell is None or cell.mean is None or cell.sd is None for cell in cells) or None in sizes:
        return {}
    control, treatment = cells
    assert control and treatment and control.mean and treatment.mean and control.sd and treatment.sd
    gap, room = abs(control.mean.value - treatment.mean.value), control.mean.half_width + treatment.mean.half_width
    n0, n1 = (float(size) for size in sizes if size is not None)
    extremes = []
    for distance, sds in (
        (gap + room, (control.sd.low, treatment.sd.low)),
        (max(gap - room, 0.0), (control.sd.high, treatment.sd.high)),
    ):
        pooled = ((n0 - 1) * sds[0] ** 2 + (n1 - 1) * sds[1] ** 2) / (n0 + n1 - 2)
        t = distance / math.sqrt(pooled * (1 / n0 + 1 / n1))
        extremes.append(float(2 * stdtr(n0 + n1 - 2, -t)))
    return {"t test": (extremes[0], extremes[1])}


def _p_from_counts(record: Record, rows: Sequence[Baseline]) -> dict[str, tuple[float, float]]:
    return _p_of_tables(_tables(record, rows))


def _p_of_tables(possible: Iterable[Table]) -> dict[str, tuple[float, float]]:
    """Return the p-values, by test, of tables that all may be meant."""
    tables = [table for table in possible if (table.sum(axis=0) > 0).all() and (table.sum(axis=1) > 0).all()]
    if not tables:
        return {}
    tests = {"chi-square": chi_square}
    if tables[0].shape[0] == 2:
        tests |= {"chi-square, corrected": corrected_chi_square, "Fisher": fisher}
    values = {name: [test(table) for table in tables] for name, test in tests.items()}
    return {name: (min(p), max(p)) for name, p in values.items()}


def _tables(record: Record, rows: Sequence[Baseline]) -> Iterator[Table]:
    """Yield the contingency tables that the rows may stand for: levels by arm."""
    counts = [[cell.n if cell else None for cell in (row.control, row.treatment)] for row in rows]
    if any(None in row for row in counts):
        return
    observed = np.array(counts, dtype=float)
    if len(rows) > 1:
        yield observed
        return
    cells = [cell for cell in (rows[0].control, rows[0].treatment) if cell]
    options = [_sizes(record, arm, cell) for arm, cell in zip(ARMS, cells, strict=True)]
    for control in options[0]:
        for treatment in options[1]:
            yield np.vstack([observed, np.array([control, treatment]) - observed])


def _sizes(record: Record, arm: ArmId, cell: Cell) -> list[int]:
    """Return the denominators that a single row may have: the arm, or what its percentage says."""
    size = record.arm(arm).patients
    if size is None or cell.n is None:
        return []
    implied = denominators(cell.n, cell.percent, size)[-3:] if cell.percent else []
    return sorted({size, *implied})


def chi_square(table: Table) -> float:
    """Return Pearson's chi-square p-value of a contingency table, shape ``(rows, columns)``."""
    return _chi_square(table, 0.0)


def corrected_chi_square(table: Table) -> float:
    """Return the chi-square p-value of a 2 by 2 table with Yates' continuity correction."""
    return _chi_square(table, 0.5)


def _chi_square(table: Table, correction: float) -> float:
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    gaps = np.maximum(np.abs(table - expected) - correction, 0)
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return float(chdtrc(freedom, (gaps**2 / expected).sum()))


def fisher(table: Table) -> float:
    """Return the two-sided p-value of Fisher's exact test of a 2 by 2 table."""
    (a, b), (c, _) = table
    first, column, total = a + b, a + c, table.sum()
    possible = np.arange(max(0.0, first + column - total), min(first, column) + 1)
    logs = _log_choose(column, possible) + _log_choose(total - column, first - possible) - _log_choose(total, first)
    probabilities = np.exp(logs)
    return float(min(1.0, probabilities[probabilities <= probabilities[possible == a][0] * (1 + 1e-9)].sum()))


def _log_choose(n: float, k: Table | float) -> Table:
    return np.asarray(gammaln(n + 1) - gammaln(np.asarray(k) + 1) - gammaln(n - np.asarray(k) + 1))


def imbalance(record: Record) -> Iterator[Finding]:
    """13. Prognostic factors are as balanced as chance makes them; if not, where that pushes the hazard ratio.

    The check speaks up when the least p-value is below 5% among all prognostic factors (Bonferroni); it then names
    every factor below 10%.
    """
    found = [
        (item, *counted, _difference_p(*counted))
        for item in record.prognostic
        if item.use and (counted := _counted(record, item))
    ]
    notable = bool(found) and min(p for *_, p in found) * len(found) < SIGNIFICANCE
    for item, control, treatment, p in found:
        ratio = item.adjusted.estimate if item.adjusted else item.estimate
        assert ratio is not None  # _counted's condition
        shift = math.log(ratio.value) * (treatment.share - control.share)
        side = "towards benefit" if shift < 0 else "against benefit"
        text = (
            f"{treatment.share:.1%} against {control.share:.1%} (treatment, control), p = {p:.2g}; "
            f"with hazard ratio {ratio} it moves log HR by {shift:+.3f}, {side}"
        )
        verdict: Verdict = "note" if notable and p < NAMED else "ok"
        name = item.label or item.where.key
        yield Finding("baseline imbalance", verdict, name, "", shift, None, None, text, item.source)


def _counted(record: Record, item: Prognostic) -> tuple[Prevalence, Prevalence] | None:
    """Return how common the level is in control and treatment, where its patients are counted."""
    if follows_randomisation(record, item.where) or not (item.adjusted or item.estimate):
        return None
    return counted_prevalences(record, item.where)


def _difference_p(control: Prevalence, treatment: Prevalence) -> float:
    share = (control.share * control.known + treatment.share * treatment.known) / (control.known + treatment.known)
    error = math.sqrt(share * (1 - share) * (1 / control.known + 1 / treatment.known))
    return float(2 * ndtr(-abs(control.share - treatment.share) / error)) if error else 1.0
