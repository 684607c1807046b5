"""The skin is thin: the library is called once, with what the command line says, and its answer is written."""

import json
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from secondlook import figures, inference
from secondlook.cli import results as results_module
from secondlook.data.audit import COLUMNS
from secondlook.inference import Options

matplotlib.use("Agg")


@pytest.fixture
def library(monkeypatch, made):
    """Replace the fitting of models; remember with what it was called."""
    calls = []

    def fake(name, **settings):
        def call(record, *arguments, **_):
            *given, options, notify = arguments
            asked = tuple(one.id for one in record) if isinstance(record, list) else record.id
            calls.append((name, asked, tuple(given), options))
            notify("working")
            notify("note: something to know")
            return made(given[1] if given else "weak", **settings)

        return call

    def drawn(_, directory, *__, **___):
        directory.mkdir(exist_ok=True)
        (directory / "forest.png").write_bytes(b"png")
        return [directory / "forest.png"]

    def install(**settings):
        monkeypatch.setattr(inference, "reanalyse", fake("reanalyse", **settings))
        monkeypatch.setattr(inference, "fit", fake("fit", **settings))
        monkeypatch.setattr(inference, "evidence", fake("evidence", **settings))
        monkeypatch.setattr(figures, "write_figures", drawn)
        return calls

    return install


def test_reanalyse_calls_the_library_once_and_writes_everything(run, library):
    calls = library()
    done = run("reanalyse", "--draws", "500", "--seed", "7", "--landmarks", "24,48", "--design-hr", "0.6")
    assert done.code == 0
    options = Options(draws=500, seed=7, landmarks=(24.0, 48.0), design_hazard_ratio=0.6)
    assert calls == [("reanalyse", "mf07-01", (), options)]
    written = {path.name for path in Path("results/mf07-01").iterdir()}
    tables = {
        "estimates.csv",
        "comparison.csv",
        "diagnostics.csv",
        "audit.csv",
        "reconstruction.csv",
        "imbalance.csv",
        "credibility.csv",
        "homogeneity.csv",
        "binary.csv",
        "conflict.csv",
        "evidence.csv",
        "checks.csv",
        "model-comparison.csv",
        "prior-predictive.csv",
        "sensitivity.csv",
        "tipping.csv",
        "psense.csv",
    }
    assert written == tables | {"posterior", "figures", "run.json", "record.json"}
    assert [path.name for path in Path("results").iterdir()] == ["mf07-01"]  # nothing is left over


def test_reanalyse_replaces_an_earlier_version_only_when_told(run, library, made, results):
    library()
    results(Path("here"), run={**made().run, "record_sha256": "0"})
    assert run("reanalyse", "mf07-01", "--out", "here").code == 2
    assert run("reanalyse", "mf07-01", "--out", "here", "--overwrite").code == 0
    assert run("reanalyse", "mf07-01", "--out", "here").code == 0
    results(Path("other"), run={**made().run, "trial": "another"})
    assert "give another directory" in run("reanalyse", "mf07-01", "--out", "other", "--overwrite").err


def test_reanalyse_prints_the_headline(run, library):
    library()
    out = " ".join(run("reanalyse", "mf07-01", "--out", "here").out.split())
    for text in ("0.66 (0.49-0.88)", "0.997", "<0.001", "P(HR <0.80)", "P(HR >1.25)", "Normal(0, 1)"):
        assert text in out
    assert "60 (51-68)" in out and "p = 0.10" in out  # what the paper prints at 36 months
    assert "10 (10-70)" in out  # what the model says
    assert "predict 0.65 (0.60-0.70) (printed: 0.66)" in out
    assert "Passed" in out
    assert "Inconsistent" in out and "Triple-negative" not in out
    assert str(Path("here") / "estimates.csv") in out


def test_notes_go_to_stderr_unless_quiet(run, library):
    library()
    assert run("reanalyse", "mf07-01").problems == ["note: something to know"]
    assert run("reanalyse").problems[0] == "note: no TRIAL is given: this is the built-in case, mf07-01"
    assert run("reanalyse", "--quiet").err == ""


