"""The file by itself: retention in steps, one transaction for rows and cursor, what questions may cost."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from support.messages import EPOCH
from support.page_history import OF_LINE, START_MS, Filled, cursor, made

from inspectd.client import LossReason, Lost, Position, Verdict
from inspectd.errors import UnavailableError
from inspectd.page.history import queries
from inspectd.page.history.asking import HistoryQuestions, NotAnsweredError
from inspectd.page.history.filler import HistoryFiller, HistoryLimits, HistorySource
from inspectd.page.history.filters import Filter
from inspectd.page.history.history import History
from inspectd.page.history.live_notes import DriftSample
from inspectd.page.history.metrics import HistoryCollector
from inspectd.page.history.schema import FILE, HistoryDamagedError
from inspectd.page.history.store import Batch, HistoryStore
from inspectd.page.history.time_order import TimeOrder

DAY_MS = 86_400_000


def count(filled: Filled, table: str = "verdict") -> int:
    return int(filled.store._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_old_rows_go_in_steps_and_the_history_says_from_when_on_it_is_complete(filled: Filled) -> None:
    filled.write([made(seq, START_MS + seq * DAY_MS) for seq in range(1, 101)])
    assert filled.ask(queries.complete_from_ms) == START_MS + DAY_MS
    before = START_MS + 51 * DAY_MS
    assert [filled.store.prune(before, 10**12, 20) for _ in range(4)] == [20, 20, 10, 0]
    assert count(filled) == 50
    assert filled.ask(queries.complete_from_ms) == START_MS + 50 * DAY_MS + 1
    (oldest,) = filled.store._connection.execute("SELECT min(start_ms) FROM agg").fetchone()
    assert oldest >= before - DAY_MS


def test_too_many_bytes_take_the_oldest_and_leave_the_counts(filled: Filled) -> None:
    filled.write([made(seq, START_MS + seq * 1000, part_id="x" * 64) for seq in range(1, 3001)])
    aggregated = count(filled, "agg")
    limit = filled.store.used_bytes // 2
    while filled.store.prune(0, limit, 200):
        filled.store.give_back(10_000)
    assert filled.store.used_bytes <= limit
    assert 500 < count(filled) < 2000
    assert filled.path.stat().st_size < 1.5 * limit
    assert count(filled, "agg") == aggregated
    rows, _ = filled.ask(lambda connection: queries.page(connection, Filter(), None, 1))
    assert rows[0].decided_ms == START_MS + 3_000_000


def test_a_batch_that_fails_leaves_neither_rows_nor_cursor(filled: Filled) -> None:
    filled.write([made(1, START_MS)])
    filled.store._connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON gap BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    lost = Lost(Position(EPOCH, 2), Position(EPOCH, 4), 1, LossReason.MISSING)
    with pytest.raises(sqlite3.IntegrityError):
        filled.store.write(Batch([made(2, START_MS + 1), lost], cursor(3)))
    filled.store.close()
    again = HistoryStore(filled.path)
    assert again.cursor == cursor(1)
    assert again._connection.execute("SELECT count(*), max(seq) FROM verdict").fetchone() == (1, 1)
    again.close()


def test_counts_that_take_most_of_the_room_go_before_verdicts_do_and_are_told(
    filled: Filled, caplog: pytest.LogCaptureFixture
) -> None:
    for minute in range(0, 10_000, 500):
        filled.write([made(seq + 1, START_MS + seq * 60_000) for seq in range(minute, minute + 500)])
    limits = HistoryLimits(max_bytes=1_000_000)
    filler = HistoryFiller(
        filled.path, HistorySource("ipc://none", "ipc://none", OF_LINE), limits, clock=lambda: START_MS
    )
    while filler._prune(filled.store):
        pass
    kept, counted = filled.store._connection.execute(
        "SELECT (SELECT min(decided_ms) FROM verdict), (SELECT min(start_ms) FROM agg WHERE step_ms = 60000)"
    ).fetchone()
    assert filled.store.used_bytes <= limits.max_bytes
    assert count(filled) > 500
    assert START_MS < counted < kept  # trends reach further back than the list all the same
    assert [record.getMessage() for record in caplog.records] == ["history_counts_removed"]


def test_one_verdict_dated_ahead_does_not_let_counts_take_all_of_the_room(filled: Filled) -> None:
    filled.write([made(1, START_MS + 300 * DAY_MS)])  # it stays, whatever else is removed
    for first in range(0, 8_000, 500):
        filled.write([made(seq + 2, START_MS + seq * 60_000) for seq in range(first, first + 500)])
        while filled.store.prune(0, 1_000_000, 200):
            filled.store.give_back(10_000)
    assert filled.store.counts_removed > 0
    assert count(filled) > 500
    filled.store.close()
    filled.store = HistoryStore(filled.path)
    assert filled.store._verdicts == count(filled)


def test_who_listens_is_noted_anew_after_the_note_was_removed(filled: Filled) -> None:
    filled.write([], heard_ms=60_000)  # before the clock of the page's host was set
    filled.store.prune(START_MS - 400 * DAY_MS, 10**12, 1000)
    for minute in range(10):
        filled.write([], heard_ms=START_MS + minute * 60_000)
    (heard,) = filled.store._connection.execute("SELECT from_ms, to_ms FROM heard")
    assert heard == (START_MS, START_MS + 540_000)


def test_a_verdict_that_comes_again_counts_once(filled: Filled) -> None:
    assert filled.store.write(Batch([made(1, START_MS), made(1, START_MS)], cursor(1))) == 1
    assert filled.store.write(Batch([made(1, START_MS)], cursor(1))) == 0
    assert filled.store._connection.execute("SELECT sum(n) FROM agg").fetchone()[0] == 4  # one for each step


def test_a_gap_ends_with_the_next_verdict_and_is_open_until_then(filled: Filled) -> None:
    lost = Lost(Position(EPOCH, 1), Position(EPOCH, 9), 7, LossReason.TRUNCATED)
    filled.write([made(1, START_MS), lost])
    shown = filled.client(clock=lambda: START_MS + 500).get("/api/verdicts").json()["gaps"]
    assert shown == [{"from_ms": START_MS, "to_ms": START_MS + 500, "why": "truncated", "count": 7}]
    filled.write([made(9, START_MS + 90)])
    shown = filled.client(clock=lambda: START_MS + 500).get("/api/verdicts").json()["gaps"]
    assert shown == [{"from_ms": START_MS, "to_ms": START_MS + 90, "why": "truncated", "count": 7}]
    asked = filled.client().get(f"/api/verdicts?from_ms={START_MS + 91}").json()
    assert asked["gaps"] == []


def test_a_gap_that_is_filled_later_shrinks_and_leaves_what_is_lost(filled: Filled) -> None:
    first, *between, last = [made(seq, START_MS + 1000 * seq) for seq in range(1, 11)]
    lost = Lost(Position(EPOCH, 1), Position(EPOCH, 10), 8, LossReason.UNANSWERED)
    filled.write([first, lost])
    assert filled.store.unanswered() is None  # until when it reaches is not known yet
    filled.write([last])
    kept = filled.store.cursor, filled.store.last_ms

    def shown() -> list[tuple[str, int]]:
        return [(gap["why"], gap["count"]) for gap in filled.client().get("/api/verdicts").json()["gaps"]]

    gap = filled.store.unanswered()
    assert gap is not None
    assert filled.store.fill(gap, between[:3], is_done=False) == 3
    gap = filled.store.unanswered()
    assert gap is not None
    assert (gap.after, shown()) == (Position(EPOCH, 4), [("unanswered", 5)])
    missing = Lost(Position(EPOCH, 4), Position(EPOCH, 7), 2, LossReason.MISSING)
    assert filled.store.fill(gap, [missing, *between[5:]], is_done=True) == 3
    assert (filled.store.unanswered(), shown()) == (None, [("missing", 2)])
    assert (filled.store.cursor, filled.store.last_ms) == kept


def test_a_clock_that_is_set_back_hides_no_gap_and_no_change_of_recipe(filled: Filled) -> None:
    hour_ms = 3_600_000
    filled.write([made(1, START_MS + hour_ms), made(2, START_MS + hour_ms, recipe="other")])
    filled.write([Lost(Position(EPOCH, 2), Position(EPOCH, 9), 6, LossReason.TRUNCATED)])
    filled.write([made(9, START_MS, recipe="third"), made(10, START_MS + 1, recipe="third")])
    between = f"from_ms={START_MS + hour_ms // 4}&to_ms={START_MS + hour_ms // 2}"
    (gap,) = filled.client().get(f"/api/verdicts?{between}").json()["gaps"]
    assert (gap["from_ms"], gap["to_ms"]) == (START_MS, START_MS + hour_ms)
    marks = filled.store._connection.execute(
        "SELECT ms FROM mark WHERE kind = 'recipe' ORDER BY id"
    ).fetchall()
    assert marks == [(START_MS + hour_ms,), (START_MS,)]


def test_a_history_without_verdicts_is_behind_no_clock(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path / FILE)
    source = HistorySource(f"ipc://{tmp_path}/verdicts.sock", f"ipc://{tmp_path}/sync.sock", OF_LINE)
    HistoryFiller(tmp_path / FILE, source, HistoryLimits(days=400))._prune(store)
    assert store.believed is None
    store.close()


def test_a_clock_that_leaps_ahead_removes_nothing(filled: Filled, tmp_path: Path) -> None:
    now_ms = [START_MS]
    source = HistorySource(f"ipc://{tmp_path}/verdicts.sock", f"ipc://{tmp_path}/sync.sock", OF_LINE)
    filler = HistoryFiller(filled.path, source, HistoryLimits(days=400), clock=lambda: now_ms[0])
    filled.write([made(seq, START_MS + seq) for seq in range(1, 11)])
    filler._prune(filled.store)
    now_ms[0] += 500 * DAY_MS  # of the host that both the line and the page are on
    filled.write([made(11, now_ms[0])])
    filler._prune(filled.store)
    assert (count(filled), count(filled, "agg")) == (11, 8)
    filled.store.close()
    filled.store = HistoryStore(filled.path)  # as the page's next start finds it, the clock still ahead
    again = HistoryFiller(filled.path, source, HistoryLimits(days=400), clock=lambda: now_ms[0])
    again._prune(filled.store)
    assert (count(filled), count(filled, "agg")) == (11, 8)
    now_ms[0] = START_MS + DAY_MS  # and put right
    HistoryFiller(filled.path, source, HistoryLimits(days=400), clock=lambda: now_ms[0])._prune(filled.store)
    assert filled.store.believed is None


def test_verdicts_that_come_older_than_is_kept_are_counted_and_told_as_they_double(
    filled: Filled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By a line whose clock is behind."""
    filler, order = seven_days(filled, tmp_path), TimeOrder(7 * DAY_MS, None)

    def come(items: list[Verdict], added: int) -> None:
        filler._count_too_old(items, added, order, START_MS)

    for first in (1, 11, 21):
        items = [made(first, START_MS)] + [made(first + i, START_MS - 300 * DAY_MS) for i in range(1, 10)]
        come(items, filled.store.write(Batch(items, cursor(first + 9))))
    come(items, 0)  # read again
    assert filler.state.too_old == 27
    assert [record.getMessage() for record in caplog.records].count("verdicts_too_old") == 2  # of 9, 18


