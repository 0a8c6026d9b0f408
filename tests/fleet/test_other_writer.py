"""A forwarder that finds another one at work leaves it the stream."""

from __future__ import annotations

from collections import Counter

import pytest
from support.daemon import camera_table, settings
from support.forwarder import ForwarderProcess

from inspectd.fleet.forward.other_writer import OtherWriter, OtherWriterError
from inspectd.fleet.streams import StreamEnd
from inspectd.wire.sync import Position

ENDED = 'inspectd_forward_sessions_ended_total{why="other_writer"}'
OLD, NEW = "old/1", "new/2"


def ends_at(sequence: int, writer: str | None) -> StreamEnd:
    return StreamEnd(sequence, Position(7, sequence), 0, sequence, writer)


class Watch:
    """What a forwarder on the host `new` does, at times that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.other = OtherWriter(NEW, lambda: self.now)

    def waits(self, sequence: int, writer: str | None, at: float = 0.0) -> float:
        self.now = at
        return self.other.seconds_to_wait(ends_at(sequence, writer))


def test_a_line_that_moved_goes_on_once_its_old_host_is_silent() -> None:
    watch = Watch()
    assert watch.waits(100, OLD) == 10
    assert watch.waits(100, OLD, at=10) == 0


def test_who_was_there_first_keeps_the_stream_until_it_is_silent() -> None:
    watch = Watch()
    assert watch.waits(100, OLD) == 10
    with pytest.raises(OtherWriterError, match="on 'old', writes to it too: 7:101 is from there") as refused:
        watch.waits(101, OLD, at=10)
    assert "This one, on 'new', writes nothing" in str(refused.value)
    assert watch.waits(150, OLD, at=15) == 55  # said once a minute, not with every verdict
    with pytest.raises(OtherWriterError):
        watch.waits(200, OLD, at=70)
    assert watch.waits(200, OLD, at=130) == 0


@pytest.mark.parametrize("writer", ["new/1", None], ids=["same-host", "earlier-version"])
def test_a_forwarder_that_was_started_again_goes_on_at_once(writer: str | None) -> None:
    watch = Watch()
    assert watch.waits(100, writer) == 0
    assert watch.waits(105, writer) == 10  # the one before it was killed with these on their way
    assert watch.waits(105, writer, at=10) == 0
    watch.other.wrote(106)
    assert watch.waits(107, NEW, at=11) == 0  # its own, of which it had no acknowledgement


def test_two_that_write_in_turn_find_each_other() -> None:
    watch = Watch()
    assert watch.waits(100, "new/1") == 0
    watch.other.wrote(101)
    assert watch.waits(102, "new/1", at=30) == 10
    assert watch.waits(102, "new/1", at=40) == 0
    watch.other.wrote(103)
    with pytest.raises(OtherWriterError):
        watch.waits(104, "new/1", at=60)


def test_two_that_write_in_turn_find_each_other_in_a_stream_that_was_made_anew_too() -> None:
    watch = Watch()
    watch.other.wrote(1_000_000)
    assert watch.waits(10, NEW) == 0
    watch.other.wrote(11)
    assert watch.waits(12, OLD, at=15) == 10
    watch.other.wrote(13)
    with pytest.raises(OtherWriterError):
        watch.waits(14, OLD, at=30)


@pytest.mark.system
def test_two_lines_with_one_name_do_not_mix_in_a_stream(
    start_daemon, stub_bank, small_good, start_cluster, tmp_path
) -> None:
    cluster = start_cluster()
    text = settings(stub_bank, camera_table("top", small_good, fps=20))
    forwarders = []
    for name in ("old", "new"):
        line = start_daemon(text).ready()
        forwarders.append(ForwarderProcess(tmp_path / name, cluster, "line", line.runtime_dir))
    try:
        forwarders[1].until(lambda: any(each.metrics().get(ENDED) for each in forwarders))
        refused, writing = sorted(forwarders, key=lambda each: each.metrics()[ENDED], reverse=True)
        before = len(cluster.positions("line"))
        writing.until(lambda: len(cluster.positions("line")) > before + 30)
        found = [position for _, position in cluster.positions("line")]
        assert max(Counter(found).values()) == 1
        assert len({position.epoch for position in found[before:]}) == 1
        assert refused.metrics()["inspectd_forward_connected"] == 0
        assert writing.metrics()["inspectd_forward_connected"] == 1
        assert "Stop the one whose host is not the line" in refused.log.read_text()
        assert writing.metrics()[ENDED] == 0
    finally:
        for each in forwarders:
            each.close()
