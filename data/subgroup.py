r"""Subgroups: sets of patients named by the factor levels they are restricted to.

A subgroup's key is what every output calls it: factors in record order joined by ``,``, several levels of one
factor joined by ``|``: ``overall``, ``er=+``, ``er=+,her2=-``, ``metastasis=solitary bone|multiple bone``. Where a
level itself holds one of these signs, a backslash stands before it: ``site=lung\, left``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

ESCAPED = re.compile(r"([\\,|])")
PARTS = {sign: re.compile(rf"(?:\\.|[^\\{sign}])+", re.DOTALL) for sign in ",|"}  # what stands between signs


@dataclass(frozen=True)
class Subgroup:
    """Patients whose factors take the given levels.

    Parameters
    ----------
    restrictions
        Pairs of factor and levels, factors and levels in record order. No pair stands for all patients.
    """

    restrictions: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def key(self) -> str:
        """The subgroup's key, such as ``er=+,her2=-``; ``overall`` for all patients."""
        parts = (f"{factor}={'|'.join(map(_escaped, levels))}" for factor, levels in self.restrictions)
        return ",".join(parts) or "overall"

    @property
    def is_overall(self) -> bool:
        """Whether the subgroup is the whole trial."""
        return not self.restrictions

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors that the subgroup restricts."""
        return tuple(factor for factor, _ in self.restrictions)

    def levels(self, factor: str) -> tuple[str, ...] | None:
        """Return the levels that ``factor`` is restricted to, ``None`` when it is free."""
        return dict(self.restrictions).get(factor)

    def overlaps(self, other: Subgroup) -> bool:
        """Whether a patient can belong to both subgroups.

        Two subgroups are disjoint when some factor is restricted to different levels by each.
        """
        theirs = dict(other.restrictions)
        return all(set(levels) & set(theirs.get(factor, levels)) for factor, levels in self.restrictions)

    def within(self, other: Subgroup) -> bool:
        """Whether every patient of this subgroup belongs to ``other``."""
        ours = dict(self.restrictions)
        return all(factor in ours and set(ours[factor]) <= set(levels) for factor, levels in other.restrictions)

    def complement(self, factors: Mapping[str, Sequence[str]]) -> Subgroup | None:
        """Return all other patients, ``None`` where they are not a product of factor levels.

        They are one only if a single factor is restricted: who is not ``er=-,her2=-`` may be ``+`` in either.

        Parameters
        ----------
        factors
            All levels by factor.
        """
        if len(self.restrictions) != 1:
            return None
        ((factor, levels),) = self.restrictions
        return Subgroup(((factor, tuple(level for level in factors[factor] if level not in levels)),))

    def __str__(self) -> str:
        return self.key


OVERALL = Subgroup()


def subgroup(where: Mapping[str, str | Iterable[str]], factors: Mapping[str, Sequence[str]]) -> Subgroup:
    """Return the subgroup that a record's ``where`` describes.

    Parameters
    ----------
    where
        Level, or levels, by factor.
    factors
        All levels by factor, both in record order.

    Returns
    -------
    Subgroup
        With factors and levels in record order; a factor that is given all its levels is no restriction.

    Raises
    ------
    ValueError
        For a factor or a level that the record does not declare.
    """
    chosen = {factor: [level] if isinstance(level, str) else list(level) for factor, level in where.items()}
    for factor, levels in chosen.items():
        if factor not in factors:
            raise ValueError(f"unknown factor {factor!r}; the record declares {_listing(factors)}")
        for level in levels:
            if level not in factors[factor]:
                raise ValueError(f"unknown level {level!r} of {factor}; its levels are {_listing(factors[factor])}")
        if not levels:
            raise ValueError(f"no level of {factor} is named; its levels are {_listing(factors[factor])}")
    return Subgroup(
        tuple(
            (factor, tuple(level for level in levels if level in chosen[factor]))
            for factor, levels in factors.items()
            if factor in chosen and set(chosen[factor]) != set(levels)
        )
    )


def parse_key(key: str) -> Subgroup:
    """Return the subgroup of a key.

    Parameters
    ----------
    key
        As `Subgroup.key` gives it.

    Raises
    ------
    ValueError
        When it is not such a key.
    """
    if key == OVERALL.key:
        return OVERALL
    texts = PARTS[","].findall(key)
    parts = [text.partition("=") for text in texts]
    if not texts or ",".join(texts) != key or not all(factor and levels for factor, _, levels in parts):
        raise ValueError(f"{key!r} is not a subgroup's key")
    return Subgroup(tuple((factor, tuple(map(_plain, PARTS["|"].findall(levels)))) for factor, _, levels in parts))


def _escaped(level: str) -> str:
    return ESCAPED.sub(r"\\\1", level)


def _plain(level: str) -> str:
    return re.sub(r"\\(.)", r"\1", level, flags=re.DOTALL)


def overlapping(subgroups: Mapping[str, Subgroup]) -> list[tuple[str, str]]:
    """Return the pairs of names whose subgroups share patients."""
    names = list(subgroups)
    return [
        (first, second)
        for index, first in enumerate(names)
        for second in names[index + 1 :]
        if subgroups[first].overlaps(subgroups[second])
    ]


def _listing(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
