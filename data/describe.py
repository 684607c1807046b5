"""Records described: as tables of text for people, as a JSON schema for editors, as a template to fill in.

Nothing here draws or prints: a `Section` is a titled table of text that a terminal or a notebook can show as
it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from .characteristics import Cell
from .errors import input_error
from .fields import ARMS, ArmId, Estimate, Item
from .outcomes import HazardRatio, Proportion
from .reading import built_in_trials, load_record
from .record import Record
from .subgroup import Subgroup

Row = tuple[str, ...]
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
AUDIT_ONLY = "audit only"


@dataclass(frozen=True)
class TrialSummary:
    """One trial in a line.

    Parameters
    ----------
    id, title, endpoint
        As in the record.
    patients, events
        Of both arms together; ``None`` when the record does not have them.
    source
        What supplies the time structure: ``published``, ``curves`` or ``patients``.
    hazard_ratio
        The printed overall hazard ratio with its interval, such as ``0.66 (0.49 to 0.88)``; empty without.
    """

    id: str
    title: str
    endpoint: str
    patients: int | None
    events: int | None
    source: str
    hazard_ratio: str


@dataclass(frozen=True)
class Section:
    """A titled table of text.

    Parameters
    ----------
    title
        What the table is about.
    columns
        Names of its columns.
    rows
        Text by row and column; empty text for what is not printed.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def write_template(path: str | Path) -> None:
    """Write a commented record to fill in.

    Parameters
    ----------
    path
        File to write; its name must end in ``.toml``, and it must not exist.

    Raises
    ------
    InputError
        When the file exists, is not called ``.toml``, or cannot be written.
    """
    if Path(path).suffix != ".toml":
        raise input_error(str(path), "", None, "the name of a record must end in .toml")
    text = (files(__package__) / "template.toml").read_text(encoding="utf-8")
    try:
        with Path(path).open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise input_error(str(path), "", None, "exists already and is left as it is; give a new name") from None
    except OSError as error:
        raise input_error(str(path), "", None, f"cannot be written ({error.strerror})") from None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a record, for editors that complete and check TOML files."""
    schema = Record.model_json_schema(by_alias=True)
    return {"$schema": SCHEMA_DIALECT, **schema, "title": "secondlook trial record"}


def describe_trials() -> list[TrialSummary]:
    """Return a line for each trial that comes with the package, in alphabetical order of id."""
    return [summarise(load_record(trial)) for trial in built_in_trials()]


def summarise(record: Record) -> TrialSummary:
    """Return a record in one line.

    Parameters
    ----------
    record
        The trial.
    """
    overall = record.overall_hazard_ratio
    return TrialSummary(
        id=record.id,
        title=record.title,
        endpoint=record.endpoint,
        patients=_total(record, "patients"),
        events=_total(record, "events"),
        source=record.source,
        hazard_ratio=_overall_ratio(overall) if overall else "",
    )


def describe_record(record: Record) -> list[Section]:
    """Return everything a record holds, as tables in the order in which the record lists it.

    Parameters
    ----------
    record
        The trial.

    Returns
    -------
    list of Section
        Sections without an item are left out. Items that only the audit reads say so beside their source.
    """
    sections = [Section(title, columns, tuple(rows(record))) for title, columns, rows in _SECTIONS]
    return [section for section in sections if section.rows]


def _total(record: Record, name: str) -> int | None:
    counts: list[int | None] = [getattr(record.arm(arm), name) for arm in ARMS]
    both = [count for count in counts if count is not None]
    printed: int | None = getattr(record.totals, name, None)
    return sum(both) if len(both) == len(ARMS) else printed


def _text(value: object) -> str:
    """Return a number or a text as it is shown; empty for what is not printed."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _estimate(item: Estimate | None) -> str:
    """Return ``0.66 (0.49 to 0.88)``; the level is spelled out when it is not 95%."""
    estimate = getattr(item, "estimate", None)
    if item is None or estimate is None:
        return ""
    if item.ci is None:
        return str(estimate)
    level = "" if item.level == 0.95 else f", {100 * item.level:g}% CI"
    return f"{estimate} ({item.ci[0]} to {item.ci[1]}{level})"


def _overall_ratio(row: HazardRatio) -> str:
    """Return a trial's hazard ratio as printed; a comparison that is inverted on reading is spelled out."""
    return _estimate(row) + (f", {row.comparison}" if row.inverted else "")


def _source(item: Item) -> str:
    return ", ".join(filter(None, (item.source, "" if item.use else AUDIT_ONLY)))


