"""The columns of every table that is written."""

from __future__ import annotations

import pandas as pd

ESTIMATES = (
    *("trial", "source", "endpoint", "model", "shrinkage", "prior", "partition", "subgroup", "reference", "label"),
    *("estimand", "time", "median", "mean", "sd", "lower", "upper", "prob_benefit", "prob_meaningful", "prob_harm"),
    *("ess_bulk", "ess_tail", "rhat", "mcse", "imputation_share"),
)
COMPARISON = (
    *("trial", "partition", "subgroup", "label", "published", "published_lower", "published_upper"),
    *("published_level", "cox", "cox_lower", "cox_upper", "posterior", "posterior_lower", "posterior_upper"),
    *("model", "shrinkage", "prior", "withheld", "withheld_lower", "withheld_upper"),
    "proportional_p",
)
CREDIBILITY = (
    *("trial", "partition", "subgroup", "label", "patients_control", "patients_treatment", "events", "events_lower"),
    *("events_upper", "published", "published_lower", "published_upper", "published_level", "posterior"),
    *("posterior_lower", "posterior_upper", "reference", "interaction", "interaction_lower", "interaction_upper"),
    *("interaction_prob", "model", "shrinkage", "prior", "planned", "baseline", "subgroups_printed"),
    *("factors_printed", "chance_own", "chance_largest", "deviation", "chance_deviation", "chance_among"),
    *("chance_source", "direction_foretold", "prior_evidence", "plausibility", "cut_point", "looked_at_unprinted"),
    "verdict",
)
HOMOGENEITY = ("trial", "source", "statistic", "published", "median", "lower", "upper", "chance")
DIAGNOSTICS = (
    *("trial", "model", "shrinkage", "prior", "partition", "imputation", "quantity", "rhat", "ess_bulk", "ess_tail"),
    *("mcse", "divergences", "bfmi_min", "rerun", "passed"),
)
IMBALANCE = (
    *("trial", "label", "subgroup", "form", "control", "treatment", "hazard_ratio", "lower", "upper"),
    *("shift", "shift_lower", "shift_upper"),
)
BINARY = (
    *("trial", "endpoint", "control_events", "control_patients", "treatment_events", "treatment_patients"),
    *("printed_p", "fisher_p", "odds_ratio", "lower", "upper"),
)
EVIDENCE = (
    *("trial", "study", "label", "quantity", "method", "tau_scale", "without", "estimate", "lower", "upper"),
    "prob_benefit",
)
CONFLICT = ("trial", "model", "shrinkage", "prior", "partition", "component", "prior_weight", "posterior_weight")
CHECKS = (
    *("trial", "model", "shrinkage", "prior", "partition", "subgroup", "label", "item", "arm", "time", "printed"),
    *("value", "median", "lower", "upper", "q25", "q75", "tail_probability", "replicates", "source"),
)
MODEL_COMPARISON = (
    *("trial", "partition", "model", "shrinkage", "prior", "rank", "elpd", "elpd_se", "difference", "difference_se"),
    *("parameters", "weight", "rows", "worst_k", "good_k", "refitted", "bad_rows"),
)
PRIOR_PREDICTIVE = (
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
)
SENSITIVITY = (
    *("trial", "model", "shrinkage", "partition", "subgroup", "label", "estimand", "varied", "setting", "prior"),
    *("prior_mean", "prior_sd", "median", "lower", "upper", "prob_benefit", "prob_meaningful", "prob_harm", "k_hat"),
    "resampled",
)
TIPPING = (
    *("trial", "model", "shrinkage", "partition", "subgroup", "label", "estimand", "prior_on", "varied", "criterion"),
    *("prior_sd", "value", "hazard_ratio", "closed_form", "k_hat", "resampled", "note"),
)
PSENSE = (
    *("trial", "model", "shrinkage", "prior", "partition", "subgroup", "label", "estimand", "prior_overall"),
    *("prior_tau", "likelihood", "diagnosis"),
)
TEXTS = (  # of all tables: empty where not applicable
    *("trial", "source", "endpoint", "model", "shrinkage", "prior", "partition", "subgroup", "reference", "label"),
    *("item", "arm", "printed", "form", "statistic", "planned", "baseline", "chance_source", "direction_foretold"),
    *("prior_evidence", "plausibility", "cut_point", "looked_at_unprinted", "verdict", "printed_p", "component"),
    *("varied", "setting", "prior_on", "criterion", "note", "diagnosis", "variant"),
    *("study", "quantity", "method", "without"),
)


def empty(columns: tuple[str, ...]) -> pd.DataFrame:
    """Return a table with these columns and no rows."""
    return pd.DataFrame(columns=list(columns))


def arranged(frame: pd.DataFrame, columns: tuple[str, ...], **constants: str) -> pd.DataFrame:
    """Return a table with exactly these columns.

    Parameters
    ----------
    frame
        The table.
    columns
        Its columns, in order.
    constants
        Values of columns that are the same in every row.
    """
    return frame.assign(**constants).reset_index(drop=True)[list(columns)]
