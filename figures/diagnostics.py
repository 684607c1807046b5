"""Densities, traces and ranks of the main parameters by chain, drawn by ArviZ.

Fractional ranks are shown as the difference between their distribution in each chain and the uniform one: chains that
explore the same posterior stay near 0, and ArviZ marks where they do not. Draws are thinned for it to their effective
number, as the test takes them to be independent. Source: Säilynoja, Bürkner and Vehtari 2022, Stat Comput 32:32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..inference import Reanalysis
from ..inference.fitting import Fit
from .selection import fit_of, primary_prior
from .style import BLUE, GREEN, MM_PER_INCH, ORANGE, PURPLE, SKY, VERMILLION, WIDE

MODELS = {"piecewise": "Proportional hazards", "nonproportional": "Hazard ratio free over time"}
SHORT = {"piecewise": "proportional", "nonproportional": "free HR"}
PARAMETERS = {"beta": "log HR", "alpha_step_sd": "step SD,\nlog hazard", "omega_step_sd": "step SD,\nlog HR"}
COLUMNS = {"density": "Density", "trace": "Trace", "rank": "Ranks"}
UNITS = {"density": "Value", "trace": "Draw", "rank": "Rank"}
CHAINS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY)
LINES = ("-", "--", ":", "-.")
RANKS = "ranks: difference from a uniform distribution, and its p-value"
ROW_MM, MARGIN_MM = 22.0, 30.0


def diagnostics(reanalysis: Reanalysis, width_mm: float = WIDE) -> Figure | None:
    """Draw density, trace and ranks by chain of the main parameters of both piecewise models.

    One imputation of each model is shown: the one with the smallest bulk effective sample size.

    Parameters
    ----------
    reanalysis
        With a ``piecewise`` or ``nonproportional`` fit under the primary prior.
    width_mm
        Printed width.

    Returns
    -------
    Figure or None
        ``None`` when neither was fitted.
    """
    fits = [fit for model in MODELS if (fit := fit_of(reanalysis, model)) is not None]
    if not fits:
        return None
    chosen = {fit.model: worst_imputation(reanalysis, fit) for fit in fits}
    draws = xr.merge([_parameters(fit, chosen[fit.model]) for fit in fits], join="outer")
    figure, panels = _drawn_by_arviz(draws, width_mm)
    _dress(panels, draws)
    figure.suptitle(_title(chosen, fits), fontsize=7)
    return figure


def worst_imputation(reanalysis: Reanalysis, fit: Fit) -> int:
    """Return the imputation of a fit whose reported quantities have the smallest bulk effective sample size."""
    rows = reanalysis.diagnostics
    rows = rows[rows["model"].eq(fit.model) & rows["prior"].eq(primary_prior(reanalysis))]
    worst = rows.sort_values("ess_bulk", kind="stable")["imputation"].to_numpy()
    return int(worst[0]) if worst.size else 0


def _parameters(fit: Fit, imputation: int) -> xr.Dataset:
    """Return the main parameters of one imputation, named ``<model> <parameter>``."""
    one = fit.posterior.isel(imputation=imputation, drop=True)
    return one[[name for name in PARAMETERS if name in one]].rename(
        {name: f"{fit.model} {name}" for name in PARAMETERS if name in one}
    )


def _title(chosen: Mapping[str, int], fits: Sequence[Fit]) -> str:
    """Return which imputations are shown and why, and how to read the panels."""
    shown = [
        f"{MODELS[fit.model]}, prior {fit.prior.name}: imputation {chosen[fit.model] + 1} of "
        f"{fit.posterior.sizes['imputation']}"
        for fit in fits
    ]
    return "\n".join([*shown, "(those with the smallest effective sample size); one line per chain;", RANKS])


def _drawn_by_arviz(draws: xr.Dataset, width_mm: float) -> tuple[Figure, xr.Dataset]:
    """Return ArviZ's figure, which pyplot forgets at once, and its axes by parameter and column."""
    import arviz_plots as azp
    from matplotlib import pyplot as plt

    height_mm = ROW_MM * len(draws.data_vars) + MARGIN_MM
    figure_size = {"figsize": (width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), "layout": "constrained"}
    collection = azp.combine_plots(
        xr.DataTree.from_dict({"posterior": draws}),
        [(azp.plot_dist, _DENSITY), (azp.plot_trace, _TRACE), (azp.plot_rank, _rank(draws))],
        plot_names=list(COLUMNS),
        backend="matplotlib",
        figure_kwargs=figure_size,
    )
    figure: Figure = collection.viz["figure"].item()
    plt.close(figure)
    return figure, collection.viz["plot"].to_dataset()


_BARE = {"title": False, "xlabel": False}
_BY_COLOUR: dict[str, Any] = {"aes": {"color": ["chain"], "overlay": ["chain"]}, "color": list(CHAINS)}
_BY_CHAIN = {**_BY_COLOUR, "aes": {**_BY_COLOUR["aes"], "linestyle": ["chain"]}, "linestyle": list(LINES)}
_DENSITY: dict[str, Any] = {
    **_BY_CHAIN,
    "kind": "kde",
    "visuals": {
        **dict.fromkeys(("title", "credible_interval", "point_estimate", "point_estimate_text"), False),
        "dist": {"width": 0.9},
    },
}
_TRACE: dict[str, Any] = {
    **_BY_COLOUR,
    "visuals": {**_BARE, "ticklabels": False, "trace": {"width": 0.35, "alpha": 0.8}},
}


def _rank(draws: xr.Dataset) -> dict[str, Any]:
    return {
        **_BY_CHAIN,
        "thin": True,
        "stats": {"thin": {"factor": thinning(draws)}},
        "visuals": {**_BARE, "remove_axis": False, "ecdf_lines": {"width": 0.9}},
    }


def thinning(draws: xr.Dataset) -> int:
    """Return every how many draws to keep so that as many are left as are effective, in the worst parameter."""
    import arviz_stats as azs

    effective = min(float(azs.ess(draws, method=method).to_array().min()) for method in ("bulk", "tail"))
    return max(1, math.ceil(draws.sizes["chain"] * draws.sizes["draw"] / effective))


def _dress(panels: xr.Dataset, draws: xr.Dataset) -> None:
    names = list(draws.data_vars)
    for column in COLUMNS:
        of_column = [panels[name].sel(column=column).item() for name in names]
        of_column[0].set_title(COLUMNS[column])
        of_column[-1].set_xlabel(UNITS[column])
    for name in names:
        density, trace, rank = (panels[name].sel(column=column).item() for column in COLUMNS)
        _dress_row(density, trace, rank, str(name))


def _dress_row(density: Axes, trace: Axes, rank: Axes, name: str) -> None:
    model, parameter = name.split(" ")
    density.set_ylabel(f"{SHORT[model]}:\n{PARAMETERS[parameter]}")
    density.set_yticks([])
    for line in trace.lines:
        line.set_rasterized(True)  # thousands of points: as vectors they would be most of the file
    rank.axhline(0, color="black", linewidth=0.5)
    farthest = 1.35 * max(float(np.abs(line.get_ydata()).max()) for line in rank.lines)
    rank.set_ylim(-farthest, farthest)
    for text in rank.texts:  # ArviZ's p-value of uniformity, put where it hides nothing
        text.set(
            text=text.get_text().split("(")[0].replace("=", " = ").strip().replace("= 0.00", "< 0.01"),
            transform=rank.transAxes,
            position=(0.02, 0.97),
            va="top",
        )
