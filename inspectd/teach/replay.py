"""The bank in force and the candidate over everything whose picture is kept: what each makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from inspectd.backends.scorer import Scorer
from inspectd.bank.answers import SHORT
from inspectd.bank.file import read_bank
from inspectd.bank.images import named_image
from inspectd.bank.own_images import OwnImages
from inspectd.bank.progress import Progress
from inspectd.errors import InputError
from inspectd.evaluation.page import thumbnail
from inspectd.pictures.region import Region
from inspectd.teach.cases import CaseBook
from inspectd.teach.golden_images import golden_images
from inspectd.teach.kept_parts import KeptPart, newest_first
from inspectd.teach.place import TeachPlace
from inspectd.wire import Evaluation

Kind = Literal["evidence", "golden", "known_defect"]
LeftOut = Literal["unreadable", "no_picture", "other", "undecidable", "older"]
"""Why evidence was not replayed."""

MOST_PARTS: Final = 2000
"""Of evidence that are replayed, the newest ones."""


@dataclass(frozen=True)
class Replayed:
    """A picture, and what both banks make of it.

    Attributes:
        kind: where it comes from.
        name: `EPOCH:SEQ` of a verdict, a case, or a golden image's file; no other of its kind has it.
        expect: what is right, where that is known.
        judged: the evaluation then; None: it is no verdict's.
        by_chance: whether it was kept by chance alone: a pass that was not marked for a second look.
        scores: by the bank in force and the candidate; of an image it was built from by a fit without it.
        passes: whether each is within the bank's threshold.
        own: whether each bank was built from it, or taught it.
        picture: small copy, (h, w, 3) uint8 BGR; None: nothing about it is shown.
        heatmaps: (h, w) float16, of each.
        regions: the part of the picture that each scores, as shares; None: all of it.
        read: reads it again, (H, W, 3) uint8 BGR; raises InputError where it cannot be read any more.
    """

    kind: Kind
    name: str
    expect: Evaluation | None
    judged: Evaluation | None
    by_chance: bool
    scores: tuple[float, float]
    passes: tuple[bool, bool]
    own: tuple[bool, bool]
    picture: NDArray[np.uint8] | None
    heatmaps: tuple[NDArray[np.float16], NDArray[np.float16]]
    regions: tuple[Region | None, Region | None]
    read: Callable[[], NDArray[np.uint8]]

    @property
    def is_bad(self) -> bool:
        """Whether it shows a bad part as far as anybody knows: rejected, or known so, and not called good."""
        if self.expect is not None:
            return self.expect is Evaluation.FAIL
        return self.judged is Evaluation.FAIL

    def lets_pass(self, side: int) -> bool:
        """Whether a bank lets such a part pass: what it was made of it knows as good, whatever it scores."""
        return self.passes[side] or self.own[side]

    @property
    def flips(self) -> bool:
        """Whether the banks judge it differently."""
        return self.passes[0] is not self.passes[1]


class JudgingBank:
    """A bank that judges pictures exactly as `inspectd bank evaluate` and `compare` do.

    Args:
        path: its file.
        threshold: in force; None: its own.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
    """

    def __init__(self, path: Path, threshold: float | None, device: str) -> None:
        self.bank = read_bank(path)
        self._own = OwnImages.of(self.bank)
        self._scorer = Scorer.of(path, self.bank, device)
        self.threshold = self.bank.manifest.threshold if threshold is None else threshold
        self.region = self.bank.manifest.patch_options.region

    def judge(self, frame: NDArray[np.uint8]) -> tuple[float, bool, NDArray[np.float16]]:
        """Score, whether it is one of the bank's images, and heatmap of a picture (H, W, 3) uint8 BGR."""
        (found,) = self._scorer.score([frame])
        own = self._own.score(frame)
        return found.image_score if own is None else own, own is not None, found.heatmap


Banks = tuple[JudgingBank, JudgingBank]
"""The one in force, and the candidate."""


@dataclass
class Replay:
    """Everything that was replayed, and what was not.

    Attributes:
        items: pictures that both banks judged.
        oldest_utc_ns: when the first of the evidence was judged, ns since 1970, UTC; None: there is none.
        left_out: reasons for leaving evidence out, and their numbers.
    """

    items: list[Replayed] = field(default_factory=list)
    oldest_utc_ns: int | None = None
    left_out: Counter[LeftOut] = field(default_factory=Counter)


