"""On which scale a paper's survival intervals are symmetric."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .estimators import TRANSFORMS, Transform
from .outcomes import Survival
from .printed import Printed

_SCALES: dict[Transform, Callable[[float], float]] = {
    "log-log": lambda survival: float(-np.log(-np.log(survival))),
    "log": lambda survival: float(np.log(survival)),
    "plain": lambda survival: survival,
}


def interval_transform(landmarks: Sequence[Survival]) -> Transform:
    """Return the scale on which printed survival intervals are symmetric about the estimate.

    Whichever of log-log, log and plain fits best over all landmarks; log-log, the default of much software, when
    nothing tells.
    """
    printed = [(item.ci[0], item.estimate, item.ci[1]) for item in landmarks if item.use and item.ci is not None]
    usable = [numbers for numbers in printed if all(number.low > 0 and number.high < 1 for number in numbers)]
    misfit = {transform: sum(_asymmetry(numbers, transform) for numbers in usable) for transform in TRANSFORMS}
    return min(TRANSFORMS, key=lambda transform: misfit[transform])


def _asymmetry(numbers: tuple[Printed, Printed, Printed], transform: Transform) -> float:
    """Return how far the estimate is off the interval's middle, squared, in units of what rounding allows."""
    scale = _SCALES[transform]
    low, middle, high = (scale(number.value) for number in numbers)
    variances = [(scale(number.high) - scale(number.low)) ** 2 / 12 for number in numbers]
    return ((low + high) / 2 - middle) ** 2 / (variances[0] / 4 + variances[1] + variances[2] / 4)
