"""The tables of results: each declared once, with its columns, what identifies a row, and what it is about.

Writing, reading, merging and the terminal's list of files follow this registry: a further table is one entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ..data.audit import COLUMNS as AUDIT_COLUMNS
from ..data.imputed import FIT_SHEET_COLUMNS

FIT = ("model", "shrinkage", "prior", "partition")  # what belongs to one fit is replaced together


@dataclass(frozen=True)
class Table:
    """A table of results.

    Parameters
    ----------
    name
        What the results call it.
    columns
        Its columns, in order; new ones come last.
    key
        Columns that identify what a later run replaces; without any, the whole table.
    about
        What it holds, in a few words.

    Examples
    --------
    >>> PSENSE.file, PSENSE.key
    ('psense.csv', ('trial',))
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    about: str

    @property
    def file(self) -> str:
        """Name of its file, such as ``model-comparison.csv``."""
        return f"{self.name.replace('_', '-')}.csv"

    def empty(self) -> pd.DataFrame:
        """Return the table without rows."""
        return pd.DataFrame(columns=list(self.columns))

    def arranged(self, frame: pd.DataFrame, **constants: str) -> pd.DataFrame:
        """Return a frame with exactly these columns.

        Parameters
        ----------
        frame
            Its rows.
        constants
            Values of columns that are the same in every row.

        Raises
        ------
        KeyError
            When a column is missing.
        """
        return frame.assign(**constants).reset_index(drop=True)[list(self.columns)]


