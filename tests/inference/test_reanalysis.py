"""MF07-01 end to end, small: what must come out, and what a record cannot support."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from secondlook import inference
from secondlook.data import InputError, load_record
from secondlook.data.reading import parse_record
from secondlook.inference.reanalysis import analyse
from secondlook.inference.tables import COMPARISON, DIAGNOSTICS, ESTIMATES
from secondlook.inference.tasks import check_intervals, check_landmarks, effects_task, intervals_note, model_edges
from secondlook.inference.versions import record_hash


def overall(reanalysis, prior):
    wanted = f"model == 'piecewise' and estimand == 'hazard_ratio' and prior == '{prior}'"
    (row,) = reanalysis.estimates.query(wanted).itertuples()
    return row


def test_vague_posterior_agrees_with_the_paper(mf07):
    row = overall(mf07, "vague")
    assert (row.median, row.lower, row.upper) == pytest.approx((0.66, 0.49, 0.88), abs=0.02)
    assert row.prob_benefit == pytest.approx(stats.norm.cdf(-math.log(0.66) / 0.149), abs=0.004)


def test_the_sceptic_is_reweighted_as_if_the_effect_were_normal(mf07):
    """Normal approximation: precision-weighted mean of the vague posterior and Normal(0, s)."""
    (draws,) = (fit.posterior["beta"].to_numpy() for fit in mf07.fits if fit.prior.name == "vague")
    (prior,) = (fit.prior for fit in mf07.fits if fit.prior.name == "sceptical")
    precision = 1 / draws.var() + 1 / prior.sds[0] ** 2
    exact = stats.norm(draws.mean() / draws.var() / precision, precision**-0.5)
    row = overall(mf07, "sceptical")
    assert np.log([row.median, row.lower, row.upper]) == pytest.approx(exact.ppf([0.5, 0.025, 0.975]), abs=0.02)
    assert mf07.run["resolved"]["reweighted"] == ["piecewise-sceptical"]


def test_withheld_hazard_ratio_is_predicted(mf07):
    assert mf07.comparison["withheld"].to_numpy() == pytest.approx(0.66, abs=0.03)


def test_cox_on_the_table_is_the_papers(mf07):
    for row in mf07.comparison.itertuples():
        assert (row.cox, row.cox_lower, row.cox_upper) == pytest.approx((0.66, 0.49, 0.88), abs=0.01)
        assert (row.published, row.published_lower, row.published_upper) == (0.66, 0.49, 0.88)
        assert row.published_level == 0.95


def test_survival_at_the_landmarks_is_the_papers(mf07):
    """Proportional hazards bend the curves a little: within three points of what is printed."""
    rows = mf07.estimates.query("prior == 'vague' and model == 'piecewise'").set_index(["estimand", "time"])["median"]
    printed = {
        ("control", 36.0): 0.51,
        ("control", 60.0): 0.244,
        ("treatment", 36.0): 0.60,
        ("treatment", 60.0): 0.416,
    }
    for (arm, time), value in printed.items():
        assert rows[f"survival_{arm}", time] == pytest.approx(value, abs=0.06)
        assert rows[f"rmst_{arm}", time] < time


def test_rows_are_consistent_with_each_other(mf07):
    frame = mf07.estimates.query("prior == 'vague' and model == 'piecewise'")
    assert (frame["lower"] <= frame["median"]).all() and (frame["median"] <= frame["upper"]).all()
    assert frame["imputation_share"].between(0, 1).all()
    means = frame.set_index(["estimand", "time"])["mean"]
    for estimand in ("survival", "rmst"):
        for time in (36.0, 60.0):
            difference = means[f"{estimand}_treatment", time] - means[f"{estimand}_control", time]
            assert means[f"{estimand}_difference", time] == pytest.approx(difference, rel=1e-9)


def test_gate_and_columns(mf07, mf07_effects):
    for found in (mf07, mf07_effects):
        assert found.passed
        assert (found.diagnostics["divergences"] == 0).all()
        assert tuple(found.estimates.columns) == ESTIMATES.columns
        assert tuple(found.comparison.columns) == COMPARISON.columns
        assert tuple(found.diagnostics.columns) == DIAGNOSTICS.columns
        assert (found.estimates["rhat"] <= 1.01).all()
        assert (found.estimates["trial"] == "mf07-01").all()
        assert (found.estimates["endpoint"] == "overall survival").all()


def test_run_facts(mf07):
    run = mf07.run
    assert run["trial"] == "mf07-01" and run["seed"] == 1
    assert run["record_sha256"] == record_hash(load_record("mf07-01"))
    assert run["resolved"]["landmarks"] == [36, 60]
    assert run["resolved"]["imputations"] == {"piecewise-vague": 5, "piecewise-sceptical": 5}
    assert run["resolved"]["priors"]["vague"] == "Normal(0, 10)"
    assert run["versions"]["pymc"].startswith("6.")
    assert "/" not in str(run["options"])


def test_every_printed_subgroup_has_an_estimate(mf07_effects):
    printed = {row.where.key for row in mf07_effects.record.hazard_ratio if row.use}
    rows = mf07_effects.estimates.query("estimand == 'hazard_ratio'")
    assert set(rows["subgroup"]) == printed
    assert not rows.duplicated(["partition", "subgroup"]).any()
    alone = rows[rows["partition"].isin(["age", "metastasis", ""])]
    assert set(alone["shrinkage"]) == {"none"}
    assert set(rows[rows["partition"] == "receptor"]["shrinkage"]) == {"half-normal"}


def test_single_rows_are_conjugate(mf07_effects):
    """The weak prior, Normal(0, 1), times the printed normal likelihood."""
    rows = mf07_effects.estimates.query("shrinkage == 'none'").set_index("subgroup")
    for row in mf07_effects.record.hazard_ratio:
        if row.use and row.where.key in rows.index:
            precision = 1 / row.standard_error**2 + 1
            exact = stats.norm(
                math.log(row.treatment_over_control) / row.standard_error**2 / precision, precision**-0.5
            )
            found = rows.loc[row.where.key]
            errors = 4 * exact.std() * np.sqrt([0.5 * np.pi, 7.1, 7.1]) / math.sqrt(found.ess_tail)
            ours = np.log(found[["median", "lower", "upper"]].astype(float))
            assert (np.abs(ours - exact.ppf([0.5, 0.025, 0.975])) < errors).all()
            assert found.prob_benefit == pytest.approx(exact.cdf(0), abs=4 * 0.5 / math.sqrt(found.ess_bulk))


def test_same_seed_same_numbers(mf07_effects, few):
    again = inference.fit("mf07-01", "effects", options=few)
    assert again.estimates.equals(mf07_effects.estimates)
    other = inference.fit("mf07-01", "effects", options=dataclasses.replace(few, seed=2))
    assert not other.estimates["median"].equals(mf07_effects.estimates["median"])


@pytest.fixture
def bare():
    raw = {
        "schema": 1,
        "id": "bare",
        "title": "t",
        "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
        "hazard_ratio": [{"estimate": "0.75", "ci": ["0.55", "1.02"]}],
    }
    return parse_record(raw)


def test_what_a_record_cannot_support_is_said(bare):
    with pytest.raises(InputError, match="prints no patients of both arms"):
        inference.fit(bare, "piecewise")
    with pytest.raises(
        InputError, match="--model: cox: not a model; give one of piecewise, nonproportional, subgroups"
    ):
        inference.fit(bare, "cox")
    with pytest.raises(InputError, match="give --design-hr"):
        inference.fit(bare, "effects", "sceptical")


def test_a_record_without_any_interval_has_no_effect(bare):
    row = bare.hazard_ratio[0].model_copy(update={"ci": None})
    without = bare.model_copy(update={"hazard_ratio": (row,)})
    assert effects_task(without, inference.Options()) is None
    with pytest.raises(InputError, match="bare: prints nothing that effects could be fitted to"):
        inference.fit(without, "effects")


def test_an_unknown_partition_is_named_with_those_that_exist(bare):
    with pytest.raises(InputError, match=r"^--partition: bogus: not .*; give one of receptor, age, metastasis$"):
        inference.fit("mf07-01", "effects", partition="bogus")
    with pytest.raises(InputError, match=r"^--partition: age: not .*; bare declares no effects_set$"):
        inference.fit(bare, "effects", partition="age")


def test_unsupported_models_are_noted_and_the_others_run(bare, monkeypatch):
    """Only effects are left of a bare hazard ratio; the note says why."""
    seen = []
    monkeypatch.setattr(
        "secondlook.inference.reanalysis.fit_tasks",
        lambda tasks, *_: seen.extend(task.model for task in tasks) or 1 / 0,
    )
    told = []
    with pytest.raises(ZeroDivisionError):
        analyse(
            bare,
            ("piecewise", "nonproportional", "effects"),
            ("weak",),
            None,
            ("half-normal",),
            inference.Options(),
            told.append,
        )
    assert seen == ["effects"]
    assert any("note: bare: published survival cannot be rebuilt" in line for line in told)


def test_default_intervals_are_six_months_to_the_last_death(mf07):
    edges = np.array(mf07.fits[0].edges)
    assert (np.diff(edges)[:-2] == 6).all() and edges[0] == 0
    assert edges[-1] == float(mf07.table.stop[-1])
    own = model_edges(mf07.table, inference.Options(intervals=(0.0, 24.0, 72.0)))
    assert own.tolist() == [0, 24, 72]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"landmarks": (36.0, 90.5, 120.0)},
            "^--landmarks: 90.5,120: must lie within the rebuilt .*, up to 90 months$",
        ),
        ({"landmarks": (100.0,), "intervals": (0.0, 24.0, 120.0)}, "^--landmarks: 100: must .*, up to 90 months$"),
        ({"intervals": (0.0, 24.0, 48.0)}, "^mf07-01: landmarks: 60: must .*, up to 48 months$"),
    ],
)
def test_a_landmark_beyond_the_rebuilt_survival_is_refused(mf07, options, message):
    with pytest.raises(InputError, match=message):
        check_landmarks(mf07.record, mf07.table, inference.Options(**options))


def test_intervals_of_nobody_are_refused(mf07):
    message = (
        "^--intervals: 90,100: must lie within the rebuilt survival, up to 90 months; only the last may lie beyond$"
    )
    with pytest.raises(InputError, match=message):
        check_intervals(mf07.record, mf07.table, inference.Options(intervals=(0.0, 89.0, 90.0, 100.0, 120.0)))


def test_the_last_interval_ends_with_follow_up_at_the_latest(mf07):
    options = inference.Options(intervals=(0.0, 24.0, 120.0))
    check_intervals(mf07.record, mf07.table, options)
    assert model_edges(mf07.table, options).tolist() == [0, 24, 90]
    told = "the last interval ends with the rebuilt survival, at 90 months, not at 120"
    assert intervals_note(mf07.record, mf07.table, options) == told
    assert intervals_note(mf07.record, mf07.table, inference.Options(intervals=(0.0, 24.0, 90.0))) == ""


def test_intervals_are_checked_before_sampling(monkeypatch):
    monkeypatch.setattr("secondlook.inference.reanalysis.fit_tasks", lambda *_: 1 / 0)
    notes = []
    with pytest.raises(InputError, match=r"^--intervals: 100: must lie within follow-up, up to 88 months"):
        inference.fit("gbsg2", options=inference.Options(intervals=(0.0, 100.0, 120.0)))
    with pytest.raises(ZeroDivisionError):
        inference.fit("gbsg2", options=inference.Options(intervals=(0.0, 60.0, 120.0)), notify=notes.append)
    assert "note: the last interval ends with follow-up, at 88 months, not at 120" in notes


def test_landmarks_may_lie_between_the_last_death_and_the_end(mf07):
    check_landmarks(mf07.record, mf07.table, inference.Options(landmarks=(36.0, 88.0, 90.0)))


def test_landmarks_are_checked_before_sampling(monkeypatch):
    monkeypatch.setattr("secondlook.inference.reanalysis.fit_tasks", lambda *_: 1 / 0)
    with pytest.raises(InputError, match="--landmarks: 120"):
        inference.fit("mf07-01", "piecewise", options=inference.Options(landmarks=(36.0, 120.0)))


@pytest.mark.parametrize("prior", ["external", "robust"])
def test_evidence_about_survival_is_no_prior_for_secondary_endpoints(prior):
    with pytest.raises(InputError, match=f"^--prior: {prior}: is about overall survival, not for binary$"):
        inference.fit("mf07-01", model="binary", prior=prior)
