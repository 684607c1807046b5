"""Hierarchical model of strata: against quadrature, closed forms, and the diagnostics gate under every shrinkage."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from lifelines import CoxPHFitter
from scipy import stats

from secondlook.data import InputError
from secondlook.data.patient_table import patient_table
from secondlook.data.patients import check_patients
from secondlook.data.reading import parse_record
from secondlook.data.table import regroup, survival_table
from secondlook.inference.options import Options
from secondlook.inference.sampling import sample
from secondlook.inference.standardised import stratum_rates
from secondlook.inference.tasks import OF_STRATA
from secondlook.models.piecewise import log_time
from secondlook.models.priors import Prior
from secondlook.models.shrinkage import SHRINKAGES, ShrinkageForm
from secondlook.models.subgroups import one_factor, several_factors, subgroup_data, subgroups

WEAK = Prior("weak", (0.0,), (1.0,))
EDGES = np.array([0.0, 12.0, 24.0, 48.0])
PROGNOSIS = np.array([1.0, 1.3, 0.8, 2.0])


def table(log_ratios, patients, rate=0.02, noise=None):
    """Strata with proportional hazards between them and between arms, expected deaths unless noise is given."""
    strata = len(log_ratios)
    rates = rate * PROGNOSIS[:strata, None] * np.exp(np.stack([np.zeros(strata), log_ratios], axis=1))
    sizes = np.broadcast_to(np.asarray(patients, dtype=float)[:, None], (strata, 2))
    at_risk = sizes[..., None] * np.exp(-(rates[..., None] + 0.01) * EDGES)
    exposure = -np.diff(at_risk) / (rates[..., None] + 0.01)
    deaths = rates[..., None] * exposure
    if noise is not None:
        deaths = noise.poisson(deaths).astype(float)
    cells = (deaths[None], exposure[None], 0 * deaths[None], sizes[None])
    keys = [f"er={level}" for level in "abcd"[:strata]]
    return survival_table(*cells, EDGES, strata=keys, trial="t", source="patients", time_unit="months")


LARGE = table([-0.6, -0.3, 0.1, -0.2], [3000, 2000, 1500, 1000])
SMALL = table([-0.7, -0.4, 0.7, -0.4], [30, 75, 12, 17], noise=np.random.default_rng(4))


@pytest.fixture(scope="module")
def draws(compiled):
    """Return posterior and statistics of a table under some form of shrinkage; one graph of four strata."""

    def run(made, name="half-normal", prior=WEAK, options=None):
        graph = compiled("four strata", subgroups(LARGE, WEAK))
        data = subgroup_data(made, 0, ShrinkageForm(name), strata=4) | {"prior": prior.padded()}
        return sample(graph, data, options or Options(draws=800), 0, OF_STRATA)

    return run


def closed_form(made):
    """Each stratum's log rate ratio and its standard error (proportional hazards, a rate per interval)."""
    deaths, exposure = made.deaths[0].to_numpy(), made.exposure[0].to_numpy()
    ratio = np.log(deaths.sum(2)[:, 1] / exposure.sum(2)[:, 1]) - np.log(deaths.sum(2)[:, 0] / exposure.sum(2)[:, 0])
    return ratio, np.sqrt((1 / deaths.sum(2)).sum(axis=1))


def quadrature(estimates, errors, tau_scale):
    """Mean and SD of beta and mean of tau: normal effects with a normal prior, on a grid."""
    beta, tau = np.linspace(-1.5, 1.0, 501)[:, None], np.linspace(1e-4, 1.5, 600)
    log_density = stats.norm.logpdf(beta) + stats.halfnorm.logpdf(tau, scale=tau_scale)
    for estimate, error in zip(estimates, errors, strict=True):
        log_density = log_density + stats.norm.logpdf(estimate, beta, np.hypot(error, tau))
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = (weight * beta).sum()
    return mean, np.sqrt((weight * (beta - mean) ** 2).sum()), (weight * tau).sum()


def test_half_normal_agrees_with_the_exact_normal_hierarchy(draws):
    posterior, _ = draws(LARGE, options=Options(draws=3000))
    mean, sd, tau = quadrature(*closed_form(LARGE), 0.25)
    assert float(posterior["beta"].mean()) == pytest.approx(mean, abs=0.01)
    assert float(posterior["beta"].std()) == pytest.approx(sd, rel=0.05)
    assert float(posterior["tau"].mean()) == pytest.approx(tau, rel=0.04)


