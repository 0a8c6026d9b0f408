"""Acceptance of the hub: down for an hour while lines go on, then rebuilt from nothing, killed meanwhile.

    PYTHONPATH=.:tests:tools python -m faults.hub_acceptance [MINUTES] [LINES] [PER_SECOND] [DATABASE]

MINUTES is how long the hub is down, PER_SECOND how many verdicts each line makes, DATABASE postgresql or
sqlite. Three real NATS servers, a real hub, a real database; the verdicts are put straight into the streams,
in the very form of the forwarder: views come after their parts as repairs, verdicts come twice, and there are
messages that are none. Prints what it found, and exits 1 where it is not as it should be.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa
from faults.acceptance import Checks
from faults.hub_lines import Digest, HubLines, text_of
from support.hub_process import HubProcess
from support.nats_cluster import NatsCluster
from support.postgresql import PostgresServer

from inspectd.hub import schema
from inspectd.hub.engine import url_of
from inspectd.page.history.bins import LATENCY_PER_OCTAVE, bin_of, packed
from inspectd.page.history.rows import unpack

_CALM_SECONDS: Final = 10.0
_PATIENCE_SECONDS: Final = 1800.0
_KILLS: Final = 6
_LONGEST_LIFE_SECONDS: Final = 6.0
_STREAMED_ROWS: Final = 2000


class Contents(msgspec.Struct, frozen=True):
    """What a database has.

    Attributes:
        digests: of the rows of each line, with how many there are.
        miscounted: counts by time and group, or by bins of latency, that are not those of the rows.
        foreign: messages that were none, by line.
        passed_over: messages that were gone before they could be read, of all lines.
    """

    digests: dict[str, Digest]
    miscounted: int
    foreign: dict[str, int]
    passed_over: int


class HubLab:
    """Servers, lines, a database and a hub.

    Args:
        folder: for all files.
        lines: how many.
        rate: verdicts a second of each.
        seconds: longest that all takes, for the streams' size.
        kind: of the database.
    """

    def __init__(self, folder: Path, lines: int, rate: int, seconds: float, kind: str) -> None:
        self._stack = ExitStack()
        gigabytes = 0.05 + seconds * rate * 2e-6
        names = tuple(f"l{number}" for number in range(1, lines + 1))
        self.cluster = NatsCluster(
            folder / "nats", names, max_disk=f"{1 + round(lines * (gigabytes + 0.1))}GB"
        )
        self._stack.callback(self.cluster.close)
        self.cluster.start()
        self.cluster.make_streams(max_gb=gigabytes)
        self._file = folder / "hub.sqlite"
        self._server = PostgresServer() if kind == "postgresql" else None
        if self._server is not None:
            self._stack.callback(self._server.close)
        self.url = f"sqlite:///{self._file}"
        self.delete_database()
        self.hub = HubProcess(folder / "hub", self.cluster, self.url)
        self._stack.callback(self.hub.close)
        self.lines = HubLines(self.cluster, rate)
        self._stack.callback(self.lines.close)

    def close(self) -> None:
        """End all."""
        self._stack.close()

    def delete_database(self) -> None:
        """Delete it; of PostgreSQL, make an empty one."""
        if self._server is not None:
            self.url = self._server.new_database("hub")
        else:
            for file in self._file.parent.glob(f"{self._file.name}*"):
                file.unlink()

    def read_up_to(self) -> dict[str, int]:
        """The place of each line in the database; empty while it has no tables."""
        engine = sa.create_engine(url_of(self.url))
        try:
            with engine.connect() as connection:
                found = connection.execute(sa.select(schema.line.c.name, schema.line.c.last_sequence))
                return {row[0]: row[1] for row in found}
        except sa.exc.SQLAlchemyError:
            return {}
        finally:
            engine.dispose()

    def behind(self, ends: dict[str, int]) -> int:
        """Messages before these ends of the streams that the database has not."""
        there = self.read_up_to()
        return sum(max(0, end - there.get(name, 0)) for name, end in ends.items())

    def drained(self) -> tuple[float, int]:
        """Wait until the database has what is in the streams by now: seconds, messages."""
        ends = self.lines.ends()
        began, todo = time.monotonic(), self.behind(ends)
        while self.behind(ends):
            assert time.monotonic() - began < _PATIENCE_SECONDS, self.hub.log.read_text()[-3000:]
            time.sleep(0.2)
        return time.monotonic() - began, todo

    def contents(self) -> Contents:
        """Everything that the database has, and its counts against a plain count of its rows."""
        engine = sa.create_engine(url_of(self.url))
        try:
            with engine.connect() as connection:
                return _contents(connection)
        finally:
            engine.dispose()


def _contents(connection: sa.Connection) -> Contents:
    digests: dict[str, Digest] = defaultdict(Digest)
    tallies: Counter[tuple[int, int, int]] = Counter()
    late: Counter[tuple[int, int, int]] = Counter()
    latencies: dict[tuple[int, int, int, str], Counter[int]] = defaultdict(Counter)
    for row in _rows(connection):
        item = unpack(bytes(row.body))
        digests[row.name].add(text_of(item, row.recipe, row))
        bin_ = bin_of(item.latency_ms, LATENCY_PER_OCTAVE)
        for step in schema.STEPS_MS:
            start = row.decided_ms - row.decided_ms % step
            tallies[step, start, row.group_id] += 1
            late[step, start, row.group_id] += item.late
            latencies[step, start, row.line_id, row.kind][bin_] += 1
    counted = {
        (row[0], row[1], row[2]): (row[3], row[4]) for row in connection.execute(sa.select(schema.tally))
    }
    binned = {tuple(row[:4]): bytes(row[4]) for row in connection.execute(sa.select(schema.latency))}
    expected = {key: (n, late[key]) for key, n in tallies.items()}
    bins = {key: packed(counts) for key, counts in latencies.items()}
    line = schema.line.c
    told = connection.execute(sa.select(line.name, line.foreign_messages, line.passed_over)).all()
    return Contents(
        digests=dict(digests),
        miscounted=len(counted.items() ^ expected.items()) + len(binned.items() ^ bins.items()),
        foreign={row[0]: row[1] for row in told},
        passed_over=sum(row[2] for row in told),
    )


def _rows(connection: sa.Connection) -> Iterator[sa.Row]:
    line, grp, verdict = schema.line.c, schema.grp.c, schema.verdict.c
    wanted = (
        sa.select(
            line.name, verdict.line_id, verdict.epoch, verdict.seq, verdict.decided_ms, verdict.part_id,
            verdict.group_id, verdict.body, grp.kind, grp.camera, grp.region, grp.recipe, grp.verdict,
            grp.reason,
        )
        .join_from(schema.verdict, schema.grp, grp.id == verdict.group_id)
        .join(schema.line, line.id == verdict.line_id)
    )  # fmt: skip
    yield from connection.execution_options(yield_per=_STREAMED_ROWS).execute(wanted)


def examine(lab: HubLab, checks: Checks, down_seconds: float, chooser: random.Random) -> None:
    """Up, down for long, rebuilt from nothing, and rebuilt while it is killed."""

    def compare(when: str) -> Contents:
        found = lab.contents()
        expected = lab.lines.digests
        rows = sum(digest.n for digest in found.digests.values())
        text = f"{rows} rows, expected {sum(digest.n for digest in expected.values())}"
        checks.that(f"{when}: rows as published, none missing or double", text, ok=found.digests == expected)
        checks.that(
            f"{when}: counts that are not those of the rows", found.miscounted, ok=not found.miscounted
        )
        others = found.foreign == lab.lines.foreign and not found.passed_over
        checks.that(f"{when}: messages that are none", sum(found.foreign.values()), ok=others)
        return found

    def drain(when: str) -> None:
        seconds, todo = lab.drained()
        each = f"{todo} messages in {seconds:.1f} s, {todo / max(seconds, 0.1):.0f} a second"
        checks.that(f"{when}: read", each, ok=True)

    lab.hub.start()
    lab.lines.go()
    time.sleep(_CALM_SECONDS)
    lab.hub.end(signal.SIGKILL)
    before = lab.read_up_to()
    time.sleep(down_seconds)
    checks.that("killed, and down", f"{down_seconds / 60:.1f} minutes", ok=lab.read_up_to() == before)
    lab.hub.start()
    drain("up again, while lines go on")
    lab.lines.stop()
    drain("the rest")
    first = compare("after it was down")
    lab.hub.end(signal.SIGKILL)
    lab.delete_database()
    lab.hub.start()
    drain("rebuilt from nothing")
    checks.that("rebuilt: the same", "rows and counts", ok=compare("rebuilt") == first)
    lab.hub.end(signal.SIGKILL)
    lab.delete_database()
    lab.lines.go()
    ends, kills = lab.lines.ends(), 0
    while kills < _KILLS and (not kills or lab.behind(ends)):
        lab.hub.start()
        time.sleep(chooser.uniform(0.2, _LONGEST_LIFE_SECONDS))
        lab.hub.end(signal.SIGKILL)
        kills += 1
    checks.that(
        "rebuilt again, while lines go on: killed", f"{kills} times, {lab.behind(ends)} left", ok=True
    )
    lab.hub.start()
    drain("then")
    lab.lines.stop()
    drain("the rest")
    compare("rebuilt while it was killed")
    checks.that("ends by itself", lab.hub.end(), ok="Traceback" not in lab.hub.log.read_text())


def main(minutes: float = 60, lines: int = 3, rate: int = 20, kind: str = "postgresql", seed: int = 1) -> int:
    """Run everything; the exit code."""
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="hub-") as folder:
        lab = HubLab(Path(folder), lines, rate, 2 * minutes * 60 + 600, kind)
        try:
            examine(lab, checks, minutes * 60, random.Random(seed))
        finally:
            lab.close()
    return 1 if checks.wrong else 0


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(main(*map(float, given[:1]), *map(int, given[1:3]), *given[3:4]))
