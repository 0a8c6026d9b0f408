"""docs/operators-day.md: its commands and screen are real, its table names every condition."""

from __future__ import annotations

import re
import shlex
import time
from datetime import datetime
from pathlib import Path

import pytest
from cli.test_status import line, shown

from inspectd.cli import _parser
from inspectd.cli.times import last_utc_ns
from inspectd.wire.health import CONDITIONS
from inspectd.wire.sync import CameraStatus

PAGE = (Path(__file__).parents[2] / "docs" / "operators-day.md").read_text()
COMMANDS = re.findall(r"^ {4,}inspectd (.+)$", PAGE, re.MULTILINE) + re.findall(
    r"`inspectd ([^`]* --[^`]+)`", PAGE
)


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_understood(command: str) -> None:
    words = shlex.split(command)
    _parser(words[0]).parse_args(words)


def test_its_commands_were_found() -> None:
    assert {command.split()[0] for command in COMMANDS} == {"status", "golden", "recipe", "explain", "audit"}


def test_its_screen_is_what_a_line_says() -> None:
    cameras = [
        CameraStatus(name, "up", "cells@3", {"pass": 60, "fail": 1}, *shares)
        for name, shares in (("top", (0.61, 0.58)), ("side", (0.47, 0.45)))
    ]
    local = {"verdicts": 1, "heatmaps": 0, "previews": 0, "sync": 1, "control": 1}
    lines = shown(line(cameras=cameras, connections=local | {"tcp verdicts": 2}))
    (block,) = re.findall(r"<!-- screen -->\n\n((?: {4}.*\n)+)", PAGE)
    expected = [each.strip() for each in lines if not each.startswith("triggers")]
    assert [each.strip() for each in block.splitlines()] == expected


def test_its_table_names_every_condition() -> None:
    table = PAGE[PAGE.index("| Condition |") : PAGE.index("With more detail")]
    cells = [row.split("|")[1] for row in table.splitlines() if row]
    named = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted(named) == sorted(CONDITIONS)


def test_a_time_of_day_is_the_last_one() -> None:
    found = last_utc_ns("06:00")
    assert 0 <= time.time_ns() - found < 25 * 3_600 * 10**9
    assert datetime.fromtimestamp(found / 1e9).astimezone().strftime("%H:%M") == "06:00"
    assert last_utc_ns("2026-11-26T06:00:00Z") == 1_795_672_800 * 10**9
