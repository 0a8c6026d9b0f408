"""The `control` socket: a trigger, or a request for a recipe or a check comes in, an answer goes out.

The answer to a trigger goes out as soon as it is in the journal, some milliseconds later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from inspectd import wire
from inspectd.publish.bus import Asker, Bus
from inspectd.publish.door.messages import Request
from inspectd.text import MAX_DETAIL_CHARACTERS, printable
from inspectd.wire import (
    Accepted,
    RecipeAck,
    RecipeRefusal,
    RecipeRefusalReason,
    RecipeRequest,
    Refusal,
    RefusalReason,
    TriggerRequest,
)
from inspectd.wire.golden import GoldenAck, GoldenRefusal, GoldenRefusalReason, GoldenRequest

MAX_REQUEST_BYTES: Final = 4096


class _Schema(msgspec.Struct):
    """What a message says it is; triggers need not say it."""

    schema: str = "trigger/1"


_schemas: Final = msgspec.json.Decoder(_Schema)
_triggers: Final = msgspec.json.Decoder(TriggerRequest)
_recipes: Final = msgspec.json.Decoder(RecipeRequest)
_golden: Final = msgspec.json.Decoder(GoldenRequest)


_RECIPE: Final = str(RecipeRequest.__struct_config__.tag)
_GOLDEN: Final = str(GoldenRequest.__struct_config__.tag)


class TriggerEvents(Protocol):
    """Takes triggers, and spans in which one may have been lost."""

    def on_trigger(self, request: TriggerRequest, came_ns: int, source: str, key: str) -> Accepted | Refusal:
        """Answer a well-formed trigger of the sender `source` that came at `came_ns` at the earliest.

        `key`: name of the sender's key; empty: it has none.
        """

    def pass_by(self, from_ns: int, until_ns: int | None = None) -> None:
        """Triggers that nobody can read may have come between then and `until_ns`; None: and now."""


class RequestEvents(Protocol):
    """Takes requests for recipes and for checks with golden parts."""

    def on_golden(
        self, request: GoldenRequest, came_ns: int, who: str, door: str,
        reply: Callable[[GoldenAck | GoldenRefusal], None],
    ) -> None:  # fmt: skip
        """Answer a well-formed request for a check by `reply`; it came at `came_ns` at the earliest.

        For `who` and `door` see `on_recipe`.
        """

    def on_recipe(
        self, request: RecipeRequest, who: str, door: str, reply: Callable[[RecipeAck | RecipeRefusal], None]
    ) -> None:
        """Answer a well-formed request by `reply`, now or when the disk has answered.

        Args:
            request: what the client sent.
            who: name of its key, or what it calls itself.
            door: by which it came, `local` or `tcp`.
            reply: sends the answer.
        """

    def on_refused_recipe(
        self, request: RecipeRequest | None, reason: RecipeRefusalReason, detail: str,
        reply: Callable[[RecipeAck | RecipeRefusal], None],
    ) -> None:  # fmt: skip
        """Refuse a request by `reply`; None: it cannot be read."""


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
        requests: RequestEvents,
        when_recorded: Callable[[Callable[[], None]], None],
        metrics: ControlMetrics,
        *,
        line: str,
    ) -> None:
        """Answer triggers and requests for recipes.

        Args:
            bus: whose `control` sockets to serve.
            events: answers triggers; what cannot be read is passed by, as it may have been a part's trigger.
            requests: answers requests for recipes and checks.
            when_recorded: calls what it is given once all that was admitted so far would survive a crash; so
                an acknowledged trigger gets its verdict, whatever happens. Where the disk is late: at once.
            metrics: counts each answer.
            line: `PLANT/LINE` that this is: a request that means another one is refused.
        """
        self._bus = bus
        self._events = events
        self._requests = requests
        self._when_recorded = when_recorded
        self._metrics = metrics
        self._line = line

    def take(self, client: Asker, request: Request) -> None:
        """Answer a client's message."""
        envelope, parts = request.unwrapped()
        schema = schema_of(parts)
        if schema == _GOLDEN:
            self._take_golden(client, envelope, parts, request)
        elif schema == _RECIPE:
            self._take_recipe(client, envelope, parts, request.key)
        else:
            self._take_trigger(client, envelope, parts, request)

    def _take_recipe(self, client: Asker, envelope: list[bytes], parts: list[bytes], key: str) -> None:
        reply = partial(self._send, client, envelope)
        try:
            asked = parse_recipe(parts)
        except ValueError as error:
            detail = str(error)[:MAX_DETAIL_CHARACTERS]
            self._requests.on_refused_recipe(None, RecipeRefusalReason.MALFORMED, detail, reply)
            return
        if not self._is_meant(asked.line):
            detail = self._other_line(asked.line)
            self._requests.on_refused_recipe(asked, RecipeRefusalReason.OTHER_LINE, detail, reply)
        else:
            self._requests.on_recipe(asked, key or asked.who, client.door, reply)

    def _take_golden(
        self, client: Asker, envelope: list[bytes], parts: list[bytes], request: Request
    ) -> None:
        reply = partial(self._send, client, envelope)
        try:
            asked: GoldenRequest = _read(parts, _golden)
            _admit_printable(asked, ("request", "recipe", "part", "who", "line"))
        except ValueError as error:
            detail = str(error)[:MAX_DETAIL_CHARACTERS]
            reply(GoldenRefusal(None, GoldenRefusalReason.MALFORMED, detail))
            return
        if not self._is_meant(asked.line):
            detail = self._other_line(asked.line)
            reply(GoldenRefusal(asked.request, GoldenRefusalReason.OTHER_LINE, detail))
        else:
            self._requests.on_golden(asked, request.came_ns, request.key or asked.who, client.door, reply)

    def _is_meant(self, line: str) -> bool:
        return line in {"", self._line}

    def _other_line(self, line: str) -> str:
        return f"line: got {line!r}, but this is {self._line}; is the control endpoint another line's?"

    def _take_trigger(
        self, client: Asker, envelope: list[bytes], parts: list[bytes], request: Request
    ) -> None:
        reply = partial(self._reply, client, envelope)
        try:
            asked = parse(parts)
        except ValueError as error:
            self._events.pass_by(request.came_ns)  # it may have been a part's trigger
            reply(Refusal(None, RefusalReason.MALFORMED, str(error)[:MAX_DETAIL_CHARACTERS]))
            return
        if not self._is_meant(asked.line):
            self._events.pass_by(
                request.came_ns
            )  # its sender may be this line's, and call it by a wrong name
            reply(Refusal(asked.trigger_id, RefusalReason.OTHER_LINE, self._other_line(asked.line)))
            return
        source = f"{client.door} {client.client.hex()}"
        answer = self._events.on_trigger(asked, request.came_ns, source, request.key)
        if isinstance(answer, Refusal):
            reply(answer)
        else:
            self._when_recorded(partial(reply, answer))

    def _reply(self, client: Asker, envelope: list[bytes], answer: Accepted | Refusal) -> None:
        self._metrics.trigger(answer.reason if isinstance(answer, Refusal) else None)
        self._send(client, envelope, answer)

    def _send(self, client: Asker, envelope: list[bytes], answer: msgspec.Struct) -> None:
        self._bus.reply("control", client, [*envelope, wire.encode(answer)])


