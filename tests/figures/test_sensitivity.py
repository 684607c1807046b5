"""Figures of what changes when assumptions do, drawn from made-up tables whose numbers are known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from scipy.stats import norm

from secondlook import figures
from secondlook.data.reading import load_record
from secondlook.figures.style import styled

MEAN, ERROR = -0.42, 0.15
NAMED = {"weak": (0.0, 1.0), "sceptical": (0.0, 0.3), "vague": (0.0, 10.0)}
KINDS = ("surface", "tipping", "alternatives")


def marked(axes, gid):
    (line,) = [line for line in axes.lines if line.get_gid() == gid]
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def test_named_priors_stand_where_they_are(drawn):
    for axes in drawn["surface"].axes[:2]:
        for name, (mean, sd) in NAMED.items():
            x, y = marked(axes, name)
            assert (x[0], y[0]) == pytest.approx((np.exp(mean), min(sd, 2.0)))
        assert {text.get_text() for text in axes.texts} >= {"weak", "sceptical", "vague (SD 10)"}


def test_cells_that_were_sampled_afresh_are_dotted(drawn):
    x, y = marked(drawn["surface"].axes[0], "sampled afresh")
    assert len(x) and (np.log(x) > 0.7).all() and (y < 0.2).all()


def test_the_surface_is_the_table(drawn):
    """The line of 0.95 runs where the conjugate posterior has it."""
    axes = drawn["surface"].axes[0]
    lines = next(one for one in axes.collections if list(getattr(one, "levels", ())) == [0.5, 0.9, 0.95, 0.975])
    for x, sd in lines.get_paths()[2].vertices:
        if 0.2 < sd < 0.33:
            precision = 1 / ERROR**2 + 1 / sd**2
            mean = -(sd**2) * (MEAN / ERROR**2 + norm.ppf(0.95) * np.sqrt(precision))
            assert np.log(x) == pytest.approx(mean, abs=0.05)
    titles = [axes.get_title(loc="left") for axes in drawn["surface"].axes[:2]]
    assert titles == ["P(HR < 1)", "P(HR < 0.80)"]


def test_tipping_lines_are_the_tables(drawn):
    left, right = drawn["tipping"].axes
    assert marked(left, "95% interval reaches 1: SD 0.140")[0][0] == 0.14
    assert marked(left, "by the printed interval: SD 0.150")[0][0] == 0.15
    assert marked(right, "95% interval reaches 1: 1.13")[0][0] == pytest.approx(np.exp(0.12))
    total = np.exp(0.07)  # the made-up imbalance's shifts add up to -0.07
    assert marked(right, f"imbalance, first order: {total:.2f}")[0][0] == pytest.approx(total)


def test_bands_are_the_intervals(drawn, reanalysis):
    for axes, name in zip(drawn["tipping"].axes, ("sceptical SD", "bias"), strict=True):
        rows = reanalysis.sensitivity[reanalysis.sensitivity["varied"].eq(name)]
        np.testing.assert_allclose(marked(axes, "median")[1], rows["median"])
        assert axes.get_xlim()[0] <= marked(axes, "median")[0].min()


def test_alternatives_are_in_order_with_their_numbers(drawn):
    (axes,) = drawn["alternatives"].axes
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [
        *("Prior", "weak", "sceptical", "vague"),
        *("Intervals of the model", "one interval", "Reconstruction without", "follow-up"),
    ]
    assert [tick.get_fontweight() for tick in axes.get_yticklabels()][:2] == ["bold", "normal"]
    weak = np.exp(MEAN / ERROR**2 / (1 / ERROR**2 + 1))
    assert marked(axes, "weak")[0][0] == pytest.approx(weak)
    assert any(text.get_text().startswith(f"{weak:.2f} (") for text in axes.texts)


def test_subgroups_tip_where_the_table_says(reanalysis):
    from secondlook.figures.tipping import partition_tipping

    figure = partition_tipping(reanalysis, "er")
    assert list(marked(figure.axes[0], "95% interval reaches 1")[0]) == pytest.approx([1.1, 0.9, 0.7])
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        *("All patients, standardised\nover receptor", "er=+", "er=-")
    ]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["0.7", "0.8", "1", "1.2", "1.4"]
    assert partition_tipping(reanalysis, "sex") is None


@pytest.mark.parametrize(("width", "title"), [(180.0, 1), (88.0, 2)])
def test_many_factors_are_told_by_their_number(reanalysis, width, title):
    from secondlook.figures.partition_priors import partition_priors
    from secondlook.figures.tipping import partition_tipping

    joint = "menopause,age,grade,nodes,er,pr"
    tipping = reanalysis.tipping.replace({"partition": {"er": joint}})
    sensitivity = reanalysis.sensitivity.replace({"partition": {"er": joint}, "subgroup": {"er=+": "overall"}})
    of_six = dataclasses.replace(reanalysis, record=load_record("gbsg2"), tipping=tipping, sensitivity=sensitivity)
    for draw in (partition_priors, partition_tipping):
        with styled():
            figure = draw(of_six, joint, width)
            figure.draw_without_rendering()
        (axes,) = figure.axes
        assert axes.get_yticklabels()[0].get_text() == "All patients, standardised\nover 6 factors"
        (drawn,) = (text for text in axes.findobj(Text) if text.get_text().startswith("Menopause, age"))
        lines = drawn.get_text().splitlines()
        assert len(lines) == title and " ".join(lines) == "Menopause, age, grade, nodes, ER, PR"
        assert_within(figure, drawn)
        assert_within(figure, axes.xaxis.label)


def assert_within(figure, text):
    box = text.get_window_extent()
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


def test_a_long_label_of_the_ratios_fits_into_a_narrow_figure(reanalysis):
    figure = figures.draw(dataclasses.replace(reanalysis, record=load_record("gbsg2")), "priors", 88.0)
    assert "(hormones / no hormones)" in figure.axes[-1].get_xlabel()
    assert_within(figure, figure.axes[-1].xaxis.label)


def test_subgroups_stand_side_by_side_under_every_prior(reanalysis):
    from secondlook.figures.partition_priors import partition_priors

    rows = reanalysis.sensitivity[reanalysis.sensitivity["model"].eq("subgroups")]
    rows = pd.concat([rows, rows.assign(shrinkage="none")], ignore_index=True)
    figure = partition_priors(dataclasses.replace(reanalysis, sensitivity=rows), "er")
    (axes,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(NAMED)
    for row in rows[rows["subgroup"].eq("er=+")].to_dict("records"):
        x, y = marked(axes, row["prior"])
        assert list(x) == [row["median"]] * 2 and y[1] - y[0] > len(NAMED)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["er=+", "er=-"]
    alone = rows[rows["prior"].eq("weak")]
    assert partition_priors(dataclasses.replace(reanalysis, sensitivity=alone), "er") is None


def test_narrow_figures_fit(reanalysis):
    for kind in KINDS:
        assert figures.draw(reanalysis, kind, 88.0).get_figwidth() * 25.4 == pytest.approx(88)


def test_nothing_is_drawn_where_nothing_was_varied(remade):
    for kind in KINDS:
        assert figures.draw(remade("effects"), kind) is None
