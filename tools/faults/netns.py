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

from faults.processes import ENDS_WITH_ITS_MAKER

_PORTS: Final = {"verdicts": 5671, "sync": 5673}


@dataclass(frozen=True)
class Link:
    """A veth pair with one end in a namespace."""

    wrapper: tuple[str, ...]
    """Words that run a command in the namespace."""

    device: str
    here: str
    """Address of the end that is outside the namespace."""

    def endpoint(self, socket: str) -> str:
        """Of the daemon, as seen through the cable."""
        return f"tcp://{self.here}:{_PORTS[socket]}"

    def settings_and_arguments(self, folder: Path) -> tuple[str, tuple[str, ...]]:
        """Settings of a daemon that serves the cable with keys, and arguments of a reader that has one."""
        server, client = make_keys(folder)
        ports = "".join(f'{name}_tcp = "{self.here}:{port}"\n' for name, port in _PORTS.items())
        settings = f'[security]\nkeys_dir = "{server}"\n[publish]\n{ports}'
        keys = ("--server-key", str(server / "server.key"), "--client-key", f"{client}.key_secret")
        return settings, ("--sync", self.endpoint("sync"), *keys)

    def cut(self) -> None:
        """Pull the cable."""
        _run("ip", "link", "set", self.device, "down")

    def join(self) -> None:
        """Plug it in again."""
        _run("ip", "link", "set", self.device, "up")


@contextlib.contextmanager
def link() -> Iterator[Link]:
    """Make a namespace and a cable to it; both are gone at the end.

    Each has four addresses of its own, by its holder's process id: several runs go side by side.
    """
    with _namespace() as holder:
        here, there = (f"10.213.{holder >> 6 & 255}.{holder % 64 * 4 + end}" for end in (1, 2))
        made = Link(_inside(holder), f"insp{holder}", here)
        _run("ip", "link", "add", made.device, "type", "veth", "peer", "name", "peer", "netns", str(holder))
        _run("ip", "addr", "add", f"{here}/30", "dev", made.device)
        _run("ip", "link", "set", made.device, "up")
        _run(*made.wrapper, "ip", "addr", "add", f"{there}/30", "dev", "peer")
        _run(*made.wrapper, "ip", "link", "set", "peer", "up")
        yield made


@contextlib.contextmanager
def loopback() -> Iterator[tuple[str, ...]]:
    """Make a namespace with loopback alone, gone at the end; words that run a command in it."""
    with _namespace() as holder:
        _run(*_inside(holder), "ip", "link", "set", "lo", "up")
        yield _inside(holder)


@contextlib.contextmanager
def _namespace() -> Iterator[int]:
    """A network namespace, as the process id of who holds it.

    It has no name, which would outlive a run that is killed and give the next one a second way to the same
    addresses: it ends with its holder, and that with this process, whose end closes the holder's input.
    """
    command = ["unshare", "--net", "cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(b"?")
        assert holder.stdout.read(1) == b"?", "unshare made no network namespace"
        yield holder.pid


def _inside(holder: int) -> tuple[str, ...]:
    return (*ENDS_WITH_ITS_MAKER, "nsenter", f"--net=/proc/{holder}/ns/net")


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


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
