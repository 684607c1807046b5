"""The credibility of subgroup claims: counts, what the estimates say, chances, and blanks that stay blank."""

import numpy as np
import pandas as pd
import pytest

from secondlook.data import load_record
from secondlook.data.subgroup import subgroup
from secondlook.data.table import survival_table
from secondlook.data.writing import write_csv
from secondlook.inference.credibility import (
    FOR_THE_READER,
    credibility,
    homogeneity,
    published_subgroups,
    trials_without_heterogeneity,
)
from secondlook.inference.tables import CREDIBILITY, ESTIMATES, HOMOGENEITY

MONTHS = np.arange(0.0, 91.0)
RECEPTOR = {"er": ["+", "+", "-", "-"], "her2": ["-", "+", "+", "-"]}
SIZES = np.array([[71.0, 89.0], [26.0, 29.0], [16.0, 13.0], [23.0, 7.0]])
HAZARD = np.array([0.02, 0.03, 0.04, 0.06])[:, None] * [1.0, 0.7]


@pytest.fixture(scope="module")
def record():
    return load_record("mf07-01")


@pytest.fixture(scope="module")
def receptor():
    """Two imputations; the second has a tenth fewer deaths."""
    rate = HAZARD[..., None] + 0.01
    exposure = -np.diff(SIZES[..., None] * np.exp(-rate * MONTHS)) / rate
    deaths = HAZARD[..., None] * exposure
    return survival_table(
        np.stack([deaths, 0.9 * deaths]),
        np.stack([exposure, exposure]),
        np.stack([0.01 * exposure, 0.01 * exposure + 0.1 * deaths]),
        np.stack([SIZES, SIZES]),
        MONTHS,
        strata=["++", "+-", "--", "-+"],
        factors=RECEPTOR,
        trial="mf07-01",
        source="published",
        time_unit="months",
        partition="receptor",
    )


@pytest.fixture(scope="module")
def estimates():
    """Two models and two priors; only the first prior's shrunken rows matter, those over strata before all."""
    names = ("model", "shrinkage", "prior", "subgroup", "reference", "label", "estimand", "median", "lower", "upper")
    rows = [
        ("effects", "half-normal", "weak", "er=+", "", "ER/PR(+)", "hazard_ratio", 0.65, 0.5, 0.9),
        ("effects", "none", "weak", "age=below 55", "", "Age below 55", "hazard_ratio", 0.57, 0.4, 0.9),
        ("subgroups", "none", "weak", "er=+", "", "ER/PR(+)", "average_hazard_ratio", 0.61, 0.4, 0.9),
        ("subgroups", "half-normal", "weak", "er=+", "", "ER/PR(+)", "average_hazard_ratio", 0.66, 0.5, 0.9),
        ("subgroups", "half-normal", "weak", "er=-", "", "ER/PR(-)", "average_hazard_ratio", 0.95, 0.6, 1.5),
        ("subgroups", "half-normal", "weak", "er=+", "er=-", "ER/PR(+)", "ratio_of_hazard_ratios", 0.7, 0.4, 1.1),
        ("subgroups", "half-normal", "sceptical", "her2=-", "", "HER2(-)", "average_hazard_ratio", 0.8, 0.6, 1.1),
        ("effects", "half-normal", "weak", "her2=-", "", "HER2(-)", "hazard_ratio", 0.67, 0.5, 0.9),
    ]
    frame = pd.DataFrame(rows, columns=list(names)).reindex(columns=list(ESTIMATES.columns))
    frame.loc[frame["estimand"].eq("ratio_of_hazard_ratios"), "prob_benefit"] = 0.93
    return frame


@pytest.fixture(scope="module")
def simulated(record, receptor):
    return trials_without_heterogeneity(record, [receptor], trials=1000)


@pytest.fixture(scope="module")
def frame(record, receptor, estimates, simulated):
    return credibility(record, [receptor], estimates, simulated).set_index("subgroup")