def test_failed_diagnostics_exit_with_3_and_leave_everything(run, library):
    library(passed=False)
    done = run("reanalyse", "mf07-01", "--out", "here")
    assert done.code == 3
    assert "FAILED: 1 posterior of 1. Do not rely on:" in done.out and "hazard ratio" in done.out
    assert "Wanted: R-hat up to 1.01" in done.out
    assert Path("here/estimates.csv").exists() and Path("here/figures/forest.png").exists()


def test_fit_merges_into_results_of_the_same_record(run, library, results):
    calls = library()
    results(Path("here"))
    done = run(
        "fit",
        "mf07-01",
        "--out",
        "here",
        "--prior",
        "-0.2,0.5",
        "--model",
        "effects",
        "--tau-scale",
        "0.5",
        "--quiet",
    )
    assert done.code == 0
    assert calls == [("fit", "mf07-01", ("effects", "-0.2,0.5", None, "half-normal"), Options(tau_scale=0.5))]
    assert set(pd.read_csv("here/estimates.csv")["prior"]) == {"weak", "-0.2,0.5"}
    assert {path.stem for path in Path("here/posterior").iterdir()} == {"piecewise-weak", "piecewise--0.2,0.5"}


def test_evidence_pools_one_trial_with_its_sisters_or_those_that_are_named(run, library, results):
    calls = library()
    results(Path("here"))
    estimates = len(pd.read_csv("here/estimates.csv"))
    assert run("evidence", "--out", "here", "--tau-scale", "0.25", "--quiet").code == 0
    assert run("evidence", "mf07-01", "tata", "--out", "here", "--quiet").code == 0
    options = Options(trial_tau_scale=0.25)
    assert calls == [("evidence", ("mf07-01",), (), options), ("evidence", ("mf07-01", "tata"), (), Options())]
    assert len(pd.read_csv("here/estimates.csv")) == estimates  # the made-up answer has the same rows
    pooled = pd.read_csv("here/evidence.csv", keep_default_na=False)
    assert set(pooled["trial"]) == {"mf07-01"} and "dersimonian-laird" in set(pooled["method"])


