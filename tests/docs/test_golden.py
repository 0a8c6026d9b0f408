"""docs/wire.md, section 12: its tables name every field and word of the messages about golden parts."""

import re
import typing

import msgspec
import pytest

from inspectd.wire import golden
from inspectd.wire.golden import (
    GoldenAck,
    GoldenDue,
    GoldenRecord,
    GoldenRefusal,
    GoldenRequest,
    GoldenShowing,
    GoldenToShow,
    GoldenView,
)
from tests.docs.test_replay import stripped
from tests.docs.test_wire import PAGE, codes_of, documented, json_type

STRUCTS = {
    struct.__name__: struct
    for struct in (
        GoldenRequest,
        GoldenAck,
        GoldenToShow,
        GoldenDue,
        GoldenRefusal,
        GoldenRecord,
        GoldenShowing,
        GoldenView,
    )
}


@pytest.mark.parametrize("name", STRUCTS)
def test_tables_name_every_field_in_order_with_its_type(name: str) -> None:
    struct = STRUCTS[name]
    hints = {key: stripped(hint) for key, hint in typing.get_type_hints(struct).items()}
    fields = {"schema": "string"} if struct.__struct_config__.tag else {}
    fields |= {field: json_type(hints[field]) for field in struct.__struct_fields__}
    assert [(field, kind) for field, (kind, _) in documented(name).items()] == list(fields.items())
    if struct.__struct_config__.tag:
        assert f"`{struct.__struct_config__.tag}`" in PAGE


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("`action` | Asks to", golden.GoldenAction),
        ("`state` | Meaning", golden.GoldenState),
        ("`agreement` | Meaning", golden.GoldenAgreement),
        ("`outcome` | Meaning", golden.GoldenOutcome),
        ("golden `reason`", golden.GoldenRefusalReason),
    ],
)
def test_every_word_is_described(heading: str, words: type) -> None:
    assert codes_of(heading) == [str(word) for word in words]


def test_the_examples_are_real_messages() -> None:
    section = PAGE.split("\n## 12. Golden parts\n")[1].split("\n## 13. ")[0]
    request, answer, record = re.findall(r"```json\n(.+?)\n```", section)
    assert msgspec.json.decode(request, type=GoldenRequest).part == "crack-1"
    assert golden.decode_golden_answer(answer.encode()).to_show[0].part == "crack-1"
    assert msgspec.json.decode(record, type=GoldenRecord).showing.part == "crack-1"
