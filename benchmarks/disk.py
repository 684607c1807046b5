"""Whether results survive: runs killed at random, and pairs of runs into one directory.

Each run is the command `reconstruct` of a built-in trial. After every kill a reader finds the complete results of
some run, and the next run works; of every pair at least one run ends well, and the other either does too or is
refused. In the end nothing lies beside the directory.

Usage: python benchmarks/disk.py [--kills 20] [--pairs 10] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from secondlook.inference.storage import check_results

COMMAND = (sys.executable, "-m", "secondlook.cli.main", "reconstruct", "mf07-01", "--imputations", "2", "--quiet")


def start(directory: Path, seed: int) -> subprocess.Popen[bytes]:
    """Start a run into a directory."""
    arguments = [*COMMAND, "--out", str(directory), "--seed", str(seed)]
    return subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def complete(directory: Path) -> bool:
    """Whether a reader finds all that a run writes."""
    check_results(directory)
    names = ("run.json", "record.json", "table.nc", "reconstruction.csv")
    return all((directory / name).exists() for name in names) and len(pd.read_csv(directory / names[-1])) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "results"
        began = time.perf_counter()
        assert start(directory, 0).wait() == 0
        usual = time.perf_counter() - began
        lost = 0
        for kill in range(options.kills):
            run = start(directory, kill)
            time.sleep(rng.uniform(0, 1.1) * usual)
            run.kill()
            run.wait()
            lost += not complete(directory)
        assert start(directory, 0).wait() == 0
        left = [path.name for path in Path(folder).iterdir() if path != directory]
        print(f"{options.kills} kills: results lost {lost}, left over after the next run {len(left)}")
        good = refused = failed = 0
        for pair in range(options.pairs):
            runs = [start(directory, pair), start(directory, pair + 1)]
            ends = [(run.communicate()[1].decode(), run.returncode) for run in runs]
            good += sum(code == 0 for _, code in ends)
            refused += sum(code == 2 and "another run is writing there" in text for text, code in ends)
            failed += not complete(directory) or not any(code == 0 for _, code in ends)
        left = [path.name for path in Path(folder).iterdir() if path != directory]
        print(f"{options.pairs} pairs: {good} ended well, {refused} were refused, {failed} pairs lost results")
        print(f"left over: {left or 'nothing'}")


if __name__ == "__main__":
    main()
