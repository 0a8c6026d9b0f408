"""What comes back of what was sent: the broker's proof that it passes messages on. Pure.

A broker drops what its access list forbids without a word, so the node is subscribed to births of its own and
to its parts. It knows each of them by its bytes: a birth with this session's `bdSeq`, a part with its number
and time. Whatever else comes on these topics is of a session of before, retained, or of somebody else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

_MAX_BIRTHS: Final = 16
"""Births that are waited for, of a topic: older ones are told by newer ones as well."""
_SWAPPED_SECONDS: Final = 1.0
"""So long a part may come after one that was sent after it: some brokers let neighbours change places."""


class Echo:
    """Waits for one session's messages to come back.

    Args:
        births: topics of births.
        parts: topic of the parts.
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, births: tuple[str, ...], parts: str, clock: Callable[[], float]) -> None:
        self._parts, self._clock = parts, clock
        self._waiting: dict[str, deque[tuple[bytes, float]]] = {
            **{topic: deque(maxlen=_MAX_BIRTHS) for topic in births},
            parts: deque(),
        }
        self._overtaken: dict[bytes, float] = {}
        """Parts that did not come back before one that was sent after them, and when that came."""
        self._given_up: list[bytes] = []
        self._heard: set[str] = set()
        self._missed: set[str] = set()

    @property
    def is_passed_on(self) -> bool:
        """Something came back, and nothing is missed since."""
        return bool(self._heard) and not self._missed

    @property
    def births_are_back(self) -> bool:
        """No birth is waited for."""
        return not any(waiting for topic, waiting in self._waiting.items() if topic != self._parts)

    @property
    def is_complete(self) -> bool:
        """All that was sent came back."""
        return not self._overtaken and not any(self._waiting.values())

    @property
    def overtaken(self) -> list[bytes]:
        """Parts that do not come back any more: one that was sent after them did, some time ago."""
        until = self._clock() - _SWAPPED_SECONDS
        return [payload for payload, overtaken_at in self._overtaken.items() if overtaken_at <= until]

    @property
    def has_gap(self) -> bool:
        """A part came back, and one before it does not."""
        return bool(self.overtaken)

    def sent(self, topic: str, payload: bytes) -> None:
        """A message goes out; one of another topic is not waited for."""
        if topic in self._waiting:
            self._waiting[topic].append((payload, self._clock()))

    def came(self, topic: str, payload: bytes) -> bool:
        """A message came in on one of the topics; whether it is this session's own."""
        waiting = self._waiting[topic]
        before = next((number for number, (own, _) in enumerate(waiting) if own == payload), None)
        if before is None and self._overtaken.pop(payload, None) is None:
            return payload in self._given_up
        if before is not None:
            # A broker takes a client's messages in turn: those before come at once, or no more.
            overtaken = [waiting.popleft()[0] for _ in range(before)]
            waiting.popleft()
            if topic == self._parts:
                self._overtaken |= dict.fromkeys(overtaken, self._clock())
        self._heard.add(topic)
        self._missed.discard(topic)
        return True

    def misses(self, seconds: float) -> list[str]:
        """Topics of which a message has been waited for longer than so many seconds."""
        until = self._clock() - seconds
        missed = [topic for topic, waiting in self._waiting.items() if waiting and waiting[0][1] < until]
        self._missed.update(missed)
        return missed

    def give_up_parts(self) -> None:
        """The parts that are waited for are told again, so their messages are waited for no more."""
        waiting = self._waiting[self._parts]
        self._given_up = [*self._overtaken, *(payload for payload, _ in waiting)]
        waiting.clear()
        self._overtaken.clear()

    def forget(self, overtaken: Iterable[bytes]) -> None:
        """These are not told again."""
        for payload in overtaken:
            del self._overtaken[payload]
