"""The real daemon's journal from outside: what a reader gets again, after gaps, stops and kills."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.daemon import Daemon, camera_table, settings

from inspectd.client import Lost, Position, VerdictReader
from inspectd.wire import Verdict


def endpoint(daemon: Daemon) -> str:
    return f"ipc://{daemon.runtime_dir}/verdicts.sock"


def again(start_daemon: Any, text: str, old: Daemon) -> Daemon:
    """The next start of the same line: same sockets, same state."""
    state = old.runtime_dir.parent / "state"
    environment = {"RUNTIME_DIRECTORY": str(old.runtime_dir), "STATE_DIRECTORY": str(state)}
    daemon = start_daemon(text, environment)
    daemon.runtime_dir = old.runtime_dir
    daemon.reader.close()
    daemon.reader = old.reader
    return daemon


def read_until(reader: VerdictReader, got: list[Any], wanted: Position, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while reader.position is None or reader.position < wanted:
        assert time.monotonic() < deadline, f"at {reader.position}, wanted {wanted}"
        item = reader.receive(0.1)
        if item is not None:
            got.append(item)


def names(items: list[Any]) -> list[tuple[int, int]]:
    assert not [item for item in items if isinstance(item, Lost)], items
    return [(item.epoch, item.seq) for item in items]


def test_a_reader_that_comes_late_gets_every_verdict_from_the_first(start_daemon, stub_bank, small_good):
    patient = "[journal]\nmax_wait_ms = 5000\n"  # a busy machine is no failing disk
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=50), extra=patient)).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 30)
    got: list[Any] = []
    with VerdictReader(endpoint(daemon), start="oldest") as reader:
        read_until(reader, got, Position(daemon.reader.verdicts[-1].epoch, 40))
    daemon.until(lambda: len(daemon.reader.verdicts) >= len(got))
    live = {(v.epoch, v.seq): v for v in daemon.reader.verdicts}
    assert [name[1] for name in names(got)] == list(range(1, len(got) + 1))
    assert all(live[(v.epoch, v.seq)] == v for v in got), "a replay is what was published"
    assert all(v.journaled for v in got)


@pytest.mark.parametrize("kills", [4])
def test_kills_lose_no_verdict_and_make_no_duplicate(
    start_daemon, stub_bank, small_good, tmp_path: Path, kills: int
):
    text = settings(stub_bank, camera_table("cam", small_good, fps=50))
    daemon = start_daemon(text).ready()
    got: list[Any] = []
    cursor = tmp_path / "cursor"
    with VerdictReader(endpoint(daemon), cursor=cursor, start="oldest") as reader:
        for kill in range(kills):
            seen = len(got)
            until = time.monotonic() + 20
            # Of every start something, also where the reader is still told of those before.
            while len(got) < seen + 10 + kill or len({epoch for epoch, _ in names(got)}) <= kill:
                assert time.monotonic() < until
                item = reader.receive(0.1)
                got += [item] if item else []
                reader.commit()
            daemon.process.kill()
            daemon.process.wait()
            daemon = again(start_daemon, text, daemon)
        last = daemon
        last.until(lambda: last.reader.verdicts and last.reader.verdicts[-1].epoch > got[-1].epoch, 30)
        end = last.reader.verdicts[-1]
        read_until(reader, got, Position(end.epoch, end.seq + 5))
    found = names(got)
    assert found == sorted(set(found))
    epochs = sorted({epoch for epoch, _ in found})
    assert len(epochs) == kills + 1
    for epoch in epochs:
        seqs = [seq for e, seq in found if e == epoch]
        assert seqs == list(range(1, len(seqs) + 1))
    heard = {(v.epoch, v.seq) for v in daemon.reader.verdicts}
    assert heard - set(found) <= {name for name in heard if name > found[-1]}
    restarted = [v for v in got if isinstance(v, Verdict) and v.reason == "restarted"]
    assert all(v.evaluation == "undecidable" and v.late for v in restarted)
    frames = [(v.camera, v.epoch, v.frame_generation, v.frame_seq) for v in got if v.reason != "restarted"]
    assert len(frames) == len(set(frames))


def test_what_was_under_way_is_closed_by_the_next_start(start_daemon, stub_bank, small_good):
    text = settings(stub_bank, camera_table("cam", small_good, fps=50), deadline_ms=60_000)
    daemon = start_daemon(text).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 5)
    os.kill(daemon.children()["scoring"], signal.SIGSTOP)
    daemon.until(lambda: daemon.reader.heartbeats[-1].counts.in_flight > 10)
    time.sleep(0.2)
    daemon.process.kill()
    daemon.process.wait()
    daemon = again(start_daemon, text, daemon)
    got: list[Any] = []
    with VerdictReader(endpoint(daemon), start="oldest") as reader:
        daemon.until(lambda: daemon.reader.heartbeats[-1].counts.restarted > 10)
        counts = daemon.reader.heartbeats[-1].counts
        read_until(reader, got, Position(daemon.reader.heartbeats[-1].epoch, counts.restarted))
    restarted = [v for v in got if v.reason == "restarted"]
    assert [v.seq for v in restarted] == list(range(1, counts.restarted + 1))
    assert {v.epoch for v in restarted} == {daemon.reader.heartbeats[-1].epoch}
    judged = {v.frame_seq for v in got if v.epoch != restarted[0].epoch}
    open_frames = {v.frame_seq for v in restarted}
    assert not judged & open_frames, "a frame got two verdicts"
    assert judged | open_frames == set(range(1, max(open_frames) + 1)), "a frame got none"


def test_a_reader_that_stops_and_comes_back_goes_on_where_it_was(
    start_daemon, stub_bank, small_good, tmp_path: Path
):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=50))).ready()
    daemon.until(lambda: daemon.reader.verdicts)
    cursor = tmp_path / "cursor"
    got: list[Any] = []
    for _ in range(4):
        with VerdictReader(endpoint(daemon), cursor=cursor, start="oldest") as reader:
            read_until(reader, got, Position(daemon.reader.verdicts[-1].epoch, len(daemon.reader.verdicts)))
            reader.commit()
        seen = len(daemon.reader.verdicts)
        daemon.until(lambda seen=seen: len(daemon.reader.verdicts) > seen + 10)
    assert [v.seq for v in got] == list(range(1, len(got) + 1))
