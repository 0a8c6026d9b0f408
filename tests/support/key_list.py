"""A list of allowed keys on a mount that hangs, and that answers again. Takes root."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from tests.support.held_files import held_files


@contextmanager
def hung_list(keys_dir: Path) -> Iterator[Callable[[list[Client]], None]]:
    """Let the next reading of the list hang as a mount does.

    Yields:
        What lets it go on: it finds a list of the clients that are given, and so does every later one.
    """
    file = keys_dir / keys.ALLOWED
    with (
        file.open("r+b", buffering=0) as opened,
        held_files(keys_dir, lambda name: name == keys.ALLOWED) as held,
    ):

        def let_go(clients: list[Client]) -> None:
            keys.write_allowed(keys_dir.parent / "new", clients)
            opened.truncate(0)
            opened.write((keys_dir.parent / "new" / keys.ALLOWED).read_bytes())
            held.let_go()

        os.utime(file)  # it looks changed
        yield let_go
