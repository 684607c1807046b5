import dataclasses

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from secondlook import figures
from secondlook.figures.imbalance import steps, whole_effects
from secondlook.figures.style import BLUE, ORANGE, interval_text


@pytest.fixture(scope="module")
def axes(drawn):
    return drawn["imbalance"].axes[0]


def texts(axes):
    return [text.get_text() for text in axes.texts]


def lines(axes, gid):
    return [np.asarray(line.get_xdata(), dtype=float) for line in axes.lines if line.get_gid() == gid]


def test_rows_lead_from_crude_to_both_adjusted_ratios(axes):
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["Crude", "ER(+)", "T4", "Adjusted, first order", "Adjusted, exact mixture"]


def test_steps_take_each_shift_out_of_the_crude_ratio(axes, reanalysis):
    crude = whole_effects(reanalysis)["Crude"][0]
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    ends = crude * np.exp([0, 0.09, 0.07])
    np.testing.assert_allclose(bars, np.stack([ends[:-1], ends[1:]], axis=1))
    assert ends[-1] == pytest.approx(lines(axes, "estimate")[1][0], rel=1e-6)


def test_intervals_are_those_of_the_tables(axes, reanalysis):
    found = lines(axes, "interval")
    first, second = steps(reanalysis.imbalance, whole_effects(reanalysis)["Crude"][0])
    expected = [first.start * np.exp([0.04, 0.14]), second.start * np.exp([-0.07, 0.03])]
    expected += [values[1:] for values in whole_effects(reanalysis).values()]
    np.testing.assert_allclose(found, expected)


def test_ends_are_the_estimates_under_the_primary_prior(axes, reanalysis):
    rows = reanalysis.estimates.query("prior == 'weak' and model in ('piecewise', 'imbalance')")
    assert len(rows) == 3
    for _, row in rows.iterrows():
        assert f"HR {interval_text(row['median'], row['lower'], row['upper'])}" in texts(axes)


def test_directions_differ_in_more_than_colour(axes):
    rises, falls = axes.patches
    assert rises.get_width() > 0 > falls.get_width()
    assert (rises.get_hatch(), falls.get_hatch()) == (None, "///")
    assert matplotlib.colors.same_color(rises.get_facecolor(), ORANGE)
    assert matplotlib.colors.same_color(falls.get_edgecolor(), BLUE)


def test_numbers_stand_in_columns(axes):
    assert {"ST", "LRT", "70%", "90%", "\N{MINUS SIGN}0.090", "0.020"} <= set(texts(axes))


def test_axis_shows_hazard_ratios_below_and_their_logarithms_above(drawn):
    below, above = drawn["imbalance"].axes
    assert below.get_xscale() == "log" and above.get_xscale() == "linear"
    np.testing.assert_allclose(np.log(below.get_xlim()), above.get_xlim())
    assert below.get_xlabel().startswith("Hazard ratio (LRT / ST), log scale")
    assert "weak prior on each effect" in below.get_xlabel()
    assert above.get_xlabel() == "Log hazard ratio"


@pytest.mark.parametrize("width", [88.0, 120.0, 180.0])
def test_no_text_is_cut_off_and_none_overlaps_another(reanalysis, width):
    figure = figures.draw(reanalysis, "imbalance", width)
    renderer = FigureCanvasAgg(figure).get_renderer()
    below, above = figure.axes
    shown = [*below.texts, *below.get_yticklabels(), *below.get_xticklabels(), below.xaxis.label]
    shown += [*above.get_xticklabels(), above.xaxis.label, *figure.legends[0].get_texts()]
    boxes = [text.get_window_extent(renderer) for text in shown if text.get_text()]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    pairs = [(one, other) for place, one in enumerate(boxes) for other in boxes[place + 1 :]]
    assert not any(one.overlaps(other) for one, other in pairs)


def test_nothing_is_drawn_where_nothing_was_adjusted(reanalysis, remade):
    assert figures.draw(remade("effects"), "imbalance") is None
    assert figures.draw(dataclasses.replace(reanalysis, imbalance=reanalysis.imbalance[:0]), "imbalance") is None
