"""Lines, forwarders, servers while things go wrong: the short form of `tools/faults/fleet_acceptance.py`."""

from __future__ import annotations

import random

import pytest
from faults.fleet import Fleet
from faults.mishaps import Mishaps
from support.disks import needs_root
from support.lone_network import lone_network

pytestmark = pytest.mark.system  # NATS is no part of the project


@needs_root
def test_nothing_is_lost_doubled_or_out_of_order(tmp_path) -> None:
    with lone_network(), Fleet(tmp_path, 2, 20) as fleet:
        fleet.start_servers()
        fleet.start_clients()
        fleet.hear(4)
        mishaps = Mishaps(fleet, random.Random(3), print, longest_seconds=1)
        for kind in (
            mishaps.kill_follower,
            mishaps.kill_leader,
            mishaps.kill_all_forwarders,
            mishaps.kill_all,
            mishaps.cut_power,
            mishaps.kill_hub,
        ):
            kind()
        fleet.hear(4)
        fleet.drained(60)
        in_hub = fleet.read_by_hub(60)
        for line in fleet.names:
            assert in_hub[line].lost == 0, in_hub
            assert in_hub[line].counted == in_hub[line].rows, in_hub
            found = fleet.compared(line)
            assert found.published > 300, found
            assert (found.lost, found.double, found.out_of_order) == (0, 0, 0), found