def _arm(record: Record, arm: ArmId | None) -> str:
    return record.arm(arm).label if arm else "both"


def _patients(record: Record, where: Subgroup | None) -> str:
    """Return whom a subgroup consists of, such as ``ER/PR +, HER2 -``."""
    if where is None:
        return ""
    parts = (f"{record.factors[name].label} {' or '.join(levels)}" for name, levels in where.restrictions)
    return ", ".join(parts) or "all patients"


def _trial(record: Record) -> Iterator[Row]:
    citation = record.citation
    yield "id", record.id
    yield "title", record.title
    yield "endpoint", f"{record.endpoint}, in {record.time_unit}"
    yield "source", record.source
    yield from ([("landmarks", ", ".join(map(_text, record.landmark_times())))] if record.landmark_times() else [])
    yield from [("horizon", _text(record.horizon))] if record.horizon else []
    yield from [("citation", citation.text)] if citation else []
    yield from [("doi", citation.doi)] if citation and citation.doi else []
    if evidence := record.evidence:
        yield "question", evidence.question
        yield from [("update of", evidence.update_of)] if evidence.update_of else []
        yield from (("sister trial", name) for name in evidence.trials)
    if record.recruitment:
        recruitment = record.recruitment
        yield (
            "recruitment",
            f"{recruitment.start} to {recruitment.end} ({_source(recruitment)})".removesuffix(" ()"),
        )


def _arms(record: Record) -> Iterator[Row]:
    for name in ARMS:
        arm = record.arm(name)
        yield name, arm.label, _text(arm.patients), _text(arm.events), arm.source
    if totals := record.totals:
        yield "both", "", _text(totals.patients), _text(totals.events), _source(totals)


def _design(record: Record) -> Iterator[Row]:
    design = record.design
    if design is not None:
        values = (
            (name, getattr(design, name)) for name in type(design).model_fields if name not in Item.model_fields
        )
        yield from ((name.replace("_", " "), _text(value)) for name, value in values if value is not None)
        if ratio := design.hazard_ratio:
            yield "hazard ratio (from the survival probabilities)", f"{ratio:.3f}"
        yield "source", _source(design)


def _intercurrent(record: Record) -> Iterator[Row]:
    for item in record.intercurrent:
        yield item.label, _text(item.n), _arm(record, item.arm), item.strategy, _source(item)


def _flow(record: Record) -> Iterator[Row]:
    for box in record.flow:
        arm = record.arm(box.arm).label if box.arm else ""
        yield box.label, _text(box.n), arm, _text(box.parent), _source(box)


def _follow_up(record: Record) -> Iterator[Row]:
    for item in record.follow_up:
        moments = (item.mean, item.sd, item.q25, item.median, item.q75, item.survivors_median)
        survivors = " to ".join(map(str, item.survivors_range or ()))
        yield (
            _arm(record, item.arm),
            *map(_text, moments),
            survivors,
            _text(item.survivors_p),
            _source(item),
        )


def _survival(record: Record) -> Iterator[Row]:
    for item in record.survival:
        who = _patients(record, item.where)
        yield who, _arm(record, item.arm), _text(item.time), _estimate(item), _text(item.p), _source(item)


def _median(record: Record) -> Iterator[Row]:
    for item in record.median:
        arm = "difference" if item.difference is not None else _arm(record, item.arm)
        value = _estimate(item) or _text(item.difference)
        yield _patients(record, item.where), arm, value, _text(item.p), _source(item)


def _deaths(record: Record) -> Iterator[Row]:
    for item in record.deaths:
        who = _patients(record, item.where)
        yield who, _arm(record, item.arm), _text(item.n), _text(item.percent), _source(item)


def _at_risk(record: Record) -> Iterator[Row]:
    for item in record.at_risk:
        for time, number in zip(item.times, item.patients, strict=True):
            who = _patients(record, item.where)
            yield who, _arm(record, item.arm), _text(time), _text(number), _source(item)


def _factors(record: Record) -> Iterator[Row]:
    for name, factor in record.factors.items():
        known = ", ".join(f"{record.arm(arm).label} {number}" for arm, number in factor.known.items())
        when = "after randomisation" if factor.post_randomisation else "before randomisation"
        yield name, factor.label, ", ".join(factor.levels), known or "all", when, factor.source


def _partitions(record: Record) -> Iterator[Row]:
    for name, partition in record.all_partitions.items():
        yield name, partition.label, ", ".join(partition.factors)


def _patients_count(record: Record) -> Iterator[Row]:
    for item in record.patients_count:
        yield _patients(record, item.where), _arm(record, item.arm), _text(item.n), _source(item)


