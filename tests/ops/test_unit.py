"""The systemd unit: valid, hardened, and in step with the settings and exit codes it speaks of."""

import configparser
import re
from pathlib import Path
from typing import get_type_hints

import pytest

from inspectd import service, supervisor
from inspectd.config import LineSettings, ScoringSettings
from inspectd.errors import ExitCode
from inspectd.publish.journal import journal
from inspectd.recipes import clerk
from tests.support.tools import run

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "inspectd@.service"


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """Every setting of the unit with all its values."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str
    parser.read(UNIT)
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            values.setdefault(match[1], []).append(match[2])
    assert set(values) == {key for section in parser.sections() for key in parser[section]}
    return values


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    # The program is not installed where the tests run, and `verify` wants to see it.
    installed, stand_in = "/opt/inspectd/bin/inspectd", tmp_path / "inspectd"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace(f"ExecStart={installed} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")
    copy.write_text(copy.read_text() + "NoSuchSetting=1\n")
    assert "NoSuchSetting" in run("systemd-analyze", "verify", str(copy)).stdout


def test_the_unit_is_hardened() -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT))
    assert rated.returncode == 0, rated.stdout
    exposure = re.search(r"exposure level.*: ([0-9.]+)", rated.stdout)
    assert exposure is not None
    assert float(exposure[1]) <= 2.5


def test_the_rating_would_notice_a_bare_unit(tmp_path: Path) -> None:
    bare = tmp_path / "bare.service"
    bare.write_text("[Service]\nExecStart=/bin/true\n")
    assert run("systemd-analyze", "security", "--offline=true", "--threshold=25", str(bare)).returncode != 0


def test_cameras_and_gpus_are_admitted(unit: dict[str, list[str]]) -> None:
    assert unit["DevicePolicy"] == ["closed"]
    assert set(unit["DeviceAllow"]) == {"char-video4linux rw", "char-drm rw", "char-nvidia* rw"}
    assert "PrivateDevices" not in unit
    assert "MemoryDenyWriteExecute" not in unit


def test_groups_the_unit_names_are_made(unit: dict[str, list[str]]) -> None:
    text = (SYSTEMD / "inspectd.sysusers.conf").read_text()
    made = {
        *re.findall(r"^u (\w+)", text, re.MULTILINE),
        *re.findall(r"^m inspectd (\w+)", text, re.MULTILINE),
    }
    assert {*unit["User"], *unit["Group"], *unit["SupplementaryGroups"][0].split()} <= made


def test_timeouts_leave_room_for_what_they_wait_for(unit: dict[str, list[str]]) -> None:
    drain = get_type_hints(LineSettings, include_extras=True)["drain_seconds"].__metadata__[0]
    publication, grace = service._PUBLICATION_NS / 1e9, service._EXIT_GRACE_SECONDS
    children = grace + supervisor._KILL_SECONDS
    closing = clerk._CLOSE_SECONDS + journal._CLOSE_SECONDS
    assert int(unit["TimeoutStopSec"][0]) >= drain.le + publication + grace + children + closing
    assert int(unit["TimeoutStartSec"][0]) > ScoringSettings().start_timeout_seconds


def test_bad_settings_are_not_tried_again(unit: dict[str, list[str]]) -> None:
    assert unit["RestartPreventExitStatus"] == [str(int(ExitCode.BAD_INPUT))]
