"""Pooling over imputations: the formulas, and the gate that each criterion can close."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from secondlook.inference.diagnostics import Diagnostics, diagnose, joined
from secondlook.inference.options import Options
from secondlook.inference.pooling import estimate_rows, imputations_needed, variances
from secondlook.inference.quantities import Draws, Quantity
from secondlook.inference.sampling import resample

RATIO = Quantity("hazard_ratio", "Hazard ratio")
MEDIAN = Quantity("median_treatment", "Median")


def draws_of(values, quantity=RATIO):
    return Draws((quantity,), np.asarray(values)[:, None])


def stats_of(shape, divergences=0, energy=None):
    diverging = np.zeros(shape, dtype=bool)
    diverging[0, 0, :divergences] = True
    energy = np.random.default_rng(0).normal(size=shape) if energy is None else energy
    dims = ("imputation", "chain", "draw")
    return xr.Dataset({"diverging": (dims, diverging), "energy": (dims, energy)})


@pytest.fixture
def good():
    centres = np.array([-0.1, 0.0, 0.1])[:, None, None]
    return np.exp(centres + np.random.default_rng(1).normal(0, 0.15, (3, 4, 1000)))


def test_rows_follow_the_formulas(good):
    draws = draws_of(good)
    diagnostics = diagnose(draws, stats_of(good.shape))
    (row,) = estimate_rows(draws, diagnostics, Options())
    within = good.reshape(3, -1).var(axis=1, ddof=1).mean()
    between = good.reshape(3, -1).mean(axis=1).var(ddof=1)
    assert row["imputation_share"] == pytest.approx(between / (within + between))
    assert row["ess_bulk"] == pytest.approx(diagnostics.ess_bulk.sum())
    assert row["mcse"] == pytest.approx(np.sqrt(within / row["ess_bulk"] + between / 3))
    assert (row["median"], row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(good, [0.5, 0.025, 0.975])))
    assert row["prob_benefit"] == (good < 1).mean()
    assert row["prob_meaningful"] == (good < 0.8).mean()
    assert row["prob_harm"] == (good > 1.25).mean()


def test_thresholds_are_options(good):
    draws = draws_of(good)
    (row,) = estimate_rows(draws, diagnose(draws, stats_of(good.shape)), Options(benefit_threshold=0.9))
    assert row["prob_meaningful"] == (good < 0.9).mean()


def test_imputations_needed(good):
    share = variances(draws_of(good)).imputation_share[0]
    assert imputations_needed(draws_of(good)) == np.ceil(share / 0.01)
    assert imputations_needed(draws_of(good[:, :, :] * 0 + np.arange(3)[:, None, None])) == 100


def test_infinite_medians(good):
    values = np.where(good > 1.2, np.inf, good)
    draws = draws_of(values, MEDIAN)
    (row,) = estimate_rows(draws, diagnose(draws, stats_of(values.shape)), Options())
    assert row["upper"] == np.inf
    assert np.isnan([row["mean"], row["sd"], row["mcse"], row["prob_benefit"]]).all()
    assert row["median"] == pytest.approx(np.median(good), rel=1e-3)
    assert 0 < row["imputation_share"] < 1


def test_the_gate_opens_for_good_draws(good):
    diagnostics = diagnose(draws_of(good), stats_of(good.shape))
    assert diagnostics.sound.all()
    assert diagnostics.enough.all()


def test_the_gate_closes_for_chains_that_disagree(good):
    shifted = good + np.array([0, 0, 0, 0.3])[None, :, None] * (np.arange(3) == 1)[:, None, None]
    assert diagnose(draws_of(shifted), stats_of(good.shape)).sound.tolist() == [True, False, True]


def test_the_gate_closes_for_divergences(good):
    assert diagnose(draws_of(good), stats_of(good.shape, divergences=1)).sound.tolist() == [False, True, True]


def test_the_gate_closes_for_low_bfmi(good):
    energy = np.cumsum(np.random.default_rng(2).normal(size=good.shape), axis=-1)
    diagnostics = diagnose(draws_of(good), stats_of(good.shape, energy=energy))
    assert (diagnostics.bfmi_min < 0.3).all()
    assert not diagnostics.sound.any()


def test_the_gate_closes_for_few_effective_draws(good):
    assert not diagnose(draws_of(good[:1, :, :200]), stats_of((1, 4, 200))).enough.any()


def test_a_constant_is_no_failure(good):
    diagnostics = diagnose(draws_of(np.ones_like(good)), stats_of(good.shape))
    assert diagnostics.sound.all()
    assert diagnostics.enough.all()


def test_joined_and_scaled(good):
    one = diagnose(draws_of(good), stats_of(good.shape))
    both = joined([one, one])
    assert both.rhat.shape == (6, 1)
    assert one.scaled(np.full((3, 1), 0.5)).ess_bulk == pytest.approx(one.ess_bulk / 2)
    assert isinstance(both, Diagnostics)


def test_resampling_gives_the_other_priors_posterior():
    """Normal likelihood 0.4 +- 0.5: from prior N(0, 1) to N(0, 0.6), against the closed form."""
    rng = np.random.default_rng(4)

    def posterior(sd):
        precision = 1 / 0.5**2 + 1 / sd**2
        return 0.4 / 0.5**2 / precision, precision**-0.5

    mean, sd = posterior(1.0)
    effect = rng.normal(mean, sd, (4, 5000))
    log_ratio = -0.5 * (effect / 0.6) ** 2 + 0.5 * effect**2
    moved = resample(log_ratio, (1, 0))
    values = np.take_along_axis(effect, moved.chosen, axis=-1)
    wanted = posterior(0.6)
    assert values.mean() == pytest.approx(wanted[0], abs=0.01)
    assert values.std() == pytest.approx(wanted[1], rel=0.02)
    assert moved.k_hat < 0.7
    assert 0.5 < moved.efficiency < 1


def test_resampling_far_away_is_found_out():
    effect = np.random.default_rng(5).normal(0, 0.15, (4, 1000))
    assert resample(-0.5 * ((effect - 3) / 0.05) ** 2 + 0.5 * effect**2, (1, 0)).k_hat > 0.7


def test_resampling_to_the_same_prior_changes_nothing():
    same = resample(np.zeros((4, 10)), (1, 0))
    assert (same.chosen == np.arange(10)).all()
    assert same.efficiency == 1


def test_frame_of_rows_is_complete(good):
    draws = draws_of(good)
    frame = pd.DataFrame(estimate_rows(draws, diagnose(draws, stats_of(good.shape)), Options()))
    assert {"time", "reference", "partition", "subgroup", "label", "estimand"} <= set(frame.columns)
