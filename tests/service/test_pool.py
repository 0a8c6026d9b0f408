"""A line with several scoring processes: what one that dies costs, and what goes on without it."""

from __future__ import annotations

import os
import signal
import urllib.request
from functools import partial
from pathlib import Path

from support.ports import free_port

from inspectd.config import ScoringSettings
from inspectd.scoring.pool import process_names
from inspectd.scoring.stub import Behaviour, bank_sha256
from inspectd.wire import Evaluation, Event, Reason
from tests.support.daemon import Daemon, camera_table, settings

SEVERAL = '\n[scoring]\ndevices = ["cuda:0", "cuda:1", "cuda:2"]\n[batching]\nmax_batch = 2\n'
"""The stub computes on none of them."""
NAMES = ["scoring-0", "scoring-1", "scoring-2"]
PACE = Behaviour(latency_ms=30)


def samples(port: int, name: str, label: str) -> dict[str, float]:
    """Values of a metric by one of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith(name + "{")]
    return {line.partition(f'{label}="')[2].partition('"')[0]: float(line.split()[-1]) for line in lines}


def events(daemon: Daemon, name: str) -> list[Event]:
    """All of that name."""
    return [event for event in daemon.reader.events if event.event == name]


def newest(daemon: Daemon) -> Reason | None:
    """Reason of the last verdict."""
    return daemon.reader.verdicts[-1].reason if daemon.reader.verdicts else None


def all_ready(daemon: Daemon) -> bool:
    return {event.process for event in events(daemon, "scoring_ready")} == set(NAMES)


def has_come(daemon: Daemon, *, lost: int, ready: int, verdicts: int) -> bool:
    """So many of each since the start."""
    seen = [len(events(daemon, name)) for name in ("scoring_lost", "scoring_ready")]
    return seen == [lost, ready] and len(daemon.reader.verdicts) >= verdicts


def test_one_of_three_that_dies_costs_what_it_held_and_the_others_go_on(start_daemon, stub_bank, small_good):
    port = free_port()
    cameras = "".join(camera_table(name, small_good, fps=40, slots=32) for name in ("left", "right"))
    # A deadline that is longer than a busy machine keeps the stub from its work.
    text = settings(stub_bank, cameras, deadline_ms=2000, metrics_port=port) + SEVERAL
    daemon = start_daemon(text, behaviour=PACE).ready()
    daemon.until(lambda: all_ready(daemon) and len(daemon.reader.verdicts) > 100)
    answers = samples(port, "inspectd_scoring_answers_total", "process")
    assert sorted(answers) == NAMES
    assert min(answers.values()) > 10, "every process gets its share"
    deaths = 4
    for number in range(deaths):
        name = NAMES[number % 3]
        seen, ready = len(daemon.reader.verdicts), len(events(daemon, "scoring_ready"))
        os.kill(daemon.children()[name], signal.SIGKILL)
        daemon.until(partial(has_come, daemon, lost=number + 1, ready=ready + 1, verdicts=seen + 40))
        lost = events(daemon, "scoring_lost")[-1]
        assert (lost.severity, lost.process) == ("warning", name)
    assert samples(port, "inspectd_scoring_up", "process") == dict.fromkeys(NAMES, 1)
    restarts = samples(port, "inspectd_process_restarts_total", "process")
    assert [restarts[name] for name in NAMES] == [2, 1, 1]
    assert daemon.stop() == 0
    verdicts = daemon.reader.verdicts
    assert [v.seq for v in verdicts] == list(range(1, len(verdicts) + 1))
    for verdict in verdicts:
        assert (verdict.evaluation is Evaluation.PASS) == (verdict.reason is Reason.WITHIN_THRESHOLD)
        assert (verdict.evaluation is Evaluation.PASS) == (verdict.score is not None)
    undecidable = [v.reason for v in verdicts if v.evaluation is Evaluation.UNDECIDABLE]
    assert set(undecidable) <= {Reason.SCORING_LOST, Reason.OVERLOAD}
    assert undecidable.count(Reason.SCORING_LOST) <= deaths * 2 * 2, "two batches of two"
    counts = daemon.reader.heartbeats[-1].counts
    assert counts.captured == counts.verdicts + counts.drops
    assert (counts.verdicts, counts.in_flight) == (len(verdicts), 0)


def test_with_all_of_them_gone_nothing_is_decided_and_it_is_an_alarm(start_daemon, stub_bank, small_good):
    camera, port = camera_table("cam", small_good, fps=40), free_port()
    daemon = start_daemon(
        settings(stub_bank, camera, deadline_ms=400, metrics_port=port) + SEVERAL, behaviour=PACE
    ).ready()
    daemon.until(lambda: all_ready(daemon))
    daemon.behave(Behaviour(load_seconds=3))
    pids = [pid for name, pid in daemon.children().items() if name in NAMES]
    for count, pid in enumerate(pids, 1):  # of several that are gone, the line may notice any first
        os.kill(pid, signal.SIGKILL)
        daemon.until(lambda count=count: len(events(daemon, "scoring_lost")) == count)
    assert samples(port, "inspectd_scoring_up", "process") == dict.fromkeys(NAMES, 0)
    lost = [event.severity for event in events(daemon, "scoring_lost")]
    assert lost == ["warning", "warning", "alarm"]
    daemon.until(lambda: newest(daemon) is Reason.SCORING_DOWN)
    daemon.behave(PACE)
    daemon.until(lambda: newest(daemon) is Reason.WITHIN_THRESHOLD)
    assert daemon.stop() == 0


def test_a_process_that_comes_back_with_another_bank_judges_nothing_and_the_others_do(
    start_daemon, stub_bank, small_good
):
    text = settings(stub_bank, camera_table("cam", small_good, fps=40), deadline_ms=400) + SEVERAL
    daemon = start_daemon(text, behaviour=PACE).ready()
    daemon.until(lambda: all_ready(daemon))
    daemon.behave(Behaviour(latency_ms=30, bank="another"))
    victim = daemon.children()["scoring-1"]
    os.kill(victim, signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("bank_changed"))
    daemon.behave(PACE)
    assert daemon.reader.event("bank_changed").process == "scoring-1"
    seen = len(daemon.reader.verdicts)
    daemon.until(lambda: len(daemon.reader.verdicts) > seen + 30)
    after = daemon.reader.verdicts[seen + 10 :]
    assert {verdict.reason for verdict in after} == {Reason.WITHIN_THRESHOLD}
    assert {verdict.bank_sha256 for verdict in after} == {bank_sha256("cell")}
    assert daemon.stop() == 0


def test_processes_on_the_cpu_are_kept_to_their_cores(start_daemon, stub_bank, small_good):
    cores = sorted(os.sched_getaffinity(0))
    devices = ["cpu"] * len(cores)
    text = settings(stub_bank, camera_table("cam", small_good)) + f"\n[scoring]\ndevices = {devices}\n"
    daemon = start_daemon(text).ready()
    children = daemon.children()
    for core, name in zip(cores, process_names(ScoringSettings(devices=tuple(devices))), strict=True):
        for thread in Path(f"/proc/{children[name]}/task").iterdir():
            assert os.sched_getaffinity(int(thread.name)) == {core}
    assert sorted(os.sched_getaffinity(children["cam"])) == cores
    assert daemon.stop() == 0


def test_more_processes_than_cores_are_refused_at_the_start(start_daemon, stub_bank, small_good):
    devices = ["cpu"] * (len(os.sched_getaffinity(0)) + 1)
    text = settings(stub_bank, camera_table("cam", small_good)) + f"\n[scoring]\ndevices = {devices}\n"
    daemon = start_daemon(text)
    assert daemon.process.wait(20) == 2
    assert f"scoring.devices: names the CPU {len(devices)} times" in daemon.log.read_text()
