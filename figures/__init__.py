"""One function per figure; `write_figures` draws all that a reanalysis supports."""

from .kinds import KINDS, PARTITION_KINDS, draw, figure_names, write_figure, write_figures

__all__ = ["KINDS", "PARTITION_KINDS", "draw", "figure_names", "write_figure", "write_figures"]
