"""Evidence, the main process's side: what is kept, and the frames its process may still read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from inspectd.config import Config, Recipe, effective_settings, recipe_sha256
from inspectd.evidence.messages import Copied, Done, FromEvidence, Level, SaveEvidence, StartEvidence
from inspectd.evidence.policy import EvidencePolicy
from inspectd.evidence.record import Facts
from inspectd.ipc.messages import Alive
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.ring_client import RingClient
from inspectd.ipc.slot_holds import SlotHolds, share_of
from inspectd.records import BankInForce, EvidenceResult, FrameRef, Outcome
from inspectd.wire import Verdict

_MAX_HELD: Final = 4
_HOLD_NS: Final = 250_000_000
"""Longest that evidence may keep a slot from its camera."""

_KEPT_FREE: Final = 1
"""With no more free slots than this a camera gets back what evidence holds."""

_MAX_UNFINISHED: Final = 16


class EvidenceEvents(Protocol):
    """Takes reports on evidence, and gives the rings."""

    def rings(self) -> list[tuple[str, FrameRing]]:
        """Every ring a frame may lie in, with its camera."""

    def on_evidence_result(self, result: EvidenceResult) -> None:
        """Evidence of a part was wanted, with this result."""

    def on_evidence_level(self, used_bytes: int, problem: str | None, stuck: str | None) -> None:
        """Size of all evidence; the reason why no more can be written, and what cannot be removed, if any."""


class EvidenceStage(RingClient):
    """A job for the supervisor: hands frames to the evidence process, and never waits for it.

    A slot is held for it for 250 ms at most, for each camera at most a quarter of its slots, four in all, and
    none while a camera has hardly any left; beyond that the evidence is skipped and counted.
    """

    name = "evidence"
    module = "inspectd.evidence.worker"
    arguments: Sequence[str] = ()
    receives: Any = FromEvidence
    start_timeout_ns = 30_000_000_000
    stall_timeout_ns = 10_000_000_000

    def __init__(
        self,
        config: Config,
        events: EvidenceEvents,
        release: Callable[[FrameRef], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Keep evidence by the settings of `config`; slots go back by `release`."""
        settings = config.evidence
        limits = int(settings.quota_mb * 1e6), int(settings.min_free_mb * 1e6)
        owner = f"{config.line.plant}/{config.line.name}"
        super().__init__(StartEvidence(str(config.evidence_path), *limits, owner), events.rings)
        self.holds = SlotHolds(release)
        self._policy = EvidencePolicy(settings, chance)
        self._enabled = settings.enabled
        self._events = events
        self._slots = {camera.name: camera.slots for camera in config.cameras}
        self._settings: dict[str | None, dict[str, Any]] = {}  # by the recipe's sha256
        self._last_id = 0
        self._unfinished: dict[int, FrameRef] = {}

    def use_slots(self, camera: str, slots: int) -> None:
        """A camera's next ring has so many slots."""
        self._slots[camera] = slots

    def use_banks(self, judged: Iterable[tuple[Recipe, BankInForce]]) -> None:
        """Record these banks and thresholds with what is kept of parts that are judged by them."""
        for recipe, bank in judged:
            named = recipe, bank.threshold, bank.bank_sha256
            self._settings[recipe_sha256(*named)] = effective_settings(*named)

    def offer(self, frame: FrameRef, verdict: Verdict, outcome: Outcome, now_ns: int) -> None:
        """Keep a part's evidence if it is wanted and costs nobody anything; its slot is not released yet."""
        if not self._enabled or not self._policy.wants(verdict.evaluation, second_look=verdict.second_look):
            return
        refusal = self._refusal(frame, verdict, now_ns)
        if refusal is None:
            refusal = self._send(frame, verdict, outcome)
        if refusal is not None:
            self._events.on_evidence_result(refusal)
            return
        self._unfinished[self._last_id] = frame
        self.holds.hold(frame, now_ns)

    def relieve(self, camera: str, free_slots: int) -> None:
        """Give every held slot back to a camera that is about to run out of them: its frames come first."""
        if free_slots <= _KEPT_FREE:
            for frame in self.holds.frames_of(camera):
                self.holds.end(frame)

    def tick(self, now_ns: int) -> None:
        """Give up on frames that were not copied in time."""
        for frame in self.holds.older_than(_HOLD_NS, now_ns):
            self.holds.end(frame)

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:  # noqa: ARG002 - it sends none
        """See `Job.received`."""
        if isinstance(record, Copied):
            if (frame := self._unfinished.get(record.evidence_id)) is not None:
                self.holds.end(frame)
        elif isinstance(record, Done):
            self._finish(record.evidence_id, record.result)
        elif isinstance(record, Level):
            self._events.on_evidence_level(record.used_bytes, record.problem, record.stuck)
        elif not isinstance(record, Alive):
            raise TypeError(f"not a record of an evidence process: {record!r}")

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:
        """See `Job.lost`; the pieces it had not finished are counted as `down`."""
        super().lost(cause, exit_code, now_ns)
        for evidence_id in list(self._unfinished):
            self._finish(evidence_id, EvidenceResult.DOWN)

    def _refusal(self, frame: FrameRef, verdict: Verdict, now_ns: int) -> EvidenceResult | None:
        """Reason for not keeping a frame, found before anything is sent; None if there is none."""
        if not self._policy.take(verdict.evaluation, now_ns, second_look=verdict.second_look):
            return EvidenceResult.RATE_LIMITED
        if self._channel is None:
            return EvidenceResult.DOWN
        share = share_of(self._slots[frame.camera])
        full = self.holds.count >= _MAX_HELD or self.holds.count_of(frame.camera) >= share
        full = full and not self.holds.holds_slot_of(frame)  # of its other regions, which costs nothing more
        return EvidenceResult.BUSY if full or len(self._unfinished) >= _MAX_UNFINISHED else None

    def _send(self, frame: FrameRef, verdict: Verdict, outcome: Outcome) -> EvidenceResult | None:
        score = outcome.score
        self._last_id += 1
        request = SaveEvidence(
            self._last_id,
            frame,
            msgspec.json.encode(_facts(verdict, self._settings.get(verdict.recipe_sha256, {}), outcome)),
            score.heatmap if score else b"",
            score.heatmap_height if score else 0,
            score.heatmap_width if score else 0,
            score.heatmap_rectangle if score else None,
        )
        return None if self._post(request, may_be_skipped=True) else EvidenceResult.BUSY

    def _finish(self, evidence_id: int, result: EvidenceResult) -> None:
        frame = self._unfinished.pop(evidence_id, None)
        if frame is not None:
            self.holds.end(frame)
            self._events.on_evidence_result(result)


def _facts(verdict: Verdict, settings: dict[str, Any], outcome: Outcome) -> Facts:
    measures = {} if outcome.measures is None else msgspec.structs.asdict(outcome.measures)
    return Facts(verdict, settings, measures, outcome.detail)
