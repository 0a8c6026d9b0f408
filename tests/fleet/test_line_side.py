"""What the agent asks its line for, at a control socket that answers when the test has it answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio
from support.messages import verdict
from support.played_line import SHA256, PlayedLine

from inspectd import wire
from inspectd.client import Evaluation, Reason, RecipeAck, RecipeAction, RecipeRequest, RecipeState
from inspectd.config.program_files import endpoint
from inspectd.errors import UnavailableError
from inspectd.fleet.agent.line_side import LineDesk, LineEar
from inspectd.fleet.agent.order import RefusedOrderError
from inspectd.fleet.agent.settings import AgentLine
from inspectd.fleet.agent.store_side import StoredVersion

CELLS_1 = StoredVersion(1, "a" * 64)


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
        attempt = asyncio.create_task(desk.put_in_force("cells", CELLS_1, "order 5"))
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
        control.bind(endpoint(line, "control"))
        asyncio.run(work(control))


def test_verdicts_of_another_line_do_not_count_and_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the ports of two lines are mixed up: a rollout would go by the other's rejects."""
    line = AgentLine(verdicts=f"ipc://{tmp_path}/verdicts.sock", plant="demo", name="line1")
    with zmq.Context() as context, context.socket(zmq.XPUB) as published:
        published.setsockopt(zmq.LINGER, 0)
        published.bind(line.verdicts)
        with contextlib.closing(LineEar(line, time.monotonic)) as ear:
            ear.start()
            assert published.poll(5000)
            ear.begin("cell", 1)
            for name in ("line2", "line2", "line1"):
                judged = msgspec.structs.replace(verdict(1), line=name, recipe="cell", recipe_version=1)
                published.send_multipart(
                    [wire.topic("demo", name, judged.camera, wire.Kind.VERDICT), wire.encode(judged)]
                )
            while not (counted := ear.count("cell", 1)).by_place:
                time.sleep(0.01)
    assert (sum(counted.counts.values()), counted.by_place) == (1, {"camera1": {"pass": 1}})
    (said,) = caplog.records
    assert (said.getMessage(), said.fields["line"]) == ("other_line", "line2")


def test_golden_parts_are_no_rejects_of_a_rollout(tmp_path: Path) -> None:
    line = AgentLine(verdicts=f"ipc://{tmp_path}/verdicts.sock", plant="demo", name="line1")
    golden = {"evaluation": Evaluation.UNDECIDABLE, "reason": Reason.GOLDEN}
    held = {"evaluation": Evaluation.UNDECIDABLE, "reason": Reason.GOLDEN_OVERDUE}  # parts, which go back
    with zmq.Context() as context, context.socket(zmq.XPUB) as published:
        published.setsockopt(zmq.LINGER, 0)
        published.bind(line.verdicts)
        with contextlib.closing(LineEar(line, time.monotonic)) as ear:
            ear.start()
            assert published.poll(5000)
            ear.begin("cell", 1)
            for seq, changes in enumerate((golden, golden, {}, held), 1):
                judged = msgspec.structs.replace(verdict(seq), recipe="cell", recipe_version=1, **changes)
                published.send_multipart(
                    [wire.topic("demo", "line1", judged.camera, wire.Kind.VERDICT), wire.encode(judged)]
                )
            while sum((counted := ear.count("cell", 1)).counts.values()) < 2:
                time.sleep(0.01)
    assert (counted.counts, counted.reject_share) == ({"pass": 1, "undecidable": 1}, 0.5)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_what_became_of_a_recipe_is_known_though_the_event_of_the_line_is_lost(
    tmp_path: Path, is_loaded: bool
) -> None:
    line = AgentLine(verdicts=f"ipc://{tmp_path}/verdicts.sock", plant="test", name="line")
    ear = LineEar(line, time.monotonic)
    desk = LineDesk(line, ear, load_seconds=20)
    played = PlayedLine(tmp_path)
    played.loads_for_ever = True

    async def work() -> None:
        attempt = asyncio.create_task(desk.put_in_force("glass", StoredVersion(3, SHA256), "order 5"))
        while not played.loading:
            await asyncio.sleep(0.01)
        played.loading, played.loads_for_ever = "", not is_loaded
        await attempt

    failed = pytest.raises(UnavailableError, match="glass@3: could not be loaded; the line's log says why")
    with contextlib.closing(ear), contextlib.nullcontext() if is_loaded else failed:
        try:
            asyncio.run(work())
        finally:
            played.stop()
    assert played.in_force == ("glass@3" if is_loaded else "cells@1")


@pytest.mark.parametrize("wrong", [RecipeAction.PREPARE, RecipeAction.ACTIVATE])
def test_what_the_line_has_as_another_recipe_of_that_name_is_refused(
    tmp_path: Path, wrong: RecipeAction
) -> None:
    line = AgentLine(verdicts=f"ipc://{tmp_path}/verdicts.sock", plant="p", name="l")
    ear = LineEar(line, time.monotonic)
    desk = LineDesk(line, ear, load_seconds=10)

    async def work(control: zmq.asyncio.Socket) -> None:
        attempt = asyncio.create_task(desk.put_in_force("cells", CELLS_1, "order 5"))
        asked = None
        while asked is None or asked.action is not wrong:
            client, body = await control.recv_multipart()
            asked = msgspec.json.decode(body, type=RecipeRequest)
            sha256 = ("b" if asked.action is wrong else "a") * 64
            ack = RecipeAck(asked.request, asked.action, RecipeState.PREPARED, "cells", 1, None, sha256)
            await control.send_multipart([client, msgspec.json.encode(ack)])
        with pytest.raises(RefusedOrderError, match=r"cells@1: the line has it .* sha256 bbbb"):
            await attempt
        assert not await control.poll(0)

    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as control, contextlib.closing(ear):
        control.setsockopt(zmq.LINGER, 0)
        control.bind(endpoint(line, "control"))
        asyncio.run(work(control))
