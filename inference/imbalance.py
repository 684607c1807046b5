"""The overall effect adjusted for imbalance: derived from the draws of the crude one, and term by term.

The prior is about the treatment, so it belongs to the adjusted effect: `beta - shift ~ prior`. The prognostic
coefficients, and with them the shift, are drawn from what is printed about them, once for every draw of the crude
log hazard ratio; the pairs are then reweighted by the ratio of the prior's densities at the adjusted and the crude
effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from ..data.imbalance import Term
from ..data.prevalence import Prevalence
from ..models.imbalance import CORRELATIONS, FORMS, coefficients, estimate_label
from .fitting import Task, Values
from .options import Options
from .quantities import Quantity
from .tables import IMBALANCE

MODEL = "imbalance"  # what outputs call it
LIMITS = (0.025, 0.975)
STREAM = 1013  # of random numbers, apart from those that sampling and reweighting use
POINTS = 16  # two to this power: quasi-random numbers for the terms alone

Array = NDArray[np.float64]


def adjusting(task: Task, terms: Sequence[Term], options: Options) -> Task:
    """Return a task that reports the adjusted overall hazard ratio after its own quantities.

    Parameters
    ----------
    task
        With the crude log hazard ratio ``beta`` in its posterior.
    terms
        What to adjust for; none leaves the task as it is.
    options
        Seed.
    """
    if not terms:
        return task

    def shifts(posterior: xr.Dataset) -> dict[tuple[str, float], Array]:
        rng = np.random.default_rng([options.seed, int(posterior["imputation"]), STREAM])
        return drawn_shifts(terms, posterior["beta"].shape, rng)

    def quantities(posterior: xr.Dataset) -> Values:
        crude = posterior["beta"].to_numpy()
        found = shifts(posterior).items()
        return [
            *task.quantities(posterior),
            *((_quantity(*way, part), np.exp(crude - shift)) for part, (way, shift) in enumerate(found, start=1)),
        ]

    return replace(task, quantities=quantities, shifts=lambda posterior: list(shifts(posterior).values()))


def _quantity(form: str, correlation: float, part: int) -> Quantity:
    label = estimate_label(form, correlation)
    variant = form if correlation == CORRELATIONS[0] else f"{form}, correlation {correlation:g}"
    return Quantity("hazard_ratio", label, model=MODEL, variant=variant, part=part)


def drawn_shifts(
    terms: Sequence[Term], shape: tuple[int, ...], rng: np.random.Generator
) -> dict[tuple[str, float], Array]:
    """Return draws of what imbalance adds to the log hazard ratio, by form and correlation of the coefficients.

    Parameters
    ----------
    terms
        What to adjust for.
    shape
        Of the draws.
    rng
        Draws the coefficients and the prevalences that are not counted.
    """
    means = [term.log_hazard_ratio for term in terms]
    errors = [term.standard_error for term in terms]
    normals = rng.standard_normal((*shape, len(terms) + 1))
    control, treatment = (
        _shares([getattr(term, arm) for term in terms], rng.standard_normal((*shape, len(terms))))
        for arm in ("control", "treatment")
    )
    groups = exclusive_levels(terms)
    return {
        (form, correlation): shift(coefficients(means, errors, correlation, normals), control, treatment, groups)
        for correlation in CORRELATIONS
        for form, shift in FORMS.items()
    }


def exclusive_levels(terms: Sequence[Term]) -> list[list[int]]:
    """Return the indices of the terms in groups whose levels exclude each other.

    Parameters
    ----------
    terms
        What to adjust for.
    """
    groups: list[list[int]] = []
    for index, term in enumerate(terms):
        apart = [group for group in groups if not any(terms[k].subgroup.overlaps(term.subgroup) for k in group)]
        if apart:
            apart[0].append(index)
        else:
            groups.append([index])
    return groups


def _shares(arm: Sequence[Prevalence], normals: Array) -> Array:
    """Return draws of the shares, shape ``(..., K)``, from standard normal numbers of that shape."""
    shares = np.array([one.share for one in arm]) + np.array([one.error for one in arm]) * normals
    return np.clip(shares, 0.0, 1.0)


def imbalance_rows(terms: Sequence[Term], options: Options) -> pd.DataFrame:
    """Return by how much each term moves the log hazard ratio, one row per term and form.

    Parameters
    ----------
    terms
        What is adjusted for.
    options
        Seed.

    Returns
    -------
    DataFrame
        Prevalences as shares, the printed adjusted hazard ratio, and mean and 95% interval of the shift.
    """
    normals = ndtri(qmc.Sobol(3, rng=options.seed).random_base2(POINTS))
    rows = [_row(term, form, normals) for form in FORMS for term in terms]
    return pd.DataFrame(rows, columns=[name for name in IMBALANCE.columns if name != "trial"])


def _row(term: Term, form: str, normals: Array) -> dict[str, object]:
    control, treatment = (
        _shares([arm], normals[:, [place]]) for place, arm in enumerate((term.control, term.treatment))
    )
    coefficient = term.log_hazard_ratio + term.standard_error * normals[:, [2]]
    shifts = FORMS[form](coefficient, control, treatment, [[0]])
    lower, upper = np.quantile(shifts, LIMITS)
    return {
        "label": term.label,
        "subgroup": term.subgroup.key,
        "form": form,
        "control": term.control.share,
        "treatment": term.treatment.share,
        **dict(zip(("hazard_ratio", "lower", "upper"), term.hazard_ratio, strict=True)),
        "shift": float(shifts.mean()),
        "shift_lower": float(lower),
        "shift_upper": float(upper),
    }
