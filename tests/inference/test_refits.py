"""Other intervals in one model's shape, numbers left out, and other priors on the SD between strata."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from secondlook.data import load_record
from secondlook.data.errors import input_error
from secondlook.data.reconstruction import Reconstruction, reconstruct
from secondlook.data.table import edges, pooled, regroup, survival_table
from secondlook.inference.fitting import Fit, Result, Task
from secondlook.inference.imputations import Imputations
from secondlook.inference.options import Options
from secondlook.inference.quantities import Draws, Quantity
from secondlook.inference.refits import (
    HalfNormal,
    by_reconstruction,
    by_tau_scale,
    filled_up,
    other_intervals,
    published_items,
)
from secondlook.inference.reported import reported_ratios
from secondlook.models.piecewise import LEVEL_SD, piecewise_data
from secondlook.models.priors import Prior

WEAK = Prior("weak", (0.0,), (1.0,))
BOUNDS = np.array([0.0, 6.0, 12.0, 18.0, 24.0])


@pytest.fixture
def monthly():
    shape = (2, 1, 2, 24)
    deaths = np.linspace(2.0, 0.5, 24) * np.ones(shape)
    patients = np.full((2, 1, 2), 100.0)
    return survival_table(
        deaths, np.full(shape, 60.0), np.zeros(shape), patients, np.arange(25.0),
        trial="t", source="published", time_unit="months",
    )  # fmt: skip


def test_other_intervals_end_where_the_models_do(monthly):
    found = other_intervals(monthly, BOUNDS)
    assert list(found) == ["every 12 months", "one interval", "equal deaths"]
    assert list(found["every 12 months"]) == [0, 12, 24] and list(found["one interval"]) == [0, 24]
    equal = regroup(monthly, found["equal deaths"])
    np.testing.assert_allclose(equal.deaths.sum(("stratum", "arm")), equal.deaths.sum(("stratum", "arm")).mean())
    assert equal.sizes["interval"] == 4


def test_intervals_are_filled_up_with_empty_ones_of_no_length(monthly):
    coarse = regroup(monthly, [0.0, 24.0])
    filled = filled_up(coarse, 4)
    assert list(edges(filled)) == [0, 24, 24, 24, 24]
    for name in ("deaths", "exposure", "censored"):
        assert filled[name].sel(arm="control").isel(imputation=0, stratum=0).to_numpy() == pytest.approx(
            [float(coarse[name].sel(arm="control")[0, 0, 0]), 0, 0, 0]
        )
    data = piecewise_data(filled, 0)["table"]
    assert data.shape == (8, 4) and np.isfinite(data).all()
    assert np.abs(data[5:, 0]).max() < 1e-12  # trend and walk leave the one interval's rate alone


def one_interval(table):
    """Median, limits and P(b < 0) of two exponential arms under the vague prior, by quadrature."""
    beta, level = np.linspace(-1.6, 0.8, 601), np.linspace(-0.6, 0.6, 241)[:, None]
    cumulative = []
    for imputation in range(3):
        chosen = table.isel(imputation=imputation, stratum=0)
        (d0, d1), (e0, e1) = (chosen[name].sum("interval").to_numpy() for name in ("deaths", "exposure"))
        alpha = np.log((d0 + d1) / (e0 + e1)) + level
        logs = d0 * alpha - e0 * np.exp(alpha) + d1 * (alpha + beta) - e1 * np.exp(alpha + beta)
        logs += stats.norm.logpdf(level, 0, LEVEL_SD) + stats.norm.logpdf(beta, 0, 10)
        density = np.exp(logs - logs.max()).sum(axis=0)
        cumulative.append(np.cumsum(density) / density.sum())
    average = np.mean(cumulative, axis=0)
    return np.interp([0.5, 0.025, 0.975], average, beta), np.interp(0.0, beta, average)


def test_one_interval_in_the_shape_of_many_is_two_exponential_arms(mf07):
    (row,) = mf07.sensitivity.query("varied == 'intervals' and setting == 'one interval'").itertuples()
    quantiles, below = one_interval(pooled(mf07.table))
    assert np.log([row.median, row.lower, row.upper]) == pytest.approx(quantiles, abs=0.012)
    assert row.prob_benefit == pytest.approx(below, abs=0.002)


def test_published_items_are_those_that_are_used():
    assert published_items(load_record("mf07-01"), Options()) == ["deaths", "survival", "follow_up", "hazard_ratio"]


TAU_SD = 0.25


def strata(number_of_scales=1):
    """A fit whose log hazard ratio is a tenth of `tau`, which follows its half-normal prior."""
    rng = np.random.default_rng(1)
    dims, shape = ("chain", "draw", "imputation"), (4, 2500, 2)
    tau = abs(rng.normal(0, TAU_SD, (*shape, number_of_scales)))
    values = {"beta": (dims, rng.normal(0, 1, shape))}
    values["tau"] = (dims, tau[..., 0]) if number_of_scales == 1 else ((*dims, "scale"), tau)
    ratio = np.exp(np.moveaxis(tau[..., 0], -1, 0) / 10)[:, None]
    quantity = Quantity("average_hazard_ratio", "S", 60.0, "s=1", "s")
    task = Task("subgroups", "half-normal", "s", None, None, None, "beta", True)
    fit = Fit("subgroups", "half-normal", "s", WEAK, xr.DataTree.from_dict({"posterior": xr.Dataset(values)}))
    return Result(fit, Draws((quantity,), ratio), None, np.zeros(2, bool), np.zeros(2, bool), task)


@pytest.mark.parametrize("scales", [1, 2])
def test_tau_under_another_scale_is_half_normal_of_that_scale(scales):
    result = strata(scales)
    found = {scale: belief for scale, _, belief in by_tau_scale(result, reported_ratios(result), Options())}
    assert list(found) == [0.1, 0.25, 0.5, 1.0]
    for scale in (0.1, 0.25):
        median = 10 * found[scale].distribution.quantile(0.5)
        assert median == pytest.approx(stats.halfnorm(0, scale).median(), rel=0.06)
        assert found[scale].k_hat < 0.7
    assert found[1.0].k_hat > 0.7  # the draws hardly reach there, and there is nothing to sample afresh with


def test_half_normal_density():
    values = np.array([0.1, 0.5])
    exact = stats.halfnorm(0, 0.3).logpdf(values) - stats.halfnorm(0, 1.0).logpdf(values)
    np.testing.assert_allclose(HalfNormal(0.3).log_density(values) - HalfNormal(1.0).log_density(values), exact)


def proportional(table):
    """Maximum likelihood of the log hazard ratio with a rate of its own in every interval."""
    (d0, d1), (e0, e1) = (table[name].to_numpy() for name in ("deaths", "exposure"))
    log_ratio = 0.0
    for _ in range(50):
        share = e1 * np.exp(log_ratio) / (e0 + e1 * np.exp(log_ratio))
        deaths = d0 + d1
        log_ratio += (d1 - deaths * share).sum() / (deaths * share * (1 - share)).sum()
    return log_ratio


def test_those_not_analysed_bound_the_effect(mf07):
    rows = mf07.sensitivity.query("varied == 'not analysed'")
    assert list(rows.setting) == [
        f"2 of treatment and 2 of control, {how} for treatment" for how in ("worst", "best")
    ]
    table = regroup(pooled(mf07.table), mf07.fits[0].edges).isel(stratum=0)[["deaths", "exposure"]].mean("imputation")
    crude, usual = proportional(table), mf07.estimates.query("model == 'piecewise' and estimand == 'hazard_ratio'")
    shrunken = np.log(usual.loc[usual.prior.eq("vague"), "median"].iloc[0]) - crude
    width = table.stop - table.start
    for median, dying in zip(rows["median"], ("treatment", "control"), strict=True):
        other = table.copy(deep=True)
        other["exposure"] += 2 * width * (other.arm != dying)
        other["deaths"] += 2 * (other.arm == dying) * (other.start == 0)
        expected = proportional(other.transpose("arm", "interval"))
        assert np.log(median) - shrunken == pytest.approx(expected, abs=0.012)


def test_a_rebuilding_that_cannot_meet_the_numbers_costs_its_rows_only(monkeypatch):
    def impossible(*_, **__):
        raise input_error("mf07-01", "", None, "no table reproduces all printed numbers")

    made = reconstruct(load_record("mf07-01"), "age", imputations=0)
    monkeypatch.setattr(Reconstruction, "varied", impossible)
    result = replace(strata(1), compiled=object())
    assert list(by_reconstruction(result, [], Imputations(made), Options())) == []
