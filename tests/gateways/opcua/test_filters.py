"""What a client's filters and subscriptions may cost: its own items, and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from asyncua import ua
from support.opcua import OpcUaGateway, PlantClient
from support.played_line import PlayedLine

from inspectd.gateways.opcua.guarded import MOST_QUEUED
from inspectd.gateways.opcua.guarded_items import MOST_CONDITIONS, MOST_FIELDS, MOST_STEPS

pytestmark = pytest.mark.daemon


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., None]]:
    """Runs a test with an operator and an observer of one gateway."""
    line = PlayedLine(tmp_path_factory.mktemp("line"))
    gateway = OpcUaGateway(tmp_path_factory.mktemp("gateway"), line.runtime_dir, "answer_ms = 2000")

    def run(test: Callable[..., Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            operator, observer = await gateway.client("mes"), await gateway.client("eye")
            try:
                await operator.until_state("Operational")
                await operator.until_state("Ready", "VisionStateMachine.AutomaticModeStateMachine")
                await test(operator, observer)
            finally:
                await operator.disconnect()
                await observer.disconnect()

        asyncio.run(whole())

    yield run
    assert gateway.stop() == 0
    assert "Traceback" not in gateway.log.read_text()
    line.stop()


def clause(path: Any, attribute: int = ua.AttributeIds.Value) -> Any:
    names = path if path is None else [ua.QualifiedName(name, 0) for name in path]
    return ua.SimpleAttributeOperand(ua.NodeId(ua.ObjectIds.BaseEventType), names, attribute)


def events(*clauses: Any, where: list[Any] | None = None) -> Any:
    return ua.EventFilter(list(clauses), ua.ContentFilter(where or []))


def both(first: int, second: int) -> Any:
    operands = [ua.ElementOperand(first), ua.ElementOperand(second)]
    return ua.ContentFilterElement(ua.FilterOperator.And, operands)


def alike(count: int = 2) -> Any:
    operands = [ua.LiteralOperand(ua.Variant(1))] * count
    return ua.ContentFilterElement(ua.FilterOperator.InList, operands)


TWICE_AND_TWICE = [*(both(number, number) for number in range(1, 33)), alike()]
"""What asyncua evaluates 2^32 times."""
MESSAGE = clause(["Message"])
NOTIFIER = ua.AttributeIds.EventNotifier


async def item(
    client: PlantClient, wanted: Any, *, path: str = "", attribute: int = NOTIFIER, queue: int = 10
) -> Any:
    """A new subscription with one item: its id, and what was answered of the item."""
    subscription = await client.create_subscription(10, client)
    of = ua.ReadValueId(client.at(path).nodeid, attribute)
    parameters = ua.MonitoringParameters(1, 0, wanted, queue)
    request = ua.MonitoredItemCreateRequest(of, ua.MonitoringMode.Reporting, parameters)
    asked = ua.CreateMonitoredItemsParameters(subscription.subscription_id, ItemsToCreate=[request])
    (answer,) = await client.uaclient.create_monitored_items(asked)
    return subscription.subscription_id, answer


async def modified(client: PlantClient, subscription: int, number: int, wanted: Any, queue: int = 10) -> Any:
    request = ua.MonitoredItemModifyRequest(number, ua.MonitoringParameters(1, 0, wanted, queue))
    asked = ua.ModifyMonitoredItemsParameters(subscription, ItemsToModify=[request])
    (answer,) = await client.uaclient.modify_monitored_items(asked)
    return answer


def fields_of(client: PlantClient, subscription: int) -> asyncio.Future[list[Any]]:
    """The fields of the next event of a subscription."""
    told: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()

    def heard(published: Any) -> None:
        for each in published.NotificationMessage.NotificationData or []:
            if isinstance(each, ua.EventNotificationList) and not told.done():
                told.set_result([field.Value for field in each.Events[0].EventFields])

    client.uaclient._subscription_callbacks[subscription] = heard
    return told


def test_a_field_that_no_event_has_is_null(live) -> None:
    """asyncua raises where the event is fired, which ended the gateway."""
    odd = [
        clause(None, 1),
        clause([], 99),
        clause(["emitting_node"]),
        clause(["to_event_fields"]),
        clause([None]),
    ]

    async def test(operator: PlantClient, observer: PlantClient) -> None:
        subscription, answer = await item(observer, events(clause(["Severity"]), *odd))
        assert answer.StatusCode.is_good()
        told = fields_of(observer, subscription)
        await operator.listen()
        assert (await operator.job("P"))[1] == 0
        async with asyncio.timeout(10):
            assert await told == [1, *[None] * len(odd)]
        await operator.until_events(1)

    live(test)


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        (ua.ExtensionObject(), "BadFilterNotAllowed"),
        (ua.DataChangeFilter(), "BadFilterNotAllowed"),
        (events(*[MESSAGE] * (MOST_FIELDS + 1)), "BadEventFilterInvalid"),
        (events(MESSAGE, where=TWICE_AND_TWICE), "BadContentFilterInvalid"),
        (events(MESSAGE, where=[both(0, 0)]), "BadContentFilterInvalid"),
        (events(MESSAGE, where=[both(1, 2), alike()]), "BadContentFilterInvalid"),
        (events(MESSAGE, where=[alike()] * (MOST_CONDITIONS + 1)), "BadContentFilterInvalid"),
        (events(MESSAGE, where=[alike(MOST_STEPS + 1)]), "BadContentFilterInvalid"),
        (events(MESSAGE, where=[both(1, 2), alike(), alike()]), "Good"),
    ],
)  # fmt: skip
def test_a_filter_that_would_cost_others_is_refused_when_made_and_when_modified(live, wanted, status) -> None:
    async def test(operator: PlantClient, observer: PlantClient) -> None:
        _, answer = await item(observer, wanted)
        assert answer.StatusCode.name == status
        subscription, answer = await item(observer, events(clause(["Severity"])))
        told = fields_of(observer, subscription)
        answer = await modified(observer, subscription, answer.MonitoredItemId, wanted)
        is_kept = isinstance(wanted, ua.ExtensionObject)
        assert answer.StatusCode.name == ("Good" if is_kept else status)
        assert (await operator.job("P"))[1] == 0
        async with asyncio.timeout(10):
            fields = await told
        assert (fields == [1]) is (status != "Good"), "the filter it had before"

    live(test)


def test_a_band_is_of_numbers_and_an_unknown_item_is_no_other_ones_business(live) -> None:
    band = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 2.0)

    async def test(_: PlantClient, observer: PlantClient) -> None:
        for wanted, path, status in (
            (band, "Health.Health", "BadFilterNotAllowed"), (band, "Health.Heartbeat", "Good"),
            (events(MESSAGE), "Health.Health", "BadFilterNotAllowed"),
        ):  # fmt: skip
            subscription, answer = await item(observer, wanted, path=path, attribute=ua.AttributeIds.Value)
            assert answer.StatusCode.name == status, path
        answer = await modified(observer, subscription, 4711, ua.ExtensionObject())
        assert answer.StatusCode.name == "BadMonitoredItemIdInvalid"

    live(test)


@pytest.mark.parametrize(("asked", "given"), [(0, MOST_QUEUED), (2**32 - 1, MOST_QUEUED), (7, 7)])
def test_no_queue_is_longer_than_it_may_be_when_made_or_modified(live, asked, given) -> None:
    async def test(_: PlantClient, observer: PlantClient) -> None:
        subscription, answer = await item(observer, events(MESSAGE), queue=asked)
        assert answer.RevisedQueueSize == given
        answer = await modified(observer, subscription, answer.MonitoredItemId, events(MESSAGE), asked)
        assert answer.RevisedQueueSize == given

    live(test)