ESTIMATES = Table(
    "estimates",
    (
        *("trial", "source", "endpoint", "model", "shrinkage", "prior"),
        *("partition", "subgroup", "reference", "label"),
        *("estimand", "time", "median", "mean", "sd", "lower"),
        *("upper", "prob_benefit", "prob_meaningful", "prob_harm"),
        *("ess_bulk", "ess_tail", "rhat", "mcse", "imputation_share"),
    ),
    ("source", "endpoint", *FIT, "subgroup", "reference", "label", "estimand", "time"),
    "every estimate with its probabilities",
)
COMPARISON = Table(
    "comparison",
    (
        *("trial", "partition", "subgroup", "label", "published", "published_lower", "published_upper"),
        *("published_level", "cox", "cox_lower", "cox_upper", "posterior", "posterior_lower", "posterior_upper"),
        *("model", "shrinkage", "prior", "withheld", "withheld_lower", "withheld_upper"),
        "proportional_p",
    ),
    (*FIT, "subgroup"),
    "published, Cox and posterior hazard ratios",
)
CREDIBILITY = Table(
    "credibility",
    (
        *("trial", "partition", "subgroup", "label", "patients_control", "patients_treatment"),
        *("events", "events_lower"),
        *("events_upper", "published", "published_lower", "published_upper", "published_level", "posterior"),
        *("posterior_lower", "posterior_upper", "reference", "interaction", "interaction_lower", "interaction_upper"),
        *("interaction_prob", "model", "shrinkage", "prior", "planned", "baseline", "subgroups_printed"),
        *("factors_printed", "chance_own", "chance_largest", "deviation", "chance_deviation", "chance_among"),
        *(
            "chance_source",
            "direction_foretold",
            "prior_evidence",
            "plausibility",
            "cut_point",
            "looked_at_unprinted",
        ),
        "verdict",
    ),
    ("trial",),
    "what each subgroup claim rests on, with blanks for the reader",
)
HOMOGENEITY = Table(
    "homogeneity",
    ("trial", "source", "statistic", "published", "median", "lower", "upper", "chance"),
    ("trial",),
    "what trials without any heterogeneity print of their subgroups",
)
DIAGNOSTICS = Table(
    "diagnostics",
    (
        *("trial", "model", "shrinkage", "prior", "partition", "imputation"),
        *("quantity", "rhat", "ess_bulk", "ess_tail"),
        *("mcse", "divergences", "bfmi_min", "rerun", "passed"),
    ),
    FIT,
    "convergence by quantity and imputation",
)
IMBALANCE = Table(
    "imbalance",
    (
        *("trial", "label", "subgroup", "form", "control", "treatment", "hazard_ratio", "lower", "upper"),
        *("shift", "shift_lower", "shift_upper"),
    ),
    ("trial",),
    "what each prognostic factor's imbalance accounts for",
)
BINARY = Table(
    "binary",
    (
        *("trial", "endpoint", "control_events", "control_patients", "treatment_events", "treatment_patients"),
        *("printed_p", "fisher_p", "odds_ratio", "lower", "upper"),
    ),
    ("trial",),
    "secondary endpoints and Fisher's exact test",
)
EVIDENCE = Table(
    "evidence",
    (
        *("trial", "study", "label", "quantity", "method", "tau_scale", "without", "estimate", "lower", "upper"),
        "prob_benefit",
    ),
    ("trial",),
    "the trials of the question: pooled, predicted, each left out",
)
CONFLICT = Table(
    "conflict",
    ("trial", "model", "shrinkage", "prior", "partition", "component", "prior_weight", "posterior_weight"),
    FIT,
    "posterior weight of the parts of mixture priors",
)
CHECKS = Table(
    "checks",
    (
        *("trial", "model", "shrinkage", "prior", "partition", "subgroup", "label", "item", "arm", "time", "printed"),
        *("value", "median", "lower", "upper", "q25", "q75", "tail_probability", "replicates", "source"),
    ),
    FIT,
    "what trials like the models' print, beside what this one printed",
)
MODEL_COMPARISON = Table(
    "model_comparison",
    (
        *("trial", "partition", "model", "shrinkage", "prior", "rank"),
        *("elpd", "elpd_se", "difference", "difference_se"),
        *("parameters", "weight", "rows", "worst_k", "good_k", "refitted", "bad_rows"),
    ),
    ("trial",),
    "models by how well they predict rows that are left out",
)
PRIOR_PREDICTIVE = Table(
    "prior_predictive",
    (
        *("trial", "model", "shrinkage", "prior", "partition", "estimand", "variant", "time", "prior_median"),
        *(
            "prior_lower",
            "prior_upper",
            "prior_q25",
            "prior_q75",
            "posterior_median",
            "posterior_lower",
            "posterior_upper",
        ),
        *("posterior_q25", "posterior_q75"),
    ),
    FIT,
    "what the priors imply, beside the posteriors",
)
SENSITIVITY = Table(
    "sensitivity",
    (
        *("trial", "model", "shrinkage", "partition", "subgroup", "label", "estimand", "varied", "setting", "prior"),
        *("prior_mean", "prior_sd", "median", "lower", "upper", "prob_benefit"),
        *("prob_meaningful", "prob_harm", "k_hat"),
        "resampled",
    ),
    ("trial",),
    "hazard ratios when priors, intervals, sources or bias are varied",
)
TIPPING = Table(
    "tipping",
    (
        *("trial", "model", "shrinkage", "partition", "subgroup", "label"),
        *("estimand", "prior_on", "varied", "criterion"),
        *("prior_sd", "value", "hazard_ratio", "closed_form", "k_hat", "resampled", "note"),
    ),
    ("trial",),
    "how sceptical one must be, or how biased the trial, to conclude otherwise",
)
PSENSE = Table(
    "psense",
    (
        *("trial", "model", "shrinkage", "prior", "partition", "subgroup", "label", "estimand", "prior_overall"),
        *("prior_tau", "likelihood", "diagnosis"),
    ),
    ("trial",),
    "power-scaling: what priors and data each account for",
)
AUDIT = Table("audit", AUDIT_COLUMNS, (), "every check of the published numbers")
RECONSTRUCTION = Table(
    "reconstruction", FIT_SHEET_COLUMNS, ("partition",), "published numbers and what the rebuilt data make of them"
)
TABLES = (
    ESTIMATES,
    COMPARISON,
    DIAGNOSTICS,
    AUDIT,
    CREDIBILITY,
    HOMOGENEITY,
    IMBALANCE,
    BINARY,
    CONFLICT,
    EVIDENCE,
    CHECKS,
    MODEL_COMPARISON,
    PRIOR_PREDICTIVE,
    SENSITIVITY,
    TIPPING,
    PSENSE,
    RECONSTRUCTION,
)
TEXTS = (  # of all tables: empty where not applicable
    *("trial", "source", "endpoint", "model", "shrinkage", "prior", "partition", "subgroup", "reference", "label"),
    *("item", "arm", "printed", "form", "statistic", "planned", "baseline", "chance_source", "direction_foretold"),
    *("prior_evidence", "plausibility", "cut_point", "looked_at_unprinted", "verdict", "printed_p", "component"),
    *("varied", "setting", "prior_on", "criterion", "note", "diagnosis", "variant"),
    *("study", "quantity", "method", "without"),
)
