"""Named priors on the overall log hazard ratio, all mixtures of up to six normals.

Every prior is the same node in every model: a normal mixture whose weights, means and SDs are data, so that no prior
needs a graph of its own. With ``d`` the log of the design hazard ratio and ``s`` such that P(HR < design HR) = 0.05
under Normal(0, s):

============  ========================================
weak          Normal(0, 1)
vague         Normal(0, 10)
external      what the sister trials predict
robust        half `external`, half `weak`
sceptical     Normal(0, s)
enthusiastic  Normal(d, s)
pessimistic   Normal(-d, s)
MEAN,SD       any normal, on the log scale
============  ========================================

`external` is the meta-analytic-predictive distribution of a new trial, its exact form (`evidence`) approximated by
five normals; `robust` leaves room for a trial that is unlike its sisters (Schmidli et al. 2014, Biometrics 70:1023).

Source: Spiegelhalter, Freedman and Parmar 1994, J R Stat Soc A 157:357.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr, ndtri

from ..data import Record
from ..data.errors import input_error
from ..data.evidence import Study, sister_trials, why_alone
from .evidence import TRIAL_TAU_SCALE, Approximation, approximated, effective_events, pool

COMPONENTS = 6
PRIMARY = "weak"
FROM_SISTERS = ("external", "robust")
FROM_DESIGN = ("sceptical", "enthusiastic", "pessimistic")
NAMED = ("weak", "vague", *FROM_SISTERS, *FROM_DESIGN)
EXTERNAL_COMPONENTS = 5
WEAK_SD = 1.0
EXTERNAL_SHARE = 0.5  # of `robust`
TAIL = 0.05  # the sceptic's probability of an effect as large as the trial was designed for


@dataclass(frozen=True)
class Prior:
    """A prior on a log hazard ratio: a mixture of up to six normals.

    Parameters
    ----------
    name
        What outputs call it.
    means, sds, weights
        One of each per component.
    parts
        What each component belongs to, where a prior is a mixture of other priors.
    """

    name: str
    means: tuple[float, ...]
    sds: tuple[float, ...]
    weights: tuple[float, ...] = (1.0,)
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {len(self.means), len(self.sds), len(self.weights)}
        if len(lengths) > 1 or not 1 <= len(self.means) <= COMPONENTS:
            raise ValueError(f"prior {self.name}: one to {COMPONENTS} means, SDs and weights, equally many")
        if not all(math.isfinite(number) for number in (*self.means, *self.sds)) or min(self.sds) <= 0:
            raise ValueError(f"prior {self.name}: means must be finite and SDs finite and above 0")
        if min(self.weights) < 0 or not math.isclose(sum(self.weights), 1):
            raise ValueError(f"prior {self.name}: weights must not be negative and add up to 1")
        if self.parts and len(self.parts) != len(self.means):
            raise ValueError(f"prior {self.name}: one part per component")

    def __str__(self) -> str:
        parts = [f"Normal({mean:.3g}, {sd:.3g})" for mean, sd in zip(self.means, self.sds, strict=True)]
        if len(parts) == 1:
            return parts[0]
        return " + ".join(f"{weight:.2g} {part}" for weight, part in zip(self.weights, parts, strict=True))

    @property
    def summary(self) -> str:
        """The prior in a few words: `str` gives every component."""
        if len(self.means) == 1:
            return str(self)
        if self.parts:
            shares = {part: self.share(part) for part in dict.fromkeys(self.parts)}
            return " + ".join(f"{share:.2g} {part}" for part, share in shares.items())
        return f"mixture with mean {self.mean:.2g}, SD {self.sd:.2g}"

    @property
    def mean(self) -> float:
        """Mean of the log hazard ratio."""
        return float(np.array(self.weights) @ np.array(self.means))

    @property
    def sd(self) -> float:
        """SD of the log hazard ratio."""
        squares = np.array(self.sds) ** 2 + (np.array(self.means) - self.mean) ** 2
        return math.sqrt(np.array(self.weights) @ squares)

    def share(self, part: str) -> float:
        """Return the prior weight of a part."""
        return sum(weight for weight, own in zip(self.weights, self.parts, strict=True) if own == part)

    def posterior_share(self, part: str, log_hazard_ratio: ArrayLike) -> float:
        """Return the posterior weight of a part: the mean over posterior draws of its share of the density there.

        Parameters
        ----------
        part
            One of ``parts``.
        log_hazard_ratio
            Draws from the posterior under this prior, any shape.
        """
        draws = np.asarray(log_hazard_ratio).ravel()
        own = np.array(self.parts) == part
        parts = self._log_densities(draws)
        return float(np.exp(logsumexp(parts[:, own], axis=-1) - logsumexp(parts, axis=-1)).mean())

    def padded(self) -> NDArray[np.float64]:
        """Return weights, means and SDs as model data, shape ``(3, 6)``, filled up with components of no weight."""
        missing = COMPONENTS - len(self.means)
        return np.array(
            [
                [*self.weights, *[0.0] * missing],
                [*self.means, *[self.means[0]] * missing],
                [*self.sds, *[self.sds[0]] * missing],
            ]
        )

    def log_density(self, log_hazard_ratio: ArrayLike) -> NDArray[np.float64]:
        """Return the log density at some log hazard ratios, same shape."""
        return np.asarray(logsumexp(self._log_densities(log_hazard_ratio), axis=-1))

    def _log_densities(self, log_hazard_ratio: ArrayLike) -> NDArray[np.float64]:
        """Return each component's log weight and log density together, shape ``(..., components)``."""
        z = (np.asarray(log_hazard_ratio)[..., None] - np.array(self.means)) / np.array(self.sds)
        with np.errstate(divide="ignore"):  # a component without weight
            weights = np.log(self.weights)
        return np.asarray(weights - 0.5 * z**2 - np.log(self.sds) - 0.5 * math.log(2 * math.pi))

    def probability_below(self, log_hazard_ratio: float) -> float:
        """Return the prior probability of a smaller log hazard ratio."""
        z = (log_hazard_ratio - np.array(self.means)) / np.array(self.sds)
        return float(np.array(self.weights) @ ndtr(z))


