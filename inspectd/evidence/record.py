"""`evidence.json`, which lies beside the pictures of a piece of evidence. See `docs/evidence.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from inspectd.errors import InputError
from inspectd.wire import Verdict

FACTS: Final = "evidence.json"
FRAME: Final = "frame.png"
HEATMAP: Final = "heatmap.png"


class HeatmapPicture(msgspec.Struct, frozen=True):
    """Scale of the 16-bit heatmap picture: a grey level's score is `minimum + level * step`."""

    height: int
    width: int
    minimum: float
    step: float


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


def read_record(directory: Path) -> EvidenceRecord:
    """Read `evidence.json` of a piece of evidence.

    Raises:
        InputError: it is missing, unreadable, or none.
    """
    file = directory / FACTS
    try:
        return msgspec.json.decode(file.read_bytes(), type=EvidenceRecord)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: is not evidence of this version: {error}") from error
