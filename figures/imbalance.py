"""From the crude to the adjusted overall hazard ratio: what the imbalance of each prognostic factor accounts for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..inference import Reanalysis
from ..inference import imbalance as adjustment
from ..models.imbalance import FORMS, estimate_label
from .selection import primary_prior
from .style import (
    BLACK,
    BLUE,
    FINE_RATIO_TICKS,
    GREY,
    ORANGE,
    RATIO_TICKS,
    WIDE,
    interval_text,
    is_wide,
    new_figure,
    ratio_axis,
)

Triple = tuple[float, float, float]
FORM = next(iter(FORMS))  # whose terms are the steps
LOWEST, HIGHEST = 0.125, 8.0  # the axis shows no more, whatever the intervals do
ROW_MM, REST_MM = 6.2, 38.0
BAR = 0.55  # of a row
LOG_STEP, NARROW_LOG_STEP = 0.2, 0.4  # between ticks of the upper axis
NARROW_TICKS = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
WIDE_COLUMNS = (28, 58, 148)  # right edges of the columns of numbers, in points from the axes
NARROW_COLUMN = 88
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Step:
    """One step of the waterfall.

    Parameters
    ----------
    label
        For people.
    control, treatment
        How common the factor is in each arm.
    start, end
        Hazard ratio before and after this factor's imbalance is taken out.
    lower, upper
        95% interval of ``end``, given ``start``.
    shift
        By how much the imbalance moves the log hazard ratio: what is taken out.
    """

    label: str
    control: float
    treatment: float
    start: float
    end: float
    lower: float
    upper: float
    shift: float


def imbalance(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw a waterfall from the crude overall hazard ratio, through each factor's imbalance, to the adjusted one.

    Parameters
    ----------
    reanalysis
        With a ``piecewise`` fit of a record that prints adjusted prognostic hazard ratios.
    width_mm
        Printed width; the columns of prevalences are left out where they would leave the plot too narrow.

    Returns
    -------
    Figure or None
        ``None`` when nothing was adjusted for imbalance.
    """
    ends = whole_effects(reanalysis)
    if reanalysis.imbalance.empty or len(ends) < 1 + len(FORMS):
        return None
    taken = steps(reanalysis.imbalance, next(iter(ends.values()))[0])
    figure = new_figure(width_mm, ROW_MM * (len(taken) + len(ends)) + REST_MM)
    axes = figure.add_subplot()
    _scale(axes, ends, taken, is_wide(width_mm))
    _draw_steps(axes, taken)
    _draw_ends(axes, ends, len(taken))
    _dress(axes, reanalysis, _labels(ends, taken))
    _write_columns(axes, reanalysis, taken, list(ends.values()), is_wide(width_mm))
    _legend(figure, is_wide(width_mm))
    return figure


def whole_effects(reanalysis: Reanalysis) -> dict[str, Triple]:
    """Return median and limits of the crude and the adjusted hazard ratios under the primary prior, by name."""
    prior, estimates = primary_prior(reanalysis), reanalysis.estimates
    crude = reanalysis.headline()
    found = {"Crude": crude[crude["prior"].eq(prior) & crude["model"].eq("piecewise")]}
    adjusted = estimates[estimates["model"].eq(adjustment.MODEL) & estimates["prior"].eq(prior)]
    found |= {f"Adjusted, {form}": adjusted[adjusted["label"].eq(estimate_label(form))] for form in FORMS}
    names = ["median", "lower", "upper"]
    triples = {name: tuple(map(float, rows[names].to_numpy()[0])) for name, rows in found.items() if len(rows)}
    return {name: (triple[0], triple[1], triple[2]) for name, triple in triples.items()}


def steps(terms: pd.DataFrame, crude: float) -> list[Step]:
    """Return the steps that lead away from the crude hazard ratio.

    Parameters
    ----------
    terms
        Rows of ``imbalance.csv``; those of the first form are used.
    crude
        Hazard ratio to begin with.
    """
    found = []
    start = crude
    for _, row in terms[terms["form"].eq(FORM)].iterrows():
        end, lower, upper = (start * np.exp(-float(row[f"shift{limit}"])) for limit in ("", "_upper", "_lower"))
        prevalences = float(row["control"]), float(row["treatment"])
        found.append(Step(str(row["label"]), *prevalences, start, end, lower, upper, float(row["shift"])))
        start = end
    return found


def _labels(ends: dict[str, Triple], taken: list[Step]) -> list[str]:
    crude, *adjusted = ends
    return [crude, *(step.label for step in taken), *adjusted]


