"""What the line answered, and when."""

from __future__ import annotations

import msgspec

from inspectd.client import LineStatus


class Answered(msgspec.Struct, frozen=True):
    """The line's answer on how it is.

    Attributes:
        status: the answer.
        asked_at: when it was asked, in seconds on this host's clock that never goes back.
        answered_at: when the answer was here.
    """

    status: LineStatus
    asked_at: float
    answered_at: float
