"""A right that is missing, or a disk that fails, ends every command with 3, whatever it is for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.daemon import camera_table, settings
from support.ordinary import run_without_rights

from inspectd.errors import ExitCode

_CODES = """
import json, os, sys, tempfile
from inspectd.cli import main

found, shown = {}, os.dup(1)
for words in json.loads(sys.argv[1]):
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 1), os.dup2(said.fileno(), 2)
        try:
            code = int(main(words))
        except (SystemExit, Exception) as end:
            code = getattr(end, "code", repr(end))
        sys.stdout.flush(), sys.stderr.flush()
        said.seek(0)
        found[" ".join(words)] = code, said.read().decode()[-300:]
os.write(shown, json.dumps(found).encode())
"""
"""Runs commands one after another; with which code each ended, and what it said."""


@pytest.fixture
def place(tmp_path: Path):
    """A file and a folder that nobody may open, one that nobody may write to, and a line's file."""
    (tmp_path / "shut").write_text("x")
    (tmp_path / "closed").mkdir()
    (tmp_path / "still").mkdir()
    (tmp_path / "images").mkdir()
    text = settings(tmp_path / "shut", camera_table("cam", tmp_path / "images"))
    state = f'[line]\nstate_dir = "{tmp_path}/closed/state"'
    (tmp_path / "line.toml").write_text(text.replace("[line]", state))
    keys = f'{text}\n[security]\nkeys_dir = "{tmp_path}/closed/keys"'
    (tmp_path / "keys.toml").write_text(keys)
    (tmp_path / "80.toml").write_text(text.replace("port = 0", "port = 80"))
    (tmp_path / "502.toml").write_text("[modbus]\nport = 502\n[metrics]\nport = 0\n")
    for name, mode in (("shut", 0), ("closed", 0), ("still", 0o555)):
        (tmp_path / name).chmod(mode)
    yield tmp_path
    for name in ("shut", "closed", "still"):
        (tmp_path / name).chmod(0o755)


def codes(commands: list[str], place: Path) -> dict[str, tuple[int, str]]:
    words = [[word.replace("@", f"{place}/") for word in command.split()] for command in commands]
    found = json.loads(run_without_rights(_CODES, json.dumps(words)))
    return {command.replace(f"{place}/", "@"): (code, said) for command, (code, said) in found.items()}


def test_a_right_that_is_missing_ends_every_command_with_3(place: Path) -> None:
    found = codes(
        [
            "run @shut",
            "run @80.toml",
            "run @keys.toml",
            "gateway modbus --config @502.toml",
            "check @shut",
            "status @shut",
            "watch @shut",
            "replay @shut",
            "audit --config @shut",
            "audit --config @line.toml",
            "recipe list --config @shut",
            "recipe list --config @line.toml",
            "recipe import @shut --config @line.toml",
            "golden report --config @shut",
            "bank show @shut",
            "camera list --config @shut",
            "camera probe @shut",
            "camera synthetic --out @still/parts --images 1",
            "gateway modbus --config @shut",
            "gateway s7 --config @shut --check",
            "gateway opcua --config @shut",
            "gateway sparkplug --config @shut",
            "gateway init @still/g",
            "gateway init @closed/g",
            "page --config @shut",
            "page --init @still/p",
            "hub --config @shut",
            "hub init @still/h",
            "forward --config @shut",
            "forward init @still/f",
            "fleet --config @shut",
            "fleet init @still/f",
            "fleet new-signer @still/kim",
            "fleet order --out @order @shut",
            "fleet sign --name kim --key @shut @shut",
            "keys list @closed/keys",
            "keys new @still/k",
            "keys new @closed/k",
            "keys allow @closed/keys @shut",
            "init @still/x",
            "init @closed/x",
            "teach list --config @shut",
        ],
        place,
    )
    assert {command: said for command, (code, said) in found.items() if code != ExitCode.UNAVAILABLE} == {}


FAILS = Path("/proc/self/mem")
"""A regular file whose first bytes cannot be read: Input/output error."""


def test_a_disk_that_fails_ends_a_start_with_3(tmp_path: Path) -> None:
    text = settings("stub.bank", camera_table("cam", tmp_path))
    parts = '[[golden.parts]]\nname = "a"\nrecipe = "cell"\nexpect = "pass"\ncameras = ["cam"]\n'
    (tmp_path / "golden.jsonl").symlink_to("golden.jsonl")
    (tmp_path / "golden.toml").write_text(text + parts)
    (tmp_path / "keys.toml").write_text(f'{text}[security]\nkeys_dir = "{tmp_path}"\n')
    (tmp_path / "server.key_secret").symlink_to(FAILS)
    commands = [
        f"run {FAILS}",
        f"run {tmp_path}/golden.toml",
        f"run {tmp_path}/keys.toml",
        f"page --config {FAILS}",
        f"forward --config {FAILS}",
        f"gateway modbus --config {FAILS}",
        f"teach list --config {FAILS}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", _CODES, json.dumps([command.split() for command in commands])],
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path / "run")},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    for command, (code, said) in json.loads(done.stdout).items():
        assert (code, "cannot be read" in said) == (ExitCode.UNAVAILABLE, True), (command, said)
