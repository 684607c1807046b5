"""What errors show of an input: only what prints, and not much of it."""

import pandas as pd
import pytest

from secondlook.data import InputError
from secondlook.data.errors import Problem, listed, shortened
from secondlook.data.patients import check_patients, read_patients
from secondlook.data.reading import load_record

ESCAPE = "\x1b]0;owned\x07"
RECORD = """schema = 1
id = "own"
title = "Own patients"
arms.control.label = "A"
arms.treatment.label = "B"
[patients]
file = "own.csv"
time = "weeks"
unit = "weeks"
event = "died"
arm = "arm"
control = "a"
treatment = "b"
"""


@pytest.fixture
def told(tmp_path):
    """Return what is told of a file of patients, or of a changed record."""

    def tell(content="", change=("", "")):
        (tmp_path / "own.toml").write_text(RECORD.replace(*change))
        (tmp_path / "own.csv").write_text(content)
        with pytest.raises(InputError) as caught:
            read_patients(load_record(tmp_path / "own.toml"))
        return str(caught.value)

    return tell


def test_what_does_not_print_is_escaped_in_every_part():
    parts = [f"{name}\x1b[2J\x9b1m\u202e\n" for name in ("place", "field", "value", "allowed")]
    shown = str(Problem(*parts))
    assert shown.isprintable()
    assert shown == ": ".join(f"{name}\\x1b[2J\\x9b1m\\u202e\\n" for name in ("place", "field", "value", "allowed"))


def test_letters_of_any_language_are_shown_as_they_are():
    assert (
        str(Problem("Prüfung/試験.toml", "título", "naïve ≥ 3", "нет")) == "Prüfung/試験.toml: título: naïve ≥ 3: нет"
    )


def test_escape_sequences_in_a_cell_a_header_and_a_record(told):
    cell = told(f"weeks,died,arm\n10{ESCAPE},1,a\n")
    assert cell.startswith("own.csv: line 2, column weeks: 10\\x1b]0;owned\\x07: must be a number")
    assert told(f"weeks{ESCAPE},died,arm\n").startswith(
        "own.csv: column weeks: missing; there are weeks\\x1b]0;owned"
    )
    value = told(change=('title = "Own patients"', r"title = 1" + "\n" + r'time_unit = "\u001b]0;owned"'))
    key = told(change=('"Own patients"', '"Own patients"\n' + r'"\u001b]0;owned" = 1'))
    code = told("weeks,died,arm\n10,1,x\n", ('control = "a"', r'control = "\u001b]0;owned"'))
    assert r"own.toml: time_unit: '\x1b]0;owned': must be" in value
    assert r"own.toml: \x1b]0;owned: 1: unknown key" in key
    assert r"column arm: x: must be \x1b]0;owned or b" in code


def test_long_values_and_long_headers_are_cut(told):
    cell = told(f"weeks,died,arm\nx{'y' * 10_000}z,1,a\n").splitlines()[0]
    assert cell.startswith("own.csv: line 2, column weeks: xyyy")
    assert "yyy...yyy" in cell and "yz: must be a number" in cell
    assert len(cell) < 170
    header = told(",".join(f"column{place}" for place in range(500)) + "\n").splitlines()[0]
    assert "there are column0, column1, " in header and header.endswith(" and 481 more")
    assert len(header) < 260


def test_place_and_field_are_never_cut():
    place, field = "folder/" * 50 + "record.toml", "a." * 100
    assert str(Problem(place, field, "", "wrong")) == f"{place}: {field}: wrong"


def test_a_value_in_the_rule_is_cut(told):
    event = told("weeks,died,arm\n1,2,a\n", ('event = "died"', f'event = "died"\nevent_value = "{"y" * 5000}"'))
    assert all(len(line) < 1200 for line in event.splitlines())


def test_texts_that_fit_are_not_cut():
    assert shortened("y" * 60) == "y" * 60
    assert len(shortened("y" * 61)) == 60
    assert listed(["a", "b"]) == "a, b"
    assert listed(["a" * 500]) == shortened("a" * 500)


def test_a_frame_is_told_as_a_file_is():
    record = load_record("gbsg2")
    with pytest.raises(InputError) as caught:
        check_patients(pd.DataFrame({ESCAPE: [1]}), record)
    assert "\x1b" not in str(caught.value)
