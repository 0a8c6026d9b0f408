"""Key files and the list of allowed keys: plain text, read and written whole.

A key pair is two files in ZeroMQ's certificate format: `NAME.key` may be handed out, `NAME.key_secret` (mode
0600) may not. Keys are CurveZMQ's (Curve25519), 40 characters of Z85 (ZeroMQ RFC 32).
"""

from __future__ import annotations

import codecs
import contextlib
import struct
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
import zmq
import zmq.auth
from zmq.utils import z85

from inspectd.config.places import systemd_directory
from inspectd.errors import InputError
from inspectd.files import write_text

SERVER_SECRET: Final = "server.key_secret"  # noqa: S105 - a file's name
ALLOWED: Final = "allowed_keys"
_PUBLIC_SUFFIX: Final = ".key"
_SECRET_SUFFIX: Final = ".key_secret"  # noqa: S105 - a file's name
_Z85_CHARACTERS: Final = 40
_HEAD: Final = (
    "# Clients of this line: roles, public key, name. Written by `inspectd keys`; read while the line runs."
)


class Role(StrEnum):
    """What a key may do; each TCP socket belongs to one role."""

    READ = "read"
    """Verdicts, heatmaps, snapshot and replay."""
    CONTROL = "control"
    """Triggers."""


class Client(msgspec.Struct, frozen=True):
    """One line of the list of allowed keys."""

    public: bytes
    name: str
    roles: tuple[Role, ...]


class AllowedKeys(msgspec.Struct, frozen=True):
    """What the list of allowed keys says.

    Attributes:
        clients: from its lines that are right.
        problems: what is wrong with each of the others; the key of such a line is not allowed.
    """

    clients: tuple[Client, ...] = ()
    problems: tuple[str, ...] = ()


class KeyPair(msgspec.Struct, frozen=True):
    """A public and its secret key, 40 Z85 characters each."""

    public: bytes
    secret: bytes


def new_pair(path: Path) -> tuple[Path, Path]:
    """Make a key pair; `path` names it without a suffix.

    Returns:
        The public and the secret file.

    Raises:
        InputError: one of the files exists.
        UnavailableError: they cannot be written.
    """
    public, secret = zmq.curve_keypair()
    files = path.with_name(path.name + _PUBLIC_SUFFIX), path.with_name(path.name + _SECRET_SUFFIX)
    for file in files:
        if file.exists():
            raise InputError(f"{file}: exists, and a key is never overwritten; choose another name")
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


def read_server_pair(keys_dir: Path) -> KeyPair:
    """The line's own pair: from systemd's credentials where it is one of them, else from `keys_dir`.

    Raises:
        InputError: as `read_pair`.
    """
    credentials = systemd_directory("CREDENTIALS_DIRECTORY")
    if credentials is not None and (credentials / SERVER_SECRET).exists():
        return read_pair(credentials / SERVER_SECRET, guarded=True)
    return read_pair(keys_dir / SERVER_SECRET)


def read_list(keys_dir: Path) -> AllowedKeys:
    """The list of allowed keys, UTF-8 with or without a byte order mark; empty where there is none yet.

    A line whose first character is `#` is a comment. One that is wrong costs its own key and no other.

    Raises:
        InputError: the list cannot be read, or somebody else may write it.
    """
    file = keys_dir / ALLOWED
    lines = _lines(file)
    if lines is None:
        return AllowedKeys()
    refuse_mode(file, 0o022, "644")
    refuse_mode(keys_dir, 0o022, "755")  # who may write there can put another list in its place
    clients, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            client = _client(f"{file}, line {number}", line)
        except InputError as error:
            problems.append(str(error))
        else:
            clients += [] if client is None else [client]
    return AllowedKeys(tuple(clients), tuple(problems))


def read_allowed(keys_dir: Path) -> list[Client]:
    """Every allowed key, of a list that is right to its last line.

    Raises:
        InputError: as `read_list`, or a line is wrong.
    """
    found = read_list(keys_dir)
    if found.problems:
        raise InputError("; ".join(found.problems))
    return list(found.clients)


def write_allowed(keys_dir: Path, clients: list[Client]) -> None:
    """Allow these clients and no others; other lines stay. A running line takes it up within a second.

    Raises:
        InputError: the list that is there cannot be read.
        UnavailableError: it cannot be written.
    """
    file = keys_dir / ALLOWED
    left, kept = list(clients), []
    for line in _lines(file) or [_HEAD.encode()]:
        client = None
        with contextlib.suppress(
            InputError
        ):  # a line that is wrong allows nothing, and is a person's to mend
            client = _client(str(file), line)
        if client is None or client in left:
            kept.append(line.decode(errors="backslashreplace").strip())
            left = [other for other in left if other != client]
    kept += [f"{','.join(client.roles)} {client.public.decode()} {client.name}" for client in left]
    write_text(file, "".join(f"{line}\n" for line in kept), 0o644)


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


def _read(file: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(file)
    except OSError as error:
        reason = error.strerror or "not found"
        raise InputError(f"{file}: cannot be read: {reason}; `inspectd keys new` makes keys") from error
    except ValueError as error:
        raise InputError(f"{file}: holds no key; `inspectd keys new` makes keys") from error
    if not _is_key(public) or (secret is not None and not _is_key(secret)):
        raise InputError(f"{file}: holds something that is no key, expected {_Z85_CHARACTERS} Z85 characters")
    return public, secret


def _lines(file: Path) -> list[bytes] | None:
    """The list's lines as they are; None where there is none.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return file.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error


def _client(where: str, line: bytes) -> Client | None:
    """What a line allows; None for a comment or an empty one. No key is shown: it may be a secret one.

    Raises:
        InputError: it is none of the list's format.
    """
    if line.strip()[:1] in {b"", b"#"}:
        return None
    try:
        words = line.decode().split()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: is not UTF-8 text") from error
    if len(words) > 3 and words[3].startswith("#"):
        del words[3:]
    if len(words) != 3:
        raise InputError(f"{where}: got {len(words)} words, expected roles, key and name")
    roles, key, name = words
    if not set(roles.split(",")) <= set(Role):
        raise InputError(
            f"{where}: got roles {roles!r}, expected some of {', '.join(Role)}, joined by commas"
        )
    if not _is_key(key.encode()):
        raise InputError(
            f"{where}: got a key of {len(key)} characters, expected {_Z85_CHARACTERS} Z85 characters"
        )
    return Client(key.encode(), name, tuple(Role(role) for role in roles.split(",")))


def _is_key(text: bytes) -> bool:
    if len(text) != _Z85_CHARACTERS:
        return False
    try:
        return z85.encode(z85.decode(text)) == text
    except (KeyError, ValueError, struct.error):
        return False
