"""What the figures of a partition show: its subgroups' estimates, and the posterior draws behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.labels import within_partition, within_text
from ..data.subgroup import parse_key
from ..data.table import regroup
from ..inference import Reanalysis
from ..inference.fitting import Fit
from ..inference.standardised import ReportedSubgroup, mixtures, partition_subgroups, stratum_rates
from .selection import Array, primary_prior

Triple = tuple[float, float, float]
RAW = "none"
MOST_DRAWS = 250  # of each chain and imputation that curves are drawn from
ESTIMAND = "average_hazard_ratio"
STANDARDISED = "All patients, standardised"
LONGEST_LABEL = 26  # characters on one line
LABELS_MM = 44.0  # beside the axes, at most


@dataclass(frozen=True)
class SubgroupRow:
    """Average hazard ratios of one subgroup, each with its limits.

    Parameters
    ----------
    key, label
        The subgroup.
    shrunken, raw, frequentist
        Posterior with and without shrinkage, and as printed or by Cox; ``None`` where there is none.
    prob_benefit
        Posterior probability of a hazard ratio below 1, shrunken.
    """

    key: str
    label: str
    shrunken: Triple
    raw: Triple | None
    frequentist: Triple | None
    prob_benefit: float


def partitions_of(reanalysis: Reanalysis) -> list[str]:
    """Return the partitions that the `subgroups` model was fitted to, the record's in its order."""
    fitted = dict.fromkeys(fit.partition for fit in reanalysis.fits if fit.model == "subgroups")
    return sorted(fitted, key=[*reanalysis.record.all_partitions, *fitted].index)


def strata_fit(reanalysis: Reanalysis, partition: str) -> Fit:
    """Return the fit of a partition's strata under the primary prior, the first form of shrinkage that was fitted."""
    prior = primary_prior(reanalysis)
    fits = [fit for fit in reanalysis.fits if (fit.model, fit.partition) == ("subgroups", partition)]
    return next(fit for fit in fits if fit.prior.name == prior)


def title_of(reanalysis: Reanalysis, partition: str) -> str:
    """Return what people call a partition."""
    found = reanalysis.record.partition(partition)
    return found.label if found else partition


def short_label(reanalysis: Reanalysis, partition: str, label: str) -> str:
    """Return a subgroup's label without the partition's, which the figure's title gives."""
    return within_partition(label, title_of(reanalysis, partition))


def standardised_over(reanalysis: Reanalysis, partition: str) -> str:
    """Return what patients are standardised over: a partition, or the number of its factors where that is long."""
    title, factors = within_text(title_of(reanalysis, partition)), partition.count(",") + 1
    return f"over {factors} factors" if factors > 1 and len(title) > LONGEST_LABEL else f"over {title}"


def subgroup_labels(reanalysis: Reanalysis, partition: str, rows: pd.DataFrame) -> list[str]:
    """Return short labels of a table's subgroups in their order; that of all patients takes two lines."""
    first = rows.drop_duplicates("subgroup")
    everybody = f"{STANDARDISED}\n{standardised_over(reanalysis, partition)}"
    return [
        everybody if subgroup == "overall" else short_label(reanalysis, partition, label)
        for subgroup, label in zip(first["subgroup"], first["label"], strict=True)
    ]


def frequentist(reanalysis: Reanalysis) -> str:
    """Return which hazard ratios of the comparison stand beside the posterior's: ``published``, or else ``cox``."""
    return "published" if reanalysis.comparison["published"].notna().any() else "cox"


