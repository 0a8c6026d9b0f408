from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from inspectd.capture.messages import Stop, ToCapture
from inspectd.ipc.channel import (
    Channel,
    ChannelClosedError,
    ChannelFullError,
    ChannelMessageError,
    largest_message_bytes,
)
from inspectd.ipc.messages import Alive, RingReady
from inspectd.records import Score
from inspectd.scoring.messages import FromScoring


@pytest.fixture
def ends():
    first, second = Channel.pair()
    main, child = Channel(first, FromScoring | RingReady), Channel(second, ToCapture)
    yield main, child
    main.close()
    child.close()


def test_records_arrive_whole_in_order_with_their_descriptors(ends):
    main, child = ends
    read, write = os.pipe()
    child.send(Alive(1))
    child.send(RingReady("cam", 1, 4, 100), (read,))
    assert main.receive() == (Alive(1), [])
    record, fds = main.receive()
    assert record == RingReady("cam", 1, 4, 100)
    os.write(write, b"x")
    assert os.read(fds[0], 1) == b"x"
    assert main.receive() is None
    for fd in (read, write, *fds):
        os.close(fd)


def test_descriptors_beside_a_record_that_carries_none_are_closed_and_refused(ends):
    main, child = ends
    before = len(list(Path("/proc/self/fd").iterdir()))
    for sender, receiver, record in ((child, main, Alive(1)), (main, child, Stop())):
        sender.send(record, (0,))
        with pytest.raises(ChannelMessageError, match="sent unexpected descriptors"):
            receiver.receive()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_descriptors_beside_an_empty_message_are_closed():
    here, there = Channel.pair()
    channel = Channel(here, Alive)
    before = len(list(Path("/proc/self/fd").iterdir()))
    socket.send_fds(there, [b""], [0, 0])
    with pytest.raises(ChannelClosedError):
        channel.receive()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    channel.close()
    there.close()


def test_a_heatmap_of_a_large_input_fits(ends):
    main, child = ends
    score = Score(1, 1, 0.5, bytes(128 * 128 * 2), 128, 128, "sha", {})
    child.send(score)
    assert main.receive() == (score, [])


def test_the_largest_message_there_can_be_is_carried_and_no_larger_one(ends):
    main, child = ends
    most = largest_message_bytes()
    empty = len(msgspec.msgpack.encode(Score(1, 1, 0.5, bytes(1 << 17), 1, 1, "sha", {}))) - (1 << 17)
    score = Score(1, 1, 0.5, bytes(most - empty), 1, 1, "sha", {})
    child.send(score)
    assert main.receive() == (score, [])

    def carry_larger() -> None:
        child.send(msgspec.structs.replace(score, heatmap=bytes(most - empty + 1)))
        main.receive()

    with pytest.raises(ChannelMessageError):  # the kernel does not take it, or who receives it
        carry_larger()


def test_the_other_ends_death_is_seen_after_its_last_record(ends):
    main, child = ends
    child.send(Alive(1))
    child.close()
    assert main.receive() == (Alive(1), [])
    with pytest.raises(ChannelClosedError):
        main.receive()
    with pytest.raises(ChannelClosedError):
        main.send(Stop())


def test_sending_never_waits_for_a_reader_that_stopped(ends):
    main, child = ends

    def send_many() -> None:
        for _ in range(1_000_000):
            main.send(Stop())

    with pytest.raises(ChannelFullError):
        send_many()
    assert child.receive() is not None  # what was sent is whole


@pytest.mark.parametrize("message", [b"\xc1", b"\x93\x01\x02\x03", b"hello", bytes(5000)])
def test_a_message_that_is_no_record_is_refused_and_its_descriptors_closed(message):
    first, second = Channel.pair()
    main = Channel(first, FromScoring)
    read, write = os.pipe()
    before = len(list(Path("/proc/self/fd").iterdir()))
    socket.send_fds(second, [message], [read])
    with pytest.raises(ChannelMessageError):
        main.receive()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    main.close()
    second.close()
    os.close(read)
    os.close(write)


def test_an_end_that_was_closed_says_so():
    here, there = Channel.pair()
    channel = Channel(here, Stop)
    channel.close()
    with pytest.raises(ChannelClosedError):
        channel.send(Stop())
    there.close()


def test_what_was_sent_before_an_end_was_closed_is_read_though_it_left_ours_unread():
    here, there = Channel.pair()
    sender, receiver = Channel(here, Alive), Channel(there, Alive)
    receiver.send(Alive(0))
    sender.send(Alive(1))
    sender.send(Alive(2))
    sender.close()
    assert [receiver.receive(), receiver.receive()] == [(Alive(1), []), (Alive(2), [])]
    with pytest.raises(ChannelClosedError):
        receiver.receive()
    receiver.close()
