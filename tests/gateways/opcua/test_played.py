"""The OPC UA gateway as a process on a line that a test plays: what is late, and what goes away meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from asyncua import ua
from support.opcua import AUTOMATIC, OpcUaGateway, close_socket, meta_of
from support.played_line import PlayedLine

from inspectd.gateways.opcua.nodes import REMOVED
from inspectd.wire import LineState

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedLine]:
    made = PlayedLine(tmp_path_factory.mktemp("line"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def gateway(played: PlayedLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpcUaGateway]:
    made = OpcUaGateway(tmp_path_factory.mktemp("gateway"), played.runtime_dir, "answer_ms = 1000")
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.log.read_text()


@pytest.fixture
def line(played: PlayedLine) -> PlayedLine:
    """The line, which is quick again."""
    played.reset()
    return played


@pytest.fixture
def live(gateway: OpcUaGateway) -> Callable[..., None]:
    """Runs a test with a client, as soon as jobs are taken."""

    def run(test: Callable[..., Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            client = await gateway.client()
            try:
                await client.until_state("Ready", AUTOMATIC)
                await client.until_state("Operational")
                async with asyncio.timeout(15):  # what the line said of itself may be from the test before
                    while await client.at("Health.RecipeInForce").read_value() != "cells@1":
                        await asyncio.sleep(0.02)
                    while [each.Id for each in (await client.recipes())[3]] != ["cells@1", "glass@3"]:
                        await asyncio.sleep(0.02)
                await test(client)
            finally:
                await client.disconnect()

        asyncio.run(whole())

    return run


def test_a_job_counts_from_its_call_though_it_waits_for_a_question_of_its_connection(line, live) -> None:
    async def test(client) -> None:
        assert (await client.job("P-1"))[1] == 0
        line.journal_seconds = 2.0
        (*_, asked), job = await asyncio.gather(client.results(), client.job("P-2"))
        assert (asked, job) == (0, ("", -9))
        assert len(line.triggers) == 1, "the line was asked to look at whatever stood there by then"
        line.journal_seconds = 0.0
        assert (await client.job("P-3"))[1] == 0

    live(test)


def test_a_job_that_came_while_the_gateway_stood_still_is_not_taken_for_new(line, live, gateway) -> None:
    async def test(client) -> None:
        gateway.process.send_signal(signal.SIGSTOP)
        try:
            job = asyncio.create_task(client.job("P-1"))
            await asyncio.sleep(3.0)  # longer than answer_ms, and nobody is disconnected by it
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        assert (await job, line.triggers) == (("", -9), [])
        await client.until_state("Ready", AUTOMATIC)
        assert (await client.job("P-2"))[1] == 0

    live(test)


def test_a_recipe_that_is_put_in_force_first_takes_of_the_jobs_own_time(line, live) -> None:
    async def test(client) -> None:
        line.recipe_seconds = 2.0
        assert await client.job("P-1", recipe="glass") == ("", -9)
        assert line.triggers == []
        assert (await client.job("P-2", recipe="glass"))[1] == 0

    live(test)


@pytest.mark.parametrize("recipe", ["file", "cells@1", "cells"])
def test_a_job_that_another_recipe_judges_by_now_is_refused(line, live, recipe) -> None:
    async def test(client) -> None:
        if recipe == "file":
            line.in_force = recipe
            async with asyncio.timeout(15):
                while await client.at("Health.RecipeInForce").read_value() != recipe:
                    await asyncio.sleep(0.02)
        assert (await client.job("P-1", recipe=recipe))[1] == 0
        line.next_in_force = "glass@3"
        assert await client.job("P-2", recipe=recipe) == ("", -2)

    live(test)


def test_what_ends_jobs_ends_one_whose_recipe_is_put_in_force(line, live, gateway) -> None:
    reason = (ua.Variant(0, ua.VariantType.Int32), "a test")

    async def test(client) -> None:
        line.recipe_seconds = 0.4
        other = await gateway.client()
        machine = "VisionStateMachine"
        job, _ = await asyncio.gather(
            client.job("P-1", recipe="glass"), other.call(f"{machine}.Halt", *reason)
        )
        assert await other.call(f"{machine}.Reset", *reason) == [0]
        assert (job, line.triggers) == (("", -1), [])
        await other.disconnect()

    live(test)


def test_a_recipe_that_was_loading_as_the_line_ended_is_told_as_not_loaded(line, live) -> None:
    async def test(client) -> None:
        subscription = await client.create_subscription(10, client)
        await subscription.subscribe_events(client.at(), ua.ObjectIds.BaseEventType, queuesize=1000)
        line.loads_for_ever = True
        assert (await client.prepare("glass"))[1:] == [False, 0]
        line.epoch += 1000  # it was started again
        (event,) = await client.until_events(1)
        assert event.Message.Text == "glass@3: the line ended or started anew while it loaded"

    live(test)


@pytest.mark.parametrize("is_loaded", [True, False])
def test_what_became_of_a_recipe_is_told_though_the_event_of_the_line_is_lost(line, live, is_loaded) -> None:
    async def test(client) -> None:
        subscription = await client.create_subscription(10, client)
        await subscription.subscribe_events(client.at(), ua.ObjectIds.BaseEventType, queuesize=1000)
        line.loads_for_ever = True
        assert (await client.prepare("glass"))[1:] == [False, 0]
        line.loading, line.loads_for_ever = "", not is_loaded
        (event,) = await client.until_events(1)
        failed = "glass@3: could not be loaded; the line's log says why"
        assert event.Message.Text == ("glass@3 is prepared" if is_loaded else failed)

    live(test)


def test_the_line_is_told_of_a_part_whose_job_is_refused_here(line, live) -> None:
    async def test(client) -> None:
        refused = (({"part": "a\nb"}, -8), ({"part": "P-1", "recipe": "nothing"}, -2))
        for told, (asked, error) in enumerate(refused, start=1):
            assert await client.job(**asked) == ("", error)
            async with asyncio.timeout(10):
                while line.passed_by < told:
                    await asyncio.sleep(0.01)
        assert line.triggers == []

    live(test)


@pytest.mark.parametrize("asked", ["a long id", "no structure", "too few", "too many"])
def test_the_line_is_told_of_a_part_whose_job_cannot_be_read(line, live, gateway, asked) -> None:
    """Else a picture of it could be taken for one of the part before, whose job is open."""
    nothing = ua.Variant([], ua.VariantType.Variant, is_array=True)

    async def test(client) -> None:
        good = [client.id(number, "") for number in (3015, 3004, 3002, 3003)]
        given, status, said = {
            "a long id": ([good[0], client.id(3004, "P" * 1001), *good[2:], nothing], "BadInvalidArgument",
                          "argument 2: got PartIdDataType, expected a structure with an Id of at most 1000"),
            "no structure": ([*good[:2], "cells", good[3], nothing], "BadInvalidArgument",
                             "argument 3: got str, expected a structure with an Id"),
            "too few": (good, "BadArgumentsMissing", "got 4 arguments, expected 5"),
            "too many": ([*good, nothing, nothing], "BadTooManyArguments", "got 6 arguments, expected 5"),
        }[asked]  # fmt: skip
        assert (await client.job("P-1"))[1] == 0
        with pytest.raises(ua.UaStatusCodeError) as refused:
            await client.call(f"{AUTOMATIC}.StartSingleJob", *given)
        assert ua.StatusCode(refused.value.code).name == status
        async with asyncio.timeout(10):
            while line.passed_by < 1:
                await asyncio.sleep(0.01)
        assert len(line.triggers) == 1
        assert gateway.audited(action="StartSingleJob", result=status)
        assert said in gateway.log.read_text()

    live(test)


def test_the_line_is_told_of_an_overtaken_job_once_and_not_after_the_later_part(line, live, gateway) -> None:
    """Told after it, the line could give that part's picture to the one that was overtaken."""

    async def test(client) -> None:
        line.recipe_seconds = 0.4
        other = await gateway.client()
        first = asyncio.create_task(client.job("P-1", recipe="glass"))
        async with asyncio.timeout(15):
            while not line.orders:
                await asyncio.sleep(0.01)
        assert (await other.job("P-2"))[1] == 0
        assert line.passed_by == 1
        assert await first == ("", -1)
        assert (await client.job("P-3"))[1] == 0  # sent once the line has heard of all before
        assert (line.passed_by, len(line.triggers)) == (1, 2)
        await other.disconnect()

    live(test)


