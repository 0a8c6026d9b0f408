"""Fetches an archive in chunks, from where it stopped. Each chunk is what was signed, or the fetch ends."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Callable
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO, Final

from inspectd.errors import UnavailableError
from inspectd.fleet.agent.order import CHUNK_BYTES, OrderedRecipe, Refusal, RefusedOrderError
from inspectd.fleet.names import PlantNames
from inspectd.fleet.servers import NotThereError, Servers

_AT_ONCE: Final = 4
_COPIES: Final = 2
"""Of an archive on the disk at the end: what was fetched, and the version in the line's store."""


def refuse_large(recipe: OrderedRecipe, max_mb: float) -> None:
    """Refuse an archive that is larger than the settings allow.

    Raises:
        RefusedOrderError: it is.
    """
    if recipe.archive_bytes > max_mb * 1e6:
        raise RefusedOrderError(
            Refusal.TOO_LARGE,
            f"names an archive of {recipe.archive_bytes / 1e6:.0f} MB, and fleet.max_mb is {max_mb:g}",
        )


def need_room(recipe: OrderedRecipe, place: Path, min_free_mb: float, line_free_bytes: int | None) -> None:
    """Make sure that an archive finds room, here and in the line's store, and enough is left.

    Args:
        recipe: names the archive.
        place: the file that it is fetched to; what it has already needs no more.
        min_free_mb: so much must stay free.
        line_free_bytes: on the disk of the line's journal, beside which its store lies; None: not known.

    Raises:
        UnavailableError: it does not.
    """
    folder = place.parent
    try:
        free_bytes = shutil.disk_usage(folder).free
        here_bytes = place.stat().st_size if place.exists() else 0
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be looked at: {error.strerror}") from error
    needed = _COPIES * recipe.archive_bytes - min(here_bytes, recipe.archive_bytes) + min_free_mb * 1e6
    if free_bytes < needed:
        raise UnavailableError(
            f"{folder}: {free_bytes / 1e6:.0f} MB are free, and {needed / 1e6:.0f} are needed, of which "
            f"{min_free_mb:g} must stay free (fleet.min_free_mb); make room"
        )
    needed = recipe.archive_bytes + min_free_mb * 1e6
    if line_free_bytes is not None and line_free_bytes < needed:  # it may be another disk
        raise UnavailableError(
            f"the line's disk: {line_free_bytes / 1e6:.0f} MB are free, and {needed / 1e6:.0f} are needed, "
            f"of which {min_free_mb:g} must stay free (fleet.min_free_mb); make room"
        )


async def fetch(
    servers: Servers,
    names: PlantNames,
    recipe: OrderedRecipe,
    place: Path,
    progress: Callable[[int, int], None],
) -> None:
    """Fetch what is missing of an archive, until all of it is there and is what was signed.

    Args:
        servers: the connection.
        names: of the plant.
        recipe: names the archive.
        place: the file; what is there already is held against its digests.
        progress: told of the chunks that are here, and of all there are.

    Raises:
        RefusedOrderError: the servers have something else than was signed.
        ServersError: a chunk is not there, or they do not answer; try again.
        UnavailableError: it cannot be written.
    """
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            here = await asyncio.to_thread(_keep_what_is_right, file, recipe)
            total = len(recipe.chunk_sha256)
            progress(here, total)
            for first in range(here, total, _AT_ONCE):
                numbers = range(first, min(first + _AT_ONCE, total))
                chunks = await asyncio.gather(*(_chunk(servers, names, recipe, n) for n in numbers))
                file.writelines(chunks)  # not in a thread, which would go on after this was cancelled
                progress(numbers.stop, total)
            await asyncio.to_thread(_refuse_other_whole, file, recipe)
    except OSError as error:
        raise UnavailableError(f"{place}: cannot be written: {error.strerror or error}") from error


async def _chunk(servers: Servers, names: PlantNames, recipe: OrderedRecipe, number: int) -> bytes:
    subject = names.chunk(recipe.archive_sha256, number)
    try:
        found = await servers.asked(servers.js.get_last_msg(names.banks_stream, subject, direct=True))
    except NotThereError as error:
        total = len(recipe.chunk_sha256)
        raise NotThereError(f"chunk {number + 1} of {total} of {recipe} is not there yet") from error
    chunk = found.data or b""
    if hashlib.sha256(chunk).hexdigest() != recipe.chunk_sha256[number]:
        raise RefusedOrderError(
            Refusal.WRONG_HASH,
            f"names {recipe}, whose chunk {number + 1} on the servers is not the one that was signed: "
            f"the administrator must find out who wrote it, and take {subject} out of {names.banks_stream}",
        )
    return chunk


def _keep_what_is_right(file: BinaryIO, recipe: OrderedRecipe) -> int:
    """Cut a file behind its last chunk that is right; the number of chunks it then has."""
    here = 0
    file.seek(0)
    for expected in recipe.chunk_sha256:
        if hashlib.sha256(file.read(CHUNK_BYTES)).hexdigest() != expected:
            break
        here += 1
    end = min(here * CHUNK_BYTES, recipe.archive_bytes)
    file.truncate(end)
    file.seek(end)
    return here


def _refuse_other_whole(file: BufferedRandom, recipe: OrderedRecipe) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.seek(0)
    whole = hashlib.file_digest(file, "sha256").hexdigest()
    if (whole, file.seek(0, os.SEEK_END)) != (recipe.archive_sha256, recipe.archive_bytes):
        raise RefusedOrderError(
            Refusal.WRONG_HASH,
            f"names {recipe} with digests that do not belong together: its chunks make {whole[:12]}..., "
            f"expected {recipe.archive_sha256[:12]}...; make the order anew",
        )
