"""Commands that look at a running line go by its file also where no line could start by it any more."""

from __future__ import annotations

import json

import pytest
from support.daemon import camera_table, settings

from inspectd.errors import ExitCode


@pytest.mark.daemon
def test_a_typo_in_the_file_of_a_running_line_takes_no_command_away(
    start_daemon, stub_bank, small_good, inspectd, monkeypatch
):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=20))).ready()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(daemon.runtime_dir))
    monkeypatch.setenv("STATE_DIRECTORY", str(daemon.folder / "state"))
    file = daemon.file
    file.write_text(file.read_text().replace("fps =", "fsp ="))

    asked = inspectd("status", file, "--json")
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["cameras"][0]["camera"] == "cam"
    assert asked.stderr.count("warning: ") == 1
    assert "fsp: unknown key (is fps meant?)" in asked.stderr
    assert "one that runs goes on" in asked.stderr
    assert inspectd("replay", file).stdout
    assert inspectd("audit", "--config", file).returncode == ExitCode.OK
    assert inspectd("teach", "list", "--config", file).returncode == ExitCode.OK


@pytest.mark.parametrize(
    "fault",
    ["[line]\nstate_dri = 'x'\n", "[lin]\nstate_dir = 'x'\n", "[evidence]\ndri = 'x'\n", "[line\n"],
    ids=["line", "misspelt", "evidence", "no-toml"],
)
def test_where_the_file_may_say_wrongly_where_things_are_it_is_told_how_the_line_is_asked(
    tmp_path, inspectd, fault
):
    file = tmp_path / "line1.toml"
    file.write_text(fault)
    assert inspectd("audit", "--config", file).returncode == ExitCode.BAD_INPUT
    said = inspectd("status", file).stderr
    assert "Its line may be running all the same" in said
    assert "inspectd status ipc:///run/inspectd/line1/sync.sock" in said


def test_a_file_that_is_not_there_is_no_line_that_may_be_running(tmp_path, inspectd):
    said = inspectd("audit", "--config", tmp_path / "none.toml")
    assert (said.returncode, "may be running" in said.stderr) == (ExitCode.BAD_INPUT, False)
