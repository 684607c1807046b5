"""Secondary binary endpoints: which can be analysed, their reported quantities, and Fisher's exact test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit
from scipy.stats import fisher_exact
from scipy.stats.contingency import odds_ratio

from ..data import Record
from ..data.outcomes import Binary, Proportion
from ..models.priors import FROM_SISTERS
from .fitting import Task, Values
from .quantities import Quantity
from .tables import BINARY

MODEL = "binary"


@dataclass(frozen=True)
class Endpoint:
    """A binary endpoint with whole counts.

    Parameters
    ----------
    label
        For people, and the endpoint's name in outputs.
    events, patients
        Control, then treatment.
    more_is_better
        Whether an event is what one hopes for.
    p
        As printed, empty when it is not.
    """

    label: str
    events: tuple[int, int]
    patients: tuple[int, int]
    more_is_better: bool
    p: str


def endpoints_of(record: Record) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
    """Return a record's binary endpoints, and a note for each that is left out.

    A count that is not printed is the only one that rounds to the printed percentage; where several do, the endpoint
    is left out.

    Parameters
    ----------
    record
        The trial.
    """
    endpoints: list[Endpoint] = []
    notes: list[str] = []
    for item in record.binary:
        if item.use:
            counts = [_counts(arm) for arm in (item.control, item.treatment)]
            if all(len(found) == 1 for found in counts):
                endpoints.append(_endpoint(item, counts[0][0], counts[1][0]))
            else:
                notes.append(f"{item.label} is left out: its percentages do not tell how many events there were")
    return tuple(endpoints), tuple(notes)


def _counts(arm: Proportion) -> list[int]:
    """Return the whole counts that a printed proportion can stand for."""
    if arm.events is not None:
        return [arm.events]
    percent = arm.percent
    assert percent is not None  # the record has one of the two
    return [count for count in range(arm.patients + 1) if percent.admits(100 * count / arm.patients)]


def _endpoint(item: Binary, control: int, treatment: int) -> Endpoint:
    patients = item.control.patients, item.treatment.patients
    return Endpoint(item.label, (control, treatment), patients, item.favourable == "more", str(item.p or ""))


def binary_task(endpoints: Sequence[Endpoint]) -> Task:
    """Return the binomial model of some endpoints.

    Parameters
    ----------
    endpoints
        At least one.
    """
    from ..models.binary import binary

    events, patients = ([getattr(one, name) for one in endpoints] for name in ("events", "patients"))
    return Task(
        model=MODEL,
        shrinkage="",
        partition="",
        build=partial(binary, events, patients),
        data=lambda _: {},
        quantities=partial(_values, endpoints),
        overall="log_odds_ratio",
        imputed=False,
        unrelated_priors=FROM_SISTERS,
    )


def _values(endpoints: Sequence[Endpoint], posterior: xr.Dataset) -> Values:
    """Return odds ratio, risk ratio, risk difference and number needed to treat of each endpoint.

    The number needed to treat for one patient more to fare well is infinite where treatment does no good.
    """
    risks = expit(posterior["log_odds"].transpose("arm", "endpoint", "chain", "draw").to_numpy())
    odds_ratios = np.exp(posterior["log_odds_ratio"].transpose("endpoint", "chain", "draw").to_numpy())
    values: Values = []
    for part, one in enumerate(endpoints):
        control, treatment = risks[:, part]
        difference = treatment - control
        gain = difference if one.more_is_better else -difference
        by_estimand = {
            "odds_ratio": odds_ratios[part],
            "risk_ratio": treatment / control,
            "risk_difference": difference,
            "number_needed_to_treat": np.divide(1.0, gain, out=np.full_like(gain, np.inf), where=gain > 0),
        }
        values += [
            (Quantity(name, one.label, part=part, endpoint=one.label, more_is_better=one.more_is_better), found)
            for name, found in by_estimand.items()
        ]
    return values


def binary_rows(endpoints: Sequence[Endpoint]) -> pd.DataFrame:
    """Return each endpoint's counts with Fisher's exact test, one row each.

    Parameters
    ----------
    endpoints
        The endpoints.

    Returns
    -------
    pandas.DataFrame
        Two-sided p, and the conditional odds ratio with its exact 95% interval.
    """
    rows = [_fisher(one) for one in endpoints]
    return pd.DataFrame(rows, columns=[name for name in BINARY.columns if name != "trial"])


def _fisher(one: Endpoint) -> dict[str, object]:
    (control, treatment), (control_patients, treatment_patients) = one.events, one.patients
    table = [[treatment, treatment_patients - treatment], [control, control_patients - control]]
    ratio = odds_ratio(table, kind="conditional")
    lower, upper = ratio.confidence_interval(0.95)
    return {
        "endpoint": one.label,
        "control_events": control,
        "control_patients": control_patients,
        "treatment_events": treatment,
        "treatment_patients": treatment_patients,
        "printed_p": one.p,
        "fisher_p": float(fisher_exact(table).pvalue),
        "odds_ratio": ratio.statistic,
        "lower": lower,
        "upper": upper,
    }
