"""What is watched beside the frames' way, so that a person hears of it: access, evidence, child processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from inspectd.config import Config, exposed
from inspectd.ipc.ring import FrameRing
from inspectd.metrics import Metrics
from inspectd.publish.door_messages import DoorLevels
from inspectd.publish.refusals import Refusals
from inspectd.records import EvidenceResult

_SETTLED_NS: Final = 10_000_000_000
"""A door that opens and shuts again within this time is told of once."""


class Say(Protocol):
    """Tells the plant something a person may want to know."""

    def __call__(self, severity: str, name: str, *, detail: str) -> None:
        """Publish and log the event `name`; `severity` is `info`, `warning` or `alarm`."""


class AccessWatch:
    """Tells of plain TCP, of changed keys and of refused clients."""

    def __init__(self, config: Config, metrics: Metrics, say: Say) -> None:
        """Count in `metrics` and tell through `say`."""
        self._endpoints: Final = exposed(config)
        self._metrics = metrics
        self._say = say
        self._refusals = Refusals()

    def say_exposed(self) -> None:
        """Plain TCP that leaves the host was asked for; say so at every start."""
        self._metrics.insecure(len(self._endpoints))
        if self._endpoints:
            detail = f"plain TCP to other hosts, without keys: {', '.join(self._endpoints)}"
            self._say("warning", "insecure", detail=detail)

    def levels(self, levels: DoorLevels) -> None:
        """What the door for TCP says of keys and of clients it refused."""
        for socket, cause, count in levels.refused:
            self._metrics.auth_failed(socket, cause, count)
            self._refusals.add(socket, cause, count)
        change = levels.change
        if change is not None:
            self._say(change.severity, change.event, detail=change.detail)
        self._metrics.keys_unread(unread=levels.keys_unread)

    def watch(self, now_ns: int) -> None:
        """Tell of clients that were refused."""
        summary = self._refusals.summary(now_ns)
        if summary is not None:
            self._say("warning", "auth_failed", detail=summary)


class DoorWatch:
    """Tells of a door that takes no more clients, and of clients that were cut off."""

    def __init__(self, metrics: Metrics, say: Say) -> None:
        """Count in `metrics` and tell through `say`."""
        self._metrics = metrics
        self._say = say
        self._shut: dict[tuple[str, str], bool] = {}
        """Sockets an alarm was told of, and whether they still take nobody."""
        self._open_ns: dict[tuple[str, str], int] = {}
        self._cut_off = Refusals()

    def levels(self, door: str, before: DoorLevels | None, levels: DoorLevels) -> None:
        """A door says how it stands."""
        for socket, count in levels.connections.items():
            is_shut = socket in levels.shut
            self._metrics.connections(door, socket, count, is_shut=is_shut)
            if is_shut and (door, socket) not in self._shut:
                detail = f"{door} {socket}: {count} connections; no more are taken until some have gone"
                self._say("alarm", "door_shut", detail=detail)
            if is_shut or (door, socket) in self._shut:
                self._shut[door, socket] = is_shut
                self._open_ns.pop((door, socket), None)
        seen = {(socket, cause): count for socket, cause, count in before.cut_off} if before else {}
        for socket, cause, count in levels.cut_off:
            more = count - seen.get((socket, cause), 0)
            self._metrics.cut_off(socket, cause, more)
            self._cut_off.add(socket, cause, more)
        for socket, count in levels.foreign.items():
            self._metrics.foreign(socket, count - (before.foreign[socket] if before else 0))

    def lost(self, door: str) -> None:
        """A door is gone; the next one begins with nobody."""
        for at, socket in list(self._shut):
            if at == door:
                self._shut[at, socket] = False
                self._metrics.connections(door, socket, 0, is_shut=False)

    def watch(self, now_ns: int) -> None:
        """Tell of clients that were cut off, and of doors that have been open again for a while."""
        summary = self._cut_off.summary(now_ns)
        if summary is not None:
            self._say("warning", "clients_cut_off", detail=summary)
        for (door, socket), is_shut in list(self._shut.items()):
            if not is_shut and now_ns - self._open_ns.setdefault((door, socket), now_ns) > _SETTLED_NS:
                del self._shut[door, socket], self._open_ns[door, socket]
                self._say("info", "door_open", detail=f"{door} {socket}: clients are taken again")


class EvidenceWatch:
    """Hears what becomes of evidence (evidence.stage.Receiver), and tells when no more of it can be kept."""

    def __init__(
        self, quota_mb: float, metrics: Metrics, say: Say, rings: Callable[[], list[tuple[str, FrameRing]]]
    ) -> None:
        """Count in `metrics` and tell through `say`; `rings` gives those a frame may lie in."""
        self.rings = rings
        self._quota_bytes = int(quota_mb * 1e6)
        self._metrics = metrics
        self._say = say
        self._problem: str | None = None

    def evidence_result(self, result: EvidenceResult) -> None:
        """Evidence of a part was wanted, and this became of it."""
        self._metrics.evidence(result)

    def evidence_level(self, used_bytes: int, problem: str | None) -> None:
        """How much evidence there is; when no more can be kept, a person has to know."""
        self._metrics.evidence_level(
            writable=problem is None, used_bytes=used_bytes, quota_bytes=self._quota_bytes
        )
        if problem is not None and self._problem is None:
            self._say("alarm", "evidence_stopped", detail=problem)
        elif problem is None and self._problem is not None:
            self._say("info", "evidence_resumed", detail="")
        self._problem = problem


class ProcessWatch:
    """Hears which child processes are replaced (supervisor.Observer), and tells of it."""

    def __init__(self, metrics: Metrics, say: Say) -> None:
        """Count in `metrics` and tell through `say`."""
        self._metrics = metrics
        self._say = say

    def process_lost(self, name: str, cause: str) -> None:
        """A child process was lost and will be replaced."""
        self._metrics.restarted(name)
        self._say("warning", "process_restarted", detail=f"{name}: {cause}")
