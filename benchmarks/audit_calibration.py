"""How often the audit speaks up about coherent papers: simulate, publish, audit, count.

Usage: python benchmarks/audit_calibration.py [--papers 1000] [--seed 1]
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
from rich.console import Console
from rich.table import Table

from secondlook.data.audit import CHECKS, audit
from secondlook.data.reading import parse_record
from secondlook.data.simulation import publish, simulate_trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    speaking: Counter[tuple[str, str]] = Counter()
    names: dict[str, None] = {}
    for paper in range(options.papers):
        rng = np.random.default_rng([options.seed, paper])
        findings = audit(parse_record(publish(simulate_trial(rng), rng)))
        names |= dict.fromkeys(finding.check for finding in findings)
        speaking.update({(finding.check, finding.verdict) for finding in findings})
    verdicts = ("note", "inconsistent", "impossible")
    table = Table("check", *verdicts, title=f"share of {options.papers} coherent papers with a finding")
    for name in names:
        table.add_row(name, *(f"{speaking[name, verdict] / options.papers:.1%}" for verdict in verdicts))
    Console().print(table, f"{len(CHECKS)} checks, {len(names)} of them with data")


if __name__ == "__main__":
    main()
