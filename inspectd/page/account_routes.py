"""Routes of login, one's own account, users, sessions and the page's audit file."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Annotated, Final
from urllib.parse import parse_qs

import msgspec
from anyio import to_thread
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from inspectd.errors import InputError
from inspectd.page.accounts.attempts import LoginAttempts
from inspectd.page.accounts.names import LONGEST_NAME
from inspectd.page.accounts.outside import Login
from inspectd.page.accounts.passwords import PasswordBusyError, PasswordChecker
from inspectd.page.accounts.roles import ROLES, Act, Role
from inspectd.page.accounts.store import Session, User, UserChangedError, described
from inspectd.page.addresses import network_of
from inspectd.page.answers import ApiError, json_answer, read_body
from inspectd.page.guard import Account, Guard, address_of, over
from inspectd.page.login_form import LoginForm
from inspectd.page.outside_routes import OutsideRoutes
from inspectd.page.security import is_own_look
from inspectd.page.settings import Language
from inspectd.page.told import ToldMe
from inspectd.page.told_pages import ToldSession, ToldUser
from inspectd.recipes.audit import BEGUN, DONE, AuditAction

_MOST_ROWS: Final = 200
_MOST_FIELDS: Final = 10

_Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME)]
_Password = Annotated[str, Meta(min_length=1, max_length=200)]
_Why = Annotated[str, Meta(max_length=200)]


class _Unlock(msgspec.Struct, forbid_unknown_fields=True):
    password: _Password


class _NewPassword(msgspec.Struct, forbid_unknown_fields=True):
    old: _Password
    new: _Password

    @property
    def password(self) -> str:
        """That the change is signed with."""
        return self.old


class _Language(msgspec.Struct, forbid_unknown_fields=True):
    language: Language


class _UserChange(msgspec.Struct, forbid_unknown_fields=True):
    """`do` is `add` (with `role` and `password`), `role`, `disable`, `enable`, `password` or `free`."""

    do: Annotated[str, Meta(pattern=r"^(add|role|disable|enable|password|free)\Z")]
    name: _Name
    role: Role | None = None
    password: _Password | None = None
    reason: _Why = ""


class _Revoke(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(max_length=32)]
    reason: _Why = ""


class AccountRoutes:
    """Login and everything about accounts.

    Args:
        guard: who is logged in.
        passwords: checks and hashes.
        attempts: bounds on wrong passwords.
        form: the login.
        outside: logs in whom others vouch for.
        language: of who has chosen none.
        counts: where logins are counted.
    """

    def __init__(
        self, guard: Guard, passwords: PasswordChecker, attempts: LoginAttempts, *, form: LoginForm,
        outside: OutsideRoutes, language: str, counts: Counter[tuple[str, str]],
    ) -> None:  # fmt: skip
        self._guard, self._store, self._trail = guard, guard.store, guard.trail
        self._passwords, self._attempts, self._counts = passwords, attempts, counts
        self._form, self._outside, self._language = form, outside, language

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/login", self.show_login, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route("/api/me", self.say_me, methods=["GET"]),
            Route("/api/me/language", self.set_language, methods=["POST"]),
            Route("/api/me/password", self.set_own_password, methods=["POST"]),
            Route("/api/me/unlock", self.unlock, methods=["POST"]),
            Route("/api/users", self.list_users, methods=["GET"]),
            Route("/api/users", self.change_user, methods=["POST"]),
            Route("/api/sessions", self.list_sessions, methods=["GET"]),
            Route("/api/sessions/revoke", self.revoke_session, methods=["POST"]),
            Route("/api/audit", self.list_audit, methods=["GET"]),
        ]

    # --- login --------------------------------------------------------------------------------------------

    async def show_login(self, request: Request) -> Response:
        """The form; who is logged in already goes to the page."""
        proxy = self._guard.proxy
        if "out" in request.query_params:
            return self._form.page(request, "out" if proxy is not None else "", status=200)
        account = self._guard.account(request)
        if account is not None and not ("again" in request.query_params and account.login is Login.PROXY):
            return RedirectResponse("/", 303)
        if proxy is not None and proxy.name(request):
            person = proxy.person(request)
            if person is None:
                return self._form.page(request, "no_role", status=403)
            if not is_own_look(request.headers):
                # Its cookie did not come along: who has a session is found when the page itself asks.
                return self._form.onward(request, "/login")
            return await self._outside.admit(request, person)
        return self._form.page(request, "" if self._store.users() else "nobody", status=200)

    async def log_in(self, request: Request) -> Response:
        """Check name and password; a name that nobody has takes as long as a wrong password."""
        body = (await read_body(request)).decode(errors="replace")
        try:
            form = parse_qs(body, max_num_fields=_MOST_FIELDS)
        except ValueError:
            raise ApiError(400, "malformed", f"Expected a form of at most {_MOST_FIELDS} fields.") from None
        name, password = (form.get(field, [""])[0] for field in ("name", "password"))
        name = name.strip()[:LONGEST_NAME]
        try:
            user = await self._checked(request, name, password)
        except ApiError as error:
            return self._form.page(
                request, error.what, status=error.status, given=name, minutes=int(error.sentence or 0)
            )
        answer = RedirectResponse("/", 303)
        try:
            await self._guard.log_in(user, request, answer)
        except UserChangedError:
            why = "refused: changed meanwhile"
            await self._guard.record_login(request, AuditAction.LOGIN, user.name, result=why)
            return self._form.page(request, "wrong", status=401, given=name)
        return answer

    async def log_out(self, request: Request) -> Response:
        """End the browser's session."""
        account = self._guard.account(request)
        answer = RedirectResponse("/login?out" if self._guard.proxy is not None else "/login", 303)
        if account is not None:
            await self._guard.write(self._store.end_session, account.session.id)
            await self._guard.record_login(request, AuditAction.LOGOUT, account.name)
        self._guard.log_out(answer)
        return answer

    async def unlock(self, request: Request) -> Response:
        """Renew a session that was idle, by its person's password."""
        account, _ = await self._guard.take_signed(request, Act.VIEW, _Unlock, self.refuse_wrong_password)
        await self._guard.write(self._store.unlock_session, account.session.id)
        return json_answer({"ok": True})

    async def refuse_wrong_password(self, request: Request, account: Account, password: str) -> None:
        """Check the password of who is logged in, with which a person signs.

        Raises:
            ApiError: it is wrong, or cannot be checked now.
        """
        try:
            await self._checked(request, account.name, password)
        except ApiError as error:
            raise _refused_password(error) from error

    async def _checked(self, request: Request, name: str, password: str) -> User:
        """The user of a name and password.

        Raises:
            ApiError: `wrong`, `busy`, or `wait` with the minutes as its sentence.
        """
        address = address_of(request)
        wait_seconds = self._attempts.wait_seconds(name, address)
        if wait_seconds:
            self._counts["logins", "wait"] += 1
            raise ApiError(429, "wait", str(1 + int(wait_seconds // 60)))
        # Counted before it is known: tries side by side must not all come before the first is counted.
        self._attempts.failed(name, address)
        user = self._store.user(name)
        is_own = user is not None and not user.is_disabled and user.login is Login.PASSWORD
        password_hash = user.password_hash if user is not None and is_own else None
        try:
            is_right = await self._passwords.is_right(password, password_hash, network_of(address))
        except PasswordBusyError:
            self._attempts.not_tried(name, address)
            self._counts["logins", "busy"] += 1
            raise ApiError(503, "busy", "") from None
        if user is None or not is_right:
            self._counts["logins", "wrong"] += 1
            # What is nobody's name may be a password: the field of the name has the focus.
            who = "nobody" if user is None else user.name
            await self._guard.record_login(request, AuditAction.LOGIN, who, result="refused: wrong")
            raise ApiError(401, "wrong", "")
        self._attempts.succeeded(name, address)
        self._counts["logins", "right"] += 1
        await self._guard.record_login(request, AuditAction.LOGIN, user.name)
        return user

    # --- one's own account --------------------------------------------------------------------------------

    async def say_me(self, request: Request) -> Response:
        """Who is logged in, and what that person may do now."""
        account = await self._guard.allow(request, Act.VIEW)
        session = account.session
        told: ToldMe = {
            "name": account.name,
            "role": account.role,
            "acts": sorted(account.acts),
            "is_idle": account.acts != ROLES[account.role].acts,
            "login": account.login.value,
            "language": session.user.language or self._language,
            "session_ends_ms": session.ends_ms,
            "idle_ends_ms": session.idle_ends_ms,
        }
        return json_answer(told)

    async def set_language(self, request: Request) -> Response:
        """Remember the language of who is logged in."""
        account, wanted = await self._guard.take(request, Act.VIEW, _Language)
        await self._guard.write(self._store.set_language, account.name, wanted.language)
        return json_answer({"ok": True})

    async def set_own_password(self, request: Request) -> Response:
        """Change one's own password; every session of that person ends, and this browser gets a new one."""
        account, wanted = await self._guard.take_signed(
            request, Act.VIEW, _NewPassword, self.refuse_wrong_password
        )

        async def record(result: str) -> None:
            name = account.name
            await self._guard.record_login(request, AuditAction.PASSWORD, name, about=name, result=result)

        await record(BEGUN)
        try:
            hashed = await self._set_password(request, Act.VIEW, account.name, wanted.new, by=account.session)
        except ApiError as error:
            await record(f"refused: {error}")
            raise
        await record(DONE)
        answer = json_answer({"ok": True})
        # With the password that was set, and no other that an admin gave since: then it is to log in again.
        user = msgspec.structs.replace(account.session.user, password_hash=hashed)
        with contextlib.suppress(UserChangedError):
            await self._guard.log_in(user, request, answer)
        return answer

    # --- users and sessions -------------------------------------------------------------------------------

    async def list_users(self, request: Request) -> Response:
        """Everybody who may log in."""
        await self._guard.allow(request, Act.USERS)
        return json_answer({"users": [_shown_user(user) for user in self._store.users()]})

    async def change_user(self, request: Request) -> Response:
        """Add a user, or change one; whatever is logged in as that person is logged out."""
        account, wanted = await self._guard.take(request, Act.USERS, _UserChange)
        before = self._store.user(wanted.name)
        old = described(before)
        await self._record_change(account, wanted, old, None, BEGUN)
        try:
            await self._change_user(request, wanted)
        except (InputError, ApiError) as error:
            await self._record_change(account, wanted, old, None, f"refused: {error}")
            raise error if isinstance(error, ApiError) else ApiError(400, "user", str(error)) from error
        await self._record_change(account, wanted, old, described(self._store.user(wanted.name)), DONE)
        return json_answer({"ok": True})

    async def _change_user(self, request: Request, wanted: _UserChange) -> None:
        match wanted.do:
            case "add":
                if wanted.role is None or wanted.password is None:
                    raise InputError("role or password is missing; give both to a new user")
                hashed = await self._hashed(request, Act.USERS, wanted.password, wanted.name)
                await self._guard.write(self._store.add_user, wanted.name, wanted.role, hashed)
            case "role":
                if wanted.role is None:
                    raise InputError("role is missing")
                await self._guard.write(self._store.set_role, wanted.name, wanted.role)
            case "password":
                await self._set_password(request, Act.USERS, wanted.name, wanted.password or "")
            case "free":
                await self._guard.write(self._store.free_name, wanted.name)
            case do:
                is_disabled = do == "disable"
                await self._guard.write(
                    lambda: self._store.set_disabled(wanted.name, is_disabled=is_disabled)
                )

    async def _record_change(
        self, account: Account, wanted: _UserChange, old: str | None, new: str | None, result: str
    ) -> None:
        await self._guard.record(
            account, Act.USERS, about=f"{wanted.do} {wanted.name}", old=old, new=new, why=wanted.reason,
            result=result,
        )  # fmt: skip

    async def list_sessions(self, request: Request) -> Response:
        """Every session that is not over."""
        account = await self._guard.allow(request, Act.SESSIONS)
        rows: list[ToldSession] = [
            {
                "id": each.id, "name": each.user.name, "role": each.user.role, "address": each.address,
                "began_ms": each.began_ms, "used_ms": each.used_ms, "ends_ms": each.ends_ms,
                "is_own": each.id == account.session.id,
            }
            for each in self._store.sessions()
        ]  # fmt: skip
        return json_answer({"sessions": rows})

    async def revoke_session(self, request: Request) -> Response:
        """End a session; its tabs are closed within a second."""
        account, wanted = await self._guard.take(request, Act.SESSIONS, _Revoke)
        whose = next((each.user.name for each in self._store.sessions() if each.id == wanted.id), None)

        async def record(result: str) -> None:
            await self._guard.record(
                account, Act.SESSIONS, about=whose, old=wanted.id, why=wanted.reason, result=result
            )

        await record(BEGUN)
        if not await self._guard.write(self._store.end_session, wanted.id):
            await record("refused: no such session")
            raise ApiError(404, "session", "There is no such session any more.")
        await record(DONE)
        return json_answer({"ok": True})

    async def list_audit(self, request: Request) -> Response:
        """Records of the page's audit file, the newest first."""
        await self._guard.allow(request, Act.AUDIT)
        before = whole_number(request, "before", None)
        limit = min(whole_number(request, "limit", 100) or 100, _MOST_ROWS)
        try:
            rows = await to_thread.run_sync(self._trail.page, before, limit)
        except InputError as error:
            raise ApiError(500, "altered", f"The audit file was altered: {error}") from error
        return json_answer({"rows": rows, "next": rows[-1]["seq"] if len(rows) == limit else None})

    async def _hashed(self, request: Request, act: Act, password: str, name: str) -> str:
        """The hash of a new password, which waits for its turn: who gives it is asked again then."""
        try:
            hashed = await self._passwords.hashed(password, name, network_of(address_of(request)))
        except PasswordBusyError:
            raise ApiError(503, "busy", "Many people log in at this moment; try again.") from None
        await self._guard.still(request, act)
        return hashed

    async def _set_password(
        self, request: Request, act: Act, name: str, password: str, *, by: Session | None = None
    ) -> str:
        """Give somebody a password; its hash."""
        try:
            hashed = await self._hashed(request, act, password, name)
            await self._guard.write(lambda: self._store.set_password(name, hashed, by=by))
        except UserChangedError:
            raise over() from None
        except InputError as error:
            raise ApiError(400, "password", f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        return hashed


def whole_number(request: Request, name: str, default: int | None) -> int | None:
    """A whole number above 0 of the query.

    Raises:
        ApiError: it is something else.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and 0 < int(text[:16]) < 2**53):
        raise ApiError(400, "malformed", f"{name}: got {text[:40]!r}, expected a whole number above 0.")
    return int(text[:16])


def _refused_password(error: ApiError) -> ApiError:
    if error.what == "wait":
        return ApiError(429, "wait", f"Too many wrong passwords; try again in {error.sentence} min.")
    if error.what == "busy":
        return ApiError(503, "busy", "Many people log in at this moment; try again.")
    return ApiError(403, "wrong_password", "The password is wrong.")


def _shown_user(user: User) -> ToldUser:
    return {
        "name": user.name, "role": user.role, "is_disabled": user.is_disabled, "language": user.language,
        "created_ms": user.created_ms, "login": user.login.value,
    }  # fmt: skip
