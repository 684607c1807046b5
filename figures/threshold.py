"""The posterior probability that a subgroup's hazard ratio lies below any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .panels import MOST_LINES, add_panels, grid_of, panels_of
from .selection import Array
from .shrinkage import COLOURS
from .strata import STANDARDISED, SubgroupRow, average_ratios, subgroup_rows, title_of
from .style import (
    BLACK,
    FINE_RATIO_TICKS,
    GREY,
    MM_PER_INCH,
    RATIO_TICKS,
    WIDE,
    fill,
    is_wide,
    new_figure,
    ratio_axis,
)

LOW, HIGH, POINTS = 0.3, 2.0, 171
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)), (0, (1, 3)))
WIDE_MM, NARROW_MM = 80.0, 105.0  # height of a single panel
PANEL_MM, EXTRA_MM = 52.0, 18.0  # height of one of several, and what stands above and below them
LEGEND_WIDTH, HANDLE_WIDTH = 58, 9  # characters of a line of a panel's legend, and what a line's sample takes of them
LABEL_WIDE_MM, LABEL_NARROW_MM = 117.0, 67.6  # of a line of the label


def threshold(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw the probability that the average hazard ratio lies below h against h, for the subgroups of a partition.

    Parameters
    ----------
    reanalysis
        With a `subgroups` fit of the partition.
    partition
        Name of the partition.
    width_mm
        Printed width.
    """
    overall, *others = subgroup_rows(reanalysis, partition)
    draws = average_ratios(reanalysis, partition)
    groups = [_first(group) for group in panels_of(others)]
    wide = is_wide(width_mm)
    lines, columns = grid_of(len(groups), width_mm)
    single = WIDE_MM if wide else NARROW_MM
    figure = new_figure(width_mm, single if len(groups) == 1 else EXTRA_MM + PANEL_MM * lines)
    panels = add_panels(figure, len(groups), width_mm)
    grid = np.geomspace(LOW, HIGH, POINTS)
    for axes, group in zip(panels, groups, strict=True):
        ratio_axis(axes, "x", LOW, HIGH, FINE_RATIO_TICKS if len(groups) == 1 else RATIO_TICKS)
        for place, row in enumerate(group):
            looks: dict[str, Any] = {"color": (*COLOURS, BLACK)[place], "linestyle": LINES[place], "linewidth": 1.2}
            axes.plot(grid, below(draws[row.key], grid), label=row.label, gid=row.key, **looks)
        axes.plot(
            grid, below(draws[overall.key], grid), color=BLACK, linewidth=1.8, label=STANDARDISED, gid="overall"
        )
        _mark(axes, reanalysis)
    _legends(figure, panels)
    arms = reanalysis.record.arms
    label = f"Threshold h of the average hazard ratio ({arms.treatment.label} / {arms.control.label})"
    if columns == 1:
        panels[-1].set_xlabel(fill(label, LABEL_WIDE_MM if wide else LABEL_NARROW_MM))
    else:
        figure.supxlabel(label, fontsize=rcParams["axes.labelsize"])
    for axes in panels[::columns]:
        axes.set_ylabel("P(hazard ratio below h)")
    figure.suptitle(title_of(reanalysis, partition), x=0.01, ha="left", fontsize=rcParams["axes.titlesize"])
    return figure


def _first(rows: Sequence[SubgroupRow]) -> list[SubgroupRow]:
    """Return the subgroups that there are lines for, published ones before others."""
    chosen = sorted(rows, key=lambda row: row.frequentist is None)[:MOST_LINES]
    return [row for row in rows if row in chosen]


def below(draws: Array, thresholds: Array) -> Array:
    """Return the share of draws below each threshold."""
    return np.searchsorted(np.sort(draws), thresholds) / draws.size


def _mark(axes: Axes, reanalysis: Reanalysis) -> None:
    options = reanalysis.run.get("options", {})
    for value in (options.get("benefit_threshold", 0.80), 1.0, options.get("harm_threshold", 1.25)):
        axes.axvline(value, color=GREY, linewidth=0.7, linestyle="-" if value == 1 else ":", zorder=0)
    axes.set_ylim(0, 1)
    axes.set_yticks(np.linspace(0, 1, 6))


def _legends(figure: Figure, panels: Sequence[Axes]) -> None:
    """Tell the lines beside a single panel, or above each of several, all patients above them all."""
    every = [axes.get_legend_handles_labels() for axes in panels]
    handles, labels = every[0]
    wide = is_wide(figure.get_figwidth() * MM_PER_INCH)
    if len(panels) == 1:
        place = "outside right center" if wide else "outside lower left"
        figure.legend([handles[-1], *handles[:-1]], [labels[-1], *labels[:-1]], loc=place, handlelength=3.2)
        return
    figure.legend(
        handles[-1:], labels[-1:], loc="outside upper right" if wide else "outside lower left", handlelength=3.2
    )
    for axes, (lines, names) in zip(panels, every, strict=True):
        columns = max(1, LEGEND_WIDTH // (max(map(len, names[:-1])) + HANDLE_WIDTH))
        looks: dict[str, Any] = {"handlelength": 3.2, "columnspacing": 1.2, "borderaxespad": 0.2}
        axes.legend(lines[:-1], names[:-1], loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, **looks)
