"""The line's own key pair and the list of allowed keys: plain text, read and written whole."""

from __future__ import annotations

import codecs
import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from inspectd.config.places import systemd_directory
from inspectd.errors import InputError
from inspectd.files import changing, is_there, read_small, write_text
from inspectd.key_files import Z85_CHARACTERS, KeyPair, is_key, read_pair, refuse_mode
from inspectd.wire.sockets import Role

SERVER_PUBLIC: Final = "server.key"
SERVER_SECRET: Final = "server.key_secret"  # noqa: S105 - a file's name
ALLOWED: Final = "allowed_keys"
_HEAD: Final = (
    "# Clients of this line: roles, public key, name. Written by `inspectd keys`; read while the line runs."
)


class Client(msgspec.Struct, frozen=True):
    """One line of the list of allowed keys."""

    public: bytes
    name: str
    roles: tuple[Role, ...]


class AllowedKeys(msgspec.Struct, frozen=True):
    """The list of allowed keys, line by line.

    Attributes:
        clients: of the lines that are right.
        problems: what is wrong with each of the others; the key of such a line is not allowed.
        is_blank: there is no list, or it has no line, not even a comment: as while somebody writes it.
    """

    clients: tuple[Client, ...] = ()
    problems: tuple[str, ...] = ()
    is_blank: bool = False


def read_server_pair(keys_dir: Path) -> KeyPair:
    """The line's own pair: from systemd's credentials where it is one of them, else from `keys_dir`.

    Raises:
        InputError: as `read_pair`, or the public key alone is left of the pair.
    """
    credentials = systemd_directory("CREDENTIALS_DIRECTORY")
    if credentials is not None and (credentials / SERVER_SECRET).exists():
        return read_pair(credentials / SERVER_SECRET, guarded=True)
    file = keys_dir / SERVER_SECRET
    if is_there(keys_dir / SERVER_PUBLIC) and not is_there(file):
        raise InputError(
            f"{file}: not found, and {SERVER_PUBLIC} beside it is of no use alone: put the secret key back, "
            "there or in systemd's credential store (docs/security.md); where it is lost, remove "
            f"{SERVER_PUBLIC} and make a new pair (`inspectd keys new {keys_dir}/server`)"
        )
    return read_pair(file)


def changing_allowed(keys_dir: Path) -> AbstractContextManager[None]:
    """Have the list of allowed keys alone while it is read and written anew: see `files.changing`."""
    return changing(keys_dir / ALLOWED)


def read_list(keys_dir: Path) -> AllowedKeys:
    """The list of allowed keys, UTF-8 with or without a byte order mark; empty where there is none yet.

    A line whose first character is `#` is a comment. One that is wrong costs its own key and no other.

    Raises:
        InputError: the list cannot be read, or somebody else may write it.
    """
    file = keys_dir / ALLOWED
    lines = _lines(file)
    if lines is None:
        return AllowedKeys(is_blank=True)
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
    return AllowedKeys(tuple(clients), tuple(problems), is_blank=not lines)


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

    Whoever writes what it read does both within `changing_allowed`.

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


def _lines(file: Path) -> list[bytes] | None:
    """The list's lines as they are; None where there is no list.

    Raises:
        InputError: it cannot be read, is no regular file, or has more than 1 MB.
    """
    try:
        return read_small(file).removeprefix(codecs.BOM_UTF8).splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from error


def _client(where: str, line: bytes) -> Client | None:
    """The client a line allows; None for a comment or an empty line. Errors show no key: it may be secret.

    Raises:
        InputError: it is not in the list's format.
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
    if not is_key(key.encode()):
        raise InputError(
            f"{where}: got a key of {len(key)} characters, expected {Z85_CHARACTERS} Z85 characters"
        )
    return Client(key.encode(), name, tuple(Role(role) for role in roles.split(",")))
