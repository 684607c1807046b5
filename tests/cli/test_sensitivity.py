"""What the terminal says about tipping points."""

import numpy as np
import pandas as pd
import pytest

from secondlook.cli.sensitivity import sensitivity
from secondlook.inference import Reanalysis
from secondlook.inference.tables import IMBALANCE, SENSITIVITY, TIPPING

WHOLE = {"model": "piecewise", "partition": "", "subgroup": "overall"}


class Found:
    """The tables of a reanalysis that the text is about."""

    headline = Reanalysis.headline

    def __init__(
        self,
        sceptic=0.143,
        note="",
        closed=0.145,
        model="piecewise",
        shifts=(-0.12, -0.06),
        bias=(1.137, 1.192),
        sure=0.998,
    ):
        points = [
            {"varied": "sceptical sd", "criterion": "95% interval reaches 1", "value": sceptic, "note": note},
            {"varied": "bias", "criterion": "95% interval reaches 1", "hazard_ratio": bias[0]},
            {"varied": "bias", "criterion": "P(benefit) is 0.95", "hazard_ratio": bias[1]},
        ]
        points[0] |= {"hazard_ratio": np.exp(-1.96 * sceptic), "closed_form": closed}
        whole = WHOLE | {"model": model}
        self.tipping = pd.DataFrame([whole | point for point in points]).reindex(columns=TIPPING.columns)
        changes = [("prior", 0.66, 0.998), ("prior", 0.77, 0.972), ("without", 0.65, sure), ("bias", 9.0, 0.1)]
        rows = [whole | {"varied": name, "median": median, "prob_benefit": p} for name, median, p in changes]
        self.sensitivity = pd.DataFrame(rows).reindex(columns=SENSITIVITY.columns)
        terms = [{"form": "first order", "shift": shift} for shift in shifts]
        self.estimates = pd.DataFrame([whole | {"estimand": "hazard_ratio", "time": np.nan, "prior": "weak"}])
        self.imbalance = pd.DataFrame(terms, columns=list(IMBALANCE.columns))


@pytest.fixture
def said(capsys):
    def say(**changes):
        sensitivity(Found(**changes))
        return " ".join(capsys.readouterr().out.split())

    return say


def test_tipping_points_are_said_with_the_closed_form(said):
    text = said()
    assert "just reaches 1 under a sceptical prior of SD 0.143 (by the printed interval alone: SD 0.145)" in text
    assert "holds hazard ratios of 0.76 to 1.32 possible" in text
    assert "by a factor of 1.14, the interval reaches 1; by 1.19, P(benefit) is 0.95" in text
    assert f"Imbalance accounts for {np.exp(0.18):.2f}." in text


def test_ranges_are_those_of_the_table(said):
    text = said()
    assert "named priors 0.66 to 0.77 (P(benefit) at least 0.972)" in text
    assert "published numbers left out 0.65 (P(benefit) at least 0.998)" in text
    assert "other intervals" not in text and "9.0" not in text


def test_an_interval_that_holds_1_is_said_so(said):
    text = said(sceptic=np.nan, note="reaches 1 under weak already")
    assert "The 95% interval reaches 1 under weak already." in text


def test_an_interval_that_holds_1_needs_no_bias(said):
    assert "only a hazard ratio 0.93 times as large would make P(benefit) 0.95." in said(bias=(0.89, 0.93))
    text = said(bias=(0.99, 1.04))
    assert "reaches 1 without any bias; one that makes the hazard ratio too small by a factor of 1.04 leaves" in text


def test_no_probability_is_a_certainty(said):
    assert "(P(benefit) at least 0.999)" in said(sure=0.99999)


def test_nothing_printed_nothing_imbalanced(said):
    text = said(closed=np.nan, shifts=(), model="effects")
    assert "printed interval" not in text and "Imbalance" not in text


def test_nothing_is_said_without_an_overall_effect(said):
    assert said(model="nonproportional") == ""
