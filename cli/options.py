"""Options that several commands share, and the one place where their values are checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from cyclopts import Parameter

from ..data import InputError, Problem
from ..inference import Options

MOST = 1_000_000
SEEDS = 2**32
LEAST_DRAWS = 10  # fewer give neither quantiles nor diagnostics


@Parameter(name="*")
@dataclass(frozen=True)
class Shared:
    """Options of the commands that fit models.

    Parameters
    ----------
    draws
        Posterior draws per chain, for each imputation.
    chains
        Chains, for each imputation.
    seed
        Seed of everything random: the same seed gives the same numbers.
    imputations
        Reconstructed data sets to begin with; more are made where they differ much.
    intervals
        Bounds of the model's intervals, from 0, separated by commas. Default: every six months up to the last
        death.
    landmarks
        Times to report survival at, separated by commas. Default: the record's.
    benefit_threshold
        Hazard ratio below which a benefit is called meaningful.
    harm_threshold
        Hazard ratio above which there is harm.
    design_hr
        Hazard ratio that the trial was designed to detect, for the sceptical, enthusiastic and pessimistic
        priors. Default: from the record's design.
    quiet
        Print no progress and no notes to stderr.
    """

    draws: int = 1000
    chains: int = 4
    seed: int = 1
    imputations: int = 20
    intervals: str | None = None
    landmarks: str | None = None
    benefit_threshold: float = 0.80
    harm_threshold: float = 1.25
    design_hr: float | None = None
    quiet: Annotated[bool, Parameter(negative=())] = False


def checked_options(shared: Shared, tau_scale: float = Options.tau_scale) -> Options:
    """Return options as the library takes them.

    Parameters
    ----------
    shared
        As given on the command line.
    tau_scale
        Scale of the prior on the SD between subgroups.

    Raises
    ------
    InputError
        Names every option with a value that makes no sense, the value, and what is allowed.
    """
    intervals, unread_intervals = _numbers("--intervals", shared.intervals)
    landmarks, unread_landmarks = _numbers("--landmarks", shared.landmarks)
    problems = [
        *_counts(shared),
        *unread_intervals,
        *_interval_problems(intervals),
        *unread_landmarks,
        *_landmark_problems(landmarks, intervals),
        *_ratio_problems(shared, tau_scale),
    ]
    if problems:
        raise InputError(problems)
    return Options(
        draws=shared.draws,
        chains=shared.chains,
        seed=shared.seed,
        imputations=shared.imputations,
        intervals=intervals,
        landmarks=landmarks,
        benefit_threshold=shared.benefit_threshold,
        harm_threshold=shared.harm_threshold,
        design_hazard_ratio=shared.design_hr,
        tau_scale=tau_scale,
    )


def count_problems(name: str, value: int, least: int, most: int = MOST) -> Iterator[Problem]:
    """Yield what is wrong with a whole number.

    Parameters
    ----------
    name
        The option.
    value
        As given.
    least, most
        What is allowed.
    """
    if not least <= value <= most:
        yield Problem(name, "", str(value), f"must be a whole number from {least} to {most}")


def _counts(shared: Shared) -> Iterator[Problem]:
    yield from count_problems("--draws", shared.draws, LEAST_DRAWS)
    yield from count_problems("--chains", shared.chains, 1, 1000)
    yield from seed_and_imputations(shared.seed, shared.imputations)


def seed_and_imputations(seed: int, imputations: int) -> Iterator[Problem]:
    """Yield what is wrong with the options of a reconstruction."""
    yield from count_problems("--seed", seed, 0, SEEDS - 1)
    yield from count_problems("--imputations", imputations, 1, 10_000)


def _ratio_problems(shared: Shared, tau_scale: float) -> Iterator[Problem]:
    if not 0 < shared.benefit_threshold <= 1:
        yield Problem("--benefit-threshold", "", f"{shared.benefit_threshold:g}", "must be above 0 and at most 1")
    if not 1 <= shared.harm_threshold < math.inf:
        yield Problem("--harm-threshold", "", f"{shared.harm_threshold:g}", "must be finite and at least 1")
    if shared.design_hr is not None and not 0 < shared.design_hr < 1:
        yield Problem("--design-hr", "", f"{shared.design_hr:g}", "must be above 0 and below 1")
    if not 0 < tau_scale < math.inf:
        yield Problem("--tau-scale", "", f"{tau_scale:g}", "must be finite and above 0")


def _numbers(name: str, text: str | None) -> tuple[tuple[float, ...], list[Problem]]:
    """Return numbers separated by commas, or what is wrong with them."""
    if text is None:
        return (), []
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        return (), [Problem(name, "", repr(text), "must be numbers separated by commas, such as 0,12,24")]
    if not all(map(math.isfinite, numbers)):
        return (), [Problem(name, "", text, "must be finite numbers")]
    return numbers, []


def _interval_problems(bounds: tuple[float, ...]) -> Iterator[Problem]:
    text = ",".join(f"{bound:g}" for bound in bounds)
    if bounds and bounds[0] != 0:
        yield Problem("--intervals", "", text, "must begin at 0")
    if len(bounds) == 1:
        yield Problem("--intervals", "", text, "must have at least two bounds")
    if any(later <= earlier for earlier, later in pairwise(bounds)):
        yield Problem("--intervals", "", text, "must increase")


def _landmark_problems(landmarks: tuple[float, ...], bounds: tuple[float, ...]) -> Iterator[Problem]:
    text = ",".join(f"{landmark:g}" for landmark in landmarks)
    if any(landmark <= 0 for landmark in landmarks):
        yield Problem("--landmarks", "", text, "must be above 0")
    if any(later <= earlier for earlier, later in pairwise(landmarks)):
        yield Problem("--landmarks", "", text, "must increase")
    if bounds and any(landmark > bounds[-1] for landmark in landmarks):
        yield Problem("--landmarks", "", text, f"must not lie beyond the last interval, which ends at {bounds[-1]:g}")
