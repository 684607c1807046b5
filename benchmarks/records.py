"""Whether `reanalyse` comes to an end on any valid record: random ones of every source, mostly at the edge.

Each record is of one of `KINDS` in turn: a usual trial, 8 to 20 patients, 20,000 patients, no events in an arm, all
die, times rounded so that they tie, everybody dying at about the same time, 2:1, times in days and in years. What is
printed, digitised or measured of its patients is drawn at random: survival or medians, with intervals or without,
risk tables, deaths, follow-up, subgroups, a baseline table, secondary endpoints; points as software or a hand reads
them; factors by level or by cut, some of them not known of everybody, and delayed entry.

Each goes through the library as the command does it: `reanalyse`, tables and posteriors saved and read back, every
figure, the text for the terminal. One that is refused is told with its message; one that fails with its last line.
Compiled models of one shape are shared. With ``--made-up`` nothing is sampled: draws are made up, which takes a tenth
of the time and finds whatever does not depend on them.

Usage: python benchmarks/records.py [--records 100] [--only published|curves|patients] [--number N] [--seed 1]
                                    [--made-up]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from rich.console import Console
from rich.table import Table

from secondlook import figures, inference
from secondlook.cli import summary
from secondlook.data import InputError
from secondlook.data.estimators import cox_of_patients, kaplan_meier
from secondlook.data.fields import ARMS
from secondlook.data.publishing import QUANTILE
from secondlook.data.reading import parse_record
from secondlook.data.record import Record
from secondlook.inference import Options, fitting, overall, refits
from secondlook.inference.sampling import INTERNAL
from secondlook.inference.tables import TABLES

SOURCES = ("published", "curves", "patients")
KINDS = ("usual", "tiny", "huge", "no events in an arm", "all die", "ties", "one interval", "2:1", "days", "years")
MONTHS = {"days": 365.25 / 12, "weeks": 365.25 / 84, "months": 1.0, "years": 1 / 12}  # of a unit in a month
FACTORS = {"a": ("yes", "no"), "b": ("low", "middle", "high"), "c": ("0", "1")}
DRAWS, CHAINS, IMPUTATIONS = 100, 2, 2
SPREAD = {"alpha": 0.1, "log_odds": 0.3}  # of made-up draws; all others are effects and their SDs


@dataclass(frozen=True)
class Trial:
    """Patients, shape ``(n,)``: time in ``unit``, events, who is treated, and their factors."""

    kind: str
    unit: str
    time: np.ndarray
    event: np.ndarray
    treatment: np.ndarray
    factors: dict[str, np.ndarray]

    def arm(self, arm: str, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return times and events of one arm, or of its patients in a subgroup."""
        inside = (self.treatment == (arm == "treatment")) & (True if where is None else where)
        return self.time[inside], self.event[inside]


def simulate(kind: str, rng: np.random.Generator) -> Trial:
    """Simulate a trial of a kind."""
    sizes = {"tiny": (8, 20), "huge": (20_000, 20_001), "one interval": (20, 200)}
    size = int(rng.integers(*sizes.get(kind, (40, 800))))
    share = 2 / 3 if kind == "2:1" else 1 / 2
    treatment = rng.permutation(np.arange(size) < round(share * size))
    factors = {name: rng.choice(levels, size) for name, levels in FACTORS.items()}
    shape, median, ratio = rng.uniform(0.7, 1.6), math.exp(rng.uniform(1, 4.2)), math.exp(rng.uniform(-1.2, 0.4))
    death = median * (rng.exponential(size=size) / math.log(2) / ratio**treatment) ** (1 / shape)
    accrual, further = rng.uniform(0, 60), rng.uniform(3, 48)
    closing = further + rng.uniform(0, 1, size) * accrual
    if kind == "one interval":
        death = np.where(rng.uniform(size=size) < 0.6, median + rng.uniform(0, 0.01, size), math.inf)
        closing = median * 1.5 + rng.uniform(0, 1, size)
    if kind == "all die":
        closing = np.full(size, math.inf)
    if kind == "no events in an arm":
        death[treatment == bool(rng.integers(2))] = math.inf
    time, event = np.minimum(death, closing), death <= closing
    unit = kind if kind in MONTHS else str(rng.choice([*MONTHS]))
    time = np.maximum(time * MONTHS[unit], 1e-3 * MONTHS[unit])
    if kind == "ties":
        step = max(time.max() / 8, 1e-3)
        time = np.maximum(np.ceil(time / step), 1) * step
    return Trial(kind, unit, np.maximum(time.round(4), 1e-4), event, treatment, factors)


