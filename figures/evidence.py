"""The trials of one question: printed, predicted by the others, shrunken, and what they say together."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from ..inference import Reanalysis
from ..inference.synthesis import BAYES, MOMENTS
from .forest import Series, draw_rows
from .forest_rows import NOTHING, Row
from .strata import Triple
from .style import WIDE

SERIES = Series(
    frequentist="printed; DerSimonian-Laird",
    raw="others predict",
    posterior="shrunken; Bayes",
    columns=("HR (95% CI)", "HR (95% PI)", "HR (95% CrI)"),
    limits=(0.33, 3.0),
    ticks=(0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0),
)


def evidence(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw a forest of trials, and below it their average and the prediction for a new one.

    Each trial's printed hazard ratio stands above what the others predict for a trial like them and its shrunken one;
    the average and the new trial are DerSimonian and Laird's and the Bayesian ones.

    Parameters
    ----------
    reanalysis
        With an ``evidence`` fit.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when no trials were pooled.
    """
    found = reanalysis.evidence
    if found.empty:
        return None
    note = f"Bayes: half-normal prior of scale {_scale(found):g} on the SD between trials"
    return draw_rows(reanalysis, evidence_rows(found), width_mm, replace(SERIES, note=note))


def evidence_rows(found: pd.DataFrame) -> list[Row]:
    """Return the lines of the forest: the trials, then what they say together.

    Parameters
    ----------
    found
        The table of ``evidence.csv``; the first scale of the prior on ``tau`` is shown.
    """
    scale = _scale(found)
    shown = found[found["tau_scale"].eq(scale) | found["tau_scale"].isna()]
    ratios, predicted = (shown[shown["quantity"].eq(name)] for name in ("hazard_ratio", "prediction"))
    rows = [Row("Trials")]
    for label, own in ratios.groupby("label", sort=False):
        printed, shrunken = (own[own["method"].eq(name)].iloc[0] for name in ("printed", "shrunken"))
        others = predicted[predicted["without"].eq(own["study"].iloc[0]) & predicted["method"].eq(BAYES)]
        raw = _triple(others.iloc[0]) if len(others) else NOTHING
        rows.append(_row(str(label), printed, shrunken, raw))
    together = shown[shown["without"].eq("")]
    rows.append(Row("Together"))
    for quantity, label in (("average", "Average"), ("prediction", "A new trial (prediction)")):
        both = together[together["quantity"].eq(quantity)]
        first, bayes = (both[both["method"].eq(name)].iloc[0] for name in (MOMENTS, BAYES))
        rows.append(_row(label, first, bayes, NOTHING))
    return rows


def _scale(found: pd.DataFrame) -> float:
    return float(found["tau_scale"].dropna().iloc[0])


def _row(label: str, first: pd.Series, bayes: pd.Series, raw: Triple) -> Row:
    benefit = float(bayes["prob_benefit"])
    return Row(label, _triple(first), _triple(bayes), benefit, indent=True, level=0.95, raw=raw)


def _triple(row: pd.Series) -> Triple:
    return float(row["estimate"]), float(row["lower"]), float(row["upper"])
