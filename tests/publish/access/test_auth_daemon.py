"""A real line with keys and the client library: others' revocations cost an honest reader nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq
from support.ports import free_ports

from inspectd import key_files
from inspectd.client import ClientKeys, Lost, VerdictReader
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire import Verdict
from inspectd.wire.sockets import Role
from tests.support.daemon import camera_table, settings

REVOCATIONS = 5


@pytest.fixture
def ports() -> list[int]:
    return free_ports(2)


def subscribe(context: zmq.Context, folder: Path, name: str, port: int) -> zmq.Socket[bytes]:
    client = context.socket(zmq.SUB)
    pair = key_files.read_pair(folder / f"{name}.key_secret")
    client.curve_serverkey = key_files.read_public(folder / "keys" / "server.key")
    client.curve_publickey, client.curve_secretkey = pair.public, pair.secret
    client.subscribe(b"")
    client.connect(f"tcp://127.0.0.1:{port}")
    return client


def test_a_reader_gets_each_verdict_once_while_other_keys_are_revoked(
    start_daemon, stub_bank, small_good, tmp_path, ports
):
    key_files.new_pair(tmp_path / "keys" / "server")
    others = [f"other{n}" for n in range(REVOCATIONS)]
    clients = [
        Client(key_files.read_public(key_files.new_pair(tmp_path / name)[0]), name, (Role.READ,))
        for name in ("gate", *others)
    ]
    keys.write_allowed(tmp_path / "keys", clients)
    tcp = f'[publish]\nverdicts_tcp = "127.0.0.1:{ports[0]}"\nsync_tcp = "127.0.0.1:{ports[1]}"\n'
    text = settings(
        stub_bank,
        camera_table("cam", small_good, fps=20),
        extra=f'{tcp}[security]\nkeys_dir = "{tmp_path}/keys"',
    )
    daemon = start_daemon(text).ready()
    reader = VerdictReader(
        f"tcp://127.0.0.1:{ports[0]}",
        f"tcp://127.0.0.1:{ports[1]}",
        start="oldest",
        keys=ClientKeys(tmp_path / "keys" / "server.key", tmp_path / "gate.key_secret"),
    )
    context = zmq.Context()
    revoked = []
    seqs: list[int] = []

    def read() -> None:
        daemon.reader.read(0)
        while (item := reader.receive(0.05)) is not None:
            assert not isinstance(item, Lost), item
            if isinstance(item, Verdict):
                seqs.append(item.seq)

    try:
        for number, name in enumerate(others, 1):
            revoked.append(subscribe(context, tmp_path, name, ports[0]))
            assert revoked[-1].poll(10_000)
            before = len(seqs)
            keys.write_allowed(tmp_path / "keys", [clients[0], *clients[1 + number :]])
            daemon.until(lambda name=name: (e := daemon.reader.event("keys_changed")) and name in e.detail, 5)
            while revoked[-1].poll(300):  # what was on its way when the key was revoked
                revoked[-1].recv_multipart()
            while len(seqs) < before + 20:
                read()
        assert not any(client.poll(0) for client in revoked)
        assert daemon.stop() == 0
        last = daemon.reader.verdicts[-1].seq
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) > 20 * REVOCATIONS
        assert last >= seqs[-1]
    finally:
        context.destroy(linger=0)
        reader.close()
