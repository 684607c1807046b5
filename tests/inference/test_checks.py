"""Predictive checks: the tail probability, simulated trials of known hazards, and numbers that no model can hide."""

import numpy as np
import pytest
import xarray as xr
from lifelines.datasets import load_gbsg2
from lifelines.statistics import survival_difference_at_fixed_point_in_time_test
from scipy.stats import binom

from secondlook.data import load_record
from secondlook.data.cohort import MONTHS
from secondlook.data.patient_table import patient_table
from secondlook.data.patients import check_patients
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction import reconstruct
from secondlook.data.table import survival_table
from secondlook.inference.checks import predictive_checks, tail_probability
from secondlook.inference.fitting import Fit
from secondlook.inference.imputations import Imputations
from secondlook.inference.replication import affordable, replicates
from secondlook.inference.statistics import patient_statistics, printed_statistics
from secondlook.models.priors import Prior

EDGES = (0.0, 20.0, 40.0, 60.0)
WEAK = Prior("weak", (0.0,), (1.0,))
DIMS = ("chain", "draw", "imputation")
ARMS = {"control": {"label": "A", "patients": 150}, "treatment": {"label": "B", "patients": 150}}


def record(**fields):
    return parse_record({"schema": 1, "id": "made-up", "title": "Made up", "arms": ARMS} | fields)


def known(hazards, model="piecewise", imputations=1):
    """A posterior that knows the hazards, shape ``(arm, interval)``: every draw is the same."""
    alpha, omega = np.log(hazards[0]), np.log(np.divide(hazards[1], hazards[0]))
    shape = (2, 50, imputations)
    found = {"alpha": alpha, "omega": omega - omega.mean()}
    variables = {name: ((*DIMS, "interval"), np.broadcast_to(one, (*shape, 3))) for name, one in found.items()}
    if model == "piecewise":
        del variables["omega"]
    variables["beta"] = (DIMS, np.full(shape, omega.mean()))
    return Fit(model, "", "", WEAK, xr.DataTree.from_dict({"posterior": xr.Dataset(variables)}), EDGES)


