"""`inspectd.client` exports every type a caller meets: nobody has to know where in the package it lives."""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Iterator

import msgspec

from inspectd import client


def annotations_of(thing: object) -> Iterator[object]:
    """What its callers give it and get from it: fields, arguments, answers."""
    if isinstance(thing, type) and issubclass(thing, msgspec.Struct):
        yield from typing.get_type_hints(thing).values()
    elif isinstance(thing, type) and not issubclass(thing, enum.Enum | Exception):
        for name, member in inspect.getmembers(thing):
            function = member.fget if isinstance(member, property) else member
            if inspect.isfunction(function) and (not name.startswith("_") or name == "__init__"):
                yield from typing.get_type_hints(function).values()
    elif inspect.isfunction(thing):
        yield from typing.get_type_hints(thing).values()
    else:
        yield thing


def ours_in(annotation: object) -> Iterator[type]:
    if getattr(annotation, "__module__", "").startswith("inspectd."):
        yield annotation
    for part in typing.get_args(annotation):
        yield from ours_in(part)


def test_every_type_a_caller_meets_is_exported() -> None:
    exported = {name: getattr(client, name) for name in client.__all__}
    met = {kind for thing in exported.values() for note in annotations_of(thing) for kind in ours_in(note)}
    assert {kind.__name__ for kind in met} >= {"Verdict", "ViewVerdict", "Reason", "Position", "ClientKeys"}
    assert {kind.__name__ for kind in met - {x for x in exported.values() if isinstance(x, type)}} == set()


def test_every_exported_class_and_function_says_what_it_is() -> None:
    for name in client.__all__:
        thing = getattr(client, name)
        if isinstance(thing, type) or inspect.isfunction(thing):
            assert thing.__doc__, name
