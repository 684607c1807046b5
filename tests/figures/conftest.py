"""A reanalysis made of random numbers: two piecewise models and one of effects, under two priors."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.stats import norm

from secondlook import figures
from secondlook.data.evidence import pooled_trials
from secondlook.data.imputed import FIT_SHEET_COLUMNS
from secondlook.data.reading import load_record, parse_record
from secondlook.data.table import survival_table
from secondlook.inference import Options, Reanalysis
from secondlook.inference.checks import predictive_checks
from secondlook.inference.fitting import Fit
from secondlook.inference.imputations import Imputations
from secondlook.inference.prior_predictive import prior_predictive
from secondlook.inference.synthesis import evidence_rows
from secondlook.inference.tables import COMPARISON, DIAGNOSTICS, ESTIMATES, IMBALANCE, SENSITIVITY, TIPPING
from secondlook.models.imbalance import FORMS, estimate_label
from secondlook.models.priors import Prior

EDGES = (0.0, 12.0, 24.0, 36.0, 48.0)
CHAINS, DRAWS, IMPUTATIONS = 4, 160, 3
PRIORS = {"weak": Prior("weak", (0.0,), (1.0,)), "sceptical": Prior("sceptical", (0.0,), (0.3,))}
WHOLE = {"estimate": "0.66", "ci": ["0.49", "0.88"], "label": "Everybody"}
PRINTED = [
    WHOLE,
    {"estimate": "0.60", "ci": ["0.45", "0.80"], "label": "ER(+)", "where": {"er": "+"}},
    {"estimate": "2.20", "ci": ["0.80", "6.05"], "label": "ER(-)", "where": {"er": "-"}},
    {"estimate": "0.70", "ci": ["0.50", "0.98"], "label": "Women", "where": {"sex": "f"}},
]


def raw_record() -> dict:
    landmarks = [
        {"arm": "control", "time": 36.0, "estimate": "0.50", "ci": ["0.41", "0.59"]},
        {"arm": "treatment", "time": 36.0, "estimate": "0.60", "ci": ["0.51", "0.68"]},
        {"arm": "treatment", "time": 36.0, "estimate": "0.90", "where": {"er": "+"}},
    ]
    follow_up = [
        {"arm": "control", "survivors_range": ["30", "44"]},
        {"arm": "treatment", "survivors_range": ["30", "40"]},
    ]
    return {
        "schema": 1,
        "id": "made-up",
        "title": "A trial of nothing",
        "arms": {"control": {"label": "ST", "patients": 136}, "treatment": {"label": "LRT", "patients": 138}},
        "survival": landmarks,
        "follow_up": follow_up,
        "factors": {"er": {"label": "Receptor", "levels": ["+", "-"]}, "sex": {"label": "Sex", "levels": ["f", "m"]}},
        "hazard_ratio": PRINTED,
        "effects_set": [{"partition": "er", "rows": ["ER(+)", "ER(-)"]}, {"partition": "sex", "rows": ["Women"]}],
    }


def fit(model: str, prior: str, variables: dict, edges=EDGES, shrinkage: str = "") -> Fit:
    coords = {"chain": range(CHAINS), "draw": range(DRAWS)}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(variables, coords=coords)})
    return Fit(model, shrinkage, "", PRIORS[prior], tree, edges)


def made_fits() -> tuple[Fit, ...]:
    rng = np.random.default_rng(1)
    plain = ("chain", "draw", "imputation")
    shape = (CHAINS, DRAWS, IMPUTATIONS)

    def curves(prior: str, middle: float) -> dict:
        beta = {"beta": (plain, rng.normal(middle, 0.15, shape))}
        if prior != "weak":
            return beta
        alpha = np.log(0.02) + rng.normal(0, 0.08, (*shape, 4))
        return beta | {
            "alpha": ((*plain, "interval"), alpha),
            "alpha_step_sd": (plain, abs(rng.normal(0, 0.4, shape))),
        }

    def free(prior: str) -> dict:
        found = curves(prior, -0.4)
        if prior != "weak":
            return found
        omega = np.linspace(0.3, -0.3, 4) + rng.normal(0, 0.1, (*shape, 4))
        change = {
            "omega_step_sd": (plain, abs(rng.normal(0, 0.4, shape))),
            "omega_trend": (plain, np.full(shape, -0.2)),
        }
        return found | change | {"omega": ((*plain, "interval"), omega)}

    def effects(middle: float) -> dict:
        mu = rng.normal(middle, 0.2, (CHAINS, DRAWS, 1, 3))
        theta = mu[..., None] + rng.normal(0, 0.1, (CHAINS, DRAWS, 1, 3, 2))
        return {"mu": ((*plain, "set"), mu), "theta": ((*plain, "set", "place"), theta)}

    return (
        *(fit("nonproportional", prior, free(prior)) for prior in PRIORS),
        *(fit("piecewise", prior, curves(prior, middle)) for prior, middle in (("weak", -0.42), ("sceptical", -0.3))),
        *(
            fit("effects", prior, effects(middle), (), "half-normal")
            for prior, middle in (("weak", -0.4), ("sceptical", -0.2))
        ),
    )


def estimate(
    fit: Fit, draws: np.ndarray, subgroup="overall", partition="", label="Hazard ratio", shrinkage=None
) -> dict:
    ratios = np.exp(draws).ravel()
    lower, median, upper = np.quantile(ratios, (0.025, 0.5, 0.975))
    return {
        "model": fit.model,
        "shrinkage": fit.shrinkage if shrinkage is None else shrinkage,
        "prior": fit.prior.name,
        "partition": partition,
        "subgroup": subgroup,
        "label": label,
        "estimand": "hazard_ratio",
        "time": np.nan,
        "median": median,
        "lower": lower,
        "upper": upper,
        "prob_benefit": (ratios < 1).mean(),
    }


def effect_estimates(fit: Fit) -> list[dict]:
    theta = fit.posterior["theta"].to_numpy()
    return [
        estimate(fit, theta[..., 0, 0], label="Everybody", shrinkage="none"),
        estimate(fit, theta[..., 1, 0], "er=+", "er", "ER(+)"),
        estimate(fit, theta[..., 1, 1], "er=-", "er", "ER(-)"),
        estimate(fit, theta[..., 2, 0], "sex=f", "sex", "Women", "none"),
    ]


def estimates_of(fits) -> pd.DataFrame:
    rows = []
    for one in fits:
        if one.model == "piecewise":
            rows.append(estimate(one, one.posterior["beta"].to_numpy()))
        elif one.model == "effects":
            rows += effect_estimates(one)
        else:
            ratio = estimate(one, one.posterior["beta"].to_numpy())
            rows.append(ratio | {"estimand": "average_hazard_ratio", "time": 36.0})
    return pd.DataFrame(rows).reindex(columns=ESTIMATES.columns)


TERMS = {"ER(+)": (0.7, 0.9, 0.64, -0.09), "T4": (0.3, 0.35, 1.5, 0.02)}  # prevalences, hazard ratio, shift


def imbalance_terms() -> pd.DataFrame:
    rows = [
        {"label": label, "form": form, "control": control, "treatment": treatment, "hazard_ratio": ratio}
        | {"shift": shift, "shift_lower": shift - 0.05, "shift_upper": shift + 0.05}
        for form in FORMS
        for label, (control, treatment, ratio, shift) in TERMS.items()
    ]
    return pd.DataFrame(rows).reindex(columns=IMBALANCE.columns)


def adjusted_estimates(fits) -> pd.DataFrame:
    """The crude draws of every piecewise fit moved by the sum of the shifts, which no form changes here."""
    total = sum(shift for *_, shift in TERMS.values())
    rows = [
        estimate(one, one.posterior["beta"].to_numpy() - total, label=estimate_label(form)) | {"model": "imbalance"}
        for one in fits
        if one.model == "piecewise"
        for form in FORMS
    ]
    return pd.DataFrame(rows).reindex(columns=ESTIMATES.columns)


def comparison_of(estimates: pd.DataFrame) -> pd.DataFrame:
    printed = dict(zip(("overall", "er=+", "er=-", "sex=f"), PRINTED, strict=True))
    rows = []
    for _, row in estimates.iterrows():
        paper = printed[row["subgroup"]]
        published = {"published": float(paper["estimate"]), "published_level": 0.95}
        published |= dict(zip(("published_lower", "published_upper"), map(float, paper["ci"]), strict=True))
        names = {"posterior": "median", "posterior_lower": "lower", "posterior_upper": "upper"}
        rows.append(row.to_dict() | published | {name: row[source] for name, source in names.items()})
    return pd.DataFrame(rows).reindex(columns=COMPARISON.columns)


def diagnostics_of(fits) -> pd.DataFrame:
    rows = [
        {"model": one.model, "prior": one.prior.name, "imputation": number, "ess_bulk": ess, "passed": True}
        for one in fits
        for number, ess in enumerate((900.0, 400.0, 800.0))
    ]
    return pd.DataFrame(rows).reindex(columns=DIAGNOSTICS.columns)


MEAN, ERROR = -0.42, 0.15
MEANS, SDS = np.linspace(-1, 1, 21), np.geomspace(0.1, 2.0, 17)
NAMED = {"weak": (0.0, 1.0), "sceptical": (0.0, 0.3), "vague": (0.0, 10.0)}


def varied_row(varied, setting, prior_mean, prior_sd, shift=0.0, **more):
    precision = 1 / ERROR**2 + 1 / prior_sd**2
    found = norm((MEAN / ERROR**2 + prior_mean / prior_sd**2) / precision + shift, precision**-0.5)
    lower, median, upper = np.exp(found.ppf([0.025, 0.5, 0.975]))
    fixed = {"model": "piecewise", "shrinkage": "", "partition": "", "subgroup": "overall", "label": "Hazard ratio"}
    numbers = {"median": median, "lower": lower, "upper": upper, "k_hat": 0.1, "resampled": False}
    numbers |= {"prob_benefit": found.cdf(0), "prob_meaningful": found.cdf(np.log(0.8))}
    names = {"varied": varied, "setting": setting, "prior": setting, "prior_mean": prior_mean, "prior_sd": prior_sd}
    return fixed | numbers | names | more


def sensitivity_rows():
    strata = {"model": "subgroups", "shrinkage": "half-normal", "partition": "er"}
    rows = [varied_row("prior", name, *normal) for name, normal in NAMED.items()]
    for key in ("er=+", "er=-"):
        of_stratum = strata | {"subgroup": key, "label": key}
        rows += [varied_row("prior", name, *normal, **of_stratum) for name, normal in NAMED.items()]
    rows += [
        varied_row("prior mean and SD", f"{m:g},{s:g}", m, s, resampled=m > 0.7 and s < 0.2)
        for s in SDS
        for m in MEANS
    ]
    rows += [varied_row("sceptical SD", f"0,{s:g}", 0.0, s) for s in np.geomspace(0.05, 2, 9)]
    rows += [varied_row("bias", f"{b:g}", 0.0, 1.0, shift=b) for b in np.linspace(-0.2, 0.6, 9)]
    rows += [
        varied_row("intervals", "one interval", 0.0, 1.0),
        varied_row("without", "follow_up", 0.0, 1.0, shift=0.05),
    ]
    return pd.DataFrame(rows).reindex(columns=SENSITIVITY.columns)


def tipping_rows():
    whole = {"model": "piecewise", "shrinkage": "", "partition": "", "subgroup": "overall", "label": "Hazard ratio"}
    points = [
        {"varied": "sceptical sd", "criterion": "95% interval reaches 1", "value": 0.14, "closed_form": 0.15},
        {"varied": "bias", "criterion": "P(benefit) is 0.95", "value": 0.17, "hazard_ratio": np.exp(0.17)},
        {"varied": "bias", "criterion": "95% interval reaches 1", "value": 0.12, "hazard_ratio": np.exp(0.12)},
    ]
    rows = [whole | point for point in points]
    for place, key in enumerate(("overall", "er=+", "er=-")):
        group = {"model": "subgroups", "shrinkage": "half-normal", "partition": "er", "subgroup": key, "label": key}
        rows += [
            group
            | point
            | {"hazard_ratio": 1.1 - 0.2 * place + 0.05 * (point["criterion"] != "95% interval reaches 1")}
            for point in points[1:]
        ]
    return pd.DataFrame(rows).reindex(columns=TIPPING.columns)


def made_table() -> xr.Dataset:
    shape = (IMPUTATIONS, 1, 2, 48)
    patients = np.broadcast_to(np.array([136.0, 138.0]), (IMPUTATIONS, 1, 2))
    return survival_table(
        np.ones(shape), np.full(shape, 80.0), np.full(shape, 0.5), patients, np.arange(49.0),
        trial="made-up", source="published", time_unit="months",
    )  # fmt: skip


def made(fits=None, record=None, table=True) -> Reanalysis:
    fits = made_fits() if fits is None else fits
    estimates = estimates_of(fits)
    adjusted = adjusted_estimates(fits)
    return Reanalysis(
        record=record or parse_record(raw_record()),
        tables={"": made_table()} if table else {},
        fits=tuple(fits),
        estimates=pd.concat([estimates, adjusted]) if len(adjusted) else estimates,
        comparison=comparison_of(estimates),
        diagnostics=diagnostics_of(fits),
        audit=pd.DataFrame(),
        reconstruction=pd.DataFrame(columns=list(FIT_SHEET_COLUMNS)),
        run={"resolved": {"priors": {name: str(prior) for name, prior in PRIORS.items()}}, "notes": []},
        imbalance=imbalance_terms() if len(adjusted) else imbalance_terms()[:0],
        **judged(fits, table),
        sensitivity=sensitivity_rows() if len(adjusted) else sensitivity_rows()[:0],
        tipping=tipping_rows() if len(adjusted) else tipping_rows()[:0],
    )


def judged(fits, table) -> dict[str, pd.DataFrame]:
    """Predictive checks of the made-up table, what the priors imply, and what some trials say together."""
    record = parse_record(raw_record())
    curves = [one for one in fits if one.model != "effects"]
    if not table:
        return {}
    sources = {"": Imputations(made_table())}
    return {
        "evidence": evidence_rows(pooled_trials(load_record("mf07-01")), Options()),
        "checks": predictive_checks(record, curves, sources, (24.0, 36.0), number=100),
        "prior_predictive": prior_predictive("made-up", curves, sources, Options()),
    }


@pytest.fixture(scope="session")
def reanalysis() -> Reanalysis:
    return made()


@pytest.fixture(scope="session")
def drawn(reanalysis):
    """Every figure of the reanalysis, drawn once."""
    return {kind: figures.draw(reanalysis, kind) for kind in figures.KINDS}


@pytest.fixture(scope="session")
def remade():
    """Make a reanalysis of some of the fits, such as ``remade("effects")``, perhaps with another record."""

    def of(*models: str, **changes: object) -> Reanalysis:
        record = parse_record(raw_record() | changes)
        return made([one for one in made_fits() if one.model in models], record, table=set(models) != {"effects"})

    return of
