"""What a trial without any heterogeneity of the treatment effect would have printed about its subgroups.

Whoever looks at many subgroups finds an extreme one. How extreme is simulated here: trials of the same size, with
the same prognosis of every stratum and the same censoring, whose treatment multiplies every hazard by one ``e^b``.

The strata's hazards are estimated with arms pooled given ``b``, from deaths ``D`` and ``e = E0 + E1 e^b`` by
stratum ``c`` and interval ``t``. So that an interval without deaths is no interval without risk, each estimate
carries half a death's worth of a plainer one: the trial's constant rate, then the stratum's constant level,

    base[t]    = (D[.,t] + 1/2) / (e[.,t] + 1/2 / rate),
    level[c]   = (D[c,.] + 1/2) / (sum_t e[c,t] base[t] + 1/2),
    ratio[c,t] = level[c] (D[c,t] + 1/2) / (e[c,t] base[t] level[c] + 1/2).

A hazard is ``base`` times ``ratio``. Several partitions of the same patients are crossed: shares of patients and
ratios multiply, as if the partitions' factors were independent within an arm. So subgroups of different partitions
share patients, and their estimates are as correlated as they would be.

Source of the question: Brookes et al. 2004, J Clin Epidemiol 57:229. Source of the chance ``(k + 1) / (n + 1)``:
Davison and Hinkley 1997, Bootstrap Methods and their Application, section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data import OVERALL, Subgroup
from ..data.cohort import normal_quantile
from ..data.estimators import cox
from ..data.replication import (
    censoring_rates,
    entering_shares,
    exposure_at_deaths,
    simulated_intervals,
)
from ..data.table import edges, regroup

Array = NDArray[np.float64]
HALF = 0.5  # of a death, in every estimate of a hazard
LEVEL = 0.95


@dataclass(frozen=True)
class HomogeneousTrials:
    """Subgroup effects of simulated trials whose treatment effect is the same for everybody.

    An effect with deaths in one arm only is infinite, with an infinite standard error; without deaths it is not a
    number.

    Parameters
    ----------
    subgroups
        The subgroups that were looked at.
    log_hazard_ratio, standard_error
        Of the subgroups' Cox fits, shape ``(trial, subgroup)``.
    overall
        Log hazard ratio of all patients, shape ``(trial,)``.
    source
        ``table`` for simulated patients, ``printed`` for effects drawn from printed standard errors.
    """

    subgroups: tuple[Subgroup, ...]
    log_hazard_ratio: Array
    standard_error: Array
    overall: Array
    source: str

    @property
    def smallest(self) -> Array:
        """Each trial's smallest subgroup log hazard ratio, shape ``(trial,)``."""
        return np.asarray(np.fmin.reduce(self.log_hazard_ratio, axis=1))

    @property
    def largest(self) -> Array:
        """Each trial's largest subgroup log hazard ratio, shape ``(trial,)``."""
        return np.asarray(np.fmax.reduce(self.log_hazard_ratio, axis=1))

    @property
    def largest_deviation(self) -> Array:
        """Each trial's largest distance of a subgroup from the overall effect, in standard errors."""
        return deviation(self.log_hazard_ratio, self.standard_error, self.overall[:, None]).max(axis=1)

    @property
    def benefits(self) -> NDArray[np.int_]:
        """The number of each trial's subgroups whose 95% interval lies below 1."""
        away = deviation(self.log_hazard_ratio, self.standard_error, np.zeros(1)) > normal_quantile(LEVEL)
        return np.asarray((away & (self.log_hazard_ratio < 0)).sum(axis=1))

    def chance_own(self, subgroup: Subgroup, log_hazard_ratio: float) -> float:
        """Return the chance that this subgroup alone comes out at least as extreme.

        Extreme is low for what lies below the overall effect, and high for what lies above it.

        Parameters
        ----------
        subgroup
            One of the subgroups.
        log_hazard_ratio
            As printed.
        """
        own = self.log_hazard_ratio[:, self.subgroups.index(subgroup)]
        return chance(own <= log_hazard_ratio if self._is_low(log_hazard_ratio) else own >= log_hazard_ratio)

    def chance_largest(self, log_hazard_ratio: float) -> float:
        """Return the chance that the most extreme of all subgroups is at least as extreme; see `chance_own`."""
        if self._is_low(log_hazard_ratio):
            return chance(self.smallest <= log_hazard_ratio)
        return chance(self.largest >= log_hazard_ratio)

    def chance_deviation(self, distance: float) -> float:
        """Return the chance of a subgroup at least this many standard errors from the overall effect.

        It knows nothing of the true effect, and small subgroups do not dominate it.
        """
        return chance(self.largest_deviation >= distance)

    def _is_low(self, log_hazard_ratio: float) -> bool:
        return bool(log_hazard_ratio <= np.median(self.overall))


def chance(hit: NDArray[np.bool_]) -> float:
    """Return ``(k + 1) / (n + 1)`` for k hits in n simulated trials."""
    return float((hit.sum() + 1) / (hit.size + 1))