def test_what_a_page_that_begins_reads_of_a_longer_journal_is_laid_to_no_clock(
    filled: Filled, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filler, order = seven_days(filled, tmp_path), TimeOrder(7 * DAY_MS, None)
    items = [made(day + 1, START_MS - (30 - day) * DAY_MS) for day in range(30)]
    filler._count_too_old(items, filled.store.write(Batch(items, cursor(30))), order, START_MS)
    assert (filler.state.too_old, caplog.records) == (0, [])
    assert filled.store.newest_ms(START_MS - 3 * DAY_MS) == START_MS - 3 * DAY_MS


def seven_days(filled: Filled, folder: Path) -> HistoryFiller:
    source = HistorySource(f"ipc://{folder}/verdicts.sock", f"ipc://{folder}/sync.sock", OF_LINE)
    return HistoryFiller(filled.path, source, HistoryLimits(days=7), clock=lambda: START_MS)


def test_no_more_questions_wait_than_may_and_none_is_answered_late(tmp_path: Path, filled: Filled) -> None:
    filled.write([made(1, START_MS)])
    release = threading.Event()
    questions = HistoryQuestions(filled.path, OF_LINE, lambda: None, threads=1, most_waiting=1)

    async def flood() -> list[object]:
        asked = [asyncio.ensure_future(questions.ask(lambda _: release.wait(5))) for _ in range(3)]
        await asyncio.sleep(0)
        asked[0].cancel()  # who goes away frees nothing before its time
        with pytest.raises(NotAnsweredError) as refused:
            await questions.ask(lambda _: None)
        release.set()
        return [refused.value.what, *await asyncio.gather(*asked, return_exceptions=True)]

    what, gone, second, third = asyncio.run(flood())
    assert what == "busy"
    assert isinstance(gone, asyncio.CancelledError)
    assert second is True
    assert isinstance(third, NotAnsweredError)
    questions.close()


def test_an_answer_is_of_one_moment_though_rows_are_removed_meanwhile(filled: Filled) -> None:
    filled.write([made(seq, START_MS + seq) for seq in range(1, 11)])

    def question(connection: sqlite3.Connection) -> list[int]:
        first = queries.page(connection, Filter(), None, 5)
        with sqlite3.connect(filled.path) as writer:
            writer.execute("DELETE FROM verdict")
        rows, _ = queries.page(connection, Filter(), first[1], 100)
        return [row.id for row in (*first[0], *rows)]

    assert len(filled.ask(question)) == 10
    assert filled.ask(lambda connection: queries.page(connection, Filter(), None, 5)) == ([], None)


def test_a_question_without_end_is_ended(filled: Filled) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    questions = HistoryQuestions(filled.path, OF_LINE, lambda: None, seconds=0.05)
    with pytest.raises(NotAnsweredError, match="took more than"):
        asyncio.run(questions.ask(lambda connection: connection.execute(endless).fetchall()))
    with pytest.raises(NotAnsweredError, match="readonly"):
        asyncio.run(questions.ask(lambda connection: connection.execute("DELETE FROM verdict")))
    questions.close()


def test_a_file_of_another_version_is_none_of_ours(filled: Filled) -> None:
    filled.store._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryDamagedError, match="version 99"):
        HistoryStore(filled.path)


