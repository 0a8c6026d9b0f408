"""`inspectd fleet desire`: what a line was told stands against an order that is not above it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.agents import PLANT, Signers, servers_file, tell
from support.orders import an_order

from inspectd import cli
from inspectd.fleet.agent.order import decode_order, decode_signed
from inspectd.fleet.agent.publisher import desired
from inspectd.fleet.servers import Servers

pytestmark = pytest.mark.system  # NATS is no part of the project


def test_an_older_order_is_told_to_no_line(start_cluster, signers: Signers, tmp_path: Path, capsys) -> None:
    cluster = start_cluster(("l1", "l2"))
    cluster.make_fleet_streams()
    config = servers_file(cluster, "publisher", tmp_path)

    async def told(servers: Servers) -> list[int]:
        found = [await desired(servers, PLANT, line) for line in ("l1", "l2")]
        return [decode_order(decode_signed(each[1]).text).serial for each in found if each is not None]

    orders = {
        serial: signers.order(an_order().recipe, serial, "l1", "l2", why="both") for serial in (7, 9, 10)
    }

    def desire(serial: int) -> tuple[int, str]:
        order, signed = tmp_path / "order.json", orders[serial]
        order.write_bytes(msgspec.json.encode(signed))
        code = cli.main(["fleet", "desire", str(order), "--config", str(config)])
        said = capsys.readouterr()
        return code, said.out + said.err

    tell(cluster, "l1", b"rubbish")  # is no order that stands
    assert desire(7)[0] == 0
    tell(cluster, "l2", signers.order(an_order().recipe, 9, "l2", why="way back"))
    for serial in (7, 9):
        code, said = desire(serial)
        words = f"l2: was told order 9 by somebody else, and this one is {serial}"
        assert (code, words in said) == (2, True), said
    assert cluster.as_user("publisher", told) == [7, 9], "l1 was not told the other order of 9 either"
    assert desire(10)[0] == 0
    assert cluster.as_user("publisher", told) == [10, 10]
