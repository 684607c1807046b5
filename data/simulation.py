"""Simulated two-arm trials, published as papers do: coherent numbers, rounded.

A trial has Weibull survival with proportional effects of treatment and of two prognostic factors, staggered entry
and administrative censoring. `published` computes what a paper would print about it and returns an unchecked record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, ndtr, ndtri, stdtr

from .audit.design import per_arm

Array = NDArray[np.float64]
FACTORS = ("er", "age")
FEWEST_DEATHS = 12  # in each arm of a subgroup whose hazard ratio is printed
QUANTILE = float(ndtri(0.975))


@dataclass(frozen=True)
class Trial:
    """Simulated patients, one entry each.

    Parameters
    ----------
    time, event
        Months to death or censoring, and whether it is death.
    treatment
        Whether the patient was randomised to treatment.
    er, age
        Prognostic factors: a status, and years.
    """

    time: Array
    event: NDArray[np.bool_]
    treatment: NDArray[np.bool_]
    er: NDArray[np.bool_]
    age: Array


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
    risk = np.exp(effect + rng.uniform(-0.8, 0.0) * er + rng.uniform(-0.4, 0.2) * (age < 55))
    shape, scale = rng.uniform(0.8, 1.5), rng.uniform(15, 60)
    death = scale * (rng.exponential(size=size) / risk) ** (1 / shape)
    closing = rng.uniform(30, 60) + rng.uniform(0, rng.uniform(24, 60), size)
    return Trial(np.minimum(death, closing), death <= closing, treatment, er, age)


def cox_fit(time: Array, event: NDArray[np.bool_], group: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the Cox log hazard ratio of one binary covariate and its standard error (no ties).

    Parameters
    ----------
    time, event, group
        One entry per patient.
    """
    order = np.argsort(time)[::-1]
    inside = group[order]
    at_risk = np.cumsum(inside), np.cumsum(~inside)
    died = event[order]
    log_ratio = 0.0
    for _ in range(25):
        odds = at_risk[0][died] * math.exp(log_ratio)
        share = odds / (odds + at_risk[1][died])
        information = float((share * (1 - share)).sum())
        step = (inside[died].sum() - share.sum()) / information
        log_ratio += float(np.clip(step, -1, 1))
        if abs(step) < 1e-10:
            break
    return log_ratio, 1 / math.sqrt(information)


def kaplan_meier(time: Array, event: NDArray[np.bool_], at: float) -> tuple[float, float]:
    """Return the Kaplan-Meier estimate and Greenwood's variance of its logarithm (no ties).

    Parameters
    ----------
    time, event
        One entry per patient.
    at
        When.
    """
    order = np.argsort(time)
    at_risk = np.arange(time.size, 0, -1)[event[order] & (time[order] <= at)]
    return float(np.prod(1 - 1 / at_risk)), float(np.sum(1 / (at_risk * np.maximum(at_risk - 1, 1))))


def km_median(time: Array, event: NDArray[np.bool_]) -> float | None:
    """Return the Kaplan-Meier median, ``None`` when it is not reached."""
    order = np.argsort(time)
    curve = np.cumprod(np.where(event[order], 1 - 1 / np.arange(time.size, 0, -1), 1.0))
    below = np.flatnonzero(curve <= 0.5)
    return float(time[order][below[0]]) if below.size else None


def published(trial: Trial, rng: np.random.Generator) -> dict[str, Any]:
    """Return what a paper prints about a trial, as an unchecked record.

    Parameters
    ----------
    trial
        Patients.
    rng
        Chooses how many digits are printed, and the trial's design.
    """
    digits = int(rng.integers(2, 4))
    arms = {"control": ~trial.treatment, "treatment": trial.treatment}
    overall = _ratio(trial, np.ones_like(trial.er), trial.treatment, digits)
    subgroups = {key: where for key, where in _levels(trial).items() if _enough(trial, where[1])}
    return {
        "schema": 1,
        "id": "simulated",
        "title": "Simulated trial",
        "arms": {
            arm: {"label": arm, "patients": int(mask.sum()), "events": int(trial.event[mask].sum())}
            for arm, mask in arms.items()
        },
        "design": _design(rng),
        "factors": {name: {"label": name, "levels": ["+", "-"]} for name in FACTORS},
        "flow": _flow(trial, rng),
        "follow_up": [_follow_up(trial, arm, mask) for arm, mask in arms.items()],
        "survival": [_survival(trial, arm, mask, at, digits) for arm, mask in arms.items() for at in (12, 24)],
        "median": [item for arm, mask in arms.items() for item in _median(trial, arm, mask)],
        "hazard_ratio": [
            overall | {"source": "Abstract"},
            overall | {"source": "Results", "use": False},
            *(_ratio(trial, mask, trial.treatment, digits) | {"where": where} for where, mask in subgroups.values()),
        ],
        "prognostic": [
            _ratio(trial, np.ones_like(trial.er), mask, digits) | {"where": where}
            for key, (where, mask) in _levels(trial).items()
            if key.endswith("+")
        ],
        "patients_count": [
            {"arm": arm, "where": where, "n": int((mask & inside).sum())}
            for arm, mask in arms.items()
            for where, inside in _levels(trial).values()
        ],
        "baseline": [*_baseline_levels(trial), _baseline_age(trial)],
        "binary": [_binary(trial, rng)],
    }


