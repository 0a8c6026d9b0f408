"""What is watched beside the frames' way, so that a person hears of it: access, evidence, processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from inspectd.config import Config, exposed
from inspectd.ipc.ring import FrameRing
from inspectd.metrics import Metrics
from inspectd.publish.bus import Bus
from inspectd.publish.refusals import Refusals
from inspectd.records import EvidenceResult

_STOOD_STILL_NS: Final = 100_000_000
_STOOD_STILL_SAY_NS: Final = 10_000_000_000


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

    def refused(self, socket: str, cause: str) -> None:
        """A client was refused at a TCP socket."""
        self._metrics.auth_failed(socket, cause)
        self._refusals.add(socket, cause)

    def watch(self, bus: Bus, now_ns: int) -> None:
        """Take up changed keys, and tell of clients that were refused."""
        change = bus.maintain()
        if change is not None:
            self._say(change.severity, change.event, detail=change.detail)
        self._metrics.keys_unread(unread=bus.keys_unread)
        summary = self._refusals.summary(now_ns)
        if summary is not None:
            self._say("warning", "auth_failed", detail=summary)


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


class LoopWatch:
    """Tells when the main process itself stood still: nothing was read, judged or watched meanwhile."""

    def __init__(self, metrics: Metrics, say: Say) -> None:
        """Count in `metrics` and tell through `say`."""
        self._metrics = metrics
        self._say = say
        self._times = 0
        self._longest_ns = 0
        self._said_ns = -_STOOD_STILL_SAY_NS

    def watch(self, gap_ns: int, now_ns: int) -> None:
        """The longest time nobody looked at anything, since this was last called, was `gap_ns`."""
        if gap_ns > _STOOD_STILL_NS:
            self._metrics.stood_still()
            self._times += 1
            self._longest_ns = max(self._longest_ns, gap_ns)
        if self._times and now_ns - self._said_ns >= _STOOD_STILL_SAY_NS:
            detail = f"{self._times} times for more than {_STOOD_STILL_NS / 1e6:.0f} ms"
            self._say(
                "warning", "stood_still", detail=f"{detail}, {self._longest_ns / 1e6:.0f} ms at the longest"
            )
            self._times, self._longest_ns, self._said_ns = 0, 0, now_ns


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
