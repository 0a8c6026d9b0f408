"""The side of the bus of a gateway: what the plant asks goes to the line, what the line says comes back.

The tasks of `LineLink.run` share one event loop with the plant's side, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from inspectd import log
from inspectd.client import AsyncTriggerSender, AsyncVerdictReader, Liveness, Lost, ask_status
from inspectd.config.program_files import endpoint
from inspectd.errors import UnavailableError
from inspectd.gateways.command_cycle import RecipeCommand
from inspectd.gateways.commands import RecipeDesk
from inspectd.gateways.handshake import Handshake, LineSeen, Order
from inspectd.gateways.line_ends import LineEnds
from inspectd.gateways.parts import PlantTrigger, RefusedPart
from inspectd.gateways.refused_parts import RefusedParts
from inspectd.gateways.registers import LineBit
from inspectd.gateways.settings import GatewayLine, HandshakeSettings
from inspectd.gateways.trying_again import trying_again
from inspectd.wire import Accepted, Event, HealthStatus, Heartbeat, LineState, PartVerdict, RecipeAck

_TURN_SECONDS: Final = 0.05
_STATUS_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 2.0
"""Events may be lost on the way, so the line is asked now and then what is in force."""
_PATIENCE_SECONDS: Final = 1.0
"""A verdict that is not replayed by then comes too late for any gate."""

_RECIPE_EVENTS: Final = {"recipe_activated", "recipe_in_force", "reloaded", "started", "scoring_ready"}

_HEALTH_BITS: Final = {
    HealthStatus.FAILURE: LineBit.FAILURE,
    HealthStatus.FUNCTION_CHECK: LineBit.FUNCTION_CHECK,
    HealthStatus.OUT_OF_SPECIFICATION: LineBit.OUT_OF_SPECIFICATION,
    HealthStatus.MAINTENANCE_REQUIRED: LineBit.MAINTENANCE,
}
_CONDITION_BITS: Final = {
    "golden_due": LineBit.GOLDEN_DUE,
    "golden_overdue": LineBit.GOLDEN_FAILED,
    "golden_failed": LineBit.GOLDEN_FAILED,
    "shadow_down": LineBit.SHADOW_DOWN,
}

_log: Final = logging.getLogger(__name__)


class LineLink:
    """A hand-shake's connection to its line.

    Args:
        line: where the line is.
        settings: of the hand-shake.
        handshake: what the plant sees.
        clock: seconds on a clock that never goes back, the hand-shake's.
    """

    def __init__(
        self, line: GatewayLine, settings: HandshakeSettings, handshake: Handshake, clock: Callable[[], float]
    ) -> None:
        self.lost = 0
        """Verdicts that could not be had any more."""
        self._line, self._handshake, self._clock = line, handshake, clock
        self._answer_seconds = settings.answer_ms / 1000
        self._sync, self._control = endpoint(line, "sync"), endpoint(line, "control")
        self._triggers: asyncio.Queue[PlantTrigger] = asyncio.Queue()
        self._commands: asyncio.Queue[RecipeCommand] = asyncio.Queue()
        self._all_answered = asyncio.Event()
        """The line has answered every trigger, or its time is over."""
        self._all_answered.set()
        self._recipe_may_differ = asyncio.Event()
        self._desk = RecipeDesk(
            line, self._control, settings.command_seconds, clock, on_in_force=self._put_in_force
        )
        self._refused = RefusedParts(self._control, line, clock)

    def take(self, order: Order) -> None:
        """Have the line asked; its answer goes to the hand-shake."""
        if isinstance(order, RecipeCommand):
            self._commands.put_nowait(order)
        elif isinstance(order, RefusedPart):
            self._refused.add()
        else:
            self._triggers.put_nowait(order)
            self._all_answered.clear()

    async def run(self) -> None:
        """Work until it is cancelled.

        Raises:
            InputError: an endpoint or a key cannot be used at the start, or is of another line.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._send_triggers())
            tasks.create_task(self._refused.run())
            tasks.create_task(self._do_commands())
            tasks.create_task(self._learn_recipe())

    async def _read(self) -> None:
        epoch, was_alive, ends = None, False, LineEnds()
        async with AsyncVerdictReader(
            self._line.verdicts, self._sync, line=self._line.own_names, keys=self._line.keys,
            patience_seconds=_PATIENCE_SECONDS, on_event=self._heard,
        ) as reader:  # fmt: skip
            while True:
                item = await reader.receive(_TURN_SECONDS)
                heartbeat = reader.heartbeat
                is_alive = reader.liveness is Liveness.ALIVE and heartbeat is not None
                seen = _seen(heartbeat) if is_alive and heartbeat is not None else None
                now = self._clock()
                is_other = is_alive != was_alive or (seen is not None and seen.epoch != epoch)
                if is_other:
                    self._handshake.recipe_not_known()
                # Of a line that starts already: one that runs may have been asked for it anew.
                if (problem := ends.found(heartbeat)) is not None:
                    self._desk.line_lost(problem)
                self._handshake.line_seen(seen, now)
                if isinstance(item, PartVerdict):
                    self._handshake.saw_part(item, now)
                elif isinstance(item, Lost):
                    self.lost += item.count or 1
                elif item is not None:
                    self._handshake.saw_view(item)
                if is_other:
                    log.event(_log, logging.INFO, "line", liveness=reader.liveness)
                    was_alive, epoch = is_alive, None if seen is None else seen.epoch
                    self._recipe_may_differ.set()

    def _heard(self, event: Event) -> None:
        self._desk.heard(event)
        if event.event in _RECIPE_EVENTS:
            self._recipe_may_differ.set()

    def _put_in_force(self, made: RecipeAck) -> None:
        """A command did: who sees that it is completed sees the new recipe too."""
        self._handshake.recipe_in_force(f"{made.recipe}@{made.version}", made.number)
        self._recipe_may_differ.set()  # an answer on its way may be from before

    async def _send_triggers(self) -> None:
        async with AsyncTriggerSender(self._control, self._line.keys, self._clock) as sender:
            while True:
                try:
                    async with asyncio.timeout(_LOOK_SECONDS):
                        trigger = await self._triggers.get()
                except TimeoutError:
                    sender.keep()
                    continue
                answer = await self._refused.ask(trigger.request, sender, trigger.at + self._answer_seconds)
                if self._triggers.empty():
                    self._all_answered.set()
                now = self._clock()
                if isinstance(answer, Accepted):
                    self._handshake.accepted(trigger, answer, now)
                    continue
                reason, detail = ("no_answer", None) if answer is None else (answer.reason, answer.detail)
                self._handshake.refused(trigger, reason, now)
                log.event(
                    _log, logging.WARNING, "trigger_refused",
                    trigger_id=trigger.trigger_id, reason=reason, detail=detail,
                )  # fmt: skip

    async def _do_commands(self) -> None:
        while True:
            command = await self._commands.get()
            await self._all_answered.wait()  # a part that came before a changeover is of the recipe before it
            problem = await self._desk.do(command)
            self._handshake.command_ended(problem)
            self._recipe_may_differ.set()
            log.event(
                _log, logging.WARNING if problem else logging.INFO, "command",
                command=command.code, recipe=command.number, result=problem or "done",
            )  # fmt: skip

    async def _learn_recipe(self) -> None:
        """Ask the line what is in force: when it may be another recipe than before, and now and then."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._recipe_may_differ.wait()
            self._recipe_may_differ.clear()
            if not self._handshake.is_line_alive(self._clock()):
                continue
            loading = self._desk.end_of_loading
            try:
                with trying_again(self._sync):
                    status = await asyncio.to_thread(
                        ask_status, self._sync, self._line.keys, _STATUS_SECONDS, line=self._line.own_names
                    )
            except UnavailableError:  # it is asked again
                self._handshake.recipe_not_told()
                continue
            if not self._recipe_may_differ.is_set():  # else it may have answered before the change
                self._handshake.recipe_in_force(status.in_force, status.in_force_number)
                self._desk.status_told(status, loading)


def _seen(heartbeat: Heartbeat) -> LineSeen | None:
    """The line as a heartbeat shows it; None: it does not take triggers."""
    if heartbeat.state != LineState.RUNNING:
        return None
    conditions = {condition.condition for condition in heartbeat.conditions}
    bits = LineBit(0)
    for status, bit in _HEALTH_BITS.items():
        bits |= bit if heartbeat.health == status else LineBit(0)
    for name, bit in _CONDITION_BITS.items():
        bits |= bit if name in conditions else LineBit(0)
    if heartbeat.journal == "failed":
        bits |= LineBit.JOURNAL_FAILED
    if not bits & (LineBit.GOLDEN_DUE | LineBit.GOLDEN_FAILED) and "golden_none" not in conditions:
        bits |= LineBit.GOLDEN_VALID
    return LineSeen(heartbeat.epoch, bits)
