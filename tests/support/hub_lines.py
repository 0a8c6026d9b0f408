"""Lines whose forwarders write to real servers, and what the hub's database has of them."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from support.nats_cluster import NatsCluster
from support.page_history import made

from inspectd import wire
from inspectd.fleet.names import ID_HEADER, LineNames, message_id
from inspectd.fleet.servers import Servers
from inspectd.hub import schema
from inspectd.hub.engine import url_of
from inspectd.page.history.rows import Numbered
from inspectd.wire.sync import Position

_UNDER_WAY = 100
NOW_MS = time.time_ns() // 1_000_000
"""When the tests began, which may be many minutes ago."""


def now_ms() -> int:
    """Milliseconds since 1970, UTC: of a line that runs now."""
    return time.time_ns() // 1_000_000


def some(line: str, count: int, *, first: int = 1, at_ms: int = NOW_MS, **changes: Any) -> list[Numbered]:
    """Verdicts of a line, a second apart, the last one at `at_ms`."""
    start = at_ms - 1000 * count
    return [made(first + i, start + 1000 * (i + 1), plant="test", line=line, **changes) for i in range(count)]


def send(
    cluster: NatsCluster, line: str, items: Sequence[Numbered], *, is_repair: bool = False, user: str = ""
) -> None:
    """Publish verdicts as the line's forwarder does, in their order."""
    names = LineNames("test", line)
    work = functools.partial(publish, names=names, items=items, is_repair=is_repair)
    cluster.as_user(user or line, work)


async def publish(
    servers: Servers, names: LineNames, items: Sequence[Numbered], *, is_repair: bool = False
) -> None:
    """The same on a connection that is there."""
    for first in range(0, len(items), _UNDER_WAY):
        sent = []
        for item in items[first : first + _UNDER_WAY]:
            name = message_id(Position(item.epoch, item.seq), is_repair=is_repair)
            subject = names.subject(item, is_repair=is_repair)
            sent.append(servers.js.publish(subject, wire.encode(item), headers={ID_HEADER: name}))
        await asyncio.gather(*sent)


def send_raw(cluster: NatsCluster, line: str, subject: str, body: bytes, headers: dict[str, str]) -> None:
    """Publish anything."""
    cluster.as_user(line, lambda servers: servers.js.publish(subject, body, headers=headers or None))


def rows_in(url: str) -> list[tuple[Any, ...]]:
    """Every verdict of a database, with its group, by name; nothing in it depends on the order of arrival."""
    line, grp, verdict = schema.line.c, schema.grp.c, schema.verdict.c
    engine = sa.create_engine(url_of(url))
    try:
        with engine.connect() as connection:
            found = connection.execute(
                sa.select(
                    line.plant, line.name, verdict.epoch, verdict.seq, verdict.decided_ms, verdict.part_id,
                    grp.kind, grp.camera, grp.recipe, grp.verdict, grp.reason, verdict.body,
                )
                .join(schema.grp, grp.id == verdict.group_id).join(schema.line, line.id == verdict.line_id)
                .order_by(line.name, verdict.epoch, verdict.seq)
            )  # fmt: skip
            return [tuple(row) for row in found]
    finally:
        engine.dispose()


def positions_in(url: str) -> dict[str, list[Position]]:
    """The name of every verdict of a database, by line; a line without one is not there."""
    found: dict[str, list[Position]] = {}
    line, verdict = schema.line.c, schema.verdict.c
    engine = sa.create_engine(url_of(url))
    try:
        with engine.connect() as connection:
            rows = connection.execute(
                sa.select(line.name, verdict.epoch, verdict.seq).join(schema.line, line.id == verdict.line_id)
            )
            for name, epoch, seq in rows:
                found.setdefault(name, []).append(Position(epoch, seq))
    finally:
        engine.dispose()
    return found


def counted_in(url: str) -> dict[str, int]:
    """Verdicts of each line by a database's counts, of their shortest step."""
    line, grp, tally = schema.line.c, schema.grp.c, schema.tally.c
    engine = sa.create_engine(url_of(url))
    try:
        with engine.connect() as connection:
            rows = connection.execute(
                sa.select(line.name, sa.func.sum(tally.n))
                .join(schema.grp, grp.id == tally.group_id).join(schema.line, line.id == grp.line_id)
                .where(tally.step_ms == min(schema.STEPS_MS)).group_by(line.name)
            )  # fmt: skip
            return {name: int(count) for name, count in rows}
    finally:
        engine.dispose()


def stored(url: str) -> int:
    """How many verdicts a database has; 0 while it does not answer or has no tables."""
    engine = sa.create_engine(url_of(url))
    try:
        with engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(schema.verdict)) or 0
    except sa.exc.SQLAlchemyError:
        return 0
    finally:
        engine.dispose()


def counts_in(url: str) -> list[tuple[Any, ...]]:
    """Every count of a database, likewise."""
    line, grp, tally = schema.line.c, schema.grp.c, schema.tally.c
    engine = sa.create_engine(url_of(url))
    try:
        with engine.connect() as connection:
            found = connection.execute(
                sa.select(
                    tally.step_ms, tally.start_ms, line.name, grp.kind, grp.camera, grp.recipe, grp.verdict,
                    grp.reason, tally.n, tally.late,
                )
                .join(schema.grp, grp.id == tally.group_id).join(schema.line, line.id == grp.line_id)

            )  # fmt: skip
            latencies = connection.execute(
                sa.select(
                    schema.latency.c.step_ms, schema.latency.c.start_ms, line.name, schema.latency.c.kind,
                    schema.latency.c.counts,
                ).join(schema.line, line.id == schema.latency.c.line_id)
            )  # fmt: skip
            return [*sorted(tuple(row) for row in found), *sorted(tuple(row) for row in latencies)]
    finally:
        engine.dispose()


def until(what: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What `what` gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)
    return found
