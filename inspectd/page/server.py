"""The page as one application: every route there is, behind one gate."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp

from inspectd.page.account_routes import AccountRoutes
from inspectd.page.accounts.attempts import LoginAttempts
from inspectd.page.accounts.outside import Login
from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.accounts.store import AccountStore
from inspectd.page.accounts.trail import PageTrail
from inspectd.page.answers import ApiError, json_answer
from inspectd.page.files import ASSETS, PageFiles
from inspectd.page.guard import Guard
from inspectd.page.line.asking import LineAsker
from inspectd.page.line.orders import OrderFile
from inspectd.page.line_routes import LineRoutes
from inspectd.page.live.hub import LiveHub
from inspectd.page.live.socket import LiveSockets
from inspectd.page.login_form import LoginForm
from inspectd.page.outside_routes import LoginProvider, OutsideRoutes
from inspectd.page.proxy_login import ProxyLogin
from inspectd.page.security import PageGate
from inspectd.page.settings import PageConfig
from inspectd.page.teach_routes import TeachRoutes
from inspectd.page.teaching import TeachingDesk

_EVERY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"]
_NO_PAGES = ("api/", "assets/", "live", "healthz", "logout")


class PageParts(msgspec.Struct, frozen=True):
    """What the application stands on.

    Attributes:
        guard: who is logged in, and who may what.
        passwords: checks passwords.
        hub: the line as it is.
        orders: the order under way.
        counts: everything that is counted, by kind and value.
    """

    guard: Guard
    passwords: PasswordChecker
    hub: LiveHub
    orders: OrderFile
    counts: Counter[tuple[str, str]]


def make_guard(settings: PageConfig, counts: Counter[tuple[str, str]], store: AccountStore) -> Guard:
    """The guard of a page with these settings.

    Raises:
        InputError: the proxy's secret cannot be read.
    """
    proxy = ProxyLogin(settings.proxy) if settings.proxy.user_header else None
    logins = {Login.OIDC} if settings.oidc.issuer else set()
    trail = PageTrail(settings.data_dir)
    line = f"{settings.line.plant}.{settings.line.name}"
    return Guard(
        store,
        trail,
        line=line,
        is_encrypted=settings.is_encrypted,
        counts=counts,
        logins=frozenset(logins),
        proxy=proxy,
    )


def _provider(settings: PageConfig) -> tuple[LoginProvider | None, dict[type[Exception], str]]:
    """The plant's provider of logins, and what its refusals are called; loaded only where one is named."""
    if not settings.oidc.issuer:
        return None, {}
    oidc = importlib.import_module("inspectd.page.oidc")
    refusals = {oidc.NotConfirmedError: "not_confirmed", oidc.NoRoleError: "no_role"}
    return oidc.OidcProvider(settings.oidc), refusals


def make_app(
    settings: PageConfig, parts: PageParts, *, more_routes: Sequence[BaseRoute] = (), assets: Path = ASSETS
) -> ASGIApp:
    """The application.

    Args:
        settings: the page's.
        parts: what it stands on.
        more_routes: of history and trends; each asks `parts.guard.allow` first.
        assets: folder of the page's files.

    Raises:
        InputError: a file of a login cannot be read.
        UnavailableError: the page's files cannot be read.
    """
    files, guard, counts = PageFiles(assets), parts.guard, parts.counts
    line = settings.line
    attempts = LoginAttempts()
    for session in reversed(guard.store.sessions()):
        attempts.know(session.user.name, session.address)
    offered = "oidc" if settings.oidc.issuer else "again" if settings.proxy.user_header else ""
    form = LoginForm(
        f"{line.plant}/{line.name}", language=settings.view.language, is_encrypted=settings.is_encrypted,
        outside=offered,
    )  # fmt: skip
    outside = OutsideRoutes(
        guard, *_provider(settings), form=form, is_encrypted=settings.is_encrypted, counts=counts
    )
    accounts = AccountRoutes(
        guard, parts.passwords, attempts, form=form, outside=outside, language=settings.view.language,
        counts=counts,
    )  # fmt: skip
    of_line = LineRoutes(
        settings, guard, hub=parts.hub, asker=LineAsker(line), orders=parts.orders, counts=counts
    )
    taught = TeachRoutes(
        guard, TeachingDesk(line.teach_socket, guard, counts), accounts.refuse_wrong_password
    )
    sockets = LiveSockets(parts.hub, guard, counts)

    async def say_healthy(_: Request) -> Response:
        return json_answer({"ok": True})

    async def show_page(request: Request) -> Response:
        path = request.path_params["path"]
        if request.method not in {"GET", "HEAD"} or path.startswith(_NO_PAGES):
            raise ApiError(404, "not_found", "There is nothing at this address.")
        if guard.account(request) is None:
            return RedirectResponse("/login", 303)
        return files.index(request)

    router = Router(
        [
            *accounts.routes,
            *outside.routes,
            *of_line.routes,
            *taught.routes,
            *sockets.routes,
            *more_routes,
            Route("/assets/{name}", files.serve, methods=["GET"]),
            Route("/healthz", say_healthy, methods=["GET"]),
            Route("/{path:path}", show_page, methods=_EVERY_METHOD),
        ],
        redirect_slashes=False,
    )
    return PageGate(
        router, origin=settings.proxy.origin or None, is_encrypted=settings.is_encrypted, counts=counts
    )
