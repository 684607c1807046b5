"""Binary endpoints: the posterior against quadrature, whole counts from percentages, Fisher's exact test."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from secondlook.data import load_record
from secondlook.data.reading import parse_record
from secondlook.inference.binary import _values, binary_rows, endpoints_of
from secondlook.inference.options import Options
from secondlook.inference.pooling import _probabilities
from secondlook.models.binary import RISK_SD, binary
from secondlook.models.priors import Prior

EVENTS, PATIENTS = np.array([[15, 2], [2, 2]]), np.array([[136, 138], [136, 138]])
WEAK = Prior("weak", (0.0,), (1.0,))


def quadrature(events, patients):
    """Mean and SD of the log odds ratio and of the risk difference, on a grid."""
    control, ratio = np.linspace(-9, 2, 900)[:, None], np.linspace(-6, 5, 900)
    log_density = stats.norm.logpdf(control, 0, RISK_SD) + stats.norm.logpdf(ratio)
    risks = expit(control), expit(control + ratio)
    for count, size, risk in zip(events, patients, risks, strict=True):
        log_density = log_density + stats.binom.logpmf(count, size, risk)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    found = []
    for values in (ratio + 0 * control, risks[1] - risks[0]):
        mean = (weight * values).sum()
        found.append((mean, np.sqrt((weight * (values - mean) ** 2).sum())))
    return found


@pytest.fixture(scope="module")
def posterior(sampled):
    return sampled("binary", binary(EVENTS, PATIENTS, WEAK))


def test_the_posterior_agrees_with_quadrature(posterior, agrees):
    for place in (0, 1):
        (mean, sd), (difference, spread) = quadrature(EVENTS[place], PATIENTS[place])
        chosen = posterior.isel(endpoint=place).transpose("arm", "chain", "draw", missing_dims="ignore")
        agrees(chosen["log_odds_ratio"].transpose("chain", "draw").to_numpy(), mean, sd)
        risks = expit(chosen["log_odds"].transpose("arm", "chain", "draw").to_numpy())
        agrees(risks[1] - risks[0], difference, spread)


def test_quantities_and_the_direction_of_benefit(posterior):
    endpoints, notes = endpoints_of(load_record("mf07-01"))
    assert notes == ()
    assert [(one.events, one.patients) for one in endpoints] == [((15, 2), (136, 138)), ((2, 2), (136, 138))]
    found = {
        (quantity.endpoint, quantity.estimand): (quantity, draws) for quantity, draws in _values(endpoints, posterior)
    }
    quantity, difference = found["Locoregional progression", "risk_difference"]
    benefit = _probabilities(quantity, difference.ravel(), Options())["prob_benefit"]
    assert benefit == pytest.approx((difference < 0).mean()) and benefit > 0.99
    _, needed = found["Locoregional progression", "number_needed_to_treat"]
    good = difference < 0
    np.testing.assert_allclose(needed[good], -1 / difference[good])
    assert np.isinf(needed[~good]).all()
    _, ratio = found["Locoregional progression", "risk_ratio"]
    _, odds = found["Locoregional progression", "odds_ratio"]
    assert ((ratio < 1) == (odds < 1)).all()


def record(**control):
    arms = {arm: {"label": arm, "patients": 1000} for arm in ("control", "treatment")}
    item = {
        "label": "Response",
        "favourable": "more",
        "control": control,
        "treatment": {"events": 30, "patients": 100},
    }
    return parse_record({"schema": 1, "id": "made-up", "title": "t", "arms": arms, "binary": [item]})


def test_a_percentage_that_several_counts_round_to_is_left_out():
    endpoints, notes = endpoints_of(record(percent="12", patients=1000))
    assert endpoints == ()
    assert notes == ("Response is left out: its percentages do not tell how many events there were",)
    ((one,), _) = endpoints_of(record(percent="12.3", patients=1000))
    assert one.events == (123, 30) and one.more_is_better


def test_fisher():
    """p = 0.00092 for 15/136 against 2/138, by the hypergeometric distribution's own sum."""
    endpoints, _ = endpoints_of(load_record("mf07-01"))
    first, second = binary_rows(endpoints).itertuples()
    masses = stats.hypergeom(274, 17, 138).pmf(np.arange(18))
    assert first.fisher_p == pytest.approx(masses[masses <= masses[2] * (1 + 1e-7)].sum())
    assert first.printed_p == "0.001" and first.upper < 1
    assert second.fisher_p == pytest.approx(1.0) and second.lower < 1 < second.upper
