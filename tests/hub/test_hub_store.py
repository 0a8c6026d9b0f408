"""Rows, counts and place in one transaction, in PostgreSQL and in SQLite alike."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from support.hub_lines import NOW_MS, counts_in, rows_in, some
from support.messages import EPOCH
from support.page_history import made
from support.postgresql import PostgresServer

from inspectd.errors import InputError
from inspectd.fleet.names import LineNames
from inspectd.hub import fleet_list, schema
from inspectd.hub.batch import LineBatch, StreamPlace, stretches
from inspectd.hub.engine import DatabaseAwayError, DatabaseRefusesError, url_of
from inspectd.hub.fleet_list import names_known
from inspectd.hub.schema import DAY_MS
from inspectd.hub.store import HubStore, PlaceMovedError
from inspectd.page.history.rows import unpack
from inspectd.wire import Evaluation, PartVerdict, Reason, ViewVerdict

pytestmark = pytest.mark.system  # PostgreSQL is no part of the project

LINE = LineNames("test", "line")


def opened(url: str) -> HubStore:
    store = HubStore(url_of(url), LINE.plant)
    store.prepare()
    return store


def put(store: HubStore, items, *, to: int, **more) -> int:
    line = store.line(LINE)
    return store.write(line, LineBatch(items, line.place, StreamPlace("now", to), **more))


def part(seq: int, view: int) -> PartVerdict:
    return PartVerdict(
        plant="test", line="line", epoch=EPOCH, seq=seq, trigger_id="1", part_id="P-\x001",
        encoder_count=None,
        evaluation=Evaluation.PASS, reason=Reason.WITHIN_THRESHOLD, triggered_utc_ns=0,
        decided_utc_ns=10**18, latency_ms=5.0, deadline_ms=100.0, deadline_margin_ms=95.0, late=False,
        views=(ViewVerdict("top", view, Evaluation.PASS, Reason.WITHIN_THRESHOLD, second_look=False),),
        journaled=True, second_look=False,
    )  # fmt: skip


def test_what_comes_again_is_there_once_and_counted_once(url) -> None:
    store = opened(url)
    items = some("line", 50)
    assert put(store, items[:40], to=40) == 40
    assert put(store, items[20:], to=80) == 10
    counted = [row for row in counts_in(url) if row[0] == DAY_MS and len(row) == 10]
    assert [row[3] for row in rows_in(url)] == list(range(1, 51))
    assert sum(row[8] for row in counted) == 50
    assert store.line(LINE).place == StreamPlace("now", 80)
    store.close()


def test_the_order_of_arrival_changes_nothing(url, tmp_path) -> None:
    items = some("line", 300)
    ways = [items[:100], items[200:], items[100:200]], [items[150:], items[:150]]
    found = []
    for address, batches in zip((url, f"sqlite:///{tmp_path / 'other.sqlite'}"), ways, strict=True):
        store = opened(address)
        for number, batch in enumerate(batches, 1):
            put(store, batch, to=number)
        found.append((rows_in(address), counts_in(address)))
        store.close()
    assert found[0] == found[1]


def test_a_part_has_its_views_recipe_also_from_an_earlier_batch(url) -> None:
    store = opened(url)
    put(store, some("line", 1, recipe="red"), to=1)
    put(store, [part(2, view=1), part(3, view=99)], to=3)
    parts = [row for row in rows_in(url) if row[6] == "part"]
    assert [(row[3], row[8]) for row in parts] == [(2, "red"), (3, "")]
    assert parts[0][5] == "P-\ufffd1"  # no database takes the character; the verdict itself has it
    store.close()


def test_which_transaction_has_a_view_changes_nothing(url, tmp_path) -> None:
    views = some("line", 2, recipe="red")
    items = [part(3, view=1), *views, part(4, view=2)]  # the first view was added after its part, as a repair
    found = []
    for address, ways in ((url, [items]), (f"sqlite:///{tmp_path}/x.sqlite", [[item] for item in items])):
        store = opened(address)
        for number, batch in enumerate(ways, 1):
            put(store, batch, to=number)
        store.close()
        found.append((rows_in(address), counts_in(address)))
    assert found[0] == found[1]
    assert [(row[3], row[8]) for row in found[0][0]] == [(1, "red"), (2, "red"), (3, ""), (4, "red")]


def test_what_was_there_is_found_however_far_apart_it_lies(url) -> None:
    store = opened(url)
    items = some("line", 4000)
    old = [made(n, 10**12 + n, plant="test", line="line", epoch=5) for n in (1, 2)]
    assert put(store, [*items[::3], *old], to=1) == 1336
    again = [*items[:5], *items[1990:2010], *items[3995:], *old]
    assert put(store, again, to=2) == len(again) - len({*again} & {*items[::3], *old})
    assert put(store, items, to=3) + len({*again, *items[::3]} & {*items}) == 4000
    counted = [row for row in counts_in(url) if row[0] == DAY_MS and len(row) == 10]
    assert sum(row[8] for row in counted) == len(rows_in(url)) == 4002
    store.close()


def test_a_repair_changes_nothing_of_what_judged_last(url) -> None:
    store = opened(url)
    new = {"recipe": "glass", "recipe_version": 4, "bank_sha256": "22" * 32}
    put(store, some("line", 1, first=3, recipe="red", bank_sha256="00" * 32, at_ms=NOW_MS + DAY_MS), to=1)
    put(store, some("line", 1, first=10, **new), to=2)  # the line's clock is right again
    old = some("line", 2, first=1, recipe="cells", recipe_version=2, bank_sha256="11" * 32)
    put(store, old, to=3, repaired=[True] * 2)
    put(store, some("line", 1, first=11, recipe="none", bank_sha256=None), to=4)  # was judged by nothing
    with store._engine.connect() as connection:
        line = connection.execute(sa.select(schema.line)).one()
    assert {name: getattr(line, name) for name in new} == new
    store.close()


def test_one_that_the_database_refuses_takes_the_rest_of_its_transaction_with_it(postgresql) -> None:
    address = postgresql.new_database("refuses")
    store, items = opened(address), some("line", 10)
    too_large = made(2**63, 10**12, plant="test", line="line")  # no stream's reader lets it through
    with pytest.raises(DatabaseRefusesError):
        put(store, [*items[:5], too_large, *items[5:]], to=11)
    assert (rows_in(address), counts_in(address)) == ([], [])
    assert put(store, items, to=11) == 10
    store.close()


def test_stretches_have_every_number_and_no_wide_gap() -> None:
    assert stretches([], 10) == []
    assert stretches([7, 30, 1, 17, 31], 10) == [(1, 17), (30, 31)]


def test_a_second_hub_is_refused_and_leaves_no_trace(url) -> None:
    store = opened(url)
    line, items = store.line(LINE), some("line", 10)
    store.write(line, LineBatch(items[:5], line.place, StreamPlace("now", 5)))
    with pytest.raises(PlaceMovedError, match="let one hub alone"):
        store.write(line, LineBatch(items, line.place, StreamPlace("now", 10)))
    assert len(rows_in(url)) == 5
    store.close()


def test_old_rows_go_and_their_counts_with_them(url) -> None:
    store = opened(url)
    old = some("line", 30, at_ms=100 * DAY_MS + 1000 * 30)
    put(store, [*old, *some("line", 20, first=100)], to=50)
    newest = NOW_MS
    assert store.prune(newest + 9000 * DAY_MS, newest) == 0  # this host's clock is set far ahead
    assert store.prune(150 * DAY_MS, newest - 150 * DAY_MS) == 30
    assert store.prune(150 * DAY_MS, newest - 150 * DAY_MS) == 0
    assert len(rows_in(url)) == 20
    assert {row[1] < 150 * DAY_MS for row in counts_in(url)} == {False}
    store.close()


def test_verdicts_are_kept_from_when_they_came_whatever_the_lines_clock_says(url) -> None:
    store, kept_ms = opened(url), 90 * DAY_MS
    behind = some("line", 30, at_ms=100 * DAY_MS)
    ahead = some("line", 20, first=31, at_ms=NOW_MS + 1000 * DAY_MS)
    put(store, [*behind, *ahead], to=50, arrived_ms=[NOW_MS] * 50)
    counted = counts_in(url)
    assert store.prune(NOW_MS - kept_ms, kept_ms) == 0
    assert (len(rows_in(url)), counts_in(url)) == (50, counted)
    (later,) = some("line", 1, first=51, at_ms=NOW_MS + 100 * DAY_MS)
    put(store, [later], to=51)
    assert store.prune(NOW_MS + 10 * DAY_MS, kept_ms) == 50
    assert [row[3] for row in rows_in(url)] == [51]
    assert {row[1] // DAY_MS for row in counts_in(url)} == {NOW_MS // DAY_MS + 100}
    store.close()


def test_counts_of_a_line_go_with_its_rows_whatever_another_line_has_of_that_time(url) -> None:
    store, old_ms = opened(url), 100 * DAY_MS
    late, there = store.line(LineNames("test", "late")), StreamPlace("now", 2)
    items = some("late", 2, at_ms=old_ms + 9000)
    store.write(late, LineBatch(items, late.place, there, arrived_ms=[NOW_MS] * 2))
    kept = counts_in(url)
    golden = made(31, old_ms, plant="test", line="line", reason=Reason.GOLDEN)
    put(store, [*some("line", 30, at_ms=old_ms + 9000), golden], to=31, arrived_ms=[old_ms] * 30 + [NOW_MS])
    assert store.prune(NOW_MS - DAY_MS, DAY_MS) == 30
    left = [row for row in counts_in(url) if row not in kept]
    assert len(left) == 3  # of the golden part, in each step, and no latencies
    assert {(row[2], row[7], row[8]) for row in left} == {("line", "golden", 1)}
    assert {*kept} < {*counts_in(url)}
    store.close()


def test_what_was_lost_is_told_for_as_long_as_verdicts_of_its_time_would_be_kept(url) -> None:
    store, kept_ms = opened(url), 90 * DAY_MS
    old_ms = NOW_MS - 91 * DAY_MS

    def lose(n: int, at_ms: int, items=()) -> None:
        to = store.line(LINE).place.sequence + 1
        put(
            store,
            items,
            to=to,
            passed_over=n,
            passed_over_ms=(at_ms - 9, at_ms),
            arrived_ms=[NOW_MS] * len(items),
        )

    def told() -> tuple[int, list[int]]:
        with store._engine.connect() as connection:
            numbers = connection.scalars(sa.select(schema.gone.c.n).order_by(schema.gone.c.to_ms)).all()
            return connection.scalar(sa.select(schema.line.c.passed_over)) or 0, list(numbers)

    lose(1, old_ms, some("line", 1, at_ms=old_ms))
    lose(2, old_ms + 2 * DAY_MS)
    assert store.prune(NOW_MS - kept_ms, kept_ms) == 0
    assert told() == (3, [1, 2])  # the line's clock is behind: its verdicts of then are kept, too
    lose(4, NOW_MS, some("line", 1, first=2, at_ms=NOW_MS))
    assert store.prune(NOW_MS - kept_ms, kept_ms) == 0
    assert told() == (6, [2, 4])
    store.close()


def group_count(store: HubStore) -> int:
    with store._engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.grp)) or 0


def test_a_line_with_ever_new_names_gets_no_more_groups(url, monkeypatch, caplog) -> None:
    monkeypatch.setattr(schema, "MOST_GROUPS", 5)
    store, other = opened(url), LineNames("test", "other")
    odd = [item for seq in range(1, 31) for item in some("line", 1, first=seq, recipe=f"r{seq}")]
    assert put(store, odd[:20], to=20) == 20
    assert put(store, odd[20:], to=30) == 10
    line = store.line(other)
    store.write(line, LineBatch(some("other", 3, recipe="seam"), line.place, StreamPlace("now", 3)))
    assert (group_count(store), len(rows_in(url)), len(store._groups)) == (7, 33, 6)
    assert sum(row[8] for row in counts_in(url) if row[0] == DAY_MS and len(row) == 10) == 33
    assert [record.getMessage() for record in caplog.records] == ["names_left_out"] * 2
    with store._engine.connect() as connection:
        told = names_known(connection, 30)
    assert (told["recipes"], told["is_all"]) == (["r1", "r2", "r3", "r4", "r5", "seam"], False)
    store.close()


def test_names_of_one_line_leave_the_others_theirs(url, monkeypatch) -> None:
    monkeypatch.setattr(fleet_list, "_MOST_NAMES", 4)
    store, other = opened(url), LineNames("test", "other")
    put(store, [item for seq in range(1, 9) for item in some("line", 1, first=seq, recipe=f"r{seq}")], to=8)
    line = store.line(other)
    store.write(line, LineBatch(some("other", 3, recipe="seam"), line.place, StreamPlace("now", 3)))
    with store._engine.connect() as connection:
        told = names_known(connection, 30)
    assert (told["recipes"], told["is_all"]) == (["r6", "r7", "r8", "seam"], False)
    store.close()


def test_groups_go_with_their_last_verdict(url) -> None:
    store, old_ms = opened(url), NOW_MS - 10 * DAY_MS
    old, new = some("line", 3, at_ms=old_ms, recipe="old"), some("line", 3, first=10, recipe="new")
    put(store, [*old, *new], to=6)
    assert store.prune(NOW_MS - DAY_MS, DAY_MS) == 3
    assert {row[5] for row in counts_in(url) if len(row) == 10} == {"new"}
    assert group_count(store) == 1
    again = some("line", 3, first=20, recipe="old")
    assert put(store, again, to=9) == 3
    assert {row[8] for row in rows_in(url)} == {"old", "new"}
    store.close()


def test_tables_of_another_version_are_refused(url) -> None:
    store = opened(url)
    with store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE inspectd_hub SET version = 99")
    with pytest.raises(InputError, match="version 99, expected 2; delete the database"):
        store.prepare()
    store.close()


def test_another_plants_lines_are_refused(url) -> None:
    store = opened(url)
    store.line(LineNames("test", "line"))
    other = HubStore(url_of(url), "plant2")
    with pytest.raises(InputError, match="lines of plant test, expected plant2 alone"):
        other.prepare()
    store.prepare()
    for each in (store, other):
        each.close()


def test_a_database_that_stops_and_starts(postgresql: PostgresServer) -> None:
    address = postgresql.new_database("stops")
    store, items = opened(address), some("line", 20)
    put(store, items[:10], to=10)
    line = store.line(LINE)
    postgresql.stop()
    with pytest.raises(DatabaseAwayError):
        store.write(line, LineBatch(items[10:], line.place, StreamPlace("now", 20)))
    with pytest.raises(DatabaseAwayError):
        store.prepare()
    postgresql.start()
    store.prepare()
    assert put(store, items, to=20) == 10
    store.close()


def test_a_file_that_is_deleted_under_a_running_hub_is_made_anew(tmp_path) -> None:
    file = tmp_path / "hub.sqlite"
    store, items = opened(f"sqlite:///{file}"), some("line", 20)
    put(store, items, to=20)
    line = store.line(LINE)
    file.unlink()
    with pytest.raises(DatabaseAwayError, match="removed or replaced"):
        store.write(line, LineBatch(items, line.place, StreamPlace("now", 40)))
    store.prepare()
    assert store.line(LINE).place == StreamPlace()
    assert put(store, items, to=20) == 20
    store.close()


@pytest.mark.parametrize(
    "text",
    [
        "mysql://host/name", "sqlite:///relative.sqlite", "postgresql://host", "x", "postgresql://hub@h:p/name",
        "postgresql://hub@[::1/name",
    ],
)  # fmt: skip
def test_addresses_that_are_none(text) -> None:
    with pytest.raises(InputError, match="expected postgresql://USER@HOST/NAME"):
        url_of(text)


@pytest.mark.parametrize(
    "text",
    ["hub@h/name?password=very-secret", "hub@h/name?sslpassword=very-secret", "hub:very@secret@h/name"],
)
def test_a_password_that_would_be_shown_is_refused_and_not_shown(text) -> None:
    with pytest.raises(InputError, match=r"expected it in database\.password_file") as told:
        url_of(f"postgresql://{text}")
    assert "secret" not in str(told.value)


def test_a_password_is_in_no_message(tmp_path) -> None:
    file = tmp_path / "password"
    file.write_text("very secret\n")
    file.chmod(0o600)
    address = url_of("postgresql://hub@127.0.0.1:1/hub", str(file))
    assert (address.password, "secret" in address.render_as_string()) == ("very secret", False)
    with pytest.raises(DatabaseAwayError) as told:
        HubStore(address, LINE.plant).prepare()
    assert "secret" not in str(told.value)
    file.chmod(0o644)
    with pytest.raises(InputError, match="mode 644, expected 600"):
        url_of("postgresql://hub@127.0.0.1:1/hub", str(file))


def test_a_verdict_keeps_every_field(url) -> None:
    store = opened(url)
    (item,) = some("line", 1, part_id="Teil 1 <b>")
    put(store, [item], to=1)
    assert unpack(bytes(rows_in(url)[0][-1])) == item
    store.close()
