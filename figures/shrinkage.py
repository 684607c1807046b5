"""How far each stratum's hazard ratio moves when it is shrunken towards the others."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .selection import Array, primary_prior
from .strata import SubgroupRow, Triple, reported, subgroup_rows, title_of
from .style import (
    BLACK,
    BLUE,
    FINE_RATIO_TICKS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RATIO_TICKS,
    SKY,
    VERMILLION,
    WIDE,
    new_figure,
    ratio_axis,
)

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DODGE, WIDEST_DODGE = 0.035, 0.24  # between strata, so that intervals do not hide each other; between all of them
HEIGHT, MORE = 92, 6  # millimetres, and for each stratum beyond seven
ACROSS = (-0.25, 1.12)  # horizontal lines
CLOSEST = 0.052  # labels, as a share of the axis


def shrinkage(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw the strata's average hazard ratios without pooling, and shrunken, joined by lines.

    Parameters
    ----------
    reanalysis
        With a `subgroups` fit of the partition, with shrinkage and without.
    partition
        Name of the partition.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` without both fits.
    """
    overall, *rows = subgroup_rows(reanalysis, partition)
    strata = {one.subgroup.key for one in reported(reanalysis, partition) if one.unit}
    both = [(row, row.raw) for row in rows if row.key in strata and row.raw is not None]
    if not both:
        return None
    figure = new_figure(width_mm, HEIGHT + MORE * max(len(both) - 7, 0))
    axes = figure.add_subplot()
    limits = np.array([[row.shrunken, raw] for row, raw in both])
    low, high = max(limits.min() / 1.1, 0.1), min(limits.max() * 1.1, 8.0)
    ratio_axis(axes, "y", low, high, FINE_RATIO_TICKS if high / low < 6 else RATIO_TICKS)
    for place, (row, raw) in enumerate(both):
        _draw_stratum(axes, place, _dodge(place, len(both)), raw, row.shrunken)
    _dress(axes, reanalysis, overall, title_of(reanalysis, partition), tau_text(reanalysis, partition))
    _write_labels(axes, [row for row, _ in both])
    return figure


def tau_text(reanalysis: Reanalysis, partition: str) -> str:
    """Return the SD of the strata's log hazard ratios with its interval."""
    rows = reanalysis.estimates
    chosen = rows["estimand"].eq("interaction_sd") & rows["model"].eq("subgroups") & rows["partition"].eq(partition)
    found = rows[chosen & rows["prior"].eq(primary_prior(reanalysis))]
    if len(found) != 1:  # none, or one of each factor
        return ""
    row = found.iloc[0]
    values = f"{row['median']:.2f} ({row['lower']:.2f}\N{EN DASH}{row['upper']:.2f})"
    return f"SD of log HRs between strata {values}"


def _dodge(place: int, strata: int) -> float:
    """Return how far a stratum's line stands from the middle."""
    return min(DODGE, WIDEST_DODGE / max(strata - 1, 1)) * (place - (strata - 1) / 2)


def _draw_stratum(axes: Axes, place: int, dodge: float, raw: Triple, shrunken: Triple) -> None:
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    ends = (dodge, 1 + dodge)
    axes.plot(ends, (raw[0], shrunken[0]), color=colour, linewidth=1.0, gid="link")
    for end, values, filled in zip(ends, (raw, shrunken), ("white", colour), strict=True):
        axes.plot((end, end), values[1:], color=colour, linewidth=0.8, alpha=0.7, gid="interval")
        looks: dict[str, Any] = {"marker": marker, "markersize": 5, "markerfacecolor": filled, "color": colour}
        axes.plot([end], [values[0]], gid="estimate", linestyle="", zorder=3, **looks)


def _dress(axes: Axes, reanalysis: Reanalysis, overall: SubgroupRow, title: str, tau: str) -> None:
    arms = reanalysis.record.arms
    lines: dict[str, Any] = {"color": BLACK, "linewidth": 0.8, "zorder": 0}
    axes.hlines(1, *ACROSS, **lines)
    axes.hlines(overall.shrunken[0], *ACROSS, linestyle="--", gid="overall", **lines)
    axes.set_xlim(ACROSS[0], 1.6)
    axes.set_xticks([0, 1], ["Without pooling", "Shrunken"])
    arm_labels = f"{arms.treatment.label} / {arms.control.label}"
    axes.set_ylabel(f"Average hazard ratio ({arm_labels})\nwith 95% interval, log scale")
    axes.set_title("\n".join(filter(None, (title, tau))), loc="left")
    axes.annotate(
        "overall", (ACROSS[0], overall.shrunken[0]), (3, 2), textcoords="offset points", fontsize=7, color=BLACK
    )


def _write_labels(axes: Axes, rows: list[SubgroupRow]) -> None:
    """Write the strata's labels at the right, moved apart where their estimates are close."""
    low, high = np.log(axes.get_ylim())
    heights = (np.log([row.shrunken[0] for row in rows]) - low) / (high - low)
    for place, height in enumerate(_apart(heights)):
        dodge = _dodge(place, len(rows))
        colour = COLOURS[place % len(COLOURS)]
        axes.annotate(
            rows[place].label,
            (1 + dodge, rows[place].shrunken[0]),
            (1.17, float(np.exp(low + height * (high - low)))),
            color=colour,
            va="center",
            fontsize=7,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 4},
        )


def _apart(heights: Array) -> Array:
    """Return heights in the same order, at least `CLOSEST` apart and about where they were."""
    order = np.argsort(heights)
    sorted_heights = heights[order]
    steps = CLOSEST * np.arange(len(heights))
    lifted = np.maximum.accumulate(sorted_heights - steps) + steps
    lowered = np.minimum.accumulate((sorted_heights - steps)[::-1])[::-1] + steps
    placed = np.empty_like(heights)
    placed[order] = (lifted + lowered) / 2
    return placed
