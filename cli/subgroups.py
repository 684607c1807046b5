"""Subgroups as text: shrunken beside raw effects, contrasts, and how far each claim can be believed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from ..data.labels import number_of, within_partition, within_text
from .printing import (
    EVERYBODY,
    first_prior,
    heading,
    or_nothing,
    paragraph,
    probabilities,
    probability,
    probability_columns,
    published_ratio,
    ratio,
    rows_of,
    table,
    with_interval,
)

if TYPE_CHECKING:
    from ..data.outcomes import HazardRatio
    from ..data.record import Record
    from ..inference import Reanalysis

RAW = "none"
FORMS = {RAW: "Without pooling", "pooled": "Pooled"}  # what is not shrunken
STANDARDISED = "All patients, standardised"
BETWEEN = "SD of log hazard ratios between "


def effects(result: Reanalysis) -> None:
    """Print the subgroups' effects: those of the strata where there are tables of them, else the printed ones."""
    estimates = first_prior(result.estimates)
    strata = estimates[estimates["model"].eq("subgroups")]
    if strata.empty:
        _printed_effects(result, estimates[estimates["model"].eq("effects")])
        return
    for partition, rows in strata.groupby("partition", sort=False):
        _partition(result, str(partition), rows)
    overlap = "".join(_overlap(result, list(strata["partition"].unique())))
    paragraph(
        f"{overlap}Average hazard ratios are standardised: survival of the strata is averaged over the "
        "patients of both arms before the arms are compared."
    )


def _overlap(result: Reanalysis, partitions: list[str]) -> Iterator[str]:
    """Yield which subgroups hold the same patients."""
    if len(partitions) > 1:
        yield "Subgroups overlap between partitions. "
    elif result.record.is_joint(partitions[0]):
        yield "Subgroups of different factors overlap. "


def _partition(result: Reanalysis, partition: str, rows: pd.DataFrame) -> None:
    """Print a partition's subgroups, without pooling and shrunken, then their contrasts."""
    forms = list(dict.fromkeys(rows["shrinkage"]))
    main, raw = forms[0], RAW in forms[1:]
    found = result.record.partition(partition)
    label = found.label if found else partition
    average = rows[rows["estimand"].eq("average_hazard_ratio")]
    shown, unpooled = (average[average["shrinkage"].eq(form)] for form in (main, RAW))
    printed = {row.where.key: row for row in result.record.hazard_ratio if row.use and not row.where.is_overall}
    heading(f"{label}: average hazard ratio up to {shown['time'].iloc[0]:g} {result.record.time_unit}{_form(main)}")
    raw_ratios = {row["subgroup"]: ratio(row) for row in rows_of(unpooled)}
    names = (FORMS[RAW],) if raw else ()
    cells = [
        (
            STANDARDISED if row["subgroup"] == EVERYBODY else within_partition(row["label"], label),
            _published(printed.get(row["subgroup"])),
            *([raw_ratios.get(row["subgroup"], "")] if raw else []),
            ratio(row),
            *probabilities(row),
        )
        for row in rows_of(shown)
    ]
    columns = ("Subgroup", "Published", *names, FORMS.get(main, "Shrunken"), *probability_columns(result))
    table(columns, cells, right=probability_columns(result))
    if factor := result.record.stratified_by(partition):
        paragraph(f"Baseline hazards of each level of {within_text(result.record.factors[factor].label)}.")
    _contrasts(rows[rows["shrinkage"].eq(main)], label)


def _form(shrinkage: str) -> str:
    return "" if shrinkage in FORMS else f", {shrinkage}"


def _published(row: HazardRatio | None) -> str:
    if row is None:
        return ""
    return with_interval(row.treatment_over_control, *(row.treatment_over_control_ci or (float("nan"),) * 2))


def _contrasts(rows: pd.DataFrame, partition: str) -> None:
    contrasts = rows[rows["estimand"].eq("ratio_of_hazard_ratios")]
    if len(contrasts):
        cells = [
            (within_partition(row["label"], partition), ratio(row), probability(row["prob_benefit"]))
            for row in rows_of(contrasts)
        ]
        table(("Contrast", "Ratio of hazard ratios", "P(larger benefit)"), cells, right=("P(larger benefit)",))
    between = rows[rows["estimand"].eq("interaction_sd")]
    if len(between) > 1:
        sds = [(str(row["label"]).removeprefix(BETWEEN), ratio(row)) for row in rows_of(between)]
        table(("SD of log hazard ratios (tau) between", "SD"), sds)
        return
    for row in rows_of(between):
        paragraph(f"SD of the strata's log hazard ratios (tau): {ratio(row)}.")


def _printed_effects(result: Reanalysis, rows: pd.DataFrame) -> None:
    effects = rows[rows["estimand"].eq("hazard_ratio") & rows["subgroup"].ne(EVERYBODY)]
    if effects.empty:
        return
    identity = ["partition", "subgroup", "model", "shrinkage", "prior"]
    printed = result.comparison.set_index(identity)
    heading(f"Subgroups: hazard ratios under the {effects['prior'].iloc[0]} prior")
    columns = ("Subgroup", "Published", "Posterior", *probability_columns(result), "Shrunken")
    cells = [
        (
            row["label"],
            published_ratio(printed.loc[tuple(row[identity])]),
            ratio(row),
            *probabilities(row),
            _shrunken(row),
        )
        for row in rows_of(effects)
    ]
    table(columns, cells, right=probability_columns(result))
    paragraph("Subgroups were not planned for and overlap; those of one printed row alone are not shrunken.")