def test_a_line_that_is_stopped_as_planned_is_no_error(line, live) -> None:
    async def test(client) -> None:
        subscription = await client.create_subscription(10, client)
        await subscription.subscribe_events(client.at(), ua.ObjectIds.BaseEventType, queuesize=1000)
        line.state = LineState.DRAINING
        await client.until_state("Preoperational")
        assert await client.job("P-1") == ("", -5)
        line.state = LineState.STOPPED
        async with asyncio.timeout(15):
            while await client.at("Health.Alive").read_value():
                await asyncio.sleep(0.02)
        shown = (await client.state(), await client.at("Health.Cause").read_value())
        line.epoch, line.state = line.epoch + 1000, LineState.RUNNING
        await client.until_state("Operational")
        assert (shown, client.events) == (("Preoperational", "stopped"), [])

    live(test)


def test_halted_is_left_by_a_reset_and_not_by_a_restart(line, live, gateway) -> None:
    reason = (ua.Variant(0, ua.VariantType.Int32), "a test")

    async def after_the_restart() -> None:
        client = await gateway.client()
        await client.until_state("Halted")
        assert await client.job("P-1") == ("", -1)
        assert await client.call("VisionStateMachine.Reset", *reason) == [0]
        assert (gateway.certificates.certificate.parent / "halted").exists() is False
        await client.disconnect()

    live(lambda client: client.call("VisionStateMachine.Halt", *reason))
    gateway.kill()
    gateway.start()
    asyncio.run(after_the_restart())


