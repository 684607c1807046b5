"""Priors: their definitions, their densities, their errors."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.data import InputError, load_record
from secondlook.data.reading import parse_record
from secondlook.models.evidence import pool
from secondlook.models.priors import (
    FROM_DESIGN,
    FROM_SISTERS,
    NAMED,
    Prior,
    available_priors,
    external_prior,
    named_prior,
    robust_prior,
)

MF07 = load_record("mf07-01")
DESIGN = math.log(math.log(0.35) / math.log(0.17))
BARE = parse_record(
    {"schema": 1, "id": "bare", "title": "t", "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}}}
)


def test_sceptic_gives_the_design_effect_five_percent():
    sceptical = named_prior("sceptical", MF07)
    assert sceptical.means == (0.0,)
    assert sceptical.probability_below(DESIGN) == pytest.approx(0.05)
    assert stats.norm(0, sceptical.sds[0]).cdf(DESIGN) == pytest.approx(0.05)


def test_enthusiast_and_pessimist_mirror_each_other():
    enthusiastic, pessimistic = (named_prior(name, MF07) for name in ("enthusiastic", "pessimistic"))
    assert enthusiastic.means == pytest.approx((DESIGN,))
    assert pessimistic.means == pytest.approx((-DESIGN,))
    assert enthusiastic.sds == pessimistic.sds == named_prior("sceptical", MF07).sds


def test_weak_vague_and_any_normal():
    assert (named_prior("weak", MF07).sds, named_prior("vague", MF07).sds) == ((1.0,), (10.0,))
    own = named_prior("-0.2,0.5", MF07)
    assert (own.means, own.sds) == ((-0.2,), (0.5,))


def test_design_hazard_ratio_may_be_given():
    assert named_prior("enthusiastic", BARE, 0.5).means == pytest.approx((math.log(0.5),))
    assert available_priors(BARE) == ("weak", "vague")
    assert available_priors(BARE, 0.5) == ("weak", "vague", *FROM_DESIGN)
    assert available_priors(MF07) == NAMED
    assert available_priors(load_record("tata")) == ("weak", "vague", *FROM_SISTERS)


@pytest.mark.parametrize("name", ["unknown", "0", "0,0", "0,-1", "nan,1", "0,inf", "1,2,3"])
def test_what_is_no_prior(name):
    allowed = f"give one of {', '.join(NAMED)}, or MEAN,SD with a finite mean and an SD"
    with pytest.raises(InputError, match=f"--prior: {name}: not a prior; {allowed}"):
        named_prior(name, MF07)


@pytest.mark.parametrize("name", ["sceptical", "enthusiastic", "pessimistic"])
@pytest.mark.parametrize("ratio", [None, 1.0, 1.2])
def test_prior_without_a_design_below_one(name, ratio):
    with pytest.raises(
        InputError, match=f"--prior: {name}: needs a design hazard ratio below 1, .* give --design-hr"
    ):
        named_prior(name, BARE, ratio)


def test_enthusiast_believes_in_the_design_and_doubts_no_effect_by_as_much():
    """The enthusiast's P(HR > 1) is the sceptic's P(HR < design HR): 5% (Spiegelhalter et al. 1994)."""
    assert 1 - named_prior("enthusiastic", MF07).probability_below(0) == pytest.approx(0.05)
    assert named_prior("pessimistic", MF07).probability_below(0) == pytest.approx(0.05)


@pytest.mark.parametrize("name", ["weak", "vague", "sceptical", "enthusiastic", "pessimistic", "0.1,0.2"])
def test_densities_and_probabilities_are_scipys(name):
    prior = named_prior(name, MF07)
    (mean,), (sd,) = prior.means, prior.sds
    x = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(prior.log_density(x), stats.norm.logpdf(x, mean, sd), rtol=1e-12)
    assert prior.log_density(x.reshape(13, 1)).shape == (13, 1)
    assert [prior.probability_below(value) for value in x] == pytest.approx(stats.norm.cdf(x, mean, sd))
    assert str(prior) == f"Normal({mean:.3g}, {sd:.3g})"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (((0.0,), (1.0, 2.0), (1.0,)), "one to 6 means, SDs and weights, equally many"),
        (((), (), ()), "one to 6 means"),
        (((0.0,) * 7, (1.0,) * 7, (1 / 7,) * 7), "one to 6 means"),
        (((0.0,), (1.0,), (1.0,), ("weak", "external")), "one part per component"),
        (((math.inf,), (1.0,), (1.0,)), "means must be finite"),
        (((0.0,), (math.nan,), (1.0,)), "SDs finite and above 0"),
        (((0.0, 1.0), (1.0, 1.0), (1.5, -0.5)), "weights must not be negative"),
        (((0.0,), (0.0,), (1.0,)), "SDs finite and above 0"),
        (((0.0, 1.0), (1.0, 1.0), (0.7, 0.7)), "add up to 1"),
    ],
)
def test_malformed_priors(numbers, message):
    with pytest.raises(ValueError, match=f"prior p: .*{message}"):
        Prior("p", *numbers)


def test_mixture_density_and_padding():
    mixture = Prior("m", (0.0, -0.5), (1.0, 0.2), (0.3, 0.7))
    x = np.linspace(-2, 2, 9)
    expected = 0.3 * stats.norm(0, 1).pdf(x) + 0.7 * stats.norm(-0.5, 0.2).pdf(x)
    assert np.exp(mixture.log_density(x)) == pytest.approx(expected)
    weights, means, sds = mixture.padded()
    padded = sum(w * stats.norm(m, s).pdf(x) for w, m, s in zip(weights, means, sds, strict=True))
    assert padded == pytest.approx(expected)
    assert str(mixture) == "0.3 Normal(0, 1) + 0.7 Normal(-0.5, 0.2)"
    assert mixture.summary == "mixture with mean -0.35, SD 0.62"


def test_external_is_the_exact_prediction_of_the_sister_trials():
    external = external_prior(MF07)
    assert [trial.id for trial in external.trials] == ["abcsg-28", "e2108", "jcog1017", "tata"]
    exact = pool(
        [trial.log_hazard_ratio for trial in external.trials], [trial.standard_error for trial in external.trials]
    ).predicted
    x = np.linspace(-3, 3, 241)
    off = np.abs([external.prior.probability_below(value) for value in x] - exact.cdf(x))
    assert off.max() <= external.error < 0.0005
    assert external.error == pytest.approx(off.max(), rel=0.05)
    assert named_prior("external", MF07) == external.prior
    assert external.events == pytest.approx(117, abs=0.5)
    assert external.prior.summary == "mixture with mean 0.026, SD 0.28"


@pytest.mark.parametrize("trial", ["tata", "e2108", "jcog1017", "abcsg-28"])
@pytest.mark.parametrize("tau_scale", [0.25, 1.0])
def test_external_is_close_for_every_trial_and_scale(trial, tau_scale):
    assert external_prior(load_record(trial), tau_scale).error < 0.0005


def test_robust_is_half_external_half_weak():
    external, robust = (named_prior(name, MF07) for name in FROM_SISTERS)
    x = np.linspace(-3, 3, 25)
    expected = 0.5 * np.exp(external.log_density(x)) + 0.5 * stats.norm.pdf(x)
    np.testing.assert_allclose(np.exp(robust.log_density(x)), expected, rtol=1e-12)
    assert robust.summary == "0.5 external + 0.5 weak"
    assert robust_prior(external, 2.0).sds[-1] == 2.0


def test_posterior_share_of_a_part_is_the_exact_one():
    """With a normal estimate the weight is prior weight times what the part predicted for it (Schmidli 2014)."""
    robust, y, s = named_prior("robust", MF07), -0.4155, 0.149
    weights, means, sds = map(np.array, (robust.weights, robust.means, robust.sds))
    predicted = weights * stats.norm.pdf(y, means, np.hypot(sds, s))
    exact = predicted[:-1].sum() / predicted.sum()
    grid = np.linspace(-3, 2, 4001)  # the posterior, by quadrature in place of draws
    density = np.exp(robust.log_density(grid)) * stats.norm.pdf(y, grid, s)
    cumulative = np.cumsum(density) / density.sum()
    draws = np.interp((np.arange(20_000) + 0.5) / 20_000, cumulative, grid)
    assert robust.posterior_share("external", draws) == pytest.approx(exact, abs=1e-3)
    assert robust.share("external") == pytest.approx(0.5)


@pytest.mark.parametrize("name", FROM_SISTERS)
def test_prior_of_a_trial_without_sisters(name):
    message = (
        "external, robust: must come from sister trials; bare has no sister trials: its record has no .evidence."
    )
    with pytest.raises(InputError, match=message):
        named_prior(name, BARE)
    lonely = MF07.model_copy(update={"evidence": MF07.evidence.model_copy(update={"question": "another"})})
    with pytest.raises(InputError, match="no other of the question 'another' and its endpoint is known"):
        named_prior(name, lonely)
