"""Whether the conclusions stand when something that had to be assumed is changed.

One table holds what is believed when one thing is varied: the named prior, mean and SD of a normal prior, the SD of a
sceptical one, the scale of the prior on the SD between strata, the intervals, the published numbers that the
reconstruction uses, and a bias that the trial may have. Another holds where conclusions tip (`tipping`), a third what
power-scaling says (`power_scaling`).

Nearly all of it follows from the draws under the primary prior: for the overall effect by integrating it out
(`marginal`), for others by importance weights (`reweighting`). K-hat is reported; above 0.7 the model is sampled
afresh.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from ..data import Record
from ..data.cohort import normal_quantile
from ..data.labels import number_of
from ..data.outcomes import HazardRatio
from ..models.priors import Prior
from .fitting import MOST_K_HAT, Result
from .imputations import Imputations
from .options import Options
from .overall import Integrated, integrated
from .pooling import ratio_probabilities, summary
from .power_scaling import power_scaling_rows
from .refits import by_intervals, by_reconstruction, by_tau_scale, with_not_analysed, without_sources
from .reported import HEADLINE_MODELS, ReportedRatio, reported_ratios
from .reweighting import Believable, Shifted
from .tables import PSENSE, SENSITIVITY, TIPPING, Table
from .tipping import Interval, Tipping, biases, prior_mean, sceptical_sd

MEANS, SDS = 21, 17  # of the surface
SMALLEST_SD, LARGEST_SD = 0.1, 2.0
LARGEST_MEAN = 1.0  # at least; further where a named prior's is
SCEPTICAL_SDS = np.geomspace(0.05, 2.0, 25)
BIASES = np.linspace(-0.2, 0.6, 33)
TIMED, STRATA, PRINTED = "piecewise", "subgroups", "effects"
APART = ("binary", "evidence")  # about another endpoint, or other trials too
NOT_ANALYSED = "not analysed"
SCALED, UNSHRUNKEN = "half-normal", "none"

Row = dict[str, object]


@dataclass(frozen=True)
class Sensitivity:
    """What changes when assumptions do.

    Parameters
    ----------
    rows, tipping, psense
        Tables with the columns of ``sensitivity.csv``, ``tipping.csv`` and ``psense.csv``.
    notes
        What a reader must know.
    """

    rows: pd.DataFrame
    tipping: pd.DataFrame
    psense: pd.DataFrame
    notes: tuple[str, ...] = ()


def sensitivity(
    record: Record,
    results: Sequence[Result],
    sources: Mapping[str, Imputations],
    options: Options,
) -> Sensitivity:
    """Return what changes when assumptions do.

    Parameters
    ----------
    record
        The trial.
    results
        Fits, those of each model under the primary prior first.
    sources
        Survival tables by partition.
    options
        Thresholds, seed and the scale of the prior on the SD between strata.
    """
    tables = {name: source.tables for name, source in sources.items()}
    primary = results[0].fit.prior
    fitted = [result for result in results if result.fit.model not in APART]
    sampled = [Reported(result, reported_ratios(result)) for result in fitted if result.fit.prior == primary]
    priors = list({result.fit.prior.name: result.fit.prior for result in fitted}.values())
    rows = [
        *_named_rows(fitted, sampled, options),
        *_tau_rows(sampled, options),
        *_rebuilt_rows(sampled, sources, options),
    ]
    whole = _whole(sampled)
    effect = None
    if whole is not None:
        result, ratio = whole
        effect = integrated(result, ratio.quantity.part, [*_surface(priors), *_sceptics()], options)
        rows += [*_overall_rows(ratio, effect, priors, options), *_refit_rows(record, *whole, tables, options)]
    tips = [
        row
        for one in sampled
        for row in _tipping_rows(record, one, priors, effect if whole and one.result is whole[0] else None, options)
    ]
    scaled = [row for one in sampled for row in _power_scaling(one.result, tables, options)]
    found = _frame(record, rows, SENSITIVITY)
    return Sensitivity(found, _frame(record, tips, TIPPING), _frame(record, scaled, PSENSE), tuple(_notes(found)))


@dataclass(frozen=True)
class Reported:
    """A fit under the primary prior with its hazard ratios."""

    result: Result
    ratios: list[ReportedRatio]


def _frame(record: Record, rows: Sequence[Row], table: Table) -> pd.DataFrame:
    return table.arranged(pd.DataFrame(rows, columns=list(table.columns)), trial=record.id)


def _notes(rows: pd.DataFrame) -> Iterator[str]:
    """Yield notes on what was sampled afresh and what rests on weights that cannot be relied on."""
    of_priors = rows[rows["varied"].isin(("prior", "prior mean and SD", "sceptical SD", "tau scale"))]
    if number := int((of_priors["resampled"].astype(bool)).sum()):
        yield f"sensitivity: sampled afresh, as k-hat exceeded {MOST_K_HAT:g}: {number} of {len(of_priors)} rows"
    if number := int((of_priors["k_hat"] > MOST_K_HAT).sum()):
        yield f"sensitivity: not to be relied on, as k-hat is above {MOST_K_HAT:g}: {number_of(number, 'row')}"


def varied_row(ratio: ReportedRatio, varied: str, setting: str, prior: Prior, found: Mapping[str, object]) -> Row:
    """Return a row of ``sensitivity.csv``, without the trial.

    Parameters
    ----------
    ratio
        Which hazard ratio.
    varied, setting
        What is varied, and how.
    prior
        Under which prior.
    found
        Median, interval, probabilities and what they rest on.
    """
    changed = {
        "varied": varied,
        "setting": setting,
        "prior": prior.name,
        "prior_mean": prior.mean,
        "prior_sd": prior.sd,
    }
    return {**ratio.identity, **changed, **found}


# --- named priors -------------------------------------------------------------------------------------------------


def _named_rows(results: Sequence[Result], sampled: Sequence[Reported], options: Options) -> Iterator[Row]:
    """Yield every hazard ratio under every named prior that it was fitted under."""
    ratios = {_key(one.result): one.ratios for one in sampled}
    for result in results:
        prior = result.fit.prior
        k_hats: dict[int, float] = {}
        for ratio in ratios[_key(result)]:
            part = ratio.quantity.part
            if part not in k_hats:
                k_hats[part] = ratio.reweighted.under(prior).k_hat
            values = result.draws.values[:, ratio.place].ravel()
            afresh = prior != ratio.prior and not bool(result.reweighted.all())
            weights = {"k_hat": k_hats[part], "resampled": afresh}
            found = summary(values) | ratio_probabilities(values, options) | weights
            yield varied_row(ratio, "prior", prior.name, prior, found)


def _key(result: Result) -> tuple[str, str, str]:
    return result.fit.model, result.fit.shrinkage, result.fit.partition


def _tau_rows(sampled: Sequence[Reported], options: Options) -> Iterator[Row]:
    """Yield the strata's hazard ratios under other scales of the prior on the SD between them."""
    for one in sampled:
        if (one.result.fit.model, one.result.fit.shrinkage) == (STRATA, SCALED):
            for scale, ratio, belief in by_tau_scale(one.result, one.ratios, options):
                yield varied_row(ratio, "tau scale", f"{scale:g}", ratio.prior, belief.summary(options))


