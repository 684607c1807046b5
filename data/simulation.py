"""Simulated two-arm trials, published as papers do: coherent numbers, rounded.

A trial has Weibull survival with proportional effects of treatment and of two prognostic factors, staggered entry
and administrative censoring. `publish` returns what a paper would print about it as an unchecked record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtri, stdtr

from .audit.design import per_arm
from .publishing import Contents, Patients, Where, p_text, published

Array = NDArray[np.float64]
FACTORS = ("er", "age")
FEWEST_DEATHS = 12  # in each arm of a subgroup whose hazard ratio is printed
YOUNG = 55


@dataclass(frozen=True)
class Trial(Patients):
    """Simulated patients, one entry each.

    Parameters
    ----------
    time, event, treatment, factors
        As for all patients; ``+`` of the factor ``age`` is below 55.
    years
        Age in years.
    """

    years: Array


def simulate_trial(rng: np.random.Generator) -> Trial:
    """Simulate a trial of 80 to 400 patients per arm.

    Parameters
    ----------
    rng
        Source of randomness.
    """
    size = int(rng.integers(160, 801))
    treatment = rng.permutation(np.arange(size) % 2 == 1)
    er, age = rng.uniform(size=size) < rng.uniform(0.4, 0.8), rng.normal(55, 12, size)
    effect = rng.uniform(math.log(0.5), math.log(1.2)) * treatment
    risk = np.exp(effect + rng.uniform(-0.8, 0.0) * er + rng.uniform(-0.4, 0.2) * (age < YOUNG))
    shape, scale = rng.uniform(0.8, 1.5), rng.uniform(15, 60)
    death = scale * (rng.exponential(size=size) / risk) ** (1 / shape)
    closing = rng.uniform(30, 60) + rng.uniform(0, rng.uniform(24, 60), size)
    factors = {"er": np.where(er, "+", "-"), "age": np.where(age < YOUNG, "+", "-")}
    return Trial(np.minimum(death, closing), death <= closing, treatment, factors, age)


def publish(trial: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Return what a paper prints about a trial, as an unchecked record.

    Parameters
    ----------
    trial
        Patients.
    rng
        Chooses how many digits are printed, and the trial's design.
    """
    digits = int(rng.integers(2, 4))
    levels: list[Where] = [{name: level} for name in FACTORS for level in "+-"]
    subgroups = [where for where in levels if _enough(trial, where)]
    prognostic: list[Where] = [{name: "+"} for name in FACTORS]
    fields = published(trial, Contents((12, 24), levels, levels, subgroups, prognostic, digits=digits))
    overall, *ratios = fields["hazard_ratio"]
    twice = [overall | {"source": "Abstract"}, overall | {"source": "Results", "use": False}]
    return fields | {
        "schema": 1,
        "id": "simulated",
        "title": "Simulated trial",
        "design": _design(rng),
        "factors": {name: {"label": name, "levels": ["+", "-"]} for name in FACTORS},
        "flow": _flow(trial, rng),
        "hazard_ratio": [*twice, *ratios],
        "baseline": [*_baseline_levels(trial), _baseline_age(trial)],
        "binary": [_binary(trial, rng)],
    }


def _enough(trial: Trial, where: Where) -> bool:
    died = trial.inside(where) & trial.event
    return min(int((died & trial.treatment).sum()), int((died & ~trial.treatment).sum())) >= FEWEST_DEATHS


def _baseline_levels(trial: Trial) -> list[dict[str, Any]]:
    rows = []
    sizes = [int((~trial.treatment).sum()), int(trial.treatment.sum())]
    for name in FACTORS:
        mask = trial.inside({name: "+"})
        counts = [int((mask & ~trial.treatment).sum()), int((mask & trial.treatment).sum())]
        cells = [{"n": n, "percent": f"{100 * n / size:.1f}"} for n, size in zip(counts, sizes, strict=True)]
        table = np.array([counts, np.subtract(sizes, counts)], dtype=float)
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        p = float(chdtrc(1, ((table - expected) ** 2 / expected).sum()))
        where = {name: "+"}
        rows.append({"label": name, "where": where, "control": cells[0], "treatment": cells[1], "p": p_text(p)})
    return rows


def _baseline_age(trial: Trial) -> dict[str, Any]:
    groups = [trial.years[~trial.treatment], trial.years[trial.treatment]]
    n0, n1 = (group.size for group in groups)
    pooled = sum((group.size - 1) * group.var(ddof=1) for group in groups) / (n0 + n1 - 2)
    t = (groups[1].mean() - groups[0].mean()) / math.sqrt(pooled * (1 / n0 + 1 / n1))
    cells = [{"mean": f"{group.mean():.1f}", "sd": f"{group.std(ddof=1):.1f}"} for group in groups]
    p = float(2 * stdtr(n0 + n1 - 2, -abs(t)))
    return {"label": "Mean age", "control": cells[0], "treatment": cells[1], "p": p_text(p), "test": "t"}


def _flow(trial: Trial, rng: np.random.Generator) -> list[dict[str, Any]]:
    randomised, screened = trial.time.size, int(rng.integers(0, 200))
    arms = [("Control", int((~trial.treatment).sum())), ("Treatment", int(trial.treatment.sum()))]
    boxes = [{"label": name, "n": n, "parent": "Randomised"} for name, n in arms]
    return [
        {"label": "Assessed", "n": randomised + screened},
        {"label": "Excluded", "n": screened, "parent": "Assessed"},
        {"label": "Randomised", "n": randomised, "parent": "Assessed"},
        *boxes,
    ]


def _design(rng: np.random.Generator) -> dict[str, Any]:
    control, treatment = round(rng.uniform(0.2, 0.5), 2), round(rng.uniform(0.55, 0.7), 2)
    power = float(rng.choice([0.8, 0.9]))
    patients = per_arm(control, treatment, float(ndtri(0.975)), float(ndtri(power)))["log-rank (Schoenfeld)"]
    return {
        "time": 24,
        "control_survival": f"{control:.2f}",
        "treatment_survival": f"{treatment:.2f}",
        "alpha": "0.05",
        "sided": 2,
        "power": f"{power:.2f}",
        "patients": 2 * math.ceil(patients),
        "test": "log-rank",
    }


def _binary(trial: Trial, rng: np.random.Generator) -> dict[str, Any]:
    cells = {}
    for arm, mask in (("control", ~trial.treatment), ("treatment", trial.treatment)):
        size = int(mask.sum())
        events = int(rng.binomial(size, 0.15))
        cells[arm] = {"events": events, "patients": size, "percent": f"{100 * events / size:.1f}"}
    return {"label": "Complication", **cells}
