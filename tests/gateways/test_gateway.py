"""The Modbus gateway as a process on a real daemon, with clients of other code bases."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException
from support.changeovers import add_recipe
from support.daemon import Daemon, camera_table, settings
from support.gateway import GatewayProcess, PlcLink, function_block, now_ms, value_in
from support.ports import free_port

from inspectd.cli import main
from inspectd.cli.gateway import example
from inspectd.client import ask_status
from inspectd.errors import ExitCode
from inspectd.gateways.modbus.settings import load
from inspectd.scoring.stub import Behaviour
from inspectd.wire.numbers import COMMAND_REFUSAL_NUMBERS, REASON_NUMBERS, TRIGGER_REFUSAL_NUMBERS

pytestmark = pytest.mark.daemon

FAST = "[handshake]\nanswer_ms = 1000\n"
ENABLED, TRIGGER, ACK, EXECUTE = 1, 2, 8, 16
MISSED, RESULT = 8, 1 << 11


def line(stub_bank: Path, folder: Path) -> str:
    camera = camera_table("top", folder, fps=25, mode='"triggered"', slots=32)
    return settings(stub_bank, camera, deadline_ms=2000, extra="[triggers]\nmax_delay_ms = 2000")


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, small_good) -> Daemon:
    return start_shared_daemon(line(stub_bank, small_good)).ready()


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[Callable[..., GatewayProcess]]:
    """Starts gateways, and ends them after the test."""
    started: list[GatewayProcess] = []

    def start(daemon: Daemon, tables: str = FAST, **more: object) -> GatewayProcess:
        started.append(
            GatewayProcess(tmp_path / f"gateway{len(started)}", daemon.runtime_dir, tables, **more)
        )
        return started[-1]

    yield start
    for gateway in started:
        gateway.kill()


class Plc:
    """Writes words and reads the status block, by pymodbus; counts its heartbeat up each time."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.link = PlcLink(gateway.port)
        self.beat = 0

    def cycle(self, bits: int = ENABLED, *more: int) -> list[int]:
        status = self._exchange(bits, *more)
        assert status is not None
        return status

    def until(
        self, condition: Callable[[list[int]], object], bits: int = ENABLED, seconds: float = 10
    ) -> list[int]:
        """Go on until the condition holds; as a PLC, which asks again where an answer takes too long."""
        end = time.monotonic() + seconds
        while (status := self._exchange(bits)) is None or not condition(status):
            assert time.monotonic() < end, [hex(word) for word in status or []]
            time.sleep(0.005)
        return status

    def _exchange(self, bits: int, *more: int) -> list[int] | None:
        self.beat = (self.beat + 1) % 65_536
        return self.link.exchange([bits, self.beat, *more])


@pytest.fixture
def plc() -> Iterator[Callable[[GatewayProcess], Plc]]:
    plcs: list[Plc] = []

    def connect(gateway: GatewayProcess) -> Plc:
        plcs.append(Plc(gateway))
        return plcs[-1]

    yield connect
    for each in plcs:
        each.link.close()


