"""What can be fitted to a record: each model with its data and reported quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data import Record
from ..data.cohort import MONTHS
from ..data.effect_sets import EffectSet, effect_sets
from ..data.errors import input_error
from ..data.evidence import Study, pooled_trials
from ..data.record import thirds
from ..data.subgroup import parse_key
from ..data.table import edges, interval_edges, regroup
from ..models.priors import Prior
from ..models.shrinkage import SHRINKAGES, ShrinkageForm
from . import binary
from .binary import binary_task, endpoints_of
from .fitting import Data, Task, Values
from .imputations import Imputations
from .options import Options
from .quantities import Quantity, curve_quantities, curves_of, ratio_quantities
from .sampling import Settings
from .standardised import partition_subgroups, standardised_quantities
from .synthesis import evidence_task

if TYPE_CHECKING:
    from ..models.subgroups import Division

PIECEWISE_MODELS = ("piecewise", "nonproportional")
MODELS = (*PIECEWISE_MODELS, "subgroups", "effects", "binary", "evidence")
OF_NONPROPORTIONAL = ("omega", "omega_step_sd", "omega_trend")
INTERVAL_MONTHS = 6.0
FEWEST_INTERVALS, INTERVALS = 4, 10  # of six months; where the last death is earlier, ten with as many deaths each
PRIMARY_SHRINKAGE = SHRINKAGES[0]
OF_STRATA = Settings(tune=200, target_accept=0.9)  # nearly standard normal: see models/geometry.py


def model_edges(table: xr.Dataset, options: Options) -> NDArray[np.float64]:
    """Return the bounds of the model's intervals, the last one reaching to the table's end.

    Six months each up to the last death where that is two years or more; else about ten with as many deaths each.

    Parameters
    ----------
    table
        Survival table.
    options
        Whose ``intervals`` take precedence, up to the table's end.
    """
    grid = edges(table)
    if options.intervals:
        return np.array(np.minimum(options.intervals, grid[-1]), dtype=float)
    cumulative = np.cumsum(table.deaths.isel(imputation=0).sum(("stratum", "arm")).to_numpy())
    last_death = grid[1 + int(np.searchsorted(cumulative, cumulative[-1] - 0.5))]
    width = INTERVAL_MONTHS * MONTHS[table.time_unit]
    if last_death < FEWEST_INTERVALS * width:
        shares = np.arange(1, INTERVALS) / INTERVALS * cumulative[-1]
        inner = grid[1 + np.searchsorted(cumulative, shares - 1e-9)]
        return np.unique([0.0, *inner[inner < last_death], grid[-1]])
    return np.append(interval_edges(last_death, width)[:-1], grid[-1])


def default_landmarks(record: Record, table: xr.Dataset | None) -> tuple[float, ...]:
    """Return the times to report at: the record's, else about two thirds and all of the shorter follow-up.

    Parameters
    ----------
    record
        The trial.
    table
        Its survival table, where there is one.
    """
    printed = record.landmark_times()
    if printed or table is None or record.source == "published":
        return printed
    followed = float(np.floor(_followed_until(table)))
    return thirds(followed) if followed else ()


def _followed_until(table: xr.Dataset) -> float:
    """Return up to when patients of both arms were at risk."""
    both = (table.exposure.sum("stratum") > 0).all(("imputation", "arm")).to_numpy()
    return float(table.stop.to_numpy()[both].max(initial=0.0))


def _known_until(table: xr.Dataset) -> float:
    """Return up to when survival of both arms is known: while some are at risk, and for good where all have died."""
    cells = table[["exposure", "deaths", "censored"]].sum("stratum").transpose("arm", "interval", "imputation")
    ends = []
    for arm in cells.arm:
        exposure, deaths, censored = (
            cells[name].sel(arm=arm).to_numpy() for name in ("exposure", "deaths", "censored")
        )
        followed = exposure > 0
        last = followed.shape[0] - 1 - np.argmax(followed[::-1], axis=0)  # of each imputation
        later = np.arange(followed.shape[0])[:, None] >= last
        all_died = (deaths[last, np.arange(last.size)] > 0) & ((censored * later).sum(axis=0) == 0)
        ends.append(np.inf if all_died.all() else float(table.stop[last.min()]))
    return min(ends)


def _reaching(bounds: NDArray[np.float64], landmarks: Sequence[float]) -> NDArray[np.float64]:
    """Return bounds of intervals, the last of which reaches a landmark after the death of all."""
    return np.append(bounds[:-1], max(bounds[-1], *landmarks, 0.0))


def check_intervals(record: Record, table: xr.Dataset, options: Options) -> None:
    """Check that every interval of the model begins before follow-up ends; the last one may end later.

    Parameters
    ----------
    record
        The trial.
    table
        Its survival table.
    options
        Whose ``intervals`` are checked.

    Raises
    ------
    InputError
        Names the bounds at which nobody is followed any more.
    """
    end = edges(table)[-1]
    beyond = [time for time in options.intervals[:-1] if time >= end]
    if beyond:
        allowed = (
            f"must lie within {_followed(record)}, up to {end:g} {record.time_unit}; only the last may lie beyond"
        )
        raise input_error("--intervals", "", ",".join(f"{time:g}" for time in beyond), allowed)


def intervals_note(record: Record, table: xr.Dataset, options: Options) -> str:
    """Return a note where the model's intervals were to go on after follow-up, empty where not."""
    end, wanted = edges(table)[-1], max(options.intervals, default=0.0)
    if wanted <= end:
        return ""
    return f"the last interval ends with {_followed(record)}, at {end:g} {record.time_unit}, not at {wanted:g}"


