"""Monitored items of asyncua 2.1 as a plant can have them: a filter costs its own item alone."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Final

from asyncua import ua
from asyncua.server.monitored_item_service import MonitoredItemService, WhereClauseEvaluator

MOST_FIELDS: Final = 256
"""Fields that a client may have of each event."""
MOST_CONDITIONS: Final = 64
"""Elements of a where clause; each is asked for by the one before it, so that this is how deep it goes."""
MOST_STEPS: Final = 300
"""Comparisons that one event may take by a where clause."""


class GuardedItems(MonitoredItemService):
    """Items whose filters and queues are looked at before they are taken, when made and when modified.

    asyncua takes any filter, and raises at the next event of what it cannot evaluate, where the event is
    fired for all clients; it evaluates a where clause as often as it refers to itself; a modified item may
    have any queue, and keeps its earlier where clause.
    """

    def _create_events_monitored_item(self, params: Any) -> Any:
        refusal = _event_refusal(params.RequestedParameters.Filter)
        return _refused_item(refusal) if refusal else super()._create_events_monitored_item(params)

    async def _create_data_change_monitored_item(self, params: Any) -> Any:
        refusal = self._data_refusal(params.ItemToMonitor, params.RequestedParameters.Filter)
        return _refused_item(refusal) if refusal else await super()._create_data_change_monitored_item(params)

    def _modify_monitored_item(self, params: Any) -> Any:
        item, asked = self._monitored_items.get(params.MonitoredItemId), params.RequestedParameters
        if item is None:
            return ua.MonitoredItemModifyResult(StatusCode=_bad("BadMonitoredItemIdInvalid"))
        if item.where_clause_evaluator is None:
            refusal = self._data_refusal(item.read_value_id, asked.Filter)
        elif not asked.Filter:  # there is no event item without one: it keeps what it has
            refusal, asked.Filter = "", item.filter
        else:
            refusal = _event_refusal(asked.Filter)
        if refusal:
            return ua.MonitoredItemModifyResult(StatusCode=_bad(refusal))
        if item.where_clause_evaluator is not None:
            where = asked.Filter.WhereClause
            item.where_clause_evaluator = WhereClauseEvaluator(self.logger, self.aspace, where)
        asked.QueueSize = self._revise_queue_size(asked.QueueSize)
        return super()._modify_monitored_item(params)

    async def _trigger_event(self, event: Any, mid: int) -> None:
        item = self._monitored_items[mid]
        if item.where_clause_evaluator is None or not item.where_clause_evaluator.eval(event):
            return
        fields = [_field(event, clause) for clause in item.filter.SelectClauses or []]
        told = ua.EventFieldList(ClientHandle=item.client_handle, EventFields=fields)
        await self.isub.enqueue_event(mid, told, item.queue_size)

    def _data_refusal(self, of: Any, wanted: Any) -> str:
        """Why a filter of a value cannot be taken; empty: it can."""
        if not wanted:  # asyncua's null is an object
            return ""
        if not _is_of(wanted, ua.ObjectIds.DataChangeFilter):
            return "BadFilterNotAllowed"
        if wanted.DeadbandType == ua.DeadbandType.None_:
            return ""
        value = self.aspace.read_attribute_value(of.NodeId, of.AttributeId).Value
        is_number = value is not None and isinstance(value.Value, int | float)
        return "" if is_number else "BadFilterNotAllowed"


def _field(event: Any, clause: Any) -> Any:
    """A field of an event; null where the event has none of that path."""
    name = "/".join(each.Name or "" for each in clause.BrowsePath or [])
    kind, value = event.data_types.get(name), getattr(event, name, None)
    return ua.Variant() if kind is None or value is None else ua.Variant(copy.deepcopy(value), kind)


def _event_refusal(wanted: Any) -> str:
    """Why a filter of events cannot be taken; empty: it can."""
    if not _is_of(wanted, ua.ObjectIds.EventFilter):
        return "BadFilterNotAllowed"
    if len(wanted.SelectClauses or []) > MOST_FIELDS:
        return "BadEventFilterInvalid"
    is_bounded = 0 <= _steps(wanted.WhereClause.Elements or []) <= MOST_STEPS
    return "" if is_bounded else "BadContentFilterInvalid"


def _is_of(wanted: Any, number: int) -> bool:
    """By its number: asyncua has made classes of some structures anew, since the NodeSets are there."""
    return bool(getattr(wanted, "data_type", None) == ua.NodeId(number))


def _steps(elements: Sequence[Any]) -> int:
    """How many comparisons a where clause may take; -1: it is too deep, or refers to itself or to nothing."""
    if len(elements) > MOST_CONDITIONS:
        return -1
    steps = [0] * len(elements)
    for number, element in reversed([*enumerate(elements)]):  # an element may only refer to later ones
        for operand in element.FilterOperands or []:
            if not isinstance(operand, ua.ElementOperand):
                steps[number] += 1
            elif number < operand.Index < len(elements):
                steps[number] += 1 + steps[operand.Index]
            else:
                return -1
    return steps[0] if steps else 0


def _refused_item(status: str) -> Any:
    return ua.MonitoredItemCreateResult(StatusCode=_bad(status))


def _bad(name: str) -> Any:
    return ua.StatusCode(getattr(ua.StatusCodes, name))
