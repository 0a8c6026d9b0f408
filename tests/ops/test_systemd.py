"""The unit under a real systemd: ready means ready, a stuck line is started anew, a stop is clean."""

from __future__ import annotations

import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from support.ports import free_port

from inspectd import key_files
from inspectd.publish.access import keys
from inspectd.publish.access.keys import Client
from inspectd.wire.sockets import Role
from tests.ops.machine import Machine
from tests.support.cells import cells
from tests.support.daemon import camera_table, settings

LINE = "inspectd@line1.service"
WATCHDOG_SECONDS = 4

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a systemd of one's own takes root")


def _named(text: str, line: str) -> str:
    """A service's settings: it takes none of another line."""
    return text.replace('name = "line"', f'name = "{line}"')


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def keyed_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, bank_file: Path, port: int, keyed_port: int
) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("machine")
    images = folder / "state/images"
    images.mkdir(parents=True)
    for image in cells(defective=False)[1:41:2]:
        shutil.copy(image, images)
    shutil.copy(bank_file, folder / "state/cells.safetensors")
    (folder / "settings").mkdir()
    state = Path("/var/lib/inspectd/line1")
    # Scoring that hangs is left to systemd's watchdog. ZeroMQ over TCP needs what the sandbox must allow.
    extra = f'[scoring]\nstall_timeout_ms = 600000\n[publish]\nverdicts_tcp = "127.0.0.1:{free_port()}"'
    line = settings(
        state / "cells.safetensors",
        camera_table("cam1", state / "images", fps=5),
        metrics_port=port,
        extra=extra,
    )
    (folder / "settings/line1.toml").write_text(_named(line, "line1"))
    keyed = settings(
        state / "cells.safetensors",
        camera_table("cam1", state / "images", fps=5),
        extra=f'[publish]\nverdicts_tcp = "127.0.0.1:{keyed_port}"\n'
        '[security]\nkeys_dir = "/etc/inspectd/keyed.keys"',
    )
    (folder / "settings/keyed.toml").write_text(_named(keyed, "keyed"))
    (folder / "settings/wrong.toml").write_text("[line]\ndeadline_ms = -1\n")
    booted = Machine(folder, drop_in=f"WatchdogSec={WATCHDOG_SECONDS}\nRestartSec=2\n")
    yield booted
    booted.close()


@pytest.fixture
def started(machine: Machine) -> Iterator[Machine]:
    start = machine.run("systemctl", "start", LINE)
    assert start.returncode == 0, (
        start.stdout + machine.log.read_text()[-3000:] + machine.boot_log.read_text()[-2000:]
    )
    yield machine
    machine.run("systemctl", "stop", LINE)


