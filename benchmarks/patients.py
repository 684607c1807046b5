"""What a million patients cost: reading, checking, grouping and fitting, beside what a thousand cost.

    .venv/bin/python benchmarks/patients.py [--patients 1000,1000000] [--draws 500] [--without-fit]

Simulated patients with six factors (2, 2, 3, 3, 2 and 2 levels, 144 cells), written as CSV and as Parquet. Times are
the least of three runs; every size has a process of its own, whose peak of memory is printed. What must hold:
grouping of a million by all factors under 2 s; the proportional model and the model of all factors within 1.5 times
of what a thousand cost, compilation left out; memory under 2 GiB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from secondlook.data import Record
from secondlook.data.patient_table import patient_table
from secondlook.data.patients import read_patients
from secondlook.data.reading import parse_record

LEVELS = {"a": 2, "b": 2, "c": 3, "d": 3, "e": 2, "f": 2}
JOINT = ",".join(LEVELS)
GROUPING_SECONDS, FIT_RATIO, GIBIBYTES = 2.0, 1.5, 2.0
RUNS = 3


def written(folder: Path, patients: int, seed: int = 1) -> None:
    """Write simulated patients, exponential within their cells."""
    rng = np.random.default_rng(seed)
    codes = {name: rng.integers(0, levels, patients) for name, levels in LEVELS.items()}
    arm = rng.integers(0, 2, patients)
    log_rate = np.log(0.02) + 0.3 * sum(codes.values()) / len(codes) - 0.3 * arm + 0.2 * arm * codes["a"]
    death, end = rng.exponential(np.exp(-log_rate)), rng.uniform(12, 72, patients)
    frame = pd.DataFrame({"months": np.minimum(death, end).round(3), "died": 1 * (death <= end), "arm": arm})
    frame = frame.assign(**{name: np.array(["x", "y", "z"])[values] for name, values in codes.items()})
    frame.to_csv(folder / "patients.csv", index=False)
    frame.to_parquet(folder / "patients.parquet")


def record(folder: Path, ending: str) -> Record:
    """Return the record of these patients."""
    factors = {name: {"label": name.upper(), "levels": [*"xyz"[:levels]]} for name, levels in LEVELS.items()}
    columns = {"time": "months", "unit": "months", "event": "died", "arm": "arm", "control": "0", "treatment": "1"}
    fields = {"schema": 1, "id": "many", "title": "Many patients", "landmarks": [36], "factors": factors}
    arms = {"control": {"label": "control"}, "treatment": {"label": "treatment"}}
    source = columns | {"file": f"patients.{ending}", "factors": [*LEVELS]}
    return parse_record(fields | {"arms": arms, "patients": source}).located(folder)


def least(work: Callable[[], object]) -> float:
    """Return the least time of some runs, in seconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def costs(folder: Path, draws: int) -> dict[str, float]:
    """Return the seconds of every step, and the peak of memory in GiB."""
    trial = record(folder, "csv")
    found = {"read and check CSV": least(lambda: read_patients(trial))}
    found["read and check Parquet"] = least(lambda: read_patients(record(folder, "parquet")))
    patients = read_patients(trial)
    found["group, whole trial"] = least(lambda: patient_table(patients, trial))
    found[f"group, {len(LEVELS)} factors"] = least(lambda: patient_table(patients, trial, JOINT))
    if draws:
        found |= fits(trial, draws)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return found | {"peak of memory, GiB": peak}


def fits(trial: Record, draws: int) -> dict[str, float]:
    """Return the seconds of sampling and summarising, compilation left out."""
    from secondlook.inference import Options
    from secondlook.inference.fitting import _sampled_once
    from secondlook.inference.sampling import compile_model
    from secondlook.inference.sources import Notes, tables_of
    from secondlook.inference.tasks import piecewise_task, subgroup_tasks
    from secondlook.models.priors import named_prior

    options, prior = Options(draws=draws), named_prior("weak", trial)
    sources = tables_of(trial, ["", JOINT], options, Notes(lambda _: None))
    joint = subgroup_tasks(trial, sources, ("half-normal",), (36.0,), options)
    tasks = [piecewise_task("piecewise", sources[""], (36.0,), options), *joint]
    found = {}
    for task in tasks:
        compiled = compile_model(task.build(prior))
        work = partial(_sampled_once, task, compiled, prior, options, [0], task.settings)
        found[f"fit, {task.model}"] = least(work)
    return found


def measured(patients: int, draws: int) -> dict[str, float]:
    """Return the costs of some patients, measured in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder), patients)
        command = [sys.executable, __file__, "--folder", folder, "--draws", str(draws)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def verdict(name: str, least_patients: float, most_patients: float) -> str:
    """Return whether a line is as it must be, where something must hold."""
    if name.startswith("group"):
        return f"under {GROUPING_SECONDS:g} s: {'yes' if most_patients < GROUPING_SECONDS else 'NO'}"
    if name.startswith("fit"):
        ratio = most_patients / least_patients
        return f"{ratio:.2f} times, at most {FIT_RATIO:g}: {'yes' if ratio <= FIT_RATIO else 'NO'}"
    if name.startswith("peak"):
        return f"under {GIBIBYTES:g}: {'yes' if most_patients < GIBIBYTES else 'NO'}"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--patients", default="1000,1000000", help="numbers of patients, the last judged")
    parser.add_argument("--draws", type=int, default=500, help="per chain")
    parser.add_argument("--without-fit", action="store_true")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(costs(Path(given.folder), given.draws)))
        return
    draws = 0 if given.without_fit else given.draws
    numbers = [int(number) for number in given.patients.split(",")]
    found = [measured(number, draws) for number in numbers]
    print(f"{'seconds':<28}" + "".join(f"{number:>12,}" for number in numbers))
    for name in found[0]:
        values = [one[name] for one in found]
        print(
            f"{name:<28}" + "".join(f"{value:>12.3f}" for value in values), " ", verdict(name, values[0], values[-1])
        )


if __name__ == "__main__":
    main()
