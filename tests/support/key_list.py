"""A list of allowed keys on a mount that hangs, and that answers again."""

from __future__ import annotations

import os
from pathlib import Path

from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client


def hang(keys_dir: Path) -> None:
    """Let the next reading of the list hang as a mount does: a pipe that nobody writes to is in its place."""
    pipe = keys_dir / "pipe"
    os.mkfifo(pipe, 0o644)
    pipe.rename(keys_dir / keys.ALLOWED)


def let_go(keys_dir: Path, clients: list[Client]) -> None:
    """Let the reading that hangs go on: it finds a list of `clients`, and so does every later one."""
    pipe = (keys_dir / keys.ALLOWED).rename(keys_dir / "pipe")
    keys.write_allowed(keys_dir, clients)
    pipe.write_text((keys_dir / keys.ALLOWED).read_text())
