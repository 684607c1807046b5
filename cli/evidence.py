"""What the trials of one question say together, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..data.labels import number_of
from .printing import heading, paragraph, probability, rows_of, table, with_interval

if TYPE_CHECKING:
    from ..inference import Reanalysis

BAYES, MOMENTS = "bayes", "dersimonian-laird"
NAMES = {BAYES: "Bayes", MOMENTS: "DerSimonian-Laird"}


def trials(result: Reanalysis) -> None:
    """Print each trial, printed and shrunken, beside what the others predict for it, and which surprises most."""
    found = result.evidence
    if found.empty:
        return
    scale = _scale(found)
    heading("Trials of the question: hazard ratios, every interval at 95%")
    printed = _of(found, "hazard_ratio", "printed")
    columns = {
        "Printed": printed,
        "Shrunken": _of(found, "hazard_ratio", "shrunken", scale),
        "Others predict": _of(found, "prediction", BAYES, scale, None).assign(study=lambda rows: rows["without"]),
    }
    surprise = _of(found, "surprise_p", BAYES, scale, None).set_index("study")["estimate"]
    by_study = {name: {row["study"]: _interval(row) for row in rows_of(rows)} for name, rows in columns.items()}
    cells = [
        (row["label"], *(texts.get(row["study"], "") for texts in by_study.values()), _p(surprise, row["study"]))
        for row in rows_of(printed)
    ]
    table(("Trial", *columns, "p"), cells, right=("p",))
    paragraph(
        "Others predict: a new trial's hazard ratio, from all trials but this one; p: how far this one's estimate "
        "lies from there, its own error included."
    )
    if len(surprise):
        _outlier(found, str(surprise.idxmin()))


def _outlier(found: pd.DataFrame, study: str) -> None:
    """Print how surprising the trial is that is least like the others, and what is left of I^2 without it."""
    label = found.loc[found["study"].eq(study), "label"].iloc[0]
    by_scale = [
        f"{row['estimate']:.2g} with tau scale {row['tau_scale']:g}"
        for row in rows_of(_of(found, "surprise_p", BAYES, None, study))
    ]
    fixed = _of(found, "surprise_p", MOMENTS, None, study)["estimate"].iloc[0]
    squares = [_of(found, "i_squared", MOMENTS, None, without)["estimate"].iloc[0] for without in ("", study)]
    paragraph(
        f"Least like the others is {label}: p = {', '.join(by_scale)}, {fixed:.2g} with DerSimonian and Laird's tau. "
        f"I^2 is {squares[0]:.0%}, without it {squares[1]:.0%}."
    )


def together(result: Reanalysis) -> None:
    """Print the average, a new trial's prediction and the spread, by method and scale of the prior on tau."""
    found = result.evidence
    heading("Together")
    cells = []
    for method in (BAYES, MOMENTS):
        average = _of(found, "average", method)
        for row in rows_of(average):
            scale = None if pd.isna(row["tau_scale"]) else float(row["tau_scale"])
            others = (_of(found, name, method, scale) for name in ("prediction", "tau"))
            name = NAMES[method] if scale is None else f"{NAMES[method]}, tau scale {scale:g}"
            cells.append((name, _interval(row), *(_interval(rows.iloc[0]) for rows in others)))
    table(("Method", "Average", "A new trial", "tau"), cells)
    q, p, squared = (_of(found, name, MOMENTS)["estimate"].iloc[0] for name in ("q", "q_p", "i_squared"))
    paragraph(f"Q = {q:.2f} (p = {probability(p)}), I^2 = {squared:.0%}.")


def left_out(result: Reanalysis) -> None:
    """Print the average and the spread without each trial in turn."""
    found = result.evidence
    scale = _scale(found)
    heading("Without one trial: average hazard ratio")
    cells = []
    for row in rows_of(_of(found, "hazard_ratio", "printed")):
        without = str(row["study"])
        averages = [_of(found, "average", BAYES, scale, without), _of(found, "average", MOMENTS, None, without)]
        texts = [_interval(rows.iloc[0]) for rows in averages if len(rows)]
        moments = [_of(found, name, MOMENTS, None, without)["estimate"] for name in ("tau", "i_squared")]
        spread = [f"{tau**2:.3f}" for tau in moments[0]] + [f"{squared:.0%}" for squared in moments[1]]
        cells.append((row["label"], *texts, *spread))
    table(("Without", "Bayes", NAMES[MOMENTS], "tau^2", "I^2"), cells, right=("tau^2", "I^2"))


def informed(result: Reanalysis) -> None:
    """Print the trial's own hazard ratio under the priors that the others give."""
    found = result.evidence
    scale, study = _scale(found), result.record.id
    own = found[found["study"].eq(study)]
    rows = own[own["quantity"].eq("hazard_ratio") & own["tau_scale"].eq(scale) & own["without"].eq(study)]
    if rows.empty:
        return
    heading(f"{own['label'].iloc[0]} under the priors that the others give")
    weights = _of(own, "external_weight", None, scale, without=study).set_index("method")["estimate"]
    cells = [
        (
            row["method"],
            _interval(row),
            probability(row["prob_benefit"]),
            f"{weights[row['method']]:.2f}" if row["method"] in weights else "",
        )
        for row in rows_of(rows)
    ]
    table(("Prior", "Hazard ratio", "P(benefit)", "Weight of external"), cells, right=("P(benefit)",))
    events = _of(own, "external_events", BAYES, scale, without=study)["estimate"].iloc[0]
    paragraph(
        f"Robust is half external, half Normal(0, 1) unless another SD is named; the last column is what the data "
        f"leave of the first half. External is worth {number_of(round(events), result.record.event)}."
    )


def _of(
    found: pd.DataFrame, quantity: str, method: str | None, scale: float | None = None, without: str | None = ""
) -> pd.DataFrame:
    """Return the rows of a quantity: of all trials together, without a named one, or (``None``) of both kinds."""
    rows = found[found["quantity"].eq(quantity)]
    rows = rows if method is None else rows[rows["method"].eq(method)]
    rows = rows if scale is None else rows[rows["tau_scale"].eq(scale)]
    return rows if without is None else rows[rows["without"].eq(without)]


def _scale(found: pd.DataFrame) -> float:
    """Return the scale of the prior on tau: the first, the others being shown beside it."""
    return float(found["tau_scale"].dropna().iloc[0])


def _interval(row: pd.Series) -> str:
    return with_interval(row["estimate"], row["lower"], row["upper"])


def _p(surprise: pd.Series, study: str) -> str:
    return probability(surprise[study]) if study in surprise else ""
