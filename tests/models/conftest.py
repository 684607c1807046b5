"""Sampling a model as the library does, and holding draws to exact numbers within Monte Carlo error."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from secondlook.inference.options import Options
from secondlook.inference.sampling import compile_model, sample

MOST_ERRORS = 4.0  # Monte Carlo standard errors


@pytest.fixture(scope="session")
def compiled(pytestconfig):
    """Compile a model of some name once for all tests, those of other folders included."""
    graphs = vars(pytestconfig).setdefault("compiled_graphs", {})

    def get(name, model):
        if name not in graphs:
            graphs[name] = compile_model(model)
        return graphs[name]

    return get


@pytest.fixture(scope="session")
def sampled(compiled):
    """Sample a model, with other data if need be; returns its posterior."""

    def run(name, model, **data):
        posterior, stats = sample(compiled(name, model), data, Options(draws=2000), 0)
        assert stats["diverging"].sum() == 0
        return posterior

    return run


@pytest.fixture(scope="session")
def agrees():
    """Return a check of draws, dimensions chain and draw, against exact mean, SD and quantiles."""

    def within(draws, exact, **statistic):
        error = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1, **statistic))
        return pytest.approx(exact, abs=MOST_ERRORS * error)

    def check(draws, mean=None, sd=None, quantiles=None):
        values = np.asarray(draws)
        if mean is not None:
            assert values.mean() == within(values, mean, method="mean")
        if sd is not None:
            assert values.std() == within(values, sd, method="sd")
        for probability, exact in (quantiles or {}).items():
            assert np.quantile(values, probability) == within(values, exact, method="quantile", prob=probability)

    return check