def test_evidence_prints_trials_average_and_each_left_out(run, library, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    library()
    done = run("evidence", "--out", "here")
    for text in (
        "Overall survival in 5 trials: mf07-01, abcsg-28, e2108, jcog1017, tata.",
        "0.66 (0.49-0.88)  0.76 (0.56-0.99)  1.02 (0.58-1.91)  0.118",
        "Least like the others is MF07-01 2018: p = 0.12 with tau scale 0.5",
        "I^2 is 55%, without it 0%.",
        "DerSimonian-Laird      0.93 (0.75-1.16)  0.93 (0.47-1.84)  0.18",
        "MF07-01 2018        1.02 (0.78-1.42)  1.00 (0.85-1.17)   0.000   0%",
        "robust             0.71 (0.51-0.96)       0.989  0.46",
        "External is worth 117 deaths.",
    ):
        assert text in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_fit_with_failed_diagnostics_exits_with_3(run, library):
    library(passed=False)
    assert run("fit", "mf07-01", "--out", "here", "--quiet").code == 3
    assert Path("here/estimates.csv").exists()


def test_a_failed_run_leaves_the_old_results(run, library, results, monkeypatch, disk):
    library()
    results(Path("here"))
    before = disk()

    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(figures, "write_figures", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        run("reanalyse", "mf07-01", "--out", "here")
    assert disk() == before


def test_interrupting_exits_with_130_and_leaves_the_old_results(run, library, results, monkeypatch, disk):
    library()
    results(Path("here"))
    before = disk()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(inference, "reanalyse", interrupted)
    done = run("reanalyse", "mf07-01", "--out", "here")
    assert (done.code, done.problems) == (130, ["error: interrupted"])
    assert disk() == before


def test_audit_prints_and_writes_every_check(run):
    done = run("audit", "mf07-01", "--out", "here")
    assert (done.code, done.err) == (0, "")
    frame = pd.read_csv("here/audit.csv")
    assert tuple(frame.columns) == COLUMNS
    assert set(frame["verdict"]) >= {"ok", "note", "inconsistent"}
    for text in ("hazard ratio ER/PR(+)", "(15/136) / (2/138)", "Sample size".lower()):
        assert text in done.out


def test_strict_audit_exits_with_1_for_contradictions_only(run, template):
    assert run("audit", "mf07-01", "--strict").code == 1
    assert run("audit", template(), "--strict").code == 0


def test_audit_finds_the_impossible(run):
    done = run("audit", "mf07-01-10y")
    assert done.code == 0
    assert "Impossible: 1" in done.out


def test_reconstruct_writes_table_sheet_and_patients(run):
    done = run(
        "reconstruct", "mf07-01", "--out", "here", "--imputations", "2", "--patients-out", "there/patients.csv"
    )
    assert done.code == 0
    assert {path.name for path in Path("here").iterdir()} == {
        "reconstruction.csv",
        "table.nc",
        "record.json",
        "run.json",
    }
    patients = pd.read_csv("there/patients.csv")
    assert list(patients.columns) == ["time", "event", "arm"]
    assert patients.groupby("arm").agg({"event": ["size", "sum"]}).to_numpy().tolist() == [[136, 101], [138, 76]]
    assert "hazard ratio" in done.out and "0.66" in done.out


@pytest.mark.parametrize("source", ["curves", "published"])
def test_one_arm_is_rebuilt_alone_but_not_modelled(run, tmp_path, source):
    text = 'schema = 1\nid = "alone"\ntitle = "One arm"\narms.control.label = "none"\n'
    text += '[arms.treatment]\nlabel = "Drug"\npatients = 100\nevents = 52\n'
    if source == "curves":
        rows = "".join(f"{at},{100 * (1 - 0.98**at):.2f}\n" for at in range(0, 37))
        (tmp_path / "drug.csv").write_text(f"Drug x,Drug y\n{rows}")
        text += '[[curve]]\narm = "treatment"\nfile = "drug.csv"\nfailure = true\n'
    else:
        text += '[[survival]]\narm = "treatment"\ntime = 36\nestimate = "48.3%"\n'
    (tmp_path / "alone.toml").write_text(text)
    done = run("reconstruct", "alone.toml", "--out", "here", "--imputations", "2", "--patients-out", "patients.csv")
    assert done.code == 0 and "control: treatment alone is rebuilt" in done.err
    patients = pd.read_csv("patients.csv")
    assert set(patients.arm) == {"treatment"} and len(patients) == 100 and patients.event.sum() == 52
    assert Path("here/table.nc").exists() and Path("here/reconstruction.csv").exists()
    field = "curve" if source == "curves" else "arms.control"
    for command in ("fit", "reanalyse"):
        done = run(command, "alone.toml", "--out", "models")
        told = f"alone.toml: {field}: nothing of control: models need both arms; reconstruct rebuilds treatment alone"
        assert done.code == 2 and [line for line in done.problems if "error" in line] == [f"error: {told}"]
        assert not Path("models").exists()
    assert run("audit", "alone.toml").code == run("show", "alone.toml").code == 0


def test_reconstructing_strata_of_curves_tells_both(run, template):
    """The curves' notes and round trip, the paper's own hazard ratio as a check, and then the strata."""
    survival = {"control": (0.97, 0.9, 136), "treatment": (0.98, 0.95, 138)}
    more = ""
    for arm, (monthly, positive, patients) in survival.items():
        rows = "".join(f"{at},{monthly**at:.3f}\n" for at in range(0, 61, 3))
        template(name=f"{arm}.csv").write_text(f"time,survival\n{rows}")
        more += f'[[curve]]\narm = "{arm}"\nfile = "{arm}.csv"\n'
        for level, number in {"+": round(positive * patients), "-": patients - round(positive * patients)}.items():
            more += f'[[patients_count]]\narm = "{arm}"\nwhere = {{ er = "{level}" }}\nn = {number}\n'
    path = template(("times = [0, 12]\npatients = [136, 120]", "times = [0, 60]\npatients = [136, 20]"), more=more)
    done = run("reconstruct", path, "--out", "here", "--imputations", "1", "--partition", "er")
    assert done.code == 0
    assert "no numbers at risk of treatment" in done.err
    assert done.out.count("What was read of small") == 2
    assert "Curve of control: 21 points" in done.out
    assert {path.name for path in Path("here").glob("*.nc")} == {"table.nc", "table-er.nc"}
    sheet = pd.read_csv("here/reconstruction.csv", keep_default_na=False)
    ratio = sheet[sheet["item"].eq("hazard_ratio") & sheet["subgroup"].eq("overall")]
    assert ratio[["partition", "used", "source"]].to_numpy().tolist() == [["", False, ""], ["er", True, "curve"]]
    assert ratio["printed"].iloc[0] == 0.66 or ratio["printed"].iloc[0] == "0.66"
    assert set(sheet.query("partition == 'er' and item == 'deaths'")["source"]) == {"curve"}


def test_rebuilding_numbers_beside_patients_is_told(run, template):
    source = '[patients]\nfile = "own.csv"\ntime = "t"\nunit = "months"\nevent = "e"\narm = "a"\n'
    path = template(more=f'{source}control = "0"\ntreatment = "1"\n')
    done = run("reconstruct", path, "--out", "here", "--imputations", "1")
    assert done.code == 0 and "note: models use the patients themselves" in done.problems


def test_patients_may_be_written_among_the_results(run):
    done = run(
        "reconstruct",
        "mf07-01",
        "--out",
        "here",
        "--imputations",
        "1",
        "--quiet",
        "--patients-out",
        "here/rows/all.csv",
    )
    assert done.code == 0
    assert len(pd.read_csv("here/rows/all.csv")) == 274
    assert Path("here/table.nc").exists()


def test_reconstruct_keeps_other_results(run, results):
    results(Path("here"))
    estimates = Path("here/estimates.csv").read_bytes()
    assert run("reconstruct", "mf07-01", "--out", "here", "--imputations", "1", "--quiet").code == 0
    assert Path("here/estimates.csv").read_bytes() == estimates
    assert json.loads(Path("here/run.json").read_text(encoding="utf-8"))["resolved"]["priors"] == {
        "weak": "Normal(0, 1)"
    }


def test_compare_prints_the_saved_comparison(run, results):
    results(Path("here"))
    done = run("compare", "here")
    assert (done.code, done.err) == (0, "")
    for text in ("0.66 (0.49-0.88)", "0.66 (0.48-0.88)", "nonproportional", "ER/PR(+)", "weak"):
        assert text in done.out


def test_plot_draws_one_kind_or_all(run, results, monkeypatch):
    results(Path("here"))
    calls = []
    monkeypatch.setattr(figures, "write_figures", lambda *given: calls.append(given[1:]) or [given[1] / "one.png"])
    assert run("plot", "here", "forest", "--width", "90").out.split() == ["Wrote", str(Path("here/figures/one.png"))]
    assert run("plot", "here", "all").code == 0
    folder = Path("here/figures")
    assert calls == [(folder, 90.0, "forest"), (folder, results_module.WIDTH_MM, "all")]


def test_plot_says_when_results_do_not_support_a_figure(run, results, monkeypatch):
    results(Path("here"))
    monkeypatch.setattr(figures, "write_figures", lambda *_: [])
    done = run("plot", "here", "forest")
    assert (done.code, done.problems) == (2, ["error: here: forest: these results do not support this figure"])


def test_trials_and_show(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert "mf07-01" in run("trials").out
    shown = run("show", "mf07-01").out
    assert "0.63 (0.44 to 0.89)" in shown and "Hazard ratios" in shown


def test_new_writes_a_record_that_can_be_audited(run):
    assert run("new", "mine.toml").code == 0
    done = run("audit", "mine.toml")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "All checks with their numbers: secondlook audit mine.toml --out DIR"


def test_schema_is_json(run):
    assert json.loads(run("schema").out)["title"] == "secondlook trial record"