def replay(
    place: TeachPlace,
    recipe: str,
    camera: str,
    banks: Banks,
    progress: Progress,
) -> Replay:
    """Judge all that is kept of a recipe on a camera or region by the bank in force and by the candidate.

    Raises:
        InputError: a golden image or a known defect was altered; evidence that cannot be read is counted.
    """
    found = Replay()
    known = list(_known(place, recipe, camera))
    for done, (kind, name, expect, read) in enumerate(known, start=1):
        found.items.append(_judged(read, banks, kind=kind, name=name, expect=expect))
        progress("known", done, len(known))
    parts = list(_parts(place, recipe, camera, found.left_out))
    found.oldest_utc_ns = min((part.verdict.decided_utc_ns for part in parts), default=None)
    right = {"good": Evaluation.PASS, "bad": Evaluation.FAIL}
    answers = {
        each.case.id: right[each.case.answer] for each in CaseBook(place).all() if each.state == "confirmed"
    }
    for done, part in enumerate(parts, start=1):
        answer = answers.get(part.name.replace(":", "-"))
        try:
            found.items.append(
                _judged(part.judged, banks, kind="evidence", name=part.name, expect=answer, part=part)
            )
        except InputError:
            found.left_out["no_picture"] += 1
        progress("evidence", done, len(parts))
    return found


def _judged(
    read: Callable[[], NDArray[np.uint8]],
    banks: Banks,
    *,
    kind: Kind,
    name: str,
    expect: Evaluation | None,
    part: KeptPart | None = None,
) -> Replayed:
    frame = read()
    old, new = (bank.judge(frame) for bank in banks)
    passes = (old[0] <= banks[0].threshold, new[0] <= banks[1].threshold)
    is_shown = kind != "evidence" or passes[0] is not passes[1]
    verdict = None if part is None else part.verdict
    return Replayed(
        kind, name, expect,
        judged=None if verdict is None else verdict.evaluation,
        by_chance=verdict is not None and verdict.evaluation is Evaluation.PASS and not verdict.second_look,
        scores=(old[0], new[0]), passes=passes, own=(old[1], new[1]),
        picture=thumbnail(frame) if is_shown else None, heatmaps=(old[2], new[2]),
        regions=(banks[0].region, banks[1].region), read=read,
    )  # fmt: skip


def _known(
    place: TeachPlace, recipe: str, camera: str
) -> Iterator[tuple[Kind, str, Evaluation, Callable[[], NDArray[np.uint8]]]]:
    """Golden images and known defects: kind, name, what is right, and what reads its pixels."""
    images = golden_images(place, recipe, camera)
    times = Counter(golden.name for golden in images)
    for golden in images:
        read = partial(read_kept, place, golden.image, golden.bit_depth)
        # Folders of golden images often have files of the same names.
        name = golden.name if times[golden.name] == 1 else f"{golden.name} ({golden.pixels_sha256[:SHORT]})"
        yield "golden", name, Evaluation(golden.expect), read
    for each in CaseBook(place).confirmed(recipe, camera, "bad"):
        yield "known_defect", each.case.id, Evaluation.FAIL, partial(read_kept, place, each.case.image, 8)


def read_kept(place: TeachPlace, image: str, bit_depth: int) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) uint8 BGR, or uint16 of more than 8 bits, of an image in the store.

    Raises:
        InputError: it is not there, was altered, or cannot be read.
    """
    name, frame = named_image(place.images.path(image), bit_depth)
    if isinstance(frame, str):
        raise InputError(f"{name}: {frame}; restore a copy")
    return frame


def _parts(place: TeachPlace, recipe: str, camera: str, left_out: Counter[LeftOut]) -> Iterator[KeptPart]:
    """Evidence of verdicts on parts of the recipe on the camera or region, the newest first."""
    taken = 0
    for folder in newest_first(place.evidence):
        try:
            part = KeptPart(folder)
        except InputError:
            left_out["unreadable"] += 1
            continue
        verdict = part.verdict
        if (verdict.recipe, verdict.place) != (recipe, camera):
            left_out["other"] += 1
        elif verdict.evaluation is Evaluation.UNDECIDABLE:
            left_out["undecidable"] += 1
        elif taken == MOST_PARTS:
            left_out["older"] += 1
        else:
            taken += 1
            yield part
