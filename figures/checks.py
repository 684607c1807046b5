"""What trials like the models' would print, and what this one printed: a panel for each kind of number."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ..data import ARMS
from ..inference import Reanalysis
from .selection import primary_prior
from .strata import RAW, short_label, title_of
from .style import BLACK, BLUE, GREY, ORANGE, RATIO_TICKS, WIDE, is_wide, new_figure, ratio_axis

Number = tuple[object, ...]
MODELS = {  # how each is drawn: its colour and line, and what the legend calls it
    ("piecewise", ""): (ORANGE, ":", "Proportional hazards"),
    ("nonproportional", ""): (BLUE, "-", "Hazard ratio free over time"),
    ("subgroups", ""): (BLUE, "-", "Shrunken towards each other"),
    ("subgroups", RAW): (ORANGE, ":", "No pooling"),
}
ROW_MM, TITLE_MM, REST_MM = 5.2, 13.0, 16.0
MOST_SPARE_MM = 15.0  # below a column: more would be room for another panel
MOST_BESIDE = 3  # panels that labels at the left are enough for
P_TICKS = (0.0001, 0.001, 0.01, 0.05, 0.2, 1.0)
LOWEST, HIGHEST = 0.125, 8.0  # of hazard ratios: the axis shows no more, whatever the intervals do
LABEL_WIDTH = 28  # letters
LINE = 0.5  # of a row, which each more line of a label adds
BEYOND = 1e6  # of every axis
LIMIT = (" lower", " upper")  # limits of intervals say nothing that the estimate does not


@dataclass(frozen=True)
class Panel:
    """Numbers that share an axis.

    Parameters
    ----------
    title
        What they are.
    rows
        Of ``checks.csv``, several models' for each number.
    scale
        ``percent``, ``ratio``, ``p`` or ``plain``.
    labels
        Of the numbers, by what identifies each.
    """

    title: str
    rows: pd.DataFrame
    scale: str
    labels: Mapping[Number, str]

    @property
    def height(self) -> float:
        """Height in millimetres, with room for labels of several lines."""
        lines = max(label.count("\n") for label in self.labels.values())
        return len(self.labels) * ROW_MM * (1 + LINE * lines) + TITLE_MM


def checks(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw what is printed about the whole trial among what the piecewise models predict.

    Parameters
    ----------
    reanalysis
        With predictive checks.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when there are no checks.
    """
    rows = _rows(reanalysis, "")
    return None if rows.empty else _drawn(reanalysis, rows, "", width_mm)


def partition_checks(reanalysis: Reanalysis, partition: str, width_mm: float = WIDE) -> Figure | None:
    """Draw what is printed about a partition's subgroups among what the model over its strata predicts.

    Parameters
    ----------
    reanalysis, width_mm
        See `checks`.
    partition
        Name of the partition.
    """
    rows = _rows(reanalysis, partition)
    return None if rows.empty else _drawn(reanalysis, rows, partition, width_mm)


def _rows(reanalysis: Reanalysis, partition: str) -> pd.DataFrame:
    """Return the numbers to draw, those of two models at most."""
    rows = reanalysis.checks
    rows = rows[
        rows["partition"].eq(partition) & rows["prior"].eq(primary_prior(reanalysis)) & rows["median"].notna()
    ]
    shrunken = [name for name in rows["shrinkage"].unique() if name not in ("", RAW)]
    rows = rows[rows["shrinkage"].isin(["", RAW, *shrunken[:1]])]
    return rows[~rows["item"].str.endswith(LIMIT)]


def panels(reanalysis: Reanalysis, rows: pd.DataFrame, partition: str) -> list[Panel]:
    """Return the numbers by kind, kinds without any left out."""
    item, unit = rows["item"], reanalysis.record.time_unit
    deaths = f"{reanalysis.record.event.capitalize()}s"
    kinds = [
        (f"Survival (%), time in {unit}", item.isin(["survival", "survival difference"]), "percent"),
        ("Hazard ratio (log scale)", item.eq("hazard_ratio") | item.str.startswith("landmark"), "ratio"),
        ("p-value (log scale)", item.str.endswith(" p"), "p"),
        (deaths, item.eq("deaths"), "plain"),
        (f"{deaths} (%)", item.eq("percent_dead"), "plain"),
        (f"Median survival ({unit})", item.isin(["median", "median_difference"]), "plain"),
        ("Prognosis (hazard ratio)", item.eq("prognostic"), "ratio"),
        (f"Follow-up ({unit})", item.str.startswith("follow_up"), "plain"),
        ("Numbers at risk", item.eq("at_risk"), "plain"),
    ]
    labels = {number: _label(row, reanalysis, partition) for number, (_, row) in _by_number(rows)}
    finite = np.isfinite(rows[[*NUMBERS]].to_numpy(dtype=float)).any(axis=1)  # a median that is never reached is not
    return [
        Panel(title, rows[mask], scale, {number: labels[number] for number, _ in _by_number(rows[mask])})
        for title, kind, scale in kinds
        if (mask := kind & finite).any()
    ]


