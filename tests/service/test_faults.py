"""What a line does when its processes die or hang: undecidable, on time, and every frame accounted for."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest
from support.daemon import camera_table, settings

from inspectd.scoring.stub import Behaviour
from inspectd.wire import Evaluation

# Beyond its deadline a verdict may be late by a turn of the loop on a busy machine, never by a time-out.
TOLERANCE_MS = 1000


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_scoring_lost_means_undecidable_on_time_and_scoring_back(
    start_daemon, stub_bank, small_mixed, signum
):
    text = settings(stub_bank, camera_table("cam", small_mixed, fps=10), deadline_ms=600)
    daemon = start_daemon(text + "\n[scoring]\nstall_timeout_ms = 3000\n").ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 20)
    seen = len(daemon.reader.verdicts)
    daemon.reader.events.clear()
    old = daemon.children()["scoring"]
    os.kill(old, signum)
    daemon.until(lambda: daemon.reader.event("scoring_lost"), 10)
    daemon.until(lambda: daemon.reader.event("scoring_ready"), 30)
    daemon.until(lambda: daemon.reader.verdicts[-1].score is not None, 5)
    assert daemon.children()["scoring"] != old
    assert daemon.stop() == 0

    during = [v for v in daemon.reader.verdicts[seen:] if v.evaluation is Evaluation.UNDECIDABLE]
    assert during
    assert {v.reason for v in during} <= {"scoring_lost", "scoring_down", "deadline", "overload"}
    assert max(v.latency_ms for v in during) < 600 + TOLERANCE_MS
    assert [v.seq for v in daemon.reader.verdicts] == list(range(1, len(daemon.reader.verdicts) + 1))
    counts = daemon.reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_capture_process_lost_costs_its_camera_only(
    start_daemon, stub_bank, small_mixed, small_good, signum
):
    cameras = camera_table("struck", small_mixed, fps=8, stall_timeout_ms=1000) + camera_table(
        "other", small_good, fps=8
    )
    daemon = start_daemon(settings(stub_bank, cameras)).ready()
    daemon.until(lambda: len(daemon.reader.verdicts) > 20)
    old = daemon.children()["struck"]
    others = daemon.children()["other"], daemon.children()["scoring"]
    os.kill(old, signum)
    daemon.until(
        lambda: any(v.camera == "struck" and v.frame_generation == 2 for v in daemon.reader.verdicts), 15
    )
    daemon.until(lambda: daemon.phases() == ["up", "up"])
    children = daemon.children()
    assert children["struck"] != old
    assert (children["other"], children["scoring"]) == others
    assert daemon.stop() == 0

    down = daemon.reader.event("camera_down")
    assert down.camera == "struck"
    struck = [v for v in daemon.reader.verdicts if v.camera == "struck"]
    generations = [v.frame_generation for v in struck]
    assert generations == sorted(generations)  # no frame of the old ring is judged after one of the new
    for generation in (1, 2):
        seqs = [v.frame_seq for v in struck if v.frame_generation == generation]
        assert seqs == sorted(set(seqs))
    other = [v for v in daemon.reader.verdicts if v.camera == "other"]
    assert {v.frame_generation for v in other} == {1}
    assert {v.evaluation for v in other} <= {Evaluation.PASS, Evaluation.FAIL}
    counts = daemon.reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops


def test_children_die_with_a_killed_daemon_and_the_next_start_takes_over(start_daemon, stub_bank, small_good):
    text = settings(stub_bank, camera_table("cam", small_good))
    daemon = start_daemon(text).ready()
    children = list(daemon.children().values())
    daemon.process.kill()
    daemon.process.wait()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline, "a child outlived the daemon"
        time.sleep(0.01)
    again = start_daemon(text, {"RUNTIME_DIRECTORY": str(daemon.runtime_dir)})
    again.reader.close()
    again.reader = daemon.reader  # the reader stays; the daemon under it is another one
    epochs = {h.epoch for h in daemon.reader.heartbeats}
    again.until(lambda: any(v.epoch not in epochs for v in again.reader.verdicts))
    fresh = [v for v in again.reader.verdicts if v.epoch not in epochs]
    assert fresh[0].seq == 1
    assert fresh[0].epoch > max(epochs)


def test_a_camera_that_is_gone_is_visible_and_the_line_goes_on(start_daemon, stub_bank, small_good, tmp_path):
    cameras = camera_table("gone", tmp_path / "nowhere") + camera_table("there", small_good)
    daemon = start_daemon(settings(stub_bank, cameras))
    daemon.until(lambda: len(daemon.reader.verdicts) > 5, 60)
    daemon.until(lambda: daemon.phases() == ["down", "up"])
    assert "nowhere" in daemon.reader.event("camera_down").detail


def test_a_damaged_bank_ends_the_start_with_bad_input_and_says_why(
    start_real_daemon, bank_file, good_folder, tmp_path
):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(bank_file.read_bytes()[:-100])
    daemon = start_real_daemon(settings(damaged, camera_table("cam", good_folder)))
    assert daemon.process.wait(30) == 2
    log = daemon.log.read_text()
    assert "damaged.safetensors" in log
    assert "Traceback" not in log


def test_a_threshold_nobody_can_mean_ends_the_start_with_bad_input_and_says_why(
    start_real_daemon, bank_file, good_folder
):
    cameras = camera_table("cam", good_folder)
    daemon = start_real_daemon(settings(bank_file, cameras, recipe="threshold = 1000.0"))
    assert daemon.process.wait(30) == 2
    log = daemon.log.read_text()
    assert "recipe cell: threshold 1000: 0 of the bank's 30 good images score above it" in log
    assert "Traceback" not in log
    accepted = start_real_daemon(
        settings(bank_file, cameras, recipe="threshold = 1000.0\naccept_threshold = true")
    )
    accepted.ready()
    assert "threshold_in_force recipe=cell threshold=1000.000 good_images=30" in accepted.log.read_text()


def test_a_second_daemon_is_refused_and_a_bank_changed_under_the_first_is_not_judged_by(
    start_daemon, stub_bank, small_good
):
    text = settings(stub_bank, camera_table("cam", small_good))
    first = start_daemon(text).ready()
    second = start_daemon(text, {"RUNTIME_DIRECTORY": str(first.runtime_dir)})
    assert second.process.wait(20) == 3
    assert "another inspectd" in second.log.read_text()
    assert "Traceback" not in second.log.read_text()
    seen = len(first.reader.verdicts)
    first.until(lambda: len(first.reader.verdicts) > seen + 3)

    first.behave(Behaviour(bank="other"))
    os.kill(first.children()["scoring"], signal.SIGKILL)
    first.until(lambda: first.reader.event("bank_changed"))
    seen = len(first.reader.verdicts)
    first.until(lambda: len(first.reader.verdicts) > seen + 10)
    assert {v.evaluation for v in first.reader.verdicts[seen:]} == {Evaluation.UNDECIDABLE}


def test_a_metrics_port_that_is_taken_is_said(start_daemon, stub_bank, small_good):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        daemon = start_daemon(settings(stub_bank, camera_table("cam", small_good), metrics_port=port))
        assert daemon.process.wait(20) == 3
    assert f"metrics.host, metrics.port: cannot listen on 127.0.0.1:{port}" in daemon.log.read_text()
    assert "Traceback" not in daemon.log.read_text()
