"""A line that keeps what it published and does not answer for a while: nothing of it is passed over."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from support.messages import EPOCH
from support.replaying_line import Line
from support.sparkplug_gateway import SparkplugGateway

from inspectd.client import Position
from inspectd.client import cursor as cursors
from inspectd.gateways.sparkplug import gateway, settings, telling
from inspectd.gateways.sparkplug.gateway import SparkplugGateway as Gateway
from inspectd.gateways.sparkplug.metrics import SparkplugMetrics
from inspectd.gateways.sparkplug.session import EdgeNames

pytestmark = pytest.mark.system  # Mosquitto is no part of the project


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path)
    yield made
    made.close()


def text(line: Line, port: int) -> str:
    return f"""
        line = {{ plant = "demo", name = "line1", verdicts = "{line.endpoint}" }}
        broker = {{ servers = ["127.0.0.1:{port}"], tls = false }}
        sparkplug = {{ group = "demo", node = "line1", state_dir = "state" }}
        metrics = {{ port = 0 }}
        """


@contextmanager
def running_here(file: Path) -> Iterator[None]:
    """A gateway in a thread of this process."""
    loop = asyncio.new_event_loop()
    gateway = Gateway(settings.load(file), EdgeNames("demo", "line1"), SparkplugMetrics(CollectorRegistry()))
    thread = threading.Thread(target=loop.run_until_complete, args=(gateway.run(),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(gateway.stop)
        thread.join()
        loop.close()


def silent_for(requests: int, line: Line, host) -> None:
    """Parts come, the line does not answer to so many requests, and then all of them are told."""
    line.publish(3)
    host.until(lambda: len(host.view.parts) == 3)
    line.answers, asked = False, len(line.requests)
    line.publish(5, live=False)
    line.publish(1)
    host.until(lambda: len(line.requests) >= asked + requests)
    line.answers = True
    host.until(lambda: host.view.parts[-1]["Seq"] == 9)
    assert {part["Seq"] for part in host.view.parts} == {*range(1, 10)}
    assert host.view.values[None]["Lost/Spans"] == 0


def test_a_line_is_waited_for_while_what_it_keeps_is_read(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    gateway = SparkplugGateway(plant.folder / "gateway", text(line, broker.port))
    try:
        host.until(lambda: "parts" in host.view.values)
        silent_for(14, line, host)
        assert gateway.log.read_text().count("line_does_not_answer") == 1
    finally:
        gateway.close()


def test_what_a_reader_gave_up_in_the_end_is_asked_for_again(line, plant, monkeypatch, caplog) -> None:
    monkeypatch.setattr(gateway, "_PATIENCE_SECONDS", 0.5)
    broker = plant.broker()
    host = plant.host(broker)
    (plant.folder / "sparkplug.toml").write_text(text(line, broker.port))
    with running_here(plant.folder / "sparkplug.toml"):
        host.until(lambda: "parts" in host.view.values)
        silent_for(8, line, host)
    assert "verdicts_lost" not in caplog.messages


def test_a_line_that_cannot_be_connected_to_for_a_moment_is_read_afterwards(
    line, plant, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(gateway, "_PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(telling, "_AGAIN_SECONDS", 0.1)
    broker = plant.broker()
    host = plant.host(broker)
    (plant.folder / "sparkplug.toml").write_text(text(line, broker.port))
    socket, aside = plant.folder / "verdicts.sock", plant.folder / "aside.sock"
    with running_here(plant.folder / "sparkplug.toml"):
        host.until(lambda: "parts" in host.view.values)
        socket.rename(aside)
        socket.touch()  # as little to be connected to as with a key file that is away
        line.answers = False
        line.publish(5, live=False)
        line.publish(1)  # which shows that there is more before it
        host.until(lambda: "line_cannot_be_connected" in caplog.messages)
        host.until(lambda: host.view.values[None]["Line/Liveness"] == "waiting")
        aside.replace(socket)
        line.answers = True
        host.until(lambda: {part["Seq"] for part in host.view.parts} == {*range(1, 7)})
    assert "verdicts_lost" not in caplog.messages


def test_a_backlog_that_comes_before_a_heartbeat_is_told_after_it(line, plant, monkeypatch, caplog) -> None:
    monkeypatch.setattr(telling, "_MAX_HELD", 5)
    line.beats = False
    line.publish(20, live=False)
    broker = plant.broker()
    host = plant.host(broker)
    (plant.folder / "sparkplug.toml").write_text(text(line, broker.port))
    (plant.folder / "state").mkdir()
    cursors.write(plant.folder / "state/cursor", cursors.Cursor("demo", "line1", Position(EPOCH, 0)))

    def told() -> set[object]:
        line.publish(1)  # what is live shows that there is more before it
        return {part["Seq"] for part in host.view.parts}

    with running_here(plant.folder / "sparkplug.toml"):
        host.until(lambda: not told() and None in host.view.values)
        line.beats = True
        host.until(lambda: {*range(1, 30)} <= told())
    assert "verdicts_lost" not in caplog.messages


def test_a_loss_is_counted_once_however_often_it_is_met(line, plant, monkeypatch, caplog) -> None:
    monkeypatch.setattr(telling, "_SILENCE_SECONDS", 0.5)
    births = "".join(
        f"topic write spBv1.0/demo/{kind}/#\n" for kind in ("NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDEATH")
    )
    acl = plant.folder / "acl"
    acl.write_text(f"topic read #\n{births}")
    acl.chmod(0o644)
    broker = plant.broker(f"allow_anonymous true\nacl_file {acl}\n")
    host = plant.host(broker)
    host.view.may_lack = True
    (plant.folder / "sparkplug.toml").write_text(text(line, broker.port))
    (plant.folder / "state").mkdir()
    cursors.write(plant.folder / "state/cursor", cursors.Cursor("demo", "line1", Position(EPOCH, 0)))
    line.publish(1)
    line.publish(5, live=False, record=False)
    line.publish(1)

    def readers() -> int:
        """How often the cursor was gone back to: no part is passed on, though births are."""
        return sum(request.first == Position(EPOCH, 1) for request in line.requests)

    with running_here(plant.folder / "sparkplug.toml"):
        host.until(lambda: readers() >= 3)
        acl.write_text(f"topic readwrite #\n{births}")
        broker.reload()
        # Where the broker reads its list between the two, the later one comes first, and both are told again.
        host.until(lambda: [part["Seq"] for part in host.view.parts][-2:] == [1, 7])
        assert host.view.values[None]["Lost/Verdicts"] == 5
        assert host.view.values[None]["Lost/Spans"] == 1
    assert caplog.messages.count("verdicts_lost") == 1
