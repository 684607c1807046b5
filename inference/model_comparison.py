"""Models of one table compared by how well they predict a row of it that they have not seen.

A row is a cell of the survival table on the model's intervals (`likelihood`), the unit that is left out; models are
compared on one table and one grid only. The expected log predictive density is estimated by Pareto-smoothed
importance sampling, which fails where the shape k-hat of a row's weights exceeds min(1 - 1/log10 S, 0.7) for S draws:
such a row weighs too much. It is left out in earnest then, and the model sampled again without it, with no new graph
(walks are centred anew at the deaths that are left); where there are too many of them the comparison is called
unreliable.

Of a table that was rebuilt this says nothing: its rows were made by a model and not observed.
There the posterior of the scale on which the log hazard ratio changes is reported beside its prior
(`prior_predictive`), and what is printed is checked against what the models predict (`checks`).

Source: Vehtari, Gelman and Gabry 2017, Stat Comput 27:1413; Yao et al. 2018, Bayesian Anal 13:917 (stacking weights).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..data.table import regroup
from .fitting import Fit, Refit
from .imputations import Imputations
from .likelihood import row_constant, row_log_likelihood, without_row
from .tables import MODEL_COMPARISON

Array = NDArray[np.float64]
MOST_REFITS = 6  # of a model
REBUILT = (
    "models are not compared by cross-validation, as rows of a rebuilt table are no observations: "
    "see checks.csv, and the scale of non-proportionality in prior-predictive.csv"
)


def model_comparison(
    trial: str,
    fits: Sequence[Fit],
    sources: Mapping[str, Imputations],
    refits: Mapping[str, Refit] = MappingProxyType({}),
) -> pd.DataFrame:
    """Compare the models that were fitted to one table, where that was not rebuilt.

    Parameters
    ----------
    trial
        Its id.
    fits
        Posteriors under one prior; those without a survival table are left out.
    sources
        Tables by partition.
    refits
        How to sample a model's posterior of another table, by the fit's name; see `Result`.

    Returns
    -------
    DataFrame
        The columns of ``model-comparison.csv``, best first within a partition: ``elpd`` and its standard error,
        the difference to the best (0 or below) and its standard error, the effective number of ``parameters``, the
        stacking ``weight``, and of Pareto's k-hat the ``worst_k``, the limit ``good_k`` and how many of the ``rows``
        exceed it: those that were left out in earnest (``refitted``) and those that were not (``bad_rows``). Without
        rows where there is nothing to compare.
    """
    found = [_compared(alike, sources[alike[0].partition].tables, refits) for alike in comparable(fits, sources)]
    frame = pd.concat(found, ignore_index=True) if found else MODEL_COMPARISON.empty()
    return MODEL_COMPARISON.arranged(frame, trial=trial)


def comparable(
    fits: Sequence[Fit], sources: Mapping[str, Imputations], *, imputed: bool = False
) -> Iterator[list[Fit]]:
    """Yield the posteriors that belong to one table on one grid, where there are several.

    Parameters
    ----------
    fits, sources
        See `model_comparison`.
    imputed
        Whether of tables that were rebuilt, or of known ones.
    """
    for partition, source in sources.items():
        own = [fit for fit in fits if fit.partition == partition and "alpha" in fit.tree["posterior"]]
        alike = [fit for fit in own if fit.edges == own[0].edges]
        if len(alike) > 1 and source.imputed == imputed:
            yield alike


@dataclass(frozen=True)
class LeftOut:
    """What a model predicts of each row without that row.

    Parameters
    ----------
    elpd
        ArviZ's `ELPDData`, pointwise.
    k_hat
        Pareto's k-hat of every row, shape ``(row,)``.
    refitted
        Which rows were left out in earnest, shape ``(row,)``.
    """

    elpd: Any
    k_hat: Array
    refitted: NDArray[np.bool_]


def _compared(fits: list[Fit], table: xr.Dataset, refits: Mapping[str, Refit]) -> pd.DataFrame:
    """Return one table's models, best first."""
    from arviz_stats import compare

    left_out = {fit.name: leave_one_row_out(fit, table, refits.get(fit.name)) for fit in fits}
    ranked = compare({name: one.elpd for name, one in left_out.items()}, method="stacking", round_to="none")
    by_name = {fit.name: fit for fit in fits}
    return pd.DataFrame(
        [
            {name: getattr(by_name[key], name) for name in ("partition", "model", "shrinkage")}
            | {"prior": by_name[key].prior.name, "rank": row["rank"] + 1}
            | {"elpd": row["elpd"], "elpd_se": row["se"], "difference": row["elpd_diff"], "difference_se": row["dse"]}
            | {"parameters": row["p"], "weight": row["weight"]}
            | _reliability(left_out[key])
            for key, row in ranked.iterrows()
        ]
    )


