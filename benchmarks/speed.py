"""How long the commands take, as whole processes, beside what they may take.

    .venv/bin/python benchmarks/speed.py [--runs N] [--reanalyse-runs N]

See benchmarks/README.md for what each line measures.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

PROGRAM = (sys.executable, "-m", "secondlook.cli.main")
DONE = (0, 3)  # 3: written, but the diagnostics gate failed
IMPUTATIONS = 5
FEW = ("--imputations", str(IMPUTATIONS), "--quiet")


@dataclass(frozen=True)
class Line:
    """One measurement: seconds of each run, and the most that is wanted, where that is stated."""

    name: str
    seconds: tuple[float, ...]
    target: float | None = None

    def __str__(self) -> str:
        low, middle, high = min(self.seconds), statistics.median(self.seconds), max(self.seconds)
        target = "" if self.target is None else f"{self.target:8.1f}  {'yes' if middle < self.target else 'NO'}"
        return f"{self.name:<48}{low:8.2f}{middle:8.2f}{high:8.2f}{target}"


def timed(arguments: Sequence[str]) -> float:
    """Return how long a command takes, in seconds."""
    start = time.perf_counter()
    done = subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode not in DONE:
        raise SystemExit(f"secondlook {' '.join(arguments)} exits with {done.returncode}:\n{done.stderr}")
    return seconds


def repeated(arguments: Sequence[str], runs: int) -> tuple[float, ...]:
    """Return the times of several runs after one that warms the caches."""
    timed(arguments)
    return tuple(timed(arguments) for _ in range(runs))


def prior_cost(runs: int) -> list[Line]:
    """Return what one more prior costs a run that has a compiled model and a fit: sampled afresh, and reweighted."""
    from secondlook.data import load_record
    from secondlook.data.reconstruction import reconstruct
    from secondlook.inference import Options
    from secondlook.inference.fitting import _moved, _sampled
    from secondlook.inference.imputations import Imputations
    from secondlook.inference.sampling import compile_model
    from secondlook.inference.tasks import piecewise_task
    from secondlook.models.priors import named_prior

    record, options = load_record("mf07-01"), Options(imputations=IMPUTATIONS)
    imputations = Imputations(reconstruct(record, imputations=IMPUTATIONS, seed=1))
    weak, sceptical = (named_prior(name, record) for name in ("weak", "sceptical"))
    task = piecewise_task("piecewise", imputations, record.landmark_times(), options)
    compiled = compile_model(task.build(weak))
    fitted = _sampled(task, compiled, weak, options, range(IMPUTATIONS))

    def sampled() -> None:
        _sampled(task, compiled, sceptical, options, range(IMPUTATIONS))

    def reweighted() -> None:
        for i, one in enumerate(fitted):
            _moved(task, compiled, weak, sceptical, options, i, one)

    return [
        Line("  one more prior, sampled, 5 imputations", _times(sampled, runs), 2.0),
        Line("  one more prior, reweighted, 5 imputations", _times(reweighted, runs), 2.0),
    ]


GRID = ("weak", "vague", "external", "robust", "sceptical", "enthusiastic", "pessimistic", "0,0.15", "0,0.5")
GRID += ("-0.5,0.1", "0.5,0.1", "1,0.1")


def grid_cost(runs: int) -> list[Line]:
    """Return what a grid of twelve priors costs: all of it, then with compiled model and fit at hand."""
    from secondlook.data import load_record
    from secondlook.data.reconstruction import reconstruct
    from secondlook.inference import Options, prior_grid
    from secondlook.inference.fitting import fit_tasks
    from secondlook.inference.imputations import Imputations
    from secondlook.inference.overall import integrated
    from secondlook.inference.sources import tell_nobody
    from secondlook.inference.tasks import piecewise_task
    from secondlook.models.priors import named_prior

    record, options = load_record("mf07-01"), Options(imputations=IMPUTATIONS)
    priors = [named_prior(name, record) for name in GRID]
    task = piecewise_task("piecewise", Imputations(reconstruct(record, imputations=IMPUTATIONS)), (), options)
    (result,) = fit_tasks([task], priors[:1], options, tell_nobody)

    def evaluated() -> None:
        effect = integrated(result, 0, priors, options)
        for prior in priors:
            effect.under(prior).summary(options)

    return [
        Line(
            "12 priors, compilation and fit included", _times(lambda: prior_grid(record, GRID, options), runs), 15.0
        ),
        Line("  12 priors, compiled and fitted before", _times(evaluated, runs)),
    ]


def partition_cost(runs: int) -> list[Line]:
    """Return what rebuilding and fitting the strata of every partition cost, with a compiled model at hand."""
    from concurrent.futures import Future

    from secondlook.data import load_record
    from secondlook.data.reconstruction import reconstruct
    from secondlook.inference import Options
    from secondlook.inference.fitting import _fit_task
    from secondlook.inference.imputations import Imputations
    from secondlook.inference.sampling import compile_model
    from secondlook.inference.tasks import subgroup_tasks
    from secondlook.models.priors import available_priors, named_prior

    record, options = load_record("mf07-01"), Options()
    priors = [named_prior(name, record) for name in available_priors(record)]
    sources = {"": Imputations(reconstruct(record, imputations=1))}

    def rebuilt() -> None:
        for name in record.all_partitions:
            sources[name] = Imputations(reconstruct(record, name, imputations=options.imputations))

    rebuilding = _times(rebuilt, runs)
    tasks = subgroup_tasks(record, sources, ("half-normal",), record.landmark_times(), options)
    compiled: Future[object] = Future()
    compiled.set_result(compile_model(tasks[0].build(priors[0])))
    name = "  strata of {} under {} priors, compiled"
    fitting = [
        Line(
            name.format(task.partition, len(priors)),
            _times(partial(_fit_task, task, compiled, priors, options), runs),
            20.0,
        )
        for task in tasks
    ]
    return [Line(f"strata of every partition, {options.imputations} draws", rebuilding, 30.0), *fitting]


def _times(work: Callable[[], object], runs: int) -> tuple[float, ...]:
    starts = [time.perf_counter()]
    for _ in range(runs):
        work()
        starts.append(time.perf_counter())
    return tuple(end - start for start, end in pairwise(starts))


def lines(runs: int, reanalyse_runs: int) -> list[Line]:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "results")
        found = [
            Line("secondlook --help", repeated(["--help"], runs), 0.5),
            Line("secondlook audit", repeated(["audit", "mf07-01"], runs), 2.0),
        ]
        if reanalyse_runs:
            whole = repeated(["reanalyse", "--out", out, "--quiet"], reanalyse_runs)
            found.append(Line("secondlook reanalyse, warm", whole, 60.0))
        fit = ["fit", "mf07-01", "--out", str(Path(folder) / "fits"), *FEW, "--prior"]
        found.append(Line("secondlook fit --prior sceptical, 5 imputations", repeated([*fit, "sceptical"], runs)))
    strata = partition_cost(reanalyse_runs) if reanalyse_runs else []
    return [*found, *prior_cost(runs), *strata, *grid_cost(runs)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of the short commands")
    long = "timed runs of reanalyse and of the strata; 0 leaves them out"
    parser.add_argument("--reanalyse-runs", type=int, default=3, help=long)
    given = parser.parse_args()
    print(f"{'seconds':<48}{'min':>8}{'median':>8}{'max':>8}{'target':>8}  met")
    for line in lines(given.runs, given.reanalyse_runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
