"""A verdict as it is kept. Pure."""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from inspectd import wire
from inspectd.wire import PartVerdict, Verdict

Numbered = Verdict | PartVerdict

_SAFE_INTEGER: Final = 2**53
"""A browser's numbers are exact up to here; larger ones go as text."""
_ALWAYS_TEXT: Final = "_ns"
"""Fields that end so go as text always, and never as a number now and a text then."""

_DICTIONARY: Final = (
    b'{"schema":"part/1","plant":"","line":"","epoch":17,"seq":,"trigger_id":"","part_id":"","encoder_count":null,'
    b'"triggered_utc_ns":17,"views":[{"camera":"","seq":,"evaluation":"undecidable","reason":"missed_trigger",'
    b'"second_look":false,"region":null}],"journaled":true,"second_look":false}'
    b'{"schema":"verdict/1","plant":"","line":"","camera":"","epoch":17,"seq":,"inspection_id":,'
    b'"frame_generation":1,"frame_seq":,"evaluation":"fail","reason":"above_threshold","evaluation":"pass",'
    b'"reason":"within_threshold","score":1.,"threshold":2.,"captured_utc_ns":17,"decided_utc_ns":17,'
    b'"latency_ms":,"deadline_ms":500.0,"late":false,"recipe":"","bank_sha256":"","dropped_before":0,'
    b'"heatmap":{"height":32,"width":32,"dtype":"float16"},"trigger_id":null,"part_id":null,'
    b'"encoder_count":null,"frame_sha256":"","label":null,"source":null,"deadline_margin_ms":,'
    b'"triggered_utc_ns":null,"recipe_sha256":"","software":"","journaled":true,"second_look":false,'
    b'"recipe_version":null,"device":null,"region":null,"rectangle":null}'
)
"""What most verdicts have in common; part of the file's format, as a change makes old rows unreadable."""


class RowKind(StrEnum):
    """What a row is the judgement of."""

    FRAME = "frame"
    """One camera's view, or a region of it."""
    PART = "part"
    """A triggered part over all its views."""


class Group(NamedTuple):
    """What rows can be asked for by, beside time, score and part; rows that agree in it share a number."""

    kind: str
    camera: str
    """Empty of a part, as the next."""
    region: str
    recipe: str
    """Of a part that of its views; empty where that is not known."""
    verdict: str
    reason: str


class StoredRow(NamedTuple):
    """A row as the file has it."""

    id: int
    decided_ms: int
    recipe: str
    """Of a part that of its views; empty where that is not known."""
    body: bytes


def group_of(item: Numbered, recipe: str) -> Group:
    """The group of a verdict; `recipe` is that of a part, which does not say it itself."""
    if isinstance(item, PartVerdict):
        return Group(RowKind.PART, "", "", recipe, item.evaluation, item.reason)
    return Group(RowKind.FRAME, item.camera, item.region or "", item.recipe, item.evaluation, item.reason)


def decided_ms(item: Numbered) -> int:
    """When it was decided: milliseconds since 1970."""
    return item.decided_utc_ns // 1_000_000


def pack(item: Numbered) -> bytes:
    """Every field of a verdict, in about a third of the bytes."""
    squeezer = zlib.compressobj(level=1, zdict=_DICTIONARY)
    return squeezer.compress(wire.encode(item)) + squeezer.flush()


def unpack(body: bytes) -> Numbered:
    """What `pack` packed.

    Raises:
        ValueError: it is something else.
    """
    return unpack_sized(body)[0]


def unpack_sized(body: bytes) -> tuple[Numbered, int]:
    """The same, and its bytes unpacked: of those that are packed there may be a thousandth.

    Raises:
        ValueError: it is something else.
    """
    try:
        text = zlib.decompressobj(zdict=_DICTIONARY).decompress(body)
    except zlib.error as error:
        raise ValueError(f"a row cannot be unpacked: {error}") from error
    item = wire.decode(text)
    if not isinstance(item, Verdict | PartVerdict):
        raise ValueError(f"a row holds a {type(item).__name__}")  # noqa: TRY004 - what was stored is wrong
    return item, len(text)


def every_field(item: Numbered) -> dict[str, Any]:
    """Every field of a verdict; times in nanoseconds and whatever a browser would round go as text."""
    fields: dict[str, Any] = _for_browsers(msgspec.to_builtins(item))
    return fields


def _for_browsers(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _for_browsers(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [_for_browsers(inner) for inner in value]
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_integer and (name.endswith(_ALWAYS_TEXT) or abs(value) > _SAFE_INTEGER) else value
