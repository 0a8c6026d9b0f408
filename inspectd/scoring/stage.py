"""Stage 3, the main process's side: a scoring process, what it has loaded, and what is sent to it."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec

from inspectd.ipc.channel import Channel, ChannelMessageError, ContradictionError
from inspectd.ipc.messages import Alive
from inspectd.ipc.ring import FrameRing
from inspectd.ipc.ring_client import RingClient
from inspectd.records import Batch, Inspection, Score, ScoreError
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
    _start: StartScoring

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
        self.refused = ""
        """Why the banks of the process that runs are not to judge: it is as if it were not ready; empty: they
        are."""
        self._process = process
        self._may_share = len(start.scoring.devices) > 1
        self._events = events
        self._await()

    def load(self, start: StartScoring) -> None:
        """Begin every process from now on with this."""
        self._start = start

    def keep(self, needed: set[str], spare: Iterable[str] = ()) -> None:
        """Begin every process from now on with no other recipes, and with its full share of time.

        Of several that work out alike who loads what, one that starts anew starts from the same: what is
        wanted no more is only the first to be left out.
        """
        left_out = tuple(spare)
        kept = tuple(recipe for recipe in self._start.recipes if recipe.name in {*needed, *left_out})
        if self._may_share:
            gone = tuple(recipe.name for recipe in self._start.recipes if recipe not in kept)
            kept, left_out = self._start.recipes, (*gone, *left_out)
        self.load(msgspec.structs.replace(self._start, recipes=kept, spare=left_out, is_beside=False))

    def let_go(self) -> None:
        """Forget the process, which was let go."""
        self.ready, self.refused = None, ""
        self._channel = None

    def refuse(self, why: str) -> None:
        """What the process has loaded is not to judge: nothing is sent to it, and nobody counts on it."""
        self.ready, self.refused = None, why

    def leave_out(self, recipes: Collection[str]) -> ScoringReady:
        """What the process that is ready has, without these."""
        assert self.ready is not None
        banks = [bank for bank in self.ready.banks if bank.recipe not in recipes]
        paces = [pace for pace in self.ready.paces if pace.recipe not in recipes]
        self.ready = msgspec.structs.replace(self.ready, banks=banks, paces=paces)
        return self.ready

    def started(self, channel: Channel[Any]) -> None:
        """See `Job.started`."""
        self._await()
        super().started(channel)

    def _await(self) -> None:
        """Expect of the process what it is asked for now, whatever the next one will be."""
        self._asked = {recipe.name for recipe in self._start.recipes}
        self._needed = self._asked - set(self._start.spare)

    def received(self, record: Any, fds: list[int], now_ns: int) -> None:  # noqa: ARG002 - scoring sends none
        """See `Job.received`."""
        if isinstance(record, Score):
            self._events.on_score(self._process, record, now_ns)
        elif isinstance(record, ScoreError):
            self._events.on_score_error(self._process, record, now_ns)
        elif isinstance(record, ScoringReady):
            loaded = {bank.recipe for bank in record.banks}
            is_enough = bool(loaded) if self._may_share else loaded >= self._needed
            if not is_enough or not loaded <= self._asked:
                some = "some of " if self._may_share else ""
                raise ContradictionError(
                    f"it loaded recipes {sorted(loaded)}, expected {some}{sorted(self._asked)}"
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
        self.ready, self.refused = None, ""
        self._events.on_scoring_lost(self._process, cause, exit_code, now_ns)

    def send(self, batch: Batch) -> bool:
        """Hand a batch over; False when the process does not take it.

        One that is larger than the kernel lets a message be ends like that too, and the process is replaced:
        its event says which setting of the kernel to raise.
        """
        if self.ready is None:
            return False
        told = [_for_scoring(inspection) for inspection in batch.inspections]
        try:
            return self._post(msgspec.structs.replace(batch, inspections=told))
        except ChannelMessageError as error:
            self.stuck = str(error)
            return False


def _for_scoring(inspection: Inspection) -> Inspection:
    """It without what scoring does not read and the plant gives: names of parts and of files may be long."""
    frame = msgspec.structs.replace(inspection.frame, trigger=None, source=None, sha256=None, device=None)
    return msgspec.structs.replace(inspection, frame=frame)
