"""The S7 gateway as a process between a real daemon and python-snap7's server as the PLC."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from faults.plc import FailingLink
from snap7 import Client
from support.daemon import Daemon, camera_table, settings
from support.ports import free_port
from support.s7 import STATUS_DB, S7Gateway, S7Plc

from inspectd.errors import ExitCode

pytestmark = pytest.mark.daemon

TESTS = Path(__file__).parents[1]
FAST = "[handshake]\nanswer_ms = 1000\nplc_timeout_ms = 300\npass_hold_ms = 60000\n"


def line(stub_bank: Path, folder: Path) -> str:
    camera = camera_table("top", folder, fps=25, mode='"triggered"', slots=32)
    return settings(stub_bank, camera, deadline_ms=2000, extra="[triggers]\nmax_delay_ms = 2000")


@pytest.fixture(scope="module")
def daemon(start_shared_daemon, stub_bank, small_good) -> Daemon:
    return start_shared_daemon(line(stub_bank, small_good)).ready()


Cell = tuple[S7Plc, S7Gateway, FailingLink]


@contextmanager
def started(daemon: Daemon, folder: Path, metrics_port: int = 0) -> Iterator[Cell]:
    """A PLC, a link that can fail, and a gateway to a daemon."""
    with ExitStack() as open_now:
        plc = S7Plc(Travel=400, Answer=300)
        open_now.callback(plc.close)
        link = FailingLink(plc.port)
        open_now.callback(link.close)
        gateway = S7Gateway(folder, daemon.runtime_dir, link.port, FAST, metrics_port)
        open_now.callback(gateway.kill)
        plc.until(plc.is_ready)
        yield plc, gateway, link


@pytest.fixture(scope="module")
def cell(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    with started(daemon, tmp_path_factory.mktemp("s7")) as found:
        yield found


def result_waits(plc: S7Plc) -> None:
    """Have a part judged, whose result the program does not acknowledge."""
    plc.until(lambda: plc.is_ready() and plc.block.vars.Online)
    plc.cycle(eye=True)
    plc.until(lambda: plc.status[0] >> 11 & 1)  # it takes two cycles to acknowledge


def test_good_parts_pass_with_the_results_that_the_bus_has_until_the_line_ends(
    start_daemon, stub_bank, small_good, tmp_path: Path
) -> None:
    daemon = start_daemon(line(stub_bank, small_good)).ready()
    port = free_port()
    with started(daemon, tmp_path, port) as (plc, gateway, _):
        assert [plc.part() for _ in range(2)] == [True] * 2
        result_waits(plc)
        acquisition = plc.value("inspection_id")
        name = f"{plc.block.vars.Number}-{acquisition}"
        daemon.until(lambda: any(part.trigger_id == name for part in daemon.reader.parts))
        part = next(part for part in daemon.reader.parts if part.trigger_id == name)
        assert plc.value("pass_key") == acquisition & 0xFFFF ^ 0xA55A
        assert (plc.value("seq"), plc.value("epoch")) == (part.seq, part.epoch // 1000)
        assert plc.value("latency") == round(part.latency_ms * 10)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert 'inspectd_gateway_results_total{result="pass"} 3.0' in text
        assert "inspectd_gateway_s7_connected 1.0" in text
        daemon.process.kill()
        plc.until(lambda: not plc.status[0] & 0x80, seconds=2)
        assert plc.status[0] >> 4 & 7 == 1
        assert plc.status[16:40] == [0] * 24
        assert not plc.cycle().Online
        assert gateway.stop() == ExitCode.OK
        assert "Traceback" not in gateway.log.read_text()


def test_a_plc_that_stopped_finds_no_old_result(cell) -> None:
    plc, _, _ = cell
    result_waits(plc)
    number = plc.block.vars.Number
    plc.until(lambda: not plc.status[0] & 0x80, runs=False, seconds=2)
    assert plc.status[0] >> 4 & 7 == 2
    assert plc.status[16:40] == [0] * 24
    assert not plc.status[0] & 0x801
    plc.until(plc.is_ready)
    assert plc.status[16:40] == [0] * 24
    assert plc.block.vars.Number == number
    assert plc.part()


def test_a_link_that_was_cut_brings_nothing_of_before(cell) -> None:
    plc, gateway, link = cell
    connected = gateway.log.read_text().count("plc_connected")
    result_waits(plc)
    link.refused.set()
    link.cut()
    plc.until(lambda: not plc.cycle().Online, seconds=2)  # its own watch on the heartbeat
    assert plc.status[0] & 0x880 == 0x880  # as the last write left it
    plc.cycle(eye=True)
    assert plc.block.vars.Step == 3
    plc.block.vars.Number += 1  # a program that triggers all the same
    link.refused.clear()
    plc.until(lambda: plc.value("answer") == 2 and plc.is_ready())
    assert plc.status[16:40] == [0] * 24
    assert plc.value("answered_number") == plc.block.vars.Number
    assert plc.value("acquisition_id") == 0
    log = gateway.log.read_text()
    assert "plc_lost" in log
    assert log.count("plc_connected") == connected + 1
    plc.until(lambda: plc.block.vars.Step == 0)
    assert plc.part()


def test_a_gateway_that_ends_in_order_leaves_no_result_and_is_not_online(daemon, tmp_path: Path) -> None:
    with started(daemon, tmp_path) as (plc, gateway, _):
        result_waits(plc)
        assert plc.status[0] & 0x881 == 0x881
        assert gateway.stop() == ExitCode.OK
        assert not plc.status[0] & 0x881
        assert plc.status[16:40] == [0] * 24


def test_an_answer_that_the_network_held_back_opens_for_no_part(cell) -> None:
    plc, _, link = cell
    plc.until(lambda: plc.is_ready() and plc.block.vars.Online)
    link.held.set()
    assert not plc.part_now()
    link.held.clear()
    assert plc.part()


def test_a_plc_that_is_killed_and_comes_back(daemon, tmp_path: Path) -> None:
    port = free_port()

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", "support.s7", str(port)], cwd=TESTS)

    def status() -> int:
        """The status block's first word, read by a client of the test's own."""
        client = Client()
        client.connect("127.0.0.1", 0, 1, port)
        found = client.db_read(STATUS_DB, 0, 2)
        client.disconnect()
        return int.from_bytes(found, "big")

    def until(condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    plc = start()
    gateway = S7Gateway(tmp_path, daemon.runtime_dir, port, FAST)
    try:
        until(lambda: "plc_connected" in gateway.log.read_text())
        until(lambda: status() & 0x81 == 0x81)
        plc.kill()
        plc.wait()
        until(lambda: "plc_lost" in gateway.log.read_text())
        plc = start()
        until(lambda: gateway.log.read_text().count("plc_connected") == 2)
        until(lambda: status() & 0x81 == 0x81)
    finally:
        gateway.kill()
        plc.kill()
        plc.wait()
