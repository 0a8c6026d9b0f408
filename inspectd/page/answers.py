"""Answers of the page as JSON, errors among them, and the reading of what a browser sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import Any, Final, TypeVar

import msgspec
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

_Body = TypeVar("_Body")

MOST_BODY_BYTES: Final = 65_536
_BODY_SECONDS: Final = 10.0

_encoder: Final = msgspec.json.Encoder()


class _NumberConvertor(Convertor[int]):
    """`{name:number}` of a route: as many digits as numbers of verdicts have, and no more."""

    regex = "[0-9]{1,16}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("number", _NumberConvertor())


class ApiError(Exception):
    """A request that is not answered as asked.

    Attributes:
        status: of HTTP.
        what: for programs, one word.
        sentence: for people: what was wrong, and what to do.
    """

    def __init__(self, status: int, what: str, sentence: str) -> None:
        """Answer with this."""
        super().__init__(sentence)
        self.status, self.what, self.sentence = status, what, sentence

    def answer(self) -> Response:
        """The answer."""
        return json_answer({"error": self.sentence, "what": self.what}, self.status)


def json_answer(value: Any, status: int = 200) -> Response:
    """An answer of JSON, which no cache keeps."""
    return Response(_encoder.encode(value), status, {"Cache-Control": "no-store"}, "application/json")


def csv_answer(parts: AsyncIterable[bytes]) -> Response:
    """An answer of verdicts as a file, sent as its parts come, which no cache keeps."""
    headers = {"Content-Disposition": 'attachment; filename="verdicts.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(parts, media_type="text/csv; charset=utf-8", headers=headers)


async def read_body(request: Request) -> bytes:
    """All that the browser sends with a request.

    Raises:
        ApiError: it is too large, or does not come.
    """
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length[:12]) > MOST_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise ApiError(408, "too_slow", "The request did not come whole; send it again.") from None
    return bytes(body)


async def read_json(request: Request, kind: type[_Body]) -> _Body:
    """The JSON body of a request.

    Raises:
        ApiError: it is no JSON, or not what is expected.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise ApiError(415, "not_json", "Expected a body of the type application/json.")
    body = await read_body(request)
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "malformed", f"The request cannot be read: {str(error)[:200]}.") from error


def _too_large() -> ApiError:
    return ApiError(413, "too_large", f"Expected a body of at most {MOST_BODY_BYTES} bytes.")
