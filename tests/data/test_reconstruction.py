"""Reconstruction from published numbers: a simulated trial whose patients are known, and MF07-01."""

import copy
import math

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from secondlook.data import InputError, load_record
from secondlook.data.audit import audit
from secondlook.data.cohort import Cohort, median_survival, survival
from secondlook.data.describe import describe_record
from secondlook.data.estimators import cox_of_patients, kaplan_meier
from secondlook.data.reading import parse_record
from secondlook.data.rebuilding import rebuild
from secondlook.data.reconstruction import FIT_SHEET_COLUMNS, reconstruct
from secondlook.data.reconstruction.solver import Problem, solve
from secondlook.data.reconstruction.strata import whole
from secondlook.data.reconstruction.targets import targets_of, withhold
from secondlook.data.reconstruction.unknowns import Unknowns
from secondlook.data.subgroup import OVERALL, parse_key
from secondlook.inference import Options
from secondlook.inference.tasks import check_landmarks

RATES = {"control": 0.030, "treatment": 0.020}
SIZES = {"control": 150, "treatment": 160}
LANDMARKS = (12.0, 24.0, 36.0)


def simulated_patients():
    """Exponential deaths, entry over 40 months, closing 60 months after the first."""
    rng = np.random.default_rng(20180)
    patients = {}
    for arm, rate in RATES.items():
        death, closing = rng.exponential(1 / rate, SIZES[arm]), rng.uniform(20, 60, SIZES[arm])
        patients[arm] = np.minimum(death, closing), death <= closing
    return patients


PATIENTS = simulated_patients()
WHOLE = whole((150, 160), 30.0)
ARMS = (((0, 0),), ((0, 1),))  # the cells of each arm of one stratum


def landmark(arm, time):
    """Kaplan-Meier with the log-log interval, as printed."""
    curve = kaplan_meier(*PATIENTS[arm])
    estimate, variance = curve.at(time), curve.variance_at(time)
    spread = 1.959964 * math.sqrt(variance) / abs(math.log(estimate))
    limits = [f"{estimate ** math.exp(sign * spread):.2f}" for sign in (1, -1)]
    return {"arm": arm, "time": time, "estimate": f"{estimate:.2f}", "ci": limits, "source": "Results"}


def follow_up(arm):
    time, event = PATIENTS[arm]
    quartiles = {name: f"{np.quantile(time, q):.1f}" for name, q in (("q25", 0.25), ("median", 0.5), ("q75", 0.75))}
    moments = {"mean": f"{time.mean():.1f}", "sd": f"{time.std(ddof=1):.1f}"}
    return {"arm": arm, **moments, **quartiles, "survivors_median": f"{np.median(time[~event]):.1f}"}


def hazard_ratio(sign=1):
    (time0, event0), (time1, event1) = PATIENTS.values()
    group = np.repeat([False, True], [time0.size, time1.size])
    log_ratio, error = cox_of_patients(np.r_[time0, time1], np.r_[event0, event1], group)
    limits = [f"{math.exp(sign * log_ratio + z * error):.2f}" for z in (-1.959964, 1.959964)]
    return {"estimate": f"{math.exp(sign * log_ratio):.2f}", "ci": limits}


def raw_record():
    return {
        "schema": 1,
        "id": "simulated",
        "title": "An exponential trial",
        "arms": {arm: {"label": arm, "patients": SIZES[arm], "events": int(PATIENTS[arm][1].sum())} for arm in RATES},
        "survival": [landmark(arm, time) for arm in RATES for time in LANDMARKS],
        "follow_up": [follow_up(arm) for arm in RATES],
        "at_risk": [
            {"arm": arm, "times": [0, 24, 40], "patients": [int((PATIENTS[arm][0] >= t).sum()) for t in (0, 24, 40)]}
            for arm in RATES
        ],
        "hazard_ratio": [hazard_ratio()],
    }


@pytest.fixture(scope="module")
def rebuilt():
    return reconstruct(parse_record(raw_record()), imputations=3)


