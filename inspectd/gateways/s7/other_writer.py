"""Whether another gateway writes to the PLC's status block. Pure.

Two gateways with the same address and block in their files would show a PLC the results of two lines by
turns. So each writes a number of its own into the block, and looks whether it is there still before it writes
again. One that finds another number shows no result until nobody else has written for a while; nor does one
that has just connected, and cannot know yet. The other one does the same: nothing of either is acted upon.
"""

from __future__ import annotations

import secrets
from typing import Final

ALONE_SECONDS: Final = 1.0
"""Another gateway writes at least once within it: `poll_ms` is 200 at most."""
SILENCE_SECONDS: Final = 10.0
"""So long another one, which was seen, must have written nothing."""
_LOOKS: Final = 8
"""So often, too, it must have found its own number first: a slow PLC is read and written seldom."""
_LOOK_SECONDS: Final = 0.1
"""Who is alone looks so often: it takes time of the PLC."""


def new_writer() -> int:
    """How a gateway names itself, for as long as its process lives; never 0."""
    return 1 + secrets.randbelow(2**32 - 1)


class OtherWriter:
    """Follows who writes to the block.

    Args:
        own: how this gateway names itself.
    """

    def __init__(self, own: int) -> None:
        self.own = own
        self.other: int | None = None
        """Who else writes: its number, 0 where it has none; None: nobody."""
        self._alone_at = 0.0
        self._looked_at = 0.0
        self._looks = 0
        self._has_written = False

    def connected(self, now: float) -> None:
        """A connection began: who wrote before may be at it still."""
        self._has_written, self._looks = False, 0
        self._alone_at = max(now + ALONE_SECONDS, self._alone_at)

    def wrote(self) -> None:
        """This gateway has written the block."""
        self._has_written = True

    def must_look(self, now: float) -> bool:
        """The number in the block is to be read."""
        return self._has_written and (not self.is_alone(now) or now - self._looked_at >= _LOOK_SECONDS)

    def saw(self, writer: int, now: float) -> None:
        """This number is in the block, some time after this gateway wrote its own."""
        self._looked_at = now
        self._looks = self._looks + 1 if writer == self.own else 0
        if writer != self.own:
            self.other, self._alone_at = writer, now + SILENCE_SECONDS
        elif now >= self._alone_at:
            self.other = None

    def is_alone(self, now: float) -> bool:
        """Nobody else writes, as far as that can be known."""
        return self.other is None and now >= self._alone_at and self._looks >= _LOOKS
