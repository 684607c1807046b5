"""Pooling over imputations: the formulas, the probabilities, and medians that are not reached."""

import numpy as np
import pytest

from secondlook.inference.diagnostics import Diagnostics
from secondlook.inference.options import Options
from secondlook.inference.pooling import MOST_IMPUTATIONS, estimate_rows, imputations_needed, variances
from secondlook.inference.quantities import Draws, Quantity

RATIO = Quantity("hazard_ratio", "Hazard ratio")
MEDIAN = Quantity("median_treatment", "Median")
DIFFERENCE = Quantity("rmst_difference", "Difference", 36.0)


def row_of(values, quantity=RATIO, options=None):
    values = np.asarray(values)
    imputations = len(values)
    ess = np.arange(1, imputations + 1)[:, None] * 100.0
    rhat = 1 + np.arange(imputations)[:, None] / 1000
    diagnostics = Diagnostics(rhat, ess, ess / 2, np.zeros(imputations), np.ones(imputations))
    (row,) = estimate_rows(Draws((quantity,), values[:, None]), diagnostics, options or Options())
    return row


def diagnosed(values, ess=None):
    """Return diagnostics of independent draws: as many effective ones as there are."""
    sizes = np.full(values.shape[:2], float(np.prod(values.shape[2:])) if ess is None else ess)
    return Diagnostics(np.ones(values.shape[:2]), sizes, sizes, np.zeros(len(values)), np.ones(len(values)))


@pytest.fixture
def good():
    centres = np.array([-0.1, 0.0, 0.1])[:, None, None]
    return np.exp(centres + np.random.default_rng(1).normal(0, 0.15, (3, 4, 1000)))


def test_rows_follow_the_formulas(good):
    """MCSE^2 = W/ESS + B/m, share = B/(W + B), the means' own error taken off B; ESS summed, worst R-hat."""
    row = row_of(good)
    each = good.reshape(3, -1).var(axis=1, ddof=1)
    within = each.mean()
    between = good.reshape(3, -1).mean(axis=1).var(ddof=1) - (each / [100, 200, 300]).mean()
    assert (row["ess_bulk"], row["ess_tail"], row["rhat"]) == (600, 300, pytest.approx(1.002))
    assert row["imputation_share"] == pytest.approx(between / (within + between))
    assert row["mcse"] == pytest.approx(np.sqrt(within / 600 + between / 3))
    assert (row["median"], row["lower"], row["upper"]) == pytest.approx(tuple(np.quantile(good, [0.5, 0.025, 0.975])))
    assert (row["mean"], row["sd"]) == pytest.approx((good.mean(), good.std(ddof=1)))


def test_mcse_is_the_spread_of_repeated_estimates():
    """Independent draws in imputations that differ: the means of 2,000 repetitions scatter by the MCSE."""
    rng = np.random.default_rng(2)
    shifts = rng.normal(0, 0.5, (2000, 10, 1))
    values = shifts + rng.normal(size=(2000, 10, 60))
    spread = values.mean(axis=(1, 2)).std()
    ess = np.full((10, 1), 60.0)
    diagnostics = Diagnostics(np.ones((10, 1)), ess, ess, np.zeros(10), np.ones(10))
    rows = [
        estimate_rows(Draws((RATIO,), one.reshape(10, 1, 4, 15)), diagnostics, Options())[0]["mcse"] for one in values
    ]
    assert np.sqrt(np.mean(np.square(rows))) == pytest.approx(spread, rel=0.08)


def test_probabilities_of_a_ratio(good):
    row = row_of(good)
    assert row["prob_benefit"] == (good < 1).mean()
    assert row["prob_meaningful"] == (good < 0.8).mean()
    assert row["prob_harm"] == (good > 1.25).mean()
    moved = row_of(good, options=Options(benefit_threshold=0.9, harm_threshold=1.1))
    assert (moved["prob_meaningful"], moved["prob_harm"]) == ((good < 0.9).mean(), (good > 1.1).mean())


def test_probabilities_of_differences_and_one_arm():
    values = np.random.default_rng(3).normal(1, 2, (2, 4, 50))
    row = row_of(values, DIFFERENCE)
    assert row["prob_benefit"] == (values > 0).mean()
    assert np.isnan([row["prob_meaningful"], row["prob_harm"]]).all()
    assert np.isnan(row_of(values, MEDIAN)["prob_benefit"])
    assert (row["time"], row_of(values, MEDIAN)["time"]) == (36.0, pytest.approx(np.nan, nan_ok=True))


def test_a_contrast_has_a_probability_of_more_benefit_only(good):
    """Meaningful and harm are for hazard ratios; the SD between strata has no direction."""
    contrast = Quantity("ratio_of_hazard_ratios", "Contrast", 60.0, "er=+", "receptor", reference="er=-")
    row = row_of(good, contrast)
    assert row["prob_benefit"] == (good < 1).mean()
    assert np.isnan([row["prob_meaningful"], row["prob_harm"]]).all()
    assert (row["subgroup"], row["reference"]) == ("er=+", "er=-")
    spread = row_of(good, Quantity("interaction_sd", "SD"))
    assert np.isnan([spread["prob_benefit"], spread["prob_meaningful"], spread["prob_harm"]]).all()
    average = row_of(good, Quantity("average_hazard_ratio", "Average"))
    assert (average["prob_benefit"], average["prob_meaningful"]) == ((good < 1).mean(), (good < 0.8).mean())
    assert average["prob_harm"] == (good > 1.25).mean()


