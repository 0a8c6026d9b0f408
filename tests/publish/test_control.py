"""The control socket: whatever comes gets one answer, and nothing of it stays."""

from __future__ import annotations

import json

import pytest
import zmq
from hypothesis import example, given
from hypothesis import strategies as st

from inspectd import wire
from inspectd.publish.control import MAX_REQUEST_BYTES, ControlStage, parse
from inspectd.wire import Accepted, RecipeRefusal, Refusal, RefusalReason, TriggerRequest
from tests.support.served import Doorway, ServedSockets

GOOD = {"schema": "trigger/1", "trigger_id": "17"}


def body(**more):
    return json.dumps(GOOD | more).encode()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([body()], TriggerRequest("17")),
        ([b'{"trigger_id":"17"}'], TriggerRequest("17")),
        (
            [body(part_id="P", encoder_count=-5, recipe="r", deadline_ms=50)],
            TriggerRequest("17", "P", -5, "r", None, 50.0),
        ),
        ([body(cameras=["a", "b"])], TriggerRequest("17", cameras=["a", "b"])),
        ([body(cameras={"a": "r"})], TriggerRequest("17", cameras={"a": "r"})),
    ],
)
def test_a_trigger_is_read(parts, expected):
    assert parse(parts) == expected


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([], "0 parts"),
        ([body(), body()], "2 parts"),
        ([b""], "truncated"),
        ([body()[:-1]], "truncated"),
        ([b"[]"], "object"),
        ([b"[" * 4000], "object"),
        ([b"\xff"], "malformed"),
        ([b'{"schema":' + b"[" * 1200], "nested too deeply"),
        ([b'{"trigger_id":"\xff"}'], "utf-8"),
        ([b'{"trigger_id":"\\ud800\\ud800"}'], "surrogate"),
        ([body(part_id="P-1\nx")], r"part_id: got 'P-1\\u000ax', expected printable"),
        ([body(part_id="\u202eP")], "part_id: got "),
        ([b'{"trigger_id":"\\u001b[2J"}'], r"trigger_id: got '\\u001b\[2J'"),
        ([b'{"trigger_id":"\\u009b"}'], "trigger_id: got "),
        ([b'{"trigger_id":"\\u0000"}'], "trigger_id: got "),
        ([b'{"trigger_id":"\\udc00"}'], "surrogate|trigger_id: got "),
        ([b"{}"], "trigger_id"),
        ([body(schema="trigger/2")], "trigger/2"),
        ([body(trigger_id=17)], "str"),
        ([body(trigger_id="")], "length"),
        ([body(trigger_id="x" * 65)], "length"),
        ([body(encoder_count=1.5)], "int"),
        ([body(encoder_count=2**63)], "int"),
        ([body(deadline_ms="50")], "float"),
        ([body(deadline_ms=0)], ">= 1"),
        ([b'{"trigger_id":"1","deadline_ms":1e999}'], "range"),
        ([b'{"trigger_id":"1","deadline_ms":NaN}'], "invalid"),
        ([body(cameras=[])], "empty"),
        ([body(cameras={})], "empty"),
        ([body(cameras="top")], "cameras"),
        ([body(cameras=[1])], "str"),
        ([body(cameras={"a": "r"}, recipe="r")], "one of them"),
        ([body(part="P")], "unknown field `part`"),
        ([body(part_id="x" * MAX_REQUEST_BYTES)], "at most 4096"),
    ],
)
def test_anything_else_is_refused_with_what_is_wrong(parts, says):
    with pytest.raises(ValueError, match=says):
        parse(parts)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
fields = st.sampled_from([*TriggerRequest.__struct_fields__, "schema", "other"])


@given(st.lists(st.binary(max_size=200), max_size=4))
@example([b'{"a":' * 3000])
def test_random_bytes_never_crash(parts):
    try:
        parse(parts)
    except ValueError:
        return


@given(st.dictionaries(fields, json_values))
def test_wrong_types_never_crash_and_what_is_read_can_be_answered(message):
    try:
        request = parse([json.dumps(GOOD | message).encode()])
    except ValueError as error:
        wire.encode(Refusal(None, RefusalReason.MALFORMED, str(error)))
        return
    assert 1 <= len(request.trigger_id) <= 64
    wire.encode(Refusal(request.trigger_id, RefusalReason.OVERLOAD, ""))


class Recorder:
    """Counts answers, and holds acknowledgements back like a journal does."""

    def __init__(self):
        self.answers = []
        self.unrecorded = []
        self.passed_by = []
        self.requests = []

    def on_trigger(self, request, came_ns, source, key):
        if request.trigger_id == "full":
            return Refusal("full", RefusalReason.OVERLOAD, "")
        return Accepted(request.trigger_id, 1, 2, 3.0, ["top"])

    def pass_by(self, from_ns):
        self.passed_by.append(from_ns)

    def trigger(self, refusal):
        self.answers.append(refusal)

    def on_recipe(self, request, who, door, reply):
        self.requests.append(request)

    def on_golden(self, request, came_ns, who, door, reply):
        self.requests.append(request)

    def on_refused_recipe(self, request, reason, detail, reply):
        reply(RecipeRefusal(request.request, reason, detail))

    def when_recorded(self, then):
        self.unrecorded.append(then)


