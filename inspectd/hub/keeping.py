"""Removes what is older than the hub keeps, a little at a time."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from inspectd import log
from inspectd.hub.engine import DatabaseAwayError, DatabaseRefusesError
from inspectd.hub.reading_state import utc_ms
from inspectd.hub.schema import DAY_MS
from inspectd.hub.store import HubStore

_REST_SECONDS: Final = 60.0
_BETWEEN_SECONDS: Final = 0.1

_log: Final = logging.getLogger(__name__)


async def remove_old(store: HubStore, days: float) -> None:
    """Keep verdicts for so long, without end; whoever reads goes first between two steps."""
    kept_ms = round(days * DAY_MS)
    await asyncio.sleep(_REST_SECONDS)
    while True:
        try:
            removed = await asyncio.to_thread(store.prune, utc_ms() - kept_ms, kept_ms)
        except (DatabaseAwayError, DatabaseRefusesError) as error:  # the reader says so, and counts it
            log.event(_log, logging.DEBUG, "nothing_removed", detail=str(error))
            removed = 0
        await asyncio.sleep(_BETWEEN_SECONDS if removed else _REST_SECONDS)
