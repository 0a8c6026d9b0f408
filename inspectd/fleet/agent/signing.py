"""Signatures of people under orders: Ed25519 (RFC 8032), by libsodium.

Keys are of their own kind. One that a person connects to servers with must not sign: a server chooses what
such a key signs when it asks who is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import nacl.exceptions
import nacl.signing

from inspectd.errors import InputError
from inspectd.files import new_key_files, read_small, write_text
from inspectd.fleet.agent.order import (
    FleetOrder,
    Refusal,
    RefusedOrderError,
    Signature,
    SignedOrder,
    decode_order,
)
from inspectd.key_files import refuse_mode

NEEDED: Final = 2
"""People who must sign."""
_SECRET_SUFFIX: Final = ".signer"  # noqa: S105 - a file's name
_PUBLIC_SUFFIX: Final = ".signer_public"
_MARK: Final = "inspectd-signer:"
_WHAT_FOR: Final = b"inspectd fleet order 1\x00"
"""Before every text, so that no signature under anything else is one under an order."""


def new_signer(path: Path) -> tuple[Path, str]:
    """Make a person's key; `path` names it without a suffix.

    Returns:
        The secret file, and the public key for the lines' files.

    Raises:
        InputError: one of the files exists, or that cannot be seen.
        UnavailableError: they cannot be written.
    """
    secret, public = new_key_files(path, _SECRET_SUFFIX, _PUBLIC_SUFFIX)
    key = nacl.signing.SigningKey.generate()
    name: str = key.verify_key.encode().hex()
    write_text(secret, f"{_MARK}{bytes(key).hex()}\n", 0o600)
    write_text(public, f"{name}\n", 0o644)
    return secret, name


def sign(signed: SignedOrder, name: str, key: Path) -> SignedOrder:
    """The order with one signature more, or with this person's made anew.

    Args:
        signed: the order.
        name: the person's, as lines know it.
        key: file of `new_signer`.

    Raises:
        InputError: the key cannot be used.
        RefusedOrderError: it is no order, and nobody should sign it.
    """
    decode_order(signed.text)
    made: bytes = _read_secret(key).sign(_WHAT_FOR + signed.text.encode()).signature
    others = tuple(each for each in signed.signatures if each.name != name)
    return SignedOrder(signed.text, (*others, Signature(name, made.hex())))


def verified(signed: SignedOrder, people: Mapping[str, str]) -> tuple[FleetOrder, list[str]]:
    """The order, and who signed it, once two different people did.

    Args:
        signed: the order as it came.
        people: public keys of whom this line trusts, by name; no key is there twice.

    Raises:
        RefusedOrderError: fewer than two did, or it is no order.
    """
    by = sorted(
        {each.name for each in signed.signatures if _is_good(each, signed.text, people.get(each.name))}
    )
    if len(by) < NEEDED:
        said = f"by {', '.join(by)} alone" if by else "by nobody whom this line trusts"
        raise RefusedOrderError(
            Refusal.SIGNATURES,
            f"is signed {said} (trusted here: {', '.join(sorted(people))[:200]}), expected good signatures "
            f"of {NEEDED} different people",
        )
    return decode_order(signed.text), by


def problems_of_people(people: Sequence[tuple[str, str]]) -> list[str]:
    """What is wrong with a list of names and public keys."""
    names, keys = [name for name, _ in people], [key for _, key in people]
    found = []
    if len(people) < NEEDED:
        found.append(
            f"signers: got {len(people)}, expected {NEEDED} or more: every order needs {NEEDED} people"
        )
    found += [
        f"signers: {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        same = ", ".join(name for name, each in people if each == key)
        found.append(f"signers: {same} have the same key, expected a key of their own for each person")
    return found


def _is_good(signature: Signature, text: str, public: str | None) -> bool:
    if public is None:
        return False
    try:
        key = nacl.signing.VerifyKey(bytes.fromhex(public))
        key.verify(_WHAT_FOR + text.encode(), bytes.fromhex(signature.signature))
    except (nacl.exceptions.CryptoError, ValueError):
        return False
    return True


def _read_secret(file: Path) -> nacl.signing.SigningKey:
    """Read a secret key.

    Raises:
        InputError: it cannot be read, others may read it, or it holds something else.
    """
    refuse_mode(file, 0o077, "600")
    expected = f"expected one line that begins with {_MARK}, of `inspectd fleet new-signer`"
    try:
        text = read_small(file).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not ASCII text; {expected}"
        raise InputError(f"{file}: cannot be read: {reason}") from error
    try:
        return nacl.signing.SigningKey(
            bytes.fromhex(text.removeprefix(_MARK) if text.startswith(_MARK) else "")
        )
    except (ValueError, nacl.exceptions.CryptoError):
        raise InputError(f"{file}: holds no signer's key, {expected}") from None