def fields(trial: Trial, name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return what any source may tell beside its curves or patients: an unchecked record."""
    told: dict[str, Any] = {"schema": 1, "id": name, "title": f"A trial: {trial.kind}", "time_unit": trial.unit}
    told["endpoint"] = str(rng.choice(["overall survival", "progression-free survival"]))
    if rng.uniform() < 0.5:
        told["landmarks"] = sorted({float(f"{trial.time.max() * share:.2g}") for share in (0.3, 0.7)})
    if rng.uniform() < 0.3:
        told["baseline"] = [_baseline(trial, level) for level in FACTORS["a"]]
    if rng.uniform() < 0.3:
        told["binary"] = [_binary(trial, rng) for _ in range(2)]
    return told


def _baseline(trial: Trial, level: str) -> dict[str, Any]:
    has = trial.factors["a"] == level
    cells = {arm: {"n": int(has[trial.treatment == (arm == "treatment")].sum())} for arm in ARMS}
    return {"group": "A", "label": level, **cells}


def _binary(trial: Trial, rng: np.random.Generator) -> dict[str, Any]:
    sizes = {arm: len(trial.arm(arm)[0]) for arm in ARMS}
    events = {arm: int(rng.binomial(size, rng.choice([0, 0.1, 0.6, 1]))) for arm, size in sizes.items()}
    proportions = {arm: {"events": events[arm], "patients": sizes[arm]} for arm in ARMS}
    return {"label": f"Endpoint {rng.integers(1e6)}", "favourable": str(rng.choice(["fewer", "more"])), **proportions}


def published(trial: Trial, name: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return the record of a paper that prints some of a trial's numbers."""
    told = fields(trial, name, rng)
    events = rng.uniform() < 0.7
    told["arms"] = {arm: _arm(trial, arm, events) for arm in ARMS}
    digits, intervals = int(rng.integers(2, 4)), rng.uniform() < 0.6
    shares = rng.choice([0.15, 0.3, 0.5, 0.7, 0.9], int(rng.integers(1, 4)), replace=False)
    times = sorted({float(f"{trial.time.max() * share:.3g}") for share in shares})
    told["survival"] = [row for arm in ARMS for at in times if (row := _survival(trial, arm, at, digits, intervals))]
    if rng.uniform() < 0.4:
        medians = {arm: kaplan_meier(*trial.arm(arm)).median for arm in ARMS}
        told["median"] = [{"arm": arm, "estimate": f"{found:.4g}"} for arm, found in medians.items() if found]
    if rng.uniform() < 0.5:
        told["follow_up"] = [_follow_up(trial, arm) for arm in ARMS]
    if rng.uniform() < 0.4:
        told["at_risk"] = [_at_risk(trial, arm, 5) for arm in ARMS]
    return told | _ratios(trial, rng)


def _arm(trial: Trial, arm: str, events: bool) -> dict[str, Any]:
    time, event = trial.arm(arm)
    return {"label": f"Arm {arm}", "patients": len(time)} | ({"events": int(event.sum())} if events else {})


def _survival(trial: Trial, arm: str, at: float, digits: int, intervals: bool) -> dict[str, Any]:
    times, events = trial.arm(arm)
    if at > times.max():
        return {}
    curve = kaplan_meier(times, events)
    estimate, variance = float(curve.at(at)), float(curve.variance_at(at))
    row = {"arm": arm, "time": at, "estimate": f"{estimate:.{digits}f}"}
    if not intervals or not 0 < float(row["estimate"]) < 1:
        return row
    powers = np.exp(np.array([1, -1]) * QUANTILE * math.sqrt(variance) / abs(math.log(estimate)))
    return row | {"ci": [f"{estimate**power:.{digits}f}" for power in powers]}


def _follow_up(trial: Trial, arm: str) -> dict[str, Any]:
    time, _ = trial.arm(arm)
    return {"arm": arm, "median": f"{np.median(time):.4g}", "mean": f"{time.mean():.4g}"}


def _at_risk(trial: Trial, arm: str, columns: int) -> dict[str, Any]:
    times = [float(f"{trial.time.max() * share:.3g}") for share in np.arange(columns) / columns]
    return {"arm": arm, "times": times, "patients": [int((trial.arm(arm)[0] >= at).sum()) for at in times]}


def _ratios(trial: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Return printed hazard ratios: of all, and of some subgroups; of all none now and then."""
    rows = [] if rng.uniform() < 0.2 else [({}, np.full(trial.time.size, True), "All")]
    chosen = [name for name in FACTORS if rng.uniform() < 0.4]
    for name in chosen:
        rows += [({name: level}, trial.factors[name] == level, f"{name} {level}") for level in FACTORS[name]]
    ratios = [row for where, inside, label in rows if (row := _ratio(trial, where, inside, label))]
    named = {name: {"label": name.upper(), "levels": list(FACTORS[name])} for name in chosen}
    return {"hazard_ratio": ratios, "factors": named}


def _ratio(trial: Trial, where: dict[str, str], inside: np.ndarray, label: str) -> dict[str, Any]:
    arms = [trial.arm(arm, inside) for arm in ARMS]
    if any(event.sum() < 2 for _, event in arms):
        return {}
    log_ratio, error = cox_of_patients(trial.time[inside], trial.event[inside], trial.treatment[inside])
    estimate, *limits = (f"{math.exp(log_ratio + z * error):.2f}" for z in (0, -QUANTILE, QUANTILE))
    possible = float(limits[0]) > 0 and math.isfinite(float(limits[1]))
    return {"estimate": estimate, "ci": limits, "where": where, "label": label} if possible else {}


def curves(trial: Trial, name: str, rng: np.random.Generator, folder: Path) -> dict[str, Any]:
    """Return the record of digitised curves, and write them."""
    told = fields(trial, name, rng)
    told["arms"] = {arm: _arm(trial, arm, rng.uniform() < 0.5) for arm in ARMS}
    told["curve"] = []
    how = rng.choice(["steps", "hand", "percent"])
    for arm in ARMS:
        file = f"{name}-{arm}.csv"
        _points(*trial.arm(arm), str(how), rng).to_csv(folder / file, index=False)
        told["curve"].append({"arm": arm, "file": file})
    if rng.uniform() < 0.6:
        told["at_risk"] = [_at_risk(trial, arm, int(rng.integers(2, 8))) for arm in ARMS]
    return told | _ratios(trial, rng)


def _points(times: np.ndarray, event: np.ndarray, how: str, rng: np.random.Generator) -> pd.DataFrame:
    """Return points of a Kaplan-Meier curve: every step of it, or some as a hand reads them, perhaps in percent."""
    died = np.unique(times[event])
    at = np.append(0.0, died) if how == "steps" else np.linspace(0, times.max(), int(rng.integers(8, 80)))
    order = np.sort(times)
    at_risk = times.size - np.searchsorted(order, died)
    deaths = np.bincount(np.searchsorted(died, times[event]), minlength=died.size)
    levels = np.append(1.0, np.cumprod(1 - deaths / at_risk))
    survival = levels[np.searchsorted(died, at, "right")]
    if how != "steps":
        survival = np.clip(survival + 0.004 * rng.normal(size=at.size) * (at > 0), 0, 1).round(4)
    if how == "steps" and at[-1] < times.max():
        at, survival = np.append(at, times.max()), np.append(survival, survival[-1])
    return pd.DataFrame({"time": at, "survival": 100 * survival if how == "percent" else survival})


def patients(trial: Trial, name: str, rng: np.random.Generator, folder: Path) -> dict[str, Any]:
    """Return the record of known patients, and write them."""
    told = fields(trial, name, rng)
    told["arms"] = {arm: {"label": f"Arm {arm}"} for arm in ARMS}
    frame = pd.DataFrame({"time": trial.time, "died": 1 * trial.event, "arm": np.where(trial.treatment, "T", "C")})
    source: dict[str, Any] = {"file": f"{name}.csv", "time": "time", "event": "died", "arm": "arm"}
    source |= {"control": "C", "treatment": "T", "unit": trial.unit}
    chosen = [one for one in FACTORS if rng.uniform() < 0.5]
    named = {one: {"label": one.upper(), "levels": list(FACTORS[one])} for one in chosen}
    for one in chosen:
        frame[one] = trial.factors[one]
        if rng.uniform() < 0.3:
            frame.loc[rng.uniform(size=len(frame)) < 0.1, one] = ""
    if rng.uniform() < 0.3:
        frame["age"] = rng.uniform(20, 90, len(frame)).round()
        named["age"] = {"label": "Age", "levels": ["<60", "60+"]}
        source["cut"] = {"age": [60.0]}
        chosen.append("age")
    if chosen and rng.uniform() < 0.3:
        source["stratify"] = chosen[0]
    if rng.uniform() < 0.2:
        frame["entry"] = (frame["time"] * rng.choice([0, 0.3], len(frame))).round(5)
        source["entry"] = "entry"
    frame.to_csv(folder / source["file"], index=False)
    told |= {"patients": source | {"factors": chosen}, "factors": named}
    if rng.uniform() < 0.3:
        told["hazard_ratio"] = [row for row in _ratios(trial, rng)["hazard_ratio"] if not row["where"]]
    return told


def record(source: str, number: int, seed: int, folder: Path) -> tuple[str, Record]:
    """Return the kind of a random record, and the record, whose files are written."""
    rng = np.random.default_rng([seed, SOURCES.index(source), number])
    trial = simulate(KINDS[number % len(KINDS)], rng)
    name = f"{source}-{seed}-{number}"
    if source == "published":
        told = published(trial, name, rng)
    else:
        told = (curves if source == "curves" else patients)(trial, name, rng, folder)
    return trial.kind, parse_record(told, name).located(folder, name)


def finish(trial: Record, options: Options, directory: Path, *, draw: bool = True) -> Iterator[str]:
    """Do what the command does with a record, drawing figures or not; yield what is not as it must be."""
    notes: list[str] = []
    found = inference.reanalyse(trial, options, notes.append)
    found.save(directory)
    again = inference.load(directory)
    yield from (
        f"table {table.name} comes back otherwise"
        for table in TABLES
        if list(again[table.name]) != list(found[table.name])
    )
    if draw:
        figures.write_figures(found, directory / "figures", notify=notes.append)
    yield from (note for note in notes if note.startswith("note: figure"))
    with contextlib.redirect_stdout(io.StringIO()):
        summary.reanalysis(found, directory)
    lost = found.estimates[found.estimates[["median", "lower", "upper"]].isna().any(axis=1)]
    yield from (f"{row.model} {row.estimand} without a value" for row in lost.itertuples())


def share_graphs() -> None:
    """Compile models of one shape once."""
    graphs: dict[Any, Any] = {}
    compile_one = fitting.compile_model

    def compiled(model: Any) -> Any:
        shape = tuple(sorted(model.named_vars)), tuple(len(labels) for labels in model.coords.values())
        shape += (tuple(tuple(one.get_value().shape) for one in model.data_vars),)
        if shape not in graphs:
            graphs[shape] = compile_one(model)
        return graphs[shape]

    fitting.compile_model = compiled


def made_up_draws(
    model: Any, data: Mapping[str, np.ndarray], options: Options, imputation: int, *_: object
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return draws of everything that a model reports: about the crude rate, and about no effect."""
    rng = np.random.default_rng([options.seed, imputation])
    shape = options.chains, options.draws
    middle = {"alpha": np.log(data["table"][:2].sum() / data["table"][2:4].sum()) if "table" in data else -3.0}
    found = {}
    for variable in (*model.free_RVs, *model.deterministics):
        name = variable.name
        if name.endswith(INTERNAL):
            continue
        dims = tuple(model.named_vars_to_dims.get(name, ()))
        draws = rng.normal(scale=SPREAD.get(name, 0.2), size=(*shape, *(len(model.coords[dim]) for dim in dims)))
        positive = name == "tau" or name.endswith("_sd")
        found[name] = (("chain", "draw", *dims), np.abs(draws) if positive else draws + middle.get(name, 0.0))
    names = ("n_steps", "mean_tree_accept", "step_size", "energy")
    stats = {name: (("chain", "draw"), rng.normal(size=shape)) for name in names}
    return xr.Dataset(found), xr.Dataset(stats | {"diverging": (("chain", "draw"), np.zeros(shape, dtype=bool))})


def make_up(replace: Callable[[Any, str, Any], None]) -> None:
    """Have made-up draws in place of sampled ones, by a function that sets an attribute."""
    replace(fitting, "compile_model", lambda model: model)
    replace(fitting, "imputations_needed", lambda *_: 0)
    for module in (fitting, overall, refits):
        replace(module, "sample", made_up_draws)


def outcome(source: str, number: int, options: Options, folder: Path) -> tuple[str, str, list[str]]:
    """Return a record's kind, what became of it, and why."""
    kind = KINDS[number % len(KINDS)]
    try:
        kind, trial = record(source, number, options.seed, folder)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            if fitting.sample is made_up_draws:  # which may lie far from what the data say
                warnings.simplefilter("ignore", RuntimeWarning)
            faults = [*finish(trial, options, folder / f"results-{source}-{number}")]
        of_us = dict.fromkeys(f"{one.category.__name__}: {one.message} ({Path(one.filename).name})" for one in told)
        return kind, "faults" if faults else "warned" if of_us else "finished", [*dict.fromkeys(faults), *of_us]
    except InputError as error:
        return kind, "refused", str(error).splitlines()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        place = next((one for one in reversed(frames) if "secondlook" in one.filename), frames[-1])
        return kind, "failed", [f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100, help="of each source")
    parser.add_argument("--only", choices=SOURCES)
    parser.add_argument("--number", type=int, help="this record alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--made-up", action="store_true", help="made-up draws in place of sampled ones")
    given = parser.parse_args()
    options = Options(draws=DRAWS, chains=CHAINS, imputations=IMPUTATIONS, seed=given.seed)
    if given.made_up:
        make_up(setattr)
    else:
        share_graphs()
    console, counts = Console(width=160), Counter[tuple[str, str]]()
    table = Table("record", "kind", "outcome", "why", "seconds")
    numbers = range(given.records) if given.number is None else [given.number]
    sources = [given.only] if given.only else SOURCES
    for number in numbers:
        for source in sources:
            began = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                kind, became, why = outcome(source, number, options, Path(folder))
            counts[source, became] += 1
            seconds = f"{time.perf_counter() - began:.0f}"
            print(f"{source} {number} ({kind}): {became}, {seconds} s", *why, sep="\n    ", flush=True)
            if became != "finished":
                table.add_row(f"{source} {number}", kind, became, "\n".join(why), seconds)
    console.print(table)
    for source in sources:
        became = ", ".join(f"{count} {name}" for (one, name), count in counts.items() if one == source)
        console.print(f"{source}: {len(numbers)} records: {became}")


if __name__ == "__main__":
    main()
