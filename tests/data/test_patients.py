"""Patients' own data: what is refused, and a survival table against counting patient by patient."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from secondlook.data import InputError
from secondlook.data.estimators import cox
from secondlook.data.patient_table import patient_table
from secondlook.data.patients import check_patients, read_patients
from secondlook.data.reading import load_record, parse_record
from secondlook.data.table import numbers_at_risk, pooled, regroup

FIELDS = {
    "schema": 1,
    "id": "own",
    "title": "Own patients",
    "arms": {"control": {"label": "A"}, "treatment": {"label": "B"}},
    "factors": {
        "sex": {"label": "Sex", "levels": ["f", "m"]},
        "age": {"label": "Age", "levels": ["below 50", "50 to 65", "65 or older"]},
    },
    "patients": {
        "file": "own.csv",
        "time": "weeks",
        "unit": "weeks",
        "event": "died",
        "arm": "arm",
        "control": "a",
        "treatment": "b",
        "factors": ["sex", "age"],
        "cut": {"age": [50, 65]},
    },
}
WEEKS_PER_MONTH = 30.4375 / 7


def record(**patients):
    return parse_record(FIELDS | {"patients": FIELDS["patients"] | patients})


def frame(number=300, seed=2):
    rng = np.random.default_rng(seed)
    weeks = rng.integers(0, 150, number).astype(float)
    weeks[:3] = 0, WEEKS_PER_MONTH, 10 * WEEKS_PER_MONTH  # at time zero, and on bounds of months
    return pd.DataFrame(
        {
            "weeks": weeks,
            "died": rng.integers(0, 2, number),
            "arm": rng.choice(["a", "b"], number),
            "sex": rng.choice(["f", "m"], number),
            "age": rng.integers(30, 90, number),
            "came": np.where(weeks > 20, rng.integers(0, 20, number), 0.0),
        }
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "own.toml").write_text(
        """schema = 1
