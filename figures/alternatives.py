"""The overall hazard ratio under everything that was varied: priors, intervals, what is rebuilt, who is analysed."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .style import (
    BLACK,
    BLUE,
    FINE_RATIO_TICKS,
    GREY,
    ORANGE,
    VERMILLION,
    WIDE,
    interval_text,
    is_wide,
    new_figure,
    probability_text,
    ratio_axis,
)

GROUPS = {
    "prior": ("Prior", BLUE, "o"),
    "intervals": ("Intervals of the model", ORANGE, "s"),
    "without": ("Reconstruction without", VERMILLION, "D"),
    "not analysed": ("Had those not analysed fared", BLACK, "^"),
}
NAMES = {"follow_up": "follow-up", "hazard_ratio": "hazard ratio", "at_risk": "numbers at risk"}
ROW_MM, REST_MM = 5.2, 24.0
NARROW_TICKS = (0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0)
COLUMNS = (8, 92)  # left edges of the columns of numbers, in points from the axes


def alternatives(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw the overall hazard ratio as other priors, intervals, sources and patients would have it.

    The patients are those not analysed, if they had fared as well or badly as they could.

    Parameters
    ----------
    reanalysis
        With its sensitivity.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when nothing was varied.
    """
    rows = _rows(reanalysis.sensitivity)
    if rows.empty:
        return None
    groups = [name for name in GROUPS if rows["varied"].eq(name).any()]
    figure = new_figure(width_mm, ROW_MM * (len(rows) + len(groups)) + REST_MM)
    axes = figure.add_subplot()
    labels, place = [], 0
    for name in groups:
        labels.append((place, GROUPS[name][0], True))
        for row in rows[rows["varied"].eq(name)].to_dict("records"):
            place += 1
            labels.append((place, NAMES.get(row["setting"], row["setting"].rsplit(", ", 1)[-1]), False))
            _draw(axes, place, row, is_wide(width_mm))
        place += 1
    _dress(axes, reanalysis, rows, labels, is_wide(width_mm))
    return figure


def _rows(sensitivity: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the crude overall hazard ratio that estimates are led by."""
    surface = sensitivity[sensitivity["varied"].eq("prior mean and SD")]
    if surface.empty:
        return surface
    same = sensitivity["model"].eq(surface["model"].iloc[0]) & sensitivity["label"].eq(surface["label"].iloc[0])
    return sensitivity[same & sensitivity["varied"].isin(list(GROUPS))]


def _draw(axes: Axes, place: int, row: dict[Any, Any], wide: bool) -> None:
    _, colour, marker = GROUPS[row["varied"]]
    axes.plot([row["lower"], row["upper"]], [place, place], color=colour, linewidth=1.2, solid_capstyle="butt")
    axes.plot(row["median"], place, marker=marker, markersize=4, color=colour, linestyle="none", gid=row["setting"])
    texts = (interval_text(row["median"], row["lower"], row["upper"]), probability_text(row["prob_benefit"]))
    for left, text in zip(COLUMNS, texts if wide else texts[:1], strict=False):
        _text(axes, left, place, text)


def _text(axes: Axes, left: float, place: float, text: str, **looks: Any) -> None:
    where: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": 7,
    }
    axes.annotate(text, (1, place), xytext=(left, 0), **where, **looks)


def _dress(
    axes: Axes, reanalysis: Reanalysis, rows: pd.DataFrame, labels: list[tuple[int, str, bool]], wide: bool
) -> None:
    axes.set_yticks([place for place, *_ in labels], [text for _, text, _ in labels])
    for tick, (_, _, heads) in zip(axes.get_yticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if heads else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(labels) - 0.5, -0.9)
    axes.axvline(1, color=BLACK, linewidth=0.8)
    usual = rows.loc[rows["varied"].eq("prior"), "median"].iloc[0]
    axes.axvline(usual, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
    low, high = min(0.4, rows["lower"].min() * 0.97), max(1.25, rows["upper"].max() * 1.03)
    ratio_axis(axes, "x", low, high, FINE_RATIO_TICKS if wide else NARROW_TICKS)
    arms = reanalysis.record.arms
    axes.set_xlabel(f"Hazard ratio ({arms.treatment.label} / {arms.control.label}), 95% interval")
    for left, text in zip(COLUMNS, ("HR (95% interval)", "P(benefit)") if wide else ("HR",), strict=False):
        _text(axes, left, -0.55, text, fontweight="bold")
