"""Questions of one login take turns, so that no tab, however often it asks, holds up those of others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from inspectd.page.answers import ApiError

_Endpoint = Callable[[Request], Awaitable[Response]]

_MOST_WAITING: Final = 8
_REFUSED_SECONDS: Final = 1.0


class _Turns(msgspec.Struct):
    lock: asyncio.Lock
    asking: int = 0
    free_at: float = 0.0


class QuestionTurns:
    """One question of a login at a time; the next one begins after a rest as long as the last one took.

    So a login that asks without end has at most half of the time of one thread, whatever it asks for.

    Args:
        most_waiting: questions of a login that may wait; more are refused.
        clock: seconds on a clock that never goes back.
        rest: waits for so many seconds.
        on_refused: a question was refused.
        login_of: names the login of who sent a request.
    """

    def __init__(
        self,
        most_waiting: int = _MOST_WAITING,
        clock: Callable[[], float] = time.monotonic,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_refused: Callable[[], None] = lambda: None,
        login_of: Callable[[Request], str] = lambda _: "",
    ) -> None:
        self._on_refused, self._login_of = on_refused, login_of
        self._most, self._clock, self._rest = most_waiting, clock, rest
        self._logins: dict[str, _Turns] = {}

    def in_turn(self, endpoint: _Endpoint) -> _Endpoint:
        """The same endpoint, which waits for the turn of who asks."""

        async def answer(request: Request) -> Response:
            async with self.turn(self._login_of(request)):
                return await endpoint(request)

        return answer

    @asynccontextmanager
    async def turn(self, login: str) -> AsyncIterator[None]:
        """A login's turn.

        Raises:
            ApiError: too many of its questions wait.
        """
        now = self._clock()
        self._logins = {
            name: each for name, each in self._logins.items() if each.asking or each.free_at > now
        }
        own = self._logins.setdefault(login, _Turns(asyncio.Lock()))
        if own.asking > self._most:
            self._on_refused()
            await self._rest(
                _REFUSED_SECONDS
            )  # who asks again at once would keep the page busy with refusals
            raise ApiError(
                429, "rate", f"More than {self._most} questions of this login wait; wait a little."
            )
        own.asking += 1
        try:
            async with own.lock:
                if own.free_at > self._clock():
                    await self._rest(own.free_at - self._clock())
                began = self._clock()
                try:
                    yield
                finally:
                    now = self._clock()
                    own.free_at = now + (now - began)
        finally:
            own.asking -= 1
