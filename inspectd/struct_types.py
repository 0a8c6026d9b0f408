"""Makes records ready to be read by several threads."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec


def prepare_struct_types() -> None:
    """Have msgspec work out every struct that was imported, before there are threads.

    It does so at a struct's first use, and keeps it where other threads find it before it is whole: two
    threads that read the same kind of record first end the process by a segmentation fault (0.22.0).
    """
    for struct in _below(msgspec.Struct):
        try:
            msgspec.json.Decoder(struct)
        except TypeError:  # one that is never read, such as one of untagged structs
            continue


def _below(struct: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for each in struct.__subclasses__():
        yield each
        yield from _below(each)