def monthly(rng, hazards, patients=150, imputations=1, censoring=0.004):
    """A realised trial by month with these hazards."""
    counts = np.zeros((3, imputations, 1, 2, 60))
    for place in np.ndindex(imputations, 1, 2):
        left = patients
        for month in range(60):
            rate = hazards[place[2]][month // 20]
            gone = rng.binomial(left, -np.expm1(-(rate + censoring)))
            dead = rng.binomial(gone, rate / (rate + censoring))
            counts[(slice(None), *place, month)] = dead, left - gone / 2, gone - dead
            left -= gone
    sizes = np.full((imputations, 1, 2), float(patients))
    return survival_table(*counts, sizes, np.arange(61.0), trial="made-up", source="patients", time_unit="months")


def test_the_tail_is_two_sided_counts_ties_and_honours_rounding():
    values = np.arange(1.0, 100.0)
    assert tail_probability(values, 50, 50) == 1
    assert tail_probability(values, 5, 5) == pytest.approx(2 * 6 / 100)
    assert tail_probability(values, 4.5, 5.5) == pytest.approx(2 * 6 / 100)
    assert tail_probability(values, 98, 98) == pytest.approx(2 * 3 / 100)
    assert tail_probability(values, 1000, 1000) == pytest.approx(2 / 100)
    assert tail_probability(np.append(values, [np.nan, np.inf]), 1000, 1000) == pytest.approx(2 * 2 / 101)


def test_simulated_trials_follow_the_hazards_and_the_censoring():
    hazards = np.array([[0.02, 0.03, 0.03], [0.01, 0.015, 0.015]])
    table = monthly(np.random.default_rng(1), hazards, patients=4000)
    (stack,) = replicates(known(hazards), table, number=800)
    for arm in (0, 1):
        alive = np.exp(-hazards[arm] @ [20, 20, 0])
        drawn = np.exp(-(stack.rate[:, 0, arm, :40]).sum(axis=-1))
        assert drawn.mean() == pytest.approx(alive, abs=0.002)
    ratios, errors = stack.cox(((0, 0),), ((0, 1),))
    assert ratios.mean() == pytest.approx(np.log(0.5), abs=0.005)
    assert ratios.std() == pytest.approx(errors.mean(), rel=0.08)
    censored = table.censored.sum("interval")[0, 0].to_numpy()
    np.testing.assert_allclose(stack.censored.sum(axis=-1).mean(axis=0)[0], censored, rtol=0.03)


def test_trials_are_shared_out_over_imputations_and_draws_and_come_in_stacks(monkeypatch):
    hazards = np.full((2, 3), 0.01)
    table = monthly(np.random.default_rng(1), hazards, imputations=3)
    table["patients"][:, 0, 0] = [10.0, 20.0, 30.0]
    fit = known(hazards, imputations=3)
    monkeypatch.setattr("secondlook.inference.replication.MOST_CELLS", 2 * 60 * 4)
    stacks = list(replicates(fit, table, number=10))
    assert [len(stack.deaths) for stack in stacks] == [4, 6]
    sizes = np.concatenate([stack.at_risk[:, 0, 0, 0] for stack in stacks])
    assert list(sizes) == [10.0] * 4 + [20.0] * 3 + [30.0] * 3


def test_fewer_trials_are_simulated_of_many_strata():
    table = monthly(np.random.default_rng(1), np.full((2, 3), 0.01))
    assert affordable(table, 4000) == 4000
    many = xr.concat([table] * 90, dim="stratum")
    assert affordable(many, 4000) == 12_000_000 // (2 * 90 * 60)
    assert affordable(xr.concat([many] * 9, dim="stratum"), 4000) == 400


def test_a_model_that_ends_before_the_table_ends_the_trials():
    table = monthly(np.random.default_rng(1), np.full((2, 3), 0.01))
    fit = known(np.full((2, 3), 0.01))
    short = Fit(fit.model, "", "", WEAK, fit.tree, (0.0, 10.5, 20.0, 40.0))
    (stack,) = replicates(short, table, number=5)
    assert stack.edges[-1] == 40
    assert stack.deaths.shape[-1] == 40


CROSSING = np.array([[0.02, 0.02, 0.02], [0.03, 0.012, 0.004]])


def checked(table, *fits):
    """Tail probabilities by model and item (those at one time apart)."""
    found = predictive_checks(record(), fits, {"": Imputations(table)}, (20, 60), number=800)
    return {model: rows.set_index("item")["tail_probability"] for model, rows in found.groupby("model")}


def test_one_hazard_ratio_for_all_times_cannot_hide_that_it_changes():
    """The proportional model knows the best single hazard ratio, the free one the truth."""
    table = monthly(np.random.default_rng(3), CROSSING)
    deaths, exposure = (
        table[name].to_numpy()[0, 0].reshape(2, 3, 20).sum(axis=-1) for name in ("deaths", "exposure")
    )
    ratio = (deaths[1].sum() / exposure[1].sum()) / (deaths[0].sum() / exposure[0].sum())
    baseline = deaths.sum(axis=0) / (exposure[0] + ratio * exposure[1])
    one = known(np.array([baseline, ratio * baseline]))
    found = checked(table, one, known(CROSSING, "nonproportional"))
    change = "landmark hazard ratio, 60 over 20"
    assert found["piecewise"][change] < 0.01
    assert found["nonproportional"][change] > 0.1
    assert found["piecewise"]["hazard_ratio"] > 0.3
    tails = {model: int((rows < 0.05).sum()) for model, rows in found.items()}
    assert tails["piecewise"] > tails["nonproportional"]


def test_tails_of_trials_that_the_model_made_are_what_they_say():
    """Forty trials of known hazards: their hazard ratios and survival fall into 20% tails about as often as that."""
    hazards, rng = np.array([[0.02, 0.03, 0.02], [0.012, 0.018, 0.012]]), np.random.default_rng(5)
    tables = [monthly(rng, hazards) for _ in range(40)]
    (stack,) = replicates(known(hazards), tables[0], number=2000)
    statistics = [patient_statistics(record(), table, (20, 40)) for table in tables]
    for item in ("hazard_ratio", "survival difference", "median"):
        mine = [next(one for one in own if one.item == item) for own in statistics]
        values = mine[0].of(stack)
        inside = sum(tail_probability(values, one.low, one.high) <= 0.2 for one in mine)
        assert binom.ppf(0.001, 40, 0.2) <= inside <= binom.ppf(0.999, 40, 0.2)


def test_the_p_value_at_a_landmark_is_lifelines():
    rows = load_gbsg2()
    source = {"file": "x.csv", "time": "time", "unit": "days", "event": "cens", "arm": "horTh"}
    gbsg2 = record(
        patients=source | {"control": "no", "treatment": "yes"},
        arms={"control": {"label": "A"}, "treatment": {"label": "B"}},
    )
    table = patient_table(check_patients(rows, gbsg2), gbsg2)
    found = {(one.item, one.time): one.value for one in patient_statistics(gbsg2, table, (36.0, 60.0))}
    arms = [rows[rows["horTh"] == arm] for arm in ("no", "yes")]
    for time in (36.0, 60.0):
        pairs = [part for arm in arms for part in (arm["time"] / MONTHS["days"], arm["cens"])]
        test = survival_difference_at_fixed_point_in_time_test(time, *_fitted(pairs))
        assert found["survival p", time] == pytest.approx(test.p_value, rel=0.05)


def _fitted(pairs):
    from lifelines import KaplanMeierFitter

    return [KaplanMeierFitter().fit(pairs[place], pairs[place + 1]) for place in (0, 2)]


@pytest.fixture(scope="module")
def rebuilt():
    return reconstruct(load_record("mf07-01"), imputations=1, seed=1)


def test_every_printed_number_of_the_whole_trial_is_there(rebuilt):
    trial = load_record("mf07-01")
    found = {(one.item, one.arm, one.time): one for one in printed_statistics(trial, rebuilt) if one.time == one.time}
    both = {(one.item, one.arm) for one in printed_statistics(trial, rebuilt)}
    assert {("deaths", "control"), ("hazard_ratio", ""), ("hazard_ratio lower", ""), ("hazard_ratio p", "")} <= both
    assert found["survival p", "", 36].printed == "0.10"
    assert found["survival", "treatment", 60].value == 0.416
    difference = found["survival difference", "", 60]
    assert difference.value == pytest.approx(0.172)
    assert (difference.low, difference.high) == pytest.approx((0.171, 0.173))
    ratio = found["landmark hazard ratio", "", 36]
    assert ratio.value == pytest.approx(np.log(0.60) / np.log(0.51))
    assert ratio.low == pytest.approx(np.log(0.605) / np.log(0.505))
    assert ratio.high == pytest.approx(np.log(0.595) / np.log(0.515))


def test_the_rebuilt_table_itself_reproduces_what_is_printed(rebuilt):
    """Read as a trial, the table gives p-values near the printed ones: 0.005 overall, 0.10 and 0.005 at landmarks."""
    trial = load_record("mf07-01")
    table = rebuilt.unknowns.table(rebuilt.mode)
    values = {
        (one.item, one.time): float(one.functional(table))
        for one in printed_statistics(trial, rebuilt)
        if " p" in one.item
    }
    overall = next(value for (item, _), value in values.items() if item == "hazard_ratio p")
    assert overall == pytest.approx(0.005, abs=0.001)
    assert values["survival p", 60.0] == pytest.approx(0.005, abs=0.0012)
    assert 0.09 < values["survival p", 36.0] < 0.18


def test_a_number_that_does_not_exist_has_no_tail_probability():
    assert np.isnan(tail_probability(np.arange(9.0), np.nan, np.nan))
    assert tail_probability(np.full(9, np.inf), np.inf, np.inf) == 1.0  # a median that nobody reaches is no outlier


def test_what_is_observed_with_a_common_end_is_kaplan_meier():
    """100 in each arm, 40 and 20 die before 12 months, to which all others are followed: 0.60 and 0.80 are alive."""
    times = np.linspace(0.3, 11.9, 40)
    deaths = [times, times[::2]]
    edges = np.arange(13.0)
    dead = np.array([np.histogram(each, edges)[0] for each in deaths], dtype=float)
    censored = np.zeros((2, 12))
    censored[:, -1] = 60, 80
    through = [
        np.clip(np.append(each, np.full(100 - each.size, 12.0))[:, None] - edges[:-1], 0, 1) for each in deaths
    ]
    exposure = np.array([each.sum(axis=0) for each in through])
    cells = (values[None, None] for values in (dead, exposure, censored))
    table = survival_table(*cells, np.full((1, 1, 2), 100.0), edges, trial="t", source="patients", time_unit="months")
    found = {(one.item, one.arm, one.time): one.value for one in patient_statistics(record(), table, [12.0])}
    assert found["survival", "control", 12.0] == pytest.approx(0.60, abs=0.003)
    assert found["survival", "treatment", 12.0] == pytest.approx(0.80, abs=0.003)
    assert found["survival p", "", 12.0] == pytest.approx(0.003, abs=0.0007)
