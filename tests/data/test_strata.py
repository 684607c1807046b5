"""Strata of partitions: sizes by linear algebra, unknown levels, cuts, and what is refused."""

import numpy as np
import pytest

from secondlook.data import InputError, load_record
from secondlook.data.reading import parse_record
from secondlook.data.reconstruction.strata import crossed, members_of, outside_partitions, strata_of, whole
from secondlook.data.subgroup import OVERALL, Subgroup

SIZES = (136, 138)


def raw_record():
    """Two crossed factors whose four cells follow from two margins and one cell."""
    counts = {"control": (60, 40, 25), "treatment": (70, 35, 20)}
    return {
        "schema": 1,
        "id": "two-factors",
        "title": "Two factors",
        "arms": {arm: {"label": arm, "patients": 100} for arm in counts},
        "factors": {name: {"label": name, "levels": ["+", "-"]} for name in ("er", "her2")},
        "partitions": {"receptor": {"label": "Receptor", "factors": ["er", "her2"]}},
        "patients_count": [
            {"arm": arm, "where": where, "n": n}
            for arm, numbers in counts.items()
            for where, n in zip(({"er": "+"}, {"her2": "+"}, {"er": "-", "her2": "-"}), numbers, strict=True)
        ],
    }


def strata(raw, partition="receptor", sizes=(100, 100)):
    return strata_of(parse_record(raw), partition, sizes, 30.0)


def test_cells_follow_from_margins_and_one_cell():
    found = strata(raw_record())
    assert [stratum.key for stratum in found.subgroups] == [
        "er=+,her2=+",
        "er=+,her2=-",
        "er=-,her2=+",
        "er=-,her2=-",
    ]
    np.testing.assert_allclose(found.expected, [[25, 25], [35, 45], [15, 10], [25, 20]], atol=1e-9)
    assert not found.vary
    assert found.notes == ()
    np.testing.assert_array_equal(found.draw(np.random.default_rng(1)), found.expected)


def test_unions_of_strata():
    cells = crossed(load_record("mf07-01"), ("her2", "er"))  # record order, whatever order is given
    assert members_of(Subgroup((("er", ("+",)),)), cells) == (0, 1)
    assert members_of(Subgroup((("her2", ("-",)),)), cells) == (1, 3)
    assert members_of(Subgroup((("er", ("-",)), ("her2", ("-",)))), cells) == (3,)
    assert members_of(OVERALL, cells) == (0, 1, 2, 3)
    assert members_of(Subgroup((("age", ("below 55",)),)), cells) is None
    assert members_of(Subgroup((("age", ("below 55",)), ("er", ("+",)))), cells) is None


def test_mf07_receptor_cells_and_their_unknown_patients():
    """Treatment cells are exact; 1 to 4 control patients of unknown status go to any cell."""
    found = strata_of(load_record("mf07-01"), "receptor", SIZES, 40.0)
    np.testing.assert_allclose(found.expected[:, 1], [32, 86, 10, 10])
    assert found.expected[:, 0].sum() == pytest.approx(136)
    draws = np.stack([found.draw(np.random.default_rng(seed)) for seed in range(400)])
    np.testing.assert_allclose(draws.sum(axis=1), np.broadcast_to([136, 138], (400, 2)))
    np.testing.assert_array_equal(draws, draws.round())
    assert (draws[..., 1] == [32, 86, 10, 10]).all()
    er_plus, her2_plus, triple = draws[:, [0, 1], 0].sum(1), draws[:, [0, 2], 0].sum(1), draws[:, 3, 0]
    assert set(er_plus) == {97, 98} and set(her2_plus) == {42, 43}  # one patient of unknown status each
    assert set(triple) <= {23, 24, 25, 26, 27} and len(set(triple)) >= 3  # up to four
    assert found.notes == ("receptor: 1 to 4 control patients of unknown level are allocated at random",)


def test_mf07_patterns_of_metastasis_leave_a_rest():
    found = strata_of(load_record("mf07-01"), "metastasis", SIZES, 40.0)
    np.testing.assert_allclose(found.expected, [[20, 33], [35, 38], [15, 13], [66, 54]])


def test_mf07_age_share_from_mean_and_sd():
    """P(Z < (55 - 51.5)/13.6) = 0.6015, P(Z < (55 - 51.8)/12.6) = 0.6002; binomial SD."""
    found = strata_of(load_record("mf07-01"), "age", SIZES, 40.0)
    np.testing.assert_allclose(found.expected[0] / SIZES, [0.6015, 0.6002], atol=1e-4)
    np.testing.assert_allclose(found.share_sd, [0.1751, 0.1738], atol=1e-4)


