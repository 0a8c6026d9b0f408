"""Cameras that read files, or compute their pictures."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final, Self

from support.pictures import write_video

from camera_contract.camera import NAME, SOON, TRIGGERED, numbered
from inspectd.wire import Verdict

_FPS: Final = 30
_VIDEO_FRAMES: Final = 40
_TABLE: Final = f'\n[[cameras]]\nname = "{NAME}"\nrecipe = "part"\nfps = {_FPS}\n{TRIGGERED}{SOON}'
_NUMBER: Final = re.compile(r"#(?:\d+/)?(\d+)")
"""`line.avi#12` is frame 12, and `synthetic#1/12/good` frame 12 of the seed 1."""
_APART_NS: Final = 20_000_000
"""The line goes by another clock than UTC, and on a busy machine reads the two so far apart."""
_UNPLUGGED: Final = '[[faults]]\nkind = "unplug"\nframes = 1000000\n'


class _Replayed:
    """Nothing is fired, and nothing has to be closed."""

    undated = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Its files are the caller's."""

    def fire(self, number: int) -> None:
        """It runs free."""


class FolderContractCamera(_Replayed):
    """A folder in which the picture of the part before it lies; unplugged, the folder is gone.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "pictures"
        self._away = folder / "away"
        self._folder.mkdir()
        self._sha256: dict[int, str] = {}
        self.put(0)

    def table(self) -> str:
        """See `ContractCamera.table`."""
        # The picture of a part is read again and again, as no sensor would give it.
        gate = "[cameras.quality]\nfrozen_frames = 0\n"
        return f'{_TABLE}kind = "images"\nfolder = "{self._folder}"\nloop = true\n{gate}'

    def put(self, number: int) -> None:
        """See `ContractCamera.put`."""
        picture = numbered(number)
        self._sha256[number] = picture.sha256
        picture.write((self._folder if self._folder.exists() else self._away) / "view.png")

    def is_of(self, number: int, verdict: Verdict) -> bool:
        """See `ContractCamera.is_of`."""
        return verdict.frame_sha256 == self._sha256[number]

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self._folder.rename(self._away)

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        self._away.rename(self._folder)


class _Counted(_Replayed):
    """Its frames are numbered in `source`, and of two parts the later one has a later frame."""

    def __init__(self) -> None:
        self._last: tuple[int, int] = 0, 0
        """Of the frame of the part before, when it was taken and its number."""

    def put(self, number: int) -> None:
        """Its pictures come as they were recorded or are computed."""

    def _round(self) -> int:
        """After so many numbers they begin anew; 0: never."""
        return 0

    def is_of(self, number: int, verdict: Verdict) -> bool:
        """Dated after the trigger, and further on than the frame of the part before."""
        found = _NUMBER.search(verdict.source or "")
        at_ns, triggered_ns = verdict.captured_utc_ns, verdict.triggered_utc_ns
        if found is None or at_ns is None or triggered_ns is None or at_ns < triggered_ns - _APART_NS:
            return False
        frame, (last_ns, last) = int(found.group(1)), self._last
        self._last = at_ns, frame
        rounds = (at_ns - last_ns) * _FPS // 10**9 + 1 if self._round() else 0
        return at_ns > last_ns and last < frame + rounds * self._round()


class VideoContractCamera(_Counted):
    """A video file that is shown again and again; it cannot be unplugged.

    Args:
        folder: for the file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / "line.avi"
        write_video(self._file, frames=_VIDEO_FRAMES)

    def table(self) -> str:
        """See `ContractCamera.table`."""
        return f'{_TABLE}kind = "opencv"\nsource = "{self._file}"\nloop = true\n'

    def _round(self) -> int:
        return _VIDEO_FRAMES

    def unplug(self) -> None:
        """Nobody does."""

    def plug_in(self) -> None:
        """It is there."""


class SyntheticContractCamera(_Counted):
    """Parts that are computed; unplugged on command.

    Args:
        folder: for the file of commands.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._file = folder / "faults.toml"

    def table(self) -> str:
        """See `ContractCamera.table`."""
        size = "width = 160\nheight = 120\n"
        return f'{_TABLE}kind = "synthetic"\nfault_file = "{self._file}"\n{size}'

    def unplug(self) -> None:
        """See `ContractCamera.unplug`."""
        self._command(_UNPLUGGED)
        time.sleep(3 / _FPS)  # it looks before each frame

    def plug_in(self) -> None:
        """See `ContractCamera.plug_in`."""
        self._command("")

    def _command(self, text: str) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.rename(self._file)
