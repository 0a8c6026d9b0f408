"""A gateway on another host: over TCP with a key, which needs the roles `read` and `control`."""

from __future__ import annotations

import time
import urllib.request
from pathlib import Path

import pytest
from support.daemon import camera_table, settings
from support.gateway import GatewayProcess, PlcLink
from support.ports import free_port, free_ports

from inspectd import key_files
from inspectd.gateways.registers import CommandCode
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.numbers import COMMAND_REFUSAL_NUMBERS, TRIGGER_REFUSAL_NUMBERS
from inspectd.wire.sockets import Role

pytestmark = pytest.mark.daemon

ENABLED, TRIGGER, EXECUTE = 1, 2, 16
TRIGGER_ACK, MISSED, RESULTS_VALID, ONLINE = 1 << 1, 1 << 3, 1 << 11, 1 << 7
COMMAND_FAILED = 1 << 14


def until(link: PlcLink, bits: int, control: int, seconds: float = 10) -> list[int]:
    """The status block once all these bits are set."""
    end, beat = time.monotonic() + seconds, 0
    while True:
        beat += 1
        status = link.exchange([control, beat])
        if status is not None and status[0] & bits == bits:
            return status
        assert time.monotonic() < end, status
        time.sleep(0.01)


def gateway_over_tcp(
    start_daemon, stub_bank, small_good, tmp_path: Path, *, roles: tuple[Role, ...],
    server_key: str = "keys/server.key", metrics_port: int = 0,
) -> GatewayProcess:  # fmt: skip
    """A line with keys, and a gateway with a key of these roles and this file as the line's key."""
    key_files.new_pair(tmp_path / "keys" / "server")
    public, _ = key_files.new_pair(tmp_path / "plc1")
    keys.write_allowed(tmp_path / "keys", [Client(key_files.read_public(public), "plc1", roles)])
    ports = dict(zip(("verdicts", "sync", "control"), free_ports(3), strict=True))
    tcp = "\n".join(f'{name}_tcp = "127.0.0.1:{port}"' for name, port in ports.items())
    camera = camera_table("top", small_good, fps=25, mode='"triggered"', slots=32)
    extra = f'[triggers]\nmax_delay_ms = 2000\n[publish]\n{tcp}\n[security]\nkeys_dir = "{tmp_path}/keys"'
    daemon = start_daemon(settings(stub_bank, camera, deadline_ms=2000, extra=extra)).ready()
    line = "\n".join(f'{name} = "tcp://127.0.0.1:{port}"' for name, port in ports.items())
    line += f'\nserver_key = "../{server_key}"\nclient_key = "../plc1.key_secret"'
    tables = "[handshake]\nanswer_ms = 1000\n"
    return GatewayProcess(
        tmp_path / "gateway", daemon.runtime_dir, tables, line=line, metrics_port=metrics_port
    )


@pytest.mark.parametrize("roles", [(Role.READ, Role.CONTROL), (Role.READ,)])
def test_a_key_with_both_roles_is_enough_and_needed(
    start_daemon, stub_bank, small_good, tmp_path: Path, roles: tuple[Role, ...]
) -> None:
    gateway = gateway_over_tcp(start_daemon, stub_bank, small_good, tmp_path, roles=roles)
    link = PlcLink(gateway.port)
    until(link, ONLINE | ENABLED, ENABLED)
    if Role.CONTROL in roles:
        until(link, TRIGGER_ACK, ENABLED | TRIGGER)
        status = until(link, RESULTS_VALID, ENABLED)
        assert status[20] == 1
    else:
        status = until(link, MISSED, ENABLED | TRIGGER)
        assert status[3] == TRIGGER_REFUSAL_NUMBERS["no_answer"]
    link.close()
    assert gateway.stop() == 0
    assert ("line_refuses_key" in gateway.log.read_text()) == (Role.CONTROL not in roles)


def test_a_gateway_whose_key_file_is_away_keeps_what_is_connected(
    start_daemon, stub_bank, small_good, tmp_path: Path
) -> None:
    roles, port = (Role.READ, Role.CONTROL), free_port()
    gateway = gateway_over_tcp(start_daemon, stub_bank, small_good, tmp_path, roles=roles, metrics_port=port)
    link = PlcLink(gateway.port)
    until(link, ONLINE | ENABLED, ENABLED)
    key = (tmp_path / "plc1.key_secret").rename(tmp_path / "away")
    end = time.monotonic() + 20
    while "line_cannot_be_connected" not in gateway.log.read_text():
        until(link, ONLINE, ENABLED)
        assert time.monotonic() < end, gateway.log.read_text()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert "inspectd_client_locked_out 1.0" in answer.read().decode()
    link.exchange([CommandCode.PREPARE, 12], first=10)
    assert until(link, COMMAND_FAILED, ENABLED | EXECUTE)[5] == COMMAND_REFUSAL_NUMBERS["no_answer"]
    until(link, TRIGGER_ACK, ENABLED | TRIGGER)
    assert until(link, RESULTS_VALID, ENABLED)[20] == 1
    key.rename(tmp_path / "plc1.key_secret")
    link.close()
    assert gateway.stop() == 0
    assert gateway.log.read_text().count("line_cannot_be_connected") <= 2  # sync, control


def test_a_gateway_that_has_another_key_of_the_line_says_so(
    start_daemon, stub_bank, small_good, tmp_path: Path
) -> None:
    key_files.new_pair(tmp_path / "before" / "server")
    port, roles = free_port(), (Role.READ, Role.CONTROL)
    gateway = gateway_over_tcp(
        start_daemon, stub_bank, small_good, tmp_path,
        roles=roles, server_key="before/server.key", metrics_port=port,
    )  # fmt: skip
    end = time.monotonic() + 20
    while gateway.log.read_text().count("line_breaks_off") < 3:  # verdicts, sync, control
        assert time.monotonic() < end, gateway.log.read_text()
        time.sleep(0.1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert "inspectd_client_locked_out 1.0" in answer.read().decode()
    assert gateway.stop() == 0
    assert gateway.log.read_text().count("before/server.key") >= 3
