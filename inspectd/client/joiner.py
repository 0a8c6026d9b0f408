"""Joins live verdicts with replayed ones: each verdict once, in order, losses named. Pure.

The joiner holds one position: everything up to it was put out. A live verdict right after it goes straight
out. Anything later is held, and a replay is requested that begins right after the position; so start-up,
gaps, losses at the tail, restarts of the daemon and of the reader are all the same case. Until that replay is
complete the joiner is *behind*: the line has published more than was put out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, Generic, Literal, Protocol, TypeVar

import msgspec

from inspectd.client.clock import clock_seconds
from inspectd.wire import PartVerdict, Verdict
from inspectd.wire.sync import Answer, End, Position, ReplayRequest, Truncated
from inspectd.wire.verdicts import Number

RETRY_SECONDS: Final = 1.0
"""An answer that does not come within it is asked for again; sooner where patience is too short for that."""
_REQUESTS: Final = 2, 4
"""At least so many requests in a row, between these bounds as many as patience has time for, go unanswered
before what they asked for is given up."""


class LossReason(StrEnum):
    """Reason why verdicts cannot be had any more."""

    TRUNCATED = "truncated"
    """The line does not keep them any longer, or its journal was replaced."""
    MISSING = "missing"
    """The line published them and could not record them, and this reader did not receive them; or they cannot
    be read."""
    UNANSWERED = "unanswered"
    """The line did not answer in time when it was asked for them."""


class Unread(msgspec.Struct, frozen=True):
    """What is known of a replayed verdict that this version cannot read."""

    plant: str
    line: str
    epoch: Number
    seq: Number


class Lost(msgspec.Struct, frozen=True):
    """Everything strictly between two positions is lost to this reader: parts without a `pass`.

    Attributes:
        after: the last verdict before the loss.
        before: the first position after the loss.
        count: how many verdicts were lost; None where it cannot be known.
        reason: why.
    """

    after: Position
    before: Position
    count: int | None
    reason: LossReason


Numbered = Verdict | PartVerdict
Item = Numbered | Lost


class _HasPosition(Protocol):
    @property
    def epoch(self) -> int: ...

    @property
    def seq(self) -> int: ...


_Given = TypeVar("_Given", bound=_HasPosition)
"""A verdict, with whatever else of it the caller gets back."""


class Joiner(Generic[_Given]):
    """Puts the verdicts of one line in order.

    Args:
        position: everything up to it was put out earlier; None for a reader without a past.
        start: where a reader without a past begins: with what is published from now on, or with the oldest
            verdict the line keeps.
        patience_seconds: without an answer for so long, what is missing is given up, and named.
        max_held: live verdicts kept during a replay, or ready and not taken; those beyond it are replayed.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        position: Position | None = None,
        *,
        start: Literal["now", "oldest"] = "now",
        patience_seconds: float = 10.0,
        max_held: int = 10_000,
        clock: Callable[[], float] = clock_seconds,
    ) -> None:
        self.position = position
        self.ready: deque[_Given | Lost] = deque()
        """Verdicts and losses for the caller to take, in order."""
        self._from_oldest = position is None and start == "oldest"
        self._patience_seconds = patience_seconds
        fewest, most = _REQUESTS
        self._fewest_requests = min(max(fewest, int(patience_seconds / RETRY_SECONDS)), most)
        self._retry_seconds = min(RETRY_SECONDS, patience_seconds / self._fewest_requests)
        self._max_held = max_held
        self._clock = clock
        self._held: dict[Position, _Given] = {}
        self._published: dict[int, int] = {}
        """The last `seq` the line is known to have published, by epoch, for this epoch and later ones."""
        self._behind = False
        self._asked = ""
        self._requests = 0
        self._asked_from: Position | None = None
        self._unanswered = 0
        self._answers = 0
        self._asked_at = 0.0
        self._ask_at = 0.0
        self._progress_at = 0.0

    def live(self, verdict: _Given) -> None:
        """Take in a verdict that was received live."""
        here = Position(verdict.epoch, verdict.seq)
        if self.position is None and not self._from_oldest:
            self.position = Position(here.epoch, here.seq - 1)
        if not self._behind and self._is_next(here) and len(self.ready) < self._max_held:
            self._published[here.epoch] = here.seq
            self._put_out(verdict, here)
        elif self._is_news(here):
            if len(self._held) < self._max_held and not self._is_foreign(here):
                self._held[here] = verdict
            self._fall_behind(here)

    def heartbeat(self, epoch: int, last_seq: int) -> None:
        """Take in how far the line has published."""
        here = Position(epoch, last_seq)
        if self.position is None and not self._from_oldest:
            self.position = here
        elif self._is_news(here):
            self._fall_behind(here)

    def request(self) -> ReplayRequest | None:
        """The request to send now; None while there is nothing to ask, or an answer is pending."""
        now = self._clock()
        if not self._behind:
            return None
        if now >= self._give_up_at:
            self._give_up()
            return None
        if now < self._ask_at:
            return None
        self._requests += 1
        self._unanswered += 1
        self._answers = 0
        self._asked_from = self.position
        self._asked = str(self._requests)
        self._asked_at = now
        self._ask_at = now + self._retry_seconds
        return ReplayRequest(self._asked, _next_after(self.position) if self.position else None)

    @property
    def is_behind(self) -> bool:
        """The line has published more than was put out."""
        return self._behind

    @property
    def wake_at(self) -> float | None:
        """When `request` has something to do by itself; None when never."""
        return min(self._ask_at, self._give_up_at) if self._behind else None

    def answer(self, answer: Answer, verdicts: Sequence[_Given | Unread] = ()) -> None:
        """Take in an answer of the line, and the verdicts that came with it, readable or not."""
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
            self._ask_at = self._clock() + self._retry_seconds

    # --- the position moves -------------------------------------------------------------------------------

    def _replayed(self, verdict: _Given | Unread) -> None:
        here = Position(verdict.epoch, verdict.seq)
        if here <= self._start(here):
            return
        self._release_held(here)
        if isinstance(verdict, Unread):
            self._pass_to(_next_after(here))
            self._move_to(here)
        else:
            self._pass_to(here)
            self._put_out(verdict, here)

    def _truncated(self, oldest: Position) -> None:
        if self.position is None:
            return
        if oldest <= self.position:  # the line lost its records and began anew, before where we are
            self._lose(oldest, LossReason.TRUNCATED)
            self._published.clear()
            self._held.clear()
            self._move_to(Position(oldest.epoch, oldest.seq - 1))
            return
        for here in [*sorted(here for here in self._held if here < oldest), oldest]:
            if here != _next_after(self.position):
                self._lose(here, LossReason.TRUNCATED)
                self._move_to(Position(here.epoch, here.seq - 1))
            if here != oldest:
                self._put_out(self._held[here], here)

    def _ended(self, end: End) -> None:
        through = end.through
        if through > self._start(_next_after(through)):
            self._release_held(_next_after(through))
            self._pass_to(_next_after(through))
            self._move_to(through)
        self._asked = ""
        if end.complete:
            self._behind = False
            self._release_next()
        stuck = self.position == self._asked_from
        self._ask_at = self._clock() + (self._retry_seconds if stuck else 0.0)

    def _start(self, here: Position) -> Position:
        """The position; without one, right before `here` or the first verdict held."""
        if self.position is None:
            first = min([here, *self._held])
            self.position = Position(first.epoch, first.seq - 1)
        return self.position

    @property
    def _give_up_at(self) -> float:
        """When patience is over."""
        # Time alone proves nothing: this process may have been stopped while the answer was in flight.
        if self._unanswered < self._fewest_requests:
            return math.inf
        return max(self._progress_at + self._patience_seconds, self._asked_at + self._retry_seconds)

    def _give_up(self) -> None:
        """Nobody answers: go on with what was received live, and name what is missing."""
        self._asked = ""
        goal = min(self._held) if self._held else _next_after(self._reached) if self._reached else None
        if goal is not None and self.position is not None and goal > self.position:
            self._lose(goal, LossReason.UNANSWERED)
        if goal is not None:
            self._move_to(Position(goal.epoch, goal.seq - 1))
        self._behind = False
        self._release_next()

    def _release_next(self) -> None:
        """Put out what is held right after the position; if something is missing, we are behind again."""
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
        """Put out live verdicts that come before a replayed one: the journal did not have them."""
        for here in sorted(here for here in self._held if here < before):
            verdict = self._held.pop(here)
            if self.position is None or here > self.position:
                self._pass_to(here)
                self._put_out(verdict, here)

    def _pass_to(self, here: Position) -> None:
        """Name what lies between the position and `here` as missing."""
        if self.position is None:
            return
        if here.epoch == self.position.epoch:
            if here.seq > self.position.seq + 1:
                self._lose(here, LossReason.MISSING)
            return
        for epoch in sorted(self._published):
            tail = Position(epoch, self._published[epoch])
            if self.position < tail and epoch < here.epoch:
                self._begin(epoch)
                if tail != self.position:  # a line that ended before its first verdict has lost none
                    self._lose(_next_after(tail), LossReason.MISSING)
                self.position = tail
        if here.seq > 1:
            self._begin(here.epoch)
            self._lose(here, LossReason.MISSING)

    def _begin(self, epoch: int) -> None:
        """Nothing of this epoch was put out yet."""
        if self.position is not None and self.position.epoch < epoch:
            self.position = Position(epoch, 0)

    def _lose(self, before: Position, reason: LossReason) -> None:
        after = self.position
        assert after is not None
        count = before.seq - after.seq - 1 if before.epoch == after.epoch and before > after else None
        self.ready.append(Lost(after, before, count, reason))

    def _put_out(self, verdict: _Given, here: Position) -> None:
        self._held.pop(here, None)
        self.ready.append(verdict)
        self._move_to(here)

    def _move_to(self, here: Position) -> None:
        self.position = here
        for epoch in [epoch for epoch in self._published if epoch < here.epoch]:
            del self._published[epoch]
        self._unanswered = 0
        self._progress_at = self._clock()

    # --- what arrives ------------------------------------------------------------------------------------

    @property
    def _reached(self) -> Position | None:
        """The last position the line is known to have published."""
        return max((Position(*item) for item in self._published.items()), default=None)

    def _is_next(self, here: Position) -> bool:
        return self.position is not None and here == _next_after(self.position)

    def _is_news(self, here: Position) -> bool:
        return self.position is None or here > self.position or self._is_foreign(here)

    def _is_foreign(self, here: Position) -> bool:
        """An epoch before ours: an old message by another route, or a line that lost all its records."""
        return self.position is not None and here.epoch < self.position.epoch

    def _fall_behind(self, here: Position) -> None:
        if not self._is_foreign(here):
            self._published[here.epoch] = max(here.seq, self._published.get(here.epoch, 0))
        if not self._behind:
            self._behind = True
            self._unanswered = 0
            self._progress_at = self._clock()
            self._ask_at = 0.0


def _next_after(position: Position) -> Position:
    return Position(position.epoch, position.seq + 1)
