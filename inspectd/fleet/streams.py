"""A line's streams: how they are made, what is wrong with one, and where it ends."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import msgspec
from nats.js import api

from inspectd.errors import InputError, InspectdError
from inspectd.fleet.agent.report import MOST_REPORT_BYTES
from inspectd.fleet.names import ID_HEADER, WRITER_HEADER, LineNames, position_of
from inspectd.fleet.servers import NotThereError, Servers
from inspectd.wire.sync import Position

DUPLICATE_SECONDS: Final = 120.0
"""So long a server knows ids of messages again: far longer than anything sent can still be on its way."""
_REPLICAS: Final = 3
_MAX_FOREIGN: Final = 1000
"""Messages that are not the forwarder's, at the end of its stream, that are looked past."""
_REPORTS: Final = 1_000
_REPORTS_BYTES: Final = 8_000_000
_DAY_SECONDS: Final = 86_400.0
_IN_PASSING: Final = 200
"""Messages that a server may lack while they flow: more than a forwarder has under way."""
_AWAY_NS: Final = 10_000_000_000


class WrongStreamError(InspectdError):
    """The stream on the servers is not what a line's verdicts need."""


class StreamEnd(msgspec.Struct, frozen=True):
    """Where a stream ends.

    Attributes:
        last_sequence: of its last message.
        position: of the last verdict that was forwarded in order; None: there is none.
        foreign: messages at its end that no forwarder sent.
        sequence: of that verdict's message; 0: there is none.
        writer: the forwarder that wrote it; None: there is none, or one of an earlier version.
    """

    last_sequence: int
    position: Position | None
    foreign: int = 0
    sequence: int = 0
    writer: str | None = None


def verdicts_config(names: LineNames, *, days: float, max_gb: float) -> api.StreamConfig:
    """The stream of a line's verdicts: what is in it stays until it is old, or its share of disk is full."""
    return api.StreamConfig(
        name=names.stream,
        description=f"verdicts of {names.plant}/{names.line}",
        subjects=[names.verdicts(), names.repairs()],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        num_replicas=_REPLICAS,
        max_age=days * _DAY_SECONDS,
        max_bytes=round(max_gb * 1e9),
        duplicate_window=DUPLICATE_SECONDS,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
    )


def extras_config(names: LineNames, *, days: float, max_gb: float) -> api.StreamConfig:
    """The stream of its heatmaps and thumbnails: one copy, which nothing waits for."""
    return api.StreamConfig(
        name=names.extras_stream,
        description=f"heatmaps and thumbnails of {names.plant}/{names.line}",
        subjects=[names.extra_subject("h", "*"), names.extra_subject("pv", "*")],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        num_replicas=1,
        max_age=days * _DAY_SECONDS,
        max_bytes=round(max_gb * 1e9),
        duplicate_window=DUPLICATE_SECONDS,
        allow_direct=True,
    )


def reports_config(names: LineNames) -> api.StreamConfig:
    """The stream of what a line says it runs: the last ones."""
    return api.StreamConfig(
        name=names.reports_stream,
        description=f"what {names.plant}/{names.line} runs",
        subjects=[names.report],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.OLD,
        num_replicas=_REPLICAS,
        max_msgs=_REPORTS,
        max_bytes=_REPORTS_BYTES,
        max_msg_size=MOST_REPORT_BYTES,
        allow_direct=True,
    )


async def made(
    servers: Servers, config: api.StreamConfig, kept: Iterable[str] = (), *, may_delete: bool = False
) -> str:
    """Make a stream, or give the one that is there these limits; what was done, in words.

    Args:
        servers: the connection.
        config: of the stream.
        kept: limits that one that is there keeps, as `max_age`.
        may_delete: what is beyond the limits goes, for good.

    Raises:
        InputError: the stream has something that these limits would delete.
        ServersError: the servers refuse it.
    """
    assert config.name is not None
    try:
        there = await servers.asked(servers.js.stream_info(config.name))
    except NotThereError:
        await servers.asked(servers.js.add_stream(config))
        done = "made"
    else:
        config = config.evolve(**{limit: getattr(there.config, limit) for limit in kept})
        if not may_delete:
            await _refuse_loss(servers, config, there)
        await servers.asked(servers.js.update_stream(config))
        done = "was there, has these limits now"
    days = f", {config.max_age / _DAY_SECONDS:g} days" if config.max_age else ""
    return f"{config.name}: {done}: {config.num_replicas} copies{days}, {(config.max_bytes or 0) / 1e9:g} GB"


async def _refuse_loss(servers: Servers, config: api.StreamConfig, there: api.StreamInfo) -> None:
    """Refuse limits that are tighter, and would delete something: a stream is always as old as its own."""
    state, was = there.state, there.config
    if not state.messages or config.name is None:
        return
    beyond = []
    if _is_tighter(config.max_bytes, was.max_bytes) and state.bytes > (config.max_bytes or 0):
        beyond.append(f"{state.bytes / 1e9:.3g} GB, allowed are {(config.max_bytes or 0) / 1e9:g}")
    oldest = (await servers.asked(servers.js.get_msg(config.name, state.first_seq))).time
    age_seconds = 0.0 if oldest is None else time.time() - oldest.timestamp()
    if _is_tighter(config.max_age, was.max_age) and config.max_age and age_seconds > config.max_age:
        days = age_seconds / _DAY_SECONDS
        beyond.append(f"messages of {days:.3g} days, allowed are {config.max_age / _DAY_SECONDS:g}")
    if beyond:
        raise InputError(
            f"{config.name}: has {' and '.join(beyond)}: what is beyond would be deleted for good; give it "
            "more, or say --delete if that is meant"
        )


