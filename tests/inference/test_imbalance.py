"""The adjusted overall effect: derived from exact draws, and of MF07-01."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from secondlook.data import load_record
from secondlook.data.imbalance import Term, imbalance_terms
from secondlook.data.prevalence import Prevalence
from secondlook.data.subgroup import OVERALL
from secondlook.inference import Options
from secondlook.inference.fitting import Task, fit_tasks
from secondlook.inference.imbalance import adjusting, drawn_shifts, exclusive_levels, imbalance_rows
from secondlook.inference.quantities import Quantity
from secondlook.inference.tables import IMBALANCE
from secondlook.models.imbalance import FORMS
from secondlook.models.priors import Prior

WEAK, NEAR = Prior("weak", (0.0,), (1.0,)), Prior("sceptical", (0.0,), (0.3,))
Y, S = -0.4, 0.15
COUNTED = Term("ER(+)", OVERALL, -0.45, 0.25, (0.64, 0.39, 1.04), Prevalence(0.7, 100), Prevalence(0.9, 100))
OTHER = Term("T4", OVERALL, 0.4, 0.2, (1.5, 1.0, 2.2), Prevalence(0.3, 100), Prevalence(0.1, 100))
UNSURE = Term("Age", OVERALL, 0.0, 0.2, (1.0, 0.7, 1.5), Prevalence(0.6, 100, 0.03), Prevalence(0.6, 100, 0.04))


def task():
    return Task(
        model="normal",
        shrinkage="",
        partition="",
        build=lambda _: None,
        data=lambda _: {"row": np.array([Y, S])},
        quantities=lambda posterior: [(Quantity("hazard_ratio", "Hazard ratio"), np.exp(posterior["mu"].to_numpy()))],
        overall="mu",
        imputed=True,
    )


def named_beta(one):
    """The made-up sampler calls the effect mu."""

    def renamed(function):
        return lambda posterior: function(posterior.assign(beta=posterior["mu"]))

    return replace(one, quantities=renamed(one.quantities), shifts=renamed(one.shifts))


@pytest.fixture
def fitted(normal_sampler):
    assert normal_sampler.calls == []
    options = Options(imputations=4)
    adjusted = named_beta(adjusting(task(), (COUNTED, OTHER), options))
    return fit_tasks([adjusted], [WEAK, NEAR], options, lambda _: None)


@pytest.mark.parametrize(("place", "prior"), [(0, WEAK), (1, NEAR)])
def test_first_order_is_a_difference_of_normals_under_every_prior(fitted, normal_posterior, place, prior):
    rows = {(row["model"], row["label"]): row for row in fitted[place].estimates(Options())}
    moved, gaps = -0.45 * 0.2 - 0.4 * 0.2, np.array([0.2 * 0.25, -0.2 * 0.2])
    for label, correlation in (("", 0.0), (", correlation 0.5", 0.5)):
        error = math.sqrt(S**2 + (gaps**2).sum() + 2 * correlation * gaps.prod())
        exact = stats.norm(*normal_posterior(Y - moved, error, 0.0, prior.sds[0]))  # the prior is on what is adjusted
        row = rows["imbalance", f"Adjusted for imbalance, first order{label}"]
        found = np.log([row["median"], row["lower"], row["upper"]])
        assert found == pytest.approx(exact.ppf([0.5, 0.025, 0.975]), abs=0.02)
        assert row["prob_benefit"] == pytest.approx(exact.cdf(0), abs=0.02)
        assert row["prior"] == prior.name and row["ess_bulk"] > 1000 and row["rhat"] < 1.01


def test_rows_and_diagnostics_name_the_model_and_every_form(fitted):
    first, moved = fitted
    assert moved.reweighted.all()
    names = [("normal", "hazard_ratio"), *(("imbalance", f"hazard_ratio {form}") for form in FORMS)]
    names += [("imbalance", f"hazard_ratio {form}, correlation 0.5") for form in FORMS]
    rows = first.diagnostic_rows()
    one = rows[rows["imputation"].eq(0)]
    assert list(zip(one["model"], one["quantity"], strict=True)) == names
    assert [row["model"] for row in first.estimates(Options())] == [model for model, _ in names]


def test_every_imputation_draws_its_own_coefficients(fitted):
    first = fitted[0]
    crude, adjusted = np.log(first.draws.values[:, 0]), np.log(first.draws.values[:, 1])
    shifts = (crude - adjusted).reshape(len(crude), -1)
    assert np.abs(np.corrcoef(shifts) - np.eye(len(shifts))).max() < 0.1
    assert list(first.fit.posterior["imputation"]) == [0, 1, 2, 3]


def test_without_terms_nothing_is_added():
    one = task()
    assert adjusting(one, (), Options()) is one
    assert imbalance_rows((), Options()).empty


def test_a_share_that_is_not_counted_adds_its_error():
    """With a log hazard ratio N(0, s) independent of the difference d of shares, Var(g d) = s^2 Var(d)."""
    drawn = drawn_shifts((UNSURE,), (4, 50_000), np.random.default_rng(1))
    assert drawn["first order", 0.0].std() == pytest.approx(0.2 * 0.05, rel=0.02)


def test_terms_in_closed_form():
    """One row per term and form; first order: normal; exact mixture: a monotone function of a normal."""
    rows = imbalance_rows((COUNTED, OTHER), Options()).set_index(["label", "form"])
    first = rows.loc["ER(+)", "first order"]
    exact = stats.norm(-0.45 * 0.2, 0.25 * 0.2)
    assert first[["shift", "shift_lower", "shift_upper"]].tolist() == pytest.approx(
        [exact.mean(), *exact.ppf([0.025, 0.975])], abs=2e-4
    )
    coefficient = np.exp(stats.norm(0.4, 0.2).ppf([0.975, 0.025])) - 1
    limits = np.log((1 + 0.1 * coefficient) / (1 + 0.3 * coefficient))
    mixture = rows.loc["T4", "exact mixture"]
    assert mixture[["shift_lower", "shift_upper"]].tolist() == pytest.approx(limits, abs=2e-4)
    assert (first["control"], first["treatment"], first["hazard_ratio"], first["lower"]) == (0.7, 0.9, 0.64, 0.39)


def test_mf07_01_shifts_by_a_fifth():
    terms, _ = imbalance_terms(load_record("mf07-01"))
    groups = [[terms[index].label for index in group] for group in exclusive_levels(terms)]
    assert sorted(map(len, groups)) == [1, 1, 2, 2], groups
    drawn = drawn_shifts(terms, (4, 50_000), np.random.default_rng(2))
    assert drawn["exact mixture", 0.0].mean() == pytest.approx(-0.212, abs=0.005)
    rows = imbalance_rows(terms, Options())
    totals = rows.groupby("form")["shift"].sum()
    assert totals["first order"] == pytest.approx(-0.185, abs=5e-4)
    assert totals["exact mixture"] == pytest.approx(-0.205, abs=1e-3)
    assert totals.between(-0.21, -0.18).all()


def test_mf07_01_adjusted_under_every_prior(mf07):
    assert tuple(mf07.imbalance.columns) == IMBALANCE.columns
    assert mf07.imbalance["label"].nunique() == 6
    assert any("leaves out Bisphosphonates: it follows randomisation" in note for note in mf07.notes)
    ratios = mf07.estimates[mf07.estimates["estimand"].eq("hazard_ratio")].set_index(["prior", "label"])
    likelihood = ratios.loc[("vague", "Adjusted for imbalance, first order")]
    centre, error = np.log(likelihood["median"]), np.log(likelihood["upper"] / likelihood["lower"]) / 2 / 1.96
    for prior in mf07.fits:
        if prior.model == "piecewise" and len(prior.prior.means) == 1:
            mean, sd = prior.prior.means[0], prior.prior.sds[0]
            precision = 1 / error**2 + 1 / sd**2
            exact = stats.norm((centre / error**2 + mean / sd**2) / precision, precision**-0.5)
            row = ratios.loc[(prior.prior.name, "Adjusted for imbalance, first order")]
            assert row["prob_benefit"] == pytest.approx(exact.cdf(0), abs=0.02), prior.prior.name
            assert np.log(row["median"]) == pytest.approx(exact.mean(), abs=0.03), prior.prior.name
    assert set(mf07.comparison["model"]) == {"piecewise"}


def test_a_model_without_a_crude_effect_adjusts_nothing(mf07_effects):
    assert mf07_effects.imbalance.empty
    assert "imbalance" not in set(mf07_effects.estimates["model"])


def test_the_imputation_is_part_of_the_seed():
    none = (("chain", "draw"), np.zeros((2, 50)))
    posterior = xr.Dataset({"beta": none, "mu": none})
    quantities = adjusting(task(), (COUNTED,), Options()).quantities
    first, again, second = (quantities(posterior.assign_coords(imputation=number))[1][1] for number in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)
