"""The overall effect adjusted for imbalance: derived from the draws of the crude one, and term by term.

The prognostic coefficients are drawn from what is printed about them, once for every draw of the crude log hazard
ratio, so that whatever reweights those draws for another prior reweights the adjusted effect with them.
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
from ..models.imbalance import CORRELATIONS, FORMS, adjusted, coefficients, estimate_label
from . import columns
from .fitting import Task, Values
from .options import Options
from .quantities import Quantity

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

    def quantities(posterior: xr.Dataset) -> Values:
        rng = np.random.default_rng([options.seed, int(posterior["imputation"]), STREAM])
        return [*task.quantities(posterior), *adjusted_values(terms, posterior["beta"].to_numpy(), rng)]

    return replace(task, quantities=quantities)


def adjusted_values(terms: Sequence[Term], log_hazard_ratio: Array, rng: np.random.Generator) -> Values:
    """Return the adjusted overall hazard ratio in both forms, for each correlation of the coefficients.

    Parameters
    ----------
    terms
        What to adjust for.
    log_hazard_ratio
        Draws of the crude one, shape ``(chain, draw)``.
    rng
        Draws the coefficients and the prevalences that are not counted.
    """
    shape = log_hazard_ratio.shape
    means = [term.log_hazard_ratio for term in terms]
    errors = [term.standard_error for term in terms]
    normals = rng.standard_normal((*shape, len(terms) + 1))
    control, treatment = (
        _shares([getattr(term, arm) for term in terms], rng.standard_normal((*shape, len(terms))))
        for arm in ("control", "treatment")
    )
    values: Values = []
    for correlation in CORRELATIONS:
        drawn = coefficients(means, errors, correlation, normals)
        for form, shift in FORMS.items():
            label = estimate_label(form, correlation)
            variant = form if correlation == CORRELATIONS[0] else f"{form}, correlation {correlation:g}"
            quantity = Quantity("hazard_ratio", label, model=MODEL, variant=variant)
            values.append((quantity, np.exp(adjusted(log_hazard_ratio, shift(drawn, control, treatment)))))
    return values


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
    return pd.DataFrame(rows, columns=[name for name in columns.IMBALANCE if name != "trial"])


def _row(term: Term, form: str, normals: Array) -> dict[str, object]:
    control, treatment = (
        _shares([arm], normals[:, [place]]) for place, arm in enumerate((term.control, term.treatment))
    )
    coefficient = term.log_hazard_ratio + term.standard_error * normals[:, [2]]
    shifts = FORMS[form](coefficient, control, treatment)
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
