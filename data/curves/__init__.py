"""Patients rebuilt from digitised Kaplan-Meier curves.

See `reading` for what files may look like, `path` for the arithmetic of deaths, censored and survival, `chain` for
how whole deaths are found behind noisy points, `rebuilding` for one arm and `rebuilt` for the trial.
"""

from .reading import DigitisedCurve, read_curves
from .rebuilt import RebuiltCurves, rebuild_curves

__all__ = ["DigitisedCurve", "RebuiltCurves", "read_curves", "rebuild_curves"]