def subgroup_rows(reanalysis: Reanalysis, partition: str) -> list[SubgroupRow]:
    """Return the hazard ratios of a partition's subgroups, the standardised overall effect first."""
    rows = _ratios(reanalysis.estimates, reanalysis, partition)
    shrinkage = strata_fit(reanalysis, partition).shrinkage
    raw = rows[rows["shrinkage"].eq(RAW)].set_index("subgroup")
    source = frequentist(reanalysis)
    compared = _ratios(reanalysis.comparison, reanalysis, partition, None)
    compared = compared[compared[source].notna()].drop_duplicates("subgroup").set_index("subgroup")

    def triple(frame: pd.DataFrame, key: str, names: tuple[str, str, str]) -> Triple | None:
        if key not in frame.index:
            return None
        middle, lower, upper = (float(frame[name].to_dict()[key]) for name in names)
        return middle, lower, upper

    return [
        SubgroupRow(
            row["subgroup"],
            short_label(reanalysis, partition, row["label"]),
            (row["median"], row["lower"], row["upper"]),
            triple(raw, row["subgroup"], ("median", "lower", "upper")) if shrinkage != RAW else None,
            triple(compared, row["subgroup"], (source, f"{source}_lower", f"{source}_upper")),
            row["prob_benefit"],
        )
        for row in rows[rows["shrinkage"].eq(shrinkage)].to_dict("records")
    ]


def _ratios(
    frame: pd.DataFrame, reanalysis: Reanalysis, partition: str, estimand: str | None = ESTIMAND
) -> pd.DataFrame:
    chosen = frame["model"].eq("subgroups") & frame["partition"].eq(partition)
    chosen &= frame["prior"].eq(primary_prior(reanalysis))
    return frame[chosen & frame["estimand"].eq(estimand)] if estimand else frame[chosen]


def information(values: Triple) -> float:
    """Return the inverse variance of a log hazard ratio, from its 95% limits; 0 without them."""
    _, lower, upper = values
    return float((2 * 1.96 / np.log(upper / lower)) ** 2) if upper > lower > 0 else 0.0


def reported(reanalysis: Reanalysis, partition: str) -> list[ReportedSubgroup]:
    """Return the subgroups of a partition that are reported, with their places among its strata."""
    strata = [parse_key(str(key)) for key in reanalysis.tables[partition].stratum.to_numpy()]
    return partition_subgroups(reanalysis.record, partition, strata)


def stratum_draws(reanalysis: Reanalysis, partition: str) -> Iterator[tuple[Array, Array]]:
    """Yield hazards and patients of a partition's strata, imputation by imputation.

    Yields
    ------
    tuple of array
        Hazards of shape ``(chain, draw, stratum, arm, interval)``, and patients of both arms, shape ``(stratum,)``.
    """
    from ..models.piecewise import log_time

    fit = strata_fit(reanalysis, partition)
    table = regroup(reanalysis.tables[partition], np.array(fit.edges))
    posterior = fit.posterior.isel(stratum=slice(table.sizes["stratum"]))
    step = max(1, posterior.sizes["draw"] // MOST_DRAWS)
    for imputation in range(posterior.sizes["imputation"]):
        chosen = table.isel(imputation=imputation)
        covariate = log_time(chosen, chosen.deaths.sum(("stratum", "arm")).to_numpy())
        rates = stratum_rates(posterior.isel(imputation=imputation, draw=slice(None, None, step)), covariate)
        yield rates, chosen.patients.sum("arm").to_numpy()


def average_ratios(reanalysis: Reanalysis, partition: str) -> dict[str, Array]:
    """Return draws of the average hazard ratio of every reported subgroup of a partition, by its key.

    Up to the time that the estimates are averaged to.
    """
    subgroups = reported(reanalysis, partition)
    end = float(_ratios(reanalysis.estimates, reanalysis, partition)["time"].iloc[0])
    edges, found = np.array(strata_fit(reanalysis, partition).edges), []
    for rates, patients in stratum_draws(reanalysis, partition):
        weights = [np.where(np.isin(np.arange(len(patients)), one.members), patients, 0.0) for one in subgroups]
        found.append(mixtures(edges, rates, weights).average_hazard_ratio(end).reshape(len(subgroups), -1))
    draws = np.concatenate(found, axis=1)
    return {one.subgroup.key: values for one, values in zip(subgroups, draws, strict=True)}
