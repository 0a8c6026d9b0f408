"""The records between the main process and a scoring process."""

from __future__ import annotations

import msgspec

from inspectd.config import KeyedRecipe, ScoringSettings
from inspectd.ipc.messages import Alive, AttachRing, DetachRing, Failed
from inspectd.records import BankInForce, Batch, Pace, Score, ScoreError


class StartScoring(msgspec.Struct, frozen=True, array_like=True, tag="start_scoring"):
    """Main to scoring, first: what to load."""

    scoring: ScoringSettings
    """Their `device` is this process's."""
    recipes: tuple[KeyedRecipe, ...]
    """Of the line; this process loads all, or its part of them (`placement`)."""
    max_batch: int
    process: int = 0
    """Its number: the place of its device among `scoring.devices`."""
    cameras: dict[str, int] = {}
    """How many, or how many of their regions, are judged by a recipe."""
    cores: tuple[int, ...] = ()
    """Those it may use; empty: all."""
    spare: tuple[str, ...] = ()
    """Names of recipes that are left out, in this order, where not all find room; each too where its bank
    cannot be used."""
    is_beside: bool = False
    """Another process scores while this one loads, and came first; when it is warm it takes part."""
    is_shadow: bool = False
    """Its scores count for nothing: it leaves processors and memory to all others, always."""


class ScoringReady(msgspec.Struct, frozen=True, array_like=True, tag="scoring_ready"):
    """Scoring to main: the banks it loads are loaded and warm."""

    banks: list[BankInForce]
    paces: list[Pace]
    """Of the same recipes."""
    device: str
    warmup_seconds: float


ToScoring = StartScoring | AttachRing | DetachRing | Batch
FromScoring = ScoringReady | Score | ScoreError | Alive | Failed