def test_what_was_heard_live_as_the_disk_ran_full_is_written_once_there_is_room(tmp_path: Path) -> None:
    source = HistorySource(f"ipc://{tmp_path}/verdicts.sock", f"ipc://{tmp_path}/sync.sock", OF_LINE)
    free = iter([10**12, 0])  # there is room as the file is opened, and none as the first turn is written
    filler = HistoryFiller(
        tmp_path / FILE, source, HistoryLimits(), free_bytes=lambda _: next(free, 10**12), retry_seconds=0.01
    )

    def written(count: int) -> None:
        until = time.monotonic() + 20
        while samples(tmp_path / FILE) != count:
            assert time.monotonic() < until
            time.sleep(0.01)

    for number in range(5):
        filler._put(DriftSample(START_MS + number * 400_000, "top", "", {"light": 0.5}))
    filler.start()
    written(5)
    assert (filler.state.failures, filler.state.dropped) == (1, 0)
    filler._put(DriftSample(2**70, "top", "", {"light": 0.5}))  # no disk takes that
    filler._put(DriftSample(START_MS - 400_000, "top", "", {"light": 0.5}))
    until = time.monotonic() + 20
    while not filler.state.dropped:
        assert time.monotonic() < until
        time.sleep(0.01)
    filler._put(DriftSample(START_MS - 800_000, "top", "", {"light": 0.5}))
    written(7 - filler.state.dropped + 1)
    filler.close()


