import numpy as np
import pytest
from matplotlib import pyplot as plt

from secondlook import figures
from secondlook.figures.diagnostics import thinning, worst_imputation


@pytest.fixture(scope="module")
def figure(drawn):
    return drawn["diagnostics"]


def panels(figure):
    return np.array(figure.axes).reshape(-1, 3)


def test_rows_are_the_main_parameters_of_both_models(figure):
    labels = [axes.get_ylabel() for axes in panels(figure)[:, 0]]
    assert labels == [
        "proportional:\nlog HR",
        "proportional:\nstep SD,\nlog hazard",
        "free HR:\nlog HR",
        "free HR:\nstep SD,\nlog hazard",
        "free HR:\nstep SD,\nlog HR",
    ]
    assert [axes.get_title() for axes in panels(figure)[0]] == ["Density", "Trace", "Ranks"]
    assert [axes.get_xlabel() for axes in panels(figure)[-1]] == ["Value", "Draw", "Rank"]


def test_the_worst_imputation_is_shown_and_named(figure, reanalysis):
    fit = next(fit for fit in reanalysis.fits if (fit.model, fit.prior.name) == ("piecewise", "weak"))
    assert worst_imputation(reanalysis, fit) == 1
    assert "Proportional hazards, prior weak: imputation 2 of 3" in figure.get_suptitle()
    assert "Hazard ratio free over time, prior weak: imputation 2 of 3" in figure.get_suptitle()


def test_traces_are_the_draws_of_each_chain(figure, reanalysis):
    fit = next(fit for fit in reanalysis.fits if (fit.model, fit.prior.name) == ("piecewise", "weak"))
    drawn = [np.asarray(line.get_ydata()) for line in panels(figure)[0, 1].lines]
    np.testing.assert_allclose(drawn, fit.posterior["beta"].isel(imputation=1).to_numpy())


def test_ranks_are_centred_and_have_their_p_value(figure):
    for axes in panels(figure)[:, 2]:
        low, high = axes.get_ylim()
        assert low == -high
        assert axes.texts[0].get_text().startswith("p = ")


def test_chains_differ_by_more_than_colour(figure):
    lines = panels(figure)[0, 0].lines
    assert len({line.get_linestyle() for line in lines}) == 4
    assert len({line.get_color() for line in lines}) == 4


def test_draws_that_depend_on_each_other_are_thinned(reanalysis):
    posterior = reanalysis.fits[0].posterior[["beta"]].isel(imputation=0)
    assert thinning(posterior) <= 2
    rng = np.random.default_rng(1)
    walk = posterior.assign(beta=(("chain", "draw"), rng.normal(size=(4, 160)).cumsum(axis=1)))
    assert thinning(walk) > 20


def test_pyplot_keeps_no_figure(figure):
    assert not plt.get_fignums()
    assert figure is not None


def test_without_piecewise_models_there_is_none(remade):
    assert figures.draw(remade("effects"), "diagnostics") is None
