"""A line that says who it is by a JWT of the plant's operator, in place of an NKEY in the servers' files."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import nkeys
import pytest
from support.nats_cluster import make_certificates, server_program
from support.ports import free_port

from inspectd.fleet.servers import DeniedError, ServersDoor, ServersError
from inspectd.fleet.settings import PlantServers

pytestmark = pytest.mark.system  # NATS is no part of the project


def new_pair(prefix: int) -> Any:
    return nkeys.from_seed(nkeys.encode_seed(os.urandom(32), prefix))


def token(issuer: Any, subject: str, kind: str, **claims: Any) -> str:
    """A JWT as NATS has it, version 2: Ed25519 over two parts in base64."""

    def part(value: dict[str, Any] | bytes) -> str:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    body = {
        "jti": os.urandom(8).hex(), "iat": int(time.time()), "iss": issuer.public_key.decode(), "name": kind,
        "sub": subject, "nats": {"type": kind, "version": 2, **claims},
    }  # fmt: skip
    signed = f"{part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{part(body)}"
    return f"{signed}.{part(bytes(issuer.sign(signed.encode())))}"


def test_a_line_with_a_jwt_may_what_it_says(tmp_path: Path) -> None:
    make_certificates(tmp_path, ("127.0.0.1",))
    operator, account, user = (
        new_pair(prefix)
        for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    account_name = account.public_key.decode()
    (tmp_path / "operator.jwt").write_text(token(operator, operator.public_key.decode(), "operator"))
    limits = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1)
    limits |= {"wildcards": True}
    account_token = token(operator, account_name, "account", limits=limits)
    port = free_port()
    (tmp_path / "server.conf").write_text(f"""
listen: 127.0.0.1:{port}
operator: "{tmp_path}/operator.jwt"
resolver: MEMORY
resolver_preload: {{ {account_name}: "{account_token}" }}
tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.key", min_version: "1.3" }}
""")
    allowed = {"pub": {"allow": ["i1.test.line.>"]}, "sub": {"allow": ["_INBOX.test.line.>"]}}
    user_token = token(account, user.public_key.decode(), "user", subs=-1, data=-1, payload=-1, **allowed)
    credentials = tmp_path / "line.creds"
    credentials.write_text(
        f"-----BEGIN NATS USER JWT-----\n{user_token}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    credentials.chmod(0o600)
    link = PlantServers(
        addresses=(f"tls://127.0.0.1:{port}",), monitors=("https://127.0.0.1:1",),
        ca_file=str(tmp_path / "ca.pem"), credentials_file=str(credentials),
    )  # fmt: skip

    async def publish(subject: str) -> None:
        async with ServersDoor(link, "_INBOX.test.line", "test").connect() as servers:
            await servers.asked(servers.js.publish(subject, b"", timeout=2))

    server = subprocess.Popen([server_program(), "-c", tmp_path / "server.conf"], stderr=subprocess.DEVNULL)
    try:
        deadline, said = time.monotonic() + 20, ""
        while "no response from stream" not in said:  # it keeps none: that it says so shows that we are in
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
            with pytest.raises(ServersError) as caught:
                asyncio.run(publish("i1.test.line.v.1.top"))
            said = str(caught.value)
        with pytest.raises(DeniedError):
            asyncio.run(publish("i1.test.other.v.1.top"))
        link = type(link)(
            **{name: getattr(link, name) for name in link.__struct_fields__ if name != "ca_file"}
        )
        with pytest.raises(ServersError, match="certificate verify failed"):
            asyncio.run(publish("i1.test.line.v.1.top"))
    finally:
        server.kill()
        server.wait()
