"""What a record prints about imbalance between the arms: prognostic factors, mutually adjusted, and how common."""

from __future__ import annotations

import math
from dataclasses import dataclass

from .outcomes import Adjusted, Prognostic, standard_error
from .prevalence import Prevalence, follows_randomisation, prevalences
from .record import Record
from .subgroup import Subgroup


@dataclass(frozen=True)
class Term:
    """One prognostic factor that the overall effect can be adjusted for.

    Parameters
    ----------
    label
        For people.
    subgroup
        The level whose hazard ratio against its complement is printed.
    log_hazard_ratio, standard_error
        Of the mutually adjusted model, arms pooled; the error from the printed interval at its stated level.
    hazard_ratio
        Adjusted hazard ratio with lower and upper limit, as printed.
    control, treatment
        How common the level is in each arm.
    """

    label: str
    subgroup: Subgroup
    log_hazard_ratio: float
    standard_error: float
    hazard_ratio: tuple[float, float, float]
    control: Prevalence
    treatment: Prevalence


def imbalance_terms(record: Record) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Return the terms of an adjustment for imbalance, and a note for each factor that is left out.

    Only mutually adjusted hazard ratios are used: unadjusted ones would count what factors share twice.

    Parameters
    ----------
    record
        The trial.

    Returns
    -------
    tuple
        Terms, in the order of the record, and notes.
    """
    terms: list[Term] = []
    notes: list[str] = []
    for item in record.prognostic:
        if item.use:
            term = _term(record, item)
            if isinstance(term, str):
                notes.append(f"adjustment for imbalance leaves out {_label(item)}: {term}")
            else:
                terms.append(term)
    return tuple(terms), tuple(notes)


def _label(item: Prognostic) -> str:
    return item.label or item.where.key


def _term(record: Record, item: Prognostic) -> Term | str:
    """Return a term, or why there is none."""
    if follows_randomisation(record, item.where):
        return "it follows randomisation"
    adjusted = item.adjusted
    if adjusted is None or not adjusted.use:
        return "no adjusted hazard ratio is printed"
    error = standard_error(adjusted.ci, adjusted.level)
    if adjusted.ci is None or not error:
        return "its adjusted hazard ratio has no interval"
    arms = prevalences(record, item.where)
    if arms is None:
        return "how common it is in each arm is not printed"
    return Term(_label(item), item.where, math.log(adjusted.estimate.value), error, _printed(adjusted), *arms)


def _printed(adjusted: Adjusted) -> tuple[float, float, float]:
    assert adjusted.ci is not None  # _term's condition
    return adjusted.estimate.value, adjusted.ci[0].value, adjusted.ci[1].value
