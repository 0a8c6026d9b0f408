"""Three real NATS servers on the loopback interface, by the very files of `config/nats`."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import nats.errors
import nats.js.errors
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from nats.js import api
from support.ports import free_ports

from inspectd.fleet.agent.publisher import banks_config, desired_config
from inspectd.fleet.keys import new_key
from inspectd.fleet.make_streams import make_streams
from inspectd.fleet.names import ID_HEADER, LineNames, PlantNames, position_of
from inspectd.fleet.servers import Servers, ServersDoor, ServersError
from inspectd.fleet.settings import ForwardConfig, ForwardedLine, PlantServers
from inspectd.fleet.streams import made
from inspectd.wire.sync import Position

CONFIG = Path(__file__).parents[2] / "config/nats"
SERVER = Path(sys.executable).with_name("nats-server")
_COUNT = 3

_T = TypeVar("_T")


def server_program() -> str:
    """The server that the development packages brought."""
    found = shutil.which("nats-server", path=f"{SERVER.parent}:{os.environ['PATH']}")
    assert found is not None, "nats-server: not found; `make setup` installs it"
    return found


def make_certificates(folder: Path, addresses: Sequence[str]) -> None:
    """An authority's certificate, and one of it for all servers here."""
    now = dt.datetime.now(dt.UTC)

    def signed(name: str, key: Any, issuer: str, by: Any, *extensions: Any) -> x509.Certificate:
        subject, of = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer))
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(of).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number())
        made = made.not_valid_before(now - dt.timedelta(days=1))
        made = made.not_valid_after(now + dt.timedelta(days=3))
        for extension, is_critical in extensions:
            made = made.add_extension(extension, critical=is_critical)
        return made.sign(by, hashes.SHA256())

    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    own = (x509.BasicConstraints(ca=True, path_length=None), True)
    authority = signed("plant", authority_key, "plant", authority_key, own)
    hosts = [x509.IPAddress(ipaddress.ip_address(address)) for address in sorted({*addresses})]
    names = (x509.SubjectAlternativeName([x509.DNSName("localhost"), *hosts]), False)
    server = signed("nats", server_key, "plant", authority_key, names)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(server.public_bytes(pem))
    (folder / "server.key").write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


