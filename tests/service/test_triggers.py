"""Triggered cameras through the real daemon: every trigger has one answer, every accepted one one verdict."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
import urllib.request

import pytest
import zmq
from prometheus_client.parser import text_string_to_metric_families
from support.daemon import camera_table, settings
from support.ports import free_port

from inspectd.client import VerdictReader
from inspectd.scoring.stub import Behaviour
from inspectd.wire import Accepted, Evaluation, Reason, Refusal, RefusalReason, TriggerRequest

GRACE_MS = 100
"""A verdict is out at most so long after its deadline, whatever cameras and scoring do."""


def triggered(name, folder, **more):
    return camera_table(name, folder, **{"fps": 25, "mode": '"triggered"', "slots": 32} | more)


def line(bank_file, cameras, *, deadline_ms=3000, window_ms=500, extra="", **more):
    text = f"[triggers]\nwindow_ms = {window_ms}\nmax_delay_ms = 2000\n{extra}"
    return settings(bank_file, cameras, deadline_ms=deadline_ms, extra=text, **more)


def check_the_count(daemon):
    """The epoch's numbers have no gap, and every frame and trigger is accounted for."""
    reader = daemon.reader
    counts = reader.event("stopped").counts
    assert counts.captured == counts.verdicts + counts.drops
    assert counts.triggers == counts.parts == len(reader.parts)
    assert counts.verdicts + counts.missed == len(reader.verdicts)
    assert counts.in_flight == counts.triggers_open == 0
    numbers = [v.seq for v in [*reader.verdicts, *reader.parts]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


@pytest.fixture(scope="module")
def two_views(start_shared_daemon, stub_bank, small_good, small_mixed):
    """A line with two cameras whose recipe has a deadline of its own, for tests that only look."""
    cameras = triggered("top", small_good) + triggered("side", small_mixed)
    text = line(stub_bank, cameras, recipe="deadline_ms = 2000")
    return start_shared_daemon(text).ready()


def test_two_views_make_one_part(two_views, plant):
    daemon, line_plant = two_views, plant(two_views)
    for number in range(20):
        answer = line_plant.trigger(number, encoder_count=number * 100)
        assert isinstance(answer, Accepted)
        assert answer.cameras == ["top", "side"]
        assert answer.deadline_ms == 2000
        part, views = line_plant.part(number), line_plant.views(number)
        assert [(v.camera, v.seq) for v in views] == sorted(
            [(v.camera, v.seq) for v in part.views], key=lambda view: view[1]
        )
        assert {v.camera for v in views} == {"top", "side"}
        assert part.seq == max(v.seq for v in views) + 1
        assert (part.part_id, part.encoder_count) == (f"part-{number}", number * 100)
        assert (part.epoch, part.triggered_utc_ns) == (answer.epoch, answer.received_utc_ns)
        evaluations = {v.evaluation for v in views}
        assert part.evaluation == next(e for e in ("fail", "undecidable", "pass") if e in evaluations)
        for view in views:
            assert view.captured_utc_ns > view.triggered_utc_ns
            assert view.deadline_margin_ms == pytest.approx(view.deadline_ms - view.latency_ms, abs=0.01)
    assert {p.evaluation for p in daemon.reader.parts} == {Evaluation.PASS, Evaluation.FAIL}
    numbers = [v.seq for v in [*daemon.reader.verdicts, *daemon.reader.parts]]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    used = [(v.camera, v.frame_generation, v.frame_seq) for v in daemon.reader.verdicts]
    assert len(set(used)) == len(used)


def test_every_refusal_has_its_reason(start_daemon, plant, stub_bank, small_good):
    cameras = triggered("top", small_good) + camera_table("free", small_good, fps=2)
    extra = 'max_open = 2\nid_memory_seconds = 0.5\nmatch = "nearest"'
    loading = Behaviour(load_seconds=60)
    daemon = start_daemon(line(stub_bank, cameras, window_ms=300, extra=extra), behaviour=loading)
    daemon.until(lambda: daemon.reader.heartbeats)
    line_plant = plant(daemon)

    def refused(trigger_id, **more):
        answer = line_plant.trigger(trigger_id, **more)
        assert isinstance(answer, Refusal), answer
        assert answer.trigger_id == trigger_id
        return answer.reason

    assert refused("early") == RefusalReason.NOT_READY
    daemon.behave(Behaviour())
    daemon.ready()
    assert refused("a", recipe="nonsense") == RefusalReason.UNKNOWN_RECIPE
    assert refused("a", recipe="") == RefusalReason.UNKNOWN_RECIPE
    assert refused("a", cameras=["nowhere"]) == RefusalReason.UNKNOWN_CAMERA
    assert refused("a", cameras=["free"]) == RefusalReason.UNKNOWN_CAMERA
    os.kill(daemon.children()["top"], signal.SIGSTOP)  # nothing is matched, so that triggers stay open
    assert isinstance(line_plant.trigger("a"), Accepted)
    assert refused("a") == RefusalReason.DUPLICATE_ID
    assert isinstance(line_plant.trigger("b"), Accepted)
    assert refused("c") == RefusalReason.OVERLOAD
    assert line_plant.part("b").reason == Reason.MISSED_TRIGGER
    assert refused("b") == RefusalReason.DUPLICATE_ID
    time.sleep(0.6)  # the memory of ids is real time here
    assert isinstance(line_plant.trigger("b"), Accepted)  # the counter has wrapped
    os.kill(daemon.children()["top"], signal.SIGCONT)
    assert daemon.stop() == 0
    check_the_count(daemon)


@pytest.mark.parametrize("match", ["first_after", "nearest"])
def test_triggers_faster_than_the_camera_are_missed_not_shared(
    start_daemon, plant, stub_bank, small_good, match
):
    cameras = triggered("top", small_good, fps=5)
    text = line(stub_bank, cameras, window_ms=250, extra=f'match = "{match}"\nmax_open = 500')
    daemon = start_daemon(text).ready()
    line_plant = plant(daemon)
    for number in range(60):
        line_plant.trigger(number)
        daemon.reader.read(30)
    daemon.until(lambda: len(daemon.reader.parts) == len(line_plant.accepted()))
    assert daemon.stop() == 0
    check_the_count(daemon)
    reasons = {part.reason for part in daemon.reader.parts}
    assert Reason.MISSED_TRIGGER in reasons
    assert reasons & {Reason.WITHIN_THRESHOLD, Reason.ABOVE_THRESHOLD}
    used = [v.frame_seq for v in daemon.reader.verdicts if v.frame_seq is not None]
    assert len(set(used)) == len(used)


@pytest.mark.timed
@pytest.mark.parametrize("struck", ["scoring", "top"])
@pytest.mark.parametrize("signum", [signal.SIGSTOP, signal.SIGKILL])
def test_a_lost_process_never_makes_a_trigger_wait(
    *, start_daemon, plant, stub_bank, small_good, struck, signum
):
    cameras = triggered("top", small_good, stall_timeout_ms=1500)
    text = line(stub_bank, cameras, deadline_ms=600) + "[scoring]\nstall_timeout_ms = 3000\n"
    daemon = start_daemon(text).ready()
    line_plant = plant(daemon)
    numbers = itertools.count()
    assert line_plant.trigger(next(numbers)) is not None
    old = daemon.children()[struck]
    os.kill(old, signum)
    end = time.monotonic() + 3
    while time.monotonic() < end:
        line_plant.trigger(next(numbers))
        daemon.reader.read(50)
    daemon.until(lambda: daemon.children().get(struck, old) != old, 20)

    def passes_again():
        number = next(numbers)
        answer = line_plant.trigger(number)
        return isinstance(answer, Accepted) and line_plant.part(number).evaluation is Evaluation.PASS

    daemon.until(passes_again, 30)
    assert daemon.stop() == 0
    check_the_count(daemon)
    assert None not in line_plant.answers.values()
    assert {p.trigger_id for p in daemon.reader.parts} == set(line_plant.accepted())
    assert max(-p.deadline_margin_ms for p in daemon.reader.parts) < GRACE_MS
    undecidable = {p.reason for p in daemon.reader.parts if p.evaluation is Evaluation.UNDECIDABLE}
    refusals = {a.reason for a in line_plant.answers.values() if isinstance(a, Refusal)}
    assert undecidable or refusals
    assert refusals <= {RefusalReason.NOT_READY, RefusalReason.OVERLOAD}


@pytest.mark.timed
def test_a_late_score_is_told_and_passes_nothing(start_daemon, plant, stub_bank, small_good):
    daemon = start_daemon(line(stub_bank, triggered("top", small_good), deadline_ms=400)).ready()
    line_plant = plant(daemon)
    scoring = daemon.children()["scoring"]
    os.kill(scoring, signal.SIGSTOP)
    assert isinstance(line_plant.trigger("slow"), Accepted)
    part = line_plant.part("slow")
    os.kill(scoring, signal.SIGCONT)
    daemon.until(lambda: daemon.reader.late)
    late, (view,) = daemon.reader.late[0], line_plant.views("slow")
    assert (part.evaluation, part.reason) == (Evaluation.UNDECIDABLE, Reason.DEADLINE)
    assert -GRACE_MS < part.deadline_margin_ms <= 0
    assert (late.epoch, late.seq, late.trigger_id) == (view.epoch, view.seq, "slow")
    assert late.late_ms > 0
    assert late.score <= late.threshold  # it would have been a pass
    assert daemon.stop() == 0
    assert [p.trigger_id for p in daemon.reader.parts] == ["slow"]
    check_the_count(daemon)


def test_a_recipe_and_a_trigger_have_deadlines_of_their_own(two_views, plant):
    line_plant = plant(two_views)
    assert line_plant.trigger("recipe").deadline_ms == 2000
    assert line_plant.trigger("own", deadline_ms=1500).deadline_ms == 1500
    assert line_plant.part("recipe").deadline_ms == 2000
    assert line_plant.part("own").deadline_ms == 1500


def test_a_stop_closes_what_was_triggered(start_daemon, plant, stub_bank, small_good):
    daemon = start_daemon(line(stub_bank, triggered("top", small_good), window_ms=3000)).ready()
    line_plant = plant(daemon)
    os.kill(daemon.children()["top"], signal.SIGSTOP)
    assert isinstance(line_plant.trigger("open"), Accepted)
    daemon.process.send_signal(signal.SIGTERM)
    daemon.until(lambda: daemon.reader.event("draining"))
    answer = line_plant.trigger("afterwards")
    assert isinstance(answer, Refusal)
    assert answer.reason == RefusalReason.SHUTTING_DOWN
    assert daemon.stop() == 0
    assert [(p.trigger_id, p.reason) for p in daemon.reader.parts] == [("open", Reason.MISSED_TRIGGER)]
    check_the_count(daemon)


def test_a_trigger_that_was_read_late_is_refused(start_daemon, stub_bank, small_good):
    text = line(stub_bank, triggered("top", small_good)).replace("max_delay_ms = 2000", "max_delay_ms = 500")
    daemon = start_daemon(text).ready()
    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.connect(f"ipc://{daemon.runtime_dir}/control.sock")
        client.send(b'{"trigger_id":"here","cameras":["nowhere"]}')
        assert client.poll(5000)
        client.recv()
        os.kill(daemon.process.pid, signal.SIGSTOP)
        client.send(b'{"trigger_id":"old"}')
        assert not client.poll(1000)
        os.kill(daemon.process.pid, signal.SIGCONT)
        assert client.poll(10_000)
        answer = json.loads(client.recv())
    assert (answer["trigger_id"], answer["reason"]) == ("old", RefusalReason.NOT_READY)
    assert "late" in answer["detail"]
    daemon.until(lambda: daemon.reader.event("stood_still"))
    assert daemon.stop() == 0
    assert not daemon.reader.parts


def test_a_trigger_that_waited_in_a_backlog_is_dated_or_refused_and_one_that_waited_for_a_door_is_refused(
    start_daemon, plant, stub_bank, small_good
):
    """More messages than are read in a turn, before the trigger: it came when they did, and that is known.

    A client that keeps what it sends until it is connected: its part is gone when the trigger comes.
    """
    text = line(stub_bank, triggered("top", small_good)).replace("max_delay_ms = 2000", "max_delay_ms = 60")
    daemon = start_daemon(text).ready()
    line_plant, said = plant(daemon), 0
    with zmq.Context() as context:
        flood = context.socket(zmq.DEALER)
        flood.setsockopt(zmq.RCVHWM, 0)  # else answers are lost before it reads any
        flood.setsockopt(zmq.SNDHWM, 0)
        flood.setsockopt(zmq.RCVTIMEO, 30_000)
        flood.connect(f"ipc://{daemon.runtime_dir}/control.sock")
        for number in range(4):
            for _ in range(3000):
                flood.send(b'{"trigger_id":"x","cameras":["nowhere"]}')
            sent_ns = time.time_ns()
            flood.send(f'{{"trigger_id":"{number}"}}'.encode())
            while True:
                answer = json.loads(flood.recv())
                if answer["trigger_id"] == str(number):
                    break
            dated_ms = (answer["received_utc_ns"] - sent_ns) / 1e6 if "received_utc_ns" in answer else None
            assert dated_ms is None or dated_ms <= 60 + 5  # the clock of this process is read before it sends
            assert dated_ms is not None or answer["reason"] == RefusalReason.NOT_READY
            said += dated_ms is None
        assert said, "no backlog was long enough to mean anything"
        context.destroy(linger=0)
    numbers = itertools.count()
    daemon.until(lambda: isinstance(line_plant.trigger(f"after {next(numbers)}"), Accepted))
    with zmq.Context() as context:
        client = context.socket(zmq.DEALER)
        client.setsockopt(zmq.LINGER, 0)
        client.connect(f"ipc://{daemon.runtime_dir}/control.sock")
        client.send(b'{"trigger_id":"here","cameras":["nowhere"]}')
        assert client.poll(5000)
        client.recv()
        door = daemon.children()["door:local"]
        lost = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        os.kill(door, signal.SIGKILL)
        assert lost.poll(5000)
        client.disable_monitor()
        lost.close()
        client.send(b'{"trigger_id":"kept"}')
        assert client.poll(20_000)
        answer = json.loads(client.recv())
        assert (answer["trigger_id"], answer["reason"]) == ("kept", RefusalReason.NOT_READY)
        client.close()
    daemon.until(lambda: isinstance(line_plant.trigger(f"after {next(numbers)}"), Accepted))
    daemon.until(lambda: any(v.reason == "within_threshold" for v in daemon.reader.verdicts[-3:]))
    assert daemon.stop() == 0


def test_a_killed_daemon_owes_its_triggers_a_verdict_and_gives_it_at_the_next_start(
    start_daemon, plant, stub_bank, small_good
):
    text = line(stub_bank, triggered("top", small_good), deadline_ms=30_000, window_ms=20_000)
    first = start_daemon(text).ready()
    line_plant = plant(first)
    os.kill(first.children()["top"], signal.SIGSTOP)
    assert isinstance(line_plant.trigger("owed"), Accepted)
    first.process.kill()
    first.process.wait()
    second = start_daemon(text, {"STATE_DIRECTORY": str(first.folder / "state")})
    with VerdictReader(f"ipc://{second.runtime_dir}/verdicts.sock", start="oldest") as reader:
        view, part = reader.receive(30), reader.receive(5)
    assert (view.trigger_id, view.reason, view.frame_seq) == ("owed", "restarted", None)
    assert (part.trigger_id, part.part_id) == ("owed", "part-owed")
    assert (part.evaluation, part.reason, part.late) == (Evaluation.UNDECIDABLE, "restarted", True)
    assert [v.seq for v in part.views] == [view.seq]
    assert part.epoch > line_plant.answers["owed"].epoch
    second.ready()
    assert isinstance(plant(second).trigger("owed"), Accepted)  # ids are remembered within an epoch
    assert second.stop() == 0


def test_the_metrics_account_for_every_trigger(start_daemon, plant, stub_bank, small_good):
    port = free_port()
    daemon = start_daemon(line(stub_bank, triggered("top", small_good), metrics_port=port)).ready()
    line_plant = plant(daemon)
    for number in range(5):
        line_plant.trigger(number)
        line_plant.part(number)
    line_plant.trigger(4)
    line_plant.trigger("x", cameras=["nowhere"])
    line_plant.sender.send(TriggerRequest(""), timeout_seconds=5)

    def total(name, **labels):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        samples = [sample for family in families for sample in family.samples]
        found = [s.value for s in samples if s.name == name and labels.items() <= s.labels.items()]
        assert found, name
        return sum(found)

    assert total("inspectd_triggers_total", answer="accepted") == 5
    assert total("inspectd_triggers_total", answer="duplicate_id") == 1
    assert total("inspectd_triggers_total", answer="unknown_camera") == 1
    assert total("inspectd_triggers_total", answer="malformed") == 1
    assert total("inspectd_parts_total") == 5
    daemon.until(lambda: total("inspectd_triggers_open") == 0)  # measured with each heartbeat
    assert total("inspectd_drops_total", cause="untriggered", stage="batching") > 0
    assert daemon.stop() == 0
    check_the_count(daemon)


def test_while_triggers_of_a_lost_door_may_be_on_their_way_those_at_another_one_are_refused(
    start_daemon, plant, stub_bank, small_good
):
    """Whose a frame is cannot be known then: a gate is told so at once, rather than when a part is missed."""
    tcp = f'[publish]\ncontrol_tcp = "127.0.0.1:{free_port()}"\n'
    daemon = start_daemon(line(stub_bank, triggered("top", small_good), extra=tcp)).ready()
    line_plant = plant(daemon)
    assert isinstance(line_plant.trigger("before"), Accepted)
    assert line_plant.part("before").reason in {"within_threshold", "over_threshold"}
    os.kill(daemon.children()["door:tcp"], signal.SIGKILL)
    daemon.until(lambda: daemon.reader.event("process_restarted"))
    refusal = line_plant.trigger("meanwhile")
    assert (refusal.reason, refusal.detail.split()[0]) == (RefusalReason.NOT_READY, "door:tcp")
    numbers = itertools.count()
    daemon.until(lambda: isinstance(line_plant.trigger(f"after {next(numbers)}"), Accepted))
    accepted = line_plant.accepted()[-1]
    assert line_plant.part(accepted).reason in {"within_threshold", "over_threshold"}
    assert daemon.stop() == 0
    assert all(part.frame_seq for part in daemon.reader.verdicts if part.trigger_id == accepted)
    check_the_count(daemon)


def test_a_trigger_goes_without_an_answer_only_where_its_door_was_lost_and_no_taken_one_without_a_verdict(
    start_daemon, stub_bank, small_good
):
    """As `docs/wire.md` says: what a door held that stood still until it was replaced is never answered."""
    daemon = start_daemon(line(stub_bank, triggered("top", small_good))).ready()
    answers = {}

    def take():
        daemon.reader.read(0)
        while client.poll(10):
            answer = json.loads(client.recv())
            assert answer["trigger_id"] not in answers
            answers[answer["trigger_id"]] = answer

    with zmq.Context() as context, context.socket(zmq.DEALER) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.setsockopt(zmq.IMMEDIATE, 1)
        ended = client.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        client.connect(f"ipc://{daemon.runtime_dir}/control.sock")
        assert client.poll(5000, zmq.POLLOUT)
        for number in range(3):
            client.send(f'{{"trigger_id":"before {number}"}}'.encode())
        daemon.until(lambda: take() or len(answers) == len(daemon.reader.parts) == 3)
        door = daemon.children()["door:local"]
        os.kill(door, signal.SIGSTOP)
        for number in range(5):
            client.send(f'{{"trigger_id":"held {number}"}}'.encode())
        assert ended.poll(20_000), "a door that stands still is replaced"
        client.disable_monitor()
        ended.close()
        assert client.poll(5000, zmq.POLLOUT)
        for number in itertools.count():
            client.send(f'{{"trigger_id":"after {number}"}}'.encode())
            daemon.until(lambda: take() or f"after {number}" in answers)  # noqa: B023 - at once
            if answers[f"after {number}"]["schema"] == "trigger_ack/1":
                break
        taken = {name for name, answer in answers.items() if answer["schema"] == "trigger_ack/1"}
        daemon.until(lambda: take() or {part.trigger_id for part in daemon.reader.parts} >= taken)
    assert not [name for name in answers if name.startswith("held")]
    assert daemon.stop() == 0
    passed = {part.trigger_id for part in daemon.reader.parts if part.evaluation == Evaluation.PASS}
    assert not [name for name in passed if name.startswith("held")]
    counts = daemon.reader.event("stopped").counts
    assert counts.triggers == counts.parts
    assert counts.triggers_open == 0
