"""The gateway between a real line, a real broker and a host that judges every message."""

from __future__ import annotations

import logging
import signal
import time

import paho.mqtt.client as mqtt
import pytest
import zmq
from support.daemon import Daemon, camera_table, settings
from support.sparkplug_host import command
from support.triggers import Plant as Triggers

from inspectd.gateways.sparkplug import broker as broker_module

pytestmark = pytest.mark.system  # Mosquitto is no part of the project


@pytest.fixture(scope="module")
def line(start_shared_daemon, stub_bank, small_good) -> Daemon:
    """A free-running line that judges 20 parts a second."""
    return start_shared_daemon(settings(stub_bank, camera_table("top", small_good, fps=10))).ready()


def told(host) -> list[int]:
    return [part["Seq"] for part in host.view.parts]


def without_gap(numbers: list[int]) -> bool:
    return sorted(set(numbers)) == list(range(min(numbers), max(numbers) + 1))


def test_parts_births_rebirth_and_a_wanted_end(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    gateway = plant.gateway(line, broker)
    host.until(lambda: len(host.view.parts) > 20)
    assert host.view.log == ["NBIRTH 0", "DBIRTH camera-top", "DBIRTH parts"]
    assert host.view.values[None]["Properties/Line"] == "test/line"
    for junk in (b"\xff" * 12, b"", bytes(100_000), command("Node Control/Reboot")):
        host.command(junk)
    for _ in range(100):
        host.command()
    host.until(lambda: host.view.counts["NBIRTH"] == 2)
    late_host = plant.host(broker, name="late")
    late_host.is_late = True
    late_host.command()
    late_host.until(lambda: len(late_host.view.parts) > 5)
    host.until(lambda: len(host.view.parts) > 60)
    assert host.view.counts["NBIRTH"] <= 4
    assert host.view.bd_seq == 0
    assert not any(part["historical"] for part in host.view.parts[10:]), (
        "the first are from before the births"
    )
    assert told(host) == [*range(told(host)[0], told(host)[-1] + 1)]
    judged = {verdict.seq: verdict for verdict in line.reader.verdicts}
    line.until(lambda: line.reader.verdicts and line.reader.verdicts[-1].seq >= told(host)[-1])
    judged = {verdict.seq: verdict for verdict in line.reader.verdicts}
    for part in host.view.parts:
        verdict = judged[part["Seq"]]
        assert part["Evaluation"] == {"pass": 1, "fail": 2, "undecidable": 3}[verdict.evaluation]
        assert (part["Score"], part["Reason"], part["Epoch"]) == (
            verdict.score,
            verdict.reason,
            verdict.epoch,
        )
    assert gateway.stop() == 0
    host.until(lambda: host.view.log[-1] == "NDEATH 0")
    assert gateway.log.read_text().count("malformed") == 1, "of a kind one line in ten seconds"


def test_a_flood_of_commands_does_not_hold_up_telling_and_fills_no_log(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    gateway = plant.gateway(line, broker)
    host.until(lambda: len(host.view.parts) > 5)
    before = len(host.view.parts)
    host.flood(4)
    assert len(host.view.parts) - before > 20, gateway.log.read_text()[-2000:]  # of 80
    births = host.view.counts["NBIRTH"]
    host.until(lambda: host.view.counts["NBIRTH"] > births)  # what was not heard may have asked for them
    gateway.until_logged("commands_held_off")
    assert gateway.log.read_text().count("\n") < 30
    assert gateway.stop() == 0
    assert without_gap(told(host))


def test_a_message_that_is_too_large_is_said_and_not_kept(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    large = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    large.connect("127.0.0.1", broker.port)
    large.loop_start()
    large.publish("spBv1.0/demo/NCMD/line1", bytes(5_000_000), qos=1, retain=True).wait_for_publish(10)
    gateway = plant.gateway(line, broker)
    gateway.until_logged("message_too_large topic=spBv1.0/demo/NCMD/line1 size_bytes=5000000")
    host.until(lambda: len(host.view.parts) > 5)
    large.loop_stop()
    assert gateway.stop() == 0
    assert "heard what=malformed" not in gateway.log.read_text()


def test_what_the_mqtt_library_says_is_logged_now_and_then(caplog) -> None:
    for number in range(1000):
        logging.getLogger(broker_module.__name__ + ".library").warning("Dropped %d.", number)
    assert [record.fields for record in caplog.records][:2] == [
        {"text": "Dropped 0."},
        {"text": "Dropped 1."},
    ]
    assert len(caplog.records) == 10


def test_killed_it_dies_by_the_broker_and_comes_back_with_what_was_missed(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    gateway = plant.gateway(line, broker)
    host.until(lambda: len(host.view.parts) > 30)
    gateway.stop(signal.SIGKILL)
    before = len(host.view.parts)
    host.until(lambda: host.view.log[-1] == "NDEATH 0")
    line.until(lambda: line.reader.verdicts[-1].seq > told(host)[-1] + 20)
    plant.gateway(line, broker)
    host.until(lambda: host.view.log[-3:] == ["NBIRTH 1", "DBIRTH camera-top", "DBIRTH parts"])
    host.until(lambda: any(not part["historical"] for part in host.view.parts[before:]))
    assert without_gap(told(host))
    assert sum(part["historical"] for part in host.view.parts) >= 15


def test_the_broker_is_killed_and_every_part_arrives(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    host.is_primary = True
    host.says(online=True)
    plant.gateway(line, broker, node='primary_host = "scada"')
    host.until(lambda: len(host.view.parts) > 30)
    broker.close()
    before = len(host.view.parts)
    time.sleep(2)
    broker.start()
    host.until(lambda: host.view.counts["NBIRTH"] == 2)
    host.until(lambda: any(not part["historical"] for part in host.view.parts[before:]))
    assert without_gap(told(host))
    assert sum(part["historical"] for part in host.view.parts) >= 30
    assert host.view.bd_seq == 1, "a refused connection is no CONNECT"


def test_why_a_broker_was_lost_is_said_in_words_and_once(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    gateway = plant.gateway(line, broker)
    host.until(lambda: len(host.view.parts) > 5)
    broker.stall(8)  # it answers when nobody waits for it any more
    gateway.until_logged('detail="the broker did not answer a subscription within 5 s"')
    host.until(lambda: host.view.counts["NBIRTH"] == 2)
    broker.close()
    gateway.until_logged('detail="the broker or the network ended the connection: ')
    assert gateway.stop() == 0
    said = gateway.log.read_text()
    assert "Traceback" not in said
    assert "never retrieved" not in said
    assert "not currently connected" not in said


def test_with_several_brokers_it_goes_where_the_primary_host_is(line, plant) -> None:
    one, other = plant.broker(folder="one"), plant.broker(folder="other")
    away, here = plant.host(one), plant.host(other)
    away.says(online=False)
    here.says(online=True)
    plant.gateway(line, one, other, node='primary_host = "scada"')
    here.until(lambda: len(here.view.parts) > 5)
    assert away.view.counts["NBIRTH"] == 0
    away.says(online=True)
    here.says(online=False)
    away.until(lambda: len(away.view.parts) > 5)
    assert here.view.log[-1].startswith("NDEATH")


def test_a_primary_host_that_goes_while_the_births_wait_for_the_line_is_waited_for(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    host.says(online=True)
    endpoint = f"ipc://{plant.folder}/verdicts.sock"
    with zmq.Context() as context, context.socket(zmq.XPUB) as silent:
        silent.bind(endpoint)
        node, bus = 'primary_host = "scada"', f'verdicts = "{endpoint}"'
        gateway = plant.gateway(line, broker, node=node, bus=bus)
        assert silent.poll(20_000), gateway.log.read_text()  # it waits for a heartbeat, for a second
        host.says(online=False)
        host.until(lambda: gateway.log.read_text().count("broker_connected") == 2)
    births = host.view.counts["NBIRTH"]
    host.says(online=True)
    host.until(lambda: host.view.counts["NBIRTH"] > births)
    assert gateway.stop() == 0


def test_views_of_a_triggered_part_are_one_row(start_daemon, stub_bank, small_good, plant) -> None:
    cameras = "".join(
        camera_table(name, small_good, fps=25, mode='"triggered"', slots=32) for name in ("top", "side")
    )
    window = "[triggers]\nwindow_ms = 500\nmax_delay_ms = 2000\n"
    line = start_daemon(settings(stub_bank, cameras, deadline_ms=3000, extra=window)).ready()
    broker = plant.broker()
    host = plant.host(broker)
    plant.gateway(line, broker)
    host.until(lambda: host.view.counts["DBIRTH"] == 3)
    triggers = Triggers(line)
    for number in range(10):
        triggers.trigger(number, encoder_count=number)
        triggers.part(number)
    host.until(lambda: len(host.view.parts) == 10)
    triggers.close()
    for number, part in enumerate(host.view.parts):
        assert (part["TriggerId"], part["PartId"], part["EncoderCount"]) == (
            str(number),
            f"part-{number}",
            number,
        )
        views = triggers.views(number)
        assert sorted(part["Views"].split(", ")) == sorted(
            f"{view.camera}={view.evaluation}" for view in views
        )
        assert (part["Score"], part["Camera"]) in {(view.score, view.camera) for view in views}
        assert part["Score"] == max(view.score for view in views)
        assert part["Recipe"] == "cell"
    assert line.stop() == 0
    host.until(lambda: "DDEATH parts" in host.view.log)
    host.until(lambda: host.view.values[None]["Line/Liveness"] == "stopped")


def test_a_gateway_that_ends_between_the_views_of_a_part_tells_it_whole(
    start_daemon, stub_bank, small_good, plant
) -> None:
    cameras = "".join(
        camera_table(name, small_good, fps=fps, mode='"triggered"', slots=32)
        for name, fps in {"top": 25, "side": 0.25}.items()
    )
    window = "[triggers]\nwindow_ms = 6000\nmax_delay_ms = 2000\n"
    line = start_daemon(settings(stub_bank, cameras, deadline_ms=8000, extra=window)).ready()
    broker = plant.broker()
    host = plant.host(broker)
    gateway = plant.gateway(line, broker, node="report_seconds = 1")
    host.until(lambda: host.view.counts["DBIRTH"] == 3, 60)
    triggers = Triggers(line)
    for number in range(3):
        triggers.trigger(number)
        line.until(lambda number=number: triggers.views(number))
        data = host.view.counts["NDATA"]
        host.until(lambda data=data: host.view.counts["NDATA"] > data)  # what came is confirmed at the end
        gateway.stop()
        gateway = plant.gateway(line, broker, node="report_seconds = 1")
        triggers.part(number)
        host.until(lambda number=number: host.view.counts["NBIRTH"] == number + 2)
        host.until(lambda number=number: str(number) in {part["TriggerId"] for part in host.view.parts})
    triggers.close()
    assert gateway.stop() == 0
    assert all(part["Score"] is not None and part["Recipe"] == "cell" for part in host.view.parts)


def test_the_primary_host_goes_and_comes(line, plant) -> None:
    broker = plant.broker()
    host = plant.host(broker)
    plant.gateway(line, broker, node='primary_host = "scada"')
    time.sleep(1)
    assert host.view.log == []
    host.says(online=True)
    host.until(lambda: len(host.view.parts) > 20)
    host.says(online=False, at_ms=5)
    host.says(online=False)
    host.until(lambda: host.view.log[-1] == "NDEATH 0")
    time.sleep(1)
    count = len(host.view.parts)
    host.says(online=True)
    host.until(lambda: host.view.counts["NBIRTH"] == 2)
    host.until(lambda: len(host.view.parts) > count + 20)
    assert host.view.bd_seq == 1
    assert without_gap(told(host))
