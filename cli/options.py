"""Options that several commands share; `inference.Options` says which values make sense."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

if TYPE_CHECKING:
    from ..data import Problem
    from ..inference import Options


OUT = Parameter(alias="-o")


def whole_number(_: type, tokens: Sequence[Token]) -> int:
    """Return an option's whole number; cyclopts alone would cut 1000.5 short."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError("must be a whole number.") from None


Whole = Annotated[int, Parameter(converter=whole_number)]


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
        death, or ten with as many deaths each where that is earlier than two years.
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

    draws: Whole = 1000
    chains: Whole = 4
    seed: Whole = 1
    imputations: Whole = 20
    intervals: str | None = None
    landmarks: str | None = None
    benefit_threshold: float = 0.80
    harm_threshold: float = 1.25
    design_hr: float | None = None
    quiet: Annotated[bool, Parameter(negative=())] = False


def checked_options(shared: Shared, **scales: float) -> Options:
    """Return options as the library takes them.

    Parameters
    ----------
    shared
        As given on the command line.
    **scales
        ``tau_scale`` and ``trial_tau_scale``, of commands that have them.

    Raises
    ------
    InputError
        Names every option with a value that makes no sense, the value, and what is allowed.
    """
    from ..data import InputError
    from ..inference import Options

    intervals, unread_intervals = _numbers("--intervals", shared.intervals)
    landmarks, unread_landmarks = _numbers("--landmarks", shared.landmarks)
    problems = [*unread_intervals, *unread_landmarks]
    try:
        options = Options(
            draws=shared.draws,
            chains=shared.chains,
            seed=shared.seed,
            imputations=shared.imputations,
            intervals=intervals,
            landmarks=landmarks,
            benefit_threshold=shared.benefit_threshold,
            harm_threshold=shared.harm_threshold,
            design_hazard_ratio=shared.design_hr,
            **scales,
        )
    except InputError as error:
        raise InputError([*problems, *error.problems]) from None
    if problems:
        raise InputError(problems)
    return options


def _numbers(name: str, text: str | None) -> tuple[tuple[float, ...], list[Problem]]:
    """Return numbers separated by commas, or what is wrong with them."""
    from ..data import Problem

    if text is None:
        return (), []
    try:
        return tuple(float(part) for part in text.split(",")), []
    except ValueError:
        return (), [Problem(name, "", repr(text), "must be numbers separated by commas, such as 0,12,24")]
