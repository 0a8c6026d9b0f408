"""Lines that put verdicts straight into their streams, as their forwarders do, and what a hub has of them."""

from __future__ import annotations

import asyncio
import hashlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec
from support.hub_lines import publish
from support.messages import EPOCH
from support.nats_cluster import NatsCluster
from support.page_history import made

from inspectd import wire
from inspectd.fleet.names import LineNames
from inspectd.fleet.servers import Servers, ServersDoor
from inspectd.page.history.rows import Numbered, RowKind, decided_ms
from inspectd.wire import Evaluation, PartVerdict, Reason, ViewVerdict

_CAMERAS: Final = ("top", "side")
_RECIPES: Final = ("cells", "wafers")
_TICK_SECONDS: Final = 1.0
_EACH: Final = 5
"""The last of so many verdicts is a part, whose view is the one before it."""
_CYCLE, _HOLE_AT, _FILLED_AT, _TWICE_AT, _FOREIGN_AT = 10, 3, 6, 7, 8
"""Ticks, and in which of them views are held back, come, verdicts come again, and something else comes."""


class Digest(msgspec.Struct):
    """Of rows in any order; one that is there twice makes another."""

    n: int = 0
    sum: int = 0

    def add(self, text: bytes) -> None:
        """Another row."""
        self.n += 1
        self.sum = (self.sum + int.from_bytes(hashlib.sha256(text).digest())) % 2**256


def text_of(item: Numbered, recipe: str, row: Any = None) -> bytes:
    """All that a row says: what it has to be, or what `row` of a database has, and the verdict itself."""
    if row is not None:
        columns = [
            row.name, row.epoch, row.seq, row.decided_ms, row.part_id, row.kind, row.camera, row.region,
            recipe, row.verdict, row.reason,
        ]  # fmt: skip
    else:
        is_part = isinstance(item, PartVerdict)
        camera, region = ("", "") if isinstance(item, PartVerdict) else (item.camera, item.region or "")
        columns = [
            item.line, item.epoch, item.seq, decided_ms(item), item.part_id,
            (RowKind.PART if is_part else RowKind.FRAME).value, camera, region, recipe,
            item.evaluation.value, item.reason.value,
        ]  # fmt: skip
    return msgspec.json.encode(columns) + wire.encode(item)


class _Line:
    """One line's next verdicts."""

    def __init__(self, names: LineNames) -> None:
        self.names, self.digest = names, Digest()
        self.seq = self.foreign = self.tick = 0
        self._held: list[Numbered] = []

    async def publish(self, servers: Servers, count: int) -> None:
        """Publish what the line judged in one tick."""
        now_ms = time.time_ns() // 1_000_000
        items = [self._next(now_ms) for _ in range(count)]
        at = self.tick % _CYCLE
        held = {item.seq for item in items if at == _HOLE_AT and item.seq % _EACH == _EACH - 1}
        sent = [item for item in items if item.seq not in held]
        await publish(servers, self.names, sent)
        self._note(sent, held)
        self._held += [item for item in items if item.seq in held]
        if at == _FILLED_AT:
            await publish(servers, self.names, self._held, is_repair=True)
            self._note(self._held, set())
            self._held = []
        elif at == _TWICE_AT:
            await publish(servers, self.names, items[:_EACH], is_repair=True)
        elif at == _FOREIGN_AT:
            await servers.js.publish(f"{self.names.base}.v.{EPOCH}.top", b'{"stream":"?","seq":1}')
            self.foreign += 1
        self.tick += 1

    def _note(self, items: list[Numbered], held: set[int]) -> None:
        """What a part's recipe is, is known if its view was in the stream before it."""
        for item in items:
            known = item.seq - 1 not in held if isinstance(item, PartVerdict) else True
            self.digest.add(text_of(item, _recipe(item.seq) if known else ""))

    def _next(self, now_ms: int) -> Numbered:
        self.seq += 1
        evaluation, reason = Evaluation.PASS, Reason.WITHIN_THRESHOLD
        if self.seq % 7 == 0:
            evaluation, reason = Evaluation.FAIL, Reason.ABOVE_THRESHOLD
        camera, latency_ms = _CAMERAS[self.seq % 2], 10.0 + self.seq % 83
        if self.seq % _EACH:
            return made(
                self.seq, now_ms, plant=self.names.plant, line=self.names.line, camera=camera,
                recipe=_recipe(self.seq), evaluation=evaluation, reason=reason, latency_ms=latency_ms,
                late=self.seq % 101 == 0, part_id=f"P{self.seq // _EACH}",
                frame_sha256=hashlib.sha256(str(self.seq).encode()).hexdigest(),
            )  # fmt: skip
        return PartVerdict(
            plant=self.names.plant, line=self.names.line, epoch=EPOCH, seq=self.seq, trigger_id=str(self.seq),
            part_id=f"P{self.seq // _EACH}", encoder_count=None, evaluation=evaluation, reason=reason,
            triggered_utc_ns=now_ms * 1_000_000, decided_utc_ns=now_ms * 1_000_000, latency_ms=latency_ms,
            deadline_ms=100.0, deadline_margin_ms=100.0 - latency_ms, late=False,
            views=(ViewVerdict(camera, self.seq - 1, evaluation, reason, second_look=False),),
            journaled=True, second_look=False,
        )  # fmt: skip


def _recipe(seq: int) -> str:
    """The same of a part and its view."""
    return _RECIPES[(seq + _EACH - 1) // _EACH // 50 % len(_RECIPES)]


class HubLines:
    """Lines that publish in a thread of their own between `go` and `stop`.

    Args:
        cluster: to whose streams.
        rate: verdicts a second of each.
    """

    def __init__(self, cluster: NatsCluster, rate: int) -> None:
        self._cluster, self._rate = cluster, rate
        self._lines = {name: _Line(names) for name, names in cluster.lines.items()}
        self._pool = ThreadPoolExecutor(1)
        self._working: Future[None] | None = None
        self._stopping = False

    @property
    def digests(self) -> dict[str, Digest]:
        """Of the rows that a hub has to have by now; only while they are stopped."""
        return {name: line.digest for name, line in self._lines.items()}

    @property
    def foreign(self) -> dict[str, int]:
        """Messages that were none, by line."""
        return {name: line.foreign for name, line in self._lines.items()}

    def ends(self) -> dict[str, int]:
        """The last sequence of each stream."""
        return {
            name: self._cluster.info(line.names.stream).state.last_seq for name, line in self._lines.items()
        }

    def go(self) -> None:
        """Go on publishing."""
        self._stopping = False
        self._working = self._pool.submit(lambda: asyncio.run(self._work()))

    def stop(self) -> None:
        """Stop, with no hole open; whatever went wrong is raised here."""
        self._stopping = True
        if self._working is not None:
            self._working.result()

    def close(self) -> None:
        """End."""
        self._stopping = True
        self._pool.shutdown()

    async def _work(self) -> None:
        async with AsyncExitStack() as stack:
            connections = {
                name: await stack.enter_async_context(
                    ServersDoor(self._cluster.settings(name), line.names.inbox, "lines").connect()
                )
                for name, line in self._lines.items()
            }
            due = time.monotonic()
            while not self._stopping or any(line.tick % _CYCLE for line in self._lines.values()):
                for name, line in self._lines.items():
                    await line.publish(connections[name], round(self._rate * _TICK_SECONDS))
                due += _TICK_SECONDS
                await asyncio.sleep(max(0.0, due - time.monotonic()))
