"""The gate opens for a matching, on-time pass of a line that is alive, and for nothing else."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
from faults.belt import TOOLS, load_tool
from support.asleep import Host

from inspectd.wire import Accepted, Evaluation, PartVerdict, Reason, ViewVerdict

PASS = PartVerdict(
    "demo", "line1", 5, 1, "a", None, None, Evaluation.PASS, Reason.WITHIN_THRESHOLD, 2000, 0, 30.0, 300.0,
    270.0, False, [ViewVerdict("top", 0, Evaluation.PASS, Reason.WITHIN_THRESHOLD)],
)  # fmt: skip
ANSWER = Accepted("a", PASS.epoch, PASS.triggered_utc_ns, 300.0, ["top"])


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock):
    gate = load_tool("gate_simulator").Gate(0.5, 0.1, clock)
    gate.part("a")
    gate.accepted(ANSWER)
    return gate


def at_the_gate(gate, clock, *, alive: bool = True, at: float = 100.5):
    clock.now = at
    (decision,) = gate.decide(line_is_alive=alive)
    assert decision.trigger_id == "a"
    assert list(gate.decide(line_is_alive=alive)) == []
    return decision


def test_opens_for_a_pass_in_time(gate, clock):
    assert list(gate.decide(line_is_alive=True)) == []
    gate.verdict(PASS)
    decision = at_the_gate(gate, clock)
    assert decision.opened
    assert decision.at == 100.5


@pytest.mark.parametrize(
    "changed",
    [
        {"evaluation": Evaluation.FAIL},
        {"evaluation": Evaluation.UNDECIDABLE},
        {"late": True},
        {"trigger_id": "b"},
        {"epoch": PASS.epoch - 1},
        {"triggered_utc_ns": PASS.triggered_utc_ns - 1},
    ],
)
def test_stays_closed_for_anything_else(gate, clock, changed):
    gate.verdict(msgspec.structs.replace(PASS, **changed))
    assert not at_the_gate(gate, clock).opened


@pytest.mark.parametrize(("at", "opened"), [(100.55, True), (100.75, False), (103.5, False)])
def test_stays_closed_for_a_part_that_is_long_gone(clock, at, opened):
    gate = load_tool("gate_simulator").Gate(0.5, 0.1, clock, tolerance_seconds=0.2)
    gate.part("a")
    gate.accepted(ANSWER)
    gate.verdict(PASS)
    decision = at_the_gate(gate, clock, at=at)
    assert (decision.opened, decision.because) == ((True, "pass") if opened else (False, "too late to act"))


def test_stays_closed_for_a_part_that_went_by_while_the_host_slept(monkeypatch):
    host, gate = Host(monkeypatch), load_tool("gate_simulator").Gate(30.0, 10.0)
    gate.part("a")
    gate.accepted(ANSWER)
    gate.verdict(PASS)
    host.sleep(60)
    (decision,) = gate.decide(line_is_alive=True)
    assert (decision.opened, decision.because) == (False, "too late to act")


def test_what_holds_up_the_gate_at_one_part_makes_the_next_too_late(gate, clock):
    clock.now = 100.05
    gate.part("b")
    gate.accepted(msgspec.structs.replace(ANSWER, trigger_id="b"))
    gate.verdict(PASS)
    gate.verdict(msgspec.structs.replace(PASS, trigger_id="b", seq=2))
    clock.now = 100.56
    opened = []
    for decision in gate.decide(line_is_alive=True):
        opened.append((decision.trigger_id, decision.opened))
        clock.now += 3  # acting on it took so long
    assert opened == [("a", True), ("b", False)]


def test_stays_closed_without_a_verdict(gate, clock):
    assert at_the_gate(gate, clock).because == "no verdict in time"


def test_stays_closed_while_the_line_is_silent(gate, clock):
    gate.verdict(PASS)
    assert not at_the_gate(gate, clock, alive=False).opened


def test_stays_closed_for_a_pass_that_comes_with_the_part_or_later(gate, clock):
    clock.now = 100.5
    gate.verdict(PASS)
    assert not at_the_gate(gate, clock).opened


@pytest.mark.parametrize(("answered_at", "opened"), [(100.1, True), (100.11, False), (None, False)])
def test_opens_only_if_the_trigger_was_accepted_in_time(clock, answered_at, opened):
    gate = load_tool("gate_simulator").Gate(0.5, 0.1, clock)
    gate.part("a")
    if answered_at is not None:
        clock.now = answered_at
        gate.accepted(ANSWER)
    gate.verdict(PASS)
    decision = at_the_gate(gate, clock)
    assert decision.opened == opened
    assert decision.because == ("pass" if opened else "not accepted in time")


def test_the_first_verdict_counts(gate, clock):
    gate.verdict(msgspec.structs.replace(PASS, evaluation=Evaluation.FAIL))
    gate.verdict(PASS)
    assert not at_the_gate(gate, clock).opened


@pytest.mark.parametrize("heard_first", [True, False])
@pytest.mark.parametrize("old", [{"epoch": 4}, {"triggered_utc_ns": 1000}])
@pytest.mark.parametrize("new", [Evaluation.FAIL, None])
def test_the_replayed_pass_of_an_earlier_part_of_the_same_id_opens_nothing(clock, heard_first, old, new):
    gate = load_tool("gate_simulator").Gate(0.5, 0.1, clock)
    gate.part("a")
    if not heard_first:
        gate.accepted(ANSWER)
    gate.verdict(msgspec.structs.replace(PASS, **old))
    if heard_first:
        gate.accepted(ANSWER)
    if new is not None:
        gate.verdict(msgspec.structs.replace(PASS, evaluation=new))
    decision = at_the_gate(gate, clock)
    assert not decision.opened
    assert decision.because == ("no verdict in time" if new is None else "fail, within_threshold")


def test_the_replayed_fail_of_an_earlier_part_of_the_same_id_closes_nothing(gate, clock):
    gate.verdict(msgspec.structs.replace(PASS, evaluation=Evaluation.FAIL, triggered_utc_ns=1000))
    gate.verdict(PASS)
    assert at_the_gate(gate, clock).opened


def test_a_verdict_may_come_before_its_acknowledgement(clock):
    gate = load_tool("gate_simulator").Gate(0.5, 0.1, clock)
    gate.part("a")
    gate.verdict(PASS)
    gate.accepted(ANSWER)
    assert at_the_gate(gate, clock).opened


def test_the_acknowledgement_of_an_earlier_part_of_the_same_id_is_forgotten(gate, clock):
    gate.verdict(PASS)
    gate.part("a")
    assert at_the_gate(gate, clock).because == "not accepted in time"


def test_an_endless_replay_takes_no_endless_memory(gate, clock):
    for at in range(5000):
        gate.verdict(msgspec.structs.replace(PASS, triggered_utc_ns=10_000 + at))
    assert len(gate._heard) <= 1000
    gate.verdict(PASS)
    assert at_the_gate(gate, clock).opened


def test_as_a_program_it_rejects_every_part_of_a_line_that_is_not_there(tmp_path):
    endpoints = [f"ipc://{tmp_path}/{name}.sock" for name in ("verdicts", "control")]
    options = ["--parts", "2", "--pitch-ms", "100", "--travel-ms", "150"]
    done = subprocess.run(
        [sys.executable, TOOLS / "gate_simulator.py", *endpoints, *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.count("no answer") == 2
    assert done.stdout.count("REJECT not accepted in time") == 2
