"""Published, Cox and posterior hazard ratios side by side."""

import math

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter

from secondlook.data.patient_table import patient_table
from secondlook.data.patients import check_patients
from secondlook.data.reading import parse_record
from secondlook.data.table import patient_rows, survival_table
from secondlook.inference.comparison import comparison_rows, cox_patients, cox_table


def expected_table(ratios, patients=400.0, rate=0.03):
    """Monthly tables of exponential arms, one imputation per hazard ratio."""
    edges = np.arange(0.0, 61.0)
    rates = rate * np.stack([np.ones(len(ratios)), ratios], axis=1)[:, None, :, None]
    at_risk = patients * np.exp(-(rates + 0.01) * edges)
    exposure = -np.diff(at_risk) / (rates + 0.01)
    censored = 0.01 * exposure
    censored[..., -1] += at_risk[..., -1]
    sizes = np.full((len(ratios), 1, 2), patients)
    facts = {"trial": "t", "source": "published", "time_unit": "months"}
    return survival_table(rates * exposure, exposure, censored, sizes, edges, **facts)


def test_cox_of_one_table_is_its_ratio():
    ratio, lower, upper = cox_table(expected_table([0.7]))
    assert ratio == pytest.approx(0.7, rel=1e-9)
    assert math.sqrt(lower * upper) == pytest.approx(0.7, rel=1e-9)


def test_cox_agrees_with_lifelines_on_the_tables_patients():
    table = expected_table([0.7])
    patients = patient_rows(table).assign(treatment=lambda rows: rows["arm"].eq("treatment").astype(float))
    fitted = CoxPHFitter().fit(patients[["time", "event", "treatment"]], "time", "event").summary.loc["treatment"]
    expected = tuple(fitted[["exp(coef)", "exp(coef) lower 95%", "exp(coef) upper 95%"]])
    assert cox_table(table) == pytest.approx(expected, rel=0.01)
    assert cox_patients(patients)[0] == pytest.approx(expected, rel=1e-5)


def test_known_patients_are_compared_by_their_own_times():
    """Tied times, delayed entry, a factor with baseline hazards of its own in its partition: lifelines' fits."""
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"entry": rng.integers(0, 6, 300) * (rng.random(300) < 0.3), "died": rng.random(300) < 0.7})
    frame["time"] = frame["entry"] + 1.0 + rng.geometric(0.08, 300)
    frame["drug"] = rng.permutation(np.arange(300) % 2)
    frame["er"], frame["pr"] = rng.choice(["+", "-"], 300), rng.choice(["+", "-", "NA"], 300, p=[0.4, 0.5, 0.1])
    fields = {"time": "time", "event": "died", "arm": "drug", "control": "0", "treatment": "1", "entry": "entry"}
    factors = {name: {"label": name.upper(), "levels": ["+", "-"]} for name in ("er", "pr")}
    arms = {"control": {"label": "C"}, "treatment": {"label": "T"}}
    source = fields | {"factors": ["er", "pr"], "stratify": "pr"}
    raw = {"schema": 1, "id": "t", "title": "t", "arms": arms, "factors": factors, "patients": source}
    record = parse_record(raw)
    patients = check_patients(frame, record)
    tables = {name: patient_table(patients, record, name) for name in ("", "er,pr")}
    groups = [("", "overall"), ("er,pr", "er=+"), ("er,pr", "pr=-")]
    rows = estimates(*(("average_hazard_ratio", 9.0, *group, 0.7, 0.5, 0.9) for group in groups))
    found = comparison_rows(record, rows, tables, None, patients)
    known = frame[frame["pr"].ne("NA")]
    expected = [lifelines_fit(frame), lifelines_fit(known[known["er"].eq("+")], ["pr"])]
    expected.append(lifelines_fit(known[known["pr"].eq("-")]))
    np.testing.assert_allclose(found[["cox", "cox_lower", "cox_upper"]], expected, rtol=1e-4)
    assert found["proportional_p"].between(0, 1).all()
    assert list(found.columns)[-1] == "proportional_p"
    assert comparison_rows(record, rows, tables, None)["proportional_p"].isna().all()  # from tables


def lifelines_fit(rows, strata=None):
    names = ["time", "died", "drug", "entry", *(strata or [])]
    fit = CoxPHFitter().fit(rows[names], "time", "died", entry_col="entry", strata=strata)
    return tuple(fit.summary.loc["drug", ["exp(coef)", "exp(coef) lower 95%", "exp(coef) upper 95%"]])