def _by_number(rows: pd.DataFrame) -> Iterator[tuple[Number, tuple[Any, pd.Series]]]:
    """Yield each row with what identifies the number that it is about."""
    numbers = (tuple(one) for one in rows[["subgroup", "item", "arm", "time"]].fillna(-1.0).to_numpy())
    return zip(numbers, rows.iterrows(), strict=True)


def _alike(found: Sequence[Panel]) -> bool:
    """Return whether few enough panels to stand side by side all have the same rows."""
    rows = [list(panel.labels.values()) for panel in found]
    return 1 < len(found) <= MOST_BESIDE and all(one == rows[0] for one in rows)


def _columns(found: Sequence[Panel]) -> list[list[Panel]]:
    """Share panels out, in order: a column for each where all are alike, otherwise two of about the same height."""
    if _alike(found) or len(found) == 1:
        return [[panel] for panel in found]
    heights = [panel.height for panel in found]
    splits = range(1, len(found))
    best = min(splits, key=lambda place: max(sum(heights[:place]), sum(heights[place:])))
    return [list(found[:best]), list(found[best:])]


def _drawn(reanalysis: Reanalysis, rows: pd.DataFrame, partition: str, width_mm: float) -> Figure:
    found = panels(reanalysis, rows, partition)
    columns = _columns(found) if is_wide(width_mm) else [found]
    height = max(sum(panel.height for panel in column) for column in columns)
    figure = new_figure(width_mm, height + REST_MM)
    outer = figure.add_gridspec(1, len(columns))
    for place, column in enumerate(columns):
        heights = _filled([panel.height for panel in column], height)
        for cell, panel in zip(_cells(outer[place], heights), column, strict=False):
            axes = figure.add_subplot(cell)
            _draw(axes, panel)
            axes.tick_params(labelleft=place == 0 or not _alike(found))
    if partition:
        figure.suptitle(title_of(reanalysis, partition), x=0.01, ha="left", fontsize=8)
    _legend(figure, rows, width_mm)
    return figure


def _cells(column: SubplotSpec, heights: list[float]) -> list[SubplotSpec]:
    """Return the places of a column; a single one is the column, so that such columns are equally wide."""
    if len(heights) == 1:
        return [column]
    grid = column.subgridspec(len(heights), 1, height_ratios=heights)
    return [grid[row] for row in range(len(heights))]


def _filled(heights: list[float], height: float) -> list[float]:
    """Return the heights in a column of panels, with what is left over unless that is so much that panels stretch."""
    spare = height - sum(heights)
    return [*heights, spare] if 0 < spare < MOST_SPARE_MM else heights


def _draw(axes: Axes, panel: Panel) -> None:
    scaled = SCALES.get(panel.scale, _as_it_is)
    shown = [models for models in MODELS if _of_model(panel.rows, models).any()]
    places = {number: place for place, number in enumerate(panel.labels)}
    for number, (_, row) in _by_number(panel.rows):
        place = places[number]
        axes.plot([scaled(row["value"])], [place], marker="D", markersize=3.6, color=BLACK, zorder=4, gid="printed")
        step = shown.index((row["model"], RAW if row["shrinkage"] == RAW else ""))
        offset = (step - (len(shown) - 1) / 2) * 0.34
        _interval(axes, row, place + offset, MODELS[shown[step]][:2], scaled)
    axes.set_yticks(range(len(places)), list(panel.labels.values()))
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_title(panel.title, loc="left")
    _scale(axes, panel, scaled)


def _as_it_is(value: Any) -> Any:
    return value


SCALES: Mapping[str, Callable[[Any], Any]] = {
    "percent": lambda value: 100 * value,
    "p": lambda value: np.maximum(value, P_TICKS[0] / 10),  # zero has no place on a log scale
}