def test_every_number_of_a_coherent_paper_is_reproduced_within_its_rounding(rebuilt):
    sheet = rebuilt.fit_sheet
    used = sheet[sheet.used]
    assert len(used) == 2 + 18 + 12 + 4 + 3  # deaths, landmarks, follow-up, at risk, hazard ratio
    assert used.half_widths_off.abs().max() <= 1
    assert rebuilt.misfits == () and rebuilt.warnings == ()
    off = (used.reproduced - used.printed.astype(float)) / used.half_width
    np.testing.assert_allclose(used.half_widths_off, off, atol=1e-9)
    assert list(sheet.columns) == list(FIT_SHEET_COLUMNS)


def test_every_draw_reproduces_every_number_within_half_width_and_sd(rebuilt):
    tables = rebuilt.unknowns.table(rebuilt.draws)
    for target, sd in zip(rebuilt.targets, rebuilt.sds, strict=True):
        assert sd == pytest.approx(target.half_width / math.sqrt(3))  # the SD of a uniform
        assert np.abs(target.functional(tables) - target.value).max() <= target.half_width + sd
    assert 0 < rebuilt.acceptance_rate <= 1
    assert rebuilt.acceptance_rate == 3 / rebuilt.attempts


def test_the_hidden_patients_are_found_again(rebuilt):
    """Between the landmarks, where nothing is printed, the curve is within two points of the patients' own."""
    table = rebuilt.table
    hazard = (table.deaths / table.exposure).isel(stratum=0) * (table.stop - table.start)
    for arm in RATES:
        curve = KaplanMeierFitter().fit(*PATIENTS[arm])
        for month in (6, 18, 30):
            mean = float(np.exp(-hazard.sel(arm=arm)[..., :month].sum("interval")).mean())
            assert mean == pytest.approx(curve.predict(month), abs=0.05)
    medians = rebuilt.fit_sheet.query("item == 'median'").set_index("arm").reproduced
    for arm in RATES:
        assert medians[arm] == pytest.approx(KaplanMeierFitter().fit(*PATIENTS[arm]).median_survival_time_, rel=0.1)


def test_the_table_keeps_every_patient(rebuilt):
    table = rebuilt.table
    gone = (table.deaths + table.censored).sum("interval")
    np.testing.assert_allclose(gone, table.patients, rtol=1e-10)
    np.testing.assert_allclose(table.patients[0, 0], [150, 160])
    assert table.attrs == {"trial": "simulated", "source": "published", "time_unit": "months", "partition": ""}


def test_imputations_differ_and_do_not_depend_on_their_number(rebuilt):
    one = reconstruct(parse_record(raw_record()), imputations=1)
    np.testing.assert_allclose(one.draws, rebuilt.draws[:1], atol=1e-9)
    more = one.with_imputations(3)
    np.testing.assert_allclose(more.draws, rebuilt.draws, atol=1e-7)  # sums of stacks differ in their last digit
    assert more.attempts == rebuilt.attempts
    assert np.abs(rebuilt.draws[0] - rebuilt.draws[1]).max() > 0.1
    other = reconstruct(parse_record(raw_record()), imputations=1, seed=2)
    assert np.abs(other.draws[0] - rebuilt.draws[0]).max() > 0.1
    np.testing.assert_array_equal(other.mode, rebuilt.mode)  # the mode is not random


def test_fewer_numbers_leave_more_open(rebuilt):
    """The withheld hazard ratio is predicted, and varies more between the draws than where it is used."""
    free = reconstruct(parse_record(raw_record()), imputations=3, without=("hazard_ratio",))
    printed = float(raw_record()["hazard_ratio"][0]["estimate"])
    assert free.predicted("hazard_ratio").mean() == pytest.approx(printed, abs=0.05)
    assert rebuilt.predicted("hazard_ratio") == pytest.approx([printed] * 3, abs=0.008)
    assert free.predicted("hazard_ratio").std() > rebuilt.predicted("hazard_ratio").std()
    assert not free.fit_sheet.set_index("item").loc["hazard_ratio", "used"]
    with pytest.raises(KeyError, match="no_such_item"):
        free.predicted("no_such_item")


def test_a_contradictory_number_is_named():
    raw = raw_record()
    raw["follow_up"][0]["mean"] = "45.0"  # above the upper quartile; about 27 in truth
    rebuilt = reconstruct(parse_record(raw), imputations=0)
    (mean,) = (misfit.target for misfit in rebuilt.misfits if misfit.culprit)
    assert (mean.item, mean.arm) == ("follow_up mean", "control")
    assert rebuilt.warnings[0].startswith(
        "printed follow_up mean control 45.0 contradicts all other numbers, which imply 2"
    )
    reproduced = float(mean.functional(rebuilt.unknowns.table(rebuilt.mode)))
    assert abs(reproduced - 45) > mean.half_width
    # its SD is its distance, so that the others are not bent to it
    assert rebuilt.sds[rebuilt.targets.index(mean)] > 10 * mean.half_width


