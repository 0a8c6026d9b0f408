"""docs/wire.md, section 13: its tables name every field and word of the messages about shadows."""

import re
import typing

import msgspec
import pytest

from inspectd.wire.shadow import ShadowResult, ShadowScore, ShadowState, ShadowStatus
from tests.docs.test_replay import stripped
from tests.docs.test_wire import PAGE, codes_of, documented, json_type


@pytest.mark.parametrize("struct", [ShadowScore, ShadowStatus])
def test_tables_name_every_field_in_order_with_its_type(struct: type[msgspec.Struct]) -> None:
    hints = {key: stripped(hint) for key, hint in typing.get_type_hints(struct).items()}
    fields = {"schema": "string"} if struct.__struct_config__.tag else {}
    fields |= {field: json_type(hints[field]) for field in struct.__struct_fields__}
    stated = [(field, kind) for field, (kind, _) in documented(struct.__name__).items()]
    assert stated == list(fields.items())


@pytest.mark.parametrize(
    ("heading", "words"), [("shadow `state`", ShadowState), ("Fate of a frame", ShadowResult)]
)
def test_every_word_is_described(heading: str, words: type) -> None:
    assert codes_of(heading) == [str(word) for word in words]


def test_the_example_is_a_real_message() -> None:
    (example,) = re.findall(r"```json\n(.+?)\n```", PAGE.split("\n## 13. The shadow\n")[1].split("\n## ")[0])
    assert msgspec.json.decode(example, type=ShadowScore).evaluation == "fail"
