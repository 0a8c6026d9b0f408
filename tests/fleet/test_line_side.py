"""What the agent asks its line for, at a control socket that answers when the test has it answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec
import zmq
import zmq.asyncio

from inspectd.client import RecipeAck, RecipeAction, RecipeRequest, RecipeState
from inspectd.fleet.agent.line_side import LineDesk, LineEar
from inspectd.fleet.agent.settings import AgentLine


def test_the_attempt_for_an_older_order_is_over_only_once_its_request_is(tmp_path: Path) -> None:
    line = AgentLine(verdicts=f"ipc://{tmp_path}/verdicts.sock", plant="p", name="l")
    ear = LineEar(line, time.monotonic)
    desk = LineDesk(line, ear, load_seconds=10)

    async def answer(control: zmq.asyncio.Socket, client: bytes, asked: RecipeRequest) -> None:
        ack = RecipeAck(
            asked.request, asked.action, RecipeState.PREPARED, asked.recipe, asked.version, None, "a" * 64
        )
        await control.send_multipart([client, msgspec.json.encode(ack)])

    async def work(control: zmq.asyncio.Socket) -> None:
        attempt = asyncio.create_task(desk.put_in_force("cells", 1, "order 5"))
        for action in (RecipeAction.PREPARE, RecipeAction.ACTIVATE):
            client, body = await control.recv_multipart()
            asked = msgspec.json.decode(body, type=RecipeRequest)
            assert asked.action is action
            if action is RecipeAction.PREPARE:
                await answer(control, client, asked)
        attempt.cancel()
        assert not (await asyncio.wait((attempt,), timeout=0.3))[0], "the line has not answered yet"
        await answer(control, client, asked)
        await asyncio.wait((attempt,), timeout=3)
        assert attempt.cancelled()

    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as control, contextlib.closing(ear):
        control.setsockopt(zmq.LINGER, 0)
        control.bind(line.endpoints[2])
        asyncio.run(work(control))
