"""What the items of a record may refer to: its factors, patients, and labels of rows and flow boxes.

They are read from the unchecked record and handed to the checks of its items as their context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationInfo


@dataclass(frozen=True)
class References:
    """What items of a record refer to: read before them, so that all problems can be told at once."""

    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients: Mapping[str, int] = field(default_factory=dict)
    known: Mapping[tuple[str, str], int] = field(default_factory=dict)
    rows: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    boxes: tuple[str, ...] = ()
    characteristics: tuple[str, ...] = ()
    of_patients: tuple[str, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> References:
        """Read the references from an unchecked record; whatever is malformed there is left out."""

        def table(value: object) -> Mapping[str, Any]:
            return value if isinstance(value, Mapping) else {}

        def levels(value: object) -> tuple[str, ...]:
            found = table(value).get("levels")
            return tuple(level for level in found if isinstance(level, str)) if isinstance(found, list) else ()

        def labels(value: object) -> tuple[str, ...]:
            found = [table(item).get("label") for item in value] if isinstance(value, list | tuple) else []
            return tuple(dict.fromkeys(label for label in found if isinstance(label, str) and label))

        sizes = {arm: table(item).get("patients") for arm, item in table(raw.get("arms")).items()}
        known = {
            (name, arm): size
            for name, factor in table(raw.get("factors")).items()
            for arm, size in table(table(factor).get("known")).items()
        }
        own = table(raw.get("patients")).get("factors")
        return cls(
            factors={name: levels(item) for name, item in table(raw.get("factors")).items()},
            patients={arm: size for arm, size in sizes.items() if type(size) is int and size > 0},
            known={key: size for key, size in known.items() if type(size) is int and size > 0},
            rows=labels(raw.get("hazard_ratio")),
            partitions=tuple(table(raw.get("partitions"))),
            boxes=labels(raw.get("flow")),
            characteristics=labels(raw.get("baseline")),
            of_patients=tuple(name for name in own if isinstance(name, str)) if isinstance(own, list | tuple) else (),
        )


def references(info: ValidationInfo) -> References:
    """Return what items may refer to, from the context of a check; nothing where there is none."""
    return info.context if isinstance(info.context, References) else References()
