"""What holds for every request: headers of its answer, where it may come from, errors without traceback."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspectd import log
from inspectd.errors import InspectdError
from inspectd.page.answers import ApiError
from inspectd.page.login_settings import is_loopback

# No Strict-Transport-Security: it holds for every port of a host, and would take from browsers what else the
# line's host serves without TLS, such as Grafana. The page itself answers nothing without it.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: a form of such a page is sent with `Origin: null`, and the login would be refused.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_SAFE: Final = frozenset({"GET", "HEAD"})
_REFUSED_WEBSOCKET: Final = 4403
_FAILED_WEBSOCKET: Final = 1011

_log: Final = logging.getLogger(__name__)
_said: Final = log.Repeated(_log)


class PageGate:
    """ASGI application before the page's own: whatever it lets in comes from the page itself.

    Args:
        app: the page's routes.
        origin: what browsers call the page; None: `http(s)://` and the host they ask for.
        is_encrypted: the page is reached over TLS alone.
        counts: where answers by status and refusals are counted.
    """

    def __init__(
        self, app: ASGIApp, *, origin: str | None, is_encrypted: bool, counts: Counter[tuple[str, str]]
    ) -> None:
        self._app, self._origin, self._counts = app, origin, counts
        self._is_encrypted = is_encrypted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or carry one WebSocket."""
        if scope["type"] == "websocket":
            if not self._is_own(scope):
                self._counts["refused", "origin"] += 1
                await send({"type": "websocket.close", "code": _REFUSED_WEBSOCKET})
                return
            try:
                await self._app(scope, receive, send)
            except InspectdError as error:  # the disk of the sessions; the tab connects again by itself
                log.event(_log, logging.ERROR, "tab_failed", detail=str(error))
                await send({"type": "websocket.close", "code": _FAILED_WEBSOCKET})
            return
        if scope["type"] != "http":
            return
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                self._counts["answers", f"{message['status'] // 100}xx"] += 1
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        if not (self._is_own(scope) if scope["method"] not in _SAFE else self._may_look(scope)):
            self._counts["refused", "origin"] += 1
            foreign = ApiError(403, "origin", "The request does not come from this page; open the page anew.")
            await foreign.answer()(scope, receive, send_with_headers)
            return
        try:
            await self._app(scope, receive, send_with_headers)
        except ApiError as error:
            await self._say(error, scope, receive, send_with_headers, has_begun=has_begun)
        except InspectdError as error:
            # It names files of the host: for the log, and not for whoever is at the login.
            _said.event(logging.ERROR, "unavailable", path=scope["path"], detail=str(error))
            self._counts["refused", "fault"] += 1
            said = ApiError(503, "unavailable", "The page cannot do this now; its log says why. Try again.")
            await self._say(said, scope, receive, send_with_headers, has_begun=has_begun)
        except ClientDisconnect:  # its request broke off: there is nobody to answer
            self._counts["refused", "broken_off"] += 1
        except Exception as error:  # noqa: BLE001 - logged, counted and said; one request must not end the page
            _said.event(
                logging.ERROR, "request_failed", type(error).__name__, exc_info=error, path=scope["path"]
            )
            self._counts["refused", "fault"] += 1
            said = ApiError(500, "fault", "The page has a fault; its log says more. Try again.")
            await self._say(said, scope, receive, send_with_headers, has_begun=has_begun)

    async def _say(
        self, error: ApiError, scope: Scope, receive: Receive, send: Send, *, has_begun: bool
    ) -> None:
        if has_begun:  # what is cut off must not look whole: the server ends the connection
            raise error
        await error.answer()(scope, receive, send)

    def _is_own(self, scope: Scope) -> bool:
        """Whether the browser says that the page itself made the request."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not self._is_encrypted and not is_loopback(_host_of(headers)):
            # No certificate binds the page to its name: another site's may have been turned to this host.
            _said.event(logging.WARNING, "foreign_host", host=headers.get("host"), path=scope["path"])
            return False
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        expected = self._origin or f"{scheme}://{headers.get('host', '')}"
        if origin is None or origin.lower() != expected.lower():
            _said.event(
                logging.WARNING, "foreign_origin", origin=origin, expected=expected, path=scope["path"]
            )
            return False
        return headers.get("sec-fetch-site", "same-origin") == "same-origin"

    def _may_look(self, scope: Scope) -> bool:
        """What only looks may come from anywhere but a page of another site, such as this host's other ports.

        Cookies know no ports: such a page could have exports made, and recorded, in a person's name.
        """
        if not scope["path"].startswith("/api/"):
            return True
        return is_own_look(Headers(scope=scope))


def is_own_look(headers: Headers) -> bool:
    """Whether a person or the page itself asks, and no page of another site."""
    return headers.get("sec-fetch-site", "none") in {"same-origin", "none"}


def _host_of(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""
