"""Predictive checks and priors: what is drawn is what the tables hold."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from secondlook import figures
from secondlook.figures.checks import panels
from secondlook.figures.style import BLUE, ORANGE


def drawn_of(axes, gid):
    return [line for line in axes.get_lines() if line.get_gid() == gid]


def test_every_number_is_drawn_once_with_its_interval_under_both_models(reanalysis, drawn):
    rows = reanalysis.checks
    rows = rows[rows["prior"].eq("weak")]
    (axes,) = (axes for axes in drawn["checks"].axes if axes.get_title(loc="left") == "Hazard ratio (log scale)")
    ratio = rows[rows["item"].eq("hazard_ratio")].set_index("model")
    places = [label.get_text() for label in axes.get_yticklabels()]
    assert places == ["Cox", "From survival, 24", "From survival, 36", "From survival, 36 over 24"]
    printed = [line.get_xdata()[0] for line in drawn_of(axes, "printed") if line.get_ydata()[0] == 0]
    assert printed == pytest.approx([ratio["value"].iloc[0]] * 2)
    for model, colour in (("piecewise", ORANGE), ("nonproportional", BLUE)):
        lines = [list(line.get_xdata()) for line in axes.get_lines() if line.get_color() == colour]
        assert [ratio.loc[model, "lower"], ratio.loc[model, "upper"]] in lines


def test_limits_of_intervals_are_left_out_and_kinds_keep_apart(reanalysis):
    rows = pd.concat([reanalysis.checks, reanalysis.checks.assign(item="survival lower")])
    shown = rows[~rows["item"].str.endswith(" lower") & rows["prior"].eq("weak")]
    found = {panel.title: set(panel.rows["item"]) for panel in panels(reanalysis, shown, "")}
    assert found["p-value (log scale)"] == {"hazard_ratio p", "survival p"}
    assert found["Survival (%), time in months"] == {"survival", "survival difference"}
    assert set.union(*found.values()) == set(shown["item"])


def test_an_infinite_limit_runs_off_the_axis(remade):
    made = remade("piecewise")
    made.checks.loc[made.checks["item"].eq("median"), ["q75", "upper"]] = np.inf
    figure = figures.draw(made, "checks")
    (axes,) = (axes for axes in figure.axes if axes.get_title(loc="left").startswith("Median survival"))
    furthest = max(max(line.get_xdata()) for line in axes.get_lines())
    assert furthest > axes.get_xlim()[1]
    assert np.isfinite(axes.get_xlim()).all()


def test_priors_and_posteriors_are_those_of_the_table(reanalysis, drawn):
    rows = reanalysis.prior_predictive
    figure = drawn["prior-predictive"]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:2] == ["Survival, ST", "Survival, LRT"]
    free = rows[rows["model"].eq("nonproportional") & rows["estimand"].eq("survival_control")]
    middle = next(line for line in figure.axes[0].get_lines() if line.get_linewidth() == 1.5)
    kept = free[free["time"].le(30)]
    np.testing.assert_allclose(middle.get_ydata()[1 : 1 + len(kept)], kept["posterior_median"])
    assert middle.get_ydata()[0] == 1
    assert [label.get_text() for label in figure.axes[3].get_yticklabels()] == ["weak", "sceptical"]
    (note,) = (text.get_text() for text in figure.axes[2].texts)
    for estimand, line in (("hazard_ratio_per_doubling", 1), ("hazard_ratio_step_sd", 3)):
        change = rows[rows["estimand"].eq(estimand)].iloc[0]
        for side in ("prior", "posterior"):
            assert f"{side} {change[f'{side}_median']:.2f}" in note.splitlines()[line]


def test_a_median_that_nobody_reaches_is_left_out(remade):
    made = remade("piecewise")
    numbers = ["lower", "q25", "median", "q75", "upper", "value"]
    made.checks.loc[made.checks["item"].eq("median"), numbers] = np.inf
    titles = [axes.get_title(loc="left") for axes in figures.draw(made, "checks").axes]
    assert titles and not any(title.startswith("Median survival") for title in titles)


def test_priors_of_one_interval_are_drawn_to_its_end(reanalysis):
    """The paper's last printed time lies within the only interval."""
    rows = reanalysis.prior_predictive
    few = rows[rows["time"].isna() | rows["time"].eq(rows["time"].max())]
    figure = figures.draw(dataclasses.replace(reanalysis, prior_predictive=few), "prior-predictive")
    line = figure.axes[0].lines[1]
    assert list(line.get_xdata()) == [0, few["time"].max()]


def test_numbers_that_are_all_the_same_have_room_beside_them(reanalysis):
    """Survival of 1 that every simulated trial has: nobody dies."""
    rows = reanalysis.checks[reanalysis.checks["item"].eq("survival")]
    same = rows.assign(**dict.fromkeys(("lower", "q25", "median", "q75", "upper", "value"), 1.0))
    (axes,) = figures.draw(dataclasses.replace(reanalysis, checks=same), "checks").axes
    assert axes.get_xlim() == pytest.approx((95, 105))


def test_p_values_of_zero_run_off_the_axis(reanalysis):
    rows = reanalysis.checks[reanalysis.checks["item"].eq("hazard_ratio")]
    zero = rows.assign(
        item="hazard_ratio p", **dict.fromkeys(("lower", "q25", "median", "q75", "upper", "value"), 0.0)
    )
    (axes,) = figures.draw(dataclasses.replace(reanalysis, checks=zero), "checks").axes
    assert axes.get_xscale() == "log"
    (printed, *_) = drawn_of(axes, "printed")
    assert 0 < printed.get_xdata()[0] < axes.get_xlim()[0]
