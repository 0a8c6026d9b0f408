"""The hand-shake with a PLC, as a state machine over registers. It holds no socket and no clock.

A fieldbus writes the plant's words with `write`, sends what that returns to the line, and reads the status
block with `read`. The line's side tells what it hears. Times are handed in, seconds on a clock that never
goes back. `docs/gateways/modbus.md` describes it for the plant.

What makes it safe: whenever Online falls, everything under way is forgotten, so that nothing from before can
be taken for an answer to something after; what was up in the first words that the plant wrote is no edge; a
trigger that was taken back, or overtaken by another, gets no acknowledgement and no result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from inspectd.gateways.command_cycle import CommandCycle, RecipeCommand
from inspectd.gateways.parts import PartsUnderWay, PlantTrigger, RefusedPart, trigger_of
from inspectd.gateways.registers import (
    BLOCK_WORDS,
    CONTROL_FIRST,
    MAP_VERSION,
    OFFLINE_SHIFT,
    PASS_KEY,
    STATUS_FIRST,
    CommandCode,
    ControlBit,
    LineBit,
    OfflineReason,
    StatusBit,
    Value,
    number_of,
    status_words,
    words_within,
)
from inspectd.gateways.results import ResultBuffer, result_values
from inspectd.wire import Accepted, PartVerdict, Verdict
from inspectd.wire.numbers import trigger_refusal_number

BEAT_SECONDS: Final = 0.2
_LINE_SECONDS: Final = 0.5
"""Who listens to the line tells that it is alive far more often; else nobody knows."""
_UNUSED_LOW_WORDS: Final = {0, PASS_KEY}
"""Words that an InspectionID must not end with: 0 is what a PLC has that read none, and the key of the other
would be 0, as of no pass."""


_AWAY: Final = {OfflineReason.LINE, OfflineReason.PLANT_HEARTBEAT, OfflineReason.OTHER_WRITER}


class TriggerState(StrEnum):
    """Where the trigger bit's hand-shake is."""

    IDLE = "idle"
    ASKING = "asking"
    """The line is asked; the bit is still up."""
    TAKEN = "taken"
    """TriggerAck is shown until the bit falls."""
    MISSED = "missed"
    """It was refused."""


Order = PlantTrigger | RefusedPart | RecipeCommand
"""What the line is to be asked, or told."""


class LineSeen(msgspec.Struct, frozen=True):
    """The line as its heartbeats show it."""

    epoch: int
    bits: LineBit = LineBit(0)


