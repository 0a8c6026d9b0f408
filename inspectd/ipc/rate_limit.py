"""How often something may be done that costs as much for one as for many. Pure: time is handed in."""

from __future__ import annotations


class RateLimit:
    """Lets the first few be done at once; what goes on coming is then done together, every so often."""

    def __init__(self, every_ns: int, at_once: int) -> None:
        """Allow one every `every_ns`, and `at_once` without waiting after a pause."""
        self.due_ns = 0
        """When the next may be done."""
        self._every_ns = every_ns
        self._ahead_ns = (at_once - 1) * every_ns

    def done(self, now_ns: int) -> None:
        """Note that it was done."""
        self.due_ns = max(self.due_ns, now_ns - self._ahead_ns) + self._every_ns
