"""When groups are handed to the disk, and what is published when. Time and the disk are handed in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.messages import verdict

from inspectd import wire
from inspectd.metrics import Metrics
from inspectd.publish.journal.pending import Entry, Pending, group_every_ns
from inspectd.publish.journal.records import Group
from inspectd.publish.journal.state import JournalEvent, JournalState

MS = 1_000_000


class Disk:
    """Groups, the time they take, and what was handed over for writing."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.handed: list[Group] = []
        self.pending = Pending(
            self.handed.append, 100 * MS, Metrics("line", [], 100), lambda: self.now_ns, group_every_ns=5 * MS
        )
        self.pending.on(JournalEvent.OPENED)

    def at(self, milliseconds: float) -> None:
        self.now_ns = int(milliseconds * MS)
        self.pending.turn(self.now_ns)


@pytest.fixture
def disk():
    return Disk()


def test_what_was_opened_is_written_by_itself_after_25_ms(disk):
    disk.pending.remember_open("a", b"record")
    assert disk.pending.wake_ns() == 25 * MS
    disk.at(24.9)
    assert not disk.handed
    disk.at(25)
    assert [group.opened for group in disk.handed] == [[("a", b"record")]]


def test_what_was_opened_is_written_with_the_next_verdict(disk):
    made = verdict(1)
    disk.pending.remember_open("a", b"record")
    disk.pending.record(Entry(made, b"topic", wire.encode(made), lambda *_: None))
    (group,) = disk.handed
    assert group.opened == [("a", b"record")]
    assert [row.seq for row in group.rows] == [1]
    disk.pending.committed(0.001)
    disk.at(1000)
    assert len(disk.handed) == 1


def test_what_is_closed_at_once_is_never_written_as_open(disk):
    made = verdict(1)
    disk.pending.remember_open("a", b"record")
    disk.pending.record(Entry(made, b"topic", wire.encode(made), lambda *_: None, closes="a"))
    assert [group.opened for group in disk.handed] == [[]]


def test_what_is_decided_without_end_is_written_at_intervals_with_what_came_meanwhile(disk):
    seen: list[int] = []
    written = 0
    for number in range(1, 1001):  # one every 0.1 ms, on a disk that takes no time
        disk.at(1000 + number / 10)
        made = verdict(number)
        disk.pending.record(Entry(made, b"topic", wire.encode(made), lambda v, *_: seen.append(v.seq)))
        while written < len(disk.handed):
            written += 1
            disk.pending.committed(0.0)
    assert seen[:4] == [1, 2, 3, 4]
    assert [len(group.rows) for group in disk.handed[:4]] == [1, 1, 1, 1], "the first few wait for nothing"
    assert len(disk.handed) <= 4 + 20
    assert disk.now_ns < disk.pending.wake_ns() <= disk.now_ns + 5 * MS
    disk.at(1105)
    disk.pending.committed(0.0)
    assert seen == list(range(1, 1001))


@pytest.mark.parametrize(("deadlines_ms", "every_ms"), [([1000], 20), ([1000, 100], 10), ([30], 3)])
def test_a_verdict_waits_for_others_no_longer_than_a_tenth_of_a_deadline(deadlines_ms, every_ms):
    assert group_every_ns([each * MS for each in deadlines_ms]) == every_ms * MS


def test_what_is_open_is_in_a_new_file_at_once_without_waiting_for_a_verdict(disk):
    disk.pending.remember_open("a", b"record")
    disk.at(25)
    disk.pending.committed(0.001)
    disk.pending.on(JournalEvent.SET_ASIDE)
    assert disk.pending.wake_ns() <= disk.now_ns
    disk.at(26)
    assert disk.handed[-1].opened == [("a", b"record")]
    disk.pending.committed(0.001)
    disk.at(1000)
    assert len(disk.handed) == 2


def test_an_event_that_cannot_occur_is_raised(disk):
    with pytest.raises(RuntimeError, match="the journal is recording: caught_up cannot occur"):
        disk.pending.on(JournalEvent.CAUGHT_UP)


