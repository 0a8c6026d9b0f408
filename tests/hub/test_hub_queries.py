"""Rows, list and trends against what a plain look at every verdict gives, in both kinds of database."""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from support.page_history import made

from inspectd.fleet.names import LineNames
from inspectd.hub import queries
from inspectd.hub.asking import HubQuestions
from inspectd.hub.batch import LineBatch, StreamPlace
from inspectd.hub.engine import url_of
from inspectd.hub.filters import parse
from inspectd.hub.fleet_list import FleetList
from inspectd.hub.reading_state import HubTrouble, ReadingState
from inspectd.hub.routes import COLUMNS
from inspectd.hub.schema import DAY_MS, HOUR_MS
from inspectd.hub.store import HubStore
from inspectd.hub.trends import trends
from inspectd.page.answers import ApiError
from inspectd.page.history import csv_export
from inspectd.page.history.filters import FilterError
from inspectd.page.history.rows import Numbered
from inspectd.wire import Evaluation, Reason, Verdict

pytestmark = pytest.mark.system  # PostgreSQL is no part of the project

END_MS = 1_800_000_000_000
LINES = ("a", "b", "c")


def rows_of(line: str, count: int, chance: random.Random) -> list[Verdict]:
    """Verdicts over ten days: most pass, some fail, a reason that comes a few times in all."""
    found = []
    for seq in range(1, count + 1):
        kind = chance.random()
        changes: dict[str, Any] = {"recipe": chance.choice(("red", "blue")), "camera": chance.choice("xyz")}
        if kind < 0.1:
            changes |= {"evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD}
        elif kind < 0.105:
            changes |= {"evaluation": Evaluation.UNDECIDABLE, "reason": Reason.BLACK}
        if seq < count // 3 and kind > 0.5:
            changes["recipe"] = "old"  # is no more in use
        at = END_MS - 10 * DAY_MS + round(10 * DAY_MS * seq / count / 1000) * 1000  # many of the same time
        part = f"P{chance.randrange(300)}" if chance.random() < 0.5 else None
        found.append(
            made(seq, at, plant="test", line=line, part_id=part, latency_ms=float(seq % 50), **changes)
        )
    return found


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request, tmp_path_factory) -> Iterator[tuple[HubQuestions, list[Numbered]]]:
    """A database, and every verdict in it."""
    folder: Path = tmp_path_factory.mktemp("filled")
    is_sqlite = request.param == "sqlite"
    address = f"sqlite:///{folder}/hub.sqlite" if is_sqlite else request.getfixturevalue("postgresql").url
    url = url_of(address)
    store = HubStore(url, "test")
    store.prepare()
    chance, every = random.Random(7), []
    for name in LINES:
        items = rows_of(name, 2500 if name == "a" else 700, chance)
        line = store.line(LineNames("test", name))
        store.write(line, LineBatch(items, line.place, StreamPlace("now", len(items))))
        every += items
    questions = HubQuestions(url)
    yield questions, every
    questions.close()
    store.close()


def fits(item: Verdict, given: list[tuple[str, str]]) -> bool:
    wanted = dict(given)
    lines = {value for name, value in given if name == "line"}
    at = item.decided_utc_ns // 1_000_000
    return (
        (not lines or item.line in lines)
        and int(wanted.get("from_ms", 0)) <= at < int(wanted.get("to_ms", 2**62))
        and wanted.get("verdict", item.evaluation) == item.evaluation
        and wanted.get("reason", item.reason) == item.reason
        and wanted.get("recipe", item.recipe) == item.recipe
        and wanted.get("camera", item.camera) == item.camera
        and wanted.get("part_id", item.part_id) == item.part_id
    )


