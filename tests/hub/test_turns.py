"""Whoever writes waits for all that came before, and for no database that hangs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from support.hub_lines import until

from inspectd.fleet.names import LineNames
from inspectd.hub.engine import DatabaseAwayError, url_of
from inspectd.hub.store import HubStore
from inspectd.hub.turns import Turns


def test_however_many_wait_all_have_their_turn_in_the_order_of_coming() -> None:
    now, order = [0.0], list[int]()
    turns = Turns(20, lambda: now[0])

    def write(own: int) -> None:
        with turns.turn():
            order.append(own)
            now[0] += 15  # two of them take longer than a database may be silent

    with ThreadPoolExecutor(20) as pool:
        written = []
        with turns.turn():
            for own in range(20):
                written.append(pool.submit(write, own))
                until(lambda: len(turns._queue) == 1 + len(written))
        for each in written:
            each.result()
    assert order == [*range(20)]


def test_who_waits_for_a_database_that_hangs_gives_up_and_says_how_long_it_was_silent() -> None:
    turns, goes_on = Turns(silent_seconds=0.2), threading.Event()

    def hang() -> None:
        with turns.turn():
            goes_on.wait(10)

    hanging = threading.Thread(target=hang)
    hanging.start()
    until(lambda: turns._queue)
    with pytest.raises(DatabaseAwayError, match=r"gave no answer for 0\.2 s"), turns.turn():
        raise AssertionError("two have their turn")
    with pytest.raises(DatabaseAwayError):
        turns.refuse_silent()
    goes_on.set()
    hanging.join()
    turns.refuse_silent()
    with turns.turn():
        pass


def test_a_transaction_of_many_statements_may_last_while_each_is_answered(tmp_path) -> None:
    store, now = HubStore(url_of(f"sqlite:///{tmp_path / 'hub.sqlite'}"), "test"), [0.0]
    store.prepare()
    store._turns = Turns(20, lambda: now[0])
    with store._begun() as connection:
        for _ in range(4):
            now[0] += 15
            store.refuse_silent()
            connection.execute(sa.select(1))
        now[0] += 21
        with pytest.raises(DatabaseAwayError, match="gave no answer for 20 s"):
            store.refuse_silent()
    store.line(LineNames("test", "line"))
    store.close()
