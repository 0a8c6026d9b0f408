"""The journal's file: what it keeps, what it notices, and that it never takes damage for truth."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inspectd.config import JournalSettings as Settings
from inspectd.errors import InputError
from inspectd.publish.journal.file import MARK_NAME, NAME, JournalFile, Mark, refuse_other_line
from inspectd.publish.journal.records import Group, Row
from inspectd.publish.journal.sqlite import (
    SEQ_BITS,
    CorruptError,
    LaterVersionError,
    NotOursError,
    forget_oldest,
    refuse_later_version,
)
from inspectd.wire.sync import Position

EPOCH = 1_763_924_400_000


def row(seq: int, size: int = 300, closes: str | None = None, closes_earlier: str | None = None) -> Row:
    return Row(seq, b"i1/p/l/cam/v/", b'{"seq":%d,"fill":"%s"}' % (seq, b"x" * size), closes, closes_earlier)


def opened(folder: Path, epoch: int = EPOCH, **settings: float) -> JournalFile:
    file = JournalFile(folder, Settings(**settings), "p", "l")
    file.open(epoch, is_first=True, may_raise=True)
    return file


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    file = opened(tmp_path)
    yield file
    file.close()
    file.mark.close()


def seqs(file: JournalFile, first: Position | None = None, last: Position | None = None, limit: int = 10_000):
    return [s.position.seq for s in file.read(first, last or Position(2**52, 0), limit).verdicts]


def test_what_is_read_back_is_what_was_written_in_order(journal: JournalFile) -> None:
    rows = [row(n) for n in range(1, 251)]
    journal.commit(EPOCH, Group(rows[:100]))
    journal.commit(EPOCH, Group(rows[100:]))
    stored = journal.read(None, Position(EPOCH, 250), 1000).verdicts
    assert [(s.topic, s.header) for s in stored] == [(r.topic, r.header) for r in rows]
    assert seqs(journal, Position(EPOCH, 17), Position(EPOCH, 19)) == [17, 18, 19]
    assert seqs(journal, Position(EPOCH, 17), limit=5) == [17, 18, 19, 20, 21]


def test_an_epoch_is_larger_than_any_before_even_if_the_clock_went_back(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.commit(EPOCH, Group([row(1)]))
    first.close()
    second = JournalFile(tmp_path, Settings(), "p", "l")
    later = second.open(EPOCH - 10_000, is_first=True, may_raise=True).epoch
    assert EPOCH < later <= EPOCH + 1_000_000
    second.commit(later, Group([row(1)]))
    everything = second.read(None, Position(later, 1), 10).verdicts
    assert [s.position for s in everything] == [Position(EPOCH, 1), Position(later, 1)]
    second.close()


def test_runs_on_copies_of_one_state_have_other_epochs_even_if_the_clock_went_back(tmp_path: Path) -> None:
    opened(tmp_path / "state").close()
    copies = [shutil.copytree(tmp_path / "state", tmp_path / name) for name in ("one", "two", "three")]
    epochs = set()
    for copy in copies:
        file = JournalFile(copy, Settings(), "p", "l")
        epochs.add(file.open(EPOCH - 10_000, is_first=True, may_raise=True).epoch)
        file.close()
    assert len(epochs) > 1


def test_a_pipe_in_place_of_the_mark_holds_up_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.mark")
    file = opened(tmp_path)
    file.commit(EPOCH, Group([row(1)]))
    assert seqs(file) == [1]
    assert file.mark.read() is None
    file.close()


@pytest.mark.parametrize("put", [Path.mkdir, os.mkfifo, lambda mark: mark.symlink_to("/dev/null")])
def test_a_line_does_not_start_where_nobody_would_know_whether_its_journal_was_cut(tmp_path, put) -> None:
    put(tmp_path / MARK_NAME)
    with pytest.raises(InputError, match=r"journal\.mark: is not a regular file, .* move it away"):
        refuse_other_line(tmp_path, "p", "l")


def test_a_state_folder_is_one_lines(tmp_path: Path) -> None:
    state = tmp_path / "state"
    refuse_other_line(state, "p", "l")
    file = opened(state)
    file.close()
    file.mark.close()
    copy = shutil.copytree(state, tmp_path / "copy")
    refuse_other_line(copy, "p", "l")
    for plant, line in (("p", "other"), ("other", "l")):
        with pytest.raises(InputError, match=f"has the journal of line p/l, expected that of {plant}/{line}"):
            refuse_other_line(copy, plant, line)
    (copy / MARK_NAME).write_bytes(b"\0" * 400)  # a damaged mark says nothing
    refuse_other_line(copy, "p", "other")


def test_a_journal_of_a_later_version_is_no_damaged_one(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.close()
    file.mark.close()
    refuse_later_version(tmp_path / "none")
    refuse_later_version(file.path)
    with contextlib.closing(sqlite3.connect(file.path)) as later:
        later.execute("PRAGMA user_version = 2")
    with pytest.raises(InputError, match="was written by a later version of inspectd, in format 2"):
        refuse_later_version(file.path)
    with pytest.raises(LaterVersionError):  # nor is it set aside
        opened(tmp_path)
    assert file.path.exists()


def test_the_mark_of_an_earlier_version_gets_the_lines_name_and_stays_readable_for_it(tmp_path: Path) -> None:
    mark = tmp_path / MARK_NAME
    text = b"%d:7" % EPOCH
    mark.write_bytes((text + b" %d" % zlib.crc32(text)).ljust(64) + b"\n")
    refuse_other_line(tmp_path, "p", "l")
    file = Mark(mark)
    file.write_line("p/l")
    assert (file.read(), file.read_line()) == (Position(EPOCH, 7), "p/l")
    file.write(Position(EPOCH, 8))
    file.close()
    assert (file.read(), file.read_line()) == (Position(EPOCH, 8), "p/l")
    found, _, checksum = (
        mark.read_bytes()[:80].strip().rpartition(b" ")
    )  # as it was read before there were names
    assert (found, int(checksum)) == (b"%d:8" % EPOCH, zlib.crc32(found))


def test_a_journal_with_the_verdicts_of_another_line_is_set_aside_even_without_its_mark(
    tmp_path: Path,
) -> None:
    first = opened(tmp_path)
    first.commit(EPOCH, Group([row(1)], [("i1", b"open")]))
    first.close()
    first.mark.close()
    (tmp_path / MARK_NAME).unlink()
    renamed = JournalFile(tmp_path, Settings(), "p", "other")
    with pytest.raises(CorruptError, match="of another line: i1/p/l/cam/v/, expected i1/p/other/"):
        renamed.open(EPOCH + 1, is_first=True, may_raise=True)


def test_an_older_copy_of_the_journal_says_that_verdicts_are_missing(tmp_path: Path) -> None:
    file = opened(tmp_path)
    file.commit(EPOCH, Group([row(n) for n in range(1, 6)]))
    file.close()
    (tmp_path / MARK_NAME).unlink()  # of the newer file that was there before
    later = opened(tmp_path, EPOCH + 1)
    last = Position(EPOCH + 1, 0)
    assert not later.read(Position(EPOCH, 6), last, 10).truncated  # a reader that has all there is
    lost = later.read(Position(EPOCH, 9), last, 10)
    assert (lost.truncated, lost.verdicts, lost.oldest) == (True, [], Position(EPOCH + 1, 1))
    later.commit(EPOCH + 1, Group([row(1)]))
    lost = later.read(Position(EPOCH, 9), Position(EPOCH + 1, 1), 10)
    assert (lost.truncated, lost.oldest) == (True, Position(EPOCH + 1, 1))
    later.close()
    again = opened(tmp_path, EPOCH + 5)
    # Of an epoch that it never had, it goes on behind that, not from the beginning.
    lost = again.read(Position(EPOCH + 3, 2), Position(EPOCH + 5, 0), 10)
    assert (lost.truncated, lost.verdicts, lost.oldest) == (True, [], Position(EPOCH + 5, 1))
    again.close()


def test_a_reader_of_all_there_was_lacks_nothing_where_trimming_ended_with_an_epoch(tmp_path: Path) -> None:
    file = opened(tmp_path, days=1)
    file.commit(EPOCH, Group([row(n) for n in range(1, 101)]))
    file.close()
    later = opened(tmp_path, EPOCH + 1, days=1)
    later.commit(EPOCH + 1, Group([row(1)]))
    later._open_connection().execute(
        "UPDATE verdict SET utc_ns = utc_ns - ? WHERE id < ?", (2 * 86_400 * 10**9, 2 << SEQ_BITS)
    )
    while later.trim(time.time_ns()):
        pass
    assert seqs(later) == [1]
    last = Position(EPOCH + 1, 1)
    assert not later.read(Position(EPOCH, 101), last, 10).truncated
    assert later.read(Position(EPOCH, 100), last, 10).truncated
    later.close()


def test_what_a_process_left_open_is_handed_to_the_next_start_until_it_is_closed(tmp_path: Path) -> None:
    began_utc_ns = time.time_ns()
    first = opened(tmp_path)
    first.commit(EPOCH, Group([], [("i1", b"one"), ("i2", b"two"), ("i3", b"three")]))
    first.commit(EPOCH, Group([row(1, closes="i2")]))
    first.close()
    second = JournalFile(tmp_path, Settings(), "p", "l")
    reopened = second.open(EPOCH + 5, is_first=True, may_raise=True)
    left = reopened.unfinished
    assert [record for _, record in left] == [b"one", b"three"]
    assert began_utc_ns <= reopened.newest_utc_ns <= time.time_ns()
    second.commit(EPOCH + 5, Group([row(1, closes_earlier=left[0][0])]))
    second.commit(EPOCH + 5, Group([row(2, closes="i1")]))  # its own i1, and not the earlier start's
    second.close()
    third = JournalFile(tmp_path, Settings(), "p", "l")
    assert [r for _, r in third.open(EPOCH + 9, is_first=True, may_raise=True).unfinished] == [b"three"]
    third.close()


def test_a_part_whose_id_comes_again_is_left_open_though_the_one_before_it_is_closed(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.commit(EPOCH, Group([], [("t4711", b"before")]))
    first.commit(EPOCH, Group([row(1, closes="t4711")], [("t4711", b"again")]))
    first.close()
    second = JournalFile(tmp_path, Settings(), "p", "l")
    left = second.open(EPOCH + 1, is_first=True, may_raise=True).unfinished
    assert [record for _, record in left] == [b"again"]
    second.close()


def test_writing_all_that_is_open_forgets_what_was_open_in_this_epoch_alone(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.commit(EPOCH, Group([], [("i1", b"earlier")]))
    first.close()
    second = opened(tmp_path, EPOCH + 1)
    second.commit(EPOCH + 1, Group([], [("i1", b"gone"), ("i2", b"stays")]))
    second.commit(EPOCH + 1, Group([], [("i2", b"stays")], all_open=True))
    second.close()
    third = JournalFile(tmp_path, Settings(), "p", "l")
    left = third.open(EPOCH + 2, is_first=True, may_raise=True).unfinished
    assert [record for _, record in left] == [b"earlier", b"stays"]
    third.close()


def test_old_verdicts_go_a_few_at_a_time_and_their_absence_is_told(tmp_path: Path) -> None:
    file = opened(tmp_path, days=1)
    file.commit(EPOCH, Group([row(n) for n in range(1, 501)]))
    now_ns = time.time_ns()
    assert not file.trim(now_ns)
    file._open_connection().execute("UPDATE verdict SET utc_ns = utc_ns - ?", (2 * 86_400 * 10**9,))
    assert file.trim(now_ns)
    assert seqs(file)[0] == 201
    while file.trim(now_ns):
        pass
    assert seqs(file) == [500], "the newest stays: the next start measures itself by it"
    reading = file.read(Position(EPOCH, 100), Position(EPOCH, 500), 10)
    assert (reading.truncated, reading.oldest) == (True, Position(EPOCH, 500))
    assert not file.read(Position(EPOCH, 500), Position(EPOCH, 500), 10).truncated
    file.close()
    opened(tmp_path, EPOCH + 1).close()


def test_a_clock_that_leaps_ahead_removes_nothing_and_is_told(tmp_path: Path) -> None:
    file = opened(tmp_path, days=30)
    file.commit(EPOCH, Group([row(n) for n in range(1, 501)]))
    leapt_ns = time.time_ns() + 40 * 86_400 * 10**9
    assert not file.trim(leapt_ns)
    assert len(seqs(file)) == 500
    assert file.levels().clock_ahead_ns > 39 * 86_400 * 10**9
    file.close()
    again = JournalFile(tmp_path, Settings(days=30), "p", "l")  # started while the clock is wrong
    again.open(EPOCH + 1, is_first=True, may_raise=True)
    assert not again.trim(leapt_ns)
    assert again.levels().clock_ahead_ns > 39 * 86_400 * 10**9
    assert not again.trim(time.time_ns())
    assert again.levels().clock_ahead_ns == 0
    again.close()


def test_a_restart_does_not_make_a_clock_believed_that_leapt_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead_ns = [0]
    clock = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: clock() + ahead_ns[0])
    file = opened(tmp_path, days=30)
    file.commit(EPOCH, Group([row(n) for n in range(1, 501)]))
    ahead_ns[0] = 40 * 86_400 * 10**9
    file.commit(EPOCH, Group([row(501)]))
    file.close()
    for start in (1, 2):
        file = JournalFile(tmp_path, Settings(days=30), "p", "l")
        file.open(EPOCH + start, is_first=True, may_raise=True)
        file.commit(EPOCH + start, Group([row(1)]))
        assert not file.trim(time.time_ns())
        assert seqs(file)[:500] == list(range(1, 501))
        assert file.levels().clock_ahead_ns > 39 * 86_400 * 10**9
        file.close()
    ahead_ns[0] = 0  # put right
    file = JournalFile(tmp_path, Settings(days=30), "p", "l")
    file.open(EPOCH + 3, is_first=True, may_raise=True)
    file.commit(EPOCH + 3, Group([row(1)]))
    assert file.levels().clock_ahead_ns <= 0
    assert file._open_connection().execute("SELECT * FROM believed").fetchall() == []
    file.close()


def test_a_time_that_was_believed_before_an_earlier_version_ran_is_none(tmp_path: Path) -> None:
    file = opened(tmp_path, days=30)
    file.commit(EPOCH, Group([row(1), row(2)]))
    file.close()
    long_ago_ns = time.time_ns() - 60 * 86_400 * 10**9
    with sqlite3.connect(tmp_path / NAME) as connection:
        newest = connection.execute("SELECT max(id) FROM verdict").fetchone()[0]
        connection.execute("INSERT INTO believed VALUES (?, ?, 5)", (newest - 1, long_ago_ns))
    connection.close()
    file = opened(tmp_path, EPOCH + 1, days=30)
    assert not file.trim(time.time_ns())
    assert file.levels().clock_ahead_ns == 0
    file.commit(EPOCH + 1, Group([row(1)]))
    assert file._open_connection().execute("SELECT * FROM believed").fetchall() == []
    file.close()


def test_what_is_not_old_stays_where_a_few_before_it_are_old(tmp_path: Path) -> None:
    file = opened(tmp_path, days=7)
    file.commit(EPOCH, Group([row(n) for n in range(1, 201)]))
    day_ns = 86_400 * 10**9
    file._open_connection().execute("UPDATE verdict SET utc_ns = (id & 0xffff) * ?", (day_ns // 20,))
    assert not file.trim(10 * day_ns), "no more are old, so the rows can be checked"
    assert seqs(file) == list(range(60, 201))
    file.close()


def test_a_journal_that_grows_too_large_loses_its_oldest_and_its_file_stays_bounded(tmp_path: Path) -> None:
    file = opened(tmp_path, max_mb=1)
    for n in range(40):
        file.commit(EPOCH, Group([row(n * 100 + i + 1, size=1000) for i in range(100)]))
        while file.trim(time.time_ns()):
            pass
    assert seqs(file)[-1] == 4000
    assert seqs(file)[0] > 2500
    assert file.levels().size_bytes < 1.3e6
    file.close()
    assert (tmp_path / NAME).stat().st_size < 2e6


def test_a_second_daemon_cannot_have_it(journal: JournalFile, tmp_path: Path) -> None:
    pid = os.fork()  # locks are a process's: the second daemon is another one
    if pid == 0:
        try:
            JournalFile(tmp_path, Settings(), "p", "l").open(EPOCH, is_first=True, may_raise=True)
        except BlockingIOError:
            os._exit(17)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 17


def test_an_epoch_the_file_knows_later_ones_of_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(NotOursError, match="holds epochs after"):
        JournalFile(tmp_path, Settings(), "p", "l").open(EPOCH - 1, is_first=True, may_raise=False)


# --- damage -------------------------------------------------------------------------------------------------


def written(folder: Path, rows: int = 400) -> bytes:
    """A closed journal, as a stopped daemon leaves it."""
    file = opened(folder)
    for begin in range(1, rows + 1, 20):
        file.commit(EPOCH, Group([row(n) for n in range(begin, begin + 20)]))
    file.close()
    file.mark.close()
    return (folder / NAME).read_bytes()


def outcome(folder: Path, rows: int = 400) -> str:
    """`noticed`, or `intact`: every verdict is there to the byte. Anything else is a failed test."""
    file = JournalFile(folder, Settings(), "p", "l")
    try:
        file.open(EPOCH + 1, is_first=True, may_raise=True)
        stored = file.read(None, Position(EPOCH, rows), 10_000).verdicts
    except (CorruptError, sqlite3.DatabaseError):
        return "noticed"
    finally:
        file.close()
        file.mark.close()
    assert [(s.position.seq, s.header) for s in stored] == [(n, row(n).header) for n in range(1, rows + 1)]
    return "intact"


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_bit_anywhere_is_noticed_or_harmless(tmp_path: Path, seed: int) -> None:
    whole = written(tmp_path)
    rng, outcomes = random.Random(seed), []
    for _ in range(25):
        place = rng.randrange(len(whole) * 8)
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        (tmp_path / NAME).write_bytes(damaged)
        for log in (f"{NAME}-wal", f"{NAME}-shm"):
            (tmp_path / log).unlink(missing_ok=True)
        outcomes.append(outcome(tmp_path))
    assert outcomes.count("noticed") > 10, "most of the file is verdicts"


def test_a_file_that_was_cut_is_noticed_wherever(tmp_path: Path) -> None:
    whole = written(tmp_path)
    rng = random.Random(0)
    for size in [0, 1, 100, 4096, *(rng.randrange(len(whole)) for _ in range(20))]:
        (tmp_path / NAME).write_bytes(whole[:size])
        for log in (f"{NAME}-wal", f"{NAME}-shm"):
            (tmp_path / log).unlink(missing_ok=True)
        assert outcome(tmp_path) == "noticed", size


def killed(folder: Path) -> None:
    """A journal as a killed daemon leaves it: most of it in the log beside the file."""
    pid = os.fork()
    if pid == 0:
        file = opened(folder)
        for begin in range(1, 81, 4):
            file.commit(EPOCH, Group([row(n) for n in range(begin, begin + 4)]))
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert (folder / f"{NAME}-wal").stat().st_size > 10_000


def test_a_kill_loses_nothing_that_was_committed(tmp_path: Path) -> None:
    killed(tmp_path)
    assert outcome(tmp_path, 80) == "intact"


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_log_is_noticed_by_the_mark(tmp_path: Path, damage: str) -> None:
    """SQLite takes a log that ends too early for one that ends there."""
    killed(tmp_path)
    log = tmp_path / f"{NAME}-wal"
    content = bytearray(log.read_bytes())
    if damage == "cut":
        log.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 4
        log.write_bytes(content)
    else:
        log.unlink()
    assert outcome(tmp_path, 80) == "noticed"


def test_a_journal_that_is_gone_is_noticed_by_the_mark(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / NAME).unlink()
    assert outcome(tmp_path) == "noticed"


def test_a_damaged_mark_hides_nothing_and_stops_nothing(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "journal.mark").write_bytes(b"\xff" * 65)
    assert outcome(tmp_path) == "intact"


def test_a_foreign_database_is_no_journal(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("CREATE TABLE verdict (id INTEGER)")
    connection.close()
    with pytest.raises(CorruptError, match="is not a journal"):
        opened(tmp_path)


def test_a_remnant_that_cannot_be_deleted_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        (tmp_path / f"{NAME}.corrupt-{number}Z").write_bytes(b"")
    (tmp_path / f"{NAME}.corrupt-0Z").unlink()
    (tmp_path / f"{NAME}.corrupt-0Z").mkdir()  # no file
    forget_oldest(tmp_path / NAME)
    assert sorted(path.name[-2] for path in tmp_path.glob(f"{NAME}.corrupt-*Z")) == ["0", "2", "3", "4"]
    assert "journal_remnant_stuck" in caplog.text


def test_a_damaged_file_is_set_aside_and_a_new_one_begun_under_a_later_epoch(tmp_path: Path) -> None:
    whole = written(tmp_path)
    file = JournalFile(tmp_path, Settings(), "p", "l")
    for _ in range(5):
        (tmp_path / NAME).write_bytes(whole[:5000])
        with pytest.raises(CorruptError):
            file.open(EPOCH + 1, is_first=True, may_raise=True)
        aside = file.set_aside()
        assert aside.read_bytes() == whole[:5000]
    assert len(list(tmp_path.glob(f"{NAME}.corrupt-*Z"))) == 3, "only the newest few are kept"
    assert file.open(EPOCH + 1, is_first=True, may_raise=True).unfinished == []
    assert seqs(file) == []
    assert file.mark.read().epoch >= EPOCH
    file.close()
    file.mark.close()


def test_damage_while_it_runs_is_found_by_the_scrub(journal: JournalFile, tmp_path: Path) -> None:
    for begin in range(1, 2001, 50):
        journal.commit(EPOCH, Group([row(n, 900) for n in range(begin, begin + 50)]))
    journal._open_connection().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for _ in range(12):
        journal.scrub()  # all is well, twice round
    # Another process damages it: in this one, closing a second descriptor would drop SQLite's lock.
    pid = os.fork()
    if pid == 0:
        with (tmp_path / NAME).open("r+b") as target:
            target.seek(1_000_000)
            target.write(b"?" * 4000)
        os._exit(0)
    os.waitpid(pid, 0)

    def twice_round() -> None:
        for _ in range(24):
            journal.scrub()

    with pytest.raises((CorruptError, sqlite3.DatabaseError)):
        twice_round()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE open SET key = CAST(key AS BLOB) WHERE key LIKE '%i2'",
        "UPDATE open SET record = CAST(record AS TEXT)",
        "UPDATE trimmed SET id = ''",
        "DELETE FROM trimmed",
    ],
)
def test_a_value_of_another_type_is_damage_at_the_start(tmp_path: Path, damage: str) -> None:
    file = opened(tmp_path)
    file.commit(EPOCH, Group([row(1)], [("i1", b"one"), ("i2", b"two")]))
    file._open_connection().execute(damage)
    file.close()
    with pytest.raises(CorruptError, match="not what was written"):
        opened(tmp_path, EPOCH + 1)


@pytest.mark.parametrize("work", [lambda file: file.trim(time.time_ns()), JournalFile.levels])
def test_a_time_of_another_type_is_damage(
    journal: JournalFile, work: Callable[[JournalFile], object]
) -> None:
    journal.commit(EPOCH, Group([row(1), row(2)]))
    journal._open_connection().execute("UPDATE verdict SET utc_ns = 'then'")
    with pytest.raises(CorruptError, match="'then', which is not what was written"):
        work(journal)


def test_a_file_that_was_taken_away_while_it_runs_is_noticed(journal: JournalFile, tmp_path: Path) -> None:
    journal.commit(EPOCH, Group([row(1)]))
    journal.scrub()
    (tmp_path / NAME).rename(tmp_path / "elsewhere")
    with pytest.raises(CorruptError, match="removed or replaced"):
        journal.scrub()


def test_a_file_that_came_in_its_place_while_it_runs_keeps_its_name(
    journal: JournalFile, tmp_path: Path
) -> None:
    journal.commit(EPOCH, Group([row(1)]))
    found = written(tmp_path / "disk")
    (tmp_path / "disk" / NAME).replace(tmp_path / NAME)
    for work in (
        journal.scrub,
        journal.set_aside,
        lambda: journal.open(EPOCH, is_first=False, may_raise=False),
    ):
        with pytest.raises(NotOursError, match="restart the line"):
            work()
    assert (tmp_path / NAME).read_bytes() == found
    assert [stored.position.seq for stored in journal.read(None, Position(EPOCH, 9), 9).verdicts] == [1]


def test_the_log_of_the_journal_before_is_not_played_into_a_copy_that_is_put_back(tmp_path: Path) -> None:
    copy = written(tmp_path / "copy")
    file = opened(tmp_path / "state")
    for begin in range(1, 81, 4):
        file.commit(EPOCH + 1, Group([row(n) for n in range(begin, begin + 4)]))
    (tmp_path / "put_back").write_bytes(copy)
    (tmp_path / "put_back").rename(tmp_path / "state" / NAME)
    with pytest.raises(NotOursError):
        file.scrub()
    file.close()
    file.mark.close()
    assert sorted(each.name for each in (tmp_path / "state").iterdir() if "wal" in each.name) == [
        f"{NAME}-wal.of-the-one-before"
    ]
    (tmp_path / "state" / MARK_NAME).unlink()
    assert outcome(tmp_path / "state") == "intact"
