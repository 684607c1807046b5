"""The hazard ratios of a partition's subgroups under every named prior, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .shrinkage import COLOURS, MARKERS
from .strata import LABELS_MM, subgroup_labels, title_of
from .style import BLACK, FINE_RATIO_TICKS, GREY, RATIO_TICKS, WIDE, fill, is_wide, new_figure, ratio_axis

ROW_MM, GAP_MM, REST_MM = 1.7, 2.2, 30.0
LOWEST, HIGHEST = 0.125, 8.0  # the axis shows no more, whatever the intervals do


def partition_priors(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw every subgroup's average hazard ratio with its 95% interval, one line per prior on the overall effect.

    Parameters
    ----------
    reanalysis
        With rows ``prior`` of the partition's strata in its sensitivity.
    partition
        Name of the partition.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when there are fewer than two priors to compare.
    """
    every = reanalysis.sensitivity
    rows = every[every["varied"].eq("prior") & every["model"].eq("subgroups") & every["partition"].eq(partition)]
    rows = rows[rows["shrinkage"].eq(rows["shrinkage"].iloc[0])] if len(rows) else rows
    priors, subgroups = (list(dict.fromkeys(rows[name])) for name in ("prior", "subgroup"))
    if len(priors) < 2:
        return None
    height = len(subgroups) * (ROW_MM * len(priors) + GAP_MM) + REST_MM
    figure = new_figure(width_mm, height)
    axes = figure.add_subplot()
    step = len(priors) + GAP_MM / ROW_MM
    for place, prior in enumerate(priors):
        _draw(axes, rows[rows["prior"].eq(prior)].set_index("subgroup").loc[subgroups], place, step, prior)
    _dress(axes, reanalysis, rows, step, width_mm)
    middles = np.arange(len(subgroups)) * step + (len(priors) - 1) / 2
    axes.set_yticks(middles, subgroup_labels(reanalysis, partition, rows))
    axes.set_title(fill(title_of(reanalysis, partition), width_mm - LABELS_MM), loc="left")
    figure.legend(loc="outside lower center", ncols=min(len(priors), 8 if is_wide(width_mm) else 3))
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, place: int, step: float, prior: str) -> None:
    """Draw the intervals of one prior, a line below those of the prior before it in every subgroup."""
    heights = np.arange(len(rows)) * step + place
    looks: dict[str, Any] = {"color": BLACK if place == 0 else COLOURS[(place - 1) % len(COLOURS)]}
    axes.hlines(heights, rows["lower"], rows["upper"], linewidth=1.0, **looks)
    marker = MARKERS[place % len(MARKERS)]
    axes.plot(
        rows["median"], heights, linestyle="none", marker=marker, markersize=3.2, label=prior, gid=prior, **looks
    )


def _dress(axes: Axes, reanalysis: Reanalysis, rows: pd.DataFrame, step: float, width_mm: float) -> None:
    axes.axvline(1, color=GREY, linewidth=0.8, zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(rows["subgroup"].nunique() * step - GAP_MM / ROW_MM / 2, -1.0)
    low, high = max(LOWEST, rows["lower"].min() * 0.95), min(HIGHEST, rows["upper"].max() * 1.05)
    ratio_axis(axes, "x", low, high, FINE_RATIO_TICKS if is_wide(width_mm) else RATIO_TICKS)
    arms = reanalysis.record.arms
    label = f"Average hazard ratio ({arms.treatment.label} / {arms.control.label}), 95% interval"
    axes.set_xlabel(fill(label, width_mm - LABELS_MM))
