"""What a reanalysis says about its own models, as text."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from secondlook.cli import judging
from secondlook.inference.prior_predictive import DOUBLING, STEP_SD
from secondlook.inference.tables import CHECKS, PRIOR_PREDICTIVE

CHANGE = "landmark hazard ratio, 60 over 36"


def row(item, tail, **values):
    texts = {"model": "piecewise", "shrinkage": "", "partition": "", "subgroup": "overall", "label": "All patients"}
    numbers = {"value": 0.82, "median": 1.0, "lower": 0.71, "upper": 1.404, "replicates": 4000, "time": np.nan}
    return texts | numbers | {"item": item, "arm": "", "printed": "", "tail_probability": tail} | values


@pytest.fixture
def printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    def printed(rows, priors=()):
        found = SimpleNamespace(checks=pd.DataFrame(rows, columns=list(CHECKS.columns)))
        found.prior_predictive = pd.DataFrame(list(priors), columns=list(PRIOR_PREDICTIVE.columns))
        judging.checks(found)
        out = capsys.readouterr().out
        assert all(len(line) <= 80 for line in out.splitlines())
        return " ".join(out.split())

    return printed


def test_nothing_in_the_tails_names_the_nearest(printed):
    rows = [row("hazard_ratio", 1.0, printed="0.66"), row("survival", 0.34, arm="control", time=36.0, printed="0.51")]
    out = printed([*rows, *(one | {"model": "nonproportional", "tail_probability": 0.9} for one in rows)])
    assert "Predictive checks: 4000 trials simulated from each posterior" in out
    assert "None of 2 numbers lies in the tails (below 0.05) of piecewise, nonproportional;" in out
    assert "nearest: All patients survival control at 36 0.51 (0.340, piecewise)." in out


def test_what_lies_in_the_tails_is_named_the_farthest_first(printed):
    of_strata = {"model": "subgroups", "shrinkage": "none", "partition": "er", "subgroup": "er=+", "label": "ER(+)"}
    rows = [row("deaths", 0.04, printed="101"), row("hazard_ratio", 0.003, value=2.2134, **of_strata)]
    out = printed([*rows, row("median", 0.4)])
    assert "Of 3 numbers, in the tails (below 0.05): ER(+) hazard ratio 2.21 (0.003, subgroups, no pooling);" in out
    assert out.index("ER(+)") < out.index("deaths 101 (0.040, piecewise)")
    many = printed([row(f"item {number}", 0.001) for number in range(9)])
    assert "3 more in checks.csv" in many


def test_the_change_between_landmarks_and_its_scale_are_told(printed):
    scale = {
        f"{side}_{name}": value
        for side in ("prior", "posterior")
        for name, value in (("lower", 0.02), ("upper", 1.1))
    }
    scale |= {"prior_median": 0.34, "posterior_median": 0.27}
    out = printed([row(CHANGE, 0.34)], [scale | {"estimand": STEP_SD}, scale | {"estimand": DOUBLING}])
    assert (
        "Hazard ratios from survival, 60 over 36: 0.82; piecewise 1.00 (0.71-1.40), two-sided probability 0.34."
        in out
    )
    for what in ("SD of a year's step of the log hazard ratio about its trend", "while time doubles"):
        assert f"{what}: 0.27 (0.02-1.10); its prior 0.34 (0.02-1.10)." in out


def test_nothing_is_said_without_checks(printed):
    assert printed([]) == ""


def compared(**values):
    numbers = {
        "elpd": -71.84,
        "elpd_se": 5.0,
        "difference": 0.0,
        "difference_se": 0.0,
        "parameters": 10.03,
        "weight": 1.0,
    }
    texts = {"partition": "", "model": "piecewise", "shrinkage": ""}
    return texts | numbers | {"rows": 28, "worst_k": 0.5, "good_k": 0.7, "refitted": 0, "bad_rows": 0} | values


def test_models_compared_are_a_table_and_unreliable_ones_are_marked(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [compared(), compared(model="nonproportional", difference=-1.12, worst_k=1.301, bad_rows=3)]
    judging.model_comparison(pd.DataFrame(rows))
    out = capsys.readouterr().out
    assert "Models by leave-one-row-out prediction (28 rows; PSIS-LOO)" in out
    assert "-71.8" in out and "-1.1" in out and "1.30*" in out and "0.50*" not in out
    assert "such an estimate is unreliable" in out
    judging.model_comparison(pd.DataFrame([compared(partition="er", shrinkage="none", model="subgroups")]))
    out = capsys.readouterr().out
    assert "Models by er by leave-one-row-out" in out and "subgroups none" in out and "unreliable" not in out
    judging.model_comparison(pd.DataFrame([compared(refitted=2, worst_k=0.9)]))
    out = capsys.readouterr().out
    assert "left out in earnest" in out and "unreliable" not in out
