"""`inspectd gateway opcua` as a process for tests, and a client with a certificate of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asyncua import Client, Node, ua
from asyncua.crypto.cert_gen import (
    dump_private_key_as_pem,
    generate_private_key,
    generate_self_signed_app_certificate,
)
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.ports import free_port
from support.program import ProgramProcess

from inspectd import endpoint
from inspectd.gateways.opcua.certificates import CertificateFolder
from inspectd.gateways.opcua.structures import register_ids

logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # the client's words about what tests provoke

USERS = {"anna": "engineer", "mes": "operator", "eye": "observer"}
AUTOMATIC = "VisionStateMachine.AutomaticModeStateMachine"
LINE = "line"


class ClientPki:
    """A client's certificate and key in files.

    Args:
        folder: for them.
        uri: of the certificate.
        days: how long it is valid; negative: it is over.
    """

    def __init__(self, folder: Path, uri: str = "urn:test:client", *, days: int = 30) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key, self.uri = folder / "client.der", folder / "client.pem", uri
        key = generate_private_key()
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)]
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
        made = generate_self_signed_app_certificate(key, "client", {}, names, usage, max(days, 1))
        if days < 0:
            made = _expired(made, key)
        self.certificate.write_bytes(made.public_bytes(Encoding.DER))
        self.key.write_bytes(dump_private_key_as_pem(key))


def _expired(made: x509.Certificate, key: Any) -> x509.Certificate:
    begun = datetime.now(UTC) - timedelta(days=60)
    builder = x509.CertificateBuilder(
        made.issuer, made.subject, made.public_key(), made.serial_number, begun, begun + timedelta(days=1)
    )
    for extension in made.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, made.signature_hash_algorithm)


class OpcUaGateway(ProgramProcess):
    """A gateway on a free port of the loopback interface, which trusts `pki`.

    Args:
        folder: for its files and log.
        runtime_dir: of the line.
        opcua: more lines of the table `[opcua]`.
        line: the line's name.
        metrics_port: of its metrics.
    """

    stop_seconds = 15  # as long as the unit gives it

    def __init__(
        self, folder: Path, runtime_dir: Path, opcua: str = "", *, line: str = LINE, metrics_port: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.log = free_port(), folder / "gateway.log"
        self.certificates = CertificateFolder(folder / "opcua")
        self.certificates.make_own("urn:inspectd:line", ["127.0.0.1"])
        self.pki = ClientPki(folder / "client")
        self.certificates.trust(str(self.pki.certificate))
        for user in USERS:
            endpoint.add_user(folder / "opcua.users", user, f"pw-{user}")
        users = ", ".join(f'{user} = "{role}"' for user, role in USERS.items())
        self.file = folder / "gateway.toml"
        self.file.write_text(
            f'[line]\nplant = "test"\nname = "{line}"\nverdicts = "ipc://{runtime_dir}/verdicts.sock"\n'
            f"[opcua]\nport = {self.port}\nusers = {{ {users} }}\n{opcua}\n"
            f"[metrics]\nport = {metrics_port}\n"
        )
        self.start()

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/inspectd"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.begin("gateway", "opcua", "--config", self.file)

    def audited(self, **wanted: str) -> bool:
        """Whether its log comes to say so of somebody."""
        words = [re.compile(rf"\b{key}={re.escape(value)}(\s|$)") for key, value in wanted.items()]
        end = time.monotonic() + 5
        while time.monotonic() < end:
            lines = [line for line in self.log.read_text().splitlines() if " audit " in line]
            if any(all(word.search(line) for word in words) for line in lines):
                return True
            time.sleep(0.02)
        return False

    async def client(self, user: str | None = "anna", password: str | None = None,
        pki: ClientPki | None = None, port: int | None = None,
                     uri: str | None = None) -> PlantClient:  # fmt: skip
        """A client that is logged in.

        Raises:
            UaStatusCodeError: it was not let in.
        """
        # By itself it gives a server up that does not answer for a second, as on a busy machine.
        url = self.url.replace(str(self.port), str(port or self.port))
        made = PlantClient(url, timeout=10, watchdog_intervall=10)
        pki = pki or self.pki
        made.application_uri = uri or pki.uri
        made.session_timeout = 30_000
        await made.set_security(
            SecurityPolicyBasic256Sha256, str(pki.certificate), str(pki.key),
            server_certificate=str(self.certificates.certificate),
        )  # fmt: skip
        if user is not None:
            made.set_user(user)
            made.set_password(f"pw-{user}" if password is None else password)
        try:
            await made.connect()
        except BaseException:
            await close_socket(made)  # asyncua leaves it open
            raise
        await made.look_around()
        return made


async def close_socket(client: Client) -> None:
    """End a client's connection as it is."""
    client.disconnect_socket()
    await asyncio.sleep(0.01)  # for the loop to close it


def hello() -> bytes:
    """The first message of a client."""
    url = b"opc.tcp://x/"
    body = struct.pack("<IIIIII", 0, 65536, 65536, 0, 0, len(url)) + url
    return b"HELF" + struct.pack("<I", 8 + len(body)) + body