class NatsCluster:
    """Three servers; made is not started.

    Args:
        folder: for their files and logs.
        lines: names of lines of the plant `test`, each with a user of its own.
        stores: where each keeps its streams; by default in `folder`.
        sync: their `sync_interval`, as of another configuration than the project's.
        max_disk: what the streams of each may take.
        addresses: of the three; those that are not the loopback's own are put on it.
    """

    def __init__(
        self,
        folder: Path,
        lines: tuple[str, ...] = ("line",),
        *,
        stores: list[Path] | None = None,
        sync: str = "always",
        max_disk: str = "2GB",
        addresses: tuple[str, str, str] = ("127.0.0.1",) * _COUNT,
    ) -> None:
        self.folder = folder
        self.lines = {line: LineNames("test", line) for line in lines}
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.stores = stores or [folder / f"store{i}" for i in range(_COUNT)]
        self._max_disk, self.addresses = max_disk, addresses
        for address in {*addresses} - {"127.0.0.1"}:
            _loopback("add", address)
        ports = free_ports(3 * _COUNT)
        self.clients, self.monitors, self.routes = (ports[i::_COUNT] for i in range(3))
        folder.mkdir(parents=True, exist_ok=True)
        make_certificates(folder, addresses)
        agents = [f"agent-{line}" for line in lines]
        users = ("administrator", "reader", "system", "publisher", *lines, *agents)
        self.keys = {name: new_key(folder / name) for name in users}
        (folder / "accounts.conf").write_text(self._accounts((CONFIG / "accounts.conf").read_text()))
        (folder / "server.conf").write_text(
            (CONFIG / "server.conf").read_text().replace("sync_interval: always", f"sync_interval: {sync}")
        )

    def _accounts(self, text: str) -> str:
        """The project's file with these keys, and the block of its line once for each line."""
        public = {name: key for name, (_, key) in self.keys.items()}
        named = re.findall(r"nkey: (U[A-Z2-7]{55})", text)
        assert len(named) == 6, named
        users = ("administrator", "line1", "agent-line1", "publisher", "reader", "system")
        for key, name in zip(named, users, strict=True):
            text = text.replace(key, public.get(name, f"KEY_OF_{name}"))
        for marked, prefix in (("KEY_OF_line1", ""), ("KEY_OF_agent-line1", "agent-")):
            block = re.search(rf"      \{{ nkey: {marked}\n.*?\n        \}} \}}\n", text, re.DOTALL)
            assert block is not None
            own = "".join(
                block[0]
                .replace(marked, public[f"{prefix}{line}"])
                .replace("demo.line1", f"test.{line}")
                .replace("demo+line1", f"test+{line}")
                .replace("desired.line1", f"desired.{line}")
                for line in self.lines
            )
            text = text.replace(block[0], own)
        return text.replace("demo", "test")

    def environment(self, index: int) -> dict[str, str]:
        """What `host.env` is on a host."""
        routes = {
            f"NATS_ROUTE_{i + 1}": f"nats://{self.addresses[i]}:{port}" for i, port in enumerate(self.routes)
        }
        host = self.addresses[index]
        own = {
            "NATS_NAME": f"nats{index + 1}",
            "NATS_CLIENTS": f"{host}:{self.clients[index]}",
            "NATS_MONITOR": f"{host}:{self.monitors[index]}",
            "NATS_ROUTES": f"{host}:{self.routes[index]}",
            "NATS_CA": str(self.folder / "ca.pem"),
            "NATS_CERTIFICATE": str(self.folder / "server.pem"),
            "NATS_KEY": str(self.folder / "server.key"),
            "NATS_STORE": str(self.stores[index]),
            "NATS_MAX_DISK": self._max_disk,
            "GOMEMLIMIT": "512MiB",
        }
        named = set(re.findall(r"^([A-Z_0-9]+)=", (CONFIG / "host.env").read_text(), re.MULTILINE))
        assert named == {*own, *routes}, "host.env names what the servers read"
        return {**os.environ, **own, **routes}

    def log(self, index: int) -> Path:
        """A server's log, of all its starts."""
        return self.folder / f"nats{index + 1}.log"

    def start(self, *indices: int) -> None:
        """Start servers; all of them by default."""
        for index in indices or range(_COUNT):
            with self.log(index).open("ab") as log:
                self.processes[index] = subprocess.Popen(
                    [server_program(), "-c", str(self.folder / "server.conf")],
                    env=self.environment(index), stdout=log, stderr=log,
                )  # fmt: skip

    def kill(self, *indices: int, signum: int = signal.SIGKILL) -> None:
        """End servers; all that run by default."""
        for index in indices or [*self.processes]:
            process = self.processes.pop(index)
            process.send_signal(signum)
            process.wait()

    @contextmanager
    def cut_off(self, index: int) -> Iterator[None]:
        """Nothing reaches a server meanwhile, whose address is its own, and no connection ends by that."""
        _loopback("del", self.addresses[index])
        try:
            yield
        finally:
            _loopback("add", self.addresses[index])

    def make_streams(self, seconds: float = 60.0, *, max_gb: float = 0.5) -> None:
        """Make the streams of every line, once the servers know each other."""
        deadline = time.monotonic() + seconds
        for line in self.lines:
            settings = ForwardConfig(
                line=ForwardedLine(plant="test", name=line), servers=self.settings("administrator")
            )
            key = self.keys["administrator"][0]
            while True:
                try:
                    asyncio.run(make_streams(settings, key, days=1, max_gb=max_gb, extras_gb=0.05))
                    break
                except ServersError:
                    assert time.monotonic() < deadline, "the servers make no streams"
                    time.sleep(0.5)

    def make_fleet_streams(self, max_gb: float = 0.1) -> None:
        """Make the streams of what lines should run."""
        names = PlantNames("test")
        for config in (
            banks_config(names, max_gb=max_gb),
            desired_config(names).evolve(max_bytes=20_000_000),
        ):
            self.as_user("administrator", lambda servers, config=config: made(servers, config))

    def close(self) -> None:
        """End all."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
        self.kill()

    def settings(self, user: str) -> PlantServers:
        """How a user reaches them."""
        return PlantServers(
            addresses=tuple(
                f"tls://{host}:{port}" for host, port in zip(self.addresses, self.clients, strict=True)
            ),
            monitors=tuple(
                f"https://{host}:{port}" for host, port in zip(self.addresses, self.monitors, strict=True)
            ),
            ca_file=str(self.folder / "ca.pem"),
            seed_file=str(self.keys[user][0]),
        )

    def as_user(self, user: str, work: Callable[[Servers], Awaitable[_T]], seconds: float = 60.0) -> _T:
        """What `work` gives on a connection of a user; tried again while servers do not answer."""
        inbox = f"_INBOX.test.{user}" if user in self.lines else f"_INBOX.{user}"
        if user.startswith("agent-"):
            inbox = f"_INBOX.agent.test.{user.removeprefix('agent-')}"

        async def once() -> _T:
            async with ServersDoor(self.settings(user), inbox, "test").connect() as servers:
                return await servers.asked(work(servers))

        deadline = time.monotonic() + seconds
        while True:
            try:
                return asyncio.run(once())
            except ServersError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.25)

    def info(self, stream: str) -> api.StreamInfo:
        """A stream, with the numbers of messages by subject."""
        return self.as_user("reader", lambda servers: servers.js.stream_info(stream, subjects_filter=">"))

    def leader(self, stream: str, seconds: float = 60.0) -> int:
        """The index of the stream's leader, waiting until it has one."""
        deadline = time.monotonic() + seconds
        while True:
            cluster = self.info(stream).cluster
            if cluster is not None and cluster.leader:
                return int(cluster.leader.removeprefix("nats")) - 1
            assert time.monotonic() < deadline, f"{stream} has no leader"
            time.sleep(0.25)

    def positions(self, line: str) -> list[tuple[str, Position]]:
        """The kind and name of every verdict in a line's stream, in its order."""

        async def read(servers: Servers) -> list[tuple[str, Position]]:
            names = self.lines[line]
            total = (await servers.js.stream_info(names.stream)).state.messages
            if not total:
                return []
            config = api.ConsumerConfig(
                deliver_policy=api.DeliverPolicy.ALL, ack_policy=api.AckPolicy.NONE, headers_only=True,
                inactive_threshold=30,
            )  # fmt: skip
            pull = await servers.js.pull_subscribe("", stream=names.stream, config=config)
            found: list[tuple[str, Position]] = []
            while len(found) < total:
                with contextlib.suppress(nats.errors.TimeoutError):
                    for message in await pull.fetch(1000, timeout=5):
                        position = position_of((message.headers or {}).get(ID_HEADER))
                        assert position is not None, message.subject
                        found.append((message.subject.split(".")[3], position))
            return found

        return self.as_user("reader", read)


def _loopback(what: str, address: str) -> None:
    """Give an address to the loopback interface, of a network of its own, or take it away."""
    subprocess.run(["ip", "address", what, f"{address}/32", "dev", "lo"], check=True)
