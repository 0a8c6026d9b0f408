"""A scoring process that computes nothing, for tests of everything around scoring.

It speaks the whole protocol of `inspectd.scoring.worker` and maps the same rings, but loads no torch, no
OpenVINO and no bank. No setting chooses it: only who makes a `Service` in code can, and its device is `stub`.

The score of a frame, or of its region, is its mean grey, 0 for black to 1 for white, by every 61st of its
bytes, plus 1 where its label (the last folder of a replayed image) is not `good`. A recipe without a
threshold has 1.0: what carries another label fails, all else passes. The heatmap is (4, 4), the score
everywhere. The bank's digest is the SHA-256 of the recipe's name and `Behaviour.bank`.
"""

from __future__ import annotations

import hashlib
import os
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from inspectd.errors import ExitCode, InputError
from inspectd.ipc import child
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import AttachRing, DetachRing
from inspectd.ipc.ring import FrameRing, RingError
from inspectd.records import (
    BankInForce,
    Batch,
    FrameRef,
    Inspection,
    MeasureLimit,
    Measures,
    Pace,
    Score,
    ScoreError,
)
from inspectd.scoring.messages import ScoringReady, StartScoring, ToScoring
from inspectd.wire import Reason

_THRESHOLD: Final = 1.0
_HEATMAP_SIDE: Final = 4
EVERY_NTH_BYTE: Final = 61
"""That is looked at: few enough to add up without numpy, which takes longer to load than all else here."""
_LEAST_MS: Final = 0.1
"""That a batch takes at least."""


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Behaviour of the stub beside scoring; the file of `--behaviour` as JSON, read again and again."""

    load_seconds: float = 0.0
    """Before it is ready."""
    latency_ms: float = 0.0
    """Before it answers a batch."""
    fault: Literal["none", "error", "hang", "die", "refuse"] = "none"
    """`error`: frames cannot be scored. `hang`: a batch is never answered and the heart stops. `die`: a batch
    kills it. `refuse`: it cannot load its banks, as if they were damaged."""
    bank: str = ""
    """Names the bank; scores that name another one than was loaded are of the wrong bank."""
    digests: dict[str, str] = {}
    """Digests of banks by recipe, where it is to be taken for a scorer that reads them."""
    damaged: tuple[str, ...] = ()
    """Recipes whose banks cannot be used; one that is needed is refused."""
    image_sizes: tuple[tuple[int, int], ...] = ()
    """(height, width) of the images that the bank would be of; empty: not recorded."""
    mean_grey: MeasureLimit | None = None
    """Limits of the mean grey, 0 to 255, that the bank would have learnt; None: it did not."""


class Stub:
    """Answers batches whose frames lie in attached rings.

    Args:
        channel: to the main process.
        start: what it asked for.
        file: of a `Behaviour`; None: all as it should be.
    """

    def __init__(self, channel: Channel[Any], start: StartScoring, file: Path | None) -> None:
        self._channel = channel
        self._start = start
        self._file = file
        self._rings: dict[tuple[str, int], FrameRing] = {}
        self._heart = child.Heart(channel)

    def live(self) -> ExitCode:
        """Be ready and answer until the main process closes the channel.

        Raises:
            InputError: the behaviour cannot be read, or is to refuse.
            ChannelClosedError: the main process is gone, or let this one go.
        """
        child.pin(self._start.cores)
        if self._start.is_shadow:
            child.stand_back()
        began, behaviour = time.monotonic(), self._behaviour()
        if behaviour.fault == "refuse":
            raise InputError("the stub was asked to refuse its banks")
        if needed := set(behaviour.damaged) & {r.name for r in self._start.recipes} - set(self._start.spare):
            raise InputError(f"the stub was asked to find the banks of {sorted(needed)} damaged")
        recipes = [recipe for recipe in self._start.recipes if recipe.name not in behaviour.damaged]
        while time.monotonic() - began < self._behaviour().load_seconds:
            self._heart.beat()
            time.sleep(0.01)
        banks = [
            BankInForce(
                recipe.name, _digest(behaviour, recipe.name), "stub", "none", 0, 0,
                _THRESHOLD if recipe.threshold is None else recipe.threshold,
                behaviour.image_sizes, any_size=recipe.any_size, check_above=recipe.check_above,
                limits={} if behaviour.mean_grey is None else {"mean_grey": behaviour.mean_grey},
            )
            for recipe in recipes
        ]  # fmt: skip
        if self._start.is_beside:
            child.take_part(os.getpid())
        batch_ms = max(behaviour.latency_ms, _LEAST_MS)  # of any size
        paces = [Pace(recipe.name, batch_ms, batch_ms) for recipe in recipes]
        self._channel.send_wait(ScoringReady(banks, paces, "stub", time.monotonic() - began))
        while True:
            self._heart.beat()
            if self._channel.wait(child.HEARTBEAT_SECONDS):
                self._serve_waiting()

    def _serve_waiting(self) -> None:
        while (received := self._channel.receive()) is not None:
            record, fds = received
            if isinstance(record, Batch):
                self._answer(record, self._behaviour())
                return
            if isinstance(record, AttachRing):
                self._rings[record.camera, record.generation] = FrameRing.attach(fds[0])
            elif isinstance(record, DetachRing):
                self._rings.pop((record.camera, record.generation)).close()
            else:
                raise TypeError(f"not a record for a scoring process: {record!r}")

    def _answer(self, batch: Batch, behaviour: Behaviour) -> None:
        if behaviour.fault == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        while behaviour.fault == "hang":
            time.sleep(1.0)
        time.sleep(behaviour.latency_ms / 1000)
        digest = _digest(behaviour, batch.recipe)
        for inspection in batch.inspections:
            if behaviour.fault == "error":
                answer: Score | ScoreError = ScoreError(
                    batch.batch_id,
                    inspection.inspection_id,
                    Reason.SCORING_ERROR,
                    "the stub was asked to fail",
                )
            else:
                answer = self._scored(batch.batch_id, inspection, digest, behaviour.latency_ms)
            self._channel.send_wait(answer)
        self._heart.shown()

    def _scored(
        self, batch_id: int, inspection: Inspection, digest: str, took_ms: float
    ) -> Score | ScoreError:
        frame = inspection.frame
        try:
            ring = self._rings[frame.camera, frame.generation]
            looked_at = _bytes_looked_at(ring.raw(frame), frame)[::EVERY_NTH_BYTE]
            grey = sum(looked_at) / len(looked_at) / 255
            ring.raw(frame)  # it still lies where it was scored
        except (KeyError, RingError) as error:
            return ScoreError(batch_id, inspection.inspection_id, Reason.FRAME_LOST, str(error))
        limit = self._behaviour().mean_grey
        measures = Measures(mean_grey=255 * grey) if limit is not None else None
        flaw = Reason.QUALITY_EXPOSURE if limit is not None and limit.is_beyond(255 * grey) else None
        score = grey + (frame.label is not None and Path(frame.label).name != "good")
        heatmap = struct.pack("<e", score) * _HEATMAP_SIDE**2
        return Score(
            batch_id, inspection.inspection_id, score, heatmap, _HEATMAP_SIDE, _HEATMAP_SIDE, digest,
            {"backbone": took_ms}, measures, flaw, f"mean_grey is {255 * grey:.0f}" if flaw else "",
        )  # fmt: skip

    def _behaviour(self) -> Behaviour:
        if self._file is None:
            return Behaviour()
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Behaviour)
        except (OSError, msgspec.MsgspecError) as error:
            raise InputError(f"--behaviour {self._file}: {error}") from error


def _bytes_looked_at(pixels: memoryview, frame: FrameRef) -> memoryview | bytes:
    """The bytes of a frame's region, row by row; without one, those of the frame."""
    region, row_bytes = frame.region, frame.width * frame.channels
    if region is None:
        return pixels
    starts = (
        row * row_bytes + region.left * frame.channels
        for row in range(region.top, region.top + region.height)
    )
    return b"".join(pixels[start : start + region.width * frame.channels] for start in starts)


def _digest(behaviour: Behaviour, recipe: str) -> str:
    return behaviour.digests.get(recipe) or bank_sha256(recipe, behaviour.bank)


def bank_sha256(recipe: str, bank: str = "") -> str:
    """The digest that the stub reports for a recipe's bank."""
    return hashlib.sha256(f"{recipe}/{bank}".encode()).hexdigest()


def main() -> ExitCode:
    """Be the scoring process of a service that was opened with it."""
    parser = child.argument_parser("inspectd.scoring.stub", "Scores without computing, for tests.")
    child.add_name(parser)
    parser.add_argument("--behaviour", type=Path, metavar="FILE", help="JSON; what it does beside scoring")
    file = parser.parse_args().behaviour
    return child.run(
        parser, ToScoring, StartScoring, lambda channel, start: Stub(channel, start, file).live()
    )


if __name__ == "__main__":
    sys.exit(main())
