"""Bad input: every problem named on a line of its own, exit 2, no traceback, nothing on disk changed."""

import subprocess
import sys
from pathlib import Path

import pytest

from secondlook.cli.options import Shared, checked_options
from secondlook.data import InputError
from secondlook.inference import Options, load
from secondlook.inference.storage import replacing

BAD_RECORDS = {
    "unknown key": (('id = "small"', 'id = "small"\ncolour = "red"'), "colour: 'red': unknown key"),
    "wrong type": (("patients = 136\nevents", 'patients = "many"\nevents'), "arms.control.patients: 'many'"),
    "crossed limits": (('ci = ["0.49", "0.88"]', 'ci = ["0.88", "0.49"]'), "hazard_ratio[1]"),
    "estimate outside": (('estimate = "0.66"', 'estimate = "0.96"'), "hazard_ratio[1]"),
    "negative count": (("events = 101", "events = -1"), "arms.control.events: -1"),
    "zero count": (("patients = 138", "patients = 0"), "arms.treatment.patients: 0"),
    "survival above 1": (('estimate = "0.51"', 'estimate = "1.51"'), "survival[1].estimate"),
    "percentage": (('estimate = "0.51"', 'estimate = "51"'), "survival[1].estimate"),
    "unknown arm": (('arm = "control"\ntime', 'arm = "placebo"\ntime'), "survival[1].arm: 'placebo'"),
    "unknown level": (('where = { er = "+" }', 'where = { er = "?" }'), "hazard_ratio[2].where"),
    "unknown factor": (('where = { er = "+" }', 'where = { her2 = "+" }'), "hazard_ratio[2].where"),
    "too many events": (("events = 76", "events = 760"), "arms.treatment"),
    "times out of order": (("times = [0, 12]", "times = [12, 0]"), "at_risk[1]"),
}
NO_TRIAL = (
    ("audit", (), ""),
    ("show", (), ""),
    ("fit", ("--out", "here"), " --out results/mf07-01"),
    ("reconstruct", ("--out", "here"), " --out results/mf07-01"),
)
TWO_PROBLEMS = (("events = 101", "events = -1"), ('estimate = "0.51"', 'estimate = "51"'))


def refused(done, *texts: str) -> None:
    """Check that a command named these problems, one a line, and nothing else."""
    assert done.code == 2
    assert "Traceback" not in done.err
    assert done.out == ""
    assert all(line.startswith("error: ") for line in done.problems)
    for text in texts:
        assert any(text in line for line in done.problems), done.err


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_bad_records(run, template, disk, name):
    change, text = BAD_RECORDS[name]
    path = template(change)
    before = disk()
    refused(run("audit", path, "--out", "here"), text, "trial.toml")
    assert disk() == before


@pytest.mark.parametrize("command", ["audit", "show", "reanalyse", "fit", "reconstruct"])
def test_every_command_names_every_problem_of_a_record(run, template, disk, command):
    path = template(*TWO_PROBLEMS)
    before = disk()
    out = () if command == "show" else ("--out", "here")
    done = run(command, path, *out)
    refused(done, "arms.control.events: -1", "survival[1].estimate")
    assert len(done.problems) == 2
    assert disk() == before


def test_malformed_toml_is_named_alone(run, template):
    done = run("audit", template(more="[[["))
    refused(done, "not valid TOML")
    assert len(done.problems) == 1


