"""The probability of benefit over mean and SD of a normal prior, with the named priors marked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke

from ..inference import Reanalysis
from .style import BLACK, WIDE, is_wide, new_figure, ratio_axis

LEVELS = (0.0, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 1.0)
LINES = (0.5, 0.9, 0.95, 0.975)
COLOURS = "cividis"  # even to colour-blind eyes
TICKS = (0.25, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)
SD_TICKS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
HALO: list[AbstractPathEffect] = [withStroke(linewidth=2.0, foreground="white")]


def surface(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw the probabilities of benefit and of a meaningful benefit over mean and SD of a normal prior.

    Parameters
    ----------
    reanalysis
        With rows ``prior mean and SD`` in its sensitivity.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when the surface was not computed.
    """
    rows = reanalysis.sensitivity[reanalysis.sensitivity["varied"].eq("prior mean and SD")]
    if rows.empty:
        return None
    wide = is_wide(width_mm)
    figure = new_figure(width_mm, 84 if wide else 150)
    panels = figure.subplots(*((1, 2) if wide else (2, 1)), sharex=True, sharey=True)
    threshold = reanalysis.run.get("options", {}).get("benefit_threshold", 0.80)
    columns = {"prob_benefit": "P(HR < 1)", "prob_meaningful": f"P(HR < {threshold:.2f})"}
    for axes, (column, title) in zip(panels, columns.items(), strict=True):
        filled = _draw(axes, rows, column)
        _mark(axes, reanalysis, rows)
        axes.set_title(title, loc="left")
    panels[0].set_ylabel("SD of the prior (log hazard ratio)")
    dots = " (white dots: sampled afresh)" if rows["resampled"].astype(bool).any() else ""
    figure.supxlabel(f"Median hazard ratio of the prior{dots}", fontsize=7.5)
    bar = figure.colorbar(filled, ax=list(panels), shrink=0.9, pad=0.02, ticks=LEVELS, aspect=30)
    bar.ax.set_yticklabels([f"{level:g}" for level in LEVELS])
    bar.set_label("Posterior probability")
    return figure


def _draw(axes: Axes, rows: pd.DataFrame, column: str) -> QuadContourSet:
    means, sds = np.unique(rows["prior_mean"].round(6)), np.unique(rows["prior_sd"].round(6))
    ordered = rows.sort_values(["prior_sd", "prior_mean"], kind="stable")
    values = ordered[column].to_numpy(dtype=float).reshape(len(sds), len(means))
    ratios = np.exp(means)
    norm = BoundaryNorm(LEVELS, 256)
    filled = axes.contourf(ratios, sds, values, levels=LEVELS, cmap=COLOURS, norm=norm)
    lines = axes.contour(ratios, sds, values, levels=LINES, colors=BLACK, linewidths=0.7)
    for text in axes.clabel(lines, fmt=lambda level: f"{level:g}", fontsize=6.5):
        text.set_path_effects(HALO)
    afresh = ordered[ordered["resampled"].astype(bool)]
    style: dict[str, Any] = {
        "linestyle": "none",
        "marker": ".",
        "markersize": 1.5,
        "color": "white",
        "gid": "sampled afresh",
    }
    axes.plot(np.exp(afresh["prior_mean"]), afresh["prior_sd"], **style)
    ratio_axis(axes, "x", ratios[0], ratios[-1], TICKS)
    axes.set_yscale("log")
    axes.set_ylim(sds[0], sds[-1])
    axes.set_yticks(SD_TICKS, [f"{tick:g}" for tick in SD_TICKS])
    axes.minorticks_off()
    return filled


def _mark(axes: Axes, reanalysis: Reanalysis, rows: pd.DataFrame) -> None:
    """Mark the named priors; those too wide for the axis on its edge, with their SD."""
    named, top = named_priors(reanalysis, rows), axes.get_ylim()[1]
    for name, mean, sd in named:
        inside = sd <= top
        place = np.exp(mean), min(sd, top)
        looks: dict[str, Any] = {"markersize": 4.5, "color": "white", "markeredgecolor": BLACK, "linestyle": "none"}
        axes.plot(*place, marker="o" if inside else "^", clip_on=False, gid=name, zorder=5, **looks)
        below = any(_near(mean, sd, other) for other in named if other[2] > sd)
        axes.annotate(
            name if inside else f"{name} (SD {sd:g})",
            place,
            xytext=(0, -8 if below or not inside else 8),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6.5,
            path_effects=HALO,
            zorder=6,
        )


def _near(mean: float, sd: float, other: tuple[str, float, float]) -> bool:
    """Whether another prior's label would lie on this one's."""
    return abs(mean - other[1]) < 0.3 and other[2] / sd < 1.3


def named_priors(reanalysis: Reanalysis, rows: pd.DataFrame) -> list[tuple[str, float, float]]:
    """Return name, mean and SD of the named priors that the model of some rows was fitted under.

    Parameters
    ----------
    reanalysis
        What was found.
    rows
        Rows of its sensitivity, of one hazard ratio.
    """
    every = reanalysis.sensitivity
    same = every["model"].eq(rows["model"].iloc[0]) & every["label"].eq(rows["label"].iloc[0])
    named = every[same & every["varied"].eq("prior") & every["partition"].eq("")]
    return [(str(row["prior"]), row["prior_mean"], row["prior_sd"]) for row in named.to_dict("records")]