def schema_of(parts: list[bytes]) -> str:
    """What a message says it is, whatever is wrong with it otherwise; a trigger need not say it."""
    if len(parts) != 1 or len(parts[0]) > MAX_REQUEST_BYTES:
        return ""
    try:
        return _schemas.decode(parts[0]).schema
    except (ValueError, RecursionError):
        return ""


def parse_recipe(parts: list[bytes]) -> RecipeRequest:
    """Read a request for a recipe.

    Raises:
        ValueError: it is none; the message names what is wrong.
    """
    request: RecipeRequest = _read(parts, _recipes)
    _admit_printable(request, ("request", "recipe", "who", "why", "line"))
    return request


def parse(parts: list[bytes]) -> TriggerRequest:
    """Read a trigger.

    Raises:
        ValueError: it is not a trigger; the message names what is wrong.
    """
    request: TriggerRequest = _read(parts, _triggers)
    _admit_printable(request, ("trigger_id", "part_id", "golden", "line"))
    if request.cameras is not None and not request.cameras:
        raise ValueError("cameras is empty, expected names; leave it out for every triggered camera")
    if isinstance(request.cameras, dict) and request.recipe is not None:
        raise ValueError("recipe and a recipe for each camera were given, expected one of them")
    return request


def _read(parts: list[bytes], decoder: msgspec.json.Decoder[Any]) -> Any:
    if len(parts) != 1:
        raise ValueError(f"got {len(parts)} parts, expected one JSON object")
    if len(parts[0]) > MAX_REQUEST_BYTES:
        raise ValueError(f"got {len(parts[0])} bytes, expected at most {MAX_REQUEST_BYTES}")
    try:
        return decoder.decode(parts[0])
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _admit_printable(request: msgspec.Struct, names: Iterable[str]) -> None:
    for name in names:
        text = getattr(request, name)
        if isinstance(text, str) and not text.isprintable():
            raise ValueError(f"{name}: got '{printable(text)}', expected printable characters only")
