"""docs/hub.md against the code it describes."""

from __future__ import annotations

import re
from pathlib import Path

from inspectd.cli.hub import example
from inspectd.hub.asking import HubQuestions
from inspectd.hub.engine import url_of
from inspectd.hub.metrics import HubCollector
from inspectd.hub.reading_state import HubTrouble, ReadingState
from inspectd.hub.settings import HubConfig, load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/hub.md").read_text()


def test_the_table_of_metrics_is_what_is_there(tmp_path) -> None:
    questions = HubQuestions(url_of(f"sqlite:///{tmp_path}/hub.sqlite"))
    found = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in HubCollector(ReadingState(0), questions).collect()
    }
    questions.close()
    text = PAGE.split("<!-- metrics: hub -->")[1].split("\n\n")[1]
    rows = [line.strip("|").split("|") for line in text.splitlines()[2:]]
    assert {name.strip(" `") for name, _ in rows} == found
    said = {name.strip(" `"): set(re.findall(r"`(\w+)`", about)) for name, about in rows}
    assert {each.value for each in HubTrouble} <= said["inspectd_hub_troubles_total"]
    assert {*questions.refused} <= said["inspectd_hub_questions_refused_total"]


def test_files_it_names_exist() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
    for file in re.findall(r"`(systemd/[^`]+)`", PAGE):
        assert (ROOT / file).exists(), file


def test_settings_it_names_are_there() -> None:
    tables = {name: type(getattr(HubConfig(), name)) for name in HubConfig.__struct_fields__}
    for table, name in re.findall(r"`(plant|database|view|server)\.(\w+)`", PAGE):
        assert name in tables[table].__struct_fields__, (table, name)


def test_the_example_is_a_file_of_the_hub_but_for_its_key(tmp_path) -> None:
    file = tmp_path / "hub.toml"
    key = 'seed_file = "hub.nk"\n'
    file.write_text(re.sub(r"^# ?seed_file = .*\n", key, example(), flags=re.MULTILINE))
    assert load(file).servers.seed_file == str(tmp_path / "hub.nk")
