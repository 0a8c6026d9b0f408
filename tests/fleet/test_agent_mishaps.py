"""A bank on its way to a line while servers, links and agents die: the short form of `agent_acceptance`."""

from __future__ import annotations

import pytest
from faults.acceptance import Checks
from faults.agent_acceptance import AgentLab, examine
from support.disks import needs_root
from support.lone_network import lone_network

pytestmark = pytest.mark.system  # NATS is no part of the project


@needs_root
def test_a_bank_comes_whole_or_not_at_all(tmp_path) -> None:
    checks = Checks()
    with lone_network():
        lab = AgentLab(tmp_path, 20, 1)
        try:
            examine(lab, checks)
        finally:
            lab.close()
    assert not checks.wrong
