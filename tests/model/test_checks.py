from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from inspectd.errors import InputError
from inspectd.model.checks import Checked, from_values, number, one_of, option, optional, whole
from inspectd.model.options import PatchOptions


@dataclass(frozen=True, kw_only=True)
class Settings(Checked):
    count: int = option(1, whole(1, 4))
    share: float = option(0.5, number(0, 1, above=True))
    kind: str = option("a", one_of("a", "b"))
    most: int | None = option(None, optional(whole(1, 9)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count is 0, expected a whole number from 1 to 4"),
        ({"count": True}, "count is True"),
        ({"count": 1.5}, "count is 1.5"),
        ({"share": 0}, "share is 0, expected a number above 0 up to 1"),
        ({"share": float("nan")}, "share is nan"),
        ({"kind": "c"}, "kind is 'c', expected one of: a, b"),
        ({"most": 10}, "most is 10"),
        ({"counts": 1}, "there is no 'counts', expected one of: count, share, kind, most"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_what_was_expected(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        from_values(Settings, values)


def test_values_that_fit_are_taken() -> None:
    values = {"count": 4, "share": 1, "kind": "b", "most": 9}
    assert from_values(Settings, values) == Settings(count=4, share=1, kind="b", most=9)


def test_a_decoder_reports_it_in_place() -> None:
    with pytest.raises(msgspec.ValidationError, match="compression is 2"):
        msgspec.json.decode(b'{"compression": 2.0}', type=PatchOptions)
    assert msgspec.json.decode(b'{"region": [0, 0, 1, 0.5]}', type=PatchOptions).region == (0, 0, 1, 0.5)
