"""Keys on the real sockets: who gets in, who gets nothing, and what a revocation does to who is in."""

from __future__ import annotations

import contextlib
import os
import socket as sockets
import threading
import time
from pathlib import Path

import pytest
import zmq
from zmq.utils import z85

from inspectd import wire
from inspectd.errors import InputError
from inspectd.files import write_text
from inspectd.publish.access import keys
from inspectd.publish.access.auth import Authenticator
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import AuthCause, Role
from tests.support.disks import needs_root
from tests.support.key_line import Line, pair, received
from tests.support.key_list import hung_list
from tests.support.served import ServedSockets


@pytest.fixture
def line(tmp_path):
    line = Line(tmp_path)
    yield line
    line.close()
    assert not list(line.runtime_dir.iterdir())


def test_an_allowed_key_reads_and_local_readers_need_none(line):
    remote = line.client("verdicts", zmq.SUB, line.reader)
    local = line.local()
    line.turn_until(lambda: remote.poll(0) and local.poll(0))
    assert line.refused == {}


@pytest.mark.parametrize("name", ["verdicts", "heatmaps", "previews", "sync", "control"])
def test_who_has_no_allowed_key_gets_nothing(line, name):
    kind = zmq.SUB if name in {"verdicts", "heatmaps", "previews"} else zmq.DEALER
    wrong_role = line.controller if name != "control" else line.reader
    clients = [
        line.client(name, kind, None),
        line.client(name, kind, line.stranger),
        line.client(name, kind, wrong_role),
        line.client(name, kind, line.reader, server=line.stranger.public),
    ]
    heatmap = wire.HeatmapHeader(1, 1, "cam", 1, 1, "float16", 1.0)
    requests = []

    def turn() -> bool:
        line.bus.send("cam", wire.Kind.HEATMAP, heatmap, b"\0\0")
        for socket in ("sync", "control"):
            requests.extend(line.bus.requests(socket))
        if kind == zmq.DEALER:
            for client in clients:
                with contextlib.suppress(zmq.Again):  # it has no connection, or has just lost it
                    client.send(b"request", zmq.NOBLOCK)
        expected = {AuthCause.UNKNOWN_KEY: 1, AuthCause.ROLE: 1, AuthCause.HANDSHAKE: 5}
        return all(line.refused[name, cause] >= count for cause, count in expected.items())

    line.turn_until(turn)
    assert [received(client) for client in clients] == [0, 0, 0, 0]
    assert requests == []
    assert line.bus.subscriptions == {"verdicts": 0, "heatmaps": 0, "previews": 0}


def test_each_role_reaches_its_sockets(line):
    asking = {
        "sync": line.client("sync", zmq.DEALER, line.reader),
        "control": line.client("control", zmq.DEALER, line.controller),
    }
    for client in asking.values():
        client.send(b"request")
    got = {}

    def both() -> bool:
        for name in asking:
            for incoming in line.bus.requests(name):
                got[name] = incoming.parts
                assert line.bus.reply(name, incoming.client, [b"answer"]) == "sent"
        return len(got) == 2

    line.turn_until(both)
    for client in asking.values():
        assert client.poll(2000)
        assert client.recv() == b"answer"


def test_without_an_authenticator_nobody_new_gets_in(line):
    """The hand-shake is enforced: it fails closed when no handler answers."""
    line.bus._auth.socket.close()
    clients = [line.client("verdicts", zmq.SUB, key) for key in (line.stranger, line.reader, None)]
    line.turn_for(1.5, answering=False)
    assert [received(client) for client in clients] == [0, 0, 0]
    assert line.bus.subscriptions["verdicts"] == 0