def metric(port: int, name: str) -> float:
    """The sum of a metric's series."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def wait_for(condition: Callable[[], bool], timeout_seconds: float, machine: Machine) -> None:
    end = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < end, machine.log.read_text()[-3000:] + machine.boot_log.read_text()[-2000:]
        time.sleep(0.1)


def children(machine: Machine, main_pid: str) -> dict[str, str]:
    """Process id of each child by its module."""
    listed = machine.run("ps", "-o", "pid=,args=", "--ppid", main_pid).stdout
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    return {args.split(" -m ")[1].split()[0]: pid for pid, args in rows if " -m " in args}


def test_a_line_lives_under_systemd(started: Machine, port: int) -> None:
    """From its start to its stop, with a reload and a hang between them."""
    machine = started
    # `systemctl start` came back, so scoring is warm.
    assert metric(port, "inspectd_scoring_up") == 1
    wait_for(lambda: metric(port, 'inspectd_verdicts_total{camera="cam1",evaluation="pass"') > 3, 20, machine)

    (main_pid,) = machine.show(LINE, "MainPID")
    status = machine.run("cat", f"/proc/{main_pid}/status").stdout
    assert machine.run("ps", "-o", "user=", "-p", main_pid).stdout.strip() == "inspectd"
    assert "Seccomp:\t2" in status
    assert "CapBnd:\t0000000000000000" in status
    sockets = machine.run(
        "stat", "-c", "%a %U:%G %n", "/run/inspectd/line1", "/run/inspectd/line1/verdicts.sock"
    ).stdout
    assert sockets.splitlines() == [
        "750 inspectd:inspectd /run/inspectd/line1",
        "660 inspectd:inspectd /run/inspectd/line1/verdicts.sock",
    ]

    # A reload reaches the process that runs, and systemd has the service active again after it.
    file = machine.log.parent / "etc/inspectd/line1.toml"
    file.write_text(file.read_text().replace("fps = 5", "fps = 6"))
    assert machine.run("systemctl", "reload", LINE).returncode == 0
    wait_for(lambda: metric(port, 'inspectd_reloads_total{line="line1",result="done"') == 1, 20, machine)
    assert machine.run("systemctl", "reload", LINE).returncode == 0
    wait_for(lambda: metric(port, 'inspectd_reloads_total{line="line1",result="unchanged"') == 1, 20, machine)
    wait_for(lambda: machine.show(LINE, "ActiveState", "MainPID") == ["active", main_pid], 5, machine)
    wait_for(lambda: metric(port, "inspectd_camera_up") == 1, 10, machine)

    # Nothing gets through: systemd ends the daemon and starts it anew, and parts are judged again.
    machine.run("kill", "-STOP", children(machine, main_pid)["inspectd.scoring.worker"])
    wait_for(lambda: machine.show(LINE, "Result") == ["watchdog"], 3 * WATCHDOG_SECONDS, machine)
    # The journal says where it stood, as soon as it has been written into the log.
    wait_for(lambda: "Fatal Python error: Aborted" in machine.log.read_text(), 10, machine)
    wait_for(lambda: machine.show(LINE, "NRestarts", "ActiveState") == ["1", "active"], 60, machine)
    wait_for(lambda: metric(port, 'inspectd_verdicts_total{camera="cam1",evaluation="pass"') > 3, 20, machine)

    begun = time.monotonic()
    assert machine.run("systemctl", "stop", LINE).returncode == 0
    assert time.monotonic() - begun < 5
    assert machine.show(LINE, "ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]
    assert machine.run("ps", "-u", "inspectd", "-o", "pid=").stdout == ""
    assert machine.run("ls", "/run/inspectd").stdout == ""


def test_wrong_settings_are_told_once_and_not_tried_again(machine: Machine) -> None:
    unit = "inspectd@wrong.service"
    assert machine.run("systemctl", "start", unit).returncode != 0
    assert machine.show(unit, "ActiveState", "ExecMainStatus", "NRestarts") == ["failed", "2", "0"]
    log = machine.log.read_text()
    assert "line.deadline_ms" in log
    assert "Traceback" not in log.split("line.deadline_ms")[0][-200:]


def test_the_sandbox_holds_and_lets_the_daemon_work(machine: Machine) -> None:
    unit, before = "inspectd@probe.service", len(machine.log.read_text())
    assert machine.run("systemctl", "start", unit).returncode == 0
    said = machine.log.read_text()[before:].splitlines()
    assert [line for line in said if line.startswith("can ")] == [
        "can read a standard device",
        "can write to its state directory",
        "can write to its runtime directory",
        "can write to its cache",
        "can run code it compiled",
        "can make a frame ring",
    ]
    assert [line for line in said if line.startswith("cannot ")] == [
        "cannot read a disk",
        "cannot write to /usr",
        "cannot write to /etc",
        "cannot see home directories",
        "cannot make a device node",
        "cannot make a namespace",
    ]


def test_the_lines_secret_key_comes_from_the_credential_store(
    machine: Machine, keyed_port: int, tmp_path: Path
) -> None:
    """The store is root's alone; the keys directory that the service reads holds nothing secret."""
    etc = machine.log.parent / "etc"
    public, secret = key_files.new_pair(tmp_path / "server")
    client = key_files.read_pair(key_files.new_pair(tmp_path / "gate1")[1])
    keys.write_allowed(etc / "inspectd/keyed.keys", [Client(client.public, "gate1", (Role.READ,))])
    unit = "inspectd@keyed.service"
    assert machine.run("systemctl", "start", unit).returncode != 0
    assert "keyed.keys/server.key_secret: cannot be read: not found" in machine.log.read_text()

    (etc / "credstore").mkdir(exist_ok=True)
    shutil.copy(secret, etc / "credstore/inspectd-keyed.key_secret")
    assert machine.run("systemctl", "start", unit).returncode == 0, machine.log.read_text()[-3000:]
    context = zmq.Context()
    try:
        with context.socket(zmq.SUB) as socket:
            socket.curve_serverkey = key_files.read_public(public)
            socket.curve_publickey, socket.curve_secretkey = client.public, client.secret
            socket.subscribe(b"")
            socket.connect(f"tcp://127.0.0.1:{keyed_port}")
            assert socket.poll(10_000)
    finally:
        context.destroy(linger=0)
    assert machine.run("systemctl", "stop", unit).returncode == 0