@pytest.mark.parametrize("trial", ["nothing", "nothing.toml"])
def test_unknown_trials(run, trial):
    refused(run("audit", trial), trial)
    refused(run("reanalyse", trial, "--out", "here"), trial)
    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["bogus"], 'Unknown command "bogus"'),
        (["fit", "mf07-01", "--drws", "3", "--out", "here"], "Unknown option: --drws"),
        (["fit", "mf07-01"], "--out requires an argument"),
        *(([name, *end], f"or a .toml file; try: secondlook {name} mf07-01{more}") for name, end, more in NO_TRIAL),
        (["show"], "secondlook show needs a TRIAL: a built-in id (abcsg-28, "),
        (["fit", "mf07-01", "--out", "here", "--draws", "1000.5"], "must be a whole number"),
        (["fit", "mf07-01", "--draws", "many", "--out", "here"], "Invalid value for --draws: must be a whole number"),
        (["audit", "mf07-01", "mf07-01-10y"], "mf07-01-10y"),
        (["fit", "mf07-01", "--out", "here", "--model", "cox"], "--model: cox: not a model; give one of piecewise"),
        (["fit", "mf07-01", "--out", "here", "--prior", "hopeful"], "--prior: hopeful: not a prior"),
        (["fit", "mf07-01", "--out", "here", "--prior", "0,-1"], "--prior: 0,-1: not a prior"),
        (
            ["fit", "mf07-01", "--out", "here", "--shrinkage", "horseshoe"],
            "--shrinkage: horseshoe: is for subgroups, not for",
        ),
        (
            ["fit", "mf07-01", "--out", "here", "--model", "subgroups", "--shrinkage", "lasso"],
            "--shrinkage: lasso: not a form",
        ),
        (
            ["fit", "mf07-01", "--out", "here", "--model", "subgroups", "--partition", "x"],
            "--partition: x: no partition",
        ),
        (
            ["fit", "mf07-01", "--out", "here", "--partition", "receptor"],
            "--partition: receptor: is for subgroups and effects",
        ),
        (
            ["fit", "mf07-01", "--out", "here", "--model", "effects", "--partition", "bogus"],
            "--partition: bogus: not a partition",
        ),
        (
            ["reconstruct", "mf07-01", "--out", "here", "--partition", "bogus"],
            "--partition: bogus: no partition of mf07-01",
        ),
        (["reconstruct", "mf07-01", "--out", "here", "--imputations", "0"], "--imputations: 0"),
        (["new", "mine.txt"], "must end in .toml"),
    ],
)
def test_bad_usage(run, arguments, text):
    refused(run(*arguments), text)
    assert list(Path().iterdir()) == []


NO_PRIORS = ("hopeful", "0,0", "0,-1", "nan,1", "0,inf", "inf,1", "0", "1,2,3", "weak,vague", "")


@pytest.mark.parametrize("prior", NO_PRIORS)
def test_what_is_no_prior_is_refused_with_what_is(run, prior):
    done = run("fit", "mf07-01", "--out", "here", "--prior", prior)
    names = "weak, vague, external, robust, sceptical, enthusiastic, pessimistic"
    refused(done, f"not a prior; give one of {names}, or MEAN,SD with a finite mean and an SD above 0")
    assert len(done.problems) == 1 and list(Path().iterdir()) == []


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf"])
def test_a_scale_of_tau_that_is_no_scale_is_refused(run, scale):
    refused(run("fit", "mf07-01", "--out", "here", "--model", "subgroups", "--tau-scale", scale), "--tau-scale: ")
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("draws", 0, "must be a whole number from 10"),
        ("chains", 0, "must be a whole number from 1"),
        ("seed", -1, "must be a whole number from 0"),
        ("imputations", 0, "must be a whole number from 1"),
        ("benefit_threshold", 0.0, "must be above 0 and below 1"),
        ("benefit_threshold", 1.0, "must be above 0 and below 1"),
        ("benefit_threshold", float("nan"), "must be above 0 and below 1"),
        ("harm_threshold", 1.0, "must be finite and above 1"),
        ("harm_threshold", float("inf"), "must be finite and above 1"),
        ("design_hr", float("nan"), "must be above 0 and below 1"),
        ("design_hr", 1.2, "must be above 0 and below 1"),
        ("intervals", "6,12", "must begin at 0"),
        ("intervals", "0", "must have at least two bounds"),
        ("intervals", "0,12,12", "must increase"),
        ("intervals", "0,x", "must be numbers separated by commas"),
        ("intervals", "0,inf", "must be finite numbers"),
        ("intervals", "0,nan,12", "must be finite numbers"),
        ("landmarks", "12,nan", "must be finite numbers"),
        ("landmarks", "0,12", "must be above 0"),
        ("landmarks", "24,12", "must increase"),
        ("landmarks", "", "must be numbers separated by commas"),
    ],
)
def test_each_option_is_checked(name, value, allowed):
    with pytest.raises(InputError) as caught:
        checked_options(Shared(**{name: value}))
    (problem,) = caught.value.problems
    assert problem.place == f"--{name.replace('_', '-')}"
    assert allowed in problem.allowed


def test_tau_scale_is_checked():
    with pytest.raises(InputError, match="--tau-scale: 0: must be finite and above 0"):
        checked_options(Shared(), tau_scale=0.0)


def test_landmarks_must_lie_within_given_intervals():
    with pytest.raises(InputError, match="--landmarks: 36: must not lie beyond the last interval, which ends at 24"):
        checked_options(Shared(intervals="0,12,24", landmarks="36"))


