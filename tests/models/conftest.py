"""Sampling a model as the library does."""

import pytest

from secondlook.inference.options import Options
from secondlook.inference.sampling import compile_model, sample


@pytest.fixture(scope="session")
def sampled():
    def run(model):
        return sample(compile_model(model), {}, Options(draws=2000), 0)[0]

    return run
