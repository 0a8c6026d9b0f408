"""Who did what through the gateway: a line in its log for each, and counts for its metrics."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

from inspectd import log

_log: Final = logging.getLogger(__name__)
_OF_STRANGERS: Final = frozenset({"connect", "login", "keep_rejected"})
"""What is refused to those who are not logged in, as often as they like."""


class PlantAudit:
    """Says and counts what clients did and what they were refused.

    Attributes:
        done: by action.
        refused: by action and cause.
    """

    def __init__(self) -> None:
        """Nothing happened yet."""
        self.done: Counter[str] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self._said = log.Repeated(_log)

    def did(self, action: str, who: str, **details: object) -> None:
        """Somebody did something."""
        self.done[action] += 1
        log.event(_log, logging.INFO, "audit", action=action, who=who, result="done", **details)

    def refuse(self, action: str, who: str, cause: str, **details: object) -> None:
        """Somebody was refused; of those who are not logged in there is a line now and then."""
        self.refused[action, cause] += 1
        told = {"action": action, "who": who, "result": cause, **details}
        if action in _OF_STRANGERS:
            self._said.event(logging.WARNING, "audit", f"{action} {cause}", **told)
        else:
            log.event(_log, logging.WARNING, "audit", **told)

    def cut_off(self, cause: str) -> None:
        """A connection was ended that brought no OPC UA, or asked for more than its share: counted alone."""
        self.refused["connect", cause] += 1
