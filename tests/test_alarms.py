"""What a person hears of access and of doors, from what the doors say to the metrics."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from inspectd import key_files
from inspectd.alarms import AccessWatch, DoorWatch, EvidenceWatch, FormatWatch, LoopWatch
from inspectd.config import Config, ImagesCamera, PublishSettings, Recipe, Security
from inspectd.metrics import CUT_CAUSES, Metrics
from inspectd.publish.access import keys
from inspectd.publish.door.messages import DoorLevels
from inspectd.records import BankInForce, FrameRef, Inspection, Outcome, Score
from inspectd.wire import Evaluation, Reason
from inspectd.wire.sockets import CutCause
from tests.support.disks import needs_root
from tests.support.key_list import hung_list
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
        "malformed": {"verdicts": 0, "heatmaps": 0}, "cut_off": [], "refused": [], "change": None,
        "keys_unread": False,
    }  # fmt: skip
    return DoorLevels(**(said | more))


@pytest.mark.parametrize(
    ("publish", "security", "said"),
    [
        (PublishSettings(control_tcp="127.0.0.1:5574"), Security(), ["unauthenticated"]),
        (
            PublishSettings(control_tcp="10.0.0.1:5574"),
            Security(insecure=True),
            ["insecure", "unauthenticated"],
        ),
        (PublishSettings(verdicts_tcp="127.0.0.1:5571"), Security(), []),
        (PublishSettings(control_tcp="127.0.0.1:5574"), Security(keys_dir="keys"), []),
    ],
)
def test_triggers_over_plain_tcp_are_said_at_every_start(publish, security, said) -> None:
    heard: list[tuple[str, str]] = []
    settings = Config(
        recipes=(Recipe(name="r", bank="b"),),
        cameras=(ImagesCamera(name="cam", recipe="r", folder="x"),),
        publish=publish,
        security=security,
    )
    watch = AccessWatch(
        settings, Metrics("line1", [], 500), lambda severity, name, *, detail: heard.append((severity, name))
    )
    watch.warn_insecure()
    assert heard == [("warning", name) for name in said]


def test_evidence_that_cannot_be_removed_is_an_alarm_once_while_it_lasts() -> None:
    heard: list[tuple[str, str, str]] = []
    watch = EvidenceWatch(
        1.0,
        Metrics("line1", [], 500),
        lambda severity, name, *, detail: heard.append((severity, name, detail)),
        list,
    )
    for stuck in (None, "a: no", "a: no, and 1 more", None, "b: no"):
        watch.on_evidence_level(1, None, stuck)
    assert heard == [("alarm", "evidence_stuck", "a: no"), ("alarm", "evidence_stuck", "b: no")]


@needs_root
@pytest.mark.timeout(60)
def test_keys_that_cannot_be_read_are_an_alarm_and_a_metric_while_it_lasts(tmp_path: Path) -> None:
    keys_dir = tmp_path / "keys"
    key_files.new_pair(keys_dir / "server")
    keys.write_allowed(keys_dir, [])
    now_s = 0
    heard = Heard()
    watch = AccessWatch(SETTINGS, heard.metrics, heard.say)
    sockets = ServedSockets(tmp_path, keys_dir=keys_dir, clock=lambda: int(now_s * 1e9))

    def turn() -> None:
        watch.on_levels(levels(change=sockets.maintain(), keys_unread=sockets.keys_unread))

    assert heard.value("inspectd_keys_unread") == 0
    with hung_list(keys_dir) as let_go:
        while not heard.said:
            time.sleep(0.02)
            now_s += 1
            turn()
        assert (heard.said, heard.value("inspectd_keys_unread")) == ([("alarm", "keys_unread")], 1)
        let_go([])
        while len(heard.said) == 1:
            time.sleep(0.02)
            turn()
        assert (heard.said[1:], heard.value("inspectd_keys_unread")) == ([("info", "keys_changed")], 0)
        sockets.close()


def test_a_camera_of_another_format_is_told_of_once_and_again_when_it_changes() -> None:
    said: list[tuple[str, str, str | None, str]] = []

    def say(severity: str, name: str, *, camera: str | None = None, detail: str) -> None:
        said.append((severity, name, camera, detail))

    watch = FormatWatch(say)
    watch.use_banks([BankInForce("r", "sha", "patchcore", "net", 1, 1, 1.0, image_sizes=((300, 400),))])

    def verdict(height: int, bit_depth: int = 8, *, at_s: int = 0, reason: Reason = Reason.FORMAT) -> None:
        frame = FrameRef("cam", 1, 0, 1, 0, 0, height, 200, bit_depth=bit_depth)
        watch.on_verdict(
            Inspection(1, frame, "r", 0, 100), Outcome(Evaluation.UNDECIDABLE, reason, int(at_s * 1e9))
        )

    verdict(150, reason=Reason.BLACK)
    assert not said
    for at_s in range(1, 600):
        verdict(150, at_s=at_s)
    text = "frames are 200x150, the images of recipe r were 400x300"
    assert said == [("alarm", "format_changed", "cam", text)]
    verdict(150, 12, at_s=601)
    assert said[1][3] == "frames have 12 bits per channel, the images of recipe r had 8 bits per channel"
    for height in range(1000):  # each frame has a size of its own
        verdict(height, at_s=602)
    assert len(said) == 2


def test_a_wrong_size_is_said_again_after_it_was_put_right_and_of_recipes_by_turns_once() -> None:
    said: list[str] = []
    watch = FormatWatch(lambda severity, name, *, camera=None, detail: said.append(detail))
    bank = BankInForce("r", "sha", "patchcore", "net", 1, 1, 1.0, image_sizes=((300, 400),))
    watch.use_banks([bank, msgspec.structs.replace(bank, recipe="small", image_sizes=((150, 200),))])

    def verdict(height: int, width: int, at_s: int, recipe: str = "r") -> None:
        inspection = Inspection(1, FrameRef("cam", 1, 0, 1, 0, 0, height, width), recipe, 0, 100)
        score = Score(1, 1, 0.5, b"", 0, 0, "sha", {})
        judged = Outcome(Evaluation.PASS, Reason.WITHIN_THRESHOLD, at_s * 10**9, 1.0, score)
        unlike = Outcome(Evaluation.UNDECIDABLE, Reason.FORMAT, at_s * 10**9)
        is_like = (height, width) == ((300, 400) if recipe == "r" else (150, 200))
        watch.on_verdict(inspection, judged if is_like else unlike)

    for spell_s in (0, 3600, 3601):  # and the last is within the minute
        verdict(150, 200, spell_s)
        verdict(300, 400, spell_s)
    assert said == ["frames are 200x150, the images of recipe r were 400x300"] * 2
    for at_s in range(7200, 7500):
        verdict(300, 400, at_s)
        verdict(300, 400, at_s, "small")
    assert said[2:] == ["frames are 400x300, the images of recipe small were 200x150"]


def test_a_bank_that_records_no_sizes_is_told_of() -> None:
    said: list[str] = []
    watch = FormatWatch(
        lambda severity, name, *, camera=None, detail: said.append(f"{severity} {name} {detail}")
    )
    bank = BankInForce("old", "sha", "patchcore", "net", 1, 1, 1.0)
    watch.use_banks([bank, msgspec.structs.replace(bank, recipe="meant so", any_size=True)])
    assert len(said) == 1
    assert said[0].startswith("warning bank_without_sizes the bank of recipe old does not record the size")


def test_a_main_process_that_stood_still_is_counted_each_time_and_said_now_and_then() -> None:
    said: list[str] = []
    metrics = Metrics("line1", [], 500)
    watch = LoopWatch(metrics, lambda severity, name, *, detail: said.append(f"{severity} {name}: {detail}"))
    for at_ms, gap_ms in ((0, 90), (50, 101), (100, 700), (200, 20), (10_000, 300), (10_050, 1), (30_000, 1)):
        watch.watch(int(gap_ms * 1e6), int(at_ms * 1e6))
    assert said == [
        "warning stood_still: 1 time for more than 100 ms, 101 ms at the longest",
        "warning stood_still: 2 times for more than 100 ms, 700 ms at the longest",
    ]
    assert metrics.registry.get_sample_value("inspectd_stood_still_total", {"line": "line1"}) == 3


def test_clients_that_were_refused_are_counted_and_told_together() -> None:
    heard = Heard()
    watch = AccessWatch(SETTINGS, heard.metrics, heard.say)
    watch.on_levels(levels(refused=[("sync", "handshake", 1000)]))
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
            watch.on_levels("local", before, now)
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
    watch.on_levels("tcp", None, levels(shut=["verdicts"]))
    assert heard.value("inspectd_bus_shut", door="tcp", socket="verdicts") == 1
    watch.on_lost("tcp")
    assert heard.value("inspectd_bus_shut", door="tcp", socket="verdicts") == 0


def test_clients_cut_off_are_counted_though_a_door_begins_anew() -> None:
    heard = Heard()
    watch = DoorWatch(heard.metrics, heard.say)
    three, five = (levels(cut_off=[("verdicts", "subscriptions", n)]) for n in (3, 5))
    watch.on_levels("local", None, three)
    watch.on_levels("local", three, five)
    watch.on_levels("local", None, three)  # another process
    watch.watch(0)
    assert heard.value("inspectd_bus_cut_off_total", socket="verdicts", cause="subscriptions") == 8
    assert heard.said == [("warning", "clients_cut_off")]
    assert {cause for causes in CUT_CAUSES.values() for cause in causes} == set(CutCause)
