"""Saving never harms what is there; what is read back is what was saved; damage is named."""

import dataclasses
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from secondlook import inference
from secondlook.data import InputError
from secondlook.data.disk import new_file
from secondlook.inference import storage
from secondlook.inference.storage import check_replaceable, check_results, replacing
from secondlook.inference.tables import TABLES


@pytest.fixture
def saved(mf07, tmp_path):
    mf07.save(tmp_path / "out")
    return tmp_path / "out"


def listing(directory):
    return {path.relative_to(directory): path.stat().st_size for path in directory.rglob("*") if path.is_file()}


def test_what_is_read_back_is_what_was_saved(mf07, saved):
    loaded = inference.load(saved)
    assert loaded.record == mf07.record
    assert loaded.run == mf07.run
    assert loaded.passed == mf07.passed and loaded.notes == mf07.notes
    xr.testing.assert_identical(loaded.table, mf07.table)
    for before, after in zip(sorted(mf07.fits, key=lambda fit: fit.name), loaded.fits, strict=True):
        for name in ("model", "shrinkage", "partition", "prior", "edges"):
            assert getattr(after, name) == getattr(before, name)
        xr.testing.assert_identical(after.posterior, before.posterior)
        xr.testing.assert_identical(after.tree["sample_stats"].to_dataset(), before.tree["sample_stats"].to_dataset())


@pytest.mark.parametrize("name", [table.name for table in TABLES])
def test_tables_come_back_to_six_digits(mf07, saved, name):
    before, after = getattr(mf07, name), getattr(inference.load(saved), name)
    assert list(after.columns) == list(before.columns) and len(after) == len(before)
    for column in before:
        if pd.api.types.is_numeric_dtype(before[column]) and not pd.api.types.is_bool_dtype(before[column]):
            np.testing.assert_allclose(after[column].astype(float), before[column].astype(float), rtol=6e-6)
        else:
            assert after[column].fillna("").astype(str).tolist() == before[column].fillna("").astype(str).tolist()


def test_saving_twice_gives_the_same_files(saved, tmp_path):
    inference.load(saved).save(tmp_path / "again")
    again = tmp_path / "again"
    assert set(listing(again)) == set(listing(saved))
    for name in (*(table.file for table in TABLES), "run.json", "record.json"):
        assert (again / name).read_bytes() == (saved / name).read_bytes()


def test_results_are_replaced_as_a_whole(mf07, saved):
    (saved / "stale.txt").write_text("from an earlier run")
    one = dataclasses.replace(mf07, fits=mf07.fits[:1])
    one.save(saved)
    assert not (saved / "stale.txt").exists()
    assert [path.name for path in (saved / "posterior").iterdir()] == ["piecewise-vague.nc"]
    assert [path.name for path in saved.parent.iterdir()] == ["out"]  # nothing temporary is left


def test_keeping_other_files(mf07, saved):
    (saved / "figures").mkdir()
    (saved / "figures" / "forest.svg").write_text("<svg/>")
    mf07.save(saved, keep=True)
    assert (saved / "figures" / "forest.svg").read_text() == "<svg/>"


def test_something_else_is_never_replaced(mf07, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("ten years of work")
    with pytest.raises(InputError, match=r"--out: .*foreign: holds something other than results; give an empty dir"):
        mf07.save(foreign)
    with pytest.raises(InputError, match=r"thesis\.txt: is a file; give a directory"):
        mf07.save(foreign / "thesis.txt")
    with pytest.raises(InputError, match=r"cannot be written: thesis\.txt is not a writable directory"):
        mf07.save(foreign / "thesis.txt" / "out")
    assert listing(tmp_path) == {(foreign / "thesis.txt").relative_to(tmp_path): 17}


def test_a_disk_that_refuses(mf07, tmp_path, monkeypatch):
    def refuse(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage.tempfile, "mkdtemp", refuse)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        mf07.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kilobytes", [1, 30, 60])
def test_files_that_become_too_large_are_one_error(mf07, saved, keep, kilobytes):
    """As on a full disk: the file is named, nothing is left over, and what was there stays."""
    before, (soft, hard) = listing(saved), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, hard))
    try:
        with pytest.raises(
            InputError, match=r"^\S*/out/[\w/-]+\.(csv|nc|json): cannot be written \(File too large\)$"
        ):
            mf07.save(saved, keep=keep)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert listing(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["out"]


def test_no_space_for_a_posterior_is_named(mf07, saved, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    named = rf"{saved}/posterior/piecewise-vague\.nc: cannot be written \(No space left on device\)"
    with pytest.raises(InputError, match=named):
        mf07.save(saved)


def test_what_netcdf_cannot_write_for_other_reasons_is_a_bug(mf07, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("NetCDF: HDF error")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fails)
    with pytest.raises(RuntimeError, match="HDF error"):
        mf07.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_directory_and_missing_parents_are_fine(tmp_path):
    (tmp_path / "empty").mkdir()
    check_replaceable(tmp_path / "empty")
    with replacing(tmp_path / "a" / "b" / "c") as staged:
        (staged / "x").write_text("1")
    assert (tmp_path / "a" / "b" / "c" / "x").read_text() == "1"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_what_was_there(mf07, saved, monkeypatch, error):
    before = listing(saved)

    def interrupted(*_, **__):
        raise error

    monkeypatch.setattr(storage, "write_json", interrupted)  # the last files of all
    with pytest.raises(error):
        mf07.save(saved)
    monkeypatch.undo()
    assert listing(saved) == before
    assert [path.name for path in saved.parent.iterdir()] == ["out"]
    assert inference.load(saved).run == mf07.run


def test_results_may_be_read_by_whom_the_umask_allows(mf07, tmp_path):
    old = os.umask(0o027)
    try:
        mf07.save(tmp_path / "out")
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


def test_a_directory_without_results(tmp_path):
    with pytest.raises(InputError, match=r"holds no results \(no run\.json\)"):
        inference.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("posterior/piecewise-vague.nc", b"not netCDF", r"piecewise-vague\.nc: not a readable netCDF file"),
        ("posterior/piecewise-vague.nc", b"", r"piecewise-vague\.nc: not a readable netCDF file"),
        ("table.nc", b"rubbish", r"table\.nc: not a readable netCDF file"),
        ("run.json", b"{", r"run\.json: cannot be read"),
        ("run.json", b"[]", r"run\.json: was not written by secondlook"),
        ("run.json", b"{}", r"run\.json: was not written by secondlook"),
        ("record.json", b"[]", r"record\.json: not a record: must be a table of fields, not a list"),
        ("record.json", b"null", r"record\.json: not a record"),
        ("record.json", b"\xff\xfe", r"record\.json: cannot be read"),
        ("record.json", b"{}", r"record\.json: id: missing, but required"),
        ("estimates.csv", b'"', r"estimates\.csv: cannot be read"),
        ("estimates.csv", b"", r"estimates\.csv: cannot be read"),
    ],
)
def test_damaged_results_are_named(saved, name, content, message):
    (saved / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        inference.load(saved)


def test_a_truncated_posterior_is_named(saved):
    path = saved / "posterior" / "piecewise-vague.nc"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"piecewise-vague\.nc: not a readable netCDF file"):
        inference.load(saved)


