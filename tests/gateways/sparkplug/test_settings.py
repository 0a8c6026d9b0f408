"""The gateway's file: every problem is named, with the value and what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspectd.errors import ConfigError
from inspectd.gateways.sparkplug.settings import load


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "sparkplug.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as found:
        load(file)
    return found.value.problems


def test_a_small_file_is_enough_and_paths_are_those_of_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "sparkplug.toml"
    file.write_text(
        '[broker]\nservers = ["mqtt.example", "[::1]:1884"]\nca_file = "pki/ca.pem"\n'
        '[sparkplug]\ngroup = "Werk 1"\nnode = "line1"\nstate_dir = "state"\n'
    )
    settings = load(file)
    assert settings.broker.addresses == [("mqtt.example", 8883), ("::1", 1884)]
    assert settings.broker.ca_file == str(tmp_path / "pki/ca.pem")
    assert settings.sparkplug.state_path == tmp_path / "state"


@pytest.mark.parametrize("wrong", ["a/b", "a+b", "#", "", "a\\nb", "spBv1.0/x"])
@pytest.mark.parametrize("key", ["group", "node", "primary_host"])
def test_ids_that_mean_something_else_on_a_broker_are_refused(tmp_path: Path, key: str, wrong: str) -> None:
    """tck-id-topic-structure-namespace-valid-group-id and its like."""
    (problem,) = problems(tmp_path, f'[sparkplug]\n{key} = "{wrong}"\n')
    assert problem.startswith(f"sparkplug.{key}: got ")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('[broker]\nservers = ["mqtt:x"]', "broker.servers[0]: got 'mqtt:x', expected host:port"),
        ('[broker]\nservers = ["mqtt://a:1"]', "broker.servers[0]: got 'mqtt://a:1', expected host:port"),
        ('[broker]\nservers = ["::1"]', "broker.servers[0]: got '::1', expected host:port"),
        ("[broker]\nservers = []", "broker.servers: "),
        ('[broker]\ncertificate = "a"', "broker.certificate, broker.key: one is missing"),
        ('[broker]\npassword_file = "a"', "broker.password_file: is set, expected broker.user with it"),
        ('[broker]\ntls = false\nca_file = "a"', "broker.ca_file: is set, but broker.tls is false"),
        ('[line]\nserver_key = "a"', "line.server_key"),
        ('[line]\nverdicts = "tcp://192.0.2.1:5571"', "line.sync: is empty"),
        ("[sparkplug]\ncolour = 1", "sparkplug.colour: unknown key"),
        ("[broker]\nuser = 3", "broker.user: got 3"),
        ("sparkplug = 3", "sparkplug: got 3"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, wanted: str) -> None:
    found = problems(tmp_path, text)
    assert any(problem.startswith(wanted) for problem in found), found
