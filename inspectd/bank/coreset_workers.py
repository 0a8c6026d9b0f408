"""Chooses a coreset by processes, each of which keeps to its own share of the images."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
from typing import Any, Final

import numpy as np
import torch

from inspectd.bank.coreset import Candidates, Centres
from inspectd.bank.coreset_messages import (
    BeginCoreset,
    FarthestPatches,
    FromCoresetWorker,
    StartCoresetWorker,
    TakeCentres,
    TakePart,
)
from inspectd.bank.made_anew import MOST_LOSSES, PartMadeAnew, PartsMadeAnew, WorkerLostError
from inspectd.bank.patches import Patches, SharedFeatures
from inspectd.errors import UnavailableError
from inspectd.ipc.channel import Channel, ChannelClosedError
from inspectd.ipc.messages import Failed

_MODULE: Final = "inspectd.bank.coreset_worker"
_WAIT_SECONDS: Final = 60.0
_ENDS_SECONDS: Final = 2.0


class CoresetWorkers(PartsMadeAnew["WorkerPart"]):
    """Processes that choose patches together; use it as a context manager.

    One that is lost is made anew from its share of the images, which lies in memory that all see, and from
    the centres so far, which it takes in again in the same groups: what is chosen is the same.

    Args:
        shared: the features.
        images: how many of them there are.
        mask: (h, w) bool, the places whose patches count; None: all.
        count: number of processes; at most one for each image.
        seed: names the first patch.

    Raises:
        UnavailableError: the machine cannot start a process.
    """

    def __init__(
        self, shared: SharedFeatures, images: int, mask: torch.Tensor | None, count: int, seed: int
    ) -> None:
        patches = Patches(shared.tensor[:images], mask)
        super().__init__(images, patches.each, seed)
        cuts = np.linspace(0, images, min(count, images) + 1).astype(int).tolist()
        threads = max(1, len(os.sched_getaffinity(0)) // (len(cuts) - 1))
        places = None if mask is None else mask.numpy().tobytes()
        try:
            for first, stop in itertools.pairwise(cuts):
                part = TakePart(shared.shape, shared.kind, first, stop, places)
                self.parts.append(WorkerPart(patches, part, shared.fd, threads))
        except UnavailableError:
            self.close()
            raise


class WorkerPart(PartMadeAnew):
    """A part of the patches, with a process that knows how far each is from all centres.

    Args:
        patches: of all images.
        part: which are its own.
        fd: descriptor of the features.
        threads: of its arithmetic.

    Raises:
        UnavailableError: the machine cannot start a process.
    """

    def __init__(self, patches: Patches, part: TakePart, fd: int, threads: int) -> None:
        super().__init__(part.stop_image * patches.each)
        self._patches = patches
        self._part = part
        self._fd = fd
        self._threads = threads
        self.process, self._channel = self._started()

    def value(self, row: int) -> torch.Tensor:
        """See `Part.value`."""
        return self._patches.values(np.array([row]))[0]

    def close(self) -> None:
        """End its process."""
        self._channel.close()
        self.process.kill()
        self.process.wait()

    def _started(self) -> tuple[subprocess.Popen[bytes], Channel[Any]]:
        try:
            ours, theirs = Channel.pair()
            channel: Channel[Any] = Channel(ours, FromCoresetWorker)
        except OSError as error:
            raise UnavailableError(f"cannot start a worker: {error.strerror}") from error
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE, "--channel", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            channel.close()
            raise UnavailableError(f"cannot start a worker: {error.strerror}") from error
        finally:
            theirs.close()
        with contextlib.suppress(ChannelClosedError):  # it has died; `answer` finds that out
            channel.send_wait(StartCoresetWorker(self._threads))
            channel.send_wait(self._part, (self._fd,))
        return process, channel

    def _restart(self) -> None:
        self.close()
        self.process, self._channel = self._started()

    def _send_begin(self, origin: torch.Tensor) -> None:
        self._send(BeginCoreset(origin.numpy().tobytes(), self.left_out))

    def _send_take(self, groups: list[Centres], width: int) -> None:
        self._send(TakeCentres([group.rows for group in groups], width))

    def _candidates(self, found: FarthestPatches) -> Candidates:
        rows = np.frombuffer(found.rows, dtype=np.int64)
        bounds = np.frombuffer(found.bounds, dtype=np.float32)
        return Candidates(rows, self._patches.values(rows), bounds, found.outside)

    def _lost_again(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_ENDS_SECONDS)
        code = self.process.poll()
        how = "without a word" if code is None else f"with exit code {code}"
        if code is not None and code < 0:
            how = f"by signal {-code}"
        return (
            f"--workers: the one for images {self._part.first_image + 1} to {self._part.stop_image} was lost "
            f"{MOST_LOSSES} times in a row, the last time {how}; expected memory for all of them: take "
            "fewer, or see in the kernel's log what ends them"
        )

    def _send(self, record: BeginCoreset | TakeCentres) -> None:
        try:
            self._channel.send_wait(record)
        except ChannelClosedError:
            return  # `_received` finds that out

    def _received(self) -> FarthestPatches:
        try:
            while (received := self._channel.receive()) is None:
                self._channel.wait(_WAIT_SECONDS)
        except ChannelClosedError as error:
            raise WorkerLostError from error
        record: FarthestPatches | Failed = received[0]
        if isinstance(record, Failed):
            raise UnavailableError(f"a worker failed: {record.detail}")
        return record
