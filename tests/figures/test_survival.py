import dataclasses

import numpy as np
import pandas as pd
import pytest

from secondlook import figures
from secondlook.data.sources import Patients
from secondlook.data.table import survival_table
from secondlook.figures.survival import at_risk


@pytest.fixture(scope="module")
def figure(drawn):
    return drawn["survival"]


def by_gid(artists, gid):
    return next(artist for artist in artists if artist.get_gid() == gid)


def posterior_survival(reanalysis, model, arm, time):
    """Return survival before the first interval's end, by hand."""
    fit = next(fit for fit in reanalysis.fits if (fit.model, fit.prior.name) == (model, "weak"))
    draws = fit.posterior.isel(interval=0)
    log_hazard = draws["alpha"] + (arm == "treatment") * (draws["beta"] + draws.get("omega", 0))
    return np.exp(-time * np.exp(log_hazard)).to_numpy().ravel()


@pytest.mark.parametrize("arm", ["control", "treatment"])
def test_curves_and_bands_are_posterior_quantiles(figure, reanalysis, arm):
    (axes,) = figure.axes
    curve = by_gid(axes.lines, f"curve-{arm}")
    place = 15
    time, middle = curve.get_xdata()[place], curve.get_ydata()[place]
    assert 0 < time < 12
    expected = np.quantile(posterior_survival(reanalysis, "nonproportional", arm, time), (0.025, 0.5, 0.975))
    assert middle == pytest.approx(expected[1])
    corners = by_gid(axes.collections, f"band-{arm}").get_paths()[0].vertices
    at_time = corners[np.isclose(corners[:, 0], time), 1]
    np.testing.assert_allclose([at_time.min(), at_time.max()], expected[[0, 2]])


def test_proportional_curves_stand_beside(figure, reanalysis):
    line = by_gid(figure.axes[0].lines, "proportional-treatment")
    survival = np.median(posterior_survival(reanalysis, "piecewise", "treatment", line.get_xdata()[15]))
    assert line.get_ydata()[15] == pytest.approx(survival)


def test_the_papers_landmarks_of_all_patients_stand_on_top(figure):
    (control, treatment) = figure.axes[0].containers
    assert [bars.lines[0].get_gid() for bars in (control, treatment)] == [
        "landmark-control-36",
        "landmark-treatment-36",
    ]
    for bars, middle, ends in ((control, 0.50, (0.41, 0.59)), (treatment, 0.60, (0.51, 0.68))):
        point, _, (interval,) = bars.lines
        assert point.get_ydata()[0] == pytest.approx(middle)
        assert point.get_xdata()[0] == pytest.approx(36, abs=0.5)
        np.testing.assert_allclose(interval.get_segments()[0][:, 1], ends)


def test_curves_end_where_the_paper_prints_nothing_more_of_both_arms(figure):
    assert by_gid(figure.axes[0].lines, "curve-control").get_xdata()[-1] == 40
    assert figure.axes[0].get_xlim()[1] == pytest.approx(40, rel=0.02)


def test_axes_have_units_and_yearly_ticks(figure):
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Time since randomisation (months)"
    assert axes.get_ylabel() == "Overall survival (probability)"
    assert axes.get_xticks().tolist() == [0, 12, 24, 36]
    assert axes.get_ylim() == (0, 1)


def test_legends_name_arms_with_their_size_and_what_is_drawn(figure):
    arms = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert arms == ["LRT (n = 138)", "ST (n = 136)"]
    drawn = [text.get_text() for text in figure.legends[0].get_texts()]
    assert drawn[0] == "Hazard ratio free over time: median and 95% band"
    assert drawn[1:] == ["Proportional hazards: median", "Published, with its interval"]


def test_numbers_at_risk_are_patients_less_deaths_and_censored(figure, reanalysis):
    np.testing.assert_allclose(at_risk(reanalysis.table, "control", np.array([0, 12, 24])), [136, 118, 100])
    written = [text.get_text() for text in figure.axes[0].texts]
    assert written[0] == "Number at risk (reconstructed)"
    assert written[1:6] == ["LRT", "138", "120", "102", "84"]


