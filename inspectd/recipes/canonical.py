"""Canonical JSON and the digest over it, which seal versions of recipes and records of the audit file.

Canonical: UTF-8, keys in order, no spaces. Digests are worked out from what a file holds and not from our
structs, so that files of today stay whole when a later version of this program knows more fields.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

SHA256: Final = "sha256"
"""The field that holds the digest over all others."""

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", extra={"words": "64 of 0-9 and a-f"})]


def canonical_json(fields: dict[str, Any]) -> bytes:
    """`fields` as canonical JSON."""
    return msgspec.json.encode(fields, order="sorted")


def sealing_sha256(fields: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of all `fields` but `sha256`."""
    rest = {name: value for name, value in fields.items() if name != SHA256}
    return hashlib.sha256(canonical_json(rest)).hexdigest()


def json_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`.

    Raises:
        ValueError: it is none; the text says why.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004 - one kind of error for whoever reads files
    return value
