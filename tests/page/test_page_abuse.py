"""Logins and sessions against who has no right: guesses, floods, clocks that are set, changes meanwhile."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.page_process import CHEAP

from inspectd.page.accounts.attempts import WINDOW_SECONDS, LoginAttempts
from inspectd.page.accounts.outside import LeftAloneError, OutsidePerson
from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.roles import ROLES, Act, Role
from inspectd.page.accounts.store import AccountStore, UserChangedError
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.orders import OrderFile
from inspectd.page.live.hub import LiveHub
from inspectd.page.server import PageParts, make_app
from inspectd.page.settings import PageConfig, PageStore
from inspectd.page.site import make_guard

ACTS = ROLES[Role.ENGINEER].acts
IDLE_SECONDS = ROLES[Role.ENGINEER].idle_seconds


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def ms(self) -> int:
        return round(self.seconds * 1000)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(tmp_path: Path, clock: SetClock) -> Iterator[AccountStore]:
    opened = AccountStore(tmp_path, clock.ms)
    opened.add_user("kim", Role.ENGINEER, "hash")
    yield opened
    opened.close()


def test_a_session_is_in_use_as_long_as_it_is_touched_in_time(store, clock) -> None:
    token = store.begin_session(store.user("kim"), "a")
    session = store.session(token)
    for _ in range(3):
        clock.seconds += IDLE_SECONDS - 1
        store.use_session(session)
        assert store.session(token).acts(clock.ms()) == ACTS


def test_touches_one_after_the_other_do_not_wait_for_the_disk(store, clock, tmp_path) -> None:
    session = store.session(store.begin_session(store.user("kim"), "a"))
    clock.seconds += 10
    store.use_session(session)
    other = sqlite3.connect(tmp_path / "accounts.sqlite")
    before = other.execute("PRAGMA data_version").fetchone()
    for _ in range(100):
        clock.seconds += 0.01
        store.use_session(session)
    assert other.execute("PRAGMA data_version").fetchone() == before
    other.close()


def test_a_clock_that_is_set_back_makes_no_session_last_longer(store, clock) -> None:
    clock.seconds += 86_400  # a clock that is wrong
    token = store.begin_session(store.user("kim"), "a")
    clock.seconds -= 2  # as time servers do
    assert store.session(token).acts(clock.ms()) == ACTS
    clock.seconds -= 86_400
    assert store.session(token) is None
    assert not store.sessions()
    token = store.begin_session(store.user("kim"), "a")
    clock.seconds += 1000
    store.use_session(store.session(token))
    clock.seconds -= 900
    session = store.session(token)
    store.use_session(session)
    assert store.session(token).acts(clock.ms()) == {Act.VIEW}
    store.unlock_session(session.id)
    assert store.session(token).acts(clock.ms()) == ACTS


def test_whoever_left_a_browser_alone_gave_the_password_elsewhere_since(store, clock) -> None:
    def enter(asked_ms: int, role: Role = Role.QUALITY) -> None:
        user = store.admit(OutsidePerson("quinn", role, "oidc https://plant.example 1", asked_ms))
        store.begin_session(user, "a")

    enter(0)
    clock.seconds += ROLES[Role.QUALITY].idle_seconds - 1
    enter(0)  # nothing was left alone yet
    clock.seconds += 2
    left_ms = clock.ms()
    with pytest.raises(LeftAloneError):
        enter(left_ms - 120_000)
    enter(left_ms)
    clock.seconds += 13 * 3600  # every session is over
    store.begin_session(store.user("kim"), "a")  # and removed
    assert [session.user.name for session in store.sessions()] == ["kim"]
    with pytest.raises(LeftAloneError):
        enter(left_ms)
    enter(left_ms, Role.VIEWER)  # who may look for weeks without a touch
    enter(clock.ms())


@pytest.mark.parametrize("change", ["password", "role", "disabled"])
def test_who_is_changed_while_being_logged_in_is_not_logged_in(store, change) -> None:
    checked = store.user("kim")
    match change:
        case "password":
            store.set_password("kim", "another hash")
        case "role":
            store.set_role("kim", Role.VIEWER)
        case _:
            store.set_disabled("kim", is_disabled=True)
    with pytest.raises(UserChangedError):
        store.begin_session(checked, "a")
    assert not store.sessions()


def test_a_person_is_one_however_the_name_is_written(clock) -> None:
    attempts = LoginAttempts(clock)
    for name in ("kim", "KIM", "\uff4bim", "\U0001d424im", "k\u24d8m"):
        attempts.failed(name, "10.0.0.1")
    assert attempts.wait_seconds("kim", "10.0.0.1")


def test_who_guesses_elsewhere_does_not_lock_a_person_out_where_that_person_logs_in(clock) -> None:
    attempts = LoginAttempts(clock)
    attempts.failed("kim", "10.0.0.1")
    attempts.succeeded("kim", "10.0.0.1")
    for number in range(60):
        attempts.failed("kim", f"10.0.1.{number}")
    assert attempts.wait_seconds("kim", "10.0.2.1")
    assert not attempts.wait_seconds("Kim", "10.0.0.1")
    for _ in range(5):
        attempts.failed("kim", "10.0.0.1")
    assert attempts.wait_seconds("kim", "10.0.0.1")
    clock.seconds += WINDOW_SECONDS
    assert not attempts.wait_seconds("kim", "10.0.2.1")


def test_where_persons_are_logged_in_is_known_from_the_start(store, tmp_path) -> None:
    store.begin_session(store.user("kim"), "10.0.0.1")
    settings = PageConfig(store=PageStore(dir=str(tmp_path)))
    guard, orders = make_guard(settings, Counter(), store), OrderFile(tmp_path)
    with closing(PasswordChecker(CHEAP)) as passwords:
        parts = PageParts(guard, passwords, LiveHub(settings, PartCounts(), orders), orders, Counter())
        app = make_app(settings, parts)
    login = next(
        each.endpoint for each in app._app.routes if each.path == "/login" and "POST" in each.methods
    )
    attempts: LoginAttempts = login.__self__._attempts
    for number in range(60):
        attempts.failed("kim", f"10.0.1.{number}")
    assert (attempts.wait_seconds("kim", "10.0.0.1"), attempts.wait_seconds("kim", "10.0.0.2") > 0) == (
        0,
        True,
    )


def test_a_password_that_a_busy_page_did_not_check_is_no_wrong_one(clock) -> None:
    attempts = LoginAttempts(clock)
    for _ in range(30):
        attempts.failed("kim", "10.0.0.1")
        attempts.not_tried("kim", "10.0.0.1")
    assert not attempts.wait_seconds("kim", "10.0.0.1")
