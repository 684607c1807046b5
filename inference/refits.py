"""Effects when something else than the overall prior changes: intervals, published numbers, rebuilding, ``tau``.

No compilation: the compiled model is sampled again with other data. Other intervals take the model's shape, filled up
with intervals of no length, in which nobody is at risk.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data import ARMS, InputError, Record
from ..data.cohort import MONTHS
from ..data.reconstruction import Reconstruction, reconstruct
from ..data.table import edges, interval_edges, pooled, regroup
from .fitting import MOST_K_HAT, Data, Result, Task
from .imputations import Imputations
from .options import Options
from .overall import QUICK_IMPUTATIONS, afresh
from .reported import ReportedRatio
from .reweighting import Belief, Reweighted
from .sampling import sample

OTHER_WIDTHS = (12.0, 24.0)  # months
TAU_SCALES = (0.1, 0.25, 0.5, 1.0)
TAU_DRAWS, TAU_CHAINS = 500, 2
STRATUM_EFFECT_SDS = (0.25, 1.0)  # half and twice the usual one
DEATHS = ("deaths", "percent_dead")
LIMITS = ("start", "stop")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HalfNormal:
    """The prior on the SDs between strata, one per factor, independent of each other.

    Parameters
    ----------
    scale
        Their scale.
    number
        How many there are.
    """

    scale: float
    number: int = 1

    def log_density(self, value: Array) -> Array:
        """Return the log density up to a constant that all scales share, same shape.

        Parameters
        ----------
        value
            Square root of the sum of their squares.
        """
        return np.asarray(-0.5 * (value / self.scale) ** 2 - self.number * np.log(self.scale))


def other_intervals(table: xr.Dataset, bounds: Array) -> dict[str, Array]:
    """Return other divisions of time that fit into a model's shape, by name.

    Parameters
    ----------
    table
        Survival table by month.
    bounds
        The model's interval bounds.

    Returns
    -------
    dict
        Longer intervals, one interval in all, and as many intervals as the model has with equally many deaths.
    """
    end, number = float(bounds[-1]), len(bounds) - 1
    found = {}
    for months in OTHER_WIDTHS:
        width = months * MONTHS[table.time_unit]
        if 1 < len(other := interval_edges(end, width)) - 1 < number:
            found[f"every {width:g} {table.time_unit}"] = other
    found["one interval"] = np.array([0.0, end])
    if len(equal := _equal_deaths(table, bounds)) - 1 > 1:
        found["equal deaths"] = equal
    return found


def _equal_deaths(table: xr.Dataset, bounds: Array) -> Array:
    deaths = table.deaths.mean("imputation").sum(("stratum", "arm")).to_numpy()
    cumulative = np.concatenate([[0.0], np.cumsum(deaths)])
    inner = np.interp(np.linspace(0, 1, len(bounds))[1:-1] * cumulative[-1], cumulative, edges(table))
    return np.unique([0.0, *inner, bounds[-1]])


def filled_up(table: xr.Dataset, intervals: int) -> xr.Dataset:
    """Return a table with intervals of no length at its end, in which nobody is at risk.

    Parameters
    ----------
    table
        Survival table on the model's intervals.
    intervals
        How many it shall have.
    """
    missing = intervals - table.sizes["interval"]
    end = float(table.stop[-1])
    padded = table.drop_vars(LIMITS).pad(interval=(0, missing), constant_values=0.0)
    limits = {name: np.pad(table[name].to_numpy(), (0, missing), constant_values=end) for name in LIMITS}
    return padded.assign_coords({name: ("interval", values) for name, values in limits.items()})


def by_intervals(result: Result, table: xr.Dataset, options: Options) -> Iterator[tuple[str, Belief]]:
    """Yield the overall log hazard ratio on other intervals, each with the name of the division.

    Parameters
    ----------
    result
        The proportional model of the whole trial, under the prior that was sampled.
    table
        Its survival tables by month.
    options
        Draws and seed.
    """
    from ..models.piecewise import piecewise_data

    bounds = np.array(result.fit.edges)
    whole = pooled(table)
    few = [whole.isel(imputation=[i]) for i in range(min(QUICK_IMPUTATIONS, whole.sizes["imputation"]))]
    for name, other in other_intervals(whole, bounds).items():
        data = [piecewise_data(filled_up(regroup(one, other), len(bounds) - 1), 0) for one in few]
        yield name, _believed(result, data, options)


def without_sources(record: Record, result: Result, options: Options) -> Iterator[tuple[str, Belief]]:
    """Yield the overall log hazard ratio when each kind of published number is left out of the reconstruction.

    Parameters
    ----------
    record
        The trial.
    result
        See `by_intervals`.
    options
        Draws, seed and horizon.
    """
    from ..models.piecewise import piecewise_data

    for item in published_items(record, options):
        try:
            made = _reconstructed(record, options, (item,))
        except InputError:  # the rest does not determine survival
            continue
        tables = regroup(pooled(made.table), result.fit.edges)
        yield item, _believed(result, [piecewise_data(tables, i) for i in range(QUICK_IMPUTATIONS)], options)


def published_items(record: Record, options: Options) -> list[str]:
    """Return the kinds of numbers about all patients that a reconstruction uses, such as ``survival``."""
    targets = _reconstructed(record, options, (), imputations=0).targets
    used = [target.item.split()[0] for target in targets if target.used and target.subgroup.is_overall]
    return list(dict.fromkeys(used))


def with_not_analysed(
    record: Record, result: Result, table: xr.Dataset, options: Options
) -> Iterator[tuple[str, Belief]]:
    """Yield the overall log hazard ratio had those randomised but not analysed fared as well or badly as they could.

    At worst for treatment all of its own would have died at once, and all of control's been followed to the end.

    Parameters
    ----------
    record
        The trial.
    result, table, options
        See `by_intervals`.
    """
    from ..models.piecewise import piecewise_data

    missing = record.not_analysed
    if not missing:
        return
    tables = regroup(pooled(table), result.fit.edges)
    told = " and ".join(f"{number} of {arm}" for arm, number in missing.items())
    for worst, dying in (("worst", "treatment"), ("best", "control")):
        other = tables.copy(deep=True)
        for arm, number in missing.items():
            place = {"arm": ARMS.index(arm)}
            if arm == dying:
                other["deaths"][{**place, "interval": 0}] += number
            else:
                other["exposure"][place] += number * (other.stop - other.start)
        few = range(min(QUICK_IMPUTATIONS, other.sizes["imputation"]))
        yield f"{told}, {worst} for treatment", _believed(result, [piecewise_data(other, i) for i in few], options)


def by_reconstruction(
    result: Result, ratios: Sequence[ReportedRatio], rebuilt: Imputations, options: Options
) -> Iterator[tuple[str, str, ReportedRatio, Belief]]:
    """Yield every hazard ratio of a partition when the rebuilding of its strata rests on something else.

    What is varied: the SD of the strata's own effects before the numbers are read, and whether the deaths that are
    printed of a subgroup are used.

    Parameters
    ----------
    result
        Strata that are not shrunken, under the prior that was sampled.
    ratios
        Its hazard ratios.
    rebuilt
        Tables of its partition.
    options
        Draws and seed.
    """
    made = rebuilt.reconstruction
    if not isinstance(made, Reconstruction) or result.compiled is None:
        return
    usual = made.unknowns.stratum_effect_sd
    scales = sorted({*STRATUM_EFFECT_SDS, usual})
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("stratum effect SD", f"{sd:g}", {"stratum_effect_sd": sd}) for sd in scales
    ]
    deaths = dict.fromkeys((target.item, target.subgroup) for target in made.targets if target.used)
    ways += [
        ("without", f"{item} {whom.key}", {"without": (item, whom)})
        for item, whom in deaths
        if item in DEATHS and not whom.is_overall
    ]
    for varied, setting, change in ways:
        try:
            other = made.varied(QUICK_IMPUTATIONS, **change)
        except InputError:  # the numbers cannot be met so
            continue
        assert result.task.on is not None
        task = result.task.on(Imputations(other))
        beliefs = _refitted(result, ratios, task, [task.data(i) for i in range(other.imputations)], options)
        yield from ((varied, setting, ratio, belief) for ratio, belief in zip(ratios, beliefs, strict=True))


def _refitted(
    result: Result, ratios: Sequence[ReportedRatio], task: Task, data: Sequence[Data], options: Options
) -> list[Belief]:
    """Return every hazard ratio when the compiled model is sampled with other data by imputation, from few draws."""
    prior, found = result.fit.prior, []
    quick = replace(options, draws=min(options.draws, TAU_DRAWS), chains=min(options.chains, TAU_CHAINS))
    for imputation, changed in enumerate(data):
        given = {**changed, "prior": prior.padded()}
        posterior, _ = sample(result.compiled, given, quick, imputation, task.settings)
        posterior = posterior.drop_vars(task.absent).assign_coords(imputation=imputation)
        found.append(np.stack([values for _, values in task.quantities(posterior)]))
    values = np.stack(found)
    draws = (np.log(values[:, ratio.place]).reshape(len(values), -1) for ratio in ratios)
    return [replace(Reweighted(one, one, prior).under(prior), resampled=True) for one in draws]


def _reconstructed(
    record: Record, options: Options, without: Sequence[str], imputations: int = QUICK_IMPUTATIONS
) -> Reconstruction:
    return reconstruct(
        record, imputations=imputations, seed=options.seed, horizon=options.horizon, without=tuple(without)
    )


def _believed(result: Result, data: Sequence[Data], options: Options) -> Belief:
    prior = result.fit.prior
    found = afresh(result, 0, prior, (), options, data)
    return Belief(found.under(prior), 0.0, resampled=True)


def by_tau_scale(
    result: Result, ratios: Sequence[ReportedRatio], options: Options
) -> Iterator[tuple[float, ReportedRatio, Belief]]:
    """Yield every hazard ratio of a partition under other scales of the prior on the SD between strata.

    Parameters
    ----------
    result
        Strata with half-normal shrinkage, under the prior that was sampled; its draws are reweighted, and sampled
        afresh from a few imputations where they do not serve.
    ratios
        Its hazard ratios.
    options
        The scale that they have, draws and seed.
    """
    from ..models.subgroups import with_tau_scale

    tau = result.fit.posterior["tau"].transpose("imputation", "chain", "draw", ...).to_numpy()
    flat = np.sqrt((tau.reshape(len(tau), ratios[0].overall[0].size, -1) ** 2).sum(axis=-1))
    number = tau[0].size // flat[0].size
    usual = HalfNormal(options.tau_scale, number)
    for scale in sorted({*TAU_SCALES, options.tau_scale}):
        draws = [Reweighted(ratio.log_ratio.reshape(flat.shape), flat, usual) for ratio in ratios]
        found = [one.under(HalfNormal(scale, number)) for one in draws]
        if result.compiled is not None and max(belief.k_hat for belief in found) > MOST_K_HAT:
            few = range(min(QUICK_IMPUTATIONS, len(result.rerun)))
            data = [with_tau_scale(result.task.data(i), scale) for i in few]
            found = _refitted(result, ratios, result.task, data, options)
        yield from ((scale, ratio, belief) for ratio, belief in zip(ratios, found, strict=True))
