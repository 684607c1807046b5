"""The overall effect of a fit, everything else integrated out: what it takes, and sampling afresh where that fails.

Draws under the primary prior serve for most others; where k-hat exceeds 0.7, the compiled model is sampled afresh
under one of the priors that they do not serve, and those draws serve its neighbours too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from ..models.priors import Prior
from .fitting import MOST_K_HAT, Data, Result
from .marginal import Given, GivenRates, GivenSpread, Marginal, Posterior, marginal
from .options import Options
from .reweighting import Belief
from .sampling import Settings, sample

MOST_AFRESH = 8  # times that a model is sampled for priors that its draws do not serve
QUICK = Settings(tune=300, target_accept=0.95)  # with the effect integrated out, few draws suffice
QUICK_DRAWS, QUICK_CHAINS, QUICK_IMPUTATIONS = 600, 2, 3


@dataclass(frozen=True)
class Integrated:
    """The overall log hazard ratio under any prior.

    Parameters
    ----------
    marginals
        What the data say, from draws under the primary prior, then from draws under others.
    """

    marginals: tuple[Marginal, ...]

    def under(self, prior: Prior) -> Belief:
        """Return what is believed of it under a prior.

        Parameters
        ----------
        prior
            On the log hazard ratio.
        """
        first = self.marginals[0].k_hat(prior)
        best, k_hat = self.marginals[0], first
        if first > MOST_K_HAT:
            every = [one.k_hat(prior) for one in self.marginals]
            place = int(np.argmin(every))
            best, k_hat = self.marginals[place], every[place]
        return Belief(best.under(prior), k_hat, resampled=best is not self.marginals[0])

    def distribution(self, prior: Prior) -> Posterior:
        """Return the same without saying how far it can be relied on.

        Parameters
        ----------
        prior
            On the log hazard ratio.
        """
        usable = (one for one in self.marginals if one.k_hat(prior) <= MOST_K_HAT)
        return next(usable, self.marginals[0]).under(prior)


def integrated(result: Result, part: int, priors: Sequence[Prior], options: Options) -> Integrated:
    """Return the overall log hazard ratio of a fit, sampled afresh where its draws do not serve.

    Parameters
    ----------
    result
        Of a model of the whole trial, or of printed effects, under the primary prior.
    part
        Which of the model's independent parts is the whole trial.
    priors
        What it will be asked about.
    options
        Seed.
    """
    draws, data = result.fit.posterior, result.task.data
    given = [given_of(data(i), draws.isel(imputation=i), part) for i in range(draws.sizes["imputation"])]
    marginals = [marginal(given, result.fit.prior, priors)]
    wanting = _wanting(marginals[0], priors)
    while wanting and result.compiled is not None and len(marginals) <= MOST_AFRESH:
        hardest = max(wanting, key=marginals[0].k_hat)
        marginals.append(afresh(result, part, hardest, priors, options))
        wanting = [prior for prior in _wanting(marginals[-1], wanting) if prior is not hardest]
    return Integrated(tuple(marginals))


def _wanting(draws: Marginal, priors: Sequence[Prior]) -> list[Prior]:
    return [prior for prior in priors if draws.k_hat(prior) > MOST_K_HAT]


def afresh(
    result: Result,
    part: int,
    prior: Prior,
    priors: Sequence[Prior],
    options: Options,
    data: Sequence[Data] | None = None,
) -> Marginal:
    """Sample a compiled model once more, under another prior or with other data.

    Parameters
    ----------
    result, part, priors, options
        See `integrated`.
    prior
        To sample under.
    data
        Model data by imputation; the first of the fit's own by default.
    """
    few = [result.task.data(i) for i in range(min(QUICK_IMPUTATIONS, len(result.rerun)))]
    tables = few if data is None else data
    given = [given_of(one, _sampled(result, one, prior, options, i), part) for i, one in enumerate(tables)]
    return marginal(given, prior, priors)


def _sampled(result: Result, data: Data, prior: Prior, options: Options, imputation: int) -> xr.Dataset:
    """Return a few draws; as many as usual, and more carefully, where those diverge."""
    changed = {**data, "prior": prior.padded()}
    quick = replace(options, draws=QUICK_DRAWS, chains=QUICK_CHAINS)
    posterior, stats = sample(result.compiled, changed, quick, imputation, QUICK)
    if bool(stats["diverging"].any()):
        posterior, _ = sample(result.compiled, changed, options, imputation, result.task.settings)
    return posterior


def given_of(data: Data, posterior: xr.Dataset, part: int = 0) -> Given:
    """Return the likelihood of the overall log hazard ratio given every draw of everything else.

    Parameters
    ----------
    data
        Model data of an imputation, from `piecewise_data` or `effects_data`.
    posterior
        Its draws, dimensions ``(chain, draw, ...)``.
    part
        For printed effects: which set.
    """
    if "rows" in data:
        y, error, _ = data["rows"][:, part]
        variance = error**2 + posterior["tau"].isel(set=part).to_numpy().reshape(-1, 1) ** 2
        precision = (1 / variance).sum(axis=1)
        return GivenSpread((y / variance).sum(axis=1) / precision, 1 / precision)
    deaths, exposure = data["table"][1], data["table"][3]
    rates = posterior["alpha"] + posterior["omega"] if "omega" in posterior else posterior["alpha"]
    expected = np.exp(rates.transpose("chain", "draw", "interval").to_numpy()) @ exposure
    return GivenRates(float(deaths.sum()), expected.ravel())
