"""What a PLC is shown of a line's heartbeats."""

from __future__ import annotations

import msgspec
import pytest
from support.messages import heartbeat

from inspectd.gateways.line_link import _seen
from inspectd.gateways.registers import LineBit
from inspectd.wire.health import HealthCondition


@pytest.mark.parametrize(
    ("condition", "bits"),
    [
        (None, LineBit.GOLDEN_VALID),
        ("golden_due", LineBit.GOLDEN_DUE),
        ("golden_overdue", LineBit.GOLDEN_FAILED),
        ("golden_failed", LineBit.GOLDEN_FAILED),
        ("golden_none", LineBit(0)),
    ],
)
def test_golden_parts_are_valid_only_where_a_check_can_have_passed(
    condition: str | None, bits: LineBit
) -> None:
    told = [] if condition is None else [HealthCondition("maintenance_required", condition, "")]
    seen = _seen(msgspec.structs.replace(heartbeat(1), conditions=told))
    assert seen is not None
    golden = LineBit.GOLDEN_VALID | LineBit.GOLDEN_DUE | LineBit.GOLDEN_FAILED
    assert seen.bits & golden == bits
