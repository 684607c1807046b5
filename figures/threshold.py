"""The posterior probability that a subgroup's hazard ratio lies below any threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .selection import Array
from .shrinkage import COLOURS
from .strata import average_ratios, subgroup_rows, title_of
from .style import BLACK, FINE_RATIO_TICKS, GREY, MM_PER_INCH, WIDE, is_wide, new_figure, ratio_axis

LOW, HIGH, POINTS = 0.3, 2.0, 171
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)), (0, (1, 3)))
OVERALL = "All patients, standardised"
MOST_LINES = len(LINES)  # beside all patients


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
    printed_first = sorted(others, key=lambda row: row.published is None)
    chosen = {row.key for row in printed_first[:MOST_LINES]}
    figure = new_figure(width_mm, 80 if is_wide(width_mm) else 105)
    axes = figure.add_subplot()
    ratio_axis(axes, "x", LOW, HIGH, FINE_RATIO_TICKS)
    grid = np.geomspace(LOW, HIGH, POINTS)
    shown = [row for row in others if row.key in chosen]
    for place, row in enumerate(shown):
        looks: dict[str, Any] = {"color": (*COLOURS, BLACK)[place], "linestyle": LINES[place], "linewidth": 1.2}
        axes.plot(grid, below(draws[row.key], grid), label=row.label, gid=row.key, **looks)
    axes.plot(grid, below(draws[overall.key], grid), color=BLACK, linewidth=1.8, label=OVERALL, gid="overall")
    _dress(axes, reanalysis)
    axes.set_title(title_of(reanalysis, partition), loc="left")
    _legend(figure, axes)
    return figure


def below(draws: Array, thresholds: Array) -> Array:
    """Return the share of draws below each threshold."""
    return np.searchsorted(np.sort(draws), thresholds) / draws.size


def _dress(axes: Axes, reanalysis: Reanalysis) -> None:
    options = reanalysis.run.get("options", {})
    marks = (options.get("benefit_threshold", 0.80), 1.0, options.get("harm_threshold", 1.25))
    for value in marks:
        axes.axvline(value, color=GREY, linewidth=0.7, linestyle="-" if value == 1 else ":", zorder=0)
    arms = reanalysis.record.arms
    axes.set_ylim(0, 1)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel(f"Threshold h of the average hazard ratio ({arms.treatment.label} / {arms.control.label})")
    axes.set_ylabel("P(hazard ratio below h)")


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = [len(handles) - 1, *range(len(handles) - 1)]
    wide = is_wide(figure.get_figwidth() * MM_PER_INCH)
    place = "outside right center" if wide else "outside lower left"
    figure.legend([handles[k] for k in order], [labels[k] for k in order], loc=place, handlelength=3.2)
