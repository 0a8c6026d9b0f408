"""The gateways' systemd units: valid, hardened, and in step with the exit codes they speak of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inspectd.cli.gateway import GATEWAYS
from inspectd.errors import ExitCode
from tests.support.tools import run

UNITS = {name: Path(__file__).parents[2] / f"systemd/inspectd-gateway-{name}@.service" for name in GATEWAYS}

pytestmark = pytest.mark.parametrize("name", GATEWAYS)


def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    installed, stand_in = "/opt/inspectd/bin/inspectd", tmp_path / "inspectd"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    copy = tmp_path / UNITS[name].name
    text = UNITS[name].read_text()
    assert f"ExecStart={installed} gateway {name} --config /etc/inspectd/gateway-{name}-%i.toml\n" in text
    copy.write_text(text.replace(f"ExecStart={installed} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_unit_is_hardened(name: str) -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNITS[name]))
    assert rated.returncode == 0, rated.stdout


def test_modbus_may_listen_on_port_502_and_nobody_may_more(name: str) -> None:
    wanted = ["CAP_NET_BIND_SERVICE"] if name == "modbus" else [""]
    text = UNITS[name].read_text()
    assert re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE) == wanted
    assert re.findall(r"^AmbientCapabilities=(.+)$", text, re.MULTILINE) == list(filter(None, wanted))


def test_bad_settings_are_not_tried_again(name: str) -> None:
    assert f"RestartPreventExitStatus={int(ExitCode.BAD_INPUT)}\n" in UNITS[name].read_text()


def test_the_unit_says_which_line_it_is_for(name: str) -> None:
    assert "\nEnvironment=INSPECTD_LINE=%i " in UNITS[name].read_text()
