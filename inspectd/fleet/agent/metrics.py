"""Metrics of a line's agent. `docs/fleet.md` lists them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge

from inspectd.client_metrics import register_program
from inspectd.fleet.agent.order import Refusal
from inspectd.fleet.agent.report import AgentState


class Attempt(StrEnum):
    """What an attempt of the agent came to. A closed set: it is a metric label."""

    DONE = "done"
    """The line has put the recipe in force."""
    AGAIN = "again"
    """Something is in the way that may go; it is tried again."""
    GIVEN_UP = "given_up"
    """Nothing will change that: the order is left."""


class AgentMetrics:
    """Every metric of the agent, on a registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        register_program(registry)

        def counter(tail: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"inspectd_fleet_{tail}", about, labels, registry=registry)

        def gauge(tail: str, about: str, labels: tuple[str, ...] = ()) -> Gauge:
            return Gauge(f"inspectd_fleet_{tail}", about, labels, registry=registry)

        self._refused = counter("refused", "Entries that will not be used, by why; each once.", ("why",))
        self._attempts = counter(
            "attempts", "Attempts to carry out an order, by what they came to.", ("end",)
        )
        self._denied = counter("denied", "Refusals: this user's permissions do not have what it asked for.")
        self._reports = counter("reports", "Reports that a server has.")
        self._connected = gauge("connected", "1 while the servers can be asked.")
        self._state = gauge("state", "1 for the state that the agent is in.", ("state",))
        self._wanted = gauge(
            "wanted_serial", "Serial number of the last order that was accepted; 0: none was."
        )
        for why in Refusal:  # an alert sees the first increase as one
            self._refused.labels(why)
        for end in Attempt:
            self._attempts.labels(end)
        self.is_in(AgentState.UNKNOWN)

    def refused(self, why: Refusal) -> None:
        """An entry, or what it names, will not be used."""
        self._refused.labels(why).inc()

    def attempted(self, end: Attempt) -> None:
        """An attempt to carry out an order has ended."""
        self._attempts.labels(end).inc()

    def denied(self) -> None:
        """A server refused something."""
        self._denied.inc()

    def reported(self) -> None:
        """A server has a report."""
        self._reports.inc()

    def connected(self, *, is_connected: bool) -> None:
        """Whether the servers can be asked."""
        self._connected.set(is_connected)

    def is_in(self, state: AgentState) -> None:
        """The agent is in this state now."""
        for each in AgentState:
            self._state.labels(each).set(each is state)

    def wanted(self, serial: int | None) -> None:
        """An order was accepted."""
        self._wanted.set(serial or 0)
