"""The sync socket on real sockets and a real journal: snapshots, replays, and nonsense by the thousand."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from support.journal_line import Line
from support.messages import COUNTS, heartbeat

from inspectd import wire
from inspectd.config.values import Name
from inspectd.publish.sync import SyncStage
from inspectd.wire import sync
from inspectd.wire.sync import (
    End,
    Error,
    LineStatus,
    Position,
    ReplayRequest,
    Snapshot,
    SnapshotRequest,
    StatusRequest,
    Truncated,
    Verdicts,
)
from tests.support.served import Doorway, ServedSockets


class Served(Line):
    """A line with its sync socket."""

    def __init__(self, folder: Path, sockets: Path, **settings: float) -> None:
        super().__init__(folder, **settings)
        self.kinds: list[str] = []
        self.sent_again = 0
        self.bus = ServedSockets(sockets)
        self.doorway = Doorway(self.bus)
        self.sync = SyncStage(
            self.doorway, self.journal, self.reached, self.snapshot, self, status=self.status
        )
        self.doorway.delivered = self.sync.delivered

    def read(self) -> None:
        for asker, request in self.doorway.requests("sync"):
            self.sync.take(asker, request)

    def reached(self) -> Position:
        return Position(self.journal.epoch, len(self.published))

    def snapshot(self, request: str, oldest: Position | None) -> Snapshot:
        return Snapshot(
            request, "p", "l", self.journal.epoch, len(self.published), oldest, "running",
            self.journal.state, 200.0, COUNTS, {"cam": "up"},
        )  # fmt: skip

    def status(self, request: str, _now_ns: int) -> LineStatus:
        return LineStatus(
            request, "p", "l", self.journal.epoch, "0", 0, 0, "running", "good", [], COUNTS, [], [], None,
            0, 0, self.journal.state, None, None, None, 0, {},
        )  # fmt: skip

    def sync_request(self, kind: str) -> None:
        self.kinds.append(kind)

    def replayed(self, verdicts: int) -> None:
        self.sent_again += verdicts

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.verdict()
        self.until(lambda: len(self.published) == self.seq)

    def serve(self, client: zmq.Socket[bytes], seconds: float = 5.0) -> list[bytes]:
        """Turn the loop until the client has an answer."""
        got: list[list[bytes]] = []

        def turn() -> bool:
            self.read()
            if client.poll(0):
                got.append(client.recv_multipart())
            return bool(got)

        self.until(turn, seconds)
        return got[0]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Served]:
    sockets = tmp_path / "s"
    sockets.mkdir()
    made = Served(tmp_path / "state", sockets, max_wait_ms=5000)
    yield made
    made.bus.close()
    made.journal.close()


@pytest.fixture
def client(line: Served, tmp_path: Path) -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    context, sockets = zmq.Context(), []

    def make(kind: int = zmq.DEALER) -> zmq.Socket[bytes]:
        sockets.append(context.socket(kind))
        sockets[-1].rcvhwm = 20
        sockets[-1].connect(f"ipc://{tmp_path}/s/sync.sock")
        return sockets[-1]

    yield make
    context.destroy(linger=0)


def ask(line: Served, client: zmq.Socket[bytes], **request: Any) -> tuple[list[Any], list[bytes]]:
    """A replay's answers, and the headers that came with them."""
    client.send(wire.encode(ReplayRequest("r", **request)))
    answers: list[Any] = []
    headers: list[bytes] = []
    while not answers or not isinstance(answers[-1], End | Error):
        first, *rest = line.serve(client)
        answers.append(sync.decode_answer(first))
        if isinstance(answers[-1], Verdicts):
            assert len(rest) == 2 * answers[-1].count <= 200
            assert set(rest[::2]) == {b"i1/demo/line1/camera1/v/"}
            headers += rest[1::2]
    return answers, headers


def test_a_replay_is_the_published_bytes_in_chunks(line, client) -> None:
    line.publish(350)
    epoch = line.journal.epoch
    answers, headers = ask(line, client(), first=Position(epoch, 11), last=Position(epoch, 340))
    assert headers == [header for _, header in line.published[10:340]]
    assert [type(answer) for answer in answers] == [Verdicts] * 4 + [End]
    assert answers[-1] == End("r", Position(epoch, 340), True, 4)
    assert line.sent_again == 330


def test_the_limit_ends_an_answer_and_the_next_request_goes_on(line, client) -> None:
    line.publish(30)
    epoch, dealer = line.journal.epoch, client()
    answers, headers = ask(line, dealer, limit=20)
    assert answers[-1] == End("r", Position(epoch, 20), False, 1)
    more, rest = ask(line, dealer, first=Position(epoch, 21), limit=20)
    assert more[-1] == End("r", Position(epoch, 30), True, 1)
    assert headers + rest == [header for _, header in line.published]


