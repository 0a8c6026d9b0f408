"""What each taught picture does to rejects: how a defect that was called good shows itself.

The bank in use is given the rows that one taught picture has in the candidate, and nothing else. A kept
reject that nobody called good, that passes with the candidate and that this lets pass, passes because of that
picture. Each is looked at alone, so two pictures of the same kind of defect are both named, which leaving out
one at a time would not do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from inspectd.backends.scorer import Scorer
from inspectd.bank.file import BankFile, write_bank
from inspectd.bank.progress import Progress
from inspectd.bank.with_rows import with_rows
from inspectd.errors import InputError
from inspectd.files import temporary_folder
from inspectd.teach.candidates import Candidate
from inspectd.teach.replay import Replay, Replayed


class TaughtEffect(msgspec.Struct, frozen=True):
    """What one taught picture does to rejects that were kept and nobody called good, and to known defects."""

    case: str
    passes: list[str]
    """Of them, those that pass because of it: `EPOCH:SEQ` of a verdict, a case, or a golden image's name."""
    rejects: int
    """Of them, those that the bank in use finds."""


def effects_of(
    candidate: Candidate, banks: tuple[BankFile, BankFile], found: Replay, device: str, progress: Progress
) -> list[TaughtEffect] | None:
    """The effect of each picture that the candidate is newly taught, the largest first.

    Args:
        candidate: what is reported on.
        banks: the one it was made from, and its own.
        found: of the replay.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: called with the pictures done.

    Returns:
        The effects; None: the detector has no rows of single pictures, so nobody can tell.

    Raises:
        UnavailableError: there is no room for a bank in the directory for temporary files.
    """
    if candidate.rows is None:
        return None
    bad = [item for item in found.items if item.is_bad and not item.passes[0] and not item.own[1]]
    passing = [item for item in bad if item.passes[1]]
    effects = []
    for done, (case, rows) in enumerate(candidate.rows.items(), start=1):
        names = _passing(banks, rows, passing, candidate.threshold_before, device) if rows else []
        effects.append(TaughtEffect(case, names, len(bad)))
        progress("taught", done, len(candidate.rows))
    return sorted(effects, key=lambda effect: -len(effect.passes))


def _passing(
    banks: tuple[BankFile, BankFile],
    rows: Sequence[int],
    items: Sequence[Replayed],
    threshold: float,
    device: str,
) -> list[str]:
    """Names of the pictures that pass by the bank in use with rows of the candidate."""
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
