"""What is expected is said in words: nobody has to read a pattern, or to guess what may be chosen."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

import inspectd
from inspectd.config.problems import problems
from inspectd.config.values import Settings


def every_table() -> Iterator[type[Settings]]:
    for module in pkgutil.walk_packages(inspectd.__path__, "inspectd."):
        if module.name.endswith("settings") or module.name.startswith(
            ("inspectd.config.", "inspectd.recipes.")
        ):
            importlib.import_module(module.name)
    found = [Settings]
    for table in found:
        found += table.__subclasses__()
    return iter(found)


def notes(kind: Any) -> Iterator[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        yield from (note for note in kind.__metadata__ if isinstance(note, msgspec.Meta))
    for inner in get_args(kind):
        yield from notes(inner)


def test_every_text_of_a_form_has_examples():
    patterns = [
        (table, name, note)
        for table in every_table()
        for name, kind in get_type_hints(table, include_extras=True).items()
        for note in notes(kind)
        if note.pattern
    ]
    assert len(patterns) > 50
    assert [(table, name) for table, name, note in patterns if not (note.examples or note.extra)] == []


class Chosen(Settings):
    which: Annotated[Annotated[inspectd.config.values.PixelFormatName, msgspec.Meta()] | None, msgspec.Meta()]
    turn: Literal[0, 90]
    either: int | str
    by_name: dict[inspectd.config.values.Name, int] | None
    source: Annotated[inspectd.config.values.FeatureName | None, msgspec.Meta(description="An input.")]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"which": "Mono99"}, "which: got 'Mono99', expected one of Mono8, Mono10, "),
        ({"which": 8}, "which: got 8, expected one of Mono8, Mono10, "),
        ({"source": "Line 1"}, "source: got 'Line 1', expected such as ExposureTime"),
        ({"by_name": {"a b": 1}}, "by_name: got 'a b', expected letters, digits, - and _, at most 63, "),
        ({"by_name": {"a": "b"}}, "by_name.a: got 'b', expected a whole number"),
        ({"source": 1}, "source: got 1, expected a text in quotes"),
        ({"turn": False}, "turn: got False, expected one of 0, 90"),
        ({"either": 1.5}, "either: got 1.5, expected a whole number or a text in quotes"),
    ],
)
def test_what_may_be_left_out_is_said_as_what_may_not(table, expected):
    assert next(problem for problem in problems(table, Chosen, "") if "missing" not in problem).startswith(
        expected
    )
