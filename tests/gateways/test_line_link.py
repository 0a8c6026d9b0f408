"""The side of the bus of a gateway: what a PLC is shown of a line, and that its tasks end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zmq.asyncio
from support.messages import COUNTS, EPOCH, event, heartbeat
from support.plant_side import ENABLED, PlantSide

from inspectd import wire
from inspectd.client.clock import clock_seconds
from inspectd.gateways import line_link, refused_parts
from inspectd.gateways.command_cycle import RecipeCommand
from inspectd.gateways.commands import RecipeDesk
from inspectd.gateways.line_link import LineLink, _seen
from inspectd.gateways.parts import PlantTrigger, RefusedPart
from inspectd.gateways.refused_parts import refused_part
from inspectd.gateways.registers import CommandCode, ControlBit, LineBit, StatusBit
from inspectd.gateways.settings import GatewayLine, HandshakeSettings
from inspectd.publish.control import parse
from inspectd.wire import (
    RecipeAck,
    RecipeAction,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    RecipeState,
    Refusal,
    RefusalReason,
    TriggerRequest,
)
from inspectd.wire.health import HealthCondition
from inspectd.wire.numbers import COMMAND_REFUSAL_NUMBERS
from inspectd.wire.sync import LineStatus


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


@asynccontextmanager
async def asked_desk(folder: Path) -> AsyncIterator[tuple[RecipeDesk, zmq.asyncio.Socket]]:
    """A desk, and the control socket of its line, whose answers the test gives."""
    endpoint = f"ipc://{folder}/control.sock"
    with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
        line.bind(endpoint)
        yield RecipeDesk(GatewayLine(), endpoint, 60.0, clock_seconds), line


async def answer(line: zmq.asyncio.Socket, state: RecipeState, version: int = 1) -> RecipeRequest:
    """Answer the next request of the desk; what it was."""
    client, body = await line.recv_multipart()
    asked = msgspec.json.decode(body, type=RecipeRequest)
    ack = RecipeAck(asked.request, asked.action, state, "cells", version, 12, "00")
    await line.send_multipart([client, wire.encode(ack)])
    return asked


def test_a_command_whose_end_comes_together_with_that_of_the_gateway_ends(tmp_path: Path) -> None:
    async def test() -> None:
        async with asked_desk(tmp_path) as (desk, line):
            doing = asyncio.create_task(desk.do(RecipeCommand(CommandCode.PREPARE, 12)))
            name = (await answer(line, RecipeState.LOADING)).request
            assert desk._awaited is not None
            while not desk._awaited[1]._callbacks:  # it waits for the end of loading
                await asyncio.sleep(0.005)
            desk.heard(msgspec.structs.replace(event("recipe_prepared"), detail=f"cells@1 ({name})"))
            doing.cancel()
            await asyncio.wait([doing])
            assert doing.cancelled()

    asyncio.run(test())


def test_a_line_that_was_started_again_loads_nothing_that_was_asked_of_it_before(tmp_path: Path) -> None:
    async def test() -> None:
        async with asked_desk(tmp_path) as (desk, line):
            desk.line_lost("line_restarted")  # nothing is asked of it
            doing = asyncio.create_task(desk.do(RecipeCommand(CommandCode.ACTIVATE, 12)))
            await answer(line, RecipeState.LOADING)
            while not doing.done():
                desk.line_lost("line_restarted")
                await asyncio.sleep(0.01)
            assert doing.result() == "line_restarted"

    asyncio.run(test())


def test_a_line_that_was_asked_anew_after_its_restart_loads_what_it_was_asked_for(tmp_path: Path) -> None:
    async def test() -> None:
        async with asked_desk(tmp_path) as (desk, line):
            doing = asyncio.create_task(desk.do(RecipeCommand(CommandCode.PREPARE, 12)))
            client, _ = await line.recv_multipart()
            busy = RecipeRefusal(None, RecipeRefusalReason.BUSY, "")
            await line.send_multipart([client, wire.encode(busy)])
            desk.line_lost("line_restarted")
            name = (await answer(line, RecipeState.LOADING)).request
            while not doing.done():
                desk.heard(msgspec.structs.replace(event("recipe_prepared"), detail=f"cells@1 ({name})"))
                await asyncio.sleep(0.01)
            assert doing.result() is None

    asyncio.run(test())


def test_the_version_that_was_loaded_is_put_in_force_and_no_other_of_its_number(tmp_path: Path) -> None:
    async def test() -> None:
        async with asked_desk(tmp_path) as (desk, line):
            doing = asyncio.create_task(desk.do(RecipeCommand(CommandCode.ACTIVATE, 12)))
            asked = [
                await answer(line, state, version=3) for state in (RecipeState.PREPARED, RecipeState.ACTIVE)
            ]
            assert await doing is None
            named = [(each.action, each.recipe, each.version) for each in asked]
            assert named == [(RecipeAction.PREPARE, 12, None), (RecipeAction.ACTIVATE, "cells", 3)]

    asyncio.run(test())


@pytest.mark.parametrize("is_told_meanwhile", [True, False])
def test_what_is_in_force_is_learned_without_an_event_and_never_from_before_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_told_meanwhile: bool
) -> None:
    monkeypatch.setattr(line_link, "_LOOK_SECONDS", 0.05)
    side = PlantSide(recipes={12: "cells", 13: "glass"})
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(), side.handshake, lambda: side.now)

    async def asked(line: zmq.asyncio.Socket, running: asyncio.Task) -> bytes:
        while not running.done():
            side.alive()
            if await line.poll(10):
                client, request = await line.recv_multipart()
                if json.loads(request)["schema"] == "status_request/1":
                    return client
        return await running

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/sync.sock")
            running = asyncio.create_task(link.run())
            client = await asked(line, running)
            if is_told_meanwhile:
                link._heard(event("recipe_activated"))
            await line.send_multipart([client, wire.encode(status("cells@1", 12))])
            client = await asked(line, running)
            assert side.value("active_recipe") == (0 if is_told_meanwhile else 12)
            await line.send_multipart([client, wire.encode(status("glass@1", 13))])
            client = await asked(line, running)
            assert side.value("active_recipe") == 13
            await line.send_multipart([client, wire.encode(status("glass@1", 13))])
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


def test_a_recipe_that_the_line_does_not_say_any_more_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_link, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(line_link, "_STATUS_SECONDS", 0.5)
    side = PlantSide()
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(), side.handshake, lambda: side.now)

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/sync.sock")
            running = asyncio.create_task(link.run())
            for shown in (12, 0):
                while side.value("active_recipe") != shown:
                    side.alive()
                    if await line.poll(10):
                        client, request = await line.recv_multipart()
                        if shown and json.loads(request)["schema"] == "status_request/1":
                            await line.send_multipart([client, wire.encode(status("cells@1", 12))])
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


def test_a_command_that_put_a_recipe_in_force_is_not_done_before_that_is_shown(tmp_path: Path) -> None:
    side = PlantSide().online()
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(), side.handshake, lambda: side.now)

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/control.sock")
            running = asyncio.create_task(link.run())
            side.write(10, CommandCode.ACTIVATE, 12)
            (order,) = side.control(ENABLED | ControlBit.EXECUTE)
            link.take(order)
            for state in (RecipeState.PREPARED, RecipeState.ACTIVE):
                await answer(line, state)
            while side.has(StatusBit.EXECUTING):
                await asyncio.sleep(0)
            assert side.has(StatusBit.COMMAND_COMPLETED)
            assert side.value("active_recipe") == 12
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


def test_a_changeover_is_asked_for_once_the_trigger_from_before_it_is_answered(tmp_path: Path) -> None:
    side = PlantSide().online()
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    settings = HandshakeSettings(answer_ms=5000)
    link = LineLink(where, settings, side.handshake, lambda: side.now)

    async def next_asked(line: zmq.asyncio.Socket) -> tuple[bytes, str]:
        client, request = await line.recv_multipart()
        return client, json.loads(request)["schema"]

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/control.sock")
            running = asyncio.create_task(link.run())
            link.take(RefusedPart())  # behind which the trigger waits
            side.write(10, CommandCode.ACTIVATE, 12)
            trigger, command = side.control(ENABLED | ControlBit.TRIGGER | ControlBit.EXECUTE)
            link.take(trigger)
            link.take(command)
            client, _ = await next_asked(line)
            assert not await line.poll(100)
            await line.send_multipart(
                [client, wire.encode(Refusal("refused", RefusalReason.UNKNOWN_CAMERA, ""))]
            )
            client, asked = await next_asked(line)
            assert asked == "trigger/1"
            assert not await line.poll(100)
            accepted = wire.Accepted(trigger.trigger_id, EPOCH, 1, 500.0, ["top"])
            await line.send_multipart([client, wire.encode(accepted)])
            assert (await answer(line, RecipeState.PREPARED)).action is RecipeAction.PREPARE
            assert (await answer(line, RecipeState.ACTIVE)).action is RecipeAction.ACTIVATE
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


@pytest.mark.parametrize(
    ("prepared", "loading", "ended"),
    [
        (["cells@1"], None, StatusBit.COMMAND_COMPLETED),
        (["cells@1"], "", StatusBit.COMMAND_COMPLETED),
        (["glass@1"], "", StatusBit.COMMAND_FAILED),
        (["glass@1"], "tubes@1", StatusBit.COMMAND_FAILED),
    ],
)
def test_what_became_of_a_recipe_that_the_line_loads_is_known_though_the_event_is_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepared: list[str],
    loading: str | None,
    ended: StatusBit,
) -> None:
    monkeypatch.setattr(line_link, "_LOOK_SECONDS", 0.05)
    side = PlantSide().online()
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(command_seconds=20), side.handshake, lambda: side.now)

    async def told(line: zmq.asyncio.Socket, prepared: list[str], loading: str | None) -> None:
        said = msgspec.structs.replace(status("glass@1", 13), prepared=prepared, loading=loading)
        is_told = False
        while not is_told:
            side.alive()
            if await line.poll(10):
                client, request = await line.recv_multipart()
                is_told = json.loads(request)["schema"] == "status_request/1"
                if is_told:
                    await line.send_multipart([client, wire.encode(said)])

    async def test() -> None:
        with (
            zmq.asyncio.Context() as context,
            context.socket(zmq.ROUTER) as line,
            context.socket(zmq.ROUTER) as control,
        ):
            line.bind(f"ipc://{tmp_path}/sync.sock")
            control.bind(f"ipc://{tmp_path}/control.sock")
            running = asyncio.create_task(link.run())
            side.write(10, CommandCode.PREPARE, 12)
            link.take(*side.control(ENABLED | ControlBit.EXECUTE))
            await answer(control, RecipeState.LOADING)
            for _ in range(2):
                await told(line, ["glass@1"], None if loading is None else "cells@1")
            assert side.has(StatusBit.EXECUTING)
            while side.has(StatusBit.EXECUTING):
                await told(line, prepared, loading)
            assert side.has(ended)
            problem = COMMAND_REFUSAL_NUMBERS["failed"] if ended is StatusBit.COMMAND_FAILED else 0
            assert side.value("command_result") == problem
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


def test_what_a_line_said_of_itself_before_it_loaded_a_recipe_ends_no_command(tmp_path: Path) -> None:
    async def test() -> None:
        async with asked_desk(tmp_path) as (desk, line):
            doing = asyncio.create_task(desk.do(RecipeCommand(CommandCode.PREPARE, 12)))
            await line.poll()
            before = desk.end_of_loading
            await answer(line, RecipeState.LOADING)
            while desk.end_of_loading is None:
                await asyncio.sleep(0.005)
            idle = msgspec.structs.replace(status("glass@1", 13), loading="")
            desk.status_told(idle, before)
            await asyncio.sleep(0)
            assert not doing.done()
            desk.status_told(idle, desk.end_of_loading)
            assert await doing == "failed"

    asyncio.run(test())


def test_a_line_is_told_of_parts_whose_triggers_are_not_sent(tmp_path: Path) -> None:
    side = PlantSide().online()
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(), side.handshake, lambda: side.now)
    refused = refused_part("demo/line1")

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/control.sock")
            running = asyncio.create_task(link.run())
            for order in (RefusedPart(), PlantTrigger(acquisition=70_001, at=side.now - 1)):  # too late
                link.take(order)
                async with asyncio.timeout(10):
                    client, told = await line.recv_multipart()
                assert msgspec.json.decode(told, type=TriggerRequest) == refused
                with pytest.raises(ValueError, match="cameras is empty"):  # so that the line passes it by
                    parse([told])
                refusal = Refusal(None, RefusalReason.MALFORMED, "")
                await line.send_multipart([client, wire.encode(refusal)])
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


def test_a_trigger_is_not_sent_before_the_line_has_answered_what_it_was_told_of_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_parts, "_TELL_SECONDS", 0.05)
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(answer_ms=300), PlantSide().handshake, clock_seconds)

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{tmp_path}/control.sock")
            running = asyncio.create_task(link.run())

            async def heard() -> str:
                async with asyncio.timeout(10):
                    client, body = await line.recv_multipart()
                if is_answering:
                    await line.send_multipart(
                        [client, wire.encode(Refusal(None, RefusalReason.MALFORMED, ""))]
                    )
                return msgspec.json.decode(body, type=TriggerRequest).trigger_id

            is_answering = False
            link.take(RefusedPart())
            link.take(PlantTrigger(acquisition=1, at=clock_seconds()))
            for _ in range(4):  # for longer than the trigger may wait
                assert await heard() == "refused"
            monkeypatch.setattr(refused_parts, "_TELL_SECONDS", 5.0)
            is_answering = True
            while await line.poll(300):
                assert await heard() == "refused"
            link.take(PlantTrigger(acquisition=2, at=clock_seconds()))
            assert await heard() == "2"
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())


def test_a_trigger_whose_connection_cannot_be_made_anew_is_refused_and_the_next_one_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    side, control = PlantSide(), tmp_path / "control.sock"
    where = GatewayLine(plant="demo", verdicts=f"ipc://{tmp_path}/verdicts.sock")
    link = LineLink(where, HandshakeSettings(), side.handshake, lambda: side.now)

    async def test() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.ROUTER) as line:
            line.bind(f"ipc://{control}")
            running = asyncio.create_task(link.run())
            link.take(RefusedPart())  # once it is answered, both connections are made
            client, _ = await line.recv_multipart()
            told = Refusal("refused", RefusalReason.UNKNOWN_CAMERA, "")
            await line.send_multipart([client, wire.encode(told)])
            for number in (1, 2, 3):
                link.take(PlantTrigger(acquisition=number, at=side.now))
                if number == 1:  # it is not answered, so that the next one takes another connection
                    await line.recv_multipart()
                    control.unlink()
                    control.touch()
                while [each.getMessage() for each in caplog.records].count("trigger_refused") < number:
                    assert not running.done(), running.exception()
                    side.now += 0.05
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(10):
                while "line_cannot_be_connected" not in [each.getMessage() for each in caplog.records]:
                    side.now += 0.05
                    await asyncio.sleep(0.01)
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(test())
    assert "line_cannot_be_connected" in [each.getMessage() for each in caplog.records]


def status(in_force: str, number: int) -> LineStatus:
    return LineStatus(
        "status", "demo", "line1", EPOCH, "0.1.0", 0, 0, "running", "good", [], COUNTS, [], [], "cpu", 0, 0,
        "recording", None, None, None, 0, {}, in_force, in_force_number=number,
    )  # fmt: skip
