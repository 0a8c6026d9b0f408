"""The evidence process: copies frames out of the rings and writes them. It may be slow; nobody waits for it.

Run by hand it prints how much evidence there is and whether more can be written:
`python -m inspectd.evidence.worker --config FILE`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

from inspectd import config
from inspectd.errors import ExitCode, InspectdError
from inspectd.evidence.messages import Copied, Done, SaveEvidence, StartEvidence, ToEvidence
from inspectd.evidence.store import EvidenceStore, reason
from inspectd.evidence.writer import Writer
from inspectd.ipc import child
from inspectd.ipc.channel import Channel, ChannelClosedError
from inspectd.ipc.messages import AttachRing, DetachRing
from inspectd.ipc.ring import FrameRing, RingError
from inspectd.records import EvidenceResult
from inspectd.text import printable

_BUSY_SECONDS: Final = 0.01

_NICE: Final = 10


class EvidenceWorker:
    """Copies frames as soon as they are asked for; a thread of its own writes them."""

    def __init__(self, channel: Channel[Any], start: StartEvidence) -> None:
        """Serve `channel`, writing as `start` sets out."""
        self._channel = channel
        store = EvidenceStore(Path(start.directory), start.quota_bytes, start.min_free_bytes, line=start.line)
        self._writer = Writer(store)
        self._heart = child.Heart(channel)
        self._rings: dict[tuple[str, int], FrameRing] = {}

    def live(self) -> ExitCode:
        """Serve until the main process closes the channel; then write what is waiting, and end."""
        try:
            while True:
                # Also while the disk hangs: one that is killed stands in the kernel and keeps the tree.
                self._heart.beat()
                self._writer.watch()
                for answer in self._writer.answers():
                    self._channel.send_wait(answer)
                if self._channel.wait(_BUSY_SECONDS if self._writer.is_busy else child.HEARTBEAT_SECONDS):
                    self._take()
        except ChannelClosedError:
            self._writer.finish()
            return ExitCode.OK

    def _take(self) -> None:
        received = self._channel.receive()
        if received is None:
            return
        record, fds = received
        if isinstance(record, SaveEvidence):
            refusal = self._copy(record)
            answer = Copied(record.evidence_id) if refusal is None else Done(record.evidence_id, refusal)
            self._channel.send_wait(answer)
        elif isinstance(record, AttachRing):
            self._rings[record.camera, record.generation] = FrameRing.attach(fds[0])
        elif isinstance(record, DetachRing):
            self._rings.pop((record.camera, record.generation)).close()
        else:
            raise TypeError(f"not a record for an evidence process: {record!r}")

    def _copy(self, request: SaveEvidence) -> EvidenceResult | None:
        """Copy the frame out of its slot and hand it to the writer; else return the reason."""
        if self._writer.problem is not None:
            return EvidenceResult.UNWRITABLE
        if self._writer.is_full:
            return EvidenceResult.BUSY
        frame = request.frame
        try:
            ring = self._rings[frame.camera, frame.generation]
            pixels = ring.whole(frame).copy()  # and not its region alone: `frame_sha256` is of all of it
        except (KeyError, RingError):
            return EvidenceResult.TIMEOUT
        if not ring.holds(frame):  # it was given up, and written over, while it was copied
            return EvidenceResult.TIMEOUT
        self._writer.write((request, pixels))
        return None


def _by_hand(arguments: argparse.Namespace) -> ExitCode:
    settings = config.load(arguments.config)
    quota_bytes, min_free_bytes = (
        int(mb * 1e6) for mb in (settings.evidence.quota_mb, settings.evidence.min_free_mb)
    )
    store = EvidenceStore(settings.evidence_path, quota_bytes, min_free_bytes)
    try:
        store.probe()
    except OSError as error:
        raise InspectdError(f"{settings.evidence_path}: no evidence can be kept: {reason(error)}") from error
    print(f"{settings.evidence_path}: {store.used_bytes / 1e6:.1f} MB of {quota_bytes / 1e6:g} MB")  # noqa: T201
    if store.stuck is not None:
        print(f"stuck: {printable(store.stuck)}")  # noqa: T201
    return ExitCode.OK


def _live(channel: Channel[Any], start: StartEvidence) -> ExitCode:
    os.nice(_NICE)  # the verdicts' processes go first
    return EvidenceWorker(channel, start).live()


def main() -> ExitCode:
    """Be the evidence process of a daemon (`--channel`) or look at the evidence by hand (`--config`)."""
    parser = child.argument_parser("inspectd.evidence.worker", "The evidence process.")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="by hand: print how much evidence there is"
    )
    return child.run(parser, ToEvidence, StartEvidence, _live, _by_hand)


if __name__ == "__main__":
    sys.exit(main())
