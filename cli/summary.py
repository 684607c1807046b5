"""What a reanalysis or a fit found, as text: the headline first, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..data import ARMS, Record
from ..data.audit import VERDICTS
from ..data.labels import number_of, within_text
from ..inference.diagnostics import LEAST_ESS, MOST_RHAT
from ..inference.tables import TABLES
from ..models.imbalance import FORMS, estimate_label
from . import evidence, judging, sensitivity, subgroups
from .printing import (
    EVERYBODY,
    cox_ratio,
    files,
    findings_of,
    first_prior,
    heading,
    line,
    p_value,
    paragraph,
    percentage,
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
    from ..data.outcomes import Survival
    from ..inference import Reanalysis

CRUDE = "piecewise"
NOT_PROPORTIONAL = "nonproportional"
ADJUSTED = "imbalance"
STRATA = "subgroups"
PRIMARY_FORM = next(iter(FORMS))
MOST_NAMED = 3  # of the quantities that fail the diagnostics


def reanalysis(result: Reanalysis, directory: Path) -> None:
    """Print what a reanalysis found: the headline, then what it rests on."""
    _title(result)
    _estimands(result)
    _overall(result)
    sensitivity.sensitivity(result)
    _imbalance(result)
    _landmarks(result)
    subgroups.effects(result)
    subgroups.credibility(result.record, result.credibility, result.homogeneity)
    _secondary(result)
    evidence.trials(result)
    judging.checks(result)
    judging.model_comparison(result.model_comparison)
    _overall_comparison(result)
    _gate(result.diagnostics, len(result.fits))
    _audit_in_short(result.audit)
    heading("Files")
    table(("File", "Content"), _contents(directory))
    _warnings(result)


def fit(result: Reanalysis, directory: Path) -> None:
    """Print what one fit found."""
    _title(result)
    _overall(result)
    _imbalance(result)
    _landmarks(result)
    subgroups.effects(result)
    _secondary(result)
    evidence.trials(result)
    judging.checks(result)
    _gate(result.diagnostics, len(result.fits))
    line()
    files([directory / "posterior" / f"{one.name}.nc" for one in result.fits])
    paragraph(f"Merged into the tables of {directory}")


def pooled(result: Reanalysis, directory: Path) -> None:
    """Print what trials of one question say together."""
    record = result.record
    trials = result.evidence["study"].replace("", None).dropna().unique()
    paragraph(f"{record.endpoint.capitalize()} in {len(trials)} trials: {', '.join(trials)}.")
    paragraph("Hazard ratios below 1 favour treatment; intervals hold 95%.")
    for part in (evidence.trials, evidence.together, evidence.left_out, evidence.informed):
        part(result)
    _gate(result.diagnostics, len(result.fits))
    line()
    files([directory / "evidence.csv", directory / "figures" / "evidence.png"])
    paragraph(f"Merged into the tables of {directory}")


def _title(result: Reanalysis) -> None:
    record = result.record
    treatment, control = (record.arm(arm).label or arm for arm in ("treatment", "control"))
    paragraph(f"{record.id}: {record.title}")
    paragraph(
        f"{record.endpoint.capitalize()}, {treatment} (treatment) against {control} (control). "
        "Hazard ratios below 1 favour treatment; intervals hold 95%."
    )
    _warnings(result)


def _warnings(result: Reanalysis) -> None:
    for warning in result.warnings:
        paragraph(f"Warning: {warning}.")


def _overall_rows(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return the overall hazard ratio of every model under every prior.

    Of the adjusted ones the primary form; of the standardised ones the first form of shrinkage.
    """
    one_for_all_times = estimates["estimand"].eq("hazard_ratio") & estimates["time"].isna()
    ratios = one_for_all_times | estimates["estimand"].eq("average_hazard_ratio")
    primary = estimates["model"].ne(ADJUSTED) | estimates["label"].eq(estimate_label(PRIMARY_FORM))
    whole = estimates["subgroup"].eq(EVERYBODY) & (estimates["partition"].eq("") | estimates["model"].eq(STRATA))
    rows = _first_shrinkage(estimates[primary & ratios & whole])
    return rows.iloc[pd.factorize(rows["model"] + rows["partition"])[0].argsort(kind="stable")]


