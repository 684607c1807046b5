"""Trial records, their audit, and everything that turns a source into a survival table."""

from .errors import InputError, Problem
from .fields import ARMS
from .printed import Printed
from .reading import built_in_trials, load_record
from .record import Record
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