def _hazard_ratios(record: Record) -> Iterator[Row]:
    for item in record.hazard_ratio:
        p = f"{_text(item.p)}{' (one-sided)' if item.p and item.sided == 1 else ''}"
        yield item.label, _patients(record, item.where), item.comparison, _estimate(item), p, _source(item)


def _prognostic(record: Record) -> Iterator[Row]:
    for item in record.prognostic:
        adjusted = item.adjusted
        yield (
            item.label or _patients(record, item.where),
            _estimate(item),
            _text(item.p),
            _estimate(adjusted),
            _text(adjusted and adjusted.p),
            _source(item),
            _source(adjusted) if adjusted else "",
        )


def _effects_sets(record: Record) -> Iterator[Row]:
    yield from ((item.partition, ", ".join(item.rows)) for item in record.effects_set)


def _baseline(record: Record) -> Iterator[Row]:
    for item in record.baseline:
        label = f"{item.label} ({item.unit})" if item.unit else item.label
        cells = (_cell(cell) for cell in (item.control, item.treatment, item.both))
        yield item.group, label, *cells, _text(item.p), item.test, _source(item)


def _cell(cell: Cell | None) -> str:
    """Return ``97 (71.8%)``, ``51.5 (SD 13.6)`` or ``37 (18 to 49)``, or what there is of it."""
    if cell is None:
        return ""
    if cell.mean is not None:
        return f"{cell.mean} (SD {cell.sd})" if cell.sd else str(cell.mean)
    if cell.median is not None:
        return f"{cell.median} ({cell.q25} to {cell.q75})" if cell.q25 and cell.q75 else str(cell.median)
    return _count(_text(cell.n), cell.percent)


def _count(count: str, percent: object) -> str:
    share = "" if percent is None else f"{percent}%"
    return f"{count} ({share})" if count and share else count or share


def _binary(record: Record) -> Iterator[Row]:
    for item in record.binary:
        ratio = item.risk_ratio
        printed_ratio = f"{ratio.estimate} ({ratio.comparison})" if ratio else ""
        proportions = _proportion(item.control), _proportion(item.treatment)
        yield item.label, item.favourable, *proportions, _text(item.p), printed_ratio, _source(item)


def _proportion(proportion: Proportion) -> str:
    count = "" if proportion.events is None else f"{proportion.events}/{proportion.patients}"
    return _count(count, proportion.percent)


def _files(record: Record) -> Iterator[Row]:
    if record.patients:
        yield "patients", "both", record.patients.file
    for curve in record.curve:
        yield "curve", _arm(record, curve.arm), curve.file


_WHO: Sequence[str] = ("patients", "arm")
_SECTIONS: tuple[tuple[str, tuple[str, ...], Callable[[Record], Iterator[Row]]], ...] = (
    ("Trial", ("field", "value"), _trial),
    ("Arms", ("arm", "label", "patients", "events", "source"), _arms),
    ("Design", ("field", "value"), _design),
    ("Flow diagram", ("box", "n", "arm", "leaves", "source"), _flow),
    ("Intercurrent events", ("event", "n", "arm", "strategy", "source"), _intercurrent),
    (
        "Follow-up",
        ("arm", "mean", "SD", "25%", "median", "75%", "survivors' median", "survivors' range", "p", "source"),
        _follow_up,
    ),
    ("Survival", (*_WHO, "time", "survival", "p", "source"), _survival),
    ("Median survival", (*_WHO, "median", "p", "source"), _median),
    ("Deaths", (*_WHO, "n", "percent", "source"), _deaths),
    ("Numbers at risk", (*_WHO, "time", "at risk", "source"), _at_risk),
    ("Factors", ("factor", "label", "levels", "known", "when", "source"), _factors),
    ("Partitions", ("partition", "label", "factors"), _partitions),
    ("Patients by subgroup", (*_WHO, "n", "source"), _patients_count),
    ("Hazard ratios", ("label", "patients", "comparison", "hazard ratio", "p", "source"), _hazard_ratios),
    (
        "Prognostic hazard ratios",
        ("level", "unadjusted", "p", "adjusted", "adjusted p", "source", "adjusted source"),
        _prognostic,
    ),
    ("Disjoint sets of hazard ratios", ("partition", "rows"), _effects_sets),
    ("Baseline table", ("group", "row", "control", "treatment", "both", "p", "test", "source"), _baseline),
    (
        "Secondary endpoints",
        ("endpoint", "better", "control", "treatment", "p", "risk ratio", "source"),
        _binary,
    ),
    ("Files", ("source", "arm", "file"), _files),
)
