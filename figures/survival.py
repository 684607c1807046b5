"""Survival by arm: posterior curves with credible bands, and what the paper printed or patients show on top."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..data import ARMS
from ..data.estimators import kaplan_meier_of_table
from ..data.fields import ArmId
from ..data.outcomes import Survival
from ..data.table import edges, numbers_at_risk, pooled
from ..inference import Reanalysis
from ..inference.quantities import Curves, SurvivalCurves
from .selection import CURVES, Array, arm_title, curves_fit, digitised_points, flat, last_survival
from .style import ARM_STYLES, BLACK, GREY, MM_PER_INCH, WIDE, is_wide, new_figure, time_ticks

BAND = (0.025, 0.5, 0.975)
TIMES = 73
LABELS = {"nonproportional": "Hazard ratio free over time", "piecewise": "Proportional hazards"}
PRINTED: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": "white", "markeredgecolor": BLACK}
PRINTED_LABEL = "Published, with its interval"
DIGITISED: dict[str, Any] = {"marker": ".", "linestyle": "", "markersize": 3.0, "markeredgewidth": 0.0}
OBSERVED: dict[str, Any] = {"linestyle": "-", "linewidth": 0.7}
OBSERVED_LABEL = "Kaplan-Meier"
SIDE_BY_SIDE = {tuple: HandlerTuple(ndivide=None, pad=0.6)}
FIRST_ROW, ROW_HEIGHT = -33.0, 10.0  # points below the axis
LEFT_OF_COUNTS = 14.0
DODGE = 0.006  # landmarks of the two arms stand this share of the time axis to either side of their time


def survival(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw posterior survival of both arms with 95% bands; Kaplan-Meier, digitised points, landmarks on top.

    Parameters
    ----------
    reanalysis
        With a ``nonproportional`` or a ``piecewise`` fit; the latter is a thin line beside the former.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when the reanalysis has no survival curves.
    """
    found = {model: curves for model in CURVES if (curves := curves_fit(reanalysis, model)) is not None}
    if not found:
        return None
    figure = new_figure(width_mm, max(0.45 * width_mm + 32, 85))
    axes = figure.add_subplot()
    main, *others = found.values()
    last = last_survival(reanalysis, main.edges)
    _draw_bands(axes, main, last)
    for curves in others:
        _draw_medians(axes, curves, last)
    _draw_kaplan_meier(axes, reanalysis, last)
    _draw_points(axes, digitised_points(reanalysis), last)
    _draw_landmarks(axes, reanalysis, last)
    _dress(axes, reanalysis, last)
    _legends(figure, axes, reanalysis, list(found))
    _numbers_at_risk(axes, reanalysis, last)
    return figure


def curve_quantiles(curves: SurvivalCurves, arm: int, times: Array) -> Array:
    """Return the posterior's 2.5%, 50% and 97.5% survival at some times, shape ``(3, times)``."""
    return np.array([np.quantile(flat(curves.survival(arm, time)), BAND) for time in times]).T


def kaplan_meier_curves(reanalysis: Reanalysis) -> dict[ArmId, pd.DataFrame]:
    """Return the Kaplan-Meier curve of each arm's known patients: columns ``time`` and ``survival``.

    From the survival table, as results hold no patients: at the intervals' bounds, while some are followed up.

    Parameters
    ----------
    reanalysis
        Nothing is known of the patients' curves where they are rebuilt.
    """
    if reanalysis.record.source != "patients" or reanalysis.table is None:
        return {}
    table = pooled(reanalysis.table).isel(imputation=0, stratum=0)
    survival, bounds = kaplan_meier_of_table(table), edges(table)
    curves = {}
    for arm in ARMS:
        followed = 1 + int(np.flatnonzero(table.exposure.sel(arm=arm).to_numpy() > 0)[-1])
        values = np.append(1.0, survival.sel(arm=arm).to_numpy())[: followed + 1]
        curves[arm] = pd.DataFrame({"time": bounds[: followed + 1], "survival": values})
    return curves


def _draw_bands(axes: Axes, curves: Curves, last: float) -> None:
    times = np.linspace(0, last, TIMES)
    for number, arm in enumerate(ARMS):
        style = ARM_STYLES[arm]
        lower, middle, upper = curve_quantiles(curves, number, times)
        axes.fill_between(times, lower, upper, color=style.colour, alpha=0.2, linewidth=0, gid=f"band-{arm}")
        axes.plot(times, middle, color=style.colour, linestyle=style.line, gid=f"curve-{arm}")


def _draw_medians(axes: Axes, curves: Curves, last: float) -> None:
    times = np.linspace(0, last, TIMES)
    for number, arm in enumerate(ARMS):
        middle = curve_quantiles(curves, number, times)[1]
        axes.plot(
            times, middle, color=ARM_STYLES[arm].colour, linestyle=":", linewidth=0.9, gid=f"proportional-{arm}"
        )


def _draw_kaplan_meier(axes: Axes, reanalysis: Reanalysis, last: float) -> None:
    for arm, curve in kaplan_meier_curves(reanalysis).items():
        own = curve[curve["time"].le(last)]
        colour = ARM_STYLES[arm].colour
        axes.step(own["time"], own["survival"], where="post", color=colour, **OBSERVED, gid=f"kaplan-meier-{arm}")


def _draw_points(axes: Axes, points: pd.DataFrame, last: float) -> None:
    for arm in ARMS if len(points) else ():
        own = points[points["arm"].eq(arm) & points["time"].le(last)]
        colour = ARM_STYLES[arm].colour
        axes.plot(own["time"], own["survival"], color=colour, **DIGITISED, zorder=3, gid=f"digitised-{arm}")


