"""What an OPC UA gateway does where no connection to its line can be made any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inspectd.client.clock import clock_seconds
from inspectd.errors import UnavailableError
from inspectd.gateways.opcua.journal import RecordedResults
from inspectd.gateways.opcua.line_side import LineSide
from inspectd.gateways.opcua.vision import VisionSystem
from inspectd.gateways.settings import GatewayLine
from inspectd.wire import RecipeAction


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
