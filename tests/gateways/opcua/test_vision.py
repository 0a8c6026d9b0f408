"""The vision system without a server: states, and no pass that was late or has no line behind it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from support.messages import EPOCH, heartbeat
from support.plant_side import part

from inspectd.gateways.opcua.audit import PlantAudit
from inspectd.gateways.opcua.halted import HaltMark
from inspectd.gateways.opcua.results import ResultState, VisionJob, VisionResult, result_of_verdict
from inspectd.gateways.opcua.structures import utc_time
from inspectd.gateways.opcua.vision import (
    AutomaticState,
    MachineState,
    MethodError,
    VisionSystem,
    method_error,
)
from inspectd.gateways.parts import GRACE_SECONDS, Judgement
from inspectd.wire import Accepted, Evaluation, HealthCondition, Heartbeat, LineState, Reason
from inspectd.wire.numbers import TRIGGER_REFUSAL_NUMBERS, reason_number

UTC_NS = 1_763_924_431_000_000_000


class Plant:
    """A vision system with a clock, and a line that says what a test wants."""

    def __init__(self, **settings: Any) -> None:
        self.now = 100.0
        self.vision = VisionSystem(7, **settings)
        self.vision.recipe_known(is_known=True)

    def beats(self, **changes: Any) -> Plant:
        """A heartbeat comes, dated now."""
        utc_ns = UTC_NS + round((self.now - 100) * 1e9)
        self.beat = msgspec.structs.replace(heartbeat(1), utc_ns=utc_ns, **changes)
        self.vision.line_seen(self.beat, self.now)
        return self

    def silent(self) -> Plant:
        self.vision.line_seen(None, self.now)
        return self

    def job(self, deadline_ms: float = 500) -> tuple[VisionJob, Accepted]:
        made = self.vision.begin(self.now, part_id="P", meas_id="m", product_id="", user="mes")
        answer = Accepted(made.trigger_id, EPOCH, UTC_NS, deadline_ms, ["top"], "cells")
        assert self.vision.accepted(made, answer)
        return made, answer

    def results(self) -> list[VisionResult]:
        return self.vision.update(self.now, UTC_NS)

    def machine(self) -> MachineState:
        self.vision.update(self.now, UTC_NS)
        return self.vision.machine


def test_a_job_passes_in_time() -> None:
    plant = Plant().beats()
    job, answer = plant.job()
    assert plant.vision.automatic is AutomaticState.SINGLE
    plant.now += 0.4
    plant.vision.saw_part(part(answer), plant.now)
    (result,) = plant.results()
    assert (result.judgement, result.job_id, result.meas_id) == (Judgement.PASS, job.trigger_id, "m")
    assert plant.vision.automatic is AutomaticState.READY
    assert plant.results() == [], "once"


def test_a_job_that_is_late_by_the_gateways_clock_is_no_pass() -> None:
    plant = Plant().beats()
    _, answer = plant.job()
    plant.now += 0.6
    plant.vision.saw_part(part(answer), plant.now)
    (result,) = plant.results()
    assert (result.judgement, result.is_late) == (Judgement.UNDECIDABLE, True)


def test_a_job_without_a_verdict_has_a_result_all_the_same() -> None:
    plant = Plant().beats()
    job, _ = plant.job()
    plant.now += 0.5 + GRACE_SECONDS + 0.01
    (result,) = plant.results()
    assert (result.result_id, result.reason) == (f"none:{job.trigger_id}", reason_number("no_verdict"))


def test_what_is_under_way_when_the_line_falls_silent_never_passes() -> None:
    plant = Plant().beats()
    _, answer = plant.job()
    (result,) = plant.silent().results()
    assert result.judgement is Judgement.UNDECIDABLE
    plant.beats()
    plant.vision.saw_part(part(answer), plant.now)
    assert plant.results() == []


def test_a_job_that_is_aborted_never_passes() -> None:
    plant = Plant().beats()
    _, answer = plant.job()
    plant.vision.abort(plant.now, UTC_NS)
    plant.vision.saw_part(part(answer), plant.now)
    (result,) = plant.results()
    assert (result.judgement, result.state) == (Judgement.UNDECIDABLE, ResultState.ABORTED)


def test_the_answer_to_a_job_that_was_aborted_meanwhile_is_no_job() -> None:
    plant = Plant().beats()
    made = plant.vision.begin(plant.now, part_id=None, meas_id="", product_id="", user="mes")
    plant.vision.abort(plant.now, UTC_NS)
    assert not plant.vision.accepted(made, Accepted(made.trigger_id, EPOCH, UTC_NS, 500, ["top"], "cells"))
    assert plant.results() == []


def others(**changes: Any) -> Any:
    answer = Accepted("others-1", EPOCH, UTC_NS, 500, ["top"], "cells")
    return part(answer, **{"deadline_ms": 500.0, "triggered_utc_ns": UTC_NS} | changes)


def test_a_job_that_a_later_part_overtook_before_the_line_answered_is_no_job() -> None:
    plant = Plant().beats()
    answered, _ = plant.job()
    first, second, third = (
        plant.vision.begin(plant.now, part_id=None, meas_id="", product_id="", user="mes") for _ in range(3)
    )
    assert plant.vision.overtake(second)
    assert not plant.vision.overtake(second), "once"
    assert [plant.vision.wants(job) for job in (answered, first, second, third)] == [True, False, True, True]
    assert plant.vision.overtake()
    assert [plant.vision.wants(job) for job in (answered, second, third)] == [True, False, False]
    answer = Accepted(first.trigger_id, EPOCH, UTC_NS, 500, ["top"], "cells")
    assert not plant.vision.accepted(first, answer)


def test_the_line_is_told_of_a_job_that_is_not_sent_once_and_never_after_a_later_part() -> None:
    """Of one that ended while its recipe was put in force the line could take a later part's picture."""
    plant = Plant().beats()
    aborted, first, second, third = (
        plant.vision.begin(plant.now, part_id=None, meas_id="", product_id="", user="mes") for _ in range(4)
    )
    plant.vision.abort(plant.now, UTC_NS)
    fourth = plant.vision.begin(plant.now, part_id=None, meas_id="", product_id="", user="mes")
    assert plant.vision.end(first), "with the one before it"
    assert not plant.vision.end(aborted)
    assert plant.vision.overtake(third)
    assert not plant.vision.end(second)
    assert plant.vision.end(third)
    assert plant.vision.wants(fourth), "what ends before it has no say in it"
    assert not plant.vision.overtake(fourth)
    assert plant.vision.end(fourth)


