"""What lies in a piece of evidence: `evidence.json` beside its pictures. `docs/evidence.md` describes it."""

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
    """How grey levels of the 16-bit heatmap picture become scores: `minimum + level * step`."""

    height: int
    width: int
    minimum: float
    step: float


class Facts(msgspec.Struct, frozen=True):
    """What is known of a part when its verdict is made."""

    verdict: Verdict
    recipe: dict[str, Any]
    """The recipe's settings as they were in force."""


class EvidenceRecord(msgspec.Struct, frozen=True, tag_field="schema", tag="evidence/1"):
    """The content of `evidence.json`."""

    verdict: Verdict
    recipe: dict[str, Any]
    frame_height: int
    frame_width: int
    heatmap: HeatmapPicture | None


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
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"{file}: is not evidence of this version: {error}") from error
