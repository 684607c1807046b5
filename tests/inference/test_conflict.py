"""Posterior weights of a mixture prior's parts, from the draws of a fit."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from secondlook.data import load_record
from secondlook.inference.conflict import conflict_rows, overall_draws
from secondlook.inference.fitting import Fit
from secondlook.models.evidence import Mixture
from secondlook.models.priors import named_prior

MF07 = load_record("mf07-01")
ROBUST = named_prior("robust", MF07)
PRIOR = Mixture(*map(np.array, (ROBUST.weights, ROBUST.means, ROBUST.sds)))
POSTERIOR = PRIOR.updated(-0.4155, 0.149)


def fit(model, values, prior=ROBUST, partition=""):
    dims = ("chain", "draw", "imputation")
    values = np.reshape(values, (2, -1, 1))
    posterior = {"beta": (dims, values)}
    if model == "effects":  # the whole trial is the first set
        sets = np.stack([values, values + 1], axis=-1)
        posterior = {"mu": ((*dims, "set"), sets)}
    return Fit(model, "", partition, prior, xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)}))


@pytest.fixture(scope="module")
def draws():
    return np.array([POSTERIOR.quantile(p) for p in (np.arange(1000) + 0.5) / 1000])


@pytest.mark.parametrize("model", ["piecewise", "effects"])
def test_weights_are_the_conjugate_ones(draws, model):
    rows = conflict_rows(MF07, [fit(model, draws)])
    assert rows["component"].tolist() == ["external", "weak"]
    assert rows["prior_weight"].tolist() == pytest.approx([0.5, 0.5])
    exact = [POSTERIOR.weights[:-1].sum(), POSTERIOR.weights[-1]]
    assert rows["posterior_weight"].tolist() == pytest.approx(exact, abs=1e-3)
    assert set(rows["model"]) == {model} and set(rows["prior"]) == {"robust"}


def test_a_trial_unlike_its_sisters_leaves_external_little_weight():
    far = stats.norm(-2.5, 0.1).ppf((np.arange(1000) + 0.5) / 1000)
    assert conflict_rows(MF07, [fit("piecewise", far)])["posterior_weight"][0] < 0.05


def test_only_mixtures_of_priors_are_reported(draws):
    single = [fit("piecewise", draws, named_prior(name, MF07)) for name in ("weak", "external")]
    assert conflict_rows(MF07, single).empty
    of_rows = fit("effects", draws, partition="receptor")  # a partition's rows alone: nothing about the whole trial
    assert overall_draws(MF07, of_rows) is None
    assert conflict_rows(MF07, [of_rows]).empty
