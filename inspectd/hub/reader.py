"""Makes sessions with the plant's servers, one after another, for as long as the hub runs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Final

from inspectd import log
from inspectd.fleet.servers import DeniedError, ServersDoor, ServersError
from inspectd.hub.engine import DatabaseAwayError, DatabaseRefusesError
from inspectd.hub.reading import HubSession
from inspectd.hub.reading_state import HubTrouble, ReadingState, utc_ms
from inspectd.hub.store import HubStore

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0

_log: Final = logging.getLogger(__name__)


class Pauses:
    """How long to wait before the next session: longer and longer, until one has read for a while."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE_SECONDS

    def after(self, read_seconds: float) -> float:
        """Seconds to wait after a session that read for so long; 0: none came about."""
        if read_seconds > _LONGEST_PAUSE_SECONDS:
            self._next = _FIRST_PAUSE_SECONDS
        pause, self._next = self._next, min(2 * self._next, _LONGEST_PAUSE_SECONDS)
        return pause


async def read_lines(
    plant: str, door: ServersDoor, store: HubStore, state: ReadingState, days: float
) -> None:
    """Read without end: what one connection began, the next goes on with from the database's place.

    Args:
        plant: the plant whose lines are read.
        door: by which servers are connected to.
        store: where verdicts go.
        state: of the reading.
        days: so long verdicts are kept.

    Raises:
        InputError: the database is of another version, or another plant's.
    """
    pauses = Pauses()
    while True:
        began: float | None = None
        try:
            await asyncio.to_thread(store.prepare)
            async with door.connect() as servers:
                session = HubSession(plant, servers, store, state, days)
                began = time.monotonic()
                await session.run()
            continue  # there are other streams now
        except (DatabaseAwayError, DatabaseRefusesError) as error:
            _failed(state, HubTrouble.DATABASE, error)
        except DeniedError as error:
            _failed(state, HubTrouble.DENIED, error)
        except ServersError as error:
            _failed(state, HubTrouble.SERVERS, error)
        pause = pauses.after(0.0 if began is None else time.monotonic() - began)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret


def _failed(state: ReadingState, trouble: HubTrouble, error: Exception) -> None:
    level = logging.WARNING if state.fails(trouble, str(error), utc_ms()) else logging.DEBUG
    log.event(_log, level, "reading_failed", why=trouble, detail=str(error))
