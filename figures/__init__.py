"""One function per figure; `write_figures` draws all that a reanalysis supports."""

from .kinds import KINDS, draw, write_figure, write_figures

__all__ = ["KINDS", "draw", "write_figure", "write_figures"]
