"""Named priors on the overall log hazard ratio, all mixtures of three normals.

Every prior is the same node in every model: a normal mixture whose weights, means and SDs are data, so that no prior
needs a graph of its own. With ``d`` the log of the design hazard ratio and ``s`` such that P(HR < design HR) = 0.05
under Normal(0, s):

============  ========================================
weak          Normal(0, 1)
vague         Normal(0, 10)
sceptical     Normal(0, s)
enthusiastic  Normal(d, s)
pessimistic   Normal(-d, s)
MEAN,SD       any normal, on the log scale
============  ========================================

Source: Spiegelhalter, Freedman and Parmar 1994, J R Stat Soc A 157:357.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, ndtr, ndtri

from ..data import Record
from ..data.errors import input_error

COMPONENTS = 3
PRIMARY = "weak"
FROM_DESIGN = ("sceptical", "enthusiastic", "pessimistic")
NAMED = ("weak", "vague", *FROM_DESIGN)
TAIL = 0.05  # the sceptic's probability of an effect as large as the trial was designed for


@dataclass(frozen=True)
class Prior:
    """A prior on a log hazard ratio: a mixture of up to three normals.

    Parameters
    ----------
    name
        What outputs call it.
    means, sds, weights
        One of each per component.
    """

    name: str
    means: tuple[float, ...]
    sds: tuple[float, ...]
    weights: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        lengths = {len(self.means), len(self.sds), len(self.weights)}
        if len(lengths) > 1 or not 1 <= len(self.means) <= COMPONENTS:
            raise ValueError(f"prior {self.name}: one to {COMPONENTS} means, SDs and weights, equally many")
        if not all(math.isfinite(number) for number in (*self.means, *self.sds)) or min(self.sds) <= 0:
            raise ValueError(f"prior {self.name}: means must be finite and SDs finite and above 0")
        if min(self.weights) < 0 or not math.isclose(sum(self.weights), 1):
            raise ValueError(f"prior {self.name}: weights must not be negative and add up to 1")

    def __str__(self) -> str:
        parts = [f"Normal({mean:.3g}, {sd:.3g})" for mean, sd in zip(self.means, self.sds, strict=True)]
        if len(parts) == 1:
            return parts[0]
        return " + ".join(f"{weight:.2g} {part}" for weight, part in zip(self.weights, parts, strict=True))

    def padded(self) -> NDArray[np.float64]:
        """Return weights, means and SDs as model data, shape ``(3, 3)``, filled up with components of no weight."""
        missing = COMPONENTS - len(self.means)
        return np.array(
            [
                [*self.weights, *[0.0] * missing],
                [*self.means, *[self.means[0]] * missing],
                [*self.sds, *[self.sds[0]] * missing],
            ]
        )

    def log_density(self, log_hazard_ratio: ArrayLike) -> NDArray[np.float64]:
        """Return the log density at some log hazard ratios, same shape."""
        z = (np.asarray(log_hazard_ratio)[..., None] - np.array(self.means)) / np.array(self.sds)
        constants = np.log(self.sds) + 0.5 * math.log(2 * math.pi)
        return np.asarray(logsumexp(-0.5 * z**2 - constants, axis=-1, b=np.array(self.weights)))

    def probability_below(self, log_hazard_ratio: float) -> float:
        """Return the prior probability of a smaller log hazard ratio."""
        z = (log_hazard_ratio - np.array(self.means)) / np.array(self.sds)
        return float(np.array(self.weights) @ ndtr(z))


def named_prior(name: str, record: Record, design_hazard_ratio: float | None = None) -> Prior:
    """Return a prior by its name.

    Parameters
    ----------
    name
        ``weak``, ``vague``, ``sceptical``, ``enthusiastic``, ``pessimistic``, or ``MEAN,SD`` on the log scale.
    record
        The trial, whose design the last three named priors come from.
    design_hazard_ratio
        Design hazard ratio to use instead of the record's.

    Raises
    ------
    InputError
        For an unknown name, numbers that are no prior, or a prior that needs a design that is not known.
    """
    if name in ("weak", "vague"):
        return Prior(name, (0.0,), (1.0 if name == "weak" else 10.0,))
    if name in FROM_DESIGN:
        return _from_design(name, record, design_hazard_ratio)
    try:
        mean, sd = map(float, name.split(","))
        return Prior(name, (mean,), (sd,))
    except ValueError:
        allowed = f"not a prior; give one of {', '.join(NAMED)}, or MEAN,SD with a finite mean and an SD above 0"
        raise input_error("--prior", "", name, allowed) from None


def available_priors(record: Record, design_hazard_ratio: float | None = None) -> tuple[str, ...]:
    """Return the names of the priors that a record supports."""
    return NAMED if _design(record, design_hazard_ratio) else ("weak", "vague")


def _design(record: Record, given: float | None) -> float | None:
    return given or (record.design.hazard_ratio if record.design and record.design.use else None)


def _from_design(name: str, record: Record, given: float | None) -> Prior:
    ratio = _design(record, given)
    if ratio is None or not 0 < ratio < 1:
        allowed = "needs a design hazard ratio below 1, which the record does not print; give --design-hr"
        raise input_error("--prior", "", name, allowed)
    target = math.log(ratio)
    sd = float(target / ndtri(TAIL))
    return Prior(name, ({"sceptical": 0.0, "enthusiastic": target, "pessimistic": -target}[name],), (sd,))
