"""Clients that may not read or trigger: without a key, with an unknown one, with a revoked one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import zmq
import zmq.auth
from faults.fault import Context, Outcome
from faults.listener import wait_for
from faults.netns import make_keys
from faults.rig import HOOK, Rig
from faults.tap import Tap
from support.ports import free_ports

_LISTEN_SECONDS: Final = 1.0
_HANDSHAKE_BYTES: Final = 400
"""Greeting, WELCOME and ERROR of CURVE (RFC 26), which come before any message: 64 + 170 + 10 and framing."""

_STATES: Final = {"": "", "deaf": ", the authenticator stopped", "gone": ", the authenticator gone"}
_TAKEN_UP_SECONDS: Final = 10.0
_ON_ITS_WAY_SECONDS: Final = 0.5
_REQUESTS: Final = {
    "verdicts": None,
    "heatmaps": None,
    "previews": None,
    "sync": b'{"schema":"snapshot/1"}',
    "control": b'{"schema":"trigger/1","trigger_id":"stranger"}',
}


class Client:
    """A reader or sender with whatever keys it has, behind a tap that counts what it is sent."""

    def __init__(self, name: str, port: int, keys: tuple[Path, Path] | None) -> None:
        self.messages = 0
        self.tap = Tap(port)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER if _REQUESTS[name] else zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        if keys is not None:
            server, own = keys
            self._socket.curve_serverkey = zmq.auth.load_certificate(server)[0]
            self._socket.curve_publickey, self._socket.curve_secretkey = zmq.auth.load_certificate(own)
        if _REQUESTS[name] is None:
            self._socket.subscribe(b"")
        self._socket.connect(f"tcp://127.0.0.1:{self.tap.port}")
        if request := _REQUESTS[name]:
            self._socket.send(request, zmq.NOBLOCK)

    def read(self) -> None:
        """Take what has come."""
        while self._socket.poll(0):
            self._socket.recv_multipart()
            self.messages += 1

    def close(self) -> None:
        """Hang up."""
        self._context.destroy(linger=0)
        self.tap.close()


def run(context: Context) -> Outcome:
    """Every kind of stranger at every socket, with the authenticator at work and stopped in two ways."""
    outcome = Outcome()
    fault = context.folder / "authenticator"
    server, known = make_keys(context.folder)
    unknown, revoked = _key(context.folder / "unknown"), _key(context.folder / "revoked")
    _keys("allow", str(server), f"{revoked}.key", "--role", "read", "--role", "control")
    ports = dict(zip(_REQUESTS, free_ports(len(_REQUESTS)), strict=True))
    extra = f'[security]\nkeys_dir = "{server}"\n[publish]\n' + "".join(
        f'{name}_tcp = "127.0.0.1:{port}"\n' for name, port in ports.items()
    )
    path = f"{HOOK}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {"INSPECTD_FAULT_AUTH": str(fault), "PYTHONPATH": path}
    public = server / "server.key"
    allowed = (public, Path(f"{known}.key_secret"))
    strangers = {
        "no key": None,
        "an unknown key": (public, Path(f"{unknown}.key_secret")),
        "a revoked key": (public, Path(f"{revoked}.key_secret")),
        "a key of another server": (Path(f"{unknown}.key"), Path(f"{known}.key_secret")),
    }
    with Rig(context.folder, context.bank, 1, extra=extra, environment=environment) as rig:
        _watch_revocation(outcome, rig, ports, strangers["a revoked key"], server)
        friend = Client("verdicts", ports["verdicts"], allowed)
        wait_for(lambda: friend.read() or friend.messages, 10, "an allowed key hears nothing")
        for _ in range(context.count):
            for state in _STATES:
                _put_in_force(fault, state)
                # While nobody can answer for them, those who are allowed are strangers too.
                trying = strangers | {"an allowed key": allowed} if state else strangers
                _let_them_try(outcome, ports, trying, state)
            _put_in_force(fault, "")
            again = Client("verdicts", ports["verdicts"], allowed)
            wait_for(lambda c=again: c.read() or c.messages, 10, "an allowed key is not let in again")
            again.close()
            outcome.injected += 1
            context.advance()
        friend.close()
        outcome.require(max(friend.tap.to_client) > _HANDSHAKE_BYTES, "the tap does not count")
        outcome.require(rig.line.ended() is None, "the daemon ended")
    return outcome


def _put_in_force(fault: Path, state: str) -> None:
    """Bring the authenticator into a state; the hook reports when it is in it."""
    fault.write_text(state)
    seen = fault.with_name(f"{fault.name}.seen")
    wait_for(
        lambda: (seen.read_text() if seen.exists() else "") == state,
        _TAKEN_UP_SECONDS,
        f"the authenticator is not {state or 'back'}",
    )


def _let_them_try(
    outcome: Outcome, ports: dict[str, int], strangers: dict[str, tuple[Path, Path] | None], state: str
) -> None:
    """Every stranger at every socket for a while: none may be sent more than the hand-shake."""
    clients = {
        (who, name): Client(name, port, keys)
        for who, keys in strangers.items()
        for name, port in ports.items()
    }
    end = time.monotonic() + _LISTEN_SECONDS
    while time.monotonic() < end:
        for client in clients.values():
            client.read()
        time.sleep(0.02)
    where = _STATES[state]
    for client in clients.values():
        client.tap.stop()
    for (who, name), client in clients.items():
        client.close()
        most = max(client.tap.to_client, default=0)
        outcome.require(not client.messages, f"{who} got {client.messages} messages of {name}{where}")
        outcome.require(most <= _HANDSHAKE_BYTES, f"{who} was sent {most} bytes by {name}{where}")
        outcome.require(client.tap.to_client, f"{who} never reached {name}{where}")
    label = "most bytes before the hand-shake ended" + where
    outcome.figures[label] = str(max(max(client.tap.to_client, default=0) for client in clients.values()))


def _watch_revocation(
    outcome: Outcome, rig: Rig, ports: dict[str, int], keys: tuple[Path, Path] | None, server: Path
) -> None:
    """A key that is revoked while its client listens: the client is cut off."""
    client = Client("verdicts", ports["verdicts"], keys)
    wait_for(lambda: client.read() or client.messages, 10, "a key that is still allowed hears nothing")
    since_ns = time.monotonic_ns()
    _keys("revoke", str(server), "revoked")
    wait_for(
        lambda: any(e.header["event"] == "keys_changed" for e in rig.line.listener.events_since(since_ns)),
        _TAKEN_UP_SECONDS,
        "the revocation is not taken up",
    )
    time.sleep(_ON_ITS_WAY_SECONDS)
    client.read()
    before = client.messages
    time.sleep(1)
    client.read()
    outcome.require(client.messages == before, "a client still hears verdicts after its key was revoked")
    client.close()


def _key(path: Path) -> Path:
    _keys("new", str(path))
    return path


def _keys(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "inspectd", "keys", *words], check=True, capture_output=True)
