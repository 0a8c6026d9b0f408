"""The hub's file: every problem at once, in words; and its command."""

from __future__ import annotations

import pytest

from inspectd.cli import main
from inspectd.errors import ConfigError
from inspectd.hub.settings import load

RIGHT = """
[plant]
name = "demo"
[servers]
addresses = ["tls://nats1.plant.example:4222"]
seed_file = "hub.nk"
[database]
url = "postgresql://hub@db.plant.example/hub"
password_file = "hub.password"
[store]
dir = "data"
"""


def test_paths_begin_at_the_files_own_folder(tmp_path) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(RIGHT)
    found = load(file)
    assert found.servers.seed_file == str(tmp_path / "hub.nk")
    assert found.database.password_file == str(tmp_path / "hub.password")
    assert found.data_dir == tmp_path / "data"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("postgresql://hub@db.plant.example/hub", "mysql://hub/x", "database.url: begins with 'mysql'"),
        (
            "postgresql://hub@db.plant.example/hub",
            "sqlite:////x",
            "database.password_file: is set, expected none",
        ),
        ('seed_file = "hub.nk"', "", "servers.seed_file, servers.credentials_file: none is set"),
        ("tls://nats1", "nats://nats1", "connections without TLS are not made"),
        ('name = "demo"', 'name = "de mo"', "plant.name"),
        ("[store]", '[server]\nhost = "0.0.0.0"\n[store]', "passwords never cross a network in plain text"),
        ("[store]", '[view]\nzone = "Mars"\n[store]', "view.zone: got 'Mars'"),
        ("[store]", "[line]\nname = 1\n[store]", "line"),
    ],
)
def test_a_problem_is_said_in_words(tmp_path, old, new, said) -> None:
    file = tmp_path / "hub.toml"
    file.write_text(RIGHT.replace(old, new))
    with pytest.raises(ConfigError) as told:
        load(file)
    assert said in str(told.value)


def test_all_problems_are_told_at_once(tmp_path) -> None:
    file = tmp_path / "hub.toml"
    more = '[view]\nzone = "Mars"\nshift_starts = ["6:00"]\n[server]\nhost = "0.0.0.0"\nport = 70000\n[store]'
    file.write_text(RIGHT.replace("[store]", more).replace("tls://nats1", "nats://nats1"))
    with pytest.raises(ConfigError) as told:
        load(file)
    found = told.value.problems
    assert {problem.partition(":")[0] for problem in found} == {
        "view.shift_starts[0]", "server.port", "server.host", "view.zone", "servers.addresses[0]",
    }  # fmt: skip


def test_the_command_says_what_to_do(tmp_path, capsys) -> None:
    assert main(["hub"]) == 2
    assert "`inspectd hub init DIR` writes an example" in capsys.readouterr().err
    assert main(["hub", "init", str(tmp_path)]) == 0
    assert main(["hub", "--config", str(tmp_path / "hub.toml")]) == 2
    assert "servers.seed_file" in capsys.readouterr().err
    file = tmp_path / "right.toml"
    file.write_text(RIGHT)
    assert main(["hub", "--config", str(file), "--check"]) == 2
    assert "hub.nk: cannot be read" in capsys.readouterr().err
    assert main(["hub", "--config", str(file), "user", "list"]) == 0
    assert "inspectd hub --config FILE user add" in capsys.readouterr().out
