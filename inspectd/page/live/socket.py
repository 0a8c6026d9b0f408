"""The WebSocket of a tab: what it is sent, and how fast."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from inspectd import log
from inspectd.config import MOST_NAME, MOST_PLACES
from inspectd.errors import UnavailableError
from inspectd.page.accounts.roles import Act
from inspectd.page.answers import ApiError
from inspectd.page.guard import Account, Guard
from inspectd.page.live.hub import MOST_TABS, LiveHub, OpenTab
from inspectd.page.told import ToldEvents, ToldRows

ROWS_SECONDS: Final = 0.18
_STATE_SECONDS: Final = 1.0
_FASTEST_STATE_SECONDS: Final = 0.2
_SESSION_SECONDS: Final = 1.0
_MESSAGES_A_SECOND: Final = 100

LOGGED_OUT: Final = 4401
_TOO_MANY: Final = 4429
_TOO_SLOW: Final = 4408
_MALFORMED: Final = 4400

_encoder: Final = msgspec.json.Encoder()
_log: Final = logging.getLogger(__name__)


class _Show(msgspec.Struct, tag_field="t", tag="show", forbid_unknown_fields=True):
    cameras: Annotated[list[Annotated[str, Meta(max_length=MOST_NAME)]], Meta(max_length=MOST_PLACES)]


class _Ack(msgspec.Struct, tag_field="t", tag="ack", forbid_unknown_fields=True):
    pass


class _Used(msgspec.Struct, tag_field="t", tag="used", forbid_unknown_fields=True):
    """A person touched the page: the session is in use."""


class _Clock(msgspec.Struct, tag_field="t", tag="clock", forbid_unknown_fields=True):
    """The tab asks for the page's clock; `asked` is its own time, which it gets back."""

    asked: float


_decoder: Final[msgspec.json.Decoder[_Show | _Ack | _Used | _Clock]] = msgspec.json.Decoder(
    _Show | _Ack | _Used | _Clock
)


class _TabEndError(Exception):
    """The tab is cut off, with a code for it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class TabPatience(msgspec.Struct, frozen=True):
    """After which time a tab is cut off.

    Attributes:
        send_seconds: that takes nothing of what it is sent.
        draw_seconds: that draws none of the pictures it got.
    """

    send_seconds: float = 10.0
    draw_seconds: float = 30.0


class LiveSockets:
    """Carries tabs.

    Args:
        hub: what there is to tell.
        guard: who is logged in.
        counts: where tabs that are cut off are counted.
        patience: how long a tab may be slow.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        hub: LiveHub,
        guard: Guard,
        counts: Counter[tuple[str, str]],
        patience: TabPatience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hub, self.guard, self._counts, self.clock = hub, guard, counts, clock
        self.patience = patience or TabPatience()
        self._noting: dict[str, asyncio.Task[None]] = {}
        """Sessions whose use is being noted."""

    @property
    def routes(self) -> list[BaseRoute]:
        """The WebSocket, and the pictures of the strip."""
        return [
            WebSocketRoute("/live", self.carry),
            Route("/api/strip/{epoch:number}/{seq:number}", self.show_strip, methods=["GET"]),
        ]

    async def show_strip(self, request: Request) -> Response:
        """The small picture of a part that did not pass a moment ago."""
        await self.guard.allow(request, Act.VIEW)
        picture = self.hub.strip.find(request.path_params["epoch"], request.path_params["seq"])
        if picture is None:
            raise ApiError(
                404, "gone", "This picture is not kept here any more; the part's page may have it."
            )
        return Response(
            self.hub.picture_message(picture),
            200,
            {"Cache-Control": "no-store"},
            "application/octet-stream",
        )

    async def carry(self, socket: WebSocket) -> None:
        """Serve one tab until it goes, is logged out, or is too slow."""
        account = self.guard.account(socket)
        await socket.accept()  # a browser's script sees no code of a handshake that is refused
        if account is None or Act.VIEW not in account.acts:
            await socket.close(LOGGED_OUT)
            return
        if len(self.hub.tabs) >= MOST_TABS:
            self._counts["tabs_cut", "too_many"] += 1
            await socket.close(_TOO_MANY)
            return
        tab = self.hub.open_tab()
        code = 1000
        writer = asyncio.ensure_future(_TabWriter(self, socket, tab).run())
        reader = asyncio.ensure_future(self._read(socket, tab, account))
        try:
            done, _ = await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if isinstance(error, _TabEndError):
                    code = error.code
                elif error is not None and not isinstance(error, WebSocketDisconnect):
                    raise error
        finally:
            self.hub.close_tab(tab)
            for task in (writer, reader):
                task.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)
            if code != 1000:
                self._counts["tabs_cut", _CAUSES[code]] += 1
            await _close(socket, code)

    async def _read(self, socket: WebSocket, tab: OpenTab, account: Account) -> None:
        began, taken = self.clock(), 0
        while True:
            message: dict[str, Any] = dict(await socket.receive())
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1005))
            taken += 1
            if taken > _MESSAGES_A_SECOND:
                if self.clock() - began < 1.0:
                    raise _TabEndError(_MALFORMED)
                began, taken = self.clock(), 0
            try:
                said = _decoder.decode(message.get("text") or b"")
            except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
                raise _TabEndError(_MALFORMED) from None
            match said:
                case _Show(cameras=cameras):
                    self.hub.show(tab, frozenset(cameras))
                case _Ack():
                    tab.pictures.drawn()
                case _Clock(asked=asked):
                    # Of now, however long the answer is under way: it bounds the page's clock for the tab.
                    tab.clock = {"t": "clock", "asked": asked, "server_ms": self.hub.clock_ms()}
                case _Used():
                    self._note_use(account)
            tab.news.set()

    def _note_use(self, account: Account) -> None:
        """Have it noted, and wait for no disk: of a session once at a time."""
        key = account.session.id
        if key not in self._noting:
            self._noting[key] = asyncio.ensure_future(self._use(account))
            self._noting[key].add_done_callback(lambda _: self._noting.pop(key))

    async def _use(self, account: Account) -> None:
        try:
            await self.guard.write(self.guard.store.use_session, account.session)
        except UnavailableError as error:  # a disk that is full refuses acts, and no look
            log.event(_log, logging.WARNING, "use_not_noted", detail=str(error))


