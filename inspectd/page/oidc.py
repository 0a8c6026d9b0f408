"""Login at an OpenID Connect provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636).

What belongs to one login (state, nonce, code verifier) is kept by the browser that began it: the state in a
cookie, the others derived from it by a key of this process. So logins that nobody ends take no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import re
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx
import msgspec
from authlib.oauth2 import ClientAuth, OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet

from inspectd.errors import InputError, UnavailableError
from inspectd.page.accounts.outside import Login, OutsidePerson
from inspectd.page.login_settings import PageOidc, entry_by, given_by, is_web_address, role_by
from inspectd.page.proxy_login import secret_of

RETURN_PATH: Final = "/login/oidc/return"
LOGIN_SECONDS: Final = 600.0
"""A login that was begun is ended within it, or begun anew."""
_ALGORITHMS: Final = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]
"""None of a shared secret, and not `none`."""
_MOST_BYTES: Final = 262_144
"""Of an answer: one of metadata, keys or a token has a few kilobytes."""
_REFUSALS: Final = {400, 401}
"""Statuses by which a provider refuses a code or a client (RFC 6749, section 5.2)."""
_FORM: Final = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
_LEEWAY_SECONDS: Final = 60
_KNOWN_SECONDS: Final = 3600.0
_KEYS_SECONDS: Final = 10.0
"""Keys are asked for again at most so often, whatever tokens name."""
_UNREADABLE: Final = (JoseError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
"""What the libraries raise of tokens and keys that are of no known shape."""
_AGAIN: Final = "a"
_BEGAN: Final = re.compile(rf"([0-9]{{1,12}}){_AGAIN}?\.")
"""Of a state: when the login began, and whether the password is to be given."""
_OPEN_SECONDS: Final = 30 * 86_400
"""A provider's login that is older is asked to be a new one; that it is asked has it say `auth_time`."""
_NO_TIME: Final = 2**40
"""Seconds since 1970 of no year that anybody lives in."""
_METADATA: Final = "/.well-known/openid-configuration"


class NotConfirmedError(Exception):
    """The provider did not confirm who it is: refused there, forged, or too late."""


class NoRoleError(Exception):
    """The provider knows the person, and no group of theirs gives a role here.

    Attributes:
        name: what the person is called there.
    """

    def __init__(self, name: str) -> None:
        """Of this person."""
        super().__init__(name)
        self.name = name


