"""Orders: which recipe which lines should run, one wave after the other. Two people sign one text.

The text is what is signed, and what is read: nothing of it is written anew on the way, so no two programs
can understand it differently. It names plant, lines, recipe, digests, a serial number and a span of time, so
that it is of no use on another line, after a later order, or after its time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from inspectd.config import MOST_PLACES, Name, PlaceName

CHUNK_BYTES: Final = 1 << 20
MOST_CHUNKS: Final = 8_192
MOST_BYTES: Final = 2_000_000
"""Of a signed order: digests of so many chunks, and room for the rest."""
_MOST_TIME: Final = 2**63 - 1

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Time = Annotated[int, Meta(ge=0, le=_MOST_TIME)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class Refusal(StrEnum):
    """Why an order, or what it names, will not be used. A closed set: it is a metric label."""

    MALFORMED = "malformed"
    """It is no signed order of this format."""
    SIGNATURES = "signatures"
    """Fewer than two of the line's trusted people signed it."""
    OTHER_LINE = "other_line"
    """It is another plant's, or this line is not among its lines."""
    OLD_SERIAL = "old_serial"
    """This line has accepted one with as high a serial number, or a higher one."""
    TOO_LATE = "too_late"
    """Its time is over."""
    TOO_LARGE = "too_large"
    """What it names is larger than this line takes."""
    WRONG_HASH = "wrong_hash"
    """What the servers have is not what was signed."""
    STORE = "store"
    """The line's recipe store refuses it."""
    LINE = "line"
    """The line refuses to judge by it."""


class RefusedOrderError(Exception):
    """An order, or what it names, will not be used.

    Attributes:
        refusal: the kind.
    """

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(detail)
        self.refusal = refusal


class OrderedRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The recipe that is to run.

    Attributes:
        id: its name.
        version: as its maker numbered it; a line's own store may give it another number.
        content_sha256: over everything that makes it judge as it does, and nothing else: the same on each
            line, and in each archive of it.
        bank_sha256: digests of its banks, as verdicts carry them, by camera or region.
        archive_sha256: of the file of `inspectd recipe export`.
        archive_bytes: its size.
        chunk_sha256: of each of its chunks of `CHUNK_BYTES`, of which the last may be shorter.
    """

    id: Name
    version: Annotated[int, Meta(ge=1, le=999_999_999)]
    content_sha256: Digest
    bank_sha256: Annotated[dict[PlaceName, Digest], Meta(min_length=1, max_length=MOST_PLACES)]
    archive_sha256: Digest
    archive_bytes: Annotated[int, Meta(ge=1, le=MOST_CHUNKS * CHUNK_BYTES)]
    chunk_sha256: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=MOST_CHUNKS)]

    def __str__(self) -> str:
        """For people."""
        return f"{self.id}@{self.version} ({self.content_sha256[:12]})"


class Wave(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lines that change at the same time.

    Attributes:
        lines: their names.
        watch_minutes: each is watched for so long before the next wave; the last wave too.
    """

    lines: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=500)]
    watch_minutes: Annotated[float, Meta(ge=0, le=100_000)] = 60.0


class Band(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What lines, and each of their cameras and regions, must stay within while a rollout goes on.

    Attributes:
        min_reject_share: least share of fails among passes and fails.
        max_reject_share: largest share of rejects, fail or undecidable, among all verdicts.
        max_drift: largest drift of a camera; 1 is its limit.
        min_verdicts: so many verdicts each must have made before a share says anything.
        silent_minutes: a line that says nothing for longer stops the rollout.
    """

    min_reject_share: _Share = 0.0
    max_reject_share: _Share
    max_drift: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    min_verdicts: Annotated[int, Meta(ge=1, le=10_000_000)] = 200
    silent_minutes: Annotated[float, Meta(ge=0.05, le=1440)] = 5.0


class FleetOrder(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="schema",
    tag="fleet_order/1",
):
    """What is signed.

    Attributes:
        plant: whose lines.
        serial: grows with every order of a line; a way back is a new one.
        recipe: what is to run.
        waves: where, in order. No line is in two.
        band: what stops it.
        not_before_utc_ns: no line carries it out earlier.
        until_utc_ns: no line accepts it later, nor puts it in force for the first time.
        why: for people.
    """

    plant: Name
    serial: Annotated[int, Meta(ge=1, le=2**53)]
    recipe: OrderedRecipe
    waves: Annotated[tuple[Wave, ...], Meta(min_length=1, max_length=100)]
    band: Band
    not_before_utc_ns: _Time
    until_utc_ns: _Time
    why: Annotated[str, Meta(max_length=200)] = ""

    @property
    def lines(self) -> list[str]:
        """Every line, in the order of waves."""
        return [line for wave in self.waves for line in wave.lines]


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person's signature.

    Attributes:
        name: whose; it counts only with the key that a line knows by that name.
        signature: of Ed25519, 128 hexadecimal digits.
    """

    name: Name
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}\Z")]


