"""The options that every analysis shares, and the one place that says which values make sense.

Messages call an option by its name on the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ..data.errors import InputError, Problem
from ..models.evidence import TRIAL_TAU_SCALE

COUNTS = {  # least and most
    "draws": (10, 1_000_000),  # fewer give neither quantiles nor diagnostics
    "chains": (1, 1000),
    "seed": (0, 2**32 - 1),
    "imputations": (1, 10_000),
}


@dataclass(frozen=True)
class Options:
    """How an analysis is run.

    Parameters
    ----------
    draws, chains
        Posterior draws per chain, and chains, for each imputation.
    seed
        Seed of everything random: the same seed gives the same numbers.
    imputations
        How many reconstructed tables to begin with; grown until they add little Monte Carlo error.
    intervals
        Bounds of the model's intervals, from 0, in the trial's unit; by default six months up to the last death, or
        ten with as many deaths each where that is earlier than two years.
    landmarks
        Times to report at; the record's by default.
    benefit_threshold, harm_threshold
        Hazard ratios below and above which an effect is called meaningful and harmful.
    design_hazard_ratio
        Design hazard ratio for the priors that need one, instead of the record's.
    tau_scale
        Scale of the half-normal prior on the SD between subgroups.
    trial_tau_scale
        Scale of the half-normal prior on the SD between sister trials.
    horizon
        Where the reconstruction's time grid ends.

    Raises
    ------
    InputError
        A `ValueError` that names every option whose value makes no sense, the value, and what is allowed.
    """

    draws: int = 1000
    chains: int = 4
    seed: int = 1
    imputations: int = 20
    intervals: tuple[float, ...] = ()
    landmarks: tuple[float, ...] = ()
    benefit_threshold: float = 0.80
    harm_threshold: float = 1.25
    design_hazard_ratio: float | None = None
    tau_scale: float = 0.25
    trial_tau_scale: float = TRIAL_TAU_SCALE
    horizon: float | None = None

    def __post_init__(self) -> None:
        problems = [
            *self._count_problems(),
            *self._interval_problems(),
            *self._landmark_problems(),
            *self._ratio_problems(),
            *self._scale_problems(),
        ]
        if problems:
            raise InputError(problems)

    def _count_problems(self) -> Iterator[Problem]:
        for name, (least, most) in COUNTS.items():
            value = getattr(self, name)
            if not least <= value <= most or value != int(value):
                yield Problem(f"--{name}", "", str(value), f"must be a whole number from {least} to {most}")

    def _interval_problems(self) -> Iterator[Problem]:
        bounds = self.intervals
        if not all(map(math.isfinite, bounds)):
            yield Problem("--intervals", "", _listed(bounds), "must be finite numbers")
            return
        if bounds and bounds[0] != 0:
            yield Problem("--intervals", "", _listed(bounds), "must begin at 0")
        if len(bounds) == 1:
            yield Problem("--intervals", "", _listed(bounds), "must have at least two bounds")
        yield from _order_problems("--intervals", bounds)

    def _landmark_problems(self) -> Iterator[Problem]:
        times, end = self.landmarks, max(self.intervals, default=math.inf)
        if not all(map(math.isfinite, times)):
            yield Problem("--landmarks", "", _listed(times), "must be finite numbers")
            return
        if any(time <= 0 for time in times):
            yield Problem("--landmarks", "", _listed(times), "must be above 0")
        yield from _order_problems("--landmarks", times)
        if any(time > end for time in times):
            allowed = f"must not lie beyond the last interval, which ends at {end:g}"
            yield Problem("--landmarks", "", _listed(times), allowed)

    def _ratio_problems(self) -> Iterator[Problem]:
        if not 0 < self.benefit_threshold < 1:
            yield Problem("--benefit-threshold", "", f"{self.benefit_threshold:g}", "must be above 0 and below 1")
        if not 1 < self.harm_threshold < math.inf:
            yield Problem("--harm-threshold", "", f"{self.harm_threshold:g}", "must be finite and above 1")
        if self.design_hazard_ratio is not None and not 0 < self.design_hazard_ratio < 1:
            yield Problem("--design-hr", "", f"{self.design_hazard_ratio:g}", "must be above 0 and below 1")

    def _scale_problems(self) -> Iterator[Problem]:
        scales = (
            ("--tau-scale", self.tau_scale),
            ("--tau-scale", self.trial_tau_scale),
            ("horizon", self.horizon),
        )
        for name, value in scales:
            if value is not None and not 0 < value < math.inf:
                yield Problem(name, "", f"{value:g}", "must be finite and above 0")


def _order_problems(name: str, values: tuple[float, ...]) -> Iterator[Problem]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        yield Problem(name, "", _listed(values), "must increase")


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