def deviation(log_hazard_ratio: Array, standard_error: Array, overall: Array) -> Array:
    """Return how many standard errors effects lie from the overall one; 0 where the standard error is infinite."""
    finite = np.isfinite(standard_error)
    distance = np.abs(np.where(finite, log_hazard_ratio, 0.0) - overall)
    return np.divide(distance, standard_error, out=np.zeros_like(standard_error), where=finite)


# --- simulated patients -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Population:
    """Whom a trial is simulated from.

    ``patients`` (expected, may be fractional) by stratum and arm; ``entering`` is the share of an arm's patients who
    join at an interval's start, by arm and interval; ``ratio`` to the ``base`` hazard by stratum and interval;
    ``censoring`` by arm and interval; ``levels`` by factor and stratum.
    """

    patients: Array
    entering: Array
    base: Array
    ratio: Array
    censoring: Array
    levels: Mapping[str, NDArray[np.str_]]

    def crossed(self, other: _Population) -> _Population:
        """Return the cross of two partitions of the same patients; totals, base and censoring are this one's."""
        mine, theirs = len(self.patients), len(other.patients)
        share = other.patients / other.patients.sum(axis=0)
        return _Population(
            (self.patients[:, None] * share).reshape(mine * theirs, 2),
            self.entering,
            self.base,
            (self.ratio[:, None] * other.ratio).reshape(mine * theirs, -1),
            self.censoring,
            {name: np.repeat(levels, theirs) for name, levels in self.levels.items()}
            | {name: np.tile(levels, mine) for name, levels in other.levels.items()},
        )


def homogeneous_trials(
    tables: Sequence[xr.Dataset],
    subgroups: Sequence[Subgroup],
    log_hazard_ratio: float,
    trials: int = 4000,
    seed: int = 1,
) -> HomogeneousTrials:
    """Simulate trials without heterogeneity of the treatment effect, and fit Cox models to their subgroups.

    Every interval's dead and censored are drawn from the patients at risk at its start; trials are shared out
    equally over the tables' imputations.

    Parameters
    ----------
    tables
        Survival tables of one trial, each over a partition of its patients, with a stratum coordinate per factor.
        See `separate` for tables that share factors.
    subgroups
        Subgroups to look at, each a union of crossed strata.
    log_hazard_ratio
        The common effect, within strata; see `common_log_hazard_ratio`.
    trials
        How many to simulate.
    seed
        Same seed, same trials.

    Raises
    ------
    ValueError
        When a table has no factor, or a subgroup restricts a factor that no table has.
    """
    if not all(levels_of(table) for table in tables):
        raise ValueError("every table must have a stratum coordinate per factor")
    rng = np.random.default_rng(seed)
    imputations = min(max(table.sizes["imputation"] for table in tables), trials)
    steps = np.diff(edges(tables[0]))
    parts = []
    for imputation, share in enumerate(np.array_split(np.arange(trials), imputations)):
        population = _population(tables, imputation, log_hazard_ratio)
        groups = np.array([members(population.levels, one) for one in (*subgroups, OVERALL)], dtype=float)
        parts.append(cox(*_drawn(population, groups, log_hazard_ratio, steps, share.size, rng)))
    log_ratios, errors = (np.concatenate(values) for values in zip(*parts, strict=True))
    return HomogeneousTrials(tuple(subgroups), log_ratios[:, :-1], errors[:, :-1], log_ratios[:, -1], "table")


