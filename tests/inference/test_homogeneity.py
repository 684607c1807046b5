"""Trials without heterogeneity: their effects, errors and correlations, and chances that are what they say."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import kstest

from secondlook.data import OVERALL
from secondlook.data.estimators import cox
from secondlook.data.subgroup import subgroup
from secondlook.data.table import edges, survival_table
from secondlook.inference.homogeneity import (
    HomogeneousTrials,
    _drawn,
    _population,
    common_log_hazard_ratio,
    deviation,
    homogeneous_effects,
    homogeneous_trials,
    separate,
)

MONTHS = np.arange(0.0, 91.0)
COMMON = np.log(0.7)
LEVELS = {"er": ["+", "-"], "her2": ["+", "-"], "age": ["young", "old"]}
RECEPTOR = {"er": ["+", "+", "-", "-"], "her2": ["-", "+", "+", "-"]}
HAZARD = np.array([0.02, 0.03, 0.05, 0.06])
CENSORING = 0.01
EVEN = [[90, 90], [60, 60], [45, 45], [60, 60]]
UNEVEN = [[70, 90], [25, 30], [17, 12], [24, 6]]


def where(**levels):
    return subgroup(levels, LEVELS)


CELLS = [where(er=er, her2=her2) for er, her2 in zip(*RECEPTOR.values(), strict=True)]


def stratified(deaths, exposure, censored, patients, factors):
    return survival_table(
        deaths[None],
        exposure[None],
        censored[None],
        patients[None],
        MONTHS,
        strata=[f"stratum {number}" for number in range(len(patients))],
        factors=factors,
        trial="made-up",
        source="published",
        time_unit="months",
    )


def expected_table(patients, hazard=HAZARD, factors=RECEPTOR, effect=COMMON):
    """The expected table of exponential arms; ``effect`` may differ by stratum."""
    patients = np.array(patients, dtype=float)
    effects = np.broadcast_to(effect, len(hazard))
    hazard = (hazard[:, None] * np.exp(effects[:, None] * [0, 1]))[..., None]
    exposure = -np.diff(patients[..., None] * np.exp(-(hazard + CENSORING) * MONTHS)) / (hazard + CENSORING)
    return stratified(hazard * exposure, exposure, CENSORING * exposure, patients, factors)


def realised(patients, rng, effect=COMMON):
    """Patients with exponential times to death and to censoring: their table, and the Cox fits of strata and all."""
    patients = np.array(patients)
    counts = np.zeros((3, *patients.shape, MONTHS.size - 1))
    rows = []
    for stratum, arm in np.ndindex(*patients.shape):
        size = patients[stratum, arm]
        death = rng.exponential(1 / (HAZARD[stratum] * np.exp(effect * arm)), size)
        end = np.minimum(rng.exponential(1 / CENSORING, size), MONTHS[-1] - 1e-9)
        time = np.minimum(death, end)
        within = np.clip(time[:, None] - MONTHS[:-1], 0, np.diff(MONTHS))
        counts[0, stratum, arm] = np.histogram(time[death <= end], MONTHS)[0]
        counts[1, stratum, arm] = within.sum(axis=0)
        counts[2, stratum, arm] = np.histogram(time[death > end], MONTHS)[0]
        rows.append(np.column_stack([time, death <= end, np.full(size, arm), np.full(size, stratum)]))
    everybody = np.concatenate(rows)
    fits = [cox_of_patients(everybody[everybody[:, 3] == stratum]) for stratum in range(len(patients))]
    return stratified(*counts, patients, RECEPTOR), np.array(fits).T, cox_of_patients(everybody)[0]


def cox_of_patients(rows):
    """The partial likelihood of patients (time, dead, arm): one term for each death, with those then at risk."""
    _, dead, arm = rows[np.argsort(rows[:, 0]), :3].T
    at_risk = [np.cumsum((arm == one)[::-1])[::-1].astype(float) for one in (0, 1)]
    deaths = [dead * (arm == one) for one in (0, 1)]
    return cox(np.array(deaths), np.array(at_risk))


def cox_of_strata(table, strata):
    chosen = table.isel(imputation=0, stratum=strata).sum("stratum")
    return cox(*(chosen[name].transpose("arm", "interval").to_numpy() for name in ("deaths", "exposure")))


@pytest.fixture(scope="module")
def even():
    table = expected_table(EVEN)
    return table, homogeneous_trials([table], [*CELLS, where(er="+")], COMMON, trials=3000, seed=2)


def test_strata_centre_at_the_common_effect_with_the_errors_of_a_cox_fit(even):
    table, simulated = even
    for stratum in range(4):
        drawn = simulated.log_hazard_ratio[:, stratum]
        _, error = cox_of_strata(table, [stratum])
        monte_carlo = drawn.std() / np.sqrt(drawn.size)
        assert drawn.mean() == pytest.approx(COMMON, abs=4 * monte_carlo + 0.01)
        assert drawn.std() == pytest.approx(error, rel=0.06)
        assert simulated.standard_error[:, stratum].mean() == pytest.approx(error, rel=0.03)


def test_patients_who_enter_late_are_at_risk_from_then_on():
    """Half of them enter in month 30: exponential person-time from 0 and from the next month on."""
    table = expected_table(np.array(EVEN) * 20)
    late = (table.patients * xr.DataArray(0.5 * (MONTHS[:-1] == 30), dims="interval")).transpose(*table.deaths.dims)
    population = _population([table.assign(entered=late)], 0, COMMON)
    _, exposure = _drawn(population, np.eye(4), COMMON, np.diff(MONTHS), 40, np.random.default_rng(4))
    for stratum, arm in np.ndindex(4, 2):
        rate = HAZARD[stratum] * np.exp(COMMON * arm) + CENSORING
        lived = -(np.expm1(-rate * MONTHS[-1]) + np.expm1(-rate * (MONTHS[-1] - 31))) / rate
        expected = EVEN[stratum][arm] * 20 * lived / 2
        assert exposure[:, stratum, arm].sum(axis=-1).mean() == pytest.approx(expected, rel=0.02)


def test_unions_of_strata_and_everybody_centre_at_their_cox_fits():
    """Prognosis is imbalanced: crude effects differ from the common one as they do in the table itself."""
    table = expected_table(UNEVEN)
    simulated = homogeneous_trials([table], [where(her2="-")], COMMON, trials=3000, seed=3)
    for drawn, strata in ((simulated.log_hazard_ratio[:, 0], [0, 3]), (simulated.overall, [0, 1, 2, 3])):
        estimate, error = cox_of_strata(table, strata)
        assert estimate < COMMON - 0.04
        assert drawn.mean() == pytest.approx(float(estimate), abs=4 * drawn.std() / np.sqrt(drawn.size) + 0.01)
        assert drawn.std() == pytest.approx(float(error), rel=0.06)


def test_a_subgroup_and_the_whole_share_their_patients(even):
    """Nested estimates have the covariance 1 / I of the larger, disjoint ones none."""
    _, simulated = even
    assert np.abs(np.corrcoef(simulated.log_hazard_ratio.T)[:4, :4] - np.eye(4)).max() < 0.07
    alike = expected_table(EVEN, hazard=np.full(4, 0.03))
    simulated = homogeneous_trials([alike], [where(er="+")], COMMON, trials=3000, seed=10)
    drawn = np.column_stack([simulated.log_hazard_ratio, simulated.overall])
    assert np.cov(drawn.T)[0, 1] == pytest.approx(drawn[:, 1].var(), rel=0.06)


def test_crossed_partitions_share_patients_as_independent_factors_do():
    receptor = expected_table(EVEN, hazard=np.full(4, 0.03))
    age = expected_table([[153, 153], [102, 102]], np.full(2, 0.03), {"age": ["young", "old"]})
    groups = [where(er="+"), where(age="young"), where(er="+", age="young")]
    simulated = homogeneous_trials([receptor, age], groups, COMMON, trials=3000, seed=4)
    covariance = np.cov(simulated.log_hazard_ratio.T)
    assert covariance[0, 1] == pytest.approx(simulated.overall.var(), rel=0.12)
    # the share of both is the product of the shares
    assert covariance[0, 0] / covariance[2, 2] == pytest.approx(0.6, abs=0.05)
    assert simulated.log_hazard_ratio.mean(axis=0) == pytest.approx([COMMON] * 3, abs=0.02)


def test_the_common_effect_is_recovered_whatever_the_imbalance():
    table = expected_table(UNEVEN)
    assert cox_of_strata(table, [0, 1, 2, 3])[0] < COMMON - 0.04
    assert common_log_hazard_ratio([table]) == pytest.approx(COMMON, abs=1e-6)


def test_imbalances_of_two_partitions_add_up():
    receptor = expected_table(UNEVEN)
    age = expected_table([[50, 90], [86, 48]], np.array([0.02, 0.04]), {"age": ["young", "old"]})
    changes = [common_log_hazard_ratio([one]) - cox_of_strata(one, slice(None))[0] for one in (receptor, age)]
    crude = cox_of_strata(receptor, slice(None))[0]
    assert common_log_hazard_ratio([receptor, age]) == pytest.approx(crude + sum(changes), abs=1e-9)


def test_chances_over_homogeneous_trials_are_uniform():
    """Each trial is judged by trials simulated from its own table, as a published one is."""
    rng = np.random.default_rng(20)
    distance, smallest = [], []
    truth = homogeneous_trials([expected_table(EVEN)], CELLS, COMMON, trials=2000, seed=1)
    for seed in range(200):
        table, (found, errors), overall = realised(EVEN, rng)
        own = homogeneous_trials([table], CELLS, common_log_hazard_ratio([table]), trials=100, seed=seed)
        distance.append(own.chance_deviation(deviation(found, errors, overall).max()))
        smallest.append(np.mean(truth.smallest <= found.min()))
    assert kstest(distance, "uniform").pvalue > 0.01
    assert kstest(smallest, "uniform").pvalue > 0.01


def test_a_trial_with_opposite_effects_is_hardly_ever_homogeneous():
    table = expected_table(EVEN, effect=np.array([-0.7, -0.7, 0.7, 0.7]))
    found, errors = np.array([cox_of_strata(table, [stratum]) for stratum in range(4)]).T
    overall = cox_of_strata(table, slice(None))[0]
    simulated = homogeneous_trials([table], CELLS, common_log_hazard_ratio([table]), trials=2000, seed=5)
    assert simulated.chance_deviation(deviation(found, errors, overall).max()) < 0.005
    assert simulated.chance_largest(found.max()) < 0.02


def made_up(log_ratios, errors, overall):
    groups = (where(er="+"), where(er="-"))
    return HomogeneousTrials(groups, np.array(log_ratios), np.array(errors), np.array(overall), "table")


def test_statistics_of_made_up_trials():
    nan, inf = np.nan, np.inf
    simulated = made_up(
        [[-1.0, 0.5], [-inf, -0.2], [nan, 0.1], [-0.6, inf]],
        [[0.5, 0.25], [inf, 0.05], [inf, 0.2], [0.2, inf]],
        [-0.5, -0.3, 0.1, -0.5],
    )
    np.testing.assert_array_equal(simulated.smallest, [-1.0, -inf, 0.1, -0.6])
    np.testing.assert_array_equal(simulated.largest, [0.5, -0.2, 0.1, inf])
    np.testing.assert_allclose(simulated.largest_deviation, [4.0, 2.0, 0.0, 0.5])
    np.testing.assert_array_equal(simulated.benefits, [1, 1, 0, 1])
    # the median overall effect is -0.4: -0.6 is low, -0.2 is high
    assert simulated.chance_own(where(er="+"), -0.6) == pytest.approx(4 / 5)  # -1, -inf, -0.6
    assert simulated.chance_own(where(er="-"), -0.2) == pytest.approx(5 / 5)
    assert simulated.chance_largest(-0.7) == pytest.approx(3 / 5)
    assert simulated.chance_largest(0.3) == pytest.approx(3 / 5)
    assert simulated.chance_deviation(1.9) == pytest.approx(3 / 5)


def test_subgroups_of_a_handful_of_patients_do_no_harm():
    """Without deaths in an arm there is no estimate: infinite, or not a number; never a warning."""
    table = expected_table([[40, 40], [30, 30], [2, 2], [1, 0]])
    simulated = homogeneous_trials([table], CELLS, COMMON, trials=1000, seed=6)
    third, fourth = simulated.log_hazard_ratio[:, 2], simulated.log_hazard_ratio[:, 3]
    assert {-np.inf, np.inf} < set(third)
    assert np.isnan(third).any()
    assert not np.isfinite(fourth).any()
    estimated = np.isfinite(simulated.log_hazard_ratio)
    np.testing.assert_array_equal(estimated, np.isfinite(simulated.standard_error))
    assert np.abs(simulated.log_hazard_ratio[estimated]).max() < 6
    assert np.isfinite(simulated.largest_deviation).all()


def test_nobody_is_followed_up_beyond_the_end_of_follow_up():
    """Where exposure is nil everybody has gone: no deaths there, and the same errors as without those months."""
    table = expected_table(EVEN)
    ended = table.assign(
        {name: table[name].where(table.stop <= 40, 0.0) for name in ("deaths", "exposure", "censored")}
    )
    simulated = homogeneous_trials([ended], CELLS[:1], COMMON, trials=500, seed=7)
    _, error = cox_of_strata(table.sel(interval=table.stop <= 40), [0])
    assert simulated.standard_error.mean() == pytest.approx(float(error), rel=0.03)
    assert edges(ended)[-1] == 90


def test_same_seed_same_trials_over_all_imputations():
    table = expected_table(EVEN)
    small = table.assign({name: values / 4 for name, values in table.data_vars.items()})
    both = xr.concat([table, small], dim="imputation")
    first, again = (homogeneous_trials([both], CELLS, COMMON, trials=101, seed=8) for _ in range(2))
    np.testing.assert_array_equal(first.log_hazard_ratio, again.log_hazard_ratio)
    assert first.log_hazard_ratio.shape == (101, 4)
    large, quarter = first.standard_error[:51, 0].mean(), first.standard_error[51:, 0].mean()
    assert quarter / large == pytest.approx(2, rel=0.08)


def test_tables_that_share_a_factor_are_not_crossed():
    receptor, er = expected_table(EVEN), expected_table([[150, 150], [105, 105]], HAZARD[:2], {"er": ["+", "-"]})
    age = expected_table([[150, 150], [105, 105]], HAZARD[:2], {"age": ["young", "old"]})
    whole = expected_table([[255, 255]], HAZARD[:1], {})
    assert [
        one.identical(two) for one, two in zip(separate([whole, receptor, er, age]), [receptor, age], strict=True)
    ]
    with pytest.raises(ValueError, match="every table must have a stratum coordinate per factor"):
        homogeneous_trials([whole], [], COMMON)
    with pytest.raises(ValueError, match=r"age=young: the strata have no factor age"):
        homogeneous_trials([receptor], [where(age="young")], COMMON, trials=1)


def test_effects_from_printed_errors_have_the_covariance_of_shared_patients():
    errors = {where(er="+"): 0.2, where(er="-"): 0.3, where(er="+", her2="+"): 0.4, where(age="young"): 0.25}
    simulated = homogeneous_effects(errors, 0.16, COMMON, trials=60000, seed=9)
    drawn = np.column_stack([simulated.log_hazard_ratio, simulated.overall])
    covariance = np.cov(drawn.T)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), [0.2, 0.3, 0.4, 0.25, 0.16], rtol=0.03)
    assert drawn.mean(axis=0) == pytest.approx([COMMON] * 5, abs=0.008)
    assert covariance[0, 1] == pytest.approx(0, abs=0.002)  # disjoint
    assert covariance[0, 2] == pytest.approx(0.04, rel=0.1)  # nested
    assert covariance[0, 3] == pytest.approx(0.0256, rel=0.1)  # independent factors
    assert covariance[3, 4] == pytest.approx(0.0256, rel=0.1)  # within everybody
    assert simulated.source == "printed"
    assert OVERALL not in simulated.subgroups
