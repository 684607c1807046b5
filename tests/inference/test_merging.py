"""Adding to a directory of results: same keys replaced, others kept, other records refused."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from secondlook.data import InputError, load_record
from secondlook.inference import load
from secondlook.inference.merging import _merged_run, check_same_record, earlier, merge, merged
from secondlook.inference.tables import DIAGNOSTICS
from secondlook.inference.versions import record_hash

KEY = ("model", "time")


def frame(*rows: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["model", "time", "value"])


def test_rows_with_the_same_key_are_replaced_and_others_kept_in_order():
    old = frame(("a", 36.0, 1.0), ("a", 60.0, 2.0), ("b", np.nan, 3.0))
    new = frame(("a", 60.0, 20.0), ("b", np.nan, 30.0), ("c", np.nan, 4.0))
    expected = frame(("a", 36.0, 1.0), ("a", 60.0, 20.0), ("b", np.nan, 30.0), ("c", np.nan, 4.0))
    pd.testing.assert_frame_equal(merged(old, new, KEY), expected)


def test_merging_twice_is_merging_once():
    old, new = frame(("a", 36.0, 1.0)), frame(("a", 60.0, 2.0))
    once = merged(old, new, KEY)
    pd.testing.assert_frame_equal(merged(once, new, KEY), once)


def test_a_key_read_back_with_six_digits_is_the_same_key():
    new = frame(("a", 100 / 3, 2.0))
    pd.testing.assert_frame_equal(merged(frame(("a", 33.3333, 1.0)), new, KEY), new)


def test_a_blank_text_is_the_same_key_as_a_missing_one():
    new = pd.DataFrame({"model": ["a"], "time": [""], "value": [2.0]})
    pd.testing.assert_frame_equal(merged(frame(("a", np.nan, 1.0)), new, KEY), new)


@pytest.mark.parametrize("old", [None, frame()])
def test_nothing_to_merge_with(old):
    new = frame(("a", 36.0, 1.0))
    pd.testing.assert_frame_equal(merged(old, new, KEY), new)


def test_diagnostics_of_a_fit_are_replaced_together():
    """A fit that had more imputations before must not keep the old ones' diagnostics."""
    names = [*DIAGNOSTICS.key, "imputation"]
    old = pd.DataFrame([("piecewise", "", "weak", "", i) for i in range(3)], columns=names)
    new = old.iloc[:1]
    assert len(merged(old, new, DIAGNOSTICS.key)) == 1


def test_estimates_of_trials_pooled_before_give_way_together():
    """Another pool has other trials, so that keys alone would leave some of the old ones."""
    names = ["model", "subgroup"]
    old = pd.DataFrame([("piecewise", "overall"), ("evidence", "trial=a"), ("evidence", "trial=b")], columns=names)
    new = pd.DataFrame([("evidence", "trial=a")], columns=names)
    assert merged(earlier(old, new), new, names)["subgroup"].tolist() == ["overall", "trial=a"]
    other = old.iloc[:1]
    assert len(merged(earlier(old, other), other, names)) == 3
    assert earlier(None, new) is None


def test_imbalance_is_kept_where_the_new_run_adjusts_nothing(mf07, mf07_effects, tmp_path):
    mf07.save(tmp_path / "out")
    merge(mf07_effects, tmp_path / "out")
    both = load(tmp_path / "out")
    assert both.imbalance["label"].tolist() == mf07.imbalance["label"].tolist()
    assert set(both.estimates["model"]) == {"piecewise", "imbalance", "effects"}


def test_same_record(tmp_path):
    record = load_record("mf07-01")
    check_same_record(tmp_path, record)  # empty: fine
    (tmp_path / "run.json").write_text(json.dumps({"trial": record.id, "record_sha256": record_hash(record)}))
    check_same_record(tmp_path, record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"trial": "other", "record_sha256": ""}', "here: other: holds results of this trial"),
        ('{"trial": "mf07-01", "record_sha256": ""}', "here: holds results of another version of mf07-01's record"),
        ("{}", "was not written by secondlook"),
        ("[", "cannot be read"),
    ],
)
def test_other_records_are_refused(tmp_path, text, message):
    (tmp_path / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        check_same_record(tmp_path, load_record("mf07-01"), "here")


def test_facts_of_other_fits_are_kept(tmp_path):
    acceptance = {"overall": 0.7}
    old = SimpleNamespace(
        resolved={
            "priors": {"weak": "Normal(0, 1)"},
            "reweighted": ["x", "y"],
            "reconstruction_acceptance": acceptance,
        },
        notes=["x fails the diagnostics gate", "y: sampled again", "a conflict"],
    )
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"trial": "t", "record_sha256": "h", "seed": 1, **vars(old)}))
    resolved = {"priors": {"vague": "Normal(0, 10)"}, "reweighted": [], "reconstruction_acceptance": {"er": 0.9}}
    run = _merged_run(path, {"trial": "t", "seed": 2, "resolved": resolved, "notes": ["a conflict", "new"]}, ["x"])
    assert run["seed"] == 2
    assert run["notes"] == ["y: sampled again", "a conflict", "new"]
    assert run["resolved"]["priors"] == {"weak": "Normal(0, 1)", "vague": "Normal(0, 10)"}
    assert run["resolved"]["reweighted"] == ["y"]
    assert run["resolved"]["reconstruction_acceptance"] == {"overall": 0.7, "er": 0.9}
