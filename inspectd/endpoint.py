"""An HTTP endpoint in a thread of its own, with TLS and basic authentication where they are asked for.

Passwords are kept as scrypt hashes (RFC 7914) in a text file, one `user:n:r:p:salt:hash` a line.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from inspectd import log
from inspectd.config import MetricsSettings
from inspectd.errors import InputError, InspectdError
from inspectd.files import changing, read_small, write_text
from inspectd.key_files import refuse_mode

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SCRYPT: Final = (2**14, 8, 1)  # 16 MiB and some 50 ms a try; a right password is computed once
KEYS_COMMAND: Final = "inspectd keys password"
"""The command that makes the file of those who may read the metrics."""
_REQUEST_SECONDS: Final = 5.0
"""For all of a request, hand-shake and answer included, however many bytes it comes in."""

_MAX_UNHEARD: Final = 32
"""Clients that have not sent their request yet; the one that has waited longest makes room for a newcomer."""

_MAX_CLIENTS: Final = 64
_MAX_GUESSES: Final = 8
"""Passwords that are checked or wait for it: a client that waits keeps one of the places of all clients."""
_MAX_HEAD_BYTES: Final = 16_384

_log: Final = logging.getLogger(__name__)
_said: Final = log.Repeated(_log)


class TooManyGuessesError(InspectdError):
    """So many passwords are being checked that no other one can wait for it."""


class Users:
    """Names and password hashes of a file."""

    def __init__(self, file: Path, made_by: str = KEYS_COMMAND) -> None:
        """Read `file`, which the command `made_by` makes.

        Raises:
            InputError: it cannot be read, others may read it, or a line is not in its format.
        """
        self._hashes = _read(file, made_by)
        self._known: dict[str, bytes] = {}
        self._salt = secrets.token_bytes(16)
        self._lock = threading.Lock()
        self._asking: set[str] = set()
        # Guesses are checked one at a time: they must not take every core. And by one thread: the allocator
        # keeps for each thread what it once gave it, which is 16 MiB a try.
        self._checker = ThreadPoolExecutor(1, "password")

    def knows(self, user: str, password: str, asker: str = "") -> bool:
        """True if that is the user's password. A name nobody has takes as long as a wrong password.

        A password that was right before is known at once; others wait for each other, one of each `asker`.

        Args:
            user: the name.
            password: of the user, or not.
            asker: who asks, such as an address.

        Raises:
            TooManyGuessesError: no other password can wait, or this asker's last one waits still.
        """
        quick = hmac.digest(self._salt, password.encode(), "sha256")
        if hmac.compare_digest(self._known.get(user, b""), quick):
            return True
        n, r, p, salt, expected = self._hashes.get(user, (*_SCRYPT, b"nobody", b""))
        with self._lock:
            if asker in self._asking or len(self._asking) >= _MAX_GUESSES:
                raise TooManyGuessesError("too many passwords are being checked; try again")
            self._asking.add(asker)
        try:
            found = self._checker.submit(hashlib.scrypt, password.encode(), salt=salt, n=n, r=r, p=p).result()
        finally:
            with self._lock:
                self._asking.discard(asker)
        if not hmac.compare_digest(found, expected):
            return False
        self._known[user] = quick
        return True


def add_user(file: Path, user: str, password: str, made_by: str = KEYS_COMMAND) -> None:
    """Give `user` a password, in place of an earlier one, as the command `made_by` does.

    Raises:
        InputError: the file is there and cannot be used.
        UnavailableError: it cannot be written.
    """
    salt = secrets.token_bytes(16)
    n, r, p = _SCRYPT
    hashed = (n, r, p, salt, hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p))
    with changing(file):
        hashes = {**(_read(file, made_by) if file.exists() else {}), user: hashed}
        lines = _comments(file) + [
            f"{name}:{n}:{r}:{p}:{salt.hex()}:{key.hex()}\n" for name, (n, r, p, salt, key) in hashes.items()
        ]
        write_text(file, "".join(lines), 0o600)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS settings (1.2 and newer) with this certificate.

    Raises:
        InputError: a file cannot be read or is not PEM, or they do not belong together.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"metrics.tls_certificate {certificate}, metrics.tls_key {key}: cannot be used: "
            f"{error.strerror or error}; expected two PEM files that match"
        ) from error
    return context


def metrics_access(settings: MetricsSettings) -> tuple[ssl.SSLContext | None, Users | None]:
    """The certificate and the users of an endpoint for metrics, each where the settings name one.

    Raises:
        InputError: a certificate, key or users file cannot be used.
    """
    tls = None
    if settings.tls_certificate and settings.tls_key:
        tls = tls_context(Path(settings.tls_certificate), Path(settings.tls_key))
    return tls, Users(Path(settings.users_file)) if settings.users_file else None


class Endpoint:
    """Serves one WSGI application."""

    def __init__(
        self,
        app: WSGIApplication,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        users: Users | None = None,
        on_refused: Callable[[], None] = lambda: None,
    ) -> None:
        """Listen on `address`, host and port; `on_refused` is called for each client that is not let in.

        Raises:
            OSError: the address is taken or is not one of this host.
        """
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        server = type("_Server", (_Server,), {"address_family": family, "tls": tls})
        self._server: WSGIServer = server(address, _Handler)
        self._server.set_app(app if users is None else _protected(app, users, on_refused))
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening and wait for the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Visit:
    """One client's connection, from when it was accepted."""

    def __init__(self, request: socket.socket) -> None:
        self.began = time.monotonic()
        self.is_heard = False
        # Of its own: TLS takes the other one over.
        self._connection = request.dup()

    def hang_up(self) -> None:
        """End the connection; its thread sees that at its next read or write."""
        self.is_heard = True  # nobody else has to wait for it
        with contextlib.suppress(OSError):  # it ended by itself
            self._connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """The connection has ended."""
        self._connection.close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False  # a client that does not read must not hold up the stop
    tls: ssl.SSLContext | None = None

    def __init__(self, *arguments: Any) -> None:
        self._visits: dict[Any, _Visit] = {}
        self._here = threading.local()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the client a thread; hang up on the client that has kept one for longest without a request."""
        visits = list(self._visits.values())
        if len(visits) >= _MAX_CLIENTS:
            self.shutdown_request(request)
            return
        unheard = [visit for visit in visits if not visit.is_heard]
        if len(unheard) >= _MAX_UNHEARD:
            unheard[0].hang_up()
        self._visits[request] = _Visit(request)
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._visits.pop(request).close()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._here.visit = self._visits[request]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._visits.pop(request).close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands here, in the client's own thread: one that does not must not hold up the others."""
        request.settimeout(_REQUEST_SECONDS)
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def heard(self) -> None:
        """To a client's thread: its request has come whole."""
        self._here.visit.is_heard = True

    def service_actions(self) -> None:
        """A few times a second: end what takes too long in all, at whatever pace its bytes come."""
        now = time.monotonic()
        for visit in list(self._visits.values()):
            if now - visit.began > _REQUEST_SECONDS:
                visit.hang_up()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that breaks off or speaks no TLS: that is its own fault, and not logged."""


class _Head:
    """A request as far as it is read: the lines up to its body, and no more of them than a scrape has."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left_bytes = _MAX_HEAD_BYTES

    def readline(self, limit: int) -> bytes:
        line: bytes = self._file.readline(min(limit, self._left_bytes))
        self._left_bytes -= len(line)
        return line

    @property
    def is_too_long(self) -> bool:
        return self._left_bytes <= 0

    def close(self) -> None:
        self._file.close()


