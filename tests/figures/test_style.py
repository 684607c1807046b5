import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from secondlook.figures import style


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.997, "0.997"), (0.5, "0.500"), (0.99951, ">0.999"), (1.0, ">0.999"), (0.0, "<0.001"), (0.0006, "0.001")],
)
def test_probability_is_never_printed_as_certain(probability, text):
    assert style.probability_text(probability) == text


def test_interval_is_printed_as_papers_do():
    assert style.interval_text(0.659, 0.4904, 0.884) == "0.66 (0.49\N{EN DASH}0.88)"
    assert style.interval_text(0.05, 1e-9, 7e14) == "0.05 (0.00\N{EN DASH}inf)"


@pytest.mark.parametrize(
    ("last", "unit", "ticks"),
    [
        (12, "months", [0, 3, 6, 9, 12]),
        (30, "months", [0, 6, 12, 18, 24, 30]),
        (70, "months", [0, 12, 24, 36, 48, 60]),
        (72, "months", [0, 12, 24, 36, 48, 60, 72]),
        (240, "months", [0, 60, 120, 180, 240]),
        (7, "years", [0, 1, 2, 3, 4, 5, 6, 7]),
        (2000, "days", [0, 500, 1000, 1500, 2000]),
    ],
)
def test_time_ticks_are_round(last, unit, ticks):
    assert style.time_ticks(last, unit).tolist() == ticks


@pytest.mark.parametrize("which", ["x", "y"])
def test_ratio_axis_is_logarithmic_with_plain_numbers(which):
    axes = Figure().add_subplot()
    style.ratio_axis(axes, which, 0.2, 5.0)
    axis = axes.xaxis if which == "x" else axes.yaxis
    assert axis.get_scale() == "log"
    assert axis.get_majorticklocs().tolist() == [0.25, 0.5, 1, 2, 4]
    assert axis.get_major_formatter().format_ticks([0.25, 0.5, 1, 2, 4]) == ["0.25", "0.5", "1", "2", "4"]
    assert axis.get_minorticklocs().size == 0


@pytest.mark.parametrize(
    ("limits", "usual", "ticks"),
    [
        ((0.7, 1.4), style.FINE_RATIO_TICKS, [0.7, 0.8, 1, 1.2, 1.4]),
        ((0.37, 1.55), style.RATIO_TICKS, [0.4, 0.5, 1, 1.5]),
        ((0.2, 5.0), style.RATIO_TICKS, [0.25, 0.5, 1, 2, 4]),
        ((0.33, 1.26), style.FINE_RATIO_TICKS, [0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2]),
        ((1.05, 1.45), style.RATIO_TICKS, [1.1, 1.4]),
        ((0.143, 2.9), style.RATIO_TICKS, [0.25, 0.5, 1, 2]),
    ],
)
def test_ticks_of_a_ratio_axis_leave_no_end_bare(limits, usual, ticks):
    axes = Figure().add_subplot()
    style.ratio_axis(axes, "x", *limits, usual)
    assert axes.get_xticks().tolist() == ticks


def test_style_leaves_the_callers_settings_alone():
    before = mpl.rcParams["font.size"]
    with mpl.rc_context({"font.size": 33, "axes.spines.top": True}):
        with style.styled():
            assert mpl.rcParams["font.size"] == style.SETTINGS["font.size"]
        assert mpl.rcParams["font.size"] == 33
    assert mpl.rcParams["font.size"] == before


def test_arms_differ_by_more_than_colour():
    control, treatment = style.ARM_STYLES["control"], style.ARM_STYLES["treatment"]
    assert (control.line, control.marker) != (treatment.line, treatment.marker)
    assert control.line != treatment.line
    assert control.marker != treatment.marker
    assert np.unique([control.colour, treatment.colour]).size == 2
