"""What commands print of strangers' names, from the real command."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest
from support.messages import COUNTS

from inspectd.cli.live_view import event_text, plain_line
from inspectd.cli.output import PlainOutput
from inspectd.wire import Event


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_name_that_is_not_utf8_or_holds_escapes_ends_in_no_traceback(tmp_path, encoding):
    folder = os.fsencode(tmp_path) + b"/caf\xe9\x1b[2J"
    command = [sys.executable, "-m", "inspectd"]
    environment = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    done = subprocess.run([*command, "init", folder], capture_output=True, env=environment, check=True)
    assert rb"caf\udce9\u001b[2J/inspectd.toml" in done.stdout
    again = subprocess.run([*command, "init", folder], capture_output=True, env=environment, check=False)
    assert again.returncode == 2
    assert rb"caf\udce9\u001b[2J/inspectd.toml: already exists" in again.stderr
    assert b"\x1b" not in done.stdout + again.stderr


def test_an_event_of_another_is_one_line_without_escapes():
    heard = Event("p", "l", 1, 0, "info", "camera_up\x1b[2J", "c\nx", "title \x1b]0;x\x07 \u202e", COUNTS)
    for text in (plain_line(heard), event_text(heard).plain):
        assert text.isprintable()


def test_prints_lines_and_nothing_else_a_terminal_obeys():
    terminal = io.StringIO()
    print("a\nb\x1b[2J", "\r\x9b", file=PlainOutput(terminal))
    assert terminal.getvalue() == "a\nb\\u001b[2J \\u000d\\u009b\n"


def test_what_is_printed_beside_bars_goes_to_the_file_that_was_asked_for():
    beside_bars = """
from inspectd.cli.bank_common import Steps
from inspectd.cli.output import plain_output
with plain_output(), Steps() as steps:
    steps("images", 1, 2)
    print("the answer")
"""
    here, there = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", beside_bars], stdout=subprocess.PIPE, stderr=there, check=True
    )
    os.close(there)
    shown = os.read(here, 65536)
    os.close(here)
    assert done.stdout == b"the answer\n"
    assert b"images" in shown