def send_junk(port: int, count: int) -> None:
    """Connect so many times and send what is no OPC UA, or is it for some bytes."""
    for number in range(count):
        junk = os.urandom(200)
        frames = [
            junk, hello() + junk, hello() + b"MSGF" + struct.pack("<II", 60, 1) + junk,
            hello() + b"OPNF" + struct.pack("<II", 100, 0) + junk, b"MSGF\xff\xff\xff\x7f" + junk * 400,
        ]  # fmt: skip
        with socket.create_connection(("127.0.0.1", port), timeout=5) as each:
            try:
                each.sendall(frames[number % len(frames)])
                each.settimeout(0.01)
                each.recv(100)
            except OSError:
                continue  # it was cut off already


class PlantClient(Client):
    """A client that knows the nodes of a line; keeps the events of its subscriptions."""

    async def disconnect(self) -> None:
        """Log out."""
        try:
            await super().disconnect()
        finally:
            await close_socket(self)

    async def look_around(self) -> None:
        """Read namespaces and types."""
        await self.load_data_type_definitions()
        self.vision = await self.get_namespace_index("http://opcfoundation.org/UA/MachineVision")
        register_ids(self.vision)  # asyncua needs it as a client too
        await self.load_data_type_definitions()  # again: results are made of those
        self.machinery = await self.get_namespace_index("http://opcfoundation.org/UA/Machinery/Result/")
        self.index = await self.get_namespace_index("urn:inspectd:plant")
        self.events: list[Any] = []

    @property
    def result_ready(self) -> Node:
        """The type of the event of a result."""
        return self.get_node(ua.NodeId(1024, self.vision))

    def at(self, path: str = "") -> Node:
        """A node of the line."""
        return self.get_node(ua.NodeId(f"{LINE}.{path}" if path else LINE, self.index))

    def id(self, number: int, text: str) -> Any:
        """A structure of OPC 40100-1 with an id."""
        return ua.uatypes.get_type(ua.NodeId(number, self.vision))(Id=text)

    async def call(self, path: str, *values: Any) -> list[Any]:
        """Call a method; what it answers.

        Raises:
            UaStatusCodeError: it was not done.
        """
        answer = await self.at(path.rpartition(".")[0]).call_method(self.at(path), *values)
        return answer if isinstance(answer, list) else [answer]

    async def job(self, part: str = "", *, meas: str = "", recipe: str = "") -> tuple[str, int]:
        """Have a part inspected: JobId and error."""
        no_parameters = ua.Variant([], ua.VariantType.Variant, is_array=True)
        job, error = await self.call(
            f"{AUTOMATIC}.StartSingleJob", self.id(3015, meas), self.id(3004, part), self.id(3002, recipe),
            self.id(3003, ""), no_parameters,
        )  # fmt: skip
        return job.Id, error

    async def prepare(self, external: str, internal: str = "") -> list[Any]:
        """Have a recipe prepared: its internal id, whether that is done, and error."""
        return await self.call(
            "RecipeManagement.PrepareRecipe", self.id(3002, external), self.id(3013, internal)
        )

    async def recipes(self) -> list[Any]:
        """Prepared recipes: whether those are all, their number, the handle, the list, error."""
        return await self.call(
            "RecipeManagement.GetRecipeListFiltered", self.id(3002, ""), self.id(3003, ""),
            ua.Variant(2, ua.VariantType.Int32), ua.Variant(0, ua.VariantType.UInt32),
            ua.Variant(0, ua.VariantType.UInt32), ua.Variant(0, ua.VariantType.Int32),
        )  # fmt: skip

    async def results(self, *, part: str = "", job: str = "", most: int = 100, start: int = 0,
                      timeout_ms: int = 5000) -> list[Any]:  # fmt: skip
        """Recorded results: whether those are all, their number, the handle, the list, error."""
        return await self.call(
            "ResultManagement.GetResultListFiltered", ua.Variant(0, ua.VariantType.Int32), self.id(3015, ""),
            self.id(3004, part), self.id(3002, ""), self.id(3013, ""), self.id(3008, ""), self.id(3008, ""),
            self.id(3003, ""), self.id(3016, job), ua.Variant(most, ua.VariantType.UInt32),
            ua.Variant(start, ua.VariantType.UInt32), ua.Variant(timeout_ms, ua.VariantType.Int32),
        )  # fmt: skip

    async def listen(self, interval_ms: float = 10, *, node: Node | None = None) -> Any:
        """Subscribe to results."""
        subscription = await self.create_subscription(interval_ms, self)
        await subscription.subscribe_events(node or self.at(), self.result_ready, queuesize=1000)
        return subscription

    def event_notification(self, event: Any) -> None:
        self.events.append(event)

    async def state(self, path: str = "VisionStateMachine") -> str:
        """Name of a state."""
        return str((await self.at(f"{path}.CurrentState").read_value()).Text)

    async def until_state(self, state: str, path: str = "VisionStateMachine", seconds: float = 15) -> None:
        """Wait for a state."""
        async with asyncio.timeout(seconds):
            while await self.state(path) != state:
                await asyncio.sleep(0.02)

    async def until_events(self, number: int, seconds: float = 15) -> list[Any]:
        """Wait for so many events."""
        async with asyncio.timeout(seconds):
            while len(self.events) < number:
                await asyncio.sleep(0.005)
        return self.events


def meta_of(event: Any) -> Any:
    """What an event says of its result by OPC 40001-101."""
    (content,) = event.ResultContent
    return getattr(content, "Value", content).ResultMetaData
