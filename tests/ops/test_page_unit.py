"""The unit of the operator's page: valid, hardened, a user of its own, and nothing of the line's secrets."""

from __future__ import annotations

import re
from pathlib import Path

from inspectd.errors import ExitCode
from tests.support.tools import run

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "inspectd-page@.service"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    installed, stand_in = "/opt/inspectd/bin/inspectd", tmp_path / "inspectd"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert f"ExecStart={installed} page --config /etc/inspectd/page-%i.toml\n" in text
    copy.write_text(text.replace(f"ExecStart={installed} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_unit_is_hardened() -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT))
    assert rated.returncode == 0, rated.stdout
    text = UNIT.read_text()
    assert re.findall(r"^CapabilityBoundingSet=(.*)$", text, re.MULTILINE) == ["CAP_NET_BIND_SERVICE"]
    assert f"RestartPreventExitStatus={int(ExitCode.BAD_INPUT)}\n" in text


def test_it_runs_as_a_user_of_its_own_that_is_made() -> None:
    text = UNIT.read_text()
    assert "\nUser=inspectd-page\nGroup=inspectd\n" in text
    assert "\nStateDirectoryMode=0700\nUMask=0077\n" in text
    assert re.search(r"^u inspectd-page ", (SYSTEMD / "inspectd.sysusers.conf").read_text(), re.MULTILINE)
