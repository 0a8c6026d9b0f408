"""Files whose opening is held up, as by a disk that hangs just then. Takes root."""

from __future__ import annotations

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_CLASS_CONTENT: Final = 0x4
_CLOEXEC: Final = 0x1
_MARK_ADD: Final = 0x1
_OPEN_PERM: Final = 0x1_0000
_EVENT_ON_CHILD: Final = 0x0800_0000
_AT_FDCWD: Final = -100
_ALLOW: Final = 1
_EVENT: Final = struct.Struct("=IBBHQii")  # struct fanotify_event_metadata
_RESPONSE: Final = struct.Struct("=iI")  # struct fanotify_response
_LOOK_MS: Final = 20


class HeldFiles:
    """Openings that wait.

    Attributes:
        is_held: set while one waits.
    """

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.is_held = threading.Event()
        self._is_let_go = threading.Event()
        self.is_over = threading.Event()

    def let_go(self) -> None:
        """Let whoever waits go on, and hold nothing any more."""
        self._is_let_go.set()

    def serve(self, descriptor: int, is_meant: Callable[[str], bool]) -> None:
        """Answer the kernel, which asks of every opening."""
        waiting: list[int] = []
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while not self.is_over.is_set():
            events = os.read(descriptor, 65536) if poll.poll(_LOOK_MS) else b""
            for _, _, _, _, _, opened, _ in _EVENT.iter_unpack(events):
                name = Path(f"/proc/self/fd/{opened}").readlink().name
                if not self._is_let_go.is_set() and is_meant(name):
                    waiting.append(opened)
                    self.is_held.set()
                else:
                    _allow(descriptor, opened)
            while waiting and self._is_let_go.is_set():
                _allow(descriptor, waiting.pop())


def _allow(descriptor: int, opened: int) -> None:
    os.write(descriptor, _RESPONSE.pack(opened, _ALLOW))
    os.close(opened)


@contextmanager
def held_files(folder: Path, is_meant: Callable[[str], bool]) -> Iterator[HeldFiles]:
    """Hold up who opens a file of a folder whose name `is_meant`, which is asked at each opening."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY)
    mask = ctypes.c_uint64(_OPEN_PERM | _EVENT_ON_CHILD)
    if descriptor < 0 or libc.fanotify_mark(descriptor, _MARK_ADD, mask, _AT_FDCWD, bytes(folder)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    held = HeldFiles()
    thread = threading.Thread(target=held.serve, args=(descriptor, is_meant), daemon=True)
    thread.start()
    try:
        yield held
    finally:
        held.is_over.set()
        thread.join()
        os.close(descriptor)  # whoever waits still goes on
