"""A network namespace at the other end of a cable that can be pulled."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = "10.213.7.1"
_THERE: Final = "10.213.7.2"
_PORTS: Final = {"verdicts": 5671, "sync": 5673}


@dataclass(frozen=True)
class Link:
    """A veth pair with one end in a namespace called `name`."""

    name: str
    device: str

    @property
    def wrapper(self) -> tuple[str, ...]:
        """Words that run a command in the namespace."""
        return ("ip", "netns", "exec", self.name)

    def endpoint(self, socket: str) -> str:
        """Of the daemon, as seen through the cable."""
        return f"tcp://{_HERE}:{_PORTS[socket]}"

    def settings_and_arguments(self, folder: Path) -> tuple[str, tuple[str, ...]]:
        """Settings of a daemon that serves the cable with keys, and arguments of a reader that has one."""
        server, client = make_keys(folder)
        ports = "".join(f'{name}_tcp = "{_HERE}:{port}"\n' for name, port in _PORTS.items())
        settings = f'[security]\nkeys_dir = "{server}"\n[publish]\n{ports}'
        keys = ("--server-key", str(server / "server.key"), "--client-key", f"{client}.key_secret")
        return settings, ("--sync", self.endpoint("sync"), *keys)

    def cut(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self.device, "down")

    def join(self) -> None:
        """Plug it in again."""
        _ip("link", "set", self.device, "up")


@contextlib.contextmanager
def link() -> Iterator[Link]:
    """Make the namespace and the cable; both are gone at the end."""
    made = Link(f"inspectd-faults-{os.getpid()}", f"insp{os.getpid() % 100_000}")
    peer = f"{made.device}p"
    _ip("netns", "add", made.name)
    try:
        _ip("link", "add", made.device, "type", "veth", "peer", "name", peer, "netns", made.name)
        _ip("addr", "add", f"{_HERE}/30", "dev", made.device)
        _ip("link", "set", made.device, "up")
        _ip("-n", made.name, "addr", "add", f"{_THERE}/30", "dev", peer)
        _ip("-n", made.name, "link", "set", peer, "up")
        yield made
    finally:
        _ip("netns", "delete", made.name)


@contextlib.contextmanager
def loopback() -> Iterator[tuple[str, ...]]:
    """Make a namespace with loopback alone, gone at the end; words that run a command in it."""
    name = f"inspectd-alone-{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield ("ip", "netns", "exec", name)
    finally:
        _ip("netns", "delete", name)


def make_keys(folder: Path) -> tuple[Path, Path]:
    """The daemon's directory of keys and a client that it lets read, made by the real command."""
    server, client = folder / "keys", folder / "client"
    for command in (
        ("new", str(server / "server")),
        ("new", str(client)),
        ("allow", str(server), f"{client}.key", "--role", "read"),
    ):
        subprocess.run([sys.executable, "-m", "inspectd", "keys", *command], check=True, capture_output=True)
    return server, client


def missing() -> str | None:
    """Reason why this machine cannot have namespaces; None when it can."""
    if os.geteuid() != 0:
        return "a network namespace takes root"
    if shutil.which("ip") is None:
        return "there is no `ip`: install iproute2"
    if subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode:
        return "this kernel or container makes no network namespace"
    return None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
