"""Every command is documented, and help is quick: it imports no library that computes."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from secondlook.cli.main import COMMANDS, application
from secondlook.cli.options import Shared

HEAVY = ("pymc", "arviz", "nutpie", "lifelines", "matplotlib", "xarray", "pandas", "scipy", "numpy")
SHARED = ("--draws", "--chains", "--seed", "--imputations", "--intervals", "--landmarks", "--benefit-threshold")
FITTING = (*SHARED, "--harm-threshold", "--design-hr", "--quiet", "--out", "--overwrite")
OPTIONS = {
    "reanalyse": FITTING,
    "fit": (*FITTING, "--model", "--prior", "--partition", "--shrinkage", "--tau-scale"),
    "audit": ("--strict", "--out"),
    "reconstruct": ("--out", "--partition", "--patients-out", "--seed", "--imputations", "--quiet", "--overwrite"),
    "evidence": (*FITTING, "TRIALS", "--tau-scale"),
    "plot": ("DIRECTORY", "KIND", "--width"),
    "compare": ("DIRECTORY",),
    "show": ("TRIAL",),
    "new": ("FILE",),
    "trials": (),
    "schema": (),
}


def command(name: str):
    place, _ = COMMANDS[name]
    module, _, function = place.partition(":")
    return getattr(importlib.import_module(f"secondlook.cli.{module}"), function)


def test_every_command_is_in_the_table_of_this_test():
    assert set(OPTIONS) == set(COMMANDS)


def test_the_program_lists_every_command_with_its_docstring(run):
    shown = run("--help")
    assert shown.code == 0
    for name, (_, line) in COMMANDS.items():
        assert name in shown.out
        assert line in shown.out
        assert line == inspect.getdoc(command(name)).splitlines()[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_and_explains_its_options(run, name):
    shown = run(name, "--help")
    assert shown.code == 0
    assert all(option in shown.out for option in OPTIONS[name])
    assert COMMANDS[name][1] in shown.out


def readme_synopses() -> dict[str, str]:
    """Return the arguments of every command in the README's table, by command."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `secondlook")]
    calls = [call.removeprefix("secondlook ") for cell in cells for call in re.findall("`([^`]+)`", cell)]
    return {call.split()[0]: call.partition(" ")[2] for call in calls}


def test_the_readme_shows_every_command_as_it_is():
    synopses = readme_synopses()
    assert set(synopses) == set(COMMANDS)
    for name, synopsis in synopses.items():
        assert set(re.findall("--[a-z-]+", synopsis)) <= set(OPTIONS[name])
        required = [one for one in inspect.signature(command(name)).parameters.values() if one.default is one.empty]
        outside_brackets = re.findall(r"--\S+ \S+|\S+", re.sub(r"\[[^]]*\]", "", synopsis))
        assert len(outside_brackets) == len(required), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_is_documented(name):
    text = inspect.getdoc(command(name))
    for parameter in inspect.signature(command(name)).parameters:
        assert parameter == "shared" or f"\n{parameter}\n" in text


def test_every_shared_option_is_documented():
    assert all(f"\n{field}\n" in inspect.getdoc(Shared) for field in Shared.__dataclass_fields__)


def test_help_imports_nothing_heavy():
    """Neither the program's help nor that of any command."""
    calls = [["--help"], *([command, "--help"] for command in COMMANDS)]
    script = (
        "import sys; from secondlook.cli.main import main\n"
        f"for call in {calls!r}: assert main(call) == 0\n"
        f"print(sorted({set(HEAVY)!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(run):
    assert run("--version").out.strip() == version("secondlook")


def test_the_console_script_is_main():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"]["secondlook"] == "secondlook.cli.main:main"


def test_commands_are_lazy():
    assert application()  # building the program is cheap: places, not functions
    source = (Path(__file__).parents[2] / "cli" / "main.py").read_text(encoding="utf-8")
    imported = {node.module for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "collections.abc", "importlib.metadata", "cyclopts"}
