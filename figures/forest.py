"""Published against posterior hazard ratios, overall and in every subgroup."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from ..inference import Reanalysis
from .forest_rows import Row, forest_rows, partition_rows
from .selection import primary_prior
from .strata import (
    Triple,
    frequentist,
    information,
    partitions_of,
    strata_fit,
)
from .style import (
    BLACK,
    BLUE,
    GREY,
    MM_PER_INCH,
    ORANGE,
    RATIO_TICKS,
    WIDE,
    fill,
    interval_text,
    is_wide,
    new_figure,
    probability_text,
    ratio_axis,
)

LIMITS = (0.2, 5.0)  # of the axis; wider only where an estimate, not just its interval, lies beyond
ROW_MM, TOP_MM, BOTTOM_MM = 6.2, 10.0, 19.0
LEAST_PLOT_MM = 35.0
GAP_MM = 4.0
NOTE_MM = 1.25  # of a character of the notes
INDENT = "    "
NOT_SHRUNKEN = "\N{DAGGER}"
RAW_MM = 2.6  # more for rows with three marks or two lines
INDENT_MM = 4.0
HINTED = 1.08  # of a text's width at screen resolution: what its width in print may be
LINE_MM = 3.6  # of one more line of the axis label
RAW_OFFSET = 0.26
LARGEST, SMALLEST_SHARE = 6.0, 0.25  # marker's size, and the least share of its area
ABSENT = "\N{EN DASH}"
OFFSET = 0.16  # frequentist above, posterior below the row's middle


@dataclass(frozen=True)
class Series:
    """What the marks of a row are called, in the legend and, with a capital, at the head of their columns; the axis.

    Parameters
    ----------
    frequentist, raw, posterior
        Each series.
    columns
        What their columns hold, below their names; ``{level}`` is that of the frequentist intervals.
    limits, ticks
        Of the axis, unless an estimate lies beyond, and the hazard ratios to label.
    note
        What stands below; by default what the posterior is.
    """

    frequentist: str = "published"
    raw: str = "without pooling"
    posterior: str = "posterior"
    columns: tuple[str, str, str] = ("HR ({level}CI)", "HR (95% CrI)", "HR (95% CrI)")
    limits: tuple[float, float] = LIMITS
    ticks: tuple[float, ...] = RATIO_TICKS
    note: str = ""

    def heads(self, level: str) -> tuple[str, str, str]:
        """Return the heads of the columns."""
        names = (self.frequentist, self.raw, self.posterior)
        titles = (name.split(";")[0] for name in names)
        return tuple(  # type: ignore[return-value]  # three
            f"{title[:1].upper()}{title[1:]}\n{text.format(level=level)}"
            for title, text in zip(titles, self.columns, strict=True)
        )


USUAL, OF_STRATA = Series(), Series(posterior="shrunken")
COX_FIT = "Cox"  # what a Cox fit is called where nothing is published


def forest(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw published (or Cox) and posterior hazard ratios with their intervals, overall and in every subgroup.

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
    return draw_rows(reanalysis, rows, width_mm, _series(reanalysis, USUAL)) if rows else None


def partition_forest(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw published (or Cox), unpooled and shrunken hazard ratios of a partition's subgroups and their complements.

    Parameters
    ----------
    reanalysis
        With a ``subgroups`` fit of the partition.
    partition
        Name of the partition.
    width_mm
        Printed width.
    """
    return draw_rows(reanalysis, partition_rows(reanalysis, partition), width_mm, _series(reanalysis, OF_STRATA))


def _series(reanalysis: Reanalysis, usual: Series) -> Series:
    return replace(usual, frequentist=COX_FIT) if frequentist(reanalysis) == "cox" else usual


def draw_rows(reanalysis: Reanalysis, rows: Sequence[Row], width_mm: float, series: Series = USUAL) -> Figure:
    """Draw rows as a forest, with their numbers in columns.

    Parameters
    ----------
    reanalysis
        Whose arms the axis names.
    rows
        From top to bottom.
    width_mm
        Printed width.
    series
        What the marks are called, and the axis.
    """
    room = width_mm - LEAST_PLOT_MM - GAP_MM - INDENT_MM
    rows = [replace(row, label=row.label if "\n" in row.label else fill(row.label, room)) for row in rows]
    taller = RAW_MM if any(row.raw or (row.posterior and "\n" in row.label) for row in rows) else 0.0
    label = _axis_label(reanalysis, width_mm)
    bottom = BOTTOM_MM + LINE_MM * label.count("\n")
    figure = new_figure(width_mm, TOP_MM + (ROW_MM + taller) * len(rows) + bottom)
    figure.set_layout_engine("none")
    axes, columns = _place(figure, rows, series, bottom)
    ratio_axis(axes, "x", *axis_limits(rows, series.limits), series.ticks)
    most = max((information(row.posterior) for row in rows if row.posterior), default=0.0)
    for place, row in enumerate(rows):
        _draw_row(axes, place, row, most)
    box, text = axes.get_position(), axes.set_xlabel(label, labelpad=14, ha="right", x=1)
    needed = (text.get_window_extent().width / figure.dpi * MM_PER_INCH * HINTED + GAP_MM) / width_mm
    text.set_x((max(needed, box.x1) - box.x0) / box.width)  # a long label goes on beyond the axes
    _dress(axes, reanalysis, rows, series)
    _write_labels(axes, rows, width_mm)
    _write_columns(axes, _columns(rows, series), columns)
    _write_notes(figure, [series.note] if series.note else _notes(reanalysis, rows))
    return figure


