"""Tipping points against Matthews' closed form and the conjugate posterior."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.inference.marginal import GivenSpread, marginal
from secondlook.inference.overall import Integrated
from secondlook.inference.reweighting import Reweighted
from secondlook.inference.tipping import Interval, biases, prior_mean, sceptical_sd
from secondlook.models.priors import Prior

WEAK, FLAT = Prior("weak", (0.0,), (1.0,)), Prior("flat", (0.0,), (1e3,))
PRINTED = Interval(0.49, 0.88)


def normal(mean, sd):
    return Prior(f"{mean:g},{sd:g}", (mean,), (sd,))


def effect(interval, priors=()):
    given = GivenSpread(np.array([interval.estimate]), np.array([interval.error**2]))
    return Integrated((marginal([given], WEAK, [normal(0, 0.05), *priors]),))


def test_matthews_limit():
    """Reference results, 3, for MF07-01; the sceptic whose interval ends there makes the posterior touch 1."""
    lower, upper = math.log(0.49), math.log(0.88)
    limit = math.exp(-((upper - lower) ** 2) / (4 * math.sqrt(upper * lower)))
    assert math.exp(-stats.norm.ppf(0.975) * PRINTED.sceptical_sd) == pytest.approx(limit, rel=1e-12)
    precision = 1 / PRINTED.error**2 + 1 / PRINTED.sceptical_sd**2
    posterior = stats.norm(PRINTED.estimate / PRINTED.error**2 / precision, precision**-0.5)
    assert posterior.ppf(0.975) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("interval", [PRINTED, Interval(0.46, 0.91), Interval(1.1, 2.9)])
def test_the_sceptical_sd_is_the_closed_form(interval):
    found = sceptical_sd(effect(interval), WEAK, interval)
    assert found.value == found.prior_sd == pytest.approx(interval.sceptical_sd, rel=1e-3)
    assert found.closed_form == interval.sceptical_sd
    side = 1 if interval.upper < 1 else -1
    assert found.hazard_ratio == pytest.approx(math.exp(-side * 1.959964 * found.value), rel=1e-6)


@pytest.mark.parametrize("sd", [1.0, 0.32])
def test_the_prior_mean_is_the_closed_form(sd):
    exact = PRINTED.prior_mean(sd)
    found = prior_mean(effect(PRINTED, [normal(exact, sd)]), sd, PRINTED)
    assert found.value == pytest.approx(exact, rel=1e-3)
    precision = 1 / PRINTED.error**2 + 1 / sd**2
    mean = (PRINTED.estimate / PRINTED.error**2 + exact / sd**2) / precision
    assert stats.norm(mean, precision**-0.5).cdf(0.0) == pytest.approx(0.95)


def test_the_prior_mean_is_negative_where_benefit_is_not_shown():
    weak_evidence = Interval(0.58, 1.08)
    found = prior_mean(effect(weak_evidence), 0.32, weak_evidence)
    assert found.value == pytest.approx(weak_evidence.prior_mean(0.32), rel=1e-3)
    assert found.value < 0


def test_biases_are_the_closed_form():
    probability, interval = biases(effect(PRINTED, [FLAT]), FLAT, PRINTED)
    assert (probability.value, interval.value) == pytest.approx((PRINTED.bias, -math.log(0.88)), abs=1e-4)
    assert (probability.closed_form, interval.closed_form) == pytest.approx((PRINTED.bias, -math.log(0.88)))
    assert stats.norm(PRINTED.estimate + PRINTED.bias, PRINTED.error).cdf(0.0) == pytest.approx(0.95)
    assert probability.hazard_ratio == pytest.approx(math.exp(probability.value))


def test_draws_tip_where_the_normal_does():
    draws = np.random.default_rng(1).normal(PRINTED.estimate, PRINTED.error, (4, 10_000))
    found = sceptical_sd(Reweighted(draws, draws, None), WEAK, PRINTED)
    assert found.value == pytest.approx(PRINTED.sceptical_sd, rel=0.05)
    assert found.k_hat < 0.7


def test_an_interval_that_holds_1_does_not_tip():
    found = sceptical_sd(effect(Interval(0.58, 1.08)), WEAK, Interval(0.58, 1.08))
    assert math.isnan(found.value) and math.isnan(found.closed_form)
    assert found.note == "reaches 1 under weak already"


def test_a_subgroup_that_no_sceptic_about_the_rest_moves():
    overall = np.random.default_rng(1).normal(-0.1, 0.1, (1, 4000))
    found = sceptical_sd(Reweighted(overall - 1.0, overall, WEAK), WEAK)
    assert math.isnan(found.value) and found.note == "reaches 1 under no such prior"


def test_what_draws_cannot_tell_of_is_said_so():
    """The overall effect is far from 0, where a sceptic would have it: hardly a draw counts."""
    overall = np.random.default_rng(1).normal(-2.0, 0.1, (1, 4000))
    found = sceptical_sd(Reweighted(overall - 1.0, overall, WEAK), WEAK)
    assert math.isnan(found.value) and found.note == "reaches 1 under no such prior that the draws can tell of"


def test_no_mean_is_far_enough():
    overall = np.random.default_rng(1).normal(-0.1, 0.001, (1, 4000))
    found = prior_mean(Reweighted(overall - 1.0, overall, WEAK), 0.01)
    assert math.isnan(found.value) and found.note == "no mean within 16 SDs"