class AnyDisk(RuleBasedStateMachine):
    """A journal on a disk that is late, fails and is damaged as the schedule says."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.group: Group | None = None  # the thread's
        self.rows: dict[int, bytes] = {}  # on the disk
        self.open_rows: dict[str, bytes] = {}
        self.open: dict[str, bytes] = {}
        self.decided = self.begun = 0
        self.published: list[bytes] = []
        self.gone: set[int] = set()  # recorded in a file that was set aside
        self.promised = self.kept = 0
        metrics = Metrics("line", [], 100)
        self.pending = Pending(self.take, 100 * MS, metrics, lambda: self.now_ns, group_every_ns=5 * MS)

    def take(self, group: Group) -> None:
        assert self.group is None, "the thread has one group at a time"
        self.group = group

    def publish(self, made, topic: bytes, header: bytes) -> None:
        assert made.seq == len(self.published) + 1, "in order, without a gap, and once"
        assert made.journaled == (self.rows.get(made.seq) == header), "recorded before it is published"
        assert made.journaled != self.pending.state.is_late
        self.published.append(header)

    def keep(self) -> None:
        self.kept += 1

    # --- the line

    @initialize(opens=st.booleans())
    def start(self, opens):
        self.pending.on(JournalEvent.OPENED if opens else JournalEvent.SILENT)

    @rule(closes=st.booleans())
    def verdict(self, closes):
        self.decided += 1
        made = verdict(self.decided)
        key = next(iter(self.open), None) if closes else None
        self.open.pop(key or "", None)
        self.pending.record(Entry(made, b"topic", wire.encode(made), self.publish, closes=key))

    @rule()
    def begin(self):
        self.begun += 1
        key = next(key for n in itertools.count() if (key := f"i{n}") not in self.open)  # it may come again
        self.open[key] = b"%d" % self.begun
        self.pending.remember_open(key, self.open[key])

    @rule()
    def promise(self):
        self.promised += 1
        self.pending.when_recorded(self.keep)

    @rule(milliseconds=st.sampled_from([1, 30, 101, 1001, 2001]))
    def time_passes(self, milliseconds):
        self.now_ns += milliseconds * MS
        event = self.pending.turn(self.now_ns)
        if event is not None:
            self.pending.on(event)

    # --- the disk

    @precondition(lambda self: self.group is not None)
    @rule()
    def commit(self):
        group, self.group = self.group, None
        if group.all_open:
            self.open_rows.clear()
        self.rows |= {row.seq: row.header for row in group.rows}
        for row in group.rows:
            self.open_rows.pop(row.closes or "", None)
        self.open_rows |= dict(group.opened)
        self.pending.committed(0.001)

    @precondition(lambda self: self.group is not None)
    @rule()
    def fail_group(self):
        self.group = None
        self.pending.on(JournalEvent.GROUP_FAILED)

    @precondition(lambda self: self.group is not None)
    @rule()
    def damage_found_by_group(self):
        self.group = None
        self.lose_file()
        self.pending.on(JournalEvent.GROUP_SET_ASIDE)

    @rule()
    def fail(self):
        self.pending.on(JournalEvent.DISK_FAILED)

    @rule()
    def damage(self):
        self.lose_file()
        self.pending.on(JournalEvent.SET_ASIDE)

    def lose_file(self):
        self.gone |= set(self.rows)
        self.rows.clear()
        self.open_rows.clear()

    # --- what holds

    @invariant()
    def what_is_decided_is_published_or_waits(self):
        assert self.pending.waiting == self.decided - len(self.published)
        assert not self.pending.state.is_late or self.pending.waiting == 0

    def teardown(self):
        """A disk that works again is caught up with, within a second."""
        self.begin()  # so that there is a next group: it has what was open in a file that was set aside
        self.now_ns += 1001 * MS
        while self.group is not None or self.pending.turn(self.now_ns) or self.group is not None:
            self.commit()
            self.now_ns += 26 * MS
        if self.pending.state is JournalState.OPENING:  # the schedule ended before the start
            return
        assert self.pending.is_idle
        assert self.pending.state is JournalState.RECORDING
        assert self.kept == self.promised
        assert set(range(1, self.decided + 1)) <= set(self.rows) | self.gone
        assert all(self.published[seq - 1] == header for seq, header in self.rows.items()), "to the byte"
        assert self.open_rows == self.open


AnyDisk.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestAnyDisk = AnyDisk.TestCase