def _texts(row: Row, *, raw: bool) -> tuple[str, ...]:
    """Return what stands in the columns: frequentist, posterior without and with pooling, probability of benefit."""
    if row.posterior is None or row.frequentist is None:
        return ("",) * (4 if raw else 3)
    unpooled = ((_triple_text(row.raw) if row.raw else ""),) if raw else ()
    return _triple_text(row.frequentist), *unpooled, _triple_text(row.posterior), probability_text(row.prob_benefit)


def _triple_text(values: Triple) -> str:
    if np.isnan(values[0]):
        return ABSENT
    return f"{values[0]:.2f}" if np.isnan(values[1]) else interval_text(*values)


def _columns(rows: Sequence[Row], series: Series) -> list[tuple[str, ...]]:
    """Return the columns, each with its head first; a frequentist interval's level is named where all rows agree."""
    levels = {row.level for row in rows if not np.isnan(row.level)}
    level = f"{levels.pop():.0%} " if len(levels) == 1 else ""
    raw = any(row.raw for row in rows)
    beside, unpooled, posterior = series.heads(level)
    heads = (beside, *([unpooled] if raw else []), posterior, "\nP(benefit)")
    columns = zip(heads, *(_texts(row, raw=raw) for row in rows), strict=True)
    return [(head, *cells) for head, *cells in columns if {*cells} - {"", ABSENT}]


def _place(
    figure: Figure, rows: Sequence[Row], series: Series, bottom_mm: float
) -> tuple[Axes, list[tuple[int, float]]]:
    """Add the axes between labels and columns; return them and each column's number and right edge in the figure."""
    width, height = (size * MM_PER_INCH for size in figure.get_size_inches())
    left = max(_width_mm(figure, _label(row), _weight(row)) for row in rows) + GAP_MM
    wide = [
        max(_width_mm(figure, line) for text in column for line in text.split("\n"))
        for column in _columns(rows, series)
    ]
    shown = list(range(len(wide)))
    while shown and width - left - sum(wide[number] + GAP_MM for number in shown) < LEAST_PLOT_MM:
        shown.pop(0)
    right, edges = width - 1.5, []
    for number in reversed(shown):
        edges.append((number, right / width))
        right -= wide[number] + GAP_MM
    bottom = bottom_mm / height
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
    label = row.label + ("" if row.shrunken else f" {NOT_SHRUNKEN}")
    return textwrap.indent(label, INDENT) if row.indent else label


def axis_limits(rows: Sequence[Row], limits: tuple[float, float] = LIMITS) -> tuple[float, float]:
    """Return the limits of the axis: those given, or wider where an estimate lies beyond them."""
    middles = [values[0] for row in rows for values in (row.frequentist, row.posterior) if values]
    return float(np.nanmin([limits[0], *middles])) / 1.001, float(np.nanmax([limits[1], *middles])) * 1.001


def _draw_row(axes: Axes, place: int, row: Row, most: float) -> None:
    """Draw one row; markers' areas go with information, ``most`` being the row's that has most."""
    if not (row.frequentist and row.posterior):
        return
    alone = not row.raw and np.isnan(row.frequentist[0])
    offset = 0.0 if alone else RAW_OFFSET if row.raw else OFFSET
    marks = [(-offset, row.frequentist, GREY, "o", "white"), (offset, row.posterior, BLUE, "s", BLUE)]
    if row.raw:
        marks.append((0.0, row.raw, ORANGE, "D", "white"))
    for shift, values, colour, marker, face in marks:
        size = LARGEST * float(np.sqrt(np.clip(information(values) / most, SMALLEST_SHARE, 1))) if most else 4.5
        _draw_interval(axes, place + shift, values, colour, size, marker=marker, markerfacecolor=face)


def _draw_interval(axes: Axes, height: float, values: Triple, colour: str, size: float, **looks: Any) -> None:
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
        axes.plot([middle], [height], color=colour, markersize=size, zorder=3, gid="estimate", **looks)


