"""`inspectd fleet order | sign | show`: orders as files, which need no servers."""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inspectd.errors import ExitCode, InputError
from inspectd.files import changing, is_there, read_small, write_bytes
from inspectd.fleet.agent.order import (
    MOST_BYTES,
    FleetOrder,
    OrderedRecipe,
    RefusedOrderError,
    SignedOrder,
    decode_order,
)
from inspectd.fleet.agent.order import decode_signed as decode
from inspectd.fleet.agent.plan import load_plan, order_text
from inspectd.fleet.agent.publisher import digests
from inspectd.fleet.agent.signing import NEEDED, sign
from inspectd.recipes.archive import open_archive
from inspectd.text import printable_lines


def main(arguments: argparse.Namespace) -> int:
    """Make, sign or show an order.

    Raises:
        ConfigError: the rollout's file has problems.
        InputError: the archive, the order or the key cannot be used, or the file to write exists.
        UnavailableError: a file cannot be written.
    """
    if arguments.action == "order":
        return _make(arguments.file, arguments.out)
    signed, order = read_order(arguments.order)
    if arguments.action == "sign":
        with changing(arguments.order):
            signed, order = read_order(arguments.order)  # somebody else may have signed it meanwhile
            signed = sign(signed, arguments.name, arguments.key)
            write_bytes(arguments.order, msgspec.json.encode(signed))
    print(printable_lines("\n".join(in_words(order, signed))))
    return ExitCode.OK


def read_order(path: Path) -> tuple[SignedOrder, FleetOrder]:
    """The order in a file; whether its signatures are good, the lines know.

    Raises:
        InputError: it cannot be read, or is none.
    """
    try:
        signed = decode(read_small(path, MOST_BYTES))
        return signed, decode_order(signed.text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except RefusedOrderError as error:
        raise InputError(f"{path}: {error}; `inspectd fleet order` makes orders") from error


def in_words(order: FleetOrder, signed: SignedOrder) -> Iterator[str]:
    """What an order wants, line by line, for who signs it."""
    recipe, band = order.recipe, order.band
    yield f"order {order.serial} for plant {order.plant}: {recipe.id}@{recipe.version}"
    yield f"  why          {order.why or 'no reason given'}"
    yield f"  content      {recipe.content_sha256}"
    yield f"  archive      {recipe.archive_bytes / 1e6:.1f} MB, sha256 {recipe.archive_sha256}"
    for place, sha256 in sorted(recipe.bank_sha256.items()):
        yield f"  bank         {place} {sha256}"
    yield f"  not before   {_time(order.not_before_utc_ns)}"
    yield f"  accepted to  {_time(order.until_utc_ns)}"
    for number, wave in enumerate(order.waves, 1):
        yield f"  wave {number}       {', '.join(wave.lines)}, watched for {wave.watch_minutes:g} min"
    yield (
        f"  stops at     rejects (fail or undecidable) of a camera outside {band.min_reject_share:.2%} to "
        f"{band.max_reject_share:.2%} (of {band.min_verdicts} verdicts or more), drift above "
        f"{band.max_drift:g}, a line silent for {band.silent_minutes:g} min or refusing"
    )
    names = [signature.name for signature in signed.signatures]
    yield f"  signed by    {', '.join(names) or 'nobody yet'}; {NEEDED} different people must"


def _make(file: Path, out: Path) -> int:
    if is_there(out):
        raise InputError(f"{out}: exists, and an order is never replaced; choose another name")
    plan = load_plan(file)
    recipe = recipe_in(Path(plan.order.archive))
    signed = SignedOrder(order_text(plan, recipe, time.time_ns(), file))
    write_bytes(out, msgspec.json.encode(signed))
    print(printable_lines("\n".join(in_words(decode_order(signed.text), signed))))
    print(f"wrote {out}; `inspectd fleet sign {out} --name NAME --key NAME.signer`")
    return ExitCode.OK


def recipe_in(archive: Path) -> OrderedRecipe:
    """What an order says of the recipe in an archive.

    Raises:
        InputError: it is no archive of a version, or was altered.
    """
    with open_archive(archive) as archived:
        made = archived.recipe
    sha256, size_bytes, chunks = digests(archive)
    return OrderedRecipe(
        id=made.id, version=made.version, content_sha256=made.content_sha256,
        bank_sha256={place: camera.bank_sha256 for place, camera in made.cameras.items()},
        archive_sha256=sha256, archive_bytes=size_bytes, chunk_sha256=chunks,
    )  # fmt: skip


def _time(utc_ns: int) -> str:
    return dt.datetime.fromtimestamp(utc_ns // 10**9, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
