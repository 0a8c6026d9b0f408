"""The unit of the hub: valid, hardened, a user of its own."""

from __future__ import annotations

import re
from pathlib import Path

from inspectd.errors import ExitCode
from tests.support.tools import run

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "inspectd-hub.service"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    installed, stand_in = "/opt/inspectd/bin/inspectd", tmp_path / "inspectd"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert f"ExecStart={installed} hub --config /etc/inspectd/hub.toml\n" in text
    copy.write_text(text.replace(f"ExecStart={installed} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_unit_is_hardened_and_runs_as_a_user_that_is_made() -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT))
    assert rated.returncode == 0, rated.stdout
    text = UNIT.read_text()
    assert f"RestartPreventExitStatus={int(ExitCode.BAD_INPUT)}\n" in text
    assert "\nUser=inspectd-hub\nGroup=inspectd-hub\n" in text
    assert re.search(r"^u inspectd-hub ", (SYSTEMD / "inspectd.sysusers.conf").read_text(), re.MULTILINE)
