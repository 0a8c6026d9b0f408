"""Whatever plant, line and clock do: a pass is shown only for a part that has one, in time, and still may."""

from __future__ import annotations

from hypothesis import settings as how_hard
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.plant_side import EPOCH, PlantSide, accepted, part

from inspectd.gateways.parts import PlantTrigger
from inspectd.gateways.registers import ControlBit, StatusBit
from inspectd.wire import Accepted, Evaluation

HOLD_SECONDS = 2.0
LINE_SECONDS = 0.5
BITS = some.sets(some.sampled_from([*ControlBit]), max_size=4).map(sum)


class AnyPlantAndLine(RuleBasedStateMachine):
    """Keeps its own book of what may be a pass, from nothing but what was told to the hand-shake."""

    def __init__(self) -> None:
        super().__init__()
        self.restart()

    def restart(self) -> None:
        self.side = PlantSide(plant_seconds=1.0, first_acquisition=getattr(self, "started", 0) + 70_000)
        self.started = getattr(self, "started", 0) + 1_000_000
        self.asked: list[PlantTrigger] = []
        self.answers: dict[int, Accepted] = {}
        self.triggers: dict[int, PlantTrigger] = {}
        self.may_pass: dict[int, float] = {}
        """By acquisition: until when."""
        self.begun_since_offline: set[int] = set()
        self.epoch = EPOCH
        self.alive_until = 0.0
        self.beat = 0

    def note(self, orders: list) -> None:
        for order in orders:
            if isinstance(order, PlantTrigger):
                self.asked.append(order)
                self.triggers[order.acquisition] = order
                self.begun_since_offline.add(order.acquisition)

    @rule(bits=BITS)
    def writes_bits(self, bits: int) -> None:
        self.note(self.side.control(bits))

    @rule(number=some.integers(0, 3), read=some.integers(0, 3))
    def writes_numbers(self, number: int, read: int) -> None:
        self.note(self.side.write(32, number, read))

    @rule()
    def triggers_in_order(self) -> None:
        self.note(self.side.control(ControlBit.TRIGGER_ENABLE))
        self.note(self.side.control(ControlBit.TRIGGER_ENABLE | ControlBit.TRIGGER))

    @rule()
    def plant_beats(self) -> None:
        self.beat = (self.beat + 1) % 65_536
        self.note(self.side.write(1, self.beat))

    @rule(seconds=some.sampled_from([0.01, 0.1, 0.3, 0.6, 2.5]))
    def time_goes_by(self, seconds: float) -> None:
        self.side.now += seconds

    @rule()
    def line_is_alive(self) -> None:
        if self.side.now > self.alive_until:
            self.begun_since_offline.clear()
        self.side.alive(self.epoch)
        self.alive_until = self.side.now + LINE_SECONDS

    @rule()
    def line_restarts(self) -> None:
        self.epoch += 1
        self.begun_since_offline.clear()
        self.line_is_alive()

    @rule()
    def line_is_silent(self) -> None:
        self.side.handshake.line_seen(None, self.side.now)
        self.alive_until = 0.0

    @rule()
    def gateway_restarts(self) -> None:
        now = self.side.now
        self.restart()
        self.side.now = now

    @precondition(lambda self: self.asked)
    @rule(data=some.data())
    def line_answers(self, data: some.DataObject) -> None:
        trigger = data.draw(some.sampled_from(self.asked))
        self.asked.remove(trigger)
        if data.draw(some.booleans()):
            answer = accepted(trigger, data.draw(some.sampled_from([50.0, 500.0])), self.epoch)
            self.answers[trigger.acquisition] = answer
            self.side.handshake.accepted(trigger, answer, self.side.now)
        else:
            self.side.handshake.refused(trigger, "not_ready", self.side.now)

    @precondition(lambda self: self.triggers)
    @rule(data=some.data())
    def line_judges(self, data: some.DataObject) -> None:
        number = data.draw(some.sampled_from([*self.triggers]))
        answer = self.answers.get(number) or accepted(self.triggers[number], 500.0, self.epoch)
        evaluation = data.draw(some.sampled_from([*Evaluation]))
        changes = data.draw(
            some.sampled_from([{}, {}, {"epoch": 1}, {"triggered_utc_ns": 1}, {"late": True}])
        )
        verdict = part(answer, evaluation, **changes)
        due = self.triggers[number].at + answer.deadline_ms / 1000
        if evaluation is Evaluation.PASS and not changes and self.side.now <= due:
            self.may_pass[number] = self.side.now + HOLD_SECONDS
        self.side.handshake.saw_part(verdict, self.side.now)

    @invariant()
    def a_pass_is_shown_for_its_own_part_alone(self) -> None:
        side = self.side
        shown, is_valid = side.value("inspection_id"), side.has(StatusBit.RESULTS_VALID)
        if side.value("evaluation") == 1 or side.value("pass_key"):
            assert side.says_pass
            assert is_valid
            assert side.has(StatusBit.ONLINE)
            assert side.now <= self.alive_until
            assert shown in self.answers
            assert shown in self.begun_since_offline
            assert side.now <= self.may_pass[shown]
        if not side.has(StatusBit.ONLINE):
            assert not is_valid
            assert not side.has(StatusBit.TRIGGER_READY)

    @invariant()
    def an_acknowledgement_is_of_the_trigger_that_is_up(self) -> None:
        if self.side.has(StatusBit.TRIGGER_ACK):
            assert self.side.value("acquisition_id") == max(self.answers)


TestAnyPlantAndLine = AnyPlantAndLine.TestCase
TestAnyPlantAndLine.settings = how_hard(max_examples=150, stateful_step_count=60, deadline=None)