def _first_shrinkage(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the estimates without those of a second form of shrinkage."""
    first = rows.groupby(["model", "partition"])["shrinkage"].transform("first")
    return rows[rows["shrinkage"].eq(first)]


def _overall(result: Reanalysis) -> None:
    rows = _overall_rows(result.estimates)
    if rows.empty:
        return
    heading("Overall hazard ratio, by prior")
    columns = ("Model", "Prior", "Hazard ratio", *probability_columns(result))
    cells = [(_model(row), row["prior"], ratio(row), *probabilities(row)) for row in rows_of(rows)]
    table(columns, _without_repeats(cells), right=probability_columns(result))
    priors = {one.prior.name: one.prior.summary for one in result.fits}
    listed = ", ".join(f"{name} {summary}" for name, summary in priors.items())
    paragraph(f"{_footnotes(rows, result.record)}Priors on the log hazard ratio: {listed}.")
    _sisters(result)


def _sisters(result: Reanalysis) -> None:
    """Print where priors from sister trials come from, and what the data make of their parts."""
    if external := result.run["resolved"].get("external"):
        trials, events = ", ".join(external["trials"]), external["effective_events"]
        worth = number_of(round(events), result.record.event)
        paragraph(f"External is what {trials} predict for a trial like them; it is worth {worth}.")
    weights = result.conflict[result.conflict["component"].eq("external")]
    if len(weights):
        by_model = ", ".join(
            f"{weight:.2f} ({_named_fit(row)})"
            for row, weight in zip(rows_of(weights), weights["posterior_weight"], strict=True)
        )
        prior = weights["prior_weight"].iloc[0]
        paragraph(f"Of the prior robust, external weighs {prior:.2g}; given the data {by_model}.")


def _named_fit(row: pd.Series) -> str:
    return " ".join(str(row[name]) for name in ("model", "partition") if row[name])


def _footnotes(rows: pd.DataFrame, record: Record) -> str:
    """Say what the marked hazard ratios are, and which form of the adjusted one is shown."""
    averages = rows.loc[rows["estimand"].eq("average_hazard_ratio"), "time"]
    notes = [f"* average up to {averages.iloc[0]:g} {record.time_unit}"] if len(averages) else []
    notes += [f"{ADJUSTED}: {PRIMARY_FORM}"] if rows["model"].eq(ADJUSTED).any() else []
    return f"{'; '.join(notes)}. " if notes else ""


def _model(row: pd.Series) -> str:
    """Return an overall effect's model, and the partition that it is standardised over."""
    average = row["estimand"] == "average_hazard_ratio"
    name = ", ".join(filter(None, (row["model"], *str(row["partition"]).split(","))))
    return f"{name} *" if average else name


def _estimands(result: Reanalysis) -> None:
    """Print the overall effects side by side, each with what it compares, under the first prior."""
    rows = _overall_rows(first_prior(result.estimates))
    rows = pd.concat([rows[rows["model"].eq(model)] for model in (CRUDE, STRATA, ADJUSTED)])
    if len(rows) < 2:
        return
    heading(f"Overall hazard ratio by what is compared: {rows['prior'].iloc[0]} prior")
    cells = [(*_estimand(result, row), ratio(row), probability(row["prob_benefit"])) for row in rows_of(rows)]
    printed = result.record.overall_hazard_ratio
    if printed is not None:
        limits = printed.treatment_over_control_ci or (math.nan, math.nan)
        cells.insert(0, ("Printed by the paper", "", with_interval(printed.treatment_over_control, *limits), ""))
    table(("Effect", "Comparison", "Hazard ratio", "P(benefit)"), cells, right=("P(benefit)",))
    _conduct(result)


def _conduct(result: Reanalysis) -> None:
    """Print who was left out of the analysis, what that may amount to, and what came after randomisation."""
    record = result.record
    if missing := record.not_analysed:
        analysed = sum(record.arm(arm).patients or 0 for arm in ARMS)
        number = sum(missing.values())
        text = f"Analysed: {analysed} of {analysed + number} randomised."
        bounds = list(rows_of(result.sensitivity[result.sensitivity["varied"].eq("not analysed")]))
        if bounds:
            worst, best = map(ratio, bounds)
            text += (
                f" Had the other {number} done as badly as possible for treatment, the crude ratio would be {worst};"
            )
            text += f" as well as possible, {best}."
        paragraph(text)
    by_strategy: dict[str, list[str]] = {}
    for item in record.intercurrent:
        if item.use:
            whom = f"{item.n:g} of {item.arm or 'all'}" if item.n is not None else (item.arm or "")
            by_strategy.setdefault(item.strategy, []).append(f"{item.label} ({whom})" if whom else item.label)
    for strategy, events in by_strategy.items():
        paragraph(f"After randomisation, by {strategy}: {'; '.join(events)}.")


def _estimand(result: Reanalysis, row: pd.Series) -> tuple[str, str]:
    """Return an overall effect's name, and what it compares."""
    if row["model"] == CRUDE:
        return "Crude", "arms as they are"
    if row["model"] == ADJUSTED:
        number = result.imbalance["label"].nunique()
        return "Adjusted for imbalance", f"alike in {number_of(number, 'factor')}, {PRIMARY_FORM}"
    found = result.record.partition(row["partition"])
    label = found.label if found else str(row["partition"])
    return f"Standardised over {within_text(label)}", f"strata of both arms, up to {row['time']:g}"


def _without_repeats(cells: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Return rows with the first cell empty where it repeats the one above."""
    before = ["", *(row[0] for row in cells)]
    return [("", *row[1:]) if row[0] == last else row for row, last in zip(cells, before, strict=False)]


def _imbalance(result: Reanalysis) -> None:
    """Print what each factor's imbalance accounts for, then the adjusted hazard ratios."""
    estimates, terms = result.estimates, result.imbalance
    adjusted = estimates[estimates["model"].eq(ADJUSTED)]
    if adjusted.empty or terms.empty:
        return
    heading("Imbalance between the arms: by how much it moves the log hazard ratio")
    columns = ("Factor", "Control", "Treatment", "Adjusted hazard ratio", *(f"Shift, {form}" for form in FORMS))
    by_form = [terms[terms["form"].eq(form)] for form in FORMS]
    rows = [_term(*parts) for parts in zip(*map(rows_of, by_form), strict=True)]
    table(columns, [*rows, ("Together", "", "", "", *(f"{one['shift'].sum():.3f}" for one in by_form))])
    chosen = first_prior(adjusted)
    heading(f"Overall hazard ratio adjusted for these factors, under the {chosen['prior'].iloc[0]} prior on it")
    cells = [(row["label"], ratio(row), *probabilities(row)) for row in rows_of(chosen)]
    table(("Estimate", "Hazard ratio", *probability_columns(result)), cells, right=probability_columns(result))
    paragraph(
        "Conditional on these factors, with coefficients of the same trial: a correction of the crude effect, not "
        "what a model of treatment and factors together would give, as hazard ratios are not collapsible. How the "
        "coefficients are correlated is not printed; 0 is supposed where nothing else is said."
    )


def _term(first: pd.Series, *others: pd.Series) -> tuple[str, ...]:
    """Return a factor's line: the first form's shift with its interval, the others' without."""
    ratio = with_interval(first["hazard_ratio"], first["lower"], first["upper"])
    shares = (f"{100 * first[arm]:.1f}%" for arm in ARMS)
    shift = with_interval(first["shift"], first["shift_lower"], first["shift_upper"], digits=3)
    return (str(first["label"]), *shares, ratio, shift, *(f"{row['shift']:.3f}" for row in others))


def _landmarks(result: Reanalysis) -> None:
    estimates = first_prior(result.estimates)
    estimates = _first_shrinkage(estimates[estimates["subgroup"].eq(EVERYBODY)])
    estimates = estimates.assign(model=_with_partition(estimates))
    landmarks = estimates[estimates["estimand"].eq("survival_difference")]
    if landmarks.empty:
        return
    unit, prior = result.record.time_unit, landmarks["prior"].iloc[0]
    heading(f"Survival in percent by time in {unit}, and difference (treatment minus control): {prior} prior")
    columns = ("Time", "Source", "Control", "Treatment", "Difference", "P(benefit)", "Hazard ratio at that time")
    rows = []
    for time in sorted(landmarks["time"].unique()):
        printed = _printed_landmark(result.record, time)
        rows += [printed] if any(printed[2:]) or result.record.source == "published" else []
        models = landmarks.loc[landmarks["time"].eq(time), "model"].unique()
        rows += [_modelled_landmark(estimates[estimates["model"].eq(model)], model, time) for model in models]
    table(columns, _without_repeats(rows), right=("P(benefit)",))
    if NOT_PROPORTIONAL in set(landmarks["model"]):
        paragraph("Piecewise supposes one hazard ratio for all times; nonproportional lets each time speak.")


def _with_partition(rows: pd.DataFrame) -> pd.Series:
    spaced = rows["model"] + ", " + rows["partition"].str.replace(",", ", ", regex=False)  # that it may wrap
    return rows["model"].where(rows["partition"].eq(""), spaced)


def _printed_landmark(record: Record, time: float) -> tuple[str, ...]:
    items = {item.arm: item for item in record.survival if item.use and item.where.is_overall and item.time == time}
    cells = [_printed_percentage(items.get(arm)) for arm in ARMS]
    p = next((str(item.p) for item in items.values() if item.p), "")
    return (f"{time:g}", "paper", *cells, f"p {_equals(p)}" if p else "", "", "")


def _equals(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"


def _printed_percentage(item: Survival | None) -> str:
    if item is None:
        return ""
    limits = [limit.value for limit in item.ci] if item.ci else [math.nan, math.nan]
    value, lower, upper = (100 * number for number in (item.estimate.value, *limits))
    return with_interval(value, lower, upper, digits=0)


def _modelled_landmark(estimates: pd.DataFrame, model: str, time: float) -> tuple[str, ...]:
    rows = {str(row["estimand"]): row for row in rows_of(estimates[estimates["time"].eq(time)])}
    difference, at_that_time = rows["survival_difference"], rows.get("hazard_ratio")
    cells = [percentage(rows[f"survival_{name}"]) for name in ("control", "treatment", "difference")]
    then = "" if at_that_time is None else ratio(at_that_time)
    return (f"{time:g}", model, *cells, probability(difference["prob_benefit"]), then)


def _data(record: Record) -> str:
    return "the patients" if record.source == "patients" else "the rebuilt data"


def comparison(record: Record, compared: pd.DataFrame) -> None:
    """Print published, Cox and posterior hazard ratios side by side, a table for each prior."""
    paragraph(f"Hazard ratios of {record.id}: published, Cox fit to {_data(record)}, posterior")
    for prior, rows in compared.groupby("prior", sort=False):
        heading(f"Under the {prior} prior")
        _compared(rows)
    _withheld(record, compared)


def _secondary(result: Reanalysis) -> None:
    """Print the binary endpoints: counts, posterior under the first prior, Fisher's exact test."""
    estimates = result.estimates[result.estimates["model"].eq("binary")]
    if estimates.empty or result.binary.empty:
        return
    chosen = first_prior(estimates).set_index(["endpoint", "estimand"])
    heading(f"Secondary endpoints under the {chosen['prior'].iloc[0]} prior on the log odds ratio")
    cells = []
    for row in rows_of(result.binary):
        odds, difference = (chosen.loc[(row["endpoint"], name)] for name in ("odds_ratio", "risk_difference"))
        counts = (f"{row[f'{arm}_events']}/{row[f'{arm}_patients']}" for arm in ARMS)
        probable = probability(difference["prob_benefit"])
        fisher = f"{row['fisher_p']:.2g}"
        cells.append((row["endpoint"], *counts, percentage(difference), ratio(odds), probable, fisher))
    columns = ("Endpoint", "Control", "Treatment", "Difference in %", "Odds ratio", "P(benefit)", "Fisher's p")
    table(columns, cells, right=("P(benefit)", "Fisher's p"))


def _overall_comparison(result: Reanalysis) -> None:
    compared = first_prior(result.comparison)
    cox = f"Cox fit to {_data(result.record)}"
    heading(f"Overall: published, {cox}, posterior under the {compared['prior'].iloc[0]} prior")
    _compared(_first_shrinkage(compared[compared["subgroup"].eq(EVERYBODY)]))
    _withheld(result.record, compared)


PROPORTIONAL = "PH p"
_SHRINKAGE = {"": "", "half-normal": "", subgroups.RAW: ", no pooling"}  # others are named


def _compared(rows: pd.DataFrame) -> None:
    columns = ("Patients", "Published", "Cox", PROPORTIONAL, "Posterior", "Model")
    rows = rows.assign(model=_with_partition(rows))
    cells = [
        (
            "All" if row["subgroup"] == EVERYBODY else row["label"],
            published_ratio(row),
            cox_ratio(row),
            p_value(row.get("proportional_p")),
            with_interval(row["posterior"], row["posterior_lower"], row["posterior_upper"]),
            row["model"] + _SHRINKAGE.get(row["shrinkage"], f", {row['shrinkage']}"),
        )
        for row in rows_of(rows)
    ]
    table(columns, cells)
    if any(cell[3] for cell in cells):
        paragraph(
            f"{PROPORTIONAL}: Grambsch and Therneau's test of proportional hazards (score test, Kaplan-Meier time)."
        )


def _withheld(record: Record, compared: pd.DataFrame) -> None:
    predicted = compared[["withheld", "withheld_lower", "withheld_upper"]].dropna()
    if len(predicted):
        told = "When the overall hazard ratio is withheld, the other numbers predict"
        found = f"{with_interval(*predicted.iloc[0])}{_printed_overall(record)}"
        paragraph(f"{told} {found}: whether the paper is coherent, not how large the effect is.")


def _printed_overall(record: Record) -> str:
    overall = record.overall_hazard_ratio
    return "" if overall is None else f" (printed: {overall.treatment_over_control:.2f})"


def _gate(diagnostics: pd.DataFrame, posteriors: int) -> None:
    heading("Diagnostics")
    failed = diagnostics[~diagnostics["passed"].astype(bool)]
    fits = ["model", "shrinkage", "partition", "prior"]
    if failed.empty:
        rhat, divergences = diagnostics["rhat"].max(), int(diagnostics["divergences"].max())
        worst = f"worst R-hat {rhat:.3f}, most divergences {divergences}"
        paragraph(f"Passed: {'all ' * (posteriors > 1)}{number_of(posteriors, 'posterior')} ({worst}).")
        return
    groups = failed.groupby(fits, sort=False)
    paragraph(f"FAILED: {number_of(groups.ngroups, 'posterior')} of {posteriors}. Do not rely on:")
    cells = [(*map(str, names), _some(rows["quantity"]), *_worst(rows)) for names, rows in groups]
    columns = ("Model", "Shrinkage", "Partition", "Prior", "Quantities", "R-hat", "ESS", "Divergences")
    table(columns, cells, right=columns[5:])
    paragraph(
        f"The worst of each are shown. Wanted: R-hat up to {MOST_RHAT:g}, effective draws (ESS) in all imputations "
        f"together from {LEAST_ESS:g}, no divergences; more --draws help. Each quantity: diagnostics.csv"
    )


def _some(quantities: pd.Series) -> str:
    """Return the first names of a list without repetitions, and how many more there are."""
    names = list(dict.fromkeys(quantities.str.replace("_", " ")))
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _worst(rows: pd.DataFrame) -> tuple[str, str, str]:
    """Return the largest R-hat, the fewest effective draws in all imputations together, and the most divergences."""
    effective = rows.groupby("quantity")[["ess_bulk", "ess_tail"]].sum().to_numpy().min()
    return f"{rows['rhat'].max():.3f}", f"{effective:.0f}", f"{rows['divergences'].max():.0f}"


def _audit_in_short(findings: pd.DataFrame) -> None:
    if findings.empty:
        return
    heading("Audit of the published numbers")
    counts = findings["verdict"].value_counts()
    paragraph(", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in VERDICTS))
    for verdict in ("impossible", "inconsistent"):
        findings_of(findings[findings["verdict"] == verdict], verdict)
    paragraph("The notes, and every check with its numbers: audit.csv")


_FILES = {
    "table.nc": "rebuilt deaths and person-time (netCDF), with one table more for each partition",
    "posterior": "posterior draws (ArviZ, netCDF)",
    "figures": "figures (PNG and SVG)",
    "run.json": "versions, options and notes",
}


def _contents(directory: Path) -> list[tuple[str, str]]:
    files = {one.file: one.about for one in TABLES} | _FILES
    return [(str(directory / name), text) for name, text in files.items() if _holds_something(directory / name)]


def _holds_something(path: Path) -> bool:
    """Whether there is such a file or directory, and a table has more than the names of its columns."""
    if path.suffix != ".csv" or not path.exists():
        return path.exists()
    with path.open(encoding="utf-8") as lines:
        return sum(1 for _ in islice(lines, 2)) > 1
