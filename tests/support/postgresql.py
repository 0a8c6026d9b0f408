"""A real PostgreSQL for tests, in a folder of its own, that can be stopped, killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from support.ports import free_port

USER = "hub"


def _programs() -> Path:
    """The folder of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL: not found; tools/install_debian_packages.sh installs it"
    return found[-1].parent


class PostgresServer:
    """A server on a free port of the loopback interface; it runs as a user that is not root, as it has to.

    Attributes:
        url: of a database in it, which is empty.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="hub-postgresql-"))
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        made = [str(self._programs / "initdb"), "-D", str(self.folder / "data"), "-U", USER, "-A", "trust"]
        self._run([*made, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        self.url = f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = (
            "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder), "-c", "shared_buffers=64MB",
        )  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options],
                stdout=log, stderr=log, cwd=self.folder, start_new_session=True, **self._as,
            )  # fmt: skip
        ready = [str(self._programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        end = time.monotonic() + 30
        while subprocess.run(ready, check=False).returncode != 0:
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self, signum: int = signal.SIGINT) -> None:
        """End it: by default at once, and whole; SIGQUIT is as if it crashed."""
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait()
            self._process = None

    def new_database(self, name: str) -> str:
        """The address of a new database."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", USER]
        self._run([str(self._programs / "dropdb"), "--if-exists", "--force", *where, name])
        self._run([str(self._programs / "createdb"), *where, name])
        return f"{self.url.rpartition('/')[0]}/{name}"

    def close(self) -> None:
        """End it, and leave nothing."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.folder, **self._as
        )
        assert done.returncode == 0, done.stderr
