from __future__ import annotations

import time

import pytest
import zmq

from inspectd import wire
from inspectd.config import PublishSettings
from inspectd.errors import UnavailableError
from inspectd.ipc.channel import Channel
from inspectd.publish.bus import DoorStage
from inspectd.publish.door.listeners import Listeners
from inspectd.publish.door.messages import (
    DoorLevels,
    FromDoor,
    Known,
    Listen,
    Publication,
    Reply,
    StartDoor,
    ToDoor,
)
from tests.support.raw_client import shake_hands
from tests.support.served import ServedSockets

COUNTS = wire.Counts(1, 1, 0, 0)
EVENT = wire.Event("p", "l", 1, 2, "info", "started", None, "", COUNTS)


@pytest.fixture
def bus(tmp_path):
    bus = ServedSockets(tmp_path, PublishSettings(queue_messages=10))
    yield bus
    bus.close()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def reader():
    """Makes sockets, and closes them after the test."""
    context, sockets = zmq.Context(), []

    def make(kind: int) -> zmq.Socket[bytes]:
        sockets.append(context.socket(kind))
        return sockets[-1]

    yield make
    context.destroy(linger=0)


def subscribed(bus: ServedSockets, socket: str = "verdicts") -> None:
    deadline = time.monotonic() + 5
    while bus.subscriptions[socket] == 0:
        assert time.monotonic() < deadline
        bus.read_subscriptions(socket)


def test_each_kind_goes_out_on_its_socket_under_its_topic(bus, reader, tmp_path):
    verdicts, heatmaps = reader(zmq.SUB), reader(zmq.SUB)
    for socket, name in ((verdicts, "verdicts"), (heatmaps, "heatmaps")):
        socket.subscribe(b"i1/p/l/")
        socket.connect(f"ipc://{tmp_path}/{name}.sock")
        subscribed(bus, name)
    bus.send("-", wire.Kind.EVENT, EVENT)
    header = wire.HeatmapHeader(1, 1, "cam", 1, 2, "float16", 1.0)
    bus.send("cam", wire.Kind.HEATMAP, header, b"\x00\x01\x02\x03")
    topic, body = verdicts.recv_multipart()
    assert topic == b"i1/p/l/-/ev/"
    assert wire.decode(body) == EVENT
    topic, body, payload = heatmaps.recv_multipart()
    assert topic == b"i1/p/l/cam/h/"
    assert wire.decode(body) == header
    assert payload == b"\x00\x01\x02\x03"


def test_a_reader_that_does_not_read_loses_messages_and_never_holds_up_the_line(bus, reader, tmp_path):
    slow = reader(zmq.SUB)
    slow.setsockopt(zmq.RCVHWM, 1)
    slow.subscribe(b"")
    slow.connect(f"ipc://{tmp_path}/verdicts.sock")
    subscribed(bus)
    for _ in range(20_000):
        bus.send("-", wire.Kind.EVENT, EVENT)  # raises zmq.Again if it would have to wait
    assert slow.recv_multipart()[0] == b"i1/p/l/-/ev/"


def test_a_reader_that_subscribes_without_end_gets_its_turn_and_no_more(bus, reader, tmp_path):
    noisy = reader(zmq.XSUB)
    noisy.connect(f"ipc://{tmp_path}/verdicts.sock")
    for n in range(200):
        noisy.send(b"\x01i1/p/l/topic%d" % n)
    subscribed(bus)
    seen = bus.subscriptions["verdicts"]
    assert seen <= 64
    deadline = time.monotonic() + 5
    while bus.subscriptions["verdicts"] < 200:
        assert time.monotonic() < deadline
        before = bus.subscriptions["verdicts"]
        bus.read_subscriptions("verdicts")
        assert bus.subscriptions["verdicts"] - before <= 64


@pytest.mark.parametrize("message", [b"", b"hello", b"\x02", bytes(400)])
def test_what_is_no_subscription_is_counted_and_ignored(bus, reader, tmp_path, message):
    odd = reader(zmq.XSUB)
    odd.connect(f"ipc://{tmp_path}/verdicts.sock")
    odd.send(message)
    odd.send(b"\x01i1/p/l/real")
    subscribed(bus)
    bus.read_subscriptions("verdicts")
    assert bus.subscriptions["verdicts"] >= 1
    unsubscribes = message.startswith(b"\x00")
    assert bus.malformed == {"verdicts": 0 if unsubscribes else 1, "heatmaps": 0, "previews": 0}


def test_the_line_hears_of_what_previews_are_wanted(bus, reader, tmp_path):
    def topics_become(expected: list[bytes]) -> None:
        deadline = time.monotonic() + 5
        while bus.preview_topics != expected:
            assert time.monotonic() < deadline, bus.preview_topics
            bus.read_subscriptions("previews")

    top, side = b"i1/p/l/top/pv/", b"i1/p/l/side/pv/"
    first, second = reader(zmq.SUB), reader(zmq.SUB)
    for each in (first, second):
        each.connect(f"ipc://{tmp_path}/previews.sock")
        each.subscribe(top)
    first.subscribe(side)
    topics_become([side, top])
    first.unsubscribe(top)
    first.unsubscribe(side)
    topics_become([top])
    for number in range(65):
        first.subscribe(b"i1/p/l/%d/pv/" % number)
    topics_become([b"i1/p/l/"])  # for all of them
    first.close(0)
    topics_become([top])
    second.close(0)
    topics_become([])


