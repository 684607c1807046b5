"""Results as text for people: tables that wrap and lose nothing when piped."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from rich import box
from rich.padding import Padding
from rich.table import Table

from ..data import ARMS, Record
from ..data.audit import VERDICTS
from ..data.describe import Section, TrialSummary
from ..models.imbalance import FORMS, estimate_label
from .terminal import console

if TYPE_CHECKING:
    from ..data.reconstruction import Reconstruction
    from ..data.record import Survival
    from ..inference import Reanalysis

GAP = 2  # between columns
NUMERIC = frozenset({"n", "p", "events", "control", "treatment", "both"})


def line(text: str = "") -> None:
    """Print a line of text."""
    console().print(text, soft_wrap=True)


def paragraph(text: str) -> None:
    """Print text that wraps."""
    console().print(text)


def heading(text: str) -> None:
    """Print the title of what follows."""
    out = console()
    out.print()
    out.print(text, style="bold")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """Print a table; columns without any text are left out.

    Parameters
    ----------
    columns
        Names of the columns.
    rows
        Text by row and column.
    right
        Columns that are aligned to the right.
    """
    cells = [list(row) for row in rows]
    shown = [index for index in range(len(columns)) if any(row[index] for row in cells)]
    out = console()
    kept = [[columns[index], *(row[index] for row in cells)] for index in shown]
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)
    for (name, *_), width in zip(kept, widths(kept, out.width), strict=True):
        drawn.add_column(name, justify="right" if name in set(right) else "left", overflow="fold", width=width)
    for row in cells:
        drawn.add_row(*(row[index] for index in shown))
    out.print(drawn)


def widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return how wide columns may be: headers wrap first, then the widest cells, and words last of all.

    Parameters
    ----------
    columns
        Header and cells of each column.
    room
        Width of the page.
    """
    room -= GAP * (len(columns) - 1)
    found = [max(map(len, column)) for column in columns]
    if sum(found) > room:
        found = [max(_longest_word(header), *map(len, cells)) for header, *cells in columns]
    words = [max(map(_longest_word, column)) for column in columns]
    while sum(found) > max(room, len(found)):
        wraps = [index for index, width in enumerate(found) if width > words[index]]
        widest = max(wraps or range(len(found)), key=found.__getitem__)
        found[widest] -= 1
    return found


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def files(paths: Iterable[Path]) -> None:
    """Print where files are."""
    for path in paths:
        line(f"Wrote {path}")


# --- numbers ------------------------------------------------------------------------------------------------------


def probability(value: float) -> str:
    """Return a probability with three decimals, never as a certainty."""
    if pd.isna(value):
        return ""
    return "<0.001" if value < 0.0005 else ">0.999" if value > 0.9995 else f"{value:.3f}"


def with_interval(value: float, lower: float, upper: float, digits: int = 2) -> str:
    """Return ``0.66 (0.49-0.88)``, ``0.05 (-0.10 to 0.20)``, or what there is of it."""
    if pd.isna(value):
        return ""
    if pd.isna(lower):
        return f"{value:.{digits}f}"
    between = " to " if lower < 0 else "-"
    return f"{value:.{digits}f} ({lower:.{digits}f}{between}{upper:.{digits}f})"


def percentage(row: pd.Series) -> str:
    """Return an estimate of a probability, or of a difference between two, in percent."""
    value, lower, upper = (100 * float(row[name]) for name in ("median", "lower", "upper"))
    return with_interval(value, lower, upper, digits=0)


# --- records ------------------------------------------------------------------------------------------------------


def trials(summaries: Iterable[TrialSummary]) -> None:
    """Print a line for each trial."""
    columns = ("Id", "Title", "Endpoint", "Patients", "Events", "Source", "Hazard ratio")
    rows = [
        (one.id, one.title, one.endpoint, _whole(one.patients), _whole(one.events), one.source, one.hazard_ratio)
        for one in summaries
    ]
    table(columns, rows, right=("Patients", "Events"))


def _whole(number: int | None) -> str:
    return "" if number is None else str(number)


def sections(parts: Iterable[Section]) -> None:
    """Print titled tables."""
    for part in parts:
        heading(part.title)
        table(part.columns, part.rows, right=NUMERIC)


# --- audit --------------------------------------------------------------------------------------------------------


