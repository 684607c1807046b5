"""What it takes to overturn the overall conclusion, as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from ..models.imbalance import FORMS
from .printing import heading, paragraph, probability, rows_of

if TYPE_CHECKING:
    from ..inference import Reanalysis

CHANGES = {"prior": "named priors", "intervals": "other intervals", "without": "published numbers left out"}
PRIMARY_FORM = next(iter(FORMS))


def sensitivity(result: Reanalysis) -> None:
    """Print where the conclusion about the overall hazard ratio tips, and how far it moves otherwise."""
    tips = result.tipping[result.tipping["subgroup"].eq("overall") & result.tipping["partition"].eq("")]
    led_by = result.headline()["model"]
    if tips.empty or led_by.empty:
        return
    model = led_by.iloc[0]
    points = {(row["varied"], row["criterion"]): row for row in rows_of(tips[tips["model"].eq(model)])}
    heading("Sensitivity of the overall hazard ratio")
    paragraph(_sceptic(points["sceptical sd", "95% interval reaches 1"]))
    paragraph(_bias(points["bias", "95% interval reaches 1"], points["bias", "P(benefit) is 0.95"], result.imbalance))
    rows = result.sensitivity
    paragraph(_ranges(rows[rows["model"].eq(model) & rows["subgroup"].eq("overall") & rows["partition"].eq("")]))


def _sceptic(point: pd.Series) -> str:
    if math.isnan(point["value"]):
        return f"The 95% interval {point['note']}."
    limit, closed = point["hazard_ratio"], point["closed_form"]
    printed = "" if math.isnan(closed) else f" (by the printed interval alone: SD {closed:.3f})"
    low, high = sorted((limit, 1 / limit))
    return (
        f"The 95% interval just reaches 1 under a sceptical prior of SD {point['value']:.3f}{printed}, which holds "
        f"hazard ratios of {low:.2f} to {high:.2f} possible."
    )


def _bias(reaches: pd.Series, sure: pd.Series, imbalance: pd.DataFrame) -> str:
    limit, even = reaches["hazard_ratio"], sure["hazard_ratio"]
    text = f"The interval reaches 1 without any bias{_without_bias(even)}"
    if limit > 1:
        text = (
            f"If bias makes the hazard ratio too small by a factor of {limit:.2f}, the interval reaches 1; by "
            f"{even:.2f}, P(benefit) is 0.95."
        )
    shifts = imbalance.loc[imbalance["form"].eq(PRIMARY_FORM), "shift"]
    return f"{text} Imbalance accounts for {math.exp(-shifts.sum()):.2f}." if len(shifts) else text


def _without_bias(even: float) -> str:
    """Say what bias it takes to leave P(benefit) at 0.95 where the interval holds 1 anyhow."""
    if even > 1:
        return f"; one that makes the hazard ratio too small by a factor of {even:.2f} leaves P(benefit) at 0.95."
    return f", and only a hazard ratio {even:.2f} times as large would make P(benefit) 0.95."


def _ranges(rows: pd.DataFrame) -> str:
    """Say between which values the hazard ratio and the probability of benefit lie, by what is changed."""
    parts = []
    for varied, name in CHANGES.items():
        chosen = rows[rows["varied"].eq(varied)]
        if len(chosen):
            ratios, probabilities = chosen["median"], chosen["prob_benefit"]
            ends = dict.fromkeys(f"{ratio:.2f}" for ratio in (ratios.min(), ratios.max()))
            parts.append(f"{name} {' to '.join(ends)} (P(benefit) at least {_least(probabilities.min())})")
    return f"Hazard ratio by {'; '.join(parts)}."


def _least(value: float) -> str:
    """Return a probability that is a lower limit: never certainty."""
    return probability(value).removeprefix(">")