@pytest.fixture(scope="module")
def mf07():
    return reconstruct(load_record("mf07-01"), imputations=3)


def test_mf07_reproduces_every_printed_number(mf07):
    used = mf07.fit_sheet[mf07.fit_sheet.used]
    outside = used[used.half_widths_off.abs() > 1]
    assert outside.empty, outside[["item", "arm", "time", "printed", "reproduced"]].to_string()
    assert used.query("item == 'deaths'").printed.tolist() == ["101", "76"]
    tables = mf07.table.deaths.sum("interval").isel(stratum=0)
    np.testing.assert_allclose(tables, [[101, 76]] * 3, atol=0.08)


def test_mf07_without_its_hazard_ratio_predicts_it():
    free = reconstruct(load_record("mf07-01"), imputations=3, without=("hazard_ratio",))
    assert free.predicted("hazard_ratio").mean() == pytest.approx(0.66, abs=0.03)
    assert free.fit_sheet.query("item == 'hazard_ratio'").used.eq(False).all()


def test_numbers_that_are_not_to_be_used_are_left_out():
    raw = raw_record()
    raw["survival"][0]["use"] = False
    items = [(target.item, target.arm, target.time) for target in targets_of(parse_record(raw), WHOLE)]
    assert ("survival", "control", 12.0) not in items and ("survival", "control", 24.0) in items


def test_subgroup_numbers_are_not_about_whole_arms():
    assert all(target.subgroup.is_overall for target in targets_of(load_record("mf07-01"), WHOLE))


def test_totals_stand_in_where_the_arms_print_no_deaths():
    raw = raw_record()
    for arm in raw["arms"].values():
        del arm["events"]
    total = sum(int(event.sum()) for _, event in PATIENTS.values())
    raw["totals"] = {"patients": 310, "events": total}
    rebuilt = reconstruct(parse_record(raw), imputations=1)
    both = rebuilt.table.deaths.sum(("arm", "interval")).item()
    assert both == pytest.approx(total, abs=0.1)
    by_arm = rebuilt.table.deaths.sum("interval").to_numpy()[0, 0]
    assert by_arm == pytest.approx([event.sum() for _, event in PATIENTS.values()], abs=12)


def test_inverted_hazard_ratios_are_read_as_printed():
    """Control over treatment: the printed number is reproduced, the table does not change."""
    raw = raw_record()
    raw["hazard_ratio"] = [hazard_ratio(sign=-1) | {"comparison": "control/treatment"}]
    sheet = reconstruct(parse_record(raw), imputations=1).fit_sheet.set_index("item")
    for name in ("hazard_ratio", "hazard_ratio lower", "hazard_ratio upper"):
        assert abs(sheet.loc[name, "half_widths_off"]) <= 1


def test_withholding_keeps_other_items():
    targets = withhold(targets_of(parse_record(raw_record()), WHOLE), "hazard_ratio", OVERALL)
    assert {target.item.split()[0] for target in targets if not target.used} == {"hazard_ratio"}
    assert sum(not target.used for target in targets) == 3


@pytest.mark.parametrize(
    ("remove", "needed"),
    [
        (lambda raw: [arm.pop("patients") for arm in raw["arms"].values()], "patients of both arms"),
        (lambda raw: [arm.pop("events") for arm in raw["arms"].values()], "events of both arms or in all"),
        (
            lambda raw: [raw.pop(name) for name in ("survival", "follow_up", "at_risk")],
            "survival at a landmark, follow-up or numbers at risk",
        ),
    ],
)
def test_records_that_print_too_little(remove, needed):
    raw = copy.deepcopy(raw_record())
    if needed.startswith("patients"):
        raw = {key: value for key, value in raw.items() if key != "at_risk"}
    remove(raw)
    with pytest.raises(InputError, match=f"^simulated: published survival .* the record prints no {needed}$"):
        reconstruct(parse_record(raw))


