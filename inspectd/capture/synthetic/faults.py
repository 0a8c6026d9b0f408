"""What goes wrong with a synthetic camera and when: by its settings, and by a file while it runs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from inspectd import config, log
from inspectd.capture.driver import Frame
from inspectd.config import SyntheticFault, SyntheticFaults
from inspectd.errors import ConfigError, InputError
from inspectd.files import is_file
from inspectd.records import Quality

_log: Final = logging.getLogger("inspectd.capture")
_GREY: Final = 128
"""What decoders leave where a picture never came."""


class FaultPlan:
    """The faults of a camera's frames.

    What the file holds when the camera's process starts counts as done: else a process that is replaced
    because it hangs would hang again.
    """

    def __init__(self, settings: config.SyntheticCamera) -> None:
        """Of `settings`: its `faults`, and what its `fault_file` says from now on."""
        self._planned = settings.faults
        self._commanded: tuple[SyntheticFault, ...] = ()
        self._file = Path(settings.fault_file) if settings.fault_file is not None else None
        self._seen = self._stamp()

    def look(self, frame: int) -> bool:
        """Take up what the file says, if it was changed; what it said before ends.

        Args:
            frame: the next frame; faults of the file count from there.

        Returns:
            Whether other faults are in force now. A file that cannot be read changes nothing; the log has it.
        """
        stamp = self._stamp()
        if self._file is None or stamp == self._seen:
            return False
        self._seen = stamp
        try:
            faults = _read(self._file) if stamp is not None else ()
        except InputError as error:
            log.event(_log, logging.WARNING, "faults_refused", detail=str(error))
            return False
        self._commanded = tuple(
            msgspec.structs.replace(fault, at_frame=frame - 1 + fault.at_frame) for fault in faults
        )
        words = [f"{fault.kind} from frame {fault.at_frame} for {fault.frames}" for fault in self._commanded]
        log.event(_log, logging.INFO, "faults_commanded", detail=", ".join(words) or "none any more")
        return True

    def at(self, frame: int) -> SyntheticFault | None:
        """The fault of a frame: of the file, else of the settings, the first of several."""
        for fault in (*self._commanded, *self._planned):
            if fault.at_frame <= frame < fault.end_frame:
                return fault
        return None

    def _stamp(self) -> tuple[int, int, int] | None:
        """Of the file; another one after every change. None: there is no file."""
        try:
            found = self._file.stat() if self._file is not None else None
        except OSError:  # it is not there, or cannot be seen: nothing is commanded
            return None
        return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def _read(file: Path) -> tuple[SyntheticFault, ...]:
    """The faults of a file.

    Raises:
        InputError: it cannot be read, or says something else.
    """
    if not is_file(file):
        raise InputError(f"{file}: is not a regular file, expected one with [[faults]]")
    data = config.read_toml(file)
    found = [*config.problems(data, SyntheticFaults, "")]
    if found:
        raise ConfigError(str(file), found)
    return msgspec.convert(data, SyntheticFaults).faults


def spoilt(frame: Frame, kind: str, before: Sequence[NDArray[np.uint8]]) -> Frame:
    """A frame as it arrives when a fault befalls it.

    Args:
        frame: as it would have been; stays as it is.
        kind: of a fault with which a frame arrives, see `SyntheticFault`.
        before: the last pictures that arrived as they should, at least one, of the frame's own shape.
    """
    source, pixels, middle = f"{frame.source}/{kind}", frame.pixels, frame.pixels.shape[0] // 2
    if kind == "clock_jump":
        remark = "its clock jumped by an hour, on command"
        return replace(frame, source=source, flaw=Quality.STALE, remark=remark)
    if kind == "freeze":
        pixels = before[-1]
    elif kind == "repeat":
        number = int(source.split("/")[1])
        pixels = before[number % len(before)]
    elif kind == "black":
        pixels = pixels // 128  # a cap on the lens leaves the noise of the sensor
    elif kind in {"half", "torn"}:
        pixels = pixels.copy()
        pixels[middle:] = _GREY if kind == "half" else before[-1][middle:]
    elif kind == "colours":
        pixels = np.ascontiguousarray(pixels[..., ::-1])
    elif kind == "turned":
        pixels = np.ascontiguousarray(pixels[::-1, ::-1])
    else:
        raise ValueError(f"no frame arrives with the fault {kind}")
    return replace(frame, source=source, pixels=pixels)
