"""Random records at the edge through the whole job, as ``benchmarks/records.py`` has it, with made-up posteriors."""

import importlib.util
import sys
from pathlib import Path

import pytest

from secondlook.figures import kinds
from secondlook.inference import Options

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "records.py"
NUMBERS = {  # and whether figures are drawn
    "published": {4: False, 6: True, 12: False},
    "curves": {3: True, 6: False, 17: False},
    "patients": {13: False, 16: False, 17: False},
}


@pytest.fixture(scope="module")
def records():
    spec = importlib.util.spec_from_file_location("random_records", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(autouse=True)
def unsampled(records, monkeypatch):
    records.make_up(monkeypatch.setattr)
    monkeypatch.setattr(kinds, "DPI", 30)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # made-up draws may lie far from what the data say
@pytest.mark.parametrize(("source", "number"), [(name, number) for name in NUMBERS for number in NUMBERS[name]])
def test_a_record_at_the_edge_comes_to_an_end(records, tmp_path, source, number):
    """No events in an arm, all die, one interval, 2:1, days."""
    options = Options(draws=50, chains=2, imputations=2)
    _, record = records.record(source, number, 1, tmp_path)
    assert list(records.finish(record, options, tmp_path / "results", draw=NUMBERS[source][number])) == []
