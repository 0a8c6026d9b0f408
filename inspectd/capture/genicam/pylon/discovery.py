"""Which cameras pylon sees, for a person."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd.capture.genicam.found import ListedCamera
from inspectd.capture.genicam.hanging import within
from inspectd.capture.genicam.pylon.way import need_pylon

_MOST_SECONDS: Final = 15.0


class PylonAsked(msgspec.Struct, frozen=True):
    """What pylon sees."""

    pylon: str
    """Its version."""
    problems: list[str]
    """Why some of its ways of transport could not be asked."""
    found: list[ListedCamera]


def ask_pylon(*, broadcast: bool) -> PylonAsked:
    """Have pylon look for cameras; none of them is opened.

    Args:
        broadcast: whether GigE cameras are looked for, by a broadcast on every network of this machine.

    Raises:
        CameraError: it is not installed.
        LibraryHangsError: it does not come back.
    """
    need_pylon()
    from inspectd.capture.genicam.pylon.finding import CALLED, about, look  # noqa: PLC0415 - needs the package

    found, problems = within(_MOST_SECONDS, lambda: look(broadcast=broadcast), CALLED)
    return PylonAsked(about(), problems, [ListedCamera.of(camera) for camera in found])
