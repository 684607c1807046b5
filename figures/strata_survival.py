"""Survival in every stratum of a partition, one panel each."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..data import ARMS
from ..inference import Reanalysis
from ..inference.quantities import SurvivalCurves
from ..inference.standardised import mixtures
from .panels import add_panels, grid_of
from .selection import last_survival
from .strata import reported, short_label, strata_fit, stratum_draws
from .style import ARM_STYLES, GREY, MM_PER_INCH, WIDE, is_wide, new_figure, time_ticks
from .survival import PRINTED_LABEL, SIDE_BY_SIDE, TIMES, curve_quantiles, draw_landmark, printed_markers

PANEL_MM = 46.0


def strata_survival(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw posterior survival of both arms in every stratum, with 95% bands and the paper's landmarks.

    Where several factors add up, in every level of every factor: averaged over its patients.

    Parameters
    ----------
    reanalysis
        With a `subgroups` fit of the partition.
    partition
        Name of the partition.
    width_mm
        Printed width.
    """
    strata = [one for one in reported(reanalysis, partition) if one.unit]
    if not reanalysis.record.is_joint(partition):
        strata = sorted(strata, key=lambda one: one.members)
    lines, _ = grid_of(len(strata), width_mm)
    figure = new_figure(width_mm, PANEL_MM * lines + 16)
    panels = add_panels(figure, len(strata), width_mm)
    edges = np.array(strata_fit(reanalysis, partition).edges)
    last = last_survival(reanalysis, edges)
    hazards, patients = zip(*stratum_draws(reanalysis, partition), strict=True)
    rates, weights = np.concatenate(hazards, axis=1), np.mean(patients, axis=0)
    for axes, one in zip(panels, strata, strict=True):
        members = list(one.members)
        _draw_curves(axes, mixtures(edges, rates[:, :, members], [weights[members]]), last)
        for item in reanalysis.record.survival:
            if item.use and item.where == one.subgroup:
                draw_landmark(axes, item, last)
        label = short_label(reanalysis, partition, one.label)
        axes.set_title(f"{label}\n{_counts(reanalysis, partition, members)}", fontsize=7, loc="left")
    _dress(panels[0], reanalysis, last)
    _legend(figure, reanalysis, printed=any(axes.containers for axes in panels))
    return figure


def _draw_curves(axes: Axes, curves: SurvivalCurves, last: float) -> None:
    times = np.linspace(0, last, TIMES)
    for number, arm in enumerate(ARMS):
        style = ARM_STYLES[arm]
        lower, middle, upper = curve_quantiles(curves, number, times)
        axes.fill_between(times, lower, upper, color=style.colour, alpha=0.2, linewidth=0, gid=f"band-{arm}")
        axes.plot(times, middle, color=style.colour, linestyle=style.line, gid=f"curve-{arm}")


def _counts(reanalysis: Reanalysis, partition: str, strata: list[int]) -> str:
    """Return deaths and patients by arm, averaged over imputations."""
    table = reanalysis.tables[partition].isel(stratum=strata).sum("stratum")
    parts = []
    for arm in reversed(ARMS):
        one = table.sel(arm=arm).mean("imputation")
        deaths, patients = float(one["deaths"].sum()), float(one["patients"])
        parts.append(f"{reanalysis.record.arm(arm).label} {deaths:.0f}/{patients:.0f}")
    return f"{reanalysis.record.event}s: {', '.join(parts)}"


def _dress(axes: Axes, reanalysis: Reanalysis, last: float) -> None:
    """Set the axes that all panels share."""
    axes.set_xlim(0, last * 1.01)
    axes.set_xticks(time_ticks(last, reanalysis.record.time_unit))
    axes.set_ylim(0, 1)
    axes.set_yticks(np.linspace(0, 1, 6))


def _legend(figure: Figure, reanalysis: Reanalysis, *, printed: bool) -> None:
    record = reanalysis.record
    figure.supxlabel(f"Time since randomisation ({record.time_unit})", fontsize=7.5)
    figure.supylabel(f"{record.endpoint[0].upper()}{record.endpoint[1:]} (probability)", fontsize=7.5)
    kinds: list[Any] = [
        Line2D([], [], color=ARM_STYLES[arm].colour, linestyle=ARM_STYLES[arm].line) for arm in reversed(ARMS)
    ]
    names = [record.arm(arm).label for arm in reversed(ARMS)]
    kinds.append(Patch(facecolor=GREY, alpha=0.3))
    names.append("Median and 95% band")
    if printed:
        kinds.append(printed_markers())
        names.append(PRINTED_LABEL)
    columns = len(kinds) if is_wide(figure.get_figwidth() * MM_PER_INCH) else 2
    figure.legend(kinds, names, loc="outside upper center", ncols=columns, handlelength=2.6, handler_map=SIDE_BY_SIDE)
