"""Records described: summaries, sections, template, schema."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from secondlook.data import InputError, built_in_trials, load_record
from secondlook.data.describe import (
    Section,
    describe_record,
    describe_trials,
    json_schema,
    summarise,
    write_template,
)
from secondlook.data.reading import parse_record
from secondlook.data.record import Record

MINIMAL: dict[str, Any] = {
    "schema": 1,
    "id": "small",
    "title": "A small trial",
    "arms": {"control": {"label": "A"}, "treatment": {"label": "B"}},
}


def section(trial: Record, title: str) -> Section:
    (found,) = [item for item in describe_record(trial) if item.title == title]
    return found


@pytest.fixture(scope="module")
def mf07() -> Record:
    return load_record("mf07-01")


def test_every_built_in_trial_is_summarised() -> None:
    assert [summary.id for summary in describe_trials()] == list(built_in_trials())


def test_summary_of_mf07_01(mf07: Record) -> None:
    summary = summarise(mf07)
    assert (summary.patients, summary.events, summary.source) == (274, 177, "published")
    assert (summary.endpoint, summary.hazard_ratio) == ("overall survival", "0.66 (0.49 to 0.88)")


def test_summary_takes_totals_when_an_arm_is_not_printed() -> None:
    summary = summarise(parse_record({**MINIMAL, "totals": {"patients": 350}}))
    assert (summary.patients, summary.events, summary.hazard_ratio) == (350, None, "")


def test_summary_names_a_level_that_is_not_95() -> None:
    ratio = {"estimate": "1.11", "ci": ["0.82", "1.52"], "level": 0.9}
    assert summarise(parse_record({**MINIMAL, "hazard_ratio": [ratio]})).hazard_ratio == "1.11 (0.82 to 1.52, 90% CI)"


@pytest.mark.parametrize("trial", built_in_trials())
def test_rows_are_as_wide_as_their_columns(trial: str) -> None:
    for item in describe_record(load_record(trial)):
        assert {len(row) for row in item.rows} == {len(item.columns)}
        assert all(isinstance(text, str) for row in item.rows for text in row)


def test_a_small_record_shows_only_what_it_has() -> None:
    assert [item.title for item in describe_record(parse_record(MINIMAL))] == ["Trial", "Arms"]


def test_hazard_ratios_are_shown_with_whom_they_are_about(mf07: Record) -> None:
    rows = section(mf07, "Hazard ratios").rows
    comparison = "treatment/control"
    assert ("ER/PR(+)", "ER/PR +", comparison, "0.63 (0.44 to 0.89)", "0.008", "Results, audit only") in rows
    assert rows[0] == (
        "All patients",
        "all patients",
        comparison,
        "0.66 (0.49 to 0.88)",
        "0.005",
        "Abstract, Results",
    )
    bone = "Metastatic pattern solitary bone or multiple bone"
    assert ("Bone only", bone, comparison, "0.67 (0.43 to 1.07)", "0.09", "Results") in rows


def test_other_sections_show_the_printed_numbers(mf07: Record) -> None:
    assert ("ST", "35.8", "21.7", "18", "37", "49", "55", "45 to 74", "", "Table 1, Results") in section(
        mf07, "Follow-up"
    ).rows
    assert ("all patients", "LRT", "60", "0.416 (0.325 to 0.504)", "0.005", "Results") in section(
        mf07, "Survival"
    ).rows
    assert ("ER/PR -, HER2 +", "difference", "-11.5", "", "Discussion") in section(mf07, "Median survival").rows
    baseline = section(mf07, "Baseline table").rows
    assert (
        "ER/PR",
        "ER/PR(+)",
        "97 (71.8%)",
        "118 (85.5%)",
        "",
        "0.01",
        "chi-square",
        "Table 1, Results",
    ) in baseline
    assert ("", "Mean age (years)", "51.5 (SD 13.6)", "51.8 (SD 12.6)", "", "0.87", "t", "Table 1") in baseline
    assert ("control", "ST", "136", "101", "Abstract, Results, Fig. 1") in section(mf07, "Arms").rows
    endpoint = section(mf07, "Secondary endpoints").rows[0]
    assert endpoint[2:6] == ("15/136 (11%)", "2/138 (1%)", "0.001", "11 (control/treatment)")
    age = section(mf07, "Prognostic hazard ratios").rows[0]
    assert age[3:] == ("0.69 (0.51 to 0.93)", "0.01", "Table 2", "Results")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "my-trial.toml"
    write_template(path)
    return path


def uncommented(path: Path) -> Path:
    """Take the # from every optional line, as the template says to."""
    path.write_text(re.sub(r"^#(?! )", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
    return path


def test_template_loads_as_it_is(template: Path) -> None:
    record = load_record(template)
    assert record.id == "my-trial"
    assert record.overall_hazard_ratio is not None
    assert record.landmark_times() == (36,)
    assert record.design is None


def test_template_loads_with_every_optional_section(template: Path) -> None:
    record = load_record(uncommented(template))
    assert record.source == "patients"
    assert record.design is not None
    assert set(record.all_partitions) == {"receptor_by_age", "receptor", "age"}
    titles = {item.title for item in describe_record(record)}
    assert {"Files", "Numbers at risk", "Prognostic hazard ratios", "Secondary endpoints"} <= titles


def models(kind: Any) -> Iterator[type[BaseModel]]:
    """Return the tables in a field's type."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    for argument in get_args(kind):
        yield from models(argument)


def fields(table: type[BaseModel]) -> Iterator[tuple[str, str]]:
    for name, field in table.model_fields.items():
        yield table.__name__, field.alias or name
        for inner in models(field.annotation):
            yield from fields(inner)


def given_fields(table: type[BaseModel], raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    names = {field.alias or name: field for name, field in table.model_fields.items()}
    for name, value in raw.items():
        yield table.__name__, name
        for inner in models(names[name].annotation):
            named = get_args(names[name].annotation)[:1] == (str,) or name in ("factors", "partitions")
            items = value if isinstance(value, list) else list(value.values()) if named else [value]
            for item in items:
                yield from given_fields(inner, item)


def test_template_shows_every_field_of_the_format(template: Path) -> None:
    raw = tomllib.loads(uncommented(template).read_text(encoding="utf-8"))
    assert set(given_fields(Record, raw)) == set(fields(Record))


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match=r"mine\.toml: exists already and is left as it is; give a new name"):
        write_template(path)
    assert path.read_text(encoding="utf-8") == "precious"


def test_a_template_needs_a_folder_to_stand_in(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "mine.toml"
    with pytest.raises(InputError, match=r"mine\.toml: cannot be written \(No such file or directory\)"):
        write_template(path)


def test_a_template_is_called_toml(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.txt: the name of a record must end in \.toml"):
        write_template(tmp_path / "mine.txt")
    assert not list(tmp_path.iterdir())


def test_schema_knows_every_section_and_what_a_record_must_have() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) == {field.alias or name for name, field in Record.model_fields.items()}
    assert set(schema["required"]) == {"id", "title", "arms"}
    assert schema["additionalProperties"] is False
    ratio = schema["$defs"]["HazardRatio"]["properties"]
    assert ratio["comparison"]["enum"] == ["treatment/control", "control/treatment"]
    assert re.search(ratio["estimate"]["pattern"], "0.66")
    assert not re.search(ratio["estimate"]["pattern"], "0.66 (0.49)")


def test_patients_are_shown_with_what_they_tell() -> None:
    rows = section(load_record("gbsg2"), "Files").rows
    assert rows == (("patients", "both", "gbsg2.csv"),)
    summary = summarise(load_record("gbsg2"))
    assert (summary.patients, summary.events, summary.source) == (686, 299, "patients")


def test_describing_needs_neither_pymc_nor_lifelines() -> None:
    code = (
        "import sys, secondlook.data.describe as d; d.describe_trials(); d.describe_record(d.load_record('mf07-01'));"
        "print([name for name in ('pymc', 'lifelines', 'matplotlib', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_inverted_hazard_ratio_and_another_level_are_spelled_out():
    ratios = {summary.id: summary.hazard_ratio for summary in describe_trials()}
    assert ratios["abcsg-28"] == "0.691 (0.358 to 1.333), control/treatment"
    assert ratios["e2108"] == "1.11 (0.82 to 1.52, 90% CI)"
    assert ratios["mf07-01"] == "0.66 (0.49 to 0.88)"
