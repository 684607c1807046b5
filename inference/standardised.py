"""Standardised subgroup effects: the strata of a subgroup averaged with one set of weights, then the arms compared.

Patients of stratum c in arm a die at rate ``r[c,a](t)``. In a subgroup whose strata have shares ``w[c]``, the same in
both arms (patients of both arms together),

    S[a](t) = sum_c w[c] exp(-int_0^t r[c,a]),

and survival, restricted mean, median and average hazard ratio are those of ``S[0]`` and ``S[1]``: in closed form, but
for the median. Marginal hazard ratios are non-collapsible: where strata differ in prognosis, one hazard ratio in all
of them comes out nearer to 1 in their average.

Source: Daniel, Zhang and Farewell 2021, Biom J 63:528 (standardisation and non-collapsibility).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from ..data import OVERALL, Record, Subgroup
from ..data.labels import within_text
from .fitting import Values
from .quantities import Curves, Quantity, curve_quantities

Array = NDArray[np.float64]
Members = tuple[int, ...]
SIGNS = ("+", "-")
MOST_STEPS = 50
MOST_PAIRED = 12  # strata whose pairs are gone through
NODES = 6  # of the quadrature in each interval, for more strata
MOST_NUMBERS = 4_000_000  # hazards of strata that are held at once
PRECISION = 1e-7  # of the last but one step; the last one squares it


@dataclass(frozen=True)
class ReportedSubgroup:
    """A subgroup to report, as a union of a partition's strata.

    Parameters
    ----------
    subgroup
        Whom it is about.
    label
        For people.
    members
        Places of its strata among the partition's.
    complement
        All other patients; ``None`` where they are not a product of factor levels.
    unit
        Whether it has an effect of its own in the model: a stratum, or a level of one of several factors.
    """

    subgroup: Subgroup
    label: str
    members: Members
    complement: Subgroup | None = None
    unit: bool = False

    @property
    def reference(self) -> str:
        """The complement's key, such as ``er=-``, or ``not er=-,her2=-``."""
        return self.complement.key if self.complement else f"not {self.subgroup.key}"


@dataclass(frozen=True)
class Mixtures:
    """Survival curves of groups of patients that are made up of the same strata in different shares.

    Parameters
    ----------
    strata
        Curves of the strata; rates of shape ``(stratum, chain, draw, J)``.
    shares
        Share of each stratum in each group, shape ``(group, stratum)``, rows adding up to 1.
    """

    strata: Curves
    shares: Array

    def survival(self, arm: int, time: float) -> Array:
        """Return survival at ``time``, shape ``(group, chain, draw)``."""
        return self._averaged(self.strata.survival(arm, time))

    def rmst(self, arm: int, time: float) -> Array:
        """Return restricted mean survival time, shape ``(group, chain, draw)``."""
        return self._averaged(_until(self.strata, time).rmst(arm, time))

    def median(self, arm: int) -> Array:
        """Return median survival, shape ``(group, chain, draw)``; infinite where it lies beyond the last interval."""
        at_edges = np.exp(-self.strata.cumulative_hazard(arm))
        return np.stack([self._median(arm, at_edges, shares) for shares in self.shares])

    def _median(self, arm: int, at_edges: Array, shares: Array) -> Array:
        """Return one group's median, from its strata's survival at the edges."""
        used = np.flatnonzero(shares)
        average = np.tensordot(shares, at_edges, axes=1)
        reached = average[..., -1] <= 0.5
        interval = np.minimum((average[..., 1:] > 0.5).sum(axis=-1), len(self.strata.edges) - 2)
        start, rate = (
            np.take_along_axis(values[used], interval[None, ..., None], axis=-1)[..., 0]
            for values in (at_edges, self.strata.rates[arm])
        )
        elapsed = _time_to_half(start * shares[used, None, None], rate, reached)
        return np.where(reached, self.strata.edges[interval] + elapsed, np.inf)

    def average_hazard_ratio(self, time: float) -> Array:
        """Return the average hazard ratio up to ``time``, shape ``(group, chain, draw)``.

        As `Curves.average_hazard_ratio`. The integral of S0 dF1 is the probability that of two patients, one of each
        arm, the treated one dies first, and by ``time``: an average over pairs of strata. That of S1 dF0 is what is
        left of the probability that one of them dies.
        """
        strata = _until(self.strata, time)
        if len(self.shares.T) > MOST_PAIRED:
            return self._average_by_quadrature(strata)
        control, treatment = strata.rates
        alive = [np.exp(-strata.cumulative_hazard(arm)) for arm in (0, 1)]
        treated_first = np.zeros((len(self.shares), *control.shape[1:-1]))
        for place, shares in enumerate(self.shares.T):
            both = alive[0][place] * alive[1]
            treated = treatment / (control[place] + treatment)
            first = np.einsum("...j,...j->...", both[..., :-1] - both[..., 1:], treated)
            treated_first += shares[:, None, None] * self._averaged(first)
        neither = self._averaged(alive[0][..., -1]) * self._averaged(alive[1][..., -1])
        return np.asarray(treated_first / (1 - neither - treated_first))

    def _average_by_quadrature(self, strata: Curves) -> Array:
        """Return the average hazard ratio by Gauss and Legendre's rule in every interval: cost linear in strata."""
        steps = np.diff(strata.edges)
        start = [np.exp(-strata.cumulative_hazard(arm)[..., :-1]) for arm in (0, 1)]
        died = [np.zeros(1), np.zeros(1)]
        for node, weight in zip(*np.polynomial.legendre.leggauss(NODES), strict=True):
            elapsed = steps * (1 + node) / 2
            alive = [start[arm] * np.exp(-strata.rates[arm] * elapsed) for arm in (0, 1)]
            left = [self._averaged(alive[arm]) for arm in (0, 1)]
            dying = [self._averaged(alive[arm] * strata.rates[arm]) for arm in (0, 1)]
            died = [died[arm] + (left[1 - arm] * dying[arm]) @ (steps * weight / 2) for arm in (0, 1)]
        return np.asarray(died[1] / died[0])

    def _averaged(self, values: Array) -> Array:
        return np.tensordot(self.shares, values, axes=1)