def _dress(axes: Axes, reanalysis: Reanalysis, rows: Sequence[Row], series: Series) -> None:
    arms = reanalysis.record.arms
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.axvline(1, color=BLACK, linewidth=0.8, zorder=0)
    figure = axes.get_figure(root=True)
    assert figure is not None
    width_mm = figure.get_figwidth() * MM_PER_INCH
    one = axes.transData.transform((1, 0))[0] / figure.dpi * MM_PER_INCH
    favours = "favours " if is_wide(width_mm) else ""
    fits = _width_mm(figure, f"{favours}{arms.control.label}", "normal") + GAP_MM < width_mm - one
    treatment, control = (arms.treatment.label, arms.control.label) if fits else ("treatment", "control")
    _say(axes, f"\N{LEFTWARDS ARROW} {favours}{treatment}", 0.93, "right")
    _say(axes, f"{favours}{control} \N{RIGHTWARDS ARROW}", 1.07, "left")
    printed = any(row.frequentist and not np.isnan(row.frequentist[0]) for row in rows)
    _legend(axes, series, printed=printed, raw=any(row.raw for row in rows))


def _axis_label(reanalysis: Reanalysis, width_mm: float) -> str:
    arms = reanalysis.record.arms
    return fill(f"Hazard ratio ({arms.treatment.label} / {arms.control.label}), log scale", width_mm - 2 * GAP_MM)


def _say(axes: Axes, text: str, ratio: float, align: str) -> None:
    """Write a text under the tick labels, beside the line at 1."""
    where: dict[str, Any] = {
        "xycoords": ("data", "axes fraction"),
        "textcoords": "offset points",
        "annotation_clip": False,
    }
    axes.annotate(text, (ratio, 0), (0, -16), ha=align, va="top", fontsize=7, **where)


def _legend(axes: Axes, series: Series, *, printed: bool, raw: bool) -> None:
    marks = [(series.frequentist, GREY, "o", "white")] if printed else []
    marks += [(series.raw, ORANGE, "D", "white")] if raw else []
    marks.append((series.posterior, BLUE, "s", BLUE))
    handles = [
        Line2D([], [], color=colour, marker=marker, markerfacecolor=face, markersize=4.5, label=label)
        for label, colour, marker, face in marks
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, columnspacing=1.2)


def _write_labels(axes: Axes, rows: Sequence[Row], width_mm: float) -> None:
    where = blended_transform_factory(axes.figure.transFigure, axes.transData)
    for place, row in enumerate(rows):
        above = place == 0 and row.label.count("\n") > 1  # a long heading of all goes up into the margin
        height, align = (place + 0.35, "bottom") if above else (place, "center")
        axes.text(1.5 / width_mm, height, _label(row), transform=where, va=align, fontweight=_weight(row))


def _write_columns(axes: Axes, texts: Sequence[tuple[str, ...]], columns: Sequence[tuple[int, float]]) -> None:
    """Write the numbers right-aligned in their columns, under the columns' heads."""
    where = blended_transform_factory(axes.figure.transFigure, axes.transData)
    for number, edge in columns:
        head, *cells = texts[number]
        axes.text(edge, -0.75, head, transform=where, ha="right", va="bottom", fontweight="bold")
        for place, text in enumerate(cells):
            axes.text(edge, place, text, transform=where, ha="right", va="center")


def _notes(reanalysis: Reanalysis, rows: Sequence[Row]) -> list[str]:
    """Return what the posterior is: its prior, how strata are shrunken and averaged, and what is not shrunken."""
    notes = [f"posterior under the {primary_prior(reanalysis)} prior"]
    if partitions := partitions_of(reanalysis):
        rows_of = reanalysis.estimates
        end = rows_of.loc[rows_of["model"].eq("subgroups") & rows_of["time"].notna(), "time"].max()
        form = strata_fit(reanalysis, partitions[0]).shrinkage
        shrunken = {"none": "without pooling", "pooled": "pooled"}.get(form, f"shrunken ({form})")
        notes[0] += f"; subgroups {shrunken}, average up to {end:g} {reanalysis.record.time_unit}"
    if any(not row.shrunken for row in rows):
        notes.append(f"{NOT_SHRUNKEN} not shrunken: the paper prints no disjoint subgroup to pool it with")
    return notes


def _write_notes(figure: Figure, notes: Sequence[str]) -> None:
    width_mm = figure.get_figwidth() * MM_PER_INCH
    figure.text(
        1.5 / width_mm,
        (1.5 if is_wide(width_mm) else 0.3) / (figure.get_figheight() * MM_PER_INCH),
        "\n".join(textwrap.fill(note, int(width_mm / NOTE_MM)) for note in notes),
        fontsize=6.5,
        color=GREY,
        va="bottom",
    )