def _rebuilt_rows(sampled: Sequence[Reported], sources: Mapping[str, Imputations], options: Options) -> Iterator[Row]:
    """Yield the strata's own hazard ratios when their rebuilding rests on something else."""
    for one in sampled:
        fit = one.result.fit
        if (fit.model, fit.shrinkage) == (STRATA, UNSHRUNKEN) and fit.partition in sources:
            for varied, setting, ratio, belief in by_reconstruction(
                one.result, one.ratios, sources[fit.partition], options
            ):
                yield varied_row(ratio, varied, setting, ratio.prior, belief.summary(options))


# --- the overall effect -------------------------------------------------------------------------------------------


def _whole(sampled: Sequence[Reported]) -> tuple[Result, ReportedRatio] | None:
    """Return the crude overall hazard ratio that estimates are led by, with its fit."""
    for model in HEADLINE_MODELS:
        for one in sampled:
            for ratio in one.ratios:
                if ratio.is_whole and ratio.model == model:
                    return one.result, ratio
    return None


def _surface(priors: Sequence[Prior]) -> list[Prior]:
    """Return normal priors over a grid of means and SDs that covers the named ones."""
    farthest = max(abs(mean) for prior in priors for mean in prior.means)
    most = max(LARGEST_MEAN, np.ceil(12 * farthest) / 10)
    means = np.linspace(-most, most, MEANS)
    return [_normal(mean, sd) for sd in np.geomspace(SMALLEST_SD, LARGEST_SD, SDS) for mean in means]


def _sceptics() -> list[Prior]:
    return [_normal(0.0, sd) for sd in SCEPTICAL_SDS]


