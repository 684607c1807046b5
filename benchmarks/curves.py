"""Patients rebuilt from digitised Kaplan-Meier curves, against the patients whom the curves were drawn from.

GBSG2 and 24 simulated two-arm trials of 150 to 1,500 patients (evenly spaced sizes; Weibull survival with a median of
12 to 60 months, hazard ratios of 0.5 to 1.2, 1 to 4 years each of accrual and of further follow-up, and some patients
lost). The drawn line of each arm is followed, steps included, to 80 points evenly spaced along it; each is off by
normal errors with an SD of 0.5% of either axis. The risk table has six to eight times, evenly spaced from 0. Trials
and points depend on the seed alone; seeds and design were fixed before the method was measured on them.

For each trial: errors of the Cox log hazard ratio (lifelines), of the deaths and of the arms' medians, with the risk
table alone, with the arms' deaths too and with nothing but these, by this package and by the usual heuristic
(`guyot.py`); and what remains if every death is placed rightly and only the censored are spread evenly between the
times of the risk table. Beside the medians stand those read straight off the points. Smaller errors of the points
(`--jitter`) tell what is left open by the risk table, however well the curve is read.

Of the imputations: z = (mean log hazard ratio of 20 draws - truth) / their SD. Calibrated draws make it 0 on average,
with an SD of 1.

Usage: python benchmarks/curves.py [--trials 24] [--seed 1] [--jitter 0.005]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from guyot import guyot
from lifelines import CoxPHFitter
from lifelines.datasets import load_gbsg2
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import isotonic_regression

from secondlook.data.cohort import MONTHS
from secondlook.data.curves.path import ArmCurve
from secondlook.data.curves.rebuilding import alike, fit_arm
from secondlook.data.estimators import cox_of_patients, kaplan_meier

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
POINTS, JITTER = 80, 0.005
SIZES = (150, 1500)
REBUILT = {"risk table": (True, False), "and deaths": (True, True), "deaths alone": (False, True)}  # what is known
USUAL = {f"Guyot, {way}": told for way, told in REBUILT.items()}
LEFT_OPEN = "left open"
WAYS = (*REBUILT, *USUAL, LEFT_OPEN)
DRAWS = 20


@dataclass(frozen=True)
class Trial:
    """Patients of a trial: months to death or censoring, whether it is death, and whether treated."""

    name: str
    time: Array
    event: Mask
    treatment: Mask


@dataclass(frozen=True)
class Errors:
    """Errors of one trial rebuilt in one way: of the log hazard ratio, relative ones of deaths and medians.

    ``z`` is the error of the draws' mean log hazard ratio in their SDs.
    """

    log_ratio: float
    deaths: float
    medians: tuple[float, ...] = ()
    z: float | None = None


def gbsg2() -> Trial:
    patients = load_gbsg2()
    event, treatment = patients["cens"].to_numpy() == 1, patients["horTh"].to_numpy() == "yes"
    return Trial("GBSG2", patients["time"].to_numpy() / MONTHS["days"], event, treatment)


def simulated(number: int, size: int, seed: int) -> Trial:
    """Return a simulated trial."""
    rng = np.random.default_rng([seed, number])
    treatment = rng.permutation(np.arange(size) % 2 == 1)
    ratio = math.exp(rng.uniform(math.log(0.5), math.log(1.2)))
    shape, median = rng.uniform(0.7, 1.6), rng.uniform(12, 60)
    scale = median / math.log(2) ** (1 / shape)
    death = scale * (rng.exponential(size=size) / np.where(treatment, ratio, 1.0)) ** (1 / shape)
    closing = rng.uniform(12, 48) + rng.uniform(0, rng.uniform(12, 48), size)
    closing = np.minimum(closing, rng.exponential(size=size) * rng.uniform(60, 400))
    return Trial(f"{number}", np.minimum(death, closing), death <= closing, treatment)


def drawn(time: Array, event: Mask) -> tuple[Array, Array]:
    """Return the corners of a Kaplan-Meier curve as it is drawn, up to the last patient."""
    order = np.lexsort((~event, time))
    steps = np.cumprod(np.where(event[order], 1 - 1 / np.arange(time.size, 0, -1), 1.0))[event[order]]
    died = time[order][event[order]]
    level = np.append(1.0, steps)
    return np.concatenate([[0.0], np.repeat(died, 2), [time.max()]]), np.repeat(level, 2)


def digitised(
    time: Array, event: Mask, axis: float, rng: np.random.Generator, jitter: float = JITTER
) -> tuple[Array, Array]:
    """Return points as a digitiser reads them off the drawn curve."""
    x, y = drawn(time, event)
    along = np.append(0.0, np.cumsum(np.abs(np.diff(x)) / axis + np.abs(np.diff(y))))
    at = np.linspace(0, along[-1], POINTS)
    error = jitter * rng.normal(size=(2, POINTS))
    points = np.maximum(np.interp(at, along, x) + error[0] * axis, 0.0), np.interp(at, along, y) + error[1]
    order = np.argsort(points[0], kind="stable")
    return points[0][order], points[1][order]


def log_hazard_ratio(trial: Trial) -> float:
    import pandas as pd

    columns = {"time": np.maximum(trial.time, 1e-6), "event": trial.event, "treated": trial.treatment.astype(float)}
    return float(CoxPHFitter().fit(pd.DataFrame(columns), "time", "event").params_["treated"])


def pages(trial: Trial, seed: int, number: int, jitter: float = JITTER) -> Iterator[tuple[Array, Mask, ArmCurve]]:
    """Yield the patients of each arm, times and deaths, with the points and the risk table that a paper shows."""
    rng = np.random.default_rng([seed, number, 1])
    axis, times = trial.time.max(), int(rng.integers(6, 9))
    table = axis * np.arange(times) / times
    for treated in (False, True):
        arm = trial.treatment == treated
        time, event = trial.time[arm], trial.event[arm]
        points = digitised(time, event, axis, rng, jitter)
        numbers = (time[:, None] >= table).sum(axis=0)
        some = numbers > 0
        end = max(float(points[0][-1]), float(table[some][-1]))
        yield time, event, ArmCurve(*points, table[some], numbers[some], None, end)


def read_off(trial: Trial, seed: int, number: int, jitter: float = JITTER) -> Iterator[float]:
    """Yield relative errors of medians taken from where the points themselves, made monotone, cross one half."""
    for time, event, known in pages(trial, seed, number, jitter):
        survival = isotonic_regression(known.survival, increasing=False).x
        median = kaplan_meier(time, event).median
        if median and survival[-1] < 0.5:
            yield float(np.interp(-0.5, -survival, known.time)) / median - 1


def rebuilt(
    trial: Trial, seed: int, number: int, ways: Sequence[str] = WAYS, jitter: float = JITTER, draws: int = 0
) -> dict[str, list[Trial]]:
    """Return a trial rebuilt in some ways, each followed by its draws where it has any."""
    parts: dict[str, list[list[tuple[Array, Mask, Mask]]]] = {way: [] for way in ways}
    arms = list(pages(trial, seed, number, jitter))
    for way in ways:
        if way in REBUILT:
            fits = alike(*(fit_arm(told(known, event, *REBUILT[way])) for _, event, known in arms))
        for treated, (time, event, known) in enumerate(arms):
            if way == LEFT_OPEN:
                sets = [(spread(time, event, known.risk_times), event)]
            elif way in USUAL:
                sets = [guyot(told(known, event, *USUAL[way]))]
            else:
                sources = _sources(seed, number, treated, draws)
                sets = [fits[treated].patients(), *(fits[treated].patients(rng) for rng in sources)]
            parts[way].append([(*one, np.full(one[0].size, bool(treated))) for one in sets])
    return {
        way: [Trial(trial.name, *map(np.concatenate, zip(*one, strict=True))) for one in zip(*arms, strict=True)]
        for way, arms in parts.items()
    }


def told(known: ArmCurve, event: Mask, table: bool, deaths: bool) -> ArmCurve:
    """Return what a paper tells that prints a risk table, deaths, or both."""
    events = int(event.sum()) if deaths else None
    if table:
        return replace(known, events=events)
    start, end = known.risk_times[:1], float(known.time[-1])
    return replace(known, events=events, risk_times=start, at_risk=known.at_risk[:1], end=end)


def _sources(seed: int, number: int, treated: int, draws: int) -> Iterator[np.random.Generator]:
    return (np.random.default_rng([seed, number, 2, treated, draw]) for draw in range(draws))


def spread(time: Array, event: Mask, table: Array) -> Array:
    """Return times with the censored spread evenly between the times of the risk table."""
    result, edges = time.copy(), np.append(table, max(time.max(), table[-1]) + 1e-9)
    for low, high in pairwise(edges.tolist()):
        inside = np.flatnonzero(~event & (time >= low) & (time < high))
        result[inside] = low + (min(high, time.max()) - low) * (np.arange(inside.size) + 0.5) / max(inside.size, 1)
    return result


def errors_of(trial: Trial, other: Trial, log_ratio: float, draws: Sequence[Trial] = ()) -> Errors:
    medians = []
    for treated in (False, True):
        one, two = (
            kaplan_meier(each.time[each.treatment == treated], each.event[each.treatment == treated]).median
            for each in (trial, other)
        )
        if one and two:
            medians.append(two / one - 1)
    drawn_ratios = [cox_of_patients(one.time, one.event, one.treatment)[0] for one in draws]
    return Errors(
        log_hazard_ratio(other) - log_ratio,
        float(other.event.sum() / trial.event.sum() - 1),
        tuple(medians),
        float((np.mean(drawn_ratios) - log_ratio) / np.std(drawn_ratios, ddof=1)) if draws else None,
    )


def study(
    trials: int, seed: int, jitter: float = JITTER
) -> Iterator[tuple[Trial, dict[str, Errors], tuple[float, ...]]]:
    """Yield every trial with its errors by way, and those of medians read straight off the points."""
    sizes = np.linspace(*SIZES, trials).round().astype(int)
    every = [gbsg2(), *(simulated(number + 1, int(size), seed) for number, size in enumerate(sizes))]
    for number, trial in enumerate(every):
        log_ratio = log_hazard_ratio(trial)
        made = rebuilt(trial, seed, number, jitter=jitter, draws=DRAWS)
        errors = {way: errors_of(trial, one, log_ratio, draws) for way, (one, *draws) in made.items()}
        yield trial, errors, tuple(read_off(trial, seed, number, jitter))


def summary(name: str, values: Sequence[float]) -> list[str]:
    size = np.abs(np.array(values))
    return [name, f"{size.mean():.4f}", f"{np.median(size):.4f}", f"{size.max():.4f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jitter", type=float, default=JITTER)
    options = parser.parse_args()
    console = Console()
    shown = (*REBUILT, LEFT_OPEN)
    each = Table("trial", "patients", "deaths", *(f"log HR, {way}" for way in shown), "deaths, risk table")
    found: dict[str, list[Errors]] = {way: [] for way in WAYS}
    straight: list[float] = []
    for trial, errors, medians in study(options.trials, options.seed, options.jitter):
        straight += medians
        for way, one in errors.items():
            found[way].append(one)
        off = [f"{errors[way].log_ratio:+.4f}" for way in shown]
        each.add_row(
            trial.name, f"{trial.time.size}", f"{trial.event.sum()}", *off, f"{errors['risk table'].deaths:+.2%}"
        )
    console.print(each)
    total = Table("absolute error", "mean", "median", "largest")
    for way, all_errors in found.items():
        total.add_row(*summary(f"log hazard ratio, {way}", [one.log_ratio for one in all_errors]))
        if way != LEFT_OPEN:
            total.add_row(*summary(f"deaths, {way}", [one.deaths for one in all_errors]))
            total.add_row(*summary(f"medians, {way}", [value for one in all_errors for value in one.medians]))
    total.add_row(*summary("medians, read straight off the points", straight))
    console.print(total)
    draws = Table("imputations", "mean of z", "SD of z", "|z| < 1.96")
    for way in REBUILT:
        z = np.array([one.z for one in found[way]], dtype=float)
        draws.add_row(way, f"{z.mean():+.2f}", f"{z.std(ddof=1):.2f}", f"{(np.abs(z) < 1.96).mean():.0%}")
    console.print(draws)


if __name__ == "__main__":
    main()
