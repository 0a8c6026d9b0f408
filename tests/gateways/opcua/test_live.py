"""The OPC UA gateway as a process on a real daemon, with a client over the network."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from asyncua.ua.uaerrors import UaStatusCodeError
from support.daemon import Daemon, camera_table, settings
from support.opcua import AUTOMATIC, OpcUaGateway, meta_of
from support.ports import free_port
from support.triggers import Plant

from inspectd.errors import ExitCode

pytestmark = pytest.mark.daemon

SLOW = "answer_ms = 2000\n"


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, small_good) -> Daemon:
    camera = camera_table("top", small_good, fps=25, mode='"triggered"', slots=32)
    text = settings(stub_bank, camera, deadline_ms=2000, extra="[triggers]\nmax_delay_ms = 2000")
    return start_shared_daemon(text).ready()


@pytest.fixture(scope="module")
def gateway(daemon, tmp_path_factory) -> Iterator[OpcUaGateway]:
    made = OpcUaGateway(tmp_path_factory.mktemp("opcua"), daemon.runtime_dir, SLOW)
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture
def live(gateway) -> Iterator[Callable[..., None]]:
    """Runs a test with a client that is logged in, on a line that judges."""

    def run(test: Callable[..., Coroutine[Any, Any, None]], user: str = "anna") -> None:
        async def whole() -> None:
            client = await gateway.client(user)
            try:
                await client.until_state("Operational")
                await client.until_state("Ready", AUTOMATIC)
                await test(client)
            finally:
                await client.disconnect()

        asyncio.run(whole())

    return run


def test_it_serves_no_other_line(gateway) -> None:
    file = gateway.file.with_name("other.toml")
    text = gateway.file.read_text().replace('name = "line"', 'name = "line2"')
    file.write_text(text.replace(f"port = {gateway.port}", f"port = {free_port()}"))
    command = [sys.executable, "-m", "inspectd", "gateway", "opcua", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == ExitCode.BAD_INPUT
    assert "line test/line, expected test/line2" in done.stderr.splitlines()[-1]


def test_each_job_has_one_result_that_the_bus_has(daemon, live) -> None:
    async def test(client) -> None:
        await client.listen()
        jobs = []
        for number in range(5):
            jobs.append(await client.job(f"P-{number}", meas=f"M{number}"))
            events = await client.until_events(number + 1)
        assert {error for _, error in jobs} == {0}
        assert [event.PartId.Id for event in events] == [f"P-{number}" for number in range(5)]
        assert [event.JobId.Id for event in events] == [job for job, _ in jobs]
        assert [event.MeasId.Id for event in events] == [f"M{number}" for number in range(5)]
        daemon.until(lambda: {job for job, _ in jobs} <= {part.trigger_id for part in daemon.reader.parts})
        parts = {part.trigger_id: part for part in daemon.reader.parts}
        for event in events:
            part, meta = parts[event.JobId.Id], meta_of(event)
            assert event.ResultId.Id == meta.ResultId == f"{part.epoch}:{part.seq}"
            assert (meta.ResultEvaluation.name, part.evaluation, event.ResultState) == ("OK", "pass", 1), part
            assert (meta.ResultEvaluationCode, meta.ResultEvaluationDetails.Text) == (1, "within_threshold")
            assert (meta.ExternalRecipeId, event.ExternalRecipeId.Id, event.Severity) == ("cell", "cell", 1)
        assert await client.state(AUTOMATIC) == "Ready"

    live(test)


def test_whoever_listens_to_the_server_or_to_40001_101_alone_hears_of_results(live) -> None:
    async def test(client) -> None:
        await client.listen(node=client.nodes.server)
        other = await client.create_subscription(10, client)
        kind = client.get_node(ua.NodeId(1002, client.machinery))
        await other.subscribe_events(client.at("Results"), kind)
        job, _ = await client.job("P-101")
        by_kind = {hasattr(event, "Result"): event for event in await client.until_events(2)}
        assert by_kind[False].JobId.Id == by_kind[True].Result.ResultMetaData.JobId == job
        handle, latest, error = await client.call(
            "Results.GetLatestResult", ua.Variant(0, ua.VariantType.Int32)
        )
        assert (handle, latest.ResultMetaData.JobId, error) == (0, job, 0)
        names = {each.Value.Key.Name for each in latest.ResultContent}
        assert names == {"Score", "Threshold", "LatencyMs", "DeadlineMarginMs", "Late"}

    live(test)


def test_results_of_earlier_come_from_the_journal(live) -> None:
    async def test(client) -> None:
        await client.listen()
        for number in range(3):
            await client.job(f"J-{number}")
            events = await client.until_events(number + 1)
        is_complete, count, _, listed, error = await client.results(part="J-1")
        assert (is_complete, count, error, listed[0].PartId.Id) == (True, 1, 0, "J-1")
        assert listed[0].ResultId.Id == events[1].ResultId.Id
        _, count, _, listed, _ = await client.results(most=2)
        assert [each.PartId.Id for each in listed] == ["J-2", "J-1"], "the newest first"
        _, _, _, listed, _ = await client.results(most=1, start=2)
        assert listed[0].PartId.Id == "J-0"
        timeout = ua.Variant(5000, ua.VariantType.Int32)
        asked = client.id(3021, events[0].ResultId.Id)
        _, found, error = await client.call("ResultManagement.GetResultById", asked, timeout)
        assert (found.JobId.Id, error) == (events[0].JobId.Id, 0)
        assert found.ExternalRecipeId.Id == "cell"
        components = await client.call("ResultManagement.GetResultComponentsById", asked, timeout)
        assert (components[6].Id, components[-1]) == ("J-0", 0)
        for unknown in ("1:2", "junk", "", "9" * 400):
            _, _, error = await client.call(
                "ResultManagement.GetResultById", client.id(3021, unknown), timeout
            )
            assert error == -8

    live(test)


def test_nodes_have_no_bad_status_and_every_method_is_answered(live) -> None:
    async def test(client) -> None:
        methods = []

        async def look(node) -> None:
            for child in await node.get_children():
                kind = await child.read_node_class()
                name = (await child.read_browse_name()).Name
                assert not name.startswith("<"), "a placeholder of a type became a node"
                if kind is ua.NodeClass.Variable:
                    value = await child.read_data_value(raise_on_bad_status=False)
                    assert value.StatusCode.is_good(), child.nodeid.to_string()
                if kind is ua.NodeClass.Method:
                    methods.append((node, child, name))
                await look(child)

        await look(client.at())
        assert len(methods) == 14
        for parent, method, name in methods:
            with pytest.raises(UaStatusCodeError) as refused:
                await parent.call_method(method, *[ua.Variant("no", ua.VariantType.String)] * 30)
            assert refused.value.code == ua.StatusCodes.BadTooManyArguments, name
            with pytest.raises(UaStatusCodeError) as refused:
                await parent.call_method(method)
            assert refused.value.code == ua.StatusCodes.BadArgumentsMissing, name

    live(test)


def test_recipes_are_known_and_unknown_ones_change_nothing(live) -> None:
    async def test(client) -> None:
        is_complete, count, _, listed, error = await client.recipes()
        assert (is_complete, count, error) == (True, 2, 0)
        assert [each.Id for each in listed] == ["file", "cell"]
        for unknown in ("nothing", "cell@7", "../x", "x" * 900):
            _, is_completed, error = await client.prepare(unknown)
            assert (is_completed, error) == (False, -2), unknown
            assert await client.job("P", recipe=unknown) == ("", -2)
        assert await client.state() == "Operational"
        assert await client.state(AUTOMATIC) == "Ready"
        assert (await client.job("P", recipe="cell"))[1] == 0

    live(test)


def test_arguments_that_no_part_can_have_are_refused(gateway, live) -> None:
    async def test(client) -> None:
        for part in ("a" * 129, "line\nbreak"):
            assert await client.job(part) == ("", -8)
        with pytest.raises(UaStatusCodeError) as refused:
            await client.call(
                f"{AUTOMATIC}.StartSingleJob",
                1,
                2,
                3,
                4,
                ua.Variant([], ua.VariantType.Variant, is_array=True),
            )
        assert refused.value.code == ua.StatusCodes.BadInvalidArgument
        assert gateway.audited(action="StartSingleJob", who="anna", result="BadInvalidArgument")

    live(test)


def test_halted_it_takes_no_job_until_it_is_reset(live) -> None:
    reason = (ua.Variant(0, ua.VariantType.Int32), "a test")

    async def test(client) -> None:
        assert await client.call("VisionStateMachine.Halt", *reason) == [0]
        await client.until_state("Halted")
        assert await client.job("P") == ("", -1)
        assert await client.call("VisionStateMachine.Reset", *reason) == [0]
        await client.until_state("Operational")
        assert (await client.job("P"))[1] == 0

    live(test)


def test_a_continuous_job_tells_of_every_part(daemon, live) -> None:
    async def test(client) -> None:
        await client.listen()
        no_parameters = ua.Variant([], ua.VariantType.Variant, is_array=True)
        job, error = await client.call(
            f"{AUTOMATIC}.StartContinuous", client.id(3015, ""), client.id(3004, ""), client.id(3002, ""),
            client.id(3003, ""), no_parameters,
        )  # fmt: skip
        assert error == 0
        await client.until_state("ContinuousExecution", AUTOMATIC)
        assert await client.job("P") == ("", -1)
        plant = Plant(daemon)
        await asyncio.to_thread(plant.trigger, "others-1")
        plant.close()
        (event,) = await client.until_events(1)
        assert event.JobId.Id == job.Id
        assert meta_of(event).ResultEvaluation.name == "OK"
        assert await client.call(f"{AUTOMATIC}.Stop", ua.Variant(0, ua.VariantType.Int32), "") == [0]
        await client.until_state("Ready", AUTOMATIC)

    live(test)


def test_a_line_that_falls_silent_is_an_error_within_three_heartbeats(daemon, live) -> None:
    async def test(client) -> None:
        await client.listen()
        os.kill(daemon.process.pid, signal.SIGSTOP)
        try:
            began = asyncio.get_running_loop().time()
            await client.until_state("Error", seconds=3)
            assert asyncio.get_running_loop().time() - began < 1.5  # three of 200 ms, on a busy machine
            assert await client.job("P") == ("", -1)
            assert not await client.at("Health.Alive").read_value()
        finally:
            os.kill(daemon.process.pid, signal.SIGCONT)
        await client.until_state("Operational")

    live(test)


def test_health_is_that_of_the_heartbeats(daemon, live) -> None:
    async def test(client) -> None:
        first = await client.at("Health.Heartbeat").read_value()
        async with asyncio.timeout(15):
            while await client.at("Health.Heartbeat").read_value() <= first:
                await asyncio.sleep(0.02)
        assert await client.at("Health.Cameras.top").read_value() == "up"
        daemon.reader.read(0)
        assert await client.at("Health.Health").read_value() == daemon.reader.heartbeats[-1].health
        assert await client.at("Health.Epoch").read_value() == daemon.reader.heartbeats[-1].epoch
        stamped = await client.at("Health.LastSeq").read_data_value()
        assert stamped.SourceTimestamp is not None

    live(test)


def test_nobody_writes(live) -> None:
    async def test(client) -> None:
        with pytest.raises(UaStatusCodeError) as refused:
            await client.at("Health.Alive").write_value(ua.Variant(Value=True))
        assert refused.value.code == ua.StatusCodes.BadUserAccessDenied

    live(test)


def test_discovery_offers_one_way_in(gateway) -> None:
    async def test() -> None:
        (found,) = await Client(gateway.url).connect_and_get_server_endpoints()
        assert found.SecurityPolicyUri.endswith("#Basic256Sha256")
        assert found.SecurityMode is ua.MessageSecurityMode.SignAndEncrypt
        assert [each.TokenType for each in found.UserIdentityTokens] == [ua.UserTokenType.UserName]

    asyncio.run(test())


def test_files_of_a_gateway_name_what_is_wrong(tmp_path: Path) -> None:
    """Here, as the settings have no other test: see also `docs/gateways/opcua.md`."""
    from inspectd.cli import main  # noqa: PLC0415

    file = tmp_path / "opcua.toml"
    file.write_text('[opcua]\nport = "x"\nusers = { anna = "boss" }\nwhat = 1\n')
    assert main(["gateway", "opcua", "--config", str(file), "--check"]) == 2
