import pytest

from secondlook import figures
from secondlook.data import InputError


@pytest.fixture(scope="module")
def paths(reanalysis, tmp_path_factory):
    return figures.write_figures(reanalysis, tmp_path_factory.mktemp("results") / "deep" / "figures")


def test_every_kind_is_written_twice(paths):
    names = [f"{kind}.{ending}" for kind in figures.KINDS for ending in ("png", "svg")]
    assert [path.name for path in paths] == names
    assert all(path.stat().st_size > 5_000 for path in paths)


def test_files_hold_no_date(paths):
    assert all(b"<dc:date>" not in path.read_bytes() for path in paths if path.suffix == ".svg")


def test_the_same_reanalysis_drawn_again_gives_the_same_bytes(paths, drawn, tmp_path):
    again = [path for kind, figure in drawn.items() for path in figures.write_figure(figure, tmp_path, kind)]
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_kinds_that_are_not_supported_are_left_out(remade, tmp_path):
    paths = figures.write_figures(remade("effects"), tmp_path)
    assert {path.stem for path in paths} == {"forest", "priors"}


def test_figures_are_as_wide_as_asked(reanalysis, drawn):
    assert [figure.get_figwidth() * 25.4 for figure in drawn.values()] == pytest.approx([180] * len(drawn))
    for kind in set(figures.KINDS) - {"diagnostics"}:
        assert figures.draw(reanalysis, kind, 88.0).get_figwidth() * 25.4 == pytest.approx(88)


def test_unknown_kind_is_refused_with_the_kinds_there_are(reanalysis):
    with pytest.raises(InputError, match=r"KIND: pie: not a figure; give one of forest, survival, hazard-ratio"):
        figures.draw(reanalysis, "pie")


def test_a_width_that_nothing_is_legible_at_is_refused(reanalysis):
    with pytest.raises(InputError, match=r"--width: 10: must be between 80 and 400 mm"):
        figures.draw(reanalysis, "forest", 10)


def test_a_directory_that_cannot_be_written_is_named(reanalysis, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"forest\.png: cannot be written \(File exists\)"):
        figures.write_figures(reanalysis, tmp_path / "file")


def test_a_figure_that_fails_costs_no_other(reanalysis, tmp_path, monkeypatch):
    def fails(*_):
        raise ValueError("nothing to show")

    kept = {name: draw for name, draw in figures.KINDS.items() if name in ("priors", "forest")}
    monkeypatch.setattr("secondlook.figures.kinds.KINDS", {**kept, "forest": fails})
    monkeypatch.setattr("secondlook.figures.kinds.PARTITION_KINDS", {})
    told = []
    paths = figures.write_figures(reanalysis, tmp_path, notify=told.append)
    assert {path.stem for path in paths} == {"priors"}
    assert told == ["note: figure forest is left out, as drawing it failed: ValueError: nothing to show"]
    with pytest.raises(ValueError, match="nothing to show"):
        figures.write_figures(reanalysis, tmp_path)
