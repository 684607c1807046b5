"""What the priors imply: against the models' own graphs, and closed forms."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy.stats import gamma, halfnorm, ks_2samp, norm

from secondlook.data.table import survival_table
from secondlook.inference.fitting import Fit
from secondlook.inference.imputations import Imputations
from secondlook.inference.options import Options
from secondlook.inference.prior_predictive import curve_priors, prior_predictive, prior_quantile, tau_prior
from secondlook.models.piecewise import piecewise
from secondlook.models.priors import Prior
from secondlook.models.shrinkage import ShrinkageForm
from secondlook.models.subgroups import subgroups

EDGES = np.array([0.0, 6.0, 12.0, 24.0, 40.0])
MIXED = Prior("mixed", (-0.5, 0.3), (0.2, 0.4), (0.7, 0.3))
DRAWS = 800


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(1)
    shape = (1, 1, 2, 4)
    return survival_table(
        rng.poisson(12.0, shape), np.full(shape, 400.0), np.zeros(shape), np.full(shape[:3], 90.0), EDGES,
        trial="made-up", source="patients", time_unit="months",
    )  # fmt: skip


def same(one, other):
    assert ks_2samp(one, other).pvalue > 1e-3


def test_curves_are_drawn_as_the_graph_draws_them(table):
    names = ("alpha", "omega", "beta", "omega_step_sd", "omega_trend")
    model = piecewise(table, MIXED, proportional=False)
    graph = dict(
        zip(names, pm.draw([model[name] for name in names], DRAWS, random_seed=2, mode="FAST_COMPILE"), strict=True)
    )
    drawn = curve_priors(table.isel(imputation=0, stratum=0), MIXED, np.random.default_rng(3))
    for name in names[2:]:
        same(graph[name], drawn[name].to_numpy()[0])
    for name in names[:2]:
        for interval in range(4):
            same(graph[name][:, interval], drawn[name].to_numpy()[0, :, interval])
        same(np.ptp(graph[name], axis=1), np.ptp(drawn[name].to_numpy()[0], axis=1))


@pytest.mark.parametrize("name", ["half-normal", "half-student-t"])
def test_the_spread_between_strata_is_drawn_as_the_graph_draws_it(table, name):
    form = ShrinkageForm(name, 0.4)
    graph = pm.draw(subgroups(table, MIXED, form)["tau"], DRAWS, random_seed=2, mode="FAST_COMPILE")
    same(graph, tau_prior(form, np.random.default_rng(3)))


def test_quantiles_of_a_normal_and_of_a_mixture():
    plain = Prior("plain", (-0.3,), (0.7,))
    for level in (0.025, 0.5, 0.9):
        assert prior_quantile(plain, level) == pytest.approx(norm.ppf(level, -0.3, 0.7), abs=1e-9)
        assert MIXED.probability_below(prior_quantile(MIXED, level)) == pytest.approx(level, abs=1e-9)


@pytest.fixture(scope="module")
def found(table):
    """Rows of a proportional, a free and a hierarchical posterior that are known exactly."""
    rng = np.random.default_rng(5)
    dims, shape = ("chain", "draw", "imputation"), (2, 500, 1)
    common = {
        "alpha": ((*dims, "interval"), np.full((*shape, 4), np.log(0.02))),
        "beta": (dims, np.full(shape, -0.4)),
    }
    free = {
        "omega": ((*dims, "interval"), np.zeros((*shape, 4))),
        "omega_step_sd": (dims, np.full(shape, 0.3)),
        "omega_trend": (dims, np.full(shape, -0.5)),
    }
    tau = {"tau": (dims, np.abs(rng.normal(0, 0.1, shape)))}
    weak, sceptical = Prior("weak", (0.0,), (1.0,)), Prior("sceptical", (0.0,), (0.3,))

    def fit(model, variables, prior=weak, shrinkage="", partition=""):
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(variables)})
        return Fit(model, shrinkage, partition, prior, tree, tuple(EDGES))

    fits = [
        fit("piecewise", common),
        fit("piecewise", {"beta": common["beta"]}, sceptical),
        fit("nonproportional", common | free),
        fit("subgroups", common | tau, shrinkage="half-normal", partition="er"),
        fit("subgroups", common, shrinkage="none", partition="er"),
    ]
    return prior_predictive("made-up", fits, {"": Imputations(table)}, Options(tau_scale=0.25))


def one(found, **where):
    rows = found.loc[np.logical_and.reduce([found[name].eq(value) for name, value in where.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_every_named_prior_of_the_hazard_ratio_is_told(found):
    for prior, sd in (("weak", 1.0), ("sceptical", 0.3)):
        row = one(found, model="piecewise", prior=prior, estimand="hazard_ratio")
        assert row["prior_upper"] == pytest.approx(np.exp(1.959964 * sd), rel=1e-6)
        assert row["posterior_median"] == pytest.approx(np.exp(-0.4))


def test_curves_are_told_at_the_end_of_every_interval(found):
    for model in ("piecewise", "nonproportional"):
        rows = found[found["model"].eq(model) & found["estimand"].eq("survival_treatment")]
        assert list(rows["time"]) == list(EDGES[1:])
        np.testing.assert_allclose(rows["posterior_median"], np.exp(-0.02 * np.exp(-0.4) * EDGES[1:]))
        assert (rows["prior_lower"] < 0.35).all()
        assert (rows["prior_upper"] > 0.95).all()
    assert (found.query("estimand == 'hazard_ratio' and model == 'nonproportional'")["time"] == EDGES[1:]).all()


def test_scales_are_told_beside_their_priors(found):
    step = one(found, estimand="hazard_ratio_step_sd")
    for name, level in (("median", 0.5), ("lower", 0.025), ("upper", 0.975)):
        assert step[f"prior_{name}"] == pytest.approx(gamma.ppf(level, 4, scale=0.125), rel=0.04)
    assert step["posterior_median"] == pytest.approx(0.3)
    trend = one(found, estimand="hazard_ratio_per_doubling")
    assert trend["prior_upper"] == pytest.approx(2 ** (0.3 * norm.ppf(0.975)), rel=0.02)
    assert trend["posterior_median"] == pytest.approx(2**-0.5)
    tau = one(found, estimand="interaction_sd")
    assert tau["shrinkage"] == "half-normal"
    assert tau["prior_upper"] == pytest.approx(halfnorm.ppf(0.975, scale=0.25), rel=0.05)
    assert tau["posterior_median"] == pytest.approx(0.0674, abs=0.01)
