"""`evidence.json`, which lies beside the pictures of a piece of evidence. See `docs/evidence.md`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from inspectd.errors import InputError
from inspectd.files import open_regular
from inspectd.wire import Rectangle, Verdict

FACTS: Final = "evidence.json"
FRAME: Final = "frame.png"
HEATMAP: Final = "heatmap.png"

_MOST_BYTES: Final = 10_000_000
"""Far more than the settings of a recipe take."""


class HeatmapPicture(msgspec.Struct, frozen=True):
    """Scale of the 16-bit heatmap picture: a grey level's score is `minimum + level * step`."""

    height: int
    width: int
    minimum: float
    step: float
    rectangle: Rectangle | None = None
    """Part of the frame that it lies over; None: that of the verdict."""


class Facts(msgspec.Struct, frozen=True):
    """A part's verdict, and the recipe it was made by."""

    verdict: Verdict
    recipe: dict[str, Any]
    """The recipe's settings as they were in force."""
    measures: dict[str, float | None] = {}
    """What the frame is like, as far as its bank learnt that."""
    detail: str = ""
    """What is wrong with the frame, in words."""


class EvidenceRecord(msgspec.Struct, frozen=True, tag_field="schema", tag="evidence/1"):
    """The content of `evidence.json`."""

    verdict: Verdict
    recipe: dict[str, Any]
    frame_height: int
    frame_width: int
    heatmap: HeatmapPicture | None
    measures: dict[str, float | None] = {}
    detail: str = ""


def folder_of(verdict: Verdict) -> Path:
    """Where the evidence of a verdict lies, below the evidence directory, if it was kept.

    Raises:
        ValueError: it was decided at a time that no calendar has; OverflowError and OSError: the same.
    """
    decided = datetime.fromtimestamp(verdict.decided_utc_ns / 1e9, UTC)
    milliseconds = decided.microsecond // 1000
    return day_of(verdict.decided_utc_ns) / (
        f"{decided:%H%M%S}.{milliseconds:03d}_{verdict.camera}_{verdict.epoch}-{verdict.seq}"
        f"_{verdict.evaluation}"
    )


def day_of(utc_ns: int) -> Path:
    """Where the evidence of a day lies, below the evidence directory."""
    return Path(f"{datetime.fromtimestamp(utc_ns / 1e9, UTC):%Y/%m/%d}")


def read_record(directory: Path) -> EvidenceRecord:
    """Read `evidence.json` of a piece of evidence.

    Raises:
        InputError: it is missing, unreadable, or none.
    """
    file = directory / FACTS
    try:
        with open_regular(file, follow_links=False) as opened:
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{file}: has more than {_MOST_BYTES} bytes, expected evidence")
        return msgspec.json.decode(data, type=EvidenceRecord)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read: {error.strerror}; expected in the folder of one part's evidence"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not evidence of this version: {error}") from error
