"""What systemd is told, over real sockets; and when the watchdog is fed, without a clock."""

import os
import socket
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.errors import UnavailableError
from inspectd.notify import Notifier, ProgressWatchdog

INTERVAL_NS = 6_000_000_000
PATIENCE_NS = INTERVAL_NS // 2


@pytest.fixture
def manager(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def test_every_message_reaches_the_manager(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname(), INTERVAL_NS)
    notifier.ready()
    notifier.status("2 cameras up\nscoring warm")
    notifier.watchdog()
    notifier.reloading()
    notifier.stopping()
    received = [manager.recv(4096).decode() for _ in range(5)]
    reloading, usec = received.pop(3).split("\nMONOTONIC_USEC=")
    assert received == ["READY=1", "STATUS=2 cameras up scoring warm", "WATCHDOG=1", "STOPPING=1"]
    assert reloading == "RELOADING=1"
    assert 0 <= time.monotonic() * 1e6 - int(usec) < 10e6


def test_a_manager_that_does_not_watch_hears_no_watchdog(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    assert [manager.recv(4096) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


def test_the_watchdog_is_not_armed_before_ready_nor_after_stopping(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname(), INTERVAL_NS)
    notifier.watchdog()
    notifier.ready()
    notifier.stopping()
    notifier.watchdog()
    assert [manager.recv(4096) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(4096)


def test_an_abstract_socket_is_reached() -> None:
    name = f"inspectd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name)
        end.settimeout(5)
        Notifier("@" + name).ready()
        assert end.recv(4096) == b"READY=1"


def test_without_a_manager_nothing_happens() -> None:
    notifier = Notifier.from_environment({})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_interval_ns is None


def test_a_manager_that_is_gone_is_logged_and_does_not_raise(tmp_path: Path, caplog) -> None:
    notifier = Notifier(str(tmp_path / "gone"))
    notifier.ready()
    assert "cannot notify systemd of READY=1" in caplog.text


def test_a_manager_that_reads_nothing_does_not_stop_the_line(manager: socket.socket, caplog) -> None:
    notifier = Notifier(manager.getsockname())
    for _ in range(100_000):
        notifier.status("more than it reads")
        if caplog.records:
            return
    pytest.fail("the socket never filled up")


def test_the_environment_is_read_and_emptied() -> None:
    environ = {
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "WATCHDOG_USEC": "30000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    assert Notifier.from_environment(environ).watchdog_interval_ns == 30_000_000_000
    assert environ == {"PATH": "/bin"}


def test_the_process_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "1000")
    assert Notifier.from_environment().watchdog_interval_ns == 1_000_000
    assert "WATCHDOG_USEC" not in os.environ


def test_a_watchdog_meant_for_another_process_is_not_ours() -> None:
    environ = {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}
    assert Notifier.from_environment(environ).watchdog_interval_ns is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFY_SOCKET", "relative/path"),
        ("WATCHDOG_USEC", "soon"),
        ("WATCHDOG_USEC", "0"),
        ("WATCHDOG_PID", "-3"),
    ],
)
def test_a_variable_systemd_would_not_write_is_refused(name: str, value: str) -> None:
    environ = {"WATCHDOG_USEC": "30000000", name: value}
    with pytest.raises(UnavailableError, match=rf"{name}: got '{value}', expected"):
        Notifier.from_environment(environ)


def test_an_idle_line_is_healthy() -> None:
    watchdog = ProgressWatchdog(INTERVAL_NS)
    fed = [
        now for now in range(0, 10 * INTERVAL_NS, INTERVAL_NS // 30) if watchdog.due(now, scoring_ready=True)
    ]
    assert fed == list(range(0, 10 * INTERVAL_NS, INTERVAL_NS // 3))


def test_a_frame_nobody_scores_stops_the_feeding_and_a_score_resumes_it() -> None:
    watchdog = ProgressWatchdog(INTERVAL_NS)
    watchdog.frame_submitted(0)
    assert watchdog.due(PATIENCE_NS, scoring_ready=True)
    assert not watchdog.due(2 * PATIENCE_NS, scoring_ready=True)
    watchdog.scored(2 * PATIENCE_NS + 1)
    assert watchdog.due(2 * PATIENCE_NS + 2, scoring_ready=True)


def test_later_frames_do_not_make_the_first_one_younger() -> None:
    watchdog = ProgressWatchdog(INTERVAL_NS)
    for now in range(0, 2 * PATIENCE_NS, PATIENCE_NS // 10):
        watchdog.frame_submitted(now)
    assert not watchdog.due(PATIENCE_NS + 1, scoring_ready=True)


def test_scoring_that_stays_away_stops_the_feeding_and_its_return_forgets_the_lost_frames() -> None:
    watchdog = ProgressWatchdog(INTERVAL_NS)
    watchdog.frame_submitted(0)
    assert watchdog.due(0, scoring_ready=False)
    assert not watchdog.due(PATIENCE_NS + 1, scoring_ready=False)
    assert watchdog.due(PATIENCE_NS + 2, scoring_ready=True)
    watchdog.frame_submitted(PATIENCE_NS + 3)
    assert not watchdog.due(2 * PATIENCE_NS + 4, scoring_ready=True)


steps = st.lists(
    st.tuples(st.integers(1, INTERVAL_NS // 3), st.sampled_from(["frame", "score", "ready", "lost", "poll"])),
    max_size=60,
)


@given(steps)
def test_systemd_acts_if_and_only_if_the_pipeline_is_stuck(schedule: list[tuple[int, str]]) -> None:
    """Every poll against the definition of stuck, worked out from the whole history."""
    watchdog = ProgressWatchdog(INTERVAL_NS)
    now, ready = 0, True
    waiting: list[int] = []
    unready_since: int | None = None
    fed: int | None = None
    for wait_ns, event in schedule:
        now += wait_ns
        if event == "frame":
            watchdog.frame_submitted(now)
            waiting.append(now)
        elif event == "score":
            watchdog.scored(now)
            waiting.clear()
        else:
            back = event == "ready" and not ready
            ready = {"ready": True, "lost": False}.get(event, ready)
            unready_since = None if ready else now if unready_since is None else unready_since
            if back:
                waiting.clear()
            starts = [*waiting, *([] if unready_since is None else [unready_since])]
            stuck = any(now - start > PATIENCE_NS for start in starts)
            expected = not stuck and (fed is None or now - fed >= INTERVAL_NS // 3)
            assert watchdog.due(now, scoring_ready=ready) is expected
            fed = now if expected else fed


@given(st.lists(st.tuples(st.integers(0, PATIENCE_NS), st.integers(0, PATIENCE_NS)), min_size=1, max_size=20))
def test_a_line_whose_frames_are_scored_in_time_is_never_ended(parts: list[tuple[int, int]]) -> None:
    """Polled often enough, feedings are never further apart than systemd's interval."""
    watchdog = ProgressWatchdog(INTERVAL_NS)
    poll_ns, now, fed = INTERVAL_NS // 20, 0, 0
    events: list[tuple[int, str]] = []
    for gap_ns, scoring_ns in parts:
        events += [(now + gap_ns, "frame"), (now + gap_ns + scoring_ns, "score")]
        now += gap_ns + scoring_ns
    events += [(at, "poll") for at in range(0, now + INTERVAL_NS, poll_ns)]
    for at, event in sorted(events):
        if event == "frame":
            watchdog.frame_submitted(at)
        elif event == "score":
            watchdog.scored(at)
        elif watchdog.due(at, scoring_ready=True):
            assert at - fed < INTERVAL_NS
            fed = at
    assert now + INTERVAL_NS - fed < INTERVAL_NS


@given(st.integers(0, INTERVAL_NS), st.integers(1, INTERVAL_NS // 10))
def test_a_stuck_line_is_ended_within_one_and_a_half_intervals(stuck_ns: int, poll_ns: int) -> None:
    watchdog = ProgressWatchdog(INTERVAL_NS)
    watchdog.due(stuck_ns, scoring_ready=True)
    watchdog.frame_submitted(stuck_ns)
    polls = range(stuck_ns, stuck_ns + 3 * INTERVAL_NS, max(poll_ns, INTERVAL_NS // 1000))
    last = max(at for at in polls if watchdog.due(at, scoring_ready=True) or at == stuck_ns)
    assert last - stuck_ns <= PATIENCE_NS


def test_answers_of_one_scoring_process_say_nothing_of_what_another_has() -> None:
    watchdog = ProgressWatchdog(INTERVAL_NS)
    for process in (0, 1):
        watchdog.frame_submitted(0, process)
    watchdog.scored(PATIENCE_NS, 0)
    assert not watchdog.due(PATIENCE_NS + 1, scoring_ready=True)
    watchdog.scored(PATIENCE_NS + 2, 1)
    assert watchdog.due(PATIENCE_NS + 2, scoring_ready=True)
