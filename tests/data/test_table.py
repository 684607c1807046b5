"""The survival table: sums that must be kept, whole patients that follow it, and refusals."""

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from secondlook.data.table import edges, interval_edges, patient_rows, pooled, regroup, survival_table

EDGES = np.arange(0.0, 61.0)
RATES = np.array([[0.03, 0.02], [0.01, 0.015]])  # stratum, arm: deaths per month
CENSORING = 0.01


def exponential_cells(patients):
    """Deaths, person-time and censored of exponential arms, in closed form."""
    rates = RATES[..., None]
    at_risk = patients[..., None] * np.exp(-(rates + CENSORING) * EDGES)
    exposure = -np.diff(at_risk) / (rates + CENSORING)
    censored = CENSORING * exposure
    censored[..., -1] += at_risk[..., -1]
    return rates * exposure, exposure, censored


@pytest.fixture
def table():
    patients = np.array([[120.0, 100.0], [60.0, 75.0]])
    cells = [np.stack([values, 0.9 * values]) for values in (*exponential_cells(patients), patients)]
    return survival_table(
        *cells,
        EDGES,
        strata=["er=+", "er=-"],
        factors={"er": ["+", "-"]},
        trial="made-up",
        source="published",
        time_unit="months",
        partition="er",
    )


def one_arm_pair(deaths, exposure, censored, patients, bounds):
    return survival_table(
        np.asarray(deaths)[None, None],
        np.asarray(exposure)[None, None],
        np.asarray(censored)[None, None],
        np.asarray(patients)[None, None],
        bounds,
        trial="made-up",
        source="patients",
        time_unit="months",
    )


def test_regrouping_keeps_every_death_and_all_person_time(table):
    new = regroup(table, [0, 5.5, 6.25, 30, 60])
    for name in ("deaths", "exposure", "censored"):
        np.testing.assert_allclose(new[name].sum("interval"), table[name].sum("interval"), rtol=1e-13)
    np.testing.assert_array_equal(new.patients, table.patients)
    np.testing.assert_array_equal(edges(new), [0, 5.5, 6.25, 30, 60])
    assert new.attrs == table.attrs


def test_regrouping_onto_its_own_edges_changes_nothing(table):
    same = regroup(table, EDGES)
    for name in table.data_vars:
        np.testing.assert_allclose(same[name], table[name], rtol=1e-14)


def test_regrouping_shares_a_cut_interval_by_length(table):
    new = regroup(table, [0, 2.25, 60])
    expected = table.deaths[..., 0] + table.deaths[..., 1] + 0.25 * table.deaths[..., 2]
    np.testing.assert_allclose(new.deaths[..., 0], expected, rtol=1e-14)


def test_regrouping_drops_what_lies_beyond_and_leaves_empty_what_is_not_there(table):
    np.testing.assert_allclose(regroup(table, [0, 24]).deaths[..., 0], table.deaths[..., :24].sum("interval"))
    longer = regroup(table, [0, 60, 72])
    np.testing.assert_array_equal(longer.exposure[..., 1], 0)
    np.testing.assert_allclose(longer.deaths[..., 0], table.deaths.sum("interval"))


def test_regrouping_twice_is_regrouping_once(table):
    step = regroup(regroup(table, np.arange(0, 61, 3.0)), [0, 12, 36, 60])
    np.testing.assert_allclose(step.deaths, regroup(table, [0, 12, 36, 60]).deaths, rtol=1e-13)


def test_pooling_adds_up_the_strata(table):
    whole = pooled(table)
    np.testing.assert_array_equal(whole.stratum, ["overall"])
    for name in table.data_vars:
        np.testing.assert_allclose(whole[name].isel(stratum=0), table[name].sum("stratum"))
    assert whole.deaths.dims == table.deaths.dims
    assert (whole.attrs["partition"], whole.attrs["trial"]) == ("", "made-up")
    assert "er" not in whole.coords


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (24.0, [0, 6, 12, 18, 24]),
        (27.0, [0, 6, 12, 18, 24, 27]),  # half a width is kept
        (26.9, [0, 6, 12, 18, 26.9]),  # less is merged with the interval before
        (5.0, [0, 5]),
        (2.0, [0, 2]),
    ],
)
def test_interval_edges_end_where_they_must(end, expected):
    np.testing.assert_allclose(interval_edges(end, 6.0), expected)


