"""Stage 3, the main process's side: a scoring process, what it has loaded, and what is sent to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec

from inspectd.ipc.channel import ContradictionError
from inspectd.ipc.messages import Alive
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.ring_client import RingClient
from inspectd.records import Batch, Score, ScoreError
from inspectd.scoring.messages import FromScoring, ScoringReady, StartScoring

SCORING: Final = ("inspectd.scoring.worker",)
"""The scoring process: its module, and arguments of its own after that."""


class ScoringEvents(Protocol):
    """Takes the answers of scoring processes, each with its process's number, and gives them the rings."""

    def on_scoring_ready(self, process: int, ready: ScoringReady) -> None:
        """Its banks are loaded and warm."""

    def on_score(self, process: int, score: Score, now_ns: int) -> None:
        """One inspection's score."""

    def on_score_error(self, process: int, error: ScoreError, now_ns: int) -> None:
        """One inspection cannot be scored."""

    def on_scoring_lost(self, process: int, cause: str, exit_code: int | None, now_ns: int) -> None:
        """The process is gone; what was with it will not be answered."""

    def rings(self) -> list[tuple[str, FrameRing]]:
        """Every ring a batch may name, with its camera."""


class ScoringStage(RingClient):
    """A job for the supervisor: keeps a scoring process supplied with rings and batches."""

    receives: Any = FromScoring

    def __init__(
        self, process: int, name: str, start: StartScoring, events: ScoringEvents, command: Sequence[str]
    ) -> None:
        """Score as `start` says, by the child `command`; answers go to `events` with the number `process`."""
        super().__init__(start, events.rings)
        self.name = name
        self.module = command[0]
        self.arguments: Sequence[str] = (*command[1:], "--name", name)
        self.start_timeout_ns = int(start.scoring.start_timeout_seconds * 1e9)
        self.stall_timeout_ns = int(start.scoring.stall_timeout_ms * 1e6)
        self.ready: ScoringReady | None = None
        self._process = process
        self._may_share = len(start.scoring.devices) > 1
        self._events = events
        self.load(start)

    def load(self, start: StartScoring) -> None:
        """Begin every process from now on with this."""
        self._start: StartScoring = start
        self._recipes = {recipe.name for recipe in start.recipes}
        self._needed = self._recipes - set(start.spare)

    def keep(self, recipes: set[str]) -> None:
        """Begin every process from now on with no other recipes, and with its full share of time."""
        kept = tuple(recipe for recipe in self._start.recipes if recipe.name in recipes)
        self.load(msgspec.structs.replace(self._start, recipes=kept, spare=(), is_beside=False))

    def let_go(self) -> None:
        """Forget the process, which was let go."""
        self.ready = None
        self._channel = None

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:  # noqa: ARG002 - scoring sends none
        """See `Job.received`."""
        if isinstance(record, Score):
            self._events.on_score(self._process, record, now_ns)
        elif isinstance(record, ScoreError):
            self._events.on_score_error(self._process, record, now_ns)
        elif isinstance(record, ScoringReady):
            loaded = {bank.recipe for bank in record.banks}
            is_enough = bool(loaded) if self._may_share else loaded >= self._needed
            if not is_enough or not loaded <= self._recipes:
                some = "some of " if self._may_share else ""
                raise ContradictionError(
                    f"it loaded recipes {sorted(loaded)}, expected {some}{sorted(self._recipes)}"
                )
            for pace in record.paces:
                if not all(0 < spent_ms < math.inf for spent_ms in (pace.one_ms, pace.full_ms)):
                    raise ContradictionError(
                        f"recipe {pace.recipe!r}: it measured {pace.one_ms} ms for an image and "
                        f"{pace.full_ms} ms for a full batch, expected some time"
                    )
            self.ready = record
            self._events.on_scoring_ready(self._process, record)
        elif not isinstance(record, Alive):
            raise TypeError(f"not a record of a scoring process: {record!r}")

    def lost(self, cause: str, exit_code: int | None, now_ns: int) -> None:
        """See `Job.lost`."""
        super().lost(cause, exit_code, now_ns)
        self.ready = None
        self._events.on_scoring_lost(self._process, cause, exit_code, now_ns)

    def send(self, batch: Batch) -> bool:
        """Hand a batch over; False when the process does not take it."""
        return self.ready is not None and self._post(batch)
