"""What whoever has the key of a line's agent may have people shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inspectd.fleet.agent import report as of_agent
from inspectd.fleet.names import LineNames
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