def test_the_patients_of_an_arm_come_from_the_table_where_they_are_not_printed(remade):
    arms = {"control": {"label": "ST"}, "treatment": {"label": "LRT"}}
    figure = figures.draw(remade("piecewise", arms=arms), "survival")
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["LRT (n = 138)", "ST (n = 136)"]


def test_proportional_curves_have_the_bands_where_they_are_alone(remade):
    figure = figures.draw(remade("piecewise"), "survival")
    assert figure.legends[0].get_texts()[0].get_text() == "Proportional hazards: median and 95% band"


def test_known_patients_have_the_kaplan_meier_curve_of_their_table(reanalysis):
    """Yearly: 5 and then 6 of 20 controls die, all who are treated are censored in the second year."""
    deaths = [[[[5.0, 6.0, 0.0], [0.0, 0.0, 0.0]]]]
    exposure = [[[[210.0, 144.0, 108.0], [240.0, 120.0, 0.0]]]]
    censored = [[[[0.0, 0.0, 9.0], [0.0, 20.0, 0.0]]]]
    facts = {"trial": "made-up", "source": "patients", "time_unit": "months"}
    table = survival_table(deaths, exposure, censored, [[[20, 20]]], [0, 12, 24, 36], **facts)
    source = {"file": "p.csv", "time": "t", "event": "e", "arm": "a", "control": "0", "treatment": "1"}
    record = reanalysis.record.model_copy(update={"patients": Patients(**source)})
    known = dataclasses.replace(reanalysis, record=record, tables={"": table})
    figure = figures.draw(known, "survival")
    lines = [by_gid(figure.axes[0].lines, f"kaplan-meier-{arm}") for arm in ("control", "treatment")]
    assert [line.get_drawstyle() for line in lines] == ["steps-post"] * 2
    np.testing.assert_allclose(lines[0].get_xydata(), [[0, 1], [12, 0.75], [24, 0.45], [36, 0.45]])
    np.testing.assert_allclose(lines[1].get_xydata(), [[0, 1], [12, 1], [24, 1]])  # nobody is left
    assert "Kaplan-Meier" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_rebuilt_patients_have_no_kaplan_meier_curve(figure):
    assert not [line for line in figure.axes[0].lines if str(line.get_gid()).startswith("kaplan")]
    assert "Kaplan-Meier" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_digitised_points_are_drawn_up_to_the_end(reanalysis):
    sheet = pd.DataFrame(
        [
            ("", "curve", "control", 0.0, "1.0000"),
            ("", "curve", "control", 30.0, "0.6120"),
            ("", "curve", "treatment", 12.0, "0.9010"),
            ("", "curve", "treatment", 60.0, "0.5010"),
            ("", "at_risk", "control", 12.0, "100"),
            ("er", "curve", "control", 12.0, "0.7"),
        ],
        columns=["partition", "item", "arm", "time", "printed"],
    )
    digitised = dataclasses.replace(reanalysis, reconstruction=sheet)
    figure = figures.draw(digitised, "survival")
    points = [by_gid(figure.axes[0].lines, f"digitised-{arm}") for arm in ("control", "treatment")]
    assert [one.get_xydata().tolist() for one in points] == [[[0, 1], [30, 0.612]], [[12, 0.901]]]
    assert [text.get_text() for text in figure.legends[0].get_texts()][2:] == [
        "Digitised",
        "Published, with its interval",
    ]


def test_without_survival_table_there_are_no_curves(remade):
    assert figures.draw(remade("effects"), "survival") is None


def test_curves_reach_survival_of_one_arm_alone_and_nothing_stands_beyond_the_axis(remade, reanalysis):
    """The treatment's survival is printed at 44 months, the control's at 36; at 60 the models have ended."""
    printed = [*reanalysis.record.model_dump(mode="json", by_alias=True)["survival"]]
    printed += [{"arm": "treatment", "time": time, "estimate": "0.40"} for time in (44.0, 60.0)]
    (axes,) = figures.draw(remade("nonproportional", survival=printed), "survival").axes
    assert by_gid(axes.lines, "curve-treatment").get_xdata()[-1] == 44
    drawn = [bars.lines[0].get_gid() for bars in axes.containers]
    assert drawn == ["landmark-control-36", "landmark-treatment-36", "landmark-treatment-44"]
    assert all(bars.lines[0].get_xdata()[0] <= axes.get_xlim()[1] for bars in axes.containers)
