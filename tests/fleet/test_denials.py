"""A server that denies without end: what it says is counted, and neither kept nor all of it logged."""

from __future__ import annotations

import asyncio
import logging
import tracemalloc
from pathlib import Path

import pytest
from support.word_server import WordServer

from inspectd.fleet.servers import DeniedError, ServersDoor

DENIAL = b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n"
COUNT = 2000


def test_a_flood_of_denials_is_counted_and_told_now_and_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "inspectd.fleet.servers")
    server, denied = WordServer(tmp_path), 0

    def count(_: str) -> None:
        nonlocal denied
        denied += 1

    async def flood(rounds: int) -> int:
        """So many denials; the bytes that are held after them."""
        for _ in range(rounds):
            wanted = denied + COUNT
            await server.say(DENIAL * COUNT)
            while denied < wanted:
                await asyncio.sleep(0)
        return tracemalloc.get_traced_memory()[0]

    async def work() -> None:
        async with (
            asyncio.timeout(60),
            server.started() as link,
            ServersDoor(link, "_INBOX.test", "test", count).connect() as servers,
        ):
            tracemalloc.start()
            try:
                held = await flood(1)
                assert await flood(5) - held < 200_000
            finally:
                tracemalloc.stop()
            answer = asyncio.ensure_future(servers.asked(asyncio.sleep(60)))
            await asyncio.sleep(0)
            await flood(1)
            with pytest.raises(DeniedError, match='for publish to "x"'):
                await answer

    asyncio.run(work())
    assert 1 <= sum(record.getMessage() == "denied" for record in caplog.records) <= 20
