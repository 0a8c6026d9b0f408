"""Archives of recipes on the plant's servers: which there are, who was told of them, and their end."""

from __future__ import annotations

from typing import Final

import msgspec

from inspectd.errors import InputError
from inspectd.fleet.agent.order import CHUNK_BYTES, FleetOrder, RefusedOrderError, decode_order, decode_signed
from inspectd.fleet.agent.publisher import report_of
from inspectd.fleet.names import LineNames, PlantNames
from inspectd.fleet.servers import NotThereError, Servers, ServersError

_MOST_LISTED: Final = 100_000
"""Subjects in one answer of a server."""
_FEWEST_LETTERS: Final = 8


class StoredArchive(msgspec.Struct, frozen=True):
    """An archive on the servers.

    Attributes:
        sha256: of the whole.
        chunks: how many of its chunks are there.
        orders: the orders that name it, as far as they are kept, oldest first.
        wanted_by: lines whose newest order names it, or that report that they want its recipe: the newest may
            be one that they refuse.
    """

    sha256: str
    chunks: int
    orders: tuple[FleetOrder, ...] = ()
    wanted_by: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool | None:
        """Whether all chunks are there; None where no order says how many there have to be."""
        return self.chunks == len(self.orders[-1].recipe.chunk_sha256) if self.orders else None

    def __str__(self) -> str:
        """For people."""
        size_mb = self.chunks * CHUNK_BYTES / 1e6
        whole = {True: "whole", False: "not whole", None: "of no order that is kept"}[self.is_whole]
        recipe = str(self.orders[-1].recipe) if self.orders else "?"
        serials = ", ".join(str(serial) for serial in sorted({order.serial for order in self.orders})) or "-"
        wanted = ", ".join(self.wanted_by) or "no line"
        return f"{self.sha256}  {size_mb:.0f} MB, {whole}: {recipe}; orders {serials}; wanted by {wanted}"


async def archives(servers: Servers, names: PlantNames) -> list[StoredArchive]:
    """The archives of a plant, by their digests. It takes an administrator's key.

    Raises:
        ServersError: the servers do not say, or hold more chunks than they list.
    """
    info = await servers.asked(
        servers.js.stream_info(names.banks_stream, subjects_filter=f"{names.base}.chunk.*.*")
    )
    subjects = info.state.subjects or {}
    if len(subjects) >= _MOST_LISTED:
        raise ServersError(f"{names.banks_stream} holds more than the {_MOST_LISTED} chunks that are listed")
    found: dict[str, int] = {}
    for subject in subjects:
        digest = subject.removeprefix(f"{names.base}.chunk.").partition(".")[0]
        found[digest] = found.get(digest, 0) + 1
    orders = await _orders(servers, names)
    wanted = {line: await _wanted(servers, names, line, of_line) for line, of_line in sorted(orders.items())}
    every = [order for of_line in orders.values() for order in of_line]
    return [
        StoredArchive(
            digest,
            chunks,
            tuple(order for order in every if order.recipe.archive_sha256 == digest),
            tuple(line for line, archives_wanted in wanted.items() if digest in archives_wanted),
        )
        for digest, chunks in sorted(found.items())
    ]


async def _wanted(servers: Servers, names: PlantNames, line: str, orders: list[FleetOrder]) -> set[str]:
    """Digests of the archives that a line may still have to fetch."""
    report = await report_of(servers, LineNames(names.plant, line))
    recipe = report[1].wanted_recipe_sha256 if report else None
    return {
        order.recipe.archive_sha256
        for order in orders
        if order.recipe.content_sha256 == recipe or order is orders[-1]
    }


async def remove(servers: Servers, names: PlantNames, beginning: str) -> StoredArchive:
    """Remove an archive from the servers for good. It takes an administrator's key.

    Args:
        servers: the connection.
        names: of the plant.
        beginning: of its digest, as much as names one archive alone.

    Raises:
        InputError: no archive or several begin so, or a line was told to run it.
        ServersError: the servers refuse it.
    """
    every = await archives(servers, names)
    fitting = [each for each in every if each.sha256.startswith(beginning)]
    if len(beginning) < _FEWEST_LETTERS or len(fitting) != 1:
        raise InputError(
            f"--remove {beginning}: {len(fitting)} archives begin so, expected at least {_FEWEST_LETTERS} "
            "letters of the SHA-256 of one; without --remove they are listed"
        )
    (archive,) = fitting
    if archive.wanted_by:
        raise InputError(
            f"--remove {beginning}: {', '.join(archive.wanted_by)} should run it and may still have to fetch "
            "it; tell these lines another order first"
        )
    await servers.asked(servers.js.purge_stream(names.banks_stream, subject=names.chunk(archive.sha256)))
    return archive


async def _orders(servers: Servers, names: PlantNames) -> dict[str, list[FleetOrder]]:
    """The orders that are kept, by line, oldest first; what is no order is passed over."""
    found: dict[str, list[FleetOrder]] = {}
    sequence = 1
    while True:
        try:
            message = await servers.asked(
                servers.js.get_msg(names.desired_stream, seq=sequence, subject=names.desired("*"), next=True)
            )
        except NotThereError:
            return found
        sequence = (message.seq or sequence) + 1
        line = (message.subject or "").removeprefix(names.desired(""))
        try:
            order = decode_order(decode_signed(message.data or b"").text)
        except RefusedOrderError:
            continue
        found.setdefault(line, []).append(order)
