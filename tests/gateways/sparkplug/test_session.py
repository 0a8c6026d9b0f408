"""The edge node's session by the specification's rules; each case names the `tck-id`s that it holds."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from support.sparkplug_host import HostView, command, decode

from inspectd.client import Counts, Heartbeat, LineState, Liveness, LossReason, Lost, Position
from inspectd.gateways.sparkplug.parts import PartRow
from inspectd.gateways.sparkplug.picture import LinePicture
from inspectd.gateways.sparkplug.session import EdgeNames, EdgeSession, Heard, Send

NCMD = "spBv1.0/demo/NCMD/line1"
NBIRTH = "spBv1.0/demo/NBIRTH/line1"
STATE = "spBv1.0/STATE/scada"
UTC_MS = 1_764_000_000_000


def tck(*ids: str) -> pytest.MarkDecorator:
    """The rules a case is about, as the specification names them; the case has their names."""
    return pytest.mark.parametrize("rule", [pytest.param(None, id="+".join(ids))])


class Node:
    """An edge session with a clock of its own, and a host that judges what it sends."""

    def __init__(self, primary_host: str | None = None, bd_seq: int = 7, **options: float) -> None:
        self.now = 100.0
        self.picture = LinePicture()
        self.host = HostView()
        self.sent: list[Send] = []
        self.session = EdgeSession(
            EdgeNames("demo", "line1", primary_host), bd_seq, self.picture,
            clock=lambda: self.now, utc_ms=lambda: UTC_MS + round(self.now * 1000), **options,
        )  # fmt: skip

    def send(self, sends: Iterable[Send]) -> list[str]:
        """Deliver; the kinds that were sent."""
        kinds = []
        for send in sends:
            self.sent.append(send)
            self.host.take(send.topic, send.payload, qos=send.qos, retain=False)
            kinds.append("/".join(send.topic.split("/")[2:3] + send.topic.split("/")[4:]))
        return kinds

    def born(self) -> Node:
        """With a line that is alive, after the births."""
        self.line()
        assert self.send(self.session.births())[0] == "NBIRTH"
        return self

    def line(self, *, liveness: Liveness = Liveness.ALIVE, state: str = "running", parts: int = 0,
             epoch: int = 5, **cameras: str) -> None:  # fmt: skip
        """A heartbeat of the line."""
        heartbeat = Heartbeat(
            plant="p", line="l", epoch=epoch, last_seq=parts, utc_ns=round(self.now * 1e9), interval_ms=200,
            state=state, counts=Counts(0, 0, 0, 0, parts=parts), cameras=cameras or {"top": "up"},
        )  # fmt: skip
        self.picture.see(heartbeat, liveness)

    def part(self, seq: int, *, is_historical: bool = False) -> None:
        row = PartRow({"Seq": seq, "Epoch": 5, "Evaluation": 1, "Score": 1.5}, UTC_MS * 1_000_000)
        self.send([self.session.part(row, is_historical=is_historical)])

    def state(self, *, online: bool, at: int) -> Heard:
        payload = json.dumps({"online": online, "timestamp": at}).encode()
        return self.session.heard(STATE, payload)


@tck(
    "tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "tck-id-payloads-ndeath-seq", "tck-id-payloads-ndeath-will-message-qos", "tck-id-topics-ndeath-payload",
)  # fmt: skip
def test_the_will_is_a_death_with_the_number_of_the_birth(rule: None) -> None:
    node = Node(bd_seq=255)
    death = node.session.death
    assert (death.topic, death.qos) == ("spBv1.0/demo/NDEATH/line1", 1)
    node.born()
    assert node.host.bd_seq == 255
    assert node.send([death]) == ["NDEATH"]
    assert node.host.values == {}


@tck(
    "tck-id-topics-nbirth-seq-num", "tck-id-topics-nbirth-rebirth-metric", "tck-id-payloads-dbirth-order",
    "tck-id-operational-behavior-data-commands-rebirth-name-aliases",
    "tck-id-payloads-alias-birth-requirement",
    "tck-id-payloads-alias-uniqueness", "tck-id-topics-nbirth-metrics", "tck-id-topics-dbirth-seq",
)  # fmt: skip
def test_births_have_every_metric_with_name_type_and_value(rule: None) -> None:
    node = Node()
    node.line(top="up", side="down")
    assert node.send(node.session.births()) == ["NBIRTH", "DBIRTH/camera-top", "DBIRTH/parts"]
    assert node.host.values[None]["Line/Liveness"] == "alive"
    assert node.host.values[None]["Properties/Line"] == "p/l"
    assert node.host.values["parts"]["Seq"] is None
    assert node.host.values["camera-top"] == {"Phase": "up"}


@tck("tck-id-message-flow-edge-node-ncmd-subscribe")
def test_commands_are_subscribed_to(rule: None) -> None:
    assert Node().session.subscriptions == [(NCMD, 1), (NBIRTH, 1)]
    assert Node("scada").session.subscriptions == [(NCMD, 1), (NBIRTH, 1), (STATE, 1)]


@tck(
    "tck-id-payloads-sequence-num-incrementing", "tck-id-payloads-ddata-seq-inc", "tck-id-payloads-ddata-qos",
    "tck-id-payloads-alias-data-cmd-requirement", "tck-id-payloads-name-birth-data-requirement",
)  # fmt: skip
def test_data_are_numbered_without_a_gap_over_the_wrap(rule: None) -> None:
    node = Node().born()
    for seq in range(1, 601):
        node.part(seq, is_historical=seq % 3 == 0)
    assert [part["Seq"] for part in node.host.parts] == [*range(1, 601)]
    assert [part["historical"] for part in node.host.parts[:3]] == [False, False, True]


@tck(
    "tck-id-operational-behavior-data-commands-rebirth-action-1",
    "tck-id-operational-behavior-data-commands-rebirth-action-2",
    "tck-id-operational-behavior-data-commands-rebirth-action-3",
)
def test_a_rebirth_stops_data_and_keeps_the_number_and_the_values(rule: None) -> None:
    node = Node().born()
    node.part(1)
    node.part(2, is_historical=True)
    node.now += 5
    assert node.session.heard(NCMD, command()) is Heard.REBIRTH
    assert not node.session.takes_parts
    assert node.send(node.session.tick()) == ["NBIRTH", "DBIRTH/camera-top", "DBIRTH/parts"]
    assert node.session.takes_parts
    assert node.host.bd_seq == 7
    assert node.host.values["parts"]["Seq"] == 1, "what was told late is not what holds now"


def test_of_a_storm_of_rebirths_one_a_second_is_done() -> None:
    node = Node().born()
    births = 0
    for _ in range(150):
        node.now += 0.01
        node.session.heard(NCMD, command())
        births += node.send(node.session.tick()).count("NBIRTH")
    node.now += 1
    births += node.send(node.session.tick()).count("NBIRTH")
    assert births == 2
    assert node.send(node.session.tick()) == []


@pytest.mark.parametrize(
    ("payload", "heard"),
    [
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x12", Heard.MALFORMED),
        (b"", Heard.UNKNOWN),
        (command(asked=False), Heard.UNKNOWN),
        (command("Node Control/Reboot"), Heard.UNKNOWN),
        (command("node control/rebirth"), Heard.UNKNOWN),
    ],
)
def test_other_commands_change_nothing(payload: bytes, heard: Heard) -> None:
    node = Node().born()
    node.now += 2
    assert node.session.heard(NCMD, payload) is heard
    assert node.session.heard("spBv1.0/demo/DCMD/line1/parts", command()) is Heard.UNKNOWN
    assert node.session.takes_parts
    assert node.send(node.session.tick()) == []


@tck(
    "tck-id-message-flow-edge-node-birth-publish-phid-wait",
    "tck-id-message-flow-edge-node-birth-publish-phid-wait-id",
    "tck-id-message-flow-edge-node-birth-publish-phid-wait-online",
    "tck-id-operational-behavior-edge-node-birth-sequence-wait",
)
def test_births_wait_for_the_primary_host(rule: None) -> None:
    node = Node("scada")
    assert not node.session.host_is_online
    assert node.session.heard("spBv1.0/STATE/other", b'{"online":true,"timestamp":1}') is Heard.UNKNOWN
    assert node.state(online=False, at=10) is Heard.HOST_OFFLINE
    assert node.session.heard(NCMD, command()) is Heard.REBIRTH
    assert not node.session.host_is_online
    assert not node.session.must_end
    assert node.send(node.session.tick()) == []
    assert node.state(online=True, at=11) is Heard.HOST_ONLINE
    assert node.session.host_is_online
    node.born()


@tck(
    "tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "tck-id-operational-behavior-edge-node-termination-host-offline-timestamp",
)
def test_a_state_of_before_is_ignored(rule: None) -> None:
    node = Node("scada")
    node.state(online=True, at=100)
    node.born()
    assert node.state(online=False, at=99) is Heard.OLD_STATE
    assert not node.session.must_end
    assert node.state(online=False, at=100) is Heard.HOST_OFFLINE
    assert node.session.must_end


@pytest.mark.parametrize(
    "payload", [b"", b"ONLINE", b"[" * 5000, b'{"online":1,"timestamp":1}', b'{"online":true}']
)
def test_a_state_that_is_none_is_counted_and_ignored(payload: bytes) -> None:
    node = Node("scada")
    assert node.session.heard(STATE, payload) is Heard.MALFORMED
    assert not node.session.host_is_online


@tck(
    "tck-id-message-flow-edge-node-birth-publish-phid-offline",
    "tck-id-operational-behavior-edge-node-termination-host-offline",
    "tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath",
)
def test_a_wanted_end_is_told_by_a_death(rule: None) -> None:
    node = Node("scada")
    node.state(online=True, at=1)
    node.born()
    node.state(online=False, at=2)
    assert node.session.must_end
    assert node.send(node.session.end()) == ["NDEATH"]
    assert not node.session.takes_parts
    assert node.send(node.session.tick()) == []


def test_births_that_are_due_when_the_primary_host_goes_are_not_sent() -> None:
    node = Node("scada")
    node.state(online=True, at=1)
    node.born()
    node.now += 2
    assert node.session.heard(NCMD, command()) is Heard.REBIRTH
    node.state(online=False, at=2)
    assert node.session.must_end
    assert node.send(node.session.tick()) == []


@tck("tck-id-operational-behavior-device-ddeath", "tck-id-topics-ddeath-seq-num")
def test_devices_die_with_what_they_stand_for(rule: None) -> None:
    node = Node().born()
    node.line(top="down", side="up")
    assert node.send(node.session.tick()) == ["DDEATH/camera-top", "DBIRTH/camera-side"]
    node.line(liveness=Liveness.STALE, side="up")
    assert node.send(node.session.tick()) == ["DDEATH/camera-side", "DDEATH/parts", "NDATA"]
    assert node.host.values[None]["Line/Liveness"] == "stale"
    assert not node.session.takes_parts
    node.line(side="up")
    assert node.send(node.session.tick()) == ["DBIRTH/camera-side", "DBIRTH/parts", "NDATA"]
    assert node.session.takes_parts


@tck("tck-id-operational-behavior-data-publish-nbirth-change", "tck-id-topics-ndata-payload")
def test_what_changed_is_told_and_counts_not_more_often_than_reports(rule: None) -> None:
    node = Node(report_seconds=5).born()
    node.now += 1
    node.line(parts=3)
    assert node.send(node.session.tick()) == []
    node.now += 4
    node.line(parts=4)
    assert node.send(node.session.tick()) == ["NDATA"]
    assert node.host.values[None]["Counts/Parts"] == 4
    node.line(state=LineState.DRAINING, parts=4)
    assert node.send(node.session.tick()) == ["NDATA"], "at once"
    assert [metric.alias for metric in decode(node.sent[-1].payload).metrics] != []
    assert len(decode(node.sent[-1].payload).metrics) == 1


def test_its_own_birth_says_that_the_broker_passes_messages_on() -> None:
    node = Node()
    before = Node(bd_seq=6).born()
    assert node.session.heard(NBIRTH, before.sent[0].payload) is Heard.UNKNOWN
    node.born()
    assert node.session.heard(NBIRTH, before.sent[0].payload) is Heard.UNKNOWN, "retained, or another's"
    assert not node.session.is_passed_on
    assert node.session.heard(NBIRTH, node.sent[0].payload) is Heard.OWN_BIRTH
    assert node.session.is_passed_on


def test_births_and_parts_are_waited_for_until_they_come_back() -> None:
    node = Node().born()
    node.part(1)
    sent = {send.topic.split("/")[2]: send for send in node.sent if "camera" not in send.topic}
    for kind, heard in (("NBIRTH", Heard.OWN_BIRTH), ("DBIRTH", Heard.OWN_BIRTH), ("DDATA", Heard.OWN_PART)):
        assert not node.session.echo.is_complete
        assert node.session.heard(sent[kind].topic, sent[kind].payload) is heard
    assert node.session.echo.is_complete
    assert node.session.births_are_back
    node.session.ask_for_births()
    assert not node.session.births_are_back, "those that are asked for are not out"


def test_births_repeat_a_part_with_its_own_time_and_none_of_a_run_that_is_over() -> None:
    node = Node().born()
    node.part(1)

    def births() -> tuple[set[int], object]:
        node.send(node.session.births())
        metrics = decode(node.sent[-1].payload).metrics
        return {metric.timestamp for metric in metrics}, node.host.values["parts"]["Evaluation"]

    node.line()
    assert births() == ({UTC_MS}, 1), "when it was judged, and not now"
    node.line(epoch=6)
    assert births() == ({UTC_MS + 100_000}, None)


def test_losses_are_told() -> None:
    node = Node().born()
    node.picture.lost(Lost(Position(5, 3), Position(5, 7), 3, LossReason.TRUNCATED))
    assert node.send(node.session.tick()) == ["NDATA"]
    assert node.host.values[None]["Lost/Verdicts"] == 3
    assert node.host.values[None]["Lost/Last"] == "3 between 5:3 and 5:7: truncated"


@tck("tck-id-payloads-metric-datatype-not-req")
def test_data_types_of_data_can_be_left_out(rule: None) -> None:
    node = Node(with_datatypes=False).born()
    node.part(1)
    assert not any(metric.HasField("datatype") for metric in decode(node.sent[-1].payload).metrics)
    assert node.host.parts[0]["Score"] == 1.5