def audit(record: Record, findings: pd.DataFrame, directory: Path | None) -> None:
    """Print an audit: verdicts by check, and the arithmetic of all that is not in order."""
    paragraph(f"Audit of {record.id}: {record.title}")
    heading("Checks")
    counted = pd.crosstab(findings["check"], findings["verdict"]).reindex(
        index=findings["check"].unique(), columns=list(VERDICTS), fill_value=0
    )
    rows = [(str(check), *(str(n) if n else "" for n in counts)) for check, counts in _rows_of(counted)]
    total = counted.sum()
    rows.append(("all", *(str(total[verdict]) for verdict in VERDICTS)))
    table(("Check", *VERDICTS), rows, right=VERDICTS)
    notable = findings[findings["verdict"] != "ok"]
    if notable.empty:
        paragraph("Every number that can be checked is in order.")
    for verdict in reversed(VERDICTS[1:]):
        findings_of(notable[notable["verdict"] == verdict], verdict)
    if directory is not None:
        line()
        files([directory / "audit.csv"])
    else:
        line()
        paragraph(f"All checks with their numbers: secondlook audit {record.id} --out DIR")


def _rows_of(counted: pd.DataFrame) -> Iterable[tuple[object, list[int]]]:
    return ((index, list(map(int, row))) for index, row in zip(counted.index, counted.to_numpy(), strict=True))


def findings_of(findings: pd.DataFrame, verdict: str) -> None:
    """Print findings of one verdict, each with its arithmetic below it."""
    if findings.empty:
        return
    heading(f"{verdict.capitalize()}: {len(findings)}")
    out = console()
    for row in _rows(findings):
        source = f" [{row['source']}]" if row["source"] else ""
        out.print(Padding(f"{row['item']} ({row['check']}){source}", (0, 0, 0, 2), expand=False))
        out.print(Padding(str(row["arithmetic"]), (0, 0, 0, 6), expand=False))


# --- reanalysis ---------------------------------------------------------------------------------------------------

PROBABILITIES = ("P(benefit)", "P(HR <{benefit_threshold:.2f})", "P(HR >{harm_threshold:.2f})")
NOT_PROPORTIONAL = "nonproportional"
ADJUSTED = "imbalance"
PRIMARY_FORM = next(iter(FORMS))
EVERYBODY = "overall"


def reanalysis(result: Reanalysis, directory: Path) -> None:
    """Print what a reanalysis found: the headline, then what it rests on."""
    _title(result)
    _overall(result)
    _imbalance(result)
    _landmarks(result)
    _subgroups(result)
    _overall_comparison(result)
    _gate(result.diagnostics)
    _audit_in_short(result.audit, result.record)
    heading("Files")
    table(("File", "Content"), _contents(directory))


def fit(result: Reanalysis, directory: Path) -> None:
    """Print what one fit found."""
    _title(result)
    _overall(result)
    _imbalance(result)
    _landmarks(result)
    _subgroups(result)
    _gate(result.diagnostics)
    line()
    files([directory / "posterior" / f"{one.name}.nc" for one in result.fits])
    paragraph(f"Merged into the tables of {directory}")


def _title(result: Reanalysis) -> None:
    record = result.record
    treatment, control = (record.arm(arm).label or arm for arm in ("treatment", "control"))
    paragraph(f"{record.id}: {record.title}")
    paragraph(
        f"{record.endpoint.capitalize()}, {treatment} (treatment) against {control} (control). "
        "Hazard ratios below 1 favour treatment; intervals hold 95%."
    )


def _probability_columns(result: Reanalysis) -> list[str]:
    return [name.format(**result.run["options"]) for name in PROBABILITIES]


def _probabilities(row: pd.Series) -> list[str]:
    return [probability(row[name]) for name in ("prob_benefit", "prob_meaningful", "prob_harm")]


def _ratio(row: pd.Series) -> str:
    return with_interval(row["median"], row["lower"], row["upper"])


def _rows(frame: pd.DataFrame) -> Iterable[pd.Series]:
    return (row for _, row in frame.iterrows())


def _overall_rows(estimates: pd.DataFrame) -> pd.DataFrame:
    """Return the overall hazard ratio of every model under every prior; of the adjusted ones the primary form."""
    one_for_all_times = estimates["estimand"].eq("hazard_ratio") & estimates["time"].isna()
    ratio = one_for_all_times | estimates["estimand"].eq("average_hazard_ratio")
    primary = estimates["model"].ne(ADJUSTED) | estimates["label"].eq(estimate_label(PRIMARY_FORM))
    rows = estimates[primary & ratio & estimates["subgroup"].eq(EVERYBODY) & estimates["partition"].eq("")]
    return rows.iloc[pd.factorize(rows["model"])[0].argsort(kind="stable")]


