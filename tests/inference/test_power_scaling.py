"""Power-scaling of one printed effect, whose posterior under every power is known."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from secondlook.data.table import survival_table
from secondlook.inference.fitting import Fit, Result, Task
from secondlook.inference.options import Options
from secondlook.inference.power_scaling import power_scaling_rows, with_log_densities
from secondlook.inference.quantities import Draws, Quantity
from secondlook.models.effects import effects_data
from secondlook.models.priors import Prior

DIMS = ("chain", "draw", "imputation", "set")
CHAINS, DRAWS = 4, 1000


def result(y, error, prior, tau=0.0, scale=0.25):
    """A fit of effects in one set, with exact draws of `mu` given `tau`."""
    rng = np.random.default_rng(1)
    shape = (CHAINS, DRAWS, 1, 1)
    taus = np.full(shape, tau) if np.ndim(tau) == 0 else rng.choice(tau, shape)
    precision = sum(1 / (s**2 + taus**2) for s in error)
    centre = sum(v / (s**2 + taus**2) for v, s in zip(y, error, strict=True)) / precision
    total = precision + 1 / prior.sds[0] ** 2
    mu = (centre * precision + prior.means[0] / prior.sds[0] ** 2) / total + total**-0.5 * rng.normal(size=shape)
    posterior = xr.Dataset({"mu": (DIMS, mu), "tau": (DIMS, taus)})
    task = Task(
        "effects", "half-normal", "", None, lambda _: effects_data([y], [error], tau_scale=scale), None, "mu", False
    )
    fit = Fit("effects", "half-normal", "", prior, xr.DataTree.from_dict({"posterior": posterior}))
    draws = Draws((Quantity("hazard_ratio", "All"),), np.exp(mu.transpose(2, 3, 0, 1)))
    return Result(fit, draws, None, np.zeros(1, bool), np.zeros(1, bool), task)


def test_log_densities_are_those_of_the_model():
    prior = Prior("sceptical", (0.1,), (0.3,))
    tree = with_log_densities(result([-0.5, 0.2], [0.2, 0.3], prior, (0.1, 0.4)), None, 0, Options())
    mu, tau = (tree["posterior"][name].to_numpy() for name in ("mu", "tau"))
    np.testing.assert_allclose(tree["log_prior"]["overall"], stats.norm(0.1, 0.3).logpdf(mu))
    exact = stats.halfnorm(0, 0.25).logpdf(tau)
    found = tree["log_prior"]["tau"].to_numpy()
    np.testing.assert_allclose(found - found[0, 0], exact - exact[0, 0])
    for row, (y, s) in enumerate(((-0.5, 0.2), (0.2, 0.3))):
        exact = stats.norm(mu, np.hypot(s, tau)).logpdf(y)
        found = tree["log_likelihood"]["deaths"].isel(row=row).to_numpy()
        np.testing.assert_allclose(found - found[0, 0], exact - exact[0, 0])


def test_an_sd_that_is_fixed_has_no_prior():
    tree = with_log_densities(result([-0.5], [0.2], Prior("weak", (0.0,), (1.0,))), None, 0, Options())
    assert set(tree["log_prior"].data_vars) == {"overall"}


@pytest.mark.parametrize(
    ("prior", "error", "diagnosis"),
    [
        (Prior("weak", (0.0,), (1.0,)), 0.15, "prior does not matter"),
        (Prior("against", (0.5,), (0.15,)), 0.15, "prior matters: possible conflict with the data"),
        (Prior("strong", (0.3,), (0.05,)), 1.5, "prior matters: strong prior or weak data"),
    ],
)
def test_diagnosis(prior, error, diagnosis):
    (row,) = power_scaling_rows(result([-0.5], [error], prior), None, Options())
    assert row["diagnosis"] == diagnosis
    assert row["prior"] == prior.name


def test_the_prior_counts_as_its_precision_says():
    """Scaling prior or likelihood moves a normal posterior by its share of the pull: here both pull alike."""
    symmetric = result([-0.3], [0.2], Prior("alike", (0.3,), (0.2,)))
    (row,) = power_scaling_rows(symmetric, None, Options())
    assert row["prior_overall"] == pytest.approx(row["likelihood"], rel=0.1)
    assert row["prior_overall"] > 0.05


def test_rows_of_a_table_are_its_cells():
    rng = np.random.default_rng(2)
    shape = (1, 1, 2, 3)
    deaths, exposure = rng.uniform(1, 9, shape), rng.uniform(50, 90, shape)
    table = survival_table(
        deaths, exposure, np.zeros(shape), np.full((1, 1, 2), 50.0), [0.0, 6.0, 12.0, 24.0],
        trial="t", source="published", time_unit="months",
    )  # fmt: skip
    dims = ("chain", "draw", "imputation")
    values = {"beta": (dims, rng.normal(-0.4, 0.1, (2, 50, 1)))}
    values["alpha"] = ((*dims, "interval"), rng.normal(-3, 0.1, (2, 50, 1, 3)))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(values)})
    fit = Fit("piecewise", "", "", Prior("weak", (0.0,), (1.0,)), tree, (0.0, 6.0, 12.0, 24.0))
    task = Task("piecewise", "", "", None, None, None, "beta", True)
    one = Result(fit, Draws((), np.empty((1, 0, 2, 50))), None, np.zeros(1, bool), np.zeros(1, bool), task)
    rows = with_log_densities(one, table, 0, Options())["log_likelihood"]["deaths"]
    alpha, beta = values["alpha"][1][:, :, 0], values["beta"][1][:, :, 0, None]
    eta = np.concatenate([alpha, alpha + beta], axis=-1)
    exact = deaths.reshape(-1) * eta - exposure.reshape(-1) * np.exp(eta)
    np.testing.assert_allclose(rows.sum("row"), exact.sum(axis=-1))
