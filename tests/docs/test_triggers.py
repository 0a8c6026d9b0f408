"""docs/triggers.md names every field and reason of a trigger, and its example is one."""

import re
from pathlib import Path

import pytest

from inspectd.publish.control import MAX_REQUEST_BYTES, parse
from inspectd.wire import Accepted, Reason, Refusal, RefusalReason, TriggerRequest

PAGE = (Path(__file__).parents[2] / "docs" / "triggers.md").read_text(encoding="utf-8")


def first_column(table: str) -> list[str]:
    return [re.match(r"\| `(\w+)`", line)[1] for line in table.split("\n\n", maxsplit=1)[0].splitlines()[2:]]


@pytest.mark.parametrize("struct", [TriggerRequest, Accepted, Refusal])
def test_tables_name_every_field_in_order(struct) -> None:
    table = PAGE.split(f"<!-- struct: {struct.__name__} -->\n\n")[1]
    assert first_column(table) == ["schema", *struct.__struct_fields__]
    assert f"`{struct.__struct_config__.tag}`" in table


def test_every_refusal_is_described() -> None:
    assert first_column(PAGE.split("\n| `reason` | When |")[1]) == [str(reason) for reason in RefusalReason]


def test_the_example_is_a_trigger_with_every_field() -> None:
    request = parse([re.search(r"```json\n(.+?)\n```", PAGE)[1].encode()])
    fields = [field for field in request.__struct_fields__ if field != "golden"]  # who copies it means a part
    assert all(getattr(request, field) is not None for field in fields)


def test_its_limits_and_reasons_are_those_of_the_code() -> None:
    assert f"at most {MAX_REQUEST_BYTES:,} bytes" in PAGE
    for reason in re.findall(r"undecidable: (\w+)`", PAGE):
        assert Reason(reason)
