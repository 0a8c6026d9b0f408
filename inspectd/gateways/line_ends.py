"""When a line ended, or was started again, as its heartbeats show it: each time once. Pure."""

from __future__ import annotations

from inspectd.wire import Heartbeat, LineState


class LineEnds:
    """Follows a line's heartbeats.

    What is asked of a line before its first heartbeat is asked of that start, though the last heartbeat was
    the end of the one before: an end that was told already does not concern it.
    """

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self._seen: tuple[int, bool] | None = None

    def found(self, heartbeat: Heartbeat | None) -> str | None:
        """How what was under way at the line ended, by its last heartbeat, as `wire.numbers` knows it.

        None: it did not, since this was asked last.
        """
        if heartbeat is None:
            return None
        seen, before = (heartbeat.epoch, heartbeat.state == LineState.STOPPED), self._seen
        self._seen = seen
        if before == seen:
            return None
        return "not_alive" if before is not None and before[0] == heartbeat.epoch else "line_restarted"