def test_without_pooling_each_stratum_has_its_closed_form(draws):
    posterior, _ = draws(LARGE, "none")
    effects = (posterior["beta"] + posterior["delta"]).transpose("stratum", "chain", "draw").to_numpy()
    estimates, errors = closed_form(LARGE)
    np.testing.assert_allclose(effects.mean(axis=(1, 2)), estimates, atol=0.15 * errors.min())
    np.testing.assert_allclose(effects.std(axis=(1, 2)), errors, rtol=0.05)
    np.testing.assert_allclose(posterior["delta"].sum("stratum"), 0, atol=1e-9)  # beta is their average


def test_pooled_strata_have_one_effect(draws):
    posterior, _ = draws(LARGE, "pooled")
    assert np.abs(posterior["delta"]).max() == 0
    estimates, errors = closed_form(LARGE)
    weights = errors**-2 / (errors**-2).sum()
    assert float(posterior["beta"].mean()) == pytest.approx(weights @ estimates, abs=0.01)
    assert float(posterior["beta"].std()) == pytest.approx((errors**-2).sum() ** -0.5, rel=0.06)


def test_prognosis_is_found_and_centred(draws):
    posterior, _ = draws(LARGE)
    shares = (LARGE.patients[0].sum("arm") / LARGE.patients[0].sum()).to_numpy()
    gamma = posterior["gamma"].mean(("chain", "draw")).to_numpy()
    expected = np.log(PROGNOSIS) - shares @ np.log(PROGNOSIS)
    np.testing.assert_allclose(gamma, expected, atol=0.08)
    for name in ("gamma", "kappa"):
        values = posterior[name].transpose("chain", "draw", "stratum").to_numpy()
        np.testing.assert_allclose(values @ shares, 0, atol=1e-9)


def test_empty_strata_change_nothing(draws):
    """Three strata in a graph of four, against the same three with the fourth cut off the likelihood by hand."""
    three = LARGE.isel(stratum=[0, 1, 2])
    posterior, _ = draws(three)
    mean, sd, tau = quadrature(*closed_form(three), 0.25)
    assert float(posterior["beta"].mean()) == pytest.approx(mean, abs=0.02)
    assert float(posterior["beta"].std()) == pytest.approx(sd, rel=0.1)
    assert float(posterior["tau"].mean()) == pytest.approx(tau, rel=0.1)


@pytest.mark.parametrize("name", SHRINKAGES)
def test_the_gate_is_green_under_every_shrinkage(draws, name):
    """About 150 deaths, the smallest stratum with 24 patients: no divergences, chains agree, enough draws."""
    posterior, statistics = draws(SMALL, name, options=Options())
    assert int(statistics["diverging"].sum()) == 0
    effects = (posterior["beta"] + posterior["delta"]).transpose("stratum", "chain", "draw").to_numpy()
    assert array_stats.rhat(effects, chain_axis=-2, draw_axis=-1).max() <= 1.01
    assert array_stats.ess(effects, chain_axis=-2, draw_axis=-1).min() >= 1000


def test_shrunken_effects_lie_between_raw_and_pooled(draws):
    middle = {
        name: np.sort((post["beta"] + post["delta"]).median(("chain", "draw")).to_numpy())
        for name in ("none", "half-normal", "half-student-t", "horseshoe", "pooled")
        for post in [draws(SMALL, name)[0]]
    }
    spread = {name: values[-1] - values[0] for name, values in middle.items()}
    assert spread["pooled"] == pytest.approx(0, abs=1e-9)
    for name in ("half-normal", "half-student-t", "horseshoe"):
        assert 0.02 < spread[name] < 0.8 * spread["none"]


def test_unknown_forms_are_refused():
    with pytest.raises(
        InputError, match="--shrinkage: lasso: not a form of shrinkage; give one of half-normal, half"
    ):
        ShrinkageForm("lasso")
    assert [ShrinkageForm(name).has_tau for name in SHRINKAGES] == [True, True, True, False, False]


# --- several factors


def crossed_trial(number=6000, seed=5):
    """Return patients whose factors act on hazard and effect side by side, and the true effects of their levels."""
    rng = np.random.default_rng(seed)
    sex, stage, arm = rng.integers(0, 2, number), rng.integers(0, 3, number), rng.integers(0, 2, number)
    effects = {"sex": np.array([-0.3, 0.1]), "stage": np.array([-0.4, -0.1, 0.2])}
    log_rate = np.log(0.03) + np.array([0.0, 0.5])[sex] + np.array([0.0, 0.4, 0.9])[stage]
    log_rate = log_rate + arm * (effects["sex"][sex] + effects["stage"][stage])
    death, end = rng.exponential(np.exp(-log_rate)), rng.uniform(20, 48, number)
    frame = pd.DataFrame({"time": np.minimum(death, end), "died": 1 * (death <= end), "arm": arm})
    return frame.assign(sex=np.array(["f", "m"])[sex], stage=np.array(["1", "2", "3"])[stage]), effects


