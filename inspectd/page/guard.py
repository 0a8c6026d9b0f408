"""Who makes a request, and whether that person may: what every route of the page asks first."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple

import msgspec
from anyio import CapacityLimiter, to_thread
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from inspectd import log
from inspectd.errors import InspectdError
from inspectd.page.accounts.attempts import LoginAttempts
from inspectd.page.accounts.names import name_key
from inspectd.page.accounts.outside import Login
from inspectd.page.accounts.roles import ROLES, Act, Role
from inspectd.page.accounts.store import AccountStore, Session, User
from inspectd.page.accounts.trail import PageTrail
from inspectd.page.answers import ApiError, read_json
from inspectd.page.proxy_login import ProxyLogin
from inspectd.recipes.audit import AuditAction

_Body = TypeVar("_Body")
_Answer = TypeVar("_Answer")
_Values = TypeVarTuple("_Values")
_Signed = TypeVar("_Signed", bound="Signed")

_ACTS_A_MINUTE: Final = 60
_LOOK_SECONDS: Final = 1.0
"""So long a refused look waits for its record."""
_WRITERS: Final = 4
"""Threads that may wait for the page's disk."""

_log: Final = logging.getLogger(__name__)

RECORDED_AS: Final = {
    Act.EXPORT: AuditAction.EXPORT,
    Act.EXPLAIN: AuditAction.EXPLAIN,
    Act.ORDER: AuditAction.ORDER,
    Act.GOLDEN_BEGIN: AuditAction.GOLDEN,
    Act.GOLDEN_SHOW: AuditAction.GOLDEN,
    Act.GOLDEN_END: AuditAction.GOLDEN,
    Act.RECIPE_PREPARE: AuditAction.PREPARE,
    Act.RECIPE_UNPREPARE: AuditAction.UNPREPARE,
    Act.RECIPE_ACTIVATE: AuditAction.ACTIVATE,
    Act.RECIPE_SHADOW: AuditAction.SHADOW,
    Act.RECIPE_UNSHADOW: AuditAction.SHADOW,
    Act.RECIPE_PROMOTE: AuditAction.PROMOTE,
    Act.RECIPE_ROLLBACK: AuditAction.ROLLBACK,
    **{act: AuditAction.TEACH for act in Act if act.startswith("teach_")},
    Act.USERS: AuditAction.USER,
    Act.SESSIONS: AuditAction.SESSION,
}
"""The kind of record of each act; one that only looks has none."""


class Account(msgspec.Struct, frozen=True):
    """Who makes a request.

    Attributes:
        name: of the person.
        role: of the person.
        acts: what the person may do now.
        session: of the browser.
        address: of the browser, for the record.
    """

    name: str
    role: Role
    acts: frozenset[Act]
    session: Session
    address: str

    @property
    def login(self) -> Login:
        """How the person logged in."""
        return self.session.user.login

    @property
    def door(self) -> str:
        """The way it is asked, for the record."""
        return f"page {self.address}"


class Signed(Protocol):
    """What a browser sends that a person signs."""

    @property
    def password(self) -> str:
        """Of that person."""


CheckPassword = Callable[[Request, Account, str], Awaitable[None]]
"""Raises ApiError where it is not that person's password."""


