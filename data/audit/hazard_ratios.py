"""Checks of hazard ratios: symmetry, p-value, precision against deaths, level, nesting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Literal

from scipy.special import ndtr, ndtri

from ..fields import ARMS
from ..outcomes import HazardRatio
from ..printed import Printed
from ..record import Record
from ..subgroup import OVERALL, Subgroup
from .bounds import deaths_between, most_patients, trial_deaths, trial_patients
from .finding import Finding, Range, Verdict, judged, overlap

COMBINED_ERRORS = 0.8  # of the overall ratio's standard error
MARGINS = (1.05, 2.0)  # of non-inferiority, treatment over control
TOO_WIDE = 1.25  # times the standard error that the deaths of the arms give
OTHER_TESTS = 0.15  # by how much z of another test (log-rank, likelihood ratio) may differ from Wald's


@dataclass(frozen=True)
class Ratio:
    """A printed ratio with its interval, whatever section it stands in."""

    item: str
    where: Subgroup
    estimate: Printed
    ci: tuple[Printed, Printed]
    level: float
    p: Printed | None
    sided: int
    source: str
    kind: Literal["treatment", "prognostic", "adjusted"] = "treatment"
    unadjusted: bool = True
    margin: Printed | None = None
    inverted: bool = False

    @property
    def patients(self) -> Subgroup:
        """Whose deaths it rests on: a prognostic ratio compares a subgroup with all others."""
        return self.where if self.kind == "treatment" else OVERALL

    def standard_error(self, limits: Sequence[Range] | None = None, level: float | None = None) -> Range:
        """Return the range of the standard error of the log ratio."""
        low, high = limits or [(number.low, number.high) for number in self.ci]
        scale = 2 * ndtri((1 + (level or self.level)) / 2)
        narrow = max(math.log(max(high[0], 1e-9) / max(low[1], 1e-9)) / scale, 1e-9)
        return narrow, math.log(high[1] / max(low[0], 1e-9)) / scale


def ratios(record: Record) -> Iterator[Ratio]:
    """Yield all printed ratios that have an interval: treatment effects, prognostic and adjusted ratios."""
    for row in record.hazard_ratio:
        if row.ci:
            name = _name(row)
            yield Ratio(
                name,
                row.where,
                row.estimate,
                row.ci,
                row.level,
                row.p,
                row.sided,
                row.source,
                unadjusted=row.analysis == "unadjusted",
                margin=row.margin,
                inverted=row.inverted,
            )
    for item in record.prognostic:
        name = f"prognostic {item.label or item.where.key}"
        if item.ci and item.estimate:
            yield Ratio(name, item.where, item.estimate, item.ci, item.level, item.p, 2, item.source, "prognostic")
        inner = item.adjusted
        if inner and inner.ci:
            source = inner.source or item.source
            yield Ratio(
                f"{name}, adjusted", item.where, inner.estimate, inner.ci, inner.level, inner.p, 2, source, "adjusted"
            )


def _name(row: HazardRatio) -> str:
    return f"hazard ratio {row.label or row.where.key}"


def symmetry(record: Record) -> Iterator[Finding]:
    """1. The interval is symmetric about the estimate on the log scale."""
    for ratio in ratios(record):
        numbers = (ratio.estimate, *ratio.ci)
        middle = _middle([(number.low, number.high) for number in ratio.ci])
        yield Finding(
            "interval symmetry",
            judged(numbers, lambda found: overlap(found[0], _middle(found[1:]))),
            ratio.item,
            ratio.estimate.text,
            math.sqrt(ratio.ci[0].value * ratio.ci[1].value),
            *middle,
            f"sqrt({ratio.ci[0]} x {ratio.ci[1]}) = {middle[0]:.4g} to {middle[1]:.4g}; printed {ratio.estimate}",
            ratio.source,
        )


def _middle(limits: Sequence[Range]) -> Range:
    low, high = limits
    return math.sqrt(max(low[0], 0) * high[0]), math.sqrt(max(low[1], 0) * high[1])


def p_value(record: Record) -> Iterator[Finding]:
    """2. The p-value follows from the interval (Wald)."""
    for ratio in ratios(record):
        if ratio.p is not None:
            z = _z_range(ratio, ratio.level)
            p = _p_range(z, ratio)
            verdict, implied = _p_verdict(ratio, ratio.level), _implied_margin(ratio)
            about = f" - log {ratio.margin}" if ratio.margin else ""
            hint = f"; it would be that of a margin of {implied:.2f}: non-inferiority?" if implied else ""
            said = verdict != "inconsistent" or not implied
            yield Finding(
                "p-value",
                verdict if said else "note",
                ratio.item,
                ratio.p.text,
                _p_of(abs(_log_distance(ratio, ratio.estimate.value)) / (sum(ratio.standard_error()) / 2), ratio),
                *p,
                f"z = |log {ratio.estimate}{about}| / SE = {z[0]:.2f} to {z[1]:.2f}; p = {p[0]:.2g} to {p[1]:.2g}"
                + ("" if said else hint),
                ratio.source,
            )


def _log_distance(ratio: Ratio, estimate: float) -> float:
    """Return how far the log ratio lies from that of no effect, or of the margin."""
    return math.log(max(estimate, 1e-9)) - (math.log(ratio.margin.value) if ratio.margin else 0.0)


def _implied_margin(ratio: Ratio) -> float | None:
    """Return the margin of non-inferiority that a one-sided p-value would be about, if it is a plausible one."""
    if ratio.sided != 1 or ratio.margin or ratio.p is None or not 0 < ratio.p.value < 1:
        return None
    side = -1 if ratio.inverted else 1
    z = float(ndtri(1 - ratio.p.value)) * sum(ratio.standard_error()) / 2
    margin = ratio.estimate.value**side * math.exp(z)
    return margin if MARGINS[0] <= margin <= MARGINS[1] else None


def _z_range(ratio: Ratio, level: float) -> Range:
    """Return the range of |z|; without direction, so that one-sided tests are read in the favourable one."""
    logs = _log_distance(ratio, ratio.estimate.low), _log_distance(ratio, ratio.estimate.high)
    smallest = 0.0 if logs[0] <= 0 <= logs[1] else min(map(abs, logs))
    error = ratio.standard_error(level=level)
    return smallest / error[1], max(map(abs, logs)) / error[0]


def _p_of(z: float, ratio: Ratio) -> float:
    return float(ratio.sided * ndtr(-z))


def _p_range(z: Range, ratio: Ratio) -> Range:
    return _p_of(z[1], ratio), _p_of(z[0], ratio)


def _p_verdict(ratio: Ratio, level: float) -> Verdict:
    assert ratio.p is not None  # the callers' condition
    z = _z_range(ratio, level)
    if ratio.p.admits(*_p_range(z, ratio)):
        return "ok"
    wider = max(z[0] - OTHER_TESTS, 0), z[1] + OTHER_TESTS
    near = ratio.p.admits(*_p_range(wider, ratio)) or ratio.p.admits(*_p_range(z, ratio), slack=1)
    return "note" if near else "inconsistent"


def precision(record: Record) -> Iterator[Finding]:
    """3. The standard error is not below what the deaths allow: 2 / sqrt(d), and sqrt(1/d1 + 1/d0) by arm."""
    for ratio in ratios(record):
        if ratio.kind != "adjusted":
            deaths, patients = deaths_between(record, ratio.patients), most_patients(record, ratio.patients)
            if deaths[1] is not None or patients is not None:
                yield _precision(record, ratio, deaths, patients)


def _precision(record: Record, ratio: Ratio, deaths: tuple[int, int | None], patients: int | None) -> Finding:
    error = ratio.standard_error()
    needed = 4 / error[1] ** 2
    least = _least_error(record, ratio, deaths[1])
    return Finding(
        "precision against deaths",
        _precision_verdict(ratio, least, patients),
        ratio.item,
        f"{ratio.ci[0]} to {ratio.ci[1]}",
        needed,
        needed,
        4 / error[0] ** 2,
        f"SE at most {error[1]:.4f}: needs at least 4/SE^2 = {needed:.0f} {record.event}s; "
        f"{_having(ratio.patients, f'{record.event}s', deaths, patients)}",
        ratio.source,
    )


def _having(whom: Subgroup, events: str, deaths: tuple[int, int | None], patients: int | None) -> str:
    """Say how many deaths and patients there are, or may be."""
    fewest, most = deaths
    if whom.is_overall:
        counts = ((most, events), (patients, "patients"))
        return "there are " + ", ".join(f"{count} {name}" for count, name in counts if count is not None)
    if fewest:
        return f"the subgroup has {fewest if fewest == most else f'{fewest} to {most}'}"
    return f"the subgroup has at most {patients if most is None else most}"


def _least_error(record: Record, ratio: Ratio, deaths: int | None) -> float:
    """Return the smallest standard error that the known deaths allow."""
    by_arm = [record.arm(arm).events for arm in ARMS]
    if ratio.where.is_overall and ratio.unadjusted and all(by_arm):
        return math.sqrt(sum(1 / count for count in by_arm if count))
    return 2 / math.sqrt(deaths) if deaths else 0.0


def _precision_verdict(ratio: Ratio, least: float, patients: int | None) -> Verdict:
    if patients and ratio.standard_error()[1] < 2 / math.sqrt(patients):
        return "impossible"
    return judged(ratio.ci, lambda found: ratio.standard_error(found)[1] >= least)


def width(record: Record) -> Iterator[Finding]:
    """17. The overall interval is not far wider than the deaths of the arms make it."""
    events = [record.arm(arm).events for arm in ARMS]
    if all(events):
        expected = math.sqrt(sum(1 / count for count in events if count))
        for ratio in ratios(record):
            if ratio.kind == "treatment" and ratio.where.is_overall and ratio.unadjusted:
                least = ratio.standard_error()[0]
                wide = least > TOO_WIDE * expected
                yield Finding(
                    "interval width",
                    "note" if wide else "ok",
                    ratio.item,
                    f"{ratio.ci[0]} to {ratio.ci[1]}",
                    expected,
                    arithmetic=f"SE at least {least:.3f}; {' and '.join(map(str, events))} {record.event}s give "
                    f"about {expected:.3f}" + ("; other patients, level or endpoint?" if wide else ""),
                    source=ratio.source,
                )


def combined_subgroups(record: Record) -> Iterator[Finding]:
    """15. Disjoint subgroups that cover the trial, combined by inverse variance, agree with the overall ratio."""
    overall = record.overall_hazard_ratio
    if overall is None or not overall.standard_error:
        return
    for name, factor in record.factors.items():
        rows = [row for row in record.hazard_ratio if row.use and row.where.factors == (name,) and row.standard_error]
        levels = [level for row in rows for level in row.where.levels(name) or ()]
        if rows and sorted(levels) == sorted(factor.levels):
            yield _combined(name, rows, overall, overall.standard_error)


def _combined(name: str, rows: Sequence[HazardRatio], overall: HazardRatio, error: float) -> Finding:
    weights = [1 / (row.standard_error or math.inf) ** 2 for row in rows]
    logs = [math.log(row.treatment_over_control) for row in rows]
    mean = sum(weight * log for weight, log in zip(weights, logs, strict=True)) / sum(weights)
    off = (mean - math.log(overall.treatment_over_control)) / error
    parts = ", ".join(f"{row.treatment_over_control:.3g}" for row in rows)
    return Finding(
        "combined subgroups",
        "note" if abs(off) > COMBINED_ERRORS else "ok",
        f"hazard ratios by {name}",
        overall.estimate.text,
        math.exp(mean),
        arithmetic=f"{parts} combine to {math.exp(mean):.3g}; overall {overall.treatment_over_control:.3g}, "
        f"{abs(off):.1f} standard errors away: imbalance of {name}, or other numbers",
        source="; ".join(dict.fromkeys(row.source for row in rows if row.source)),
    )


def level(record: Record) -> Iterator[Finding]:
    """4. Which of 90% and 95% fits the deaths and the p-value, when only one does."""
    for ratio in ratios(record):
        deaths = deaths_between(record, ratio.where)[1]
        if ratio.kind == "treatment" and (deaths or ratio.p):
            fits = {level: _fits(ratio, deaths, level) for level in (0.90, 0.95)}
            others = [level for level, fit in fits.items() if fit and level != ratio.level]
            misread = not _fits(ratio, deaths, ratio.level) and bool(others)
            text = "; ".join(f"{level:.0%} {'fits' if fit else 'does not fit'}" for level, fit in fits.items())
            stated = f"{ratio.level:.0%}"
            yield Finding(
                "interval level",
                "note" if misread else "ok",
                ratio.item,
                stated,
                others[0] if misread else ratio.level,
                arithmetic=f"read at {text} the {record.event}s and the p-value; stated {stated}",
                source=ratio.source,
            )


def _fits(ratio: Ratio, deaths: int | None, level: float) -> bool:
    enough = not deaths or ratio.standard_error(level=level)[1] >= 2 / math.sqrt(deaths)
    return enough and (ratio.p is None or _p_verdict(ratio, level) == "ok")


def nesting(record: Record) -> Iterator[Finding]:
    """12. Subgroups do not need more deaths than there were: disjoint ones together, one inside another by itself."""
    total = trial_deaths(record)
    needed = {need.where: need for need in _needs(record)}.values()
    for size in (2, 3):
        for group in combinations(needed, size):
            if total and not any(a.where.overlaps(b.where) for a, b in combinations(group, 2)):
                yield _nested(group, total, trial_patients(record), f"{record.event}s of {total}")
    for inner, outer in permutations(needed, 2):
        most = deaths_between(record, outer.where)[1]
        if inner.where.within(outer.where) and most is not None and (total is None or most < total):
            yield _nested(
                [inner], most, most_patients(record, outer.where), f"{record.event}s; {outer.name} has at most {most}"
            )


@dataclass(frozen=True)
class _Need:
    """How many deaths a subgroup has at least: those printed, or those that the precision of its ratio needs."""

    where: Subgroup
    name: str
    deaths: float
    source: str


def _needs(record: Record) -> Iterator[_Need]:
    """Yield what subgroups need; of one that is named twice, what counts comes last."""
    for item in record.deaths:
        fewest = deaths_between(record, item.where)[0]
        if fewest and not item.where.is_overall:
            yield _Need(item.where, item.where.key, fewest, item.source)
    used = {row.where: row.source for row in record.hazard_ratio if row.use}
    for ratio in ratios(record):
        if ratio.kind == "treatment" and not ratio.where.is_overall and used.get(ratio.where) == ratio.source:
            deaths = max(4 / ratio.standard_error()[1] ** 2, deaths_between(record, ratio.where)[0])
            yield _Need(ratio.where, ratio.item.removeprefix("hazard ratio "), deaths, ratio.source)


def _nested(group: Sequence[_Need], most: int, patients: int | None, having: str) -> Finding:
    total = sum(need.deaths for need in group)
    verdict: Verdict = "ok" if total <= most else "impossible" if patients and total > patients else "inconsistent"
    if verdict != "ok" and total - most <= 0.02 * most:
        verdict = "note"  # within what one unit of a limit is worth
    parts = " + ".join(f"{need.deaths:.0f}" for need in group)
    text = f"disjoint, they need {parts} = {total:.0f} {having}" if len(group) > 1 else f"needs {parts} {having}"
    name = " + ".join(need.name for need in group)
    sources = "; ".join(dict.fromkeys(need.source for need in group if need.source))
    return Finding("subgroup nesting", verdict, name, str(most), total, arithmetic=text, source=sources)