class SignedOrder(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="fleet_signed/1"
):
    """An order with its signatures: the message that lines read, and the file that people sign.

    Attributes:
        text: the order as canonical JSON: UTF-8, keys in order, no spaces.
        signatures: over exactly that text.
    """

    text: Annotated[str, Meta(max_length=MOST_BYTES)]
    signatures: Annotated[tuple[Signature, ...], Meta(max_length=20)] = ()

    @property
    def sha256(self) -> str:
        """Names this very order."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def canonical(order: FleetOrder) -> str:
    """The text that is signed."""
    return msgspec.json.encode(order, order="sorted").decode()


def decode_signed(data: bytes) -> SignedOrder:
    """The signed order in a message or file; its signatures and its text are not looked at.

    Raises:
        RefusedOrderError: it is none.
    """
    if len(data) > MOST_BYTES:
        raise RefusedOrderError(
            Refusal.MALFORMED, f"has {len(data)} bytes, expected an order of at most {MOST_BYTES}"
        )
    try:
        return msgspec.json.decode(data, type=SignedOrder)
    except (ValueError, RecursionError) as error:
        raise RefusedOrderError(Refusal.MALFORMED, f"is no signed order: {str(error)[:200]}") from error


def decode_order(text: str) -> FleetOrder:
    """The order in a text.

    Raises:
        RefusedOrderError: it is none, does not hold together, or is not written as orders are.
    """
    try:
        order = msgspec.json.decode(text, type=FleetOrder)
    except (ValueError, RecursionError) as error:
        raise RefusedOrderError(Refusal.MALFORMED, f"holds no order: {str(error)[:200]}") from error
    recipe, lines = order.recipe, order.lines
    if not order.why.isprintable():
        raise RefusedOrderError(
            Refusal.MALFORMED, "has a reason with characters that do not print; leave them out"
        )
    if len(recipe.chunk_sha256) != -(-recipe.archive_bytes // CHUNK_BYTES):
        raise RefusedOrderError(
            Refusal.MALFORMED,
            f"has digests of {len(recipe.chunk_sha256)} chunks for {recipe.archive_bytes} bytes, expected "
            f"one for every {CHUNK_BYTES}",
        )
    twice = sorted(line for line, count in Counter(lines).items() if count > 1)
    if twice:
        raise RefusedOrderError(Refusal.MALFORMED, f"has {', '.join(twice)} twice, expected each line once")
    if canonical(order) != text:
        raise RefusedOrderError(Refusal.MALFORMED, "is not written as orders are (canonical JSON)")
    return order


def refuse_other_line(order: FleetOrder, *, plant: str, line: str) -> None:
    """Refuse an order that is not for this line.

    Raises:
        RefusedOrderError: it is another plant's, or another line's.
    """
    if order.plant != plant or line not in order.lines:
        where = ", ".join(order.lines)[:200]
        raise RefusedOrderError(
            Refusal.OTHER_LINE, f"is for the lines {where} of plant {order.plant}, and this is {plant}/{line}"
        )


def refuse_old(order: FleetOrder, *, last_serial: int | None, utc_ns: int) -> None:
    """Refuse an order that comes too late, or after a later one.

    Args:
        order: the order, whose signatures were found good.
        last_serial: of the last order that this line accepted; None: it accepted none.
        utc_ns: now, ns since 1970.

    Raises:
        RefusedOrderError: it is old, or late.
    """
    if last_serial is not None and order.serial <= last_serial:
        raise RefusedOrderError(
            Refusal.OLD_SERIAL,
            f"has the serial number {order.serial}, and this line has accepted {last_serial}; to go back, "
            "sign a new order with a higher number",
        )
    refuse_late(order, utc_ns)


def refuse_late(order: FleetOrder, utc_ns: int) -> None:
    """Refuse an order that nobody may begin with any more.

    Args:
        order: the order.
        utc_ns: now, ns since 1970.

    Raises:
        RefusedOrderError: its time is over.
    """
    if utc_ns > order.until_utc_ns:
        raise RefusedOrderError(
            Refusal.TOO_LATE,
            f"with the serial number {order.serial} came after its time, or could not be carried out in it; "
            "sign it anew",
        )