def asked(chance: random.Random) -> list[tuple[str, str]]:
    given = [("limit", str(chance.choice((20, 100))))]
    if chance.random() < 0.5:
        start = END_MS - chance.randrange(1, 11 * DAY_MS)
        given += [("from_ms", str(start)), ("to_ms", str(start + chance.randrange(1, 6 * DAY_MS)))]
    given += [("line", name) for name in chance.sample([*LINES, "none"], chance.randrange(3))]
    for name, values in {
        "verdict": ["fail", "pass"], "reason": ["black", "above_threshold"],
        "recipe": ["red", "old", "green"], "camera": ["x", "y"], "part_id": ["P1", "P2", "P999"],
    }.items():  # fmt: skip
        if chance.random() < 0.25:
            given.append((name, chance.choice(values)))
    return given


def test_pages_have_every_row_that_fits_once_and_in_order(filled) -> None:
    questions, every = filled
    chance = random.Random(3)
    for _ in range(25):
        given = asked(chance)
        found: list[tuple[int, str, int]] = []
        more: list[tuple[str, str]] = []
        while len(found) < 300:
            wanted = parse([*given, *more])
            rows, after = questions.answer(lambda connection, wanted=wanted: queries.page(connection, wanted))
            found += [(row.decided_ms, row.line, row.id) for row in rows]
            if after is None:
                break
            more = [("before", str(after))]
        expected = sorted(
            ((item.decided_utc_ns // 1_000_000, item.line) for item in every if fits(item, given)),
            key=lambda each: -each[0],
        )
        assert [each[0] for each in found] == [each[0] for each in expected][: len(found)], given
        assert len(found) >= min(300, len(expected)), given
        assert len({each[2] for each in found}) == len(found)
        if len(found) == len(expected):
            assert sorted(each[:2] for each in found) == sorted(expected)


FAIL = {"evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD}


@pytest.mark.parametrize("lost", ["given before", "no more kept"])
def test_a_page_goes_on_where_a_stretch_has_fewer_rows_than_its_counts_say(url, lost) -> None:
    hour, store = END_MS // HOUR_MS * HOUR_MS, HubStore(url_of(url), "test")
    store.prepare()
    if lost == "given before":  # the first page ends within the last millisecond of an hour
        times = [*range(hour - 5 * HOUR_MS, hour - 4 * HOUR_MS, 72_000), *range(hour - 6, hour + 4)]
        arrived = [END_MS] * len(times)
    else:  # of the last hour only a pass is left
        times = [
            hour - HOUR_MS,
            *range(hour - 5 * HOUR_MS, hour - 4 * HOUR_MS, 72_000),
            *range(hour - 10, hour),
        ]
        arrived = [END_MS] * 51 + [END_MS - DAY_MS] * 10
    items = [
        made(seq, at, plant="test", line="a", **({} if at == hour - HOUR_MS else FAIL))
        for seq, at in enumerate(times, 1)
    ]
    line = store.line(LineNames("test", "a"))
    store.write(line, LineBatch(items, line.place, StreamPlace("now", 99), arrived_ms=arrived))
    store.prune(END_MS - HOUR_MS, 0)
    store.close()
    questions, found, more = HubQuestions(url_of(url)), [], list[tuple[str, str]]()
    for _ in range(20):
        wanted = parse([("verdict", "fail"), ("limit", "5"), *more])
        rows, after = questions.answer(lambda connection, wanted=wanted: queries.page(connection, wanted))
        found += [row.decided_ms for row in rows]
        if after is None:
            break
        more = [("before", str(after))]
    questions.close()
    assert found == sorted((times if lost == "given before" else times[1:51]), reverse=True)


def test_trends_are_the_counts_of_every_verdict(filled) -> None:
    questions, every = filled
    start = END_MS - 3 * DAY_MS
    found = questions.answer(lambda connection: trends(connection, start, END_MS, ["a", "b"]))
    assert (found["step_ms"], [line["line"] for line in found["lines"]]) == (HOUR_MS, ["a", "b"])
    for curves in found["lines"]:
        for at, n, reject in zip(found["t"], curves["n"], curves["reject"], strict=True):
            there = [
                item for item in every
                if item.line == curves["line"] and at <= item.decided_utc_ns // 1_000_000 < at + HOUR_MS
            ]  # fmt: skip
            fails = sum(item.evaluation is Evaluation.FAIL for item in there)
            assert (n, reject) == (len(there), fails / len(there) if there else None)
    assert max(value or 0 for value in found["lines"][0]["latency_p99"]) < 51


@pytest.mark.parametrize("days", [1, 9])
def test_trends_count_the_verdicts_of_the_span_and_no_others(filled, days) -> None:
    questions, every = filled
    minute = 60_000
    start, end = END_MS - days * DAY_MS - 50 * minute, END_MS - 3 * HOUR_MS + 10 * minute  # no whole UTC hour
    found = questions.answer(lambda connection: trends(connection, start, end, ["a"]))
    times = [item.decided_utc_ns // 1_000_000 for item in every if item.line == "a"]
    assert (found["from_ms"], found["to_ms"]) == (start, end)
    assert sum(found["lines"][0]["n"]) == sum(start <= at < end for at in times)


def test_golden_parts_count_in_no_curve(url) -> None:
    store = HubStore(url_of(url), "test")
    store.prepare()
    golden = {"evaluation": Evaluation.UNDECIDABLE, "reason": Reason.GOLDEN, "latency_ms": 400.0}
    items = [
        made(seq, END_MS, plant="test", line="a", **({"latency_ms": 20.0} if seq < 5 else golden))
        for seq in range(1, 20)
    ]
    line = store.line(LineNames("test", "a"))
    store.write(line, LineBatch(items, line.place, StreamPlace("now", 20)))
    store.close()
    questions = HubQuestions(url_of(url))
    (curves,) = questions.answer(lambda connection: trends(connection, END_MS, END_MS + 1, ["a"]))["lines"]
    questions.close()
    assert curves["n"] == [4]
    assert curves["latency_p99"][0] == pytest.approx(20, rel=0.05)


def test_the_list_says_what_is_certain(filled) -> None:
    questions, every = filled
    state, now = ReadingState(0), [1000.0]
    told = FleetList(state, 60, lambda: now[0], lambda: END_MS)

    def word() -> tuple[str, int | None]:
        line = questions.answer(told.fleet)["lines"][0]
        return line["state"], line["since_ms"]

    assert word() == ("not_read", 0)
    state.reads(5)
    assert word()[0] == "not_read"  # nobody has looked yet
    reading = state.of(LineNames("test", "a"))
    reading.behind = 0
    assert word() == ("nothing", None)
    line = questions.answer(told.fleet)["lines"][0]
    fails = [item for item in every if item.line == "a" and item.evaluation is Evaluation.FAIL]
    day = END_MS - DAY_MS
    assert line["day"]["fail"] == sum(item.decided_utc_ns // 1_000_000 >= day for item in fails)
    assert line["recipe"] in {"red", "blue"}
    state.fails(HubTrouble.DATABASE, "away", 9)
    assert word() == ("not_read", 9)


@pytest.mark.parametrize("minute", [0, 0.001, 9.9, 59.9])
def test_the_hour_and_the_day_count_from_when_they_say(url, minute) -> None:
    now_ms, store = END_MS // HOUR_MS * HOUR_MS + round(minute * 60_000), HubStore(url_of(url), "test")
    store.prepare()
    ago = [0, 50, 59, 61, 69, 71, 1430, 1441, 1449, 1451, 1499]  # minutes
    items = [made(n, now_ms - each * 60_000, plant="test", line="a") for n, each in enumerate(ago, 1)]
    line = store.line(LineNames("test", "a"))
    store.write(line, LineBatch(items, line.place, StreamPlace("now", 1)))
    store.close()
    questions = HubQuestions(url_of(url))
    told = questions.answer(FleetList(ReadingState(0), 60, lambda: 0.0, lambda: now_ms).fleet)
    for name, span_ms in {"hour": HOUR_MS, "day": DAY_MS}.items():
        from_ms = told[f"{name}_from_ms"]
        assert 0 <= now_ms - span_ms - from_ms < 600_000
        since = sum(item.decided_utc_ns // 1_000_000 >= from_ms for item in items)
        assert told["lines"][0][name]["n"] == since
    questions.close()


def test_a_line_is_running_only_while_verdicts_come_and_are_new(tmp_path) -> None:
    url = url_of(f"sqlite:///{tmp_path / 'hub.sqlite'}")
    store = HubStore(url, "test")
    store.prepare()
    names = LineNames("test", "a")
    line = store.line(names)
    store.write(line, LineBatch([], line.place, StreamPlace("now", 1), received_ms=END_MS))
    questions, state = HubQuestions(url), ReadingState(0)
    state.reads(0)
    now, now_ms = [100.0], [END_MS + 1000]
    told = FleetList(state, 60, lambda: now[0], lambda: now_ms[0])
    reading = state.of(names)

    def word() -> str:
        return questions.answer(told.fleet)["lines"][0]["state"]

    reading.behind = 0
    assert word() == "silent"  # it was read before this program began: nobody knows what came since
    reading.arrived = 100.0
    assert word() == "running"
    reading.behind = 5000
    assert word() == "catching_up"
    reading.behind, reading.late_ms = 0, 300_000
    assert word() == "running"
    reading.late_ms = DAY_MS  # a line that stopped yesterday, whose forwarder sends what is left
    assert word() == "catching_up"
    assert told_to_lack(questions, told, 0, now_ms[0]) == []  # all that the servers have is there
    reading.late_ms, now[0] = 0, 161.0
    assert word() == "silent"
    now[0], now_ms[0] = 100.0, END_MS + 61_000  # read just now, but it had waited at the servers
    assert word() == "silent"
    questions.close()
    store.close()


def test_the_last_report_of_an_agent_that_is_dead_is_not_shown_as_now(url) -> None:
    store, state, now_ms = HubStore(url_of(url), "test"), ReadingState(0), [END_MS]
    store.prepare()
    body = {"schema": "fleet_report/1", "plant": "test", "line": "a", "at_utc_ns": END_MS * 1_000_000,
            "state": "running", "recipe": "cells"}  # fmt: skip
    store.write_report(store.line(LineNames("test", "a")), 1, END_MS, json.dumps(body).encode())
    store.close()
    questions, told = HubQuestions(url_of(url)), FleetList(state, 60, lambda: 0.0, lambda: now_ms[0])

    def report() -> tuple[bool, int]:
        found = questions.answer(told.fleet)["lines"][0]["report"]
        return found["is_now"], found["received_ms"]

    assert report() == (False, END_MS)  # the servers do not answer
    state.reads(0)
    assert report() == (True, END_MS)
    now_ms[0] += 300_001
    assert report() == (False, END_MS)
    now_ms[0] = END_MS - 300_001  # the server's clock was ahead: the agent may have died any time before
    assert report() == (False, END_MS)
    questions.close()


@pytest.mark.parametrize(
    ("banks", "shown"),
    [
        ({}, None),
        ({"cells@1": "ab" * 32}, "ab" * 8),
        ({"cells@1/b": "cd" * 32, "cells@1/a": "ab" * 32, "cells@1/c": "cd" * 32}, f"{'ab' * 8}, {'cd' * 8}"),
        ({"seam of the file": "ab" * 32}, "ab" * 8),
        ({f"cells@1/{n}": f"{n}" * 64 for n in range(6)}, ", ".join(f"{n}" * 16 for n in range(4)) + " +2"),
    ],
)
def test_the_banks_are_shown_that_a_line_says_are_in_force(url, banks, shown) -> None:
    """By the line's recipes: `ID@VERSION`, of a camera or region too, or the file's own names."""
    store = HubStore(url_of(url), "test")
    store.prepare()
    body = {"schema": "fleet_report/1", "plant": "test", "line": "a", "at_utc_ns": END_MS * 1_000_000,
            "state": "running", "recipe": "cells", "version": 1, "bank_sha256": banks}  # fmt: skip
    store.write_report(store.line(LineNames("test", "a")), 1, END_MS, json.dumps(body).encode())
    store.close()
    questions, told = HubQuestions(url_of(url)), FleetList(ReadingState(0), 60, lambda: 0.0, lambda: END_MS)
    assert questions.answer(told.fleet)["lines"][0]["report"]["bank"] == shown
    questions.close()


def test_what_an_export_lacks_is_said_line_by_line(url) -> None:
    store, state = HubStore(url_of(url), "test"), ReadingState(0)
    store.prepare()
    for name, gone in {"a": 0, "b": 3}.items():
        line = store.line(LineNames("test", name))
        batch = LineBatch([], line.place, StreamPlace("now", 1), passed_over=gone, received_ms=END_MS - 9)
        store.write(line, batch)
    store.close()
    questions, told = HubQuestions(url_of(url)), FleetList(state, 60, lambda: 0.0, lambda: END_MS)

    def said(*lines: str) -> list[str]:
        return told_to_lack(questions, told, 0, END_MS, *lines)

    since = "2027-01-15T07:59:59.991+00:00,2027-01-15T08:00:00.000+00:00"
    assert said("a") == [f"a,{since},gap,not_read,not_read"]  # the servers do not answer
    state.reads(0)
    state.of(LineNames("test", "b")).behind = 0
    for behind in (1, 5000):
        state.of(LineNames("test", "a")).behind = behind
        assert said() == [f"a,{since},gap,not_read,catching_up", "b,gap,lost,passed_over: 3"]
    state.of(LineNames("test", "a")).behind = 0
    assert said("a") == []
    questions.close()


def test_what_an_export_lacks_is_of_the_time_that_was_asked_for(url) -> None:
    store, state = HubStore(url_of(url), "test"), ReadingState(0)
    store.prepare()
    for name, days in {"busy": 0, "once": 0, "filled": 0, "scrapped": 200}.items():
        at, came = END_MS - days * DAY_MS, END_MS - days * DAY_MS
        # A forwarder that is new has sent of weeks, and what it sent waits from 20 days ago on.
        at -= 20 * DAY_MS if name == "filled" else 0
        line = store.line(LineNames("test", name))
        place = StreamPlace("now", 1)
        item = made(1, at, plant="test", line=name)
        store.write(line, LineBatch([item], line.place, place, received_ms=came, arrived_ms=[came]))
        if name == "once":
            spring = END_MS - 90 * DAY_MS
            for n in (4, 8):  # of one hour
                lost = spring + n, spring + 60_000 * n
                after = StreamPlace("now", n)
                store.write(line, LineBatch([], place, after, passed_over=n, passed_over_ms=lost))
                place = after
    store.close()
    state.reads(0)
    for name, behind in {"busy": 3, "once": 0, "filled": 5000}.items():
        state.of(LineNames("test", name)).behind = behind
    questions, told = HubQuestions(url_of(url)), FleetList(state, 60, lambda: 0.0, lambda: END_MS)

    def lines_of(from_day: float, to_day: float) -> list[str]:
        span = END_MS - round(from_day * DAY_MS), END_MS - round(to_day * DAY_MS)
        return [row.split(",")[0] for row in told_to_lack(questions, told, *span)]

    assert lines_of(30, 25) == []
    assert lines_of(15, 1) == ["filled"]
    assert lines_of(0.1, -1) == ["busy", "filled"]
    assert lines_of(201, 199) == ["scrapped"]  # whether its last verdicts were read, nobody knows
    span = END_MS - 91 * DAY_MS, END_MS - 89 * DAY_MS
    assert told_to_lack(questions, told, *span) == [
        "once,2026-10-17T08:00:00.004+00:00,2026-10-17T08:08:00.000+00:00,gap,lost,passed_over: 12"
    ]
    questions.close()


def told_to_lack(
    questions: HubQuestions, told: FleetList, from_ms: int, to_ms: int, *lines: str
) -> list[str]:
    found = questions.answer(lambda connection: told.lacking(connection, lines, from_ms, to_ms))
    rows = csv_export.gap_lines(found, ZoneInfo("UTC"), COLUMNS).decode().splitlines()
    return [",".join(cell for cell in row.split(",") if cell) for row in rows]


def test_before_its_tables_are_made_the_hub_is_said_to_start(url) -> None:
    questions = HubQuestions(url_of(url))
    with pytest.raises(ApiError, match="The hub is starting") as told:
        asyncio.run(questions.ask(FleetList(ReadingState(0), 60, lambda: 0.0, lambda: 0).fleet))
    assert (told.value.status, told.value.what) == (503, "starting")
    questions.close()
    questions.close()


def test_a_question_that_takes_too_long_ends(filled) -> None:
    questions, _ = filled
    short = HubQuestions(questions._engine.url, seconds=0.2)
    endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t"

    async def ask() -> Any:
        return await short.ask(lambda connection: connection.scalar(sa.text(endless)))

    with pytest.raises(ApiError, match="does not answer this now"):
        asyncio.run(ask())
    short.close()


@pytest.mark.parametrize(
    "given",
    [[("score_min", "1")], [("line", "x" * 64)], [("camera", "a\x00")], [("limit", "9999")], [("what", "1")],
     [("camera", "a"), ("camera", "b")], [("line", str(n)) for n in range(201)]],
)  # fmt: skip
def test_what_cannot_be_asked_for(given) -> None:
    with pytest.raises(FilterError):
        parse(given)


def test_a_name_that_no_database_takes_is_the_askers_fault(filled) -> None:
    questions, _ = filled
    refused, status = dict(questions.refused), 0
    try:
        found = asyncio.run(questions.ask(lambda connection: queries.row_named(connection, "a\x00", 1, 1)))
    except ApiError as error:  # of PostgreSQL; SQLite looks, and finds none
        found, status = None, error.status
    assert (found, status) in {(None, 0), (None, 400)}
    assert questions.refused == refused


def test_pages_of_long_verdicts_have_fewer_rows_and_miss_none(url) -> None:
    long = "x" * 250_000  # which takes a thousandth of it in the database
    store = HubStore(url_of(url), "test")
    store.prepare()
    line = store.line(LineNames("test", "a"))
    items = [made(seq, END_MS - seq, plant="test", line="a", trigger_id=long) for seq in range(1, 101)]
    store.write(line, LineBatch(items, line.place, StreamPlace("now", 99), arrived_ms=[END_MS] * 100))
    store.close()
    questions, found, more = HubQuestions(url_of(url)), list[int](), list[tuple[str, str]]()
    while True:
        wanted = parse([("limit", "90"), *more])
        rows, after = questions.answer(lambda connection, wanted=wanted: queries.page(connection, wanted))
        assert sum(len(row.item.trigger_id) for row in rows) < 5_000_000
        found += [row.item.seq for row in rows]
        if after is None:
            break
        more = [("before", str(after))]
    named = functools.partial(queries.rows_named, line="a", epoch=items[0].epoch)
    some, is_all = questions.answer(functools.partial(named, seqs=range(1, 101)))
    few, are_all = questions.answer(functools.partial(named, seqs=[3, 2]))
    questions.close()
    assert found == [*range(1, 101)]
    assert ([row.item.seq for row in some], is_all) == ([*range(1, 17)], False)
    assert ([row.item.seq for row in few], are_all) == ([2, 3], True)
