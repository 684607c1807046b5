"""The audit: each check against hand-computed numbers, sister trials' traps, and coherent simulated papers."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy import stats

from secondlook.data import load_record
from secondlook.data.audit import COLUMNS, about_headline, audit, findings_frame
from secondlook.data.audit.baseline import chi_square, corrected_chi_square, fisher
from secondlook.data.audit.bounds import most_patients
from secondlook.data.audit.design import per_arm
from secondlook.data.describe import write_template
from secondlook.data.estimators import cox_of_patients, kaplan_meier
from secondlook.data.reading import parse_record
from secondlook.data.simulation import publish, simulate_trial
from secondlook.data.subgroup import parse_key

ARMS = {"control": {"label": "C", "patients": 100}, "treatment": {"label": "T", "patients": 100}}


def record(**sections):
    raw = {"schema": 1, "id": "small", "title": "Small", "arms": ARMS} | sections
    return parse_record(raw)


def found(check, **sections):
    return [finding for finding in audit(record(**sections)) if finding.check == check]


def verdicts(check, **sections):
    return [finding.verdict for finding in found(check, **sections)]


def ratio(estimate="0.66", ci=("0.49", "0.88"), **others):
    return [{"estimate": estimate, "ci": list(ci)} | others]


def arms(control, treatment, patients=100):
    return {
        "control": {"label": "C", "patients": patients, "events": control},
        "treatment": {"label": "T", "patients": patients, "events": treatment},
    }


@pytest.mark.parametrize(
    ("estimate", "ci", "verdict"),
    [
        ("0.66", ("0.49", "0.88"), "ok"),  # sqrt(0.49 x 0.88) = 0.657
        ("0.67", ("0.49", "0.88"), "note"),  # one unit off
        ("0.70", ("0.49", "0.88"), "inconsistent"),
    ],
)
def test_interval_symmetry(estimate, ci, verdict):
    assert verdicts("interval symmetry", hazard_ratio=ratio(estimate, ci)) == [verdict]


@pytest.mark.parametrize(
    ("p", "sided", "verdict"),
    [
        ("0.005", 2, "ok"),  # z = 0.4155 / 0.1494 = 2.78
        ("0.003", 1, "ok"),
        ("0.03", 2, "inconsistent"),
        ("<0.001", 2, "inconsistent"),
        ("0.002", 2, "note"),  # another test could say so
    ],
)
def test_p_value(p, sided, verdict):
    assert verdicts("p-value", hazard_ratio=ratio(p=p, sided=sided)) == [verdict]


def test_precision_needs_deaths():
    wide, narrow = ratio(), ratio("0.71", ("0.59", "0.86"))
    assert verdicts("precision against deaths", hazard_ratio=wide, arms=arms(95, 90)) == ["ok"]
    assert verdicts("precision against deaths", hazard_ratio=wide, arms=arms(50, 50)) == ["inconsistent"]
    (finding,) = found("precision against deaths", hazard_ratio=narrow)
    assert finding.verdict == "impossible"
    assert finding.computed == pytest.approx(4 * (2 * 1.959964 / math.log(0.865 / 0.585)) ** 2, rel=1e-6)


def test_what_does_not_end_with_death_has_events():
    (finding,) = found("precision against deaths", hazard_ratio=ratio(), arms=arms(95, 90), endpoint="remission")
    assert "4/SE^2 = 170 events; there are 185 events, 200 patients" in finding.arithmetic


def test_precision_by_arm_is_stricter_than_in_all():
    # 2 / sqrt(172) = 0.1525 is below the largest possible SE 0.1534; sqrt(1/150 + 1/22) = 0.228 is not
    assert verdicts("precision against deaths", hazard_ratio=ratio(), arms=arms(150, 22, 200)) == ["inconsistent"]


def test_level_of_e2108_and_jcog1017():
    e2108 = {"hazard_ratio": ratio("1.11", ("0.82", "1.52"), p="0.57"), "totals": {"patients": 256, "events": 121}}
    (finding,) = found("interval level", **e2108)
    assert finding.verdict == "note"
    assert "90% fits" in finding.arithmetic
    assert verdicts("precision against deaths", **e2108) == ["inconsistent"]
    right = e2108 | {"hazard_ratio": ratio("1.11", ("0.82", "1.52"), p="0.57", level=0.9)}
    assert verdicts("interval level", **right) == ["ok"]
    assert verdicts("precision against deaths", **right) == ["ok"]
    jcog = {"hazard_ratio": ratio("0.857", ("0.686", "1.072")), "arms": arms(111, 110, 203)}
    assert verdicts("interval level", **jcog) == ["note"]
    assert verdicts("precision against deaths", **jcog) == ["inconsistent"]


def test_direction_of_abcsg_28():
    medians = [{"arm": "treatment", "estimate": "34.6"}, {"arm": "control", "estimate": "54.8"}]
    printed = ratio("0.691", ("0.358", "1.333"))
    (finding,) = found("direction", hazard_ratio=printed, median=medians)
    assert finding.verdict == "note"
    assert finding.computed == pytest.approx(54.8 / 34.6)
    inverted = ratio("0.691", ("0.358", "1.333"), comparison="control/treatment")
    assert verdicts("direction", hazard_ratio=inverted, median=medians) == ["ok"]


def test_rate_ratio():
    follow_up = [{"arm": "control", "mean": "35.8"}, {"arm": "treatment", "mean": "40.5"}]
    (finding,) = found("rate ratio", hazard_ratio=ratio(), follow_up=follow_up, arms=arms(74, 55))
    assert finding.verdict == "ok"
    assert finding.computed == pytest.approx((55 / 40.5) / (74 / 35.8))
    assert verdicts("rate ratio", hazard_ratio=ratio(), follow_up=follow_up, arms=arms(55, 74)) == ["note"]


def survival(arm, estimate, ci, time=36):
    return {"arm": arm, "time": time, "estimate": estimate, "ci": list(ci)}


def test_landmark_interval_not_narrower_than_binomial():
    # SE of 60 of 100: 0.049; the plain interval is 0.504 to 0.696
    fair, narrow = survival("control", "0.60", ("0.50", "0.69")), survival("control", "0.60", ("0.56", "0.64"))
    assert verdicts("landmark interval", survival=[fair]) == ["ok"]
    assert verdicts("landmark interval", survival=[narrow]) == ["note"]


def test_landmark_hazard_ratio():
    both = [survival("control", "0.51", ("0.42", "0.59")), survival("treatment", "0.60", ("0.51", "0.68"))]
    (finding,) = found("landmark hazard ratio", hazard_ratio=ratio(), survival=both)
    assert finding.computed == pytest.approx(math.log(0.60) / math.log(0.51))
    assert finding.verdict == "ok"
    crossing = [survival("control", "0.60", ("0.56", "0.64")), survival("treatment", "0.40", ("0.36", "0.44"))]
    assert verdicts("landmark hazard ratio", hazard_ratio=ratio(), survival=crossing) == ["note"]


@pytest.mark.parametrize(
    ("other", "verdict"), [("0.66", "ok"), ("0.7", "ok"), ("0.67", "note"), ("0.69", "inconsistent")]
)
def test_printed_twice(other, verdict):
    twice = [{"estimate": "0.66", "source": "Abstract"}, {"estimate": other, "source": "Results", "use": False}]
    assert verdicts("printed twice", hazard_ratio=twice) == [verdict]


def test_boxes_of_the_flow_diagram_are_compared_with_the_text():
    drawn = {"label": "Randomised", "n": 278, "source": "Fig. 1"}
    told = {"label": "Randomised", "n": 274, "use": False, "source": "Results"}
    (finding,) = found("printed twice", flow=[drawn, told])
    assert finding.verdict == "inconsistent"
    assert finding.arithmetic == "278 (Fig. 1) and 274 (Results): differ"
    assert verdicts("printed twice", flow=[drawn, told | {"n": 278}]) == ["ok"]
    assert verdicts("printed twice", flow=[drawn, told | {"arm": "control"}]) == []
    withdrew = [{"label": "Withdrew", "n": n, "parent": "Randomised"} for n in (2, 5)]  # two boxes, one label
    assert verdicts("printed twice", flow=[drawn, *withdrew]) == []


def test_counts_against_percentages():
    def row(n, percent):
        return [{"label": "ER(+)", "control": {"n": n, "percent": percent}}]

    assert verdicts("counts", baseline=row(71, "71.0")) == ["ok"]
    (finding,) = found("counts", baseline=row(71, "71.7"))
    assert finding.verdict == "note"
    assert "denominator is 99" in finding.arithmetic
    assert verdicts("counts", baseline=row(71, "50.0")) == ["inconsistent"]


def test_flow_deaths_and_totals():
    flow = [{"label": "All", "n": 312}, {"label": "In", "n": 278, "parent": "All"}]
    out = {"label": "Out", "parent": "All"}
    assert verdicts("counts", flow=[*flow, out | {"n": 34}]) == ["ok"]
    assert verdicts("counts", flow=[*flow, out | {"n": 30}]) == ["note"]
    assert verdicts("counts", flow=[*flow, out | {"n": 40}]) == ["impossible"]
    assert verdicts("counts", deaths=[{"arm": "control", "percent": "55"}]) == ["ok"]
    assert verdicts("counts", deaths=[{"arm": "control", "percent": "55", "n": 70}]) == ["inconsistent"]
    totals = {"patients": 200, "events": 90}
    assert verdicts("counts", arms=arms(50, 40), totals=totals) == ["ok", "ok"]
    assert verdicts("counts", arms=arms(50, 41), totals=totals) == ["ok", "inconsistent"]


def test_percentages_without_counts():
    def verdict(percent):
        cells = {arm: {"patients": 40, "percent": percent} for arm in ("control", "treatment")}
        return verdicts("counts", binary=[{"label": "Death within 30 days", **cells}])

    assert verdict("2.5") == ["ok", "ok"]  # 1 of 40
    assert verdict("2.6") == ["note", "note"]
    assert verdict("3.9") == ["inconsistent", "inconsistent"]  # 1 of 40 is 2.5%, 2 are 5.0%


def test_reduction_and_risk_ratio():
    assert verdicts("counts", hazard_ratio=ratio(reduction="34")) == ["ok"]
    assert verdicts("counts", hazard_ratio=ratio(reduction="40")) == ["inconsistent"]
    cells = {"control": {"events": 15, "patients": 100}, "treatment": {"events": 2, "patients": 100}}
    for estimate, verdict in (("7.5", "ok"), ("7.6", "note"), ("11", "inconsistent")):
        endpoint = {
            "label": "Progression",
            **cells,
            "risk_ratio": {"estimate": estimate, "comparison": "control/treatment"},
        }
        assert verdicts("counts", binary=[endpoint]) == [verdict]


def test_table_p_values():
    rows = [
        {"label": "A", "group": "g", "control": {"n": 30}, "treatment": {"n": 45}, "p": "0.03"},
        {"label": "B", "group": "g", "control": {"n": 70}, "treatment": {"n": 55}},
    ]
    (finding,) = found("table p-value", baseline=rows)
    assert finding.verdict == "ok"
    assert finding.computed == pytest.approx(stats.chi2_contingency([[30, 45], [70, 55]], correction=False).pvalue)
    assert verdicts("table p-value", baseline=[rows[0] | {"p": "0.50"}, rows[1]]) == ["inconsistent"]
    means = {"control": {"mean": "51.5", "sd": "13.6"}, "treatment": {"mean": "51.8", "sd": "12.6"}}
    (finding,) = found("table p-value", baseline=[{"label": "Age", **means, "p": "0.87"}])
    exact = stats.ttest_ind_from_stats(51.5, 13.6, 100, 51.8, 12.6, 100).pvalue
    assert finding.verdict == "ok"
    assert finding.lower < exact < finding.upper
    assert verdicts("table p-value", baseline=[{"label": "Age", **means, "p": "0.20"}]) == ["inconsistent"]


@pytest.mark.parametrize(("p", "verdict"), [("0.001", "ok"), ("0.05", "inconsistent")])
def test_p_values_of_secondary_endpoints(p, verdict):
    cells = {"control": {"events": 15, "patients": 136}, "treatment": {"events": 2, "patients": 138}}
    (finding,) = found("table p-value", binary=[{"label": "Progression", **cells, "p": p}])
    exact = stats.chi2_contingency([[15, 2], [121, 136]], correction=False).pvalue
    assert (finding.verdict, finding.computed) == (verdict, pytest.approx(exact))


@given(st.lists(st.integers(1, 60), min_size=4, max_size=4))
def test_tests_of_two_by_two_tables_agree_with_scipy(cells):
    table = np.array(cells, dtype=float).reshape(2, 2)
    assert chi_square(table) == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    assert fisher(table) == pytest.approx(stats.fisher_exact(table.astype(int)).pvalue, rel=1e-6)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if (np.abs(table - expected) > 0.5).all():
        assert corrected_chi_square(table) == pytest.approx(stats.chi2_contingency(table).pvalue, rel=1e-9)


def test_nesting_of_disjoint_subgroups():
    factors = {"er": {"label": "ER", "levels": ["+", "-"]}}
    tight = [
        {"where": {"er": level}, "estimate": "0.70", "ci": ["0.53", "0.92"], "label": level} for level in ("+", "-")
    ]
    sections = {"factors": factors, "hazard_ratio": tight}
    assert verdicts("subgroup nesting", **sections, arms=arms(250, 250, 400)) == ["ok"]
    assert verdicts("subgroup nesting", **sections, arms=arms(110, 110, 400)) == ["inconsistent"]
    assert verdicts("subgroup nesting", **sections, arms=arms(90, 90)) == ["impossible"]


ER = {"er": {"label": "ER", "levels": ["+", "-"]}}


def test_printed_deaths_of_subgroups_count_in_nesting_and_precision():
    counted = [{"arm": arm, "where": {"er": "+"}, "n": 60} for arm in ("control", "treatment")]
    wide = [{"where": {"er": "+"}, "estimate": "0.70", "ci": ["0.44", "1.11"], "label": "ER(+)"}]  # needs 71
    sections = {"factors": ER, "patients_count": counted, "hazard_ratio": wide}

    def with_deaths(inside, outside):
        deaths = [{"where": {"er": "+"}, **inside}, {"where": {"er": "-"}, "n": outside}]
        found = audit(record(**sections, deaths=deaths, arms=arms(70, 60)))
        return {finding.check: finding for finding in found if finding.check in ("subgroup nesting", precise)}

    precise = "precision against deaths"
    coherent = with_deaths({"percent": "75"}, 40)  # 90 of 120
    assert {finding.verdict for finding in coherent.values()} == {"ok"}
    assert coherent[precise].arithmetic.endswith("the subgroup has 90")
    assert with_deaths({"percent": "75"}, 50)["subgroup nesting"].verdict == "inconsistent"  # 90 + 50 of 130
    assert with_deaths({"n": 40}, 40)[precise].verdict == "inconsistent"


def test_a_subgroup_does_not_need_more_deaths_than_the_one_around_it_has():
    factors = {"site": {"label": "Site", "levels": ["bone", "liver", "lung"]}}
    where = {"bone": {"site": "bone"}, "bone or liver": {"site": ["bone", "liver"]}}
    limits = {"bone": ["0.53", "0.92"], "bone or liver": ["0.44", "1.11"]}  # bone alone needs 197 deaths
    rows = [{"label": name, "where": where[name], "estimate": "0.70", "ci": limits[name]} for name in where]
    deaths = [{"where": where["bone or liver"], "n": 120}]
    sections = {"factors": factors, "hazard_ratio": rows, "arms": arms(150, 150, 200)}
    assert verdicts("subgroup nesting", **sections) == []
    (finding,) = found("subgroup nesting", **sections, deaths=deaths)
    assert finding.verdict == "inconsistent"
    assert "bone or liver has at most 120" in finding.arithmetic


def test_the_most_patients_of_a_subgroup():
    factors = ER | {"site": {"label": "Site", "levels": ["bone", "liver", "lung"]}}
    counts = [
        {"arm": arm, "where": where, "n": n}
        for arm in ("control", "treatment")
        for where, n in (({"er": "+"}, 60), ({"site": "bone"}, 20), ({"site": "liver"}, 15))
    ]
    trial = record(factors=factors, patients_count=counts)
    most = {key: most_patients(trial, parse_key(key)) for key in ("overall", "er=-", "site=bone|liver", "site=lung")}
    assert most == {"overall": 200, "er=-": 80, "site=bone|liver": 70, "site=lung": 130}
    assert most_patients(trial, parse_key("er=+,site=bone")) == 40
    beyond = [count | {"n": 90} for count in counts]  # bone and liver: more than the arm
    trial = record(factors=factors, patients_count=beyond, hazard_ratio=ratio(where={"site": "lung"}))
    assert most_patients(trial, parse_key("site=lung")) == 0
    assert audit(trial)
    assert most_patients(record(factors=factors), parse_key("er=+")) == 200


def test_a_prognostic_ratio_rests_on_all_deaths():
    prognostic = [{"where": {"er": "+"}, "estimate": "0.70", "ci": ["0.53", "0.92"]}]  # needs 202 deaths
    deaths = [{"where": {"er": "+"}, "n": 100}]
    sections = {"factors": ER, "prognostic": prognostic, "deaths": deaths}
    assert verdicts("precision against deaths", **sections, arms=arms(120, 120, 200)) == ["ok"]


def test_imbalance_pushes_by_the_adjusted_hazard_ratio():
    sections = {
        "factors": {"er": {"label": "ER", "levels": ["+", "-"]}},
        "prognostic": [{"where": {"er": "+"}, "estimate": "0.43", "adjusted": {"estimate": "0.64"}}],
    }

    def counts(control, treatment):
        return [
            {"arm": arm, "where": {"er": "+"}, "n": n} for arm, n in (("control", control), ("treatment", treatment))
        ]

    (finding,) = found("baseline imbalance", **sections, patients_count=counts(60, 85))
    assert finding.verdict == "note"
    assert finding.computed == pytest.approx(math.log(0.64) * 0.25)
    assert verdicts("baseline imbalance", **sections, patients_count=counts(60, 62)) == ["ok"]


def test_more_patients_with_a_level_than_there_are_is_no_prevalence():
    rows = [{"label": "ER(+)", "where": {"er": "+"}, "control": {"n": 60}, "treatment": {"n": 70}}]
    prognostic = [{"where": {"er": "+"}, "estimate": "0.43"}]
    factor = {"label": "ER", "levels": ["+", "-"], "known": {"treatment": 65}}
    sections = {"baseline": rows, "prognostic": prognostic, "factors": {"er": factor}}
    assert found("baseline imbalance", **sections) == []


def test_sample_size_formulas():
    # Schoenfeld: 4 (1.96 + 0.8416)^2 / log(0.5)^2 = 65.3 deaths for a hazard ratio of 0.5
    z = stats.norm.isf(0.025), stats.norm.ppf(0.8)
    sizes = per_arm(0.25, 0.5, *z)
    deaths = 4 * sum(z) ** 2 / math.log(0.5) ** 2
    assert deaths == pytest.approx(65.3, abs=0.1)
    assert sizes["log-rank (Schoenfeld)"] == pytest.approx(deaths / (1 - 0.375) / 2)
    assert sizes["log-rank (Freedman)"] == pytest.approx(sum(z) ** 2 * 9 / (1 - 0.375) / 2)
    # Fleiss, two proportions 0.25 and 0.5 with 80% power: 58 per arm, 66 with the continuity correction
    assert math.ceil(sizes["two proportions (pooled)"]) == 58
    assert math.ceil(sizes["two proportions (pooled, continuity-corrected)"]) == 66


def test_stated_design():
    design = {"time": 36, "control_survival": "0.25", "treatment_survival": "0.50", "alpha": "0.05", "power": "0.80"}
    wanted = 2 * math.ceil(per_arm(0.25, 0.5, 1.959964, 0.841621)["log-rank (Schoenfeld)"])
    assert verdicts("sample size", design=design | {"patients": wanted}) == ["ok"]
    assert verdicts("sample size", design=design | {"patients": wanted, "dropout": "0.00"}) == ["ok"]
    (finding,) = found("sample size", design=design | {"patients": 116})
    assert finding.verdict == "note"
    assert "two proportions (pooled), two-sided 0.05, power 0.8" in finding.arithmetic


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({"patients": 271, "patients_per_arm": 136}, "note"),
        ({"patients": 272, "patients_per_arm": 136}, "ok"),
        ({"control_survival": "0.17", "treatment_survival": "0.35", "survival_difference": "0.18"}, "ok"),
        ({"control_survival": "0.35", "treatment_survival": "0.17", "survival_difference": "0.18"}, "ok"),
        ({"control_survival": "0.17", "treatment_survival": "0.35", "survival_difference": "0.25"}, "inconsistent"),
    ],
)
def test_arithmetic_of_the_design(numbers, verdict):
    assert verdicts("sample size", design=numbers) == [verdict]


@pytest.fixture(scope="module")
def mf07():
    return {(finding.check, finding.item): finding for finding in audit(load_record("mf07-01"))}


@pytest.mark.parametrize(
    ("check", "item", "verdict", "text"),
    [
        ("printed twice", "hazard ratio ER/PR(+)", "inconsistent", "0.64 (0.46-0.91), p 0.01 (Abstract) and 0.63"),
        ("printed twice", "prognostic Age below 55, adjusted", "note", "0.69"),
        ("printed twice", "Solitary bone", "inconsistent", "control 60%, treatment 66.7%"),
        ("printed twice", "flow: Randomized", "inconsistent", "278 (Fig. 1) and 274 (Results)"),
        ("printed twice", "flow: Not meeting inclusion criteria", "inconsistent", "19 (Fig. 1) and 34 (Results)"),
        ("counts", "30-day mortality, control", "ok", "1.5% of 136 is 2 events"),
        ("counts", "ER/PR(+), control", "note", "135"),
        ("counts", "Triple-negative, control", "note", "the denominator is 132"),
        ("counts", "Histologic grade, control", "note", "= 104 of 136"),
        ("counts", "Locoregional progression, risk ratio", "inconsistent", "7.61; printed 11"),
        ("table p-value", "Tumour type", "inconsistent", "printed 0.26"),
        ("table p-value", "Solitary/multiple metastasis", "inconsistent", "printed 0.71"),
        ("baseline imbalance", "ER/PR(+)", "note", "towards benefit"),
        ("baseline imbalance", "Triple-negative", "note", "towards benefit"),
        ("baseline imbalance", "T4", "note", "towards benefit"),
        ("sample size", "design, patients per arm", "note", "2 x 136 = 272; printed 271"),
        ("sample size", "design", "note", "two proportions (pooled), two-sided 0.05, power 0.9"),
    ],
)
def test_what_mf07_01_hides(mf07, check, item, verdict, text):
    finding = mf07[check, item]
    assert finding.verdict == verdict
    assert text in finding.arithmetic


def test_mf07_01_p_values_agree_with_scipy(mf07):
    tumour = np.array([[115, 110], [13, 15], [8, 13]])
    expected = stats.chi2_contingency(tumour).pvalue
    assert mf07["table p-value", "Tumour type"].computed == pytest.approx(expected)


def test_ten_year_update_is_impossible():
    impossible = [finding for finding in audit(load_record("mf07-01-10y")) if finding.verdict == "impossible"]
    assert [finding.check for finding in impossible] == ["precision against deaths"]
    assert "265 patients" in impossible[0].arithmetic


def test_table_of_findings():
    record = load_record("mf07-01")
    frame = findings_frame(record, audit(record))
    assert tuple(frame.columns) == COLUMNS
    assert set(frame.trial) == {"mf07-01"}
    assert findings_frame(record, []).empty


def test_simulated_numbers_agree_with_lifelines():
    trial = simulate_trial(np.random.default_rng(3))
    rows = {"time": trial.time, "event": trial.event, "treatment": trial.treatment.astype(float)}
    summary = CoxPHFitter().fit(pd.DataFrame(rows), "time", "event").summary.loc["treatment"]
    assert cox_of_patients(trial.time, trial.event, trial.treatment) == pytest.approx(
        (summary["coef"], summary["se(coef)"]), rel=1e-4
    )
    curve = KaplanMeierFitter().fit(trial.time, trial.event)
    assert kaplan_meier(trial.time, trial.event).at(24) == pytest.approx(curve.predict(24), rel=1e-9)
    assert kaplan_meier(trial.time, trial.event).median == pytest.approx(curve.median_survival_time_)


def test_coherent_papers_are_not_accused():
    papers, noted = 250, {}
    for paper in range(papers):
        rng = np.random.default_rng([7, paper])
        findings = audit(parse_record(publish(simulate_trial(rng), rng)))
        assert {finding.verdict for finding in findings} <= {"ok", "note"}
        for check in {finding.check for finding in findings if finding.verdict == "note"}:
            noted[check] = noted.get(check, 0) + 1
    assert all(count <= stats.binom.ppf(0.999, papers, 0.05) for count in noted.values()), noted


@given(
    log_ratio=st.floats(-1.2, 1.2),
    error=st.floats(0.05, 0.6),
    digits=st.integers(2, 4),
    level=st.sampled_from([0.9, 0.95]),
)
def test_rounded_wald_intervals_are_symmetric_and_fit_their_p_value(log_ratio, error, digits, level):
    z = stats.norm.ppf((1 + level) / 2)
    numbers = [f"{math.exp(log_ratio + shift * error):.{digits}f}" for shift in (0, -z, z)]
    p = 2 * stats.norm.sf(abs(log_ratio) / error)
    rows = ratio(numbers[0], numbers[1:], level=level, p=f"{p:.3f}" if p >= 0.001 else "<0.001")
    assert verdicts("interval symmetry", hazard_ratio=rows) == ["ok"]
    assert verdicts("p-value", hazard_ratio=rows) == ["ok"]


def test_audit_needs_neither_pymc_nor_lifelines():
    code = (
        "import sys; from secondlook.data import load_record; from secondlook.data.audit import audit; "
        "audit(load_record('mf07-01')); print({'pymc', 'lifelines', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("estimate", "ci", "side"), [("0.62", ("0.42", "0.92"), "ok"), ("1.61", ("1.09", "2.38"), "note")]
)
def test_a_hazard_ratio_upside_down_is_found_without_landmark_intervals(estimate, ci, side):
    """Deaths of 65 and 40 in 100, or survival without intervals, say on which side of 1 it lies."""
    survival = [{"arm": arm, "time": 24, "estimate": s} for arm, s in (("control", "0.45"), ("treatment", "0.65"))]
    for evidence in ({"arms": arms(65, 40)}, {"arms": arms(None, None, 300), "survival": survival}):
        findings = found("direction", hazard_ratio=ratio(estimate, ci), **evidence)
        assert [finding.verdict for finding in findings] == [side]
        assert (side == "note") == ("is it control over treatment?" in findings[0].arithmetic)
    sections = {"hazard_ratio": ratio(estimate, ci), "arms": arms(65, 40)}
    assert bool(about_headline(record(**sections), audit(record(**sections)))) == (side == "note")


def test_subgroups_that_cover_the_trial_combine_to_the_overall_ratio():
    """By inverse variance 0.5 and 0.8 with equal errors combine to sqrt(0.4) = 0.632."""
    factors = {"er": {"label": "ER", "levels": ["+", "-"]}}
    rows = [
        {"where": {"er": level}, "estimate": estimate, "ci": ci}
        for level, estimate, ci in (("+", "0.50", ["0.30", "0.83"]), ("-", "0.80", ["0.48", "1.33"]))
    ]
    for overall, ci, verdict in (("0.64", ("0.45", "0.91"), "ok"), ("0.90", ("0.63", "1.28"), "note")):
        (finding,) = found("combined subgroups", factors=factors, hazard_ratio=[*ratio(overall, ci), *rows])
        assert finding.verdict == verdict
        assert finding.computed == pytest.approx(math.sqrt(0.4), abs=0.01)
    assert not found("combined subgroups", factors=factors, hazard_ratio=[*ratio(), rows[0]])


def test_an_interval_far_wider_than_its_deaths_is_told():
    """With 50 and 50 deaths the standard error is about 0.2: 0.45 to 0.97 has 0.196, 0.30 to 1.50 has 0.41."""
    assert verdicts("interval width", arms=arms(50, 50), hazard_ratio=ratio("0.66", ("0.45", "0.97"))) == ["ok"]
    assert verdicts("interval width", arms=arms(50, 50), hazard_ratio=ratio("0.67", ("0.30", "1.50"))) == ["note"]
    stratified = ratio("0.67", ("0.30", "1.50"), analysis="stratified")
    assert verdicts("interval width", arms=arms(50, 50), hazard_ratio=stratified) == []


def test_a_p_value_of_non_inferiority():
    """One-sided p 0.011 of 1.07 (90%: 0.93-1.24): against a margin of 1.31, not against 1."""
    row = ratio("1.07", ("0.93", "1.24"), level=0.90, p="0.011", sided=1)
    (finding,) = found("p-value", hazard_ratio=row)
    assert finding.verdict == "note" and "margin of 1.31" in finding.arithmetic
    (finding,) = found("p-value", hazard_ratio=[row[0] | {"margin": "1.31"}])
    assert finding.verdict == "ok" and "log 1.07 - log 1.31" in finding.arithmetic
    assert verdicts("p-value", hazard_ratio=[row[0] | {"sided": 2}]) == ["inconsistent"]
    assert verdicts("p-value", hazard_ratio=[row[0] | {"p": "0.9"}]) == ["inconsistent"]  # a margin of 0.96 is none


@pytest.mark.parametrize(
    ("unit", "time", "recruitment", "verdict"),
    [
        ("months", 60, None, "ok"),
        ("months", 1825, None, "note"),  # days
        ("days", 1825, None, "ok"),
        ("months", 5, ("2001-01", "2005-01"), "note"),  # years
        ("years", 5, ("2001-01", "2005-01"), "ok"),
    ],
)
def test_times_that_fit_another_unit(unit, time, recruitment, verdict):
    sections = {"recruitment": dict(zip(("start", "end"), recruitment, strict=True))} if recruitment else {}
    survival = [{"arm": "control", "time": time, "estimate": "0.45"}]
    assert verdicts("record", time_unit=unit, survival=survival, **sections) == [verdict]


def test_placeholders_of_the_template_are_told(tmp_path):
    write_template(tmp_path / "mine.toml")
    left = {finding.item for finding in audit(load_record(tmp_path / "mine.toml")) if finding.verdict == "note"}
    assert {"title", "arms.control", "arms.treatment"} <= left


def test_findings_carry_the_domain_they_speak_to():
    frame = findings_frame(record(hazard_ratio=ratio()), audit(record(hazard_ratio=ratio())))
    assert frame.columns[-1] == "domain" and set(frame["domain"]) == {"results"}