class OidcProvider:
    """The plant's provider.

    Args:
        settings: with an issuer.
        clock: seconds on a clock that never goes back.
        clock_ms: milliseconds since 1970, UTC.
        answer_seconds: for the whole of each answer: one that comes a byte at a time would never end.

    Raises:
        InputError: the client's secret or the certificate cannot be read.
    """

    def __init__(
        self,
        settings: PageOidc,
        clock: Callable[[], float] = time.monotonic,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        answer_seconds: float = 10.0,
    ) -> None:
        self._settings, self._clock, self._clock_ms = settings, clock, clock_ms
        self._answer_seconds = answer_seconds
        file = settings.client_secret_file
        self._secret = None if file is None else secret_of("oidc.client_secret_file", file)
        try:
            self._trust = ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise InputError(f"oidc.ca_file: {settings.ca_file} cannot be used: {error}") from error
        self._key = secrets.token_bytes(32)
        self._turn = asyncio.Lock()
        self._failures, self._failure = 0, ""
        self._metadata: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._metadata_at = self._keys_at = float("-inf")

    # --- a login ------------------------------------------------------------------------------------------

    async def begin(self, *, again: bool = False) -> tuple[str, str]:
        """The address to send the browser to, and the state that it keeps.

        Args:
            again: the person is to give the password there, even if logged in there already.

        Raises:
            UnavailableError: the provider does not answer.
        """
        state = f"{int(self._clock())}{_AGAIN if again else ''}.{secrets.token_urlsafe(32)}"
        metadata = await self._known()
        more = {"prompt": "login", "max_age": 0} if again else {"max_age": _OPEN_SECONDS}
        client = OAuth2Client(
            None, self._settings.client_id, scope=self._settings.scope, redirect_uri=self._return_address,
            code_challenge_method="S256",
        )  # fmt: skip
        try:
            address, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=state,
                nonce=self._derived("nonce", state),
                code_verifier=self._derived("verifier", state),
                **more,
            )
        except ValueError as error:
            raise UnavailableError(f"{self._settings.issuer}: authorization_endpoint: {error}") from error
        return str(address), state

    async def end(self, state: str, kept: str, code: str) -> OutsidePerson:
        """Who has logged in.

        Args:
            state: that the provider sent back.
            kept: the state that this browser began with; empty: it began none.
            code: of the provider.

        Raises:
            NotConfirmedError: it is not this browser's login, too late, or not confirmed.
            NoRoleError: the person has no role here.
            UnavailableError: the provider does not answer.
        """
        age = self._age(state, kept)
        token = await self._token(code, self._derived("verifier", state))
        claims = await self._claims(token, self._derived("nonce", state))
        person = self._person(claims)
        if state.partition(".")[0].endswith(_AGAIN) and person.asked_ms < self._clock_ms() - age * 1000:
            # Whoever sits there can cut `prompt=login` out of the address: what the provider signed counts.
            raise NotConfirmedError("no auth_time in its id_token says that the password was given anew")
        return person

    async def _claims(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        given = token.get("id_token")
        if not isinstance(given, str):
            raise NotConfirmedError("the provider gave no id_token")
        try:
            decoded = await self._decoded(given)
            settings = self._settings
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": settings.issuer},
                    "aud": {"essential": True, "value": settings.client_id},
                    "nonce": {"essential": True, "value": nonce},
                },
                params={
                    "nonce": nonce,
                    "client_id": settings.client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(leeway=_LEEWAY_SECONDS)
        except _UNREADABLE as error:
            raise NotConfirmedError(f"its id_token does not hold: {type(error).__name__}: {error}") from error
        return dict(claims)

    async def _decoded(self, given: str) -> jwt.Token:
        """A token whose signature is right, by the keys that are known or those the provider has now."""
        try:
            return jwt.decode(given, await self._known_keys(), algorithms=_ALGORITHMS)
        except _UNREADABLE:
            if self._clock() - self._keys_at < _KEYS_SECONDS:
                raise
        self._keys = None  # it may have changed its keys
        return jwt.decode(given, await self._known_keys(), algorithms=_ALGORITHMS)

    def _person(self, claims: dict[str, Any]) -> OutsidePerson:
        name, subject = claims.get(self._settings.name_claim), claims.get("sub")
        if not (isinstance(name, str) and isinstance(subject, str) and subject and subject.isprintable()):
            raise NotConfirmedError(f"its id_token has no text as sub or {self._settings.name_claim}")
        entry = entry_by(self._settings.roles, _texts(claims, self._settings.roles_claim))
        if entry is None:
            raise NoRoleError(name)
        asked = claims.get("auth_time")
        asked_ms = int(asked * 1000) if isinstance(asked, int | float) and 0 < asked < _NO_TIME else 0
        origin = f"{Login.OIDC} {self._settings.issuer} {subject}"
        return OutsidePerson(name, role_by(entry), origin, asked_ms, given_by(self._settings, entry))

    def _age(self, state: str, kept: str) -> float:
        """Seconds since this browser began a login, and what provider's and own clock may differ by."""
        began = _BEGAN.match(state)
        age = -1.0 if began is None else self._clock() - int(began[1])
        if not 0 <= age <= LOGIN_SECONDS or not hmac.compare_digest(state.encode(), kept.encode()):
            raise NotConfirmedError("another browser began this login, or it took too long")
        return age + _LEEWAY_SECONDS

    def _derived(self, what: str, state: str) -> str:
        """43 characters of the URL-safe alphabet, as RFC 7636 has it at the least."""
        return hmac.new(self._key, f"{what} {state}".encode(), hashlib.sha256).hexdigest()

    # --- the provider -------------------------------------------------------------------------------------

    @property
    def _return_address(self) -> str:
        return f"{self._settings.origin}{RETURN_PATH}"

    async def _token(self, code: str, verifier: str) -> dict[str, Any]:
        """What the provider gives for a code."""
        address = (await self._known())["token_endpoint"]
        asked = prepare_token_request(
            "authorization_code", code=code, code_verifier=verifier, redirect_uri=self._return_address
        )
        way = "client_secret_basic" if self._secret else "none"
        client = ClientAuth(self._settings.client_id, self._secret, way)
        _, headers, form = client.prepare("POST", address, dict(_FORM), asked)
        return await self._asked(address, headers, form)

    @asynccontextmanager
    async def _in_turn(self) -> AsyncIterator[None]:
        """One at a time asks; whoever waited for one that failed hears the same, and waits no second time."""
        failures = self._failures
        async with self._turn:
            if self._failures != failures:
                raise UnavailableError(self._failure)
            try:
                yield
            except UnavailableError as error:
                self._failures, self._failure = self._failures + 1, str(error)
                raise

    async def _known(self) -> dict[str, Any]:
        """What the provider says of itself."""
        if self._clock() - self._metadata_at <= _KNOWN_SECONDS:
            return self._metadata  # at once: in turn, another login may wait for keys
        async with self._in_turn():
            if self._clock() - self._metadata_at > _KNOWN_SECONDS:
                found = await self._asked(f"{self._settings.issuer.rstrip('/')}{_METADATA}")
                if found.get("issuer") != self._settings.issuer:
                    raise UnavailableError(
                        f"oidc.issuer: the provider calls itself {found.get('issuer')!r}, expected "
                        f"{self._settings.issuer!r}, letter by letter"
                    )
                wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
                for name in wanted:
                    if not is_web_address(found.get(name)):
                        raise UnavailableError(
                            f"{self._settings.issuer}: says {str(found.get(name))[:200]!r} as {name}, "
                            "expected https://HOST/..."
                        )
                self._metadata, self._metadata_at = found, self._clock()
            return self._metadata

    async def _known_keys(self) -> KeySet:
        metadata = await self._known()
        async with self._in_turn():
            if self._keys is None or self._clock() - self._keys_at > _KNOWN_SECONDS:
                self._keys_at = self._clock()
                address = metadata["jwks_uri"]
                keys = _keys_of(await self._asked(address))
                if not keys:
                    raise UnavailableError(f"{address}: answers with no key that can be used")
                self._keys = KeySet(keys)
            return self._keys

    async def _asked(
        self, address: str, headers: dict[str, str] | None = None, form: str | None = None
    ) -> dict[str, Any]:
        """The object that the provider answers with.

        Args:
            address: where.
            headers: of the request.
            form: posted; None: it is only asked.

        Raises:
            NotConfirmedError: it refuses the form.
            UnavailableError: it does not answer, or with something else.
        """
        method = "GET" if form is None else "POST"
        try:
            async with (
                asyncio.timeout(self._answer_seconds),
                httpx.AsyncClient(
                    timeout=self._answer_seconds, verify=self._trust, trust_env=False
                ) as client,
                # Compressed, a small answer could be a huge one: none is asked for, or unpacked.
                client.stream(
                    method, address, headers={**(headers or {}), "Accept-Encoding": "identity"}, content=form
                ) as answer,
            ):
                body = bytearray()
                async for piece in answer.aiter_raw():
                    body += piece
                    if len(body) > _MOST_BYTES:
                        raise UnavailableError(f"{address}: answers with more than {_MOST_BYTES} bytes")
            if form is not None and answer.status_code in _REFUSALS:
                raise NotConfirmedError(f"the provider refuses: {body[:200].decode(errors='replace')}")
            answer.raise_for_status()
            return msgspec.json.decode(body, type=dict[str, Any])
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            raise UnavailableError(f"{address}: {str(error) or type(error).__name__}") from error


def _keys_of(found: dict[str, Any]) -> list[Key]:
    """A provider's keys; one that is not understood is left out, as RFC 7517 has it (section 5)."""
    listed, keys = found.get("keys"), list[Key]()
    for each in listed if isinstance(listed, list) else []:
        with contextlib.suppress(*_UNREADABLE):
            keys += KeySet.import_key_set({"keys": [each]}).keys
    return keys


def _texts(claims: dict[str, Any], name: str) -> list[str]:
    """The texts of a claim, by its name, or within another where the name has dots."""
    found: Any = claims
    if name in claims:
        found = claims[name]
    else:
        for step in name.split("."):
            found = found.get(step) if isinstance(found, dict) else None
    listed = found if isinstance(found, list) else [found]
    return [each for each in listed if isinstance(each, str)]