def test_defaults_are_the_librarys():
    assert checked_options(Shared()) == Options()


def test_all_bad_options_are_named_at_once(run):
    done = run(
        "fit", "mf07-01", "--out", "here", "--draws", "0", "--seed", "-1", "--intervals", "1,1", "--landmarks", "x"
    )
    refused(done, "--draws: 0", "--seed: -1", "--intervals: 1,1: must begin", "must increase", "--landmarks: 'x'")
    assert len(done.problems) == 5


COMMANDS_WITH_OUT = ("reanalyse", "fit", "reconstruct")


@pytest.mark.parametrize("command", COMMANDS_WITH_OUT)
@pytest.mark.parametrize("out", ["file", "file/below", "foreign"])
def test_places_that_cannot_be_written(run, disk, command, out):
    Path("file").write_text("mine", encoding="utf-8")
    Path("foreign").mkdir()
    Path("foreign/thesis.txt").write_text("mine", encoding="utf-8")
    before = disk()
    refused(run(command, "mf07-01", "--out", out), f"--out: {out}")
    assert disk() == before


def test_an_audit_that_cannot_be_written(run, disk):
    Path("file").write_text("mine", encoding="utf-8")
    before = disk()
    refused(run("audit", "mf07-01", "--out", "file"), "file")
    refused(run("reconstruct", "mf07-01", "--out", "new", "--patients-out", "file/p.csv"), "file/p.csv")
    refused(run("reconstruct", "mf07-01", "--out", "new", "--patients-out", "."), ".: is a directory")
    refused(
        run("reconstruct", "mf07-01", "--out", "new", "--patients-out", "new/"),
        "--patients-out: new: is the directory of",
    )
    assert disk() == before


def test_an_audit_does_not_go_among_the_results_of_another_trial(run, results, disk):
    results(Path("here"))
    before = disk()
    refused(run("audit", "mf07-01-10y", "--out", "here"), "here: mf07-01: holds results of this trial; give another")
    assert disk() == before
    assert run("audit", "mf07-01", "--out", "here").code == 0


def test_a_hazard_ratio_alone_is_told_what_it_supports(run):
    arms = 'arms.control.label = "A"\narms.treatment.label = "B"\n'
    ratio = '[[hazard_ratio]]\nestimate = "0.80"\nci = ["0.65", "0.98"]\n'
    Path("one.toml").write_text(f'schema = 1\nid = "one"\ntitle = "One"\n{arms}{ratio}', encoding="utf-8")
    done = run("fit", "one.toml", "--out", "here", "--quiet")
    assert done.problems == [
        "error: one.toml: published survival cannot be rebuilt: the record prints no patients of both arms; "
        "its hazard ratios alone support --model effects"
    ]
    assert not Path("here").exists()


def test_results_that_are_missing_or_damaged(run, results, disk):
    Path("empty").mkdir()
    results(Path("damaged"))
    Path("damaged/posterior/piecewise-weak.nc").write_bytes(b"not netCDF")
    before = disk()
    refused(run("compare", "empty"), "empty: holds no results")
    refused(run("plot", "nowhere", "forest"), "nowhere: holds no results")
    refused(run("plot", "damaged", "forest"), "piecewise-weak.nc: not a readable netCDF file")
    refused(run("compare", "damaged"), "piecewise-weak.nc")
    assert disk() == before


@pytest.mark.parametrize("arguments", [["compare"], ["plot", "forest"], ["plot", "all"]])
def test_a_reconstruction_alone_holds_no_fitted_models(run, results, disk, arguments):
    results(Path("here"))
    for path in Path("here").rglob("*"):  # what `reconstruct` leaves out
        if path.suffix in (".csv", ".nc") and path.name != "reconstruction.csv":
            path.unlink()
    Path("here/posterior").rmdir()
    before = disk()
    command, *rest = arguments
    refused(run(command, "here", *rest), "here: holds no fitted models; run 'secondlook fit' or 'reanalyse'")
    assert disk() == before


@pytest.mark.parametrize("command", ["fit", "reconstruct", "reanalyse"])
def test_results_of_another_trial_or_record_are_refused(run, results, made, disk, command):
    results(Path("other"), run={**made().run, "trial": "another"})
    results(Path("older"), run={**made().run, "record_sha256": "0"})
    results(Path("broken"))
    Path("broken/run.json").write_text("{", encoding="utf-8")
    before = disk()
    refused(run(command, "mf07-01", "--out", "other"), "other: another: holds results of this trial")
    refused(run(command, "mf07-01", "--out", "older"), "older: holds results of another version of mf07-01's record")
    refused(run(command, "mf07-01", "--out", "broken"), "run.json: cannot be read")
    assert disk() == before


