"""Power-scaling: how much a reported hazard ratio moves when the prior or the likelihood is raised to a power.

A number above 0.05 says that it moves. One that follows prior and likelihood alike points to a conflict between the
two; one that follows the prior alone to a strong prior or weak data. The prior on the overall effect and that on the
SD between strata are scaled apart. Numbers are averages over imputations.

Source: Kallioinen et al. 2024, Stat Comput 34:57, as arviz-stats computes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..data.table import regroup
from .fitting import Result
from .likelihood import row_log_likelihood
from .options import Options
from .reported import ReportedRatio, reported_ratios

SENSITIVE = 0.05
MOST_IMPUTATIONS = 3  # over which diagnostics are averaged
OVERALL, BETWEEN = "overall", "tau"
DRAWS = ("chain", "draw")

Array = NDArray[np.float64]


def with_log_densities(
    result: Result, table: xr.Dataset | None, imputation: int, options: Options, part: int = 0
) -> xr.DataTree:
    """Return one imputation's draws with what power-scaling and cross-validation need.

    Parameters
    ----------
    result
        A fit under the prior that was sampled.
    table
        Its survival tables by month; ``None`` for printed effects.
    imputation
        Which imputation.
    options
        Scale of the prior on ``tau``.
    part
        Which of the model's independent parts.

    Returns
    -------
    DataTree
        Groups ``posterior``, ``log_prior`` (``overall``: of the effect that has the named prior; ``tau``: of the SD
        between strata, where that is half-normal) and ``log_likelihood`` (``deaths``: by row of the table, or by
        printed effect), dimensions ``(chain, draw, ...)``.
    """
    posterior = result.fit.posterior.isel(imputation=imputation)
    if "set" in posterior.dims:
        posterior = posterior.isel(set=part)
    effect = posterior[result.task.overall].transpose(*DRAWS)
    densities = xr.Dataset({OVERALL: effect.copy(data=result.fit.prior.log_density(effect))})
    if result.fit.shrinkage == "half-normal" and "tau" in posterior and np.ptp(posterior["tau"].to_numpy()) > 0:
        densities[BETWEEN] = -0.5 * (posterior["tau"] / options.tau_scale) ** 2
    if table is None:
        rows = _effect_log_likelihood(result.task.data(imputation)["rows"][:, part], posterior)
    else:
        rows = row_log_likelihood(regroup(table.isel(imputation=[imputation]), result.fit.edges), posterior)
    groups = {"posterior": posterior, "log_prior": densities, "log_likelihood": rows.to_dataset(name="deaths")}
    return xr.DataTree.from_dict(groups)


def _effect_log_likelihood(rows: Array, posterior: xr.Dataset) -> xr.DataArray:
    """Return the log likelihood of printed effects, their true values integrated out."""
    from ..models.effects import NO_INFORMATION

    y, error = (xr.DataArray(row[rows[1] < NO_INFORMATION], dims="row") for row in rows[:2])
    variance = error**2 + posterior["tau"] ** 2
    return (-0.5 * ((y - posterior["mu"]) ** 2 / variance + np.log(variance))).transpose(*DRAWS, "row")


def power_scaling_rows(result: Result, table: xr.Dataset | None, options: Options) -> list[dict[str, object]]:
    """Return the power-scaling sensitivity of every reported hazard ratio of a fit.

    Parameters
    ----------
    result, table, options
        See `with_log_densities`.
    """
    ratios = reported_ratios(result)
    by_part: dict[int, list[ReportedRatio]] = {}
    for ratio in ratios:
        by_part.setdefault(ratio.quantity.part, []).append(ratio)
    found = []
    for part, chosen in by_part.items():
        few = range(min(MOST_IMPUTATIONS, len(result.rerun)))
        each = [_sensitivities(with_log_densities(result, table, i, options, part), chosen, i) for i in few]
        found += [
            _row(ratio, {name: float(np.mean([one[name][place] for one in each])) for name in each[0]})
            for place, ratio in enumerate(chosen)
        ]
    return found


def _sensitivities(tree: xr.DataTree, ratios: Sequence[ReportedRatio], imputation: int) -> dict[str, list[float]]:
    """Return how sensitive each hazard ratio is to each component."""
    from arviz_stats import psense

    values = {f"{place}": (DRAWS, ratio.log_ratio[imputation]) for place, ratio in enumerate(ratios)}
    shown = xr.DataTree.from_dict(
        {
            **{name: tree[name].to_dataset() for name in ("log_prior", "log_likelihood")},
            "posterior": xr.Dataset(values),
        }
    )
    components = {f"prior_{name}": ("prior", name) for name in tree["log_prior"].data_vars}
    found = {}
    for component, (group, name) in {**components, "likelihood": ("likelihood", None)}.items():
        sensitivity = psense(shown, group=group, group_var_names=name, sample_dims=list(DRAWS))
        found[component] = [float(sensitivity[place]) for place in values]
    return found


def _row(ratio: ReportedRatio, sensitivities: Mapping[str, float]) -> dict[str, object]:
    return {**ratio.identity, "prior": ratio.prior.name, **sensitivities, "diagnosis": _diagnosis(sensitivities)}


def _diagnosis(sensitivities: Mapping[str, float]) -> str:
    if max(value for name, value in sensitivities.items() if name != "likelihood") < SENSITIVE:
        return "prior does not matter"
    conflict = sensitivities["likelihood"] >= SENSITIVE
    return (
        "prior matters: possible conflict with the data" if conflict else "prior matters: strong prior or weak data"
    )