def test_a_row_for_each_printed_subgroup_and_estimated_complement(record, frame):
    printed = [row.where.key for row in record.hazard_ratio if row.use and not row.where.is_overall]
    assert list(frame.index) == [printed[0], "er=-", *printed[1:]]
    assert list(frame.columns) == [name for name in CREDIBILITY.columns if name != "subgroup"]
    assert set(frame["trial"]) == {"mf07-01"}


def test_a_complement_that_no_levels_name_is_called_by_the_printed_label(record, receptor, estimates, simulated):
    contrast = estimates.query("estimand == 'ratio_of_hazard_ratios'")
    contrast = contrast.assign(subgroup="er=+,her2=+", reference="not er=+,her2=+")
    frame = credibility(record, [receptor], pd.concat([estimates, contrast]), simulated).set_index("subgroup")
    assert frame.loc["not er=+,her2=+", "label"] == "not ER/PR(+) HER2(+)"
    assert frame.loc["not er=+,her2=+", "patients_treatment"] == 138 - SIZES[1, 1]


def test_patients_and_events_are_those_of_the_strata(receptor, frame):
    deaths = receptor.deaths.sum(("arm", "interval"))
    for key, strata in {"er=+": [0, 1], "er=-": [2, 3], "her2=-": [0, 3], "er=-,her2=-": [3]}.items():
        by_imputation = deaths.isel(stratum=strata).sum("stratum").to_numpy()
        row = frame.loc[key]
        assert row["events"] == pytest.approx(by_imputation.mean())
        assert row["events_lower"] == pytest.approx(np.quantile(by_imputation, 0.025))
        assert row["events_upper"] == pytest.approx(np.quantile(by_imputation, 0.975))
        assert row["patients_control"] == SIZES[strata, 0].sum()
        assert row["patients_treatment"] == SIZES[strata, 1].sum()
    assert frame.loc["age=below 55", ["events", "patients_control"]].isna().all()


def test_posterior_and_interaction_come_from_shrunken_rows_of_the_first_prior(frame):
    fit = frame.loc["er=+", ["posterior", "model", "shrinkage", "prior"]]
    assert list(fit) == [0.66, "subgroups", "half-normal", "weak"]
    assert list(frame.loc["her2=-", ["posterior", "model"]]) == [0.67, "effects"]
    assert np.isnan(frame.loc["age=below 55", "posterior"])
    assert frame.loc["er=-", "posterior"] == 0.95
    assert list(frame.loc["er=+", ["reference", "interaction", "interaction_prob"]]) == ["er=-", 0.7, 0.93]
    assert np.isnan(frame.loc["er=-", "interaction"])


def test_what_the_paper_printed(frame):
    row = frame.loc["er=+"]
    assert [row[name] for name in ("published", "published_lower", "published_upper")] == [0.64, 0.46, 0.91]
    assert (row["subgroups_printed"], row["factors_printed"], row["baseline"]) == (8, 4, "yes")
    assert np.isnan(frame.loc["er=-", "published"])
    # ER/PR(-) HER2(+): log(2.21 / 0.66) over the standard error of its interval
    error = np.log(5.37 / 0.91) / (2 * 1.959964)
    assert frame.loc["er=-,her2=+", "deviation"] == pytest.approx(np.log(2.21 / 0.66) / error, rel=1e-6)


def test_planned_is_what_the_record_says(frame):
    assert frame["planned"].to_dict() == {
        **dict.fromkeys(("er=+", "her2=-", "age=below 55", "metastasis=solitary bone"), "no"),
        "metastasis=solitary bone|multiple bone": "no",
        **dict.fromkeys(("er=-", "er=+,her2=+", "er=-,her2=-", "er=-,her2=+"), ""),
    }


