"""What an OPC UA gateway asks its line, and in which order; and where no connection can be made any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
import zmq.asyncio

from inspectd import wire
from inspectd.client.clock import clock_seconds
from inspectd.errors import UnavailableError
from inspectd.gateways.opcua.journal import RecordedResults
from inspectd.gateways.opcua.line_side import LineSide
from inspectd.gateways.opcua.vision import VisionSystem
from inspectd.gateways.settings import GatewayLine
from inspectd.wire import RecipeAction, RecipeRefusal, RecipeRefusalReason, RecipeRequest, TriggerRequest


async def nothing() -> None:
    pass


def test_a_question_without_a_connection_is_one_without_an_answer(tmp_path: Path) -> None:
    for name in ("sync", "control"):
        (tmp_path / f"{name}.sock").touch()  # as little to be connected to as with a key file that is away
    line = GatewayLine(verdicts=f"ipc://{tmp_path}/verdicts.sock")
    vision = VisionSystem(1)
    side = LineSide(
        line, 0.1, vision, clock_seconds, on_event=lambda _: None, on_end=lambda: None, on_turn=nothing
    )
    asyncio.run(side.refresh())
    assert side.status is None
    assert asyncio.run(side.ask(RecipeAction.PREPARE, "cells", None, "anna", "1")) == "no_answer"
    with pytest.raises(UnavailableError, match=r"sync\.sock is not a socket"):
        RecordedResults(f"ipc://{tmp_path}/sync.sock", None, vision.as_told).by_id("1:1")


def test_a_changeover_is_asked_for_once_the_job_from_before_it_is_answered(tmp_path: Path) -> None:
    vision = VisionSystem(1)
    side = LineSide(
        GatewayLine(verdicts=f"ipc://{tmp_path}/verdicts.sock"), 5.0, vision, clock_seconds,
        on_event=lambda _: None, on_end=lambda: None, on_turn=nothing,
    )  # fmt: skip

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/control.sock")
            running = asyncio.create_task(side.run())
            while side._sender is None:
                await asyncio.sleep(0)
            begun = vision.begin(clock_seconds(), part_id=None, meas_id="", product_id="", user="mes")
            job = asyncio.create_task(side.trigger(begun))
            changeover = asyncio.create_task(side.ask(RecipeAction.ACTIVATE, "cells", None, "anna", "1"))
            client, asked = await line.recv_multipart()
            assert msgspec.json.decode(asked, type=TriggerRequest).trigger_id == begun.trigger_id
            assert not await line.poll(100)
            accepted = wire.Accepted(begun.trigger_id, 1, 1, 500.0, ["top"])
            await line.send_multipart([client, wire.encode(accepted)])
            assert await job == accepted
            client, asked = await line.recv_multipart()
            assert msgspec.json.decode(asked, type=RecipeRequest).action is RecipeAction.ACTIVATE
            refusal = RecipeRefusal("1", RecipeRefusalReason.FAILED, "")
            await line.send_multipart([client, wire.encode(refusal)])
            assert await changeover == "failed"
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())
