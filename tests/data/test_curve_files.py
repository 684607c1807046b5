"""Files of digitised points: what they may look like, what is put in order, and what is refused."""

import numpy as np
import pandas as pd
import pytest

from secondlook import inference
from secondlook.data import InputError
from secondlook.data.curves import read_curves

FALLING = "time,survival\n" + "".join(f"{at},{0.97**at:.2f}\n" for at in range(0, 37, 2))


def test_what_digitisers_write_is_put_in_order_and_told(located):
    text = b"\xef\xbb\xbftime;survival\r\n0,5;98,0\r\n-0,1;101,0\r\n24;60\r\n12;81\r\n12;83\r\n36;61\r\n"
    control, treatment = read_curves(located(text))
    np.testing.assert_allclose(control.time, [0, 0.5, 12, 12, 24, 36])
    np.testing.assert_allclose(control.survival, [1.01, 0.98, 0.83, 0.81, 0.6, 0.61])
    told = " | ".join(control.notes)
    for word in (
        "percent",
        "before time 0",
        "outside 0 to 1",
        "sorted",
        "share their time",
        "higher than",
    ):
        assert word in told
    assert treatment.notes == ()


@pytest.mark.parametrize("text", ["0,1\n6,0.9\n12,0.8\n", "0;1\n6,0;0,9\n12,0;0,8\n", "\n0\t1\n6\t0.9\n12\t0.8"])
def test_columns_may_have_no_names(located, text):
    control, treatment = read_curves(located(text))
    np.testing.assert_allclose(control.time, [0, 6, 12])
    np.testing.assert_allclose(control.survival, [1, 0.9, 0.8])
    assert control.notes == ("curve of control (control.csv): its columns have no names: taken as time and survival",)
    assert treatment.notes == ()


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("Time,Survival", ()),
        ("TIME,Survival", ()),
        ("x,y", ("x, y",)),
        ("X, Y", ("X, Y",)),
        ("Time;Y", ("Time, Y",)),
        ("Time (months),Survival (%)", ("Time (months), Survival (%)",)),
        ("Control x,Control y", ("Control x, Control y",)),
        ("arm_1_X;arm_1_Y", ("arm_1_X, arm_1_Y",)),
        ("ID,Time,Surv", ("Time, Surv",)),
        ("k,TK,SK", ("TK, SK",)),
        ("x,time,survival", ()),
    ],
)
def test_columns_may_be_called_as_digitisers_call_them(located, header, taken):
    rows = ("0,1", "6,0.9", "12,0.8")
    rows = [f"9,{row}" for row in rows] if header.count(",") == 2 else rows
    text = "\n".join([header, *(row.replace(",", ";") if ";" in header else row for row in rows)])
    control, _ = read_curves(located(text))
    np.testing.assert_allclose(control.time, [0, 6, 12])
    np.testing.assert_allclose(control.survival, [1, 0.9, 0.8])
    assert control.notes == tuple(
        f"curve of control (control.csv): columns {names} taken as time and survival" for names in taken
    )


def test_parquet_of_points_has_the_same_names(located, tmp_path):
    files = [{"arm": arm, "file": f"{arm}.parquet"} for arm in ("control", "treatment")]
    for curve in files:
        pd.DataFrame({"X": [0, 6, 12], "Y": [1, 0.9, 0.8]}).to_parquet(tmp_path / curve["file"])
    control, _ = read_curves(located(curve=files))
    assert control.notes == ("curve of control (control.parquet): columns X, Y taken as time and survival",)


def test_a_last_point_far_after_the_others_is_told(located):
    far, near = (FALLING + f"{at},0.33\n" for at in (60, 40))
    assert any("the last point, at 60, lies far after" in note for note in read_curves(located(far))[0].notes)
    assert not any("lies far after" in note for note in read_curves(located(near))[0].notes)
    corners = FALLING + "36,0.3\n60,0.3\n"
    assert not any("lies far after" in note for note in read_curves(located(corners))[0].notes)


def test_a_low_first_point_is_no_share_of_events(located):
    rows = FALLING.splitlines()
    rows[1] = "0,0.2"
    with pytest.raises(InputError, match=r"control.csv: line 2, column survival: 0.2: far from the points beside it"):
        read_curves(located("\n".join(rows)))


def test_percent_signs_are_read(located):
    control, _ = read_curves(located("time,survival\n0,100%\n6,90 %\n12,80.5%\n"))
    np.testing.assert_allclose(control.survival, [1.0, 0.9, 0.805])