def test_a_revoked_key_gets_nothing_from_then_on_and_others_come_back(line):
    other = pair(line.keys_dir.parent, "other")
    line.clients.append(Client(other.public, "other", (Role.READ,)))
    keys.write_allowed(line.keys_dir, line.clients)
    line.turn_until(lambda: line.changes)
    revoked, kept = (line.client("verdicts", zmq.SUB, key) for key in (line.reader, other))
    local = line.local()
    line.turn_until(lambda: revoked.poll(0) and kept.poll(0) and local.poll(0))

    keys.write_allowed(line.keys_dir, line.clients[1:])
    line.turn_until(lambda: len(line.changes) == 2)
    assert line.changes[1].detail == "revoked reader"
    assert line.changes[1].revoked == {"verdicts"}
    line.turn_until(lambda: line.refused["verdicts", AuthCause.UNKNOWN_KEY])
    received(revoked), received(kept), received(local)
    line.turn_until(lambda: kept.poll(0))
    line.turn_for(0.5)
    assert received(kept) > 10
    assert received(local) > 10
    assert received(revoked) == 0


def test_a_reader_that_was_not_served_gets_nothing_of_its_queue_after_its_revocation(line):
    slow = line.client("verdicts", zmq.SUB, line.reader)
    line.turn_until(lambda: slow.poll(0))
    keys.write_allowed(line.keys_dir, line.clients[1:])
    line.turn_until(lambda: line.refused["verdicts", AuthCause.UNKNOWN_KEY])
    received(slow)
    line.turn_for(0.5)
    assert received(slow) == 0


def test_a_key_that_nobody_uses_is_revoked_without_disturbing_others(line):
    reader = line.client("verdicts", zmq.SUB, line.reader)
    line.turn_until(lambda: reader.poll(0))
    keys.write_allowed(line.keys_dir, line.clients[:1])
    line.turn_until(lambda: line.changes)
    assert line.changes[0].revoked == frozenset()
    assert line.changes[0].detail == "revoked controller"


def test_a_list_that_cannot_be_used_allows_nobody_until_it_can(line):
    reader = line.client("verdicts", zmq.SUB, line.reader)
    line.turn_until(lambda: reader.poll(0))
    file = line.keys_dir / keys.ALLOWED
    file.chmod(0o666)
    line.turn_until(lambda: line.changes)
    assert line.changes[0].event == "keys_unusable"
    assert "has mode 666" in line.changes[0].detail
    line.turn_until(lambda: line.refused["verdicts", AuthCause.NO_LIST])
    received(reader)
    line.turn_for(0.3)
    assert received(reader) == 0
    file.chmod(0o644)
    line.turn_until(lambda: reader.poll(0))
    assert line.changes[-1].event == "keys_changed"


@needs_root
@pytest.mark.timeout(60)
def test_a_list_on_a_disk_that_hangs_holds_nothing_up_and_stays_in_force(line):
    reader = line.client("verdicts", zmq.SUB, line.reader)
    line.turn_until(lambda: reader.poll(0))
    with hung_list(line.keys_dir) as let_go:
        line.turn_for(0.5)
        received(reader)
        late = line.client("verdicts", zmq.SUB, line.reader)
        line.turn_until(lambda: reader.poll(0) and late.poll(0))
        assert (line.changes, line.refused) == ([], {})
        let_go(line.clients[1:])
        line.turn_until(lambda: line.changes and line.refused["verdicts", AuthCause.UNKNOWN_KEY])
        assert line.changes[0].detail == "revoked reader"
        assert line.changes[0].revoked == {"verdicts"}