def _overall(result: Reanalysis) -> None:
    rows = _overall_rows(result.estimates)
    if rows.empty:
        return
    heading("Overall hazard ratio, by prior")
    columns = ("Model", "Prior", "Hazard ratio", *_probability_columns(result))
    cells = [(_model(row), row["prior"], _ratio(row), *_probabilities(row)) for row in _rows(rows)]
    table(columns, _without_repeats(cells), right=_probability_columns(result))
    priors = (f"{name} {normal}" for name, normal in result.run["resolved"]["priors"].items())
    paragraph(f"Priors on the log hazard ratio: {', '.join(priors)}.")


def _model(row: pd.Series) -> str:
    if row["model"] == ADJUSTED:
        return f"{ADJUSTED} ({PRIMARY_FORM})"
    average = row["estimand"] == "average_hazard_ratio"
    return f"{row['model']} (average up to {row['time']:g})" if average else str(row["model"])


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
    rows = [_term(*parts) for parts in zip(*map(_rows, by_form), strict=True)]
    table(columns, [*rows, ("Together", "", "", "", *(f"{one['shift'].sum():.3f}" for one in by_form))])
    chosen = _first_prior(adjusted)
    heading(
        f"Overall hazard ratio adjusted for these factors, under the {chosen['prior'].iloc[0]} prior on the crude one"
    )
    cells = [(row["label"], _ratio(row), *_probabilities(row)) for row in _rows(chosen)]
    table(("Estimate", "Hazard ratio", *_probability_columns(result)), cells, right=_probability_columns(result))
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
    estimates = _first_prior(result.estimates)
    landmarks = estimates[estimates["estimand"].eq("survival_difference")]
    if landmarks.empty:
        return
    unit, prior = result.record.time_unit, landmarks["prior"].iloc[0]
    heading(f"Survival in percent by time in {unit}, and difference (treatment minus control): {prior} prior")
    columns = ("Time", "Source", "Control", "Treatment", "Difference", "P(benefit)", "Hazard ratio at that time")
    rows = []
    for time in sorted(landmarks["time"].unique()):
        rows += [_printed_landmark(result.record, time)]
        models = landmarks.loc[landmarks["time"].eq(time), "model"].unique()
        rows += [_modelled_landmark(estimates[estimates["model"].eq(model)], model, time) for model in models]
    table(columns, _without_repeats(rows), right=("P(benefit)",))
    if NOT_PROPORTIONAL in set(landmarks["model"]):
        paragraph("Piecewise supposes one hazard ratio for all times; nonproportional lets each time speak.")


def _first_prior(estimates: pd.DataFrame) -> pd.DataFrame:
    return estimates[estimates["prior"].eq(estimates["prior"].iloc[0])]


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
    rows = {str(row["estimand"]): row for row in _rows(estimates[estimates["time"].eq(time)])}
    difference, ratio = rows["survival_difference"], rows.get("hazard_ratio")
    cells = [percentage(rows[f"survival_{name}"]) for name in ("control", "treatment", "difference")]
    then = "" if ratio is None else _ratio(ratio)
    return (f"{time:g}", model, *cells, probability(difference["prob_benefit"]), then)


def _subgroups(result: Reanalysis) -> None:
    everything = _first_prior(result.estimates)
    effects = everything[
        everything["model"].eq("effects")
        & everything["estimand"].eq("hazard_ratio")
        & everything["subgroup"].ne(EVERYBODY)
    ]
    if effects.empty:
        return
    identity = ["partition", "subgroup", "model", "shrinkage", "prior"]
    printed = result.comparison.set_index(identity)
    heading(f"Subgroups: hazard ratios under the {effects['prior'].iloc[0]} prior")
    columns = ("Subgroup", "Published", "Posterior", *_probability_columns(result), "Shrunken")
    rows = [
        (
            row["label"],
            _published(printed.loc[tuple(row[identity])]),
            _ratio(row),
            *_probabilities(row),
            _shrunken(row),
        )
        for row in _rows(effects)
    ]
    table(columns, rows, right=_probability_columns(result))
    paragraph("Subgroups were not planned for and overlap; those of one printed row alone are not shrunken.")


def _shrunken(row: pd.Series) -> str:
    return "no" if row["shrinkage"] == "none" else "yes"


def _published(row: pd.Series) -> str:
    return with_interval(row["published"], row["published_lower"], row["published_upper"])


