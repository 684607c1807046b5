"""Leaving out a row of a table: Pareto-smoothed against exact, where the posterior is a conjugate gamma.

A rate per interval, common to both arms: theta[j] ~ Gamma(a, b), d[a,j] ~ Poisson(e[a,j] theta[j]). Without one row
the posterior is Gamma(a + d', b + e') of the other arm's row, and the left-out deaths are negative binomial.
"""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import nbinom, poisson

from secondlook.data.table import survival_table
from secondlook.inference.fitting import Fit
from secondlook.inference.imputations import Imputations
from secondlook.inference.likelihood import row_constant, row_log_likelihood
from secondlook.inference.model_comparison import leave_one_row_out, model_comparison, notes_on
from secondlook.models.priors import Prior

INTERVALS = 8
EDGES = np.arange(0.0, 6.0 * (INTERVALS + 1), 6.0)
WEAK = Prior("weak", (0.0,), (1.0,))
SHAPE, EXPOSURE = 45.0, 1500.0  # the prior: as much as 45 deaths in 1500 months
TRUTH = np.linspace(0.015, 0.045, INTERVALS)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    exposure = rng.uniform(300, 500, (1, 1, 2, INTERVALS))
    counts = rng.poisson(exposure * TRUTH), exposure, np.zeros_like(exposure), np.full((1, 1, 2), 100.0)
    return survival_table(*counts, EDGES, trial="made-up", source="patients", time_unit="months")


def gamma_fit(table, model, common=False, shape=SHAPE, prior_exposure=EXPOSURE, draws=4000):
    """Exact draws of the posterior, of a rate per interval or of one for all, as the piecewise models write it."""
    deaths, exposure = (table[name].to_numpy()[0, 0].sum(axis=0) for name in ("deaths", "exposure"))
    if common:
        deaths, exposure = np.full(INTERVALS, deaths.sum()), np.full(INTERVALS, exposure.sum())
    rng = np.random.default_rng(4)
    size = (4, draws, 1, 1 if common else INTERVALS)
    rates = rng.gamma((shape + deaths)[: size[-1]], 1 / (prior_exposure + exposure)[: size[-1]], size)
    dims = ("chain", "draw", "imputation")
    alpha = np.broadcast_to(np.log(rates), (*size[:3], INTERVALS))
    posterior = xr.Dataset({"alpha": ((*dims, "interval"), alpha), "beta": (dims, np.zeros(size[:3]))})
    return Fit(model, "", "", WEAK, xr.DataTree.from_dict({"posterior": posterior}), tuple(EDGES))


def exact(table, common=False, shape=SHAPE, prior_exposure=EXPOSURE):
    """The log predictive probability of each row given the others, shape ``(arm, interval)``."""
    deaths, exposure = (table[name].to_numpy()[0, 0] for name in ("deaths", "exposure"))
    others = [values.sum() - values if common else values[::-1] for values in (deaths, exposure)]
    shape, rate = shape + others[0], prior_exposure + others[1]
    return nbinom.logpmf(deaths, shape, rate / (rate + exposure))


@pytest.mark.parametrize("common", [False, True])
def test_smoothed_is_exact(table, common):
    found = leave_one_row_out(gamma_fit(table, "piecewise", common), table).elpd
    np.testing.assert_allclose(found.elpd_i, exact(table, common).ravel(), atol=0.03)
    assert found.elpd == pytest.approx(exact(table, common).sum(), abs=0.06)


def test_the_constant_makes_rows_log_probabilities_of_counts(table):
    posterior = gamma_fit(table, "piecewise", draws=2).posterior.isel(imputation=0)
    rows = row_log_likelihood(table, posterior) + row_constant(table)
    deaths, exposure = (table[name].to_numpy()[0, 0] for name in ("deaths", "exposure"))
    expected = poisson.logpmf(deaths, exposure * np.exp(posterior.alpha[1, 1].to_numpy()))
    np.testing.assert_allclose(rows[1, 1], expected.ravel(), rtol=1e-10)