class Handler:
    """An authenticator of a list that allows `client` to read, with a clock that a test moves."""

    def __init__(self, folder: Path) -> None:
        self.keys_dir = folder / "keys"
        pair(self.keys_dir, "server")
        self.client = Client(pair(folder, "client").public, "client", (Role.READ,))
        keys.write_allowed(self.keys_dir, [self.client])
        self.now_s = 0.0
        self.thread_fails = False
        self.asked = 0
        self.context = zmq.Context()
        self.auth = Authenticator(self.context, self.keys_dir, lambda *_: None, self.clock)

    def clock(self) -> int:
        if threading.current_thread() is not threading.main_thread():
            self.asked += 1
            if self.thread_fails:
                raise ArithmeticError("no time")
        return int(self.now_s * 1e9)

    def told(self, seconds_a_turn: float = 0.0):
        """The next change."""
        end = time.monotonic() + 10
        while (change := self.auth.reread()) is None:
            assert time.monotonic() < end
            time.sleep(0.02)
            self.now_s += seconds_a_turn
        return change

    def until(self, condition) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def looks(self, count: int) -> None:
        """Wait until the thread has looked so many times again."""
        for _ in range(count):
            asked = self.asked
            self.until(lambda asked=asked: self.asked > asked)

    def status(self) -> bytes:
        """What a client that knocks is answered."""
        asker = self.context.socket(zmq.REQ)
        asker.connect("inproc://zeromq.zap.01")
        key = z85.decode(self.client.public)
        asker.send_multipart([b"1.0", b"1", b"verdicts", b"127.0.0.1", b"", b"CURVE", key])
        assert self.auth.socket.poll(5000)
        self.auth.answer()
        status = asker.recv_multipart()[2]
        asker.close(linger=0)
        return status

    def close(self) -> None:
        self.auth.close()
        self.context.destroy(linger=0)


@pytest.fixture
def handler(tmp_path):
    handler = Handler(tmp_path)
    yield handler
    handler.close()


@needs_root
@pytest.mark.timeout(60)
def test_a_disk_that_hangs_is_told_every_minute_and_so_is_its_return(handler):
    assert handler.auth.reread() is None
    assert not handler.auth.is_unread
    with hung_list(handler.keys_dir) as let_go:
        told = handler.told(seconds_a_turn=1)
        assert (told.severity, told.event) == ("alarm", "keys_unread")
        assert "not read within 5 s" in told.detail
        assert handler.now_s > 5
        assert handler.auth.is_unread
        for _ in range(2):
            handler.now_s += 59
            assert handler.auth.reread() is None
            handler.now_s += 1
            assert handler.auth.reread() == told
        let_go([handler.client])
        told = handler.told()
        assert (told.severity, told.event) == ("info", "keys_changed")
        assert not handler.auth.is_unread


@needs_root
@pytest.mark.timeout(60)
def test_a_disk_that_hangs_is_told_although_a_list_was_read_just_before(handler):
    keys.write_allowed(handler.keys_dir, [])
    handler.until(lambda: handler.auth._watch._found)
    with hung_list(handler.keys_dir) as let_go:
        while not handler.auth.is_unread:
            time.sleep(0.02)
            handler.now_s += 1
        assert handler.told().detail == "revoked client"
        assert handler.told().event == "keys_unread"
        let_go([handler.client])
        assert handler.told().detail == "allowed client"
        assert handler.auth.reread() is None


@pytest.mark.timeout(60)
def test_a_cause_beside_the_file_is_told_once_and_its_mending_noticed(handler):
    handler.keys_dir.chmod(0o777)
    keys.write_allowed(handler.keys_dir, [handler.client])
    told = handler.told()
    assert (told.event, handler.status()) == ("keys_unusable", b"300")
    assert "has mode 777" in told.detail
    handler.looks(3)
    assert handler.auth.reread() is None
    handler.keys_dir.chmod(0o755)
    assert handler.told().detail == "allowed client"
    assert handler.status() == b"200"


@pytest.mark.timeout(60)
def test_another_file_in_the_place_of_the_list_is_told_and_does_not_end_the_watch(handler):
    file = handler.keys_dir / keys.ALLOWED
    right = file.read_text()
    os.mkfifo(handler.keys_dir / "pipe", 0o644)
    (handler.keys_dir / "pipe").rename(file)
    told = handler.told()
    assert (told.event, handler.status()) == ("keys_unusable", b"300")
    assert "allowed_keys: is not a regular file" in told.detail
    with (handler.keys_dir / "log").open("wb") as opened:
        opened.truncate(1 << 40)
    (handler.keys_dir / "log").rename(file)
    assert "allowed_keys: has more than 1000000 bytes; is another file meant?" in handler.told().detail
    write_text(file, right)
    assert handler.told().detail == "allowed client"
    keys.write_allowed(handler.keys_dir, [])
    assert (handler.told().detail, handler.status()) == ("revoked client", b"400")


