"""The library refuses what makes no sense, all of it at once; the command line passes this on."""

import pytest

from secondlook.data import InputError
from secondlook.inference import Options


def problems(**given):
    with pytest.raises(InputError) as caught:
        Options(**given)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"draws": 9}, "--draws: 9: must be a whole number from 10 to 1000000"),
        ({"draws": 100.5}, "--draws: 100.5: must be a whole number from 10 to 1000000"),
        ({"chains": 0}, "--chains: 0: must be a whole number from 1 to 1000"),
        ({"seed": 2**32}, "--seed: 4294967296: must be a whole number from 0 to 4294967295"),
        ({"imputations": 0}, "--imputations: 0: must be a whole number from 1 to 10000"),
        ({"intervals": (6.0, 12.0)}, "--intervals: 6,12: must begin at 0"),
        ({"intervals": (0.0,)}, "--intervals: 0: must have at least two bounds"),
        ({"intervals": (0.0, 12.0, 6.0)}, "--intervals: 0,12,6: must increase"),
        ({"intervals": (0.0, float("nan"))}, "--intervals: 0,nan: must be finite numbers"),
        ({"landmarks": (0.0, 12.0)}, "--landmarks: 0,12: must be above 0"),
        ({"landmarks": (12.0, 12.0)}, "--landmarks: 12,12: must increase"),
        ({"landmarks": (float("inf"),)}, "--landmarks: inf: must be finite numbers"),
        ({"benefit_threshold": 1.0}, "--benefit-threshold: 1: must be above 0 and below 1"),
        ({"harm_threshold": 1.0}, "--harm-threshold: 1: must be finite and above 1"),
        ({"design_hazard_ratio": 1.0}, "--design-hr: 1: must be above 0 and below 1"),
        ({"tau_scale": 0.0}, "--tau-scale: 0: must be finite and above 0"),
        ({"horizon": -1.0}, "horizon: -1: must be finite and above 0"),
    ],
)
def test_each_option_is_checked(given, problem):
    assert problems(**given) == [problem]


def test_all_at_once():
    found = problems(draws=0, landmarks=(36.0,), intervals=(0.0, 24.0), harm_threshold=float("nan"), horizon=0.0)
    assert [problem.split(":")[0] for problem in found] == ["--draws", "--landmarks", "--harm-threshold", "horizon"]
    assert "must not lie beyond the last interval, which ends at 24" in found[1]


def test_limits_are_allowed():
    assert Options(draws=10, chains=1, seed=0, imputations=1, horizon=90.0, landmarks=(24.0,), intervals=(0.0, 24.0))
