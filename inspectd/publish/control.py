"""The `control` socket: a trigger comes in, an acknowledgement or a refusal goes out.

The answer goes out as soon as the trigger is in the journal, some milliseconds later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from inspectd import wire
from inspectd.publish.bus import Asker, Bus
from inspectd.publish.door.messages import Request
from inspectd.text import printable
from inspectd.wire import Accepted, Refusal, RefusalReason, TriggerRequest

MAX_REQUEST_BYTES: Final = 4096
_MAX_DETAIL_CHARACTERS: Final = 300

_decoder: Final = msgspec.json.Decoder(TriggerRequest)


class TriggerEvents(Protocol):
    """Takes triggers, and spans in which one may have been lost."""

    def on_trigger(self, request: TriggerRequest, came_ns: int, source: str) -> Accepted | Refusal:
        """Answer a well-formed trigger of the sender `source` that came at `came_ns` at the earliest."""

    def pass_by(self, from_ns: int, until_ns: int | None = None) -> None:
        """Triggers that nobody can read may have come between then and `until_ns`; None: and now."""


class ControlMetrics(Protocol):
    """Takes counts for the metrics."""

    def trigger(self, refusal: RefusalReason | None) -> None:
        """A trigger was answered: taken, or refused for this reason."""


class ControlStage:
    """Answers every message on the socket, whatever it is, and keeps nothing of it."""

    def __init__(
        self,
        bus: Bus,
        events: TriggerEvents,
        when_recorded: Callable[[Callable[[], None]], None],
        metrics: ControlMetrics,
    ) -> None:
        """Answer triggers.

        Args:
            bus: whose `control` sockets to serve.
            events: answers triggers; what cannot be read is passed by, as it may have been a part's trigger.
            when_recorded: calls what it is given once all that was admitted so far would survive a crash; so
                an acknowledged trigger gets its verdict, whatever happens.
            metrics: counts each answer.
        """
        self._bus = bus
        self._events = events
        self._when_recorded = when_recorded
        self._metrics = metrics

    def take(self, client: Asker, request: Request) -> None:
        """Answer a client's message."""
        parts = request.parts
        # A REQ socket puts an empty part before its message and wants it back; a DEALER need not.
        envelope = parts[:1] if len(parts) > 1 and not parts[0] else []
        answer = self._answer(client, parts[len(envelope) :], request.came_ns)
        if isinstance(answer, Refusal):
            self._reply(client, envelope, answer)
        else:
            self._when_recorded(partial(self._reply, client, envelope, answer))

    def _reply(self, client: Asker, envelope: list[bytes], answer: Accepted | Refusal) -> None:
        self._metrics.trigger(answer.reason if isinstance(answer, Refusal) else None)
        self._bus.reply("control", client, [*envelope, wire.encode(answer)])

    def _answer(self, client: Asker, parts: list[bytes], came_ns: int) -> Accepted | Refusal:
        try:
            request = parse(parts)
        except ValueError as error:
            self._events.pass_by(came_ns)
            return Refusal(None, RefusalReason.MALFORMED, str(error)[:_MAX_DETAIL_CHARACTERS])
        return self._events.on_trigger(request, came_ns, f"{client.door} {client.client.hex()}")


def parse(parts: list[bytes]) -> TriggerRequest:
    """Read a trigger.

    Raises:
        ValueError: it is not a trigger; the message names what is wrong.
    """
    if len(parts) != 1:
        raise ValueError(f"got {len(parts)} parts, expected one JSON object")
    if len(parts[0]) > MAX_REQUEST_BYTES:
        raise ValueError(f"got {len(parts[0])} bytes, expected at most {MAX_REQUEST_BYTES}")
    try:
        request = _decoder.decode(parts[0])
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error
    for name in ("trigger_id", "part_id"):
        text = getattr(request, name)
        if text is not None and not text.isprintable():
            raise ValueError(f"{name}: got '{printable(text)}', expected printable characters only")
    if request.cameras is not None and not request.cameras:
        raise ValueError("cameras is empty, expected names; leave it out for every triggered camera")
    if isinstance(request.cameras, dict) and request.recipe is not None:
        raise ValueError("recipe and a recipe for each camera were given, expected one of them")
    return request