def test_models_are_ranked_by_what_they_predict(table):
    fits = [gamma_fit(table, "piecewise", common=True), gamma_fit(table, "nonproportional")]
    found = model_comparison("made-up", fits, {"": Imputations(table)}).set_index("model")
    gain = exact(table, True) - exact(table)
    assert list(found.index) == ["nonproportional", "piecewise"]
    assert found.loc["piecewise", "difference"] == pytest.approx(gain.sum(), abs=0.1)
    assert found.loc["piecewise", "difference_se"] == pytest.approx(np.sqrt(gain.size) * gain.std(), rel=0.05)
    assert found.loc["nonproportional", "difference"] == 0
    assert found["weight"].sum() == pytest.approx(1)
    assert found.loc["nonproportional", "weight"] > 0.8
    assert list(found["rows"]) == [16, 16]
    assert (found["bad_rows"] == 0).all()
    assert list(notes_on(found.reset_index(), rebuilt=False)) == []


def test_rows_that_weigh_too_much_are_told(table):
    """A rate that only its two rows inform, one of them many times the other."""
    few = table.copy(deep=True)
    few["deaths"][0, 0, 0], few["exposure"][0, 0, 0] = 1.0, 25.0
    few["deaths"][0, 0, 1], few["exposure"][0, 0, 1] = 90.0, 2500.0
    fits = [gamma_fit(few, name, shape=0.5, prior_exposure=1.0) for name in ("piecewise", "nonproportional")]
    found = model_comparison("made-up", fits, {"": Imputations(few)})
    assert (found["worst_k"] > found["good_k"]).all()
    (note,) = notes_on(found, rebuilt=False)
    assert note.startswith("comparison of models is unreliable: Pareto k-hat is too high for rows of ")
    assert all(f"{row.model} {row.bad_rows} of 16" in note for row in found.itertuples())


def test_rows_that_weigh_too_much_are_left_out_in_earnest(monkeypatch):
    """A vague prior, and one arm with most of the person-time: left out in earnest, a row's density is exact."""
    monkeypatch.setattr("secondlook.inference.model_comparison.MOST_REFITS", 2 * INTERVALS)
    rng = np.random.default_rng(6)
    exposure = np.full((1, 1, 2, INTERVALS), 400.0)
    exposure[..., 0, ::2] = 4000.0
    counts = rng.poisson(exposure * TRUTH), exposure, np.zeros_like(exposure), np.full((1, 1, 2), 100.0)
    table = survival_table(*counts, EDGES, trial="made-up", source="patients", time_unit="months")
    vague = {"shape": 0.5, "prior_exposure": 1.0}

    def refit(without):
        assert float(table.exposure.sum() - without.exposure.sum()) in (400.0, 4000.0)
        return gamma_fit(without, "piecewise", **vague).posterior.isel(imputation=0)

    fit = gamma_fit(table, "piecewise", **vague)
    smoothed, found = leave_one_row_out(fit, table), leave_one_row_out(fit, table, refit)
    truth = exact(table, **vague).ravel()
    assert found.refitted.any()
    assert (found.refitted == (smoothed.k_hat > smoothed.elpd.good_k)).all()
    off = np.abs(found.elpd.elpd_i.to_numpy() - truth)
    assert off[found.refitted].max() < 0.1
    assert np.abs(smoothed.elpd.elpd_i.to_numpy() - truth)[found.refitted].max() > 2 * off[found.refitted].max()
    assert found.elpd.elpd == pytest.approx(found.elpd.elpd_i.sum().item())
    assert smoothed.elpd.elpd == pytest.approx(smoothed.elpd.elpd_i.sum().item())


def test_where_the_sampler_diverges_a_row_stays_unreliable(table):
    fit = gamma_fit(table, "piecewise", shape=0.5, prior_exposure=1.0)
    found = leave_one_row_out(fit, table, lambda _: None)
    assert (found.k_hat > found.elpd.good_k).any()
    assert not found.refitted.any()


def test_models_on_other_intervals_and_single_ones_are_not_compared(table):
    one = gamma_fit(table, "piecewise", draws=30)
    other = Fit("nonproportional", "", "", WEAK, one.tree, (*EDGES[:-1], 47.0))
    for fits in ([one], [one, other]):
        assert model_comparison("made-up", fits, {"": Imputations(table)}).empty
