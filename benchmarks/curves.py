"""Patients rebuilt from digitised Kaplan-Meier curves, against the patients whom the curves were drawn from.

GBSG2 and 24 simulated two-arm trials of 150 to 1,500 patients (evenly spaced sizes; Weibull survival with a median of
12 to 60 months, hazard ratios of 0.5 to 1.2, 1 to 4 years each of accrual and of further follow-up, and some patients
lost). The drawn line of each arm is followed, steps included, to 80 points evenly spaced along it; each is off by
normal errors with an SD of 0.5% of either axis. The risk table has six to eight times, evenly spaced from 0. Trials
and points depend on the seed alone; seeds and design were fixed before the method was measured on them.

For each trial: errors of the Cox log hazard ratio (lifelines), of the deaths and of the arms' medians, with the risk
table alone, with the arms' deaths too, and what remains if every death is placed rightly and only the censored are
spread evenly between the times of the risk table: about what the risk table leaves open.

Usage: python benchmarks/curves.py [--trials 24] [--seed 1]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from lifelines import CoxPHFitter
from lifelines.datasets import load_gbsg2
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from secondlook.data.cohort import MONTHS
from secondlook.data.curves.path import ArmCurve
from secondlook.data.curves.rebuilding import fit_arm
from secondlook.data.publishing import km_median

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
POINTS, JITTER = 80, 0.005
SIZES = (150, 1500)
REBUILT = {"risk table": False, "and deaths": True}  # whether the arms' deaths are known
LEFT_OPEN = "left open"
WAYS = (*REBUILT, LEFT_OPEN)


@dataclass(frozen=True)
class Trial:
    """Patients of a trial: months to death or censoring, whether it is death, and whether treated."""

    name: str
    time: Array
    event: Mask
    treatment: Mask


@dataclass(frozen=True)
class Errors:
    """Errors of one trial rebuilt in one way: of the log hazard ratio, relative ones of deaths and medians."""

    log_ratio: float
    deaths: float
    medians: tuple[float, ...] = ()


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


def digitised(time: Array, event: Mask, axis: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return points as a digitiser reads them off the drawn curve."""
    x, y = drawn(time, event)
    along = np.append(0.0, np.cumsum(np.abs(np.diff(x)) / axis + np.abs(np.diff(y))))
    at = np.linspace(0, along[-1], POINTS)
    error = JITTER * rng.normal(size=(2, POINTS))
    points = np.maximum(np.interp(at, along, x) + error[0] * axis, 0.0), np.interp(at, along, y) + error[1]
    order = np.argsort(points[0], kind="stable")
    return points[0][order], points[1][order]


def log_hazard_ratio(trial: Trial) -> float:
    import pandas as pd

    columns = {"time": np.maximum(trial.time, 1e-6), "event": trial.event, "treated": trial.treatment.astype(float)}
    return float(CoxPHFitter().fit(pd.DataFrame(columns), "time", "event").params_["treated"])


def rebuilt(trial: Trial, seed: int, number: int, ways: Mapping[str, bool] = REBUILT) -> dict[str, Trial]:
    """Return a trial rebuilt in some ways, each with the arms' deaths or without them."""
    rng = np.random.default_rng([seed, number, 1])
    axis, times = trial.time.max(), int(rng.integers(6, 9))
    table = axis * np.arange(times) / times
    parts: dict[str, list[tuple[Array, Mask, Mask]]] = {way: [] for way in (*ways, LEFT_OPEN)}
    for treated in (False, True):
        arm = trial.treatment == treated
        time, event = trial.time[arm], trial.event[arm]
        points = digitised(time, event, axis, rng)
        numbers = (time[:, None] >= table).sum(axis=0)
        some = numbers > 0
        end = max(float(points[0][-1]), float(table[some][-1]))
        for way, told in ways.items():
            deaths = int(event.sum()) if told else None
            found = fit_arm(ArmCurve(*points, table[some], numbers[some], deaths, end)).patients()
            parts[way].append((*found, np.full(found[0].size, treated)))
        parts[LEFT_OPEN].append((spread(time, event, table), event, np.full(time.size, treated)))
    return {way: Trial(trial.name, *map(np.concatenate, zip(*arms, strict=True))) for way, arms in parts.items()}


def spread(time: Array, event: Mask, table: Array) -> Array:
    """Return times with the censored spread evenly between the times of the risk table."""
    result, edges = time.copy(), np.append(table, max(time.max(), table[-1]) + 1e-9)
    for low, high in pairwise(edges.tolist()):
        inside = np.flatnonzero(~event & (time >= low) & (time < high))
        result[inside] = low + (min(high, time.max()) - low) * (np.arange(inside.size) + 0.5) / max(inside.size, 1)
    return result


def errors_of(trial: Trial, other: Trial, log_ratio: float) -> Errors:
    medians = []
    for treated in (False, True):
        one, two = (
            km_median(each.time[each.treatment == treated], each.event[each.treatment == treated])
            for each in (trial, other)
        )
        if one and two:
            medians.append(two / one - 1)
    return Errors(
        log_hazard_ratio(other) - log_ratio, float(other.event.sum() / trial.event.sum() - 1), tuple(medians)
    )


def study(trials: int, seed: int) -> Iterator[tuple[Trial, dict[str, Errors]]]:
    """Yield every trial with its errors by way."""
    sizes = np.linspace(*SIZES, trials).round().astype(int)
    every = [gbsg2(), *(simulated(number + 1, int(size), seed) for number, size in enumerate(sizes))]
    for number, trial in enumerate(every):
        log_ratio = log_hazard_ratio(trial)
        yield trial, {way: errors_of(trial, one, log_ratio) for way, one in rebuilt(trial, seed, number).items()}


def summary(name: str, values: Sequence[float]) -> list[str]:
    size = np.abs(np.array(values))
    return [name, f"{size.mean():.4f}", f"{np.median(size):.4f}", f"{size.max():.4f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console = Console()
    each = Table("trial", "patients", "deaths", *(f"log HR, {way}" for way in WAYS), "deaths, risk table")
    found: dict[str, list[Errors]] = {way: [] for way in WAYS}
    for trial, errors in study(options.trials, options.seed):
        for way, one in errors.items():
            found[way].append(one)
        off = [f"{errors[way].log_ratio:+.4f}" for way in WAYS]
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
    console.print(total)


if __name__ == "__main__":
    main()
