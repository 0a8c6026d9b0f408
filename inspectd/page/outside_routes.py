"""Routes of logins that others check: an OpenID Connect provider, or a reverse proxy."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from inspectd import log
from inspectd.errors import InputError, UnavailableError
from inspectd.page.accounts.attempts import LoginAttempts
from inspectd.page.accounts.names import name_key
from inspectd.page.accounts.outside import LeftAloneError, OutsidePerson
from inspectd.page.accounts.store import UserChangedError
from inspectd.page.answers import ApiError
from inspectd.page.guard import Guard, address_of
from inspectd.page.login_form import LoginForm
from inspectd.recipes.audit import AuditAction
from inspectd.text import printable

_COOKIE_SECONDS: Final = 600
_log: Final = logging.getLogger(__name__)


class LoginProvider(Protocol):
    """Where persons log in; see `inspectd.page.oidc.OidcProvider`."""

    async def begin(self, *, again: bool = False) -> tuple[str, str]:
        """The address to send the browser to, and the state that it keeps."""

    async def end(self, state: str, kept: str, code: str) -> OutsidePerson:
        """Who has logged in."""


class OutsideRoutes:
    """Logs in whom others vouch for.

    Args:
        guard: who is logged in.
        provider: of OpenID Connect; None: there is none.
        refusals: errors of the provider, and the word of each for the login.
        form: the login.
        is_encrypted: browsers reach the page over TLS.
        counts: where logins are counted.
    """

    def __init__(
        self, guard: Guard, provider: LoginProvider | None, refusals: dict[type[Exception], str], *,
        form: LoginForm, is_encrypted: bool, counts: Counter[tuple[str, str]],
    ) -> None:  # fmt: skip
        self._guard, self._provider, self._refusals = guard, provider, refusals
        self._form, self._is_encrypted, self._counts = form, is_encrypted, counts
        # Of their own: any site can have a browser come here, which must lock nobody's password out.
        self._recorded = LoginAttempts()
        self._said = log.Repeated(_log)
        # The provider sends the browser back from another site: no `Strict` cookie would come along.
        self._cookie = f"{guard.cookie}.oidc"

    @property
    def routes(self) -> list[Route]:
        """All of them."""
        if self._provider is None:
            return []
        return [
            Route("/login/oidc", self.begin_oidc, methods=["GET"]),
            Route("/login/oidc/return", self.end_oidc, methods=["GET"]),
        ]

    async def begin_oidc(self, request: Request) -> Response:
        """Send the browser to the provider."""
        return await self._begin(request, again="again" in request.query_params)

    async def _begin(self, request: Request, *, again: bool) -> Response:
        assert self._provider is not None
        try:
            address, state = await self._provider.begin(again=again)
        except UnavailableError as error:
            return self._unavailable(request, error)
        answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
        answer.set_cookie(
            self._cookie, state, max_age=_COOKIE_SECONDS, path="/", secure=self._is_encrypted,
            httponly=True, samesite="lax",
        )  # fmt: skip
        return answer

    async def end_oidc(self, request: Request) -> Response:
        """Take whom the provider sends back."""
        assert self._provider is not None
        given = request.query_params
        try:
            person = await self._provider.end(
                given.get("state", ""), request.cookies.get(self._cookie, ""), given.get("code", "")
            )
        except UnavailableError as error:
            return self._unavailable(request, error)
        except tuple(self._refusals) as error:
            name = printable(str(getattr(error, "name", "")))[:40]
            return await self._refused(request, name, self._refusals[type(error)], str(error))
        try:
            answer = await self.admit(request, person)
        except LeftAloneError:  # the provider's login was open all the while, whoever is here now
            return await self._begin(request, again=True)
        answer.delete_cookie(self._cookie, path="/", secure=self._is_encrypted, httponly=True, samesite="lax")
        return answer

    async def admit(self, request: Request, person: OutsidePerson) -> Response:
        """Begin a session of somebody who is vouched for.

        Raises:
            LeftAloneError: the password is to be given again first.
        """
        answer = self._form.onward(request)
        try:
            # Nobody waits for a password here: each request can be a session, and a record on the disk.
            self._guard.bound(f"login {name_key(person.name)}")
        except ApiError as error:
            return self._form.page(request, "often", status=error.status)
        try:
            user = await self._guard.write(self._guard.store.admit, person)
            await self._guard.record_login(request, AuditAction.LOGIN, user.name, new=str(user.role))
            await self._guard.log_in(user, request, answer)
        except (InputError, UserChangedError) as error:
            why = str(error) or "changed meanwhile"
            return await self._refused(request, printable(person.name)[:40], "outside_name", why)
        self._counts["logins", "right"] += 1
        return answer

    async def _refused(self, request: Request, name: str, word: str, detail: str) -> Response:
        """Say that a login is refused; it is recorded unless many of them were: strangers fill no disk."""
        self._counts["logins", "wrong"] += 1
        self._said.event(
            logging.WARNING, "login_refused", word, reason=word, name=name or None, detail=detail
        )
        who, address = name or "nobody", address_of(request)
        if not self._recorded.wait_seconds(who, address):
            self._recorded.failed(who, address)
            result = f"refused: {printable(detail)[:200]}"
            await self._guard.record_login(request, AuditAction.LOGIN, who, result=result)
        return self._form.page(request, word, status=403)

    def _unavailable(self, request: Request, error: UnavailableError) -> HTMLResponse:
        self._said.event(logging.ERROR, "login_unavailable", detail=str(error))
        self._counts["logins", "busy"] += 1
        return self._form.page(request, "outside_away", status=503)