def test_a_netcdf_file_of_something_else_is_named(saved):
    xr.Dataset({"x": 1.0}).to_netcdf(saved / "posterior" / "other.nc", engine="netcdf4")
    with pytest.raises(InputError, match=r"other\.nc: not a posterior written by secondlook"):
        inference.load(saved)
    (saved / "posterior" / "other.nc").replace(saved / "table.nc")
    with pytest.raises(InputError, match=r"table\.nc: not a survival table written by secondlook"):
        inference.load(saved)


@pytest.mark.parametrize("name", ["estimates.csv", "audit.csv", "record.json"])
def test_missing_files_are_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: is missing: these results are incomplete"):
        inference.load(saved)


def test_nobody_else_writes_where_a_run_is_writing(tmp_path):
    with replacing(tmp_path / "here") as staged:
        (staged / "run.json").write_text("{}")
        with pytest.raises(InputError, match="another run is writing there"), replacing(tmp_path / "here"):
            raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert (tmp_path / "here" / "run.json").exists()


KILLED = """
import os, sys, pathlib
from secondlook.inference import storage
rename = pathlib.Path.rename
def until(path, target):
    if sys.argv[2] == "before the swap" or not str(target).endswith(".old"):
        os.kill(os.getpid(), 9)
    return rename(path, target)
pathlib.Path.rename = until
with storage.replacing(sys.argv[1], keep=True) as staged:
    (staged / "run.json").write_text("new")
"""


@pytest.mark.parametrize("when", ["before the swap", "between the renames"])
def test_a_killed_run_loses_nothing_and_leaves_nothing_once_another_has_run(tmp_path, when):
    target = tmp_path / "here"
    target.mkdir()
    (target / "run.json").write_text("old")
    (tmp_path / ".here.else").mkdir()  # somebody else's
    assert subprocess.run([sys.executable, "-c", KILLED, str(target), when], check=False).returncode == -9
    with replacing(target, keep=True) as staged:
        assert (staged / "run.json").read_text() == "old"
        (staged / "run.json").write_text("newer")
    assert (target / "run.json").read_text() == "newer"
    assert {path.name for path in tmp_path.iterdir()} == {"here", ".here.else"}


def test_readers_find_what_a_killed_run_took_away(tmp_path):
    target = tmp_path / "here"
    target.mkdir()
    (target / "run.json").write_text("old")
    killed = [sys.executable, "-c", KILLED, str(target), "between the renames"]
    assert subprocess.run(killed, check=False).returncode == -9
    assert not target.exists()
    check_results(target)
    assert (target / "run.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


KILLED_FILE = """
import os, pathlib, sys
from secondlook.data.disk import new_file
with new_file(pathlib.Path(sys.argv[1])) as staged:
    staged.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_a_killed_file_is_tidied_and_hinders_nobody(tmp_path):
    place = tmp_path / "here" / "audit.csv"
    place.parent.mkdir()
    (place.parent / ".audit.csv.swp").write_text("an editor's")

    def kill():
        assert subprocess.run([sys.executable, "-c", KILLED_FILE, str(place)], check=False).returncode == -9

    kill()
    assert len(list(place.parent.iterdir())) == 3
    with new_file(place) as staged:
        staged.write_text("whole")
    assert {path.name for path in place.parent.iterdir()} == {"audit.csv", ".audit.csv.swp"}
    (place.parent / ".audit.csv.swp").unlink()
    place.unlink()
    kill()
    with replacing(place.parent, keep=True) as staged:  # what is left over is no results that could be lost
        assert list(staged.iterdir()) == []


def test_nobody_else_writes_the_same_file(tmp_path):
    with new_file(tmp_path / "a.csv") as staged:
        staged.write_text("1")
        with pytest.raises(InputError, match=r"a\.csv: another run is writing there"), new_file(tmp_path / "a.csv"):
            raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
