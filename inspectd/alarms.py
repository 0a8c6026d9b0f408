"""Turns what the line's parts report into metrics and events: access, doors, evidence, formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from inspectd.config import Config, insecure_endpoints, plain_tcp
from inspectd.ipc.ring import FrameRing
from inspectd.metrics import Metrics
from inspectd.publish.door.messages import DoorLevels
from inspectd.records import BankInForce, EvidenceResult, FrameRef, Inspection, Outcome, PendingView
from inspectd.text import counted, few
from inspectd.wire import Reason

_PAUSE_NS: Final = 10_000_000_000


class Refusals:
    """Counts refused clients and sums them up, at most once in ten seconds."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._due_ns = 0

    def add(self, socket: str, cause: str, count: int = 1) -> None:
        """Count `count` more refused clients of `socket`."""
        if count:
            self._counts[socket, cause] += count

    def summary(self, now_ns: int) -> str | None:
        """Return and forget the counts, in words; None when there are none, or it is too early."""
        if not self._counts or now_ns < self._due_ns:
            return None
        self._due_ns = now_ns + _PAUSE_NS
        counts, self._counts = self._counts, Counter()
        return "; ".join(f"{socket}: {count} by {cause}" for (socket, cause), count in sorted(counts.items()))


_FORMAT_QUIET_NS: Final = 60_000_000_000

_STOOD_STILL_NS: Final = 100_000_000
_STOOD_STILL_QUIET_NS: Final = 10_000_000_000

_SETTLED_NS: Final = 10_000_000_000
"""A door that opens and shuts again within this time is one event."""


class EmitEvent(Protocol):
    """Publishes an event: something a person may want to know."""

    def __call__(
        self, severity: str, name: str, *, camera: str | None = None, process: str | None = None, detail: str
    ) -> None:
        """Publish and log the event `name`; `severity` is `info`, `warning` or `alarm`."""


class AccessWatch:
    """Counts and warns of plain TCP, changed keys and refused clients."""

    def __init__(self, config: Config, metrics: Metrics, emit: EmitEvent) -> None:
        """Count in `metrics`; events go to `emit`."""
        self._endpoints: Final = insecure_endpoints(config)
        self._plain: Final = plain_tcp(config.publish, config.security)
        self._metrics = metrics
        self._emit = emit
        self._refusals = Refusals()

    def warn_insecure(self) -> None:
        """Warn of plain TCP that leaves the host or takes triggers; call it at every start."""
        self._metrics.insecure(len(self._endpoints))
        if self._endpoints:
            detail = f"plain TCP to other hosts, without keys: {', '.join(self._endpoints)}"
            self._emit("warning", "insecure", detail=detail)
        control = self._plain.get("publish.control_tcp")
        if control is not None:
            detail = (
                f"publish.control_tcp {control} has no keys: while the line is down, any user of this host "
                "can take its ports, accept triggers and send a pass; gates need the local sockets, or keys"
            )
            self._emit("warning", "unauthenticated", detail=detail)

    def on_levels(self, levels: DoorLevels) -> None:
        """Count what the door for TCP reports of keys and refused clients."""
        for socket, cause, count in levels.refused:
            self._metrics.auth_failed(socket, cause, count)
            self._refusals.add(socket, cause, count)
        change = levels.change
        if change is not None:
            self._emit(change.severity, change.event, detail=change.detail)
        self._metrics.keys_unread(unread=levels.keys_unread)

    def watch(self, now_ns: int) -> None:
        """Warn of refused clients, now and then."""
        summary = self._refusals.summary(now_ns)
        if summary is not None:
            self._emit("warning", "auth_failed", detail=summary)


class DoorWatch:
    """Counts connections of every door; warns when a socket is full and when clients are cut off."""

    def __init__(self, metrics: Metrics, emit: EmitEvent) -> None:
        """Count in `metrics`; events go to `emit`."""
        self._metrics = metrics
        self._emit = emit
        self._shut: dict[tuple[str, str], bool] = {}
        """By socket with an alarm: whether it still takes nobody."""
        self._open_ns: dict[tuple[str, str], int] = {}
        self._cut_off = Refusals()

    def on_levels(self, door: str, before: DoorLevels | None, levels: DoorLevels) -> None:
        """Count what a door reports, beyond what it reported `before`."""
        for socket, count in levels.connections.items():
            is_shut = socket in levels.shut
            self._metrics.connections(door, socket, count, is_shut=is_shut)
            if is_shut and (door, socket) not in self._shut:
                detail = f"{door} {socket}: {count} connections; no more are accepted until some close"
                self._emit("alarm", "door_shut", detail=detail)
            if is_shut or (door, socket) in self._shut:
                self._shut[door, socket] = is_shut
                self._open_ns.pop((door, socket), None)
        seen = {(socket, cause): count for socket, cause, count in before.cut_off} if before else {}
        for socket, cause, count in levels.cut_off:
            more = count - seen.get((socket, cause), 0)
            self._metrics.cut_off(socket, cause, more)
            self._cut_off.add(socket, cause, more)
        for socket, count in levels.malformed.items():
            self._metrics.malformed(socket, count - (before.malformed[socket] if before else 0))

    def on_lost(self, door: str) -> None:
        """Count no connections at a door that is gone; the next one begins with nobody."""
        for at, socket in list(self._shut):
            if at == door:
                self._shut[at, socket] = False
                self._metrics.connections(door, socket, 0, is_shut=False)

    def watch(self, now_ns: int) -> None:
        """Warn of clients that were cut off; report sockets that have been open again for a while."""
        summary = self._cut_off.summary(now_ns)
        if summary is not None:
            self._emit("warning", "clients_cut_off", detail=summary)
        for (door, socket), is_shut in list(self._shut.items()):
            if not is_shut and now_ns - self._open_ns.setdefault((door, socket), now_ns) > _SETTLED_NS:
                del self._shut[door, socket], self._open_ns[door, socket]
                self._emit("info", "door_open", detail=f"{door} {socket}: clients are accepted again")