@pytest.fixture
def control(tmp_path):
    bus = ServedSockets(tmp_path)
    doorway = Doorway(bus)
    recorder = Recorder()

    stage = ControlStage(doorway, recorder, recorder, recorder.when_recorded, recorder, line="demo/line1")

    def read():
        for asker, request in doorway.requests("control"):
            stage.take(asker, request)

    context = zmq.Context()
    sockets = []

    def client(kind):
        sockets.append(context.socket(kind))
        socket = sockets[-1]
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{tmp_path}/control.sock")
        return socket

    yield bus, read, recorder, client
    for socket in sockets:
        socket.close()
    context.destroy(linger=0)
    bus.close()


def test_what_cannot_be_read_may_have_been_a_parts_trigger(control):
    bus, read, recorder, client = control
    client(zmq.DEALER).send(b'{"trigger_id":"P-1\\r"}')
    assert bus.control.poll(5000)
    read()
    assert recorder.answers == [RefusalReason.MALFORMED]
    assert len(recorder.passed_by) == 1


@pytest.mark.parametrize("kind", [zmq.DEALER, zmq.REQ])
def test_answers_go_to_both_kinds_of_client(control, kind):
    bus, read, recorder, client = control
    socket = client(kind)
    socket.send(b'{"trigger_id":"full"}')
    assert bus.control.poll(5000)
    read()
    assert socket.poll(5000)
    assert json.loads(socket.recv()) == {
        "schema": "trigger_refusal/1", "trigger_id": "full", "reason": "overload", "detail": ""
    }  # fmt: skip
    assert recorder.answers == [RefusalReason.OVERLOAD]


@pytest.mark.parametrize(
    "asked",
    [
        {"schema": "recipe/1", "action": "activate", "recipe": "a"},
        {"schema": "golden/1", "action": "begin"},
    ],
)
def test_a_request_that_means_another_line_is_not_done(control, asked):
    bus, read, recorder, client = control
    socket = client(zmq.DEALER)
    for line in ("demo/line1", "", "demo/line2"):
        socket.send(json.dumps({**asked, "request": "7", "line": line}).encode())
        assert bus.control.poll(5000)
        read()
    assert [each.line for each in recorder.requests] == ["demo/line1", ""]
    assert socket.poll(5000)
    answer = json.loads(socket.recv())
    assert (answer["request"], answer["reason"]) == ("7", "other_line")
    assert "demo/line1" in answer["detail"]


def test_a_trigger_that_means_another_line_is_none(control):
    bus, read, recorder, client = control
    socket = client(zmq.DEALER)
    for line in ("demo/line1", "demo/line2"):
        socket.send(json.dumps({"trigger_id": "7", "line": line}).encode())
        assert bus.control.poll(5000)
        read()
    assert len(recorder.unrecorded) == 1  # the one that was taken
    assert len(recorder.passed_by) == 1  # its part may be here all the same
    assert socket.poll(5000)
    answer = json.loads(socket.recv())
    assert (answer["trigger_id"], answer["reason"]) == ("7", "other_line")
    assert "demo/line1" in answer["detail"]


def test_an_acknowledgement_waits_until_the_trigger_would_survive_a_crash(control):
    bus, read, recorder, client = control
    socket = client(zmq.DEALER)
    socket.send(body())
    assert bus.control.poll(5000)
    read()
    assert recorder.answers == []
    assert not socket.poll(100)
    recorder.unrecorded.pop()()
    assert socket.poll(5000)
    assert json.loads(socket.recv())["schema"] == "trigger_ack/1"
    assert recorder.answers == [None]


def test_every_message_is_answered_once_and_counted(control):
    bus, read, recorder, client = control
    socket = client(zmq.DEALER)
    messages = [[b""], [b"x" * 60_000], [b"a", b"b", b"c", b"d", b"e", b"f"], [b"", b"", b""], [b"null"]]
    for number in range(1000):
        socket.send_multipart(messages[number % len(messages)])
    while len(recorder.answers) < 1000:
        assert bus.control.poll(5000)
        read()
    assert set(recorder.answers) == {RefusalReason.MALFORMED}
    for _ in range(1000):
        assert socket.poll(5000)
        assert json.loads(socket.recv_multipart()[-1])["trigger_id"] is None


def test_a_client_that_is_gone_is_not_waited_for(control):
    bus, read, recorder, client = control
    socket = client(zmq.DEALER)
    socket.send(body())
    assert bus.control.poll(5000)
    read()
    socket.close()
    recorder.unrecorded.pop()()
    assert recorder.answers == [None]
