"""Keys of a line that one page may read over TCP."""

from __future__ import annotations

from pathlib import Path

from inspectd import key_files
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import Role


def with_keys(folder: Path) -> Path:
    """The folder, with the line's keys, those of `page1`, and the list that lets it read."""
    key_files.new_pair(folder / "server")
    public, _ = key_files.new_pair(folder / "page1")
    keys.write_allowed(folder, [Client(key_files.read_public(public), "page1", (Role.READ,))])
    return folder
