"""Panels of a figure of subgroups: which of them each shows, and the axes that panels share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..data.subgroup import parse_key
from .strata import SubgroupRow
from .style import is_wide

MOST_LINES = 8  # of subgroups in one panel that people can tell apart


def panels_of(rows: Sequence[SubgroupRow]) -> list[list[SubgroupRow]]:
    """Return the subgroups of each panel: all in one, or by the factors that they restrict where they are too many.

    Parameters
    ----------
    rows
        Subgroups of a partition, without all patients.
    """
    groups: dict[tuple[str, ...], list[SubgroupRow]] = {}
    for row in rows:
        groups.setdefault(parse_key(row.key).factors if len(rows) > MOST_LINES else (), []).append(row)
    return list(groups.values())


def grid_of(panels: int, width_mm: float) -> tuple[int, int]:
    """Return in how many lines and columns the panels of a figure of this width stand."""
    columns = min(panels, 2 if is_wide(width_mm) else 1)
    return math.ceil(panels / columns), columns


def add_panels(figure: Figure, panels: int, width_mm: float) -> list[Axes]:
    """Add panels that share both axes, line by line; the lowest of every column has the labels of the ticks.

    Parameters
    ----------
    figure
        Where.
    panels
        How many.
    width_mm
        Printed width of the figure.
    """
    lines, columns = grid_of(panels, width_mm)
    every = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in every[panels:]:
        axes.set_visible(False)
    for axes in every[max(panels - columns, 0) : panels]:
        axes.tick_params(labelbottom=True)  # also above a panel that is not there
    return list(every[:panels])
