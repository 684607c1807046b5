"""The options that every analysis shares."""

from __future__ import annotations

from dataclasses import dataclass


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
        Bounds of the model's intervals, from 0, in the trial's unit; six months up to the last death by default.
    landmarks
        Times to report at; the record's by default.
    benefit_threshold, harm_threshold
        Hazard ratios below and above which an effect is called meaningful and harmful.
    design_hazard_ratio
        Design hazard ratio for the priors that need one, instead of the record's.
    tau_scale
        Scale of the half-normal prior on the SD between subgroups.
    horizon
        Where the reconstruction's time grid ends.

    Raises
    ------
    ValueError
        For numbers that make no sense, naming the option.
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
    horizon: float | None = None
