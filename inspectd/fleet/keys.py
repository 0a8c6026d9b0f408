"""Keys of users on the plant's servers: NKEYs, and JWTs that an operator's tools made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec
import nkeys

from inspectd.errors import InputError
from inspectd.files import new_key_files, read_small, write_text
from inspectd.key_files import refuse_mode

_SEED_SUFFIX: Final = ".nk"
_PUBLIC_SUFFIX: Final = ".nk_public"
_JWT_MARK: Final = "-----BEGIN NATS USER JWT-----"
_SEED_MARK: Final = "-----BEGIN USER NKEY SEED-----"


class UserKey(msgspec.Struct, frozen=True):
    """How a program says who it is.

    Attributes:
        public: its public key, `U...`, as servers name it.
        seed: its secret half; None with a JWT.
        credentials: file of its JWT and key; None without one.
    """

    public: str
    seed: str | None = None
    credentials: Path | None = None


def new_key(path: Path) -> tuple[Path, str]:
    """Make a user's NKEY; `path` names it without a suffix.

    Returns:
        The secret file, and the public key for the servers' configuration.

    Raises:
        InputError: one of the files exists, or that cannot be seen.
        UnavailableError: they cannot be written.
    """
    secret, public = new_key_files(path, _SEED_SUFFIX, _PUBLIC_SUFFIX)
    seed = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).decode()
    name = public_of(seed)
    write_text(secret, f"{seed}\n", 0o600)
    write_text(public, f"{name}\n", 0o644)
    return secret, name


def public_of(seed: str) -> str:
    """The public key of a seed.

    Raises:
        ValueError: it is no user's seed.
    """
    if not (seed.isascii() and seed.startswith("SU")):
        raise ValueError("no user's seed")
    try:
        prefix, raw = nkeys.decode_seed(bytearray(seed.encode()))
        # The library does not look at the check sum, by which a mistyped key is none.
        is_whole = prefix == nkeys.PREFIX_BYTE_USER and bytes(nkeys.encode_seed(raw, prefix)) == seed.encode()
        pair = nkeys.from_seed(bytearray(seed.encode()))
    except (nkeys.NkeysError, ValueError) as error:
        raise ValueError("no user's seed") from error
    public: str = pair.public_key.decode()
    pair.wipe()
    if not is_whole:
        raise ValueError("no user's seed: its check sum is wrong")
    return public


def read_key(seed_file: Path | None, credentials_file: Path | None) -> UserKey:
    """The key of a seed file, or the JWT and key of a credentials file, of which exactly one is given.

    Raises:
        InputError: it cannot be read, others may read it, or it holds something else.
    """
    file = seed_file or credentials_file
    assert file is not None
    refuse_mode(file, 0o007, "600")
    try:
        text = read_small(file).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not ASCII text"
        raise InputError(f"{file}: cannot be read: {reason}") from error
    if seed_file is not None:
        seed, expected = text.strip(), "expected one line, a user's NKEY that begins with SU"
    else:
        seed = _after(text, _SEED_MARK)
        expected = f"expected a file of credentials, with {_JWT_MARK} and {_SEED_MARK}"
        if not _after(text, _JWT_MARK):
            raise InputError(f"{file}: {expected}")
    try:
        public = public_of(seed)
    except ValueError:
        raise InputError(f"{file}: {expected}") from None
    return UserKey(public, None if seed_file is None else seed, credentials_file)


def _after(text: str, mark: str) -> str:
    """The line after a mark; empty where there is none."""
    lines = iter(text.splitlines())
    return next((next(lines, "").strip() for line in lines if line == mark), "")
