"""Where a conclusion tips: how sceptical one must be, or how biased the trial, before a benefit is no longer shown.

For a log hazard ratio with estimate ``y`` and standard error ``s`` (normal likelihood), the closed forms are

    sceptical SD    z s^2 / sqrt(log L log U)                      Normal(0, SD) lets the 95% interval just reach 1
    prior mean      -v^2 (y / s^2 + c sqrt(1 / s^2 + 1 / v^2))     Normal(mean, v) makes P(benefit) just 0.95
    bias            -(y + c s)  and  -log U                        P(benefit) just 0.95, the interval just reaches 1

with ``(L, U)`` the 95% interval, ``z`` and ``c`` the 97.5th and 95th normal percentile. The first is Matthews'
analysis of credibility, where the sceptic's own 95% interval ends at the sceptical limit,

    exp(-(log U - log L)^2 / (4 sqrt(log L log U))).

The models' tipping points are roots of what is believed under each prior; where the effect is harmful, all is turned
about.

Sources: Matthews 2001, J Stat Plan Inference 94:43; Matthews 2018, R Soc Open Sci 5:171047; Held 2019, R Soc Open Sci
6:181534.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import ndtri

from ..models.priors import Prior
from .fitting import MOST_K_HAT
from .reweighting import LIMITS, Belief, Believable

SURE = 0.95  # the probability of benefit that is to be had
Z, C = float(ndtri(LIMITS[1])), float(ndtri(SURE))
LARGEST_SD, STEP, STEPS = 5.0, 0.4, 15  # sceptics are looked for down to an SD of 0.018, in steps of its logarithm
FARTHEST_MEAN = 16.0  # prior SDs within which a mean is looked for
PRECISION = 1e-4
UNRELIABLE = f"k-hat above {MOST_K_HAT:g}: not to be relied on"


@dataclass(frozen=True)
class Tipping:
    """A tipping point.

    Parameters
    ----------
    varied
        ``sceptical sd``, ``prior mean`` or ``bias``.
    criterion
        What happens there.
    value
        The SD, the mean or the bias; NaN where there is none.
    hazard_ratio
        The same as a hazard ratio: the limit of the sceptic's 95% interval, or the exponential of mean or bias.
    prior_sd
        SD of the prior there; NaN for a bias.
    closed_form
        From the printed interval; NaN where nothing is printed or the prior is on another effect.
    k_hat, resampled
        Of what is believed there; see `Belief`.
    note
        Why there is none, or why it cannot be relied on.
    """

    varied: str
    criterion: str
    value: float
    hazard_ratio: float
    prior_sd: float = math.nan
    closed_form: float = math.nan
    k_hat: float = 0.0
    resampled: bool = False
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """A printed 95% interval of a hazard ratio, and the normal likelihood that it stands for.

    Parameters
    ----------
    lower, upper
        Limits of the hazard ratio.
    """

    lower: float
    upper: float

    @property
    def estimate(self) -> float:
        """The log hazard ratio in the middle."""
        return (math.log(self.lower) + math.log(self.upper)) / 2

    @property
    def error(self) -> float:
        """Its standard error."""
        return (math.log(self.upper) - math.log(self.lower)) / (2 * Z)

    @property
    def sceptical_sd(self) -> float:
        """SD of the sceptic whose 95% interval just reaches 1; NaN where the printed one does."""
        product = math.log(self.lower) * math.log(self.upper)
        return Z * self.error**2 / math.sqrt(product) if product > 0 else math.nan

    def prior_mean(self, sd: float) -> float:
        """Return the mean of a normal prior under which P(benefit) is 0.95.

        Parameters
        ----------
        sd
            SD of the prior.
        """
        precision = 1 / self.error**2 + 1 / sd**2
        return -(sd**2) * (self.estimate / self.error**2 + C * math.sqrt(precision))

    @property
    def bias(self) -> float:
        """The bias of the log hazard ratio beyond which P(benefit) is below 0.95."""
        return -(self.estimate + C * self.error)


def sceptical_sd(effect: Believable, primary: Prior, interval: Interval | None = None) -> Tipping:
    """Return the SD of Normal(0, SD) at which the 95% interval just reaches 1.

    Parameters
    ----------
    effect
        The effect.
    primary
        The prior that is not sceptical.
    interval
        What is printed about the effect that the prior is on.
    """
    criterion = "95% interval reaches 1"
    closed = math.nan if interval is None else interval.sceptical_sd
    usual = effect.distribution(primary)
    sign = 1 if usual.quantile(0.5) <= 0 else -1
    tail = LIMITS[1] if sign > 0 else LIMITS[0]

    def beyond(log_sd: float) -> float:
        return sign * effect.distribution(_normal(0.0, math.exp(log_sd))).quantile(tail)

    def none(note: str) -> Tipping:
        return Tipping("sceptical sd", criterion, math.nan, math.nan, math.nan, closed, note=note)

    if sign * usual.quantile(tail) >= 0:
        return none(f"reaches 1 under {primary.name} already")
    steps = [math.log(LARGEST_SD) - STEP * place for place in range(STEPS)]
    place = next((place for place, log_sd in enumerate(steps) if beyond(log_sd) >= 0), None)
    if place == 0:
        return none(f"reaches 1 under Normal(0, {LARGEST_SD:g}) already")
    if place is None:
        told = effect.under(_normal(0.0, math.exp(steps[-1]))).k_hat <= MOST_K_HAT
        return none(f"reaches 1 under no such prior{'' if told else ' that the draws can tell of'}")
    sd = math.exp(_root(beyond, steps[place], steps[place - 1]))
    belief = effect.under(_normal(0.0, sd))
    limit = math.exp(-sign * Z * sd)
    return Tipping("sceptical sd", criterion, sd, limit, sd, closed, *_reliance(belief))


def prior_mean(effect: Believable, sd: float, interval: Interval | None = None) -> Tipping:
    """Return the mean of Normal(mean, SD) at which P(benefit) is 0.95.

    It is negative where the prior must favour treatment for as much.

    Parameters
    ----------
    effect
        The effect.
    sd
        SD of the prior.
    interval
        What is printed about the effect that the prior is on.
    """
    criterion = f"P(benefit) is {SURE:g}"
    closed = math.nan if interval is None else interval.prior_mean(sd)

    def surplus(mean: float) -> float:
        return effect.distribution(_normal(mean, sd)).below(0.0) - SURE

    low, high = _bracket(surplus, sd)
    if math.isnan(low):
        note = f"no mean within {FARTHEST_MEAN:g} SDs"
        return Tipping("prior mean", criterion, math.nan, math.nan, sd, closed, note=note)
    mean = _root(surplus, low, high)
    belief = effect.under(_normal(mean, sd))
    return Tipping("prior mean", criterion, mean, math.exp(mean), sd, closed, *_reliance(belief))


def biases(effect: Believable, primary: Prior, interval: Interval | None = None) -> list[Tipping]:
    """Return the biases of the log hazard ratio at which P(benefit) is 0.95, and the 95% interval reaches 1.

    A bias of b says that the trial's log hazard ratio is b too small: that treatment looks better than it is. It is
    negative where the trial had to be biased against treatment for as much.

    Parameters
    ----------
    effect
        The effect.
    primary
        Prior under which.
    interval
        What is printed about it.
    """
    belief = effect.under(primary)
    upper = math.nan if interval is None else math.log(interval.upper)
    found = [
        (f"P(benefit) is {SURE:g}", SURE, math.nan if interval is None else interval.bias),
        ("95% interval reaches 1", LIMITS[1], -upper),
    ]
    return [
        Tipping(
            "bias",
            criterion,
            value := -belief.distribution.quantile(probability),
            math.exp(value),
            closed_form=closed,
            k_hat=belief.k_hat,
            resampled=belief.resampled,
        )
        for criterion, probability, closed in found
    ]


def _reliance(belief: Belief) -> tuple[float, bool, str]:
    return belief.k_hat, belief.resampled, UNRELIABLE if belief.k_hat > MOST_K_HAT else ""


def _normal(mean: float, sd: float) -> Prior:
    return Prior(f"{mean:g},{sd:g}", (mean,), (sd,))


def _bracket(surplus: Callable[[float], float], sd: float) -> tuple[float, float]:
    """Return means between which the surplus changes its sign, nearest to 0; NaN where there are none."""
    start = surplus(0.0)
    before, step = 0.0, math.copysign(sd, start)
    while abs(before) < FARTHEST_MEAN * sd:
        after = before + step
        if surplus(after) * start <= 0:
            return before, after
        before, step = after, step * 1.5
    return math.nan, math.nan


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(function, low, high, xtol=PRECISION))
