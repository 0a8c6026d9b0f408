"""What an agent remembers: the last order it accepted, and how far that is. One file, replaced whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from inspectd.errors import InputError, UnavailableError
from inspectd.files import write_bytes
from inspectd.fleet.agent.order import MOST_BYTES, Refusal, SignedOrder

_FILE: Final = "accepted.json"
_FETCHED: Final = "fetched"
_OLDER_IN_A_ROW: Final = 3


class Told(NamedTuple):
    """By which entry a line was told an order.

    Attributes:
        number: in the servers' stream; 0: not known.
        utc_ns: when the servers took it, by their clock; 0: not known.
    """

    number: int = 0
    utc_ns: int = 0

    def is_after(self, other: Told) -> bool:
        """Whether it came after another one; what a server that lags still has did not.

        A stream that was deleted and made anew counts from 1 again: its entries are told from those before by
        their time. Within a stream the number tells, also where a server's clock was set back meanwhile.
        """
        return self.number > other.number or self.utc_ns > other.utc_ns


class NewestTold:
    """Which of the entries that the servers give is the newest: one that lags gives what was there before.

    What is no later than the newest by number and time is believed after a few answers in a row, as where the
    stream was put back from a backup.
    """

    def __init__(self) -> None:
        self._newest, self._older = Told(), 0

    def take(self, told: Told) -> bool:
        """Whether this is the newest, as far as is known."""
        is_older = told != self._newest and not told.is_after(self._newest)
        self._older = self._older + 1 if is_older else 0
        if 0 < self._older < _OLDER_IN_A_ROW:
            return False
        self._newest = told
        return True


class GivenUp(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why nothing can come of an order.

    Attributes:
        why: the kind.
        detail: for people.
    """

    why: Refusal
    detail: str


class AcceptedOrder(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="schema",
    tag="fleet_state/1",
):  # fmt: skip
    """What is remembered. An earlier agent reads it as long as nothing was given up.

    Attributes:
        serial: of the order that was accepted last; None: none was.
        order: that order.
        is_done: the line has put its recipe in force, so that whatever runs afterwards is somebody's choice.
        version: of its recipe in the line's store; None: it is not there yet.
        given_up: it is left, until the line is told it again; None: it is not.
        told: number, in the servers' stream, of the entry by which what is given up was told; 0: not known.
        told_utc_ns: when the servers took that entry; 0: not known.
    """

    serial: int | None = None
    order: SignedOrder | None = None
    is_done: bool = False
    version: int | None = None
    given_up: GivenUp | None = None
    told: int = 0
    told_utc_ns: int = 0


class StateFolder:
    """The agent's own folder, which is not made yet.

    Args:
        given: of the settings; empty: systemd's.

    Raises:
        InputError: none is named.
    """

    def __init__(self, given: str) -> None:
        place = given or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        if not place:
            raise InputError("fleet.state_dir: is empty, and systemd gives none; expected a folder")
        self.path = Path(place)
        self._file = self.path / _FILE

    def make(self) -> None:
        """Make what is not there of it.

        Raises:
            UnavailableError: that fails.
        """
        try:
            (self.path / _FETCHED).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UnavailableError(f"{self.path}: cannot be made: {error.strerror}") from error

    def fetched(self, sha256: str) -> Path:
        """Where an archive is fetched to; what was fetched of others is taken away.

        Raises:
            UnavailableError: that fails.
        """
        place = self.path / _FETCHED / f"{sha256}.part"
        try:
            for other in (self.path / _FETCHED).iterdir():
                if other != place:
                    other.unlink()
        except OSError as error:
            raise UnavailableError(f"{self.path}: cannot be cleared: {error.strerror}") from error
        return place

    def drop(self, place: Path) -> None:
        """Take away what was fetched.

        Raises:
            UnavailableError: that fails.
        """
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(f"{place}: cannot be removed: {error.strerror}") from error

    def read(self) -> AcceptedOrder:
        """What is remembered; nothing, where there is no file yet.

        Raises:
            InputError: the file is damaged: nobody knows any more which orders are old.
        """
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            return AcceptedOrder()
        except OSError as error:
            raise InputError(f"{self._file}: cannot be read: {error.strerror}") from error
        try:
            if len(data) > 2 * MOST_BYTES:
                raise InputError(f"{self._file}: is too large, {len(data)} bytes")
            return msgspec.json.decode(data, type=AcceptedOrder)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{self._file}: is damaged ({str(error)[:200]}). It says which orders are old. Restore a "
                "copy; or take it away, and the next order that two people signed for this line is taken, "
                "were it an old one"
            ) from error

    def write(self, state: AcceptedOrder) -> None:
        """Remember.

        Raises:
            UnavailableError: it cannot be written; what was remembered before still is.
        """
        write_bytes(self._file, msgspec.json.encode(state), 0o600, has_one_writer=True)
