"""What each taught picture does to rejects: how a defect that was called good shows itself.

The bank in force is given the rows that one taught picture has in the candidate, and nothing else. A kept
reject that nobody called good, that passes with the candidate and that this lets pass, passes because of that
picture. Each is looked at alone, so two pictures of the same kind of defect are both named, which leaving out
one at a time would not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import BankFile, Manifest, write_bank
from inspectd.bank.progress import Progress
from inspectd.bank.with_rows import with_rows
from inspectd.errors import InputError
from inspectd.files import temporary_folder
from inspectd.teach.candidates import Candidate, case_of
from inspectd.teach.replay import Replay, Replayed


class TaughtEffect(msgspec.Struct, frozen=True):
    """What one taught picture does to rejects that were kept and nobody called good, and to known defects."""

    case: str
    passes: list[str]
    """Of them, those that pass because of it: `EPOCH:SEQ` of a verdict, a case, or a golden image's name."""
    rejects: int
    """Of them, those that the bank in force finds."""


def effects_of(
    candidate: Candidate, banks: tuple[BankFile, BankFile], found: Replay, device: str, progress: Progress
) -> list[TaughtEffect] | None:
    """The effect of each picture that the candidate was taught and the bank in force not, the largest first.

    Args:
        candidate: what is reported on.
        banks: the one in force, and its own.
        found: of the replay.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with the pictures done.

    Returns:
        The effects; None: the detector has no rows of single pictures, or the bank in force has rows of other
        features, so nobody can tell.

    Raises:
        UnavailableError: there is no room for a bank in the directory for temporary files.
    """
    if candidate.rows is None or _features(banks[0].manifest) != _features(banks[1].manifest):
        return None
    known = {image.sha256 for image in banks[0].manifest.taught}
    new = dict.fromkeys(case_of(image) for image in banks[1].manifest.taught if image.sha256 not in known)
    if any(case not in candidate.rows for case in new):  # an earlier version built it, beside another one
        return None
    bad = [item for item in found.items if item.is_bad and not item.passes[0] and not item.own[1]]
    passing = [item for item in bad if item.passes[1]]
    effects = []
    for done, case in enumerate(new, start=1):
        rows = candidate.rows[case]
        names = _passing(banks, rows, passing, candidate.threshold_before, device) if rows else []
        effects.append(TaughtEffect(case, names, len(bad)))
        progress("taught", done, len(new))
    return sorted(effects, key=lambda effect: -len(effect.passes))


def _features(manifest: Manifest) -> tuple[object, ...]:
    """What rows of two banks have to have in common to stand in one."""
    return (
        manifest.detector, manifest.patch_options, manifest.backbone, manifest.weights_sha256,
        manifest.layers, manifest.precision, manifest.input_height, manifest.input_width, manifest.dims,
    )  # fmt: skip


def _passing(
    banks: tuple[BankFile, BankFile],
    rows: Sequence[int],
    items: Sequence[Replayed],
    threshold: float,
    device: str,
) -> list[str]:
    """Names of the pictures that pass by the bank in force with rows of the candidate."""
    if not items:
        return []
    with temporary_folder() as folder:
        path = Path(folder) / "bank.safetensors"
        write_bank(path, *with_rows(*banks, rows))
        scorer = Scorer.load(path, device)
    return [item.name for item in items if _passes(scorer, item, threshold)]


def _passes(scorer: Scorer, item: Replayed, threshold: float) -> bool:
    try:
        return scorer.score([item.read()])[0].image_score <= threshold
    except InputError:  # the quota removed it since it was replayed
        return False
