"""The commands that read saved results: `compare` and `plot`."""

from __future__ import annotations

from pathlib import Path

from ..data.errors import input_error
from ..inference import load
from . import printing, summary

WIDTH_MM = 180.0


def compare(directory: Path, /) -> None:
    """Print published, Cox and posterior hazard ratios side by side.

    Parameters
    ----------
    directory
        Directory that 'reanalyse' or 'fit' wrote.
    """
    reanalysis = load(directory)
    summary.comparison(reanalysis.record, reanalysis.comparison)


def plot(directory: Path, kind: str, /, *, width: float = WIDTH_MM) -> None:
    """Draw a figure from saved results, as PNG and SVG.

    The files are written to the directory's folder 'figures'.

    Parameters
    ----------
    directory
        Directory that 'reanalyse' or 'fit' wrote.
    kind
        forest, survival, hazard-ratio, priors, imbalance or diagnostics; or all.
    width
        Printed width in millimetres.
    """
    from .. import figures

    reanalysis, folder = load(directory), directory / "figures"
    if kind == "all":
        printing.files(figures.write_figures(reanalysis, folder, width))
        return
    figure = figures.draw(reanalysis, kind, width)
    if figure is None:
        raise input_error(str(directory), "", kind, "these results do not support this figure")
    printing.files(figures.write_figure(figure, folder, kind))