@pytest.mark.parametrize(("line", "stray"), [(12, "22,0.9"), (12, "22,0.2"), (12, "300,0.56"), (3, "4,0.3")])
def test_a_point_that_is_not_on_the_curve_is_named(located, line, stray):
    rows = FALLING.splitlines()
    assert read_curves(located(FALLING))
    rows[line - 1] = stray
    with pytest.raises(InputError) as caught:
        read_curves(located("\n".join(rows)))
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"control.csv: line {line}, column survival: {stray.split(',')[1]}: far from the")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("X,Y,X,Y\n0,1,0,1\n", "control.csv: column X: stands there twice"),
        ("Time,TIME,survival\n0,1,1\n", "control.csv: column time: missing; there are Time, TIME, survival"),
        ("x,y\n0,1\n5,0.9\n6,b\n", "control.csv: line 4, column y: b: must be a number"),
        ("0,1\n5,x\n6,0.8\n", "control.csv: line 2, column survival: x: must be a number"),
        ("0,1\n5,0.9,3\n6,0.8\n", "control.csv: line 2: has 3 fields, but the header names 2 columns"),
        ("0,1,2\n5,0.9,3\n6,0.8,2\n", "control.csv: column time: missing; there are 0, 1, 2"),
        ("time,alive\n0,1\n", "control.csv: column survival: missing; there are time, alive"),
        ("time,survival\n0,1\nx,0.9\n6,0.8\n7,\n", "control.csv: line 3, column time: x: must be a number of months"),
        ("time,survival\n0,1\n5,\n6,0.8\n", "control.csv: line 3, column survival: missing, but required"),
        ("time,survival\n0,1\n-5,0.9\n6,0.8\n", "control.csv: line 3, column time: -5: must not be negative"),
        ("time,survival\n0,1\n5,1.2\n6,0.8\n", "control.csv: line 3, column survival: 1.2: must lie between 0 and 1"),
        ("0,1\n5,0.9\n6,1.9\n7,95\n8,0.7\n", "line 3, column survival: 1.9: must lie between 0 and 1"),
        ("0,1\n365,0.9\n1300,0.8\n", "line 3, column time: 1300: must be at most 1200 months, a century"),
        ("time,survival\n0,100\n5,120\n6,80\n", "line 3, column survival: 120: must lie between 0 and 100"),
        (
            "x,y\n0,0\n5,0.2\n6,0.4\n",
            "control.csv: column y: rises from 0 to 0.4: give survival, or failure = true where it is the share of",
        ),
        ("time,survival\n", "control.csv: 0 points: must hold at least 3 at different times"),
        ("0,1\n", "control.csv: 1 point: must hold at least 3 at different times"),
        ("", "control.csv: is empty"),
        (b"time,survival\n0,\xff\n", "control.csv: line 2, character 3"),
    ],
)
def test_a_wrong_file_is_named(located, text, message):
    with pytest.raises(InputError) as caught:
        read_curves(located(text))
    assert message in str(caught.value)


def test_both_files_and_arms_are_told_at_once(located):
    wrong = "time,survival\n0,1\n5,2\n"
    with pytest.raises(InputError) as caught:
        read_curves(located(wrong.replace("2", "x"), wrong.replace("2", "y")))
    assert [problem.place for problem in caught.value.problems] == ["control.csv", "treatment.csv"]
    one = [{"arm": "control", "file": "control.csv"}]
    with pytest.raises(InputError, match=r"2 of control: give one \[\[curve\]\] for each arm"):
        read_curves(located(curve=[*one, *one]))
    with pytest.raises(InputError, match=r"treatment\.csv: cannot be read"):
        read_curves(located(curve=[*one, {"arm": "treatment", "file": "none/treatment.csv"}]))
    with pytest.raises(InputError, match=r"curve: control\.csv: stands there twice; each arm has a file of its own"):
        read_curves(located(curve=[*one, {"arm": "treatment", "file": "control.csv"}]))


def test_a_fit_tells_every_fault_of_the_files(located):
    wrong = "time,survival\n0,1\n5,abc\n-9,0.8\n12,0.7\n"
    with pytest.raises(InputError) as caught:
        inference.fit(located(wrong))
    assert [problem.field for problem in caught.value.problems] == ["line 3, column survival", "line 4, column time"]


def test_curves_side_by_side_in_one_file_are_told_apart_by_the_arms_names(located, tmp_path):
    both = "T x,T y,C x,C y\n0,1,0,1\n6,0.95,5,0.8\n12,0.9,10,0.7\n18,0.8,,\n"
    (tmp_path / "both.csv").write_text(both)
    curves = [{"arm": arm, "file": "both.csv"} for arm in ("control", "treatment")]
    control, treatment = read_curves(located(curve=curves))
    np.testing.assert_allclose(control.time, [0, 5, 10])
    np.testing.assert_allclose(control.survival, [1, 0.8, 0.7])
    np.testing.assert_allclose(treatment.survival, [1, 0.95, 0.9, 0.8])
    assert control.notes == ("curve of control (both.csv): columns C x, C y taken as time and survival",)
    (tmp_path / "both.csv").write_text(both.replace("T ", "A ").replace("C ", "B "))
    with pytest.raises(InputError, match=r"column time: missing; there are A x, A y, B x, B y"):
        read_curves(located(curve=curves))


