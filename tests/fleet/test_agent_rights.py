"""What the key of a line's agent may not do: refused by the servers."""

from __future__ import annotations

import asyncio

import pytest
from support.nats_cluster import NatsCluster

from inspectd.fleet.servers import DeniedError, ServersDoor

pytestmark = pytest.mark.system  # NATS is no part of the project

FORBIDDEN_TO_AGENTS = {
    "another line's report": lambda js: js.publish("i1.test.other.run", b"{}", timeout=2),
    "a verdict of its own line": lambda js: js.publish("i1.test.line.v.1.top", b"{}", timeout=2),
    "what its line is to run": lambda js: js.publish("fleet1.test.desired.line", b"{}", timeout=2),
    "a chunk": lambda js: js.publish(f"fleet1.test.chunk.{'0' * 64}.0", b"{}", timeout=2),
    "another line's order": lambda js: js.get_last_msg(
        "DESIRED+test", "fleet1.test.desired.other", direct=True
    ),
    "any order": lambda js: js.get_msg("DESIRED+test", seq=1),
    "a list of chunks": lambda js: js.stream_info("BANKS+test"),
}


def test_an_agent_has_no_more_than_it_needs(cluster: NatsCluster) -> None:
    async def attempt(what: str) -> None:
        door = ServersDoor(cluster.settings("agent-line"), "_INBOX.agent.test.line", "test")
        async with door.connect() as servers:
            await servers.asked(FORBIDDEN_TO_AGENTS[what](servers.js))

    async def attempts() -> list[BaseException | None]:
        return await asyncio.gather(*map(attempt, FORBIDDEN_TO_AGENTS), return_exceptions=True)

    for what, found in zip(FORBIDDEN_TO_AGENTS, asyncio.run(attempts()), strict=True):
        assert isinstance(found, DeniedError), (what, found)
        assert "permissions violation" in str(found).lower()