def _scale(axes: Axes, ends: dict[str, Triple], taken: list[Step], wide: bool) -> None:
    """Make the axis of hazard ratios, with their logarithms above."""
    numbers = [number for triple in ends.values() for number in triple]
    numbers += [number for step in taken for number in (step.lower, step.upper)]
    low, high = max(min(numbers) / 1.05, LOWEST), min(max(*numbers, 1.1) * 1.05, HIGHEST)
    fine = FINE_RATIO_TICKS if wide else NARROW_TICKS
    ratio_axis(axes, "x", low, high, RATIO_TICKS if high / low > 6 else fine)
    above = axes.twiny()
    above.set_xlim(np.log(low), np.log(high))
    step = LOG_STEP if wide and high / low < 6 else NARROW_LOG_STEP
    above.set_xticks(step * np.arange(np.ceil(np.log(low) / step), np.floor(np.log(high) / step) + 1))
    above.xaxis.set_major_formatter(lambda value, _: _signed(value, 1))
    above.set_xlabel("Log hazard ratio", color=GREY)
    above.tick_params(colors=GREY)
    above.spines["top"].set_visible(True)
    above.spines["top"].set_color(GREY)
    above.spines["left"].set_visible(False)


def _signed(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", MINUS) if round(value, digits) else f"{0:.{digits}f}"


def _draw_steps(axes: Axes, taken: list[Step]) -> None:
    for place, step in enumerate(taken, start=1):
        raises = step.end >= step.start
        looks: dict[str, Any] = (
            {"color": ORANGE} if raises else {"facecolor": "white", "edgecolor": BLUE, "hatch": "///"}
        )
        axes.barh(place, step.end - step.start, BAR, step.start, gid="step", **looks)
        axes.plot((step.lower, step.upper), (place, place), color=BLACK, linewidth=0.8, gid="interval")
    for place, ratio in enumerate([taken[0].start, *(step.end for step in taken)]):
        axes.plot((ratio, ratio), (place, place + 1), color=GREY, linewidth=0.6, linestyle=":", zorder=0)


def _draw_ends(axes: Axes, ends: dict[str, Triple], steps_between: int) -> None:
    for number, (middle, lower, upper) in enumerate(ends.values()):
        place = number and number + steps_between
        marker = "s" if number else "o"
        axes.plot((lower, upper), (place, place), color=BLACK, linewidth=1.3, gid="interval")
        axes.plot([middle], [place], color=BLACK, marker=marker, markersize=5, gid="estimate")


def _dress(axes: Axes, reanalysis: Reanalysis, labels: list[str]) -> None:
    arms = reanalysis.record.arms
    axes.axvline(1, color=BLACK, linewidth=0.8, zorder=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(
        f"Hazard ratio ({arms.treatment.label} / {arms.control.label}), log scale\n"
        f"adjusted: conditional on these factors\n{primary_prior(reanalysis)} prior on each effect"
    )


def _write_columns(axes: Axes, reanalysis: Reanalysis, taken: list[Step], ends: list[Triple], wide: bool) -> None:
    """Write prevalences and shifts of the factors, and the hazard ratios, right of the axes."""
    arms = reanalysis.record.arms
    rows = [[f"{step.control:.0%}", f"{step.treatment:.0%}", _signed(step.shift, 3)] for step in taken]
    first, *last = [["", "", f"HR {interval_text(*end)}"] for end in ends]
    heads = [arms.control.label, arms.treatment.label, "Taken out\nof log HR"]
    for column in range(len(heads)) if wide else (2,):
        right = WIDE_COLUMNS[column] if wide else NARROW_COLUMN
        _say(axes, right, -0.75, heads[column], va="bottom", fontweight="bold")
        for place, row in enumerate([first, *rows, *last]):
            _say(axes, right, place, row[column], va="center")


def _say(axes: Axes, right: float, place: float, text: str, **looks: Any) -> None:
    """Write a text that ends ``right`` points from the axes."""
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(text, (1, place), (right, 0), ha="right", annotation_clip=False, **where, **looks)


def _legend(figure: Figure, wide: bool) -> None:
    handles = [
        Patch(color=ORANGE, label="taken out, the ratio rises"),
        Patch(facecolor="white", edgecolor=BLUE, hatch="///", label="taken out, the ratio falls"),
        Line2D([], [], color=BLACK, linewidth=0.8, label="95% interval"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3 if wide else 1, columnspacing=1.5)