def test_a_horizon_must_not_cut_off_a_landmark():
    with pytest.raises(InputError, match=r"simulated: horizon: 30\.0: must not lie before the latest landmark"):
        reconstruct(parse_record(raw_record()), horizon=30.0)


def test_the_horizon_ends_the_grid():
    rebuilt = reconstruct(parse_record(raw_record()), imputations=1, horizon=61.5)
    assert float(rebuilt.table.stop[-1]) == 61.5
    # mean + 2.5 SD of follow-up, in whole six months
    default = reconstruct(parse_record(raw_record()), imputations=0).unknowns.edges[-1]
    longest = max(float(item["mean"]) + 2.5 * float(item["sd"]) for item in raw_record()["follow_up"])
    assert default % 6 == 0 and longest <= default <= 1.2 * longest  # beyond the deaths under the printed survival
    assert default > max(time.max() for time, _ in PATIENTS.values())


def paper(**parts):
    """A paper of two arms of 150 that prints survival, deaths and whatever else is given."""
    arms = {arm: {"label": arm, "patients": 150, "events": events} for arm, events in parts.pop("events").items()}
    survival = [
        {"arm": arm, "time": time, "estimate": estimate}
        for arm, row in parts.pop("survival").items()
        for time, estimate in row.items()
    ]
    return {"schema": 1, "id": "p", "title": "P", "arms": arms, "survival": survival} | parts


def test_without_follow_up_deaths_are_not_forced_before_the_last_printed_time():
    """Constant hazards 0.03 and 0.02 a month: survival at 30 months is 0.41 and 0.55."""
    raw = paper(
        events={"control": 128, "treatment": 119},
        survival={"control": {12: "0.69", 24: "0.48"}, "treatment": {12: "0.81", 24: "0.59"}},
        hazard_ratio=[{"estimate": "0.75", "ci": ["0.59", "0.97"]}],
    )
    rebuilt = reconstruct(parse_record(raw), imputations=40)
    for arm, truth in (("control", 0.41), ("treatment", 0.55)):
        drawn = survival(rebuilt._tables.cohort(rebuilt.strata.cells(OVERALL, arm)), 30.0)
        low, high = np.quantile(drawn, [0, 1])
        assert low < truth < high < low + 0.3
    (note,) = rebuilt.notes
    assert "of the deaths of control and" in note and "after 24 months, beyond which no survival is printed" in note


def test_arms_without_printed_follow_up_are_censored_alike():
    raw = paper(events={"control": 101, "treatment": 76}, survival={"control": {36: "0.51", 60: "0.244"}}, horizon=78)
    rebuilt = reconstruct(parse_record(raw), imputations=20)
    assert rebuilt.unknowns.shared_censoring
    assert 0.5 < np.exp(np.median(rebuilt._tables.cox(*ARMS)[0])) < 0.68


def test_an_arm_without_deaths_keeps_its_person_time():
    raw = paper(events={"control": 15, "treatment": 0}, survival={"control": {60: "0.90"}, "treatment": {60: "1.00"}})
    table = reconstruct(parse_record(raw | {"horizon": 60}), imputations=5).table
    assert (table.deaths.sel(arm="treatment").sum(("stratum", "interval")) < 0.5).all()
    assert (table.exposure.sel(arm="treatment").sum(("stratum", "interval")) > 0.9 * 150 * 55).all()


def test_the_number_that_contradicts_all_others_is_named():
    """Deaths and survival of these arms imply a hazard ratio of 1.7; 0.50 is printed."""
    raw = paper(
        events={"control": 84, "treatment": 108},
        survival={"control": {12: "0.80", 36: "0.51"}, "treatment": {12: "0.66", 36: "0.32"}},
        follow_up=[
            {"arm": "control", "mean": "28.6", "sd": "16.1"},
            {"arm": "treatment", "mean": "21.9", "sd": "15.3"},
        ],
        hazard_ratio=[{"estimate": "0.50", "ci": ["0.37", "0.67"]}],
    )
    rebuilt = reconstruct(parse_record(raw), imputations=2)
    (warning,) = rebuilt.warnings
    assert warning.startswith("printed hazard_ratio 0.50 (0.37-0.67) contradicts all other numbers, which imply 1.")
    assert rebuilt.notes[0] == warning
    others = rebuilt.fit_sheet[~rebuilt.fit_sheet["item"].str.startswith("hazard_ratio") & rebuilt.fit_sheet.used]
    assert others.half_widths_off.abs().max() < 2