def _until(curves: Curves, time: float) -> Curves:
    """Return the curves up to ``time``, at most the last edge."""
    end = min(time, float(curves.edges[-1]))
    intervals = int(np.searchsorted(curves.edges, end))
    control, treatment = (rates[..., :intervals] for rates in curves.rates)
    return Curves(np.append(curves.edges[:intervals], end), (control, treatment))


def _time_to_half(start: Array, rate: Array, reached: NDArray[np.bool_]) -> Array:
    """Return when strata that are ``start`` of a group and die at ``rate`` make up half of it.

    Newton's method on log S, which is convex: from the left its steps never pass the root.
    """
    elapsed = np.zeros(reached.shape)
    for _ in range(MOST_STEPS):
        alive = start * np.exp(-rate * elapsed)
        total = alive.sum(axis=0)
        step = np.where(reached, np.log(2 * total) * total / (rate * alive).sum(axis=0), 0.0)
        elapsed += step
        if (step <= PRECISION * elapsed).all():
            break
    return elapsed


def stratum_rates(posterior: xr.Dataset, time_covariate: ArrayLike) -> Array:
    """Return the hazards that a posterior of the `subgroups` model stands for.

    Parameters
    ----------
    posterior
        With ``alpha`` (interval), ``gamma``, ``kappa`` and ``delta`` (stratum) and ``beta``; dimensions
        ``(chain, draw, ...)``.
    time_covariate
        Centred log time by interval, shape ``(J,)``.

    Returns
    -------
    array
        Shape ``(chain, draw, stratum, arm, interval)``.
    """
    tilt = posterior["kappa"] * xr.DataArray(np.asarray(time_covariate), dims="interval")
    log_rate = posterior["alpha"] + posterior["gamma"] + tilt
    log_ratio = posterior["beta"] + posterior["delta"]
    control = np.exp(log_rate.transpose("chain", "draw", "stratum", "interval").to_numpy())
    ratio = np.exp(log_ratio.transpose("chain", "draw", "stratum").to_numpy())
    return np.stack([control, control * ratio[..., None]], axis=-2)


def mixtures(edges: Array, rates: Array, weights: ArrayLike) -> Mixtures:
    """Return the survival curves of groups that are made up of strata.

    Parameters
    ----------
    edges
        Interval bounds, shape ``(J + 1,)``.
    rates
        Hazards, shape ``(chain, draw, stratum, arm, J)``.
    weights
        Of the strata in each group, such as their patients in both arms; shape ``(group, stratum)``.

    Raises
    ------
    ValueError
        When a group has no patients.
    """
    patients = np.asarray(weights, dtype=float)
    totals = patients.sum(axis=1, keepdims=True)
    if not (totals > 0).all():
        raise ValueError(f"no patients in group {int(np.flatnonzero(~(totals > 0))[0])}: nothing to average over")
    control, treatment = np.ascontiguousarray(rates.transpose(3, 2, 0, 1, 4))
    return Mixtures(Curves(edges, (control, treatment)), patients / totals)


