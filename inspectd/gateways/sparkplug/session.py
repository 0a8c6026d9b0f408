"""One session of the edge node with a broker: what is sent and when, by the Sparkplug 3.0 specification.

Pure: it sends nothing itself and its clocks are handed in. Every method gives the messages to send now, in
order. Births and data are numbered here, so whoever sends must send all of them, or end the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Final

import msgspec

from inspectd.gateways.sparkplug.echo import Echo
from inspectd.gateways.sparkplug.names import BD_SEQ, NODE, PARTS, REBIRTH, Told, metrics_of
from inspectd.gateways.sparkplug.parts import PartRow
from inspectd.gateways.sparkplug.payload import DataType, Metric, Value, decode_commands, encode
from inspectd.gateways.sparkplug.picture import LinePicture

_REBIRTH_SECONDS: Final = 1.0
"""Births are at least so far apart, however many are asked for."""


class EdgeNames(msgspec.Struct, frozen=True):
    """Names on the broker.

    Attributes:
        group: group id, as a rule the plant.
        node: edge node id, as a rule the line.
        primary_host: id of the host application that must be there; None: none must.
    """

    group: str
    node: str
    primary_host: str | None = None

    def topic(self, kind: str, device: str | None = None) -> str:
        """A topic of the node or of one of its devices."""
        return f"spBv1.0/{self.group}/{kind}/{self.node}" + (f"/{device}" if device else "")

    @property
    def state_topic(self) -> str | None:
        """Where the primary host says whether it is there."""
        return None if self.primary_host is None else f"spBv1.0/STATE/{self.primary_host}"


class Send(msgspec.Struct, frozen=True):
    """A message to publish; none is retained."""

    topic: str
    payload: bytes
    qos: int = 0


class Heard(StrEnum):
    """What came of a message from the broker. A closed set: it is a metric label."""

    REBIRTH = "rebirth"
    HOST_ONLINE = "host_online"
    HOST_OFFLINE = "host_offline"
    OLD_STATE = "old_state"
    """Older than what the host said before: the will of a connection of before, as a rule."""
    OWN_BIRTH = "own_birth"
    """A birth of this session came back: the broker passes it on."""
    OWN_PART = "own_part"
    """A part came back: the broker passes it on."""
    UNKNOWN = "unknown"
    """A command that this node does not have, or a message in its name that is none of this session."""
    MALFORMED = "malformed"


class _HostState(msgspec.Struct):
    online: bool
    timestamp: int


class EdgeSession:
    """One MQTT session, from CONNECT to its end; the next one is another object.

    Attributes:
        is_born: births are out and no death is.
        host_is_online: the primary host is there, or none is needed: births may be sent.
        births_sent: number of births of the node.
        echo: what the broker has shown this node of what it sent.
        must_end: the primary host went offline after the births, so the session must end by `end`.
    """

    def __init__(
        self,
        names: EdgeNames,
        bd_seq: int,
        picture: LinePicture,
        *,
        clock: Callable[[], float],
        utc_ms: Callable[[], int],
        report_seconds: float = 5.0,
        with_datatypes: bool = True,
    ) -> None:
        """Begin, before CONNECT.

        Args:
            names: on the broker.
            bd_seq: number of this session's death.
            picture: what is told of the line.
            clock: seconds on a clock that never goes back.
            utc_ms: milliseconds since 1970, UTC.
            report_seconds: counts are told at most so often.
            with_datatypes: data messages say their data types as well.
        """
        self.is_born = False
        self.host_is_online = names.primary_host is None
        self.must_end = False
        self.births_sent = 0
        self.echo = Echo(
            (names.topic("NBIRTH"), names.topic("DBIRTH", PARTS)), names.topic("DDATA", PARTS), clock
        )
        self._names = names
        self._bd_seq = bd_seq
        self._picture = picture
        self._clock, self._utc_ms = clock, utc_ms
        self._report_seconds = report_seconds
        self._with_datatypes = with_datatypes
        self._seq = 0
        self._aliases: dict[tuple[str | None, str], int] = {}
        self._told: dict[str | None, dict[str, Value]] = {}
        """Values that were told, of the node and each device that was born and has not died."""
        self._is_rebirth_due = False
        self._born_at = float("-inf")
        self._reported_at = 0.0
        self._host_said_ms: int | None = None

    @property
    def death(self) -> Send:
        """The will of CONNECT, and what is sent before a wanted end."""
        now = self._utc_ms()
        return Send(self._names.topic("NDEATH"), encode(now, [self._bd_seq_metric(now)], None), qos=1)

    @property
    def command_topic(self) -> str:
        """Where hosts command."""
        return self._names.topic("NCMD")

    @property
    def subscriptions(self) -> list[tuple[str, int]]:
        """Topics with their quality of service, to be subscribed to before anything is sent."""
        topics = [self.command_topic, self._names.topic("NBIRTH"), self._names.state_topic]
        return [(topic, 1) for topic in topics if topic is not None]

    @property
    def own_subscriptions(self) -> list[tuple[str, int]]:
        """Topics of `parts`, whose messages come back to prove that they were passed on."""
        return [(self._names.topic(kind, PARTS), 0) for kind in ("DBIRTH", "DDATA")]

    @property
    def is_passed_on(self) -> bool:
        """The broker passes on what this node sends, births and parts, as far as is known."""
        return self.echo.is_passed_on

    @property
    def births_are_back(self) -> bool:
        """The births that are out came back, and none are due."""
        return self.is_born and not self._is_rebirth_due and self.echo.births_are_back

    @property
    def takes_parts(self) -> bool:
        """Parts may be told now: the births are out, none is due, and the line is alive."""
        return self.is_born and not self._is_rebirth_due and PARTS in self._told

    def births(self) -> list[Send]:
        """The births of the node and of the devices that live; only while `host_is_online`.

        The first come once the subscriptions are in place; `tick` sees to those that are asked for.
        """
        assert self.host_is_online
        now = self._utc_ms()
        self._seq = 0
        self._told = {}
        metrics = [
            self._bd_seq_metric(now),
            Metric(DataType.BOOLEAN, value=False, timestamp_ms=now, name=REBIRTH),
            *self._all_metrics(None, now),
        ]
        sends = [self._sent(self._names.topic("NBIRTH"), encode(now, metrics, 0))]
        sends += [self._device_birth(device, now) for device in sorted(self._picture.devices)]
        self.is_born, self._is_rebirth_due = True, False
        self.births_sent += 1
        self._born_at = self._reported_at = self._clock()
        return sends

    def heard(self, topic: str, payload: bytes) -> Heard:
        """A message came in; what it was. Births that are asked for come with the next `tick`."""
        if topic == self._names.state_topic:
            return self._host(payload)
        if topic != self.command_topic:
            return self._own(topic, payload)
        try:
            commands = decode_commands(payload)
        except ValueError:
            return Heard.MALFORMED
        if not any(command.name == REBIRTH and command.value is True for command in commands):
            return Heard.UNKNOWN
        self.ask_for_births()
        return Heard.REBIRTH

    def ask_for_births(self) -> None:
        """A host wants the births again, or may have asked for them unheard."""
        self._is_rebirth_due = self.is_born

    def tick(self) -> list[Send]:
        """Time has passed, or the picture has changed: what is to be told of it."""
        if not self.is_born or self.must_end:  # a host that is gone is told nothing more, births least of all
            return []
        if self._is_rebirth_due:
            # No data in between: a host that asked for births does not know what they mean.
            is_too_soon = self._clock() - self._born_at < _REBIRTH_SECONDS
            return [] if is_too_soon else self.births()
        return [*self._device_changes(), *self._changes()]

    def part(self, row: PartRow, *, is_historical: bool) -> Send:
        """One part; only while `takes_parts`."""
        assert self.takes_parts
        if not is_historical:
            self._picture.last_part = row
        at_ms = row.decided_utc_ns // 1_000_000
        metrics = [
            Metric(
                told.datatype,
                row.values.get(told.name),
                at_ms,
                alias=self._alias(PARTS, told.name),
                is_historical=is_historical,
            )
            for told in metrics_of(PARTS)
        ]
        return self._data("DDATA", PARTS, metrics)

    def end(self) -> list[Send]:
        """A wanted end: to be sent right before DISCONNECT, which makes the broker forget the will."""
        self.is_born = False
        return [self.death]

    def _own(self, topic: str, payload: bytes) -> Heard:
        is_part = topic == self._names.topic("DDATA", PARTS)
        is_birth = topic in {self._names.topic("NBIRTH"), self._names.topic("DBIRTH", PARTS)}
        if not (is_part or is_birth) or not self.echo.came(topic, payload):
            return Heard.UNKNOWN
        return Heard.OWN_PART if is_part else Heard.OWN_BIRTH

    # --- the primary host ---------------------------------------------------------------------------------

    def _host(self, payload: bytes) -> Heard:
        try:
            state = msgspec.json.decode(payload, type=_HostState)
        except (ValueError, RecursionError):
            return Heard.MALFORMED
        if self._host_said_ms is not None and state.timestamp < self._host_said_ms:
            return Heard.OLD_STATE
        self._host_said_ms = state.timestamp
        self.host_is_online = state.online
        if not state.online:
            self.must_end = self.is_born
        return Heard.HOST_ONLINE if state.online else Heard.HOST_OFFLINE

    # --- births and deaths --------------------------------------------------------------------------------

    def _device_birth(self, device: str, now_ms: int) -> Send:
        metrics = list(self._all_metrics(device, now_ms))
        return self._sent(self._names.topic("DBIRTH", device), encode(now_ms, metrics, self._next_seq()))

    def _device_changes(self) -> Iterator[Send]:
        """Deaths of devices that are gone, births of those that came."""
        now, born = self._utc_ms(), {device for device in self._told if device is not None}
        for device in sorted(born - self._picture.devices):
            del self._told[device]
            yield Send(self._names.topic("DDEATH", device), encode(now, [], self._next_seq()))
        for device in sorted(self._picture.devices - born):
            yield self._device_birth(device, now)

    def _all_metrics(self, device: str | None, now_ms: int) -> Iterator[Metric]:
        values, at_ms = self._picture.values_of(device), self._picture.dated_ms(device, now_ms)
        self._told[device] = dict(values)
        for told in metrics_of(device):
            yield Metric(
                told.datatype,
                values.get(told.name),
                at_ms,
                name=told.name,
                alias=self._alias(device, told.name),
            )

    def _bd_seq_metric(self, now_ms: int) -> Metric:
        return Metric(DataType.INT64, self._bd_seq, now_ms, name=BD_SEQ)

    # --- data ---------------------------------------------------------------------------------------------

    def _changes(self) -> Iterator[Send]:
        """What has changed of the node: at once what matters, and with it, or after a while, all the rest."""
        is_report = self._clock() - self._reported_at >= self._report_seconds
        now, told = self._picture.node, self._told[None]
        if not any(_has_changed(each, told, now) for each in NODE if is_report or each.is_prompt):
            return
        self._reported_at = self._clock()
        changed = [each for each in NODE if _has_changed(each, told, now)]
        at_ms = self._utc_ms()
        metrics = [
            Metric(each.datatype, now[each.name], at_ms, alias=self._alias(None, each.name))
            for each in changed
        ]
        self._told[None] = dict(now)
        yield self._data("NDATA", None, metrics)

    def _data(self, kind: str, device: str | None, metrics: list[Metric]) -> Send:
        payload = encode(self._utc_ms(), metrics, self._next_seq(), with_datatypes=self._with_datatypes)
        return self._sent(self._names.topic(kind, device), payload)

    def _sent(self, topic: str, payload: bytes) -> Send:
        self.echo.sent(topic, payload)
        return Send(topic, payload)

    def _next_seq(self) -> int:
        self._seq = (self._seq + 1) % 256
        return self._seq

    def _alias(self, device: str | None, name: str) -> int:
        """A number of its own for each metric of the whole node, from its first birth on."""
        return self._aliases.setdefault((device, name), len(self._aliases) + 1)


def _has_changed(told: Told, before: Mapping[str, Value], now: Mapping[str, Value]) -> bool:
    return before[told.name] != now[told.name]
