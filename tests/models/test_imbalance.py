"""Adjustment for imbalance against closed forms."""

import math

import numpy as np
import pytest

from secondlook.models.imbalance import (
    CORRELATIONS,
    FORMS,
    coefficients,
    estimate_label,
    exact_mixture,
    first_order,
)

ALONE = [[0]]


@pytest.fixture
def normals():
    return np.random.default_rng(1).normal(size=(400_000, 3))


def test_one_term_exact_form_is_the_log_ratio_of_mean_hazards():
    base, ratio, control, treatment = 0.02, 0.64, 0.72, 0.86
    mean_hazards = [base * (share * ratio + 1 - share) for share in (control, treatment)]
    shift = exact_mixture(*(np.array([value]) for value in (math.log(ratio), control, treatment)), ALONE)
    assert shift == pytest.approx(math.log(mean_hazards[1] / mean_hazards[0]), rel=1e-12)


@pytest.mark.parametrize("form", FORMS.values())
def test_without_imbalance_nothing_moves(form):
    share = np.linspace(0, 1, 5)[:, None]
    np.testing.assert_array_equal(form(np.array([-0.7]), share, share, ALONE), 0)


def test_first_order_is_the_limit_of_the_exact_form():
    shares = np.array([0.72]), np.array([0.86])
    for g in (1e-3, -1e-3):
        exact = exact_mixture(np.array([g]), *shares, ALONE)
        assert exact == pytest.approx(first_order(np.array([g]), *shares), rel=1e-3)
    assert first_order(np.array([-0.5]), *shares) == pytest.approx(-0.07)


@pytest.mark.parametrize("form", FORMS.values())
def test_exchanging_the_arms_or_the_levels_changes_the_sign_or_nothing(form):
    g, control, treatment = np.array([-0.45]), np.array([0.72]), np.array([0.86])
    assert form(g, treatment, control, ALONE) == pytest.approx(-form(g, control, treatment, ALONE))
    assert form(-g, 1 - control, 1 - treatment, ALONE) == pytest.approx(form(g, control, treatment, ALONE))


def test_levels_that_exclude_each_other_make_one_mixture():
    """T2 and T4 beside all other stages: the log ratio of mean hazards is one over three kinds of patients."""
    g, control, treatment = np.array([0.3, 0.8]), np.array([0.5, 0.2]), np.array([0.6, 0.1])
    mean = [share @ np.exp(g) + 1 - share.sum() for share in (control, treatment)]
    assert exact_mixture(g, control, treatment, [[0, 1]]) == pytest.approx(math.log(mean[1] / mean[0]), rel=1e-12)
    apart = exact_mixture(g, control, treatment, [[0], [1]])
    assert apart == pytest.approx(sum(exact_mixture(g[[k]], control[[k]], treatment[[k]], ALONE) for k in (0, 1)))


@pytest.mark.parametrize("correlation", [*CORRELATIONS, 1.0])
def test_correlation_enters_the_variance_as_by_hand(normals, correlation):
    """Var(sum d g) = sum d^2 s^2 + 2 rho d1 s1 d2 s2."""
    means, errors, gaps = np.array([-0.4, 0.3]), np.array([0.25, 0.2]), np.array([0.14, -0.1])
    drawn = coefficients(means, errors, correlation, normals)
    by_hand = (gaps**2 * errors**2).sum() + 2 * correlation * np.prod(gaps * errors)
    shift = first_order(drawn, np.zeros(2), gaps)
    assert shift.std() == pytest.approx(math.sqrt(by_hand), rel=0.01)
    assert shift.mean() == pytest.approx(gaps @ means, abs=5e-4)
    np.testing.assert_allclose(drawn.std(axis=0), errors, rtol=0.01)


def test_impossible_correlations_are_refused(normals):
    for correlation in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"correlation {correlation} is not between 0 and 1"):
            coefficients([0.1, 0.2], [0.1, 0.1], correlation, normals)


def test_labels_name_form_and_correlation():
    assert estimate_label("first order") == "Adjusted for imbalance, first order"
    assert estimate_label("exact mixture", 0.5) == "Adjusted for imbalance, exact mixture, correlation 0.5"
