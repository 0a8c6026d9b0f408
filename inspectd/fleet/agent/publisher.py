"""The publisher's side: streams of a plant, chunks of archives, and what lines should run."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from nats.js import api

from inspectd.errors import InputError, UnavailableError
from inspectd.files import open_regular
from inspectd.fleet.agent.order import (
    CHUNK_BYTES,
    MOST_BYTES,
    MOST_CHUNKS,
    OrderedRecipe,
    RefusedOrderError,
    SignedOrder,
    decode_order,
    decode_signed,
)
from inspectd.fleet.agent.report import FleetReport
from inspectd.fleet.agent.report import decode as decode_report
from inspectd.fleet.agent.signing import NEEDED
from inspectd.fleet.names import LineNames, PlantNames
from inspectd.fleet.servers import NotThereError, Servers, ServersError

INBOX: Final = "_INBOX.publisher"
_REPLICAS: Final = 3
_AT_ONCE: Final = 8
_HISTORY: Final = 20
_HEADROOM_BYTES: Final = 4096
_THERE: Final = "maximum messages per subject"
_FULL: Final = "maximum bytes exceeded"
_AFTER: Final = "Nats-Expected-Last-Subject-Sequence"
_OTHER_CAME: Final = "wrong last sequence"

Progress = Callable[[int, int], None]
"""Told of the chunks that are there, and of all there are."""


def banks_config(names: PlantNames, *, max_gb: float) -> api.StreamConfig:
    """The stream of chunks: what is there stays as it is, and is never written over."""
    return api.StreamConfig(
        name=names.banks_stream,
        description=f"recipes with their banks, of {names.plant}",
        subjects=[f"{names.base}.chunk.*.*"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.NEW,
        discard_new_per_subject=True,
        num_replicas=_REPLICAS,
        max_msgs_per_subject=1,
        max_msg_size=CHUNK_BYTES + _HEADROOM_BYTES,
        max_bytes=round(max_gb * 1e9),
        allow_direct=True,
    )


def desired_config(names: PlantNames) -> api.StreamConfig:
    """The stream of what each line should run, and how rollouts stand: the last ones of each."""
    return api.StreamConfig(
        name=names.desired_stream,
        description=f"what the lines of {names.plant} should run",
        subjects=[f"{names.base}.desired.*", f"{names.base}.rollout.*"],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        num_replicas=_REPLICAS,
        max_msgs_per_subject=_HISTORY,
        max_msg_size=MOST_BYTES + _HEADROOM_BYTES,
        max_bytes=1_000_000_000,
        allow_direct=True,
    )


def digests(archive: Path) -> tuple[str, int, tuple[str, ...]]:
    """The sha256 of an archive, its size in bytes, and the sha256 of each of its chunks.

    Raises:
        InputError: it cannot be read, is empty, or larger than can be published.
    """
    whole, chunks, size_bytes = hashlib.sha256(), [], 0
    try:
        with open_regular(archive) as file:
            while chunk := file.read(CHUNK_BYTES):
                whole.update(chunk)
                chunks.append(hashlib.sha256(chunk).hexdigest())
                size_bytes += len(chunk)
                if len(chunks) > MOST_CHUNKS:
                    break
    except OSError as error:
        raise InputError(f"{archive}: cannot be read: {error.strerror}") from error
    if not 1 <= len(chunks) <= MOST_CHUNKS:
        most = MOST_CHUNKS * CHUNK_BYTES
        raise InputError(f"{archive}: is {'larger' if chunks else 'empty'}, expected 1 to {most} bytes")
    return whole.hexdigest(), size_bytes, tuple(chunks)


async def publish_chunks(
    servers: Servers, names: PlantNames, archive: Path, recipe: OrderedRecipe, progress: Progress
) -> tuple[int, int]:
    """Bring an archive to the servers; goes on where it was interrupted, and again changes nothing.

    Args:
        servers: the connection.
        names: of the plant.
        archive: the file.
        recipe: what it must be.
        progress: told of every chunk.

    Returns:
        The chunks that were sent, and those that were there already.

    Raises:
        InputError: the file is another one, or changed meanwhile.
        UnavailableError: the servers have no room for it.
        ServersError: the servers do not take it.
    """
    every = names.chunk(recipe.archive_sha256)
    info = await servers.asked(servers.js.stream_info(names.banks_stream, subjects_filter=every))
    there = set(info.state.subjects or {})
    total = len(recipe.chunk_sha256)
    missing = [n for n in range(total) if names.chunk(recipe.archive_sha256, n) not in there]
    done = total - len(missing)
    progress(done, total)
    turns = asyncio.Semaphore(_AT_ONCE)

    async def put(number: int) -> None:
        nonlocal done
        async with turns:
            chunk = await asyncio.to_thread(_read, archive, number)
            if hashlib.sha256(chunk).hexdigest() != recipe.chunk_sha256[number]:
                raise InputError(f"{archive}: is not the file that the order names; was it changed?")
            try:
                await servers.asked(
                    servers.js.publish(names.chunk(recipe.archive_sha256, number), chunk, timeout=10)
                )
            except ServersError as error:
                if _FULL in str(error):
                    raise UnavailableError(
                        f"{names.banks_stream} is full: `inspectd fleet archives` lists what is there and "
                        "removes what no line should run; `make-streams --gb` gives it more"
                    ) from error
                if _THERE not in str(error):  # it came, and its acknowledgement did not
                    raise
            done += 1
            progress(done, total)

    try:
        async with asyncio.TaskGroup() as group:
            for number in missing:
                group.create_task(put(number))
    except ExceptionGroup as errors:  # they have one cause, and people are told one
        raise errors.exceptions[0] from errors
    return len(missing), total - len(missing)


async def desire(servers: Servers, names: PlantNames, line: str, signed: SignedOrder, *, after: int) -> bool:
    """Tell a line what it should run. Who may, signs nothing: the line looks at the signatures.

    Args:
        servers: the connection.
        names: of the plant.
        line: the line.
        signed: the order.
        after: the number of what it was told last, as it was seen, 0 for nothing.

    Returns:
        Whether it was told; it is not where something came after what was seen.

    Raises:
        ServersError: the servers do not take it.
    """
    body = msgspec.json.encode(signed)
    try:
        await servers.asked(
            servers.js.publish(names.desired(line), body, timeout=10, headers={_AFTER: str(after)})
        )
    except ServersError as error:
        if _OTHER_CAME not in str(error):
            raise
        return False
    return True


async def desired(servers: Servers, names: PlantNames, line: str) -> tuple[int, bytes] | None:
    """What a line was told last, by the stream's leader, and its number in the stream; None: nothing yet.

    Raises:
        ServersError: the servers do not answer.
    """
    try:
        found = await servers.asked(servers.js.get_last_msg(names.desired_stream, names.desired(line)))
    except NotThereError:
        return None
    return found.seq or 0, found.data or b""


def told(data: bytes | None, signed: SignedOrder, serial: int) -> tuple[bool, int | None]:
    """What an entry for a line says.

    Args:
        data: the entry; None: the line was told nothing yet.
        signed: an order that it may be told.
        serial: of that order.

    Returns:
        Whether it is that order; and the serial number of another one, as high or higher, that it is.
    """
    if data is None:
        return False, None
    try:
        other = decode_signed(data)
        if other.text == signed.text:
            return True, None
        if len({signature.name for signature in other.signatures}) < NEEDED:
            return False, None  # every line refuses it, so it stands in nobody's way
        their = decode_order(other.text).serial
    except RefusedOrderError:
        return False, None
    return False, their if their >= serial else None


async def report_of(servers: Servers, names: LineNames) -> tuple[int, FleetReport] | None:
    """What a line said last, and its number in the stream; None: nothing that is a report.

    Raises:
        ServersError: the servers do not answer.
    """
    try:
        found = await servers.asked(servers.js.get_last_msg(names.reports_stream, names.report, direct=True))
    except NotThereError:
        return None
    report = decode_report(found.data or b"", names.plant, names.line)
    return None if report is None else (found.seq or 0, report)


def _read(archive: Path, number: int) -> bytes:
    try:
        with open_regular(archive) as file:
            file.seek(number * CHUNK_BYTES)
            return file.read(CHUNK_BYTES)
    except OSError as error:
        raise InputError(f"{archive}: cannot be read: {error.strerror}") from error
