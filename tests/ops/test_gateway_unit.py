"""The gateway's systemd unit: valid, hardened, and in step with the exit codes it speaks of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inspectd.errors import ExitCode
from tests.support.tools import run

UNIT = Path(__file__).parents[2] / "systemd" / "inspectd-gateway-modbus@.service"
TEXT = UNIT.read_text()


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    installed, stand_in = "/opt/inspectd/bin/inspectd", tmp_path / "inspectd"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    copy = tmp_path / UNIT.name
    copy.write_text(TEXT.replace(f"ExecStart={installed} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_unit_is_hardened() -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT))
    assert rated.returncode == 0, rated.stdout


@pytest.mark.parametrize("name", ["AmbientCapabilities", "CapabilityBoundingSet"])
def test_it_may_listen_on_port_502_and_nothing_else(name: str) -> None:
    assert re.findall(rf"^{name}=(.*)$", TEXT, re.MULTILINE) == ["CAP_NET_BIND_SERVICE"]


def test_bad_settings_are_not_tried_again() -> None:
    assert f"RestartPreventExitStatus={int(ExitCode.BAD_INPUT)}\n" in TEXT