def test_chances_are_those_of_the_simulated_trials(frame, simulated):
    assert [one.key for one in simulated.subgroups] == ["er=+", "her2=-", "er=+,her2=+", "er=-,her2=-", "er=-,her2=+"]
    harmed, low = frame.loc["er=-,her2=+"], frame.loc["er=+,her2=+"]
    assert harmed["chance_own"] == (np.sum(simulated.log_hazard_ratio[:, 4] >= np.log(2.21)) + 1) / 1001
    assert harmed["chance_largest"] == (np.sum(simulated.largest >= np.log(2.21)) + 1) / 1001
    assert low["chance_largest"] == (np.sum(simulated.smallest <= np.log(0.48)) + 1) / 1001
    assert harmed["chance_own"] < harmed["chance_largest"] < 0.06 < low["chance_own"] < low["chance_largest"]
    assert set(frame["chance_among"].dropna()) == {5}
    # no table has the strata
    assert frame.loc["age=below 55", ["chance_own", "chance_largest", "chance_among"]].isna().all()
    assert frame.loc["age=below 55", "chance_source"] == ""


def test_what_only_a_reader_knows_is_there_and_empty(frame, tmp_path):
    assert (frame[list(FOR_THE_READER)] == "").all(axis=None)
    write_csv(frame.reset_index(), tmp_path / "credibility.csv")
    assert pd.read_csv(tmp_path / "credibility.csv")[list(FOR_THE_READER)].isna().all(axis=None)


def test_without_strata_the_printed_intervals_serve(record, estimates, receptor):
    whole = receptor.isel(stratum=[0]).drop_vars(["er", "her2"])
    simulated = trials_without_heterogeneity(record, [whole], trials=500)
    assert simulated.source == "printed"
    assert [one.key for one in simulated.subgroups] == [row.where.key for row in published_subgroups(record)]
    frame = credibility(record, [whole], estimates, simulated)
    printed = frame[frame["published"].notna()]
    assert printed["chance_largest"].notna().all()
    assert set(printed["chance_source"]) == {"printed"}
    assert frame["events"].isna().all()


def test_without_intervals_or_subgroups_there_is_nothing_to_simulate(record, estimates):
    bare = record.model_copy(
        update={"hazard_ratio": tuple(row.model_copy(update={"ci": None}) for row in record.hazard_ratio)}
    )
    assert trials_without_heterogeneity(bare, []) is None
    frame = credibility(bare, [], estimates, None)
    assert frame[["chance_own", "deviation", "published_level"]].isna().all(axis=None)
    lone = load_record("mf07-01-10y")
    assert trials_without_heterogeneity(lone, []) is None
    nothing = credibility(lone, [], estimates.iloc[:0], None)
    assert (len(nothing), tuple(nothing.columns)) == (0, CREDIBILITY.columns)


def test_statistics_of_the_trial_stand_beside_those_of_homogeneous_trials(record, simulated):
    frame = homogeneity(record, simulated).set_index("statistic")
    assert tuple(frame.reset_index()[list(HOMOGENEITY.columns)]) == HOMOGENEITY.columns
    assert list(frame["published"]) == pytest.approx([0.48, 2.21, 2.66867, 3], rel=1e-5)
    assert frame.loc["smallest hazard ratio", "median"] == pytest.approx(
        np.exp(np.median(simulated.smallest)), rel=0.01
    )
    assert frame.loc["largest hazard ratio", "chance"] == simulated.chance_largest(np.log(2.21))
    assert frame.loc["largest deviation", "chance"] == simulated.chance_deviation(
        frame.loc["largest deviation", "published"]
    )
    assert frame.loc["significant benefits", "chance"] == (np.sum(simulated.benefits >= 3) + 1) / 1001


def test_a_subgroup_that_follows_randomisation_is_not_known_at_baseline(record, estimates):
    row = record.hazard_ratio[1]
    where = subgroup({"bisphosphonates": "yes"}, {name: one.levels for name, one in record.factors.items()})
    late = record.model_copy(update={"hazard_ratio": (row.model_copy(update={"where": where, "planned": True}),)})
    frame = credibility(late, [], estimates, None)
    assert list(frame[["baseline", "planned", "partition"]].iloc[0]) == ["no", "yes", ""]
