"""What every site in browsers stands on: logins, accounts, files, and one gate before all of it."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from inspectd.page.account_routes import AccountRoutes
from inspectd.page.accounts.attempts import LoginAttempts
from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.store import AccountStore
from inspectd.page.accounts.trail import PageTrail
from inspectd.page.answers import ApiError, json_answer
from inspectd.page.files import ASSETS, PageFiles
from inspectd.page.guard import Guard
from inspectd.page.login_form import LoginForm
from inspectd.page.login_settings import PageOidc, PageProxy, given_by
from inspectd.page.outside_routes import LoginProvider, OutsideRoutes
from inspectd.page.proxy_login import ProxyLogin
from inspectd.page.security import PageGate
from inspectd.page.settings import PageServer, SiteView

_EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
_NO_PAGES = ("api/", "assets/", "live", "healthz", "logout")


class SiteSettings(Protocol):
    """Settings of a site: of a line's page, or of the hub."""

    @property
    def server(self) -> PageServer:
        """Where browsers reach it."""

    @property
    def proxy(self) -> PageProxy:
        """A proxy before it."""

    @property
    def oidc(self) -> PageOidc:
        """A provider of logins."""

    @property
    def view(self) -> SiteView:
        """Times and language."""

    @property
    def data_dir(self) -> Path:
        """Where users and sessions are kept."""

    @property
    def is_encrypted(self) -> bool:
        """Browsers reach it over TLS."""

    @property
    def site(self) -> str:
        """What it is called in names of cookies."""

    @property
    def title(self) -> str:
        """What the login is headed by."""


def make_guard(settings: SiteSettings, counts: Counter[tuple[str, str]], store: AccountStore) -> Guard:
    """The guard of a site with these settings.

    Raises:
        InputError: the proxy's secret cannot be read.
    """
    proxy = proxy_of(settings.proxy)
    oidc = settings.oidc
    return Guard(
        store,
        PageTrail(settings.data_dir),
        line=settings.site,
        is_encrypted=settings.is_encrypted,
        counts=counts,
        given_by=frozenset(given_by(oidc, entry) for entry in oidc.roles if oidc.issuer),
        proxy=proxy,
    )


def proxy_of(proxy: PageProxy) -> ProxyLogin | None:
    """Reads whom the proxy logged in; None: it logs in nobody.

    Raises:
        InputError: the proxy's secret cannot be read.
    """
    return ProxyLogin(proxy) if proxy.user_header else None


class PageSite:
    """Logins, accounts and files of a site.

    Args:
        settings: the site's.
        guard: who is logged in, and who may what.
        passwords: checks passwords.
        counts: everything that is counted, by kind and value.
        assets: folder of the site's files.

    Attributes:
        accounts: routes of login and accounts.

    Raises:
        InputError: a file of a login cannot be read.
        UnavailableError: the site's files cannot be read.
    """

    def __init__(
        self, settings: SiteSettings, guard: Guard, passwords: PasswordChecker,
        counts: Counter[tuple[str, str]], assets: Path = ASSETS,
    ) -> None:  # fmt: skip
        self._settings, self._guard, self._counts = settings, guard, counts
        self._files = PageFiles(assets)
        attempts = LoginAttempts()
        for session in reversed(guard.store.sessions()):
            attempts.know(session.user.name, session.address)
        offered = "oidc" if settings.oidc.issuer else "again" if settings.proxy.user_header else ""
        form = LoginForm(
            settings.title, language=settings.view.language, is_encrypted=settings.is_encrypted,
            outside=offered,
        )  # fmt: skip
        self._outside = OutsideRoutes(
            guard, *provider_of(settings.oidc), form=form, is_encrypted=settings.is_encrypted, counts=counts
        )
        self.accounts = AccountRoutes(
            guard, passwords, attempts, form=form, outside=self._outside, language=settings.view.language,
            counts=counts,
        )  # fmt: skip

    def app(self, routes: Sequence[BaseRoute]) -> ASGIApp:
        """The application: the site's own `routes`, each of which asks the guard first, and what all have."""
        router = Router(
            [
                *self.accounts.routes,
                *self._outside.routes,
                *routes,
                Route("/assets/{name}", self._files.serve, methods=["GET"]),
                Route("/healthz", _say_healthy, methods=["GET"]),
                Route("/{path:path}", self._show_page, methods=_EVERY_METHOD),
            ],
            redirect_slashes=False,
        )
        return PageGate(
            router,
            origin=self._settings.proxy.origin or None,
            is_encrypted=self._settings.is_encrypted,
            counts=self._counts,
        )

    async def _show_page(self, request: Request) -> Response:
        path = request.path_params["path"]
        if request.method not in {"GET", "HEAD"} or path.startswith(_NO_PAGES):
            raise ApiError(404, "not_found", "There is nothing at this address.")
        if self._guard.account(request) is None:
            return RedirectResponse("/login", 303)
        return self._files.index(request)


async def _say_healthy(_: Request) -> Response:
    return json_answer({"ok": True})


def provider_of(oidc: PageOidc) -> tuple[LoginProvider | None, dict[type[Exception], str]]:
    """The plant's provider of logins, and what its refusals are called; loaded only where one is named.

    Raises:
        InputError: a file of it cannot be read.
    """
    if not oidc.issuer:
        return None, {}
    module = importlib.import_module("inspectd.page.oidc")
    refusals = {module.NotConfirmedError: "not_confirmed", module.NoRoleError: "no_role"}
    return module.OidcProvider(oidc), refusals
