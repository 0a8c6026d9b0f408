"""The unit of the teaching desk: valid, hardened, the line's user, and no network."""

from __future__ import annotations

from pathlib import Path

from inspectd.errors import ExitCode
from tests.support.tools import run

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "inspectd-teach@.service"


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    installed, stand_in = "/opt/inspectd/bin/inspectd", tmp_path / "inspectd"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    copy = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert f"ExecStart={installed} teach serve --config /etc/inspectd/%i.toml --user inspectd-page\n" in text
    copy.write_text(text.replace(f"ExecStart={installed} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")


def test_the_unit_is_hardened_and_reaches_no_network() -> None:
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=25", str(UNIT))
    assert rated.returncode == 0, rated.stdout
    text = UNIT.read_text()
    assert "\nRestrictAddressFamilies=AF_UNIX\nPrivateNetwork=yes\n" in text
    assert f"RestartPreventExitStatus={int(ExitCode.BAD_INPUT)}\n" in text


def test_it_is_the_line_s_user_with_a_runtime_directory_of_its_own() -> None:
    text, line = UNIT.read_text(), (SYSTEMD / "inspectd@.service").read_text()
    for setting in ("User=inspectd", "StateDirectory=inspectd/%i", "StateDirectoryMode=0750", "UMask=0007"):
        assert f"\n{setting}\n" in text
        assert f"\n{setting}\n" in line
    assert "\nRuntimeDirectory=inspectd-teach/%i\n" in text