@pytest.mark.parametrize(
    ("seconds", "changes", "judgement"),
    [
        (0.4, {}, Judgement.PASS),
        (0.6, {}, Judgement.UNDECIDABLE),
        (0.4, {"late": True}, Judgement.UNDECIDABLE),
        (0.4, {"evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD}, Judgement.FAIL),
    ],
)
def test_a_part_of_others_that_came_late_is_no_pass(seconds, changes, judgement) -> None:
    plant = Plant(is_continuous=True).beats()
    plant.now += seconds
    plant.vision.saw_part(others(**changes), plant.now)
    (result,) = plant.results()
    assert (result.judgement, result.job_id) == (judgement, "others-1")


def test_a_part_of_others_is_no_pass_while_the_line_is_silent() -> None:
    plant = Plant(is_continuous=True).silent()
    plant.vision.saw_part(others(), plant.now)
    assert [result.judgement for result in plant.results()] == [Judgement.UNDECIDABLE]


def test_neither_a_heartbeat_that_waited_nor_a_clock_that_was_set_back_makes_an_old_pass_new() -> None:
    plant = Plant(is_continuous=True).beats()
    sent, seqs = plant.now + 0.1, itertools.count(2)

    def told(utc_s: float, *, beat_utc_s: float) -> Judgement:
        """What is told of a part that was triggered then, behind a heartbeat of then."""
        beat = msgspec.structs.replace(plant.beat, utc_ns=UTC_NS + round(beat_utc_s * 1e9))
        plant.vision.line_seen(beat, plant.now)
        triggered_utc_ns = UTC_NS + round(utc_s * 1e9)
        plant.vision.saw_part(others(triggered_utc_ns=triggered_utc_ns, seq=next(seqs)), plant.now)
        (result,) = plant.results()
        return result.judgement

    plant.now += 4  # the gateway was held up, and reads what came meanwhile
    assert told(sent - 100, beat_utc_s=0.1) is Judgement.UNDECIDABLE
    assert told(3.9, beat_utc_s=4) is Judgement.PASS
    for _ in range(60):  # ten seconds back: for five of them nobody knows
        plant.now += 0.1
        utc_s = plant.now - 110
        judgement = told(utc_s - 0.1, beat_utc_s=utc_s)
        assert judgement is (Judgement.UNDECIDABLE if plant.now < 109.15 else Judgement.PASS)
    assert plant.now > 109.9


def test_parts_of_others_are_told_in_a_continuous_job_alone() -> None:
    plant = Plant().beats()
    plant.vision.saw_part(others(), plant.now)
    assert plant.results() == []
    name = plant.vision.begin_continuous()
    plant.vision.saw_part(others(), plant.now)
    assert [result.job_id for result in plant.results()] == [name]
    assert plant.vision.end_continuous()
    plant.vision.saw_part(others(), plant.now)
    assert plant.results() == []
    assert not plant.vision.end_continuous()


@pytest.mark.parametrize("is_begun", [True, False])
def test_a_job_that_came_to_nothing_is_no_pass_in_a_continuous_job_either(is_begun) -> None:
    plant = Plant(is_continuous=not is_begun).beats()
    _, answer = plant.job()
    plant.vision.abort(plant.now, UTC_NS)
    name = plant.vision.begin_continuous() if is_begun else answer.trigger_id
    plant.vision.saw_part(part(answer, deadline_ms=500.0), plant.now)
    aborted, told = plant.results()
    assert (told.judgement, told.state, told.reason) == (aborted.judgement, aborted.state, aborted.reason)
    assert (told.judgement, told.job_id) == (Judgement.UNDECIDABLE, name)


@pytest.mark.parametrize("is_late", [False, True])
def test_a_pass_that_the_line_has_recorded_is_none_before_its_job_has_its_result(is_late: bool) -> None:
    plant = Plant().beats()
    _, answer = plant.job(deadline_ms=500)
    recorded = result_of_verdict(part(answer))
    assert recorded.judgement is Judgement.PASS
    plant.now += 0.6 if is_late else 0.4
    assert plant.vision.as_told(recorded).judgement is Judgement.UNDECIDABLE
    plant.vision.saw_part(part(answer), plant.now)
    assert plant.vision.as_told(recorded).judgement is Judgement.UNDECIDABLE
    (told,) = plant.results()
    assert told.judgement is (Judgement.UNDECIDABLE if is_late else Judgement.PASS)
    assert plant.vision.as_told(recorded).judgement is told.judgement
    assert plant.vision.as_told(recorded).reason == told.reason


def test_a_recorded_pass_that_was_late_is_none() -> None:
    assert result_of_verdict(others(late=True)).judgement is Judgement.UNDECIDABLE
    assert result_of_verdict(others()).judgement is Judgement.PASS


@pytest.mark.parametrize(
    ("changes", "state", "cause"),
    [
        ({}, MachineState.OPERATIONAL, ""),
        *(
            ({"state": state}, MachineState.PREOPERATIONAL, state)
            for state in LineState
            if state is not LineState.RUNNING
        ),
        ({"cameras": {"a": "down", "b": "down"}}, MachineState.ERROR, "camera_down"),
        ({"cameras": {"a": "down", "b": "up"}}, MachineState.OPERATIONAL, ""),
        *(
            ({"conditions": [HealthCondition("failure", name, "")]}, MachineState.ERROR, name)
            for name in ("scoring_down", "golden_failed", "golden_overdue")
        ),
        ({"conditions": [HealthCondition("x", "late", "")]}, MachineState.OPERATIONAL, ""),
    ],
)
def test_states(changes, state, cause) -> None:
    plant = Plant().beats(**changes)
    assert plant.machine() is state
    assert plant.vision.cause == cause
    assert (plant.vision.refusal() is MethodError.OK) is (state is MachineState.OPERATIONAL)


def test_from_never_heard_to_silent() -> None:
    plant = Plant()
    assert plant.machine() is MachineState.PREOPERATIONAL
    assert plant.beats().machine() is MachineState.OPERATIONAL
    assert plant.silent().machine() is MachineState.ERROR
    assert plant.vision.counts["error", "silent"] == 1
    assert plant.beats().machine() is MachineState.OPERATIONAL


def test_a_line_that_said_that_it_ends_is_no_error() -> None:
    plant = Plant().beats()
    _, answer = plant.job()
    plant.vision.line_seen(None, plant.now, is_stopped=True)
    assert [result.judgement for result in plant.results()] == [Judgement.UNDECIDABLE]
    assert (plant.machine(), plant.vision.cause) == (MachineState.PREOPERATIONAL, "stopped")
    assert plant.vision.refusal() is MethodError.NOT_READY
    assert plant.vision.counts["error", "silent"] == 0
    plant.vision.saw_part(part(answer), plant.now)
    assert plant.beats().machine() is MachineState.OPERATIONAL
    assert plant.results() == []


def test_halted_is_left_by_a_reset_alone() -> None:
    plant = Plant().beats()
    plant.vision.halt(plant.now, UTC_NS)
    assert plant.silent().machine() is plant.beats().machine() is MachineState.HALTED
    plant.vision.reset()
    assert plant.machine() is MachineState.OPERATIONAL


def test_a_gateway_that_was_halted_before_its_start_waits_for_a_reset() -> None:
    plant = Plant(is_halted=True).beats()
    assert plant.vision.refusal() is MethodError.NOT_READY
    assert plant.machine() is MachineState.HALTED


def test_a_halt_that_cannot_be_kept_is_counted(tmp_path) -> None:
    audit = PlantAudit()
    mark = HaltMark(tmp_path, audit)  # a folder is there
    for is_halted in (True, False):
        mark.keep("anna", is_halted=is_halted)
    assert audit.refused["keep_halted", "not_written"] == 2


def test_a_line_whose_recipe_is_not_known_takes_no_job() -> None:
    plant = Plant().beats()
    plant.vision.recipe_known(is_known=False)
    assert plant.vision.automatic is AutomaticState.INITIALIZED
    assert plant.vision.refusal() is MethodError.NOT_READY


def test_why_no_job_is_taken_has_a_number_of_its_own() -> None:
    plant = Plant()
    for state in (LineState.DRAINING, LineState.STOPPED):
        assert plant.beats(state=state).vision.refusal() is MethodError.SHUTTING_DOWN
    plant.beats(conditions=[HealthCondition("failure", "golden_overdue", "")]).machine()
    assert plant.vision.refusal() is MethodError.NOT_PERMITTED_NOW
    assert {method_error(reason) for reason in TRIGGER_REFUSAL_NUMBERS} <= {*MethodError} - {MethodError.OK}


def test_job_ids_are_never_used_again() -> None:
    plant = Plant().beats()
    assert isinstance(plant.beat, Heartbeat)
    assert len({plant.job()[0].trigger_id for _ in range(100)}) == 100


@pytest.mark.parametrize("utc_ns", [-1, -(2**80), 2**80])
def test_a_time_that_no_clock_shows_ends_nothing(utc_ns: int) -> None:
    assert datetime(1970, 1, 1, tzinfo=UTC) <= utc_time(utc_ns) < datetime(2263, 1, 1, tzinfo=UTC)
