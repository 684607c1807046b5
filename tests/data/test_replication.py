"""Simulated trials: closed forms of what is simulated, and lifelines on patients read as a replicate is."""

import numpy as np
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from lifelines.datasets import load_gbsg2

from secondlook.data import cohort as measure
from secondlook.data.cohort import MONTHS
from secondlook.data.patient_table import patient_table
from secondlook.data.patients import check_patients
from secondlook.data.reading import parse_record
from secondlook.data.replication import observed_table, replicated_table

EDGES = np.arange(0.0, 61.0)
TRIALS, HAZARD, CENSORING = 2000, 0.03, 0.01
CONTROL, TREATMENT = ((0, 0),), ((0, 1),)


def simulated(censoring, patients=(100.0, 80.5)):
    shape = (TRIALS, 1, 2)
    dying = np.full((*shape, 60), HAZARD)
    return replicated_table(
        np.broadcast_to(np.array(patients), shape),
        dying,
        np.full((1, 1, 2, 60), censoring),
        EDGES,
        np.random.default_rng(1),
    )


def test_dead_and_censored_are_as_many_as_their_rates_say():
    table = simulated(CENSORING)
    share = -np.expm1(-(HAZARD + CENSORING) * 60)
    for values, rate in ((table.deaths, HAZARD), (table.censored, CENSORING)):
        expected = 100 * share * rate / (HAZARD + CENSORING)
        sums = values[:, 0, 0].sum(axis=-1)
        assert sums.mean() == pytest.approx(expected, abs=4 * sums.std() / np.sqrt(TRIALS))
        assert sums.std() == pytest.approx(np.sqrt(expected * (1 - expected / 100)), rel=0.07)


def test_half_a_patient_is_one_in_every_other_trial():
    patients = simulated(0.0).at_risk[:, 0, 1, 0]
    assert set(patients) == {80.0, 81.0}
    assert patients.mean() == pytest.approx(80.5, abs=0.05)


def test_without_censoring_survival_is_the_fraction_alive_and_greenwood_the_binomial_variance():
    group = simulated(0.0).cohort(CONTROL)
    for time in (12, 36):
        alive = group.at_risk[:, time] / group.at_risk[:, 0]
        np.testing.assert_allclose(measure.survival(group, time), alive, rtol=1e-12)
        np.testing.assert_allclose(measure.greenwood(group, time), (1 - alive) / (100 * alive), rtol=1e-9)


def test_numbers_exist_where_nobody_is_left():
    table = replicated_table(
        np.full((50, 1, 2), 3.0),
        np.full((50, 1, 2, 60), 0.2),
        np.full((1, 1, 2, 60), np.inf),
        EDGES,
        np.random.default_rng(1),
    )
    assert (table.deaths == 0).all()
    assert (table.censored[..., 0] == 3).all()
    assert np.isfinite(measure.survival(table.cohort(CONTROL), 36)).all()
    log_ratio, error = table.cox(CONTROL, TREATMENT)
    assert np.isnan(log_ratio).all()
    assert np.isinf(error).all()


@pytest.fixture(scope="module")
def gbsg2():
    """Patients, and their table, with time in months."""
    arms = {"control": {"label": "none"}, "treatment": {"label": "hormones"}}
    source = {"file": "x.csv", "time": "time", "unit": "days", "event": "cens", "arm": "horTh"}
    record = parse_record(
        {
            "schema": 1,
            "id": "g",
            "title": "G",
            "arms": arms,
            "patients": source | {"control": "no", "treatment": "yes"},
        }
    )
    rows = load_gbsg2()
    table = patient_table(check_patients(rows, record), record)
    return rows.assign(months=rows["time"] / MONTHS["days"], treated=rows["horTh"].eq("yes")), observed_table(table)


def test_patients_are_read_as_lifelines_does(gbsg2):
    rows, table = gbsg2
    cox = (
        CoxPHFitter().fit(rows[["months", "cens", "treated"]].astype(float), "months", "cens").summary.loc["treated"]
    )
    log_ratio, error = table.cox(CONTROL, TREATMENT)
    assert log_ratio[0] == pytest.approx(cox["coef"], abs=0.002)
    assert error[0] == pytest.approx(cox["se(coef)"], abs=0.0005)
    for cells, treated in ((CONTROL, False), (TREATMENT, True)):
        arm = rows[rows["treated"] == treated]
        fitted = KaplanMeierFitter().fit(arm["months"], arm["cens"])
        group = table.cohort(cells)
        for time in (36, 60):
            assert measure.survival(group, time)[0] == pytest.approx(fitted.predict(time), abs=0.002)
        assert measure.median_survival(group)[0] == pytest.approx(fitted.median_survival_time_, abs=0.7)
