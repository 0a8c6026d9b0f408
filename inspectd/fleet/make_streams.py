"""Makes the streams of one line: an administrator's act, with a key that no line has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from inspectd.fleet import streams
from inspectd.fleet.servers import ServersDoor
from inspectd.fleet.settings import ForwardConfig

DAYS: Final = 400.0
GB: Final = 50.0
"""10^9 bytes, of each server's disk."""
EXTRAS_GB: Final = 5.0

_INBOX: Final = "_INBOX.administrator"


async def make_streams(
    settings: ForwardConfig,
    key: Path,
    *,
    days: float | None = None,
    max_gb: float | None = None,
    extras_gb: float | None = None,
    may_delete: bool = False,
) -> list[str]:
    """Make the streams of the line, or give those that are there these limits; says what was done.

    Of a limit that is None, a stream that is there keeps its own, and a new one gets `DAYS` and so on.

    Args:
        settings: of the line's forwarder: its names and the servers.
        key: the administrator's NKEY.
        days: so long verdicts stay.
        max_gb: so much of each server's disk they may take, in units of 10^9 bytes.
        extras_gb: the same of heatmaps and thumbnails.
        may_delete: what a stream has beyond its limits goes, for good.

    Raises:
        InputError: the key or a certificate cannot be used, or something would be deleted.
        ServersError: the servers cannot be reached, or refuse it.
    """
    link = msgspec.structs.replace(settings.servers, seed_file=str(key), credentials_file=None)
    door = ServersDoor(link, _INBOX, "inspectd-forward make-streams")
    names = settings.line.names
    async with door.connect() as servers:
        age = days or DAYS
        none: list[str] = []
        wanted = (
            (streams.verdicts_config(names, days=age, max_gb=max_gb or GB), _kept(days, max_gb)),
            (streams.extras_config(names, days=age, max_gb=extras_gb or EXTRAS_GB), _kept(days, extras_gb)),
            (streams.reports_config(names), none),
        )
        return [await streams.made(servers, config, kept, may_delete=may_delete) for config, kept in wanted]


def _kept(days: float | None, gb: float | None) -> list[str]:
    return [limit for limit, value in (("max_age", days), ("max_bytes", gb)) if value is None]