def test_nothing_is_replayed_before_it_is_published(line, client) -> None:
    line.publish(5)
    epoch = line.journal.epoch
    answers, headers = ask(line, client(), first=Position(epoch, 1), last=Position(epoch, 999))
    assert len(headers) == 5
    assert answers[-1] == End("r", Position(epoch, 5), True, 1)


def test_what_is_not_known_any_more_is_told_before_what_there_is(line, client) -> None:
    line.publish(3)
    epoch = line.journal.epoch
    for first in (Position(7, 1), Position(epoch + 99, 5)):  # an epoch long gone; one that never was
        answers, headers = ask(line, client(), first=first)
        assert answers[0] == Truncated("r", Position(epoch, 1))
        if first.epoch < epoch:
            assert len(headers) == 3


def test_while_the_journal_cannot_be_read_nothing_is_said_to_be_missing(line, client, tmp_path) -> None:
    line.publish(3)
    epoch, dealer, file = line.journal.epoch, client(), tmp_path / "state" / "journal.sqlite"
    file.rename(tmp_path / "elsewhere")
    line.until(lambda: line.told.set_aside)
    (tmp_path / "elsewhere").rename(file)
    for log in file.parent.glob("*.corrupt-*-wal"):
        log.rename(f"{file}-wal")
    answers, _ = ask(line, dealer, first=Position(epoch, 1))
    assert answers == [Error("r", sync.ErrorReason.BUSY, "the journal cannot be read now")]
    line.publish(1)
    answers, headers = ask(line, dealer, first=Position(epoch, 4))
    assert headers == [line.published[3][1]], "it waits in memory, if not on the disk"
    line.until(lambda: line.journal.failure is None)
    answers, headers = ask(line, dealer, first=Position(epoch, 1))
    assert headers == [header for _, header in line.published]
    assert answers[-1] == End("r", Position(epoch, 4), True, 1)


def test_a_reader_that_asks_without_end_does_not_keep_a_failed_journal_closed(line, client, tmp_path) -> None:
    line.publish(1)
    (tmp_path / "state" / "journal.sqlite").rename(tmp_path / "elsewhere")
    line.until(lambda: line.told.set_aside)
    dealer = client()
    ask(line, dealer)
    assert line.journal.failure is not None
    deadline = time.monotonic() + 5
    while line.journal.failure is not None:
        assert time.monotonic() < deadline
        ask(line, dealer)


def test_a_snapshot_says_how_far_the_line_is_and_from_where_it_can_be_replayed(line, client) -> None:
    dealer = client()
    dealer.send(wire.encode(SnapshotRequest("s")))
    assert sync.decode_answer(line.serve(dealer)[0]).oldest is None
    line.publish(4)
    dealer.send(wire.encode(SnapshotRequest("s")))
    snapshot = sync.decode_answer(line.serve(dealer)[0])
    assert snapshot == line.snapshot("s", Position(line.journal.epoch, 1))


def test_a_status_needs_no_journal_and_is_bounded_like_any_request(line, client, tmp_path) -> None:
    line.publish(1)
    (tmp_path / "state" / "journal.sqlite").rename(tmp_path / "elsewhere")
    line.until(lambda: line.told.set_aside)
    dealer = client()
    for n in range(6):
        dealer.send(wire.encode(StatusRequest(str(n))))
    answers = [sync.decode_answer(line.serve(dealer)[0]) for _ in range(6)]
    assert [answer.request for answer in answers if isinstance(answer, LineStatus)] == ["0", "1", "2", "3"]
    assert {answer.reason for answer in answers if isinstance(answer, Error)} == {"busy"}
    assert line.kinds.count("status") == 4
    dealer.send(wire.encode(StatusRequest("again")))
    assert isinstance(sync.decode_answer(line.serve(dealer)[0]), LineStatus)


def test_a_status_does_not_wait_for_all_who_wait_for_a_disk_that_hangs(line, client, monkeypatch) -> None:
    line.publish(1)
    monkeypatch.setattr(line.journal, "read", lambda *_: None)
    others = [client() for _ in range(64)]
    for other in others:
        other.send(wire.encode(SnapshotRequest("s")))
    line.until(lambda: line.read() or len(line.sync._jobs) == 64)
    dealer = client()
    dealer.send(wire.encode(StatusRequest("now")))
    assert isinstance(sync.decode_answer(line.serve(dealer)[0]), LineStatus)
    dealer.send(wire.encode(SnapshotRequest("s")))
    assert sync.decode_answer(line.serve(dealer)[0]).reason == "busy"


def test_a_req_socket_is_answered_in_its_own_way(line, client) -> None:
    line.publish(1)
    req = client(zmq.REQ)
    req.send(wire.encode(SnapshotRequest("s")))
    assert isinstance(sync.decode_answer(line.serve(req)[0]), Snapshot)


def test_more_requests_than_may_wait_are_refused_at_once(line, client) -> None:
    line.publish(200)
    dealer = client()
    for n in range(40):
        dealer.send(wire.encode(ReplayRequest(str(n), limit=1000)))
    ends: dict[str, str] = {}
    while len(ends) < 40:
        answer = sync.decode_answer(line.serve(dealer)[0])
        if isinstance(answer, End | Error):
            ends[answer.request] = answer.reason if isinstance(answer, Error) else "end"
    assert set(ends.values()) == {"end", "busy"}
    assert len(line.sync._waiting) == 0