def _of_model(rows: pd.DataFrame, model: tuple[str, str]) -> pd.Series:
    """Return which rows are a model's: of strata the raw one, or the one that shrinks."""
    name, shrinkage = model
    return rows["model"].eq(name) & rows["shrinkage"].eq(RAW).eq(shrinkage == RAW)


def _interval(axes: Axes, row: pd.Series, place: float, look: tuple[str, str], scaled: Callable[[Any], Any]) -> None:
    """Draw median, quartiles and 95% range of one number under one model; what is infinite ends at the axes."""
    low, q25, middle, q75, high = (scaled(float(row[name])) for name in ("lower", "q25", "median", "q75", "upper"))
    colour, line = look
    for left, right, width, style in ((low, high, 1.1, line), (q25, q75, 3.2, "-")):
        ends = np.nan_to_num([left, right], posinf=BEYOND, neginf=-BEYOND)
        looks: dict[str, Any] = {"linewidth": width, "linestyle": style, "solid_capstyle": "butt"}
        axes.plot(ends, [place] * 2, color=colour, scalex=False, **looks)
    if np.isfinite(middle):
        axes.plot([middle], [place], marker="|", markersize=6, color=colour, markeredgewidth=1.2, scalex=False)


def _scale(axes: Axes, panel: Panel, scaled: Callable[[Any], Any]) -> None:
    """Set the axis to hold the printed numbers and the finite limits."""
    values = scaled(panel.rows[[*NUMBERS]].to_numpy(dtype=float))
    values = values[np.isfinite(values)]
    if panel.scale == "ratio":
        ratio_axis(axes, "x", max(values.min() / 1.1, LOWEST), min(values.max() * 1.1, HIGHEST), RATIO_TICKS)
        axes.axvline(1, color=GREY, linewidth=0.6, zorder=0)
    elif panel.scale == "p":
        axes.set_xscale("log")
        axes.set_xlim(P_TICKS[0], 1)
        axes.xaxis.set_major_locator(FixedLocator(P_TICKS))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.axvline(0.05, color=GREY, linewidth=0.6, zorder=0)
    else:
        room = 0.05 * np.ptp(values) or 0.05 * abs(values.max()) or 1.0  # all may be the same
        axes.set_xlim(values.min() - room, values.max() + room)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        if values.min() < 0:
            axes.axvline(0, color=GREY, linewidth=0.6, zorder=0)


NUMBERS = ("lower", "q25", "median", "q75", "upper", "value")
COX, CHANGE = "Cox", "landmark hazard ratio, "  # the latter with its times
_ITEMS = {
    "hazard_ratio": COX,
    "hazard_ratio p": COX,
    "survival p": "survival",
    "survival difference": "difference",
    "landmark hazard ratio": "from survival",
    "median_difference": "difference",
    "follow_up sd": "SD",
    "follow_up q25": "lower quartile",
    "follow_up q75": "upper quartile",
    "follow_up survivors_median": "survivors' median",
}


def _label(row: pd.Series, reanalysis: Reanalysis, partition: str) -> str:
    """Return what a row is: subgroup, arm, item where the panel's title does not say it, and time."""
    item, arm = str(row["item"]), str(row["arm"])
    own = _ITEMS.get(item, item.removeprefix("follow_up ") if item.startswith("follow_up") else "")
    if item.startswith(CHANGE):
        own = f"from survival, {item.removeprefix(CHANGE)}"
    who = short_label(reanalysis, partition, str(row["label"])) if partition else ""
    labels: dict[str, str] = {name: reanalysis.record.arm(name).label or name for name in ARMS}
    at = "" if pd.isna(row["time"]) else f"{row['time']:g}"
    text = ", ".join(part for part in (who, labels.get(arm, ""), "" if who and own == COX else own, at) if part)
    return textwrap.fill(text[:1].upper() + text[1:], LABEL_WIDTH)


def _legend(figure: Figure, rows: pd.DataFrame, width_mm: float) -> None:
    source = "Printed" if rows["printed"].ne("").any() else "Observed"
    handles = [Line2D([], [], marker="D", markersize=3.6, color=BLACK, linestyle="none", label=source)]
    for model, (colour, line, label) in MODELS.items():
        if _of_model(rows, model).any():
            handles.append(Line2D([], [], color=colour, linestyle=line, linewidth=2, label=label))
    title = "50% (thick) and 95% of trials simulated from each model"
    columns = 3 if is_wide(width_mm) else 1
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, title=title, alignment="left")
