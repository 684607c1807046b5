"""One model, many imputations and priors: when draws are moved, sampled again, or multiplied.

The sampler is replaced by exact draws of a normal effect, so that every answer is known.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from secondlook.inference import Options, fitting
from secondlook.inference.fitting import FIRST, RERUN, Task, fit_tasks
from secondlook.inference.pooling import imputations_needed
from secondlook.inference.quantities import Quantity
from secondlook.models.priors import Prior

WEAK = Prior("weak", (0.0,), (1.0,))
NEAR = Prior("sceptical", (0.0,), (0.3,))
FAR = Prior("far", (2.0,), (0.05,))
Y, S = -0.4, 0.15


def task(shift=lambda _: 0.0, imputed=True):
    return Task(
        model="normal",
        shrinkage="",
        partition="",
        build=lambda _: None,
        data=lambda imputation: {"row": np.array([Y + shift(imputation), S])},
        quantities=lambda posterior: [
            (Quantity("hazard_ratio", "Hazard ratio"), np.exp(posterior["mu"].to_numpy())),
            (Quantity("rmst_difference", "Difference", 36.0), posterior["mu"].to_numpy()),
        ],
        overall="mu",
        imputed=imputed,
        edges=(0.0, 12.0),
    )


def fitted(one, *priors, **options):
    return fit_tasks([one], [WEAK, *priors], Options(**{"imputations": 3, **options}), lambda _: None)


def test_a_near_prior_is_reached_by_reweighting(normal_sampler, normal_posterior):
    first, moved = fitted(task(), NEAR)
    assert [call[1] for call in normal_sampler.calls] == [(0.0, 1.0)] * 3  # never sampled under the other prior
    assert moved.reweighted.all() and not first.reweighted.any()
    mean, sd = normal_posterior(Y, S, 0.0, 0.3)
    row = moved.estimates(Options())[1]
    assert row["mean"] == pytest.approx(mean, abs=4 * row["mcse"])
    assert row["sd"] == pytest.approx(sd, rel=0.03)
    ratio = moved.estimates(Options())[0]
    exact = stats.norm(mean, sd)
    for threshold, name, below in (
        (1, "prob_benefit", True),
        (0.8, "prob_meaningful", True),
        (1.25, "prob_harm", False),
    ):
        probability = exact.cdf(np.log(threshold)) if below else exact.sf(np.log(threshold))
        assert ratio[name] == pytest.approx(probability, abs=0.015)
    assert list(moved.fit.posterior.data_vars) == ["mu"]  # the rest was not reweighted
    assert (moved.diagnostics.ess_bulk < first.diagnostics.ess_bulk).all()


def test_a_far_prior_is_sampled_afresh(normal_sampler, normal_posterior):
    _, far = fitted(task(), FAR)
    assert [call[1] for call in normal_sampler.calls[3:]] == [(2.0, 0.05)] * 3
    assert not far.reweighted.any()
    mean, sd = normal_posterior(Y, S, 2.0, 0.05)
    assert far.estimates(Options())[1]["mean"] == pytest.approx(mean, abs=0.005)
    assert far.estimates(Options())[1]["sd"] == pytest.approx(sd, rel=0.05)


@pytest.mark.usefixtures("normal_sampler")
def test_high_k_hat_means_sampling_afresh(monkeypatch):
    """Even where the weights happen to look good."""
    moved = fitting.resample
    monkeypatch.setattr(fitting, "resample", lambda *given: fitting.replace(moved(*given), k_hat=0.71))
    assert not fitted(task(), NEAR)[1].reweighted.any()
    monkeypatch.setattr(fitting, "resample", lambda *given: fitting.replace(moved(*given), k_hat=0.69))
    assert fitted(task(), NEAR)[1].reweighted.all()


def test_reweighted_draws_that_fail_the_gate_are_sampled_afresh(normal_sampler, monkeypatch):
    moved = fitting.resample
    monkeypatch.setattr(fitting, "resample", lambda *given: fitting.replace(moved(*given), efficiency=0.01))
    first, second = fitted(task(), NEAR)
    assert first.passed and second.passed
    assert not second.reweighted.any()
    assert [call[1] for call in normal_sampler.calls[3:]] == [(0.0, 0.3)] * 3


def test_divergences_are_sampled_again_once_more_strictly(normal_sampler):
    normal_sampler.divergences = {FIRST: 2}
    (result,) = fitted(task())
    assert [call[2] for call in normal_sampler.calls] == [FIRST] * 3 + [RERUN] * 3
    assert result.rerun.all() and result.passed
    rows = result.diagnostic_rows()
    assert rows["rerun"].all() and (rows["divergences"] == 0).all()


def test_then_the_gate_fails(normal_sampler):
    normal_sampler.divergences = {FIRST: 2, RERUN: 1}
    (result,) = fitted(task())
    assert len(normal_sampler.calls) == 6  # once more, not twice
    assert not result.passed
    rows = result.diagnostic_rows()
    assert not rows["passed"].any() and (rows["divergences"] == 1).all()


def test_chains_that_disagree_are_sampled_again_however_few_the_draws(normal_sampler):
    normal_sampler.astray = {FIRST: 0.3}
    (result,) = fitted(task(), draws=100)
    assert [call[2] for call in normal_sampler.calls] == [FIRST] * 3 + [RERUN] * 3
    assert result.rerun.all()


def test_the_chance_of_few_draws_is_not_mended_by_stricter_settings(normal_sampler):
    """Independent draws, so R-hat exceeds the gate by chance alone: it fails, and nothing is sampled again."""
    first, moved = fitted(task(), NEAR, draws=50, chains=8, imputations=6)
    assert [call[2] for call in normal_sampler.calls] == [FIRST] * 6
    assert (first.diagnostics.rhat > 1.01).any()
    assert not first.rerun.any() and moved.reweighted.all()
    assert not first.passed and not moved.passed


def test_inefficient_draws_without_imputations_are_sampled_again(normal_sampler):
    """1,040 draws, of which fewer than 1,000 count in the tails; 800 draws can never be enough."""
    (result,) = fitted(task(imputed=False), draws=260)
    assert [call[2] for call in normal_sampler.calls] == [FIRST, RERUN]
    assert not result.passed
    (few,) = fitted(task(imputed=False), draws=200)
    assert len(normal_sampler.calls) == 3
    assert not few.passed


@pytest.mark.usefixtures("normal_sampler")
def test_imputations_grow_until_they_add_little_error(monkeypatch):
    """A between-imputation SD of 0.1 beside a posterior SD of 0.148: a share of 0.3, so about 30 imputations."""
    monkeypatch.setattr(fitting, "imputations_needed", imputations_needed)  # whatever fixtures of the session do
    shifts = list(itertools.islice(itertools.cycle([-0.1, 0.1]), 400))
    (result,) = fitted(task(shift=lambda imputation: shifts[imputation]), draws=500)
    count = len(result.rerun)
    assert count >= imputations_needed(result.draws, result.diagnostics) > 3
    share = result.estimates(Options())[1]["imputation_share"]
    posterior_variance = 0.1**2 + 1 / (1 / S**2 + 1)
    assert share == pytest.approx(0.1**2 / posterior_variance, rel=0.1)
    assert 30 <= count <= 40  # the first three say 39
    row = result.estimates(Options())[1]
    assert row["mcse"] <= 0.11 * row["sd"]


@pytest.mark.usefixtures("normal_sampler")
def test_imputations_that_agree_do_not_grow():
    (result,) = fitted(task())
    assert len(result.rerun) == 3


@pytest.mark.usefixtures("normal_sampler")
def test_one_imputation_where_there_is_nothing_to_impute():
    (result,) = fitted(task(imputed=False))
    assert len(result.rerun) == 1
    assert result.estimates(Options())[0]["imputation_share"] == 0


@pytest.mark.usefixtures("normal_sampler")
def test_imputation_i_is_the_same_however_many():
    (three,), (five,) = fitted(task()), fitted(task(), imputations=5)
    np.testing.assert_array_equal(five.draws.values[:3], three.draws.values)


@pytest.mark.usefixtures("normal_sampler")
def test_rows_identify_the_fit():
    (result,) = fitted(task())
    rows = result.diagnostic_rows()
    assert len(rows) == 6
    assert rows["imputation"].tolist() == [0, 0, 1, 1, 2, 2]
    assert rows["quantity"].tolist() == ["hazard_ratio", "rmst_difference 36"] * 3
    draws = result.draws.values[2, 1]
    expected = draws.std() / np.sqrt(result.diagnostics.ess_bulk[2, 1])
    assert rows["mcse"].iloc[5] == pytest.approx(expected)
    assert {row["model"] for row in result.estimates(Options())} == {"normal"}
    assert result.fit.name == "normal-weak"
    assert result.fit.edges == (0.0, 12.0)
    assert dict(result.fit.posterior.sizes) == {"chain": 4, "draw": 1000, "imputation": 3}


def test_a_failing_compilation_is_not_swallowed(monkeypatch):
    def fail(_):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(fitting, "compile_model", fail)
    with pytest.raises(RuntimeError, match="no compiler"):
        fitted(task())
