"""Commands run in this process, and results made without sampling anything."""

import dataclasses
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from secondlook.cli.main import main
from secondlook.data import load_record
from secondlook.data.audit import audit, findings_frame
from secondlook.data.evidence import pooled_trials
from secondlook.inference import Options, Reanalysis
from secondlook.inference.fitting import Fit
from secondlook.inference.synthesis import evidence_rows
from secondlook.inference.tables import COMPARISON, DIAGNOSTICS, ESTIMATES, IMBALANCE
from secondlook.inference.versions import record_hash
from secondlook.models.priors import Prior

WEAK = Prior("weak", (0.0,), (1.0,))


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def problems(self) -> list[str]:
        return self.err.splitlines()


@pytest.fixture
def run(capsys, monkeypatch, tmp_path) -> Callable[..., Outcome]:
    """Run a command inside an empty directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        code = main([str(argument) for argument in arguments])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def results(made) -> Callable[..., Path]:
    """Save results into a directory."""

    def save(directory: Path, prior: str = "weak", **changes: object) -> Path:
        dataclasses.replace(made(prior), **changes).save(directory)
        return directory

    return save


@pytest.fixture(scope="session")
def made() -> Callable[..., Reanalysis]:
    return reanalysis


@pytest.fixture
def template(tmp_path) -> Callable[..., Path]:
    """Write a small record with some text replaced."""

    def write(*changes: tuple[str, str], name: str = "trial.toml", more: str = "") -> Path:
        text = RECORD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text + more, encoding="utf-8")
        return path

    return write


RECORD = """schema = 1
id = "small"
title = "A small trial"
endpoint = "overall survival"
time_unit = "months"

[arms.control]
label = "ST"
patients = 136
events = 101

[arms.treatment]
label = "LRT"
patients = 138
events = 76

[factors.er]
label = "ER"
levels = ["+", "-"]

[[survival]]
arm = "control"
time = 36
estimate = "0.51"
ci = ["0.42", "0.59"]

[[hazard_ratio]]
label = "All patients"
estimate = "0.66"
ci = ["0.49", "0.88"]

[[hazard_ratio]]
label = "ER(+)"
where = { er = "+" }
estimate = "0.64"
ci = ["0.46", "0.91"]

[[at_risk]]
arm = "control"
times = [0, 12]
patients = [136, 120]
"""


def estimate(**values: object) -> dict[str, object]:
    texts = dict.fromkeys(("shrinkage", "partition", "reference", "label"), "")
    fixed = {"trial": "mf07-01", "source": "published", "endpoint": "overall survival", "model": "piecewise"}
    numbers = {"median": 0.66, "mean": 0.67, "sd": 0.1, "lower": 0.49, "upper": 0.88, "prob_benefit": 0.997}
    return dict.fromkeys(ESTIMATES.columns, np.nan) | texts | fixed | {"subgroup": "overall"} | numbers | values


def reanalysis(prior: str = "weak", passed: bool = True, **options: object) -> Reanalysis:
    """Return a reanalysis of MF07-01 that nobody made."""
    record = load_record("mf07-01")
    survival = [
        estimate(model=model, estimand=f"survival_{name}", time=36.0, prior=prior, median=value, lower=0.1, upper=0.7)
        for model in ("piecewise", "nonproportional")
        for name, value in {"control": 0.5, "treatment": 0.6, "difference": 0.1}.items()
    ]
    ratios = [
        estimate(estimand="hazard_ratio", prior=prior, label="Hazard ratio", prob_meaningful=0.9, prob_harm=0.0001),
        estimate(model="nonproportional", estimand="average_hazard_ratio", time=60.0, prior=prior),
        estimate(
            model="effects",
            shrinkage="half-normal",
            partition="receptor",
            subgroup="er=+",
            label="ER/PR(+)",
            estimand="hazard_ratio",
            prior=prior,
        ),
    ]
    adjusted = [
        estimate(
            model="imbalance",
            estimand="hazard_ratio",
            prior=prior,
            label=f"Adjusted for imbalance, {form}",
            median=value,
        )
        for form, value in {"first order": 0.79, "exact mixture": 0.81}.items()
    ]
    shifts = {"first order": (-0.061, -0.03), "exact mixture": (-0.071, -0.026)}
    terms = [
        dict.fromkeys(IMBALANCE.columns, 0.5)
        | {"trial": "mf07-01", "label": label, "subgroup": "", "form": form, "shift": shift}
        for form, pair in shifts.items()
        for label, shift in zip(("ER/PR(+)", "T4"), pair, strict=True)
    ]
    compared = [
        dict.fromkeys(COMPARISON.columns, np.nan)
        | {name: row[name] for name in ("trial", "partition", "subgroup", "label", "model", "shrinkage", "prior")}
        | {"published": 0.66, "published_lower": 0.49, "published_upper": 0.88, "posterior": 0.66}
        | {"withheld": 0.652, "withheld_lower": 0.6, "withheld_upper": 0.7}
        | {"cox": 0.655, "cox_lower": 0.48, "cox_upper": 0.884, "posterior_lower": 0.49, "posterior_upper": 0.88}
        for row in ratios
    ]
    checked = [
        dict.fromkeys(DIAGNOSTICS.columns, 1.0)
        | {"trial": "mf07-01", "model": "piecewise", "shrinkage": "", "prior": prior, "partition": ""}
        | {"imputation": imputation, "quantity": "hazard_ratio", "divergences": 0, "rerun": False, "passed": passed}
        for imputation in range(2)
    ]
    values = {"beta": (("chain", "draw"), np.full((2, 3), -0.4))}
    stats = {"diverging": (("chain", "draw"), np.zeros((2, 3)))}
    groups = {"posterior": xr.Dataset(values), "sample_stats": xr.Dataset(stats)}
    fit = Fit("piecewise", "", "", dataclasses.replace(WEAK, name=prior), xr.DataTree.from_dict(groups), (0.0, 90.0))
    sheet = {"item": "deaths", "subgroup": "overall", "arm": "control", "time": np.nan, "printed": "101"}
    return Reanalysis(
        record,
        {},
        (fit,),
        pd.DataFrame([*ratios, *adjusted, *survival]),
        pd.DataFrame(compared),
        pd.DataFrame(checked),
        findings_frame(record, audit(record)),
        pd.DataFrame([{"trial": "mf07-01", "partition": ""} | sheet | {"reproduced": 101.0, "used": True}]),
        {
            "trial": "mf07-01",
            "record_sha256": record_hash(record),
            "options": dataclasses.asdict(dataclasses.replace(Options(), **options)),
            "resolved": {"priors": {prior: "Normal(0, 1)"}, "imputations": {f"piecewise-{prior}": 2}},
            "notes": [f"piecewise-{prior} fails the diagnostics gate: see diagnostics.csv"] if not passed else [],
            "versions": {"secondlook": version("secondlook")},
        },
        pd.DataFrame(terms),
        evidence=evidence_rows(pooled_trials(record), Options()).assign(trial="mf07-01"),
    )


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file below a directory with what it holds."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def disk(tmp_path) -> Callable[[], dict[str, bytes]]:
    return lambda: contents(tmp_path)
