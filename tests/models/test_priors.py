"""Priors: their definitions, their densities, their errors."""

import math

import numpy as np
import pytest
from scipy import stats

from secondlook.data import InputError, load_record
from secondlook.data.reading import parse_record
from secondlook.models.priors import NAMED, Prior, available_priors, named_prior

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
    assert available_priors(BARE, 0.5) == available_priors(MF07) == NAMED


@pytest.mark.parametrize("name", ["unknown", "0", "0,0", "0,-1", "nan,1", "0,inf", "1,2,3"])
def test_what_is_no_prior(name):
    allowed = "give one of weak, vague, sceptical, enthusiastic, pessimistic, or MEAN,SD with a finite mean and an SD"
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
        (((0.0,), (1.0, 2.0), (1.0,)), "one to 3 means, SDs and weights, equally many"),
        (((), (), ()), "one to 3 means"),
        (((0.0,) * 4, (1.0,) * 4, (0.25,) * 4), "one to 3 means"),
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