def test_a_job_whose_client_goes_before_its_answer_does_not_stay_open(line, live, gateway) -> None:
    async def test(client) -> None:
        line.answer_seconds = 0.4
        other, open_jobs = await gateway.client(), client.at("Health.OpenJobs")
        job = asyncio.create_task(other.job("P-1"))
        async with asyncio.timeout(5):
            while not await open_jobs.read_value():
                await asyncio.sleep(0.01)
            other.disconnect_socket()
            while await open_jobs.read_value():
                await asyncio.sleep(0.02)
        await asyncio.gather(job, return_exceptions=True)
        assert gateway.audited(action="StartSingleJob", who="anna", result="client_gone")
        assert await client.state(AUTOMATIC) == "Ready"
        await close_socket(other)

    live(test)


def test_a_question_that_nobody_waits_for_any_more_is_still_the_only_one(line, live) -> None:
    async def test(client) -> None:
        line.journal_seconds = 4.0  # longer than ten questions take on a busy machine
        assert (await client.results(timeout_ms=1))[-1] == -9
        for _ in range(10):
            assert (await client.results(timeout_ms=1))[-1] == -3
        async with asyncio.timeout(10):
            while (await client.results())[-1] == -3:
                await asyncio.sleep(0.02)
        assert line.questions == 2

    live(test)


def test_a_camera_that_the_line_has_no_more_is_not_up(line, live) -> None:
    async def test(client) -> None:
        for cameras, shown in (
            ({"top": "up", "side": "up"}, "up"), ({"top": "up"}, REMOVED), ({"side": "down"}, "down")
        ):  # fmt: skip
            line.cameras = cameras
            async with asyncio.timeout(10):
                names = []
                while "side" not in names:
                    children = await client.at("Health.Cameras").get_children()
                    names = [(await each.read_browse_name()).Name for each in children]
                while await client.at("Health.Cameras.side").read_value() != shown:
                    await asyncio.sleep(0.02)

    live(test)


def test_a_pass_that_was_told_as_none_is_none_in_the_journal_either(line, live) -> None:
    timeout = ua.Variant(5000, ua.VariantType.Int32)
    reason = (ua.Variant(0, ua.VariantType.Int32), "a test")

    async def test(client) -> None:
        async def recorded(job: str) -> Any:
            async with asyncio.timeout(10):
                while not (found := (await client.results(job=job))[3]):
                    await asyncio.sleep(0.02)
            return meta_of(found[0])

        await client.listen()
        told = []
        for seconds in (0.0, 0.55, 1.0):  # in time; too late by the gateway's clock; too late for any verdict
            line.verdict_seconds = seconds
            job, _ = await client.job("P")
            event = (await client.until_events(len(told) + 1))[-1]
            told.append(meta_of(event))
            found = await recorded(job)
            assert found.ResultEvaluation.name == told[-1].ResultEvaluation.name
            assert found.ResultEvaluationCode == told[-1].ResultEvaluationCode
        assert [each.ResultEvaluation.name for each in told] == ["OK", "NotDecidable", "NotDecidable"]
        asked = client.id(3021, told[1].ResultId)
        _, found, error = await client.call("ResultManagement.GetResultById", asked, timeout)
        assert (error, meta_of(found).ResultEvaluation.name) == (0, "NotDecidable")
        line.verdict_seconds = 0.3
        job, _ = await client.job("P")
        await client.call("VisionStateMachine.AutomaticModeStateMachine.Abort", *reason)
        found = await recorded(job)
        assert (found.ResultState, found.ResultEvaluation.name) == (3, "NotDecidable")

    live(test)
