"""A provider of logins that answers late, without end or with anything: it is said, and holds up nobody."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from support.ports import free_port

from inspectd.errors import UnavailableError
from inspectd.page.login_settings import PageOidc
from inspectd.page.oidc import NotConfirmedError, OidcProvider

METADATA, TOKEN, KEYS = "/.well-known/openid-configuration", "/token", "/keys"
KEY = RSAKey.generate_key(2048, {"kid": "1"})
CURVE = {"kty": "EC", "kid": "2", "crv": "P-9", "x": "AA", "y": "AA"}
Answer = bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


class Shapes:
    """A provider on loopback that answers as a test says."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.issuer = f"http://127.0.0.1:{port}"
        self.metadata = {
            "issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": self.issuer + TOKEN, "jwks_uri": self.issuer + KEYS,
        }  # fmt: skip
        self.well: dict[str, Answer] = {METADATA: http(msgspec.json.encode(self.metadata))}
        self.answers = dict(self.well)
        self.asked: list[str] = []

    def page(self, answer_seconds: float = 10.0) -> OidcProvider:
        oidc = PageOidc(issuer=self.issuer, client_id="page", origin="http://127.0.0.1:1")
        return OidcProvider(oidc, answer_seconds=answer_seconds)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split()[1].decode())
            answer = self.answers[self.asked[-1]]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (OSError, EOFError):
            pass  # the page has heard enough
        finally:
            writer.close()


@asynccontextmanager
async def shapes() -> AsyncIterator[Shapes]:
    provider = Shapes(free_port())
    async with asyncio.timeout(30):
        server = await asyncio.start_server(provider.answer, "127.0.0.1", provider.port)
        try:
            yield provider
        finally:
            server.close()


async def end(page: OidcProvider) -> None:
    """End a login as the browser does that the provider sends back."""
    address, state = await page.begin()
    assert parse_qs(urlsplit(address).query)["state"] == [state]
    await page.end(state, state, "a code")


def test_a_provider_that_answers_without_end_is_given_up_and_holds_up_nobody() -> None:
    async def run() -> None:
        async with shapes() as provider:
            provider.answers[METADATA] = drip
            page = provider.page(0.3)
            told = await asyncio.gather(*(page.begin() for _ in range(20)), return_exceptions=True)
            assert {type(each) for each in told} == {UnavailableError}
            assert provider.asked == [METADATA], "each waited for an answer of its own, one after the other"
            provider.answers = {**provider.well, TOKEN: drip}
            with pytest.raises(UnavailableError, match="token: TimeoutError"):
                await end(page)
            page = provider.page()
            await page.begin()
            provider.answers |= {TOKEN: http(b'{"id_token": "a.b.c"}'), KEYS: drip}
            waiting = asyncio.create_task(end(page))
            while provider.asked[-1] != KEYS:
                await asyncio.sleep(0.01)
            await page.begin()  # while that one waits for keys
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        http(b"<html>", "500 Internal Server Error"),
        http(b"", "502 Bad Gateway"),
        http(b"", "302 Found", "Location: /token\r\n"),
        http(b""),
        http(b"[1]"),
        http(b'{"a":' * 30_000),
    ],
)
def test_a_token_endpoint_that_gives_no_answer_of_use_is_said_to_be_away(answer: bytes) -> None:
    async def run() -> None:
        async with shapes() as provider:
            provider.answers[TOKEN] = answer
            with pytest.raises(UnavailableError, match=TOKEN):
                await end(provider.page())

    asyncio.run(run())


@pytest.mark.parametrize("where", [METADATA, TOKEN])
def test_an_answer_is_taken_up_to_a_bound_and_not_unpacked(where: str) -> None:
    async def pour(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65_536))
            await writer.drain()

    packed = http(gzip.compress(bytes(64 << 20)), more="Content-Encoding: gzip\r\n")

    async def run() -> None:
        async with shapes() as provider:
            for answer, told in ((pour, "more than"), (packed, "JSON")):
                provider.answers[where] = answer
                tracemalloc.start()
                try:
                    with pytest.raises(UnavailableError, match=f"{where}.*{told}"):
                        await end(provider.page())
                    assert tracemalloc.get_traced_memory()[1] < 16 << 20
                finally:
                    tracemalloc.stop()

    asyncio.run(run())


@pytest.mark.parametrize("body", [b'{"error": "invalid_grant"}', b"<html>", b"5"])
def test_a_token_endpoint_that_refuses_confirms_nobody(body: bytes) -> None:
    async def run() -> None:
        async with shapes() as provider:
            provider.answers[TOKEN] = http(body, "400 Bad Request")
            with pytest.raises(NotConfirmedError, match="refuses"):
                await end(provider.page())

    asyncio.run(run())


@pytest.mark.parametrize(
    "body", [{"expires_in": [1]}, {"id_token": "a.b.c", "expires_in": [1]}, {"id_token": 5}]
)
def test_a_token_of_no_known_shape_confirms_nobody(body: dict[str, object]) -> None:
    async def run() -> None:
        async with shapes() as provider:
            provider.answers |= {
                TOKEN: http(msgspec.json.encode(body)),
                KEYS: http(msgspec.json.encode({"keys": [KEY.as_dict(private=False)]})),
            }
            with pytest.raises(NotConfirmedError, match="id_token"):
                await end(provider.page())

    asyncio.run(run())


@pytest.mark.parametrize("keys", [{}, {"keys": 5}, {"keys": [5]}, {"keys": [{"kty": []}]}, {"keys": [CURVE]}])
def test_keys_that_cannot_be_used_are_left_out_and_without_any_the_provider_is_away(keys: object) -> None:
    async def run() -> None:
        async with shapes() as provider:
            token = jwt.encode({"alg": "RS256", "kid": "1"}, {"iss": "another"}, KEY)
            provider.answers |= {
                TOKEN: http(msgspec.json.encode({"id_token": token})),
                KEYS: http(msgspec.json.encode(keys)),
            }
            with pytest.raises(UnavailableError, match="no key that can be used"):
                await end(provider.page())
            provider.answers[KEYS] = http(msgspec.json.encode({"keys": [CURVE, KEY.as_dict(private=False)]}))
            with pytest.raises(NotConfirmedError, match="iss"):  # its signature is right
                await end(provider.page())

    asyncio.run(run())


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("address", ["/token", "", "ftp://x/", "http://[bad", "http://a:99999/", None, 5])
def test_a_provider_that_names_an_address_of_no_use_is_away(name: str, address: object) -> None:
    async def run() -> None:
        async with shapes() as provider:
            provider.answers[METADATA] = http(msgspec.json.encode({**provider.metadata, name: address}))
            with pytest.raises(UnavailableError, match=name):
                await provider.page().begin()

    asyncio.run(run())


@pytest.mark.parametrize("state", ["\u00b2.x", "\u0663.x", "", ".", "1" * 5000 + ".x", "-1.x"])
def test_a_state_that_the_page_never_gave_is_refused(state: str) -> None:
    async def run() -> None:
        async with shapes() as provider:
            with pytest.raises(NotConfirmedError, match="another browser"):
                await provider.page().end(state, state, "a code")

    asyncio.run(run())
