"""Text for people: nothing is lost at any width, and numbers read as they should."""

import dataclasses
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from secondlook.cli import printing, subgroups, summary
from secondlook.data import load_record
from secondlook.data.imputed import FIT_SHEET_COLUMNS
from secondlook.data.sources import Curve
from secondlook.inference.tables import ESTIMATES

TABLE = (("Patients", "Hazard ratio", "P(HR <0.80)"), [("ER/PR(-) HER2(+)", "0.66 (0.49-0.88)", "<0.001")])


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.69, 0.54, 0.89), "0.69 (0.54-0.89)"),
        ((0.05, 1e-9, 7e14), "0.05 (0.00-inf)"),
        ((3.0, 0.2, np.inf), "3.00 (0.20-inf)"),
        ((np.nan,) * 3, ""),
    ],
)
def test_limits_of_cox_fits_that_tell_nothing_are_unbounded(numbers, text):
    assert printing.cox_ratio(pd.Series(numbers, ["cox", "cox_lower", "cox_upper"])) == text


def test_the_test_of_proportional_hazards_stands_beside_the_cox_fit(made, capsys):
    compared = made().comparison
    known = compared.assign(proportional_p=[0.633, *[np.nan] * (len(compared) - 1)])
    record = load_record("gbsg2")
    summary.comparison(record, known)
    out = capsys.readouterr().out
    assert "Cox fit to the patients, posterior" in out
    assert " ".join(out.splitlines()[3].split()) == "Patients Published Cox PH p Posterior Model"
    assert "0.66 (0.48-0.88) 0.63" in " ".join(out.split()) and "Grambsch and Therneau" in out
    summary.comparison(record, compared)
    assert "PH p" not in capsys.readouterr().out


@pytest.mark.parametrize("width", [24, 40, 80, 120])
def test_tables_lose_nothing_at_any_width(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", str(width))
    printing.table(*TABLE)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    shown = "".join(lines)
    for text in ("ER/PR(-)", "HER2(+)", "(0.49-0.88)", "<0.001")[: 4 if width > 24 else 0]:
        assert text in shown
    assert sorted("".join(lines).replace(" ", "").replace("─", "")) == sorted(
        "".join([*TABLE[0], *TABLE[1][0]]).replace(" ", "")
    )


def test_lines_break_between_words_and_after_hyphens_and_slashes_within_them(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "16")
    printing.table(("Subgroup", "HR"), [("Triple-negative", "0.64"), ("Multiple pulmonary/liver", "0.82")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == ["Triple-     0.64", "negative", "Multiple    0.82", "pulmonary/", "liver"]


def test_headers_wrap_before_cells():
    columns = [["P(HR <0.80)", "0.9"], ["Hazard ratio", "0.66 (0.49-0.88)"]]
    assert printing.widths(columns, 40) == [11, 16]
    assert printing.widths(columns, 26) == [6, 16]
    assert printing.widths(columns, 20) == [6, 12]


def test_a_reanalysis_fits_80_columns_without_breaking_a_word(made, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", "80")
    result = made()
    rows = result.estimates.query("model == 'nonproportional' and estimand == 'survival_difference'")
    ratio = rows.assign(estimand="hazard_ratio", median=0.72, lower=0.47, upper=1.40)
    summary.reanalysis(dataclasses.replace(result, estimates=pd.concat([result.estimates, ratio])), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("nonproportional" in line and "0.72" in line for line in lines)
    assert any("(0.47-1.40)" in line for line in lines)


def test_columns_without_text_are_left_out(capsys):
    printing.table(("a", "b"), [("1", ""), ("2", "")])
    assert "b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.500"),
        (0.9995, ">0.999"),
        (1.0, ">0.999"),
        (0.0, "<0.001"),
        (0.0005, "0.001"),
        (float("nan"), ""),
        (0.9994, "0.999"),
    ],
)
def test_probabilities_are_never_certain(value, text):
    assert printing.probability(value) == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.656, 0.491, 0.884), "0.66 (0.49-0.88)"),
        ((0.1, -0.02, 0.2), "0.10 (-0.02 to 0.20)"),
        ((-0.002, -0.026, 0.019), "0.00 (-0.03 to 0.02)"),
        ((0.6, float("nan"), float("nan")), "0.60"),
        ((float("nan"),) * 3, ""),
        ((45.0, 40.0, float("inf")), "45.00 (40.00-inf)"),
    ],
)
def test_intervals(numbers, text):
    assert printing.with_interval(*numbers) == text


