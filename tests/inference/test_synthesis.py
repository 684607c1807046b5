"""Trials pooled: draws against the exact posterior, identities between rows, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from secondlook import inference
from secondlook.data import InputError, load_record
from secondlook.data.evidence import pooled_trials, studies_of
from secondlook.inference import Options
from secondlook.inference.reanalysis import analyse
from secondlook.inference.synthesis import BAYES, MOMENTS, evidence_rows, evidence_task
from secondlook.inference.tables import ESTIMATES, EVIDENCE
from secondlook.inference.tasks import effects_task
from secondlook.models.evidence import Mixture, dersimonian_laird, pool
from secondlook.models.priors import external_prior, robust_prior

MF07 = load_record("mf07-01")
STUDIES = pooled_trials(MF07)
Y = [one.log_hazard_ratio for one in STUDIES]
S = [one.standard_error for one in STUDIES]


@pytest.fixture(scope="module")
def rows():
    return evidence_rows(STUDIES, Options())


@pytest.fixture(scope="module")
def pooled(few):
    return inference.evidence(["mf07-01"], dataclasses.replace(few, draws=1000))


def pick(found, quantity, method, scale=0.5, without="", study=""):
    chosen = found[found["quantity"].eq(quantity) & found["method"].eq(method) & found["without"].eq(without)]
    chosen = chosen[chosen["study"].eq(study)]
    (row,) = (chosen if scale is None else chosen[chosen["tau_scale"].eq(scale)]).itertuples()
    return row


def triple(row):
    return row.estimate, row.lower, row.upper


def test_a_trial_comes_first_in_its_own_pool():
    assert [one.id for one in STUDIES] == ["mf07-01", "abcsg-28", "e2108", "jcog1017", "tata"]


def test_draws_agree_with_the_exact_posterior(pooled):
    exact = pool(Y, S)
    expected = {"overall": exact.average, "trial=new": exact.predicted}
    expected |= {f"trial={one.id}": exact.shrunken(place) for place, one in enumerate(STUDIES)}
    ratios = pooled.estimates.query("estimand == 'hazard_ratio'").set_index("subgroup")
    assert {*ratios.index} == {*expected} and len(ratios) == 7
    for name, mixture in expected.items():
        row = ratios.loc[name]
        quantiles = [mixture.quantile(p) for p in (0.5, 0.025, 0.975)]
        errors = 4 * mixture.sd * np.sqrt([0.5 * np.pi, 12, 12]) / math.sqrt(min(row.ess_bulk, row.ess_tail))
        assert (np.abs(np.log([row["median"], row.lower, row.upper]) - quantiles) < errors).all(), name
        assert row.prob_benefit == pytest.approx(float(mixture.cdf(0.0)), abs=2 / math.sqrt(row.ess_bulk))
    (tau,) = pooled.estimates.query("estimand == 'interaction_sd'").itertuples()
    assert tau.median == pytest.approx(exact.tau_quantile(0.5), abs=0.02)


def test_pooling_passes_the_gate_and_fills_every_table(pooled):
    assert pooled.passed
    assert [one.name for one in pooled.fits] == ["evidence-half-normal-weak"]
    assert pooled.fits[0].posterior["theta"].dims == ("chain", "draw", "imputation", "study")
    assert pooled.fits[0].posterior["study"].to_numpy().tolist() == [one.id for one in STUDIES]
    assert tuple(pooled.evidence.columns) == EVIDENCE.columns
    assert tuple(pooled.estimates.columns) == ESTIMATES.columns
    assert set(pooled.estimates["partition"]) == {"sister-trials"}
    assert pooled.comparison.empty  # a comparison with one trial's paper is not about several


def test_pooling_is_the_same_alone_and_beside_the_printed_effects(pooled, few):
    """One graph serves both, and the same seed gives the same numbers."""
    options = dataclasses.replace(few, draws=1000)
    both = analyse("mf07-01", ("effects", "evidence"), ("weak",), None, ("half-normal",), options, lambda _: None)
    found = both.estimates.query("model == 'evidence'").reset_index(drop=True)
    assert found.equals(pooled.estimates)
    task = evidence_task(STUDIES, options, effects_task(MF07, options))
    assert task.graph == "effects" and task.data(0)["rows"].shape == (3, 6, 5)


def test_more_trials_than_there_is_room_for_have_a_graph_of_their_own():
    bare = load_record("tata").model_copy(update={"evidence": None})
    beside = effects_task(bare, Options())
    assert beside.data(0)["rows"].shape == (3, 1, 1)
    task = evidence_task(STUDIES, Options(), beside)
    assert task.graph == "" and task.data(0)["rows"].shape == (3, 1, 5)


@pytest.mark.parametrize("study", STUDIES, ids=lambda one: one.id)
@pytest.mark.parametrize("scale", [0.25, 0.5, 1.0])
def test_a_trial_under_external_is_the_trial_shrunken(rows, study, scale):
    """Pooling all trials is the same as taking what the others predict for a prior."""
    shrunken = pick(rows, "hazard_ratio", "shrunken", scale, study=study.id)
    informed = pick(rows, "hazard_ratio", "external", scale, without=study.id, study=study.id)
    assert triple(informed) == pytest.approx(triple(shrunken), rel=1e-8)
    assert informed.prob_benefit == pytest.approx(shrunken.prob_benefit, rel=1e-8)


@pytest.mark.parametrize("method", ["external", "robust"])
def test_the_priors_of_the_models_agree_with_the_exact_ones_to_three_decimals(rows, method):
    external = external_prior(MF07).prior
    prior = external if method == "external" else robust_prior(external)
    mixture = Mixture(*map(np.array, (prior.weights, prior.means, prior.sds))).updated(Y[0], S[0])
    exact = pick(rows, "hazard_ratio", method, without="mf07-01", study="mf07-01")
    assert float(mixture.cdf(0.0)) == pytest.approx(exact.prob_benefit, abs=1e-3)
    for value, probability in zip(triple(exact), (0.5, 0.025, 0.975), strict=True):
        assert float(mixture.cdf(math.log(value))) == pytest.approx(probability, abs=1e-3)
    if method == "robust":
        weight = pick(rows, "external_weight", method, without="mf07-01", study="mf07-01").estimate
        assert mixture.weights[:-1].sum() == pytest.approx(weight, abs=1e-3)


def test_a_wider_weak_half_leaves_external_more(rows):
    about = {"without": "mf07-01", "study": "mf07-01"}
    weights = [pick(rows, "external_weight", name, **about).estimate for name in ("robust", "robust, weak SD 2")]
    assert 0 < weights[0] < weights[1] < 1
    medians = [
        pick(rows, "hazard_ratio", name, **about).estimate for name in ("robust", "robust, weak SD 2", "external")
    ]
    assert Y[0] < math.log(medians[0]) < math.log(medians[1]) < math.log(medians[2])


def test_how_surprising_a_trial_is_without_heterogeneity(rows):
    """The four others have tau 0 by moments: a plain z of the difference."""
    others = dersimonian_laird(Y[1:], S[1:])
    assert others.tau_squared == 0
    z = (Y[0] - others.estimate) / math.hypot(others.standard_error, S[0])
    about = {"scale": None, "without": "mf07-01", "study": "mf07-01"}
    assert pick(rows, "surprise_z", MOMENTS, **about).estimate == pytest.approx(z)
    assert pick(rows, "surprise_p", MOMENTS, **about).estimate == pytest.approx(2 * stats.norm.cdf(z))
    tiny = evidence_rows(STUDIES, Options(trial_tau_scale=1e-3))
    fixed = pick(tiny, "surprise_z", BAYES, 1e-3, "mf07-01", "mf07-01").estimate
    precision = sum(s**-2 for s in S[1:]) + 1  # and the prior Normal(0, 1) on the average
    mean = sum(y / s**2 for y, s in zip(Y[1:], S[1:], strict=True)) / precision
    assert fixed == pytest.approx((Y[0] - mean) / math.hypot(precision**-0.5, S[0]), abs=1e-4)


def test_mf07_is_the_least_like_the_others(rows):
    p = rows[rows["quantity"].eq("surprise_p") & rows["tau_scale"].eq(0.5)].set_index("study")["estimate"]
    assert p.idxmin() == "mf07-01" and p.drop("mf07-01").min() > 0.2
    squares = [pick(rows, "i_squared", MOMENTS, None, without).estimate for without in ("", "mf07-01")]
    assert squares == [pytest.approx(0.552, abs=5e-4), 0.0]


def test_rows_by_moments_are_those_of_the_published_poolings(rows):
    assert np.round(triple(pick(rows, "average", MOMENTS, None)), 3).tolist() == [0.931, 0.747, 1.161]
    without = pick(rows, "average", MOMENTS, None, "mf07-01")
    assert np.round(triple(without), 3).tolist() == [1.002, 0.855, 1.174]
    assert pick(rows, "tau", MOMENTS, None).estimate ** 2 == pytest.approx(0.0332, abs=5e-5)
    weights = rows[rows["quantity"].eq("weight")]
    assert weights["estimate"].sum() == pytest.approx(1)


def test_two_trials_predict_nothing_by_moments():
    two = evidence_rows(STUDIES[:2], Options())
    predicted = pick(two, "prediction", MOMENTS, None)
    assert math.isnan(predicted.lower) and math.isnan(predicted.upper)
    alone = pick(two, "average", MOMENTS, None, "mf07-01")
    assert alone.estimate == pytest.approx(math.exp(Y[1]))


def test_no_trials_give_no_rows():
    assert evidence_rows((), Options()).empty


def test_trials_that_are_named_are_pooled_as_they_are():
    records = [load_record(name) for name in ("tata", "mf07-01")]
    assert [one.id for one in studies_of(records)] == ["tata", "mf07-01"]


def test_what_cannot_be_pooled_is_refused():
    bare = load_record("tata").model_copy(update={"evidence": None})
    with pytest.raises(InputError, match=r"trial: tata: tata has no sister trials: its record has no \[evidence\]"):
        inference.evidence([bare])
    with pytest.raises(InputError, match=r"trial: tata: tata has no sister trials"):
        inference.fit(bare, "evidence")
    with pytest.raises(InputError, match="tata, tata: are about the same patients"):
        inference.evidence(["tata", "tata"])
    with pytest.raises(InputError, match=r"^--prior: external: is about overall survival, not for evidence$"):
        inference.fit("mf07-01", "evidence", "external")
