"""Forms of shrinkage of subgroup effects towards each other; see `subgroups` for what each means."""

from __future__ import annotations

from dataclasses import dataclass

from ..data.errors import input_error

TAU_SCALE = 0.25  # of the prior on the SD of log hazard ratios between subgroups
UNSHRUNKEN_SD = 5.0
SHRINKAGES = ("half-normal", "half-student-t", "horseshoe", "none", "pooled")


@dataclass(frozen=True)
class ShrinkageForm:
    """How strata's treatment effects are shrunken towards each other.

    Parameters
    ----------
    name
        One of `SHRINKAGES`.
    tau_scale
        Scale of the prior on ``tau``, the SD of the strata's log hazard ratios.

    Raises
    ------
    InputError
        For an unknown name.
    """

    name: str = "half-normal"
    tau_scale: float = TAU_SCALE

    def __post_init__(self) -> None:
        if self.name not in SHRINKAGES:
            allowed = f"not a form of shrinkage; give one of {', '.join(SHRINKAGES)}"
            raise input_error("--shrinkage", "", self.name, allowed)

    @property
    def has_tau(self) -> bool:
        """Whether there is an SD between strata to estimate."""
        return self.name in SHRINKAGES[:3]

    def settings(self) -> tuple[float, float, float, float]:
        """Return the scale of ``tau``, its fixed part, whether it is a t, whether strata have scales of their own."""
        fixed = UNSHRUNKEN_SD if self.name == "none" else 0.0
        scale = self.tau_scale if self.has_tau else 0.0
        return scale, fixed, float(self.name == "half-student-t"), float(self.name == "horseshoe")
