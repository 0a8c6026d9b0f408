"""Writes what browsers are told as types of TypeScript: `python tools/page_types.py`.

They are those of `inspectd/page/told*.py` and `inspectd/hub/told.py`; `ToldRow` of Python is `Row` of
TypeScript. `tools/build_page.py` writes them before it builds.
"""

from __future__ import annotations

import typing
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec.inspect as types
from msgspec import NODEFAULT

from inspectd.hub import told as hub_told
from inspectd.page import told, told_pages
from inspectd.wire import Evaluation
from inspectd.wire.golden import GoldenToShow
from inspectd.wire.verdicts import Rectangle

FILE: Final = Path(__file__).resolve().parent / "page" / "src" / "wire.ts"
HUB_FILE: Final = FILE.with_name("hub_wire.ts")
_HEAD: Final = """\
/** What the server sends, by tools/page_types.py. Text in it comes from the line: data, never markup. */
"""
_HUB_HEAD: Final = """\
/** What the hub sends, by tools/page_types.py. Text in it comes from lines: data, never markup. */

import type { Evaluation } from "./wire";
"""
_TAIL: Final = """
/** A message of the WebSocket. */
export type Told = LineState | Rows | Events | Clock;
"""
_PLAIN: Final = {
    types.IntType: "number", types.FloatType: "number", types.StrType: "string", types.BoolType: "boolean",
    types.NoneType: "null", types.AnyType: "unknown",
}  # fmt: skip


def text() -> str:
    """The file as it should be."""
    shapes = [*_shapes(told), *_shapes(told_pages)]
    aliases = {"Level": told.Level, "Series": told_pages.Series}
    parts = [f"export type {name} = {_written(types.type_info(kind))};\n" for name, kind in aliases.items()]
    parts = [f"export type Evaluation = {_written(types.type_info(Evaluation), top=True)};\n", *parts]
    for shape in [Rectangle, GoldenToShow, *shapes]:
        parts.append(_interface(shape))
    return "\n".join([_HEAD, *parts]) + _TAIL


def hub_text() -> str:
    """The file of the hub as it should be."""
    return "\n".join([_HUB_HEAD, *(_interface(shape) for shape in _shapes(hub_told))])


def _shapes(module: ModuleType) -> list[Any]:
    """What a module says of what browsers are told."""
    return [
        each
        for each in vars(module).values()
        if typing.is_typeddict(each) and each.__module__ == module.__name__ and each.__name__ != "_Yield"
    ]


def _interface(shape: Any) -> str:
    about = (shape.__doc__ or "").strip().splitlines()
    fields = types.type_info(shape).fields  # type: ignore[attr-defined]
    lines = [f"/** {about[0]} */"] if about else []
    lines.append(f"export interface {_name(shape)} {{")
    for field in fields:
        is_there = field.required or field.default is not NODEFAULT
        lines.append(f"  {field.encode_name}{'' if is_there else '?'}: {_written(field.type)};")
    return "\n".join([*lines, "}\n"])


def _name(shape: Any) -> str:
    return str(shape.__name__).removeprefix("Told")


def _written(found: types.Type, *, top: bool = False) -> str:
    """A type as TypeScript has it.

    Raises:
        TypeError: it has none here; teach it to this function.
    """
    match found:
        case types.Metadata(type=inner):
            said = _written(inner)
        case types.EnumType(cls=kind):
            said = " | ".join(f'"{each.value}"' for each in kind) if top else _name(kind)
        case types.LiteralType(values=values):
            said = " | ".join(f'"{value}"' for value in values)
        case types.UnionType(types=members):
            # A null last, as one says it.
            ordered = sorted(members, key=lambda each: isinstance(each, types.NoneType))
            said = " | ".join(_written(each) for each in ordered)
        case types.ListType(item_type=item):
            said = f"({_written(item)})[]" if " " in _written(item) else f"{_written(item)}[]"
        case types.DictType(value_type=value):
            said = f"Record<string, {_written(value)}>"
        case types.TypedDictType(cls=shape) | types.StructType(cls=shape):
            said = _name(shape)
        case _ if type(found) in _PLAIN:
            said = _PLAIN[type(found)]
        case _:
            raise TypeError(f"{found}: has no type of TypeScript here")
    return said


def main() -> None:
    """Write the files."""
    FILE.write_text(text())
    HUB_FILE.write_text(hub_text())


if __name__ == "__main__":
    main()
