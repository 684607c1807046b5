"""Records of digitised curves. Property tests are not timed: a busy machine must not make them fail."""

import pytest
from hypothesis import HealthCheck, settings

from secondlook.data.reading import parse_record

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


POINTS = "time,survival\n0,1\n6,0.9\n12,0.8\n24,0.6\n36,0.5\n"
ARMS = ("control", "treatment")


@pytest.fixture(scope="session")
def digitised():
    """Return a record of two curves, with changes."""

    def make(**changes):
        record = {
            "schema": 1,
            "id": "digitised",
            "title": "A digitised trial",
            "landmarks": [12, 24],
            "arms": {"control": {"label": "C", "patients": 100}, "treatment": {"label": "T", "patients": 100}},
            "curve": [{"arm": arm, "file": f"{arm}.csv"} for arm in ARMS],
        }
        return parse_record(record | changes)

    return make


@pytest.fixture
def located(tmp_path, digitised):
    """Return such a record whose curves hold some text, control and treatment."""

    def make(control=POINTS, treatment=POINTS, **changes):
        for arm, text in zip(ARMS, (control, treatment), strict=True):
            content = text if isinstance(text, bytes) else text.encode()
            (tmp_path / f"{arm}.csv").write_bytes(content)
        return digitised(**changes).located(tmp_path)

    return make
