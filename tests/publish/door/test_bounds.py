"""What clients may cost: parts of a message, subscriptions and connections have bounds, and others go on."""

from __future__ import annotations

import contextlib
import socket as kernel
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from support.messages import COUNTS
from support.ports import free_port

from inspectd import wire
from inspectd.config import PublishSettings
from inspectd.publish.door.half_sent import HalfSent
from inspectd.wire.sockets import CutCause
from tests.support.raw_client import shake_hands
from tests.support.served import ServedSockets

EVENT = wire.Event("p", "l", 1, 2, "info", "started", None, "", COUNTS)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedSockets]:
    port = free_port()
    made = ServedSockets(tmp_path, PublishSettings(verdicts_tcp=f"127.0.0.1:{port}"), max_connections=20)
    yield made
    made.close()
    assert not list(tmp_path.iterdir())


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    context, sockets = zmq.Context(), []

    def make(kind: int, name: str) -> zmq.Socket[bytes]:
        socket = context.socket(kind)
        sockets.append(socket)  # those that nobody holds would be closed
        socket.sndhwm = 0
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        if kind == zmq.SUB:
            socket.subscribe(b"i1/p/l/")
        socket.connect(f"ipc://{tmp_path}/{name}.sock")
        return socket

    yield make
    context.destroy(linger=0)


def turn(served: ServedSockets) -> float:
    """What a door does in one turn; how long it took, in seconds."""
    began = time.monotonic()
    served.turn()
    for name in ("verdicts", "heatmaps", "previews"):
        served.read_subscriptions(name)
    return time.monotonic() - began


def turn_until(served: ServedSockets, condition: Callable[[], object], seconds: float = 10) -> float:
    """Turn until `condition` holds; the longest turn in seconds."""
    end, longest = time.monotonic() + seconds, 0.0
    while not condition():
        assert time.monotonic() < end
        longest = max(longest, turn(served))
        time.sleep(0.001)
    return longest


def hears(served: ServedSockets, reader: zmq.Socket[bytes]) -> bool:
    """True once a reader gets what is published now."""
    while reader.poll(0):
        reader.recv_multipart()
    served.send("-", wire.Kind.EVENT, EVENT)
    return bool(reader.poll(50))


def test_a_message_of_very_many_parts_is_read_a_few_at_a_time_and_its_sender_cut_off(served, client):
    noisy, honest = client(zmq.DEALER, "control"), client(zmq.DEALER, "control")
    noisy.send_multipart([b""] * 100_000)
    turns, longest, taken = 0, 0.0, []
    end = time.monotonic() + 30
    while len(taken) < 2:
        assert time.monotonic() < end
        honest_asked = served.cut_off["control", CutCause.PARTS] and turns > 10
        if honest_asked and turns % 100 == 11:
            honest.send(b"honest")
        began = time.monotonic()
        got = list(served.requests("control"))
        longest = max(longest, time.monotonic() - began)
        taken += got
        turns += bool(got) or bool(served._messages["control"].wasted)
    assert longest < 0.5
    assert turns > 40
    assert served.cut_off == {("control", CutCause.PARTS): 1}
    assert all(len(incoming.parts) <= 5 for incoming in taken)
    assert taken[-1].parts == [b"honest"]


def test_whose_message_does_not_end_is_cut_off_before_it_takes_the_memory(tmp_path, client):
    grown = [0]
    served = ServedSockets(tmp_path, memory_bytes=lambda: grown[0])
    try:
        honest = client(zmq.DEALER, "control")
        honest.send(b"honest")
        while not list(served.requests("control")):
            turn(served)
        with shake_hands(tmp_path / "control.sock", b"DEALER") as noisy:
            parts, sent = b"\x01\x00" * 50_000, 0  # empty ones, with more to come

            def cut_off() -> int:
                nonlocal sent
                with contextlib.suppress(BlockingIOError):
                    sent += noisy.send(parts[sent % 2 :], kernel.MSG_DONTWAIT)
                return served.cut_off["control", CutCause.HALF_SENT]

            for _ in range(20):
                assert not cut_off()
                turn(served)
            grown[0] = 40 << 20
            with contextlib.suppress(BrokenPipeError):
                turn_until(served, cut_off)
        assert served.cut_off == {("control", CutCause.HALF_SENT): 1}
        honest.send(b"honest")
        assert honest.poll(0) == 0
        taken = []
        turn_until(served, lambda: taken.extend(served.requests("control")) or taken)
    finally:
        served.close()


def test_where_nobody_stands_out_those_who_say_nothing_whole_make_room():
    memory, waiting, now_ns = [0], {3: 0, 4: 200, 5: 0, 6: 0}, [10**9]
    watch = HalfSent(lambda: memory[0], waiting.__getitem__, lambda: now_ns[0])
    memory[0] = 100 << 20
    assert watch.find(waiting) == []
    watch.came_whole(4)
    memory[0] = 400 << 20
    assert watch.find([3, 4, 5]) == [3, 5]
    # Who is left sent something whole, and fills the memory all the same.
    assert watch.find([4]) == [4]
    watch.ended(4)
    assert watch.find([6]) == []
    now_ns[0] += 10**9
    assert watch.find([6]) == [6]
    memory[0] = 0
    assert watch.find(waiting) == []