CROSSED = {
    "schema": 1,
    "id": "crossed",
    "title": "t",
    "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
    "factors": {
        "sex": {"label": "Sex", "levels": ["f", "m"]},
        "stage": {"label": "Stage", "levels": ["1", "2", "3"]},
    },
    "patients": {"time": "time", "unit": "months", "event": "died", "arm": "arm", "control": "0", "treatment": "1"}
    | {"factors": ["sex", "stage"]},
}


@pytest.fixture(scope="module")
def crossed(compile_once):
    """Return the trial's rows, and draws of the levels' effects under some form of shrinkage, from one graph."""
    frame, truth = crossed_trial()
    trial = parse_record(CROSSED)
    made = regroup(patient_table(check_patients(frame, trial), trial, "sex,stage"), [0, 12, 24, 48])
    levels = [made[name].to_numpy() for name in ("sex", "stage")]
    patients = made.patients[0].sum("arm").to_numpy()

    @cache
    def run(name):
        form = ShrinkageForm(name)
        division = several_factors(levels, patients, form)
        graph = compile_once(subgroups(made, WEAK, form, division=division))
        data = subgroup_data(made, 0, form, division=division) | {"prior": WEAK.padded()}
        posterior, statistics = sample(graph, data, Options(draws=400), 0, OF_STRATA)
        assert int(statistics["diverging"].sum()) == 0
        cells = (posterior["beta"] + posterior["delta"]).transpose("stratum", "chain", "draw").to_numpy()
        return posterior, cells

    return frame, made, truth, run


def test_factors_without_pooling_agree_with_a_cox_fit_of_the_patients(crossed):
    """Differences between levels: the partial likelihood's interactions, another program's, from the patients."""
    frame, made, _, run = crossed
    _, cells = run("none")
    rows = frame[["time", "died", "arm"]].assign(male=frame.sex.eq("m") * 1.0)
    rows = rows.assign(**{f"stage{level}": frame.stage.eq(level) * 1.0 for level in "23"})
    for name in ("male", "stage2", "stage3"):
        rows[f"{name} treated"] = rows[name] * rows["arm"]
    cox = CoxPHFitter().fit(rows, "time", "died").summary
    keys = made.stratum.to_numpy().tolist()
    others = {"male": ("sex=m,stage=1", 0.4), "stage2": ("sex=f,stage=2", 0.3), "stage3": ("sex=f,stage=3", 0.6)}
    for name, (key, expected) in others.items():
        ours = cells[keys.index(key)] - cells[keys.index("sex=f,stage=1")]
        theirs, error = cox.loc[f"{name} treated", ["coef", "se(coef)"]]
        assert ours.mean() == pytest.approx(theirs, abs=0.25 * error)
        assert ours.std() == pytest.approx(error, rel=0.07)
        assert ours.mean() == pytest.approx(expected, abs=3 * error)
    reference = cells[keys.index("sex=f,stage=1")]
    assert reference.mean() == pytest.approx(cox.loc["arm", "coef"], abs=0.25 * cox.loc["arm", "se(coef)"])


@pytest.mark.parametrize("name", ["half-normal", "horseshoe", "pooled"])
def test_effects_of_factors_add_up_and_are_found_under_every_shrinkage(crossed, name):
    _, made, truth, run = crossed
    posterior, cells = run(name)
    by_cell = {key: cells[place] for place, key in enumerate(made.stratum.to_numpy().tolist())}
    first = by_cell["sex=f,stage=1"] - by_cell["sex=m,stage=1"]
    np.testing.assert_allclose(first, by_cell["sex=f,stage=3"] - by_cell["sex=m,stage=3"], atol=1e-9)
    assert array_stats.rhat(cells, chain_axis=-2, draw_axis=-1).max() <= 1.02
    if name == "pooled":
        assert np.ptp(cells.mean(axis=(1, 2))) == pytest.approx(0, abs=1e-9)
        return
    for key, values in by_cell.items():
        sex, stage = (part[-1] for part in key.split(","))
        expected = truth["sex"]["fm".index(sex)] + truth["stage"]["123".index(stage)]
        assert values.mean() == pytest.approx(expected, abs=3 * values.std())
    assert posterior["tau"].dims[-1] == "scale"