def partition_subgroups(record: Record, partition: str, strata: Sequence[Subgroup]) -> list[ReportedSubgroup]:
    """Return the subgroups of a partition that are reported, each set of patients once.

    All patients; every published subgroup, followed by its complement; every level of every factor; every stratum,
    unless the factors add up (`Record.is_joint`).

    Parameters
    ----------
    record
        The trial.
    partition
        Name of one of its partitions; for any other cross of factors, whatever it is called.
    strata
        Cells of the partition's factors that hold patients.
    """
    levels = {name: factor.levels for name, factor in record.factors.items()}
    found: dict[Members, ReportedSubgroup] = {}
    joint = record.is_joint(partition)
    for one in [*_candidates(record, strata, levels), *(() if joint else strata)]:
        members = tuple(place for place, stratum in enumerate(strata) if stratum.within(one))
        if members:
            label = _standardised_label(record, partition, strata) if one.is_overall else _label(record, one)
            unit = _is_level(one) if joint else len(members) == 1
            found.setdefault(members, ReportedSubgroup(one, label, members, one.complement(levels), unit))
    return list(found.values())


def _candidates(
    record: Record, strata: Sequence[Subgroup], levels: Mapping[str, tuple[str, ...]]
) -> Iterator[Subgroup]:
    """Yield subgroups in the order in which they are reported, some of them not of this partition, or twice."""
    yield OVERALL
    for row in record.hazard_ratio:
        if row.use:
            yield row.where
            if complement := row.where.complement(levels):
                yield complement
    for factor in strata[0].factors:
        yield from (Subgroup(((factor, (level,)),)) for level in levels[factor])


def _is_level(one: Subgroup) -> bool:
    return [len(levels) for _, levels in one.restrictions] == [1]


def _standardised_label(record: Record, partition: str, strata: Sequence[Subgroup]) -> str:
    declared = record.all_partitions.get(partition)
    labels = [declared.label] if declared else [record.factors[name].label for name in strata[0].factors]
    *others, last = map(within_text, labels)
    return f"All patients, standardised over {' and '.join(filter(None, (', '.join(others), last)))}"


def _label(record: Record, one: Subgroup) -> str:
    """Return the printed label, else one such as ``ER/PR(-) HER2(-)`` or ``Age: 55 or older``."""
    printed = {row.where: row.label for row in record.hazard_ratio if row.use and row.label}
    if one in printed:
        return printed[one]
    signed = all(level in SIGNS for _, levels in one.restrictions for level in levels)
    named = [(record.factors[name].label, _levels(record, name, levels)) for name, levels in one.restrictions]
    if signed:
        return " ".join(f"{label}({level})" for label, level in named)
    return ", ".join(f"{label}: {level}" for label, level in named)


def _levels(record: Record, factor: str, levels: Sequence[str]) -> str:
    """Return some levels of a factor, or what is missing where that is shorter to say."""
    missing = [level for level in record.factors[factor].levels if level not in levels]
    return f"not {' or '.join(missing)}" if 0 < len(missing) < len(levels) else " or ".join(levels)


def standardised_quantities(
    posterior: xr.Dataset,
    time_covariate: ArrayLike,
    edges: Array,
    weights: ArrayLike,
    subgroups: Sequence[ReportedSubgroup],
    partition: str,
    landmarks: Sequence[float],
    average_to: float | None = None,
) -> Values:
    """Return the standardised effects in subgroups, their contrasts and the SD between strata.

    Parameters
    ----------
    posterior
        Of the `subgroups` model, see `stratum_rates`; ``tau`` where there is one. Strata beyond the weights' are
        padding.
    time_covariate
        Centred log time by interval, shape ``(J,)``.
    edges
        Interval bounds, shape ``(J + 1,)``.
    weights
        Patients of both arms together by stratum, shape ``(stratum,)``.
    subgroups
        What to report, from `partition_subgroups`.
    partition
        Name of the partition.
    landmarks
        Times to report at, within the edges.
    average_to
        Up to when hazard ratios are averaged; the last landmark by default, without any the last edge.

    Returns
    -------
    list
        Quantities with their draws, shape ``(chain, draw)``; no contrasts where the model has one effect for all.

    Raises
    ------
    ValueError
        When a subgroup has no patients.
    """
    patients = np.asarray(weights, dtype=float)
    end = float(max(landmarks, default=edges[-1]) if average_to is None else average_to)
    others = [_others(one, len(patients)) for one in subgroups]
    groups = list(dict.fromkeys([*(one.members for one in subgroups), *filter(None, others)]))
    shares = _group_weights(patients, groups)
    strata = posterior[["alpha", "beta", "gamma", "kappa", "delta"]].isel(stratum=slice(len(patients)))
    alike, parts = _one_effect(posterior, len(patients)), []
    for block in _blocks(strata):
        everyone = mixtures(edges, stratum_rates(block, time_covariate), shares)
        ratios = dict(zip(groups, everyone.average_hazard_ratio(end), strict=True))
        reported = replace(everyone, shares=everyone.shares[: len(subgroups)])
        effects = _effects(subgroups, ratios, curve_quantities(reported, landmarks), end)
        parts.append([*effects, *(() if alike else _contrasts(subgroups, others, ratios, end))])
    found = [
        (same[0][0], np.concatenate([values for _, values in same], axis=-1)) for same in zip(*parts, strict=True)
    ]
    return [
        (replace(quantity, partition=partition), values)
        for quantity, values in [*found, *_between(posterior, subgroups, partition)]
    ]


