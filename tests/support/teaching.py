"""A line that can be taught, as its folders lie: a recipe with a real bank, and evidence of real pictures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from support.cells import cells

from inspectd import wire
from inspectd.bank.build import build_bank
from inspectd.bank.build_spec import BuildSpec
from inspectd.bank.file import read_bank
from inspectd.config import JournalSettings
from inspectd.evidence.pictures import encode_frame
from inspectd.evidence.record import EvidenceRecord, folder_of
from inspectd.pictures.reading import read_picture
from inspectd.publish.journal.file import JournalFile
from inspectd.publish.journal.records import Group, Row
from inspectd.recipes.store import RecipeDraft, RecipeStore
from inspectd.recipes.version import CameraRecipe
from inspectd.teach.kept_parts import KeptPart
from inspectd.teach.place import TeachPlace
from inspectd.teach.roles import Person
from inspectd.wire import Evaluation, Reason, Rectangle, Verdict

SPEC = BuildSpec(height=64, width=64, coreset=0.2, seed=3)
DAY_NS = 86_400 * 1_000_000_000
APART_NS = 11 * 60 * 1_000_000_000
"""Between two kept parts."""
OPERATOR, INSPECTOR, ENGINEER, QUALITY = (
    Person(who, role, "command", "because")
    for who, role in (
        ("olga", "operator"),
        ("ivan", "inspector"),
        ("eva", "engineer"),
        ("quentin", "quality"),
    )
)


def quiet(_step: str, _done: int, _total: int) -> None:
    """No progress is shown."""


def build_small(folder: Path) -> None:
    """A bank of 20 good cells."""
    build_bank(cells(defective=False)[:20], folder / "top.safetensors", SPEC, quiet)


@dataclass
class TaughtLine:
    """A line with one camera `top` and the recipe `cells`; its bank, and evidence that tests put there."""

    root: Path
    bank: Path
    now_ns: int = field(default_factory=time.time_ns)
    seq: int = field(default=0)
    judged: list[Verdict] = field(default_factory=list)
    """What its journal has."""
    apart_ns: int = APART_NS
    passes_between: int = 2
    """Of another recipe, before every part of the journal: rejects among them are no run."""

    def __post_init__(self) -> None:
        self.place = TeachPlace(
            self.root / "teach", self.root / "audit.jsonl", self.root / "evidence",
            RecipeStore(self.root / "recipes"),
            self._judged_since,
            lambda: self.now_ns,
        )  # fmt: skip
        name = "banks/top.safetensors"
        top = CameraRecipe(bank=name, bank_sha256=read_bank(self.bank).sha256, check_above=0.1)
        self.place.recipes.add(
            RecipeDraft(id="cells", number=12, cameras={"top": top}, banks={name: self.bank}, who="anna")
        )

    def _judged_since(self, since_ns: int) -> Generator[Verdict, None, None]:
        for each in reversed(self.judged):
            if each.decided_utc_ns >= since_ns:
                yield each
                other = msgspec.structs.replace(each, epoch=1, recipe="other", evaluation=Evaluation.PASS)
                yield from [other] * self.passes_between

    def write_journal(self) -> None:
        """Have the line's journal hold what was judged, as its commands read it."""
        file = JournalFile(self.root, JournalSettings(), "p", "l")
        file.open(7, is_first=True, may_raise=True)
        rows = [Row(each.seq, b"i1/p/l/top/v/", wire.encode(each)) for each in self.judged]
        file.commit(7, Group(rows))
        file.close()

    def keep(
        self,
        picture: Path | np.ndarray,
        evaluation: Evaluation,
        score: float = 2.0,
        threshold: float = 1.0,
        rectangle: Rectangle | None = None,
        *,
        second_look: bool = False,
    ) -> KeptPart:
        """Evidence of a part, as the evidence process writes it."""
        self.seq += 1
        self.now_ns += self.apart_ns
        pixels = read_picture(picture) if isinstance(picture, Path) else picture
        verdict = Verdict(
            plant="p", line="l", camera="top", epoch=7, seq=self.seq, inspection_id=self.seq,
            frame_generation=1, frame_seq=self.seq, evaluation=evaluation, reason=Reason.ABOVE_THRESHOLD,
            score=score, threshold=threshold, captured_utc_ns=self.now_ns, decided_utc_ns=self.now_ns,
            latency_ms=1.0, deadline_ms=500.0, late=False, recipe="cells", recipe_version=1,
            bank_sha256="ab" * 32, dropped_before=0, frame_sha256=hashlib.sha256(pixels.data).hexdigest(),
            rectangle=rectangle, second_look=second_look,
        )  # fmt: skip
        self.judged.append(verdict)
        folder = self.place.evidence / folder_of(verdict)
        folder.mkdir(parents=True)
        (folder / "frame.png").write_bytes(encode_frame(pixels))
        record = EvidenceRecord(verdict, {}, *pixels.shape[:2], None)
        (folder / "evidence.json").write_bytes(msgspec.json.encode(record))
        return KeptPart(folder)
