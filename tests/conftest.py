"""What all tests share: linear algebra on one thread, as the program has it, no terminal, and compiled models."""

import os

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
for size in ("COLUMNS", "LINES"):
    os.environ.pop(size, None)


@pytest.fixture(scope="session")
def compile_once(pytestconfig):
    """Return what compiles models, those of one shape once: data and priors are exchanged."""
    graphs = vars(pytestconfig).setdefault("compiled_graphs", {})

    def compiled(model):
        from secondlook.inference.sampling import compile_model

        shape = tuple(sorted(model.named_vars)), tuple(len(labels) for labels in model.coords.values())
        if shape not in graphs:
            graphs[shape] = compile_model(model)
        return graphs[shape]

    return compiled