def _blocks(posterior: xr.Dataset) -> Iterator[xr.Dataset]:
    """Yield the posterior's draws in blocks whose hazards fit into memory."""
    sizes = posterior.sizes
    block = max(MOST_NUMBERS // (sizes["stratum"] * sizes["interval"] * sizes["chain"]), 1)
    for start in range(0, sizes["draw"], block):
        yield posterior.isel(draw=slice(start, start + block))


def _one_effect(posterior: xr.Dataset, strata: int) -> bool:
    """Whether all strata have one treatment effect, so that contrasts would only tell how survival differs."""
    return not posterior["delta"].isel(stratum=slice(strata)).to_numpy().any()


def _others(one: ReportedSubgroup, strata: int) -> Members:
    """Return the places of the strata that are not the subgroup's."""
    return tuple(place for place in range(strata) if place not in one.members)


def _group_weights(patients: Array, groups: Sequence[Members]) -> Array:
    """Return the patients of each group by stratum: none in strata that are not its members."""
    return np.array([np.where(np.isin(np.arange(len(patients)), members), patients, 0.0) for members in groups])


def _effects(
    subgroups: Sequence[ReportedSubgroup], ratios: Mapping[Members, Array], by_curve: Values, end: float
) -> Iterator[tuple[Quantity, Array]]:
    """Yield each subgroup's average hazard ratio, then what follows from its curves."""
    for place, one in enumerate(subgroups):
        key = one.subgroup.key
        yield Quantity("average_hazard_ratio", one.label, end, key), ratios[one.members]
        for quantity, values in by_curve:
            yield replace(quantity, label=f"{one.label}, {within_text(quantity.label)}", subgroup=key), values[place]


def _contrasts(
    subgroups: Sequence[ReportedSubgroup], others: Sequence[Members], ratios: Mapping[Members, Array], end: float
) -> Iterator[tuple[Quantity, Array]]:
    """Yield the ratio of each subgroup's hazard ratio to its complement's, once for two that are complementary."""
    seen: set[Members] = set()
    for one, rest in zip(subgroups, others, strict=True):
        if rest and rest not in seen:
            seen.add(one.members)
            label = f"{one.label} against all other patients"
            quantity = Quantity("ratio_of_hazard_ratios", label, end, one.subgroup.key, reference=one.reference)
            yield quantity, ratios[one.members] / ratios[rest]


def _between(
    posterior: xr.Dataset, subgroups: Sequence[ReportedSubgroup], partition: str
) -> Iterator[tuple[Quantity, Array]]:
    """Yield the SD of log hazard ratios between strata, where the model has one, or between each factor's levels."""
    if "tau" not in posterior:
        return
    units = sorted((one for one in subgroups if one.unit), key=lambda one: one.members)
    if "scale" not in posterior["tau"].dims:
        yield _interaction_sd(units), posterior["tau"].transpose("chain", "draw").to_numpy()
        return
    each = posterior["tau"].transpose("scale", "chain", "draw").to_numpy()
    for factor, values in zip(partition.split(","), each, strict=True):
        levels = [one for one in subgroups if one.unit and one.subgroup.factors == (factor,)]
        yield replace(_interaction_sd(levels), variant=factor), values


def _interaction_sd(units: Sequence[ReportedSubgroup]) -> Quantity:
    return Quantity("interaction_sd", "SD of log hazard ratios between " + ", ".join(one.label for one in units))
