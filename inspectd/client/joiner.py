"""Joins what is heard live with what is replayed: each verdict once, in order, losses named. Pure.

The joiner holds one position: everything up to it was put out. A live verdict right behind it goes straight
out. Anything further ahead is held, and a replay is asked for from behind the position on; so start-up, gaps,
losses at the tail, restarts of the daemon and of the reader are all the same case.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Literal

import msgspec

from inspectd.wire import PartVerdict, Verdict
from inspectd.wire.sync import Answer, End, Position, ReplayRequest, Truncated

RETRY_SECONDS: Final = 1.0
"""An answer that does not come within it is asked for again."""
_FEWEST_REQUESTS: Final = 4
"""So many requests in a row go unanswered before what they asked for is given up."""


class LossReason(StrEnum):
    """Why verdicts cannot be had any more."""

    TRUNCATED = "truncated"
    """The line does not keep them any longer, or its journal was replaced."""
    MISSING = "missing"
    """The line published them and could not record them, and this reader did not hear them."""
    UNANSWERED = "unanswered"
    """The line did not answer in time when it was asked for them."""


class Lost(msgspec.Struct, frozen=True):
    """Everything strictly between two positions is lost to this reader: parts without a `pass`.

    Attributes:
        after: the last verdict before the loss.
        before: the first position behind the loss.
        count: how many verdicts were lost; None where it cannot be known.
        reason: why.
    """

    after: Position
    before: Position
    count: int | None
    reason: LossReason


Numbered = Verdict | PartVerdict
Item = Numbered | Lost


class Joiner:
    """Puts the verdicts of one line in order.

    Args:
        position: everything up to it was put out earlier; None for a reader without a past.
        start: where a reader without a past begins: with what is published from now on, or with the oldest
            verdict the line keeps.
        patience_seconds: without an answer for so long, what is missing is given up, and named.
        max_held: live verdicts kept while a replay is under way; those beyond it are replayed as well.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        position: Position | None = None,
        *,
        start: Literal["now", "oldest"] = "now",
        patience_seconds: float = 10.0,
        max_held: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.position = position
        self.ready: deque[Item] = deque()
        """What the caller gets next."""
        self._from_oldest = position is None and start == "oldest"
        self._patience_seconds = patience_seconds
        self._max_held = max_held
        self._clock = clock
        self._held: dict[Position, Numbered] = {}
        self._heard: dict[int, int] = {}
        """How far the line was heard to have come in this epoch and those behind it: epoch to seq."""
        self._behind = False
        self._asked = ""
        self._requests = 0
        self._asked_from: Position | None = None
        self._unanswered = 0
        self._answers = 0
        self._ask_at = 0.0
        self._progress_at = 0.0

    def live(self, verdict: Numbered) -> None:
        """A verdict was heard live."""
        here = Position(verdict.epoch, verdict.seq)
        if self.position is None and not self._from_oldest:
            self.position = Position(here.epoch, here.seq - 1)
        if not self._behind and self._is_next(here):
            self._heard[here.epoch] = here.seq
            self._put_out(verdict, here)
        elif self._is_news(here):
            if len(self._held) < self._max_held and not self._is_foreign(here):
                self._held[here] = verdict
            self._fall_behind(here)

    def heartbeat(self, epoch: int, last_seq: int) -> None:
        """The line was heard to have published up to here."""
        here = Position(epoch, last_seq)
        if self.position is None and not self._from_oldest:
            self.position = here
        elif self._is_news(here):
            self._fall_behind(here)

    def request(self) -> ReplayRequest | None:
        """The request to send now; None while there is nothing to ask, or an answer is under way."""
        now = self._clock()
        if not self._behind:
            return None
        if now < self._ask_at:
            return None
        # Time alone proves nothing: this process may have been stopped while the answer was under way.
        if now - self._progress_at > self._patience_seconds and self._unanswered >= _FEWEST_REQUESTS:
            self._give_up()
            return None
        self._requests += 1
        self._unanswered += 1
        self._answers = 0
        self._asked_from = self.position
        self._asked = str(self._requests)
        self._ask_at = now + RETRY_SECONDS
        return ReplayRequest(self._asked, _behind(self.position) if self.position else None)

    @property
    def wake_at(self) -> float | None:
        """When `request` has something to do by itself; None when never."""
        return self._ask_at if self._behind else None

    def answer(self, answer: Answer, verdicts: Sequence[Numbered] = ()) -> None:
        """The line answered; `verdicts` are those that came with the answer."""
        if answer.request != self._asked or not self._behind:
            return  # the answer to an earlier request, which was asked again
        if isinstance(answer, End) and answer.messages != self._answers:
            self._asked = ""  # a part of it is missing: it is asked for again
            return
        self._answers += 1
        for verdict in verdicts:
            self._replayed(verdict)
        if isinstance(answer, Truncated):
            self._truncated(answer.oldest)
        if isinstance(answer, End):
            self._ended(answer)
        elif verdicts:
            self._ask_at = self._clock() + RETRY_SECONDS

    # --- the position moves -------------------------------------------------------------------------------

    def _replayed(self, verdict: Numbered) -> None:
        here = Position(verdict.epoch, verdict.seq)
        if here <= self._start(here):
            return
        self._release_held(here)
        self._pass_to(here, LossReason.MISSING)
        self._put_out(verdict, here)

    def _truncated(self, oldest: Position) -> None:
        if self.position is None:
            return
        if oldest <= self.position:  # the line lost all it knew and began anew, before where we are
            self._lose(oldest, LossReason.TRUNCATED)
            self._heard.clear()
            self._held.clear()
            self._move_to(Position(oldest.epoch, oldest.seq - 1))
            return
        for here in [*sorted(here for here in self._held if here < oldest), oldest]:
            if here != _behind(self.position):
                self._lose(here, LossReason.TRUNCATED)
                self._move_to(Position(here.epoch, here.seq - 1))
            if here != oldest:
                self._put_out(self._held[here], here)

    def _ended(self, end: End) -> None:
        through = end.through
        if through > self._start(_behind(through)):
            self._release_held(_behind(through))
            self._pass_to(_behind(through), LossReason.MISSING)
            self._move_to(through)
        self._asked = ""
        if end.complete:
            self._behind = False
            self._release_next()
        stuck = self.position == self._asked_from
        self._ask_at = self._clock() + (RETRY_SECONDS if stuck else 0.0)

    def _start(self, here: Position) -> Position:
        """The position; without one, right before `here` or what was heard before it."""
        if self.position is None:
            first = min([here, *self._held])
            self.position = Position(first.epoch, first.seq - 1)
        return self.position

    def _give_up(self) -> None:
        """Nobody answers: go on with what was heard live, and say what is missing."""
        self._asked = ""
        goal = min(self._held) if self._held else _behind(self._reached) if self._reached else None
        if goal is not None and self.position is not None and goal > self.position:
            self._lose(goal, LossReason.UNANSWERED)
        if goal is not None:
            self._move_to(Position(goal.epoch, goal.seq - 1))
        self._behind = False
        self._release_next()

    def _release_next(self) -> None:
        """Put out what is held right behind the position; fall behind again if something is missing."""
        for here in sorted(self._held):
            if self._is_next(here):
                self._put_out(self._held.pop(here), here)
            elif self._is_news(here):
                break
            else:
                del self._held[here]
        if self._reached is not None and self.position is not None and self._reached > self.position:
            self._fall_behind(self._reached)

    def _release_held(self, before: Position) -> None:
        """Put out what was heard live and lies before a replayed one: the journal did not have it."""
        for here in sorted(here for here in self._held if here < before):
            verdict = self._held.pop(here)
            if self.position is None or here > self.position:
                self._pass_to(here, LossReason.MISSING)
                self._put_out(verdict, here)

    def _pass_to(self, here: Position, reason: LossReason) -> None:
        """Name what lies between the position and `here`."""
        if self.position is None:
            return
        if here.epoch == self.position.epoch:
            if here.seq > self.position.seq + 1:
                self._lose(here, reason)
            return
        for epoch in sorted(self._heard):
            tail = Position(epoch, self._heard[epoch])
            if self.position < tail and epoch < here.epoch:
                self._begin(epoch)
                if tail != self.position:  # a line that ended before its first verdict has lost none
                    self._lose(_behind(tail), reason)
                self.position = tail
        if here.seq > 1:
            self._begin(here.epoch)
            self._lose(here, reason)

    def _begin(self, epoch: int) -> None:
        """Nothing of this epoch was put out yet."""
        if self.position is not None and self.position.epoch < epoch:
            self.position = Position(epoch, 0)

    def _lose(self, before: Position, reason: LossReason) -> None:
        after = self.position
        assert after is not None
        count = before.seq - after.seq - 1 if before.epoch == after.epoch and before > after else None
        self.ready.append(Lost(after, before, count, reason))

    def _put_out(self, verdict: Numbered, here: Position) -> None:
        self._held.pop(here, None)
        self.ready.append(verdict)
        self._move_to(here)

    def _move_to(self, here: Position) -> None:
        self.position = here
        for epoch in [epoch for epoch in self._heard if epoch < here.epoch]:
            del self._heard[epoch]
        self._unanswered = 0
        self._progress_at = self._clock()

    # --- what is heard ------------------------------------------------------------------------------------

    @property
    def _reached(self) -> Position | None:
        """The last place the line was heard to have reached."""
        return max((Position(*item) for item in self._heard.items()), default=None)

    def _is_next(self, here: Position) -> bool:
        return self.position is not None and here == _behind(self.position)

    def _is_news(self, here: Position) -> bool:
        return self.position is None or here > self.position or self._is_foreign(here)

    def _is_foreign(self, here: Position) -> bool:
        """An epoch before ours: an old message on another way, or a line that lost all it knew."""
        return self.position is not None and here.epoch < self.position.epoch

    def _fall_behind(self, here: Position) -> None:
        if not self._is_foreign(here):
            self._heard[here.epoch] = max(here.seq, self._heard.get(here.epoch, 0))
        if not self._behind:
            self._behind = True
            self._progress_at = self._clock()
            self._ask_at = 0.0


def _behind(position: Position) -> Position:
    return Position(position.epoch, position.seq + 1)
