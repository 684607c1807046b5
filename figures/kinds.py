"""The figures by name, drawing one and writing all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from ..data.disk import new_file
from ..data.errors import InputError, input_error
from ..inference import Reanalysis
from .alternatives import alternatives
from .checks import checks, partition_checks
from .diagnostics import diagnostics
from .evidence import evidence
from .forest import forest, partition_forest
from .hazard_ratio import hazard_ratio
from .imbalance import imbalance
from .partition_priors import partition_priors
from .prior_predictive import prior_predictive
from .priors import priors
from .shrinkage import shrinkage
from .strata import partitions_of
from .strata_survival import strata_survival
from .style import WIDE, styled
from .surface import surface
from .survival import survival
from .threshold import threshold
from .tipping import partition_tipping, tipping

Draw = Callable[[Reanalysis, float], Figure | None]
DrawPartition = Callable[[Reanalysis, str, float], Figure | None]

KINDS: Mapping[str, Draw] = {
    "forest": forest,
    "survival": survival,
    "hazard-ratio": hazard_ratio,
    "priors": priors,
    "imbalance": imbalance,
    "evidence": evidence,
    "checks": checks,
    "prior-predictive": prior_predictive,
    "alternatives": alternatives,
    "surface": surface,
    "tipping": tipping,
    "diagnostics": diagnostics,
}
PARTITION_KINDS: Mapping[str, DrawPartition] = {
    "forest": partition_forest,
    "shrinkage": shrinkage,
    "survival": strata_survival,
    "threshold": threshold,
    "checks": partition_checks,
    "priors": partition_priors,
    "tipping": partition_tipping,
}
NARROWEST, WIDEST = 80.0, 400.0
DPI = 200


def figure_names(reanalysis: Reanalysis, kind: str = "all") -> list[str]:
    """Return the names of the figures of one kind, or of all, that a reanalysis may support.

    Parameters
    ----------
    reanalysis
        What to draw.
    kind
        A kind, whose figures by partition come after that of the whole trial; a figure's own name; or ``all``.

    Raises
    ------
    InputError
        For an unknown kind.
    """
    by_partition = [f"{name}-{partition}" for partition in partitions_of(reanalysis) for name in PARTITION_KINDS]
    names = [*KINDS, *by_partition]
    kinds = list(dict.fromkeys([*KINDS, *PARTITION_KINDS]))
    if kind == "all" or (kind in names and kind not in kinds):
        return names if kind == "all" else [kind]
    if kind not in kinds:
        raise input_error("KIND", "", kind, f"not a figure; give one of {', '.join([*kinds, *by_partition])}, or all")
    return [name for name in names if name == kind or (name in by_partition and name.startswith(f"{kind}-"))]


def draw(reanalysis: Reanalysis, name: str, width_mm: float = WIDE) -> Figure | None:
    """Draw one figure in the house style.

    Parameters
    ----------
    reanalysis
        What to draw.
    name
        From `figure_names`: a key of `KINDS`, or one of `PARTITION_KINDS` with a partition, as in ``forest-age``.
    width_mm
        Printed width in millimetres.

    Returns
    -------
    Figure or None
        ``None`` when the reanalysis does not support this figure.

    Raises
    ------
    InputError
        For an unknown name or a width that no figure is legible at.
    """
    if name not in figure_names(reanalysis, name):
        raise input_error(
            "KIND", "", name, f"no figure of these results; give one of {', '.join(figure_names(reanalysis))}"
        )
    if not NARROWEST <= width_mm <= WIDEST:
        raise input_error("--width", "", width_mm, f"must be between {NARROWEST:g} and {WIDEST:g} mm")
    with styled():
        kind, _, partition = name.partition("-")
        whole = KINDS.get(name)
        figure = whole(reanalysis, width_mm) if whole else PARTITION_KINDS[kind](reanalysis, partition, width_mm)
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
        When a file cannot be written.
    """
    folder = Path(directory)
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    with styled(), new_file(paths[0]) as png, new_file(paths[1]) as svg:
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return paths


def write_figures(
    reanalysis: Reanalysis,
    directory: str | Path,
    width_mm: float = WIDE,
    kind: str = "all",
    notify: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the figures that a reanalysis supports, as PNG and SVG.

    Parameters
    ----------
    reanalysis
        What to draw.
    directory
        Where; created when missing.
    width_mm
        Printed width in millimetres.
    kind
        See `figure_names`.
    notify
        Told which figure could not be drawn and why; without it that is an error.

    Returns
    -------
    list of Path
        The files; none when the reanalysis does not support the kind.

    Raises
    ------
    InputError
        As `figure_names`, `draw` and `write_figure`.
    """
    drawn = ((name, _drawn(reanalysis, name, width_mm, notify)) for name in figure_names(reanalysis, kind))
    return [path for name, figure in drawn if figure is not None for path in write_figure(figure, directory, name)]


def _drawn(reanalysis: Reanalysis, name: str, width_mm: float, notify: Callable[[str], None] | None) -> Figure | None:
    """Return a figure; one that cannot be drawn costs nothing else where somebody is told."""
    try:
        return draw(reanalysis, name, width_mm)
    except InputError:
        raise
    except Exception as error:
        if notify is None:
            raise
        notify(f"note: figure {name} is left out, as drawing it failed: {type(error).__name__}: {error}")
        return None
