"""The connection to the PLC: its control block is read, its status block is written, turn after turn."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final, NoReturn

from snap7 import AsyncClient
from snap7.error import S7Error, S7ProtocolError, S7TimeoutError

from inspectd import log
from inspectd.gateways.clock import earliest
from inspectd.gateways.handshake import Handshake, Order
from inspectd.gateways.registers import CONTROL_FIRST, STATUS_FIRST
from inspectd.gateways.s7.image import (
    CONTROL_WORDS,
    STATUS_WORDS,
    WRITER_AT,
    WRITER_SIZE,
    control_words,
    status_bytes,
)
from inspectd.gateways.s7.other_writer import SILENCE_SECONDS, OtherWriter, new_writer
from inspectd.gateways.s7.settings import ConnectionKind, S7Settings

AGAIN_SECONDS: Final = 1.0
"""After a connection that was lost."""

_READS: Final = 4
_CLOSE_SECONDS: Final = 1.0
_KINDS: Final = {ConnectionKind.PG: 1, ConnectionKind.OP: 2, ConnectionKind.BASIC: 3}
_FAULTS: Final = (S7Error, OSError)
"""What a PLC and the way to it can cause; a time-out is the latter."""

_log: Final = logging.getLogger(__name__)


class PlcLostReason(StrEnum):
    """Why there is no connection to the PLC. A closed set: it is a metric label."""

    UNREACHABLE = "unreachable"
    """None came about: address, network, rack, slot, or too many connections."""
    REFUSED = "refused"
    """It answers, but does not let its data blocks be read or written, or answers what is no S7."""
    SILENT = "silent"
    """It does not answer any more."""
    CLOSED = "closed"
    """It, or something between, ended the connection."""


class S7Link:
    """Serves a hand-shake to a PLC that is read and written.

    Args:
        handshake: what the plant sees.
        on_order: takes what the plant wants of the line.
        settings: where the PLC is.
        clock: seconds on a clock that never goes back, the hand-shake's.
    """

    def __init__(
        self,
        handshake: Handshake,
        on_order: Callable[[Order], None],
        settings: S7Settings,
        clock: Callable[[], float],
    ) -> None:
        self.is_connected = False
        self.turns = 0
        """Turns that were done: read, and written."""
        self.turn_seconds = 0.0
        """Time that they took, in all."""
        self.unsettled = 0
        """Turns in which the control block did not stop changing, so that it was not taken."""
        self.lost: Counter[str] = Counter()
        """Connections that were lost or did not come about, by `PlcLostReason`."""
        self.writers = OtherWriter(new_writer())
        """Who writes to the status block."""
        self._handshake, self._on_order = handshake, on_order
        self._settings, self._clock = settings, clock
        self._taken = (0, 0)
        self._looked_at = 0.0
        """When the last read began whose words were taken; what was not there then came later."""
        self._said: PlcLostReason | None = None
        self._said_other: int | None = None

    async def run(self) -> None:
        """Connect, again and again, until it is cancelled."""
        while True:
            reason, detail = await self._connect_and_serve()
            self.lost[reason] += 1
            if reason is not self._said:
                self._said = reason
                log.event(
                    _log, logging.WARNING, "plc_lost",
                    host=self._settings.host, reason=reason, detail=detail or None,
                )  # fmt: skip
            await asyncio.sleep(AGAIN_SECONDS)

    async def _connect_and_serve(self) -> tuple[PlcLostReason, str]:
        """Serve one connection; why it ended, and in words."""
        self._handshake.plant_lost(self._clock())
        client = AsyncClient()
        client.set_connection_type(_KINDS[self._settings.connection])
        try:
            async with asyncio.timeout(self._settings.timeout_ms / 1000):
                where = self._settings
                await client.connect(where.host, where.rack, where.slot, where.port)
            await self._serve(client)
        except _FAULTS as error:
            return _reason(error, is_connected=self.is_connected), str(error) or type(error).__name__
        finally:
            self.is_connected = False
            await _close(client)

    async def _serve(self, client: AsyncClient) -> NoReturn:
        """Turn after turn; ends only by an exception."""
        self._looked_at = self._clock()
        self.writers.connected(self._looked_at)
        task = asyncio.current_task()
        assert task is not None
        try:
            while not task.cancelling():  # the library may have swallowed it
                began = self._clock()
                await self._turn(client)
                took = self._clock() - began
                self.turns, self.turn_seconds = self.turns + 1, self.turn_seconds + took
                if not self.is_connected:
                    self.is_connected, self._said = True, None
                    log.event(_log, logging.INFO, "plc_connected", host=self._settings.host)
                await asyncio.sleep(max(0.0, self._settings.poll_ms / 1000 - took))
            raise asyncio.CancelledError
        finally:
            if task.cancelling():
                await self._say_offline(client)

    async def _say_offline(self, client: AsyncClient) -> None:
        """The gateway ends: what stays in the PLC is no Online and no pass."""
        self._handshake.line_seen(None, self._clock())
        try:
            await self._write_status(client)
        except _FAULTS as error:  # its heartbeat stands still, which says the same
            log.event(_log, logging.WARNING, "plc_not_told", host=self._settings.host, detail=str(error))

    async def _turn(self, client: AsyncClient) -> None:
        began, every_seconds = self._clock(), self._settings.poll_ms / 1000
        words = await self._read(client)
        is_alone = await self._look_for_another(client)
        self._handshake.shared(self._clock(), is_alone=is_alone)
        if not is_alone:
            pass  # what the PLC wants it may want of the other's line
        elif words is None:
            self.unsettled += 1
        else:
            now = self._clock()
            came = earliest(self._looked_at, now, every_seconds)
            for order in self._handshake.write(CONTROL_FIRST, words, now, came):
                self._on_order(order)
            self._looked_at = began
        await self._write_status(client)

    async def _look_for_another(self, client: AsyncClient) -> bool:
        """Whether this gateway alone writes to the status block; says where that changes."""
        writers, where = self.writers, self._settings
        if writers.must_look(self._clock()):
            async with asyncio.timeout(where.timeout_ms / 1000):
                found = await client.db_read(where.status_db, WRITER_AT, WRITER_SIZE)
            writers.saw(int.from_bytes(found, "big"), self._clock())
        if writers.other != self._said_other:
            self._said_other = writers.other
            self._say_other()
        return writers.is_alone(self._clock())

    def _say_other(self) -> None:
        writers, where = self.writers, self._settings
        block = {"host": where.host, "status_db": where.status_db, "writer": writers.own}
        if writers.other is None:
            log.event(_log, logging.INFO, "alone_again", **block)
            return
        what = (
            "something without a gateway's number, as an older one or a program that clears the block, writes"
        )
        if writers.other:
            what = f"the gateway that says writer={writers.other} at its start writes"
        detail = (
            f"{what} to this block too: Online stays 0 and no result is shown until nobody else has written "
            f"for {SILENCE_SECONDS:g} s; stop what is not this PLC's"
        )
        log.event(_log, logging.ERROR, "other_writer", **block, other=writers.other, detail=detail)

    async def _write_status(self, client: AsyncClient) -> None:
        image = self._handshake.read(STATUS_FIRST, STATUS_WORDS, self._clock())
        async with asyncio.timeout(self._settings.timeout_ms / 1000):
            await client.db_write(self._settings.status_db, 0, status_bytes(image, self.writers.own))
        self.writers.wrote()

    async def _read(self, client: AsyncClient) -> list[int] | None:
        """The control block, whole; None: it does not stop changing.

        Its bits and its trigger number are what the PLC's program writes last. Where they are new, the rest
        may have been read before the program wrote it; what is read after them was written before them.
        """
        words = await self._read_once(client)
        for _ in range(_READS):
            marks = (words[0], words[32])
            if marks == self._taken:
                return words
            words = await self._read_once(client)
            if marks == (words[0], words[32]):
                self._taken = marks
                return words
        return None

    async def _read_once(self, client: AsyncClient) -> list[int]:
        async with asyncio.timeout(self._settings.timeout_ms / 1000):
            return control_words(await client.db_read(self._settings.control_db, 0, 2 * CONTROL_WORDS))


def _reason(error: BaseException, *, is_connected: bool) -> PlcLostReason:
    if isinstance(error, S7ProtocolError):
        return PlcLostReason.REFUSED
    if not is_connected:
        return PlcLostReason.UNREACHABLE
    is_silent = isinstance(error, S7TimeoutError | TimeoutError)
    return PlcLostReason.SILENT if is_silent else PlcLostReason.CLOSED


async def _close(client: AsyncClient) -> None:
    """End a connection, whatever the other side does."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await client.disconnect()
    except _FAULTS as error:
        log.event(_log, logging.DEBUG, "plc_close", detail=str(error))
