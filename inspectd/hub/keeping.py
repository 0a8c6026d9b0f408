"""Removes what is older than the hub keeps, a little at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from inspectd import log
from inspectd.hub.engine import DatabaseAwayError, DatabaseRefusesError
from inspectd.hub.store import HubStore

_REST_SECONDS: Final = 60.0
_BETWEEN_SECONDS: Final = 0.1
_DAY_MS: Final = 86_400_000

_log: Final = logging.getLogger(__name__)


class Keeping:
    """How long verdicts are kept.

    Args:
        store: where they are.
        days: so long.
        clock_ms: milliseconds since 1970, UTC.
    """

    def __init__(
        self, store: HubStore, days: float, clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._store, self._kept_ms, self._clock_ms = store, round(days * _DAY_MS), clock_ms

    async def run(self) -> None:
        """Remove without end; whoever reads goes first between two steps."""
        await asyncio.sleep(_REST_SECONDS)
        while True:
            try:
                before_ms = self._clock_ms() - self._kept_ms
                removed = await asyncio.to_thread(self._store.prune, before_ms, self._kept_ms)
            except (DatabaseAwayError, DatabaseRefusesError) as error:  # the reader says so, and counts it
                log.event(_log, logging.DEBUG, "nothing_removed", detail=str(error))
                removed = 0
            await asyncio.sleep(_BETWEEN_SECONDS if removed else _REST_SECONDS)
