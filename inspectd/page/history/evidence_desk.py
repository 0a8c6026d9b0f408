"""Looks at evidence in threads of its own: a disk that hangs costs its pictures, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from inspectd.page.answers import ApiError
from inspectd.page.disk_desk import DiskDesk
from inspectd.page.history.evidence import EvidenceTree
from inspectd.page.history.rows import Numbered
from inspectd.page.told import EvidenceWord

_T = TypeVar("_T")


class EvidenceDesk:
    """Asks a tree of evidence, and waits for no disk longer than allowed.

    Args:
        tree: the evidence.
    """

    def __init__(self, tree: EvidenceTree) -> None:
        self._tree = tree
        self._disk = DiskDesk("evidence")

    async def ask(self, question: Callable[[EvidenceTree], _T]) -> _T:
        """The answer of `question`.

        Raises:
            ApiError: the disk does not answer.
        """
        return await self._disk.ask(lambda: question(self._tree))

    async def has(self, items: Sequence[Numbered]) -> list[EvidenceWord]:
        """Of each verdict, whether its evidence is there: "kept", "none" or "unknown"."""
        try:
            return await self.ask(lambda tree: [tree.has(item) for item in items])
        except ApiError:
            return ["unknown"] * len(items)
