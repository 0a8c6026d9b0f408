"""Why a way of searching is not used where it could be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """One reason, by name for machines and in words for people.

    Attributes:
        unexpected: the machine has what it takes, and still it did not work.
    """

    reason: str
    detail: str
    unexpected: bool = False