@pytest.mark.timeout(60)
def test_an_error_nobody_thought_of_allows_nobody_until_it_is_gone(handler, caplog):
    assert handler.status() == b"200"
    handler.thread_fails = True
    told = handler.told()
    assert (told.severity, told.event, told.revoked) == ("alarm", "keys_unusable", {"verdicts"})
    assert "cannot be watched: ArithmeticError: no time" in told.detail
    assert handler.status() == b"300"
    handler.looks(3)
    assert handler.auth.reread() is None
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info[0]) == ("keys_watch_failed", ArithmeticError)
    handler.thread_fails = False
    assert handler.told().detail == "allowed client"
    assert handler.status() == b"200"


@pytest.mark.timeout(60)
def test_a_line_that_is_wrong_is_an_alarm_and_costs_no_other_key(handler):
    file = handler.keys_dir / keys.ALLOWED
    right = file.read_text()
    write_text(file, f"{right}reed {'0' * 40} gate2\n")
    told = handler.told()
    assert (told.severity, told.event, told.revoked) == ("alarm", "keys_line_unusable", frozenset())
    assert f"{file}, line 3: got roles 'reed'" in told.detail
    assert handler.status() == b"200"
    with zmq.Context() as context:
        again = Authenticator(context, handler.keys_dir, lambda *_: None)
        assert again.reread().event == "keys_line_unusable"  # at the next start too
        again.close()
        again.socket.close()
    write_text(file, f"#{right.splitlines()[1]}\n")
    assert handler.told().detail == "revoked client"
    assert handler.status() == b"400"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("take_away", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
def test_a_list_that_is_gone_or_has_no_line_refuses_for_now(handler, take_away):
    take_away(handler.keys_dir / keys.ALLOWED)
    assert handler.told().detail == "revoked client"
    assert handler.status() == b"300"
    keys.write_allowed(handler.keys_dir, [])
    assert (handler.told().detail, handler.status()) == ("nothing changed", b"400")


@pytest.mark.timeout(60)
def test_a_list_that_is_written_again_as_it_was_changes_nothing(handler):
    keys.write_allowed(handler.keys_dir, [handler.client])
    handler.looks(3)
    assert handler.auth.reread() is None


def test_bytes_that_are_no_handshake_are_counted_and_change_nothing(line):
    reader = line.client("verdicts", zmq.SUB, line.reader)
    noise = [b"GET / HTTP/1.1\r\n\r\n", b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(48), bytes(100)]
    for data in noise * 20:
        with sockets.create_connection(("127.0.0.1", line.ports["verdicts"])) as connection:
            connection.sendall(data)
        line.turn()
    line.turn_until(lambda: line.refused["verdicts", AuthCause.HANDSHAKE] >= 20)
    line.turn_until(lambda: reader.poll(0))


@pytest.mark.parametrize(
    "request_parts",
    [
        [],
        [b""],
        [b"1.0", b"id"],
        [b"1.0", b"id", b"verdicts", b"127.0.0.1", b"", b"CURVE", b"short"],
        [b"1.0", b"id", b"verdicts", b"127.0.0.1", b"", b"NULL"],
        [b"2.0", b"id", b"verdicts", b"127.0.0.1", b"", b"CURVE", bytes(32)],
        [b"1.0", b"id", b"\xff\xfe", b"127.0.0.1", b"", b"CURVE", bytes(32)],
        [b"x"] * 50,
    ],
)
def test_a_malformed_question_is_answered_with_a_refusal(line, request_parts):
    asker = line.bus._context.socket(zmq.REQ)
    line.sockets.append(asker)
    asker.connect("inproc://zeromq.zap.01")
    asker.send_multipart(request_parts or [b""])
    line.turn_until(lambda: asker.poll(0))
    assert asker.recv_multipart()[2] == b"400"


def test_without_a_server_key_there_is_no_bus(tmp_path):
    with pytest.raises(
        InputError, match=r"server\.key_secret: cannot be read: not found; `inspectd keys new`"
    ):
        ServedSockets(tmp_path, keys_dir=tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
