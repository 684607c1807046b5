"""The audit: whether the numbers of a survival paper can be right.

Each check prints its arithmetic and a verdict: ``ok``, ``note``, ``inconsistent`` or ``impossible``. Rounding is
honoured: a verdict is never worse than the most favourable unrounded values allow, and a slip of one unit in the last
printed digit is a ``note``. Only arithmetic identities can be ``inconsistent`` or ``impossible``; checks that rest on
sampling allow for sampling error and are at most a ``note``.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..record import Record
from .baseline import imbalance, recomputed_p
from .counts import counts
from .design import sample_size
from .entered import entered
from .finding import COLUMNS, VERDICTS, Check, Finding, Verdict, findings_frame
from .hazard_ratios import combined_subgroups, level, nesting, p_value, precision, symmetry, width
from .landmarks import direction, landmark_hazard_ratio, landmark_interval, rate_ratio
from .twice import printed_twice

CHECKS: tuple[Check, ...] = (
    symmetry,
    p_value,
    precision,
    level,
    direction,
    rate_ratio,
    landmark_interval,
    landmark_hazard_ratio,
    printed_twice,
    counts,
    recomputed_p,
    nesting,
    imbalance,
    sample_size,
    combined_subgroups,
    width,
    entered,
)
ABOUT_HEADLINE = ("direction", "interval symmetry", "precision against deaths", "p-value")

__all__ = [
    "CHECKS",
    "COLUMNS",
    "VERDICTS",
    "Check",
    "Finding",
    "Verdict",
    "about_headline",
    "audit",
    "findings_frame",
]


def audit(record: Record) -> list[Finding]:
    """Audit a trial's published numbers.

    Parameters
    ----------
    record
        The trial.

    Returns
    -------
    list of Finding
        All findings, in the order of the checks.
    """
    return [finding for check in CHECKS for finding in check(record)]


def about_headline(record: Record, findings: Iterable[Finding]) -> list[str]:
    """Return what an audit finds against the overall hazard ratio, to be said beside every result.

    Parameters
    ----------
    record
        The trial.
    findings
        From `audit`.
    """
    row = record.overall_hazard_ratio
    if row is None:
        return []
    names = {f"hazard ratio {row.label or row.where.key}", "hazard ratio overall"}
    against: dict[str, str] = {}
    for finding in findings:
        wrong = finding.verdict in ("inconsistent", "impossible")
        if finding.item in names and (wrong or (finding.check == "direction" and finding.verdict == "note")):
            against.setdefault(finding.check, f"audit, {finding.check} ({finding.verdict}): {finding.arithmetic}")
    return [against[check] for check in ABOUT_HEADLINE if check in against]