def _followed(record: Record) -> str:
    return "follow-up" if record.source == "patients" else "the rebuilt survival"


def check_landmarks(record: Record, table: xr.Dataset, options: Options) -> None:
    """Check that survival can be reported at every landmark; after all of an arm have died it is none.

    Parameters
    ----------
    record
        The trial, whose landmarks are reported by default.
    table
        Its survival table.
    options
        Whose ``landmarks`` take precedence, and whose ``intervals`` may end before the table does.

    Raises
    ------
    InputError
        Names the landmarks that lie beyond either arm's survival or the model's intervals.
    """
    end, bound = _known_until(table), model_edges(table, options)[-1]
    end = end if bound >= edges(table)[-1] else min(end, bound)
    beyond = [time for time in options.landmarks or record.landmark_times() if time > end]
    if beyond:
        place, field = ("--landmarks", "") if options.landmarks else (record.place, "landmarks")
        both = " of both arms" if record.source == "patients" else ""
        allowed = f"must lie within {_followed(record)}{both}, up to {end:g} {record.time_unit}"
        raise input_error(place, field, ",".join(f"{time:g}" for time in beyond), allowed)


def piecewise_task(model: str, imputations: Imputations, landmarks: Sequence[float], options: Options) -> Task:
    """Return a piecewise-exponential model of the whole trial.

    Parameters
    ----------
    model
        ``piecewise`` or ``nonproportional``.
    imputations
        The trial's tables.
    landmarks
        Times to report at, within the intervals (`check_landmarks`).
    options
        Intervals.
    """
    from ..models.piecewise import piecewise, piecewise_data

    first = imputations.whole(0)
    bounds = _reaching(model_edges(first, options), landmarks)
    proportional = model == "piecewise"

    of_table = partial(piecewise_data, imputation=0, proportional=proportional)

    return Task(
        model=model,
        shrinkage="",
        partition="",
        build=partial(piecewise, regroup(first, bounds), proportional=proportional),
        data=lambda imputation: of_table(regroup(imputations.whole(imputation), bounds)),
        quantities=partial(_curve_values, bounds, landmarks, proportional),
        overall="beta",
        imputed=imputations.imputed,
        edges=tuple(map(float, bounds)),
        graph="piecewise",
        absent=OF_NONPROPORTIONAL if proportional else (),
        of_table=of_table,
    )


def _curve_values(
    bounds: NDArray[np.float64], landmarks: Sequence[float], proportional: bool, posterior: xr.Dataset
) -> Values:
    curves = curves_of(posterior, bounds)
    return [*ratio_quantities(curves, landmarks, proportional), *curve_quantities(curves, landmarks)]


def subgroup_tasks(
    record: Record,
    sources: Mapping[str, Imputations],
    shrinkages: Sequence[str],
    landmarks: Sequence[float],
    options: Options,
) -> list[Task]:
    """Return the hierarchical models of the strata of every partition, all of one graph.

    Parameters
    ----------
    record
        The trial.
    sources
        Its tables by partition; ``""`` is the whole trial, whose last death sets the intervals.
    shrinkages
        Forms of shrinkage; the first under every prior, the others under the first prior.
    landmarks
        Times to report at, within the intervals (`check_landmarks`).
    options
        Intervals and scale of the prior on ``tau``.
    """
    bounds = _reaching(model_edges(sources[""].whole(0), options), landmarks)
    strata = {name: source for name, source in sources.items() if name}
    most = max((source.tables.sizes["stratum"] for source in strata.values()), default=0)
    return [
        _subgroup_task(record, source, partition, shrinkage, bounds, most, landmarks, options, primary_only=place > 0)
        for place, shrinkage in enumerate(shrinkages)
        for partition, source in strata.items()
    ]


