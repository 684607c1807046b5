"""Sampling, diagnostics, estimands and comparison with the frequentist results."""

from .options import Options
from .prior_grid import prior_grid
from .reanalysis import Reanalysis, evidence, fit, reanalyse
from .storage import load

__all__ = ["Options", "Reanalysis", "evidence", "fit", "load", "prior_grid", "reanalyse"]