class _TabWriter:
    """Sends one tab what it is due, in one task, so that nothing overtakes or piles up."""

    def __init__(self, sockets: LiveSockets, socket: WebSocket, tab: OpenTab) -> None:
        self._hub, self._guard, self._clock = sockets.hub, sockets.guard, sockets.clock
        self._patience, self._socket, self._tab = sockets.patience, socket, tab
        self._state_number = -1
        self._state_at = self._rows_at = float("-inf")
        self._session_at = self._drawn_at = self._clock()
        self._number_drawn = 0

    async def run(self) -> None:
        """Send until it fails.

        Raises:
            _TabEndError: the tab is too slow, or nobody is logged in there any more.
        """
        while True:
            self._tab.news.clear()
            self._check_session()
            await self._send_clock()
            await self._send_state()
            await self._send_rows()
            if await self._send_picture():
                continue
            await self._wait()

    def _check_session(self) -> None:
        now = self._clock()
        pictures = self._tab.pictures
        if not pictures.is_owed or pictures.number_drawn != self._number_drawn:
            self._drawn_at, self._number_drawn = now, pictures.number_drawn
        elif now - self._drawn_at > self._patience.draw_seconds:
            raise _TabEndError(_TOO_SLOW)
        if now - self._session_at >= _SESSION_SECONDS:
            self._session_at = now
            if self._guard.account(self._socket) is None:
                raise _TabEndError(LOGGED_OUT)

    async def _send_clock(self) -> None:
        answer, self._tab.clock = self._tab.clock, None
        if answer is not None:
            await self._send({"type": "websocket.send", "text": _encoder.encode(answer).decode()})

    async def _send_state(self) -> None:
        now = self._clock()
        if now - self._state_at < _FASTEST_STATE_SECONDS:
            return
        number, text = self._hub.state_message()
        if number != self._state_number or now - self._state_at >= _STATE_SECONDS:
            self._state_number, self._state_at = number, now
            await self._send({"type": "websocket.send", "text": text})

    async def _send_rows(self) -> None:
        tab, hub, now = self._tab, self._hub, self._clock()
        if now - self._rows_at < ROWS_SECONDS:
            return
        rows, skipped_rows = hub.rows.after(tab.rows_seen)
        events, skipped_events = hub.events.after(tab.events_seen)
        # Before anything is waited for: what comes meanwhile is for the next time.
        tab.rows_seen, tab.events_seen = hub.rows.number, hub.events.number
        told: list[ToldRows | ToldEvents] = [
            {"t": "v", "rows": rows, "skipped": skipped_rows},
            {"t": "e", "rows": events, "skipped": skipped_events},
        ]
        for each in told:
            if each["rows"]:
                self._rows_at = now
                await self._send({"type": "websocket.send", "text": _encoder.encode(each).decode()})

    async def _send_picture(self) -> bool:
        picture = self._tab.pictures.take()
        if picture is None:
            return False
        await self._send({"type": "websocket.send", "bytes": self._hub.picture_message(picture)})
        return True

    async def _send(self, message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._patience.send_seconds):
                await self._socket.send(message)
        except TimeoutError:
            raise _TabEndError(_TOO_SLOW) from None

    async def _wait(self) -> None:
        """Until something is due: news not before their turn, the state once a second."""
        try:
            async with asyncio.timeout(_FASTEST_STATE_SECONDS):
                await self._tab.news.wait()
        except TimeoutError:
            return
        # What comes in between goes with the next rows; a picture, or word of one drawn, goes at once.
        left = self._rows_at + ROWS_SECONDS - self._clock()
        while left > 0 and not self._tab.pictures.is_ready:
            self._tab.news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._tab.news.wait()
            except TimeoutError:
                return
            left = self._rows_at + ROWS_SECONDS - self._clock()


_CAUSES: Final = {
    LOGGED_OUT: "logged_out", _TOO_MANY: "too_many", _TOO_SLOW: "too_slow", _MALFORMED: "malformed",
}  # fmt: skip


async def _close(socket: WebSocket, code: int) -> None:
    try:
        async with asyncio.timeout(1.0):
            await socket.close(code)
    except (TimeoutError, RuntimeError, WebSocketDisconnect, OSError):
        return  # it is gone already