def test_a_preview_never_waits_for_a_door(tmp_path):
    ours, theirs = Channel.pair()
    door, there = Channel(ours, DoorLevels), Channel(theirs, ToDoor)
    listeners = Listeners(PublishSettings(), tmp_path)
    stage = DoorStage("local", StartDoor(PublishSettings(), b"i1/p/l/", None, False), listeners, None)
    large, small = (
        Publication(name, [bytes(size)]) for name, size in (("previews", 50_000), ("verdicts", 9))
    )
    assert not stage.offer(large)
    stage.started(door)
    taken = 0
    while stage.offer(large):  # nobody reads
        taken += 1
        assert taken < 1000
    stage.send(large)
    assert stage.has_unsent
    stage.send(small)
    for _ in range(5):
        there.receive()
    assert not stage.offer(large)  # what waits goes first
    stage.flush()
    assert not stage.has_unsent
    assert stage.lost_messages == 0
    assert not stage.offer(Publication("previews", [bytes(20 << 20)]))
    there.close()
    assert not stage.offer(large)
    door.close()
    listeners.close()


def test_a_port_that_is_taken_is_named_with_its_setting(tmp_path, reader):
    taken = reader(zmq.PUB)
    port = taken.bind_to_random_port("tcp://127.0.0.1")
    with pytest.raises(UnavailableError, match=r"publish\.verdicts_tcp: cannot bind"):
        ServedSockets(tmp_path, PublishSettings(verdicts_tcp=f"127.0.0.1:{port}"))
    assert not list(tmp_path.iterdir())


def test_a_reader_ends_and_repeats_no_subscription_but_its_own(bus, reader, tmp_path):
    top = b"i1/p/l/top/pv/"

    def send(client, kind: bytes, times: int) -> None:
        client.sendall((bytes([0, 1 + len(top)]) + kind + top) * times)

    def settle() -> None:
        for _ in range(20):
            bus.read_subscriptions("previews")
            time.sleep(0.005)

    honest = reader(zmq.SUB)
    honest.connect(f"ipc://{tmp_path}/previews.sock")
    honest.subscribe(top)
    subscribed(bus, "previews")
    with shake_hands(tmp_path / "previews.sock", b"SUB") as stranger:
        send(stranger, b"\x00", 5)
        settle()
        assert (bus.preview_topics, bus.subscriptions["previews"]) == ([top], 1)
        send(stranger, b"\x01", 5)
        settle()
        assert bus.subscriptions["previews"] == 2
    honest.close(0)
    settle()
    assert (bus.preview_topics, bus.subscriptions["previews"]) == ([], 0)  # nobody looks any more


class Losses:
    """Hears of triggers that may be lost: their spans."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []

    def on_door_lost(self, _: str) -> None:
        pass

    def on_triggers_lost(self, since_ns: int, until_ns: int) -> None:
        self.spans.append((since_ns, until_ns))


def test_a_door_that_is_lost_before_anybody_asked_it_may_have_lost_triggers_too(tmp_path):
    before_ns = time.monotonic_ns()
    losses, listeners = Losses(), Listeners(PublishSettings(), tmp_path)
    stage = DoorStage("local", StartDoor(PublishSettings(), b"i1/p/l/", None, True), listeners, losses)
    for is_second in (False, True):
        ours, theirs = Channel.pair()
        main, door = Channel(ours, FromDoor), Channel(theirs, ToDoor | StartDoor | Listen)
        stage.started(main)
        assert (door.receive()[0].since_ns > before_ns) is is_second
        main.close()
        door.close()
        if not is_second:
            stage.lost("killed", None, time.monotonic_ns())
    known_ns = time.monotonic_ns()
    stage.received(Known(known_ns), [], known_ns)
    ((since_ns, until_ns),) = losses.spans
    assert before_ns < since_ns < until_ns == known_ns
    listeners.close()


def test_what_was_for_a_door_that_is_lost_or_away_is_counted(tmp_path):
    """No answer to a trigger ends in nothing."""
    listeners = Listeners(PublishSettings(), tmp_path)
    stage = DoorStage("local", StartDoor(PublishSettings(), b"i1/p/l/", None, True), listeners, Losses())
    answer = Reply("control", b"client", [b"x" * 4096], None)
    assert (stage.send(answer), stage.lost_messages) == (False, 1)
    ours, theirs = Channel.pair()
    main, door = Channel(ours, FromDoor), Channel(theirs, ToDoor | StartDoor | Listen)
    stage.started(main)
    kept = 0
    while kept < 3:  # the door reads nothing: once its channel is full, answers wait for it
        assert stage.send(answer)
        kept += stage.has_unsent
    stage.lost("no progress", None, time.monotonic_ns())
    assert stage.lost_messages == 1 + kept
    assert (stage.send(answer), stage.lost_messages) == (False, 2 + kept)
    main.close()
    door.close()
    listeners.close()