def separate(tables: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Return the tables over strata that share no factor with one before them: those that can be crossed."""
    found: list[xr.Dataset] = []
    for table in tables:
        taken = {name for one in found for name in levels_of(one)}
        if (own := levels_of(table)) and not taken & set(own):
            found.append(table)
    return found


def levels_of(table: xr.Dataset) -> dict[str, NDArray[np.str_]]:
    """Return the levels of a table's strata, by factor."""
    names = [str(name) for name in table.coords if table[name].dims == ("stratum",) and name != "stratum"]
    return {name: table[name].to_numpy() for name in names}


def members(levels: Mapping[str, NDArray[np.str_]], subgroup: Subgroup) -> NDArray[np.bool_]:
    """Return which strata make up a subgroup.

    Parameters
    ----------
    levels
        Levels of the strata, by factor.
    subgroup
        A union of strata.

    Raises
    ------
    ValueError
        When the subgroup restricts a factor that the strata do not have.
    """
    if missing := [name for name in subgroup.factors if name not in levels]:
        raise ValueError(f"{subgroup.key}: the strata have no factor {', '.join(missing)}")
    number = len(next(iter(levels.values())))
    chosen = (np.isin(levels[name], allowed) for name, allowed in subgroup.restrictions)
    return reduce(np.logical_and, chosen, np.ones(number, dtype=bool))


def common_log_hazard_ratio(tables: Sequence[xr.Dataset]) -> float:
    """Return the effect that all strata would have in common.

    The crude Cox estimate, plus for each partition what stratifying by it changes: to first order, the imbalances of
    independent factors add up. Mean over imputations.

    Parameters
    ----------
    tables
        Survival tables of one trial, each over a partition.
    """
    crude = [_stratified(table.sum("stratum").expand_dims(stratum=1)) for table in tables]
    changes = [_stratified(table) - without for table, without in zip(tables, crude, strict=True)]
    return float(crude[0] + sum(changes))


def _stratified(table: xr.Dataset) -> float:
    """Return the stratified Cox estimate: every interval of every stratum has its own term of the score."""
    cells = table[["deaths", "exposure"]].stack(cell=("stratum", "interval"), create_index=False)
    counts = (cells[name].transpose("imputation", "arm", "cell").to_numpy() for name in ("deaths", "exposure"))
    return float(cox(*counts)[0].mean())


def _population(tables: Sequence[xr.Dataset], imputation: int, log_hazard_ratio: float) -> _Population:
    bounds = edges(tables[0])
    chosen = [regroup(table.isel(imputation=imputation % table.sizes["imputation"]), bounds) for table in tables]
    return reduce(_Population.crossed, (_of_table(table, log_hazard_ratio) for table in chosen))


def _of_table(table: xr.Dataset, log_hazard_ratio: float) -> _Population:
    """Return the hazards of one imputation of a table; the symbols are the module's."""
    deaths, exposure = (
        table[name].transpose("stratum", "arm", "interval").to_numpy() for name in ("deaths", "exposure")
    )
    dead = deaths.sum(axis=1)
    weighted = exposure[:, 0] + exposure[:, 1] * np.exp(log_hazard_ratio)
    rate = (dead.sum() + HALF) / weighted.sum()
    base = (dead.sum(axis=0) + HALF) / (weighted.sum(axis=0) + HALF / rate)
    expected = weighted * base
    level = (dead.sum(axis=1) + HALF) / (expected.sum(axis=1) + HALF)
    ratio = level[:, None] * (dead + HALF) / (expected * level[:, None] + HALF)
    patients = table.patients.transpose("stratum", "arm").to_numpy()
    return _Population(patients, entering_shares(table), base, ratio, censoring_rates(table), levels_of(table))


def _drawn(
    population: _Population,
    groups: Array,
    log_hazard_ratio: float,
    steps: Array,
    trials: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Return deaths and person-time of simulated trials, shape ``(trial, group, arm, interval)``.

    See `simulated_intervals` and `exposure_at_deaths`.
    """
    dying = (population.base * population.ratio)[:, None] * np.exp([0.0, log_hazard_ratio])[:, None]
    patients = np.broadcast_to(population.patients, (trials, *population.patients.shape))
    deaths = np.empty((trials, len(groups), 2, steps.size))
    exposure = np.empty_like(deaths)
    rates = dying, population.censoring
    for interval, (at_risk, dead, gone) in enumerate(
        simulated_intervals(patients, population.entering, *rates, steps, rng)
    ):
        deaths[..., interval] = groups @ dead
        exposure[..., interval] = exposure_at_deaths(groups @ at_risk, groups @ gone, steps[interval])
        deaths[..., interval] = groups @ dead
        exposure[..., interval] = exposure_at_deaths(groups @ at_risk, groups @ gone, steps[interval])
    return deaths, exposure


# --- from printed effects alone -----------------------------------------------------------------------------------


def homogeneous_effects(
    standard_errors: Mapping[Subgroup, float],
    overall_error: float,
    log_hazard_ratio: float,
    trials: int = 4000,
    seed: int = 1,
) -> HomogeneousTrials:
    """Draw the effects of homogeneous trials from printed standard errors, when there is no table over strata.

    Effects are normal, with the covariance of estimates that share patients, ``I[gh] / (I[g] I[h])`` for
    information ``I``: nothing is shared by disjoint subgroups, all of the smaller by nested ones, and otherwise what
    independent factors would share, ``I[g] I[h] / I``. Prognosis plays no part: imbalances between arms are ignored.

    Parameters
    ----------
    standard_errors
        Of the printed log hazard ratios, by subgroup.
    overall_error
        Standard error of the overall log hazard ratio.
    log_hazard_ratio
        The common effect.
    trials
        How many to draw.
    seed
        Same seed, same draws.
    """
    groups = [*standard_errors, OVERALL]
    errors = np.array([*standard_errors.values(), overall_error])
    shared = [[_shared(one, other) for other in groups] for one in groups]
    nested = np.minimum.outer(errors, errors) ** 2
    covariance = np.select([np.equal(shared, "none"), np.equal(shared, "all")], [0.0, nested], overall_error**2)
    values, vectors = np.linalg.eigh(covariance)
    normal = np.random.default_rng(seed).standard_normal((trials, errors.size))
    drawn = log_hazard_ratio + normal @ (vectors * np.sqrt(np.clip(values, 0, None))).T
    spread = np.broadcast_to(errors[:-1], drawn[:, :-1].shape)
    return HomogeneousTrials(tuple(standard_errors), drawn[:, :-1], spread, drawn[:, -1], "printed")


def _shared(one: Subgroup, other: Subgroup) -> str:
    if not one.overlaps(other):
        return "none"
    return "all" if one.within(other) or other.within(one) else "some"
