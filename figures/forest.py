"""Published against posterior hazard ratios, overall and in every subgroup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from ..inference import Reanalysis
from .selection import primary_prior
from .style import BLACK, BLUE, GREY, MM_PER_INCH, WIDE, interval_text, new_figure, probability_text, ratio_axis

Triple = tuple[float, float, float]
KEY = ["model", "shrinkage", "prior", "partition", "subgroup"]
LIMITS = (0.2, 5.0)  # of the axis; wider only where an estimate, not just its interval, lies beyond
ROW_MM, TOP_MM, BOTTOM_MM = 6.2, 10.0, 19.0
LEAST_PLOT_MM = 35.0
GAP_MM = 4.0
NOT_SHRUNKEN = "\N{DAGGER}"
OFFSET = 0.16  # published above, posterior below the row's middle


@dataclass(frozen=True)
class Row:
    """One line of the forest: a heading has a label only.

    Parameters
    ----------
    label
        For people.
    published, posterior
        Hazard ratio with limits; ``nan`` where not printed.
    prob_benefit
        Posterior probability of a hazard ratio below 1.
    shrunken
        Whether the row is pooled with others, or is about the whole trial.
    indent
        Whether it stands under a heading.
    level
        Coverage of the published interval; ``nan`` where none is printed.
    """

    label: str
    published: Triple | None = None
    posterior: Triple | None = None
    prob_benefit: float = np.nan
    shrunken: bool = True
    indent: bool = False
    level: float = np.nan


def forest(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw published and posterior hazard ratios with their intervals, overall and in every subgroup.

    Parameters
    ----------
    reanalysis
        With a ``piecewise`` or an ``effects`` fit.
    width_mm
        Printed width; columns of numbers are left out where they would leave the plot too narrow.

    Returns
    -------
    Figure or None
        ``None`` when the reanalysis has no hazard ratio that is constant over time.
    """
    rows = forest_rows(reanalysis)
    if not rows:
        return None
    figure = new_figure(width_mm, TOP_MM + ROW_MM * len(rows) + BOTTOM_MM)
    figure.set_layout_engine("none")
    axes, columns = _place(figure, rows)
    ratio_axis(axes, "x", *axis_limits(rows))
    for place, row in enumerate(rows):
        _draw_row(axes, place, row)
    _dress(axes, reanalysis, rows)
    _write_labels(axes, rows, width_mm)
    _write_columns(axes, rows, columns)
    _write_note(figure, rows)
    return figure


def forest_rows(reanalysis: Reanalysis) -> list[Row]:
    """Return the lines of the forest: overall, then each partition's heading and subgroups."""
    compared = _chosen(reanalysis)
    whole = compared[compared["subgroup"].eq("overall") & compared["partition"].eq("")]
    first = whole[whole["model"].eq(whole["model"].max())]  # piecewise before effects
    rows = [_row(item, "All patients", whole=True) for _, item in first.iterrows()]
    parts = compared[compared["model"].eq("effects") & compared["partition"].ne("")]
    for partition, group in parts.groupby("partition", sort=False):
        rows.append(Row(_title(reanalysis, str(partition))))
        rows += [_row(item, str(item["label"])) for _, item in group.iterrows()]
    return rows


def _chosen(reanalysis: Reanalysis) -> pd.DataFrame:
    """Return the comparison under the primary prior, with the estimates' probability of benefit."""
    ratios = reanalysis.estimates
    ratios = ratios[ratios["estimand"].eq("hazard_ratio") & ratios["time"].isna()]
    both = reanalysis.comparison.merge(ratios[[*KEY, "prob_benefit"]], on=KEY)
    return both[both["prior"].eq(primary_prior(reanalysis))]


def _title(reanalysis: Reanalysis, partition: str) -> str:
    record = reanalysis.record
    if partition in record.all_partitions:
        return record.all_partitions[partition].label
    return record.factors[partition].label if partition in record.factors else partition


def _row(item: pd.Series, label: str, *, whole: bool = False) -> Row:
    def triple(name: str) -> Triple:
        return float(item[name]), float(item[f"{name}_lower"]), float(item[f"{name}_upper"])

    shrunken = whole or item["shrinkage"] != "none"
    level = float(item["published_level"])
    return Row(
        label, triple("published"), triple("posterior"), float(item["prob_benefit"]), shrunken, not whole, level
    )


def _texts(row: Row) -> tuple[str, str, str]:
    """Return what stands in the columns: published, posterior, probability of benefit."""
    if row.posterior is None or row.published is None:
        return "", "", ""
    return _triple_text(row.published), _triple_text(row.posterior), probability_text(row.prob_benefit)


def _triple_text(values: Triple) -> str:
    if np.isnan(values[0]):
        return "\N{EN DASH}"
    return f"{values[0]:.2f}" if np.isnan(values[1]) else interval_text(*values)


def _heads(rows: Sequence[Row]) -> tuple[str, str, str]:
    """Return the columns' heads; a published interval's level is named where all rows agree on it."""
    levels = {row.level for row in rows if not np.isnan(row.level)}
    level = f"{levels.pop():.0%} " if len(levels) == 1 else ""
    return f"Published\nHR ({level}CI)", "Posterior\nHR (95% CrI)", "\nP(benefit)"