def _draw_landmarks(axes: Axes, reanalysis: Reanalysis, last: float) -> None:
    for item in reanalysis.record.survival:
        if item.use and item.where.is_overall:
            draw_landmark(axes, item, last)


def draw_landmark(axes: Axes, item: Survival, last: float) -> None:
    """Draw one printed survival probability with its interval, a little beside its time; none beyond the axis.

    Parameters
    ----------
    axes
        Survival over time.
    item
        What is printed.
    last
        Where the time axis ends.
    """
    if item.time > last:
        return
    style, middle = ARM_STYLES[item.arm], item.estimate.value
    limits = [number.value for number in item.ci] if item.ci else [middle, middle]
    axes.errorbar(
        item.time + DODGE * last * (1 if item.arm == "treatment" else -1),
        middle,
        yerr=[[middle - limits[0]], [limits[1] - middle]],
        fmt=style.marker,
        **PRINTED,
        ecolor=BLACK,
        elinewidth=0.9,
        capsize=2,
        zorder=5,
        clip_on=False,
        gid=f"landmark-{item.arm}-{item.time:g}",
    )


def _dress(axes: Axes, reanalysis: Reanalysis, last: float) -> None:
    record = reanalysis.record
    axes.set_xlim(0, last * 1.01)
    axes.set_xticks(time_ticks(last, record.time_unit))
    axes.set_ylim(0, 1)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_xlabel(f"Time since randomisation ({record.time_unit})")
    axes.set_ylabel(f"{record.endpoint[0].upper()}{record.endpoint[1:]} (probability)")


def _legends(figure: Figure, axes: Axes, reanalysis: Reanalysis, models: list[str]) -> None:
    arms = [
        Line2D([], [], color=ARM_STYLES[arm].colour, linestyle=ARM_STYLES[arm].line, label=arm_title(reanalysis, arm))
        for arm in reversed(ARMS)
    ]
    axes.legend(handles=arms, loc="upper right", handlelength=2.6)
    kinds: list[Any] = [Patch(facecolor=GREY, alpha=0.3)]
    names = [f"{LABELS[models[0]]}: median and 95% band"]
    if len(models) > 1:
        kinds.append(Line2D([], [], color=GREY, linestyle=":", linewidth=0.9))
        names.append(f"{LABELS[models[1]]}: median")
    if kaplan_meier_curves(reanalysis):
        kinds.append(tuple(Line2D([], [], color=ARM_STYLES[arm].colour, **OBSERVED) for arm in reversed(ARMS)))
        names.append(OBSERVED_LABEL)
    if not digitised_points(reanalysis).empty:
        kinds.append(tuple(Line2D([], [], color=ARM_STYLES[arm].colour, **DIGITISED) for arm in reversed(ARMS)))
        names.append("Digitised")
    if any(item.use and item.where.is_overall for item in reanalysis.record.survival):
        kinds.append(printed_markers())
        names.append(PRINTED_LABEL)
    columns = len(kinds) if is_wide(figure.get_figwidth() * MM_PER_INCH) else 1
    figure.legend(kinds, names, loc="outside upper center", ncols=columns, handlelength=2.6, handler_map=SIDE_BY_SIDE)


def printed_markers() -> tuple[Line2D, ...]:
    """Return the legend's markers of printed survival, one for each arm."""
    return tuple(Line2D([], [], marker=ARM_STYLES[arm].marker, linestyle="", **PRINTED) for arm in reversed(ARMS))


def _numbers_at_risk(axes: Axes, reanalysis: Reanalysis, last: float) -> None:
    """Write the numbers at risk under the axis: those of the survival table, averaged over imputations."""
    table = reanalysis.table
    if table is None or "censored" not in table:
        return
    times = time_ticks(last, reanalysis.record.time_unit)
    title = "Number at risk" + (" (reconstructed)" if reanalysis.record.source != "patients" else "")
    _below(axes, 0, title, FIRST_ROW, "left", BLACK)
    for place, arm in enumerate(reversed(ARMS), start=1):
        down, colour = FIRST_ROW - place * ROW_HEIGHT, ARM_STYLES[arm].colour
        described = reanalysis.record.arm(arm)
        _below(axes, 0, described.label, down, "right", colour, left=LEFT_OF_COUNTS)
        for time, number in zip(times, at_risk(table, arm, times), strict=True):
            _below(axes, time, f"{number:.0f}", down, "center", colour)


def at_risk(table: xr.Dataset, arm: str, times: Array) -> Array:
    """Return the expected number of an arm's patients still at risk at some times.

    Parameters
    ----------
    table
        Survival table with ``deaths`` and ``censored``.
    arm
        ``control`` or ``treatment``.
    times
        Times.
    """
    one = table.sel(arm=arm).sum("stratum").mean("imputation")
    left = float(one["patients"] - (one["deaths"] + one["censored"]).sum())
    return np.asarray(np.interp(times, edges(table), np.append(numbers_at_risk(one).to_numpy(), left)))


def _below(axes: Axes, time: float, text: str, down: float, align: str, colour: str, left: float = 0) -> None:
    """Write a text under the axis, ``down`` points from it and ``left`` points to the left of its time."""
    axes.annotate(
        text,
        (time, 0),
        (-left, down),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=align,
        va="top",
        color=colour,
        fontsize=7,
        annotation_clip=False,
    )
