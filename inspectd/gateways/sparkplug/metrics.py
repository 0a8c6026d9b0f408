"""Metrics of the Sparkplug gateway. `docs/gateways/sparkplug.md` lists them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from inspectd.client_metrics import register_program
from inspectd.gateways.sparkplug.session import Heard


class ConnectResult(StrEnum):
    """What came of an attempt to connect to a broker. A closed set: it is a metric label."""

    CONNECTED = "connected"
    REFUSED = "refused"
    """The broker did not take the CONNECT: user, password, client id, or it does not answer."""
    UNREACHABLE = "unreachable"
    """No connection came about: network, name, port, certificate."""


class SparkplugMetrics:
    """Every metric of the gateway, on a registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        register_program(registry)

        def name(tail: str) -> str:
            return f"inspectd_gateway_sparkplug_{tail}"

        self._connects = Counter(
            name("connects"), "Attempts to connect to a broker.", ["result"], registry=registry
        )
        self._received = Counter(
            name("messages_received"), "Messages from the broker.", ["what"], registry=registry
        )
        self._left_out = Counter(
            name("messages_left_out"),
            "Messages that came faster than they were read, or were too large.",
            registry=registry,
        )
        self._floods = Counter(
            name("floods"), "Floods of commands, after which the broker was to send none for a while.",
            registry=registry,
        )  # fmt: skip
        self._parts = Counter(
            name("parts"), "Parts that were told, live or late.", ["told"], registry=registry
        )
        self._given_up = Counter(
            name("parts_given_up"), "Parts that the broker dropped time and again.", registry=registry
        )
        self._births = Counter(name("births"), "Births of the node.", registry=registry)
        self._lost = Counter(
            "inspectd_gateway_verdicts_lost", "Verdicts that could not be had any more.", registry=registry
        )
        self._born = Gauge(name("born"), "1 while hosts are told: the births are out.", registry=registry)
        self._alive = Gauge(name("line_alive"), "1 while heartbeats of the line come.", registry=registry)
        self._held = Gauge(name("parts_held"), "Parts that were read and not told yet.", registry=registry)
        for counter, values in (
            (self._connects, ConnectResult),
            (self._received, Heard),
            (self._parts, ("live", "historical")),
        ):
            for value in values:  # an alert sees the first increase as one
                counter.labels(value)

    def connect(self, result: ConnectResult) -> None:
        """An attempt to connect has ended."""
        self._connects.labels(result).inc()

    def part(self, *, is_historical: bool) -> None:
        """A part was told."""
        self._parts.labels("historical" if is_historical else "live").inc()

    def given_up(self, number: int) -> None:
        """So many parts are told no more: the broker drops them."""
        self._given_up.inc(number)

    def heard(self, what: Heard) -> None:
        """A message came from the broker."""
        self._received.labels(what).inc()

    def left_out(self, number: int) -> None:
        """So many messages were left out since the last call."""
        self._left_out.inc(number)

    def flood(self) -> None:
        """Commands came as a flood."""
        self._floods.inc()

    def births(self, number: int) -> None:
        """So many births of the node were sent since the last call."""
        self._births.inc(number)

    def lost(self, verdicts: int) -> None:
        """Verdicts cannot be had any more; where their number is not known, one."""
        self._lost.inc(verdicts)

    def state(self, *, is_born: bool, is_alive: bool, held: int) -> None:
        """How things are now."""
        self._born.set(is_born)
        self._alive.set(is_alive)
        self._held.set(held)
