"""Makes the streams of one line: an administrator's act, with a key that no line has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from inspectd.fleet import streams
from inspectd.fleet.servers import ServersDoor
from inspectd.fleet.settings import ForwardConfig

_INBOX: Final = "_INBOX.administrator"


async def make_streams(
    settings: ForwardConfig, key: Path, *, days: float, max_gb: float, extras_gb: float
) -> list[str]:
    """Make the streams of the line, or give those that are there these limits; says what was done.

    Args:
        settings: of the line's forwarder: its names and the servers.
        key: the administrator's NKEY.
        days: so long verdicts stay.
        max_gb: so much of each server's disk they may take, in units of 10^9 bytes.
        extras_gb: the same of heatmaps and thumbnails.

    Raises:
        InputError: the key or a certificate cannot be used.
        ServersError: the servers cannot be reached, or refuse it.
    """
    link = msgspec.structs.replace(settings.servers, seed_file=str(key), credentials_file=None)
    door = ServersDoor(link, _INBOX, "inspectd-forward make-streams")
    names = settings.line.names
    async with door.connect() as servers:
        wanted = (
            streams.verdicts_config(names, days=days, max_gb=max_gb),
            streams.extras_config(names, days=days, max_gb=extras_gb),
            streams.reports_config(names),
        )
        return [await streams.made(servers, config) for config in wanted]
