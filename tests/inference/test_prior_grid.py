"""Many priors from one compilation."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.data import InputError, load_record
from secondlook.inference import fitting, prior_grid
from secondlook.inference.tables import SENSITIVITY
from secondlook.models.priors import Prior

PRIORS = ("weak", "vague", "sceptical", "enthusiastic", "pessimistic", "0,0.15", "0,0.5", "-0.5,0.3", "0.5,0.3")
FAR = Prior("far", (1.0,), (0.1,))


@pytest.fixture(scope="module")
def grid(few):
    calls, compile_once = [], fitting.compile_model
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "compile_model", lambda model: calls.append(model) or compile_once(model))
        yield prior_grid("mf07-01", (*PRIORS, "-1,0.5", "0,2", FAR), few), calls


def test_twelve_priors_take_one_compilation(grid):
    frame, calls = grid
    assert len(calls) == 1
    assert tuple(frame.columns) == SENSITIVITY.columns
    assert list(frame["prior"]) == [*PRIORS, "-1,0.5", "0,2", "far"]


def test_each_prior_pulls_as_its_precision_says(grid):
    """MF07-01's likelihood is nearly Normal(log 0.651, 0.152), the vague posterior."""
    frame, _ = grid
    vague = frame.set_index("prior").loc["vague"]
    y, error = math.log(vague["median"]), math.log(vague["upper"] / vague["lower"]) / (2 * 1.959964)
    precision = 1 / error**2 + 1 / frame["prior_sd"] ** 2
    mean = (y / error**2 + frame["prior_mean"] / frame["prior_sd"] ** 2) / precision
    near = frame["prior"].ne("far").to_numpy()
    assert np.log(frame["median"].astype(float))[near].to_numpy() == pytest.approx(mean[near].to_numpy(), abs=0.012)
    exact = stats.norm.cdf(-mean * np.sqrt(precision))
    assert frame["prob_benefit"].to_numpy()[near] == pytest.approx(exact[near], abs=0.006)


def test_only_what_k_hat_forbids_is_sampled_afresh(grid):
    frame, _ = grid
    assert list(frame.loc[frame["resampled"], "prior"]) == ["far"]
    assert (frame["k_hat"] <= 0.7).all()


def test_all_that_is_no_prior_is_told_at_once():
    names = ["hopeful", "weak", "0,-1", "nan,1", "0,inf"]
    with pytest.raises(InputError) as refused:
        prior_grid("mf07-01", names)
    told = [str(problem) for problem in refused.value.problems]
    assert [line.split(": ")[1] for line in told] == ["hopeful", "0,-1", "nan,1", "0,inf"]
    assert all("give one of weak, vague, external, robust, sceptical" in line for line in told)


def test_a_record_without_an_overall_effect_is_refused():
    record = load_record("mf07-01").model_copy(update={"hazard_ratio": (), "survival": (), "follow_up": ()})
    with pytest.raises(InputError, match="published survival cannot be rebuilt"):
        prior_grid(record.model_copy(update={"effects_set": (), "at_risk": ()}), ["weak"])
