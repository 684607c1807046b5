"""Standardised subgroup effects against closed forms and quadrature; what is reported of MF07-01's partitions."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy.integrate import quad
from scipy.optimize import brentq

from secondlook.data import Subgroup, load_record
from secondlook.data.reading import parse_record
from secondlook.data.subgroup import parse_key
from secondlook.inference import standardised
from secondlook.inference.quantities import Curves
from secondlook.inference.standardised import (
    ReportedSubgroup,
    mixtures,
    partition_subgroups,
    standardised_quantities,
    stratum_rates,
)

EDGES = np.array([0.0, 6.0, 12.0, 36.0, 80.0])


def constant(*rates, edges=EDGES):
    """Rates of exponential strata, (control, treatment) each, in one draw."""
    return np.broadcast_to(np.array(rates)[None, None, :, :, None], (1, 1, len(rates), 2, len(edges) - 1))


@pytest.fixture
def changing():
    """Three strata whose hazards change and cross, in two draws."""
    return np.exp(np.random.default_rng(1).normal(-3.5, 0.7, (1, 2, 3, 2, 4)))


def survival_by_hand(rates, shares, arm, time):
    """Of one draw, rates (stratum, arm, J)."""
    elapsed = np.clip(time - EDGES[:-1], 0, np.diff(EDGES))
    return float(shares @ np.exp(-rates[:, arm] @ elapsed))


def density_by_hand(rates, shares, arm, time):
    elapsed = np.clip(time - EDGES[:-1], 0, np.diff(EDGES))
    interval = min(int(np.searchsorted(EDGES, time, side="right")) - 1, len(EDGES) - 2)
    return float(shares @ (rates[:, arm, interval] * np.exp(-rates[:, arm] @ elapsed)))


def integral(function, end):
    return quad(function, 0, end, points=[edge for edge in EDGES if 0 < edge < end] or None, epsabs=1e-13)[0]


def average_by_hand(rates, shares, end):
    """The integral of S0 dF1 over that of S1 dF0, Kalbfleisch and Prentice 1981."""
    first, second = (
        integral(
            lambda t, a=arm: survival_by_hand(rates, shares, 1 - a, t) * density_by_hand(rates, shares, a, t), end
        )
        for arm in (1, 0)
    )
    return first / second


@pytest.mark.parametrize("time", [4.0, 36.0, 59.5, 80.0])
def test_one_stratum_has_its_own_closed_forms(time):
    curves = mixtures(EDGES, constant((0.02, 0.013)), [[7]])
    assert curves.average_hazard_ratio(time) == pytest.approx(0.65, rel=1e-12)
    for arm, rate in ((0, 0.02), (1, 0.013)):
        assert curves.survival(arm, time) == pytest.approx(np.exp(-rate * time), rel=1e-13)
        assert curves.rmst(arm, time) == pytest.approx(-np.expm1(-rate * time) / rate, rel=1e-13)
        assert curves.median(arm) == pytest.approx(np.log(2) / rate, rel=1e-13)


def test_one_stratum_is_as_its_own_curves(changing):
    """A group that is one of several strata: whatever `Curves` says about it."""
    curves = mixtures(EDGES, changing, np.eye(3))
    for place in range(3):
        own = Curves(EDGES, (changing[:, :, place, 0], changing[:, :, place, 1]))
        np.testing.assert_allclose(
            curves.average_hazard_ratio(60.0)[place], own.average_hazard_ratio(60.0), rtol=1e-12
        )
        for arm in (0, 1):
            np.testing.assert_allclose(curves.rmst(arm, 60.0)[place], own.rmst(arm, 60.0), rtol=1e-12)
            np.testing.assert_allclose(curves.median(arm)[place], own.median(arm), rtol=1e-12)


def test_two_exponential_strata_whose_hazards_differ_four_fold():
    """S = 0.6 exp(-0.02 t) + 0.4 exp(-0.08 t) in the control arm; 0.8 and 0.6 times these hazards in the other."""
    shares, pairs = np.array([0.6, 0.4]), ((0.02, 0.016), (0.08, 0.048))
    curves = mixtures(EDGES, constant(*pairs), [[60, 40]])
    for arm in (0, 1):

        def survival(time, arm=arm):
            return sum(share * np.exp(-pair[arm] * time) for share, pair in zip(shares, pairs, strict=True))

        for time in (5.0, 36.0, 60.0):
            mean = sum(s * -np.expm1(-p[arm] * time) / p[arm] for s, p in zip(shares, pairs, strict=True))
            assert curves.survival(arm, time) == pytest.approx(survival(time), rel=1e-13)
            assert curves.rmst(arm, time) == pytest.approx(mean, rel=1e-13)
        median = brentq(lambda time: survival(time) - 0.5, 0, 80, xtol=1e-13)
        assert curves.median(arm) == pytest.approx(median, rel=1e-11)
    for end in (12.0, 60.0):
        expected = average_by_hand(constant(*pairs)[0, 0], shares, end)
        assert curves.average_hazard_ratio(end) == pytest.approx(expected, rel=1e-10)


def test_many_strata_are_averaged_as_few_are(changing, monkeypatch):
    """The rule of quadrature in each interval, against the closed form over pairs of strata."""
    curves = mixtures(EDGES, changing, [[10, 20, 30], [1, 0, 3]])
    exact = [curves.average_hazard_ratio(end) for end in (20.0, 36.0, 80.0)]
    monkeypatch.setattr(standardised, "MOST_PAIRED", 2)
    for end, expected in zip((20.0, 36.0, 80.0), exact, strict=True):
        np.testing.assert_allclose(curves.average_hazard_ratio(end), expected, rtol=1e-8)


def test_draws_in_blocks_give_what_all_at_once_give(monkeypatch):
    record, strata = parse_record(JOINT), [parse_key(key) for key in ("a=x,b=p", "a=x,b=q", "a=y,b=q")]
    rng = np.random.default_rng(3)
    dims = {"alpha": "interval", "gamma": "stratum", "kappa": "stratum", "delta": "stratum", "tau": "scale"}
    sizes = {"interval": 4, "stratum": 3, "scale": 2}
    draws = {
        name: (("chain", "draw", dim), rng.normal(-3.5 * (name == "alpha"), 0.2, (2, 7, sizes[dim])))
        for name, dim in dims.items()
    }
    posterior = xr.Dataset(draws | {"beta": (("chain", "draw"), rng.normal(-0.3, 0.2, (2, 7)))})
    reported = partition_subgroups(record, "a,b", strata)
    assert [one.subgroup.key for one in reported] == ["overall", "a=x", "a=y", "b=p", "b=q"]  # levels, not cells
    assert [one.unit for one in reported] == [False, True, True, True, True]
    arguments = (posterior, np.linspace(-1, 1, 4), EDGES, [30, 20, 50], reported, "a,b", (36.0,))
    whole = standardised_quantities(*arguments)
    between = [(q.label, q.name) for q, _ in whole if q.estimand == "interaction_sd"]
    assert between == [
        ("SD of log hazard ratios between A: x, A: y", "interaction_sd a"),
        ("SD of log hazard ratios between B: p, B: q", "interaction_sd b"),
    ]
    monkeypatch.setattr(standardised, "MOST_NUMBERS", 3 * 4 * 2 * 3)
    for (quantity, values), (again, parts) in zip(whole, standardised_quantities(*arguments), strict=True):
        assert quantity == again
        np.testing.assert_allclose(parts, values, rtol=1e-12)


JOINT = {
    "schema": 1,
    "id": "joint",
    "title": "t",
    "arms": {"control": {"label": "C"}, "treatment": {"label": "T"}},
    "factors": {
        name: {"label": name.upper(), "levels": levels} for name, levels in (("a", ["x", "y"]), ("b", ["p", "q"]))
    },
    "patients": {"time": "t", "unit": "months", "event": "e", "arm": "g", "control": "0", "treatment": "1"}
    | {"factors": ["a", "b"]},
}


def test_changing_hazards_by_quadrature(changing):
    weights = np.array([[10, 20, 30], [0, 5, 15], [1, 0, 3]])
    curves = mixtures(EDGES, changing, weights)
    for group, draw in product(range(3), range(2)):
        rates, shares = changing[0, draw], weights[group] / weights[group].sum()
        for end in (20.0, 60.0):
            found = curves.average_hazard_ratio(end)[group, 0, draw]
            assert found == pytest.approx(average_by_hand(rates, shares, end), rel=1e-9)
            for arm in (0, 1):
                area = integral(lambda t, a=arm, r=rates, s=shares: survival_by_hand(r, s, a, t), end)
                assert curves.rmst(arm, end)[group, 0, draw] == pytest.approx(area, rel=1e-9)
        for arm in (0, 1):
            median = curves.median(arm)[group, 0, draw]
            if np.isfinite(median):
                assert survival_by_hand(rates, shares, arm, median) == pytest.approx(0.5, rel=1e-12)
            else:
                assert survival_by_hand(rates, shares, arm, 80.0) > 0.5
    assert np.isfinite(curves.median(0)).any()


def test_a_median_on_the_way_from_a_fast_to_a_slow_stratum():
    """Half of the patients die at once and the rest hardly at all: where Newton's method takes its smallest steps."""
    rates, shares = constant((10.0, 5.0), (0.001, 0.0001)), np.array([0.5001, 0.4999])
    curves = mixtures(EDGES, rates, shares[None])
    for arm in (0, 1):
        assert survival_by_hand(rates[0, 0], shares, arm, curves.median(arm).item()) == pytest.approx(0.5, rel=1e-12)


