"""What clients see: the nodes of a line, their values and events. `docs/gateways/opcua.md` is the table."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

from inspectd.gateways.opcua import nodesets
from inspectd.gateways.opcua.guarded import GuardedServer
from inspectd.gateways.opcua.results import VisionResult
from inspectd.gateways.opcua.structures import PlantTypes, message, register_ids, severity, utc_time
from inspectd.gateways.opcua.vision import AutomaticState, MachineState
from inspectd.wire import Heartbeat
from inspectd.wire.sync import LineStatus

NAMESPACE: Final = "urn:inspectd:plant"

HEALTH: Final = {
    "Alive": "Boolean",
    "Heartbeat": "UInt32",
    "Epoch": "Int64",
    "LastSeq": "Int64",
    "Health": "String",
    "Cause": "String",
    "Conditions": "String",
    "RecipeInForce": "String",
    "GoldenDueUtc": "DateTime",
    "GoldenHeld": "Boolean",
    "OpenJobs": "UInt32",
    "Captured": "Int64",
    "Verdicts": "Int64",
    "Drops": "Int64",
    "Triggers": "Int64",
    "Parts": "Int64",
    "VerdictsLost": "Int64",
}
"""Variables of `Health` by name, with their types; beside them is one for each camera."""

_LIMITS: Final = {
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
}
NEVER: Final = datetime(1601, 1, 1, tzinfo=UTC)
"""OPC UA's beginning of time, which stands for none."""

REMOVED: Final = "removed"
"""Shown of a camera that the line had and has no more."""

_CAMERAS: Final = "Health.Cameras"
_MACHINE: Final = "VisionStateMachine"
_AUTOMATIC: Final = f"{_MACHINE}.AutomaticModeStateMachine"
_RECIPES, _RESULTS = "RecipeManagement", "ResultManagement"
_MACHINERY: Final = "Results"
_VISION_SYSTEM, _RECIPE_TYPE, _RESULT_TYPE, _AUTOMATIC_TYPE, _MACHINE_TYPE = 1003, 1004, 1007, 1021, 1017
_MACHINERY_TYPE: Final = 1004
_MACHINERY_METHODS: Final = {"GetLatestResult": 7008, "GetResultById": 7005}
_EVENTS: Final = {"recipe": 1022, "result": 1024, "error": 1019, "resolved": 1020, "information": 1038}
_MACHINERY_EVENT: Final = 1002


