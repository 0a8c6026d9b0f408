"""The journal as the line sees it, on real disks: recorded before published, and never waiting for long."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.disks import disk, fill, frozen, needs_root, remount, tmpfs
from support.journal_line import Line

from inspectd.config import JournalSettings
from inspectd.errors import UnavailableError
from inspectd.publish.journal.file import MARK_NAME, JournalFile, Mark
from inspectd.publish.journal.records import Group
from inspectd.wire.sync import Position


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(folder: Path | None = None, **settings: float) -> Line:
        lines.append(Line(folder or tmp_path / "state", **settings))
        return lines[-1]

    yield make
    for line in lines:
        line.journal.close()


def test_nothing_is_published_before_it_is_recorded_and_all_of_it_in_order(start) -> None:
    line = start(max_wait_ms=5000)
    for _ in range(50):
        line.verdict()
    assert not line.published
    line.until(lambda: len(line.published) == 50)
    assert [made.seq for made, _ in line.published] == list(range(1, 51))
    assert all(made.journaled for made, _ in line.published)
    assert line.told.committed == 50
    assert line.read() == [header for _, header in line.published]


def test_what_is_promised_is_on_the_disk_first(start) -> None:
    line = start(max_wait_ms=5000)
    line.journal.remember_open("t1", b"part")
    order: list[str] = []
    line.journal.when_recorded(lambda: order.append("acknowledged"))
    assert not order
    line.until(lambda: order)
    line.journal.close()
    again = start()
    assert [record for _, record in again.journal.unfinished] == [b"part"]


def test_an_epoch_is_new_and_larger_at_every_start(start) -> None:
    epochs = []
    for _ in range(3):
        line = start()
        line.verdict()
        line.until(lambda line=line: line.published)
        epochs.append(line.journal.epoch)
        line.journal.close()
    assert epochs == sorted(set(epochs))


def test_an_epoch_that_the_clock_is_behind_is_no_time(start, tmp_path: Path) -> None:
    start().journal.close()
    mark = Mark(tmp_path / "state" / MARK_NAME)
    mark.write(Position(time.time_ns() // 1_000_000 + 3_600_000, 0))
    mark.close()
    line = start()
    assert line.journal.epoch * 1_000_000 > time.time_ns()
    assert line.journal.newest_utc_ns <= time.time_ns()


@pytest.mark.parametrize(("hours", "said"), [(0.5, []), (48.0, ["journal_clock"])])
def test_a_clock_that_starts_behind_the_newest_verdict_is_said(
    start, tmp_path: Path, hours: float, said: list[str]
) -> None:
    line = start()
    line.verdict()
    line.until(lambda: line.published)
    line.journal.close()
    with closing(sqlite3.connect(tmp_path / "state" / "journal.sqlite")) as file, file:
        file.execute("UPDATE verdict SET utc_ns = utc_ns + ?", (int(hours * 3600e9),))
    again = start()
    assert again.told.names() == said
    assert all("the clock is 2.0 days behind the newest verdict" in told[2] for told in again.told.events)
    again.verdict()
    again.until(lambda: again.published)  # and the line goes on


def test_a_clock_that_is_set_back_while_the_line_runs_is_said_each_time(start, monkeypatch) -> None:
    clock, ahead_hours = time.time_ns, [0.0]
    monkeypatch.setattr(time, "time_ns", lambda: clock() + round(ahead_hours[0] * 3600e9))
    line = start()
    for hours in (-0.9, 0.0, 30.0, -18.0, -42.0, -42.9):  # by a time server, by a hand that corrects itself
        ahead_hours[0] = hours
        line.verdict()
        line.until(lambda: len(line.published) == line.seq)
    words = [f"the clock was set back by {days} days: it is wrong" for days in ("2.0", "1.0")]
    assert [told[2][: len(words[0])] for told in line.told.events] == words
    assert line.told.names() == ["journal_clock"] * 2


def test_two_lines_cannot_share_a_state_directory(start, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from inspectd.publish.journal.file import *;"
        "f = JournalFile(Path(sys.argv[1]), JournalSettings(), 'demo', 'line1');"
        "f.open(1, is_first=True, may_raise=True);"
        "print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "state"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(UnavailableError, match=r"line\.state_dir: the journal is used by another"):
            Line(tmp_path / "state")
        assert other.stdin is not None
        other.stdin.close()


def test_a_damaged_journal_is_set_aside_said_and_said_again_and_the_line_goes_on(start, tmp_path) -> None:
    line = start()
    line.verdict()
    line.until(lambda: line.published)
    line.journal.close()
    file = tmp_path / "state" / "journal.sqlite"
    file.write_bytes(b"nonsense" * 1000)
    again = start()
    assert again.told.names() == ["journal_set_aside"]
    assert again.told.set_aside == 1
    assert again.journal.failure is None
    assert again.journal.epoch > line.journal.epoch
    again.verdict()
    again.until(lambda: again.published)
    assert again.published[0][0].journaled
    assert list(file.parent.glob("journal.sqlite.corrupt-*Z"))


def test_what_is_wrong_with_it_is_said_on_one_line_that_names_it(start, tmp_path: Path) -> None:
    folder, file = tmp_path / "state", tmp_path / "state" / "journal.sqlite"
    folder.write_text("")
    assert start().journal.failure == f"{folder}: Not a directory"
    folder.unlink()
    file.mkdir(parents=True)
    assert start().journal.failure == f"{file}: unable to open database file"
    file.rmdir()
    line = start()
    for _ in range(300):
        line.verdict()
    line.until(lambda: len(line.published) == 300)
    line.journal.close()
    data = bytearray(file.read_bytes())
    data[-4096:] = b"\xff" * 4096  # a page
    file.write_bytes(data)
    ((_, name, detail),) = start().told.events
    assert (name, detail.isprintable()) == ("journal_set_aside", True)
    assert detail.startswith(f"{file}: its pages are not what was written: ")


@pytest.mark.parametrize("damage", ["UPDATE trimmed SET id = ''", "UPDATE verdict SET utc_ns = 'then'"])
def test_damage_that_no_checksum_covers_does_not_end_the_recording(start, tmp_path, damage: str) -> None:
    line = start()
    line.verdict()
    line.verdict()
    line.until(lambda: len(line.published) == 2)
    line.journal.close()
    with closing(sqlite3.connect(tmp_path / "state" / "journal.sqlite", isolation_level=None)) as connection:
        connection.execute(damage)
    again = start()
    again.until(lambda: again.told.set_aside == 1)
    again.verdict()
    again.until(lambda: again.published)
    assert again.published[0][0].journaled


def test_a_journal_removed_under_a_running_line_is_noticed_and_begun_anew(start, tmp_path) -> None:
    line = start()
    line.verdict()
    line.until(lambda: line.published)
    mark = Mark(tmp_path / "state" / MARK_NAME)
    (tmp_path / "state" / "journal.sqlite").unlink()
    (tmp_path / "state" / MARK_NAME).unlink()
    line.until(lambda: line.told.set_aside)
    line.verdict()
    line.verdict()
    line.until(lambda: len(line.published) == 3 and line.journal.waiting == 0)
    line.until(lambda: line.read()[-1:] == [line.published[-1][1]])
    assert [made.seq for made, _ in line.published] == [1, 2, 3]
    assert mark.read().seq == 3
    assert mark.read_line() is not None
    (tmp_path / "state" / MARK_NAME).unlink()
    line.verdict()
    line.until(lambda: mark.read() is not None)
    assert mark.read().seq == 4


def past(folder, epoch: int) -> bytes:
    """A sound journal of another run, in which a part is open."""
    file = JournalFile(folder, JournalSettings(), "demo", "line1")
    file.open(epoch, is_first=True, may_raise=True)
    file.commit(epoch, Group([], [("t1", b"a part")]))
    for part in list(folder.iterdir()):  # as a kill leaves it: what was recorded last is in its log alone
        shutil.copy(part, folder / f"{part.name}.copy")
    file.close()
    for part in folder.glob("*.copy"):
        part.rename(part.with_suffix(""))
    return (folder / "journal.sqlite").read_bytes()


def is_left_alone(line, file: Path, found: bytes) -> bool:
    """The line goes on unrecorded, with an alarm, and nothing of the file was touched."""
    line.verdict()
    line.until(lambda: line.published and not line.published[-1][0].journaled)
    assert line.told.names() == ["journal_failed"]
    return file.read_bytes() == found and [each.name for each in file.parent.glob("*corrupt*")] == []


def test_a_journal_that_comes_in_place_of_the_lines_is_left_alone_and_had_at_the_next_start(
    start, tmp_path, monkeypatch
) -> None:
    found = past(tmp_path / "disk", 1000)
    line = start()
    line.verdict()
    line.until(lambda: line.published)
    (tmp_path / "state").rename(tmp_path / "below")
    (tmp_path / "disk").rename(tmp_path / "state")  # as a disk that is mounted late
    line.until(lambda: line.journal.failure)
    assert "restart the line" in line.journal.failure
    assert is_left_alone(line, tmp_path / "state" / "journal.sqlite", found)
    with monkeypatch.context() as disk:  # that of the one before is away

        def gone(*_: object) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        disk.setattr(JournalFile, "read", gone)
        assert line.read() == []
        line.verdict()
        line.until(lambda: len(line.published) == line.seq)
        assert "restart the line" in line.journal.failure
    line.journal.close()
    again = start()
    assert [record for _, record in again.journal.unfinished] == [b"a part"]
    assert again.told.names() == []


def test_a_journal_of_later_epochs_that_is_there_late_is_left_alone(start, tmp_path) -> None:
    file = tmp_path / "state" / "journal.sqlite"
    file.mkdir(parents=True)
    found = past(tmp_path / "disk", 2**45)
    line = start()
    assert line.journal.failure
    file.rmdir()
    for part in (tmp_path / "disk").glob("journal.sqlite*"):
        part.rename(file.with_name(part.name))
    line.verdict()
    line.until(lambda: "holds epochs after" in line.journal.failure)
    assert is_left_alone(line, file, found)
    line.journal.close()
    again = start()
    assert [record for _, record in again.journal.unfinished] == [b"a part"]


@needs_root
def test_a_full_disk_does_not_stop_the_line_and_nothing_is_forgotten(start, tmp_path) -> None:
    with tmpfs(tmp_path / "small", "2m") as folder:
        line = start(folder)
        line.verdict()
        line.until(lambda: line.published)
        ballast = fill(folder)
        while not line.journal.failure:
            line.verdict()
            line.until(lambda: len(line.published) == line.seq)
        for _ in range(300):
            line.verdict()
        assert len(line.published) == line.seq, "a disk that has failed is not waited for"
        assert not line.published[-1][0].journaled
        assert [(s, n) for s, n, _ in line.told.events] == [("alarm", "journal_failed")]
        assert line.read() == [header for _, header in line.published]
        ballast.unlink()
        line.until(lambda: line.journal.failure is None)
        assert line.told.names() == ["journal_failed", "journal_recovered"]
        line.verdict()
        line.until(lambda: len(line.published) == line.seq)
        assert line.published[-1][0].journaled
        assert line.read() == [header for _, header in line.published], "replayed to the byte"
        assert [made.seq for made, _ in line.published] == list(range(1, line.seq + 1))
        line.journal.close()


@needs_root
@pytest.mark.parametrize("when", ["start", "later"])
def test_a_read_only_disk_is_an_alarm_and_recording_begins_when_it_is_writable(
    start, tmp_path, when: str
) -> None:
    with tmpfs(tmp_path / "ro", "4m") as folder:
        if when == "start":
            remount(folder, writable=False)
        line = start(folder)
        for _ in range(3):
            line.verdict()
        line.until(lambda: len(line.published) == 3)
        if when == "later":
            line.journal.close()
            remount(folder, writable=False)
            line = start(folder)
            line.verdict()
        assert line.told.names() == ["journal_failed"]
        assert line.told.recording[-1] is False
        assert not line.published[-1][0].journaled
        remount(folder, writable=True)
        line.until(lambda: line.journal.failure is None)
        assert line.told.names() == ["journal_failed", "journal_recovered"]
        assert line.read()[-line.seq :] == [header for _, header in line.published]
        line.journal.close()


@needs_root
def test_a_disk_that_hangs_holds_up_a_verdict_for_its_wait_and_no_longer(start, tmp_path) -> None:
    with disk(tmp_path / "slow") as folder:
        line = start(folder, max_wait_ms=40)
        while not (line.published and line.published[-1][0].journaled):
            line.verdict()  # on a busy machine the first may already be late; then the next ones do not wait
            line.until(lambda: len(line.published) == line.seq)
        before = line.seq
        with frozen(folder):
            began = time.monotonic()
            line.verdict()
            line.until(lambda: len(line.published) == before + 1)
            assert 0.03 < time.monotonic() - began < 0.5
            assert not line.published[-1][0].journaled
            line.until(lambda: line.told.names() == ["journal_failed"])
            for _ in range(10):
                line.verdict()
            assert len(line.published) == before + 11
        line.until(lambda: line.journal.failure is None)
        assert line.read() == [header for _, header in line.published]
        line.journal.close()


@needs_root
def test_a_file_of_later_epochs_that_opens_too_late_takes_nothing_of_this_one(
    start, tmp_path, monkeypatch
) -> None:
    with disk(tmp_path / "slow") as folder:
        later = JournalFile(folder, JournalSettings(), "demo", "line1")
        later.open(2**45, is_first=True, may_raise=True)
        later.close()
        monkeypatch.setattr("inspectd.publish.journal.journal._OPEN_SECONDS", 0.1)
        with frozen(folder):
            line = start(folder)
            line.verdict()
            retry = time.monotonic() + 1.1
            line.until(lambda: time.monotonic() > retry)  # the thread has the verdict before the file is open
        line.until(lambda: line.journal.failure == "it holds epochs after the one under way")
        line.verdict()
        assert [made.journaled for made, _ in line.published] == [False, False]
        assert line.told.names() == ["journal_failed"]
        line.journal.close()
        later.open(2**46, is_first=True, may_raise=True)
        assert later.read(None, Position(2**47, 0), 10).verdicts == []
        later.close()


@needs_root
def test_what_waits_for_a_failed_disk_is_bounded(start, tmp_path) -> None:
    with tmpfs(tmp_path / "ro", "64m") as folder:
        remount(folder, writable=False)
        line = start(folder)
        for _ in range(12_000):
            line.verdict()
        assert line.told.forgotten == 2000
        remount(folder, writable=True)
        line.until(lambda: line.journal.failure is None, 30)
        headers = line.read()
        assert headers == [header for _, header in line.published[2000:]]
        line.journal.close()
