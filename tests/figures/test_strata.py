"""Figures by partition: what they draw is what the estimates say."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.text import Text

from secondlook import figures
from secondlook.data import load_record
from secondlook.data.subgroup import parse_key
from secondlook.data.table import regroup, survival_table
from secondlook.figures.forest_rows import forest_rows
from secondlook.figures.panels import panels_of
from secondlook.figures.strata import SubgroupRow, frequentist, information, partitions_of, subgroup_rows
from secondlook.inference.checks import predictive_checks
from secondlook.inference.fitting import Fit
from secondlook.inference.imputations import Imputations
from secondlook.inference.standardised import partition_subgroups, standardised_quantities
from secondlook.inference.tables import COMPARISON, ESTIMATES
from secondlook.models.piecewise import log_time

EDGES = np.array([0.0, 12.0, 24.0, 36.0, 48.0])
STRATA = ["er=+", "er=-"]
CHAINS, DRAWS, IMPUTATIONS = 2, 120, 2


def made_table() -> xr.Dataset:
    shape = (IMPUTATIONS, 2, 2, 48)
    deaths = np.full(shape, 0.8) * np.array([1.0, 1.6])[:, None, None]
    patients = np.broadcast_to(np.array([[70.0, 90.0], [66.0, 48.0]]), shape[:3])
    return survival_table(
        deaths, np.full(shape, 40.0), np.full(shape, 0.2), patients, np.arange(49.0),
        strata=STRATA, trial="made-up", source="published", time_unit="months", partition="er",
    )  # fmt: skip


def made_fit(shrinkage: str, prior, spread: float) -> Fit:
    rng = np.random.default_rng(len(shrinkage))
    plain, shape = ("chain", "draw", "imputation"), (CHAINS, DRAWS, IMPUTATIONS)
    delta = np.array([-spread, spread, 0.0]) + rng.normal(0, 0.2, (*shape, 3))  # the third stratum is padding
    variables = {
        "alpha": ((*plain, "interval"), np.log(0.02) + rng.normal(0, 0.1, (*shape, 4))),
        "beta": (plain, rng.normal(-0.3, 0.2, shape)),
        "gamma": ((*plain, "stratum"), np.array([-0.2, 0.3, 0.0]) + np.zeros((*shape, 3))),
        "kappa": ((*plain, "stratum"), rng.normal(0, 0.1, (*shape, 3))),
        "delta": ((*plain, "stratum"), delta),
    }
    if shrinkage != "none":
        variables["tau"] = (plain, abs(rng.normal(0, 0.25, shape)))
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(variables)})
    return Fit("subgroups", shrinkage, "er", prior, tree, tuple(EDGES))


def estimates_of(fit: Fit, record, table) -> pd.DataFrame:
    """Every reported quantity of a fit, by the way that the analysis takes."""
    subgroups = partition_subgroups(record, "er", [parse_key(key) for key in STRATA])
    parts = []
    for imputation in range(IMPUTATIONS):
        chosen = regroup(table, EDGES).isel(imputation=imputation)
        covariate = log_time(chosen, chosen.deaths.sum(("stratum", "arm")).to_numpy())
        posterior = fit.posterior.isel(imputation=imputation)
        patients = chosen.patients.sum("arm").to_numpy()
        parts.append(standardised_quantities(posterior, covariate, EDGES, patients, subgroups, "er", (36.0,)))
    rows = []
    for same in zip(*parts, strict=True):
        quantity, values = same[0][0], np.concatenate([draws.ravel() for _, draws in same])
        lower, median, upper = np.quantile(values, (0.025, 0.5, 0.975), method="inverted_cdf")
        names = ("partition", "subgroup", "reference", "label", "estimand", "time")
        rows.append(
            {name: getattr(quantity, name) for name in names}
            | {"model": fit.model, "shrinkage": fit.shrinkage, "prior": fit.prior.name}
            | {"median": median, "lower": lower, "upper": upper}
            | {f"prob_{what}": (values < limit).mean() for what, limit in (("benefit", 1), ("meaningful", 0.8))}
        )
    return pd.DataFrame(rows).reindex(columns=ESTIMATES.columns)


@pytest.fixture(scope="module")
def by_strata(reanalysis):
    record, table, prior = reanalysis.record, made_table(), reanalysis.fits[0].prior
    fits = made_fit("half-normal", prior, 0.1), made_fit("none", prior, 0.6)
    estimates = pd.concat([estimates_of(fit, record, table) for fit in fits])
    printed = {"er=+": (0.60, 0.45, 0.80), "er=-": (2.20, 0.80, 6.05)}
    compared = [
        {"model": "subgroups", "partition": "er", "subgroup": key, "prior": prior.name, "published_level": 0.95}
        | dict(zip(("published", "published_lower", "published_upper"), values, strict=True))
        for key, values in printed.items()
    ]
    return replace(
        reanalysis,
        fits=(*reanalysis.fits, *fits),
        tables={**reanalysis.tables, "er": table},
        estimates=pd.concat([reanalysis.estimates, estimates]),
        comparison=pd.concat([reanalysis.comparison, pd.DataFrame(compared).reindex(columns=COMPARISON.columns)]),
        checks=predictive_checks(record, fits, {"er": Imputations(table)}, (), number=60),
    )


@pytest.fixture(scope="module")
def without_raw(by_strata):
    return replace(by_strata, fits=by_strata.fits[:-1], estimates=by_strata.estimates.query("shrinkage != 'none'"))


def artists(figure, gid):
    return [one for axes in figure.axes for one in axes.get_children() if one.get_gid() == gid]


def estimate(reanalysis, shrinkage, subgroup):
    rows = reanalysis.estimates
    chosen = rows[rows.estimand.eq("average_hazard_ratio") & rows.shrinkage.eq(shrinkage) & rows.partition.eq("er")]
    return chosen.set_index("subgroup").loc[subgroup]


def test_a_kind_names_its_figures_by_partition(by_strata, reanalysis):
    assert figures.figure_names(by_strata, "survival") == ["survival", "survival-er"]
    assert figures.figure_names(by_strata, "threshold") == ["threshold-er"]
    assert figures.figure_names(by_strata, "forest-er") == ["forest-er"]
    assert figures.figure_names(by_strata, "hazard-ratio") == ["hazard-ratio"]
    assert figures.figure_names(reanalysis, "shrinkage") == []
    everything = figures.figure_names(by_strata)
    assert everything == [*figures.KINDS, *(f"{kind}-er" for kind in figures.PARTITION_KINDS)]


@pytest.mark.parametrize("width", [180.0, 88.0])
def test_every_figure_by_partition_is_written(by_strata, tmp_path, width):
    for kind in figures.PARTITION_KINDS:
        paths = figures.write_figures(by_strata, tmp_path, width, f"{kind}-er")
        assert [path.name for path in paths] == [f"{kind}-er.png", f"{kind}-er.svg"]
        assert all(path.stat().st_size > 5_000 for path in paths)


def test_checks_of_subgroups_are_drawn_in_both_forms(by_strata):
    (axes,) = (
        axes
        for axes in figures.draw(by_strata, "checks-er").axes
        if axes.get_title(loc="left").startswith("Hazard ratio")
    )
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ER(+)", "ER(-)"]
    rows = by_strata.checks[by_strata.checks["item"].eq("hazard_ratio")]
    assert list(rows["label"]) == ["ER(+)", "ER(-)"] * 2
    intervals = [list(line.get_xdata()) for line in axes.get_lines()]
    assert all([row.lower, row.upper] in intervals for row in rows.itertuples())


def panels_of_checks(by_strata, subgroups_with_deaths):
    """Draw three kinds of numbers, of which two are of both strata."""
    ratios = by_strata.checks[by_strata.checks["item"].eq("hazard_ratio")]
    deaths = ratios[ratios["subgroup"].isin(subgroups_with_deaths)].assign(item="deaths")
    rows = pd.concat([ratios, ratios.assign(item="hazard_ratio p"), deaths], ignore_index=True)
    figure = figures.draw(replace(by_strata, checks=rows), "checks-er")
    assert [axes.get_title(loc="left").split()[0] for axes in figure.axes] == ["Hazard", "p-value", "Deaths"]
    return figure.axes


def test_checks_of_the_same_subgroups_stand_side_by_side(by_strata):
    panels = panels_of_checks(by_strata, STRATA)
    for axes in panels:
        assert axes.get_position().bounds[1::2] == pytest.approx(panels[0].get_position().bounds[1::2])
        assert axes.get_position().width == pytest.approx(panels[0].get_position().width)
    assert [axes.yaxis.get_tick_params()["labelleft"] for axes in panels] == [True, False, False]


def test_checks_leave_no_room_for_another_panel(by_strata):
    ratio, p_value, deaths = (axes.get_position() for axes in panels_of_checks(by_strata, STRATA[:1]))
    assert (p_value.x0, p_value.y1) == pytest.approx((deaths.x0, ratio.y1))
    assert ratio.y0 == pytest.approx(deaths.y0, abs=0.02)


def test_threshold_curves_pass_through_the_reported_probabilities(by_strata):
    figure = figures.draw(by_strata, "threshold-er")
    for gid, key in (("overall", "overall"), ("er=+", "er=+"), ("er=-", "er=-")):
        (line,) = artists(figure, gid)
        row = estimate(by_strata, "half-normal", key)
        for limit, name in ((0.8, "prob_meaningful"), (1.0, "prob_benefit")):
            drawn = np.interp(np.log(limit), np.log(line.get_xdata()), line.get_ydata())
            assert drawn == pytest.approx(row[name], abs=0.02)  # between points of the grid


def row_of(key, place=0):
    shrunken, raw = (np.array([0.7, 0.5, 0.9]) * 1.03**place, np.array([0.6, 0.3, 1.2]) * 1.05**place)
    return SubgroupRow(key, key, tuple(shrunken), tuple(raw), None, 0.99)


MANY = [row_of(f"{factor}={level}", place) for place, factor in enumerate(("er", "pr", "grade")) for level in "123"]


@pytest.fixture
def of_factors(by_strata, monkeypatch):
    """A reanalysis of nine subgroups, too many for one panel: three levels of each of three factors."""
    units = [SimpleNamespace(subgroup=parse_key(row.key), unit=True) for row in MANY]
    rows = [row_of("overall"), *MANY]
    draws = {row.key: np.random.default_rng(1).normal(row.shrunken[0], 0.1, 500) for row in rows}
    for module in ("shrinkage", "threshold"):
        monkeypatch.setattr(f"secondlook.figures.{module}.subgroup_rows", lambda *_: rows)
    monkeypatch.setattr("secondlook.figures.shrinkage.reported", lambda *_: units)
    monkeypatch.setattr("secondlook.figures.threshold.average_ratios", lambda *_: draws)
    return by_strata


def test_too_many_subgroups_for_one_panel_are_divided_by_factor():
    few = [row_of(f"er={level}") for level in "+-"]
    assert panels_of(few) == [few]
    assert panels_of(MANY) == [MANY[:3], MANY[3:6], MANY[6:]]


@pytest.mark.parametrize(("width", "columns"), [(180.0, 2), (88.0, 1)])
def test_shrinkage_of_many_subgroups_has_a_panel_for_each_factor(of_factors, width, columns):
    figure = figures.draw(of_factors, "shrinkage-er", width)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 3
    assert len({axes.get_position().x0 for axes in panels}) == columns
    for axes, rows in zip(panels, (MANY[:3], MANY[3:6], MANY[6:]), strict=True):
        links = [list(line.get_ydata()) for line in axes.lines if line.get_gid() == "link"]
        assert links == [[row.raw[0], row.shrunken[0]] for row in rows]
        assert [text.get_text() for text in axes.texts] == ["overall", *(row.key for row in rows)]
        word, *labels = (Text.get_window_extent(text) for text in axes.texts)  # without its arrow
        furthest = min(line.get_window_extent().x0 for line in axes.lines if line.get_gid() == "interval")
        assert word.x1 < furthest
        assert not [(one, two) for place, one in enumerate(labels) for two in labels[:place] if one.overlaps(two)]
        low, high = axes.get_ylim()
        assert low < min(row.raw[1] for row in rows) and max(row.raw[2] for row in rows) < high
    lowest = panels[-columns:]
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in lowest)


@pytest.mark.parametrize("width", [180.0, 88.0])
def test_legends_of_thresholds_cover_no_panel(of_factors, width):
    figure = figures.draw(of_factors, "threshold-er", width)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert len(panels) == 3
    for axes, rows in zip(panels, (MANY[:3], MANY[3:6], MANY[6:]), strict=True):
        legend = axes.get_legend()
        assert [text.get_text() for text in legend.get_texts()] == [row.key for row in rows]
        box = legend.get_window_extent()
        assert not [other for other in panels if box.overlaps(other.get_window_extent())]
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_the_cox_fit_stands_where_nothing_is_published(by_strata):
    compared = by_strata.comparison.copy()
    assert frequentist(by_strata) == "published"
    compared[["published", "published_lower", "published_upper", "published_level"]] = np.nan
    ours = compared["subgroup"].eq("er=+") & compared["model"].eq("subgroups")
    compared.loc[ours, ["cox", "cox_lower", "cox_upper"]] = 0.61, 0.4, 0.93
    changed = replace(by_strata, comparison=compared)
    assert frequentist(changed) == "cox"
    (row,) = (row for row in subgroup_rows(changed, "er") if row.key == "er=+")
    assert row.frequentist == (0.61, 0.4, 0.93)
    texts = [text.get_text() for axes in figures.draw(changed, "forest").axes for text in axes.texts]
    assert "Cox\nHR (95% CI)" in texts and "0.61 (0.40\N{EN DASH}0.93)" in texts


def test_shrinkage_joins_the_estimates_without_and_with_it(by_strata):
    figure = figures.draw(by_strata, "shrinkage-er")
    links = artists(figure, "link")
    for line, key in zip(links, STRATA, strict=True):
        expected = [estimate(by_strata, shrinkage, key)["median"] for shrinkage in ("none", "half-normal")]
        assert list(line.get_ydata()) == pytest.approx(expected)
    tau = by_strata.estimates.query("estimand == 'interaction_sd' and shrinkage == 'half-normal'").iloc[0]
    assert f"{tau['median']:.2f}" in figure.axes[0].get_title(loc="left")


def test_shrinkage_needs_both_fits(without_raw):
    assert figures.draw(without_raw, "shrinkage-er") is None


def test_forest_has_three_marks_whose_areas_go_with_information(by_strata):
    figure = figures.draw(by_strata, "forest-er")
    marks = {line.get_xdata()[0]: line.get_markersize() for line in artists(figure, "estimate")}
    shrunken = {key: estimate(by_strata, "half-normal", key) for key in ("overall", *STRATA)}
    raw = {key: estimate(by_strata, "none", key) for key in STRATA}
    assert len(marks) == 3 * 2 + 2
    information_of = [information((row["median"], row["lower"], row["upper"])) for row in shrunken.values()]
    largest = max(information_of)
    overall = marks[shrunken["overall"]["median"]]
    for rows in (shrunken, raw):
        for row in rows.values():
            share = information((row["median"], row["lower"], row["upper"])) / largest
            assert (marks[row["median"]] / max(marks.values())) ** 2 == pytest.approx(np.clip(share, 0.25, 1))
    assert overall == max(marks.values())


def test_forest_without_the_unpooled_fit_has_two_marks(without_raw):
    assert all(row.raw is None for row in subgroup_rows(without_raw, "er"))
    assert len(artists(figures.draw(without_raw, "forest-er"), "estimate")) == 2 + 3


def test_the_overview_sets_the_overall_effects_side_by_side(by_strata):
    labels = [row.label for row in forest_rows(by_strata)]
    assert labels[:4] == ["All patients", "Crude", "Standardised over receptor", "Adjusted for imbalance"]
    assert labels[4:7] == ["Receptor", "ER(+)", "ER(-)"]
    standardised = forest_rows(by_strata)[2]
    assert standardised.posterior[0] == estimate(by_strata, "half-normal", "overall")["median"]


def test_what_other_endpoints_end_with_are_events(by_strata):
    record = by_strata.record.model_copy(update={"endpoint": "progression-free survival"})
    deaths = by_strata.checks[by_strata.checks["item"].eq("hazard_ratio")].assign(item="deaths")
    other = replace(by_strata, record=record, checks=deaths)
    survival, checks = (
        figures.draw(other, name).axes[0].get_title(loc="left") for name in ("survival-er", "checks-er")
    )
    assert survival.splitlines() == ["ER(+)", "events: LRT 38/90, ST 38/70"]
    assert checks == "Events"


def test_partitions_come_in_the_records_order_whatever_the_files_do(by_strata):
    prior = by_strata.fits[0].prior
    fits = [replace(made_fit("none", prior, 0.1), partition=name) for name in ("metastasis", "age", "er", "receptor")]
    record = load_record("mf07-01")
    found = partitions_of(replace(by_strata, record=record, fits=tuple(fits)))
    assert found == ["receptor", "age", "metastasis", "er"]


def test_the_forest_says_what_the_posterior_is(by_strata):
    (note,) = [text.get_text() for text in figures.draw(by_strata, "forest-er").texts]
    assert note == "posterior under the weak prior; subgroups shrunken (half-normal), average up to 36 months"


def test_long_labels_of_a_partition_take_two_lines(by_strata):
    label = "Multiple pulmonary/liver or other"
    longer = by_strata.estimates.replace({"label": {"ER(-)": label}})
    drawn = figures.draw(replace(by_strata, estimates=longer), "forest-er")
    texts = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert "    Multiple pulmonary/liver\n    or other" in texts
    assert "Published\nHR (95% CI)" in texts


@pytest.mark.parametrize("name", ["forest", "forest-er"])
def test_headings_of_many_factors_leave_room_for_the_plot(by_strata, monkeypatch, name):
    width = figures.draw(by_strata, name).axes[0].get_position().width
    monkeypatch.setattr("secondlook.figures.forest_rows.title_of", lambda *_: "Menopause, age, grade, nodes, ER, PR")
    (axes,) = figures.draw(by_strata, name).axes
    assert "Menopause, age, grade,\nnodes, ER, PR" in [text.get_text() for text in axes.texts]
    assert axes.get_position().width > width - 0.02


def test_survival_by_stratum_shows_each_stratum_with_its_landmarks(by_strata):
    figure = figures.draw(by_strata, "survival-er")
    positive, negative = figure.axes
    assert positive.get_title(loc="left").splitlines() == ["ER(+)", "deaths: LRT 38/90, ST 38/70"]
    rows = by_strata.estimates
    chosen = rows.estimand.eq("survival_treatment") & rows.shrinkage.eq("half-normal") & rows.subgroup.eq("er=-")
    (curve,) = [line for line in negative.get_lines() if line.get_gid() == "curve-treatment"]
    assert np.interp(36, *curve.get_data()) == pytest.approx(rows[chosen].iloc[0]["median"], abs=1e-3)
    assert [len(axes.containers) for axes in (positive, negative)] == [1, 0]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["LRT", "ST", "Median and 95% band", "Published, with its interval"]
