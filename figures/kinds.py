"""The figures by name, drawing one and writing all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ..data.errors import input_error
from ..inference import Reanalysis
from .diagnostics import diagnostics
from .forest import forest
from .hazard_ratio import hazard_ratio
from .imbalance import imbalance
from .priors import priors
from .style import WIDE, styled
from .survival import survival

Draw = Callable[[Reanalysis, float], Figure | None]

KINDS: Mapping[str, Draw] = {
    "forest": forest,
    "survival": survival,
    "hazard-ratio": hazard_ratio,
    "priors": priors,
    "imbalance": imbalance,
    "diagnostics": diagnostics,
}
NARROWEST, WIDEST = 80.0, 400.0
DPI = 200


def draw(reanalysis: Reanalysis, kind: str, width_mm: float = WIDE) -> Figure | None:
    """Draw one figure in the house style.

    Parameters
    ----------
    reanalysis
        What to draw.
    kind
        A key of `KINDS`.
    width_mm
        Printed width in millimetres.

    Returns
    -------
    Figure or None
        ``None`` when the reanalysis does not support this figure.

    Raises
    ------
    InputError
        For an unknown kind or a width that no figure is legible at.
    """
    if kind not in KINDS:
        raise input_error("KIND", "", kind, f"not a figure; give one of {', '.join(KINDS)}")
    if not NARROWEST <= width_mm <= WIDEST:
        raise input_error("--width", "", width_mm, f"must be between {NARROWEST:g} and {WIDEST:g} mm")
    with styled():
        figure = KINDS[kind](reanalysis, width_mm)
        if figure is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # the layout is made: saving need not make it again
        return figure


def write_figure(figure: Figure, directory: str | Path, name: str) -> list[Path]:
    """Write a figure as PNG and SVG, the same bytes for the same figure.

    Parameters
    ----------
    figure
        From `draw`.
    directory
        Where; created when missing.
    name
        Name of the files, without ending.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        When the directory cannot be written.
    """
    folder = Path(directory)
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with styled():
            figure.savefig(paths[0], dpi=DPI, metadata={"Software": None})
            figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    except OSError as error:
        raise input_error(str(directory), "", None, f"cannot be written ({error.strerror})") from None
    return paths


def write_figures(reanalysis: Reanalysis, directory: str | Path, width_mm: float = WIDE) -> list[Path]:
    """Write every figure that a reanalysis supports, as PNG and SVG.

    Parameters
    ----------
    reanalysis
        What to draw.
    directory
        Where; created when missing.
    width_mm
        Printed width in millimetres.

    Returns
    -------
    list of Path
        The files, in the order of `KINDS`.
    """
    drawn = ((kind, draw(reanalysis, kind, width_mm)) for kind in KINDS)
    return [path for kind, figure in drawn if figure is not None for path in write_figure(figure, directory, kind)]