def _subgroup_task(
    record: Record,
    source: Imputations,
    partition: str,
    shrinkage: str,
    bounds: NDArray[np.float64],
    most_strata: int,
    landmarks: Sequence[float],
    options: Options,
    *,
    primary_only: bool,
) -> Task:
    from ..models.piecewise import log_time
    from ..models.subgroups import subgroup_data, subgroups

    form, joint = ShrinkageForm(shrinkage, options.tau_scale), record.is_joint(partition)
    strata = [parse_key(str(key)) for key in source.tables.stratum.to_numpy()]
    reported = partition_subgroups(record, partition, strata)

    def table(imputation: int) -> xr.Dataset:
        return regroup(source.table(imputation), bounds)

    def quantities(posterior: xr.Dataset) -> Values:
        chosen = table(int(posterior["imputation"])).isel(imputation=0)
        covariate = log_time(chosen, chosen.deaths.sum(("stratum", "arm")).to_numpy())
        patients = chosen.patients.sum("arm").to_numpy()
        if joint and form.name == "horseshoe":  # one for all factors: the first
            posterior = posterior.assign(tau=posterior["tau"].isel(scale=0))
        return standardised_quantities(posterior, covariate, bounds, patients, reported, partition, landmarks)

    def division(made: xr.Dataset) -> Division | None:
        return _joint_division(record, partition, form, made) if joint else None

    def build(prior: Prior) -> object:
        made = table(0)
        return subgroups(made, prior, form, strata=most_strata, division=division(made))

    def of_table(made: xr.Dataset) -> Data:
        return subgroup_data(made, 0, form, strata=most_strata, division=division(made))

    return Task(
        model="subgroups",
        shrinkage=shrinkage,
        partition=partition,
        build=build,
        data=lambda imputation: of_table(table(imputation)),
        quantities=quantities,
        overall="beta",
        imputed=source.imputed,
        edges=tuple(map(float, bounds)),
        graph="subgroups",
        absent=() if form.has_tau else ("tau",),
        primary_only=primary_only,
        of_table=of_table,
        settings=OF_STRATA,
        on=lambda other: _subgroup_task(
            record, other, partition, shrinkage, bounds, most_strata, landmarks, options, primary_only=True
        ),
    )


def _joint_division(record: Record, partition: str, form: ShrinkageForm, table: xr.Dataset) -> Division:
    from ..models.subgroups import several_factors

    names = partition.split(",")
    levels = [table[name].to_numpy() for name in names]
    patients = table.patients.isel(imputation=0).sum("arm").to_numpy()
    factor = record.stratified_by(partition)
    if factor:
        _check_levels(record, table, factor)
    return several_factors(levels, patients, form, names.index(factor) if factor else None)


def _check_levels(record: Record, table: xr.Dataset, name: str) -> None:
    """Refuse to stratify the baseline by a factor of which a level has no deaths."""
    deaths = table.deaths.isel(imputation=0).sum(("arm", "interval")).groupby(name).sum()
    if empty := [str(level) for level in deaths[name].to_numpy()[deaths.to_numpy() <= 0]]:
        allowed = f"cannot stratify the baseline: no {record.event} with level {', '.join(empty)}"
        raise input_error(record.place, "patients.stratify", name, allowed)


def baseline_note(record: Record, tasks: Sequence[Task]) -> str:
    """Return which models a record's factor stratifies the baseline of, and which it does not; empty without one.

    Parameters
    ----------
    record
        The trial.
    tasks
        What is fitted.
    """
    factor = record.patients.stratify if record.patients else ""
    if not factor:
        return ""
    models = {f"{task.model} by {task.partition}" if task.partition else task.model: task for task in tasks}
    own = [name for name, task in models.items() if record.stratified_by(task.partition)]
    one = [name for name, task in models.items() if task.edges and name not in own]
    told = [f"baseline hazards of each level in {' and '.join(own)}"] if own else []
    told += [f"one baseline hazard for all levels in {' and '.join(one)}"] if one else []
    return f"patients.stratify {factor}: {'; '.join(told)}" if told else ""