def test_the_grid_follows_the_trial():
    """At least forty cells whatever the unit, every printed time a bound, a few dozen knots at most."""
    for unit, end in (("days", 28.0), ("weeks", 104.0), ("months", 84.0), ("years", 25.0)):
        times = [round(end * share, 2) for share in (0.11, 0.5)]
        survival = {arm: dict.fromkeys(times[:1], "0.80") | {times[1]: "0.6"} for arm in RATES}
        raw = paper(events={"control": 75, "treatment": 75}, survival=survival, time_unit=unit, horizon=end)
        unknowns = reconstruct(parse_record(raw), imputations=0).unknowns
        assert 40 <= len(unknowns.edges) - 1 <= 125
        assert set(times) <= set(unknowns.edges.tolist()) and unknowns.edges[-1] == end
        assert 8 <= end / unknowns.knot <= 24


def test_draws_that_keep_missing_are_given_up(monkeypatch):
    rebuilt = reconstruct(parse_record(raw_record()), imputations=0)
    monkeypatch.setattr("secondlook.data.reconstruction.published.solve", lambda *given: 0 * given[2])
    with pytest.raises(InputError, match="no table reproduces all printed numbers: none stands out"):
        rebuilt.with_imputations(1)


def test_units_do_not_matter():
    """The same trial in years: the same deaths by month."""
    raw = raw_record()
    raw["time_unit"] = "years"
    months = parse_record({**raw_record(), "follow_up": [], "at_risk": []})
    for item in raw["survival"]:
        item["time"] /= 12
    years = parse_record({**raw, "follow_up": [], "at_risk": []})
    tables = [reconstruct(record, imputations=1).table.deaths.to_numpy() for record in (months, years)]
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4, atol=1e-6)


# --- the solver and the unknowns by themselves


def test_solver_solves_a_linear_problem_exactly():
    """Minimum of |(Ax - y)/s|^2 + |x - c|^2 in closed form."""
    rng = np.random.default_rng(5)
    matrix, values, sds, centre = rng.normal(size=(4, 7)), rng.normal(size=4), np.full(4, 0.1), rng.normal(size=7)
    problem = Problem(lambda x, _: x @ matrix.T, lambda _x, _: matrix, values, sds, sds)
    (found,) = solve(problem, values[None], centre[None], np.zeros(7), 1e-12)
    exact = np.linalg.solve(matrix.T @ matrix / 0.01 + np.eye(7), matrix.T @ values / 0.01 + centre)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_unknowns_at_zero_are_exponential_arms():
    """No effect, no noise: both arms die at the crude rate and are censored at theirs."""
    edges = np.arange(0.0, 61.0)
    unknowns = Unknowns(np.array([[100.0, 200.0]]), edges, 1.0, 0.02, 0.01)
    table = unknowns._expected(np.zeros(unknowns.size), None)[0]
    np.testing.assert_allclose(table.at_risk[0], np.array([[100], [200]]) * np.exp(-0.03 * edges), rtol=1e-12)
    np.testing.assert_allclose(table.deaths / table.exposure, 0.02, rtol=1e-12)
    np.testing.assert_allclose(table.at_risk[..., :-1] - table.at_risk[..., 1:], table.deaths + table.censored)
    log_ratio, error = table.cox(*ARMS)
    deaths = table.deaths.sum(axis=-1)[0]
    assert log_ratio == pytest.approx(0, abs=1e-9)
    assert error == pytest.approx(math.sqrt(1 / deaths[0] + 1 / deaths[1]), rel=1e-6)
    both = table.cohort(ARMS[0] + ARMS[1])
    assert isinstance(both, Cohort)
    assert median_survival(both) == pytest.approx(math.log(2) / 0.02, rel=1e-9)


def test_sampling_noise_has_mean_and_variance_of_poisson_counts():
    """Realised rates over expected ones have mean 1 and variance ``1 / mu``, but for a twentieth of a death."""
    edges = np.array([0.0, 6.0])
    rng = np.random.default_rng(6)
    for patients in (2.0, 20.0, 2000.0):
        unknowns = Unknowns(np.array([[patients, patients]]), edges, 6.0, 0.02, 0.01)
        draws = np.zeros((40000, unknowns.size))
        draws[:, unknowns.noise] = rng.standard_normal((40000, 2))
        rates = unknowns.table(draws).rate[:, 0, :, 0] / 0.02
        expected = float(unknowns._expected(np.zeros(unknowns.size), None)[0].deaths[0, 0, 0])
        np.testing.assert_allclose(rates.mean(axis=0), 1, atol=0.05)
        np.testing.assert_allclose(rates.var(axis=0), 1 / (expected + 0.05), rtol=0.1)


