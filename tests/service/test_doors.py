"""The real daemon and clients that mean no good: they cost readers at most, and never verdicts."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import struct
from pathlib import Path

import pytest
from support.ports import free_port

from tests.support.daemon import WELL, Daemon, Reader, camera_table, settings
from tests.support.raw_client import shake_hands


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.fixture(scope="module")
def open_to_tcp(start_shared_daemon, stub_bank, small_good) -> tuple[Daemon, int]:
    """A line that readers reach by TCP too, and its port."""
    port = free_port()
    tcp = f'[publish]\nverdicts_tcp = "127.0.0.1:{port}"\n'
    text = settings(stub_bank, camera_table("cam", small_good, fps=50), extra=tcp)
    return start_shared_daemon(text).ready(), port


@pytest.mark.parametrize("part_bytes", [65_000, 100])
def test_a_message_without_end_costs_its_sender_the_connection(open_to_tcp, part_bytes):
    """libzmq keeps every part until the last."""
    daemon, port = open_to_tcp
    elsewhere = Reader(f"tcp://127.0.0.1:{port}")
    try:
        elsewhere.until(lambda: len(elsewhere.verdicts) > 5)
        before_mib, children = resident_mib(daemon.process.pid), daemon.children()
        part = b"\x03" + struct.pack(">Q", part_bytes) + b"x" * part_bytes
        parts = part * (65_000 // part_bytes)
        most_mib, sent = 0.0, 0
        flood = shake_hands(daemon.runtime_dir / "control.sock", b"DEALER")
        with flood, contextlib.suppress(OSError):  # it was cut off
            while sent < 4e9:
                for _ in range(50):
                    flood.sendall(parts)
                    sent += len(parts)
                most_mib = max(most_mib, resident_mib(daemon.process.pid))
                elsewhere.read(0)
        # More than waits of any honest client. How much more depends on the memory of a flood before.
        assert 16_384 < sent < 3e8
        assert daemon.children() == children
        count = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > count + 50)
        elsewhere.read()
        assert most_mib < before_mib + 20
        seqs = [verdict.seq for verdict in elsewhere.verdicts]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "who came by the other door missed nothing"
        assert not any(verdict.evaluation == "undecidable" for verdict in elsewhere.verdicts)
        beats = [beat.utc_ns for beat in elsewhere.heartbeats]
        assert max(b - a for a, b in itertools.pairwise(beats)) < 1e9
    finally:
        elsewhere.close()


def test_connections_without_end_do_not_disturb_who_is_there(start_daemon, stub_bank, small_good):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=50))).ready()
    children = daemon.children()
    with contextlib.ExitStack() as idle:
        with contextlib.suppress(FileNotFoundError):  # the door is shut: its file has another name
            while True:
                connection = idle.enter_context(socket.socket(socket.AF_UNIX))
                connection.connect(str(daemon.runtime_dir / "verdicts.sock"))
                daemon.reader.read(0)
        daemon.until(lambda: daemon.reader.event("door_shut"))
        assert "local verdicts" in daemon.reader.event("door_shut").detail
        late = Reader(f"ipc://{daemon.runtime_dir}/verdicts.sock")
        late.until(lambda: late.verdicts)  # once those without a hand-shake are gone
        late.close()
    seqs = [verdict.seq for verdict in daemon.reader.verdicts]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert daemon.children() == children
    assert daemon.stop() == 0


def test_a_line_is_not_good_while_a_door_is_away(open_to_tcp):
    daemon, port = open_to_tcp
    elsewhere = Reader(f"tcp://127.0.0.1:{port}")
    try:
        elsewhere.until(lambda: elsewhere.heartbeats and elsewhere.heartbeats[-1].health == "good")
        count = len(elsewhere.heartbeats)
        os.kill(daemon.children()["door:local"], signal.SIGKILL)
        elsewhere.until(lambda: any(beat.conditions for beat in elsewhere.heartbeats[count:]))
        elsewhere.until(lambda: elsewhere.heartbeats[-1].health == "good")
    finally:
        elsewhere.close()
    told = {condition.condition for beat in elsewhere.heartbeats[count:] for condition in beat.conditions}
    assert told == {"door_down"}


def test_a_door_that_hangs_is_replaced_and_the_line_goes_on(start_daemon, stub_bank, small_good):
    daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good, fps=50))).ready()
    door = daemon.children()["door:local"]
    os.kill(door, signal.SIGSTOP)
    daemon.until(lambda: daemon.children().get("door:local", door) != door)
    count = len(daemon.reader.verdicts)
    daemon.until(lambda: len(daemon.reader.verdicts) > count + 10)
    assert daemon.stop() == 0
    last = daemon.reader.heartbeats[-1]
    assert last.state == "stopped"
    assert last.counts.captured == last.counts.verdicts + last.counts.drops


@pytest.mark.daemon
def test_a_log_that_nobody_reads_holds_up_neither_the_line_nor_its_end(stub_bank, small_good, tmp_path):
    read_end, write_end = os.pipe()
    text = settings(stub_bank, camera_table("cam", small_good, fps=50))
    daemon = Daemon(tmp_path, text, behaviour=WELL, stderr=write_end)
    try:
        daemon.ready()
        os.set_blocking(write_end, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write_end, b"x" * 4096)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(write_end, b"x")
        os.set_blocking(write_end, True)
        old = daemon.children()["cam"]
        os.kill(old, signal.SIGKILL)
        daemon.until(lambda: daemon.children().get("cam", old) != old)
        count = len(daemon.reader.verdicts)
        daemon.until(lambda: len(daemon.reader.verdicts) > count + 20)
        assert daemon.stop() == 0
    finally:
        daemon.close()
        os.close(read_end)
        os.close(write_end)