def test_a_client_that_does_not_read_costs_the_line_nothing(line, client) -> None:
    line.publish(1000)
    lazy, eager = client(), client()
    before = resident_bytes()
    for n in range(1500):
        lazy.send(wire.encode(ReplayRequest(str(n), limit=1000)), flags=zmq.NOBLOCK)
        line.read()
        line.journal.take_results()
        time.sleep(0.0005)
    _, headers = ask(line, eager, limit=1000)
    assert len(headers) == 1000
    line.publish(10)
    assert 1000 < line.sent_again < 5000, "the lazy client was served until it had enough waiting"
    assert resident_bytes() - before < 50e6


def test_many_clients_that_do_not_read_leave_an_honest_one_its_replay(line, client) -> None:
    """All places are theirs; whoever reads gets one of them."""
    line.publish(300)
    lazy = [client() for _ in range(70)]
    for dealer in lazy:
        dealer.rcvhwm = 1
        for n in range(4):
            dealer.send(wire.encode(ReplayRequest(str(n), limit=1000)), flags=zmq.NOBLOCK)
    line.until(lambda: line.read() or len(line.sync._jobs) == 64)
    answers, headers = [Error("r", sync.ErrorReason.BUSY, "")], []
    honest, deadline = client(), time.monotonic() + 10
    while isinstance(answers[-1], Error):
        assert time.monotonic() < deadline
        answers, headers = ask(line, honest, limit=1000)
    assert len(headers) == 300
    assert len(line.sync._jobs) <= 64


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


MALFORMED = [
    b"", b"{}", b"null", b"[]", b"\xff\xfe", b'{"schema":"replay_request/1"}',
    b'{"schema":"replay_request/2"}',
    b'{"schema":"replay_request/1","request":7}', b'{"schema":"replay_request/1","request":"r","limit":0}',
    b'{"schema":"replay_request/1","request":"r","limit":1e9}', b"[" * 4000, b'{"schema":' * 400,
    b'{"schema":"replay_request/1","request":"r","from":{"epoch":-1,"seq":0}}',
    b'{"schema":"replay_request/1","request":"r","from":{"epoch":1e99,"seq":0}}',
    b'{"schema":"replay_request/1","request":"r","x":' + b"[" * 3000,
    b'{"schema":"replay_request/1","request":"' + b"r" * 65 + b'"}', b"x" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("message", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_request_is_answered_and_counted(line, client, message: bytes) -> None:
    dealer = client()
    dealer.send(message)
    answer = sync.decode_answer(line.serve(dealer)[0])
    assert isinstance(answer, Error)
    assert answer.reason == "malformed"
    assert line.kinds == ["malformed"]


def test_nonsense_by_the_thousand_stops_nothing(line, client) -> None:
    rng, dealer = random.Random(1), client()
    good = wire.encode(ReplayRequest("r", Position(5, 5), Position(9, 9)))

    def turn() -> None:
        line.read()
        line.journal.take_results()
        while dealer.poll(0):
            sync.decode_answer(dealer.recv_multipart()[0])

    for n in range(3000):
        damaged = bytearray(good)
        for _ in range(rng.randrange(1, 6)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        parts = [bytes(damaged), os.urandom(rng.randrange(50))][: 1 + n % 2] * (1 + n % 5)
        while not dealer.poll(0, zmq.POLLOUT):  # its queue is full: nobody else would read it meanwhile
            turn()
        dealer.send_multipart(parts)
        if n % 5 == 0:
            turn()
    line.publish(2)
    fresh = client()
    deadline = time.monotonic() + 10
    headers: list[bytes] = []
    while len(headers) != 2:
        assert time.monotonic() < deadline
        _, headers = ask(line, fresh)


@pytest.mark.parametrize("name", ["a/b", "+", "#", "", "../x", "-", "a\n"])
def test_a_heartbeat_with_a_camera_that_no_settings_take_is_none(name: str) -> None:
    told = msgspec.structs.replace(heartbeat(1), cameras={name: "up"})
    with pytest.raises(ValueError, match="matching regex"):
        wire.decode(wire.encode(told))
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, Name)


@given(st.binary(max_size=300))
def test_no_bytes_make_the_decoders_raise_anything_else(data: bytes) -> None:
    for decode in (lambda d: sync.decode_request([d]), sync.decode_answer, wire.decode):
        try:
            decode(data)
        except ValueError:
            continue


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["schema", "request", "from", "to", "limit", "epoch", "seq"]),
                inner,
                max_size=5,
            )
        ),
    )
)
def test_no_json_makes_the_decoder_raise_anything_else(value: Any) -> None:
    try:
        sync.decode_request([json.dumps(value).encode()])
    except ValueError:
        return
