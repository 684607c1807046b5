"""Prior-data conflict: what the data make of the parts that a prior is a mixture of.

A mixture prior ``sum_k w[k] p[k]`` has the posterior weights

    w'[k] = E[w[k] p[k](beta) / sum_j w[j] p[j](beta)],

the expectation over the posterior under that prior. Where ``external``, half of ``robust``, keeps little weight, the
trial is unlike its sisters. Source: Schmidli et al. 2014, Biometrics 70:1023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import xarray as xr

from ..data import Record
from ..data.effect_sets import effect_sets
from ..models.priors import FROM_SISTERS, external_prior
from .fitting import Fit
from .options import Options
from .tables import CONFLICT


def overall_draws(record: Record, fit: Fit) -> xr.DataArray | None:
    """Return the draws of the overall log hazard ratio, dimensions ``(chain, draw, imputation)``.

    Parameters
    ----------
    record
        The trial.
    fit
        A posterior.

    Returns
    -------
    DataArray or None
        ``None`` where the fit has no such parameter.
    """
    posterior = fit.posterior
    if "beta" in posterior:
        return posterior["beta"]
    if fit.model == "effects":
        sets = effect_sets(record, fit.partition or None)
        whole = next((place for place, one in enumerate(sets) if not one.partition), None)
        return None if whole is None else posterior["mu"].isel(set=whole)
    return None


def conflict_rows(record: Record, fits: Sequence[Fit]) -> pd.DataFrame:
    """Return prior and posterior weight of each part of every mixture prior, one row each.

    Parameters
    ----------
    record
        The trial.
    fits
        Posteriors.
    """
    rows = []
    for fit in fits:
        draws = overall_draws(record, fit) if fit.prior.parts else None
        if draws is None:
            continue
        identity = {name: getattr(fit, name) for name in ("model", "shrinkage", "partition")}
        for part in dict.fromkeys(fit.prior.parts):
            weights = {
                "prior_weight": fit.prior.share(part),
                "posterior_weight": fit.prior.posterior_share(part, draws.to_numpy()),
            }
            rows.append(identity | {"prior": fit.prior.name, "component": part} | weights)
    return pd.DataFrame(rows, columns=[name for name in CONFLICT.columns if name != "trial"])


def external_facts(record: Record, fits: Sequence[Fit], options: Options) -> dict[str, Any]:
    """Return where the priors from sister trials come from, where any is used, as ``run.json`` tells it.

    Parameters
    ----------
    record
        The trial.
    fits
        Posteriors.
    options
        Scale of the prior on the SD between trials.
    """
    if not any(fit.prior.name in FROM_SISTERS for fit in fits):
        return {}
    found = external_prior(record, options.trial_tau_scale)
    return {
        "external": {
            "trials": {one.id: [one.log_hazard_ratio, one.standard_error] for one in found.trials},
            "tau_scale": found.tau_scale,
            "effective_events": found.events,
            "approximation_error": found.error,
        }
    }
