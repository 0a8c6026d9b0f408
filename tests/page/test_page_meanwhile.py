"""What a person began counts only if that person still may when its password is checked or hashed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient
from support.page_process import CHEAP, COOKIE, PASSWORD
from support.page_roles import SHA256

from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.roles import Role
from inspectd.page.accounts.store import AccountStore, UserChangedError
from inspectd.page.line.counts import PartCounts
from inspectd.page.line.orders import OrderFile
from inspectd.page.live.hub import LiveHub
from inspectd.page.server import PageParts, make_app
from inspectd.page.settings import PageConfig, PageLine, PageStore
from inspectd.page.site import make_guard

NEW = "chosen by a thief 77"
SIGNED = {"reason": "ok", "password": PASSWORD}
ACTS = {
    "approve": (Role.QUALITY, "/api/acts/teach_approve", {"candidate": SHA256, **SIGNED}),
    "vouch": (Role.QUALITY, "/api/acts/teach_vouch", {"case": "1-1", **SIGNED}),
    "unlock": (Role.QUALITY, "/api/me/unlock", {"password": PASSWORD}),
    "own password": (Role.QUALITY, "/api/me/password", {"old": PASSWORD, "new": NEW}),
    "add": (Role.ADMIN, "/api/users", {"do": "add", "name": "mallory", "role": "admin", "password": NEW}),
    "password": (Role.ADMIN, "/api/users", {"do": "password", "name": "viewer", "password": NEW}),
}
CHANGES: dict[str, Callable[[AccountStore, str], object]] = {
    "blocked": lambda store, name: store.set_disabled(name, is_disabled=True),
    "another role": lambda store, name: store.set_role(name, Role.VIEWER),
    "another password": lambda store, name: store.set_password(name, CHEAP.hash("given by the admin")),
    "logged out": lambda store, name: [store.end_session(each.id) for each in store.sessions()],
}


class SlowHasher(PasswordHasher):
    """Something happens while it checks a password, or while it hashes one."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.while_checking = self.while_hashing = lambda: None

    def verify(self, *given: Any) -> Any:
        is_right = super().verify(*given)
        self.while_checking()
        return is_right

    def hash(self, *given: Any, **more: Any) -> str:
        hashed = super().hash(*given, **more)
        self.while_hashing()
        return hashed


@pytest.fixture
def hasher() -> SlowHasher:
    return SlowHasher()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AccountStore]:
    with closing(AccountStore(tmp_path)) as opened:
        for name in ("quality", "admin", "viewer"):
            opened.add_user(name, Role(name), CHEAP.hash(PASSWORD))
        opened.add_user("another", Role.ADMIN, CHEAP.hash(PASSWORD))
        yield opened


@pytest.fixture
def browser(tmp_path: Path, store: AccountStore, hasher: SlowHasher) -> Iterator[TestClient]:
    settings = PageConfig(line=PageLine(plant="test", name="line"), store=PageStore(dir=str(tmp_path)))
    counts: Counter[tuple[str, str]] = Counter()
    guard, orders = make_guard(settings, counts, store), OrderFile(tmp_path)
    with closing(PasswordChecker(hasher)) as passwords:
        parts = PageParts(guard, passwords, LiveHub(settings, PartCounts(), orders), orders, counts)
        app = make_app(settings, parts)
        yield TestClient(app, "http://127.0.0.1", headers={"Origin": "http://127.0.0.1"})


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("act", ACTS)
def test_who_may_no_more_when_the_password_is_checked_or_hashed_has_nothing_done(
    browser, store, hasher, act, change
) -> None:
    role, address, body = ACTS[act]
    browser.cookies[COOKIE] = store.begin_session(store.user(role), "here")
    users = store.users()

    def meanwhile() -> None:
        CHANGES[change](store, role)
        users[:] = store.users()

    stage = "while_hashing" if role is Role.ADMIN else "while_checking"
    setattr(hasher, stage, meanwhile)
    assert browser.post(address, json=body).status_code == 401  # 404 of a signature: the desk was asked
    assert store.users() == users


@pytest.mark.parametrize("change", CHANGES)
def test_one_s_own_new_password_overwrites_nothing_that_was_done_while_it_was_hashed(
    browser, store, hasher, change
) -> None:
    browser.cookies[COOKIE] = token = store.begin_session(store.user("quality"), "here")
    session = store.session(token)
    users = store.users()

    def meanwhile() -> None:
        CHANGES[change](store, "quality")
        users[:] = store.users()

    hasher.while_hashing = meanwhile
    assert browser.post("/api/me/password", json={"old": PASSWORD, "new": NEW}).status_code == 401
    with pytest.raises(UserChangedError):  # the command line gives one after the page has asked again
        store.set_password("quality", "hash", by=session)
    assert store.users() == users
    assert not store.sessions()
