"""docs/wire.md, section 10: its tables name every field of the sync socket's messages; its example too."""

import re
import typing

import msgspec
import pytest

from inspectd.wire import sync
from tests.docs.test_wire import PAGE, documented, json_type

STRUCTS = {
    s.__name__: s
    for s in (
        sync.ReplayRequest,
        sync.Verdicts,
        sync.Truncated,
        sync.End,
        sync.Snapshot,
        sync.LineStatus,
        sync.Error,
    )
}


def stripped(annotation: object) -> object:
    """Without the constraints of `Annotated`."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    return annotation


@pytest.mark.parametrize("name", STRUCTS)
def test_tables_name_every_field_in_order_with_its_type(name: str) -> None:
    hints = typing.get_type_hints(STRUCTS[name])
    fields = {
        field.encode_name: json_type(stripped(hints[field.name]))
        for field in msgspec.structs.fields(STRUCTS[name])
    }
    stated = {field: kind for field, (kind, _) in documented(name).items()}
    assert stated == {"schema": "string"} | fields
    assert f"| `schema` | string | | `{STRUCTS[name].__struct_config__.tag}` |" in PAGE


@pytest.mark.parametrize("struct", [sync.CameraStatus, sync.RecipeStatus, sync.GoldenStatus, sync.KeysStatus])
def test_tables_of_a_status_name_every_field_in_order_with_its_type(struct: type[msgspec.Struct]) -> None:
    hints = typing.get_type_hints(struct)
    fields = {name: json_type(stripped(hints[name])) for name in struct.__struct_fields__}
    assert {field: kind for field, (kind, _) in documented(struct.__name__).items()} == fields


def test_the_example_exchange_is_made_of_real_messages() -> None:
    exchange = re.findall(r"```text\n(.+?)\n```", PAGE, re.DOTALL)[-1]
    sent = re.findall(r"^> (.+)$", exchange, re.MULTILINE)
    received = [
        line for line in re.findall(r"^< (\{.+\})$", exchange, re.MULTILINE) if "verdict/1" not in line
    ]
    assert [type(sync.decode_request([line.encode()])) for line in sent] == [sync.ReplayRequest]
    answers = [sync.decode_answer(line.encode()) for line in received]
    assert [type(answer) for answer in answers] == [sync.Verdicts, sync.End]


def test_limits_are_those_of_the_code() -> None:
    assert f"at most {sync.MAX_REQUEST_BYTES:,} bytes" in PAGE
    assert f"1 to {sync.MAX_LIMIT:,}, {sync.DEFAULT_LIMIT} by default" in PAGE
