"""The reader on real sockets with real encoded records, and its account of a line on a clock of ours."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from support.asleep import Host
from support.messages import EPOCH, event, heartbeat, verdict

from inspectd import wire
from inspectd.client import Heatmap, LineTracker, Liveness, LiveReader
from inspectd.errors import InputError
from inspectd.wire import Evaluation


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Publisher:
    """A bound XPUB socket that sends what the daemon would."""

    def __init__(self, endpoint: str) -> None:
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.bind(endpoint)

    def await_subscription(self) -> None:
        assert self.socket.poll(5000), "no reader subscribed within 5 s"
        self.socket.recv()

    def send(self, header: msgspec.Struct, kind: wire.Kind, payload: bytes | None = None) -> None:
        camera = getattr(header, "camera", None) or "-"
        parts = [wire.topic("demo", getattr(header, "line", "line1"), camera, kind), wire.encode(header)]
        self.socket.send_multipart(parts if payload is None else [*parts, payload])


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/v.sock"


@pytest.fixture
def publisher(endpoint: str) -> Iterator[Publisher]:
    made = Publisher(endpoint)
    yield made
    made.context.destroy(linger=0)


@pytest.fixture
def reader(endpoint: str, publisher: Publisher) -> Iterator[LiveReader]:
    with LiveReader(endpoint) as made:
        publisher.await_subscription()
        yield made


def test_reads_every_kind_typed(publisher: Publisher, reader: LiveReader) -> None:
    heatmap = wire.HeatmapHeader(EPOCH, 1, "camera1", 2, 3, "float16", 2.5)
    sent = [heartbeat(0), verdict(1), event("started")]
    for message, kind in zip(sent, (wire.Kind.HEARTBEAT, wire.Kind.VERDICT, wire.Kind.EVENT), strict=True):
        publisher.send(message, kind)
    publisher.send(heatmap, wire.Kind.HEATMAP, b"0123456789ab")
    assert [reader.receive(5) for _ in range(3)] == sent
    assert reader.receive(5) == Heatmap("demo", "line1", heatmap, b"0123456789ab")


def test_silence_ends_in_none(reader: LiveReader) -> None:
    assert reader.receive(0.01) is None


def test_waits_for_a_publisher_that_comes_later(endpoint: str) -> None:
    with LiveReader(endpoint) as reader:
        assert reader.receive(0.01) is None
        publisher = Publisher(endpoint)
        publisher.await_subscription()
        publisher.send(verdict(1), wire.Kind.VERDICT)
        assert reader.receive(5) == verdict(1)
        publisher.context.destroy(linger=0)


def test_gaps_and_duplicates_are_counted_and_duplicates_not_returned(
    publisher: Publisher, reader: LiveReader
) -> None:
    for seq in (1, 2, 2, 5, 1):
        publisher.send(verdict(seq), wire.Kind.VERDICT)
    publisher.send(heartbeat(5), wire.Kind.HEARTBEAT)
    assert [getattr(reader.receive(5), "seq", None) for _ in range(4)] == [1, 2, 5, None]
    tracker = reader.line("demo", "line1")
    assert (tracker.received, tracker.missed, tracker.duplicates) == (3, 2, 2)


def test_lines_are_numbered_apart(publisher: Publisher, reader: LiveReader) -> None:
    publisher.send(verdict(1), wire.Kind.VERDICT)
    publisher.send(verdict(7, line="line2"), wire.Kind.VERDICT)
    publisher.send(verdict(2), wire.Kind.VERDICT)
    assert [reader.receive(5) for _ in range(3)] == [verdict(1), verdict(7, line="line2"), verdict(2)]
    assert {key: tracker.missed for key, tracker in reader.lines.items()} == {
        ("demo", "line1"): 0,
        ("demo", "line2"): 0,
    }


@pytest.mark.parametrize(
    "parts",
    [
        [b"i1/demo/line1/camera1/v/"],
        [b"i1/demo/line1/camera1/v/", b"not json"],
        [b"i1/demo/line1/camera1/v/", b"\xff\xfe"],
        [b"i1/demo/line1/camera1/v/", b'{"schema":"verdict/1"}'],
        [b"i1/demo/line1/camera1/x/", b'{"schema":"novelty/1"}'],
        [b"i1/demo/line1/camera1/v/", b"{}", b"", b""],
        [b"\xff/demo", wire.encode(wire.HeatmapHeader(1, 1, "c", 2, 2, "float16", 1.0)), b"01234567"],
        [b"i1/d/l/c/h/", wire.encode(wire.HeatmapHeader(1, 1, "c", 2, 2, "float16", 1.0)), b"0123456"],
        [b"i1/d/l/c/h/", wire.encode(wire.HeatmapHeader(1, 1, "c", -2, -2, "float16", 1.0)), b"01234567"],
        [b"i1/d/l/c/h/", wire.encode(wire.HeatmapHeader(1, 1, "c", 2, 2, "int4", 1.0)), b"01"],
        [b"i1/d/l/c/h/", wire.encode(wire.HeatmapHeader(1, 1, "c", 2, 2, "float16", 1.0))],
        # Numbers that no database and no browser can take.
        [b"i1/demo/line1/camera1/v/", wire.encode(verdict(2**63))],
        [b"i1/demo/line1/camera1/v/", wire.encode(verdict(1, epoch=2**63))],
        [b"i1/demo/line1/-/hb", wire.encode(heartbeat(2**63))],
    ],
)
def test_a_foreign_message_is_counted_and_passed_over(
    publisher: Publisher, reader: LiveReader, parts: list[bytes]
) -> None:
    publisher.socket.send_multipart(parts)
    publisher.send(verdict(1), wire.Kind.VERDICT)
    assert reader.receive(5) == verdict(1)
    assert reader.unreadable == 1
    assert reader.last_problem


def test_no_flood_of_foreign_messages_keeps_a_reader(publisher: Publisher, reader: LiveReader) -> None:
    is_answered = threading.Event()

    def flood() -> None:
        while not is_answered.is_set():
            publisher.socket.send_multipart([b"i1/demo/line1/camera1/v/", b"?"])

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert reader.receive(0.1) is None
    finally:
        is_answered.set()
        thread.join()
    assert reader.unreadable
    while (message := reader.receive(0.1)) is None:
        publisher.send(verdict(1), wire.Kind.VERDICT)  # ZeroMQ drops what comes while its queue is full
    assert message == verdict(1)


def test_fields_a_later_version_adds_are_ignored(publisher: Publisher, reader: LiveReader) -> None:
    header = wire.encode(verdict(1)).replace(b"{", b'{"colour":"blue",', 1)
    publisher.socket.send_multipart([b"i1/demo/line1/camera1/v/", header])
    assert reader.receive(5) == verdict(1)


@pytest.mark.parametrize(
    "endpoint",
    ["", "verdicts.sock", "127.0.0.1:5571", "http://127.0.0.1", "ipc://", "tcp://127.0.0.1", "inproc://x"],
)
def test_a_wrong_endpoint_is_refused_with_an_example(endpoint: str) -> None:
    with pytest.raises(InputError, match=r"expected ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571"):
        LiveReader(endpoint)


def test_a_path_that_is_no_socket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(InputError, match="is not a socket"):
        LiveReader(f"ipc://{path}")


def test_a_topic_filter_is_passed_on(endpoint: str, publisher: Publisher) -> None:
    with LiveReader(endpoint, topics=[b"i1/demo/line1/-/"]) as reader:
        publisher.await_subscription()
        publisher.send(verdict(1), wire.Kind.VERDICT)
        publisher.send(event("started"), wire.Kind.EVENT)
        assert reader.receive(5) == event("started")


def test_three_missed_heartbeats_make_a_line_stale_and_one_brings_it_back() -> None:
    clock = Clock()
    tracker = LineTracker(clock)
    assert tracker.liveness is Liveness.WAITING
    tracker.see_heartbeat(heartbeat(0, interval_ms=200.0))
    clock.seconds += 0.599
    assert tracker.liveness is Liveness.ALIVE
    clock.seconds += 0.002
    assert tracker.liveness is Liveness.STALE
    assert tracker.silent_seconds == pytest.approx(0.601)
    tracker.see_verdict(verdict(1))
    assert tracker.liveness is Liveness.STALE, "only heartbeats prove life: verdicts may come from a queue"
    tracker.see_heartbeat(heartbeat(1))
    assert tracker.liveness is Liveness.ALIVE


def test_a_line_that_was_not_heard_since_this_host_slept_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    host, tracker = Host(monkeypatch), LineTracker()
    tracker.see_heartbeat(heartbeat(0, interval_ms=5000.0))
    assert tracker.liveness is Liveness.ALIVE
    host.sleep(60)
    assert tracker.liveness is Liveness.STALE


def test_a_stop_is_told_from_silence_and_ends_with_the_next_epoch() -> None:
    clock = Clock()
    tracker = LineTracker(clock)
    tracker.see_heartbeat(heartbeat(0))
    tracker.see_event(event("stopped"))
    tracker.see_heartbeat(heartbeat(0))
    clock.seconds += 60
    assert tracker.liveness is Liveness.STOPPED
    tracker.see_heartbeat(heartbeat(0, epoch=EPOCH + 1))
    assert tracker.liveness is Liveness.ALIVE


def test_a_stop_that_is_the_first_thing_heard_ends_with_the_next_epoch_too() -> None:
    tracker = LineTracker(Clock())
    tracker.see_event(event("stopped"))
    assert tracker.liveness is Liveness.STOPPED
    tracker.see_heartbeat(heartbeat(0, epoch=EPOCH + 1))
    assert tracker.liveness is Liveness.ALIVE


def test_what_was_published_before_the_reader_came_is_not_missed() -> None:
    tracker = LineTracker()
    tracker.see_heartbeat(heartbeat(41))
    tracker.see_verdict(verdict(42))
    assert tracker.missed == 0
    later = LineTracker()
    later.see_verdict(verdict(42))
    assert later.missed == 0


def test_a_loss_at_the_tail_is_seen_by_the_heartbeat_once() -> None:
    tracker = LineTracker()
    tracker.see_verdict(verdict(1))
    tracker.see_heartbeat(heartbeat(3))
    tracker.see_heartbeat(heartbeat(3))
    tracker.see_verdict(verdict(4))
    assert tracker.missed == 2


def test_a_restart_counts_from_one_again() -> None:
    tracker = LineTracker()
    tracker.see_verdict(verdict(9))
    tracker.see_verdict(verdict(3, epoch=EPOCH + 1))
    assert (tracker.received, tracker.missed) == (2, 2)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60))
def test_every_published_verdict_is_received_or_missed(steps: list[tuple[bool, int]]) -> None:
    """Whatever is lost on the way, received + missed is what a heartbeat says was published."""
    tracker = LineTracker()
    tracker.see_heartbeat(heartbeat(0))
    seq = delivered = 0
    for arrives, heartbeat_every in steps:
        seq += 1
        if arrives:
            assert tracker.see_verdict(verdict(seq))
            delivered += 1
        if heartbeat_every == 0:
            tracker.see_heartbeat(heartbeat(seq))
    tracker.see_heartbeat(heartbeat(seq))
    assert tracker.received == delivered
    assert tracker.received + tracker.missed == seq
    assert tracker.duplicates == 0


@pytest.mark.parametrize("views", [[], [("pass", "within_threshold"), ("undecidable", "missed_trigger")]])
def test_a_pass_that_its_views_do_not_bear_out_is_none(tmp_path, views):
    forged = {
        "schema": "part/1", "plant": "demo", "line": "line1", "epoch": EPOCH, "seq": 1, "trigger_id": "a",
        "part_id": None, "encoder_count": None, "evaluation": "pass", "reason": "within_threshold",
        "triggered_utc_ns": 1, "decided_utc_ns": 2, "latency_ms": 1.0, "deadline_ms": 2.0,
        "deadline_margin_ms": 1.0, "late": False, "journaled": True,
        "views": [
            {"camera": "c", "seq": 1, "evaluation": evaluation, "reason": reason}
            for evaluation, reason in views
        ],
    }  # fmt: skip
    endpoint = f"ipc://{tmp_path}/v.sock"
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket, LiveReader(endpoint) as reader:
        socket.linger = 0
        socket.bind(endpoint)
        assert socket.poll(5000)
        socket.recv()
        for part in (forged, {**forged, "seq": 2, "evaluation": "fail", "reason": "above_threshold"}):
            socket.send_multipart([b"i1/demo/line1/-/p/", json.dumps(part).encode()])
        message = reader.receive(5)
    assert message.evaluation is Evaluation.FAIL
    assert reader.unreadable == 1
    assert "its views do not all pass" in reader.last_problem


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_ipv4_and_ipv6_are_reached(host):
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.ipv6 = True
        port = socket.bind_to_random_port(f"tcp://{host}")
        with LiveReader(f"tcp://{host}:{port}") as reader:
            assert socket.poll(5000)
            socket.recv()
            socket.send_multipart([b"i1/demo/line1/-/ev/", wire.encode(event("started"))])
            assert reader.receive(5) == event("started")