def test_imputations_are_pooled_by_rubins_rules():
    """Mean of the log ratios; total variance = mean squared SE + (1 + 1/m) between."""
    ratios = np.array([0.6, 0.7, 0.8])
    each = [cox_table(expected_table([ratio])) for ratio in ratios]
    errors = np.array([math.log(upper / lower) / (2 * 1.959964) for _, lower, upper in each])
    total = np.mean(errors**2) + np.log(ratios).var(ddof=1) * (1 + 1 / 3)
    ratio, lower, upper = cox_table(expected_table(ratios))
    assert ratio == pytest.approx(np.exp(np.log(ratios).mean()), rel=1e-9)
    assert math.log(upper / lower) / 2 == pytest.approx(1.959964 * math.sqrt(total), rel=1e-6)


def test_subgroups_without_deaths_in_an_arm_have_no_cox_fit(record):
    """Nobody of the treated ER(-) died, and in ER(+) they died when no control patient was left."""
    deaths, exposure = np.ones((1, 2, 2, 3)), np.ones((1, 2, 2, 3))
    deaths[0, 1, 1] = 0
    deaths[0, 0, :, :2], exposure[0, 0, 0, 2] = [[1], [0]], 0
    deaths[0, 0, 0, 2] = 0
    facts = {"trial": "t", "source": "patients", "time_unit": "months", "partition": "er"}
    strata = {"strata": ["er=+", "er=-"], "factors": {"er": ["+", "-"]}}
    table = survival_table(deaths, exposure, 0 * deaths, [[[9, 9], [9, 9]]], [0, 1, 2, 3], **strata, **facts)
    rows = estimates(*(("average_hazard_ratio", 3.0, "er", key, 0.7, 0.5, 0.9) for key in ("er=+", "er=-")))
    assert comparison_rows(record, rows, {"er": table}, None)["cox"].isna().all()


@pytest.fixture
def record():
    raw = {
        "schema": 1,
        "id": "made-up",
        "title": "t",
        "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
        "factors": {"er": {"label": "ER", "levels": ["+", "-"]}},
        "hazard_ratio": [
            {"estimate": "0.66", "ci": ["0.49", "0.88"], "level": 0.90},
            {"estimate": "2.00", "ci": ["1.25", "3.20"], "where": {"er": "+"}, "comparison": "control/treatment"},
            {"estimate": "0.99", "where": {"er": "+"}, "use": False},
            {"estimate": "0.80", "where": {"er": "-"}},
        ],
    }
    return parse_record(raw)


def estimates(*rows):
    names = ("estimand", "time", "partition", "subgroup", "median", "lower", "upper")
    return pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows]).assign(
        label="L", model="m", shrinkage="", prior="weak"
    )


def test_rows_side_by_side(record):
    frame = estimates(
        ("hazard_ratio", np.nan, "", "overall", 0.67, 0.50, 0.90),
        ("hazard_ratio", np.nan, "er", "er=+", 0.52, 0.35, 0.80),
        ("hazard_ratio", np.nan, "er", "er=-", 0.85, 0.60, 1.20),
        ("hazard_ratio", np.nan, "er", "overall", 0.70, 0.50, 0.95),
    )
    tables = {"": expected_table([0.65])}
    rows = comparison_rows(record, frame, tables, np.linspace(0.6, 0.71, 1001))
    whole, positive, negative, standardised = rows.itertuples()
    assert (whole.published, whole.published_lower, whole.published_upper, whole.published_level) == (
        0.66,
        0.49,
        0.88,
        0.90,
    )
    assert (whole.cox, whole.cox_lower, whole.cox_upper) == cox_table(tables[""])
    limits = (whole.withheld, whole.withheld_lower, whole.withheld_upper)
    assert limits == pytest.approx((0.655, 0.60275, 0.70725))
    assert (whole.posterior, whole.posterior_lower, whole.posterior_upper) == (0.67, 0.50, 0.90)
    # printed control over treatment, shown treatment over control; the row not in use is not shown
    assert (positive.published, positive.published_lower, positive.published_upper) == pytest.approx(
        (0.5, 1 / 3.2, 0.8)
    )
    assert np.isnan([positive.cox, positive.withheld]).all()
    assert negative.published == 0.80 and np.isnan([negative.published_lower, negative.published_level]).all()
    assert np.isnan([standardised.cox, standardised.published]).all()  # the crude effect is another one


def test_only_effects_over_all_time_are_compared(record):
    frame = estimates(
        ("average_hazard_ratio", 60.0, "", "overall", 0.67, 0.50, 0.90),
        ("hazard_ratio", 36.0, "", "overall", 0.75, 0.50, 1.10),
        ("rmst_difference", 36.0, "", "overall", 2.0, -1.0, 5.0),
    )
    rows = comparison_rows(record, frame, {}, None)
    assert rows["posterior"].tolist() == [0.67]
    assert np.isnan(rows[["cox", "withheld"]].astype(float)).all(axis=None)
