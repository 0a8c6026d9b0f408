"""Two batches under way, and batches that shrink, on a device that only counts."""

import weakref

import pytest

from inspectd.backends.cuda.pipeline import BatchLimit, score_pipelined


class ShortError(Exception):
    """The device's memory is full."""


def is_full(error):
    return isinstance(error, ShortError)


class Device:
    """Doubles numbers; holds `memory` of them at a time, and says what happened in which order."""

    def __init__(self, most, memory):
        self.most = most
        self.memory = memory
        self.held = 0
        self.happened = []

    def launch(self, frames):
        if self.held + len(frames) > self.memory:
            self.happened.append(("full", len(frames)))
            raise ShortError
        self.held += len(frames)
        self.happened.append(("launch", list(frames)))

        def collect():
            self.held -= len(frames)
            self.happened.append(("collect", list(frames)))
            return [2 * frame for frame in frames]

        return collect

    def shrink(self, tried):
        self.happened.append(("shrink", tried))
        self.most = tried // 2


def test_a_batch_is_launched_before_the_one_before_it_is_waited_for():
    device = Device(most=2, memory=100)
    assert score_pipelined(device, range(6), is_full) == [0, 2, 4, 6, 8, 10]
    assert device.happened == [
        ("launch", [0, 1]),
        ("launch", [2, 3]),
        ("collect", [0, 1]),
        ("launch", [4, 5]),
        ("collect", [2, 3]),
        ("collect", [4, 5]),
    ]


@pytest.mark.parametrize("most", [1, 3, 8, 50])
@pytest.mark.parametrize("memory", [1, 2, 7, 100])
@pytest.mark.parametrize("frames", [0, 1, 5, 40])
def test_every_frame_is_answered_once_in_order_however_little_memory_there_is(most, memory, frames):
    device = Device(most, memory)
    assert score_pipelined(device, range(frames), is_full) == [2 * frame for frame in range(frames)]
    assert device.held == 0


def test_a_batch_beside_another_is_tried_alone_before_batches_shrink():
    device = Device(most=4, memory=6)
    assert len(score_pipelined(device, range(8), is_full)) == 8
    assert device.happened == [
        ("launch", [0, 1, 2, 3]),
        ("full", 4),
        ("collect", [0, 1, 2, 3]),
        ("launch", [4, 5, 6, 7]),
        ("collect", [4, 5, 6, 7]),
    ]


def test_a_device_that_holds_not_even_one_frame_is_an_error():
    device = Device(most=4, memory=0)
    with pytest.raises(ShortError):
        score_pipelined(device, range(4), is_full)
    assert [name for name, _ in device.happened] == ["full", "shrink", "full", "shrink", "full"]


def test_an_error_of_another_kind_is_not_answered_by_smaller_batches():
    class Broken(Device):
        def launch(self, frames):
            raise RuntimeError("an illegal memory access was encountered")

    device = Broken(most=4, memory=100)
    with pytest.raises(RuntimeError, match="illegal"):
        score_pipelined(device, range(4), is_full)
    assert device.happened == []


def test_what_failed_is_let_go_before_batches_shrink():
    """The memory of a batch that did not fit hangs on its error: only without that is it free again."""
    alive = []

    class Held:
        pass

    class Holding(Device):
        def launch(self, frames):
            held = Held()
            alive.append(weakref.ref(held))
            return super().launch(frames)

        def shrink(self, tried):
            assert [one() for one in alive] == [None] * len(alive)
            super().shrink(tried)

    assert score_pipelined(Holding(most=4, memory=1), range(3), is_full) == [0, 2, 4]


def test_batches_grow_again_some_minutes_after_they_shrank():
    now = [0.0]
    limit = BatchLimit(32, lambda: now[0])
    assert not limit.grow()
    limit.shrink(32)
    limit.shrink(16)
    assert limit.most == 8
    sizes = []
    for _ in range(20):
        now[0] += 60.0
        limit.grow()
        sizes.append(limit.most)
    assert sizes == [8] * 4 + [16] * 5 + [32] * 11
    now[0] += 1e6
    assert not limit.grow()
