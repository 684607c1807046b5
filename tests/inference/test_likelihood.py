"""The log likelihood of a table's rows against patients' densities and scipy's Poisson distribution."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import poisson

from secondlook.data.table import survival_table
from secondlook.inference.likelihood import row_log_likelihood
from secondlook.models.piecewise import log_time

EDGES = np.array([0.0, 6.0, 12.0, 30.0])
DRAWS = (2, 3)


def table_of(deaths, exposure, strata=("overall",)):
    return survival_table(
        deaths, exposure, np.zeros(np.shape(deaths)), np.full(np.shape(deaths)[:3], 50.0), EDGES, strata=strata,
        trial="made-up", source="patients", time_unit="months",
    )  # fmt: skip


def posterior_of(rng, strata=0, omega=False):
    """Random draws; with strata, one more than the table has, as padded graphs give."""
    plain = ("chain", "draw")
    found = {
        "alpha": ((*plain, "interval"), rng.normal(-3.5, 0.4, (*DRAWS, 3))),
        "beta": (plain, rng.normal(-0.4, 0.3, DRAWS)),
    }
    if omega:
        found["omega"] = ((*plain, "interval"), rng.normal(0, 0.3, (*DRAWS, 3)))
    for name in ("gamma", "kappa", "delta") if strata else ():
        found[name] = ((*plain, "stratum"), rng.normal(0, 0.3, (*DRAWS, strata + 1)))
    return xr.Dataset(found, coords={"chain": range(2), "draw": range(3)})


def log_density(time, died, rates):
    """Of one patient: log hazard at death, less the cumulative hazard."""
    interval = int(np.searchsorted(EDGES, time)) - 1
    return died * np.log(rates[interval]) - rates @ np.clip(time - EDGES[:-1], 0, np.diff(EDGES))


@pytest.mark.parametrize("omega", [False, True])
def test_rows_add_up_to_the_log_density_of_the_patients(omega):
    rng = np.random.default_rng(1)
    time, died, arm = rng.uniform(0, 30, 80), rng.uniform(size=80) < 0.6, rng.integers(0, 2, 80)
    spent = np.clip(time[:, None] - EDGES[:-1], 0, np.diff(EDGES))
    cell = np.searchsorted(EDGES, time)[:, None] - 1 == np.arange(3)
    deaths, exposure = (
        np.stack([(values * (arm == a)[:, None]).sum(axis=0) for a in (0, 1)])
        for values in (cell * died[:, None], spent)
    )
    posterior = posterior_of(rng, omega=omega)
    found = row_log_likelihood(table_of(deaths[None, None], exposure[None, None]), posterior)
    first = posterior.isel(chain=1, draw=2)
    ratio = first.beta.item() + (first.omega.to_numpy() if omega else 0.0)
    rates = [np.exp(first.alpha.to_numpy() + a * ratio) for a in (0, 1)]
    expected = sum(log_density(*patient[:2], rates[patient[2]]) for patient in zip(time, died, arm, strict=True))
    assert found.sum("row")[1, 2].item() == pytest.approx(expected, rel=1e-12)


def test_rows_of_strata_are_poisson_up_to_a_constant():
    """Differences between draws are scipy's, in every cell of every stratum; an empty cell is no row."""
    rng = np.random.default_rng(2)
    deaths, exposure = rng.poisson(5.0, (1, 2, 2, 3)), rng.uniform(50, 400, (1, 2, 2, 3))
    deaths[0, 1, 1, 2], exposure[0, 1, 1, 2] = 0, 0
    table, posterior = table_of(deaths, exposure, ("er=+", "er=-")), posterior_of(rng, strata=2)
    found = row_log_likelihood(table, posterior)
    assert found.sizes == {"chain": 2, "draw": 3, "row": 11}
    late = log_time(table, deaths.sum(axis=(0, 1, 2)))
    for row in found.transpose("row", ...):
        stratum, arm = int(row.stratum == "er=-"), int(row.arm == "treatment")
        interval = int(np.searchsorted(EDGES, row.start.item()))
        own = posterior.isel(stratum=stratum, interval=interval)
        rate = np.exp(own.alpha + own.gamma + own.kappa * late[interval] + arm * (own.beta + own.delta))
        place = (0, stratum, arm, interval)
        expected = poisson.logpmf(deaths[place], exposure[place] * rate)
        np.testing.assert_allclose(row - row[0, 0], expected - expected[0, 0], atol=1e-10)
