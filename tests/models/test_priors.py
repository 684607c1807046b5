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
    with pytest.raises(InputError, match="not a prior; give one of weak, vague, sceptical"):
        named_prior(name, MF07)


def test_prior_without_a_design():
    with pytest.raises(InputError, match="give --design-hr"):
        named_prior("sceptical", BARE)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (((0.0,), (1.0, 2.0), (1.0,)), "equally many"),
        (((0.0,), (0.0,), (1.0,)), "SDs finite and above 0"),
        (((0.0, 1.0), (1.0, 1.0), (0.7, 0.7)), "add up to 1"),
    ],
)
def test_malformed_priors(numbers, message):
    with pytest.raises(ValueError, match=message):
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