# --- strata of partitions


@pytest.fixture(scope="module")
def receptor():
    return reconstruct(load_record("mf07-01"), "receptor", imputations=2)


def test_every_receptor_number_is_reproduced_or_named(receptor):
    """Hazard ratios, prognostic ratios, deaths and sizes within rounding, but for conflicts near it."""
    sheet = receptor.fit_sheet[receptor.fit_sheet.used]
    about = sheet[sheet.subgroup.str.contains("er=|her2=")]
    counts = about.item.str.split().str[0].value_counts()
    assert counts["hazard_ratio"] == 5 * 3 and counts["prognostic"] == 2 * 3 and counts["percent_dead"] == 1
    conflicts = {
        (target.item, target.subgroup.key, target.printed)
        for target in (misfit.target for misfit in receptor.misfits)
    }
    for row in sheet[sheet.half_widths_off.abs() > 1].itertuples():
        assert (row.item, row.subgroup, row.printed) in conflicts
    assert sheet.half_widths_off.abs().max() < 2  # none is far off
    assert len(conflicts) <= 5
    np.testing.assert_allclose(receptor.table.patients.sel(arm="treatment").to_numpy(), [[32, 86, 10, 10]] * 2)
    triple = receptor.table.sel(stratum="er=-,her2=-")
    died = triple.deaths.sum(("interval", "arm")) / triple.patients.sum("arm")
    np.testing.assert_allclose(died, 0.85, atol=0.011)


def test_strata_add_up_to_the_trial(receptor):
    table = receptor.table
    assert table.stratum.to_numpy().tolist() == ["er=+,her2=+", "er=+,her2=-", "er=-,her2=+", "er=-,her2=-"]
    assert table.er.to_numpy().tolist() == ["+", "+", "-", "-"]
    assert table.attrs["partition"] == "receptor"
    np.testing.assert_allclose(table.patients.sum("stratum"), [[136, 138]] * 2)
    np.testing.assert_allclose(table.deaths.sum(("stratum", "interval")), [[101, 76]] * 2, atol=0.1)


def test_strata_are_as_determined_as_what_is_printed_about_them(receptor):
    """A stratum whose hazard ratio is printed varies and moves less than one of which little is."""
    pattern = reconstruct(load_record("mf07-01"), "metastasis", imputations=4)
    lungs, bone = (f"metastasis={level}" for level in ("multiple pulmonary/liver", "solitary bone"))

    def log_ratios(rebuilt, stratum):
        cell = rebuilt.table.sel(stratum=stratum)
        rates = cell.deaths.sum("interval") / cell.exposure.sum("interval")
        return np.log(rates.sel(arm="treatment") / rates.sel(arm="control"))

    def spread(rebuilt, stratum):
        return float(log_ratios(rebuilt, stratum).std("imputation"))

    assert spread(pattern, lungs) > 2 * spread(pattern, bone)
    assert spread(pattern, lungs) > 2 * spread(receptor, "er=+,her2=-")
    narrow, wide = (pattern.varied(2, stratum_effect_sd=sd) for sd in (0.25, 1.0))
    moved = {name: float((log_ratios(wide, name) - log_ratios(narrow, name)).mean()) for name in (lungs, bone)}
    assert 0.1 < moved[lungs] < 0.5 and abs(moved[bone]) < 0.05
    np.testing.assert_allclose(log_ratios(pattern.varied(2), lungs), log_ratios(pattern, lungs)[:2], atol=0.02)


def test_a_number_left_out_is_predicted(receptor):
    whom = parse_key("er=-,her2=-")
    without = receptor.varied(1, without=("percent_dead", whom))
    printed, predicted = (one.fit_sheet.query("item == 'percent_dead'").squeeze() for one in (receptor, without))
    assert printed.used and abs(printed.half_widths_off) <= 1.01
    assert not predicted.used and abs(predicted.half_widths_off) > 1.01


