"""What becomes of simulated papers: coherent ones are rebuilt, and one wrong number in a paper is named.

A trial has 60 to 2,000 patients, a quarter of them divided 2:1; Weibull survival, a constant hazard ratio, entry over
one to five years, a common end, and some patients lost. Its paper prints patients, deaths and the hazard ratio with
its interval; survival at 12 and 24 months with intervals, or (a third) medians with intervals; and of follow-up mean,
SD and median, or one of them, or nothing.

Coherent papers: how many are refused, have a number more than one unit of its last digit off, or a culprit named; and
how often the range (95%) of survival over the rebuilt tables, at times at which nothing is printed, holds the
patients' Kaplan-Meier estimate, before and after the last printed time, with the ranges' mean width.

Incoherent papers: one number of a coherent one is made wrong (hazard ratio inverted, a landmark or the deaths of the
other arm, 40% typed as 4%), by four or more of its standard errors; how many have that number named, and no other.

Usage: python benchmarks/papers.py [--papers 200] [--wrong 100] [--tables 200] [--seed 1]
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from secondlook.data import InputError
from secondlook.data import cohort as measure
from secondlook.data.estimators import cox_of_patients, kaplan_meier
from secondlook.data.fields import ARMS
from secondlook.data.publishing import QUANTILE
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction import Reconstruction, reconstruct
from secondlook.data.subgroup import OVERALL

LANDMARKS = (12.0, 24.0)
AFTER = (1.15, 1.4, 1.7)  # times the last printed time
BEFORE = (0.25, 0.75)
FEWEST_LEFT = 10  # at risk, where a range is judged
FEWEST_DEATHS = 5  # of each arm
STANDARD_ERRORS = 4.0


@dataclass(frozen=True)
class Simulated:
    """A trial and its paper.

    Parameters
    ----------
    time, event, treatment
        Patients, shape ``(n,)``; time in months.
    fields
        What the paper prints: an unchecked record.
    """

    time: np.ndarray
    event: np.ndarray
    treatment: np.ndarray
    fields: dict[str, Any]

    def arm(self, arm: str) -> tuple[np.ndarray, np.ndarray]:
        """Return times and events of one arm."""
        inside = self.treatment == (arm == "treatment")
        return self.time[inside], self.event[inside]


def simulate(rng: np.random.Generator) -> Simulated:
    """Simulate a trial with at least `FEWEST_DEATHS` deaths in each arm, and print it."""
    while True:
        size = round(math.exp(rng.uniform(math.log(60), math.log(2000))))
        share = 2 / 3 if rng.uniform() < 0.25 else 1 / 2
        treatment = rng.permutation(np.arange(size) < round(share * size))
        shape, median = rng.uniform(0.8, 1.4), rng.uniform(12, 60)
        ratio = rng.uniform(0.5, 1.2)
        death = median * (rng.exponential(size=size) / math.log(2) / ratio**treatment) ** (1 / shape)
        accrual, further = rng.uniform(12, 60), rng.uniform(6, 36)
        closing = further + rng.uniform(0, accrual, size)
        lost = rng.exponential(rng.uniform(120, 600), size)
        time = np.maximum(np.minimum(np.minimum(death, closing), lost), 1e-3)
        event = (death <= closing) & (death <= lost)
        enough = all(event[treatment == arm].sum() >= FEWEST_DEATHS for arm in (False, True))
        followed = all((time[treatment == arm] >= LANDMARKS[-1]).sum() >= FEWEST_DEATHS for arm in (False, True))
        if enough and followed:
            trial = Simulated(time, event, treatment, {})
            return Simulated(time, event, treatment, _paper(trial, rng))


def _paper(trial: Simulated, rng: np.random.Generator) -> dict[str, Any]:
    medians = [kaplan_meier(*trial.arm(arm)).median for arm in ARMS]
    by_median = rng.uniform() < 1 / 3 and None not in medians
    told = rng.choice(["all", "median", "mean", "none"], p=[0.4, 0.2, 0.15, 0.25])
    return {
        "schema": 1,
        "id": "simulated",
        "title": "A simulated paper",
        "landmarks": [] if by_median else list(LANDMARKS),
        "arms": {
            arm: {"label": arm, "patients": len(trial.arm(arm)[0]), "events": int(trial.arm(arm)[1].sum())}
            for arm in ARMS
        },
        "survival": [] if by_median else [_landmark(trial, arm, time) for arm in ARMS for time in LANDMARKS],
        "median": [_median(trial, arm) for arm in ARMS] if by_median else [],
        "follow_up": [row for arm in ARMS if (row := _follow_up(trial, arm, told))],
        "hazard_ratio": [_hazard_ratio(trial)],
    }


def _landmark(trial: Simulated, arm: str, time: float) -> dict[str, Any]:
    curve = kaplan_meier(*trial.arm(arm))
    estimate, variance = float(curve.at(time)), float(curve.variance_at(time))
    row = {"arm": arm, "time": time, "estimate": f"{estimate:.2f}"}
    if not 0 < estimate < 1:
        return row
    powers = np.exp(np.array([1, -1]) * QUANTILE * math.sqrt(variance) / abs(math.log(estimate)))
    return row | {"ci": [f"{estimate**power:.2f}" for power in powers]}


def _median(trial: Simulated, arm: str) -> dict[str, Any]:
    """Return the median with its interval by Brookmeyer and Crowley, where its limits exist."""
    time, event = trial.arm(arm)
    made, times = kaplan_meier(time, event), np.unique(time[event])
    found, curve = made.median, zip(times, made.at(times), made.variance_at(times), strict=True)
    inside = [at for at, s, v in curve if 0 < s < 1 and abs(math.log(s) - math.log(0.5)) <= QUANTILE * math.sqrt(v)]
    row = {"arm": arm, "estimate": f"{found:.1f}"}
    return row | ({"ci": [f"{inside[0]:.1f}", f"{max(inside[-1], found):.1f}"]} if inside else {})


def _follow_up(trial: Simulated, arm: str, told: str) -> dict[str, Any]:
    time, _ = trial.arm(arm)
    numbers = {"mean": f"{time.mean():.1f}", "sd": f"{time.std(ddof=1):.1f}", "median": f"{np.median(time):.1f}"}
    if told == "none":
        return {}
    return {"arm": arm} | {name: text for name, text in numbers.items() if told in ("all", name)}


def _hazard_ratio(trial: Simulated) -> dict[str, Any]:
    log_ratio, error = cox_of_patients(trial.time, trial.event, trial.treatment)
    limits = [f"{math.exp(log_ratio + z * error):.2f}" for z in (-QUANTILE, QUANTILE)]
    return {"estimate": f"{math.exp(log_ratio):.2f}", "ci": limits}


@dataclass(frozen=True)
class Verdict:
    """What became of one coherent paper.

    Parameters
    ----------
    refused
        Whether it could not be rebuilt.
    off
        Distance of the worst number from print, in units of its last digit.
    culprits
        Numbers named as contradicting all others.
    ranges
        Whether each range holds the patients' estimate, how wide it is, and whether it lies after the last print.
    """

    refused: bool
    off: float
    culprits: tuple[str, ...]
    ranges: tuple[tuple[bool, float, bool], ...] = ()


def judge(trial: Simulated, tables: int, seed: int) -> Verdict:
    """Rebuild a coherent paper and hold it to its patients."""
    try:
        rebuilt = reconstruct(parse_record(trial.fields), imputations=tables, seed=seed)
    except InputError:
        return Verdict(True, math.inf, ())
    sheet = rebuilt.fit_sheet
    off = sheet[sheet.used].half_widths_off.abs().max() / 2
    return Verdict(False, float(off), rebuilt.warnings, tuple(_ranges(trial, rebuilt)))


def _ranges(trial: Simulated, rebuilt: Reconstruction) -> Iterator[tuple[bool, float, bool]]:
    printed = [item.time for item in rebuilt.record.survival]
    printed += [item.estimate.value for item in rebuilt.record.median if item.estimate]
    for arm in ARMS:
        time, event = trial.arm(arm)
        cohort = rebuilt._tables.cohort(rebuilt.strata.cells(OVERALL, arm))
        for share in (*BEFORE, *AFTER):
            at = share * max(printed)
            if (time >= at).sum() >= FEWEST_LEFT and at <= rebuilt.unknowns.edges[-1]:
                low, high = np.quantile(measure.survival(cohort, at), [0.025, 0.975])
                truth = float(kaplan_meier(time, event).at(at))
                yield bool(low <= truth <= high), float(high - low), share > 1


WRONG = ("hazard ratio inverted", "landmark of the other arm", "deaths of the other arm", "40% typed as 4%")


def spoil(trial: Simulated, how: str) -> tuple[dict[str, Any], str] | None:
    """Return the paper with one number wrong and what that number is called, or none where it is not wrong enough."""
    fields = copy.deepcopy(trial.fields)
    if how == "hazard ratio inverted":
        (row,) = fields["hazard_ratio"]
        ratio = [float(row["estimate"]), *map(float, row["ci"])]
        error = math.log(ratio[2] / ratio[1]) / 2 / QUANTILE
        row |= {"estimate": f"{1 / ratio[0]:.2f}", "ci": [f"{1 / ratio[2]:.2f}", f"{1 / ratio[1]:.2f}"]}
        return (fields, "hazard_ratio") if abs(2 * math.log(ratio[0])) >= STANDARD_ERRORS * error else None
    if how == "deaths of the other arm":
        control, treatment = (fields["arms"][arm] for arm in ARMS)
        share, size = treatment["events"] / treatment["patients"], treatment["patients"]
        off = abs(control["events"] - treatment["events"])
        if control["events"] > size or off < STANDARD_ERRORS * math.sqrt(size * share * (1 - share)):
            return None
        treatment["events"] = control["events"]
        return fields, "deaths treatment"
    for first, second in zip(fields["survival"][:2], fields["survival"][2:], strict=True):
        if "ci" in first and "ci" in second:
            error = (float(second["ci"][1]) - float(second["ci"][0])) / 2 / QUANTILE
            value = float(second["estimate"])
            other = float(first["estimate"]) if how.startswith("landmark") else value / 10
            if abs(other - value) >= STANDARD_ERRORS * error and other > 0.005:
                second["estimate"] = f"{other:.2f}" if how.startswith("landmark") else f"{other:.3f}"
                if how.startswith("landmark"):
                    second["ci"] = first["ci"]
                else:
                    del second["ci"]  # records refuse an estimate outside its interval
                return fields, f"survival treatment at {second['time']:g}"
    return None


def named(fields: dict[str, Any], seed: int) -> tuple[str, ...]:
    """Return the numbers that are named as contradicting all others."""
    try:
        return reconstruct(parse_record(fields), imputations=0, seed=seed).warnings
    except InputError as error:
        return (str(error),)


def coherent(papers: int, tables: int, seed: int) -> list[Verdict]:
    """Simulate and judge coherent papers."""
    return [judge(simulate(np.random.default_rng([seed, index])), tables, index) for index in range(papers)]


def incoherent(papers: int, seed: int) -> list[tuple[str, str, tuple[str, ...]]]:
    """Simulate papers with one number wrong: what is wrong, the number, and what is named."""
    found, index = [], 0
    while len(found) < papers:
        how = WRONG[len(found) % len(WRONG)]
        spoiled = spoil(simulate(np.random.default_rng([seed, 1_000_000 + index])), how)
        index += 1
        if spoiled:
            found.append((how, spoiled[1], named(spoiled[0], index)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--papers", type=int, default=200)
    parser.add_argument("--wrong", type=int, default=100)
    parser.add_argument("--tables", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    console = Console()
    if options.papers:
        _print_coherent(console, coherent(options.papers, options.tables, options.seed))
    if options.wrong:
        _print_incoherent(console, incoherent(options.wrong, options.seed))


def _print_coherent(console: Console, verdicts: list[Verdict]) -> None:
    console.print(f"{len(verdicts)} coherent papers")
    console.print(f"  refused {sum(verdict.refused for verdict in verdicts)}")
    off = sum(verdict.off > 1 for verdict in verdicts)
    console.print(f"  with a number more than one printed unit off {off} ({off / len(verdicts):.1%})")
    console.print(f"  with a culprit named {sum(bool(verdict.culprits) for verdict in verdicts)}")
    for after, when in ((False, "before"), (True, "after")):
        ranges = [one for verdict in verdicts for one in verdict.ranges if one[2] == after]
        held, n = sum(hold for hold, _, _ in ranges), len(ranges)
        low, high = binom.interval(0.95, n, held / n) if n else (0, 0)
        width = np.mean([width for _, width, _ in ranges])
        console.print(
            f"  ranges {when} the last printed time: {held / n:.1%} of {n} hold the patients' estimate"
            f" ({low / n:.1%}-{high / n:.1%} by chance), mean width {width:.3f}"
        )


def _print_incoherent(console: Console, found: list[tuple[str, str, tuple[str, ...]]]) -> None:
    table = Table("wrong", "papers", "named", "another instead", "nothing")
    for how in WRONG:
        rows = [(number, names) for one, number, names in found if one == how]
        right = sum(any(f"printed {number}" in name for name in names) for number, names in rows)
        silent = sum(not names for _, names in rows)
        table.add_row(how, *map(str, (len(rows), right, len(rows) - right - silent, silent)))
    console.print(table)


if __name__ == "__main__":
    main()
