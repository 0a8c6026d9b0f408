"""Passwords: argon2id (RFC 9106), one at a time, and a name nobody has takes as long as a wrong password."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from inspectd.errors import InputError

_Result = TypeVar("_Result")

SHORTEST: Final = 12
LONGEST: Final = 200
_MOST_WAITING: Final = 8
"""Each takes 64 MiB and some 200 ms: with more waiting, who comes is asked to try again."""
_MOST_OF_ONE: Final = 2
"""Of these, from one place: whoever logs in again and again leaves room for others."""


def new_hasher() -> PasswordHasher:
    """RFC 9106's second recommended setting: 64 MiB, three passes, four lanes."""
    return PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)


def password_problem(password: str, name: str) -> str | None:
    """What is wrong with a new password; None: nothing."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"the password has {len(password)} characters, expected {SHORTEST} to {LONGEST}"
    if name.casefold() in password.casefold() or len(set(password)) < 5:
        return "the password is too easy to guess: it contains the name, or hardly any different characters"
    return None


def hash_password(password: str, name: str, hasher: PasswordHasher) -> str:
    """The hash of a new password.

    Raises:
        InputError: the password is too short, too long or too easy.
    """
    problem = password_problem(password, name)
    if problem is not None:
        raise InputError(problem)
    return hasher.hash(password)


class PasswordBusyError(Exception):
    """So many passwords wait to be checked that another one would wait too long."""


class PasswordChecker:
    """Checks and hashes passwords beside the event loop, one at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """Hash by `hasher`; by default as `new_hasher`."""
        self._hasher = hasher or new_hasher()
        self._thread = ThreadPoolExecutor(1, "passwords")
        self._waiting: Counter[str] = Counter()
        self._nobody = self._hasher.hash("a password that nobody has")

    async def is_right(self, password: str, password_hash: str | None, place: str) -> bool:
        """Whether that is the password of this hash; without a hash: False, after the same time.

        Args:
            password: that was given.
            password_hash: of the person.
            place: where it was given.

        Raises:
            PasswordBusyError: too many wait already.
        """
        return await self._in_turn(place, lambda: self._verify(password, password_hash))

    async def hashed(self, password: str, name: str, place: str) -> str:
        """As `hash_password`, of a password that was given at a place.

        Raises:
            InputError: the password is too short, too long or too easy.
            PasswordBusyError: too many wait already.
        """
        return await self._in_turn(place, lambda: hash_password(password, name, self._hasher))

    def close(self) -> None:
        """End the thread; what waits is dropped."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_turn(self, place: str, work: Callable[[], _Result]) -> _Result:
        if self._waiting.total() >= _MOST_WAITING or self._waiting[place] >= _MOST_OF_ONE:
            raise PasswordBusyError
        self._waiting[place] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= Counter({place: 1})

    def _verify(self, password: str, password_hash: str | None) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, password[:LONGEST])
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None and len(password) <= LONGEST
