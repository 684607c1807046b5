"""How far each stratum's hazard ratio moves when it is shrunken towards the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .panels import add_panels, grid_of, panels_of
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
    is_wide,
    new_figure,
    ratio_axis,
)

COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDEST_DODGE = 0.24  # between all strata
HEIGHT, LESS, MORE = 92.0, 56.0, 6.0  # millimetres of a panel, of one of several, for each stratum beyond seven
LOWEST, HIGHEST = 0.1, 8.0  # the axis shows no more, whatever the intervals do
RIGHT = 1.12  # end of the horizontal lines
LABEL_MM = 4.8  # between labels, of a panel's height


@dataclass(frozen=True)
class Spacing:
    """Lengths along the horizontal axis, where 1 is the way from the estimates without pooling to the shrunken ones.

    Parameters
    ----------
    left
        Where the axis and the horizontal lines begin, with room for a word before the estimates.
    dodge
        Between strata, so that intervals do not hide each other.
    """

    left: float
    dodge: float

    def place(self, stratum: int, strata: int) -> float:
        """Return how far a stratum's line stands from the middle."""
        return min(self.dodge, WIDEST_DODGE / max(strata - 1, 1)) * (stratum - (strata - 1) / 2)


ROOMY, TIGHT = Spacing(-0.25, 0.035), Spacing(-0.42, 0.06)


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
    raw = {row.key: row.raw for row in rows if row.key in strata and row.raw is not None}
    if not raw:
        return None
    groups = panels_of([row for row in rows if row.key in raw])
    height = _panel_mm(groups)
    lines, columns = grid_of(len(groups), width_mm)
    figure = new_figure(width_mm, height * lines)
    spacing = ROOMY if is_wide(width_mm / columns) else TIGHT
    low, high = _limits([value for row in rows if row.key in raw for value in (row.shrunken, raw[row.key])])
    for axes, group in zip(add_panels(figure, len(groups), width_mm), groups, strict=True):
        ratio_axis(axes, "y", low, high, FINE_RATIO_TICKS if high / low < 6 else RATIO_TICKS)
        for place, row in enumerate(group):
            _draw_stratum(axes, place, spacing.place(place, len(group)), raw[row.key], row.shrunken)
        _dress(axes, overall, spacing.left)
        _write_labels(axes, group, spacing, LABEL_MM / height)
    _write_around(figure, reanalysis, partition)
    return figure


def _panel_mm(groups: Sequence[Sequence[SubgroupRow]]) -> float:
    """Return the height of every panel in millimetres, with room for the labels of the one that has most."""
    return (HEIGHT if len(groups) == 1 else LESS) + MORE * max(max(map(len, groups)) - 7, 0)


def _limits(ratios: Sequence[Triple]) -> tuple[float, float]:
    """Return the limits of an axis of hazard ratios."""
    return max(np.min(ratios) / 1.1, LOWEST), min(np.max(ratios) * 1.1, HIGHEST)


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


def _draw_stratum(axes: Axes, place: int, dodge: float, raw: Triple, shrunken: Triple) -> None:
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    ends = (dodge, 1 + dodge)
    axes.plot(ends, (raw[0], shrunken[0]), color=colour, linewidth=1.0, gid="link")
    for end, values, filled in zip(ends, (raw, shrunken), ("white", colour), strict=True):
        axes.plot((end, end), values[1:], color=colour, linewidth=0.8, alpha=0.7, gid="interval")
        looks: dict[str, Any] = {"marker": marker, "markersize": 5, "markerfacecolor": filled, "color": colour}
        axes.plot([end], [values[0]], gid="estimate", linestyle="", zorder=3, **looks)


def _dress(axes: Axes, overall: SubgroupRow, left: float) -> None:
    lines: dict[str, Any] = {"color": BLACK, "linewidth": 0.8, "zorder": 0}
    axes.hlines(1, left, RIGHT, **lines)
    axes.hlines(overall.shrunken[0], left, RIGHT, linestyle="--", gid="overall", **lines)
    axes.set_xlim(left, 1.6)
    axes.set_xticks([0, 1], ["Without pooling", "Shrunken"])
    axes.annotate("overall", (left, overall.shrunken[0]), (3, 2), textcoords="offset points", fontsize=7, color=BLACK)


def _write_around(figure: Figure, reanalysis: Reanalysis, partition: str) -> None:
    """Write title and label of the hazard ratios beside a single panel, or around several."""
    arms = reanalysis.record.arms
    arm_labels = f"{arms.treatment.label} / {arms.control.label}"
    label = f"Average hazard ratio ({arm_labels})\nwith 95% interval, log scale"
    title = "\n".join(filter(None, (title_of(reanalysis, partition), tau_text(reanalysis, partition))))
    if len(figure.axes) == 1:
        figure.axes[0].set_ylabel(label)
        figure.axes[0].set_title(title, loc="left")
    else:
        figure.supylabel(label.replace("\n", " "), fontsize=rcParams["axes.labelsize"])
        figure.suptitle(title, x=0.01, ha="left", fontsize=rcParams["axes.titlesize"])


def _write_labels(axes: Axes, rows: Sequence[SubgroupRow], spacing: Spacing, closest: float) -> None:
    """Write the strata's labels at the right, moved apart where their estimates are close."""
    low, high = np.log(axes.get_ylim())
    heights = (np.log([row.shrunken[0] for row in rows]) - low) / (high - low)
    for place, height in enumerate(_apart(heights, closest)):
        dodge = spacing.place(place, len(rows))
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


def _apart(heights: Array, closest: float) -> Array:
    """Return heights in the same order, at least ``closest`` apart and about where they were."""
    order = np.argsort(heights)
    sorted_heights = heights[order]
    steps = closest * np.arange(len(heights))
    lifted = np.maximum.accumulate(sorted_heights - steps) + steps
    lowered = np.minimum.accumulate((sorted_heights - steps)[::-1])[::-1] + steps
    placed = np.empty_like(heights)
    placed[order] = (lifted + lowered) / 2
    return placed
