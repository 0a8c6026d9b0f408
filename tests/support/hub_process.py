"""`inspectd hub` as a process for tests, with users of every role."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import httpx
from support.nats_cluster import NatsCluster
from support.page_process import CHEAP, NOTHING, PASSWORD
from support.ports import free_port
from support.program import ProgramProcess

from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore

COOKIE = "inspectd-plain.test+hub"


class HubProcess(ProgramProcess):
    """A hub of the plant `test` on a free port of the loopback interface; made is not started.

    Args:
        folder: for its file, its store and its log.
        cluster: whose streams it reads.
        url: of its database.
        tables: more TOML.
        silent: seconds after which a line stands still.
        days: so long its database keeps verdicts.
    """

    cookie = COOKIE

    def __init__(
        self, folder: Path, cluster: NatsCluster, url: str, tables: str = "", *, silent: float = 5,
        days: float = 400,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.metrics_port = free_port(), free_port()
        self.url, self.cluster = url, cluster
        self.log, self.file, self.folder = folder / "hub.log", folder / "hub.toml", folder
        servers = cluster.settings("reader")
        self.file.write_text(
            f'[plant]\nname = "test"\nsilent_seconds = {silent}\n'
            f"[servers]\naddresses = {list(servers.addresses)}\n"
            f'ca_file = "{servers.ca_file}"\nseed_file = "{servers.seed_file}"\n'
            f'[database]\nurl = "{url}"\ndays = {days}\n[server]\nport = {self.port}\n'
            f'[store]\ndir = "{folder / "store"}"\n[metrics]\nport = {self.metrics_port}\n{tables}\n'
        )
        self.store = AccountStore(folder / "store")
        for role in Role:
            if self.store.user(role.value) is None:
                self.store.add_user(role.value, role, CHEAP.hash(PASSWORD))
        self._browsers: list[httpx.Client] = []

    @property
    def origin(self) -> str:
        """What browsers call it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> HubProcess:
        """Start it, and wait until it listens."""
        self.begin("hub", "--config", self.file)
        return self

    def command(self, *more: str) -> subprocess.CompletedProcess[str]:
        """What the command with this file says."""
        command = [sys.executable, "-m", "inspectd", "hub", "--config", str(self.file), *more]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    def token(self, role: Role | str) -> str:
        """Of a new session of the user of that role."""
        user = self.store.user(role)
        assert user is not None
        return self.store.begin_session(user, "127.0.0.1")

    def browser(self, role: Role | str | None = None) -> httpx.Client:
        """A browser in which the user of that role is logged in; None: nobody."""
        cookies = {} if role is None else {COOKIE: self.token(role)}
        self._browsers.append(
            httpx.Client(
                base_url=self.origin,
                headers={"Origin": self.origin},
                cookies=cookies,
                timeout=10,
                verify=NOTHING,
            )
        )
        return self._browsers[-1]

    def metrics(self) -> dict[str, float]:
        """What Prometheus would scrape."""
        text = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5, verify=NOTHING).text
        pairs = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("inspectd_"))
        return {name: float(value) for name, value in pairs}

    def end(self, signum: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        assert self.process is not None
        self.process.send_signal(signum)
        code = self.process.wait(timeout=20)
        self.process = None
        return code

    def close(self) -> None:
        """Kill it, and let go of its store and of every browser."""
        for browser in self._browsers:
            browser.close()
        if self.process is not None:
            self.end(signal.SIGKILL)
        self.store.close()