def test_patient_rows_are_whole_patients(table):
    rows = patient_rows(table, 1)
    cell = table.isel(imputation=1)
    for stratum in ("er=+", "er=-"):
        for arm in ("control", "treatment"):
            chosen = rows[(rows.stratum == stratum) & (rows.arm == arm)]
            here = cell.sel(stratum=stratum, arm=arm)
            assert len(chosen) == round(float(here.patients))
            assert chosen.event.sum() == round(float(here.deaths.sum()))
            assert chosen.time.between(0, 60).all()


def test_patient_rows_of_one_stratum_name_no_stratum(table):
    assert list(patient_rows(pooled(table)).columns) == ["time", "event", "arm"]


def test_kaplan_meier_of_the_rows_follows_the_table(table):
    """Within one patient of those at risk: half for where a death falls, half for the totals rounded to whole."""
    rows = patient_rows(table)
    for index in np.ndindex(2, 2):
        stratum, arm = table.stratum.values[index[0]], table.arm.values[index[1]]
        chosen = rows[(rows.stratum == stratum) & (rows.arm == arm)]
        curve = KaplanMeierFitter().fit(chosen.time, chosen.event)
        for time in (6, 12, 24, 36, 48):
            expected = np.exp(-RATES[index] * time)
            at_risk = float(table.patients[0, index[0], index[1]]) * np.exp(-(RATES[index] + CENSORING) * time)
            assert curve.predict(time) == pytest.approx(expected, abs=expected / at_risk)


def test_deaths_of_the_rows_are_never_off_by_more_than_half_a_patient(table):
    rows = patient_rows(table)
    for stratum, arm in np.ndindex(2, 2):
        names = table.stratum.values[stratum], table.arm.values[arm]
        died = rows[(rows.stratum == names[0]) & (rows.arm == names[1]) & (rows.event == 1)].time.to_numpy()
        cumulative = np.cumsum(table.deaths[0, stratum, arm])
        share = died.size / float(cumulative[-1])  # the total itself is rounded to whole deaths
        counted = (died[:, None] <= EDGES[1:]).sum(axis=0)
        assert np.abs(counted - share * cumulative).max() <= 0.5 + 1e-9


def test_rows_without_deaths_are_all_censored_at_the_end():
    made = one_arm_pair([[0, 0], [0, 0]], [[20, 20], [20, 20]], [[0, 0], [0, 2]], [2, 2], [0, 10, 20])
    rows = patient_rows(made)
    assert (rows.event == 0).all() and len(rows) == 4
    np.testing.assert_array_equal(rows[rows.arm == "control"].time, [20, 20])
    np.testing.assert_array_equal(rows[rows.arm == "treatment"].time, [12.5, 17.5])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
@pytest.mark.parametrize("name", ["deaths", "exposure", "censored", "patients"])
def test_numbers_that_are_negative_or_not_finite_are_refused(name, value):
    cells = {"deaths": [[1.0], [1.0]], "exposure": [[9.0], [9.0]], "censored": [[1.0], [1.0]], "patients": [2.0, 2.0]}
    cells[name] = np.asarray(cells[name]).copy()
    cells[name].flat[0] = value
    with pytest.raises(ValueError, match=f"survival table: {name} must be finite and not negative"):
        one_arm_pair(*cells.values(), [0, 10])


def test_deaths_without_exposure_are_refused():
    with pytest.raises(ValueError, match="survival table: a cell has deaths but no exposure"):
        one_arm_pair([[1.0], [1.0]], [[9.0], [0.0]], [[1.0], [1.0]], [2.0, 2.0], [0, 10])
