"""The fault suite in its short form: each fault a few times, on the real daemon, with the gate attached."""

from __future__ import annotations

import pytest
from faults import runner
from faults.fault import Fault
from faults.parts import Bank
from faults.suite import FAULTS

LONGEST = ("connections-idle", "journal-damaged", "rtsp-starved", "rtsp-stalled", "latency", "reader-stopped")
"""They come first, so that workers end together."""

SHORT = sorted((fault for fault in FAULTS if fault.short), key=lambda fault: fault.name not in LONGEST)


@pytest.mark.timed
@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
def test_what_must_hold_holds(fault: Fault, parts_bank: Bank):
    missing = fault.needs()
    assert missing is None, missing
    outcome = runner.run_fault(fault, fault.short, parts_bank, seed=1)
    assert outcome.violations == []
    assert outcome.injected == fault.short