def _place(figure: Figure, rows: Sequence[Row]) -> tuple[Axes, list[tuple[int, float]]]:
    """Add the axes between labels and columns; return them and each column's number and right edge in the figure."""
    width, height = (size * MM_PER_INCH for size in figure.get_size_inches())
    left = max(_width_mm(figure, _label(row), _weight(row)) for row in rows) + GAP_MM
    heads = _heads(rows)
    wide = [
        max(_width_mm(figure, text) for text in (*heads[number].split("\n"), *(_texts(row)[number] for row in rows)))
        for number in range(len(heads))
    ]
    shown = list(range(len(heads)))
    while shown and width - left - sum(wide[number] + GAP_MM for number in shown) < LEAST_PLOT_MM:
        shown.pop(0)
    right, edges = width - 1.5, []
    for number in reversed(shown):
        edges.append((number, right / width))
        right -= wide[number] + GAP_MM
    bottom = BOTTOM_MM / height
    axes = figure.add_axes((left / width, bottom, (right - left) / width, 1 - bottom - TOP_MM / height))
    return axes, edges


def _width_mm(figure: Figure, text: str, weight: str = "bold") -> float:
    drawn = figure.text(0, 0, text, fontweight=weight)
    box = drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    drawn.remove()
    return float(box.width / figure.dpi * MM_PER_INCH)


def _weight(row: Row) -> str:
    return "normal" if row.indent else "bold"


def _label(row: Row) -> str:
    return ("    " if row.indent else "") + row.label + ("" if row.shrunken else f" {NOT_SHRUNKEN}")


def axis_limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the limits of the axis: `LIMITS`, or wider where an estimate lies beyond them."""
    middles = [values[0] for row in rows for values in (row.published, row.posterior) if values]
    return float(np.nanmin([LIMITS[0], *middles])) / 1.001, float(np.nanmax([LIMITS[1], *middles])) * 1.001


def _draw_row(axes: Axes, place: int, row: Row) -> None:
    if row.published and row.posterior:
        _draw_interval(axes, place - OFFSET, row.published, GREY, marker="o", markerfacecolor="white")
        _draw_interval(axes, place + OFFSET, row.posterior, BLUE, marker="s", markerfacecolor=BLUE)


def _draw_interval(axes: Axes, height: float, values: Triple, colour: str, **looks: Any) -> None:
    """Draw a hazard ratio with its interval, ending in an arrow where the axis is too short for it."""
    middle, lower, upper = values
    low, high = axes.get_xlim()
    if not np.isnan(lower):
        ends = (max(lower, low), min(upper, high))
        axes.plot(ends, (height, height), color=colour, linewidth=1.1, solid_capstyle="butt", gid="interval")
        for cut, end, marker in ((lower < low, low, "<"), (upper > high, high, ">")):
            if cut:
                axes.plot([end], [height], marker=marker, color=colour, markersize=4.5, clip_on=False, gid="arrow")
    if not np.isnan(middle):
        axes.plot([middle], [height], color=colour, markersize=4.5, zorder=3, gid="estimate", **looks)


def _dress(axes: Axes, reanalysis: Reanalysis, rows: Sequence[Row]) -> None:
    arms = reanalysis.record.arms
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=BLACK, linewidth=0.8, zorder=0)
    axes.set_xlabel(f"Hazard ratio ({arms.treatment.label} / {arms.control.label}), log scale", labelpad=14)
    _say(axes, f"\N{LEFTWARDS ARROW} favours {arms.treatment.label}", 0.93, "right")
    _say(axes, f"favours {arms.control.label} \N{RIGHTWARDS ARROW}", 1.07, "left")
    _legend(axes)


def _say(axes: Axes, text: str, ratio: float, align: str) -> None:
    """Write a text under the tick labels, beside the line at 1."""
    where: dict[str, Any] = {
        "xycoords": ("data", "axes fraction"),
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    axes.annotate(text, (ratio, 0), (0, -16), ha=align, va="top", fontsize=7, **where)


def _legend(axes: Axes) -> None:
    published = Line2D([], [], color=GREY, marker="o", markerfacecolor="white", markersize=4.5, label="published")
    posterior = Line2D([], [], color=BLUE, marker="s", markersize=4.5, label="posterior")
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": 2, "columnspacing": 1.2}
    axes.legend(handles=[published, posterior], **above)


def _write_labels(axes: Axes, rows: Sequence[Row], width_mm: float) -> None:
    where = blended_transform_factory(axes.figure.transFigure, axes.transData)
    for place, row in enumerate(rows):
        axes.text(1.5 / width_mm, place, _label(row), transform=where, va="center", fontweight=_weight(row))


def _write_columns(axes: Axes, rows: Sequence[Row], columns: Sequence[tuple[int, float]]) -> None:
    """Write the numbers right-aligned in their columns, under the columns' heads."""
    heads = _heads(rows)
    where = blended_transform_factory(axes.figure.transFigure, axes.transData)
    for number, edge in columns:
        axes.text(edge, -0.75, heads[number], transform=where, ha="right", va="bottom", fontweight="bold")
        for place, row in enumerate(rows):
            axes.text(edge, place, _texts(row)[number], transform=where, ha="right", va="center")


def _write_note(figure: Figure, rows: Sequence[Row]) -> None:
    if any(not row.shrunken for row in rows):
        note = f"{NOT_SHRUNKEN} not shrunken: the paper prints no disjoint subgroup to pool it with"
        figure.text(
            1.5 / (figure.get_figwidth() * MM_PER_INCH),
            1.5 / (figure.get_figheight() * MM_PER_INCH),
            note,
            fontsize=6.5,
            color=GREY,
        )
