"""Makes sessions with the plant's servers, one after another, for as long as the hub runs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from inspectd import log
from inspectd.fleet.servers import DeniedError, ServersDoor, ServersError
from inspectd.hub.engine import DatabaseAwayError, DatabaseRefusesError
from inspectd.hub.reading import HubSession
from inspectd.hub.reading_state import HubTrouble, ReadingState
from inspectd.hub.store import HubStore

_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0

_log: Final = logging.getLogger(__name__)


class HubReader:
    """Makes sessions, one after another; what one began, the next goes on with from the database's place.

    Args:
        plant: the plant whose lines are read.
        door: by which servers are connected to.
        store: where verdicts go.
        state: of the reading.
        days: so long verdicts are kept.
        clock_ms: milliseconds since 1970, UTC.
    """

    def __init__(
        self,
        plant: str,
        door: ServersDoor,
        store: HubStore,
        state: ReadingState,
        days: float,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._plant, self._door, self._store, self._state = plant, door, store, state
        self._days, self._clock_ms = days, clock_ms

    async def run(self) -> None:
        """Read without end.

        Raises:
            InputError: the database is of another version, or another plant's.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._store.prepare)
                async with self._door.connect() as servers:
                    session = HubSession(
                        self._plant, servers, self._store, self._state, self._days,
                        clock_ms=self._clock_ms,
                    )  # fmt: skip
                    await session.run()
                pause = _FIRST_PAUSE_SECONDS
                continue  # there are other streams now
            except (DatabaseAwayError, DatabaseRefusesError) as error:
                self._failed(HubTrouble.DATABASE, error)
            except DeniedError as error:
                self._failed(HubTrouble.DENIED, error)
            except ServersError as error:
                self._failed(HubTrouble.SERVERS, error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - not a secret
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _failed(self, trouble: HubTrouble, error: Exception) -> None:
        is_new = self._state.fails(trouble, str(error), self._clock_ms())
        log.event(
            _log,
            logging.WARNING if is_new else logging.DEBUG,
            "reading_failed",
            why=trouble,
            detail=str(error),
        )
