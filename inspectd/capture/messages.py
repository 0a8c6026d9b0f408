"""The records between the main process and a capture process.

A child gets its settings as the first record on its channel, not from the file: a file that was edited
meanwhile cannot make a restarted child differ from the rest, and a camera's password is not in `ps`.
"""

from __future__ import annotations

import msgspec

from inspectd.config import Camera
from inspectd.ipc.messages import Alive, Failed, RingReady
from inspectd.records import (
    UNSET,
    CameraNotice,
    CameraSettings,
    CameraSettingsReport,
    CameraState,
    Drop,
    FrameRef,
)


class StartCapture(msgspec.Struct, frozen=True, array_like=True, tag="start_capture"):
    """Main to capture, first: what to capture, and under which generation number."""

    camera: Camera
    generation: int
    settings: CameraSettings = UNSET
    """What the camera is to be set to before its first frame counts."""
    files_sha256: str | None = None
    """Of the files that its pictures are made by, as an earlier process found them; None: none has yet."""


class FilesFound(msgspec.Struct, frozen=True, array_like=True, tag="files_found"):
    """Capture to main: the files that the camera's pictures are made by, as they lie there now."""

    sha256: str


class ApplySettings(msgspec.Struct, frozen=True, array_like=True, tag="apply_settings"):
    """Main to capture: set the camera to these from now on."""

    settings: CameraSettings


class Stop(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Main to capture: read no more frames, send what you have, exit 0."""


ToCapture = StartCapture | Stop | ApplySettings
FromCapture = (
    RingReady
    | FrameRef
    | Drop
    | CameraState
    | CameraNotice
    | CameraSettingsReport
    | FilesFound
    | Alive
    | Failed
)
