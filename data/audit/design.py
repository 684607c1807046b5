"""14. The sample size recomputed from the stated design."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from scipy.special import ndtri

from ..conduct import Design
from ..record import Record
from .finding import Finding, Range, Verdict, judged, overlap

ROUNDINGS = ("in all", "per arm", "per arm before dropout")
DROPOUTS = ("N / (1 - dropout)", "N x (1 + dropout)", "no dropout")


@dataclass(frozen=True)
class Plan:
    """One way to compute a sample size.

    Parameters
    ----------
    method
        Formula.
    alpha, sided, power
        Error rates.
    dropout, rounding
        How dropout is allowed for and where numbers are rounded up.
    patients
        What it comes to.
    """

    method: str
    alpha: float
    sided: int
    power: float
    dropout: str
    rounding: str
    patients: int

    def __str__(self) -> str:
        side = "one" if self.sided == 1 else "two"
        error_rates = f"{side}-sided {self.alpha:g}, power {self.power:g}"
        return f"{self.method}, {error_rates}, {self.dropout}, rounded {self.rounding}"


def sample_size(record: Record) -> Iterator[Finding]:
    """14. The stated design gives the stated number of patients; if not, which standard designs do."""
    design = record.design
    if design is None:
        return
    yield from _arithmetic(design)
    if design.patients is None or not _complete(design):
        return
    wanted = design.patients
    plans = list(_plans(design))
    stated = [plan for plan in plans if _is_stated(plan, design)]
    agree = [plan for plan in stated if plan.patients == wanted]
    others = [plan for plan in plans if plan.patients == wanted and not _is_stated(plan, design)]
    sizes = sorted({plan.patients for plan in stated})
    text = f"{design.test}, as stated: {sizes[0]} to {sizes[-1]} patients; printed {wanted}"
    if not agree:
        text += ". It follows from: " + ("; ".join(map(str, others)) or "no standard design")
    verdict: Verdict = "ok" if agree else "note"
    printed = float(agree[0].patients if agree else sizes[0])
    yield Finding("sample size", verdict, "design", str(wanted), printed, sizes[0], sizes[-1], text, design.source)


def _arithmetic(design: Design) -> Iterator[Finding]:
    """Compare what the design prints twice: patients in all and per arm, survival and its difference."""
    if design.patients is not None and design.patients_per_arm is not None:
        total = 2 * design.patients_per_arm
        verdict: Verdict = "ok" if total == design.patients else "note"  # rounding up, and spare patients
        text = f"2 x {design.patients_per_arm} = {total}; printed {design.patients}"
        yield _finding("design, patients per arm", verdict, str(design.patients), total, text, design)
    control, treatment, gap = design.control_survival, design.treatment_survival, design.survival_difference
    if control is not None and treatment is not None and gap is not None:
        numbers = (gap, control, treatment)
        verdict = judged(numbers, _is_difference)
        exact = abs(treatment.value - control.value)
        text = f"|{treatment} - {control}| = {exact:.3g}; printed {gap}"
        yield _finding("design, difference of survival", verdict, gap.text, exact, text, design)


def _finding(item: str, verdict: Verdict, printed: str, computed: float, text: str, design: Design) -> Finding:
    return Finding("sample size", verdict, item, printed, computed, arithmetic=text, source=design.source)


def _is_difference(found: Sequence[Range]) -> bool:
    gap, *arms = found
    return any(overlap(gap, (one[0] - other[1], one[1] - other[0])) for one, other in (arms, reversed(arms)))


def _complete(design: Design) -> bool:
    needed = (design.control_survival, design.treatment_survival, design.alpha, design.power)
    return None not in needed and design.hazard_ratio is not None and design.hazard_ratio != 1


def _is_stated(plan: Plan, design: Design) -> bool:
    assert design.alpha and design.power  # _complete's condition
    log_rank = plan.method.startswith("log-rank") == ("rank" in design.test.lower())
    dropout = design.dropout is None or not design.dropout.value or plan.dropout != DROPOUTS[2]
    same = plan.alpha == design.alpha.value and plan.sided == design.sided and plan.power == design.power.value
    return log_rank and dropout and same


def _plans(design: Design) -> Iterator[Plan]:
    """Yield every standard design with the stated survival: the stated error rates and the usual others."""
    assert design.alpha and design.power and design.control_survival and design.treatment_survival
    survival = design.control_survival.value, design.treatment_survival.value
    dropout = design.dropout.value if design.dropout else 0.0
    alphas = dict.fromkeys((design.alpha.value, 0.05, 0.025))
    powers = dict.fromkeys((design.power.value, 0.80, 0.90, 0.95))
    dropouts = DROPOUTS if dropout else DROPOUTS[2:]
    for alpha, sided, power in product(alphas, (1, 2), powers):
        quantiles = float(-ndtri(alpha / sided)), float(ndtri(power))
        for method, patients in per_arm(*survival, *quantiles).items():
            for name, rounding in product(dropouts, ROUNDINGS):
                yield Plan(method, alpha, sided, power, name, rounding, _total(patients, dropout, name, rounding))


def _total(per_arm_patients: float, dropout: float, name: str, rounding: str) -> int:
    enlarge = {DROPOUTS[0]: 1 / (1 - dropout), DROPOUTS[1]: 1 + dropout, DROPOUTS[2]: 1.0}[name]
    if rounding == "in all":
        return _up(2 * per_arm_patients * enlarge)
    if rounding == "per arm":
        return 2 * _up(per_arm_patients * enlarge)
    return _up(2 * _up(per_arm_patients) * enlarge)


def _up(number: float) -> int:
    return math.ceil(number - 1e-9)


def per_arm(control: float, treatment: float, z_alpha: float, z_power: float) -> dict[str, float]:
    """Return the patients per arm by method, before rounding.

    Parameters
    ----------
    control, treatment
        Survival at the design's time.
    z_alpha, z_power
        Normal quantiles of the error rates.

    Notes
    -----
    Schoenfeld 1981, Biometrika 68:316; Freedman 1982, Stat Med 1:121; Fleiss, Tytun and Ury 1980, Biometrics 36:343
    (continuity correction); Cohen 1988 (arcsine).
    """
    ratio = math.log(treatment) / math.log(control)
    both = (z_alpha + z_power) ** 2
    died = 1 - (control + treatment) / 2
    gap, mean = abs(treatment - control), (control + treatment) / 2
    separate = control * (1 - control) + treatment * (1 - treatment)
    pooled = (z_alpha * math.sqrt(2 * mean * (1 - mean)) + z_power * math.sqrt(separate)) ** 2 / gap**2
    unpooled = both * separate / gap**2
    arcsine = both / (2 * (math.asin(math.sqrt(treatment)) - math.asin(math.sqrt(control))) ** 2)
    return {
        "log-rank (Schoenfeld)": 4 * both / math.log(ratio) ** 2 / died / 2,
        "log-rank (Freedman)": both * ((1 + ratio) / (1 - ratio)) ** 2 / died / 2,
        "two proportions (pooled)": pooled,
        "two proportions (unpooled)": unpooled,
        "two proportions (pooled, continuity-corrected)": _corrected(pooled, gap),
        "two proportions (unpooled, continuity-corrected)": _corrected(unpooled, gap),
        "two proportions (arcsine)": arcsine,
    }


def _corrected(patients: float, gap: float) -> float:
    return patients / 4 * (1 + math.sqrt(1 + 4 / (patients * gap))) ** 2
