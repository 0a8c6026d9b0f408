"""Forwarder, agent and hub under a real systemd, in the sandboxes of their units."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.agents import Signers, publish, recipe_with, report, tell
from support.disks import needs_root
from support.nats_cluster import NatsCluster
from support.orders import people_with_keys
from support.ports import free_port

from inspectd.fleet.streams import end_of
from tests.ops.machine import Machine
from tests.support.cells import cells
from tests.support.daemon import camera_table, settings

LINE_STATE = Path("/var/lib/inspectd/line1")
UNITS = ("inspectd@line1", "inspectd-forward@line1", "inspectd-fleet@line1", "inspectd-hub")

pytestmark = [pytest.mark.system, needs_root]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    made = NatsCluster(tmp_path / "nats", ("line1",))
    made.start()
    made.make_streams()
    made.make_fleet_streams()
    yield made
    made.close()


@pytest.fixture
def machine(tmp_path: Path, bank_file: Path) -> Iterator[Machine]:
    folder = tmp_path / "machine"
    images = folder / "state/images"
    images.mkdir(parents=True)
    for image in cells(defective=False)[1:41:2]:
        shutil.copy(image, images)
    shutil.copy(bank_file, folder / "state/cells.safetensors")
    (folder / "settings").mkdir()
    camera = camera_table("top", LINE_STATE / "images", fps=5)
    line = settings(LINE_STATE / "cells.safetensors", camera).replace('name = "line"', 'name = "line1"')
    (folder / "settings/line1.toml").write_text(line)
    booted = Machine(folder, drop_in="")
    yield booted
    booted.close()


def give_settings(machine: Machine, cluster: NatsCluster, signers: Signers) -> int:
    """Install the settings of all three, with their keys; the port of the hub's metrics."""
    authority = machine.give("ca.pem", (cluster.folder / "ca.pem").read_bytes())
    link = cluster.settings("line1")
    where = f'addresses = {[*link.addresses]}\nca_file = "{authority}"\n'
    users = (("line1", "inspectd"), ("agent-line1", "inspectd"), ("reader", "inspectd-hub"))
    seeds = {
        user: machine.give(f"{user}.nk", cluster.keys[user][0].read_bytes(), owner=owner, mode=0o600)
        for user, owner in users
    }
    line = '[line]\nplant = "test"\nname = "line1"\nverdicts = "ipc:///run/inspectd/line1/verdicts.sock"\n'
    monitors = f"monitors = {[*link.monitors]}\n"
    port = free_port()
    files = {
        "forward-line1": f'{line}[servers]\n{where}{monitors}seed_file = "{seeds["line1"]}"\n',
        "fleet-line1": f'{line}[servers]\n{where}seed_file = "{seeds["agent-line1"]}"\n'
        "[fleet]\nmin_free_mb = 1\npoll_seconds = 1\nreport_seconds = 1\n" + signers.tables,
        "hub": f'[plant]\nname = "test"\n[servers]\n{where}seed_file = "{seeds["reader"]}"\n'
        f'[database]\nurl = "sqlite:////var/lib/inspectd-hub/hub.sqlite"\n'
        f"[server]\nport = {free_port()}\n[metrics]\nport = {port}\n",
    }
    for name, text in files.items():
        machine.give(f"{name}.toml", f"{text}".encode())
    return port


def test_a_line_is_forwarded_shown_and_told_what_to_run(
    machine: Machine, cluster: NatsCluster, bank_file: Path, tmp_path: Path
) -> None:
    signers = Signers(people_with_keys(tmp_path, "anna", "otto"))
    port = give_settings(machine, cluster, signers)
    recipe = recipe_with(tmp_path / "made", bank_file, threshold=1e6)
    for unit in UNITS:
        started = machine.run("systemctl", "start", unit)
        assert started.returncode == 0, started.stdout + machine.log.read_text()[-3000:]
    publish(cluster, recipe)
    tell(cluster, "line1", signers.order(recipe.ordered, 1, "line1"))

    def is_told() -> bool:
        said = report(cluster, "line1")
        return said is not None and (said.state, said.wanted_serial) == ("running", 1)

    until_or_log(is_told, machine)
    stored = machine.run("stat", "-c", "%U %a", f"{LINE_STATE}/recipes/cells/1/recipe.json").stdout
    assert stored.startswith("inspectd "), stored
    end = cluster.as_user("line1", lambda servers: end_of(servers, cluster.lines["line1"]))
    assert end.last_sequence > 0
    until_or_log(lambda: metric(port, "inspectd_hub_stored_total") > 0, machine)
    for unit in reversed(UNITS):
        assert machine.run("systemctl", "stop", unit).returncode == 0
        shown = machine.show(unit, "ActiveState", "Result", "ExecMainStatus", "NRestarts")
        assert shown == ["inactive", "success", "0", "0"], (unit, machine.log.read_text()[-3000:])
    assert "Traceback" not in machine.log.read_text()


def metric(port: int, name: str) -> float:
    """The sum of a metric's series."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, verify=False).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def until_or_log(condition: Callable[[], bool], machine: Machine) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, machine.log.read_text()[-5000:]
        time.sleep(0.2)
