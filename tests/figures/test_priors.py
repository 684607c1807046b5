import numpy as np
import pytest
from scipy.stats import norm

from secondlook import figures
from secondlook.figures.style import interval_text, probability_text


@pytest.fixture(scope="module")
def figure(drawn):
    return drawn["priors"]


def curve(axes, gid):
    (line,) = [line for line in axes.lines if line.get_gid() == gid]
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_there_is_a_panel_per_prior_in_the_order_of_the_run(figure):
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["Weak", "Sceptical"]
    assert [axes.texts[1].get_text() for axes in figure.axes] == ["Normal(0, 1)", "Normal(0, 0.3)"]


def test_dashed_line_is_the_priors_density(figure):
    for axes, sd in zip(figure.axes, (1.0, 0.3), strict=True):
        ratios, density = curve(axes, "prior")
        np.testing.assert_allclose(density, norm.pdf(np.log(ratios), 0, sd))


def test_solid_line_is_the_posteriors_density(figure):
    for axes, middle in zip(figure.axes, (-0.42, -0.3), strict=True):
        ratios, density = curve(axes, "posterior")
        assert np.trapezoid(density, np.log(ratios)) == pytest.approx(1, abs=0.01)
        np.testing.assert_allclose(density, norm.pdf(np.log(ratios), middle, 0.15), atol=0.2)


def test_probability_and_estimate_are_those_of_the_table(figure, reanalysis):
    rows = reanalysis.estimates.query("model == 'piecewise'").set_index("prior")
    for axes, prior in zip(figure.axes, ("weak", "sceptical"), strict=True):
        written, row = [text.get_text() for text in axes.texts], rows.loc[prior]
        assert f"P(benefit) = {probability_text(row['prob_benefit'])}" in written
        assert f"HR {interval_text(row['median'], row['lower'], row['upper'])}" in written


def test_only_the_region_of_benefit_is_shaded_as_such(figure):
    for axes in figure.axes:
        shaded = {one.get_label(): one.get_paths()[0].vertices[:, 0] for one in axes.collections}
        assert shaded["posterior, HR below 1: benefit"].max() <= 1
        assert shaded["posterior, HR above 1"].min() >= 0.99


def test_axis_is_in_hazard_ratios_on_a_log_scale(figure):
    axes = figure.axes[-1]
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel().startswith("Hazard ratio (LRT / ST), log scale")
    assert {0.5, 1.0, 2.0} <= set(axes.get_xticks())


def test_legend_explains_shades_and_lines(figure):
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["posterior, HR below 1: benefit", "posterior, HR above 1", "prior on the log HR"]


def test_without_survival_table_the_printed_overall_effect_is_drawn(remade):
    alone = remade("effects")
    figure = figures.draw(alone, "priors")
    ratios, density = curve(figure.axes[0], "posterior")
    row = alone.estimates.query("prior == 'weak' and subgroup == 'overall'").iloc[0]
    assert ratios[density.argmax()] == pytest.approx(row["median"], abs=0.06)


def test_nothing_is_drawn_where_there_is_no_proportional_overall_effect(remade):
    assert figures.draw(remade("nonproportional"), "priors") is None
