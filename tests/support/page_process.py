"""`inspectd page` as a process for tests, with users of every role, and browsers that are logged in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from support.ports import free_port
from support.program import ProgramProcess

from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore

PASSWORD = "a long enough password"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)

NOTHING = False
"""What is verified of a server without TLS: to read the system's authorities takes 25 ms, each time anew."""

COOKIE = "inspectd-plain.test.line"
"""Of a session on a page over plain loopback."""


class PageProcess(ProgramProcess):
    """A page on a free port of the loopback interface.

    Args:
        folder: for its file, its store and its log.
        runtime_dir: of the line.
        tables: more TOML.
        server: more lines of the table `[server]`.
        line: more lines of the table `[line]`.
        verdicts: the line's socket, where it is not the local one.
        is_encrypted: `server` names a certificate.
        start: begin at once.
    """

    cookie = COOKIE

    def __init__(
        self, folder: Path, runtime_dir: Path, tables: str = "", *, server: str = "", line: str = "",
        verdicts: str = "", metrics_port: int = 0, is_encrypted: bool = False, start: bool = True,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.is_encrypted = is_encrypted
        self.folder = folder
        self.log = folder / "page.log"
        self.file = folder / "page.toml"
        self.file.write_text(
            f'[server]\nport = {self.port}\n{server}\n[line]\nplant = "test"\nname = "line"\n'
            f'verdicts = "{verdicts or f"ipc://{runtime_dir}/verdicts.sock"}"\n{line}\n'
            f'[store]\ndir = "{folder / "store"}"\n[metrics]\nport = {metrics_port}\n{tables}\n'
        )
        self.store = AccountStore(folder / "store")
        for role in Role:
            self.store.add_user(role.value, role, CHEAP.hash(PASSWORD))
        self._browsers: list[httpx.Client] = []
        if start:
            self.start()

    @property
    def origin(self) -> str:
        """What browsers call it."""
        return f"http{'s' if self.is_encrypted else ''}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.begin("page", "--config", self.file)

    def token(self, role: Role | str) -> str:
        """Of a new session of the user of that role."""
        user = self.store.user(role)
        assert user is not None
        return self.store.begin_session(user, "127.0.0.1")

    def browser(self, role: Role | str | None = None, address: str = "127.0.0.1") -> httpx.Client:
        """A browser at a loopback address, in which the user of that role is logged in; None: nobody."""
        cookies = {} if role is None else {COOKIE: self.token(role)}
        self._browsers.append(
            httpx.Client(
                base_url=self.origin,
                headers={"Origin": self.origin},
                cookies=cookies,
                timeout=10,
                transport=httpx.HTTPTransport(local_address=address, verify=NOTHING),
            )
        )
        return self._browsers[-1]

    def close_browsers(self) -> None:
        """Close every browser, as an address may have only so many connections."""
        while self._browsers:
            self._browsers.pop().close()

    def audit(self) -> list[dict[str, Any]]:
        """Every record of its audit file."""
        path = self.folder / "store" / "page-audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def close(self) -> None:
        """Kill it, and let go of its store and of every browser."""
        self.kill()
        self.close_browsers()
        self.store.close()
