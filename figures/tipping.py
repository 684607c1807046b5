"""How the overall hazard ratio gives way to scepticism and to bias, and where its subgroups' benefit tips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from ..models.imbalance import FORMS
from .strata import LABELS_MM, subgroup_labels, title_of
from .style import (
    BLACK,
    BLUE,
    FINE_RATIO_TICKS,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    WIDE,
    fill,
    is_wide,
    new_figure,
    ratio_axis,
)

SD_TICKS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
BIAS_TICKS = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8)
LOW, HIGH = 0.35, 1.6
ROW_MM, REST_MM, NARROW_REST_MM = 5.5, 28.0, 38.0  # texts of a narrow figure take more lines
FORM = next(iter(FORMS))
CRITERIA = {
    "95% interval reaches 1": ("D", ORANGE, "95% interval reaches 1"),
    "P(benefit) is 0.95": ("o", BLUE, "P(benefit) = 0.95"),
}


def tipping(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw the overall hazard ratio against the SD of a sceptical prior, and against a bias.

    Parameters
    ----------
    reanalysis
        With rows ``sceptical SD`` and ``bias`` in its sensitivity.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when these were not computed.
    """
    rows = reanalysis.sensitivity
    by_sd, by_bias = (rows[rows["varied"].eq(name)] for name in ("sceptical SD", "bias"))
    if by_sd.empty or by_bias.empty:
        return None
    wide = is_wide(width_mm)
    figure = new_figure(width_mm, 78 if wide else 145)
    left, right = figure.subplots(*((1, 2) if wide else (2, 1)), sharey=True)
    points = _points(reanalysis, by_sd)
    _sceptic(left, by_sd, points)
    _bias(right, reanalysis, by_bias, points)
    arms = reanalysis.record.arms
    label = f"Hazard ratio ({arms.treatment.label} / {arms.control.label})"
    for axes in (left,) if wide else (left, right):
        axes.set_ylabel(label)
    return figure


def _points(reanalysis: Reanalysis, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the tipping points of the hazard ratio that some rows are about."""
    tips = reanalysis.tipping
    same = tips["model"].eq(rows["model"].iloc[0]) & tips["label"].eq(rows["label"].iloc[0])
    return tips[same & tips["partition"].eq(rows["partition"].iloc[0])]


def _band(axes: Axes, values: np.ndarray, rows: pd.DataFrame) -> None:
    axes.fill_between(values, rows["lower"], rows["upper"], color=SKY, alpha=0.35, linewidth=0, label="95% interval")
    axes.plot(values, rows["median"], color=BLUE, label="median", gid="median")
    axes.axhline(1, color=GREY, linewidth=0.8)
    low, high = min(LOW, rows["lower"].min()), max(HIGH, rows["upper"].max())
    ratio_axis(axes, "y", low, high, FINE_RATIO_TICKS)


def _line(axes: Axes, value: float, text: str, colour: str, style: str) -> None:
    """Draw a vertical line that the legend explains."""
    if np.isfinite(value):
        axes.axvline(value, color=colour, linestyle=style, linewidth=1.0, label=text, gid=text)


def _sceptic(axes: Axes, rows: pd.DataFrame, points: pd.DataFrame) -> None:
    _band(axes, rows["prior_sd"].to_numpy(dtype=float), rows)
    axes.set_xscale("log")
    axes.set_xlim(rows["prior_sd"].min(), rows["prior_sd"].max())
    axes.set_xticks(SD_TICKS, [f"{tick:g}" for tick in SD_TICKS])
    axes.minorticks_off()
    for point in points[points["varied"].eq("sceptical sd")].to_dict("records"):
        _line(axes, point["value"], f"95% interval reaches 1: SD {point['value']:.3f}", VERMILLION, "-")
        _line(axes, point["closed_form"], f"by the printed interval: SD {point['closed_form']:.3f}", BLACK, ":")
    axes.set_xlabel("SD of a sceptical prior, Normal(0, SD)")
    axes.set_title("Scepticism", loc="left")
    axes.legend(loc="upper right")


def _bias(axes: Axes, reanalysis: Reanalysis, rows: pd.DataFrame, points: pd.DataFrame) -> None:
    biases = np.exp(rows["setting"].astype(float).to_numpy())
    _band(axes, biases, rows)
    ratio_axis(axes, "x", biases[0], biases[-1], BIAS_TICKS)
    for place, point in enumerate(points[points["varied"].eq("bias")].sort_values("value").to_dict("records")):
        text = f"{CRITERIA[point['criterion']][2]}: {point['hazard_ratio']:.2f}"
        _line(axes, point["hazard_ratio"], text, VERMILLION, "-" if place == 0 else "--")
    shifts = reanalysis.imbalance
    if len(shifts):
        factor = float(np.exp(-shifts.loc[shifts["form"].eq(FORM), "shift"].sum()))
        _line(axes, factor, f"imbalance, {FORM}: {factor:.2f}", BLACK, ":")
    axes.set_xlabel("Bias: factor that the hazard ratio is too small by")
    axes.set_title("Bias", loc="left")
    handles = [one for one in axes.get_lines() if one.get_gid() not in ("median", None)]
    axes.legend(handles=handles, loc="lower right", handlelength=1.4, frameon=True, edgecolor="none")


def partition_tipping(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw by how much treatment must look too good before benefit in a partition's subgroups is no longer shown.

    Parameters
    ----------
    reanalysis
        With tipping points.
    partition
        Name of the partition.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when there are no tipping points of the partition.
    """
    tips = reanalysis.tipping
    rows = tips[tips["model"].eq("subgroups") & tips["partition"].eq(partition) & tips["varied"].eq("bias")]
    if rows.empty:
        return None
    rows = rows[rows["shrinkage"].eq(rows["shrinkage"].iloc[0])]
    rest = REST_MM if is_wide(width_mm) else NARROW_REST_MM
    figure = new_figure(width_mm, ROW_MM * rows["subgroup"].nunique() + rest)
    axes = figure.add_subplot()
    _dots(axes, rows)
    labels = subgroup_labels(reanalysis, partition, rows)
    axes.set_yticks(range(len(labels)), labels)
    room = width_mm - LABELS_MM
    axes.set_xlabel(fill("Bias (factor) that the benefit withstands; below 1, none is shown", room))
    axes.set_title(fill(title_of(reanalysis, partition), room), loc="left")
    figure.legend(loc="outside upper right", ncols=2 if is_wide(width_mm) else 1)
    return figure


def _dots(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw both tipping points of every subgroup, from top to bottom."""
    subgroups = list(dict.fromkeys(rows["subgroup"]))
    for criterion, (marker, colour, text) in CRITERIA.items():
        chosen = rows[rows["criterion"].eq(criterion)].set_index("subgroup")["hazard_ratio"].astype(float)
        looks: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 4.5, "color": colour}
        axes.plot(chosen[subgroups], range(len(subgroups)), label=text, gid=criterion, **looks)
    axes.axvline(1, color=GREY, linewidth=0.8)
    axes.set_ylim(len(subgroups) - 0.5, -0.5)
    ratios = rows["hazard_ratio"].astype(float)
    ratio_axis(axes, "x", min(0.7, ratios.min() * 0.95), max(1.4, ratios.max() * 1.05), FINE_RATIO_TICKS)
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.5)
