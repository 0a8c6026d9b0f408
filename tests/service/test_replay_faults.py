"""What becomes of verdicts when the state directory fails: the line goes on, and says so."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.daemon import camera_table, settings
from support.disks import fill, needs_root, remount, tmpfs

from inspectd.client import Lost, Position, VerdictReader
from inspectd.wire import Verdict


def text(bank_file: Path, folder: Path, *, fps: float = 50) -> str:
    patient = "[journal]\nmax_wait_ms = 5000\n"  # a busy machine is no failing disk
    return settings(bank_file, camera_table("cam", folder, fps=fps), extra=patient)


@needs_root
@pytest.mark.parametrize("fault", ["full", "read-only at the start"])
def test_a_state_directory_that_fails_is_an_alarm_and_recording_comes_back(
    start_daemon, stub_bank, small_good, tmp_path, fault: str
):
    with tmpfs(tmp_path / "small", "3m") as state:
        if fault != "full":
            remount(state, writable=False)  # Linux refuses to while anybody has a file open for writing
        daemon = start_daemon(text(stub_bank, small_good), {"STATE_DIRECTORY": str(state)}).ready()
        daemon.until(lambda: len(daemon.reader.verdicts) > 5)
        ballast = fill(state) if fault == "full" else None
        daemon.until(lambda: daemon.reader.event("journal_failed"), 10)
        daemon.until(lambda: daemon.reader.heartbeats[-1].journal == "failed")
        seen = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > seen + 20)
        assert not daemon.reader.verdicts[-1].journaled
        if ballast is not None:
            ballast.unlink()
        else:
            remount(state, writable=True)
        daemon.until(lambda: daemon.reader.event("journal_recovered"), 10)
        daemon.until(lambda: daemon.reader.verdicts[-1].journaled)
        with VerdictReader(f"ipc://{daemon.runtime_dir}/verdicts.sock", start="oldest") as reader:
            got: list[Any] = []
            until = time.monotonic() + 10
            while len(got) < len(daemon.reader.verdicts):
                assert time.monotonic() < until
                item = reader.receive(0.1)
                got += [item] if item else []
        assert daemon.stop() == 0
    live = daemon.reader.verdicts
    assert [v.seq for v in live] == list(range(1, len(live) + 1))
    assert got == live[: len(got)], "what failed to be recorded was recorded later, to the byte"


def test_a_daemon_without_a_state_directory_says_so_and_judges(start_daemon, stub_bank, small_good, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    daemon = start_daemon(text(stub_bank, small_good), {"STATE_DIRECTORY": str(blocked)}).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 5)
    daemon.until(lambda: daemon.reader.event("journal_failed"), 10)
    assert "journal_failed" in daemon.log.read_text()
    assert not any(v.journaled for v in daemon.reader.verdicts)
    assert daemon.stop() == 0


def test_a_journal_damaged_between_two_starts_is_set_aside_and_readers_are_told(
    start_daemon, stub_bank, small_good, tmp_path
):
    """One line is started again and again, each time on a journal that was damaged otherwise."""
    daemon = start_daemon(text(stub_bank, small_good)).ready()
    state, reader = daemon.runtime_dir.parent / "state", daemon.reader
    environment = {"RUNTIME_DIRECTORY": str(daemon.runtime_dir), "STATE_DIRECTORY": str(state)}
    endpoint = f"ipc://{daemon.runtime_dir}/verdicts.sock"
    for damage in ("cut", "flipped", "log cut", "gone"):
        done, cursor = _read_five(endpoint, tmp_path / damage)
        reader.verdicts.clear()
        daemon.until(lambda: len(reader.verdicts) > 60)
        if damage == "log cut":
            daemon.process.kill()
            daemon.process.wait()
        else:
            assert daemon.stop() == 0
        _damage(state / "journal.sqlite", damage)
        reader.events.clear()
        daemon = start_daemon(text(stub_bank, small_good), environment)
        daemon.reader.close()
        daemon.reader = reader
        daemon.until(lambda: reader.event("journal_set_aside"), 10)
        assert reader.event("journal_set_aside").severity == "alarm"
        with VerdictReader(endpoint, cursor=cursor) as client:
            lost = client.receive(10)
            assert isinstance(lost, Lost), (damage, lost)
            assert lost.after == done
            first = client.receive(20)
        assert isinstance(first, Verdict)
        assert (first.seq, first.journaled) == (1, True)
        assert first.epoch > done.epoch
        assert lost.before == Position(first.epoch, 1)


def _read_five(endpoint: str, cursor: Path) -> tuple[Position, Path]:
    """How far somebody has read, by a cursor."""
    with VerdictReader(endpoint, cursor=cursor, start="oldest") as reader:
        for _ in range(5):
            assert isinstance(reader.receive(5), Verdict)
        reader.commit()
        assert reader.position is not None
        return reader.position, cursor


def _damage(journal: Path, damage: str) -> None:
    content = bytearray(journal.read_bytes())
    if damage == "cut":
        journal.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        place = content.index(b'"seq":20,')  # much of the rest is space that holds nothing
        content[place + 6] ^= 8
        journal.write_bytes(content)
    elif damage == "gone":
        journal.unlink()
    else:
        log = journal.with_name("journal.sqlite-wal")
        os.truncate(log, log.stat().st_size // 2)


def test_a_reader_that_is_stopped_for_a_while_gets_everything(start_daemon, stub_bank, small_good, tmp_path):
    daemon = start_daemon(text(stub_bank, small_good) + "\n[publish]\nqueue_messages = 20\n").ready()
    pid = os.fork()
    out = tmp_path / "out"
    if pid == 0:
        try:
            with VerdictReader(f"ipc://{daemon.runtime_dir}/verdicts.sock", start="oldest") as reader:
                for item in reader:
                    with out.open("a") as target:
                        target.write(f"{getattr(item, 'seq', 'lost')}\n")
        finally:
            os._exit(1)
    try:
        daemon.until(lambda: out.exists() and len(out.read_text().split()) > 10)
        for _ in range(3):
            os.kill(pid, signal.SIGSTOP)
            seen = len(daemon.reader.verdicts)
            daemon.until(lambda seen=seen: len(daemon.reader.verdicts) > seen + 25)
            os.kill(pid, signal.SIGCONT)
            seen = len(daemon.reader.verdicts)
            daemon.until(lambda seen=seen: len(out.read_text().split()) > seen + 5)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    got = [line for line in out.read_text().splitlines() if line]
    assert got == [str(n) for n in range(1, len(got) + 1)]