def test_credibility_shows_blanks_for_what_only_a_reader_knows(capsys):
    from secondlook.inference.credibility import credibility, homogeneity, trials_without_heterogeneity

    record = load_record("mf07-01")
    simulated = trials_without_heterogeneity(record, [], trials=200)
    frame = credibility(record, [], pd.DataFrame(columns=list(ESTIMATES.columns)), simulated)
    subgroups.credibility(record, frame, homogeneity(record, simulated))
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines() if line.startswith(("HER2(-)", "Triple-negative"))]
    assert rows[0] == ["HER2(-)", "0.64", "(0.45-0.91)"]
    assert [row[1:] for row in rows if row[-1] == "____"] == [
        ["no", *["____"] * 6],
        ["____"] * 7,
    ]
    assert "The paper prints 8 subgroups by 4 factors." in shown
    assert "Simulated from printed intervals, among 8 subgroups" in shown


@pytest.mark.parametrize(
    ("off", "told"),
    [((0.2, -0.9), "every number."), ((0.2, -2.3), "every number but 1, in conflict with the others.")],
)
def test_numbers_that_contradict_others_are_not_said_to_be_reproduced(capsys, off, told):
    rows = [fit_row(half_widths_off=one) for one in off] + [fit_row(half_widths_off=9.0, used=False)]
    made = SimpleNamespace(
        warnings=(),
        record=load_record("mf07-01"),
        partition="receptor",
        fit_sheet=pd.DataFrame(rows),
        imputations=20,
        acceptance_rate=1.0,
    )
    printing.reconstruction(made)
    assert f"20 imputations; 100% of the draws reproduced {told}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("endpoint", "told"), [("overall survival", "deaths"), ("disease-free survival", "events")])
def test_events_of_other_endpoints_are_no_deaths(capsys, endpoint, told):
    made = SimpleNamespace(
        warnings=(),
        record=load_record("mf07-01").model_copy(update={"endpoint": endpoint}),
        partition="",
        fit_sheet=pd.DataFrame([fit_row(item="deaths", half_widths_off=0.1)]),
        imputations=20,
        acceptance_rate=1.0,
    )
    printing.reconstruction(made)
    assert told in capsys.readouterr().out.split()


def fit_row(**changes):
    return dict.fromkeys(FIT_SHEET_COLUMNS, "x") | {"time": 12.0, "reproduced": 0.5, "used": True} | changes


def test_no_subgroup_no_credibility(capsys):
    subgroups.credibility(load_record("mf07-01"), pd.DataFrame(), pd.DataFrame())
    assert capsys.readouterr().out == ""


def test_imbalance_is_told_term_by_term_and_in_both_forms(made, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "120")
    summary.reanalysis(made(), tmp_path)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "ER/PR(+) 50.0% 50.0% 0.50 (0.50-0.50) -0.061 (0.500-0.500) -0.071" in lines
    assert "Together -0.091 -0.097" in lines
    assert "imbalance weak 0.79 (0.49-0.88) 0.997" in lines
    assert "Crude arms as they are 0.66 (0.49-0.88) 0.997" in lines
    assert "Adjusted for imbalance alike in 2 factors, first order 0.79 (0.49-0.88) 0.997" in lines
    assert "Adjusted for imbalance, exact mixture 0.81 (0.49-0.88) 0.997" in lines
    assert any(line.startswith("Conditional on these factors") for line in lines)


