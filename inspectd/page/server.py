"""The page as one application: every route there is, behind one gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from inspectd.page.accounts.passwords import PasswordChecker
from inspectd.page.files import ASSETS
from inspectd.page.guard import Guard
from inspectd.page.line.asking import LineAsker
from inspectd.page.line.orders import OrderFile
from inspectd.page.line_routes import LineRoutes
from inspectd.page.live.hub import LiveHub
from inspectd.page.live.socket import LiveSockets
from inspectd.page.settings import PageConfig
from inspectd.page.site import PageSite
from inspectd.page.teach_routes import TeachRoutes
from inspectd.page.teaching import TeachingDesk


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
    guard, counts, line = parts.guard, parts.counts, settings.line
    site = PageSite(settings, guard, parts.passwords, counts, assets)
    of_line = LineRoutes(
        settings, guard, hub=parts.hub, asker=LineAsker(line), orders=parts.orders, counts=counts
    )
    desk = TeachingDesk(line.teach_socket, f"{line.plant}/{line.name}", guard)
    taught = TeachRoutes(guard, desk, site.accounts.refuse_wrong_password)
    sockets = LiveSockets(parts.hub, guard, counts)
    return site.app([*of_line.routes, *taught.routes, *sockets.routes, *more_routes])
