"""Reconstruction of the realised survival table from published numbers.

What is unknown is the realised table, deaths and person-time by stratum, arm and month. Every published number is
a functional of it that must come out within its rounding; what the numbers leave open is carried by imputations,
one table each. See `unknowns` for the prior, `targets` for the functionals, `solver` for the mode and the draws.
"""

from ..imputed import FIT_SHEET_COLUMNS
from .published import Reconstruction, reconstruct
from .strata import check_partition, members_of, outside_partitions
from .targets import Target

__all__ = [
    "FIT_SHEET_COLUMNS",
    "Reconstruction",
    "Target",
    "check_partition",
    "members_of",
    "outside_partitions",
    "reconstruct",
]
