from dataclasses import replace

import numpy as np
import pytest

from secondlook import figures
from secondlook.figures import forest, style
from secondlook.figures.style import interval_text, probability_text


@pytest.fixture(scope="module")
def figure(drawn):
    return drawn["forest"]


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def lines(axes, gid):
    return [line for line in axes.lines if line.get_gid() == gid]


def estimates(reanalysis):
    """Return what the rows must show, in their order: the posterior hazard ratio and P(benefit)."""
    rows = reanalysis.estimates.query("prior == 'weak' and estimand == 'hazard_ratio'")
    return [
        rows[rows["model"].eq(model) & rows["subgroup"].eq(subgroup)].iloc[0]
        for model, subgroup in (
            ("piecewise", "overall"),
            ("effects", "er=+"),
            ("effects", "er=-"),
            ("effects", "sex=f"),
        )
    ]


def test_rows_are_the_trial_then_the_subgroups_under_their_partition(figure):
    labels = [text.strip() for text in texts(figure)][2:8]
    assert labels == ["All patients", "Receptor", "ER(+)", "ER(-)", "Sex", "Women \N{DAGGER}"]


def test_points_are_the_published_and_the_posterior_hazard_ratios(figure, reanalysis):
    drawn = [line.get_xdata()[0] for line in lines(figure.axes[0], "estimate")]
    assert drawn[::2] == [0.66, 0.60, 2.20, 0.70]
    np.testing.assert_allclose(drawn[1::2], [row["median"] for row in estimates(reanalysis)])


def test_intervals_are_those_of_the_tables(figure, reanalysis):
    drawn = [tuple(line.get_xdata()) for line in lines(figure.axes[0], "interval")]
    assert drawn[0] == (0.49, 0.88)
    np.testing.assert_allclose(drawn[1::2], [(row["lower"], row["upper"]) for row in estimates(reanalysis)])


def test_an_interval_too_wide_for_the_axis_ends_in_an_arrow(figure):
    axes = figure.axes[0]
    (arrow,) = lines(axes, "arrow")
    assert arrow.get_marker() == ">"
    assert arrow.get_xdata()[0] == axes.get_xlim()[1] < 6.05


def test_columns_give_the_estimates_as_numbers(figure, reanalysis):
    written = texts(figure)
    assert interval_text(0.66, 0.49, 0.88) in written
    for row in estimates(reanalysis):
        assert interval_text(row["median"], row["lower"], row["upper"]) in written
        assert probability_text(row["prob_benefit"]) in written


def test_axis_says_what_it_is_and_whom_it_favours(figure):
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "Hazard ratio (LRT / ST), log scale"
    assert "\N{LEFTWARDS ARROW} favours LRT" in texts(figure)
    assert "favours ST \N{RIGHTWARDS ARROW}" in texts(figure)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_rows_that_are_not_shrunken_have_a_note(figure, remade):
    (note,) = [text.get_text() for text in figure.texts]
    assert note.splitlines()[1].startswith("\N{DAGGER} not shrunken")
    (other,) = [text.get_text() for text in figures.draw(remade("piecewise"), "forest").texts]
    assert other == "posterior under the weak prior"


def test_heads_name_the_level_of_the_published_intervals(figure):
    assert "Published\nHR (95% CI)" in texts(figure)
    assert "Posterior\nHR (95% CrI)" in texts(figure)


def test_no_text_overlaps_another_or_leaves_the_figure(figure):
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in (*figure.axes[0].texts, *figure.texts) if text.get_text()]
    inside = figure.bbox.padded(0.5)
    assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes)
    assert not [(one, two) for place, one in enumerate(boxes) for two in boxes[:place] if one.overlaps(two)]


@pytest.mark.parametrize("width", [88, 180])
def test_long_names_stay_within_the_figure(remade, width):
    arms = {"treatment": "Chemotherapy plus antibody", "control": "Chemotherapy alone"}
    arms = {arm: {"label": label, "patients": 137} for arm, label in arms.items()}
    renamed = remade("piecewise", "effects", arms=arms)
    label = "Region of enrolment: the rest of the world"
    rows = [replace(row, label=label, indent=True) for row in forest.forest_rows(renamed)]
    with style.styled():
        figure = forest.draw_rows(renamed, rows, width)
        figure.canvas.draw()
        box = figure.axes[0].xaxis.label.get_window_extent()
        assert figure.bbox.contains(box.x0, box.y0) and figure.bbox.contains(box.x1, box.y1)
        boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    inside = figure.bbox.padded(0.5)
    assert all(inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1) for box in boxes)
    assert figure.axes[0].get_position().width * width > 34


def test_a_narrow_figure_drops_columns_before_its_plot_gets_too_narrow(reanalysis):
    narrow = figures.draw(reanalysis, "forest", 88)
    width = narrow.axes[0].get_position().width * 88
    assert width > 34
    assert "\nP(benefit)" in texts(narrow)
    assert "Published\nHR (95% CI)" not in texts(narrow)


def test_without_survival_table_the_overall_row_comes_from_the_printed_effect(remade):
    alone = remade("effects")
    row = alone.estimates.query("prior == 'weak' and subgroup == 'overall'").iloc[0]
    drawn = [line.get_xdata()[0] for line in lines(figures.draw(alone, "forest").axes[0], "estimate")]
    assert drawn[1] == pytest.approx(row["median"])


def test_an_estimate_beyond_the_usual_limits_widens_the_axis(remade):
    changed = remade("effects")
    changed.comparison.loc[changed.comparison["subgroup"].eq("er=-"), "published"] = 7.0
    axes = figures.draw(changed, "forest").axes[0]
    assert axes.get_xlim()[1] > 7.0


def test_no_forest_of_a_hazard_ratio_that_changes(remade):
    assert figures.draw(remade("nonproportional"), "forest") is None