def _normal(mean: float, sd: float) -> Prior:
    return Prior(f"{mean:.4g},{sd:.4g}", (float(mean),), (float(sd),))


def _overall_rows(
    ratio: ReportedRatio, effect: Integrated, priors: Sequence[Prior], options: Options
) -> Iterator[Row]:
    """Yield the overall hazard ratio over mean and SD of a normal prior, the sceptic's SD, and a bias."""
    for varied, chosen in (("prior mean and SD", _surface(priors)), ("sceptical SD", _sceptics())):
        for prior in chosen:
            yield varied_row(ratio, varied, prior.name, prior, effect.under(prior).summary(options))
    usual = effect.under(ratio.prior)
    for bias in BIASES:
        shifted = replace(usual, distribution=Shifted(usual.distribution, float(bias)))
        yield varied_row(ratio, "bias", f"{bias:.3g}", ratio.prior, shifted.summary(options))


def _refit_rows(
    record: Record, result: Result, ratio: ReportedRatio, tables: Mapping[str, xr.Dataset], options: Options
) -> Iterator[Row]:
    """Yield the overall hazard ratio on other intervals, and without some of the published numbers."""
    if result.fit.model != TIMED or result.compiled is None:
        return
    for name, belief in by_intervals(result, tables[""], options):
        yield varied_row(ratio, "intervals", name, ratio.prior, belief.summary(options))
    for setting, belief in with_not_analysed(record, result, tables[""], options):
        yield varied_row(ratio, NOT_ANALYSED, setting, ratio.prior, belief.summary(options))
    if record.source == "published":
        for item, belief in without_sources(record, result, options):
            yield varied_row(ratio, "without", item, ratio.prior, belief.summary(options))


# --- tipping points and power-scaling -----------------------------------------------------------------------------


def _tipping_rows(
    record: Record, reported: Reported, priors: Sequence[Prior], effect: Integrated | None, options: Options
) -> Iterator[Row]:
    """Yield where the conclusion about every hazard ratio of a fit tips."""
    printed = {row.where.key: row for row in record.hazard_ratio if row.use and row.ci is not None}
    sceptic = [prior.sds[0] for prior in priors if prior.name == "sceptical"]
    for ratio in reported.ratios:
        alone = ratio.model == STRATA and ratio.shrinkage == UNSHRUNKEN
        itself = alone or np.allclose(ratio.log_ratio, ratio.overall) or ratio.is_whole
        known = printed.get(ratio.quantity.subgroup) if itself and not _standardised(ratio) else None
        sds = sceptic if alone else [*ratio.prior.sds[:1], *sceptic]
        believed: Believable = ratio.alone if alone else ratio.reweighted
        if effect is not None and ratio.is_whole:
            believed = effect
        elif itself and ratio.model == PRINTED:  # a printed effect that is not pooled: all else is known
            believed = integrated(reported.result, ratio.quantity.part, _sceptics(), options)
        for tipping in _tippings(believed, ratio.prior, sds, _interval(known) if known else None):
            yield {**ratio.identity, "prior_on": "itself" if itself else "overall", **asdict(tipping)}


def _standardised(ratio: ReportedRatio) -> bool:
    """Whether it is another overall effect than the crude one, about which nothing is printed."""
    return ratio.quantity.subgroup == "overall" and not ratio.is_whole


def _tippings(
    effect: Believable, primary: Prior, sds: Sequence[float], interval: Interval | None
) -> Iterator[Tipping]:
    yield sceptical_sd(effect, primary, interval)
    yield from (prior_mean(effect, sd, interval) for sd in sds)
    yield from biases(effect, primary, interval)


def _interval(row: HazardRatio) -> Interval:
    """Return a printed interval at 95%, whatever level it was printed at."""
    lower, upper = row.treatment_over_control_ci or (np.nan, np.nan)
    middle, half = np.log([lower * upper, upper / lower]) / 2
    half *= normal_quantile(0.95) / normal_quantile(row.level)
    return Interval(float(np.exp(middle - half)), float(np.exp(middle + half)))


def _power_scaling(result: Result, tables: Mapping[str, xr.Dataset], options: Options) -> Iterator[Row]:
    table = tables.get(result.fit.partition)
    if result.fit.shrinkage != UNSHRUNKEN and (table is not None or not result.fit.edges):
        yield from power_scaling_rows(result, table if result.fit.edges else None, options)
