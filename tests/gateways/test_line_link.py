"""The side of the bus of a gateway: what a PLC is shown of a line, and that its tasks end."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
import zmq.asyncio
from support.messages import event, heartbeat

from inspectd import wire
from inspectd.gateways.clock import clock_seconds
from inspectd.gateways.command_cycle import RecipeCommand
from inspectd.gateways.commands import RecipeDesk
from inspectd.gateways.line_link import _seen
from inspectd.gateways.registers import CommandCode, LineBit
from inspectd.gateways.settings import GatewayLine
from inspectd.wire import RecipeAck, RecipeAction, RecipeState
from inspectd.wire.health import HealthCondition


@pytest.mark.parametrize(
    ("condition", "bits"),
    [
        (None, LineBit.GOLDEN_VALID),
        ("golden_due", LineBit.GOLDEN_DUE),
        ("golden_overdue", LineBit.GOLDEN_FAILED),
        ("golden_failed", LineBit.GOLDEN_FAILED),
        ("golden_none", LineBit(0)),
    ],
)
def test_golden_parts_are_valid_only_where_a_check_can_have_passed(
    condition: str | None, bits: LineBit
) -> None:
    told = [] if condition is None else [HealthCondition("maintenance_required", condition, "")]
    seen = _seen(msgspec.structs.replace(heartbeat(1), conditions=told))
    assert seen is not None
    golden = LineBit.GOLDEN_VALID | LineBit.GOLDEN_DUE | LineBit.GOLDEN_FAILED
    assert seen.bits & golden == bits


def test_a_command_whose_end_comes_together_with_that_of_the_gateway_ends(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/control.sock"

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(endpoint)
            desk = RecipeDesk(GatewayLine(), endpoint, 60.0, clock_seconds)
            doing = asyncio.create_task(desk.do(RecipeCommand(CommandCode.PREPARE, 12)))
            client, asked = await line.recv_multipart()
            name = json.loads(asked)["request"]
            ack = RecipeAck(name, RecipeAction.PREPARE, RecipeState.LOADING, "cells", 1, 12, "00")
            await line.send_multipart([client, wire.encode(ack)])
            assert desk._awaited is not None
            while not desk._awaited[1]._callbacks:  # it waits for the end of loading
                await asyncio.sleep(0.005)
            desk.heard(msgspec.structs.replace(event("recipe_prepared"), detail=f"cells@1 ({name})"))
            doing.cancel()
            await asyncio.wait([doing])
            assert doing.cancelled()

    asyncio.run(test())
