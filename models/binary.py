"""Binomial model of secondary endpoints that are proportions.

Endpoint e, arm a in {0, 1}, events y among n patients:

    y[e,a] ~ Binomial(n[e,a], p[e,a]),    logit p[e,a] = mu[e] + a theta[e]

``theta``, the log odds ratio, has the named prior; ``mu`` is Normal(0, 2.5), which leaves risks from 1% to 99% open.
Endpoints are independent of each other. Source: Gelman et al. 2008, Ann Appl Stat 2:1360 (weakly informative priors
for logistic models).
"""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import ArrayLike

from ..data import ARMS
from .piecewise import overall_prior
from .priors import Prior

RISK_SD = 2.5  # of the control arm's log odds


def binary(events: ArrayLike, patients: ArrayLike, prior: Prior) -> pm.Model:
    """Return the model of some binary endpoints.

    Parameters
    ----------
    events, patients
        Shape ``(endpoint, arm)``, control first.
    prior
        Prior on each log odds ratio.
    """
    counts = np.stack([np.asarray(events, dtype=float), np.asarray(patients, dtype=float)])
    with pm.Model(coords={"endpoint": np.arange(counts.shape[1]), "arm": list(ARMS)}) as model:
        data = pm.Data("counts", counts)
        control = RISK_SD * pm.Normal("control_deviation", dims="endpoint")
        log_odds_ratio = overall_prior(prior, "log_odds_ratio", dims="endpoint")
        log_odds = pt.stack([control, control + log_odds_ratio], axis=1)
        pm.Deterministic("log_odds", log_odds.T, dims=("arm", "endpoint"))
        pm.Potential("likelihood", (data[0] * log_odds - data[1] * pt.softplus(log_odds)).sum())
    return model