def test_names_of_curves_may_stand_above_their_axes(located, tmp_path):
    (tmp_path / "both.csv").write_text("T,,C,\nX,Y,X,Y\n0,1,0,1\n6,0.95,5,0.8\n12,0.9,10,0.7\n18,nobody,,\n")
    curves = [{"arm": "control", "file": "both.csv"}, {"arm": "treatment", "file": "treatment.csv"}]
    control, _ = read_curves(located(curve=curves))
    np.testing.assert_allclose(control.survival, [1, 0.8, 0.7])
    assert control.notes == ("curve of control (both.csv): columns C X, C Y taken as time and survival",)
    curves[1]["file"] = "both.csv"
    with pytest.raises(InputError, match=r"both\.csv: line 6, column T Y: nobody: must be a number"):
        read_curves(located(curve=curves))


def test_comments_and_further_columns_are_no_points(located):
    text = "# WebPlotDigitizer\nID,Time,Surv\n1,0,1\n# a, b, c\n2,6,0.9\n3,12,0.8\n"
    np.testing.assert_allclose(read_curves(located(text))[0].survival, [1, 0.9, 0.8])


def test_points_of_a_workbook_are_read(located, monkeypatch):
    sheet = pd.DataFrame({"Control x": [0, 6, None, 12], "Control y": [100, 90, None, 80.5]}, dtype=object)
    monkeypatch.setattr(pd, "read_excel", lambda *_, **__: sheet)
    curves = [{"arm": "control", "file": "control.xlsx"}, {"arm": "treatment", "file": "treatment.csv"}]
    control, _ = read_curves(located(curve=curves))
    np.testing.assert_allclose(control.survival, [1, 0.9, 0.805])
    assert len(control.notes) == 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time,survival\n0,0\n5,0.2\n6,0.4\n", 0),
        ("time,Cumulative incidence\n0,0\n5,0.2\n6,0.4\n", 1),
        ("time,survival\n0,0\n5,20\n6,40\n", 1),
        ("time,survival\n0,0%\n5,20%\n6,40%\n", 1),
    ],
)
def test_a_rising_curve_may_be_the_share_of_events(located, text, told):
    curves = [
        {"arm": "control", "file": "control.csv", "failure": True},
        {"arm": "treatment", "file": "treatment.csv"},
    ]
    control, _ = read_curves(located(text, curve=curves))
    np.testing.assert_allclose(control.survival, [1, 0.8, 0.6])
    assert len(control.notes) == told
    with pytest.raises(
        InputError, match=r"treatment.csv: column survival: rises from 0 to 0.4: give .* failure = true"
    ):
        read_curves(located(text, "time,survival\n0,0\n5,20\n6,40\n", curve=curves))
    falls = (
        r"control.csv: column survival: falls from 1 to 0.5, but failure = true is for a share of events, which rises"
    )
    with pytest.raises(InputError, match=falls):
        read_curves(located(curve=curves))


def test_a_small_share_of_events_in_percent_is_told_by_its_sign(located):
    curves = [
        {"arm": "control", "file": "control.csv", "failure": True},
        {"arm": "treatment", "file": "treatment.csv"},
    ]
    text = "time,Cumulative incidence (%)\n0,0\n5,0.5\n6,0.9\n"
    np.testing.assert_allclose(read_curves(located(text, curve=curves))[0].survival, [1, 0.995, 0.991])


@pytest.mark.parametrize(
    ("unit", "line", "stray"),
    [
        (1, 20, "36,1.05"),
        (1, 20, "36,1.6"),
        (1, 20, "36,95"),
        (100, 20, "36,105"),
        (100, 30, "56,-7"),
        (1, 9, "-9,0.5"),
    ],
)
def test_a_few_points_outside_the_range_are_dropped_and_told(located, unit, line, stray):
    rows = ["time,survival", *(f"{at},{unit * 0.97**at:.4f}" for at in range(0, 100, 2))]
    clean, _ = read_curves(located("\n".join(rows)))
    assert len(clean.time) == 50
    control, _ = read_curves(located("\n".join([*rows[:line], stray, *rows[line:]])))
    np.testing.assert_allclose(control.survival, clean.survival)
    (note,) = set(control.notes) - set(clean.notes)
    shown = stray.replace(",", ", ")
    assert f"1 point before time 0 or outside 0 to {unit} dropped: line {line + 1} ({shown})" in note
    with pytest.raises(InputError, match=f"line {line + 1}, column "):
        read_curves(located("\n".join([*rows[:line], stray, stray, *rows[line:]])))


def test_a_curve_in_percent_may_end_long_near_nobody(located):
    shares = [100, 60, 30, 10, 3, 1, 0.5, 0.4, 0.2, 0.1]
    text = "\n".join(["time,survival", *(f"{at},{share}" for at, share in enumerate(shares))])
    np.testing.assert_allclose(read_curves(located(text))[0].survival, np.array(shares) / 100)
