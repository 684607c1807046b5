import numpy as np
import pytest

from secondlook import figures


@pytest.fixture(scope="module")
def figure(drawn):
    return drawn["hazard-ratio"]


def ratios(reanalysis):
    fit = next(fit for fit in reanalysis.fits if (fit.model, fit.prior.name) == ("nonproportional", "weak"))
    return np.exp((fit.posterior["beta"] + fit.posterior["omega"]).to_numpy()).reshape(-1, 4)


def test_steps_are_the_medians_of_the_intervals_up_to_the_latest_printed_time(figure, reanalysis):
    (steps,) = [patch for patch in figure.axes[0].patches if patch.get_gid() == "median"]
    values, edges, _ = steps.get_data()
    assert edges.tolist() == [0, 12, 24, 36, 40]
    np.testing.assert_allclose(values, np.median(ratios(reanalysis), axis=0))


@pytest.mark.parametrize(("gid", "levels"), [("band-95", (0.025, 0.975)), ("band-50", (0.25, 0.75))])
def test_bands_are_quantiles(figure, reanalysis, gid, levels):
    (band,) = [one for one in figure.axes[0].collections if one.get_gid() == gid]
    corners = band.get_paths()[0].vertices
    first = corners[(corners[:, 0] > 0) & (corners[:, 0] <= 12), 1]
    expected = np.quantile(ratios(reanalysis)[:, 0], levels)
    assert np.isclose(first, expected[0]).any()
    assert np.isclose(first, expected[1]).any()


def test_the_proportional_hazard_ratio_is_a_line_with_its_estimate(figure, reanalysis):
    row = reanalysis.estimates.query("model == 'piecewise' and prior == 'weak'").iloc[0]
    (line,) = [line for line in figure.axes[0].lines if line.get_gid() == "proportional"]
    assert line.get_ydata()[0] == pytest.approx(row["median"])
    label = f"{row['median']:.2f} ({row['lower']:.2f}\N{EN DASH}{row['upper']:.2f})"
    assert label in line.get_label()


def test_axes_are_logarithmic_with_labels(figure):
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "Hazard ratio (LRT / ST), log scale"
    assert axes.get_xlabel() == "Time since randomisation (months)"
    written = [text.get_text() for text in axes.texts]
    assert written == ["favours\nST \N{UPWARDS ARROW}", "favours\nLRT \N{DOWNWARDS ARROW}"]
    assert any(line.get_ydata()[0] == 1 for line in axes.lines)


def test_without_a_printed_time_all_intervals_are_drawn(remade):
    figure = figures.draw(remade("nonproportional", survival=[], follow_up=[]), "hazard-ratio")
    (steps,) = [patch for patch in figure.axes[0].patches if patch.get_gid() == "median"]
    assert steps.get_data().edges[-1] == 48
    assert not [line for line in figure.axes[0].lines if line.get_gid() == "proportional"]


def test_proportional_hazards_alone_have_no_such_figure(remade):
    assert figures.draw(remade("piecewise"), "hazard-ratio") is None