def test_parts_by_the_bits_have_the_results_that_the_bus_has(daemon, gateways, plc) -> None:
    unit = plc(gateways(daemon))
    unit.until(lambda status: status[0] & 1)
    for number in range(1, 9):
        unit.cycle(ENABLED, 0, number)
        status = unit.until(lambda status: status[0] & 2, ENABLED | TRIGGER)
        acquisition = value_in(status, "acquisition_id")
        status = unit.until(lambda status: status[0] >> 11 & 1)
        assert value_in(status, "inspection_id") == acquisition
        name = f"{number}-{acquisition}"
        daemon.until(lambda name=name: any(part.trigger_id == name for part in daemon.reader.parts))
        part = next(part for part in daemon.reader.parts if part.trigger_id == name)
        assert (value_in(status, "evaluation"), value_in(status, "result_trigger_id")) == (1, number)
        assert value_in(status, "pass_key") == acquisition & 0xFFFF ^ 0xA55A
        assert (value_in(status, "seq"), value_in(status, "epoch")) == (part.seq, part.epoch // 1000)
        assert value_in(status, "latency") == round(part.latency_ms * 10)
        view = next(view for view in daemon.reader.verdicts if view.seq == part.views[0].seq)
        assert value_in(status, "score") == pytest.approx(view.score, rel=1e-6)
        unit.until(lambda status: not status[0] >> 11 & 1, ENABLED | ACK)


def test_parts_by_numbers(daemon, gateways, plc) -> None:
    unit = plc(gateways(daemon))
    control = [ENABLED, 0, *[0] * 32]
    unit.link.exchange(control)
    unit.until(lambda status: status[0] & 1)
    read = 0
    for number in range(1, 9):
        unit.beat += 1
        control[1], control[32:34] = unit.beat, [number, read]
        end = time.monotonic() + 10
        while True:
            status = unit.link.exchange(control)
            if status[10] == number and status[0] >> 11 & 1:
                break
            assert time.monotonic() < end
        assert (status[11], value_in(status, "result_number")) == (1, number)
        assert value_in(status, "inspection_id") == value_in(status, "acquisition_id")
        read = value_in(status, "inspection_id") & 0xFFFF
        assert status[21] == read ^ 0xA55A


def test_the_page_s_function_block_opens_for_good_parts(daemon, gateways, plc) -> None:
    link = plc(gateways(daemon)).link
    block = function_block(Travel=400, Answer=300)
    opened = rejected = 0
    end = time.monotonic() + 20
    while opened + rejected < 6 and time.monotonic() < end:
        status = link.exchange(block.vars.Control)
        eye = block.vars.Step == 0 and bool(block.vars.Online) and status is not None and status[0] & 1 == 1
        found = block.cycle(Status=status or [0] * 40, ReadOk=status is not None, Now=now_ms(), Eye=eye)
        opened, rejected = opened + found.Open, rejected + found.Reject
    assert (opened, rejected) == (6, 0)


def test_mbpoll_reads_and_a_line_that_ends_is_seen_at_once(
    start_daemon, stub_bank, small_good, gateways, plc
) -> None:
    daemon = start_daemon(line(stub_bank, small_good)).ready()
    gateway = gateways(daemon)
    unit = plc(gateway)
    unit.until(lambda status: status[0] & 1)

    def mbpoll(*options: str) -> str:
        command = ["mbpoll", "-q", "-0", "-1", "-p", str(gateway.port), *options]
        return subprocess.run([*command, "127.0.0.1"], capture_output=True, text=True, check=False).stdout

    assert re.findall(r"\[(\d+)\]:\s+(\d+)", mbpoll("-t", "4", "-r", "102")) == [("102", "1")]
    assert re.findall(r"\[(\d+)\]:\s+(\d+)", mbpoll("-t", "3", "-r", "102")) == [("102", "1")]
    assert re.findall(r"\[(\d+)\]:\s+(\d+)", mbpoll("-t", "1", "-r", "7")) == [("7", "1")]
    assert "Illegal data address" in subprocess.run(
        ["mbpoll", "-0", "-1", "-p", str(gateway.port), "-t", "4", "-r", "5000", "127.0.0.1"],
        capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip
    daemon.process.kill()
    status = unit.until(lambda status: not status[0] & 0x80, seconds=2)
    assert status[0] >> 4 & 7 == 1
    assert status[16:38] == [0] * 22


def test_a_trigger_that_the_line_refuses(start_daemon, stub_bank, small_good, gateways, plc) -> None:
    daemon = start_daemon(line(stub_bank, small_good)).ready()
    unit = plc(gateways(daemon, '[handshake]\nanswer_ms = 1000\nrecipes = { 7 = "unknown" }'))
    unit.until(lambda status: status[0] & 1)
    unit.cycle(ENABLED, *[0] * 6, 7)
    status = unit.until(lambda status: status[0] & 8, ENABLED | TRIGGER)
    assert status[3] == 21


def command(unit: Plc, code: int, number: int = 0) -> int:
    """The command's result."""
    unit.link.exchange([code, number], first=10)
    status = unit.until(lambda status: status[0] >> 13 & 3, ENABLED | EXECUTE, 30)
    unit.until(lambda status: not status[0] >> 13 & 3)
    assert bool(status[5]) == bool(status[0] >> 14 & 1)
    return status[5]


def judged(unit: Plc) -> list[int]:
    """The status block with a part's result."""
    unit.until(lambda status: status[0] & 1)
    unit.until(lambda status: status[0] & 2, ENABLED | TRIGGER)
    status = unit.until(lambda status: status[0] >> 11 & 1)
    unit.until(lambda status: not status[0] >> 11 & 1, ENABLED | ACK)
    return status


def test_recipes_are_loaded_and_put_in_force_by_commands(
    start_daemon, stub_bank, small_good, gateways, plc
) -> None:
    daemon = start_daemon(line(stub_bank, small_good)).ready()
    for number, name in enumerate(("a", "b"), 11):
        add_recipe(daemon.folder / "state", name, number, {"top": float(number)})
    unit = plc(gateways(daemon))
    unit.until(lambda status: status[0] & 1)

    assert command(unit, 2, 11) == 0
    assert unit.cycle()[4] == 0
    assert command(unit, 1, 11) == 0
    unit.until(lambda status: status[4] == 11)
    assert value_in(judged(unit), "result_recipe") == 11
    assert command(unit, 1, 12) == 0  # loaded first
    unit.until(lambda status: status[4] == 12)
    assert value_in(judged(unit), "result_recipe") == 12
    assert command(unit, 1, 99) == COMMAND_REFUSAL_NUMBERS["unknown"]
    assert command(unit, 3, 12) == COMMAND_REFUSAL_NUMBERS["in_force"]
    assert command(unit, 3, 11) == 0
    assert command(unit, 6, 11) == COMMAND_REFUSAL_NUMBERS["unknown_command"]
    assert command(unit, 7, 11) == COMMAND_REFUSAL_NUMBERS["not_allowed"]
    assert value_in(judged(unit), "result_recipe") == 12


@pytest.mark.parametrize(
    ("signum", "result"), [(signal.SIGKILL, "line_restarted"), (signal.SIGTERM, "not_alive")]
)
def test_a_command_that_the_line_loses_with_its_end_is_said_to_be_lost(
    start_daemon, stub_bank, small_good, gateways, plc, *, signum: int, result: str
) -> None:
    daemon = start_daemon(line(stub_bank, small_good)).ready()
    add_recipe(daemon.folder / "state", "a", 11, {"top": 11.0})
    daemon.behave(Behaviour(load_seconds=60))
    # A PLC that falls silent takes its command back, and this one is silent while the line ends and starts.
    unit = plc(gateways(daemon, FAST + "plc_timeout_ms = 60000\n"))
    unit.until(lambda status: status[0] & 1)
    unit.link.exchange([1, 11], first=10)
    sync = f"ipc://{daemon.runtime_dir}/sync.sock"  # it tells so after it has answered the command
    unit.until(lambda status: ask_status(sync).loading == "a@1", ENABLED | EXECUTE)
    daemon.stop(signum)
    has_ended = signum == signal.SIGTERM  # a line that is killed may be back at any moment
    if has_ended:
        unit.until(lambda status: status[0] >> 14 & 1, ENABLED | EXECUTE)
    again = Daemon(daemon.folder, line(stub_bank, small_good), behaviour=Behaviour())
    try:
        again.ready()
        status = unit.until(lambda status: status[0] >> 13 & 3, ENABLED | EXECUTE)
        assert status[5] == COMMAND_REFUSAL_NUMBERS[result]
        unit.until(lambda status: status[0] & 1)
        assert command(unit, 1, 11) == 0
        unit.until(lambda status: status[4] == 11)
    finally:
        again.close()


def test_golden_parts_are_announced_by_a_command_and_open_no_gate(
    start_daemon, stub_bank, small_good, gateways, plc
) -> None:
    part = 'name = "good-1"\nrecipe = "cell"\nexpect = "pass"\ncameras = ["top"]\nrepeats = 2\n'
    daemon = start_daemon(line(stub_bank, small_good) + f"\n[[golden.parts]]\n{part}").ready()
    tables = 'may_promote = true\n[handshake.golden_parts]\n1 = "good-1"\n'
    unit = plc(gateways(daemon, FAST + tables))
    unit.until(lambda status: status[0] & 1)
    assert command(unit, 4, 9) == COMMAND_REFUSAL_NUMBERS["golden_part"]
    assert command(unit, 5) == COMMAND_REFUSAL_NUMBERS["no_check"]
    assert command(unit, 7, 11) == COMMAND_REFUSAL_NUMBERS["not_prepared"]
    assert command(unit, 4, 1) == 0
    assert unit.cycle()[9] & 4, "the next part is a golden one"
    assert command(unit, 5) == COMMAND_REFUSAL_NUMBERS["no_check"]
    assert not unit.cycle()[9] & 4, "it is taken back"
    for _ in range(2):
        assert command(unit, 4, 1) == 0
        status = judged(unit)
        assert (value_in(status, "evaluation"), status[22]) == (3, REASON_NUMBERS["golden"])
        assert not unit.cycle()[9] & 4
    daemon.until(lambda: daemon.reader.event("golden_passed"))
    assert value_in(judged(unit), "evaluation") == 1, "production goes on"


def test_the_plant_s_heartbeat_and_one_plc_alone(daemon, gateways) -> None:
    gateway = gateways(
        daemon, "[handshake]\nplc_timeout_ms = 200\n", modbus='plc = "127.0.0.2"\nreaders = ["127.0.0.1"]'
    )
    reader = ModbusTcpClient("127.0.0.1", port=gateway.port)
    owner = ModbusTcpClient("127.0.0.1", port=gateway.port, source_address=("127.0.0.2", 0))
    stranger = ModbusTcpClient(
        "127.0.0.1", port=gateway.port, source_address=("127.0.0.3", 0), retries=0, timeout=1
    )
    assert reader.connect()
    assert owner.connect()
    end = time.monotonic() + 10
    beat = 0
    while not reader.read_holding_registers(100).registers[0] & 1:
        beat += 1
        assert not owner.write_registers(0, [1, beat]).isError()
        assert time.monotonic() < end
        time.sleep(0.02)
    assert reader.write_register(0, 3).exception_code == 1
    while reader.read_holding_registers(100).registers[0] >> 4 & 15 != 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    stranger.connect()
    with pytest.raises((ModbusException, ConnectionError)):
        stranger.read_holding_registers(100)
    for client in (reader, owner, stranger):
        client.close()


def test_metrics_and_a_stop(daemon, gateways, plc) -> None:
    port = free_port()
    gateway = gateways(daemon, FAST, metrics_port=port)
    unit = plc(gateway)
    unit.until(lambda status: status[0] & 1)
    unit.until(lambda status: status[0] & 2, ENABLED | TRIGGER)
    unit.until(lambda status: status[0] >> 11 & 1)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'inspectd_gateway_triggers_total{answer="accepted"} 1.0' in text
    assert 'inspectd_gateway_results_total{result="pass"} 1.0' in text
    assert "inspectd_gateway_online 1.0" in text
    assert 'inspectd_gateway_modbus_cut_off_total{cause="peer"} 0.0' in text
    assert gateway.stop() == ExitCode.OK
    assert "Traceback" not in gateway.log.read_text()


def test_a_restart_shows_nothing_of_before(daemon, gateways, plc) -> None:
    gateway = gateways(daemon)
    unit = plc(gateway)
    unit.until(lambda status: status[0] & 1)
    first = value_in(unit.until(lambda status: status[0] & 2, ENABLED | TRIGGER), "acquisition_id")
    unit.until(lambda status: status[0] >> 11 & 1, ENABLED | TRIGGER)
    gateway.kill()
    gateway.start()
    end = time.monotonic() + 10
    while (status := unit.link.exchange([ENABLED | TRIGGER, unit.beat])) is None:
        assert time.monotonic() < end
    assert not status[0] & 0b11  # neither ready nor acknowledged: Trigger is still up from before
    assert status[6:8] == [0, 0]
    assert status[16:38] == [0] * 22
    unit.until(lambda status: status[0] & 1)
    second = value_in(unit.until(lambda status: status[0] & 2, ENABLED | TRIGGER), "acquisition_id")
    assert second != first + 1


def test_a_connection_that_is_lost_changes_nothing(daemon, gateways, plc) -> None:
    gateway = gateways(daemon, "[handshake]\nanswer_ms = 1000\npass_hold_ms = 60000\n")
    before = plc(gateway)
    before.until(lambda status: status[0] & 1)
    before.until(lambda status: status[0] & 2, ENABLED | TRIGGER)
    first = before.until(lambda status: status[0] >> 11 & 1, ENABLED | TRIGGER)
    before.link.close()  # between trigger and acknowledgement of its result
    after = plc(gateway)
    after.beat = before.beat
    again = after.cycle(ENABLED | TRIGGER)
    assert again[6:8] == first[6:8]  # Trigger that is still up is no other trigger
    assert again[16:18] == first[16:18] == first[6:8]
    after.until(lambda status: not status[0] >> 11 & 1, ENABLED | ACK)
    assert not after.cycle(ENABLED)[0] >> 11 & 1


def refused(file: Path, capfd: pytest.CaptureFixture[str]) -> str:
    assert main(["gateway", "modbus", "--config", str(file), "--check"]) == ExitCode.BAD_INPUT
    return capfd.readouterr().err


def test_a_trigger_that_lay_in_a_gateway_that_stood_still_is_none(daemon, gateways, plc) -> None:
    """Its time for an answer began when it came: by then the next part is before the camera."""
    gateway = gateways(daemon, "[handshake]\nanswer_ms = 150\nplc_timeout_ms = 5000\n")
    plc(gateway).until(lambda status: status[0] & 1)
    client = ModbusTcpClient("127.0.0.1", port=gateway.port, timeout=10)
    assert client.connect()
    assert not client.write_registers(0, [ENABLED, 1001]).isError()
    gateway.process.send_signal(signal.SIGSTOP)
    later = threading.Timer(0.3, gateway.process.send_signal, [signal.SIGCONT])
    later.start()
    assert not client.write_registers(0, [ENABLED | TRIGGER, 1002]).isError()
    later.join()
    end = time.monotonic() + 5
    while not (status := client.read_holding_registers(100, count=40).registers)[0] & MISSED:
        assert time.monotonic() < end
        assert not status[0] & RESULT
    assert value_in(status, "error") == TRIGGER_REFUSAL_NUMBERS["no_answer"]
    client.close()


def test_every_problem_of_the_file_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "modbus.toml"
    file.write_text(
        '[line]\nverdicts = "x"\n[handshake]\nanswer = 3\nrecipes = { 1000 = "a" }\n[modbus]\nport = 70000\n'
    )
    said = refused(file, capfd)
    for name in ("line.verdicts", "handshake.answer: unknown key", "handshake.recipes", "modbus.port"):
        assert name in said
    file.write_text('[line]\nverdicts = "tcp://10.0.0.1:5571"\nclient_key = "a"\n[modbus]\nplc = "the plc"\n')
    said = refused(file, capfd)
    for name in ("line.sync", "line.control", "line.server_key, line.client_key"):
        assert name in said
    file.write_text('[modbus]\nplc = "the plc"\nreaders = ["10.0.0.300"]\n')
    said = refused(file, capfd)
    assert "modbus.plc: got 'the plc', expected an IP address" in said
    assert "modbus.readers[0]: got '10.0.0.300'" in said


def test_the_example_is_a_file_without_problems(tmp_path: Path) -> None:
    file = tmp_path / "modbus.toml"
    file.write_text(example())
    assert load(file).modbus.port == 502
    file.write_text(re.sub(r"^# (\w+ = )", r"\1", example(), flags=re.MULTILINE))
    settings = load(file)
    assert settings.handshake.recipe_names == {12: "cells"}
    assert settings.line.client_key == str(tmp_path / "plc1.key_secret")


def test_a_port_that_is_taken_is_one_line(daemon, gateways, tmp_path: Path) -> None:
    gateway = gateways(daemon)
    file = tmp_path / "second.toml"
    file.write_text(f"[modbus]\nport = {gateway.port}\n[metrics]\nport = 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "inspectd", "gateway", "modbus", "--config", str(file)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == ExitCode.UNAVAILABLE
    assert done.stderr.splitlines()[-1].startswith(
        "error: modbus.host, modbus.port: cannot listen on 127.0.0.1:"
    )


@pytest.mark.parametrize("kind", ["modbus", "s7"])
@pytest.mark.parametrize("names", ['plant = "test"\nname = "line2"', 'plant = "other"\nname = "line"', ""])
def test_a_gateway_serves_no_other_line(daemon, tmp_path: Path, kind: str, names: str) -> None:
    file = tmp_path / "gateway.toml"
    address = 'host = "127.0.0.1"\nport = 1' if kind == "s7" else f"port = {free_port()}"
    file.write_text(
        f'[line]\n{names}\nverdicts = "ipc://{daemon.runtime_dir}/verdicts.sock"\n[{kind}]\n{address}\n'
        "[metrics]\nport = 0\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "inspectd", "gateway", kind, "--config", str(file)],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == ExitCode.BAD_INPUT, done.stderr
    assert "line test/line, expected " in done.stderr.splitlines()[-1]
    assert "line.plant, line.name" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_triggers_go_to_no_other_line(daemon, start_daemon, gateways, plc, *, stub_bank, small_good) -> None:
    text = line(stub_bank, small_good).replace('name = "line"', 'name = "line2"')
    other = start_daemon(text).ready()
    bus = f'verdicts = "ipc://{daemon.runtime_dir}/verdicts.sock"'
    unit = plc(gateways(daemon, line=f'{bus}\ncontrol = "ipc://{other.runtime_dir}/control.sock"'))
    unit.until(lambda status: status[0] & 1)
    status = unit.until(lambda status: status[0] & 8, ENABLED | TRIGGER)
    assert value_in(status, "error") == TRIGGER_REFUSAL_NUMBERS["other_line"]
    assert other.reader.parts == []


def test_reasons_are_numbers_of_the_table(daemon, gateways, plc) -> None:
    unit = plc(gateways(daemon))
    unit.until(lambda status: status[0] & 1)
    unit.until(lambda status: status[0] & 2, ENABLED | TRIGGER)
    status = unit.until(lambda status: status[0] >> 11 & 1)
    assert value_in(status, "reason") == REASON_NUMBERS["within_threshold"]
