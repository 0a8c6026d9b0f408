"""A real line fills the history: each verdict once, through kills, damage, full disks and a short journal."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.daemon import Daemon, camera_table, settings
from support.disks import needs_root, tmpfs
from support.page_history import START_MS, Filled, made

from inspectd.client import Truncated, replay
from inspectd.errors import InputError
from inspectd.page.history.asking import NotAnsweredError
from inspectd.page.history.filler import HistoryFiller, HistoryLimits, HistorySource
from inspectd.page.history.history import History
from inspectd.page.history.schema import FILE

_FILL = """
import sys, threading
from pathlib import Path
from inspectd.page.history.history import History
from inspectd.page.history.filler import HistorySource
history = History(Path(sys.argv[1]), HistorySource(*sys.argv[2:4], tuple(sys.argv[4:6])))
history.start()
threading.Event().wait()
"""


def line(bank: Path, folder: Path, extra: str = "") -> str:
    return settings(bank, camera_table("cam", folder, fps=40, shuffle_seed=1), extra=extra)


def source(daemon: Daemon) -> HistorySource:
    ends = f"ipc://{daemon.runtime_dir}/verdicts.sock", f"ipc://{daemon.runtime_dir}/sync.sock"
    return HistorySource(*ends, ("test", "line"))


def names(folder: Path) -> list[tuple[int, int]]:
    with sqlite3.connect(folder / FILE) as connection:
        return connection.execute("SELECT epoch, seq FROM verdict ORDER BY id").fetchall()


def is_whole(folder: Path, daemon: Daemon) -> bool:
    """Every verdict up to the last one in the file is there, once, in order."""
    rows = names(folder)
    daemon.until(lambda: daemon.reader.verdicts[-1].seq >= rows[-1][1])
    return rows == [(verdict.epoch, verdict.seq) for verdict in daemon.reader.verdicts][: len(rows)]


@contextmanager
def filling(folder: Path, daemon: Daemon, **more: object) -> Iterator[HistoryFiller]:
    folder.mkdir(exist_ok=True)
    filler = HistoryFiller(folder / FILE, source(daemon), HistoryLimits(min_free_bytes=0), **more)
    filler.start()
    try:
        yield filler
    finally:
        filler.close()


def counted(folder: Path) -> int:
    try:
        with sqlite3.connect(folder / FILE) as connection:
            return int(connection.execute("SELECT count(*) FROM verdict").fetchone()[0])
    except sqlite3.Error:
        return 0


def gaps(folder: Path) -> list[tuple[int, int, str]]:
    with sqlite3.connect(folder / FILE) as connection:
        return connection.execute("SELECT after_seq, before_seq, why FROM gap ORDER BY id").fetchall()


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, small_mixed) -> Daemon:
    return start_shared_daemon(line(stub_bank, small_mixed)).ready()


def test_each_verdict_is_there_once_however_often_the_page_is_killed(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "history"
    where = source(daemon)
    for kill in range(3):
        at_least = counted(folder)
        arguments = str(folder), where.verdicts, where.sync, *where.line
        child = subprocess.Popen([sys.executable, "-c", _FILL, *arguments])
        daemon.until(lambda least=at_least: counted(folder) > least + 15)
        child.send_signal(signal.SIGKILL)
        child.wait()
        daemon.reader.read(50 * kill)
    assert is_whole(folder, daemon)
    with sqlite3.connect(folder / FILE) as connection:
        assert connection.execute("SELECT count(*) FROM gap").fetchone()[0] == 0
        for step in connection.execute("SELECT sum(n) FROM agg GROUP BY step_ms").fetchall():
            assert step == (counted(folder),)


def test_a_file_that_is_deleted_or_damaged_is_filled_anew(daemon: Daemon, tmp_path: Path) -> None:
    folder = tmp_path / "history"
    file = folder / FILE

    def fills() -> None:
        with filling(folder, daemon, retry_seconds=0.05) as filler:
            daemon.until(lambda: filler.state.written > 10)
            assert filler.state.problem == ""
        assert is_whole(folder, daemon)

    with filling(folder, daemon, retry_seconds=0.05) as filler:
        daemon.until(lambda: filler.state.written > 10)
        for part in folder.iterdir():
            part.unlink()
        daemon.until(lambda: counted(folder) > 10)
    fills()
    data = bytearray(file.read_bytes())
    data[:100] = b"x" * 100
    file.write_bytes(data)
    fills()
    assert len(list(folder.glob("*.aside-*Z"))) == 1


def test_a_full_disk_is_said_and_what_it_missed_is_added_later(daemon: Daemon, tmp_path: Path) -> None:
    free = [0]
    with filling(
        tmp_path / "history", daemon, retry_seconds=0.05, free_bytes=lambda _: free[0] - 1
    ) as filler:
        daemon.until(lambda: filler.state.failures > 1 and len(daemon.reader.verdicts) > 10)
        assert filler.state.problem == "disk"
        assert "0 MB are free" in filler.state.detail
        free[0] = 1_000_000_000
        daemon.until(lambda: filler.state.written > 20)
        assert filler.state.problem == ""
    assert is_whole(tmp_path / "history", daemon)


@needs_root
def test_a_disk_that_takes_nothing_more_is_said_and_costs_no_row(daemon: Daemon, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "2m") as small:
        folder = small / "history"
        with filling(folder, daemon, retry_seconds=0.05) as filler:
            daemon.until(lambda: filler.state.written > 5)
            with pytest.raises(OSError, match="No space"):
                (small / "ballast").write_bytes(bytes(4_000_000))
            daemon.until(lambda: filler.state.problem == "disk")
            (small / "ballast").unlink()
            daemon.until(lambda: filler.state.problem == "" and filler.state.written > 10)
        assert is_whole(folder, daemon)
        assert filler.state.set_aside == 0


def test_a_history_of_another_line_is_not_mixed_with_this_one(daemon: Daemon, tmp_path: Path) -> None:
    other = Filled(tmp_path / "history")
    other.write([made(1, START_MS)])
    other.close()
    with filling(tmp_path / "history", daemon, retry_seconds=0.05) as filler:
        daemon.until(lambda: filler.state.problem == "line")
        assert "demo/line1" in filler.state.detail
        assert str(tmp_path) in filler.state.detail
    assert counted(tmp_path / "history") == 1


def test_nothing_of_another_line_behind_the_sockets_is_taken(daemon: Daemon, tmp_path: Path) -> None:
    of_other = replace(source(daemon), line=("test", "line2"))
    history = History(tmp_path, of_other, HistoryLimits(min_free_bytes=0))
    filler = history.filler
    history.start()
    try:
        daemon.until(lambda: filler.state.problem == "line")
        with pytest.raises(NotAnsweredError, match="test/line, expected test/line2") as refused:
            asyncio.run(history.questions.ask(lambda _: None))
        assert refused.value.what == "no_line"
        with pytest.raises(InputError, match="answers for line test/line, expected test/line2"):
            filler._sample()
    finally:
        history.close()
    assert names(tmp_path) == []


def test_what_the_line_did_not_answer_is_asked_for_again_until_it_does(
    daemon: Daemon, tmp_path: Path
) -> None:
    folder, sync = tmp_path / "history", tmp_path / "sync.sock"
    with filling(folder, daemon) as filler:
        daemon.until(lambda: filler.state.written > 10)
    last = names(folder)[-1]
    daemon.until(lambda: daemon.reader.verdicts[-1].seq > last[1] + 50)
    where = replace(source(daemon), sync=f"ipc://{sync}", patience_seconds=0.5)
    filler = HistoryFiller(folder / FILE, where, HistoryLimits(min_free_bytes=0))
    filler.start()
    try:
        daemon.until(lambda: filler.state.gaps and filler.state.written > 5)
        sync.symlink_to(daemon.runtime_dir / "sync.sock")
        daemon.until(lambda: filler.state.filled > 50 and not gaps(folder))
    finally:
        filler.close()
    rows = sorted(names(folder))
    daemon.until(lambda: daemon.reader.verdicts[-1].seq >= rows[-1][1])
    assert rows == [(verdict.epoch, verdict.seq) for verdict in daemon.reader.verdicts][: len(rows)]
    with sqlite3.connect(folder / FILE) as connection:
        assert {n for (n,) in connection.execute("SELECT sum(n) FROM agg GROUP BY step_ms")} == {len(rows)}


def test_what_the_line_no_longer_keeps_is_a_gap_that_is_shown(
    start_daemon, stub_bank, small_mixed, tmp_path: Path
) -> None:
    daemon = start_daemon(line(stub_bank, small_mixed, "[journal]\ndays = 0.00002")).ready()
    folder = tmp_path / "history"
    with filling(folder, daemon) as filler:
        daemon.until(lambda: filler.state.written > 10)
    last = names(folder)[-1]

    def is_forgotten() -> bool:
        first = next(iter(replay(source(daemon).sync)), None)
        return first is not None and not isinstance(first, Truncated) and first.verdict.seq > last[1] + 1

    daemon.until(is_forgotten)
    with filling(folder, daemon) as filler:
        daemon.until(lambda: filler.state.gaps and filler.state.written > 5)
    with sqlite3.connect(folder / FILE) as connection:
        ((after, before, why, from_ms, to_ms),) = connection.execute(
            "SELECT after_seq, before_seq, why, from_ms, to_ms FROM gap"
        ).fetchall()
    assert (after, why) == (last[1], "truncated")
    assert from_ms < to_ms
    rows = names(folder)
    assert (last[0], before) in rows
    assert len(rows) == len(set(rows))
