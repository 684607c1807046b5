"""The overall hazard ratio's posterior density under each prior, with the region of benefit shaded."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from ..inference import Reanalysis
from ..inference.conflict import overall_draws as log_ratio_draws
from ..inference.fitting import Fit
from .selection import Array, flat
from .style import (
    BLACK,
    BLUE,
    GREY,
    MM_PER_INCH,
    PALE,
    RATIO_TICKS,
    WIDE,
    fill,
    interval_text,
    is_wide,
    new_figure,
    probability_text,
    ratio_axis,
)

GRID = 401
MOST_DRAWS = 40_000  # a density estimate gains nothing from more
BANDWIDTH = 0.18  # in SDs: Scott's rule for 5,000 independent draws, as draws are not independent
MARGINS_MM = 8.0  # beside the label of the axis
LEAST, MOST = np.log(0.25), np.log(2.5)  # at least this much of the axis is shown


def priors(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw prior and posterior density of the overall hazard ratio, one panel per prior.

    Parameters
    ----------
    reanalysis
        With ``piecewise`` fits, or ``effects`` fits of a record that prints the overall hazard ratio.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when nothing is said about the overall hazard ratio.
    """
    shown = _fits(reanalysis)
    if not shown:
        return None
    figure = new_figure(width_mm, 20 * len(shown) + (16 if is_wide(width_mm) else 24))
    panels = figure.subplots(len(shown), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    draws = [overall_draws(reanalysis, fit) for fit in shown]
    grid = _grid(draws)
    for axes, fit, values in zip(panels, shown, draws, strict=True):
        _draw_panel(axes, reanalysis, fit, grid, values)
    panels[0].set_ylim(0, None)
    _dress(panels[-1], reanalysis, grid, width_mm)
    _legend(figure, panels[0])
    return figure


def _fits(reanalysis: Reanalysis) -> list[Fit]:
    """Return one fit per prior, in the order of the run, of the model that the overall estimates come from."""
    rows = reanalysis.headline()
    model = rows["model"].iloc[0] if len(rows) else None
    by_prior = {fit.prior.name: fit for fit in reanalysis.fits if fit.model == model and fit.prior.name in rows.index}
    return [by_prior[name] for name in reanalysis.run["resolved"]["priors"] if name in by_prior]


def overall_draws(reanalysis: Reanalysis, fit: Fit) -> Array:
    """Return draws of the overall log hazard ratio: about `MOST_DRAWS`, evenly from all chains and imputations."""
    draws = log_ratio_draws(reanalysis.record, fit)
    assert draws is not None  # fits about the overall hazard ratio have it
    return flat(draws.isel(draw=slice(None, None, -(-draws.size // MOST_DRAWS))).to_numpy())


def _grid(draws: list[Array]) -> Array:
    low = min(LEAST, *(float(np.quantile(values, 0.001)) for values in draws))
    high = max(MOST, *(float(np.quantile(values, 0.999)) for values in draws))
    return np.linspace(low, high, GRID)


def _draw_panel(axes: Axes, reanalysis: Reanalysis, fit: Fit, grid: Array, draws: Array) -> None:
    ratios, density = np.exp(grid), gaussian_kde(draws, bw_method=BANDWIDTH)(grid)
    benefit = grid <= 0
    harm = grid >= 0
    axes.fill_between(ratios[harm], density[harm], color=PALE, alpha=0.8, linewidth=0, label="posterior, HR above 1")
    axes.fill_between(
        ratios[benefit], density[benefit], color=BLUE, alpha=0.45, linewidth=0, label="posterior, HR below 1: benefit"
    )
    axes.plot(ratios, density, color=BLUE, label="_posterior", gid="posterior")
    axes.plot(
        ratios,
        np.exp(fit.prior.log_density(grid)),
        color=BLACK,
        linestyle="--",
        linewidth=1,
        label="prior on the log HR",
        gid="prior",
    )
    axes.axvline(1, color=GREY, linewidth=0.8)
    _write(axes, reanalysis, fit)


def _write(axes: Axes, reanalysis: Reanalysis, fit: Fit) -> None:
    columns = ["median", "lower", "upper", "prob_benefit"]
    estimate = reanalysis.headline()[columns].loc[[fit.prior.name]].to_numpy(dtype=float)
    median, lower, upper, benefit = map(float, estimate[0])
    name = fit.prior.name if "," in fit.prior.name else fit.prior.name.capitalize()
    axes.text(0, 0.92, name, transform=axes.transAxes, va="top", fontweight="bold", fontsize=8)
    axes.text(
        0,
        0.68,
        fit.prior.summary.replace("-", "\N{MINUS SIGN}"),
        transform=axes.transAxes,
        va="top",
        fontsize=7,
        color=GREY,
    )
    found = f"HR {interval_text(median, lower, upper)}"
    chance = f"P(benefit) = {probability_text(benefit)}"
    axes.text(1, 0.92, chance, transform=axes.transAxes, va="top", ha="right", fontweight="bold")
    axes.text(1, 0.68, found, transform=axes.transAxes, va="top", ha="right", fontsize=7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _dress(axes: Axes, reanalysis: Reanalysis, grid: Array, width_mm: float) -> None:
    arms = reanalysis.record.arms
    ratio_axis(
        axes,
        "x",
        float(np.exp(grid[0])),
        float(np.exp(grid[-1])),
        (0.25, 0.33, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, *RATIO_TICKS[-2:]),
    )
    label = f"Hazard ratio ({arms.treatment.label} / {arms.control.label}), log scale; density of its logarithm"
    axes.set_xlabel(fill(label, width_mm - MARGINS_MM))


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda place: ("benefit" not in labels[place], labels[place]))
    figure.legend(
        [handles[place] for place in order],
        [labels[place] for place in order],
        loc="outside upper center",
        ncols=3 if is_wide(figure.get_figwidth() * MM_PER_INCH) else 1,
    )