@pytest.mark.parametrize(
    ("shrinkage", "model"),
    [
        ("", "effects, receptor"),
        ("half-normal", "effects, receptor"),
        ("none", "effects, receptor, no pooling"),
        ("horseshoe", "effects, receptor, horseshoe"),
    ],
)
def test_forms_of_shrinkage_are_told_apart(made, capsys, shrinkage, model):
    result = made()
    rows = result.comparison.query("model == 'effects'").assign(shrinkage=shrinkage)
    summary.comparison(result.record, rows)
    assert model in {line.rstrip().split("  ")[-1].strip() for line in capsys.readouterr().out.splitlines()}


def test_a_failed_gate_names_a_few_quantities_and_the_worst_of_each_diagnostic(made, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "120")
    result = made(passed=False)
    one = result.diagnostics.iloc[:2]
    many = [
        one.assign(quantity=f"survival {k}", rhat=1.02 + k / 1000, ess_bulk=300.0 + k, ess_tail=400.0, divergences=k)
        for k in range(9)
    ]
    summary.fit(dataclasses.replace(result, diagnostics=pd.concat(many)), tmp_path)
    shown = " ".join(capsys.readouterr().out.split())
    assert "piecewise weak survival 0, survival 1, survival 2 and 6 more 1.028 600 8 The worst" in shown
    assert "survival 3" not in shown


def test_nothing_is_told_where_nothing_was_adjusted(made, capsys, tmp_path):
    found = made()
    crude = found.estimates[found.estimates["model"].ne("imbalance")]
    summary.reanalysis(dataclasses.replace(found, estimates=crude, imbalance=found.imbalance[:0]), tmp_path)
    assert "mbalance" not in capsys.readouterr().out


def test_piped_output_has_no_colour_and_fits_a_page():
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    command = [sys.executable, "-m", "secondlook.cli.main", "show", "mf07-01"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, encoding="utf-8")
    assert "\x1b" not in done.stdout
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_audit_imports_neither_pymc_nor_lifelines():
    script = (
        "import sys; from secondlook.cli.main import main; main(['audit']); main(['audit', 'gbsg2']); "
        "print(sorted({'pymc', 'lifelines', 'arviz', 'matplotlib', 'xarray'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_error():
    command = [sys.executable, "-m", "secondlook.cli.main", "show", "mf07-01"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.parametrize(("source", "rows"), [("published", 1), ("curves", 0), ("patients", 0)])
def test_what_the_paper_does_not_print_has_no_row_but_where_it_is_the_source(made, capsys, source, rows):
    record = load_record("mf07-01").model_copy(update={"survival": ()})
    curve = (Curve(arm="control", file="c.csv"),) if source == "curves" else ()
    patients = load_record("gbsg2").patients if source == "patients" else None
    record = record.model_copy(update={"curve": curve, "patients": patients})
    assert record.source == source
    summary._landmarks(dataclasses.replace(made(), record=record))
    assert sum("paper" in line for line in capsys.readouterr().out.splitlines()) == rows


def test_a_stratified_baseline_is_told(made, capsys):
    record = load_record("gbsg2")
    factors = record.patient_partition
    patients = record.patients.model_copy(update={"stratify": record.patients.factors[0]})
    rows = pd.DataFrame(
        [
            dict.fromkeys(ESTIMATES.columns, 0.5)
            | {"partition": factors, "subgroup": name, "label": name, "prior": "weak", "shrinkage": "half-normal"}
            | {"estimand": "average_hazard_ratio", "model": "subgroups"}
            for name in ("overall", "age=below 45")
        ]
    )
    for one, told in ((record, False), (record.model_copy(update={"patients": patients}), True)):
        subgroups.effects(dataclasses.replace(made(), record=one, estimates=rows))
        out = capsys.readouterr().out
        assert ("Baseline hazards of each level of" in out) == told
        assert "Subgroups of different factors overlap." in out


def test_what_there_is_nothing_of_is_not_listed(made, capsys, tmp_path):
    result = made()
    result.save(tmp_path)
    summary.reanalysis(dataclasses.replace(result, audit=result.audit[:0]), tmp_path)
    out = capsys.readouterr().out
    assert "Audit of the published numbers" not in out
    assert "estimates.csv" in out and "binary.csv" not in out
    assert len((tmp_path / "binary.csv").read_text().splitlines()) == 1