def comparison(record: Record, compared: pd.DataFrame) -> None:
    """Print published, Cox and posterior hazard ratios side by side, a table for each prior."""
    paragraph(f"Hazard ratios of {record.id}: published, Cox fit to the rebuilt data, posterior")
    for prior, rows in compared.groupby("prior", sort=False):
        heading(f"Under the {prior} prior")
        _compared(rows)
    _withheld(record, compared)


def _overall_comparison(result: Reanalysis) -> None:
    compared = _first_prior(result.comparison)
    heading(f"Overall: published, Cox fit to the rebuilt data, posterior under the {compared['prior'].iloc[0]} prior")
    _compared(compared[compared["subgroup"].eq(EVERYBODY)])
    _withheld(result.record, compared)


def _compared(rows: pd.DataFrame) -> None:
    columns = ("Patients", "Published", "Cox", "Posterior", "Model")
    cells = [
        (
            "All" if row["subgroup"] == EVERYBODY else row["label"],
            _published(row),
            with_interval(row["cox"], row["cox_lower"], row["cox_upper"]),
            with_interval(row["posterior"], row["posterior_lower"], row["posterior_upper"]),
            row["model"],
        )
        for row in _rows(rows)
    ]
    table(columns, cells)


def _withheld(record: Record, compared: pd.DataFrame) -> None:
    withheld = compared["withheld"].dropna()
    if len(withheld):
        predicted = f"When the overall hazard ratio is withheld, the other numbers predict {withheld.iloc[0]:.2f}"
        paragraph(f"{predicted}{_printed_overall(record)}.")


def _printed_overall(record: Record) -> str:
    overall = record.overall_hazard_ratio
    return "" if overall is None else f" (printed: {overall.treatment_over_control:.2f})"