def test_a_trigger_behind_a_backlog_says_how_long_it_may_have_waited(served, client):
    noisy, honest = client(zmq.DEALER, "control"), client(zmq.DEALER, "control")
    noisy.send_multipart([b""] * 50_000)
    end = time.monotonic() + 10
    while not list(served.requests("control")) and not served._messages["control"].wasted:
        assert time.monotonic() < end
    honest.send(b"honest")
    time.sleep(0.3)
    taken = []
    while not taken or taken[-1].parts != [b"honest"]:
        assert time.monotonic() < end
        taken += served.requests("control")
    assert time.monotonic_ns() - taken[-1].came_ns > 0.25e9


def test_a_reader_that_subscribes_without_end_is_cut_off(served, client):
    honest = client(zmq.SUB, "verdicts")
    turn_until(served, lambda: hears(served, honest))
    noisy = client(zmq.XSUB, "verdicts")
    most = 0
    for n in range(20_000):
        noisy.send(b"\x01i1/p/l/" + b"%05d" % n + b"x" * 170)

    def seen() -> bool:
        nonlocal most
        most = max(most, served.subscriptions["verdicts"])
        return served.cut_off["verdicts", CutCause.SUBSCRIPTIONS] > 0

    assert turn_until(served, seen) < 1
    assert most <= 400
    noisy.close(0)
    turn_until(served, lambda: served.subscriptions["verdicts"] == 1)
    turn_until(served, lambda: hears(served, honest))


@pytest.mark.parametrize("topic", [b"i1/p/l/" + b"x" * 300, b"x" * 1000])
def test_a_topic_longer_than_any_is_cut_off(served, client, topic):
    noisy = client(zmq.XSUB, "verdicts")
    monitor = noisy.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    noisy.send(b"\x01" + topic)
    turn_until(served, lambda: monitor.poll(0))
    turn_until(served, lambda: served.subscriptions["verdicts"] == 0)


def test_topics_of_other_lines_are_counted_and_many_of_them_cut_off(served, client):
    noisy = client(zmq.XSUB, "verdicts")
    turn_until(served, lambda: served.connections["verdicts"].count)
    for n in range(10):
        noisy.send(b"\x01i1/p/another/%d" % n)
    turn_until(served, lambda: served.malformed["verdicts"] == 10)
    for n in range(10):
        noisy.send(b"\x01i1/p/another/more%d" % n)
    turn_until(served, lambda: served.cut_off["verdicts", CutCause.SUBSCRIPTIONS])


@pytest.mark.parametrize("topic", [b"", b"i1/", b"i1/p/l/", b"i1/p/l/cam/v/", b"i1/p/l/-/hb"])
def test_everyday_topics_are_no_strays(served, client, topic):
    reader = client(zmq.XSUB, "verdicts")
    reader.send(b"\x01" + topic)
    turn_until(served, lambda: served.subscriptions["verdicts"] == 1)
    assert served.malformed == {"verdicts": 0, "heatmaps": 0, "previews": 0}


def test_whoever_has_most_subscriptions_makes_room_for_others(served, client, monkeypatch):
    monkeypatch.setattr("inspectd.publish.door.sockets._MAX_SUBSCRIPTIONS", 300)
    honest = client(zmq.SUB, "verdicts")
    turn_until(served, lambda: hears(served, honest))
    greedy = [client(zmq.XSUB, "verdicts") for _ in range(2)]
    for socket in greedy:
        for n in range(200):
            socket.send(b"\x01i1/p/l/%d" % n)
    turn_until(served, lambda: served.cut_off["verdicts", CutCause.SUBSCRIPTIONS])
    late = client(zmq.SUB, "verdicts")
    for socket in greedy:
        socket.close(0)
    turn_until(served, lambda: hears(served, honest) and hears(served, late))


@pytest.mark.parametrize("door", ["local", "tcp"])
def test_above_their_bound_nobody_connects_and_who_is_there_goes_on(served, client, tmp_path, door):
    listener = getattr(served.listeners, door)["verdicts"]
    reader = client(zmq.SUB, "verdicts")
    turn_until(served, lambda: hears(served, reader))
    connections = served.connections["verdicts"]
    idle: list[kernel.socket] = []
    most = 0
    while not connections.is_shut:
        turn(served)
        for _ in range(10):
            idle.append(kernel.socket(listener.family))
            idle[-1].settimeout(0.2)
            with contextlib.suppress(OSError):
                idle[-1].connect(listener.getsockname())
        time.sleep(0.005)
    for _ in range(100):
        turn(served)
        with kernel.socket(listener.family) as late, contextlib.suppress(OSError):
            late.settimeout(0.002)
            late.connect(listener.getsockname())
        most = max(most, connections.count)
    assert most <= 45
    assert turn_until(served, lambda: hears(served, reader)) < 0.5
    # Those that never shake hands are ended, and clients are taken again.
    turn_until(served, lambda: not connections.is_shut)
    another = client(zmq.SUB, "verdicts")
    turn_until(served, lambda: hears(served, another) and hears(served, reader))
    for connection in idle:
        connection.close()
    turn_until(served, lambda: connections.count == 2)
