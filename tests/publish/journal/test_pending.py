"""When groups are handed to the disk. Time is handed in."""

from __future__ import annotations

import pytest
from support.messages import verdict

from inspectd import wire
from inspectd.metrics import Metrics
from inspectd.publish.journal.pending import Entry, Groups
from inspectd.publish.journal.records import Group

MS = 1_000_000


class Disk:
    """Groups, the time they take, and what was handed over for writing."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.handed: list[Group] = []
        self.groups = Groups(self.handed.append, 100 * MS, Metrics("line", [], 100), lambda: self.now_ns)
        self.groups.is_settled = True

    def at(self, milliseconds: float) -> None:
        self.now_ns = int(milliseconds * MS)
        self.groups.turn(self.now_ns)


@pytest.fixture
def disk():
    return Disk()


def test_what_was_opened_is_written_by_itself_after_25_ms(disk):
    disk.groups.opened("a", b"record")
    assert disk.groups.wake_ns() == 25 * MS
    disk.at(24.9)
    assert not disk.handed
    disk.at(25)
    assert [group.opened for group in disk.handed] == [[("a", b"record")]]


def test_what_was_opened_is_written_with_the_next_verdict(disk):
    made = verdict(1)
    disk.groups.opened("a", b"record")
    disk.groups.record(Entry(made, b"topic", wire.encode(made), lambda *_: None))
    (group,) = disk.handed
    assert group.opened == [("a", b"record")]
    assert [row.seq for row in group.rows] == [1]
    disk.groups.committed(0.001)
    disk.at(1000)
    assert len(disk.handed) == 1


def test_what_is_closed_at_once_is_never_written_as_open(disk):
    made = verdict(1)
    disk.groups.opened("a", b"record")
    disk.groups.record(Entry(made, b"topic", wire.encode(made), lambda *_: None, closes="a"))
    assert [group.opened for group in disk.handed] == [[]]
