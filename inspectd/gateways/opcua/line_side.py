"""The bus of an OPC UA gateway: what clients ask goes to the line, what the line says comes back.

All of it shares one event loop with the server, so nothing here needs a lock but for taking turns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from inspectd import log
from inspectd.client import (
    Accepted,
    AsyncTriggerSender,
    AsyncVerdictReader,
    Event,
    LineState,
    LineStatus,
    Liveness,
    Lost,
    PartVerdict,
    Position,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRequest,
    Verdict,
    ask_recipe,
    ask_status,
)
from inspectd.config.program_files import endpoint
from inspectd.errors import UnavailableError
from inspectd.gateways.line_ends import LineEnds
from inspectd.gateways.opcua.results import VisionJob
from inspectd.gateways.opcua.vision import VisionSystem
from inspectd.gateways.refused_parts import RefusedParts
from inspectd.gateways.settings import GatewayLine
from inspectd.gateways.trying_again import trying_again

_TURN_SECONDS: Final = 0.05
_STATUS_SECONDS: Final = 2.0
_ASK_SECONDS: Final = 3.0
"""Longer than the line may take to record a change."""
_PATIENCE_SECONDS: Final = 1.0
_MOST_STARTS: Final = 16

_RECIPE_EVENTS: Final = {
    "recipe_prepared", "recipe_activated", "recipe_in_force", "reloaded", "started",
    "scoring_ready",
}  # fmt: skip

_log: Final = logging.getLogger(__name__)


class LineSide:
    """A vision system's connection to its line.

    Args:
        line: where the line is.
        answer_seconds: longest time from a job to the line's answer.
        vision: what clients see.
        clock: seconds on a clock that never goes back.
        on_event: called with each event of the line.
        on_end: called when the line has ended, and when it was started again.
        on_turn: awaited after each thing that the line said, and 20 times a second.

    Attributes:
        lost: verdicts that could not be had any more.
        status: how the line last said it is; None: it has not yet.
        status_asked_at: when it was asked for that, by the clock.
    """

    def __init__(
        self, line: GatewayLine, answer_seconds: float, vision: VisionSystem,
        clock: Callable[[], float], *, on_event: Callable[[Event], None],
        on_end: Callable[[], None], on_turn: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.lost = 0
        self.status: LineStatus | None = None
        self.status_asked_at = 0.0
        self._line, self._answer_seconds = line, answer_seconds
        self._vision, self._clock, self._on_turn = vision, clock, on_turn
        self._on_event, self._on_end = on_event, on_end
        self._sync, self._control = endpoint(line, "sync"), endpoint(line, "control")
        self._refused = RefusedParts(self._control, line, clock)
        self._starts: dict[int, int] = {}
        self._sender: AsyncTriggerSender | None = None
        self._turn = asyncio.Lock()
        self._ask_now = asyncio.Event()

    @property
    def ends(self) -> list[Position]:
        """The last position of each start of the line that was seen, the newest first."""
        return [Position(epoch, self._starts[epoch]) for epoch in sorted(self._starts, reverse=True)]

    async def run(self) -> None:
        """Work until it is cancelled.

        Raises:
            InputError: an endpoint or a key cannot be used at the start, or another line is there.
        """
        async with (
            AsyncTriggerSender(self._control, self._line.keys, self._clock) as sender,
            asyncio.TaskGroup() as tasks,
        ):
            self._sender = sender
            tasks.create_task(self._read())
            tasks.create_task(self._ask_status())
            tasks.create_task(self._refused.run())

    async def trigger(self, job: VisionJob) -> Accepted | str:
        """Have a part inspected: the line's answer, or why it was not taken."""
        assert self._sender is not None, "a job before the start"
        async with self._turn:
            if not self._vision.wants(job):
                self.job_ended(job)
                return "not_ready"  # Halt, Abort, a silent line or a later part ended it while it waited
            if self._vision.overtake(job):
                self._refused.add()
            answer = await self._refused.ask(job.request, self._sender, job.at + self._answer_seconds)
        if answer is None:
            return "no_answer"
        return answer if isinstance(answer, Accepted) else str(answer.reason)

    def part_refused(self) -> None:
        """A part came whose job is not begun: the line is told of it."""
        self._vision.overtake()
        self._refused.add()

    def job_ended(self, job: VisionJob) -> None:
        """A job that may not have been sent comes to nothing: the line is told of its part, if it was not."""
        if self._vision.end(job):
            self._refused.add()

    async def ask(
        self, action: RecipeAction, recipe: str, version: int | None, who: str, request: str
    ) -> RecipeAck | str:
        """Ask for a recipe: the line's answer, or why it was not done."""
        async with self._turn:
            pass  # jobs from before are answered: their parts are of the recipe from before a changeover
        why = f"OPC UA user {who}"
        asked = RecipeRequest(request, action, recipe, version, who=who, why=why, line=self._line.meant)
        try:
            with trying_again(self._control):
                answer = await asyncio.to_thread(
                    ask_recipe, self._control, asked, self._line.keys, _ASK_SECONDS
                )
        except UnavailableError:
            return "no_answer"
        if isinstance(answer, RecipeRefusal):
            return str(answer.reason)
        if action is RecipeAction.ACTIVATE:
            await self.refresh()
        return answer

    async def refresh(self) -> None:
        """Ask the line how it is."""
        asked_at = self._clock()
        try:
            with trying_again(self._sync):
                self.status = await asyncio.to_thread(
                    ask_status, self._sync, self._line.keys, _STATUS_SECONDS, line=self._line.own_names
                )
        except UnavailableError:
            self.status = None
        self.status_asked_at = asked_at
        self._vision.recipe_known(is_known=self.status is not None)

    async def _read(self) -> None:
        was_alive, ends = False, LineEnds()
        async with AsyncVerdictReader(
            self._line.verdicts, self._sync, line=self._line.own_names, keys=self._line.keys,
            patience_seconds=_PATIENCE_SECONDS, on_event=self._heard,
        ) as reader:  # fmt: skip
            while True:
                item = await reader.receive(_TURN_SECONDS)
                heartbeat, now = reader.heartbeat, self._clock()
                is_alive = reader.liveness is Liveness.ALIVE and heartbeat is not None
                is_last = heartbeat is not None and heartbeat.state == LineState.STOPPED
                self._vision.line_seen(
                    heartbeat if is_alive else None, now,
                    is_stopped=is_last or reader.liveness is Liveness.STOPPED,
                )  # fmt: skip
                if ends.found(heartbeat) is not None:
                    self._on_end()
                if heartbeat is not None:
                    self._reached(heartbeat.epoch, heartbeat.last_seq)
                if isinstance(item, PartVerdict | Verdict):
                    self._reached(item.epoch, item.seq)
                if isinstance(item, PartVerdict):
                    self._vision.saw_part(item, now)
                elif isinstance(item, Lost):
                    self.lost += item.count or 1
                elif item is not None:
                    self._vision.saw_view(item, now)
                if is_alive != was_alive:
                    log.event(_log, logging.INFO, "line", liveness=reader.liveness)
                    was_alive = is_alive
                    self._ask_now.set()
                if self._sender is not None and not self._turn.locked():
                    self._sender.keep()
                await self._on_turn()

    def _reached(self, epoch: int, seq: int) -> None:
        self._starts[epoch] = max(seq, self._starts.get(epoch, 0))
        if len(self._starts) > _MOST_STARTS:
            del self._starts[min(self._starts)]

    def _heard(self, event: Event) -> None:
        self._on_event(event)
        if event.event in _RECIPE_EVENTS:
            self._ask_now.set()

    async def _ask_status(self) -> None:
        while True:
            await self.refresh()
            try:
                async with asyncio.timeout(_STATUS_SECONDS):
                    await self._ask_now.wait()
            except TimeoutError:
                continue
            self._ask_now.clear()
