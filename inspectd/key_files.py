"""Key files, as both ends of a TCP socket read them; `docs/security.md` describes them.

A key pair is two files in ZeroMQ's certificate format: `NAME.key` may be handed out, `NAME.key_secret` (mode
0600) may not. Keys are CurveZMQ's (Curve25519), 40 characters of Z85 (ZeroMQ RFC 32).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

import msgspec
import zmq
import zmq.auth
from zmq.utils import z85

from inspectd.errors import InputError
from inspectd.files import new_key_files, read_small, write_text

Z85_CHARACTERS: Final = 40
_PUBLIC_SUFFIX: Final = ".key"
_SECRET_SUFFIX: Final = ".key_secret"  # noqa: S105 - a file's name


class KeyPair(msgspec.Struct, frozen=True):
    """A public and its secret key, 40 Z85 characters each."""

    public: bytes
    secret: bytes


def new_pair(path: Path) -> tuple[Path, Path]:
    """Make a key pair; `path` names it without a suffix.

    Returns:
        The public and the secret file.

    Raises:
        InputError: one of the files exists, or that cannot be seen.
        UnavailableError: they cannot be written.
    """
    files = new_key_files(path, _PUBLIC_SUFFIX, _SECRET_SUFFIX)
    public, secret = zmq.curve_keypair()
    head = "metadata\ncurve\n"
    write_text(
        files[1], f'{head}    public-key = "{public.decode()}"\n    secret-key = "{secret.decode()}"\n', 0o600
    )
    write_text(files[0], f'{head}    public-key = "{public.decode()}"\n', 0o644)
    return files


def read_public(file: Path) -> bytes:
    """The public key of a key file.

    Raises:
        InputError: it cannot be read, or is no key file.
    """
    return _read(file)[0]


def read_handed_out(file: Path) -> bytes:
    """The public key of a file that was handed out, and so holds no secret.

    Raises:
        InputError: it cannot be read, is no key file, or holds a secret key.
    """
    public, secret = _read(file)
    if secret is not None:
        raise InputError(
            f"{file}: holds a secret key, expected the public one, NAME{_PUBLIC_SUFFIX}: a secret key stays "
            "where it was made. If this is a copy, delete it, and make a new pair there"
        )
    return public


def read_pair(file: Path, *, guarded: bool = False) -> KeyPair:
    """A secret key file's pair.

    Args:
        file: the `.key_secret` file.
        guarded: the directory is systemd's, which lets its service alone in: its access lists look like
            group rights and are not looked at.

    Raises:
        InputError: it cannot be read, holds no secret key, or others than its owner may read it.
    """
    public, secret = _read(file)
    if secret is None:
        raise InputError(f"{file}: holds a public key only, expected the file ending in {_SECRET_SUFFIX}")
    refuse_mode(file, 0o007 if guarded else 0o077, "600")
    if zmq.curve_public(secret) != public:
        raise InputError(f"{file}: its public and its secret key do not belong together; make a new pair")
    return KeyPair(public, secret)


def refuse_mode(file: Path, forbidden: int, expected: str) -> None:
    """Refuse a file whose mode gives others what they must not have.

    Raises:
        InputError: it does, or it cannot be looked at.
    """
    try:
        mode = file.stat().st_mode & 0o777
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error
    if mode & forbidden:
        raise InputError(f"{file}: has mode {mode:o}, expected {expected}; run `chmod {expected} {file}`")


def is_key(text: bytes) -> bool:
    """True if that is a key as key files spell it."""
    if len(text) != Z85_CHARACTERS:
        return False
    try:
        return z85.encode(z85.decode(text)) == text
    except (KeyError, ValueError, struct.error):
        return False


def _read(file: Path) -> tuple[bytes, bytes | None]:
    try:
        read_small(file)  # the library would wait for a pipe, and say of a shut folder that it is not there
        public, secret = zmq.auth.load_certificate(file)
    except OSError as error:
        reason = "not found" if isinstance(error, FileNotFoundError) else error.strerror or str(error)
        raise InputError(f"{file}: cannot be read: {reason}; `inspectd keys new` makes keys") from error
    except ValueError as error:
        raise InputError(f"{file}: holds no key; `inspectd keys new` makes keys") from error
    if not is_key(public) or (secret is not None and not is_key(secret)):
        raise InputError(
            f"{file}: holds something that is not a key, expected {Z85_CHARACTERS} Z85 characters"
        )
    return public, secret