class Handshake:
    """One PLC's hand-shake with one line.

    Args:
        plant_seconds: the plant's heartbeat has to change so often; None: it has none.
        pass_hold_seconds: a pass that is not fetched so long after it came is none any more.
        recipes: names of recipes that triggers may have, by number.
        first_acquisition: where acquisitions are counted from; take a random one, so that numbers of another
            start of this program mean nothing.
    """

    def __init__(
        self,
        *,
        plant_seconds: float | None,
        pass_hold_seconds: float,
        recipes: Mapping[int, str],
        first_acquisition: int,
        golden_parts: Mapping[int, str] = MappingProxyType({}),
        may_promote: bool = False,
    ) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        """What happened, by kind and outcome; see `gateways.metrics`."""
        self.trigger_state = TriggerState.IDLE
        self.command = CommandCycle()
        self._plant_seconds = plant_seconds
        self._recipes = recipes
        self._golden_parts, self._may_promote = golden_parts, may_promote
        self._golden: str | None = None
        """Announced: the next part that the line takes is this golden one. It is what somebody is about to
        show, so it is forgotten once Online fell, another recipe judges or the line refuses the part."""
        self._golden_asked: PlantTrigger | None = None
        """The trigger that has it. What the line says of another one is not about it: the next golden part
        may be announced before the line has answered the trigger of the one before."""
        self._in_force: str | None = None
        self._executing = 0
        self._numbers = {name: number for number, name in recipes.items()}
        self._active = 0
        self._parts = PartsUnderWay()
        self._results = ResultBuffer(pass_hold_seconds)
        self._control = [0] * BLOCK_WORDS
        self._has_bits = False
        self._has_number = False
        self._plant_beat: int | None = 0
        self._plant_at: float | None = None
        self._came = 0.0
        """The earliest that what the plant has just written can have come."""
        self._is_plant_silent = False
        self._is_alone = True
        self._line: LineSeen | None = None
        self._line_until = 0.0
        self._offline = OfflineReason.LINE
        self._acquisition = first_acquisition
        self._asking: PlantTrigger | None = None
        self._latched = StatusBit(0)
        self._error = 0
        self._shown_acquisition = 0
        self._answered = (0, 0)
        self._beat = 0
        self._beat_at = 0.0

    # --- the plant's side ---------------------------------------------------------------------------------

    def write(self, first: int, words: Sequence[int], now: float, came: float | None = None) -> list[Order]:
        """The plant writes words of the control block; what the line is to be asked.

        Args:
            first: number of the first word.
            words: what it writes.
            now: seconds on the gateway's clock.
            came: the earliest that they can have been written: a trigger counts from then. None: now.

        Raises:
            RegisterError: they are not all in the control block; nothing was written.
        """
        words_within(first, len(words), (CONTROL_FIRST,))
        self.tick(now)
        before, written = self._control[:], range(first, first + len(words))
        self._control[first : first + len(words)] = words
        if 1 in written:
            if self._plant_beat not in {None, self._control[1]}:
                self._plant_at = now
            self._plant_beat = self._control[1]
        orders: list[Order] = []
        self._came = now if came is None else came
        if 0 in written:
            self._take_bits(ControlBit(before[0]), ControlBit(self._control[0]), orders, now)
        self.command.asks(*self._asked_command)
        if 33 in written and self._results.read_back(self._control[33]):
            self.counts["fetched", "number"] += 1
        if 32 in written:
            self._take_number(before[32], self._control[32], orders, now)
        self.tick(now)
        return orders

    def plant_lost(self, now: float) -> None:
        """The plant's words cannot be had any more: what they are when they are back is no edge and no beat.

        Takes a plant with a heartbeat: the line is not online until that has changed again.
        """
        self._has_bits = self._has_number = False
        self._plant_beat = self._plant_at = None
        self._golden = None
        self.command.fell()
        self.tick(now)

    def shared(self, now: float, *, is_alone: bool) -> None:
        """Whether this gateway alone writes what the plant reads; else the plant's words are not for it."""
        self._is_alone = is_alone
        if not is_alone:
            self.plant_lost(now)

    def writer_lost(self) -> None:
        """The connection by which the plant wrote has ended; it has to write anew to change its words.

        Of a plant with a heartbeat it says nothing: that is back before it is due, or stands still.
        """
        if self._plant_seconds is None:
            self._golden = None

    def read(self, first: int, count: int, now: float) -> list[int]:
        """Words as they are now, all of one moment.

        Raises:
            RegisterError: they are not all in one block of the map.
        """
        block = words_within(first, count, (CONTROL_FIRST, STATUS_FIRST))
        self.tick(now)
        words = self._control if block == CONTROL_FIRST else status_words(self._status())
        return words[first - block : first - block + count]

    # --- the line's side ----------------------------------------------------------------------------------

    def line_seen(self, line: LineSeen | None, now: float) -> None:
        """The line is alive and running; None: it is not. To be told several times within half a second."""
        self.tick(now)  # it may have been silent for too long until now
        if line is not None and self._line is not None and line.epoch != self._line.epoch:
            self._line = None  # it began anew: what was under way is nobody's
            self.tick(now)
        self._line, self._line_until = line, now + _LINE_SECONDS
        self.tick(now)

    def accepted(self, trigger: PlantTrigger, answer: Accepted, now: float) -> None:
        """The line took a trigger."""
        self.tick(now)
        if trigger is self._golden_asked:
            self._golden = None
        is_wanted = self._asking is trigger and self._parts.accepted(trigger, answer)
        self._answer_came(trigger)
        if not is_wanted:
            self.counts["trigger", "dropped"] += 1
            return
        self.counts["trigger", "accepted"] += 1
        self._shown_acquisition = trigger.acquisition
        if trigger.number:
            self._answered = (trigger.number, 1)
        else:
            self.trigger_state = TriggerState.TAKEN
        self.tick(now)

    def refused(self, trigger: PlantTrigger, reason: str, now: float) -> None:
        """The line did not take a trigger, or did not answer in time."""
        self.tick(now)
        is_wanted = trigger in self._parts
        self._answer_came(trigger)
        self._parts.drop(trigger)
        if trigger is self._golden_asked and reason == "golden":
            self._golden = None  # else every part after it would be refused as well
        if is_wanted:
            self._refuse(trigger.number, reason)

    def saw_view(self, verdict: Verdict) -> None:
        """The line judged a view."""
        self._parts.saw_view(verdict)

    def saw_part(self, verdict: PartVerdict, now: float) -> None:
        """The line judged a part."""
        self._parts.saw_part(verdict, now)
        self.tick(now)

    def command_ended(self, problem: str | None) -> None:
        """A command is done; `problem` is why it is not."""
        self.counts["command", problem or "done"] += 1
        if problem is None and self._executing in {CommandCode.ACTIVATE, CommandCode.PROMOTE}:
            # `recipe_in_force` says so later, and must not take what the plant announces from now on.
            self._golden = self._in_force = None
        self.command.ended(problem)

    def recipe_in_force(self, in_force: str, number: int | None) -> None:
        """What judges from now on, `ID@VERSION`; the number is None where it has none."""
        if self._in_force not in {None, in_force}:
            self._golden = None  # the one of before may be the only one that has such a part
        self._in_force = in_force
        name = in_force.partition("@")[0]
        if number is not None:
            self._numbers[name] = number
        self._active = self._numbers.get(name, 0)

    def recipe_not_known(self) -> None:
        """The line was away or began anew: what judges there now has yet to be heard of."""
        self._active, self._in_force = 0, None

    def recipe_not_told(self) -> None:
        """The line does not say what judges there; what did may not any more."""
        self._active = 0

    # --- time ---------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due: results, time-outs, the heartbeat. Reading and writing do so by themselves."""
        was_online, was, was_silent = self.is_online, self._offline, self._is_plant_silent
        self._is_plant_silent = self._plant_seconds is not None and (
            self._plant_at is None or now - self._plant_at > self._plant_seconds
        )
        if self._is_plant_silent and not was_silent:  # whether or not the line is away as well
            self.command.take_back()
        self._offline = self._offline_reason(now)
        if self._offline is not was and self._offline in _AWAY:  # also while the plant keeps the line offline
            self._golden = None
        if was_online and not self.is_online:
            self._forget()
        for result in self._parts.finished(now):
            self._latched ^= StatusBit.COMPLETED
            self.counts["result", result.judgement.name.lower()] += 1
            if not self._results.add(result):
                self._latched |= StatusBit.OVERRUN
                self.counts["result", "overrun"] += 1
        self.counts["result", "not_fetched"] += self._results.expire(now)
        if now - self._beat_at >= BEAT_SECONDS:
            self._beat_at = now
            self._beat = (self._beat + self.is_line_alive(now)) & 0xFFFF

    @property
    def is_online(self) -> bool:
        """Triggers are taken."""
        return self._offline is OfflineReason.NONE

    @property
    def offline_reason(self) -> OfflineReason:
        """Why they are not."""
        return self._offline

    def is_line_alive(self, now: float) -> bool:
        """A line that runs was heard just now."""
        return self._line is not None and now <= self._line_until

    def _offline_reason(self, now: float) -> OfflineReason:
        if not self._is_alone:
            return OfflineReason.OTHER_WRITER
        if not self.is_line_alive(now):
            return OfflineReason.LINE
        if self._is_plant_silent:
            return OfflineReason.PLANT_HEARTBEAT
        if self._control[0] & ControlBit.SET_OFFLINE:
            return OfflineReason.SET_OFFLINE
        return OfflineReason.NONE

    def _forget(self) -> None:
        self.counts["offline", self._offline.name.lower()] += 1
        self._golden = None
        self._parts.clear()
        self._results.clear()
        self._shown_acquisition = 0
        self._answered = (0, 0)
        if self.trigger_state is not TriggerState.IDLE:
            self.trigger_state = TriggerState.MISSED
            self._latched |= StatusBit.MISSED

    # --- bits ---------------------------------------------------------------------------------------------

    def _take_bits(self, before: ControlBit, after: ControlBit, orders: list[Order], now: float) -> None:
        if not self._has_bits:  # since when these are up nobody knows
            self._has_bits, before = True, after
            self._results.hold(is_held=bool(after & ControlBit.RESULTS_ACK))
            self.command.found(is_up=bool(after & ControlBit.EXECUTE))
        rose, fell = after & ~before, before & ~after
        if rose & ControlBit.CLEAR_ERROR:
            self._latched &= StatusBit.COMPLETED
            self._error = 0
        if rose & ControlBit.RESULTS_ACK and self._results.acknowledge():
            self.counts["fetched", "bit"] += 1
        if fell & ControlBit.RESULTS_ACK:
            self._results.hold(is_held=False)
        if fell & ControlBit.TRIGGER:
            self._trigger_fell()
        if rose & ControlBit.TRIGGER:
            self._trigger(orders, now, number=0)
        if fell & ControlBit.EXECUTE:
            self.command.fell()
        if rose & ControlBit.EXECUTE:
            self._execute(orders, now)

    def _take_number(self, before: int, after: int, orders: list[Order], now: float) -> None:
        """The plant wrote a trigger number; each new one is a trigger, once."""
        if not self._has_number:  # whether the one before it was another nobody knows
            self._has_number = True
            self._answered = (after, 2) if after else (0, 0)
            if after not in {0, before} and len(self._parts):
                if self._asking is not None:
                    self._overtake(self._asking)
                orders.append(RefusedPart())
        elif after not in {0, before}:
            # It may come again, as once the plant's program was started anew: what became of the part that
            # had it before must not be taken for what becomes of this one.
            self._parts.drop_number(after)
            self._results.drop_number(after)
            self._trigger(orders, now, number=after)

    def _trigger_fell(self) -> None:
        if self.trigger_state is TriggerState.ASKING and self._asking is not None:
            self._parts.drop(self._asking)  # taken back: whatever the line answers belongs to no part
        self.trigger_state = TriggerState.IDLE
        self._latched &= ~StatusBit.MISSED

    def _trigger(self, orders: list[Order], now: float, *, number: int) -> None:
        self.tick(now)
        self._answered = (0, 0)  # of the trigger before
        if not self._is_acknowledging(number):
            self._shown_acquisition = 0
        trigger = self._next_trigger(number)
        if self._asking is not None:
            self._overtake(self._asking)
        if isinstance(trigger, str):
            self._refuse(number, trigger)
            orders.append(RefusedPart())
            return
        self._acquisition = trigger.acquisition
        self._asking = trigger
        if trigger.golden is not None:
            self._golden_asked = trigger
        self._parts.begin(trigger)
        if not number:
            self.trigger_state = TriggerState.ASKING
        orders.append(trigger)

    def _overtake(self, asked: PlantTrigger) -> None:
        """Another part is there already: the line may take a picture of it for one of the first."""
        self._parts.drop(asked)
        if self.trigger_state is TriggerState.ASKING:
            self.trigger_state = TriggerState.MISSED
            self._latched |= StatusBit.MISSED

    def _is_acknowledging(self, number: int) -> bool:
        """Whether AcquisitionID is still that of TriggerAck, so that no number can be answered by another."""
        return bool(number) and self.trigger_state is TriggerState.TAKEN

    def _next_trigger(self, number: int) -> PlantTrigger | str:
        """The trigger that the control block describes, or why there is none."""
        if not self.is_online:
            return "not_online"
        if not self._control[0] & ControlBit.TRIGGER_ENABLE:
            return "not_enabled"
        if self._asking is not None or self._is_acknowledging(number):
            return "not_finished"
        acquisition = self._acquisition
        while True:
            acquisition = acquisition % 0xFFFFFFFF + 1
            if acquisition & 0xFFFF not in _UNUSED_LOW_WORDS:
                return trigger_of(
                    self._control, self._recipes, acquisition, self._came, number=number, golden=self._golden
                )

    def _refuse(self, number: int, reason: str) -> None:
        self.counts["trigger", reason] += 1
        self._latched |= StatusBit.ERROR
        self._error = trigger_refusal_number(reason)
        if number:
            self._answered = (number, 2)
        else:
            self.trigger_state = TriggerState.MISSED
            self._latched |= StatusBit.MISSED

    def _answer_came(self, trigger: PlantTrigger) -> None:
        if self._asking is trigger:
            self._asking = None

    def _execute(self, orders: list[Order], now: float) -> None:
        command = self.command.rose(*self._asked_command)
        if command is None:
            return
        self._executing = command.code
        if not self.is_line_alive(now):
            self.command_ended("not_alive")
        elif command.code == CommandCode.GOLDEN_NEXT:
            # Not asked of the line: a trigger of a golden part begins a check where none is under way.
            name = self._golden_parts.get(command.number)
            if name is not None:
                self._golden, self._golden_asked = name, None
            self.command_ended(None if name is not None else "golden_part")
        elif command.code == CommandCode.GOLDEN_END:
            self._golden = None
            orders.append(command)
        elif command.code == CommandCode.PROMOTE and not self._may_promote:
            self.command_ended("not_allowed")
        elif not 1 <= command.number <= 999:
            self.command_ended("recipe_number")
        else:
            orders.append(command)

    @property
    def _asked_command(self) -> tuple[int, int]:
        return number_of(self._control, "command"), number_of(self._control, "argument")

    def _status(self) -> dict[str, Value]:
        bits = self._latched
        control = ControlBit(self._control[0])
        if self.is_online:
            bits |= StatusBit.ONLINE
            is_free = self._asking is None and not control & ControlBit.TRIGGER
            if is_free and control & ControlBit.TRIGGER_ENABLE:
                bits |= StatusBit.TRIGGER_READY
        if self.trigger_state is TriggerState.TAKEN:
            bits |= StatusBit.TRIGGER_ACK
        bits |= StatusBit.BUSY if len(self._parts) else StatusBit(0)
        bits |= self.command.bits
        shown = self._results.shown
        values: dict[str, Value] = {} if shown is None else result_values(shown, self._numbers)
        bits |= StatusBit.RESULTS_VALID if shown is not None else StatusBit(0)
        line_bits = self._line.bits if self._line is not None else LineBit(0)
        return values | {
            "status": bits | self._offline << OFFLINE_SHIFT,
            "heartbeat": self._beat,
            "map_version": MAP_VERSION,
            "error": self._error,
            "active_recipe": self._active,
            "command_result": self.command.result,
            "acquisition_id": self._shown_acquisition,
            "results_waiting": len(self._results),
            "line": line_bits | (LineBit.GOLDEN_NEXT if self._golden is not None else LineBit(0)),
            "answered_number": self._answered[0],
            "answer": self._answered[1],
        }
