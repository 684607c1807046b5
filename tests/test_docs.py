"""Every code block of the tutorials runs, in order and in an empty directory, and prints what stands below it.

A block whose language is followed by a file's name (such as ``toml my-trial.toml``) is written to that file. Lines
of a ``sh`` block are commands; a ``python`` block sees what earlier ones defined, and the value of its last line is
printed. A ``text`` block is the output of the block before it: its lines must occur there in this order, words as
they are and numbers to within 5%, as few draws and another machine's last digits allow.
"""

import ast
import math
import re
import shlex
import subprocess
from pathlib import Path

import matplotlib
import pytest

from secondlook.cli.main import DONE, main
from secondlook.inference import fitting

matplotlib.use("Agg")
DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```(\w+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
LANGUAGES = {"python", "sh", "text"}


@pytest.fixture(scope="module")
def cheap(compile_once):
    """Compile a graph once for all models of its shape, and keep to the imputations that are asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "compile_model", compile_once)
        patch.setattr(fitting, "imputations_needed", lambda *_: 0)
        yield


def run_commands(text):
    for line in text.replace("\\\n", " ").splitlines():
        command, *arguments = shlex.split(line)
        if command == "secondlook":
            assert main(arguments) == DONE, line
        else:
            print(subprocess.run(line, shell=True, check=True, text=True, stdout=subprocess.PIPE).stdout, end="")


def run_python(text, names):
    """Run code; print the value of its last line, as a notebook does."""
    code = ast.parse(text)
    last = code.body.pop() if isinstance(code.body[-1], ast.Expr) else None
    exec(compile(code, "<tutorial>", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "<tutorial>", "eval"), names) if last else None
    if value is not None:
        print(value)


def alike(shown, printed):
    """Return whether a line of output is the one that a tutorial shows."""
    words = [" ".join(NUMBER.sub("#", line).replace("-", " ").split()) for line in (shown, printed)]
    numbers = [[float(number) for number in NUMBER.findall(line)] for line in (shown, printed)]
    return words[0] == words[1] and all(
        math.isclose(one, other, rel_tol=0.05, abs_tol=0.02) for one, other in zip(*numbers, strict=True)
    )


def missing(shown, printed):
    """Return the first line that is not printed after those before it, if any."""
    rest = iter(printed.splitlines())
    wanted = [line for line in shown.splitlines() if line.strip() not in ("", "...")]
    return next((line for line in wanted if not any(alike(line, other) for other in rest)), None)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("tutorial", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_tutorial(tutorial, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names, output = {"__name__": "__main__"}, ""
    blocks = BLOCK.findall(tutorial.read_text(encoding="utf-8"))
    assert any(language in ("python", "sh") for language, _, _ in blocks)
    for language, file, text in blocks:
        assert file or language in LANGUAGES, f"{language} block that nothing is done with"
        if file:
            Path(file).write_text(text, encoding="utf-8")
        elif language == "text":
            assert (line := missing(text, output)) is None, f"not printed: {line}\n{output}"
        else:
            run_commands(text) if language == "sh" else run_python(text, names)
            output = capsys.readouterr().out


def test_a_line_that_is_not_printed_is_missed():
    assert missing("HR 0.66 (0.49-0.88)\n...\nWrote a", "title\nHR  0.661 (0.48-0.88)\nmore\nWrote a\n") is None
    assert missing("HR 0.66\nWrote a", "Wrote a\nHR 0.66\n") == "Wrote a"
    assert missing("HR 0.66", "HR 0.75\n") == "HR 0.66"
    assert missing("HR 0.66", "OR 0.66\n") == "HR 0.66"
