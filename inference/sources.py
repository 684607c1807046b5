"""A trial's survival tables, whatever their source, and the notes that come with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from ..data import ARMS, InputError, Record
from ..data.curves import RebuiltCurves
from ..data.imputed import Imputed
from ..data.patient_table import patient_table
from ..data.patients import read_patients
from ..data.rebuilding import SOURCES, rebuild
from .imputations import Imputations
from .options import Options

Notify = Callable[[str], None]


def tell_nobody(_: str) -> None:
    """Tell nobody."""


class Notes(list[str]):
    """What a reader must know; each note is told at once."""

    def __init__(self, notify: Notify) -> None:
        super().__init__()
        self.progress = notify
        self.warnings: list[str] = []

    def add(self, note: str) -> None:
        """Keep a note and tell it."""
        self.append(note)
        self.tell(note)

    def warn(self, warning: str) -> None:
        """Keep what must stand beside every result, and tell it once."""
        if warning not in self.warnings:
            self.warnings.append(warning)
            self.progress(f"warning: {warning}")

    def take(self, made: Imputed) -> None:
        """Keep and tell what a rebuilt trial says of itself."""
        for warning in made.warnings:
            self.warn(warning)
        for note in made.notes:
            if note not in made.warnings:
                self.add(note)

    def tell(self, note: str) -> None:
        """Tell a note that need not be kept: results hold what it is about."""
        self.progress(f"note: {note}")


def tables_of(record: Record, partitions: Sequence[str], options: Options, notes: Notes) -> dict[str, Imputations]:
    """Return a trial's tables by partition; one that the record does not print enough for is left out, with a note.

    Parameters
    ----------
    record
        The trial.
    partitions
        Names of partitions; ``""`` is the whole trial as one stratum.
    options
        Seed and horizon.
    notes
        Where notes go.
    """
    if partitions:
        record.check_both_arms("models")
    if record.source == "patients" and partitions:
        patients = read_patients(record, notes.add)
        found = {name: Imputations(patient_table(patients, record, name, notes.add), patients) for name in partitions}
        if record.curve:
            notes.add("the record names patients: its digitised curves are not used")
        for note in _miscounted(record, patients):
            notes.add(note)
        return found
    found = {}
    curves = None
    for partition in partitions:
        about = f"{record.id} by {partition}" if partition else record.id
        notes.progress(f"rebuilding survival of {about} from {SOURCES[bool(record.curve)]}")
        how = {"imputations": options.imputations, "seed": options.seed}
        try:
            made = rebuild(record, partition, **how, horizon=options.horizon, curves=curves)
        except InputError as error:
            if record.curve and not partition:  # a file that is wrong, not a paper that says too little
                raise
            for problem in error.problems:
                notes.add(str(problem))
            if not partition:
                return found
            continue
        notes.take(made)
        curves = made if isinstance(made, RebuiltCurves) else curves
        found[partition] = Imputations(made)
    return found


def _miscounted(record: Record, patients: pd.DataFrame) -> Iterator[str]:
    """Yield where the record's counts are not those of its patients."""
    for arm in ARMS:
        events = patients.loc[patients["arm"].eq(arm), "event"]
        for name, found in (("patients", len(events)), ("events", int(events.sum()))):
            printed = getattr(record.arm(arm), name)
            if printed not in (None, found):
                yield f"arms.{arm}.{name} is {printed}, but the patients' data hold {found}, which are analysed"
