"""`--check` of the programs beside a line opens the files that they open when they start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inspectd import cli, key_files
from inspectd.errors import ExitCode

_LINE = """
[line]
verdicts = "tcp://127.0.0.1:25571"
sync = "tcp://127.0.0.1:25573"
{}server_key = "server.key"
client_key = "me.key_secret"
[metrics]
port = 9999
users_file = "metrics.users"
"""
_CONTROL = 'control = "tcp://127.0.0.1:25574"\n'
_BROKER = '[sparkplug]\ngroup = "g"\nnode = "n"\n[broker]\nuser = "u"\npassword_file = "broker"\n'
_PAGE = (
    '[server]\ntls_certificate = "c.pem"\ntls_key = "k.pem"\n'
    '[proxy]\nuser_header = "X-User"\nroles_header = "X-Roles"\nroles = ["admins=admin"]\n'
    'addresses = ["127.0.0.1"]\norigin = "https://line"\nsecret_file = "proxy"\n'
)


@pytest.mark.parametrize(
    ("command", "line", "own"),
    [
        ("gateway modbus", _CONTROL, [""]),
        ("gateway s7", _CONTROL, ['[s7]\nhost = "127.0.0.1"\n']),
        ("gateway opcua", _CONTROL, ['[opcua]\nusers_file = "users"\n', "opcua/own.pem", "users"]),
        ("gateway sparkplug", "", [_BROKER, "broker"]),
        ("page", f'{_CONTROL}previews = "tcp://127.0.0.1:25575"\n', [_PAGE, "c.pem", "proxy"]),
    ],
)
def test_every_file_that_is_not_there_is_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, line: str, own: list[str]
) -> None:
    tables, *missing = own
    file = tmp_path / "program.toml"
    file.write_text(_LINE.format(line) + tables)
    words = [*command.split(), "--config", str(file), "--check"]
    assert cli.main(words) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    expected = ["server.key", "me.key_secret", "metrics.users", *missing]
    assert [name for name in expected if f"{tmp_path}/{name}" not in said] == []
    assert f"{len(expected)} problems" in said


def test_files_of_passwords_are_told_with_the_command_that_makes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "opcua.toml"
    file.write_text('[opcua]\nusers_file = "users"\n[metrics]\nusers_file = "readers"\n')
    assert cli.main(["gateway", "opcua", "--config", str(file), "--check"]) == ExitCode.BAD_INPUT
    (tmp_path / "users").write_text("anna\n")
    (tmp_path / "users").chmod(0o600)
    assert cli.main(["gateway", "opcua", "--config", str(file), "--check"]) == ExitCode.BAD_INPUT
    said = capsys.readouterr().err
    assert (
        f"{tmp_path}/users: cannot be read: No such file or directory; `inspectd opcua password` makes"
        in said
    )
    assert f"{tmp_path}/users, line 1: is not in the format that `inspectd opcua password` writes" in said
    assert (
        f"{tmp_path}/readers: cannot be read: No such file or directory; `inspectd keys password` makes"
        in said
    )


def test_files_that_can_be_used_are_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("server", "me"):
        key_files.new_pair(tmp_path / name)
    file = tmp_path / "modbus.toml"
    file.write_text(_LINE.format(_CONTROL).replace("9999", "0"))
    assert cli.main(["gateway", "modbus", "--config", str(file), "--check"]) == ExitCode.OK
    assert capsys.readouterr().out == f"{file}: no problem\n"


_ELSEWHERE = """
[line]
verdicts = "ipc://{0}/rum/verdicts.sock"
{1}[metrics]
port = 0
"""
_GIVEN = 'control = "ipc://{0}/there"\nevidence_dir = "{0}/evidenz"\nteach_socket = "{0}/teach.sock"\n'


@pytest.mark.parametrize(
    ("command", "own", "named"),
    [
        ("gateway modbus", "", ["rum/verdicts.sock"]),
        ("page", _GIVEN, ["rum/verdicts.sock", "teach.sock", "evidenz"]),
    ],
)
def test_what_is_not_there_now_is_told_by_a_warning_and_in_the_log(
    tmp_path: Path, command: str, own: str, named: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").touch()
    file = tmp_path / "program.toml"
    store = f'[store]\ndir = "{tmp_path}/store"\n[server]\nport = 0\n' if own else "[modbus]\nport = 0\n"
    file.write_text(_ELSEWHERE.format(tmp_path, own.format(tmp_path)) + store)
    words = [*command.split(), "--config", str(file)]
    assert cli.main([*words, "--check"]) == ExitCode.OK
    said = capsys.readouterr().err
    assert said.count("warning: ") == len(named)
    assert [name for name in named if f"{tmp_path}/{name}: nothing is there now" not in said] == []

    with subprocess.Popen(
        [sys.executable, "-m", "inspectd", *words], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = [next(line for line in process.stderr if "not_there" in line) for _ in named]
        process.terminate()
    assert [name for name, line in zip(named, lines, strict=True) if f"{tmp_path}/{name}" not in line] == []
