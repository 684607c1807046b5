"""Hazard ratios under another prior by importance weights, against conjugate formulas."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.inference.options import Options
from secondlook.inference.reweighting import Belief, Reweighted, Shifted
from secondlook.models.priors import Prior

WEAK, SCEPTIC = Prior("weak", (0.0,), (1.0,)), Prior("sceptical", (0.0,), (0.32,))
DRAWS = 10_000


def posterior(y, error, sd, normal_posterior):
    return stats.norm(*normal_posterior(y, error, 0.0, sd))


@pytest.fixture
def drawn(normal_posterior):
    """The overall effect and a subgroup's, -0.2 beside it with an SD of 0.1 of its own, in two imputations."""
    rng = np.random.default_rng(1)
    overall = np.stack([posterior(y, 0.15, 1.0, normal_posterior).rvs(DRAWS, random_state=rng) for y in (-0.5, -0.3)])
    return Reweighted(overall - 0.2 + rng.normal(0, 0.1, overall.shape), overall, WEAK)


def test_the_overall_effect_under_a_sceptic(drawn, normal_posterior):
    alone = Reweighted(drawn.overall, drawn.overall, WEAK)
    belief = alone.under(SCEPTIC)
    parts = [posterior(y, 0.15, 0.32, normal_posterior) for y in (-0.5, -0.3)]
    assert belief.k_hat < 0.5 and not belief.resampled
    for threshold in (-0.5, -0.3, -0.1, 0.0):
        exact = np.mean([part.cdf(threshold) for part in parts])
        assert belief.distribution.below(threshold) == pytest.approx(exact, abs=0.01)
        assert belief.distribution.quantile(exact) == pytest.approx(threshold, abs=0.02)


def test_a_subgroup_moves_with_the_overall_effect(drawn, normal_posterior):
    parts = [posterior(y, 0.15, 0.32, normal_posterior) for y in (-0.5, -0.3)]
    exact = np.mean([stats.norm(part.mean() - 0.2, math.hypot(part.std(), 0.1)).cdf(-0.4) for part in parts])
    assert drawn.under(SCEPTIC).distribution.below(-0.4) == pytest.approx(exact, abs=0.01)
    assert drawn.distribution(SCEPTIC).below(-0.4) == pytest.approx(exact, abs=0.01)  # weights not smoothed


def test_the_prior_of_the_draws_changes_nothing(drawn):
    belief = drawn.under(WEAK)
    assert belief.k_hat == 0.0
    assert belief.distribution.quantile(0.5) == pytest.approx(np.median(drawn.log_ratio), abs=1e-4)


def test_a_prior_on_the_effect_itself(normal_posterior):
    """Draws without a prior are the likelihood; weights make them the conjugate posterior."""
    draws = np.random.default_rng(2).normal(-0.5, 0.2, (1, 4 * DRAWS))
    belief = Reweighted(draws, draws, None).under(SCEPTIC)
    exact = posterior(-0.5, 0.2, 0.32, normal_posterior)
    assert [belief.distribution.quantile(p) for p in (0.025, 0.5, 0.975)] == pytest.approx(
        exact.ppf([0.025, 0.5, 0.975]), abs=0.015
    )


def test_k_hat_is_large_where_draws_do_not_reach(drawn):
    assert drawn.under(Prior("far", (2.0,), (0.1,))).k_hat > 0.7


class Exact:
    """A normal distribution, as a `Distribution`."""

    def __init__(self, mean, sd):
        self.normal = stats.norm(mean, sd)
        self.below, self.quantile = self.normal.cdf, self.normal.ppf


def test_summary_is_on_the_natural_scale():
    found = Belief(Exact(-0.4, 0.2), 0.1).summary(Options())
    assert (found["median"], found["upper"]) == pytest.approx((math.exp(-0.4), math.exp(-0.4 + 1.959964 * 0.2)))
    probabilities = stats.norm(-0.4, 0.2).cdf([0.0, math.log(0.8), math.log(1.25)])
    assert (found["prob_benefit"], found["prob_meaningful"], 1 - found["prob_harm"]) == pytest.approx(probabilities)
    assert (found["k_hat"], found["resampled"]) == (0.1, False)


def test_a_shift_moves_the_distribution():
    shifted = Shifted(Exact(-0.4, 0.2), 0.3)
    assert shifted.quantile(0.5) == pytest.approx(-0.1)
    assert shifted.below(0.0) == pytest.approx(stats.norm(-0.1, 0.2).cdf(0.0))


def test_imputations_far_apart_count_alike_under_any_prior():
    """Weights of one of them underflow beside the other's, as where an arm has no events."""
    draws = np.stack([np.linspace(-1, 1, 400), np.linspace(-12.001, -12, 400)])
    strict = Prior("strict", (0.0,), (0.3,))
    found = Reweighted(draws, draws, Prior("vague", (0.0,), (10.0,)))
    for distribution in (found.distribution(strict), found.under(strict).distribution):
        assert np.isfinite(distribution.cumulative).all()
        assert distribution.below(-6.0) == pytest.approx(0.5, abs=0.01)