def _is_tighter(limit: float | None, before: float | None) -> bool:
    """Whether a limit is, where none is 0 or below."""
    return limit is not None and limit > 0 and not 0 < (before or 0) <= limit


def problems(info: api.StreamInfo, names: LineNames) -> list[str]:
    """What is wrong with a line's stream; each says what was expected."""
    config = info.config
    found = []
    if (config.num_replicas or 1) < _REPLICAS:
        found.append(f"has {config.num_replicas} copies, expected {_REPLICAS} on as many hosts")
    if config.storage != api.StorageType.FILE:
        found.append(f"is kept in {config.storage}, expected file")
    if config.retention != api.RetentionPolicy.LIMITS:
        found.append(f"has the retention {config.retention}, expected limits: others delete what was read")
    if config.discard != api.DiscardPolicy.OLD:
        found.append(f"discards {config.discard} messages when it is full, expected old")
    if sorted(config.subjects or []) != sorted([names.verdicts(), names.repairs()]):
        found.append(f"takes {config.subjects}, expected {[names.verdicts(), names.repairs()]} alone")
    if (config.duplicate_window or 0) < DUPLICATE_SECONDS:
        found.append(
            f"knows ids again for {config.duplicate_window} s, expected {DUPLICATE_SECONDS:g} or more"
        )
    if config.max_msgs_per_subject not in {None, -1} or config.no_ack or config.sources or config.mirror:
        found.append("has other sources, other limits or no acknowledgements, expected a plain stream")
    return found


def refuse_wrong(info: api.StreamInfo, names: LineNames) -> None:
    """Refuse a stream that is not what verdicts need.

    Raises:
        WrongStreamError: with everything that is wrong.
    """
    if found := problems(info, names):
        raise WrongStreamError(f"the stream {names.stream} {'; '.join(found)}")


def replicas(info: api.StreamInfo) -> list[str]:
    """Names of the servers that keep a stream, its leader first; empty while it has no leader."""
    cluster = info.cluster
    if cluster is None or not cluster.leader:
        return []
    return [cluster.leader, *(peer.name or "?" for peer in cluster.replicas or [])]


def replicas_behind(info: api.StreamInfo) -> list[str]:
    """Of them those that are not up to date, in words; not what every one lacks in passing."""
    peers = (info.cluster.replicas or []) if info.cluster is not None else []
    return [
        f"{peer.name} {'is away' if peer.offline else f'lacks {peer.lag or 0} messages'}"
        for peer in peers
        if peer.offline
        or (not peer.current and ((peer.lag or 0) > _IN_PASSING or (peer.active or 0) > _AWAY_NS))
    ]


async def end_of(servers: Servers, names: LineNames) -> StreamEnd:
    """Where a line's stream ends, by its leader: other servers may lag behind.

    A message without a forwarder's id is nobody's verdict: it is looked past.

    Raises:
        ServersError: the servers do not say.
        WrongStreamError: its end is nothing but messages of others.
    """
    info = await servers.asked(servers.js.stream_info(names.stream))
    message, foreign = await _last_of(servers, names, names.verdicts())
    if message is None:
        return StreamEnd(info.state.last_seq, None, foreign)
    writer = (message.headers or {}).get(WRITER_HEADER)
    return StreamEnd(info.state.last_seq, _position(message), foreign, message.seq or 0, writer)


async def last_of_epoch(servers: Servers, names: LineNames, epoch: int) -> Position:
    """The last verdict of an epoch that a line's stream has, forwarded in order or added later.

    Its number is 0 where the stream has none.

    Raises:
        ServersError: the servers do not say.
        WrongStreamError: as of `end_of`.
    """
    found = [await _last_of(servers, names, of(epoch)) for of in (names.verdicts, names.repairs)]
    positions = [_position(message) for message, _ in found if message is not None]
    return max((position for position in positions if position is not None), default=Position(epoch, 0))


def _position(message: api.RawStreamMsg) -> Position | None:
    return position_of((message.headers or {}).get(ID_HEADER))


async def _last_of(servers: Servers, names: LineNames, subjects: str) -> tuple[api.RawStreamMsg | None, int]:
    """The last verdict under some subjects, and the messages after it that no forwarder sent."""
    try:
        message = await servers.asked(servers.js.get_last_msg(names.stream, subjects))
    except NotThereError:
        return None, 0
    foreign = 0
    while _position(message) is None:
        foreign += 1
        if foreign > _MAX_FOREIGN or message.seq is None:
            raise WrongStreamError(
                f"the stream {names.stream} ends with more than {_MAX_FOREIGN} messages that no forwarder "
                "sent; find out whose key wrote them, and have the administrator make the stream anew"
            )
        found = await _before(servers, names, subjects, message.seq)
        if found is None:
            return None, foreign
        message = found
    return message, foreign


async def _before(
    servers: Servers, names: LineNames, subjects: str, sequence: int
) -> api.RawStreamMsg | None:
    """The message under some subjects before a sequence; None where there is none."""
    for earlier in range(sequence - 1, max(0, sequence - 1 - _MAX_FOREIGN), -1):
        try:
            message = await servers.asked(servers.js.get_msg(names.stream, seq=earlier))
        except NotThereError:
            continue
        if (message.subject or "").startswith(subjects.rstrip("*>")):
            return message
    return None
