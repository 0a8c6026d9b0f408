"""docs/wire.md is the contract: its tables name every field with its type, its examples are real messages."""

import json
import re
import types
import typing
from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from inspectd import wire
from inspectd.wire import Evaluation, PartVerdict, Reason, Verdict, ViewVerdict, sync

PAGE = (Path(__file__).parents[2] / "docs" / "wire.md").read_text(encoding="utf-8")
STRUCTS = {
    s.__name__: s
    for s in (
        Verdict,
        PartVerdict,
        ViewVerdict,
        wire.DeviceFacts,
        wire.Late,
        wire.Heartbeat,
        wire.HealthCondition,
        sync.CameraStatus,
        sync.RecipeStatus,
        wire.Counts,
        wire.Event,
        wire.HeatmapHeader,
        wire.PreviewHeader,
        wire.PreviewHeat,
    )
}
JSON_NAMES = {bool: "boolean", int: "integer", float: "number", str: "string"}


def json_type(annotation: object) -> str:
    origin = typing.get_origin(annotation)
    if origin in {types.UnionType, typing.Union}:
        first, none = typing.get_args(annotation)
        assert none is type(None)
        return f"{json_type(first)} or null"
    if origin is dict:
        return "object"
    if origin is list:
        return "array"
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return "object"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return "string"
    return JSON_NAMES[annotation]


def fields_of(struct: type[msgspec.Struct]) -> dict[str, str]:
    hints = typing.get_type_hints(struct)
    fields = {"schema": "string"} if struct.__struct_config__.tag else {}
    return fields | {name: json_type(hints[name]) for name in struct.__struct_fields__}


def documented(name: str) -> dict[str, tuple[str, str]]:
    """Field to (type, unit) of the table under the marker of that struct."""
    table = PAGE.split(f"<!-- struct: {name} -->\n\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {field.strip("`"): (kind, unit) for field, kind, unit, _ in rows}


def codes_of(heading: str) -> list[str]:
    """The first column of the table whose heading row starts so."""
    table = PAGE.split(f"\n| {heading} |")[1].split("\n\n")[0]
    return [re.match(r"\| `(\w+)`", line)[1] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("name", STRUCTS)
def test_tables_name_every_field_in_order_with_its_type(name: str) -> None:
    stated = {field: kind for field, (kind, _) in documented(name).items()}
    assert list(stated.items()) == list(fields_of(STRUCTS[name]).items())


@pytest.mark.parametrize("name", STRUCTS)
def test_units_agree_with_the_fields_names(name: str) -> None:
    for field, (_, unit) in documented(name).items():
        suffix = field.rpartition("_")[2]
        if field != "time_ns":  # of the camera's clock
            assert {"ms": "ms", "ns": "ns since 1970-01-01 UTC"}.get(suffix, unit) == unit, field


def test_reasons_and_evaluations_are_all_there() -> None:
    assert codes_of("`reason` | `evaluation`") == [reason.value for reason in Reason]
    for evaluation in Evaluation:
        assert f"`{evaluation}`" in documented_line("`evaluation`")


def documented_line(field: str) -> str:
    return next(line for line in PAGE.splitlines() if line.startswith(f"| {field} |"))


def test_examples_are_whole_messages_and_their_topics_are_right() -> None:
    examples = re.findall(r"```json\n(.+)\n```\n\nIts topic is `(\S+?)`", PAGE)
    assert len(examples) == 7
    for text, topic in examples:
        header = wire.decode(text.encode())
        assert json.loads(wire.encode(header)) == json.loads(text)
        kind = {
            "Verdict": "v", "PartVerdict": "p", "Late": "late",
            "Heartbeat": "hb", "Event": "ev", "HeatmapHeader": "h", "PreviewHeader": "pv",
        }[type(header).__name__]  # fmt: skip
        camera = getattr(header, "camera", None) or "-"
        assert wire.topic("demo", "line1", camera, wire.Kind(kind)).decode() == topic


def test_every_kind_and_schema_is_described() -> None:
    for kind in wire.Kind:
        assert f"| `{kind.value}` |" in PAGE
    others = (wire.Late, wire.Heartbeat, wire.Event, wire.HeatmapHeader, wire.PreviewHeader)
    for struct in (Verdict, PartVerdict, *others):
        assert f"`{struct.__struct_config__.tag}`" in PAGE