def _shrunken(row: pd.Series) -> str:
    return "no" if row["shrinkage"] == "none" else "yes"


# --- credibility --------------------------------------------------------------------------------------------------

BLANK = "____"  # for a reader to fill in
_CRITERIA = {
    "planned": "Planned",
    "direction_foretold": "Foretold",
    "prior_evidence": "Evidence",
    "plausibility": "Reason",
    "cut_point": "Cut",
    "looked_at_unprinted": "Unprinted",
    "verdict": "Verdict",
}
_MEANING = (
    "Foretold: whether the direction was. Evidence: of earlier trials. Reason: a mechanism. Cut: whether the cut "
    "point was free to choose. Unprinted: how many more subgroups were looked at. The blanks are in credibility.csv "
    "too. After Schandelmaier et al. 2020 (ICEMAN) and Sun et al. 2010."
)


def credibility(record: Record, frame: pd.DataFrame, homogeneity: pd.DataFrame) -> None:
    """Print what bears on each subgroup claim, with blanks for what only a reader can know.

    Parameters
    ----------
    record
        The trial.
    frame
        The columns of ``credibility.csv``.
    homogeneity
        What homogeneous trials print of their subgroups; may be empty.
    """
    if frame.empty:
        return
    shown = frame.assign(
        label=[_within(record, *row) for row in zip(frame["partition"], frame["label"], strict=True)]
    )
    heading("Credibility of subgroups: what they rest on")
    patients = f"Patients ({record.arms.treatment.label} + {record.arms.control.label})"
    columns = ("Subgroup", patients, "Events", "Published", "Shrunken", "Against the others", "P(more benefit)")
    table(columns, [_rests_on(row) for row in rows_of(shown)], right=(patients, "P(more benefit)"))
    claims = shown[shown["published"].notna()]
    heading("Credibility of subgroups: what else bears on a claim")
    rows = [(row["label"], *(_or_blank(row[name]) for name in _CRITERIA)) for row in rows_of(claims)]
    table(("Subgroup", *_CRITERIA.values()), rows)
    number, factors = (int(claims[name].iloc[0]) for name in ("subgroups_printed", "factors_printed"))
    paragraph(
        f"The paper prints {number_of(number, 'subgroup')} by {number_of(factors, 'factor')}{_known_later(claims)}. "
        f"{BLANK} is what no printed number tells. {_MEANING}"
    )
    _homogeneous(claims, homogeneity)


def _known_later(claims: pd.DataFrame) -> str:
    """Say which subgroups are defined by what was not known at randomisation."""
    later = claims.loc[claims["baseline"].eq("no"), "label"]
    return f", of which these by what followed randomisation: {', '.join(later)}" if len(later) else ""


def _within(record: Record, partition: str, label: str) -> str:
    """Return a subgroup's label without the partition's, where that stands before it."""
    return within_partition(label, record.all_partitions[partition].label if partition else "")


def _rests_on(row: pd.Series) -> tuple[str, ...]:
    arms = [row["patients_treatment"], row["patients_control"]]
    return (
        row["label"],
        "" if pd.isna(arms).any() else " + ".join(f"{arm:.0f}" for arm in arms),
        with_interval(row["events"], row["events_lower"], row["events_upper"], digits=0),
        published_ratio(row),
        with_interval(row["posterior"], row["posterior_lower"], row["posterior_upper"]),
        with_interval(row["interaction"], row["interaction_lower"], row["interaction_upper"]),
        probability(row["interaction_prob"]),
    )


def _or_blank(value: object) -> str:
    return or_nothing(value) or BLANK


def _homogeneous(claims: pd.DataFrame, homogeneity: pd.DataFrame) -> None:
    """Print the chances that a trial without heterogeneity prints such subgroups."""
    if homogeneity.empty:
        return
    simulated = claims[claims["chance_largest"].notna()]
    heading("Chance that a trial of this size with one effect for everybody prints such subgroups")
    columns = ("Subgroup", "Published", "This subgroup alone", "The most extreme of all")
    rows = [
        (row["label"], published_ratio(row), probability(row["chance_own"]), probability(row["chance_largest"]))
        for row in rows_of(simulated)
    ]
    table(columns, rows, right=columns[2:])
    heading("Subgroups of such trials as a whole")
    found = [
        (row["statistic"].capitalize(), f"{row['published']:.3g}", _range(row), probability(row["chance"]))
        for row in rows_of(homogeneity)
    ]
    table(("Statistic", "Published", "Such trials", "Chance"), found, right=("Published", "Chance"))
    source = "rebuilt patients" if homogeneity["source"].iloc[0] == "table" else "printed intervals"
    among = int(simulated["chance_among"].iloc[0])
    paragraph(
        f"Simulated from {source}, among {number_of(among, 'subgroup')}; at least as extreme as printed, in its "
        "direction. Deviation: from the overall effect, in standard errors of the subgroup."
    )


def _range(row: pd.Series) -> str:
    return with_interval(row["median"], row["lower"], row["upper"], digits=0 if row["statistic"].endswith("s") else 2)