def samples(path: Path) -> int:
    try:
        with sqlite3.connect(path) as connection:
            return int(connection.execute("SELECT count(*) FROM drift").fetchone()[0])
    except sqlite3.Error:  # it is being made
        return 0


def test_a_line_that_is_silent_is_connected_to_anew(tmp_path: Path) -> None:
    source = HistorySource(f"ipc://{tmp_path}/verdicts.sock", f"ipc://{tmp_path}/sync.sock", OF_LINE)
    filler = HistoryFiller(tmp_path / FILE, source, HistoryLimits(min_free_bytes=0), silent_seconds=0.01)
    filler.start()
    until = time.monotonic() + 20
    while filler.state.connections < 3:
        assert time.monotonic() < until
        time.sleep(0.01)
    filler.close()
    assert (filler.state.failures, filler.state.problem) == (0, "")


@pytest.mark.parametrize("content", [b"not a database at all" * 100, b"", b"SQLite format 3\0" + bytes(4080)])
def test_what_is_no_history_is_told_from_a_disk_that_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(HistoryDamagedError):
        HistoryStore(tmp_path / FILE)


def test_a_folder_has_one_page_and_every_metric_is_there_from_the_start(tmp_path: Path) -> None:
    source = HistorySource(f"ipc://{tmp_path}/verdicts.sock", f"ipc://{tmp_path}/sync.sock", OF_LINE)
    history = History(tmp_path / "history", source)
    with pytest.raises(UnavailableError, match="another page"):
        History(tmp_path / "history", source)
    found = {sample.name for metric in HistoryCollector(history).collect() for sample in metric.samples}
    page = (Path(__file__).parents[3] / "docs" / "page_history.md").read_text()
    assert all(f"`{name}`" in page for name in found)
    history.close()
    History(tmp_path / "history", source).close()
