"""Metrics of the forwarder. `docs/fleet.md` lists them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from inspectd.client_metrics import register_program
from inspectd.fleet.forward.writer import Sent


class SessionEnd(StrEnum):
    """Why a session with the servers ended. A closed set: it is a metric label."""

    UNREACHABLE = "unreachable"
    """No connection came about: network, name, port, certificate."""
    LOST = "lost"
    """The connection is gone, an acknowledgement did not come, or a server said no."""
    DENIED = "denied"
    """The servers do not know this user, or its permissions do not have what it needs."""
    UNSAFE = "unsafe"
    """A server may lose what it acknowledges, or the stream is not what verdicts need."""
    OTHER_WRITER = "other_writer"
    """Another forwarder writes to the line's stream."""
    LINE = "line"
    """The line gave no answer, so that verdicts would have been passed over."""


class Extra(StrEnum):
    """What became of a heatmap or preview. A closed set: it is a metric label."""

    STORED = "stored"
    DROPPED = "dropped"
    """There was no room or no connection: it was never sent."""
    FAILED = "failed"
    """It was sent, and no acknowledgement came."""


class ForwardMetrics:
    """Every metric of the forwarder, on a registry that is handed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        register_program(registry)

        def counter(tail: str, about: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"inspectd_forward_{tail}", about, labels, registry=registry)

        def gauge(tail: str, about: str) -> Gauge:
            return Gauge(f"inspectd_forward_{tail}", about, registry=registry)

        self._sessions = counter("sessions_ended", "Sessions with the servers, by why they ended.", ("why",))
        self._verdicts = counter("verdicts", "Verdicts that the stream has, by how that came.", ("how",))
        self._lost = counter("verdicts_lost", "Verdicts that the line could not give any more.")
        self._denied = counter("denied", "Refusals: this user's permissions do not have what it asked for.")
        self._foreign = counter("foreign", "Messages in the line's stream that no forwarder sent.")
        self._extras = counter("extras", "Heatmaps and previews.", ("kind", "result"))
        self._seconds = Histogram(
            "inspectd_forward_acknowledge_seconds", "From sending a verdict to its acknowledgement.",
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5), registry=registry,
        )  # fmt: skip
        self._connected = gauge("connected", "1 while verdicts can be sent.")
        self._unsafe = gauge(
            "servers_unsafe", "1: servers are not forwarded to, they may lose what they acknowledge."
        )
        self._under_way = gauge("under_way", "Verdicts sent and not acknowledged yet.")
        self._backlog = gauge(
            "backlog_seconds", "Age of the oldest verdict that no server has yet; 0: there is none."
        )
        self._kept = gauge("kept_seconds", "Age of the oldest verdict that the line keeps.")
        self._behind = gauge("replicas_behind", "Servers that lack part of the line's stream, or are away.")
        self._compared = gauge("compared_timestamp_seconds", "When the stream was last found whole.")
        self._missing = gauge("missing", "Verdicts that the stream lacks and the line cannot give any more.")
        self._doubles = gauge("doubles", "Verdicts that the stream has more than once.")
        for why in SessionEnd:  # an alert sees the first increase as one
            self._sessions.labels(why)
        for how in ("forwarded", "duplicate", "repaired"):
            self._verdicts.labels(how)
        for kind in ("h", "pv"):
            for result in Extra:
                self._extras.labels(kind, result)

    def session_ended(self, why: SessionEnd) -> None:
        """A session has ended."""
        self._sessions.labels(why).inc()
        self._connected.set(0)
        self._under_way.set(0)

    def session_began(self) -> None:
        """Verdicts can be sent."""
        self._connected.set(1)

    def sent(self, sent: Sent) -> None:
        """A verdict was acknowledged."""
        how = "repaired" if sent.is_repair else "duplicate" if sent.is_duplicate else "forwarded"
        self._verdicts.labels(how).inc()
        self._seconds.observe(sent.seconds)

    def had_already(self) -> None:
        """The line gave a verdict that the stream has; it was not sent."""
        self._verdicts.labels("duplicate").inc()

    def lost(self, verdicts: int) -> None:
        """Verdicts cannot be had any more; where their number is not known, one."""
        self._lost.inc(verdicts)

    def denied(self) -> None:
        """A server refused something."""
        self._denied.inc()

    def foreign(self, messages: int) -> None:
        """Messages of nobody were found at the stream's end."""
        self._foreign.inc(messages)

    def extra_ended(self, kind: str, result: Extra) -> None:
        """A heatmap or preview has ended."""
        self._extras.labels(kind, result).inc()

    def servers(self, *, is_unsafe: bool, behind: int = 0) -> None:
        """What the servers say of themselves."""
        self._unsafe.set(is_unsafe)
        self._behind.set(behind)

    def distance(self, backlog_seconds: float, kept_seconds: float, under_way: int) -> None:
        """How far the stream's end is from the line's newest and oldest verdicts; NaN: not known."""
        self._backlog.set(backlog_seconds)
        self._kept.set(kept_seconds)
        self._under_way.set(under_way)

    def compared(self, utc_seconds: float, missing: int, doubles: int) -> None:
        """The stream was searched for verdicts it lacks."""
        self._compared.set(utc_seconds)
        self._missing.set(missing)
        self._doubles.set(doubles)