class PlantNodes:
    """The nodes of one line in a server.

    Args:
        server: initialised, without a NodeSet.
        line: name of the line, and beginning of its NodeIds.
    """

    def __init__(self, server: GuardedServer, line: str) -> None:
        """`build` makes them."""
        self._server, self._line = server, line
        self._index = self._vision = self._machinery = 0
        self._values: dict[str, tuple[Any, Any]] = {}
        self._states: dict[tuple[str, str], Any] = {}
        self._shown: dict[str, str] = {}
        self._events: dict[str, Any] = {}
        self._cameras: list[str] = []
        """All that the line ever had."""
        self._beats = 0
        self._last: Heartbeat | None = None

    async def build(self) -> PlantTypes:
        """Import the NodeSets and make the nodes, mandatory ones and no other; the types of structures."""
        server = self._server
        for name in nodesets.IMPORT_ORDER:
            await server.import_xml(xmlstring=nodesets.importable(name))
        await server.load_data_type_definitions()
        self._vision = await server.get_namespace_index(nodesets.MACHINE_VISION_URI)
        register_ids(self._vision)
        self._machinery = await server.get_namespace_index(nodesets.MACHINERY_RESULT_URI)
        self._index = await server.register_namespace(NAMESPACE)
        root = await self._make(server.nodes.objects, "", self._line, self._index, _VISION_SYSTEM)
        await self._make(
            self.node(_MACHINE), _AUTOMATIC, "AutomaticModeStateMachine", self._vision, _AUTOMATIC_TYPE
        )
        await self._make(root, _RECIPES, _RECIPES, self._vision, _RECIPE_TYPE)
        await self._make(root, _RESULTS, _RESULTS, self._vision, _RESULT_TYPE)
        results = await self._make_machinery(root)
        health = await root.add_object(self._id("Health"), ua.QualifiedName("Health", self._index))
        for name, kind in HEALTH.items():
            await self._add_value(health, f"Health.{name}", name, ua.VariantType[kind])
        await health.add_object(self._id(_CAMERAS), ua.QualifiedName("Cameras", self._index))
        for machine, number, states in (
            (_MACHINE, _MACHINE_TYPE, MachineState), (_AUTOMATIC, _AUTOMATIC_TYPE, AutomaticState)
        ):  # fmt: skip
            kind_of = server.get_node(ua.NodeId(number, self._vision))
            for state in states:
                found = await kind_of.get_child(f"{self._vision}:{state}")
                self._states[machine, state] = found.nodeid
        for name, number in _EVENTS.items():
            generator = await server.get_event_generator(ua.NodeId(number, self._vision), root)
            self._events[name] = generator.event
        generator = await server.get_event_generator(ua.NodeId(_MACHINERY_EVENT, self._machinery), results)
        self._events["machinery"] = generator.event
        return PlantTypes(self._vision, self._machinery)

    def node(self, path: str) -> Any:
        """A node of the line by its path, such as `VisionStateMachine.Halt`."""
        return self._server.get_node(self._id(path))

    async def show_states(self, machine: MachineState, automatic: AutomaticState) -> None:
        """Write the states where they have changed."""
        for path, state in ((_MACHINE, machine), (_AUTOMATIC, automatic)):
            if self._shown.get(path) == state:
                continue
            self._shown[path] = state
            current = await self.node(path).get_child("0:CurrentState")
            await self._write(current.nodeid, ua.LocalizedText(state, "en"), ua.VariantType.LocalizedText)
            state_id = await current.get_child("0:Id")
            await self._write(state_id.nodeid, self._states[path, state], ua.VariantType.NodeId)

    async def show_health(
        self, heartbeat: Heartbeat | None, status: LineStatus | None, *, cause: str, open_jobs: int, lost: int
    ) -> None:
        """Write what is known of the line; `heartbeat` is None where it is silent."""
        await self._put("Health.Alive", heartbeat is not None)
        await self._put("Health.Cause", cause)
        await self._put("Health.OpenJobs", open_jobs)
        await self._put("Health.VerdictsLost", lost)
        if status is not None:
            due = [each.due_utc_ns for each in status.golden if each.due_utc_ns is not None]
            await self._put("Health.RecipeInForce", status.in_force)
            await self._put("Health.GoldenHeld", any(each.is_held for each in status.golden))
            next_check = utc_time(min(due)) if due else NEVER
            await self._put("Health.GoldenDueUtc", next_check)
        if heartbeat is None or heartbeat is self._last:
            return
        self._last = heartbeat
        self._beats = (self._beats + 1) % 2**32
        counts = heartbeat.counts
        conditions = sorted({condition.condition for condition in heartbeat.conditions})
        for name, value in {
            "Heartbeat": self._beats, "Epoch": heartbeat.epoch, "LastSeq": heartbeat.last_seq,
            "Health": heartbeat.health, "Conditions": " ".join(conditions), "Captured": counts.captured,
            "Verdicts": counts.verdicts, "Drops": counts.drops, "Triggers": counts.triggers,
            "Parts": counts.parts,
        }.items():  # fmt: skip
            await self._put(f"Health.{name}", value)
        for camera in heartbeat.cameras:
            if camera not in self._cameras:
                path = f"{_CAMERAS}.{camera}"
                await self._add_value(self.node(_CAMERAS), path, camera, ua.VariantType.String)
                self._cameras.append(camera)
        for camera in self._cameras:  # NodeIds never go: clients hold them
            await self._put(f"{_CAMERAS}.{camera}", heartbeat.cameras.get(camera, REMOVED))

    async def tell_result(self, types: PlantTypes, result: VisionResult) -> None:
        """Fire both events of a result."""
        fields = {"Severity": severity(result), "Message": message(result)}
        await self._fire("result", **fields, **types.event_fields(result), when_ns=result.created_utc_ns)
        await self._fire(
            "machinery",
            **fields,
            Result=ua.Variant(types.machinery_result(result)),
            when_ns=result.created_utc_ns,
        )

    async def tell_recipe(self, types: PlantTypes, name: str) -> None:
        """Fire RecipePrepared; `name` has its version."""
        await self._fire(
            "recipe", Severity=1, Message=ua.LocalizedText(f"{name} is prepared", "en"),
            ExternalId=ua.Variant(types.named("RecipeIdExternal", name.partition("@")[0])),
            InternalId=ua.Variant(types.recipe(name)),
        )  # fmt: skip

    async def tell_recipe_failed(self, text: str) -> None:
        """Fire an event for people: a recipe could not be loaded."""
        await self._fire("information", Severity=600, Message=ua.LocalizedText(text[:1000], "en"))

    async def tell_state(self, *, is_error: bool, cause: str) -> None:
        """Fire Error, or ErrorResolved."""
        text = f"the line cannot judge: {cause}" if is_error else "the line judges again"
        await self._fire(
            "error" if is_error else "resolved", Severity=800 if is_error else 100,
            Message=ua.LocalizedText(text, "en"),
        )  # fmt: skip

    async def _fire(self, name: str, *, when_ns: int | None = None, **fields: Any) -> None:
        """Fire an event at its node, and at the server's, to which event viewers listen."""
        event = self._events[name]
        for field, value in fields.items():
            setattr(event, field, value)
        now = datetime.now(UTC)
        event.EventId = ua.Variant(uuid.uuid4().bytes, ua.VariantType.ByteString)
        event.Time = now if when_ns is None else utc_time(when_ns)
        event.ReceiveTime = now
        own = event.SourceNode
        for node in (own, ua.NodeId(ua.ObjectIds.Server)):
            event.emitting_node = node
            await self._server.iserver.subscription_service.trigger_event(event)

    async def _put(self, path: str, value: Any) -> None:
        nodeid, kind = self._values[path]
        if self._shown.get(path, self) == value:
            return
        self._shown[path] = value
        await self._write(nodeid, _fitting(value, kind), kind)

    async def _write(self, nodeid: Any, value: Any, kind: Any) -> None:
        stamp = ua.DataValue(ua.Variant(value, kind), SourceTimestamp=datetime.now(UTC))
        await self._server.write_attribute_value(nodeid, stamp)

    async def _add_value(self, parent: Any, path: str, name: str, kind: Any) -> None:
        first = ua.get_default_value(kind)
        made = await parent.add_variable(
            self._id(path), ua.QualifiedName(name, self._index), first, varianttype=kind
        )
        self._values[path] = (made.nodeid, kind)

    async def _make(self, parent: Any, path: str, name: str, index: int, number: int) -> Any:
        return await parent.add_object(
            self._id(path), ua.QualifiedName(name, index), objecttype=ua.NodeId(number, self._vision),
            instantiate_optional=False,
        )  # fmt: skip

    async def _make_machinery(self, root: Any) -> Any:
        """The results of OPC 40001-101, with those of its methods that are there: all are optional."""
        made = await root.add_object(
            self._id(_MACHINERY), ua.QualifiedName(_MACHINERY, self._machinery),
            objecttype=ua.NodeId(_MACHINERY_TYPE, self._machinery), instantiate_optional=False,
        )  # fmt: skip
        for name, number in _MACHINERY_METHODS.items():
            declared = self._server.get_node(ua.NodeId(number, self._machinery))
            arguments = [
                await (await declared.get_child(f"0:{which}Arguments")).read_value()
                for which in ("Input", "Output")
            ]
            await made.add_method(
                self._id(f"{_MACHINERY}.{name}"),
                ua.QualifiedName(name, self._machinery),
                _not_linked,
                *arguments,
            )
        return made

    def _id(self, path: str) -> Any:
        return ua.NodeId(f"{self._line}.{path}" if path else self._line, self._index)


async def _not_linked(_parent: Any, *_: Any) -> Any:
    return ua.StatusCode(ua.StatusCodes.BadNotImplemented)


def _fitting(value: Any, kind: Any) -> Any:
    """A value of the bus; a number that does not fit its node is the nearest that does."""
    lowest, highest = _LIMITS.get(kind, (None, None))
    return value if lowest is None else min(max(value, lowest), highest)
