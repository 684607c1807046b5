"""Sampling: one compiled model, many tables and priors.

Compilation dwarfs sampling, so a model is compiled once (`compile_model`) and its data are exchanged for every
imputation. R-hat, divergences and BFMI concern one imputation; pooling is done in `pooling`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from .options import Options

DIAGNOSTIC_STATS = ("diverging", "energy", "n_steps", "mean_tree_accept", "step_size")
INTERNAL = (
    "_steps",
    "_unit_sd",
    "_unit_trend",
    "deviation",
    "alpha_level",
    "signed_tau",
)  # of the geometry only: of no interest afterwards
SAME_DENSITY = 1e-12  # range of log ratios that is rounding error alone
FEWEST_FOR_TAIL = 25  # draws; a fifth of them is the tail, and a Pareto distribution needs five


@dataclass(frozen=True)
class Settings:
    """What one run of the sampler is told.

    Parameters
    ----------
    tune
        Warm-up draws per chain.
    target_accept
        Target acceptance rate.
    """

    tune: int = 400
    target_accept: float = 0.99


FIRST, RERUN = Settings(), Settings(tune=2000, target_accept=0.999)


def compile_model(model: Any) -> Any:
    """Compile a `pymc.Model` for nutpie.

    Fast-math is off, so that a seed gives the same digits with an empty and a full compilation cache.
    """
    import nutpie
    import pytensor

    pytensor.config.numba__fastmath = False
    return nutpie.compile_pymc_model(model)


def sample(
    compiled: Any,
    data: Mapping[str, NDArray[np.float64]],
    options: Options,
    imputation: int,
    settings: Settings = FIRST,
    cores: int | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Sample one imputation.

    Parameters
    ----------
    compiled
        From `compile_model`.
    data
        Model data to exchange.
    options
        Draws, chains and seed.
    imputation
        Which imputation: part of the seed.
    settings
        Tuning and target acceptance.
    cores
        How many chains may run at the same time; by default as many as there are processors.

    Returns
    -------
    tuple of Dataset
        Posterior and sampler statistics, dimensions ``(chain, draw, ...)``.
    """
    import nutpie

    seed = int(np.random.SeedSequence([options.seed, imputation]).generate_state(1)[0])
    trace = nutpie.sample(
        compiled.with_data(**data),
        draws=options.draws,
        tune=settings.tune,
        chains=options.chains,
        cores=cores,
        seed=seed,
        target_accept=settings.target_accept,
        save_warmup=False,
        progress_bar=False,
    )
    posterior = trace["posterior"].to_dataset()
    kept = [str(name) for name in posterior.data_vars if not str(name).endswith(INTERNAL)]
    stats = trace["sample_stats"].to_dataset()[list(DIAGNOSTIC_STATS)]
    chosen = posterior[kept]
    unused = set(chosen.coords) - {dim for values in chosen.data_vars.values() for dim in values.dims}
    return chosen.drop_vars(unused), stats


@dataclass(frozen=True)
class Resampling:
    """Draws chosen to follow another prior.

    Parameters
    ----------
    chosen
        Index of the draw that takes each place, shape ``(chain, draw)``.
    k_hat
        Pareto k-hat of the importance weights, which should not exceed 0.7.
    efficiency
        Kish's effective share of the draws.
    """

    chosen: NDArray[np.int64]
    k_hat: float
    efficiency: float


def resample(log_ratio: NDArray[np.float64], seed: Sequence[int]) -> Resampling:
    """Choose draws by Pareto-smoothed importance resampling, systematically and within each chain.

    Parameters
    ----------
    log_ratio
        Log of new over old density, shape ``(chain, draw)``.
    seed
        Seed of the offsets.

    Notes
    -----
    Vehtari et al. 2024, J Mach Learn Res 25(72).
    """
    if np.ptp(log_ratio) < SAME_DENSITY:
        return Resampling(np.tile(np.arange(log_ratio.shape[1]), (log_ratio.shape[0], 1)), 0.0, 1.0)
    smoothed, k_hat = pareto_smoothed(log_ratio.ravel())
    weights = np.exp(smoothed - smoothed.max()).reshape(log_ratio.shape)
    efficiency = weights.sum() ** 2 / (weights.size * (weights**2).sum())
    offsets = np.random.default_rng(seed).uniform(size=len(weights))
    chosen = np.stack([_systematic(chain, offset) for chain, offset in zip(weights, offsets, strict=True)])
    return Resampling(chosen, k_hat, float(efficiency))


def pareto_smoothed(log_ratio: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return log weights, not normalised, and k-hat.

    Where the largest ratios are all the same there is no tail to smooth, and k-hat is 0; where they are too few, or
    follow no Pareto distribution, it is infinite.
    """
    from arviz_stats.base import array_stats

    if log_ratio.size < FEWEST_FOR_TAIL:
        return log_ratio, np.inf
    try:
        with np.errstate(over="ignore"):  # of tails that no Pareto distribution follows
            smoothed, k_hat = array_stats.psislw(-log_ratio)  # takes the log of old over new, as LOO has it
    except ValueError:  # "All tail values are the same"
        return log_ratio, 0.0
    return smoothed, np.inf if np.isnan(k_hat) else float(k_hat)


def _systematic(weights: NDArray[np.float64], offset: float) -> NDArray[np.int64]:
    """Return as many indices as there are weights, in order, each as often as its weight says."""
    cumulative = np.cumsum(weights) / weights.sum()
    positions = (np.arange(len(weights)) + offset) / len(weights)
    return np.minimum(np.searchsorted(cumulative, positions), len(weights) - 1)


def stack(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the draws of all imputations as one dataset with dimension ``imputation`` behind chain and draw."""
    return xr.concat(datasets, dim="imputation").transpose("chain", "draw", "imputation", ...)
