"""Settles what a program that goes on has loaded, before it begins its work and starts threads."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec


def settle() -> None:
    """Have msgspec work out every struct that was imported, and the collector of garbage pass over all of it.

    msgspec does so at a struct's first use, and keeps it where other threads find it before it is whole: two
    threads that read the same kind of record first end the process by a segmentation fault (0.22.0).

    Modules and types stay to the end. Looking through them again and again, and once more at the end, is
    about a tenth of all that a line computes from its start to its end.
    """
    for struct in _below(msgspec.Struct):
        try:
            msgspec.json.Decoder(struct)
        except TypeError:  # one that is never read, such as one of untagged structs
            continue
    gc.freeze()


@contextmanager
def building_to_stay() -> Iterator[None]:
    """Have garbage looked for when all is built that stays to the end, and from then on never among that."""
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def _below(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in struct.__subclasses__():
        yield each
        yield from _below(each)