def test_one_stratum_is_the_whole_trial():
    assert whole((10, 20), 30.0).members(OVERALL) == (0,)


def refused(raw, partition="receptor"):
    with pytest.raises(InputError) as error:
        strata(raw, partition)
    return str(error.value)


def test_counts_that_do_not_determine_the_strata():
    raw = raw_record()
    raw["patients_count"] = [item for item in raw["patients_count"] if len(item["where"]) == 1]
    assert (
        "partitions.receptor: sizes of its strata do not follow from the patients_count of the control arm"
        in refused(raw)
    )


def test_counts_that_exceed_each_other():
    raw = raw_record()
    raw["patients_count"][2]["n"] = 90  # triple-negative, of 40 that are ER-negative
    message = refused(raw)
    assert "er=-,her2=+: -50 control patients: cannot be" in message


def test_counts_that_do_not_add_up():
    raw = raw_record()
    raw["patients_count"].append({"arm": "control", "where": {"er": "-"}, "n": 45})
    assert "the patients_count of the control arm do not add up to its 100 patients" in refused(raw)


@pytest.mark.parametrize(("missing", "fine"), [(4, True), (6, False)])
def test_patients_in_no_level(missing, fine):
    raw = raw_record()
    raw["patients_count"] = [
        {"arm": arm, "where": {"er": level}, "n": n}
        for arm, numbers in {"control": (60, 40 - missing), "treatment": (70, 30)}.items()
        for level, n in zip("+-", numbers, strict=True)
    ]
    raw["partitions"] = {"status": {"label": "ER", "factors": ["er"]}}
    if fine:
        found = strata(raw, "status")
        assert found.notes == ("status: 4 control patients of unknown level are allocated at random",)
        draws = np.stack([found.draw(np.random.default_rng(seed)) for seed in range(200)])[:, 0, 0]
        assert draws.min() >= 60 and draws.max() <= 64
        assert draws.mean() == pytest.approx(60 + 4 * 60 / 96, abs=0.2)
    else:
        assert "factors.er: 6 of 100 control patients: are in no level; at most 5% may be unknown" in refused(
            raw, "status"
        )


def test_a_cut_needs_means_or_counts():
    raw = raw_record()
    raw["baseline"] = [{"label": "Age", "control": {"mean": "51.5", "sd": "13.6"}, "treatment": {"median": "50"}}]
    cut = {"row": "Age", "below": 55}
    raw["factors"]["age"] = {"label": "Age", "levels": ["below 55", "55 or older"], "cut": cut}
    raw["partitions"]["age"] = {"label": "Age", "factors": ["age"]}
    assert "factors.age.cut: needs a baseline row with mean and sd of both arms" in refused(raw, "age")
    means = {"mean": "51.5", "sd": "13.6"}
    raw["baseline"] = [{"label": "Age", "control": means, "treatment": means}]
    raw["factors"]["age"]["cut"]["below"] = 550
    assert "factors.age.cut.below: 550: leaves no patients on one side, by mean and sd" in refused(raw, "age")
    counts = {"control": 64, "treatment": 55}
    raw["patients_count"] += [{"arm": arm, "where": {"age": "below 55"}, "n": n} for arm, n in counts.items()]
    np.testing.assert_allclose(strata(raw, "age").expected, [[64, 55], [36, 45]])


def test_hazard_ratios_that_no_partition_can_use_are_named() -> None:
    rows = [
        {"estimate": "0.7", "ci": ["0.5", "0.9"]},
        {"estimate": "0.6", "where": {"er": "+"}},
        {"estimate": "0.8", "ci": ["0.5", "1.2"], "where": {"her2": "-"}},
        {"estimate": "0.9", "ci": ["0.5", "1.5"], "where": {"er": "+", "side": "left"}},
    ]
    factors = {name: {"label": name, "levels": ["+", "-"]} for name in ("er", "her2")}
    factors["side"] = {"label": "Side", "levels": ["left", "right"]}
    raw = {
        "schema": 1,
        "id": "made-up",
        "title": "A trial of nothing",
        "arms": {"control": {"label": "A"}, "treatment": {"label": "B"}},
        "factors": factors,
        "partitions": {"receptor": {"label": "Receptor", "factors": ["er", "her2"]}},
        "hazard_ratio": rows,
    }
    assert outside_partitions(parse_record(raw)) == [
        "hazard_ratio 0.6 of er=+ has no interval: its estimate alone is used",
        "hazard_ratio 0.9 of er=+,side=left is not used: it is no union of strata of any partition",
    ]