def test_the_share_below_a_cut_varies():
    age = reconstruct(load_record("mf07-01"), "age", imputations=4)
    below = age.table.patients.sel(stratum="age=below 55")
    assert (below.std("imputation") > 1).all()
    np.testing.assert_allclose(age.table.patients.sum("stratum"), [[136, 138]] * 4)
    assert "follows from mean and SD only" in age.strata.notes[0]


def test_the_jacobian_is_the_functionals_derivative():
    """Through the recursion, the noise and the sizes: against central differences, in every part of the unknowns."""
    from secondlook.data.reconstruction.published import _problem, _start

    record = load_record("mf07-01")
    for partition in ("receptor", "age"):
        strata, unknowns = _start(record, partition, None)
        targets = targets_of(record, strata)
        problem = _problem(unknowns, targets, np.ones(len(targets)), unknowns.patients[None])
        everybody = np.zeros(115, dtype=int)
        rng = np.random.default_rng(7)
        point = 0.3 * rng.standard_normal(unknowns.size)
        places = np.r_[np.arange(75), rng.choice(unknowns.size, 40, replace=False)]
        step = 1e-5 * np.eye(unknowns.size)[places]
        expected = (
            problem.functionals(point + step, everybody) - problem.functionals(point - step, everybody)
        ).T / 2e-5
        found = problem.jacobian(point, 0)[:, places]
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max(), rtol=1e-4)


def test_medians_that_are_not_reached_are_predicted():
    median = f"{kaplan_meier(*PATIENTS['control']).median:.1f}"
    printed = {"arm": "control", "estimate": median, "ci": ["17.9", "NE"], "source": "Table 2"}
    medians = [printed, {"arm": "treatment", "estimate": "NR", "ci": ["30.1", "not reached"], "source": "Table 2"}]
    record = parse_record(raw_record() | {"median": medians})
    sheet = reconstruct(record, imputations=2).fit_sheet.query("item == 'median'").set_index("arm")
    assert sheet.printed.to_list() == [median, "NR"] and sheet.used.to_list() == [True, False]
    assert abs(sheet.half_widths_off["control"]) <= 1 and math.isnan(sheet.half_widths_off["treatment"])
    assert parse_record(record.model_dump(mode="json", by_alias=True)) == record
    assert [row[2] for row in {item.title: item for item in describe_record(record)}["Median survival"].rows] == [
        f"{median} (17.9 to NE)",
        "NR (30.1 to not reached)",
    ]
    audit(record)


@pytest.mark.parametrize(
    ("median", "told"),
    [
        ({"estimate": "NR", "ci": ["20", "50"]}, "the estimate NR lies outside its interval 20 to 50"),
        ({"estimate": "60", "ci": ["NE", "50"]}, "the estimate 60 lies outside its interval NE to 50"),
    ],
)
def test_open_limits_hold_what_they_can(median, told):
    with pytest.raises(InputError, match=told):
        parse_record(raw_record() | {"median": [{"arm": "control", **median}]})


def of_one_arm(arm):
    """Return the record of one arm alone, the other being no more than a label."""
    raw = raw_record()
    lists = {
        name: [item for item in raw[name] if item["arm"] == arm] for name in ("survival", "follow_up", "at_risk")
    }
    arms = {name: raw["arms"][name] if name == arm else {"label": name} for name in RATES}
    return {"schema": 1, "id": "alone", "title": "One arm", "arms": arms, **lists}


@pytest.mark.parametrize("arm", RATES)
def test_numbers_of_one_arm_give_its_patients(arm):
    other = "control" if arm == "treatment" else "treatment"
    made = reconstruct(parse_record(of_one_arm(arm)), imputations=2)
    used = made.fit_sheet[made.fit_sheet.used]
    assert set(made.fit_sheet.arm) == {arm} and len(used) == 1 + 9 + 6 + 2
    assert used.half_widths_off.abs().max() <= 1 and made.warnings == ()
    assert f"no number is printed of {other}: {arm} alone is rebuilt" in made.notes
    assert made.table.arm.to_numpy().tolist() == [arm]
    rows, (time, event) = made.patients, PATIENTS[arm]
    assert set(rows.arm) == {arm} and len(rows) == SIZES[arm] and rows.event.sum() == event.sum()
    for at in (6, 18, 30):
        own = kaplan_meier(rows.time.to_numpy(), rows.event.to_numpy() == 1).at(at)
        assert own == pytest.approx(kaplan_meier(time, event).at(at), abs=0.05)


