"""Which fits, estimates and printed numbers of a reanalysis a figure shows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..data import ARMS
from ..data.imputed import POINT
from ..inference import Reanalysis
from ..inference.fitting import Fit
from ..inference.quantities import Curves, curves_of

Array = NDArray[np.float64]
CURVES = ("nonproportional", "piecewise")


def primary_prior(reanalysis: Reanalysis) -> str:
    """Return the name of the prior that was sampled, not reweighted: the first."""
    return str(next(iter(reanalysis.run["resolved"]["priors"])))


def fit_of(reanalysis: Reanalysis, model: str, prior: str | None = None) -> Fit | None:
    """Return the fit of a model under a prior, the primary one unless named; ``None`` when there is none."""
    wanted = prior or primary_prior(reanalysis)
    return next((fit for fit in reanalysis.fits if (fit.model, fit.prior.name) == (model, wanted)), None)


def curves_fit(reanalysis: Reanalysis, model: str) -> Curves | None:
    """Return the survival curves of a model under the primary prior; ``None`` when it was not fitted."""
    fit = fit_of(reanalysis, model)
    if fit is None or "alpha" not in fit.tree["posterior"]:
        return None
    return curves_of(fit.posterior, np.array(fit.edges))


def flat(draws: Array) -> Array:
    """Return draws as one long axis: chains, draws and imputations together."""
    return draws.reshape(-1)


def reach(reanalysis: Reanalysis) -> float | None:
    """Return the latest time at which the paper prints or draws something of both arms; ``None`` without any."""
    latest = [max((time for arm, time in _printed_times(reanalysis) if arm == name), default=0.0) for name in ARMS]
    return min(latest) or None


def _printed_times(reanalysis: Reanalysis) -> Iterator[tuple[str, float]]:
    record = reanalysis.record
    for landmark in record.survival:
        yield landmark.arm, landmark.time
    for row in record.at_risk:
        yield row.arm, max((time for time, left in zip(row.times, row.patients, strict=True) if left), default=0.0)
    points = digitised_points(reanalysis)
    yield from zip(points["arm"], points["time"], strict=True)
    for item in record.follow_up:
        for arm in (item.arm,) if item.arm else ARMS:
            yield arm, item.survivors_range[1].value if item.survivors_range else 0.0


def digitised_points(reanalysis: Reanalysis) -> pd.DataFrame:
    """Return the points of the arms' digitised curves as read: columns ``arm``, ``time`` and ``survival``.

    Parameters
    ----------
    reanalysis
        Its fit sheet holds them; no rows where nothing was digitised.
    """
    sheet = reanalysis.reconstruction
    points = sheet[sheet["item"].eq(POINT) & sheet["partition"].eq("")]
    return points[["arm", "time"]].assign(survival=points["printed"].astype(float))


def last_time(reanalysis: Reanalysis, edges: Array) -> float:
    """Return how far curves are drawn: to the latest printed time, within the model's intervals."""
    return min(reach(reanalysis) or float(edges[-1]), float(edges[-1]))


def last_survival(reanalysis: Reanalysis, edges: Array) -> float:
    """Return how far survival is drawn: as `last_time`, and to survival that is printed of one arm alone."""
    printed = [item.time for item in reanalysis.record.survival if item.use and item.time <= edges[-1]]
    return max(last_time(reanalysis, edges), *printed, 0.0)


def arm_title(reanalysis: Reanalysis, arm: str) -> str:
    """Return an arm's label with its number of patients, such as ``LRT (n = 138)``."""
    described = reanalysis.record.arms.control if arm == "control" else reanalysis.record.arms.treatment
    patients = described.patients or _patients_in_table(reanalysis, arm)
    return f"{described.label} (n = {patients})" if patients else described.label


def _patients_in_table(reanalysis: Reanalysis, arm: str) -> int | None:
    if reanalysis.table is None:
        return None
    return round(float(reanalysis.table["patients"].sel(arm=arm).sum("stratum").mean()))