@pytest.mark.parametrize("spread", [0.05, 0.1, 0.2])
def test_imputations_needed_is_the_share_over_a_hundredth(spread):
    """sqrt(B/m) <= 0.1 sqrt(W + B)."""
    rng = np.random.default_rng(4)
    values = spread * np.array([-1.0, 0, 1])[:, None, None, None] + rng.normal(size=(3, 1, 4, 250))
    draws = Draws((RATIO,), values), diagnosed(values)
    found, (within, between) = imputations_needed(*draws), (variances(*draws).within[0], variances(*draws).between[0])
    assert np.sqrt(between / found) <= 0.1 * np.sqrt(within + between) < np.sqrt(between / max(found - 1, 1e-9))


def test_at_most_two_hundred_imputations(monkeypatch):
    values = np.arange(3.0)[:, None, None, None] * np.ones((3, 1, 2, 5))
    assert imputations_needed(Draws((RATIO,), values), diagnosed(values)) == 100  # all of the variance lies between
    monkeypatch.setattr("secondlook.inference.pooling.MOST_IMPUTATION_ERROR", 0.01)
    assert imputations_needed(Draws((RATIO,), values), diagnosed(values)) == MOST_IMPUTATIONS == 200


def test_the_worst_quantity_decides():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(3, 2, 4, 250))
    values[:, 1] += np.array([-1.0, 0, 1])[:, None, None]
    both, worst = Draws((RATIO, DIFFERENCE), values), Draws((DIFFERENCE,), values[:, 1:])
    needed = imputations_needed(both, diagnosed(values))
    assert needed == imputations_needed(worst, diagnosed(values[:, 1:])) > 30


@pytest.mark.parametrize("draws", [15, 60, 1000])
def test_the_error_of_few_draws_is_not_taken_for_a_difference_between_imputations(draws):
    """The between-imputation variance, 0.25, is found without bias however few the draws: 2,000 repetitions."""
    rng = np.random.default_rng(6)
    means = rng.normal(0, 0.5, (2000, 20, 1)) + rng.normal(0, draws**-0.5, (2000, 20, 1))
    centred = np.linspace(-1, 1, draws) / np.linspace(-1, 1, draws).std(ddof=1)  # each imputation's variance is 1
    sizes = np.full((20, 1), float(draws))
    known = Diagnostics(np.ones((20, 1)), sizes, sizes, np.zeros(20), np.ones(20))
    found = [variances(Draws((RATIO,), (one + centred).reshape(20, 1, 1, draws)), known).between[0] for one in means]
    assert np.mean(found) == pytest.approx(0.25, abs=4 * np.std(found) / np.sqrt(2000))


@pytest.mark.parametrize(("ess", "needed"), [(1e9, 34), (10, 29), (4, 20), (2, 0), (1, 0)])
def test_imputations_needed_allow_for_the_error_of_the_means(ess, needed):
    """Within variance 1, means of variance 0.5: B = max(0, 0.5 - 1/ESS), and 100 B/(1 + B) imputations or more."""
    means = np.sqrt(0.5) * np.array([-1.0, 0, 1])
    centred = np.array([-1.0, 0, 1])
    values = (means[:, None] + centred).reshape(3, 1, 1, 3)
    assert imputations_needed(Draws((RATIO,), values), diagnosed(values, ess)) == needed


def test_a_single_imputation_has_no_between_variance(good):
    row = row_of(good[:1])
    assert row["imputation_share"] == 0
    assert row["mcse"] == pytest.approx(good[0].std(ddof=1) / 10)


def test_a_median_that_is_not_reached(good):
    """Quantiles are taken with infinity; mean, SD and MCSE are left empty; ranks give the imputations' share."""
    values = np.where(good > 1.2, np.inf, good)
    row = row_of(values, MEDIAN)
    assert row["upper"] == np.inf
    assert row["lower"] == pytest.approx(np.quantile(good, 0.025), rel=1e-3)
    assert row["median"] == pytest.approx(np.median(good), rel=1e-3)
    assert np.isnan([row["mean"], row["sd"], row["mcse"], row["prob_benefit"]]).all()
    assert row["imputation_share"] == pytest.approx(row_of(good)["imputation_share"], abs=0.03)


def test_a_constant_has_no_error():
    row = row_of(np.ones((2, 4, 10)), DIFFERENCE)
    assert (row["sd"], row["mcse"], row["imputation_share"]) == (0, 0, 0)


def test_rows_name_their_quantity():
    quantity = Quantity("hazard_ratio", "Solitary bone", None, "metastasis=solitary bone", "metastasis")
    row = row_of(np.ones((1, 2, 5)), quantity)
    expected = {"estimand": "hazard_ratio", "label": "Solitary bone", "reference": "", "partition": "metastasis"}
    assert {name: row[name] for name in expected} == expected
    assert row["subgroup"] == "metastasis=solitary bone"
