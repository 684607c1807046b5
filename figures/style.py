"""How figures look: size, type, colours, and the axis on which hazard ratios are read.

Colours are those of Okabe and Ito (2008), which colour-blind people can tell apart; no two things differ by colour
alone. Sizes are in millimetres, as journals give them; type is 6.5 to 8 points at the printed size.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..data.labels import shown_limits

WIDE: Final = 180.0
TWO_COLUMNS: Final = 160.0
MM_PER_INCH: Final = 25.4
CHARACTER_MM: Final = 1.3  # on average
BLACK, GREY, PALE = "#000000", "#6F6F6F", "#BFBFBF"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
RATIO_TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
FINE_RATIO_TICKS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)
END_RATIO_TICKS = (0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 2.0, 3.0, 4.0, 6.0)
BARE = 0.2  # of an axis: the most that may be without a tick at an end

SETTINGS: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.3,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "secondlook",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class ArmStyle:
    """Colour, line and marker of an arm, the same in every figure."""

    colour: str
    line: str
    marker: str


ARM_STYLES: Mapping[str, ArmStyle] = {
    "control": ArmStyle(VERMILLION, "--", "s"),
    "treatment": ArmStyle(BLUE, "-", "o"),
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the house style to what is drawn and saved within; the caller's settings come back afterwards."""
    with rc_context():
        rcdefaults()
        rcParams.update(SETTINGS)
        yield


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """Return an empty figure of this size that no pyplot state knows.

    Parameters
    ----------
    width_mm, height_mm
        Printed size.
    """
    return Figure(figsize=(width_mm / MM_PER_INCH, height_mm / MM_PER_INCH), layout="constrained")


def is_wide(width_mm: float) -> bool:
    """Whether a figure spans two columns of a page, so that its legend fits on one line."""
    return width_mm >= TWO_COLUMNS


def fill(text: str, room_mm: float) -> str:
    """Return a text in lines that fit into some millimetres, as labels of axes and titles are printed."""
    return textwrap.fill(text, int(room_mm / CHARACTER_MM))


def ratio_axis(axes: Axes, which: str, low: float, high: float, ticks: tuple[float, ...] = RATIO_TICKS) -> None:
    """Make one axis a logarithmic axis of hazard ratios with plain numbers as ticks.

    Parameters
    ----------
    axes
        Where.
    which
        ``x`` or ``y``.
    low, high
        Limits, on the scale of the hazard ratio.
    ticks
        Hazard ratios to label, where they lie within the limits; an end that they leave bare has one more.
    """
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(FixedLocator(_covering(ticks, low, high)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _covering(ticks: Sequence[float], low: float, high: float) -> list[float]:
    """Return the ticks within the limits, and one more at each end that they leave bare."""
    inside = [tick for tick in ticks if low <= tick <= high]
    first, last = (inside[0], inside[-1]) if inside else (high, low)
    bare, apart = (high / low) ** BARE, (high / low) ** (BARE / 2)
    lower = [tick for tick in END_RATIO_TICKS if low <= tick <= first / apart] if first > low * bare else []
    upper = [tick for tick in END_RATIO_TICKS if last * apart <= tick <= high] if last < high / bare else []
    return sorted({*lower[:1], *inside, *upper[-1:]})


def time_ticks(last: float, unit: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return ticks of a time axis from 0 to ``last``: every 3, 6 or 12 months, and round steps in other units."""
    if unit == "months" and last <= 132:
        step = 12.0 if last > 36 else 6.0 if last > 18 else 3.0
    else:
        step = _round_step(last / 7, 12.0 if unit == "months" else 1.0)
    return np.arange(0.0, last * (1 + 1e-9), step)


def _round_step(rough: float, unit: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5, 10, ... times ``unit`` that is not below ``rough``."""
    power = 10.0 ** np.floor(np.log10(rough / unit))
    return unit * float(
        next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor * unit >= rough * 0.999)
    )


def interval_text(middle: float, lower: float, upper: float) -> str:
    """Return a ratio and its interval as papers print them, such as ``0.66 (0.49–0.88)``."""  # noqa: RUF002
    low, high = shown_limits(lower, upper)
    return f"{middle:.2f} ({low:.2f}\N{EN DASH}{high:.2f})"


def probability_text(probability: float) -> str:
    """Return a probability to three digits, never as a certainty."""
    if probability >= 0.9995:
        return ">0.999"
    return "<0.001" if probability < 0.0005 else f"{probability:.3f}"
