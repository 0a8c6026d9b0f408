"""How fast the hub's database fills and answers its pages, with so many verdicts in it.

Usage: measure_hub.py URL [--rows 10000000] [--questions 200]

Fills the database at URL (postgresql://... or sqlite:////...) as the hub does, up to that many verdicts, with
90 days of ten lines; then asks what its pages ask: the list of lines, rows by random filters, trends, one
verdict. A database that has some goes on from there. It is left.
"""

from __future__ import annotations

import argparse
import functools
import random
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from measure_history import verdict
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspectd.fleet.names import LineNames
from inspectd.hub import queries, schema
from inspectd.hub.asking import HubQuestions
from inspectd.hub.batch import LineBatch, StreamPlace
from inspectd.hub.engine import engine_to_write, url_of
from inspectd.hub.filters import HubRequest
from inspectd.hub.fleet_list import FleetList, names_known
from inspectd.hub.reading_state import ReadingState
from inspectd.hub.store import HubStore
from inspectd.hub.trends import trends
from inspectd.page.history.filters import Filter

LINES: Final = tuple(f"line{n}" for n in range(1, 11))
_DAYS_MS: Final = 90 * 86_400_000
_START_MS: Final = 1_763_924_400_000
_BATCH: Final = 2000
_CAMERAS: Final = ("top", "side", "left", "right")
_RECIPES: Final = ("cells", "wafers", "plates", "tiles", "caps", "rare")
_REASONS: Final = ("above_threshold", "deadline", "black", "quality_focus", "overload", "missed_trigger")
_VERDICTS: Final = ("pass", "fail", "undecidable")


def fill(store: HubStore, rows: int, bar: Progress) -> None:
    """Have so many verdicts in the database."""
    chance = random.Random(1)
    of_line = rows // len(LINES)
    lines = [store.line(LineNames("demo", name)) for name in LINES]
    places = [line.place for line in lines]
    began, first = time.perf_counter(), min(place.sequence for place in places)
    task = bar.add_task("fill", total=rows, completed=first * len(LINES))
    for start in range(first, of_line, _BATCH):
        for at, line in enumerate(lines):
            numbers = range(max(start, places[at].sequence), min(of_line, start + _BATCH))
            items = [
                msgspec.structs.replace(
                    verdict(number, _START_MS + number * _DAYS_MS // of_line, chance), line=line.names.line
                )
                for number in numbers
            ]
            if items:
                after = StreamPlace("made", numbers[-1] + 1)
                store.write(
                    line, LineBatch(items, places[at], after, received_ms=items[-1].decided_utc_ns // 10**6)
                )
                places[at] = after
            bar.advance(task, len(items))
    bar.remove_task(task)
    if first < of_line:
        spent = time.perf_counter() - began
        print(f"filled to {rows} verdicts: {(of_line - first) * len(LINES) / spent:.0f} a second")


def random_request(chance: random.Random, rows: int) -> tuple[str, HubRequest]:
    """What somebody may look for, and its name."""
    end = _START_MS + _DAYS_MS
    span = chance.choice([3_600_000, 8 * 3_600_000, 86_400_000, 7 * 86_400_000, _DAYS_MS])
    from_ms = chance.choice([end - span, _START_MS + chance.randrange(0, _DAYS_MS - span + 1)])
    values = {
        "camera": chance.choice(_CAMERAS), "reason": chance.choice(_REASONS),
        "recipe": chance.choice(_RECIPES), "verdict": chance.choice(_VERDICTS),
        "part_id": f"P{chance.randrange(max(1, rows // 40)):09d}",
    }  # fmt: skip
    names = chance.sample(sorted(values), chance.choice([0, 1, 1, 2, 2, 3]))
    lines = tuple(chance.sample(LINES, chance.choice([0, 0, 1, 3])))
    every = Filter(from_ms=from_ms, to_ms=from_ms + span)
    wanted = msgspec.structs.replace(every, **{name: values[name] for name in names})
    return f"rows by {'+'.join(sorted(names)) or 'time'}{' of some lines' if lines else ''}", HubRequest(
        wanted, lines
    )


def ask(questions: HubQuestions, rows: int, count: int, bar: Progress) -> dict[str, list[float]]:
    """Times of questions in seconds, by kind."""
    times: dict[str, list[float]] = defaultdict(list)
    chance, end = random.Random(3), _START_MS + _DAYS_MS

    def timed(name: str, question: Callable[[sa.Connection], Any]) -> Any:
        began = time.perf_counter()
        found = questions.answer(question)
        times[name].append(time.perf_counter() - began)
        return found

    state = ReadingState(0)
    listing = FleetList(state, 60.0, time.monotonic, lambda: end)
    for _ in bar.track(range(count), description="list, trends, verdicts"):
        timed("list of lines", listing.fleet)
        timed("names", lambda connection: names_known(connection, 400.0))
        for days in (1, 7, 90):
            some = chance.sample(LINES, 2)
            from_ms = end - days * 86_400_000
            timed(f"trends of {days} d, all lines", functools.partial(_trends, from_ms, end, []))
            timed(f"trends of {days} d, two lines", functools.partial(_trends, from_ms, end, some))
        number = chance.randrange(rows // len(LINES))
        named = (chance.choice(LINES), _START_MS + number // 200_000, number % 200_000 + 1)
        timed("one verdict", functools.partial(_one, *named))
    for _ in bar.track(range(5 * count), description="rows"):
        name, wanted = random_request(chance, rows)
        for _ in range(chance.choice([1, 1, 3])):
            began = time.perf_counter()
            _, after = questions.answer(functools.partial(queries.page, wanted=wanted))
            times[name].append(time.perf_counter() - began)
            times["rows, any filter"].append(times[name][-1])
            if after is None:
                break
            wanted = msgspec.structs.replace(wanted, before=after)
    return times


def _trends(from_ms: int, to_ms: int, lines: list[str], connection: sa.Connection) -> Any:
    return trends(connection, from_ms, to_ms, lines)


def _one(line: str, epoch: int, seq: int, connection: sa.Connection) -> Any:
    found = queries.row_named(connection, line, epoch, seq)
    assert found is not None
    return found


def main() -> None:
    """Fill and ask."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--questions", type=int, default=200)
    arguments = parser.parse_args()
    url = url_of(arguments.url)
    store, questions = HubStore(url, "demo"), HubQuestions(url, seconds=60.0)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as bar:
        store.prepare()
        fill(store, arguments.rows, bar)
        if url.get_backend_name() == "postgresql":  # as its autovacuum does by itself within minutes
            engine = engine_to_write(url).execution_options(isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql("VACUUM (ANALYZE) verdict, tally, latency, grp, line")
        times = ask(questions, arguments.rows, arguments.questions, bar)
    counted = questions.answer(
        lambda connection: connection.scalar(sa.select(sa.func.count()).select_from(schema.verdict))
    )
    print(f"{counted} verdicts in {url.get_backend_name()}")
    for name, spent in sorted(times.items()):
        ordered = sorted(spent)
        p50, p95 = (1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95))
        print(
            f"{name:44} {len(spent):5}  p50 {p50:7.1f} ms  p95 {p95:7.1f} ms  max {1e3 * ordered[-1]:7.1f} ms"
        )
    questions.close()
    store.close()


if __name__ == "__main__":
    main()