@pytest.mark.parametrize("name", SHRINKAGES)
def test_one_factor_is_a_partition(name):
    patients = np.array([60.0, 150.0, 24.0])
    ours = several_factors([np.array(["a", "b", "c"])], patients, ShrinkageForm(name))
    theirs = one_factor(patients, ShrinkageForm(name))
    for part in ("prognosis", "effects", "scales"):
        np.testing.assert_allclose(getattr(ours, part), getattr(theirs, part), atol=1e-12)


def test_prognosis_of_each_factor_is_centred_at_the_patients(crossed):
    _, made, _, run = crossed
    shares = made.patients[0].sum("arm").to_numpy() / 6000
    posterior, _ = run("half-normal")
    gamma = posterior["gamma"].transpose("chain", "draw", "stratum").to_numpy()
    np.testing.assert_allclose(gamma @ shares, 0, atol=1e-9)
    by_cell = dict(zip(made.stratum.to_numpy().tolist(), gamma.mean(axis=(0, 1)), strict=True))
    assert by_cell["sex=m,stage=3"] - by_cell["sex=m,stage=1"] == pytest.approx(0.9, abs=0.15)


# --- a baseline for each level of a factor


@pytest.fixture(scope="module")
def stratified(compile_once):
    """Return patients whose hazard rises in one stage and falls in the others, their table, and a posterior."""
    frame, _ = crossed_trial(4000, seed=8)
    rng = np.random.default_rng(9)
    shape = np.array([2.0, 0.7, 0.5])[frame.stage.astype(int) - 1]
    log_ratio = np.where(frame.sex.eq("m"), 0.5, 0.0) - 0.3 * frame.arm
    death = 30 * (rng.exponential(size=len(frame)) * np.exp(-log_ratio)) ** (1 / shape)
    end = rng.uniform(20, 48, len(frame))
    frame = frame.assign(time=np.minimum(death, end), died=1 * (death <= end))
    trial = parse_record(CROSSED)
    edges = np.arange(0, 49, 6)
    made = regroup(patient_table(check_patients(frame, trial), trial, "sex,stage"), edges)
    levels = [made[name].to_numpy() for name in ("sex", "stage")]
    form = ShrinkageForm("pooled")
    division = several_factors(levels, made.patients[0].sum("arm").to_numpy(), form, stratified=1)
    graph = compile_once(subgroups(made, WEAK, form, division=division))
    data = subgroup_data(made, 0, form, division=division) | {"prior": WEAK.padded()}
    posterior, statistics = sample(graph, data, Options(draws=500), 0, OF_STRATA)
    assert int(statistics["diverging"].sum()) == 0
    return frame, made, posterior


def test_a_stratified_baseline_agrees_with_a_stratified_cox_fit(stratified):
    frame, _, posterior = stratified
    rows = frame[["time", "died", "arm", "stage"]].assign(male=frame.sex.eq("m") * 1.0)
    cox = CoxPHFitter().fit(rows, "time", "died", strata="stage").summary.loc["arm"]
    assert float(posterior["beta"].mean()) == pytest.approx(cox["coef"], abs=0.2 * cox["se(coef)"])
    assert float(posterior["beta"].std()) == pytest.approx(cox["se(coef)"], rel=0.07)


def test_each_level_has_a_hazard_of_its_own_over_time(stratified):
    """Rates of the men of each stage in the control arm, against deaths over exposure there."""
    _, made, posterior = stratified
    covariate = log_time(made, made.deaths[0].sum(("stratum", "arm")).to_numpy())
    rates = stratum_rates(posterior, covariate)[:, :, :, 0].mean(axis=(0, 1))
    for place in np.flatnonzero(made.sex.to_numpy() == "m"):
        deaths, exposure = (made[name][0, place, 0].to_numpy() for name in ("deaths", "exposure"))
        many = deaths > 15
        assert many.sum() >= 3
        error = np.sqrt(1 / deaths[many])
        assert (np.abs(np.log(rates[place, many] * exposure[many] / deaths[many])) < 3 * error).all()
    rising, falling = (rates[made.stratum.to_numpy().tolist().index(f"sex=m,stage={level}")] for level in "13")
    assert rising[4] > 2 * rising[0] and falling[4] < falling[0] / 2
