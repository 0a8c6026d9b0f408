"""Bounds on wrong passwords, by person and by address. Pure: time is handed in."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from inspectd.page.accounts.names import name_key
from inspectd.page.addresses import network_of

WINDOW_SECONDS: Final = 900.0
_MOST_OF_BOTH: Final = 5
"""Of one person from one address."""
_MOST_OF_ADDRESS: Final = 20
_MOST_OF_PERSON: Final = 50
"""From all addresses together: who guesses elsewhere must not lock a person out at once."""
_KEPT: Final = 10_000
"""Counters and places of logins that are remembered; with more the oldest is forgotten."""

_Limit = tuple[tuple[str, str], int]
"""What is counted, and how many wrong passwords of it are too many."""


class LoginAttempts:
    """Counts wrong passwords of the last quarter of an hour, and says whether another try is allowed.

    Args:
        clock: seconds on a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], list[float]] = OrderedDict()
        self._places: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_seconds(self, name: str, address: str) -> float:
        """How long this person has to wait at this address; 0: another try is allowed."""
        now = self._clock()
        waits = [0.0]
        of_both, of_address, of_person = _counters(name, address)
        # Whoever guesses elsewhere for ever must not lock a person out where that person logs in.
        is_known = of_both[0] in self._places
        for key, most in (of_both, of_address) if is_known else (of_both, of_address, of_person):
            times = [at for at in self._failures.get(key, []) if now - at < WINDOW_SECONDS]
            if len(times) >= most:
                waits.append(WINDOW_SECONDS - (now - times[-most]))
        return max(waits)

    def failed(self, name: str, address: str) -> None:
        """A password is tried: it counts as wrong unless `succeeded` follows."""
        now = self._clock()
        for key, most in _counters(name, address):
            times = [at for at in self._failures.pop(key, []) if now - at < WINDOW_SECONDS]
            self._failures[key] = [*times, now][-most:]
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """What `failed` counted was right: it counts no more, nor does what was mistyped here before."""
        for key, most in _counters(name, address):
            times = self._failures.pop(key, [])[:-1]
            if times and most != _MOST_OF_BOTH:
                self._failures[key] = times
        self.know(name, address)

    def know(self, name: str, address: str) -> None:
        """A person has logged in there."""
        place = _counters(name, address)[0][0]
        self._places.pop(place, None)
        self._places[place] = None
        while len(self._places) > _KEPT:
            self._places.popitem(last=False)

    def not_tried(self, name: str, address: str) -> None:
        """What `failed` counted was not tried after all: a busy page locks nobody out."""
        for key, _ in _counters(name, address):
            times = self._failures.pop(key, [])[:-1]
            if times:
                self._failures[key] = times


def _counters(name: str, address: str) -> tuple[_Limit, _Limit, _Limit]:
    name, address = name_key(name), network_of(address)
    return (
        ((name, address), _MOST_OF_BOTH),
        (("", address), _MOST_OF_ADDRESS),
        ((name, ""), _MOST_OF_PERSON),
    )
