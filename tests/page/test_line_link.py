"""The threads that read the line's bus: what they count of a line that falls silent, goes back or fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.messages import EPOCH
from support.replaying_line import Line

from inspectd.client import Position
from inspectd.page.line import link
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.link import LineThreads
from inspectd.page.settings import PageLine


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.close()


@contextmanager
def reading(
    line: Line, counts: PartCounts, on_messages: Callable[..., None] = lambda *_: None
) -> Iterator[LineThreads]:
    threads = LineThreads(
        PageLine(plant="demo", name="line1", verdicts=line.endpoint), counts,
        on_messages=on_messages, on_status=print, on_preview=print, wanted=frozenset,
    )  # fmt: skip
    threads.start()
    try:
        yield threads
    finally:
        threads.close()


@pytest.fixture
def counts() -> PartCounts:
    counts = PartCounts()
    counts.begin("shift", EPOCH, time.time_ns() // 1_000_000)
    return counts


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def parts(counts: PartCounts) -> int:
    return counts.sums("shift")["parts"]


def test_a_reader_that_fails_is_counted_and_begins_again(line: Line, counts: PartCounts, monkeypatch) -> None:
    monkeypatch.setattr(link, "_RETRY_SECONDS", 0.05)
    came: list[object] = []

    def take(messages: list[object], is_old: bool) -> None:
        came.extend(messages)
        if threads.problems == 0:
            raise ZeroDivisionError

    with reading(line, counts, take) as threads:
        until(lambda: threads.problems == 1)
        came.clear()
        until(lambda: bool(came))


def test_after_a_silence_counting_goes_on_where_it_was(line: Line, counts: PartCounts, monkeypatch) -> None:
    monkeypatch.setattr(link, "_SILENT_SECONDS", 0.3)
    line.publish(20, live=False)
    with reading(line, counts) as threads:
        until(lambda: parts(counts) == 20)
        asked = len(line.requests)
        for silence in (1, 2):  # the reader of before the first may still get what comes after it
            line.beats = False
            until(lambda least=silence: threads._opening >= least)
            line.beats = True
            line.publish(1)
            until(lambda most=20 + silence: parts(counts) == most)
        assert all(each.first > Position(EPOCH, 20) for each in line.requests[asked:])
        assert not counts.sums("shift")["missing"]


def test_while_the_journal_is_read_counts_are_not_told_as_whole(line: Line, counts: PartCounts) -> None:
    line.publish(1, live=False, decided_utc_ns=(EPOCH - 10**9) * 1_000_000)  # of weeks before the shift
    line.publish(20, live=False)
    line.answers = False
    with reading(line, counts):
        until(lambda: counts.sums("shift")["counting"])
        assert (parts(counts), counts.sums("shift")["complete"]) == (0, False)
        line.answers = True
        until(lambda: not counts.sums("shift")["counting"])
        assert (parts(counts), counts.sums("shift")["complete"]) == (20, True)


def test_a_line_that_goes_on_in_a_lower_epoch_is_counted(line: Line, counts: PartCounts) -> None:
    line.publish(5, live=False)
    with reading(line, counts):
        until(lambda: parts(counts) == 5)
        line.forget(EPOCH - 1)  # as where its state was put back
        line.publish(4)
        until(lambda: parts(counts) == 9)
        assert counts.sums("shift")["missing"]
