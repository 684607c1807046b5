"""The commands that read saved results: `compare` and `plot`."""

from __future__ import annotations

from pathlib import Path

WIDTH_MM = 180.0


def compare(directory: Path, /) -> None:
    """Print published, Cox and posterior hazard ratios side by side.

    Of known patients also the models, by how well each predicts rows of their table that it has not seen.

    Parameters
    ----------
    directory
        Directory that 'reanalyse' or 'fit' wrote.
    """
    from ..inference import load
    from . import judging, summary

    reanalysis = load(directory)
    summary.comparison(reanalysis.record, reanalysis.comparison)
    judging.model_comparison(reanalysis.model_comparison)


def plot(directory: Path, kind: str, /, *, width: float = WIDTH_MM) -> None:
    """Draw figures from saved results, as PNG and SVG.

    The files are written to the directory's folder 'figures'.

    Parameters
    ----------
    directory
        Directory that 'reanalyse' or 'fit' wrote.
    kind
        forest, survival, shrinkage, threshold, checks, hazard-ratio, priors, prior-predictive, imbalance, evidence or
        diagnostics; or all. The first five also come by partition of the patients: one of them alone is named with
        it, as in forest-age.
    width
        Printed width in millimetres; many subgroups need a whole page (180), or figures grow taller than one.
    """
    from .. import figures
    from ..data.disk import locked
    from ..data.errors import input_error
    from ..inference import load
    from ..inference.storage import check_results
    from . import printing

    check_results(directory)
    with locked(directory):
        paths = figures.write_figures(load(directory), directory / "figures", width, kind)
    if not paths:
        raise input_error(str(directory), "", kind, "these results do not support this figure")
    printing.files(paths)