def named_prior(
    name: str,
    record: Record,
    design_hazard_ratio: float | None = None,
    trial_tau_scale: float = TRIAL_TAU_SCALE,
) -> Prior:
    """Return a prior by its name.

    Parameters
    ----------
    name
        ``weak``, ``vague``, ``external``, ``robust``, ``sceptical``, ``enthusiastic``, ``pessimistic``, or
        ``MEAN,SD`` on the log scale.
    record
        The trial, whose sister trials and design the priors after the first two come from.
    design_hazard_ratio
        Design hazard ratio to use instead of the record's.
    trial_tau_scale
        Scale of the half-normal prior on the SD of log hazard ratios between trials.

    Raises
    ------
    InputError
        For an unknown name, numbers that are no prior, or a prior that needs a design or sister trials that are not
        known.
    """
    if name in ("weak", "vague"):
        return Prior(name, (0.0,), (WEAK_SD if name == "weak" else 10.0,))
    if name in FROM_SISTERS:
        external = external_prior(record, trial_tau_scale).prior
        return external if name == "external" else robust_prior(external)
    if name in FROM_DESIGN:
        return _from_design(name, record, design_hazard_ratio)
    try:
        mean, sd = map(float, name.split(","))
        return Prior(name, (mean,), (sd,))
    except ValueError:
        allowed = f"not a prior; give one of {', '.join(NAMED)}, or MEAN,SD with a finite mean and an SD above 0"
        raise input_error("--prior", "", name, allowed) from None


def available_priors(record: Record, design_hazard_ratio: float | None = None) -> tuple[str, ...]:
    """Return the names of the priors that a record supports."""
    sisters = FROM_SISTERS if sister_trials(record) else ()
    return ("weak", "vague", *sisters, *(FROM_DESIGN if _design(record, design_hazard_ratio) else ()))


@dataclass(frozen=True)
class External:
    """What the sister trials of a trial say about it.

    Parameters
    ----------
    prior
        The prior.
    trials
        Where it comes from.
    tau_scale
        Scale of the half-normal prior on the SD between trials.
    error
        Largest difference between its distribution function and the exact one.
    events
        Its effective sample size in deaths.
    """

    prior: Prior
    trials: tuple[Study, ...]
    tau_scale: float
    error: float
    events: float


def external_prior(record: Record, tau_scale: float = TRIAL_TAU_SCALE) -> External:
    """Return the meta-analytic-predictive prior of a trial, from its sister trials.

    Parameters
    ----------
    record
        The trial, which never informs its own prior.
    tau_scale
        Scale of the half-normal prior on the SD between trials.

    Raises
    ------
    InputError
        When it has no sister trials.
    """
    trials = sister_trials(record)
    if not trials:
        raise input_error(
            "--prior", "", ", ".join(FROM_SISTERS), f"must come from sister trials; {why_alone(record)}"
        )
    found = _predicted(tuple((one.log_hazard_ratio, one.standard_error) for one in trials), tau_scale)
    mixture = found.mixture
    means, sds, weights = (tuple(map(float, one)) for one in (mixture.means, mixture.sds, mixture.weights))
    prior = Prior("external", means, sds, weights)
    return External(prior, trials, tau_scale, found.error, effective_events(mixture))


@cache
def _predicted(trials: tuple[tuple[float, float], ...], tau_scale: float) -> Approximation:
    estimates, errors = zip(*trials, strict=True)
    return approximated(pool(estimates, errors, tau_scale=tau_scale).predicted, EXTERNAL_COMPONENTS)


def robust_prior(external: Prior, weak_sd: float = WEAK_SD) -> Prior:
    """Return the equal mixture of a prior from sister trials and a weak one.

    Parameters
    ----------
    external
        From `external_prior`, at most five components.
    weak_sd
        SD of the weak part.
    """
    shares = (*(EXTERNAL_SHARE * weight for weight in external.weights), 1 - EXTERNAL_SHARE)
    parts = (*["external"] * len(external.means), "weak")
    return Prior("robust", (*external.means, 0.0), (*external.sds, weak_sd), shares, parts)


def _design(record: Record, given: float | None) -> float | None:
    return given or (record.design.hazard_ratio if record.design and record.design.use else None)


def _from_design(name: str, record: Record, given: float | None) -> Prior:
    ratio = _design(record, given)
    if ratio is None or not 0 < ratio < 1:
        allowed = "needs a design hazard ratio below 1, which the record does not print; give --design-hr"
        raise input_error("--prior", "", name, allowed)
    target = math.log(ratio)
    sd = float(target / ndtri(TAIL))
    return Prior(name, ({"sceptical": 0.0, "enthusiastic": target, "pessimistic": -target}[name],), (sd,))