id = "own"
title = "Own patients"
arms.control.label = "A"
arms.treatment.label = "B"
factors.sex = { label = "Sex", levels = ["f", "m"] }
[patients]
file = "own.csv"
time = "weeks"
unit = "weeks"
event = "died"
arm = "arm"
control = "a"
treatment = "b"
factors = ["sex"]
"""
    )
    return tmp_path


def read(folder, content, encoding="utf-8"):
    (folder / "own.csv").write_bytes(content.encode(encoding))
    return read_patients(load_record(folder / "own.toml"))


GOOD = "weeks,died,arm,sex\n10,1,a,f\n12.5,0,b,m\n3,1,b,f\n"


def counted(rows, edges):
    """Count deaths, exposure and censored of some patients one by one."""
    deaths, exposure, censored = (np.zeros(len(edges) - 1) for _ in range(3))
    for row in rows.itertuples():
        for j, (start, stop) in enumerate(pairwise(edges)):
            exposure[j] += max(0.0, min(row.time, stop) - max(row.entry, start))
            if start < row.time <= stop or (j == 0 and row.time == 0):
                (deaths if row.event else censored)[j] += 1
    return deaths, exposure, censored


@pytest.mark.parametrize("entry", ["", "came"])
def test_table_is_what_counting_one_by_one_gives(entry):
    own = record(entry=entry)
    patients = check_patients(frame(), own)
    table = patient_table(patients, own, "sex,age")
    edges = np.append(table.start, table.stop[-1])
    assert table.sizes == {"imputation": 1, "stratum": 6, "arm": 2, "interval": len(edges) - 1}
    for stratum in table.stratum.to_numpy():
        for arm in ("control", "treatment"):
            cell = table.sel(stratum=stratum, arm=arm).isel(imputation=0)
            chosen = (patients.sex == cell.sex.item()) & (patients.age == cell.age.item()) & (patients.arm == arm)
            for name, expected in zip(
                ("deaths", "exposure", "censored"), counted(patients[chosen], edges), strict=True
            ):
                np.testing.assert_allclose(cell[name], expected, atol=1e-9)
            assert float(cell.patients) == chosen.sum()


def test_strata_add_up_to_the_whole_trial():
    own = record()
    patients = check_patients(frame(), own)
    whole = patient_table(patients, own)
    for partition in ("sex", "age", "sex,age"):
        again = pooled(patient_table(patients, own, partition))
        for name in ("deaths", "exposure", "censored", "patients"):
            np.testing.assert_allclose(again[name], whole[name], atol=1e-9)
    assert float(whole.exposure.sum()) == pytest.approx(frame().weeks.sum() / WEEKS_PER_MONTH)


def test_cuts_belong_to_the_level_above():
    rows = frame(4).assign(age=[49.9, 50, 64, 65], arm=["a", "b", "a", "b"], died=1, sex=["f", "f", "m", "m"])
    ages = check_patients(rows, record()).age
    assert list(ages) == ["below 50", "50 to 65", "50 to 65", "65 or older"]


def test_cells_that_do_not_occur_are_left_out():
    own, rows = record(), frame()
    patients = check_patients(rows[(rows.sex == "f") | (rows.age < 50)], own)
    assert set(patient_table(patients, own, "sex,age").stratum.to_numpy()) == {
        "sex=f,age=below 50",
        "sex=f,age=50 to 65",
        "sex=f,age=65 or older",
        "sex=m,age=below 50",
    }


def test_cox_of_the_table_agrees_with_lifelines():
    from lifelines import CoxPHFitter
    from lifelines.datasets import load_gbsg2

    rows = load_gbsg2()
    gbsg2 = parse_record(
        FIELDS
        | {
            "factors": {},
            "patients": FIELDS["patients"]
            | {"time": "time", "unit": "days", "event": "cens", "arm": "horTh", "control": "no", "treatment": "yes"}
            | {"factors": [], "cut": {}},
        }
    )
    table = patient_table(check_patients(rows, gbsg2), gbsg2).isel(imputation=0, stratum=0)
    log_ratio, error = map(float, cox(table.deaths.to_numpy(), table.exposure.to_numpy()))
    fitted = CoxPHFitter().fit(rows.assign(x=rows.horTh.eq("yes") * 1)[["time", "cens", "x"]], "time", "cens").summary
    assert log_ratio == pytest.approx(fitted.loc["x", "coef"], abs=0.005)
    assert error == pytest.approx(fitted.loc["x", "se(coef)"], rel=0.005)


def test_a_file_is_read_in_any_line_ending_and_with_a_byte_order_mark(folder):
    plain = read(folder, GOOD)
    assert list(plain.time * WEEKS_PER_MONTH) == pytest.approx([10, 12.5, 3])
    assert list(plain.event) == [True, False, True]
    assert list(plain.arm) == ["control", "treatment", "treatment"]
    pd.testing.assert_frame_equal(read(folder, "\ufeff" + GOOD.replace("\n", "\r\n") + "\n"), plain)


def test_parquet_gives_what_csv_gives(tmp_path):
    own = record(file="own.parquet").located(tmp_path)
    frame().to_parquet(tmp_path / "own.parquet")
    pd.testing.assert_frame_equal(read_patients(own), check_patients(frame(), own))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("weeks,died,arm\n1,1,a\n", "own.csv: column sex: missing; there are weeks, died, arm"),
        (
            GOOD.replace("weeks,died,arm", "Weeks,event,Arm_"),
            "own.csv: column weeks: missing; there are Weeks, event, Arm_, sex; did you mean Weeks?\n"
            "own.csv: column died: missing; there are Weeks, event, Arm_, sex\n"
            "own.csv: column arm: missing; there are Weeks, event, Arm_, sex; did you mean Arm_?",
        ),
        (GOOD.replace("died", "d i e d"), "there are weeks, d i e d, arm, sex; did you mean d i e d?"),
        (GOOD + "ten,1,a,f\n", "own.csv: line 5, column weeks: ten: must be a number of weeks, 0 or above"),
        (GOOD + "-1,1,a,f\n", "own.csv: line 5, column weeks: -1: must be a number of weeks, 0 or above"),
        (GOOD + "inf,1,a,f\n", "own.csv: line 5, column weeks: inf: must be a number of weeks, 0 or above"),
        (GOOD + ",1,a,f\n", "own.csv: line 5, column weeks: missing, but required"),
        (GOOD + "\n\n4,2,a,f\n", "own.csv: line 7, column died: 2: must be 0 or 1"),
        (GOOD + "4,1,A,f\n", "own.csv: line 5, column arm: A: must be a or b"),
        (GOOD.replace("b,", "c,"), "own.csv: line 3, column arm: c: must be a or b"),
        (GOOD + "4,1,a,x\n", "own.csv: line 5, column sex: x: must be f or m"),
        (GOOD.replace("a,f", "b,f"), "own.csv: column arm: no patient of control (a)"),
        (GOOD.replace(",1,", ",0,"), "own.csv: column died: nobody has the event (1)"),
        (GOOD.replace(",m", ",f"), "own.csv: column sex: no patient has m; take that out of factors.sex.levels"),
        (GOOD.replace("10", "0").replace("12.5", "0").replace("3,", "0,"), "column weeks: nobody was followed"),
        (GOOD + "6000,1,a,f\n", "line 5, column weeks: 6000: must be at most 5217.86 weeks, a century"),
        ("weeks,died,arm,sex,arm\n", "own.csv: column arm: stands there twice"),
        ("", "own.csv: is empty"),
        ("weeks,died,arm,sex\n", "own.csv: holds no patient"),
        (GOOD + "-1,1,a,f\n" * 6, "own.csv: column weeks: 1 more row: must be a number"),
        (GOOD + "4,1,a,f,9\n", "own.csv: line 5: has 5 fields, but the header names 4 columns"),
        (GOOD + '4,1,a,"f\n', "own.csv: line 5: not a row of separated values"),
        (GOOD.replace("12.5,0,b,m", '"12.5",0,b,"m\n"') + "4,2,a,f\n", "line 6, column died: 2: must be 0 or 1"),
        (GOOD + '4,1,a,f,"9\n"\n', "own.csv: line 5: has 5 fields"),
    ],
)
def test_bad_files_are_refused(folder, content, message):
    with pytest.raises(InputError) as caught:
        read(folder, content)
    assert message in str(caught.value)


def test_files_that_cannot_be_read_are_refused(folder):
    with pytest.raises(InputError, match=r"own\.csv: cannot be read"):
        read_patients(load_record(folder / "own.toml"))
    with pytest.raises(InputError, match=r"own\.csv: line 5, character 7: 4,1,a,\u00e4: not UTF-8 text"):
        read(folder, GOOD + "4,1,a,\u00e4\n", "latin-1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04\x14\x00", "not CSV but an Excel workbook or a zip file; save it as CSV or Parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"not CSV but an old Excel workbook \(\.xls\); save it as CSV or Parquet"),
        (b"PAR1\x15\x04", r"not CSV but a Parquet file; give it a name that ends in \.parquet"),
        (b"\x1f\x8b\x08\x00", "not CSV but compressed with gzip; decompress it"),
        (GOOD.encode("utf-16-le"), "looks like UTF-16 or UTF-32 without a byte order mark; save the file as UTF-8"),
        (GOOD.encode("utf-32-be"), "looks like UTF-16 or UTF-32 without a byte order mark; save the file as UTF-8"),
    ],
)
def test_files_of_another_kind_are_called_what_they_are(folder, content, message):
    (folder / "own.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"^own\.csv: {message}$"):
        read_patients(load_record(folder / "own.toml"))


def test_all_faults_are_named_at_once_and_many_of_one_kind_are_counted():
    rows = frame(20).assign(weeks=-1.0)
    rows["sex"] = rows["sex"].mask(rows.index == 7, "x")
    with pytest.raises(InputError) as caught:
        check_patients(rows, record())
    text = str(caught.value)
    assert text.count("must be a number of weeks") == 6
    assert "patients: column weeks: 15 more rows" in text
    assert "patients: row 8, column sex: x: must be f or m" in text


def test_entry_must_lie_before_the_end():
    rows = frame(20).assign(came=200.0)
    with pytest.raises(InputError, match=r"row 1, column came: 200\.0: must lie before weeks"):
        check_patients(rows, record(entry="came"))


def test_an_event_of_another_code_has_one_value_beside_it():
    rows = frame(6).assign(died=["dead", "alive", "dead", "dead", "gone", "alive"])
    with pytest.raises(
        InputError, match="row 5, column died: gone: must be dead or one value that stands for censor"
    ):
        check_patients(rows, record(event_value="dead"))


@pytest.mark.parametrize(
    ("values", "event", "told"),
    [
        (["yes", "no"], "1", "column died: 1: no row has this; there are no, yes: tell which is the event in"),
        (["dead", "alive"], "Dead", "column died: Dead: no row has this; there are alive, dead: tell which is the"),
        ([2, 1], "1", "row 1, column died: 2: must be 0 or 1; if 2 stands for the event, tell so in"),
    ],
)
def test_the_event_may_be_another_value(values, event, told):
    rows = frame(6).assign(died=[values[place] for place in (0, 1, 1, 1, 0, 1)])
    with pytest.raises(InputError) as caught:
        check_patients(rows, record(event_value=event))
    assert f"patients: {told}" in str(caught.value).splitlines()[0]
    assert len(caught.value.problems) == (1 if "row has" in told else 2)
    assert "patients.event_value" in str(caught.value)


def test_a_blank_event_is_told_beside_the_value_of_the_event():
    with pytest.raises(InputError) as caught:
        check_patients(frame(3).assign(died=["yes", None, "no"]), record())
    assert [problem.field for problem in caught.value.problems] == ["column died", "row 2, column died"]


def test_measured_factors_without_a_cut_are_told_of_it():
    with pytest.raises(InputError) as caught:
        check_patients(frame(300).assign(age=np.r_[np.nan, np.arange(299) % 60 + 30.5]), record(cut={}))
    assert str(caught.value) == (
        "patients: column age: 60 different numbers, no levels; tell where to divide them in patients.cut.age"
    )
    with pytest.raises(InputError, match="row 1, column age: 1: must be below 50 or 50 to 65 or 65 or older"):
        check_patients(frame(4).assign(age=[1, 2, 1, 3]), record(cut={}))


def test_a_blank_event_is_missing_whatever_the_code():
    rows = frame(6).assign(died=["", "alive", "dead", "dead", "alive", " "])
    with pytest.raises(InputError) as caught:
        check_patients(rows, record(event_value="dead"))
    first, second = str(caught.value).splitlines()
    assert first == "patients: row 1, column died: missing, but required"
    assert second.startswith("patients: row 6, column died")


def test_patients_of_whom_nobody_died_are_refused():
    with pytest.raises(InputError, match=r"patients: column died: nobody has the event \(1\)"):
        check_patients(frame(20).assign(died=0), record())


def test_an_arm_of_which_nobody_died_is_no_fault():
    own, rows = record(), frame()
    rows.loc[rows.arm.eq("b"), "died"] = 0
    table = patient_table(check_patients(rows, own), own)
    assert table.deaths.sum(("imputation", "stratum", "interval")).to_numpy().tolist() == [rows.died.sum(), 0]


def test_unknown_partition_is_refused():
    own = record()
    with pytest.raises(InputError, match="--partition: sex,stage: not a partition of own"):
        patient_table(check_patients(frame(), own), own, "sex,stage")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"factors": ["stage"], "cut": {}}, "stage is not one of factors"),
        ({"cut": {"age": [50]}}, "patients.cut.age must be 2 increasing numbers"),
        ({"factors": ["sex"]}, "age is not one of patients.factors"),
        ({"columns": {"stage": "s"}}, "patients.columns: stage is not one of patients.factors"),
        ({"stratify": "stage"}, "patients.stratify: stage is not one of patients.factors"),
        ({"unit": "hours"}, "patients.unit"),
        ({"treatment": "a"}, "^record: patients: control and treatment are both 'a'; each arm needs a code of its"),
    ],
)
def test_records_of_patients_are_checked(changed, message):
    with pytest.raises(InputError, match=message):
        record(**changed)


def test_one_bad_line_of_a_million_is_named(folder):
    lines = GOOD.splitlines(keepends=True)
    body = "".join(lines[1:]) * 333_334
    with pytest.raises(InputError) as caught:
        read(folder, lines[0] + body + "4,1,a,x\n" + "".join(lines[1:]))
    assert str(caught.value) == "own.csv: line 1000004, column sex: x: must be f or m"


@pytest.mark.parametrize(
    ("change", "encoding"),
    [
        (lambda text: text.replace(",", ";").replace(".", ","), "utf-8"),
        (lambda text: text.replace(",", "\t"), "utf-8-sig"),
        (lambda text: text.replace(",", "|"), "utf-8"),
        (lambda text: text, "utf-16"),
        (lambda text: text, "utf-32"),
        (lambda text: "\ufeff" + text, "utf-32-be"),
        (lambda text: "\n\n" + text.replace("\n", "\r"), "utf-8"),
        (lambda text: text.replace("died", ' "died"').replace("3,1", "3, 1.0") + ",,,\n", "utf-8"),
        (lambda text: text.replace(",1,", ",True,").replace(",0,", ",false,"), "utf-8"),
        (lambda text: "".join(f"x,{line},\n" for line in text.splitlines()), "utf-8"),
    ],
)
def test_what_spreadsheets_write_is_read(folder, change, encoding):
    pd.testing.assert_frame_equal(read(folder, change(GOOD), encoding), read(folder, GOOD))


def test_a_row_of_other_columns_alone_is_a_patient(folder):
    with pytest.raises(InputError, match=r"own\.csv: line 6, column weeks: missing, but required"):
        read(folder, GOOD.replace("\n", ",P1\n") + "\n,,,,P2\n")


def test_codes_match_as_written_before_what_they_mean():
    factors = {"sex": {"label": "Sex", "levels": ["1", "1.0"]}}
    changed = {"control": "false", "treatment": "true", "factors": ["sex"], "cut": {}}
    own = parse_record(FIELDS | {"factors": factors, "patients": FIELDS["patients"] | changed})
    rows = frame(4).assign(arm=[True, False, True, False], died=1.0, sex=["1", "1", "1.0", "1.0"])
    patients = check_patients(rows, own)
    assert list(patients.sex) == ["1", "1", "1.0", "1.0"]
    assert list(patients.arm) == ["treatment", "control"] * 2
    with pytest.raises(InputError, match="row 1, column arm: 2: must be false or true"):
        check_patients(rows.assign(arm=[2, 0, 0, 0]), own)


@pytest.mark.parametrize("held", [["f"], [], ["f", "m"]])
@pytest.mark.parametrize("column", ["sex", "arm", "weeks", "died", "age"])
def test_lists_are_no_values(column, held):
    rows = frame()
    rows[column] = pd.Series([held, *rows[column][1:]], index=rows.index, dtype=object)
    with pytest.raises(InputError, match=f"row 1, column {column}: ") as caught:
        check_patients(rows, record())
    assert str(held) in str(caught.value)


def test_a_column_has_one_meaning():
    with pytest.raises(InputError, match="time and event are both column 'weeks'; each has its own"):
        record(event="weeks")


def test_dates_and_durations_are_no_times():
    with pytest.raises(InputError, match="row 1, column weeks: 2020-01-31 00:00:00: must be a number of weeks"):
        check_patients(frame().assign(weeks=pd.to_datetime("2020-01-31")), record())
    with pytest.raises(InputError, match=r"row 1, column weeks: \(?3\+1j\)?: must be a number of weeks"):
        check_patients(frame().assign(weeks=3 + 1j), record())


def test_factors_may_stand_in_other_columns():
    factors = FIELDS["factors"] | {"old": {"label": "Old", "levels": ["no", "yes"]}}
    changed = {"factors": ["sex", "age", "old"], "columns": {"old": "age"}, "cut": {"age": [50, 65], "old": [70]}}
    own = parse_record(FIELDS | {"factors": factors, "patients": FIELDS["patients"] | changed})
    rows = frame()
    patients = check_patients(rows, own)
    assert (patients.old.eq("yes") == (rows.age >= 70)).all()
    assert list(patients.columns) == ["entry", "time", "event", "arm", "sex", "age", "old"]


def test_who_dies_at_once_has_lived_half_a_day():
    rows = frame(40).assign(came=0.0)
    rows.loc[0, ["weeks", "died", "arm", "sex", "age"]] = 0.0, 1, "a", "f", 30
    rows = rows[(rows.sex == "m") | (rows.arm == "b") | (rows.index == 0)]
    own = record()
    cell = patient_table(check_patients(rows, own), own, "sex").sel(stratum="sex=f", arm="control")
    assert cell.deaths.to_numpy().ravel()[0] == cell.deaths.sum() == 1
    assert float(cell.exposure.sum()) == pytest.approx(0.5 / 30.4375)


@pytest.mark.parametrize(("end", "intervals"), [(2.0, 60), (50.0, 100), (60.0, 60), (86.5, 87)])
def test_the_grid_is_monthly_or_finer_where_follow_up_is_short(end, intervals):
    own = record(unit="months")
    table = patient_table(check_patients(frame(50).assign(weeks=np.linspace(0, end, 50), died=1), own), own)
    assert table.sizes["interval"] == intervals
    assert float(table.stop[-1]) >= end > float(table.start[-1])


def test_numbers_at_risk_know_of_delayed_entry():
    own = record(entry="came")
    patients = check_patients(frame(), own)
    at_risk = numbers_at_risk(pooled(patient_table(patients, own, "sex"))).isel(imputation=0, stratum=0)
    for month in (0, 1, 3, 12, 30):
        present = (patients.entry <= month) & ((patients.time > month) | (month == 0))
        for arm in ("control", "treatment"):
            expected = (present & (patients.arm == arm)).sum()
            assert at_risk.sel(arm=arm, interval=2 * month) == expected
    assert regroup(patient_table(patients, own), [0, 6, 40]).entered.sum() == (patients.entry > 0).sum()


@pytest.mark.parametrize(
    ("name", "means"),
    [("receptor", "receptor"), ("sex", "sex"), ("age, sex", "sex,age"), ("sex,age", "sex,age"), ("age,er", None)],
)
def test_partitions_are_named_or_factors_joined_by_commas(name, means):
    crossed = {"partitions": {"receptor": {"label": "Both", "factors": ["age", "sex"]}}}
    own = parse_record(FIELDS | crossed)
    assert list(own.all_partitions) == ["receptor", "sex", "age"]
    patients = check_patients(frame(), own)
    if means is None:
        with pytest.raises(InputError, match=r"--partition: age,er: not a partition of own \(receptor, sex, age\)"):
            patient_table(patients, own, name)
    else:
        table = patient_table(patients, own, name)
        assert table.attrs["partition"] == own.partition_name(name) == means
        assert table.sizes["stratum"] == {"sex": 2}.get(means, 6)


def test_too_many_cells_are_refused():
    factors = {name: {"label": name, "levels": [str(level) for level in range(10)]} for name in "abcd"}
    changed = FIELDS["patients"] | {"factors": [*"abcd"], "cut": {}}
    own = parse_record(FIELDS | {"factors": factors, "patients": changed})
    rows = frame(3000).assign(**{name: (np.arange(3000) // 10**place) % 10 for place, name in enumerate("abcd")})
    message = (
        r"--partition: a,b,c,d: cross into 3000 strata; must be at most 2000: take fewer factors or coarser levels"
    )
    rows["d"] = np.arange(3000) % 10
    assert patient_table(check_patients(rows, own), own, "a,b,c").sizes["stratum"] == 1000
    rows["d"] = np.arange(3000) // 300
    with pytest.raises(InputError, match=message):
        patient_table(check_patients(rows, own), own, "a,b,c,d")


def test_factors_known_only_after_randomisation_are_no_partition():
    later = {"sex": FIELDS["factors"]["sex"] | {"post_randomisation": True}, "age": FIELDS["factors"]["age"]}
    own = parse_record(FIELDS | {"factors": later})
    assert own.partition("sex") is own.partition("sex,age") is None
    assert list(own.all_partitions) == ["age"]


def test_patients_in_memory_take_the_place_of_the_file():
    own = record().holding(frame())
    pd.testing.assert_frame_equal(read_patients(own), check_patients(frame(), record()))
    with pytest.raises(InputError, match=r"own: patients\.file: missing: name a file of patients, or hand them over"):
        read_patients(record(file=""))


@pytest.mark.parametrize(
    ("given", "kind"),
    [({"weeks": [1]}, "dict"), ([[1, 0, "a"]], "list"), ("own.csv", "str"), (frame().weeks, "Series")],
)
def test_patients_in_memory_are_a_frame(given, kind):
    with pytest.raises(
        InputError, match=rf"^patients: must be a pandas\.DataFrame with a row per patient, not a {kind}$"
    ):
        read_patients(record().holding(given))


def test_gbsg2_is_what_lifelines_has():
    from lifelines.datasets import load_gbsg2

    own = load_record("gbsg2")
    patients = read_patients(own)
    by_arm = patients.groupby("arm", observed=True)["event"].agg(["size", "sum"])
    for arm in ("control", "treatment"):
        assert (own.arm(arm).patients, own.arm(arm).events) == tuple(by_arm.loc[arm])
    assert list(patients.columns[4:]) == ["menopause", "age", "grade", "nodes", "er", "pr"]
    assert dict(patients.nodes.value_counts()) == {"1-3": 376, "4-9": 207, "10 or more": 103}
    pd.testing.assert_frame_equal(pd.read_csv(own.beside(own.patients.file)), load_gbsg2())
    with pytest.raises(
        InputError, match=r"lifelines:gbsg2: data sets of lifelines are not read any more: save it as"
    ):
        read_patients(record(file="lifelines:gbsg2"))


@pytest.mark.parametrize("file", ["/home/me/own.csv", "folder/own.csv", "C:\\me\\own.csv"])
def test_outputs_hold_no_path(file):
    assert record(file=file).model_dump(mode="json")["patients"]["file"] == "own.csv"


@pytest.mark.parametrize("content", [b"weeks,died", b""])
def test_files_that_are_not_parquet_are_refused(tmp_path, content):
    (tmp_path / "own.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"own\.parquet: cannot be read \(not Parquet\)"):
        read_patients(record(file="own.parquet").located(tmp_path))


def test_parquet_is_refused_as_csv_is(tmp_path):
    frame().assign(died=3).drop(columns="sex").to_parquet(tmp_path / "own.parquet")
    with pytest.raises(InputError, match=r"own\.parquet: column sex: missing; there are weeks, died, arm, age, came"):
        read_patients(record(file="own.parquet").located(tmp_path))
    frame(5).assign(died=[1, 0, 3, 1, 1]).to_parquet(tmp_path / "own.parquet")
    with pytest.raises(InputError, match=r"own\.parquet: row 3, column died: 3: must be 0 or 1"):
        read_patients(record(file="own.parquet").located(tmp_path))


TWO = "weeks,died,arm,sex\n10,1,a,f\n12.5,0,b,m\n3,1,b,f\n8,0,a,m\n"


def told(content, encoding="utf-8", *, folder, **fields):
    """Read patients of a file whose record has other fields; return them and the notes."""
    (folder / "own.csv").write_bytes(content.encode(encoding))
    changed = FIELDS["patients"] | {"factors": ["sex"], "cut": {}} | fields
    notes = []
    return read_patients(parse_record(FIELDS | {"patients": changed}).located(folder), notes.append), notes


def test_nothing_is_told_where_nothing_happened(tmp_path):
    assert told(TWO, folder=tmp_path)[1] == []
    days = "".join(f"{day},{day % 2},{'ab'[day % 3 > 0]},{'fm'[day % 5 > 2]}\n" for day in range(1, 29))
    assert told("weeks,died,arm,sex\n" + days, folder=tmp_path, unit="days")[1] == []


def test_other_arms_are_counted_and_left_out_whatever_else_they_hold(tmp_path):
    patients, notes = told(TWO + "x,7,c,?\n4,1,d,f\n4,0,c,f\n", folder=tmp_path)
    pd.testing.assert_frame_equal(patients, told(TWO, folder=tmp_path)[0])
    assert notes == [
        "own.csv: column arm: 3 of 7 patients are in neither of the two arms and left out (c 2, d 1)",
    ]
    with pytest.raises(InputError, match=r"own\.csv: line 7, column weeks: x: must be a number of weeks"):
        told(TWO + "4,1,d,f\nx,1,a,f\n", folder=tmp_path)


@pytest.mark.parametrize("blank", ["", "NA", "n/a", ".", "NaN", " "])
def test_who_lacks_a_factor_is_left_out_of_its_table_alone(tmp_path, blank):
    patients, notes = told(TWO + f"20,1,a,{blank}\n", folder=tmp_path)
    assert notes == [] and patients.sex.isna().tolist() == [False] * 4 + [True]
    own = record(factors=["sex"], cut={})
    assert float(patient_table(patients, own, "", notes.append).patients.sum()) == 5
    assert notes == []
    by_sex = patient_table(patients, own, "sex", notes.append)
    assert notes == ["by sex: 1 of 5 patients are left out, of whom a factor is not known (sex 1)"]
    known = patient_table(patients[:4], own, "sex")
    for name in ("deaths", "exposure", "censored"):
        np.testing.assert_allclose(by_sex[name].sum("interval"), known[name].sum("interval"))
    assert float(by_sex.patients.sum()) == 4


def test_of_whom_a_factor_is_not_known_may_be_a_level():
    factors = {"sex": {"label": "Sex", "levels": ["f", "unknown", "m"]}, "age": FIELDS["factors"]["age"]}
    factors["age"] = factors["age"] | {"levels": ["unknown", *factors["age"]["levels"]]}
    changed = FIELDS["patients"] | {"missing": "unknown"}
    own = parse_record(FIELDS | {"factors": factors, "patients": changed})
    rows = frame(6).assign(arm=[*"ababab"], died=1)
    rows["sex"] = ["f", None, "m", "NA", "unknown", "m"]
    rows["age"] = ["49.9%", "", "50", "unknown", "70", "64·5"]
    patients = check_patients(rows, own)
    assert list(patients.sex) == ["f", "unknown", "m", "unknown", "unknown", "m"]
    assert list(patients.age) == ["below 50", "unknown", "50 to 65", "unknown", "65 or older", "50 to 65"]
    assert list(patients.age.cat.categories) == factors["age"]["levels"]
    with pytest.raises(InputError, match=r"patients\.cut\.age must be 2 increasing numbers"):
        parse_record(FIELDS | {"factors": factors, "patients": changed | {"cut": {"age": [50]}}})


def test_nobody_of_an_arm_of_whom_a_factor_is_known_is_told():
    rows = frame(8).assign(arm=[*"abababab"], sex=[None, "f", None, "m"] * 2, died=1)
    own = record(factors=["sex"], cut={})
    with pytest.raises(InputError, match="--partition: sex: of nobody of control all of these are known"):
        patient_table(check_patients(rows, own), own, "sex")


@pytest.mark.parametrize(
    ("codes", "fields", "died"),
    [
        (["0", "1", "2", "1"], {"event_value": ["1", "2"]}, [False, True, True, True]),
        (["0", "1", "9", "1"], {"censored": ["0", "9"]}, [False, True, False, True]),
        (["lost", "dead", "end", "dead"], {"event_value": "dead", "censored": ["end", "lost"]}, [0, 1, 0, 1]),
        (["1.0", "2", "3", "3"], {"event_value": ["3", "1"], "censored": "2"}, [1, 0, 1, 1]),
    ],
)
def test_several_codes_may_stand_for_the_event_and_for_censoring(codes, fields, died):
    own = record(factors=[], cut={}, **fields)
    rows = frame(4).assign(died=codes, arm=["b", "a", "a", "b"])
    assert list(check_patients(rows, own).event) == [bool(one) for one in died]
    with pytest.raises(InputError, match="row 5, column died: gone: must be "):
        check_patients(pd.concat([rows, rows[:1].assign(died="gone")]), own)
    again = parse_record(own.model_dump(mode="json", by_alias=True))
    assert again.patients == own.patients


def test_codes_stand_for_one_thing():
    with pytest.raises(InputError, match="patients: event_value and censored both name 1"):
        record(censored=["0", "1"])
    with pytest.raises(InputError, match="patients: event_value must name a code at least"):
        record(event_value=[])


def test_two_rows_of_a_patient_are_refused_or_noticed(tmp_path):
    lines = TWO.splitlines()
    numbered = [f"{line},{number}" for line, number in zip(lines, ["Patient ID", "1", "2", "2", "#4"], strict=True)]
    content = "\n".join(numbered)
    assert told(content, folder=tmp_path)[1] == [
        "own.csv: column Patient ID: 1 of 4 rows repeat an earlier one's: must be a row per patient; "
        "patients.id = 'Patient ID' has that checked"
    ]
    with pytest.raises(InputError) as caught:
        told(content, folder=tmp_path, id="Patient ID")
    assert str(caught.value) == (
        "own.csv: line 4, column Patient ID: 2: stands in an earlier row too; give one row per patient"
    )
    content = content.replace("f,2", "f,3")
    assert told(content, folder=tmp_path)[1] == told(content, folder=tmp_path, id="Patient ID")[1] == []


def test_comments_are_left_out_but_no_patient_whose_id_looks_like_one(tmp_path):
    plain = told(TWO, folder=tmp_path)[0]
    commented = "# made by hand, twice\n\n" + TWO.replace("12.5", "# 9,1,a,f\n12.5") + "#\n# end, really\n"
    pd.testing.assert_frame_equal(told(commented, folder=tmp_path)[0], plain)
    numbered = "".join(f"#{line}\n" for line in ("id,weeks,died,arm,sex", "1,10,1,a,f", "2,12.5,0,b,m"))
    numbered = numbered[1:] + "#3,3,1,b,f\n#4,8,0,a,m\n# that is all\n"
    pd.testing.assert_frame_equal(told(numbered, folder=tmp_path)[0], plain)
    with pytest.raises(InputError, match=r"own\.csv: line 6, column weeks: x: must be"):
        told("# one\n" + TWO.replace("3,1,b", "# two\nx,1,b"), folder=tmp_path)


def test_spaces_may_separate(tmp_path):
    plain = told(TWO, folder=tmp_path)[0]
    pd.testing.assert_frame_equal(told(TWO.replace(",", "   ").replace("12.5", "12,5"), folder=tmp_path)[0], plain)


def test_the_unit_defaults_to_that_of_the_record(tmp_path):
    notes = []
    (tmp_path / "own.csv").write_text(TWO)
    fields = {name: value for name, value in FIELDS["patients"].items() if name not in ("unit", "cut")}
    own = parse_record(FIELDS | {"time_unit": "weeks", "patients": fields | {"factors": ["sex"]}}).located(tmp_path)
    assert list(read_patients(own, notes.append).time) == [10, 12.5, 3, 8]
    assert notes == ["patients.unit is not given: times of own.csv are taken as weeks, the record's time_unit"]


DAYS = np.arange(40, 40 + 30 * 61, 61)


@pytest.mark.parametrize(
    ("times", "unit", "note"),
    [
        (DAYS / 2, "months", "the longest time is 904.5 months, which is 75 years: are they months?"),
        (DAYS / 365.25, "months", "all times are whole days if they are years, but not if they are months"),
        (
            (DAYS / 365.25).round(3),
            "months",
            "all times are whole days if they are years, but not if they are months",
        ),
        (DAYS / 30.4375, "days", "all times are whole days if they are months, but not if they are days"),
        (DAYS / 7, "months", "all times are whole days if they are weeks, but not if they are months"),
        (np.linspace(0.01, 1.93, 30), "months", "the longest time is 1.93 months: are they months, or years?"),
        (DAYS, "days", ""),
        (DAYS / 30.4375, "months", ""),
        ((DAYS / 30.4375).round(2), "months", ""),
        (DAYS / 30, "months", ""),
        (DAYS / 365.25, "years", ""),
        (DAYS / 7, "weeks", ""),
        (np.arange(1, 29), "days", ""),
        (np.arange(1, 29) / 30.4375, "months", ""),
        (np.linspace(0.01, 1.93, 30), "years", ""),
        (np.linspace(0.1, 27.9, 30), "days", ""),
        (np.random.default_rng(1).exponential(20, 30), "months", ""),
        (np.arange(30) / 2, "months", ""),
    ],
)
def test_times_in_another_unit_are_noticed(times, unit, note):
    notes = []
    rows = pd.DataFrame({"weeks": times, "died": 1, "arm": np.where(np.arange(len(times)) % 2, "a", "b")})
    check_patients(rows, record(unit=unit, factors=[], cut={}), tell=notes.append)
    assert len(notes) == bool(note)
    assert all(one.startswith(f"patients: {note}") for one in notes)


def test_levels_default_to_those_of_the_file_or_the_cuts(folder):
    toml = (folder / "own.toml").read_text().replace(', levels = ["f", "m"]', "")
    toml = toml.replace("[patients]", 'factors.age.label = "Age"\nfactors.grade.label = "Grade"\n[patients]')
    toml = toml.replace('factors = ["sex"]', 'factors = ["sex", "age", "grade"]\ncut = { age = [50, 65] }')
    (folder / "own.toml").write_text(toml)
    content = "weeks,died,arm,sex,age,grade\n1,1,a,m,30,10\n2,1,b,f,50,2.0\n3,0,b,,70,2\n4,0,c,d,70,7\n"
    patients = read(folder, content)
    own = load_record(folder / "own.toml")
    levels = {name: factor.levels for name, factor in own.factors.items()}
    assert levels == {"sex": ("f", "m"), "age": ("below 50", "50 to 65", "65 or more"), "grade": ("2", "10")}
    assert [list(patients[name].astype(object).where(patients[name].notna(), None)) for name in levels] == [
        ["m", "f", None],
        ["below 50", "50 to 65", "65 or more"],
        ["10", "2", "2"],
    ]
    (folder / "own.toml").write_text(toml + 'missing = "not known"\n')
    assert load_record(folder / "own.toml").factors["sex"].levels == ("f", "m", "not known")
    assert list(read(folder, content).sex) == ["m", "f", "not known"]
    held = pd.read_csv(folder / "own.csv")
    assert read_patients(load_record(folder / "own.toml").holding(held)).equals(read(folder, content))


def test_levels_of_patients_in_memory_default_to_theirs():
    factors = {"sex": {"label": "Sex"}, "age": FIELDS["factors"]["age"]}
    own = parse_record(FIELDS | {"factors": factors, "patients": FIELDS["patients"] | {"file": ""}})
    pd.testing.assert_frame_equal(read_patients(own.holding(frame())), check_patients(frame(), record()))
    assert check_patients(frame(), own).sex.cat.categories.tolist() == ["f", "m"]
    with pytest.raises(InputError, match="patients: column sex: 300 different values: give "):
        own.holding(frame().assign(sex=np.arange(300)))
    with pytest.raises(InputError, match="patients: column sex: 1 different value: give "):
        own.holding(frame().assign(sex="f"))


def test_excel_is_read_where_pandas_can(tmp_path, monkeypatch):
    own = record(file="own.xlsx").located(tmp_path)
    sheet = frame(20).astype(object)
    sheet.insert(0, "note", "x")
    blank = pd.DataFrame([[None] * sheet.shape[1]], columns=sheet.columns)
    sheet = pd.concat([blank, sheet], ignore_index=True)
    monkeypatch.setattr(pd, "read_excel", lambda *_, **__: sheet)
    pd.testing.assert_frame_equal(read_patients(own), check_patients(frame(20), record()))
    sheet.loc[3, "died"] = 3
    with pytest.raises(InputError, match=r"own\.xlsx: row 5, column died: 3: must be 0 or 1"):
        read_patients(own)

    def without(*_, **__):
        raise ImportError("Missing optional dependency 'openpyxl'")

    monkeypatch.setattr(pd, "read_excel", without)
    with pytest.raises(
        InputError, match=r"own\.xlsx: an Excel workbook, which cannot be read here \(Missing opt.*CSV"
    ):
        read_patients(own)


def test_files_that_are_no_workbooks_are_refused(tmp_path):
    (tmp_path / "own.xlsx").write_text("weeks,died\n")
    with pytest.raises(InputError, match=r"own\.xlsx: cannot be read \(not an Excel workbook\)"):
        read_patients(record(file="own.xlsx").located(tmp_path))
    with pytest.raises(InputError, match=r"none\.xlsx: cannot be read \(No such file or directory\)"):
        read_patients(record(file="none.xlsx").located(tmp_path))


def test_codes_may_have_decimal_commas_but_levels_keep_their_own(tmp_path):
    content = "weeks;died;arm;grade;site\n1,5;1,0;1;2,0;lung, left\n2;0,0;2,0;3,0;1,5 to 2\n"
    (tmp_path / "own.csv").write_text(content)
    factors = {name: {"label": name} for name in ("grade", "site")}
    source = FIELDS["patients"] | {"control": "1", "treatment": "2", "factors": [*factors], "cut": {}}
    own = FIELDS | {"factors": factors | {"site": {"label": "s", "levels": ["lung, left", "1,5 to 2"]}}}
    held = parse_record(own | {"patients": source}).holding(pd.read_csv(tmp_path / "own.csv", sep=";", decimal=","))
    assert held.factors["grade"].levels == ("2", "3")
    patients = read_patients(parse_record(held.model_dump(mode="json", by_alias=True)).located(tmp_path))
    assert list(patients.time * WEEKS_PER_MONTH) == pytest.approx([1.5, 2])
    assert list(patients.event) == [True, False] and list(patients.arm) == ["control", "treatment"]
    assert [list(patients[name]) for name in factors] == [["2", "3"], ["lung, left", "1,5 to 2"]]
    keys = patient_table(patients, held, "site").stratum.to_numpy().tolist()
    assert keys == [r"site=lung\, left", r"site=1\,5 to 2"]


def test_what_is_wrong_with_patients_is_told_alone(tmp_path):
    (tmp_path / "own.csv").write_text(TWO)
    fields = "".join(f'{name} = "{value}"\n' for name, value in FIELDS["patients"].items() if isinstance(value, str))
    text = 'schema = 1\nid = "own"\ntitle = "t"\narms.control.label = "A"\narms.treatment.label = "B"\n'
    text += 'factors.sex.label = "Sex"\n[patients]\nfactors = ["sex"]\n' + fields.replace(
        '"weeks"\nevent', '"hours"\nevent'
    )
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_record(tmp_path / "own.toml")
    assert [problem.field for problem in caught.value.problems] == ["patients.unit"]
    (tmp_path / "own.toml").write_text(text.replace("hours", "weeks").replace("own.csv", "none.csv"))
    with pytest.raises(InputError, match=r"^none\.csv: cannot be read \(No such file or directory\)$"):
        load_record(tmp_path / "own.toml")