class Guard:
    """Knows who is logged in, and lets each do what the role allows; what it refuses is recorded.

    Args:
        store: users and sessions.
        trail: the page's audit file.
        line: `PLANT.LINE`.
        is_encrypted: browsers reach the page over TLS.
        counts: where refusals are counted.
        given_by: what roles are by at a provider, see `User`; a session of a role by anything else is none.
        proxy: tells whom a proxy logged in; None: none does.
        clock: seconds on a clock that never goes back.
        clock_ms: milliseconds since 1970, UTC.
    """

    def __init__(
        self,
        store: AccountStore,
        trail: PageTrail,
        *,
        line: str,
        is_encrypted: bool,
        counts: Counter[tuple[str, str]],
        given_by: frozenset[str] = frozenset(),
        proxy: ProxyLogin | None = None,
        clock: Callable[[], float] = time.monotonic,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.store, self.trail = store, trail
        self._is_encrypted, self._counts = is_encrypted, counts
        self._given_by, self.proxy = given_by, proxy
        self._clock, self.clock_ms = clock, clock_ms
        self._acts: dict[str, list[float]] = {}
        self._writers = CapacityLimiter(_WRITERS)
        self._refused_looks = LoginAttempts(clock)
        # `__Host-` binds a cookie to this host and to TLS; over plain loopback no browser would take it.
        # Cookies know no ports: pages of other lines on this host need other names.
        self.cookie = f"{'__Host-inspectd' if is_encrypted else 'inspectd-plain'}.{line}"

    def token_of(self, request: HTTPConnection) -> str:
        """What the browser gives as the name of its session; empty: nothing."""
        return request.cookies.get(self.cookie, "")

    def account(self, request: HTTPConnection) -> Account | None:
        """Who is logged in in that browser; None: nobody."""
        token = self.token_of(request)
        session = self.store.session(token) if token else None
        if session is None or not self._is_still(session.user, request):
            return None
        user = session.user
        return Account(user.name, user.role, session.acts(self.clock_ms()), session, address_of(request))

    def _is_still(self, user: User, request: HTTPConnection) -> bool:
        """Whether who says it is this person still does, as far as that can be known."""
        if user.login is Login.PASSWORD:
            return True
        if user.login is Login.OIDC:
            return user.given_by in self._given_by
        # The proxy says it with every request: whom it logged out, or gave another role, is so here at once.
        person = None if self.proxy is None else self.proxy.person(request)
        return person is not None and (name_key(person.name), person.role) == (name_key(user.name), user.role)

    async def allow(self, request: Request, act: str) -> Account:
        """What a route asks first: who it is, and whether that person may; an act renews the session.

        Raises:
            ApiError: nobody is logged in, or that person may not.
        """
        account = await self._allowed(request, Act(act))
        if request.method not in {"GET", "HEAD"}:
            self.bound(account.session.id)
            await self.write(self.store.use_session, account.session)
        return account

    async def take(self, request: Request, act: Act, kind: type[_Body]) -> tuple[Account, _Body]:
        """As `allow`, with what the browser sends; asked again when all of it is there.

        That may take seconds, and who was logged out or disabled meanwhile has nothing done any more.

        Raises:
            ApiError: nobody is logged in, that person may not, or it is not what is expected.
        """
        await self.allow(request, act)
        body = await read_json(request, kind)
        return await self.still(request, act), body

    async def take_signed(
        self, request: Request, act: Act, kind: type[_Signed], check: CheckPassword
    ) -> tuple[Account, _Signed]:
        """As `take`, of what a person signs with the password; asked again when that is checked.

        Raises:
            ApiError: as `take`, or the password is not that person's.
        """
        account, body = await self.take(request, act, kind)
        await check(request, account, body.password)
        return await self.still(request, act), body

    async def still(self, request: Request, act: Act) -> Account:
        """The person, who was allowed before something that takes time, such as a password's check.

        Raises:
            ApiError: that person was logged out, blocked or given another role meanwhile.
        """
        return await self._allowed(request, act)

    async def _allowed(self, request: Request, wanted: Act) -> Account:
        account = self.account(request)
        if account is None:
            raise over()
        if wanted not in account.acts:
            self._counts["refused", "role"] += 1
            is_idle = wanted in ROLES[account.role].acts
            if self._is_recorded(account, request):
                result = f"refused: {'idle' if is_idle else 'role'}"
                recording = self.record(account, wanted, about=request.url.path, result=result)
                if request.method in {"GET", "HEAD"}:
                    await _beside(recording)
                else:
                    await recording
            if is_idle:
                raise ApiError(403, "idle", "Nothing was done here for a while; give the password again.")
            raise ApiError(403, "role", f"The role {account.role} may not do this; ask somebody who may.")
        return account

    def _is_recorded(self, account: Account, request: Request) -> bool:
        """Whether a refusal goes into the audit file; of looks no more than of refused logins.

        Raises:
            ApiError: there were too many acts.
        """
        if request.method not in {"GET", "HEAD"}:
            self.bound(account.session.id)
            return True
        # No look is answered by "too many": a tab that asks for what it may not see shows the rest.
        if self._refused_looks.wait_seconds(account.name, account.address):
            return False
        self._refused_looks.failed(account.name, account.address)
        return True

    async def record(
        self, account: Account, act: Act, *, about: str | None = None, old: str | None = None,
        new: str | None = None, why: str | None = None, result: str = "done",
    ) -> None:  # fmt: skip
        """Write into the page's audit file; it is on the disk when this returns.

        Raises:
            InputError: the file's last record was altered.
            UnavailableError: it cannot be written.
        """
        record = functools.partial(
            self.trail.record, RECORDED_AS.get(act, AuditAction.SESSION), account.name, account.door,
            about=about, old=old, new=new, why=why, result=result,
        )  # fmt: skip
        await self.write(record)

    async def record_login(
        self, request: Request, action: AuditAction, who: str, *, about: str | None = None,
        new: str | None = None, result: str = "done",
    ) -> None:  # fmt: skip
        """The same of logins, and of what a person does to the own one; raises as `record`."""
        door = f"page {address_of(request)}"
        await self.write(
            functools.partial(self.trail.record, action, who, door, about=about, new=new, result=result)
        )

    async def write(self, work: Callable[[*_Values], _Answer], *values: *_Values) -> _Answer:
        """Do in a thread what waits for the page's disk: one that hangs holds up acts, and no look.

        It raises what `work` does.
        """
        return await to_thread.run_sync(work, *values, limiter=self._writers)

    async def record_end(self, account: Account, act: Act, about: str, why: str, result: str) -> None:
        """Write how an act ended that was begun, and count it; raises as `record`."""
        self._counts["acts", result.partition(":")[0].replace(" ", "_")] += 1
        await self.record(account, act, about=about, why=why, result=result)

    async def log_in(self, user: User, request: HTTPConnection, answer: Response) -> None:
        """Begin a session of that browser, under a token that nobody knew before, and end the one it had.

        Raises:
            UserChangedError: see `AccountStore.begin_session`.
        """
        before = self.account(request)
        token = await self.write(self.store.begin_session, user, address_of(request))
        if before is not None:
            await self.write(self.store.end_session, before.session.id)
        answer.set_cookie(
            self.cookie, token, max_age=round(ROLES[user.role].session_seconds), path="/",
            secure=self._is_encrypted, httponly=True, samesite="strict",
        )  # fmt: skip

    def log_out(self, answer: Response) -> None:
        """Have the browser forget its token."""
        answer.delete_cookie(
            self.cookie, path="/", secure=self._is_encrypted, httponly=True, samesite="strict"
        )

    def bound(self, key: str) -> None:
        """Refuse more than so many acts a minute: each is a record on the disk.

        Args:
            key: what is counted by: the session, or of logins the person.

        Raises:
            ApiError: there were too many.
        """
        now = self._clock()
        times = [at for at in self._acts.get(key, []) if now - at < 60]
        if len(times) >= _ACTS_A_MINUTE:
            self._counts["refused", "rate"] += 1
            raise ApiError(429, "rate", f"More than {_ACTS_A_MINUTE} requests in a minute; wait a little.")
        self._acts = {other: value for other, value in self._acts.items() if now - value[-1] < 60}
        self._acts[key] = [*times, now]


async def _beside(recording: Coroutine[Any, Any, None]) -> None:
    """Give the record of a refused look a moment: whether or not a disk takes it, the look is refused."""
    task = asyncio.ensure_future(recording)
    task.add_done_callback(_say_unrecorded)
    await asyncio.wait({task}, timeout=_LOOK_SECONDS)


def _say_unrecorded(task: asyncio.Future[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if isinstance(error, InspectdError):
        log.event(_log, logging.ERROR, "refusal_not_recorded", detail=str(error))
    elif error is not None:
        raise error


def over() -> ApiError:
    """What is said where nobody is logged in."""
    return ApiError(401, "login", "Nobody is logged in here, or the login is over; log in again.")


def address_of(request: HTTPConnection) -> str:
    """The browser's address: as the connection has it, or a named proxy says."""
    return request.client.host if request.client is not None else "unknown"