def _reliability(found: LeftOut) -> dict[str, object]:
    bad = (found.k_hat > found.elpd.good_k) & ~found.refitted
    counts = {"rows": found.k_hat.size, "refitted": int(found.refitted.sum()), "bad_rows": int(bad.sum())}
    return counts | {"worst_k": found.k_hat.max(), "good_k": found.elpd.good_k}


def leave_one_row_out(fit: Fit, table: xr.Dataset, refit: Refit | None = None) -> LeftOut:
    """Return what a model predicts of each row of its table without that row.

    Parameters
    ----------
    fit
        A posterior of one imputation.
    table
        The survival table by month that it was fitted to.
    refit
        How to sample its posterior of another table, for rows that weigh too much; see `Result`.
    """
    posterior = fit.posterior.isel(imputation=0, drop=True)
    rows = regroup(table, fit.edges)
    constant = row_constant(rows)
    densities = row_log_likelihood(rows, posterior) + constant
    found = elpd_of(posterior, densities)
    k_hat = found.pareto_k.to_numpy().copy()
    refitted = np.zeros(k_hat.size, dtype=bool)
    bad = np.flatnonzero(k_hat > found.good_k)
    for row in bad if bad.size <= MOST_REFITS else ():
        without = without_row(rows, int(row))
        if refit is not None and (again := refit(without)) is not None:
            own = row_log_likelihood(rows, again, without).isel(row=row) + constant.isel(row=row)
            found.elpd_i[row] = _log_mean(own)
            found.pareto_k[row] = 0.0
            refitted[row] = True
    return LeftOut(_summed(found, densities), k_hat, refitted)


def _summed(found: Any, densities: xr.DataArray) -> Any:
    """Return `ELPDData` with the sums of its pointwise values, of which some have been replaced."""
    each = found.elpd_i.to_numpy()
    found.elpd, found.se = float(each.sum()), float(np.sqrt(each.size * each.var()))
    found.p = float(sum(_log_mean(row) for row in densities.transpose("row", ...)) - found.elpd)
    return found


def _log_mean(log_density: xr.DataArray) -> float:
    """Return the log of the mean density over draws."""
    values = log_density.to_numpy().ravel()
    return float(logsumexp(values) - np.log(values.size))


def elpd_of(posterior: xr.Dataset, log_likelihood: xr.DataArray) -> Any:
    """Return ArviZ's PSIS-LOO `ELPDData`, pointwise; whether it can be relied upon is the caller's to say.

    Parameters
    ----------
    posterior
        Draws, of which ArviZ takes the sampler's efficiency.
    log_likelihood
        Dimensions ``(chain, draw, row)``.
    """
    from arviz_stats import loo

    bare = log_likelihood.drop_vars([name for name in log_likelihood.coords if name not in ("chain", "draw")])
    groups = {"posterior": posterior, "log_likelihood": xr.Dataset({"rows": bare})}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Estimated shape parameter")  # reported as `bad_rows`
        return loo(xr.DataTree.from_dict(groups), pointwise=True)


def notes_on(compared: pd.DataFrame, rebuilt: bool) -> Iterator[str]:
    """Yield what a reader must know: why models were not compared, and which comparison cannot be relied upon.

    Parameters
    ----------
    compared
        From `model_comparison`.
    rebuilt
        Whether there are models of a rebuilt table that would have been compared.
    """
    if rebuilt:
        yield REBUILT
    for partition, rows in compared[compared["bad_rows"].gt(0)].groupby("partition", sort=False):
        names = (rows["model"] + " " + rows["shrinkage"]).str.strip()
        counts = names + " " + rows["bad_rows"].astype(str) + " of " + rows["rows"].astype(str)
        about = f" by {partition!s}" if partition else ""
        yield f"comparison of models{about} is unreliable: Pareto k-hat is too high for rows of {', '.join(counts)}"
