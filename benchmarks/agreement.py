"""Whether the models say of known patients what Cox regression and Kaplan-Meier say.

    .venv/bin/python benchmarks/agreement.py [--draws N] [--intervals N] [--seeds N,...]

Two trials: GBSG2 (686 patients), and 2,000 simulated patients whose hazards cross over. Of each

* the log hazard ratio of the proportional model on equal intervals under the `vague` prior, against lifelines' Cox
  fit: within 0.02, and the posterior SD within 3% of the standard error;
* survival by arm at the landmarks and mean survival time up to them under the model whose hazard ratio changes over
  time, on its default intervals of six months, against lifelines' Kaplan-Meier: within 0.01 and 0.2 months.

The priors over time smooth the hazards and draw the arms' towards each other, so that the second kind of agreement
depends on the number of patients and, well within a standard error, on where Kaplan-Meier's steps happen to lie: its
standard error stands beside it. Other seeds of the simulated trial show how much. Its true survival is known: the
last lines tell how far from that the model and Kaplan-Meier are.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from secondlook.data import ARMS, Record, load_record
from secondlook.data.patients import read_patients
from secondlook.data.reading import parse_record
from secondlook.inference import Options
from secondlook.inference.reanalysis import analyse

LOG_RATIO, SD, SURVIVAL, RMST = 0.02, 0.03, 0.01, 0.2
PRIOR, SIMULATED = ("vague",), "simulated"
SHAPES, SCALES = {"control": 1.2, "treatment": 0.85}, {"control": 40.0, "treatment": 56.0}


@dataclass(frozen=True)
class Line:
    """One number of the model beside the frequentist's."""

    trial: str
    name: str
    model: float
    frequentist: float
    tolerance: float
    error: float = np.nan
    truth: float = np.nan

    def __str__(self) -> str:
        difference = self.model - self.frequentist
        met = "yes" if abs(difference) <= self.tolerance else "NO"
        error = "" if np.isnan(self.error) else f"{self.error:.4f}"
        numbers = f"{self.model:>10.4f}{self.frequentist:>12.4f}{difference:>+10.4f}{self.tolerance:>8g}{error:>9}"
        return f"{self.trial:<11}{self.name:<24}{numbers}  {met}"


def true_survival(arm: str, time: float) -> float:
    """Return survival of the simulated trial."""
    return float(np.exp(-((time / SCALES[arm]) ** SHAPES[arm])))


def simulated(patients: int = 2000, seed: int = 1) -> Record:
    """Return a trial whose treatment does harm at first and good later, with staggered entry."""
    rng = np.random.default_rng(seed)
    treated = rng.permutation(np.arange(patients) % 2)
    shape, scale = (np.array([values[arm] for arm in ARMS])[treated] for values in (SHAPES, SCALES))
    death = scale * rng.weibull(shape, patients)
    end = rng.uniform(24, 96, patients)
    frame = pd.DataFrame({"months": np.minimum(death, end), "died": 1 * (death <= end), "treated": treated})
    columns = {
        "time": "months",
        "unit": "months",
        "event": "died",
        "arm": "treated",
        "control": "0",
        "treatment": "1",
    }
    fields = {"schema": 1, "id": f"{SIMULATED}{seed}", "title": "Crossing hazards", "landmarks": [36, 60]}
    arms = {"control": {"label": "control"}, "treatment": {"label": "treatment"}}
    return parse_record(fields | {"arms": arms, "patients": columns}).holding(frame)


def cox_lines(record: Record, patients: pd.DataFrame, intervals: int, draws: int) -> Iterator[Line]:
    """Compare the proportional model with Cox regression."""
    bounds = tuple(np.linspace(0, np.ceil(patients["time"].max()), intervals + 1))
    found = analyse(record, ("piecewise",), PRIOR, None, (), Options(draws=draws, intervals=bounds), lambda _: None)
    rows = patients[["time", "event"]].assign(x=patients["arm"].eq("treatment") * 1.0)
    cox = CoxPHFitter().fit(rows, "time", "event").summary.loc["x"]
    beta = found.fits[0].posterior["beta"].to_numpy()
    yield Line(record.id, "log hazard ratio", beta.mean(), cox["coef"], LOG_RATIO, cox["se(coef)"])
    yield Line(record.id, "its SD, in SEs", beta.std() / cox["se(coef)"], 1.0, SD)


def kaplan_meier_lines(record: Record, patients: pd.DataFrame, draws: int) -> Iterator[Line]:
    """Compare the nonproportional model with Kaplan-Meier, and both with the truth where that is known."""
    found = analyse(record, ("nonproportional",), PRIOR, None, (), Options(draws=draws), lambda _: None)
    means = found.estimates.set_index(["estimand", "time"])["mean"]
    for arm in ARMS:
        rows = patients[patients["arm"].eq(arm)]
        curve = KaplanMeierFitter().fit(rows["time"], rows["event"])
        for time in record.landmark_times():
            expected = float(curve.predict(time))
            limits = curve.confidence_interval_survival_function_.loc[:time].iloc[-1]
            error = float(np.ptp(limits)) / (2 * 1.96)
            true = true_survival(arm, time) if record.id.startswith(SIMULATED) else np.nan
            mean = means[f"survival_{arm}", time]
            yield Line(record.id, f"survival {arm} {time:g}", mean, expected, SURVIVAL, error, true)
            mean = restricted_mean_survival_time(curve, time)
            yield Line(record.id, f"RMST {arm} {time:g}", means[f"rmst_{arm}", time], mean, RMST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=2000, help="per chain")
    parser.add_argument("--intervals", type=int, default=24, help="of the proportional model")
    parser.add_argument("--seeds", default="1", help="of the simulated trials")
    given = parser.parse_args()
    trials = (simulated(seed=int(seed)) for seed in given.seeds.split(","))
    known: list[Line] = []
    print(f"{'trial':<11}{'':<24}{'model':>10}{'Cox, KM':>12}{'apart':>10}{'most':>8}{'SE':>9}  met")
    for record in (load_record("gbsg2"), *trials):
        patients = read_patients(record)
        for line in cox_lines(record, patients, given.intervals, given.draws):
            print(line, flush=True)
        for line in kaplan_meier_lines(record, patients, given.draws):
            print(line, flush=True)
            known += [] if np.isnan(line.truth) else [line]
    truth = np.array([line.truth for line in known])
    for name, values in (("model", [line.model for line in known]), ("KM", [line.frequentist for line in known])):
        off = np.array(values) - truth
        size = f"mean {np.abs(off).mean():.4f}, root mean square {np.sqrt((off**2).mean()):.4f}"
        print(f"{name} less true survival, {off.size} times: {size}")


if __name__ == "__main__":
    main()
