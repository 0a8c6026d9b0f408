"""The order under way: from when on parts are counted for it, and what it is called."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd.errors import InputError
from inspectd.files import write_bytes

FILE_NAME: Final = "order.json"


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order that is counted."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    from_ms: int
    """When it began, since 1970, UTC, by the clock that its parts are dated by."""


class OtherOrderError(InputError):
    """Another order is under way than whoever asks was shown."""


class OrderFile:
    """Remembers the order through restarts of the page.

    Args:
        folder: where the file lies.

    Raises:
        InputError: the file is there and cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._lock = threading.Lock()
        self.order: Order | None = None
        """The one under way; None: there is none."""
        try:
            self.order = msgspec.json.decode(self._path.read_bytes(), type=Order | None)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(f"{self._path}: cannot be used: {error}; remove it to count anew") from error

    def set(self, order: Order | None, instead_of: str | None) -> None:
        """Begin an order, or end the one there is.

        Args:
            order: the one to count for; None: none.
            instead_of: name of the one that is under way as far as whoever asks knows; None: none is.

        Raises:
            OtherOrderError: another one is, or none, and nothing changes: two people ask at the same time.
            UnavailableError: the file cannot be written.
        """
        with self._lock:  # what is shown, and what the next start reads, are the same order
            under_way = None if self.order is None else self.order.name
            if under_way != instead_of:
                raise OtherOrderError(
                    f"{_named(under_way)} is under way, expected {_named(instead_of)}: somebody began or "
                    "ended one meanwhile; look again"
                )
            write_bytes(self._path, msgspec.json.encode(order), 0o640, has_one_writer=True)
            self.order = order


def _named(order: str | None) -> str:
    return "no order" if order is None else f"order {order}"
