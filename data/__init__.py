"""Trial records, their audit, and everything that turns a source into a survival table."""

from .errors import InputError, Problem
from .printed import Printed
from .reading import built_in_trials, load_record
from .record import ARMS, Record
from .subgroup import OVERALL, Subgroup

__all__ = [
    "ARMS",
    "OVERALL",
    "InputError",
    "Printed",
    "Problem",
    "Record",
    "Subgroup",
    "built_in_trials",
    "load_record",
]
