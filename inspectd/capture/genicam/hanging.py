"""Calls of vendors' libraries that may never come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from inspectd import config
from inspectd.errors import InspectdError

_MOST_LET_GO_SECONDS: Final = 3.0
_Found = TypeVar("_Found")


class LibraryHangsError(InspectdError):
    """A library does not come back from a call, or keeps what it was to close: only a new process helps."""


def let_go_seconds(settings: config.GenicamCamera) -> float:
    """So long a library may take to let go of a camera."""
    # Before the process would be taken for one that hangs: then it can still say what does.
    return min(_MOST_LET_GO_SECONDS, settings.stall_timeout_ms / 2000)


def within(seconds: float, step: Callable[[], _Found], library: str) -> _Found:
    """Do what a library may not come back from, and do not wait for it for ever.

    Args:
        seconds: so long it is waited for.
        step: does it.
        library: what it is called, such as `the GenTL producer /opt/vendor.cti`.

    Raises:
        LibraryHangsError: it does not come back.
    """
    found: list[_Found] = []
    raised: list[BaseException] = []

    def doing() -> None:
        try:
            found.append(step())
        except BaseException as error:  # noqa: BLE001 - raised again below, where somebody hears it
            raised.append(error)

    thread = threading.Thread(target=doing, name="asks a vendor's library", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise LibraryHangsError(
            f"{library} does not come back within {seconds:g} s; only a new process can use it again"
        )
    if raised:
        raise raised[0]
    return found[0]
