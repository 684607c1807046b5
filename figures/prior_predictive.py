"""What the priors imply before any data, beside the posterior: survival by arm, and the hazard ratio."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..data import ARMS
from ..inference import Reanalysis
from ..inference.prior_predictive import DOUBLING, STEP_SD
from .selection import CURVES, last_time, primary_prior
from .style import ARM_STYLES, BLACK, GREY, PALE, RATIO_TICKS, WIDE, is_wide, new_figure, ratio_axis, time_ticks

BANDS = (("lower", "upper", 0.35), ("q25", "q75", 0.8))
CHANGES = {
    DOUBLING: "Trend, a factor while time doubles:",
    STEP_SD: "SD of a year's step of its log about the trend:",
}
FEWEST_BARS = 4  # that there is room for
LOWEST, HIGHEST = 0.125, 8.0  # of hazard ratios: the axis shows no more, whatever the priors imply


def prior_predictive(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw 50% and 95% bands of the prior, with the posterior median and 95% range.

    Survival of each arm and the hazard ratio over time under the primary prior, from the model that leaves the
    hazard ratio free where it was fitted; and the hazard ratio for all times under every prior.

    Parameters
    ----------
    reanalysis
        With a piecewise model.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` without a piecewise model.
    """
    rows = reanalysis.prior_predictive
    curves = rows[rows["prior"].eq(primary_prior(reanalysis)) & rows["time"].notna()]
    model = next((name for name in CURVES if curves["model"].eq(name).any()), None)
    if model is None:
        return None
    curves = curves[curves["model"].eq(model)]
    ratios = rows[rows["estimand"].eq("hazard_ratio") & rows["time"].isna()]
    panels = [f"survival_{arm}" for arm in ARMS]
    panels += ["hazard_ratio"] if curves["estimand"].eq("hazard_ratio").any() else []
    number = len(panels) + (len(ratios) > 0)
    columns = 2 if is_wide(width_mm) else 1
    lines = -(-number // columns)
    figure = new_figure(width_mm, lines * 58 + 18)
    axes = list(figure.subplots(lines, columns, squeeze=False).flat)
    for place, estimand in zip(axes, panels, strict=False):
        _curve(place, reanalysis, curves[curves["estimand"].eq(estimand)], estimand)
    if len(ratios):
        _by_prior(axes[len(panels)], ratios)
    for place in axes[number:]:
        place.remove()
    _scale_of_change(axes, panels, rows)
    _legend(figure, columns)
    return figure


def _curve(axes: Axes, reanalysis: Reanalysis, rows: pd.DataFrame, estimand: str) -> None:
    """Draw bands of the prior over time, and the posterior on top of them."""
    last = last_time(reanalysis, rows["time"].to_numpy())
    kept = rows[rows["time"].lt(last).shift(fill_value=True)]  # up to the end of the interval that holds the last
    ratio = estimand == "hazard_ratio"
    start = np.nan if ratio else 1.0

    def steps(name: str) -> tuple[Any, Any]:
        """Return times and values, survival from 1 at time 0; the hazard ratio holds within each interval."""
        values = kept[name].to_numpy()
        return np.append(0.0, kept["time"]), np.append(values[0] if ratio else start, values)

    draw: dict[str, Any] = {"drawstyle": "steps-pre"} if ratio else {}
    for low, high, shade in BANDS:
        times, bottom = steps(f"prior_{low}")
        band: dict[str, Any] = {"step": "pre"} if ratio else {}
        axes.fill_between(times, bottom, steps(f"prior_{high}")[1], color=PALE, alpha=shade, linewidth=0, **band)
    axes.plot(*steps("prior_median"), color=GREY, linewidth=0.9, **draw)
    colour = BLACK if ratio else ARM_STYLES[estimand.removeprefix("survival_")].colour
    for name, line, width in (("median", "-", 1.5), ("lower", "--", 0.9), ("upper", "--", 0.9)):
        axes.plot(*steps(f"posterior_{name}"), color=colour, linestyle=line, linewidth=width, **draw)
    unit = reanalysis.record.time_unit
    axes.set_xlim(0, last * 1.01)
    axes.set_xticks(time_ticks(last, unit))
    axes.set_xlabel(f"Time since randomisation ({unit})")
    if ratio:
        ratio_axis(axes, "y", LOWEST, HIGHEST, RATIO_TICKS)
        axes.set_title("Hazard ratio over time (log scale)", loc="left")
        return
    arm = estimand.removeprefix("survival_")
    label = next(reanalysis.record.arm(name).label or name for name in ARMS if name == arm)
    axes.set_ylim(0, 1.005)
    axes.set_title(f"Survival, {label}", loc="left")


def _by_prior(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the hazard ratio for all times, before and after, under every prior."""
    for place, (_, row) in enumerate(rows.iterrows()):
        for low, high, shade in BANDS:
            left, right = (float(np.clip(row[f"prior_{name}"], LOWEST / 2, HIGHEST * 2)) for name in (low, high))
            axes.barh(place, right - left, 0.62, left, color=PALE, alpha=shade)
        axes.plot(
            [row["posterior_lower"], row["posterior_upper"]], [place] * 2, color=BLACK, linestyle="--", linewidth=0.9
        )
        axes.plot([row["posterior_median"]], [place], color=BLACK, marker="|", markersize=8, markeredgewidth=1.5)
        axes.plot([row["prior_median"]], [place], color=GREY, marker="|", markersize=10)
    axes.set_yticks(range(len(rows)), list(rows["prior"]))
    spare = max(FEWEST_BARS - len(rows), 0) / 2
    axes.set_ylim(len(rows) - 0.5 + spare, -0.5 - spare)
    axes.tick_params(axis="y", length=0)
    ratio_axis(axes, "x", LOWEST, HIGHEST, RATIO_TICKS)
    axes.axvline(1, color=GREY, linewidth=0.6, zorder=0)
    axes.set_title("Hazard ratio for all times, by prior (log scale)", loc="left")


def _scale_of_change(axes: list[Axes], panels: list[str], rows: pd.DataFrame) -> None:
    """Write how far the hazard ratio changes over time, before and after."""
    lines = []
    for estimand, what in CHANGES.items():
        for _, row in rows[rows["estimand"].eq(estimand)].head(1).iterrows():
            lines += [what, ", ".join(f"{side} {_with_interval(row, side)}" for side in ("prior", "posterior"))]
    if "hazard_ratio" in panels and lines:
        place = axes[panels.index("hazard_ratio")]
        ratios = rows.loc[rows["estimand"].eq("hazard_ratio") & rows["time"].notna(), "posterior_median"]
        height, side = (0.97, "top") if ratios.median() < 1 else (0.03, "bottom")  # away from the posterior
        place.text(0.03, height, "\n".join(lines), va=side, transform=place.transAxes, fontsize=6.5)


def _with_interval(row: pd.Series, side: str) -> str:
    median, lower, upper = (row[f"{side}_{name}"] for name in ("median", "lower", "upper"))
    return f"{median:.2f} ({lower:.2f}\N{EN DASH}{upper:.2f})"


def _legend(figure: Figure, columns: int) -> None:
    handles: list[Any] = [
        Patch(color=PALE, alpha=shade, label=f"Prior: {share}%")
        for (*_, shade), share in zip(BANDS, (95, 50), strict=True)
    ]
    handles.append(Line2D([], [], color=GREY, linewidth=0.9, label="Prior: median"))
    handles.append(Line2D([], [], color=BLACK, linewidth=1.5, label="Posterior: median"))
    handles.append(Line2D([], [], color=BLACK, linewidth=0.9, linestyle="--", label="Posterior: 95%"))
    figure.legend(handles=handles, loc="outside lower left", ncols=5 if columns > 1 else 2, columnspacing=1.5)
