"""The page's own files: read once at the start, named by their content, and nothing else is ever served."""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from inspectd.errors import UnavailableError
from inspectd.page.answers import ApiError

ASSETS: Final = Path(__file__).with_name("assets")
_LOGIN_CSS: Final = Path(__file__).with_name("login.css")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
_NAMED: Final = re.compile(r"/assets/([A-Za-z0-9._-]+)")
_IMMUTABLE: Final = "public, max-age=31536000, immutable"


class PageFile(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        content: of it.
        packed: the same by gzip; empty where that is not smaller.
        kind: its media type.
        sha256: of its content.
    """

    content: bytes
    packed: bytes
    kind: str
    sha256: str


class PageFiles:
    """The files of a folder, and the one document that browsers get for every address of the page.

    Args:
        folder: with `index.html` and what it names; nothing below it.

    Raises:
        UnavailableError: they cannot be read.
    """

    def __init__(self, folder: Path = ASSETS) -> None:
        self._files: dict[str, PageFile] = {}
        try:
            found = sorted(folder.iterdir()) if folder.is_dir() else []
            for path in (*found, _LOGIN_CSS):
                if path.suffix in _TYPES and path.is_file():
                    self._files[path.name] = _file(path.read_bytes(), _TYPES[path.suffix])
            index = folder / "index.html"
            text = index.read_text(encoding="utf-8") if index.is_file() else None
        except (OSError, UnicodeDecodeError) as error:
            raise UnavailableError(f"{folder}: the page's files cannot be read: {error}") from error
        self._index = (
            None if text is None else _file(self._versioned(text).encode(), "text/html; charset=utf-8")
        )

    async def serve(self, request: Request) -> Response:
        """One of the files, by its name."""
        name = request.path_params["name"]
        file = self._files.get(name)
        if file is None:
            raise ApiError(404, "not_found", "There is no such file.")
        is_exact = request.query_params.get("v") == file.sha256[:16]
        return _answer(request, file, _IMMUTABLE if is_exact else "no-cache")

    def index(self, request: Request) -> Response:
        """The document.

        Raises:
            ApiError: it is not installed.
        """
        if self._index is None:
            raise ApiError(503, "not_built", "The page's files are missing: install inspectd anew.")
        return _answer(request, self._index, "no-cache")

    def _versioned(self, text: str) -> str:
        """Names of files with their digest, so that a browser keeps each for ever and never an old one."""

        def name(found: re.Match[str]) -> str:
            file = self._files.get(found[1])
            return found[0] if file is None else f"{found[0]}?v={file.sha256[:16]}"

        return _NAMED.sub(name, text)


def _file(content: bytes, kind: str) -> PageFile:
    packed = gzip.compress(content, mtime=0)
    return PageFile(
        content, packed if len(packed) < len(content) else b"", kind, hashlib.sha256(content).hexdigest()
    )


def _answer(request: Request, file: PageFile, caching: str) -> Response:
    tag = f'"{file.sha256[:32]}"'
    headers = {"Cache-Control": caching, "ETag": tag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    is_packed = bool(file.packed) and "gzip" in request.headers.get("accept-encoding", "")
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return Response(file.packed if is_packed else file.content, 200, headers, file.kind)