def test_a_median_that_is_not_reached_is_infinite():
    """0.5 = w exp(-0.08 * 80) + (1 - w) exp(-0.001 * 80) at w = 0.459..."""
    fast, slow = np.exp(-0.08 * 80), np.exp(-0.001 * 80)
    edge = (slow - 0.5) / (slow - fast)
    groups = [[edge + 1e-9, 1 - edge - 1e-9], [edge - 1e-9, 1 - edge + 1e-9]]
    reached, not_reached = mixtures(EDGES, constant((0.08, 0.08), (0.001, 0.001)), groups).median(0).ravel()
    assert reached == pytest.approx(80, rel=1e-6) and reached <= 80
    assert np.isinf(not_reached)


def test_only_the_weights_ratios_count(changing):
    curves = mixtures(EDGES, changing, [[1, 2, 3], [10, 20, 30], [3, 2, 1]])
    for values in (curves.average_hazard_ratio(60.0), curves.survival(0, 36.0), curves.rmst(1, 36.0)):
        np.testing.assert_allclose(values[0], values[1], rtol=1e-13)
        assert (np.abs(values[0] / values[2] - 1) > 1e-3).all()


def test_a_group_without_patients_is_refused(changing):
    with pytest.raises(ValueError, match="no patients in group 1: nothing to average over"):
        mixtures(EDGES, changing, [[1, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_one_hazard_ratio_in_strata_that_differ_is_nearer_to_one_in_their_average(ratio):
    """Non-collapsibility: at time zero the average is still the ratio, later it no longer is."""
    curves = mixtures(EDGES, constant(*((rate, ratio * rate) for rate in (0.01, 0.04, 0.08))), [[1, 1, 1]])
    early, later, latest = (
        np.log(curves.average_hazard_ratio(time).item()) / np.log(ratio) for time in (1e-4, 12.0, 60.0)
    )
    assert early == pytest.approx(1, abs=1e-5)
    assert 0.5 < latest < later - 0.05 < 0.9


def test_no_effect_in_any_stratum_is_none_in_their_average():
    curves = mixtures(EDGES, constant((0.01, 0.01), (0.08, 0.08)), [[1, 1]])
    assert curves.average_hazard_ratio(60.0) == pytest.approx(1, rel=1e-12)


SIZES = {"chain": 2, "draw": 3, "stratum": 4, "interval": 4}
COVARIATE = np.array([-1.0, -0.2, 0.3, 0.9])


@pytest.fixture
def posterior():
    rng = np.random.default_rng(2)
    names = {
        "alpha": "interval",
        "gamma": "stratum",
        "kappa": "stratum",
        "delta": "stratum",
        "beta": None,
        "tau": None,
    }
    dims = {name: ("chain", "draw", *([last] if last else [])) for name, last in names.items()}
    values = {name: rng.normal(0, 0.4, [SIZES[dim] for dim in dims[name]]) for name in names}
    values["alpha"] -= 3.5
    return xr.Dataset({name: (dims[name], values[name]) for name in names})


def test_rates_of_a_posterior(posterior):
    found = stratum_rates(posterior.transpose("interval", "stratum", "draw", "chain"), COVARIATE)
    assert found.shape == (2, 3, 4, 2, 4)
    for chain, draw, stratum, arm, interval in np.ndindex(found.shape):
        at = {name: values[chain, draw].to_numpy() for name, values in posterior.items()}
        log_rate = at["alpha"][interval] + at["gamma"][stratum] + at["kappa"][stratum] * COVARIATE[interval]
        expected = np.exp(log_rate + arm * (at["beta"] + at["delta"][stratum]))
        assert found[chain, draw, stratum, arm, interval] == pytest.approx(expected, rel=1e-12)


@pytest.fixture(scope="module")
def mf07_record():
    return load_record("mf07-01")


def cells(record, *factors):
    """The cross of some factors' levels."""
    every = product(*(record.factors[factor].levels for factor in factors))
    return [
        Subgroup(tuple((factor, (level,)) for factor, level in zip(factors, cell, strict=True))) for cell in every
    ]


def listed(subgroups):
    return [(one.subgroup.key, one.label, one.members, one.reference) for one in subgroups[1:]]


def test_subgroups_of_the_receptor_partition(mf07_record):
    found = partition_subgroups(mf07_record, "receptor", cells(mf07_record, "er", "her2"))
    assert found[0] == ReportedSubgroup(
        Subgroup(), "All patients, standardised over receptor subtype", (0, 1, 2, 3), None
    )
    assert listed(found) == [
        ("er=+", "ER/PR(+)", (0, 1), "er=-"),
        ("er=-", "ER/PR(-)", (2, 3), "er=+"),
        ("her2=-", "HER2(-)", (1, 3), "her2=+"),
        ("her2=+", "HER2(+)", (0, 2), "her2=-"),
        ("er=+,her2=+", "ER/PR(+) HER2(+)", (0,), "not er=+,her2=+"),
        ("er=-,her2=-", "Triple-negative", (3,), "not er=-,her2=-"),
        ("er=-,her2=+", "ER/PR(-) HER2(+)", (2,), "not er=-,her2=+"),
        ("er=+,her2=-", "ER/PR(+) HER2(-)", (1,), "not er=+,her2=-"),
    ]


def test_subgroups_of_age(mf07_record):
    found = partition_subgroups(mf07_record, "age", cells(mf07_record, "age"))
    assert found[0].label == "All patients, standardised over age"
    assert listed(found) == [
        ("age=below 55", "Age below 55", (0,), "age=55 or older"),
        ("age=55 or older", "Age: 55 or older", (1,), "age=below 55"),
    ]


def test_subgroups_of_the_metastatic_pattern(mf07_record):
    """The complements of the two printed subgroups are unions; those of single levels are only references."""
    found = partition_subgroups(mf07_record, "metastasis", cells(mf07_record, "metastasis"))
    bone, bones, lung, other = "solitary bone", "multiple bone", "multiple pulmonary/liver", "other"
    name = "Metastatic pattern: "
    assert [(key.removeprefix("metastasis="), *rest) for key, *rest in listed(found)] == [
        (bone, "Solitary bone", (0,), f"metastasis={bones}|{lung}|{other}"),
        (f"{bones}|{lung}|{other}", f"{name}not {bone}", (1, 2, 3), f"metastasis={bone}"),
        (f"{bone}|{bones}", "Bone only", (0, 1), f"metastasis={lung}|{other}"),
        (f"{lung}|{other}", f"{name}{lung} or {other}", (2, 3), f"metastasis={bone}|{bones}"),
        (bones, name + bones, (1,), f"metastasis={bone}|{lung}|{other}"),
        (lung, name + lung, (2,), f"metastasis={bone}|{bones}|{other}"),
        (other, name + other, (3,), f"metastasis={bone}|{bones}|{lung}"),
    ]


def test_subgroups_of_a_cross_that_the_record_does_not_declare(mf07_record):
    found = partition_subgroups(mf07_record, "er,age", cells(mf07_record, "er", "age"))
    assert found[0].label == "All patients, standardised over ER/PR and age"
    assert [one.label for one in found if len(one.members) == 1][-1] == "ER/PR: -, Age: 55 or older"
    assert {one.subgroup.key for one in found if len(one.members) == 2} == {
        *("er=+", "er=-", "age=below 55", "age=55 or older")
    }


def test_patients_are_reported_once_where_a_cell_is_empty(mf07_record):
    """Without ER/PR(-) HER2(+), being ER/PR(-) and being triple-negative are the same."""
    strata = [cell for cell in cells(mf07_record, "er", "her2") if cell.key != "er=-,her2=+"]
    keys = [one.subgroup.key for one in partition_subgroups(mf07_record, "receptor", strata)]
    assert keys == ["overall", "er=+", "er=-", "her2=-", "her2=+", "er=+,her2=-"]


WEIGHTS = np.array([40, 175, 44, 33])


@pytest.fixture
def found(posterior, mf07_record):
    subgroups = partition_subgroups(mf07_record, "receptor", cells(mf07_record, "er", "her2"))
    return standardised_quantities(posterior, COVARIATE, EDGES, WEIGHTS, subgroups, "receptor", [36.0, 60.0])


def test_every_subgroup_has_the_same_quantities(found):
    expected = ["average_hazard_ratio 60"]
    for what in ("survival", "rmst"):
        expected += [f"{what}_{arm} {time}" for time in (36, 60) for arm in ("control", "treatment", "difference")]
    expected += [f"median_{arm}" for arm in ("control", "treatment", "difference")]
    by_key = {}
    for quantity, values in found:
        assert values.shape == (2, 3) and quantity.partition == "receptor"
        by_key.setdefault(quantity.subgroup, []).append(quantity)
    assert len(by_key) == 9
    for key, quantities in by_key.items():
        names = [quantity.name.removesuffix(f" {key}") for quantity in quantities if not quantity.is_contrast]
        assert sorted(names) == sorted(expected + ["interaction_sd"] * (key == "overall"))


def test_values_and_labels_of_a_subgroup(found, posterior):
    """HER2(-): the second and the fourth cell, by the curves they are made of."""
    rates = stratum_rates(posterior, COVARIATE)[:, :, [1, 3]]
    curves = mixtures(EDGES, rates, [[175, 33]])
    by_name = {quantity.name: (quantity, values) for quantity, values in found}
    expected = {
        "average_hazard_ratio 60": (curves.average_hazard_ratio(60.0), "HER2(-)"),
        "survival_control 36": (curves.survival(0, 36.0), "HER2(-), survival at 36, control"),
        "rmst_difference 60": (
            curves.rmst(1, 60.0) - curves.rmst(0, 60.0),
            "HER2(-), mean survival time up to 60, difference",
        ),
        "median_treatment": (curves.median(1), "HER2(-), median survival, treatment"),
    }
    for name, (values, label) in expected.items():
        quantity, draws = by_name[f"{name} her2=-"]
        np.testing.assert_allclose(draws, values[0], rtol=1e-12)
        assert (quantity.label, quantity.reference) == (label, "")


def test_the_overall_effect_is_averaged_over_all_strata(found, posterior):
    quantity, draws = found[0]
    curves = mixtures(EDGES, stratum_rates(posterior, COVARIATE), WEIGHTS[None])
    np.testing.assert_allclose(draws, curves.average_hazard_ratio(60.0)[0], rtol=1e-12)
    assert (quantity.name, quantity.label) == (
        *("average_hazard_ratio 60", "All patients, standardised over receptor subtype"),
    )


def test_contrasts_are_reported_once_for_the_published_of_each_pair(found, posterior):
    contrasts = {
        (quantity.subgroup, quantity.reference): (quantity, values)
        for quantity, values in found
        if quantity.is_contrast
    }
    cell_keys = ("er=+,her2=+", "er=-,her2=-", "er=-,her2=+", "er=+,her2=-")
    assert list(contrasts) == [("er=+", "er=-"), ("her2=-", "her2=+"), *((key, f"not {key}") for key in cell_keys)]
    rates = stratum_rates(posterior, COVARIATE)
    for key, places in (("er=+", [0, 1]), ("er=-,her2=-", [3])):
        (quantity, values) = next(item for (one, _), item in contrasts.items() if one == key)
        inside = np.isin(np.arange(4), places)
        one, rest = mixtures(EDGES, rates, [WEIGHTS * inside, WEIGHTS * ~inside]).average_hazard_ratio(60.0)
        np.testing.assert_allclose(values, one / rest, rtol=1e-12)
        assert quantity.time == 60
    assert contrasts["er=-,her2=-", "not er=-,her2=-"][0].label == "Triple-negative against all other patients"


def test_one_effect_for_all_strata_has_no_contrasts(posterior, mf07_record):
    strata = cells(mf07_record, "er", "her2")
    reported = partition_subgroups(mf07_record, "receptor", strata)
    pooled = posterior.assign(delta=0 * posterior["delta"])
    sizes = np.ones(len(strata))
    covariate = np.zeros(posterior.sizes["interval"])
    arguments = (covariate, EDGES[: posterior.sizes["interval"] + 1], sizes, reported, "receptor", (1.0,))
    estimands = [
        {quantity.estimand for quantity, _ in standardised_quantities(one, *arguments)} for one in (posterior, pooled)
    ]
    assert estimands[0] - estimands[1] == {"ratio_of_hazard_ratios"}


def test_the_interaction_sd_is_reported_once(found, posterior):
    ((quantity, values),) = [item for item in found if item[0].estimand == "interaction_sd"]
    np.testing.assert_array_equal(values, posterior["tau"])
    assert quantity.label == (
        "SD of log hazard ratios between ER/PR(+) HER2(+), ER/PR(+) HER2(-), ER/PR(-) HER2(+), Triple-negative"
    )
    assert (quantity.subgroup, quantity.partition, quantity.time) == ("overall", "receptor", None)


def test_both_ages_have_one_contrast_and_no_tau_is_no_row(posterior, mf07_record):
    """Strata beyond the weights' are padding; without landmarks hazard ratios are averaged to the last edge."""
    subgroups = partition_subgroups(mf07_record, "age", cells(mf07_record, "age"))
    arguments = (COVARIATE, EDGES, [150, 124], subgroups, "age", [])
    found = standardised_quantities(posterior.drop_vars("tau"), *arguments)
    ((quantity, values),) = [item for item in found if item[0].is_contrast]
    rates = stratum_rates(posterior, COVARIATE)[:, :, :2]
    young, old = mixtures(EDGES, rates, np.eye(2)).average_hazard_ratio(80.0)
    np.testing.assert_allclose(values, young / old, rtol=1e-12)
    assert (quantity.subgroup, quantity.reference, quantity.time) == ("age=below 55", "age=55 or older", 80.0)
    assert not any(quantity.estimand == "interaction_sd" for quantity, _ in found)
    (to_a_year, *_) = standardised_quantities(posterior, *arguments, average_to=12.0)
    assert to_a_year[0].time == 12