def effects_task(record: Record, options: Options, partition: str | None = None) -> Task | None:
    """Return the hierarchical model of printed effects, ``None`` when the record prints none with an interval.

    Its graph has room for the trial and its sister trials, so that it serves their meta-analysis too.

    Parameters
    ----------
    record
        The trial.
    options
        Scale of the prior on the SD between subgroups.
    partition
        Only this partition's rows.

    Raises
    ------
    InputError
        When no rows may be pooled in that partition, or rows that are to be pooled overlap.
    """
    from ..models.effects import effects, effects_data

    known = list(dict.fromkeys(item.partition for item in record.effects_set))
    if partition is not None and partition not in known:
        allowed = f"give one of {', '.join(known)}" if known else f"{record.id} declares no effects_set"
        raise input_error("--partition", "", partition, f"not a partition with effects to pool; {allowed}")
    sets = effect_sets(record, partition)
    if not sets:
        return None
    y = [[effect.log_hazard_ratio for effect in one.effects] for one in sets]
    errors = [[effect.standard_error for effect in one.effects] for one in sets]
    shape = (len(sets), len(pooled_trials(record)))
    data: Data = effects_data(y, errors, tau_scale=options.tau_scale, shape=shape)

    def build(prior: Prior) -> object:
        return effects(y, errors, prior, tau_scale=options.tau_scale, shape=shape)

    return Task(
        model="effects",
        shrinkage=PRIMARY_SHRINKAGE,
        partition=partition or "",
        build=build,
        data=lambda _: data,
        quantities=partial(_effect_values, sets),
        overall="mu",
        imputed=False,
    )


def _effect_values(sets: Sequence[EffectSet], posterior: xr.Dataset) -> Values:
    """Return each subgroup's hazard ratio once, from the first set that holds it, and each set's interaction SD."""
    found: dict[tuple[str, str], tuple[Quantity, NDArray[np.float64]]] = {}
    for part, one in enumerate(sets):
        several = len(one.effects) > 1
        shrinkage = None if several else "none"
        for place, effect in enumerate(one.effects):
            quantity = Quantity(
                "hazard_ratio", effect.label, None, effect.subgroup.key, one.partition, shrinkage, part
            )
            values = np.exp(posterior["theta"].isel(set=part, place=place).to_numpy())
            found.setdefault((one.partition, effect.subgroup.key), (quantity, values))
        if several:
            label = "SD of log hazard ratios between " + ", ".join(effect.label for effect in one.effects)
            quantity = Quantity("interaction_sd", label, None, "overall", one.partition, None, part)
            found[one.partition, label] = (quantity, posterior["tau"].isel(set=part).to_numpy())
    return list(found.values())


def tasks_of(
    record: Record,
    models: Sequence[str],
    partition: str | None,
    shrinkages: Sequence[str],
    sources: Mapping[str, Imputations],
    landmarks: Sequence[float],
    options: Options,
    studies: Sequence[Study],
) -> list[Task]:
    """Return what is fitted: the wanted models, those of them that the record supports.

    Parameters
    ----------
    record
        The trial.
    models
        Which models are wanted.
    partition
        For ``effects``: only this partition's rows.
    shrinkages
        For ``subgroups``: see `subgroup_tasks`.
    sources
        Survival tables by partition; without the whole trial's (``""``) no model of survival times is fitted.
    landmarks
        Times to report at.
    options
        Intervals, seed and scales of priors.
    studies
        Trials to pool; none where ``evidence`` is not wanted.

    Raises
    ------
    InputError
        When a landmark cannot be reported at, an interval holds nothing, or the partition has no effects to pool.
    """
    tasks = []
    if "" in sources:
        check_intervals(record, sources[""].whole(0), options)
        check_landmarks(record, sources[""].whole(0), options)
        tasks = [
            piecewise_task(model, sources[""], landmarks, options) for model in PIECEWISE_MODELS if model in models
        ]
        if "subgroups" in models:
            tasks += subgroup_tasks(record, sources, shrinkages, landmarks, options)
    effects = effects_task(record, options, partition) if "effects" in models or studies else None
    endpoints, _ = endpoints_of(record) if binary.MODEL in models else ((), ())
    pooling = evidence_task(studies, options, effects) if studies else None
    wanted = (effects if "effects" in models else None, pooling)
    return [*tasks, *filter(None, wanted), *([binary_task(endpoints)] if endpoints else [])]
