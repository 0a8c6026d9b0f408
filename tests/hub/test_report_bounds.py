"""What whoever has the key of a line's agent may have people shown."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.orders import an_order

from inspectd.config import MOST_NAME, MOST_PLACES
from inspectd.fleet.agent import report as of_agent
from inspectd.fleet.agent.order import OrderedRecipe
from inspectd.fleet.names import LineNames
from inspectd.fleet.streams import reports_config
from inspectd.hub.messages import report_of

LINE = LineNames("test", "line")
REPORT = {
    "schema": "fleet_report/1", "plant": "test", "line": "line", "at_utc_ns": 1, "software": "0.1.0",
    "state": "fetching", "why": "w" * 500, "recipe": "seam", "version": 3, "bank_sha256": {"seam": "cd" * 32},
    "wanted_serial": 7, "wanted_recipe": "seam2", "wanted_recipe_sha256": "ab" * 32, "offered_sha256": None,
    "refusal": None, "progress": 0.5, "counted_since_utc_ns": None, "verdicts": {"pass": 3},
    "reject_share": 0.0, "drift": 3.5,
}  # fmt: skip


def read(**changes: Any) -> tuple[bool, bool]:
    """Whether the hub takes it for a report, and whether those who roll out do."""
    body = json.dumps(REPORT | changes).encode()
    return report_of(LINE, body) is not None, of_agent.decode(body, "test", "line") is not None


def test_what_an_agent_sends_is_a_report() -> None:
    assert read() == (True, True)
    assert read(progress=None, version=None, refusal="r" * 500) == (True, True)
    assert read(state="of_a_later_version") == (True, False)


def test_a_line_with_the_most_places_of_the_longest_names_can_say_what_it_runs() -> None:
    name = "n" * MOST_NAME
    banks = {f"{name}@999999999/{name}/{n:063}": "cd" * 32 for n in range(MOST_PLACES)}
    ordered = msgspec.to_builtins(an_order().recipe) | {
        "bank_sha256": {f"{name}/{n:063}": "cd" * 32 for n in range(MOST_PLACES)}
    }
    assert len(msgspec.convert(ordered, OrderedRecipe).bank_sha256) == MOST_PLACES
    assert read(bank_sha256=banks) == (True, True)
    longest = REPORT | {"bank_sha256": banks, "why": "\0" * 500, "refusal": "\0" * 500}
    most = 2**63 - 1
    counts = {"pass": most, "fail": most, "undecidable": most}
    longest["verdicts_by_place"] = {f"{name}/{n:063}": counts for n in range(MOST_PLACES)}
    report = of_agent.encode(msgspec.convert(longest, of_agent.FleetReport))
    assert len(report) <= reports_config(LINE).max_msg_size == of_agent.MOST_REPORT_BYTES


@pytest.mark.parametrize(
    "changes",
    [
        {"why": "w" * 501}, {"refusal": "r" * 60_000}, {"progress": 1e308}, {"progress": -0.1},
        {"state": "\u202egninnur"}, {"state": "running\n"}, {"state": ""}, {"version": 10**200},
        {"version": -1}, {"wanted_serial": -(10**100)}, {"at_utc_ns": 2**63}, {"recipe": "r" * 257},
        {"wanted_recipe": "r" * 257}, {"bank_sha256": {"seam": "c" * 65}},
        {"bank_sha256": {f"seam{n}": "cd" for n in range(257)}},
    ],
)  # fmt: skip
def test_what_is_longer_or_larger_is_none(changes: dict[str, Any]) -> None:
    assert read(**changes) == (False, False)
