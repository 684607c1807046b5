"""MF07-01 end to end, small: what must come out, and that saving never harms what is there."""

import numpy as np
import pytest

from secondlook import inference
from secondlook.data import InputError
from secondlook.data.reading import parse_record
from secondlook.inference import columns
from secondlook.inference.storage import replacing

SMALL = inference.Options(draws=500, imputations=3)


@pytest.fixture(scope="module")
def vague():
    return inference.fit("mf07-01", "piecewise", "vague", options=SMALL)


@pytest.fixture(scope="module")
def effects():
    return inference.fit("mf07-01", "effects", options=SMALL)


def test_vague_posterior_agrees_with_the_paper(vague):
    (row,) = vague.estimates.query("estimand == 'hazard_ratio'").itertuples()
    assert (row.median, row.lower, row.upper) == pytest.approx((0.66, 0.49, 0.88), abs=0.02)


def test_withheld_hazard_ratio_is_predicted(vague):
    assert vague.comparison["withheld"].to_numpy() == pytest.approx(0.66, abs=0.03)


def test_cox_on_the_table_is_the_papers(vague):
    (row,) = vague.comparison.itertuples()
    assert (row.cox, row.cox_lower, row.cox_upper) == pytest.approx((0.66, 0.49, 0.88), abs=0.01)
    assert (row.published, row.published_lower, row.published_upper) == (0.66, 0.49, 0.88)


def test_gate_and_columns(vague, effects):
    for found in (vague, effects):
        assert found.passed
        assert (found.diagnostics["divergences"] == 0).all()
        assert tuple(found.estimates.columns) == columns.ESTIMATES
        assert tuple(found.comparison.columns) == columns.COMPARISON
        assert tuple(found.diagnostics.columns) == columns.DIAGNOSTICS
        assert (found.estimates["rhat"] <= 1.01).all()


def test_every_printed_subgroup_has_an_estimate(effects):
    printed = {row.where.key for row in effects.record.hazard_ratio if row.use}
    rows = effects.estimates.query("estimand == 'hazard_ratio'")
    assert set(rows["subgroup"]) == printed
    assert not rows.duplicated(["partition", "subgroup"]).any()
    alone = rows[rows["partition"].isin(["age", "metastasis", ""])]
    assert set(alone["shrinkage"]) == {"none"}
    assert set(rows[rows["partition"] == "receptor"]["shrinkage"]) == {"half-normal"}


def test_same_seed_same_numbers(effects):
    again = inference.fit("mf07-01", "effects", options=SMALL)
    assert again.estimates.equals(effects.estimates)


def test_save_and_load(vague, tmp_path):
    vague.save(tmp_path / "out")
    loaded = inference.load(tmp_path / "out")
    assert loaded.record == vague.record
    assert loaded.estimates["median"].to_numpy() == pytest.approx(vague.estimates["median"].to_numpy(), rel=1e-5)
    assert list(loaded.estimates.columns) == list(vague.estimates.columns)
    (before,), (after,) = vague.fits, loaded.fits
    assert after.prior == before.prior
    assert after.edges == before.edges
    assert np.array_equal(after.posterior["beta"], before.posterior["beta"])
    assert loaded.run == vague.run


def test_saving_replaces_results_and_nothing_else(vague, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("ten years of work")
    with pytest.raises(InputError, match="holds something other than results"):
        vague.save(foreign)
    assert [path.name for path in foreign.iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="is a file"):
        vague.save(foreign / "thesis.txt")
    with pytest.raises(InputError, match="--out"):
        vague.save(foreign / "thesis.txt" / "out")
    vague.save(tmp_path / "out")
    (tmp_path / "out" / "stale.txt").write_text("from an earlier run")
    vague.save(tmp_path / "out")
    assert not (tmp_path / "out" / "stale.txt").exists()


def test_an_interrupted_write_leaves_what_was_there(vague, tmp_path):
    vague.save(tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "out").rglob("*"))

    def interrupted():
        with replacing(tmp_path / "out") as staged:
            (staged / "half.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_damaged_results_are_named(vague, tmp_path):
    with pytest.raises(InputError, match="holds no results"):
        inference.load(tmp_path)
    vague.save(tmp_path / "out")
    posterior = tmp_path / "out" / "posterior" / "piecewise-vague.nc"
    posterior.write_bytes(b"not netCDF")
    with pytest.raises(InputError, match=r"piecewise-vague\.nc.*not a readable netCDF file"):
        inference.load(tmp_path / "out")


def test_what_a_record_cannot_support_is_said():
    raw = {
        "schema": 1,
        "id": "bare",
        "title": "t",
        "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
        "hazard_ratio": [{"estimate": "0.75", "ci": ["0.55", "1.02"]}],
    }
    bare = parse_record(raw)
    with pytest.raises(InputError, match="prints no patients of both arms"):
        inference.fit(bare, "piecewise", options=SMALL)
    with pytest.raises(InputError, match="not a model; give one of piecewise"):
        inference.fit(bare, "cox", options=SMALL)
    with pytest.raises(InputError, match="give --design-hr"):
        inference.fit(bare, "effects", "sceptical", options=SMALL)
