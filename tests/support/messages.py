"""Messages as a line would publish them."""

from __future__ import annotations

from inspectd import wire
from inspectd.wire import Evaluation, Reason, Verdict

EPOCH = 1_763_924_400_000
COUNTS = wire.Counts(captured=0, verdicts=0, drops=0, in_flight=0)


def verdict(seq: int, epoch: int = EPOCH, line: str = "line1") -> Verdict:
    return Verdict(
        plant="demo",
        line=line,
        camera="camera1",
        epoch=epoch,
        seq=seq,
        inspection_id=seq,
        frame_generation=1,
        frame_seq=seq,
        evaluation=Evaluation.PASS,
        reason=Reason.WITHIN_THRESHOLD,
        score=1.5,
        threshold=2.5,
        captured_utc_ns=1_763_924_431_000_000_000,
        decided_utc_ns=1_763_924_431_031_250_000,
        latency_ms=31.25,
        deadline_ms=500.0,
        late=False,
        recipe="cells",
        bank_sha256="ab" * 32,
        dropped_before=0,
    )


def heartbeat(last_seq: int, epoch: int = EPOCH, interval_ms: float = 200.0) -> wire.Heartbeat:
    return wire.Heartbeat(
        plant="demo",
        line="line1",
        epoch=epoch,
        last_seq=last_seq,
        utc_ns=0,
        interval_ms=interval_ms,
        state="running",
        counts=COUNTS,
        cameras={"camera1": "up"},
    )


def event(name: str, epoch: int = EPOCH) -> wire.Event:
    return wire.Event("demo", "line1", epoch, 0, "info", name, None, "", COUNTS)
