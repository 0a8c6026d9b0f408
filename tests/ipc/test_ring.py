from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.ipc.ring import FrameRing, RingError
from inspectd.records import FrameRef


def frame(ring: FrameRing, slot: int, seq: int, shape: tuple[int, int, int] = (4, 5, 3)) -> FrameRef:
    return FrameRef("cam", ring.generation, slot, seq, 0, 0, *shape)


@pytest.fixture
def pair():
    writer = FrameRing.create(generation=3, slots=2, slot_bytes=4 * 5 * 3)
    reader = FrameRing.attach(os.dup(writer.fd))
    yield writer, reader
    writer.close()
    reader.close()


def test_a_reader_sees_the_writers_pixels_without_a_copy(pair):
    writer, reader = pair
    pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    slot = writer.acquire()
    writer.write(slot, 1, pixels)
    view = reader.view(frame(writer, slot, 1))
    assert np.array_equal(view, pixels)
    assert view.base is not None
    del view


def test_a_slot_comes_back_only_after_its_release(pair):
    writer, reader = pair
    slots = []
    for seq in (1, 2):
        slots.append(writer.acquire())
        writer.write(slots[-1], seq, np.zeros((4, 5, 3), np.uint8))
    assert sorted(slots) == [0, 1]
    assert writer.acquire() is None
    assert reader.held == 2
    reader.release(slots[0])
    assert writer.acquire() == slots[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"seq": 9},
        {"generation": 2},
        {"slot": 1},
        {"slot": 7},
        {"slot": -1},
    ],
)
def test_a_reference_to_another_frame_is_refused(pair, wrong):
    writer, reader = pair
    writer.write(0, 1, np.zeros((4, 5, 3), np.uint8))
    fields = {"seq": 1, "generation": 3, "slot": 0} | wrong
    reference = FrameRef("cam", fields["generation"], fields["slot"], fields["seq"], 0, 0, 4, 5)
    assert not reader.holds(reference)
    with pytest.raises(RingError, match="no longer holds"):
        reader.view(reference)


@pytest.mark.parametrize("shape", [(5, 5, 3), (0, 5, 3), (1 << 20, 1 << 20, 3)])
def test_a_reference_that_claims_more_than_a_slot_is_refused(pair, shape):
    writer, reader = pair
    writer.write(0, 1, np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(RingError, match="claims"):
        reader.view(frame(writer, 0, 1, shape))


def test_a_frame_larger_than_a_slot_is_refused(pair):
    writer, _ = pair
    with pytest.raises(RingError, match="does not fit"):
        writer.write(0, 1, np.zeros((5, 5, 3), np.uint8))


def test_the_memory_cannot_be_shrunk_under_a_reader(pair):
    writer, _ = pair
    with pytest.raises(PermissionError):
        os.ftruncate(writer.fd, 0)


def test_memory_that_is_no_ring_is_refused():
    fd = os.memfd_create("not-a-ring", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 4096)
    with pytest.raises(RingError, match="too small, or not sealed"):
        FrameRing.attach(fd)


def test_nothing_is_left_open_after_close(pair):
    before = set(Path("/proc/self/fd").iterdir())
    ring = FrameRing.create(1, 2, 100)
    ring.close()
    assert set(Path("/proc/self/fd").iterdir()) == before


@given(slots=st.integers(1, 5), moves=st.lists(st.booleans(), max_size=60))
def test_a_held_slot_is_never_handed_out(slots, moves):
    ring = FrameRing.create(1, slots, 12)
    held: list[int] = []
    try:
        for seq, write in enumerate(moves):
            if write:
                slot = ring.acquire()
                assert (slot is None) == (len(held) == slots)
                if slot is not None:
                    assert slot not in held
                    ring.write(slot, seq, np.zeros((2, 2, 3), np.uint8))
                    held.append(slot)
            elif held:
                ring.release(held.pop(0))
            assert ring.held == len(held)
    finally:
        ring.close()


@pytest.mark.parametrize(("for_frames", "least", "most"), [(True, 1.0, 1.0), (False, 0.0, 0.2)])
def test_who_reads_frames_has_every_slot_in_its_memory_from_the_start(for_frames, least, most):
    writer = FrameRing.create(1, 16, 1 << 20)
    reader = FrameRing.attach(os.dup(writer.fd), for_frames=for_frames)
    address, size = reader.address()
    assert least <= resident_bytes(address) / size <= most
    writer.close()
    reader.close()


def resident_bytes(address: int) -> int:
    """How much of the mapping that begins at an address is in this process's memory."""
    _, _, after = Path("/proc/self/smaps").read_text().partition(f"{address:x}-")
    return int(after.partition("Rss:")[2].split()[0]) * 1024
