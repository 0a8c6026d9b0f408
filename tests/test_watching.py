"""What a person hears of access and of doors, from what the doors say to the metrics."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from inspectd.config import Config, ImagesCamera, Recipe
from inspectd.metrics import CUT_CAUSES, Metrics
from inspectd.publish import keys
from inspectd.publish.door_messages import DoorLevels
from inspectd.publish.sockets import CutCause
from inspectd.watching import AccessWatch, DoorWatch
from tests.support.key_list import hang, let_go
from tests.support.served import ServedSockets

SETTINGS = Config(
    recipes=(Recipe(name="r", bank="b"),), cameras=(ImagesCamera(name="cam", recipe="r", folder="x"),)
)


class Heard:
    """What was said, and the metrics."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.metrics = Metrics("line1", [], 500)

    def say(self, severity: str, name: str, *, detail: str) -> None:
        self.said.append((severity, name))

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"line": "line1", **labels})


def levels(**more: object) -> DoorLevels:
    said = {
        "connections": {"verdicts": 3}, "shut": [], "subscriptions": {"verdicts": 2, "heatmaps": 0},
        "foreign": {"verdicts": 0, "heatmaps": 0}, "cut_off": [], "refused": [], "change": None,
        "keys_unread": False,
    }  # fmt: skip
    return DoorLevels(**(said | more))


@pytest.mark.timeout(60)
def test_keys_that_cannot_be_read_are_an_alarm_and_a_metric_while_it_lasts(tmp_path: Path) -> None:
    keys_dir = tmp_path / "keys"
    keys.new_pair(keys_dir / "server")
    keys.write_allowed(keys_dir, [])
    now_s = 0
    heard = Heard()
    watch = AccessWatch(SETTINGS, heard.metrics, heard.say)
    sockets = ServedSockets(tmp_path, keys_dir=keys_dir, clock=lambda: int(now_s * 1e9))

    def turn() -> None:
        watch.levels(levels(change=sockets.maintain(), keys_unread=sockets.keys_unread))

    assert heard.value("inspectd_keys_unread") == 0
    hang(keys_dir)
    while not heard.said:
        time.sleep(0.02)
        now_s += 1
        turn()
    assert (heard.said, heard.value("inspectd_keys_unread")) == ([("alarm", "keys_unread")], 1)
    let_go(keys_dir, [])
    while len(heard.said) == 1:
        time.sleep(0.02)
        turn()
    assert (heard.said[1:], heard.value("inspectd_keys_unread")) == ([("info", "keys_changed")], 0)
    sockets.close()


def test_clients_that_were_refused_are_counted_and_told_together() -> None:
    heard = Heard()
    watch = AccessWatch(SETTINGS, heard.metrics, heard.say)
    watch.levels(levels(refused=[("sync", "handshake", 1000)]))
    watch.watch(0)
    assert heard.value("inspectd_auth_failures_total", socket="sync", cause="handshake") == 1000
    assert heard.said == [("warning", "auth_failed")]


def test_a_door_that_shuts_is_told_once_however_often_it_opens_meanwhile() -> None:
    heard = Heard()
    watch = DoorWatch(heard.metrics, heard.say)
    second = 1_000_000_000
    before = None
    for now_s in range(0, 60, 2):
        for shut in (["verdicts"], []):
            now = levels(connections={"verdicts": 512}, shut=shut)
            watch.levels("local", before, now)
            before = now
            watch.watch(now_s * second)
    assert heard.said == [("alarm", "door_shut")]
    assert heard.value("inspectd_bus_connections", door="local", socket="verdicts") == 512
    watch.watch(75 * second)
    assert heard.said[1:] == [("info", "door_open")]
    assert heard.value("inspectd_bus_shut", door="local", socket="verdicts") == 0


def test_a_door_that_is_lost_while_shut_is_open_again() -> None:
    heard = Heard()
    watch = DoorWatch(heard.metrics, heard.say)
    watch.levels("tcp", None, levels(shut=["verdicts"]))
    assert heard.value("inspectd_bus_shut", door="tcp", socket="verdicts") == 1
    watch.lost("tcp")
    assert heard.value("inspectd_bus_shut", door="tcp", socket="verdicts") == 0


def test_clients_cut_off_are_counted_though_a_door_begins_anew() -> None:
    heard = Heard()
    watch = DoorWatch(heard.metrics, heard.say)
    three, five = (levels(cut_off=[("verdicts", "subscriptions", n)]) for n in (3, 5))
    watch.levels("local", None, three)
    watch.levels("local", three, five)
    watch.levels("local", None, three)  # another process
    watch.watch(0)
    assert heard.value("inspectd_bus_cut_off_total", socket="verdicts", cause="subscriptions") == 8
    assert heard.said == [("warning", "clients_cut_off")]
    assert {cause for causes in CUT_CAUSES.values() for cause in causes} == set(CutCause)