def _levels(trial: Trial) -> dict[str, tuple[dict[str, str], NDArray[np.bool_]]]:
    young = trial.age < 55
    masks = {"er+": trial.er, "er-": ~trial.er, "age+": young, "age-": ~young}
    return {key: ({key[:-1]: key[-1]}, mask) for key, mask in masks.items()}


def _enough(trial: Trial, mask: NDArray[np.bool_]) -> bool:
    died = mask & trial.event
    return min(int((died & trial.treatment).sum()), int((died & ~trial.treatment).sum())) >= FEWEST_DEATHS


def _ratio(trial: Trial, mask: NDArray[np.bool_], group: NDArray[np.bool_], digits: int) -> dict[str, Any]:
    log_ratio, error = cox_fit(trial.time[mask], trial.event[mask], group[mask])
    limits = [f"{math.exp(log_ratio + z * error):.{digits}f}" for z in (-QUANTILE, QUANTILE)]
    p = 2 * float(ndtr(-abs(log_ratio) / error))
    return {"estimate": f"{math.exp(log_ratio):.{digits}f}", "ci": limits, "p": _p_text(p)}


def _p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.01 else f"{p:.2f}"


def _survival(trial: Trial, arm: str, mask: NDArray[np.bool_], at: float, digits: int) -> dict[str, Any]:
    estimate, variance = kaplan_meier(trial.time[mask], trial.event[mask], at)
    power = np.exp(np.array([-1, 1]) * QUANTILE * math.sqrt(variance) / math.log(estimate))
    low, high = sorted(float(estimate**exponent) for exponent in power)
    limits = [f"{low:.{digits}f}", f"{high:.{digits}f}"]
    return {"arm": arm, "time": at, "estimate": f"{estimate:.{digits}f}", "ci": limits}


def _median(trial: Trial, arm: str, mask: NDArray[np.bool_]) -> list[dict[str, Any]]:
    median = km_median(trial.time[mask], trial.event[mask])
    return [] if median is None else [{"arm": arm, "estimate": f"{median:.1f}"}]


def _follow_up(trial: Trial, arm: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    time, alive = trial.time[mask], trial.time[mask & ~trial.event]
    quartiles = {name: f"{np.quantile(time, q):.0f}" for name, q in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}
    survivors = {"survivors_median": f"{np.median(alive):.0f}"} if alive.size else {}
    return {"arm": arm, "mean": f"{time.mean():.1f}", "sd": f"{time.std(ddof=1):.1f}"} | quartiles | survivors


def _baseline_levels(trial: Trial) -> list[dict[str, Any]]:
    rows = []
    sizes = [int((~trial.treatment).sum()), int(trial.treatment.sum())]
    for name, mask in (("er", trial.er), ("age", trial.age < 55)):
        counts = [int((mask & ~trial.treatment).sum()), int((mask & trial.treatment).sum())]
        cells = [{"n": n, "percent": f"{100 * n / size:.1f}"} for n, size in zip(counts, sizes, strict=True)]
        table = np.array([counts, np.subtract(sizes, counts)], dtype=float)
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        p = float(chdtrc(1, ((table - expected) ** 2 / expected).sum()))
        where = {name: "+"}
        rows.append({"label": name, "where": where, "control": cells[0], "treatment": cells[1], "p": _p_text(p)})
    return rows


def _baseline_age(trial: Trial) -> dict[str, Any]:
    groups = [trial.age[~trial.treatment], trial.age[trial.treatment]]
    n0, n1 = (group.size for group in groups)
    pooled = sum((group.size - 1) * group.var(ddof=1) for group in groups) / (n0 + n1 - 2)
    t = (groups[1].mean() - groups[0].mean()) / math.sqrt(pooled * (1 / n0 + 1 / n1))
    cells = [{"mean": f"{group.mean():.1f}", "sd": f"{group.std(ddof=1):.1f}"} for group in groups]
    p = float(2 * stdtr(n0 + n1 - 2, -abs(t)))
    return {"label": "Mean age", "control": cells[0], "treatment": cells[1], "p": _p_text(p), "test": "t"}


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
