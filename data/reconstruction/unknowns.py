"""The unknowns of a reconstruction and the table they stand for (whitened: a standard normal prior each).

Notation: stratum c, arm a in {0, 1}, month t. With ``l`` and ``b`` random walks on knots (linear between),

    log h[c,a,t] = l(t) + gamma[c] + a (b(t) + delta[c])          hazard of death
    log k[a,t]                                                    rate of censoring, common to the strata
    r[c,a,t] = h[c,a,t] g(z[c,a,t], mu[c,a,t])                    realised rate, mu = expected deaths

where ``g(z, mu) = softplus(a + b z) / m`` has mean 1 and variance ``1 / (mu + e)``, as a Poisson number over its mean
has but for a small ``e``: ``a`` and ``m`` are functions of ``mu``, tabulated by quadrature. Realised deaths are then
nearly ``mu + sqrt(mu) z`` where many are expected, and never negative where few are.

An arm whose follow-up is not printed is censored as the other arm, within a tenth of what an arm of its own may be.

The realised table follows by recursion: ``R' = R exp(-(r + k) dt)``, ``E`` the integral of ``R``, ``D = r E``.
The sampling noise ``z`` belongs to the unknowns because what is published are realised, not expected, numbers.

Where a mean and an SD are all that says how many patients lie below a cut, the share of the first of two strata in
each arm is unknown too: its logit is normal about what they say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import expit, logit

from ..cohort import Array, Cohort, cox, sum_of
from . import slopes
from .slopes import Derivatives

LEVEL_SD = 1.0  # of each walk's first knot: log hazard about the crude log rate, log hazard ratio about 0
CENSORING_LEVEL_SD = 3.0  # hardly anybody is censored before the shortest planned follow-up,
BASELINE_STEP_SD = 0.35  # per knot
EFFECT_STEP_SD = 0.25
CENSORING_STEP_SD = 1.5  # and then most are: the end of a study comes suddenly
OWN_CENSORING = 0.1  # of these SDs, what an arm whose follow-up is not printed has beside the other's
LEAST_DEATHS = 0.05  # in a cell, so that the noise is finite
NOISE_SLOPE = 2.0  # of the softplus
EMPTY = 60.0  # minus the log of the share still at risk beyond which nobody counts
STRATUM_SD = 0.7
STRATUM_EFFECT_SD = 0.5

Cells = tuple[tuple[int, int], ...]  # strata and arms that make up a group of patients
Slope = Sequence[tuple[Cells, Derivatives]]  # derivatives of a number with respect to each of its groups


@dataclass(frozen=True)
class Unknowns:
    """What a trial's realised table may be before its numbers are read.

    Parameters
    ----------
    patients
        Patients by stratum and arm, shape ``(C, 2)``.
    edges
        Time grid, shape ``(T + 1,)``.
    knot
        Distance between the knots of the random walks, in the trial's time unit.
    death_rate
        Crude rate of death of the trial, per time unit: where the baseline hazard is centred.
    censoring_rate
        Crude rate of censoring.
    share_sd
        SD of the logit of the first of two strata's share, by arm, shape ``(2,)``; zero where sizes are known.
    shared_censoring
        Whether both arms are censored alike, as the follow-up of one of them is not printed.
    stratum_effect_sd
        SD, before the numbers are read, of what each stratum's log hazard ratio has beside the common one.
    """

    patients: NDArray[np.float64]
    edges: NDArray[np.float64]
    knot: float
    death_rate: float
    censoring_rate: float
    share_sd: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    shared_censoring: bool = False
    stratum_effect_sd: float = STRATUM_EFFECT_SD

    @cached_property
    def _interpolation(self) -> NDArray[np.float64]:
        """Linear interpolation from knots to the middle of each interval, shape ``(K, T)``."""
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        knots = self.knot * np.arange(math.ceil(self.edges[-1] / self.knot * (1 - 1e-12)) + 1)
        return np.array([np.interp(middle, knots, unit) for unit in np.eye(len(knots))])

    def _walk(self, level_sd: float, step_sd: float) -> NDArray[np.float64]:
        """Random walk from whitened steps to intervals, shape ``(K, T)``; the first step is its level."""
        knots = len(self._interpolation)
        steps = np.diag(np.r_[level_sd, np.full(knots - 1, step_sd)])
        return steps @ np.triu(np.ones((knots, knots))) @ self._interpolation

    @cached_property
    def _walks(self) -> tuple[NDArray[np.float64], ...]:
        return (
            self._walk(LEVEL_SD, BASELINE_STEP_SD),
            self._walk(LEVEL_SD, EFFECT_STEP_SD),
            self._walk(CENSORING_LEVEL_SD, CENSORING_STEP_SD),
        )

    @property
    def strata(self) -> int:
        """How many strata there are."""
        return len(self.patients)

    @cached_property
    def _layout(self) -> Mapping[str, tuple[slice, tuple[int, ...]]]:
        knots, months = self._interpolation.shape
        several = self.strata if self.strata > 1 else 0  # one stratum has no contrasts
        shapes = {
            "baseline": (knots,),
            "effect": (knots,),
            "censoring": (2, knots),
            "stratum": (several,),
            "stratum_effect": (several,),
            "share": (2 if self.share_sd.any() else 0,),
            "noise": (self.strata, 2, months),
        }
        sizes = [int(np.prod(shape)) for shape in shapes.values()]
        ends = np.cumsum(sizes)
        return {
            name: (slice(end - size, end), shape)
            for (name, shape), size, end in zip(shapes.items(), sizes, ends, strict=True)
        }

    @property
    def size(self) -> int:
        """How many unknowns there are."""
        return max(int(part.stop) for part, _ in self._layout.values())

    @property
    def noise(self) -> slice:
        """Which unknowns are sampling noise."""
        return self._layout["noise"][0]

    def _part(self, unknowns: Array, name: str) -> Array:
        part, shape = self._layout[name]
        return unknowns[..., part].reshape(*unknowns.shape[:-1], *shape)

    def sizes(self, unknowns: Array, patients: Array | None = None) -> Array:
        """Return the patients by stratum and arm, shape ``(..., C, 2)``.

        Parameters
        ----------
        unknowns
            Shape ``(..., size)``.
        patients
            Instead of the usual ones, shape ``(..., C, 2)``.
        """
        about = self.patients if patients is None else patients
        if not self.share_sd.any():
            return np.broadcast_to(about, (*unknowns.shape[:-1], self.strata, 2))
        total = about.sum(axis=-2)
        share = about[..., 0, :] / total
        share = expit(logit(share) + self.share_sd * self._part(unknowns, "share"))
        return np.asarray(np.stack([share, 1 - share], axis=-2) * total[..., None, :])

    @cached_property
    def _arms(self) -> NDArray[np.float64]:
        """The walks of censoring that make up each arm's, shape ``(2, 2)``."""
        return np.array([[1.0, 0.0], [1.0, OWN_CENSORING]]) if self.shared_censoring else np.eye(2)

    def _log_hazards(self, unknowns: Array) -> Array:
        baseline, effect, _ = self._walks
        log_hazard = np.log(self.death_rate) + self._part(unknowns, "baseline") @ baseline
        log_ratio = self._part(unknowns, "effect") @ effect
        log_hazard, log_ratio = log_hazard[..., None, :], log_ratio[..., None, :]
        if self.strata > 1:
            log_hazard = log_hazard + STRATUM_SD * self._part(unknowns, "stratum")[..., None]
            log_ratio = log_ratio + self.stratum_effect_sd * self._part(unknowns, "stratum_effect")[..., None]
        return np.stack([log_hazard, log_hazard + log_ratio], axis=-2)

    def _censoring(self, unknowns: Array) -> Array:
        """Return the rates of censoring, shape ``(..., 1, 2, T)``: common to the strata."""
        walk = self._arms @ (self._part(unknowns, "censoring") @ self._walks[2])
        return np.asarray(np.exp(np.log(self.censoring_rate) + walk)[..., None, :, :])

    def table(self, unknowns: Array, patients: Array | None = None) -> RealisedTable:
        """Return the realised table.

        Parameters
        ----------
        unknowns
            Shape ``(..., size)``.
        patients
            Instead of the usual ones, shape ``(..., C, 2)``.
        """
        expected, censoring, sizes = self._expected(unknowns, patients)
        noise = np.exp(_log_noise(self._part(unknowns, "noise"), expected.deaths)[0])
        return self._follow(sizes, expected.rate * noise, censoring)

    def _expected(self, unknowns: Array, patients: Array | None) -> tuple[RealisedTable, Array, Array]:
        """Return the expected table, rates of censoring and sizes."""
        censoring, sizes = self._censoring(unknowns), self.sizes(unknowns, patients)
        return self._follow(sizes, np.exp(self._log_hazards(unknowns)), censoring), censoring, sizes

    def _follow(self, sizes: Array, rate: Array, censoring: Array) -> RealisedTable:
        """Follow the patients through the grid under given rates of death and censoring."""
        total = rate + censoring
        gone = np.cumsum(total * np.diff(self.edges), axis=-1)
        beyond = np.maximum(gone - EMPTY, 0.0)
        gone = np.minimum(gone, EMPTY) + beyond / (beyond + 1e6)
        at_risk = np.empty((*gone.shape[:-1], gone.shape[-1] + 1))
        at_risk[..., 0] = sizes
        at_risk[..., 1:] = sizes[..., None] * np.exp(-gone)
        exposure = (at_risk[..., :-1] - at_risk[..., 1:]) / total
        return RealisedTable(self.edges, at_risk, rate * exposure, exposure, censoring * exposure, rate)

    def jacobian(
        self, unknowns: Array, table: RealisedTable, numbers: Sequence[Slope], patients: Array | None = None
    ) -> NDArray[np.float64]:
        """Return the derivatives of some numbers with respect to the unknowns, by the chain rule backwards.

        Parameters
        ----------
        unknowns
            Shape ``(n,)``.
        table
            The table of these unknowns.
        numbers
            Derivatives of each number with respect to the table.
        patients
            Those of the table, where they are not the usual ones, shape ``(C, 2)``.

        Returns
        -------
        array
            Shape ``(numbers, n)``.
        """
        expected, censoring, sizes = self._expected(unknowns, patients)
        _, by_noise, by_deaths = _log_noise(self._part(unknowns, "noise"), expected.deaths)
        by_rate, by_censoring, by_size = self._backwards(table, censoring, _gathered(table, numbers))
        zero = np.zeros((1, *table.exposure.shape))
        by_expected = _Gathered(np.zeros((1, *table.at_risk.shape)), by_rate * by_deaths, zero, zero)
        more = self._backwards(expected, censoring, by_expected)
        by_hazard = by_rate + more[0]
        result = np.empty((len(numbers), self.size))
        self._place(result, "noise", by_rate * by_noise)
        baseline, effect, censoring_walk = self._walks
        by_log_ratio = by_hazard[:, :, 1]
        self._place(result, "baseline", by_hazard.sum(axis=(1, 2)) @ baseline.T)
        self._place(result, "effect", by_log_ratio.sum(axis=1) @ effect.T)
        by_arm = (by_censoring + more[1]).sum(axis=1)
        self._place(result, "censoring", self._arms.T @ (by_arm @ censoring_walk.T))
        if self.strata > 1:
            self._place(result, "stratum", STRATUM_SD * by_hazard.sum(axis=(2, 3)))
            self._place(result, "stratum_effect", self.stratum_effect_sd * by_log_ratio.sum(axis=2))
        if self.share_sd.any():
            by_share = self.share_sd * sizes[0] * sizes[1] / sizes.sum(axis=0)
            change = by_size + more[2]
            self._place(result, "share", (change[:, 0] - change[:, 1]) * by_share)
        return result

    def _place(self, result: Array, name: str, values: Array) -> None:
        result[:, self._layout[name][0]] = values.reshape(len(result), -1)

    def _backwards(self, table: RealisedTable, censoring: Array, given: _Gathered) -> tuple[Array, Array, Array]:
        """Carry derivatives back through the recursion: to log rates of death and censoring, and to sizes."""
        total, width = table.rate + censoring, np.diff(self.edges)
        by_exposure = given.exposure + table.rate * given.deaths + censoring * given.censored
        at_risk = given.at_risk.repeat(len(by_exposure) // len(given.at_risk), axis=0)
        at_risk[..., :-1] += by_exposure / total
        at_risk[..., 1:] -= by_exposure / total
        weighted = at_risk * table.at_risk
        by_gone = -np.cumsum(weighted[..., :0:-1], axis=-1)[..., ::-1] * width
        direct = by_gone - by_exposure * table.exposure / total
        by_rate = table.rate * (direct + table.exposure * given.deaths)
        by_censoring = censoring * (direct + table.exposure * given.censored)
        return by_rate, by_censoring, weighted.sum(axis=-1) / table.at_risk[..., 0]


def _softplus(values: Array) -> Array:
    return np.logaddexp(0.0, values)


@cache
def _noise_tables() -> tuple[CubicSpline, CubicSpline]:
    """Return ``a`` as a function of the log variance of ``g``, and ``log m`` as a function of ``a``."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    places = np.r_[np.linspace(-8, 10, 91), np.geomspace(11, 1e4, 60)]
    values = _softplus(places[:, None] + NOISE_SLOPE * nodes)
    mean = values @ weights / weights.sum()
    variance = (values - mean[:, None]) ** 2 @ weights / weights.sum() / mean**2
    order = np.argsort(variance)
    return CubicSpline(np.log(variance)[order], places[order]), CubicSpline(places, np.log(mean))


def _log_noise(noise: Array, deaths: Array) -> tuple[Array, Array, Array]:
    """Return ``log g`` and its derivatives with respect to the noise and to the expected deaths, all of one shape."""
    place_of, mean_of = _noise_tables()
    number = deaths + LEAST_DEATHS
    level = -np.log(number)
    place = place_of(level)
    inside = place + NOISE_SLOPE * noise
    value = np.maximum(_softplus(inside), 1e-300)
    slope = expit(inside) / value
    by_deaths = -(slope - mean_of(place, 1)) * place_of(level, 1) / number
    return np.log(value) - mean_of(place), NOISE_SLOPE * slope, by_deaths


@dataclass(frozen=True)
class RealisedTable:
    """Deaths and person-time by stratum, arm and interval, leading dimensions stacked.

    Parameters
    ----------
    edges
        Time grid, shape ``(T + 1,)``.
    at_risk
        Shape ``(..., C, 2, T + 1)``.
    deaths, exposure, censored, rate
        Shape ``(..., C, 2, T)``; ``rate`` is the realised rate of death.
    """

    edges: NDArray[np.float64]
    at_risk: Array = field(repr=False)
    deaths: Array = field(repr=False)
    exposure: Array = field(repr=False)
    censored: Array = field(repr=False)
    rate: Array = field(repr=False)

    _memo: dict[Hashable, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def cohort(self, cells: Cells) -> Cohort:
        """Return the patients of some cells (stratum and arm) as one cohort."""
        return self._once(cells, lambda: sum_of(self._cell(stratum, arm) for stratum, arm in cells))

    def cox(self, control: Cells, treatment: Cells) -> tuple[Array, Array]:
        """Return the Cox model's log hazard ratio and standard error for two groups of cells."""
        return self._once((control, treatment), lambda: cox(self.cohort(control), self.cohort(treatment)))

    def cox_slopes(self, control: Cells, treatment: Cells) -> tuple[Slope, Slope]:
        """Return the slopes of `cox`."""

        def both() -> tuple[Slope, Slope]:
            ratio, error = slopes.cox(self.cohort(control), self.cohort(treatment))
            groups = control, treatment
            return tuple(zip(groups, ratio, strict=True)), tuple(zip(groups, error, strict=True))

        return self._once((control, treatment, "slopes"), both)

    def _once[T](self, key: Hashable, compute: Callable[[], T]) -> T:
        if key not in self._memo:
            self._memo[key] = compute()
        return cast(T, self._memo[key])

    def _cell(self, stratum: int, arm: int) -> Cohort:
        cells = (self.at_risk, self.deaths, self.exposure, self.censored)
        return Cohort(self.edges, *(values[..., stratum, arm, :] for values in cells))


@dataclass(frozen=True)
class _Gathered:
    """Derivatives of some numbers with respect to every cell, shapes ``(numbers, C, 2, T + 1)`` and ``(..., T)``."""

    at_risk: Array
    deaths: Array
    exposure: Array
    censored: Array


def _gathered(table: RealisedTable, numbers: Sequence[Slope]) -> _Gathered:
    names = ("at_risk", "deaths", "exposure", "censored")
    gathered = _Gathered(*(np.zeros((len(numbers), *getattr(table, name).shape)) for name in names))
    for index, slope in enumerate(numbers):
        for cells, derivatives in slope:
            strata, arms = map(list, zip(*cells, strict=True))
            for name, values in derivatives.items():
                getattr(gathered, name)[index, strata, arms] += values
    return gathered