class _Answer:
    """An answer on its way; a client that goes over TLS, or does not read, is one that hung up."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        try:
            written: int = self._file.write(data)
        except OSError as error:
            raise BrokenPipeError(str(error)) from error
        return written


class _Run(ServerHandler):
    """One run of the application; what it raises goes to the log, as all that is said does."""

    def log_exception(self, exc_info: Any) -> None:
        """Log it."""
        path = self.request_handler.path  # type: ignore[attr-defined]  # a _Handler
        _said.event(logging.ERROR, "request_failed", exc_info=exc_info, path=path)


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        super().setup()
        self.wfile = _Answer(self.wfile)  # type: ignore[assignment]  # it is a file otherwise
        self._head = _Head(self.rfile)
        self.rfile = self._head  # type: ignore[assignment]  # all of it that is used

    def parse_request(self) -> bool:
        """Read the headers; from then on the client is owed its answer."""
        if not super().parse_request():
            return False
        if self._head.is_too_long:
            self.send_error(431)
            return False
        self.server.heard()  # type: ignore[attr-defined]  # a _Server
        return True

    def handle(self) -> None:
        """Answer one request; as the base class, but what fails is logged."""
        self.raw_requestline = self.rfile.readline(_MAX_HEAD_BYTES)
        if self.parse_request():
            run = _Run(
                self.rfile,
                self.wfile,  # type: ignore[arg-type]  # an _Answer
                self.get_stderr(),
                self.get_environ(),
                multithread=False,
            )
            run.request_handler = self  # type: ignore[attr-defined]  # it is told how the answer ended
            run.run(self.server.get_app())  # type: ignore[attr-defined]  # a _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Scrapes are not logged."""


def _protected(app: WSGIApplication, users: Users, on_refused: Callable[[], None]) -> WSGIApplication:
    """`app`, for those alone whose name and password are among `users` (RFC 7617)."""

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = _credentials(environ.get("HTTP_AUTHORIZATION", ""))
        try:
            if given is not None and users.knows(*given, environ["REMOTE_ADDR"]):
                return app(environ, start_response)
        except TooManyGuessesError as error:
            on_refused()
            start_response("503 Service Unavailable", [("Retry-After", "1"), ("Content-Type", "text/plain")])
            return [f"{error}\n".encode()]
        on_refused()
        challenge = ("WWW-Authenticate", 'Basic realm="inspectd", charset="UTF-8"')
        start_response("401 Unauthorized", [challenge, ("Content-Type", "text/plain")])
        return [b"a name and a password are needed\n"]

    return serve


def _credentials(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no ASCII, no base64, no UTF-8
        return None
    return (user, password) if colon else None


def _comments(file: Path) -> list[str]:
    """Lines a person wrote into the file; they are kept, above the users."""
    text = read_small(file).decode("utf-8-sig") if file.exists() else ""
    return [f"{line}\n" for line in text.splitlines() if line.lstrip().startswith("#")]


def _read(file: Path, made_by: str) -> dict[str, tuple[int, int, int, bytes, bytes]]:
    try:
        text = read_small(file).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise InputError(f"{file}: cannot be read: {reason}; `{made_by}` makes it") from error
    refuse_mode(file, 0o077, "600")
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, n, r, p, salt, key = line.split(":")
            users[name] = int(n), int(r), int(p), bytes.fromhex(salt), bytes.fromhex(key)
        except ValueError as error:
            raise InputError(
                f"{file}, line {number}: is not in the format that `{made_by}` writes"
            ) from error
    return users
