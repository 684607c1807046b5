"""The forest of trials: what stands in it."""

import numpy as np
import pytest

from secondlook import figures
from secondlook.data import load_record
from secondlook.data.evidence import pooled_trials
from secondlook.figures.evidence import evidence_rows
from secondlook.figures.style import interval_text
from secondlook.inference import Options, synthesis

STUDIES = pooled_trials(load_record("mf07-01"))


@pytest.fixture(scope="module")
def figure(drawn):
    return drawn["evidence"]


def lines(figure, gid):
    return [line for line in figure.axes[0].lines if line.get_gid() == gid]


def written(figure):
    return [text.get_text().strip() for text in figure.axes[0].texts]


def test_rows_are_the_trials_then_their_average_and_a_new_trial(figure):
    labels = ["Trials", *(one.label for one in STUDIES), "Together", "Average", "A new trial (prediction)"]
    assert written(figure)[2 : 2 + len(labels)] == labels


def test_marks_are_printed_then_shrunken_then_predicted_by_the_others(figure, reanalysis):
    found = reanalysis.evidence.query("tau_scale == 0.5 or tau_scale != tau_scale")
    ratios = found[found["quantity"].eq("hazard_ratio")].set_index(["study", "method"])["estimate"]
    others = found[found["quantity"].eq("prediction") & found["method"].eq("bayes")].set_index("without")["estimate"]
    expected = [
        value for one in STUDIES for value in (ratios[one.id, "printed"], ratios[one.id, "shrunken"], others[one.id])
    ]
    marks = [line.get_xdata()[0] for line in lines(figure, "estimate")]
    assert marks[: len(expected)] == pytest.approx(expected)
    assert np.round(marks[len(expected) :], 2).tolist() == [0.93, 0.93, 0.93, 0.93]  # both methods agree here


def test_numbers_stand_in_columns(figure):
    for text in (
        interval_text(0.66, 0.49, 0.88),
        interval_text(0.76, 0.56, 0.99),
        interval_text(1.02, 0.58, 1.91),
        interval_text(0.93, 0.75, 1.16),  # DerSimonian and Laird's
        "0.980",
    ):
        assert text in written(figure)
    assert "Printed\nHR (95% CI)" in written(figure) and "Others predict\nHR (95% PI)" in written(figure)


def test_legend_names_both_methods(figure):
    names = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert names == {"printed; DerSimonian-Laird", "shrunken; Bayes", "others predict"}


def test_two_trials_have_no_prediction_interval_by_moments():
    rows = evidence_rows(synthesis.evidence_rows(STUDIES[:2], Options()))
    new = rows[-1]
    assert np.isnan(new.frequentist[1]) and not np.isnan(new.posterior[1])


def test_without_pooled_trials_there_is_no_figure(remade):
    assert figures.draw(remade("effects"), "evidence") is None
