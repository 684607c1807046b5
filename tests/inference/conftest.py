"""One real fit of MF07-01 for all tests, and a made-up sampler for what needs no real one."""

import os
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from secondlook.inference import Options, fit, fitting
from secondlook.inference.reanalysis import analyse

RUNS = ("cold", "warm")
COMPILATION_TEST = "test_cold_and_warm_cache_give_the_same_digits"
SMALL_FIT = """
import sys
from secondlook.inference.options import Options
from secondlook.inference.sampling import compile_model, sample
from secondlook.models.effects import effects
from secondlook.models.priors import Prior

compiled = compile_model(effects([[-0.3]], [[0.2]], Prior("weak", (0.0,), (1.0,))))
posterior, _ = sample(compiled, {}, Options(draws=100, chains=2), 0)
print(posterior["theta"].to_numpy().tobytes().hex())
"""


def pytest_collection_modifyitems(items):
    """Put last what waits for the processes below."""
    items.sort(key=lambda item: item.name == COMPILATION_TEST)


@pytest.fixture(scope="session", autouse=True)
def compilations(request, tmp_path_factory):
    """The same small fit in two processes, the first with an empty compilation cache; runs beside the other tests."""
    if not any(item.name == COMPILATION_TEST for item in request.session.items):
        yield None
        return
    place = tmp_path_factory.mktemp("compilation")
    script = place / "small_fit.py"
    script.write_text(SMALL_FIT)
    command = " && ".join(f'"{sys.executable}" "{script}" > "{place / run}"' for run in RUNS)
    flags = {"PYTENSOR_FLAGS": f"base_compiledir={place / 'cache'}", "NUMBA_CACHE_DIR": str(place / "numba")}
    process = subprocess.Popen(["sh", "-c", command], env=os.environ | flags, stderr=subprocess.PIPE, text=True)
    yield process, place
    process.kill()
    process.communicate()


@pytest.fixture(scope="session")
def few(pytestconfig, compile_once):
    """Compile each graph of MF07-01 once for all tests (the models' too), and keep to few imputations."""
    graphs = vars(pytestconfig).setdefault("compiled_graphs", {})

    def compile_named(model):
        names = {"mu": "mf07 effects", "delta": "mf07 subgroups"}
        name = next((name for variable, name in names.items() if variable in model.named_vars), "mf07 piecewise")
        if name not in graphs:
            graphs[name] = compile_once(model)
        return graphs[name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "compile_model", compile_named)
        patch.setattr(fitting, "imputations_needed", lambda *_: 0)
        yield Options(imputations=5, draws=500)


@pytest.fixture(scope="session")
def mf07(few):
    """MF07-01, the proportional model, sampled under `vague` and reweighted to `sceptical`, with its sensitivity."""
    priors, forms = ("vague", "sceptical"), ("half-normal",)
    return analyse("mf07-01", ("piecewise",), priors, None, forms, few, lambda _: None, vary=True)


@pytest.fixture(scope="session")
def mf07_effects(few):
    return fit("mf07-01", "effects", options=few)


class NormalSampler:
    """Stands in for `sample`: exact draws of one normal effect, so that every answer is known.

    The data of an imputation are its estimate and standard error, ``{"row": [y, s]}``.
    """

    def __init__(self):
        self.calls = []
        self.divergences = {}  # by settings
        self.astray = {}  # how far the first chain's effects are off, by settings

    def __call__(self, compiled, data, options, imputation, settings=fitting.FIRST, _=None):
        assert compiled == "compiled"
        self.calls.append((imputation, tuple(data["prior"][1:, 0]), settings))
        mean, sd = normal_posterior(*data["row"], *data["prior"][1:, 0])
        rng = np.random.default_rng([options.seed, imputation])
        shape = (options.chains, options.draws)
        dims = ("chain", "draw")
        effects = rng.normal(mean, sd, shape)
        effects[0] += self.astray.get(settings, 0.0)
        posterior = xr.Dataset({"mu": (dims, effects), "other": (dims, rng.normal(size=shape))})
        stats = xr.Dataset({name: (dims, np.ones(shape)) for name in ("n_steps", "mean_tree_accept", "step_size")})
        diverging = np.zeros(shape, dtype=bool)
        diverging.flat[: self.divergences.get(settings, 0)] = True
        return posterior, stats.assign(diverging=(dims, diverging), energy=(dims, rng.normal(size=shape)))


def normal_posterior(y, s, prior_mean, prior_sd):
    precision = 1 / s**2 + 1 / prior_sd**2
    return (y / s**2 + prior_mean / prior_sd**2) / precision, precision**-0.5


@pytest.fixture
def normal_sampler(monkeypatch):
    sampler = NormalSampler()
    monkeypatch.setattr(fitting, "compile_model", lambda _: "compiled")
    monkeypatch.setattr(fitting, "sample", sampler)
    return sampler


@pytest.fixture(name="normal_posterior")
def normal_posterior_fixture():
    return normal_posterior
