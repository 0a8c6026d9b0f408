"""A process that keeps, for its share of a build's images, how far each patch is from the coreset."""

from __future__ import annotations

import sys
from typing import Any, Final

import numpy as np
import torch

from inspectd.bank.coreset import Centres, PointsHere
from inspectd.bank.coreset_messages import (
    BeginCoreset,
    FarthestPatches,
    StartCoresetWorker,
    TakeCentres,
    TakePart,
    ToCoresetWorker,
)
from inspectd.bank.patches import Patches, SharedFeatures, left_out_slices
from inspectd.errors import ExitCode
from inspectd.ipc import child
from inspectd.ipc.channel import Channel

_WAIT_SECONDS: Final = 60.0


class CoresetWorker:
    """Serves one build until that closes the channel."""

    def __init__(self, channel: Channel[Any]) -> None:
        """Take the part that comes over `channel` first."""
        self._channel = channel
        part, (fd,) = self._next()
        shared = SharedFeatures(fd, part.shape, part.kind)
        shared.close()
        self._first, self._stop = part.first_image, part.stop_image
        self._patches = Patches(shared.tensor, _mask(part))
        self._points = self._patches.of_images(self._first, self._stop)
        self._part = PointsHere(self._points)

    def live(self) -> ExitCode:
        """Serve.

        Raises:
            ChannelClosedError: the build is done, or gone.
        """
        while True:
            record, _ = self._next()
            if isinstance(record, BeginCoreset):
                self._begin(record)
            else:
                self._channel.send_wait(self._farthest(record))

    def _next(self) -> tuple[Any, list[int]]:
        while (received := self._channel.receive()) is None:
            self._channel.wait(_WAIT_SECONDS)
        return received

    def _begin(self, begin: BeginCoreset) -> None:
        each = self._patches.each
        left_out = left_out_slices(begin.left_out, self._first, self._stop, each)
        self._part = PointsHere(self._points, self._first * each, left_out)
        self._part.begin(torch.from_numpy(np.frombuffer(begin.origin, dtype=np.float32).copy()))

    def _farthest(self, take: TakeCentres) -> FarthestPatches:
        for group in take.groups:
            self._part.add(Centres(group, self._patches.values(np.array(group))))
        rows, bounds, outside = self._part.farthest(take.width)
        return FarthestPatches(rows.tobytes(), bounds.tobytes(), outside)


def _mask(part: TakePart) -> torch.Tensor | None:
    if part.mask is None:
        return None
    mask = np.frombuffer(part.mask, dtype=np.bool_).reshape(part.shape[1:3])
    return torch.from_numpy(mask.copy())


def _live(channel: Channel[Any], start: StartCoresetWorker) -> ExitCode:
    torch.set_num_threads(start.threads)
    with torch.inference_mode():
        return CoresetWorker(channel).live()


def main() -> ExitCode:
    """Be a worker of a build."""
    parser = child.argument_parser("inspectd.bank.coreset_worker", "A worker of `inspectd bank build`.")
    return child.run(parser, ToCoresetWorker, StartCoresetWorker, _live)


if __name__ == "__main__":
    sys.exit(main())
