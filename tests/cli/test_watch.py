"""`inspectd watch` as people run it, against a real socket; and what its view says of a line."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
from rich.console import Console
from support.daemon import camera_table, settings

from inspectd import cli, wire
from inspectd.cli.live_view import LineView, plain_line, score_bar
from inspectd.client import LineTracker
from inspectd.wire import Evaluation, Reason, Verdict

COUNTS = wire.Counts(captured=9, verdicts=7, drops=1, in_flight=1)
WATCH = [sys.executable, "-m", "inspectd", "watch"]


def verdict(seq: int, evaluation: Evaluation, reason: Reason, score: float | None) -> Verdict:
    threshold = None if score is None else 2.5
    return Verdict(
        "demo", "line1", "camera1", 5, seq, seq, 1, seq, evaluation, reason, score, threshold, 0, 0,
        31.25, 500.0, False, "cells", None, 0,
    )  # fmt: skip


def heartbeat(last_seq: int, interval_ms: float = 200.0) -> wire.Heartbeat:
    cameras = {"camera1": "up", "camera2": "down"}
    return wire.Heartbeat("demo", "line1", 5, last_seq, 0, interval_ms, "running", COUNTS, cameras)


ALARM = wire.Event("demo", "line1", 5, 0, "alarm", "scoring_lost", None, "exit code [9]", COUNTS)
PASS = verdict(1, Evaluation.PASS, Reason.WITHIN_THRESHOLD, 1.25)
FAIL = verdict(2, Evaluation.FAIL, Reason.ABOVE_THRESHOLD, 3.5)
UNDECIDABLE = verdict(3, Evaluation.UNDECIDABLE, Reason.DEADLINE, None)


def publish(
    socket: zmq.Socket[bytes], header: Verdict | wire.Heartbeat | wire.Event, kind: wire.Kind
) -> None:
    camera = getattr(header, "camera", None) or "-"
    socket.send_multipart([wire.topic("demo", "line1", camera, kind), wire.encode(header)])


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/v.sock"


@pytest.fixture
def socket(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.XPUB) as made:
        made.linger = 0
        made.bind(endpoint)
        yield made


def test_plain_lines_where_there_is_no_terminal(endpoint: str, socket: zmq.Socket[bytes]) -> None:
    with subprocess.Popen(
        [*WATCH, endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout.readline() == f"waiting for a publisher at {endpoint}\n"
        assert socket.poll(10_000), "watch did not subscribe"
        socket.recv()
        publish(socket, heartbeat(0, interval_ms=50.0), wire.Kind.HEARTBEAT)
        assert watch.stdout.readline() == "line demo/line1 is alive\n"
        assert watch.stdout.readline().startswith("line demo/line1 is STALE")
        publish(socket, FAIL, wire.Kind.VERDICT)
        lines = [watch.stdout.readline() for _ in range(2)]
        assert lines == [
            "camera1 seq=2 fail reason=above_threshold score=3.500 threshold=2.500 latency_ms=31.2\n",
            "line demo/line1: this reader missed 1 verdicts\n",
        ]
        publish(socket, msgspec.structs.replace(PASS, seq=3, second_look=True), wire.Kind.VERDICT)
        assert watch.stdout.readline().endswith("latency_ms=31.2 second_look\n")
        publish(socket, ALARM, wire.Kind.EVENT)
        assert "scoring_lost: exit code [9]" in watch.stdout.readline()
        watch.send_signal(signal.SIGINT)
        rest, errors = watch.communicate(timeout=10)
    assert (watch.returncode, rest, errors) == (0, "stopped watching\n", "")


def test_live_in_a_terminal_until_ctrl_c(endpoint: str, socket: zmq.Socket[bytes]) -> None:
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"}
    with subprocess.Popen(
        [*WATCH, endpoint], stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    ) as watch:
        os.close(theirs)
        shown = _read_until(ours, "Waiting for a publisher")
        assert socket.poll(10_000), "watch did not subscribe"
        socket.recv()
        publish(socket, heartbeat(0), wire.Kind.HEARTBEAT)
        publish(socket, PASS, wire.Kind.VERDICT)
        shown = _read_until(ours, "1.250 / 2.500")
        assert "demo/line1" in shown
        watch.send_signal(signal.SIGINT)
        _read_until(ours, "stopped watching")
        assert watch.wait(10) == 0
    os.close(ours)


def _read_until(terminal: int, wanted: str) -> str:
    shown = ""
    while wanted not in shown:
        shown += os.read(terminal, 65536).decode(errors="replace")
    return shown


@pytest.mark.parametrize(
    ("command", "socket"), [("watch", "verdicts"), ("replay", "sync"), ("status", "sync")]
)
def test_a_mistyped_file_is_not_taken_for_an_endpoint(
    command: str, socket: str, tmp_path: Path, capsys
) -> None:
    file = str(tmp_path / "typo.toml")
    assert cli.main([command, file]) == 2
    said = capsys.readouterr().err
    assert f"{file!r}: is no file here, expected ipc:///path/to/{socket}.sock or tcp://127.0.0.1:557" in said
    assert "or the configuration file of a line on this host" in said


@pytest.mark.parametrize("wrong", ["127.0.0.1:5571", "http://localhost:80", "tcp://nowhere"])
def test_a_wrong_endpoint_is_one_clear_message(wrong: str) -> None:
    done = subprocess.run([*WATCH, wrong], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert wrong in done.stderr
    assert "expected ipc:///path/to/verdicts.sock or tcp://127.0.0.1:5571" in done.stderr
    assert "Traceback" not in done.stderr


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def drawn(view: LineView) -> str:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115 - closed below
    console.print(view.render())
    console.file.close()
    return console.export_text()


def test_the_view_counts_per_camera_and_shows_the_line() -> None:
    clock = Clock()
    tracker = LineTracker(clock)
    view = LineView(tracker, clock)
    tracker.see_heartbeat(heartbeat(0))
    for message in (heartbeat(0), PASS, FAIL, UNDECIDABLE, ALARM):
        view.add(message)
    text = drawn(view)
    row = next(line for line in text.splitlines() if "camera1" in line)
    assert row.strip("│ ").split()[:6] == ["camera1", "up", "0.6/s", "1", "1", "1"]
    assert "undecidable: deadline" in row
    assert "31 ms" in row
    assert "RUNNING" in text
    assert "captured 9 = verdicts 7 + drops 1 + in flight 1" in text
    assert "scoring_lost: exit code [9]" in text
    clock.seconds += 0.7
    stale = drawn(view)
    assert "STALE: no heartbeat for 0.7 s. Treat every part as a reject." in stale
    assert "RUNNING" not in stale
    assert "look again" not in text
    view.add(msgspec.structs.replace(PASS, second_look=True))
    row = next(line for line in drawn(view).splitlines() if "camera1" in line)
    assert row.strip("│ ").split()[3:7] == ["2", "1", "1", "1"]


def test_the_regions_of_a_camera_have_rows_of_their_own() -> None:
    view = LineView(LineTracker(Clock()), Clock())
    regions = [msgspec.structs.replace(PASS, region=name) for name in ("left", "right")]
    for message in (heartbeat(0), *regions, heartbeat(0)):
        view.add(message)
    rows = [line.strip("│ ").split()[:2] for line in drawn(view).splitlines() if "camera1" in line]
    assert rows == [["camera1/left", "up"], ["camera1/right", "up"]]
    assert plain_line(regions[0]).startswith("camera1/left seq=")


def test_the_rate_forgets_what_is_old() -> None:
    clock = Clock()
    view = LineView(LineTracker(clock), clock)
    for _ in range(10):
        view.add(PASS)
        clock.seconds += 0.5
    assert view.cameras["camera1"].rate() == pytest.approx(2.0)
    clock.seconds += 60
    assert view.cameras["camera1"].rate() == 0.0


@pytest.mark.parametrize(("score", "filled"), [(0.0, 0), (-1.0, 0), (2.5, 10), (5.0, 20), (1e9, 20)])
def test_the_bar_reaches_its_mark_at_the_threshold(score: float, filled: int) -> None:
    bar = score_bar(verdict(1, Evaluation.FAIL, Reason.ABOVE_THRESHOLD, score)).plain
    assert bar.count("━") == filled
    cells = bar.split("2.500 ")[-1]
    assert cells.index("┃") == 10


def test_a_line_that_does_not_run_is_told_by_its_file(tmp_path):
    file = tmp_path / "line.toml"
    file.write_text(f"{settings(tmp_path / 'a.bank', camera_table('cam', tmp_path))}\n")
    done = subprocess.run([*WATCH, str(file)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "its line does not run here" in done.stderr