class EvidenceWatch:
    """Counts results of keeping evidence (evidence.stage.EvidenceEvents); alarms when no more can be kept."""

    def __init__(
        self,
        quota_mb: float,
        metrics: Metrics,
        emit: EmitEvent,
        rings: Callable[[], list[tuple[str, FrameRing]]],
    ) -> None:
        """Count in `metrics`; events go to `emit`; `rings` gives those a frame may lie in."""
        self.rings = rings
        self._quota_bytes = int(quota_mb * 1e6)
        self._metrics = metrics
        self._emit = emit
        self.used_bytes: int | None = None
        self.problem: str | None = None
        self.stuck: str | None = None

    def on_evidence_result(self, result: EvidenceResult) -> None:
        """See `EvidenceEvents.on_evidence_result`; counts it."""
        self._metrics.evidence(result)

    def on_evidence_level(self, used_bytes: int, problem: str | None, stuck: str | None) -> None:
        """Alarm once when evidence cannot be kept (`problem`) or old evidence not removed (`stuck`)."""
        self._metrics.evidence_level(
            writable=problem is None, used_bytes=used_bytes, quota_bytes=self._quota_bytes
        )
        self.used_bytes = used_bytes
        if problem is not None and self.problem is None:
            self._emit("alarm", "evidence_stopped", detail=problem)
        elif problem is None and self.problem is not None:
            self._emit("info", "evidence_resumed", detail="")
        self.problem = problem
        if stuck is not None and self.stuck is None:
            self._emit("alarm", "evidence_stuck", detail=stuck)
        self.stuck = stuck


class LoopWatch:
    """Warns when the main process itself stood still: nothing was read, judged or watched meanwhile."""

    def __init__(self, metrics: Metrics, emit: EmitEvent) -> None:
        """Count in `metrics`; events go to `emit`."""
        self._metrics = metrics
        self._emit = emit
        self._times = 0
        self._longest_ns = 0
        self._warned_ns = -_STOOD_STILL_QUIET_NS

    def watch(self, gap_ns: int, now_ns: int) -> None:
        """Count a gap that is too long; `gap_ns` is the longest time without a look since the last call."""
        if gap_ns > _STOOD_STILL_NS:
            self._metrics.stood_still()
            self._times += 1
            self._longest_ns = max(self._longest_ns, gap_ns)
        if self._times and now_ns - self._warned_ns >= _STOOD_STILL_QUIET_NS:
            detail = f"{counted(self._times, 'time')} for more than {_STOOD_STILL_NS / 1e6:.0f} ms"
            self._emit(
                "warning", "stood_still", detail=f"{detail}, {self._longest_ns / 1e6:.0f} ms at the longest"
            )
            self._times, self._longest_ns, self._warned_ns = 0, 0, now_ns


class FormatWatch:
    """Alarms when a camera's frames differ from its bank's images in size or bit depth."""

    def __init__(self, emit: EmitEvent) -> None:
        """Events go to `emit`."""
        self._emit = emit
        self._banks: dict[str, BankInForce] = {}
        self._reported: dict[tuple[str, str], tuple[str, int]] = {}
        """By place and recipe what was said last, and when; said of nothing any more: empty."""

    def use_banks(self, banks: Sequence[BankInForce]) -> None:
        """Compare with these banks from now on; warn of new ones that record no sizes."""
        before, self._banks = self._banks, {bank.recipe: bank for bank in banks}
        self._reported = {key: told for key, told in self._reported.items() if key[1] in self._banks}
        for bank in banks:
            if bank.recipe not in before and not bank.image_sizes and not bank.any_size:
                detail = (
                    f"the bank of recipe {bank.recipe} does not record the size of its images: frames of "
                    "any size are judged; build it again, or set any_size = true"
                )
                self._emit("warning", "bank_without_sizes", detail=detail)

    def on_verdict(self, inspection: Inspection | PendingView, outcome: Outcome) -> None:
        """Alarm at the first frame of a wrong format, and now and then when the format changes again."""
        key = inspection.place, inspection.recipe
        reported, at_ns = self._reported.get(key, ("", None))
        if outcome.score is not None and at_ns is not None:  # it has the right format again
            self._reported[key] = "", at_ns
        bank = self._banks.get(inspection.recipe)
        if outcome.reason is not Reason.FORMAT or inspection.frame is None or bank is None:
            return
        detail = unlike(inspection.frame, bank)
        if detail != reported and (at_ns is None or outcome.decided_ns - at_ns >= _FORMAT_QUIET_NS):
            self._reported[key] = detail, outcome.decided_ns
            self._emit("alarm", "format_changed", camera=inspection.camera, detail=detail)


def unlike(frame: FrameRef, bank: BankInForce) -> str:
    """Describe how a frame, or its region, differs from the bank's images."""
    region = frame.region
    if region is not None and not frame.has_its_region:
        return (
            f"region {region.name} reaches to column {region.left + region.width} and row "
            f"{region.top + region.height}, frames are {frame.width}x{frame.height}"
        )
    if frame.bit_depth != bank.bit_depth:
        had = f"{bank.bit_depth} bits per channel"
        return f"frames have {frame.bit_depth} bits per channel, the images of recipe {bank.recipe} had {had}"
    had = few([f"{width}x{height}" for height, width in bank.image_sizes], "size")
    height, width = frame.looked_at_size
    what = "frames are" if region is None else f"region {region.name} is"
    return f"{what} {width}x{height}, the images of recipe {bank.recipe} were {had}"
