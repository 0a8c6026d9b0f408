"""A capture process under test, with this process in the main process's part."""

import os
import subprocess
import sys
import time

import numpy as np

from inspectd.capture.messages import FromCapture, StartCapture, Stop
from inspectd.ipc.channel import Channel
from inspectd.ipc.messages import Alive, RingReady
from inspectd.ipc.ring import FrameRing
from inspectd.records import (
    UNSET,
    CameraNotice,
    CameraPhase,
    CameraSettingsReport,
    CameraState,
    Drop,
    FrameRef,
)


class CaptureChild:
    """Starts the real worker, and takes what it sends like the main process does."""

    def __init__(self, camera, generation=1, *, release=True, settings=UNSET, env=None, files_sha256=None):
        mine, theirs = Channel.pair()
        command = [sys.executable, "-m", "inspectd.capture.worker", "--channel", str(theirs.fileno())]
        self.process = subprocess.Popen(
            [*command, "--camera", camera.name],
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        theirs.close()
        self.channel = Channel(mine, FromCapture)
        self.records = []  # all but heartbeats
        self.beats = []  # when each came, seconds
        self.pixels = {}  # seq -> copy of the frame
        self.ring = None
        self.release = release
        self.channel.send(StartCapture(camera, generation, settings, files_sha256))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.channel.close()
        if self.ring is not None:
            self.ring.close()

    def take(self, timeout_seconds):
        """Take one record; False when none came."""
        if not self.channel.wait(timeout_seconds):
            return False
        received = self.channel.receive()
        if received is None:
            return False
        record, fds = received
        if isinstance(record, Alive):
            self.beats.append(time.monotonic())
            return True
        self.records.append(record)
        if isinstance(record, RingReady):
            self.ring = FrameRing.attach(fds[0])
        if isinstance(record, FrameRef):
            self.pixels[record.seq] = np.array(self.ring.view(record))
            if self.release:
                self.ring.release(record.slot)
        return True

    def until(self, reached, timeout_seconds=15.0):
        """Take records until `reached()`; its value."""
        end = time.monotonic() + timeout_seconds
        while not (value := reached()):
            left = end - time.monotonic()
            assert left > 0, f"not reached; got {self.records[-5:]}, exit code {self.process.poll()}"
            self.take(min(left, 0.05))
        return value

    def until_phase(self, phase: CameraPhase, after=0, timeout_seconds=15.0):
        """Take records until the camera says it is in `phase`, past the first `after` records; that state."""
        return self.until(
            lambda: next((s for s in self.states(after) if s.phase is phase), None), timeout_seconds
        )

    def frames(self, after=0) -> list[FrameRef]:
        return [record for record in self.records[after:] if isinstance(record, FrameRef)]

    def drops(self) -> list[Drop]:
        return [record for record in self.records if isinstance(record, Drop)]

    def reports(self) -> list[CameraSettingsReport]:
        return [record for record in self.records if isinstance(record, CameraSettingsReport)]

    def states(self, after=0) -> list[CameraState]:
        return [record for record in self.records[after:] if isinstance(record, CameraState)]

    def notices(self) -> list[CameraNotice]:
        return [record for record in self.records if isinstance(record, CameraNotice)]

    def stop(self) -> int:
        self.channel.send(Stop())
        return self.exit_code()

    def exit_code(self) -> int:
        return self.process.wait(timeout=10)

    def log(self) -> str:
        """What it wrote on standard error; for a process that has ended."""
        return self.process.stderr.read()
