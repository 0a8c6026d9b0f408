"""Parts whose evidence a line has kept: what was judged of each, as it was judged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspectd.errors import InputError
from inspectd.evidence.record import FRAME, EvidenceRecord, read_record
from inspectd.pictures.channels import as_bgr
from inspectd.pictures.depth import PictureError
from inspectd.pictures.reading import decode_levels, read_bytes
from inspectd.teach.refusals import TeachRefusedError
from inspectd.wire import Verdict

_VERDICT: Final = re.compile(r"([0-9]{1,16}):([0-9]{1,16})")


class KeptPart:
    """The evidence of one verdict.

    Attributes:
        folder: where it lies.
        record: its `evidence.json`.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is said of it.

        Raises:
            InputError: it cannot be read.
        """
        self.folder = folder
        self.record: EvidenceRecord = read_record(folder)

    @property
    def verdict(self) -> Verdict:
        """As it was published."""
        return self.record.verdict

    @property
    def name(self) -> str:
        """`EPOCH:SEQ` of the verdict."""
        return f"{self.verdict.epoch}:{self.verdict.seq}"

    def judged(self) -> NDArray[np.uint8]:
        """What was judged of the frame, (H, W, 3) uint8 BGR: all of it, or its region.

        Raises:
            InputError: it cannot be read, or is not the frame that was judged.
        """
        file, verdict = self.folder / FRAME, self.verdict
        try:
            pixels = decode_levels(read_bytes(file))
        except PictureError as error:
            raise InputError(f"{file}: {error}") from error
        if pixels.dtype != np.uint8:
            raise InputError(f"{file}: has {pixels.dtype} pixels, expected 8 bits a channel")
        found = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
        if verdict.frame_sha256 != found:
            said = str(verdict.frame_sha256)[:12]
            raise TeachRefusedError(
                "no_evidence", f"{file}: is not the frame that was judged: sha256 {found[:12]}, not {said}"
            )
        part = verdict.rectangle
        if part is not None:
            height, width = pixels.shape[:2]
            if part.left + part.width > width or part.top + part.height > height:
                raise InputError(f"{file}: region {verdict.region} reaches beyond the frame")
            pixels = pixels[part.top : part.top + part.height, part.left : part.left + part.width]
        return np.ascontiguousarray(as_bgr(pixels.reshape(*pixels.shape[:2], -1)))


def find_part(evidence: Path, word: str) -> KeptPart:
    """The evidence of a verdict by its name, `EPOCH:SEQ`.

    Raises:
        InputError: it is no such name, or there is no evidence of it.
    """
    named = _VERDICT.fullmatch(word)
    if named is None:
        raise InputError(f"got {word[:100]!r}, expected EPOCH:SEQ of a verdict, such as 1763924400000:17")
    epoch, seq = (int(number) for number in named.groups())
    for folder in evidence.glob(f"*/*/*/*_{epoch}-{seq}_*"):
        if folder.suffix == ".partial":
            continue  # it is written now, or was when the power went
        part = KeptPart(folder)
        if (part.verdict.epoch, part.verdict.seq) == (epoch, seq):
            return part
    raise TeachRefusedError(
        "no_evidence", f"{evidence}: holds no evidence of verdict {word}: not kept, or the quota removed it"
    )


def refuse_altered(kept: Verdict, recorded: Verdict) -> None:
    """Refuse evidence that says something else of a verdict than the line's journal.

    Raises:
        InputError: it does.
    """
    for name in ("evaluation", "score", "threshold", "bank_sha256", "frame_sha256"):
        found, said = getattr(kept, name), getattr(recorded, name)
        if found != said:
            raise InputError(
                f"verdict {kept.epoch}:{kept.seq}: its evidence says {name} {found}, expected {said} as in "
                "the line's journal: evidence that was altered teaches nothing"
            )


def newest_first(evidence: Path) -> Iterator[Path]:
    """Folders of all evidence, the newest first."""
    yield from sorted(
        (
            path
            for path in evidence.glob("[0-9]*/[0-9]*/[0-9]*/*_*-*_*")
            if not path.name.endswith(".partial")
        ),
        reverse=True,
    )
