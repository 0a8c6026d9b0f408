"""Commands of a plant that the line is asked for: recipes, the end of a golden check."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from inspectd.client import (
    Event,
    LineStatus,
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
    ask_recipe,
)
from inspectd.client.golden import GoldenAsker
from inspectd.errors import UnavailableError
from inspectd.gateways.command_cycle import RecipeCommand
from inspectd.gateways.registers import CommandCode
from inspectd.gateways.settings import GatewayLine
from inspectd.gateways.trying_again import trying_again
from inspectd.wire.golden import GoldenAction, GoldenRefusal

_BUSY_SECONDS: Final = 10.0
"""So long a line may need to end the processes that judged before the last change."""
_AGAIN_SECONDS: Final = 0.2
_ASK_SECONDS: Final = 3.0
"""Longer than the line may take to record a change."""


class RecipeDesk:
    """Does commands one after the other.

    Args:
        line: the line.
        control: its control socket.
        load_seconds: longest time for a recipe to be loaded.
        clock: makes the names of requests differ from those of another start.
        on_in_force: called with what a command put in force, before it is done.
    """

    def __init__(
        self, line: GatewayLine, control: str, load_seconds: float, clock: Callable[[], float],
        on_in_force: Callable[[RecipeAck], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._line, self._control, self._load_seconds, self._clock = line, control, load_seconds, clock
        self._on_in_force = on_in_force
        self._awaited: tuple[str, asyncio.Future[str | None]] | None = None
        self._loading = ""
        """What the line loads for a command, `ID@VERSION`."""

    def heard(self, event: Event) -> None:
        """The line says something; the end of loading is what may be waited for."""
        if self._awaited is None or event.event not in {"recipe_prepared", "recipe_failed"}:
            return
        name, loaded = self._awaited
        if f"({name})" in event.detail and not loaded.done():
            failed = RecipeRefusalReason.FAILED if event.event == "recipe_failed" else None
            loaded.set_result(failed)

    @property
    def end_of_loading(self) -> asyncio.Future[str | None] | None:
        """What a command waits for; None: for no recipe that the line loads."""
        return self._awaited[1] if self._awaited is not None and self._loading else None

    def status_told(self, status: LineStatus, awaited: asyncio.Future[str | None] | None) -> None:
        """How the line is; the event that ends loading may be lost on its way.

        Args:
            status: of the line.
            awaited: `end_of_loading` when the line was asked: what began since it may not have known of.
        """
        if awaited is None or awaited is not self.end_of_loading or awaited.done():
            return
        is_loaded = status.has_loaded(self._loading)
        if is_loaded is not None:
            awaited.set_result(None if is_loaded else RecipeRefusalReason.FAILED)

    def line_lost(self, problem: str) -> None:
        """The line ended or was started again: nobody loads what was asked for before."""
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_result(problem)

    async def do(self, command: RecipeCommand) -> str | None:
        """Do a command; why it was not done, as `wire.numbers` knows it."""
        match command.code:
            case CommandCode.ACTIVATE:  # what is not loaded is loaded first
                return await self._put_in_force(command.number)
            case CommandCode.PREPARE:
                loaded = await self._load(command.number)
                return None if isinstance(loaded, RecipeAck) else loaded
            case CommandCode.UNPREPARE:
                return await self._ask(RecipeAction.UNPREPARE, command.number)
            case CommandCode.PROMOTE:
                return await self._ask(RecipeAction.PROMOTE, command.number)
            case CommandCode.GOLDEN_END:
                return await asyncio.to_thread(self._end_check)
            case _:
                return "unknown_command"

    async def _put_in_force(self, number: int) -> str | None:
        loaded = await self._load(number)
        if not isinstance(loaded, RecipeAck):
            return loaded
        # The very version that was loaded, whatever the number has come to mean meanwhile.
        return await self._ask(RecipeAction.ACTIVATE, loaded.recipe, loaded.version)

    async def _load(self, number: int) -> RecipeAck | str:
        """The version that is loaded, or why none is."""
        name = self._name()
        until = self._clock() + _BUSY_SECONDS
        try:
            while True:
                # Anew with each request: a line that was lost before this one does not concern it.
                loaded: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
                self._awaited = (name, loaded)
                answer = await self._answer(RecipeAction.PREPARE, number, name)
                if answer != RecipeRefusalReason.BUSY or self._clock() >= until:
                    break
                await asyncio.sleep(_AGAIN_SECONDS)
            if not isinstance(answer, RecipeAck):
                return answer
            if answer.state is not RecipeState.LOADING:
                return answer
            self._loading = answer.name
            async with asyncio.timeout(self._load_seconds):
                return await loaded or answer
        except TimeoutError:
            return "not_loaded"
        finally:
            self._awaited, self._loading = None, ""

    async def _ask(self, action: RecipeAction, recipe: int | str, version: int | None = None) -> str | None:
        answer = await self._answer(action, recipe, self._name(), version)
        if not isinstance(answer, RecipeAck):
            return answer
        if answer.state is RecipeState.ACTIVE:
            self._on_in_force(answer)
        return None

    async def _answer(
        self, action: RecipeAction, recipe: int | str, name: str, version: int | None = None
    ) -> RecipeAck | str:
        request = RecipeRequest(name, action, recipe, version, who="plc", line=self._line.meant)
        try:
            with trying_again(self._control):
                answer = await asyncio.to_thread(
                    ask_recipe, self._control, request, self._line.keys, _ASK_SECONDS
                )
        except UnavailableError:
            return "no_answer"
        return answer.reason if isinstance(answer, RecipeRefusal) else answer

    def _end_check(self) -> str | None:
        try:
            with (
                trying_again(self._control),
                GoldenAsker(self._control, who="plc", line=self._line.meant, keys=self._line.keys) as asker,
            ):
                answer = asker.ask(GoldenAction.END, timeout_seconds=_ASK_SECONDS)
        except UnavailableError:
            return "no_answer"
        return answer.reason if isinstance(answer, GoldenRefusal) else None

    def _name(self) -> str:
        return f"gateway-{round(self._clock() * 1e6)}"
