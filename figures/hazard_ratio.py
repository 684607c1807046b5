"""The hazard ratio over time, free to change, against the one that proportional hazards give."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from .selection import Array, curves_fit, flat, last_time
from .style import (
    BLACK,
    BLUE,
    FINE_RATIO_TICKS,
    ORANGE,
    RATIO_TICKS,
    WIDE,
    is_wide,
    new_figure,
    ratio_axis,
    time_ticks,
)

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
LOWEST, HIGHEST = 0.125, 8.0  # the axis shows no more, whatever the bands do


def hazard_ratio(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw the hazard ratio over time with 50% and 95% bands, up to the latest printed time.

    Parameters
    ----------
    reanalysis
        With a ``nonproportional`` fit; a ``piecewise`` fit adds the proportional hazard ratio.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when no hazard ratio was left free over time.
    """
    free = curves_fit(reanalysis, "nonproportional")
    if free is None:
        return None
    proportional = curves_fit(reanalysis, "piecewise")
    last = last_time(reanalysis, free.edges)
    edges, values = interval_quantiles(free.edges, free.rates, last)
    figure = new_figure(width_mm, max(0.4 * width_mm + 20, 80))
    axes = figure.add_subplot()
    _draw_steps(axes, edges, values)
    if proportional is not None:
        _draw_proportional(axes, np.quantile(flat(proportional.hazard_ratio(0.0)), (0.025, 0.5, 0.975)))
    axes.axhline(1, color=BLACK, linewidth=0.8)
    _dress(axes, reanalysis, last, (float(values[0].min()), float(values[-1].max())))
    figure.legend(loc="outside upper center", ncols=4 if is_wide(width_mm) else 1, columnspacing=1.5)
    return figure


def interval_quantiles(edges: Array, rates: tuple[Array, Array], last: float) -> tuple[Array, Array]:
    """Return the intervals' bounds, cut at ``last``, and quantiles of the hazard ratio in each.

    Parameters
    ----------
    edges
        Interval bounds.
    rates
        Hazards of control and treatment, shape ``(..., J)``.
    last
        Where to stop.

    Returns
    -------
    tuple of array
        Bounds, shape ``(K + 1,)``, and the 2.5%, 25%, 50%, 75% and 97.5% quantiles, shape ``(5, K)``.
    """
    shown = int(np.searchsorted(edges, last))
    ratios = (rates[1] / rates[0])[..., :shown].reshape(-1, shown)
    return np.append(edges[:shown], last), np.quantile(ratios, QUANTILES, axis=0)


def _draw_steps(axes: Axes, edges: Array, values: Array) -> None:
    for low, high, shade, share in ((0, 4, 0.18, "95"), (1, 3, 0.35, "50")):
        lower, upper = (np.append(values[place], values[place][-1]) for place in (low, high))
        label = f"Free over time: {share}% band"
        band: dict[str, Any] = {"step": "post", "color": BLUE, "alpha": shade, "linewidth": 0, "gid": f"band-{share}"}
        axes.fill_between(edges, lower, upper, label=label, **band)
    axes.stairs(
        values[2], edges, baseline=None, color=BLUE, linewidth=1.5, label="Free over time: median", gid="median"
    )


def _draw_proportional(axes: Axes, values: Array) -> None:
    lower, middle, upper = values
    label = f"Proportional hazards: {middle:.2f} ({lower:.2f}\N{EN DASH}{upper:.2f})"
    axes.axhline(middle, color=ORANGE, linestyle="--", label=label, gid="proportional")
    for limit in (lower, upper):
        axes.axhline(limit, color=ORANGE, linestyle=":", linewidth=1)


def _dress(axes: Axes, reanalysis: Reanalysis, last: float, span: tuple[float, float]) -> None:
    record = reanalysis.record
    low, high = max(min(span[0], 0.5) / 1.1, LOWEST), min(max(span[1], 2.0) * 1.1, HIGHEST)
    ratio_axis(axes, "y", low, high, RATIO_TICKS if high / low > 6 else FINE_RATIO_TICKS)
    axes.set_xlim(0, last * 1.01)
    axes.set_xticks(time_ticks(last, record.time_unit))
    axes.set_xlabel(f"Time since randomisation ({record.time_unit})")
    axes.set_ylabel(f"Hazard ratio ({record.arms.treatment.label} / {record.arms.control.label}), log scale")
    _favours(axes, f"{record.arms.control.label} \N{UPWARDS ARROW}", 3, "bottom")
    _favours(axes, f"{record.arms.treatment.label} \N{DOWNWARDS ARROW}", -3, "top")


def _favours(axes: Axes, arm: str, up: float, align: str) -> None:
    """Write whom this side of the line at 1 favours, right of the axes."""
    where = ("axes fraction", "data")
    axes.annotate(
        f"favours\n{arm}", (1, 1), (5, up), xycoords=where, textcoords="offset points", va=align, fontsize=7
    )