def test_one_arm_needs_its_own_numbers():
    raw = of_one_arm("treatment")
    for changes, told in (({"events": None}, "no events of treatment"), ({"patients": None}, "no patients of treat")):
        arms = raw["arms"] | {"treatment": raw["arms"]["treatment"] | changes}
        with pytest.raises(InputError, match=told):
            reconstruct(parse_record(raw | {"arms": arms, "at_risk": []}))
    with pytest.raises(InputError, match="no patients of both arms"):
        reconstruct(parse_record(raw | {"hazard_ratio": [hazard_ratio()]}))
    with pytest.raises(InputError, match=r"alone: arms\.control: nothing of control: strata need both arms"):
        rebuild(parse_record(raw), "age")


@pytest.mark.parametrize("nobody", ["0", "0%", "0.00"])
def test_survival_after_all_of_an_arm_have_died_is_none(nobody):
    printed = {("control", 12): "0.40", ("control", 36): nobody, ("treatment", 12): "0.70", ("treatment", 36): "0.10"}
    raw = {
        "schema": 1,
        "id": "gone",
        "title": "All of an arm die",
        "landmarks": [12, 36],
        "arms": {
            "control": {"label": "C", "patients": 60, "events": 60},
            "treatment": {"label": "T", "patients": 60},
        },
        "survival": [{"arm": arm, "time": time, "estimate": text} for (arm, time), text in printed.items()],
    }
    raw["arms"]["treatment"]["events"] = 55
    made = reconstruct(parse_record(raw), imputations=2)
    found = made.fit_sheet.query("item == 'survival'").set_index(["arm", "time"])
    assert found.half_widths_off.abs().max() <= 1
    assert found.reproduced["control", 36] < 0.1 * (nobody == "0") + 0.0051
    check_landmarks(made.record, made.table, Options(landmarks=(12.0, 36.0)))


def printed_paper(patients, events, survival, hazard_ratio, follow_up=()):
    """Return a paper: patients and deaths of both arms, survival at 12 and 24 months, and a hazard ratio."""
    arms = {
        arm: {"label": arm, "patients": n, "events": d} for arm, n, d in zip(SIZES, patients, events, strict=True)
    }
    printed = [
        {"arm": arm, "time": time, "estimate": estimate, **({"ci": list(ci)} if ci else {})}
        for (arm, time), (estimate, *ci) in zip(((a, t) for a in SIZES for t in (12, 24)), survival, strict=True)
    ]
    ratio, *limits = hazard_ratio
    fields = {
        "schema": 1,
        "id": "paper",
        "title": "A paper",
        "landmarks": [12, 24],
        "arms": arms,
        "survival": printed,
    }
    medians = [{"arm": arm, "median": median} for arm, median in zip(SIZES, follow_up, strict=False)]
    return parse_record(fields | {"follow_up": medians, "hazard_ratio": [{"estimate": ratio, "ci": limits}]})


@pytest.mark.parametrize(
    ("record", "culprit"),
    [
        pytest.param(
            printed_paper(
                (357, 358),
                (144, 144),
                [
                    ("0.82", "0.78", "0.86"),
                    ("0.63", "0.57", "0.69"),
                    ("0.89", "0.85", "0.92"),
                    ("0.77", "0.71", "0.81"),
                ],
                ("0.59", "0.45", "0.76"),
            ),
            "printed deaths treatment 144 contradicts all other numbers, which imply 9",
            id="deaths of the other arm",
        ),
        pytest.param(
            printed_paper(
                (181, 180),
                (165, 157),
                [("0.51", "0.44", "0.58"), ("0.23", "0.17", "0.30"), ("0.060",), ("0.32", "0.25", "0.39")],
                ("0.74", "0.59", "0.92"),
                ("12.0", "15.5"),
            ),
            "printed survival treatment at 12 0.060 contradicts all other numbers, which imply 0.6",
            id="60% typed as 6%",
        ),
    ],
)
def test_the_number_whose_absence_is_least_probable_to_help_by_chance_is_the_culprit(record, culprit):
    """Not the one that relieves most: an estimate with its interval is three numbers."""
    (told,) = reconstruct(record, imputations=0).warnings
    assert told.startswith(culprit)