@pytest.mark.parametrize(
    "arguments", [["audit", "mf07-01", "--out"], ["plot", "forest"], ["fit", "mf07-01", "--out"]]
)
def test_a_directory_that_is_being_written_is_locked(run, results, disk, arguments):
    command, *rest = arguments
    results(Path("here"))
    with replacing("here", keep=True):
        before = disk()
        call = [command, "here", *rest] if command == "plot" else [command, *rest, "here"]
        refused(run(*call), "here: another run is writing there; wait for it, or give another name")
        assert disk() == before


def test_unknown_figures_are_named(run, results):
    results(Path("here"))
    refused(run("plot", "here", "pie"), "KIND: pie: not a figure; give one of forest")
    refused(run("plot", "here", "forest", "--width", "nan"), "--width")


def test_new_leaves_what_is_there(run):
    Path("mine.toml").write_text("mine", encoding="utf-8")
    refused(run("new", "mine.toml"), "exists already")
    assert Path("mine.toml").read_text(encoding="utf-8") == "mine"


def test_the_whole_process_shows_no_traceback(tmp_path):
    (tmp_path / "bad.toml").write_text("schema = ", encoding="utf-8")
    command = [sys.executable, "-m", "secondlook.cli.main", "audit", "bad.toml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: bad.toml: not valid TOML")
    assert len(done.stderr.splitlines()) == 1


def test_damaged_results_cannot_be_loaded(results, tmp_path):
    results(tmp_path / "here")
    (tmp_path / "here" / "record.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"record\.json"):
        load(tmp_path / "here")


PATIENTS = """
[patients]
file = "own.csv"
time = "months"
unit = "months"
event = "died"
arm = "arm"
control = "a"
treatment = "b"
factors = ["er"]
"""
ROWS = "months,died,arm,er\n40,1,a,+\n50,0,b,-\n60,1,b,+\n"


@pytest.mark.parametrize("command", ["reanalyse", "fit"])
@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        (ROWS + "-1,2,A,?\n", ("line 5, column months: -1", "column died: 2", "column arm: A", "column er: ?")),
        (ROWS.replace("er\n", "her2\n"), ("own.csv: column er: missing; there are months, died, arm, her2",)),
        (ROWS.replace("b,", "a,"), ("own.csv: column arm: no patient of treatment (b)",)),
        (None, ("own.csv: cannot be read",)),
    ],
)
def test_bad_patients(run, template, disk, command, rows, problems):
    path = template(more=PATIENTS)
    if rows is not None:
        Path("own.csv").write_text(rows)
    before = disk()
    done = run(command, path, "--out", "here")
    refused(done, *problems)
    assert len(done.problems) == len(problems)
    assert disk() == before


def test_partitions_that_are_none_are_named_with_those_there_are(run, template):
    path = template(more=PATIENTS)
    Path("own.csv").write_text(ROWS)
    done = run("fit", path, "--out", "here", "--model", "subgroups", "--partition", "er,age")
    refused(done, "--partition: er,age: no partition of small; give one of er")


def test_trials_of_different_questions_are_not_pooled(run):
    """Each record's question and endpoint say what it is about; --force pools them all the same."""
    arms = 'arms.control.label = "A"\narms.treatment.label = "B"\n'
    ratio = '[[hazard_ratio]]\nestimate = "0.80"\nci = ["0.65", "0.98"]\n'
    text = f'schema = 1\nid = "lung"\ntitle = "Lung"\n{arms}[evidence]\nquestion = "immunotherapy"\n{ratio}'
    Path("lung.toml").write_text(text, encoding="utf-8")
    done = run("evidence", "mf07-01", "lung.toml", "--out", "here")
    refused(done, "mf07-01: surgery-de-novo-stage-iv; lung: immunotherapy: answer different questions")
    Path("dfs.toml").write_text(
        text.replace("immunotherapy", "surgery-de-novo-stage-iv")
        .replace("[evidence]", "[evidence]", 1)
        .replace('title = "Lung"', 'title = "Lung"\nendpoint = "disease-free survival"'),
        encoding="utf-8",
    )
    refused(run("evidence", "mf07-01", "dfs.toml", "--out", "here"), "answer different endpoints")
    assert not Path("here").exists()
