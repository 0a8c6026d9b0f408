from __future__ import annotations

from pathlib import Path

import pytest

from inspectd.cli import main
from inspectd.cli.forward import example
from inspectd.errors import ConfigError
from inspectd.fleet.settings import load

GOOD = '[servers]\nseed_file = "line1.nk"\n'


def problems(text: str, folder: Path) -> list[str]:
    file = folder / "forward.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    return caught.value.problems


def test_files_are_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "forward.toml").write_text(GOOD)
    loaded = load(tmp_path / "forward.toml")
    assert loaded.servers.seed_file == str(tmp_path / "line1.nk")
    assert loaded.line.sync_socket == "ipc:///run/inspectd/line1/sync.sock"
    assert loaded.line.names.stream == "V+plant+line1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "servers.seed_file, servers.credentials_file: none is set"),
        (GOOD + 'credentials_file = "a.creds"', "both are set"),
        (
            GOOD + 'addresses = ["nats://nats1:4222"]',
            "servers.addresses[0]: got 'nats://nats1:4222', expected tls://",
        ),
        (GOOD + 'addresses = ["tls://u:p@nats1:4222"]', "servers.addresses[0]"),
        (GOOD + 'addresses = ["tls://nats1:99999"]', "servers.addresses[0]"),
        (GOOD + 'monitors = ["https://nats1:8222"]', "servers.monitors: got 1 for 3"),
        (GOOD + 'monitors = ["http://nats1:8222", "https://b:1", "https://c:1"]', "servers.monitors[0]"),
        (GOOD + "[forward]\nwindow = 0", "forward.window"),
        (GOOD + '[line]\nplant = "a.b"', "line.plant"),
        (
            GOOD + '[line]\nverdicts = "tcp://10.0.0.1:5571"\nsync = "tcp://10.0.0.1:5573"',
            "line.heatmaps: is empty",
        ),
        (GOOD + "[forwrad]\nwindow = 1", "forwrad"),
    ],
)
def test_each_problem_is_named(text: str, problem: str, tmp_path: Path) -> None:
    assert any(problem in found for found in problems(text, tmp_path))


def test_the_example_is_a_file_that_lacks_its_key_alone(tmp_path: Path) -> None:
    (problem,) = problems(example(), tmp_path)
    assert problem.startswith(
        "servers.seed_file, servers.credentials_file: none is set, expected one: `inspectd"
    )


def test_without_a_file_it_says_where_one_comes_from(capsys, tmp_path: Path) -> None:
    assert main(["forward"]) == 2
    assert "inspectd forward init DIR" in capsys.readouterr().err
    assert main(["forward", "init", str(tmp_path)]) == 0
    assert main(["forward", "--config", str(tmp_path / "forward.toml"), "--check"]) == 2
