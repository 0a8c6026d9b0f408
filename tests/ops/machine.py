"""A systemd as PID 1 in namespaces of its own, to run the unit as a plant's machine would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from tests.support.tools import tool

ROOT = Path(__file__).parents[2]
# Targets a service needs by default; the real ones would start the whole of this machine once more.
TARGETS = ("test", "sysinit", "basic", "shutdown")
OF_A_PLANT = ("inspectd-forward@.service", "inspectd-fleet@.service", "inspectd-hub.service")
"""Units of a plant's many lines, which are installed too."""


class Machine:
    """Boots on creation. Its files lie in `folder`: units, settings, state, log."""

    def __init__(self, folder: Path, *, drop_in: str) -> None:
        """Boot.

        Args:
            folder: `settings/*.toml` and `state/` of line1 in it are installed.
            drop_in: more settings of the unit's [Service] section.
        """
        self.log = folder / "log"
        self.boot_log = folder / "boot.log"
        self._write_units(folder, drop_in)
        self._cgroup = _cgroup_mount() / f"inspectd-test-{os.getpid()}"
        self._cgroup.mkdir()
        enter = f'echo $$ >"{self._cgroup}/cgroup.procs" && exec "$@"'
        namespaces = [
            "--fork",
            "--pid",
            "--kill-child",
            "--mount",
            "--mount-proc",
            "--cgroup",
            "--uts",
            "--ipc",
        ]
        with self.boot_log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "sh",
                    "-c",
                    enter,
                    "sh",
                    tool("unshare"),
                    *namespaces,
                    "sh",
                    str(ROOT / "tests/ops/boot.sh"),
                ],
                stdout=log,
                stderr=log,
                env=_boot_environment(folder),
            )
        self._wait_for_boot()

    def _write_units(self, folder: Path, drop_in: str) -> None:
        units = folder / "units"
        (units / "inspectd@.service.d").mkdir(parents=True)
        shutil.copy(ROOT / "systemd/inspectd@.service", units)
        for name in TARGETS:
            (units / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        # An instance that runs a script in the sandbox; as root, to see what the sandbox itself forbids.
        (units / "inspectd@probe.service.d").mkdir()
        (units / "inspectd@probe.service.d/probe.conf").write_text(
            "[Service]\nType=oneshot\nRestart=no\nUser=root\nGroup=root\n"
            "ExecStart=\nExecStart=/bin/sh /opt/inspectd/src/tests/ops/probe.sh\n"
        )
        common = (
            "[Service]\nEnvironment=PYTHONPATH=/opt/inspectd/src LD_LIBRARY_PATH=/opt/python/lib\n"
            f"StandardOutput=append:{self.log}\nStandardError=append:{self.log}\n"
        )
        (units / "inspectd@.service.d/test.conf").write_text(common + drop_in)
        for name in OF_A_PLANT:
            shutil.copy(ROOT / "systemd" / name, units)
            (units / f"{name}.d").mkdir()
            (units / f"{name}.d/test.conf").write_text(common)

    def _wait_for_boot(self) -> None:
        end = time.monotonic() + 20
        while True:
            assert self._process.poll() is None, f"no boot: {self.boot_log.read_text()[-2000:]}"
            if self._pid1() and self.run("systemctl", "is-system-running").stdout.strip() in {
                "running",
                "degraded",
            }:
                return
            assert time.monotonic() < end, f"no boot within 20 s: {self.boot_log.read_text()[-2000:]}"
            time.sleep(0.05)

    def _pid1(self) -> str:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return children.read_text().strip()

    def give(self, name: str, data: bytes, *, owner: str = "root", mode: int = 0o644) -> str:
        """Put a file into the machine's /etc/inspectd; its path there."""
        file = self.log.parent / "etc/inspectd" / name
        file.write_bytes(data)
        file.chmod(mode)
        assert self.run("chown", owner, f"/etc/inspectd/{name}").returncode == 0
        return f"/etc/inspectd/{name}"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine."""
        enter = [tool("nsenter"), "--target", self._pid1(), "--mount", "--pid", "--ipc", "--uts"]
        return subprocess.run(
            [*enter, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=90,
        )

    def show(self, unit: str, *names: str) -> list[str]:
        """Properties of a unit, in the order asked for."""
        return [self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip() for name in names]

    def close(self) -> None:
        """Power off: the end of PID 1 ends everything in its namespace."""
        self._process.kill()
        self._process.wait()
        end = time.monotonic() + 10
        while self._cgroup.exists() and not _remove_tree(self._cgroup):
            assert time.monotonic() < end, f"{self._cgroup} is still in use"
            time.sleep(0.05)


def _boot_environment(folder: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "MACHINE": str(folder),
        "SOURCE": str(ROOT),
        "PYTHON": f"python{sys.version_info.major}.{sys.version_info.minor}",
        "BASE_PREFIX": sys.base_prefix,
        "SITE_PACKAGES": sysconfig.get_path("purelib"),
    }


def _cgroup_mount() -> Path:
    for line in Path("/proc/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    raise AssertionError("no cgroup2 file system is mounted, and systemd needs one")


def _remove_tree(cgroup: Path) -> bool:
    """Remove a cgroup and those in it; False while a process is left in one."""
    folders = [cgroup, *(path for path in cgroup.rglob("*") if path.is_dir())]
    try:
        for folder in sorted(folders, key=lambda path: -len(path.parts)):
            folder.rmdir()
    except OSError:
        return False
    return True
