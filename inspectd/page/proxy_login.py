"""Login by a reverse proxy: it says with every request who is logged in there, and in which groups."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from inspectd.errors import InputError
from inspectd.files import read_small
from inspectd.page.accounts.outside import Login, OutsidePerson
from inspectd.page.login_settings import PageProxy, entry_by, role_by

SECRET_HEADER: Final = "X-Inspectd-Proxy"  # noqa: S105 - its name
_PEER: Final = "inspectd.peer"
_SHORTEST_SECRET: Final = 16


def secret_of(setting: str, file: str) -> str:
    """What is in a file with a secret.

    Raises:
        InputError: it cannot be read, or holds none.
    """
    try:
        secret = read_small(Path(file)).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{setting}: {file} cannot be read: {error}") from error
    if len(secret) < _SHORTEST_SECRET:
        raise InputError(
            f"{setting}: {file} holds {len(secret)} characters, expected {_SHORTEST_SECRET} or more "
            "that nobody guesses"
        )
    return secret


def with_peer(app: ASGIApp) -> ASGIApp:
    """The application, before uvicorn's: it keeps who connected, where a proxy says whose request it is."""

    async def carry(scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        await app({**scope, _PEER: client[0] if client else ""}, receive, send)

    return carry


class ProxyLogin:
    """Reads whom a proxy logged in.

    A header counts only from the proxy's address and with its secret: on one host every program has that
    address.

    Raises:
        InputError: the secret cannot be read.
    """

    def __init__(self, settings: PageProxy) -> None:
        """Believe the proxy of these settings, which names a header of users."""
        self._settings = settings
        self._secret = secret_of("proxy.secret_file", settings.secret_file or "")

    def is_of_proxy(self, request: HTTPConnection) -> bool:
        """Whether the proxy itself sent a request."""
        given = request.headers.get(SECRET_HEADER, "")
        is_told = hmac.compare_digest(_text(given).encode(), self._secret.encode())
        return is_told and request.scope.get(_PEER) in self._settings.addresses

    def name(self, request: HTTPConnection) -> str:
        """Whom it logged in; empty: nobody."""
        names = request.headers.getlist(self._settings.user_header)
        return _text(names[0]).strip() if len(names) == 1 and self.is_of_proxy(request) else ""

    def person(self, request: HTTPConnection) -> OutsidePerson | None:
        """The same with a role; None: nobody is logged in there, or has a role here."""
        name = self.name(request)
        said = request.headers.getlist(self._settings.roles_header)
        groups = {group.strip() for line in said for group in _text(line).split(",")}
        entry = entry_by(self._settings.roles, groups)
        return OutsidePerson(name, role_by(entry), Login.PROXY) if name and entry is not None else None


def _text(header: str) -> str:
    """What a header says: UTF-8, as proxies send names, or else Latin-1, as which the server has read it."""
    said = header.encode("latin-1")
    try:
        return said.decode()
    except UnicodeDecodeError:
        return header