def _gate(diagnostics: pd.DataFrame) -> None:
    heading("Diagnostics")
    rhat, divergences = diagnostics["rhat"].max(), int(diagnostics["divergences"].max())
    failed = diagnostics[~diagnostics["passed"].astype(bool)]
    worst = f"worst R-hat {rhat:.3f}, most divergences {divergences}"
    fits = ["model", "shrinkage", "prior"]
    if failed.empty:
        fitted = diagnostics[diagnostics["model"].ne(ADJUSTED)]  # the adjusted effect is derived from a fit
        number = len(fitted.drop_duplicates(["model", "prior"]))
        paragraph(f"Passed: all {number} posteriors ({worst}).")
        return
    paragraph(f"FAILED ({worst}). Do not rely on:")
    names = failed.groupby(fits, sort=False)["quantity"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    table(("Model", "Shrinkage", "Prior", "Quantities"), names.reset_index().astype(str).to_numpy().tolist())


def _audit_in_short(findings: pd.DataFrame, record: Record) -> None:
    heading("Audit of the published numbers")
    counts = findings["verdict"].value_counts()
    paragraph("" + ", ".join(f"{counts.get(verdict, 0)} {verdict}" for verdict in VERDICTS))
    for verdict in ("impossible", "inconsistent"):
        findings_of(findings[findings["verdict"] == verdict], verdict)
    paragraph(f"The notes too: secondlook audit {record.id}")


_FILES = {
    "estimates.csv": "every estimate with its probabilities",
    "comparison.csv": "published, Cox and posterior hazard ratios",
    "diagnostics.csv": "convergence by quantity and imputation",
    "audit.csv": "every check of the published numbers",
    "imbalance.csv": "what each prognostic factor's imbalance accounts for",
    "reconstruction.csv": "published numbers and what the rebuilt data make of them",
    "posterior": "posterior draws (ArviZ, netCDF)",
    "figures": "figures (PNG and SVG)",
    "run.json": "versions, options and notes",
}


def _contents(directory: Path) -> list[tuple[str, str]]:
    return [(str(directory / name), text) for name, text in _FILES.items() if (directory / name).exists()]


# --- credibility --------------------------------------------------------------------------------------------------

BLANK = "____"  # for a reader to fill in
_CRITERIA = {
    "planned": "Planned",
    "baseline": "Known at baseline",
    "direction_foretold": "Direction foretold",
    "prior_evidence": "Earlier evidence",
    "plausibility": "Mechanism",
    "cut_point": "Cut point not chosen",
    "looked_at_unprinted": "Looked at, unprinted",
    "verdict": "Credibility",
}


def credibility_table(frame: pd.DataFrame, homogeneity: pd.DataFrame) -> None:
    """Print what bears on each subgroup claim, with blanks for what only a reader can know.

    Parameters
    ----------
    frame
        The columns of ``credibility.csv``.
    homogeneity
        What homogeneous trials print of their subgroups; may be empty.
    """
    if frame.empty:
        return
    heading("Credibility of subgroups: what they rest on")
    columns = ("Subgroup", "Patients", "Events", "Published", "Shrunken", "Against the others", "P(more benefit)")
    table(columns, [_rests_on(row) for row in _rows(frame)], right=("Patients", "P(more benefit)"))
    claims = frame[frame["published"].notna()]
    heading("Credibility of subgroups: what else bears on a claim")
    rows = [(row["label"], *(_or_blank(row[name]) for name in _CRITERIA)) for row in _rows(claims)]
    table(("Subgroup", *_CRITERIA.values()), rows)
    number, factors = (int(claims[name].iloc[0]) for name in ("subgroups_printed", "factors_printed"))
    paragraph(
        f"The paper prints {number} subgroups by {factors} factors. {BLANK} is what no printed number tells. "
        "After Schandelmaier et al. 2020 (ICEMAN) and Sun et al. 2010."
    )
    _homogeneous(claims, homogeneity)


def _rests_on(row: pd.Series) -> tuple[str, ...]:
    arms = [row["patients_treatment"], row["patients_control"]]
    return (
        row["label"],
        "" if pd.isna(arms).any() else " + ".join(f"{arm:.0f}" for arm in arms),
        with_interval(row["events"], row["events_lower"], row["events_upper"], digits=0),
        _published(row),
        with_interval(row["posterior"], row["posterior_lower"], row["posterior_upper"]),
        with_interval(row["interaction"], row["interaction_lower"], row["interaction_upper"]),
        probability(row["interaction_prob"]),
    )


def _or_blank(value: object) -> str:
    return _blank(value) or BLANK


def _homogeneous(claims: pd.DataFrame, homogeneity: pd.DataFrame) -> None:
    """Print the chances that a trial without heterogeneity prints such subgroups."""
    if homogeneity.empty:
        return
    simulated = claims[claims["chance_largest"].notna()]
    heading("Chance that a trial of this size with one effect for everybody prints such subgroups")
    columns = ("Subgroup", "Published", "This subgroup alone", "The most extreme of all")
    rows = [
        (row["label"], _published(row), probability(row["chance_own"]), probability(row["chance_largest"]))
        for row in _rows(simulated)
    ]
    table(columns, rows, right=columns[2:])
    heading("Subgroups of such trials as a whole")
    found = [
        (row["statistic"].capitalize(), f"{row['published']:.3g}", _range(row), probability(row["chance"]))
        for row in _rows(homogeneity)
    ]
    table(("Statistic", "Published", "Such trials", "Chance"), found, right=("Published", "Chance"))
    source = "rebuilt patients" if homogeneity["source"].iloc[0] == "table" else "printed intervals"
    among = int(simulated["chance_among"].iloc[0])
    paragraph(f"Simulated from {source}, among {among} subgroups; at least as extreme as printed, in its direction.")


def _range(row: pd.Series) -> str:
    return with_interval(row["median"], row["lower"], row["upper"], digits=0 if row["statistic"].endswith("s") else 2)


# --- reconstruction -----------------------------------------------------------------------------------------------


def reconstruction(made: Reconstruction) -> None:
    """Print the fit sheet: every published number beside what the rebuilt data make of it."""
    heading(f"Published numbers of {made.record.id}, and what the rebuilt data make of them")
    columns = ("Item", "Subgroup", "Arm", "Time", "Printed", "Rebuilt", "Half-widths off", "Used", "Source")
    rows = [
        (
            str(row["item"]).replace("_", " "),
            "" if row["subgroup"] == EVERYBODY else str(row["subgroup"]),
            _blank(row["arm"]),
            _blank(row["time"]),
            _blank(row["printed"]),
            f"{row['reproduced']:.4g}",
            "" if pd.isna(row["half_widths_off"]) else f"{row['half_widths_off']:.2f}",
            "yes" if row["used"] else "predicted",
            _blank(row["source"]),
        )
        for row in _rows(made.fit_sheet)
    ]
    table(columns, rows, right=("Time", "Printed", "Rebuilt", "Half-widths off"))
    paragraph(f"{len(made.draws)} imputations; {made.acceptance_rate:.0%} of the draws reproduced every number.")
    line()


def _blank(value: object) -> str:
    if value is None or value != value:  # not a number
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
