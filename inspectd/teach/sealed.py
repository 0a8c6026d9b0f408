"""Files of teaching: canonical JSON with the sha256 of all of it, written once."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

import msgspec

from inspectd.errors import InputError
from inspectd.files import open_regular, write_bytes
from inspectd.recipes.canonical import SHA256, canonical_json, json_object, sealing_sha256

_Struct = TypeVar("_Struct", bound=msgspec.Struct)
_MOST_BYTES: Final = 200_000_000


def write_sealed(path: Path, value: msgspec.Struct) -> str:
    """Write a struct with its seal.

    Returns:
        The sha256 over all its fields.

    Raises:
        UnavailableError: it cannot be written.
    """
    fields = msgspec.to_builtins(value)
    fields[SHA256] = sealing_sha256(fields)
    write_bytes(path, canonical_json(fields) + b"\n")
    return str(fields[SHA256])


def seal_of(value: msgspec.Struct) -> str:
    """The sha256 that `write_sealed` gives a struct."""
    return sealing_sha256(msgspec.to_builtins(value))


def read_sealed(path: Path, kind: type[_Struct]) -> tuple[_Struct, str]:
    """A struct that was written so, and its seal.

    Raises:
        InputError: it is not there, cannot be read, or was altered.
    """
    try:
        with open_regular(path) as file:
            fields = json_object(file.read(_MOST_BYTES))
        found = sealing_sha256(fields)
        said = fields.pop(SHA256, None)
        value = msgspec.convert(fields, kind)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # msgspec's are of this kind
        raise InputError(f"{path}: is damaged ({error}); restore a copy") from error
    if said != found:
        raise InputError(f"{path}: was altered: its sha256 is {found[:12]}..., it says {str(said)[:12]}...")
    return value, found
