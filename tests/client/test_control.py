"""The sender of triggers: an answer, or none in time, and never one that belongs to another trigger."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import zmq

from inspectd.client import TriggerSender
from inspectd.errors import InputError
from inspectd.wire import Accepted, Refusal, RefusalReason, TriggerRequest

TOOL = Path(__file__).parents[2] / "tools" / "send_triggers.py"


def ack(trigger_id):
    body = {"schema": "trigger_ack/1", "trigger_id": trigger_id, "epoch": 1, "received_utc_ns": 2}
    return json.dumps(body | {"deadline_ms": 500.0, "cameras": ["top"]}).encode()


def refusal(trigger_id, reason="overload"):
    body = {"schema": "trigger_refusal/1", "trigger_id": trigger_id, "reason": reason, "detail": "d"}
    return json.dumps(body).encode()


class Line(threading.Thread):
    """The daemon's end of the socket: gives the answers that `answers` makes of each request."""

    def __init__(self, endpoint, answers):
        super().__init__()
        self.endpoint, self.answers = endpoint, answers
        self.requests = []
        self.ended = threading.Event()
        self.start()

    def run(self):
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.setsockopt(zmq.LINGER, 0)
            router.bind(self.endpoint)
            while not self.ended.is_set():
                if router.poll(20):
                    client, body = router.recv_multipart()
                    self.requests.append(json.loads(body))
                    for answer in self.answers(self.requests[-1]["trigger_id"]):
                        router.send_multipart([client, answer])


@pytest.fixture
def start_line(tmp_path):
    lines = []

    def start(answers):
        lines.append(Line(f"ipc://{tmp_path}/control.sock", answers))
        return lines[-1]

    yield start
    for each in lines:
        each.ended.set()
        each.join()


def test_an_answer_comes_back_as_what_it_is(start_line):
    line = start_line(lambda name: [ack(name) if name == "1" else refusal(name)])
    with TriggerSender(line.endpoint) as sender:
        answer = sender.send(TriggerRequest("1", part_id="P", cameras={"top": "r"}), 5)
        assert answer == Accepted("1", 1, 2, 500.0, ["top"])
        assert sender.send(TriggerRequest("2"), 5) == Refusal("2", RefusalReason.OVERLOAD, "d")
    assert line.requests[0]["schema"] == "trigger/1"
    assert line.requests[0]["cameras"] == {"top": "r"}


def test_answers_to_other_triggers_and_rubbish_are_passed_over(start_line):
    line = start_line(lambda name: [ack("before"), b"rubbish", ack(name)])
    with TriggerSender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("now"), 5).trigger_id == "now"


def test_no_answer_in_time_is_none(start_line):
    line = start_line(lambda _: [])
    with TriggerSender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("1"), 0.2) is None
    assert len(line.requests) == 1


def test_a_trigger_is_not_kept_for_a_line_that_is_away(start_line, tmp_path):
    with TriggerSender(f"ipc://{tmp_path}/control.sock") as sender:
        began = time.monotonic()
        assert sender.send(TriggerRequest("gone"), 0.2) is None
        assert time.monotonic() - began < 2
        line = start_line(lambda name: [ack(name)])
        assert sender.send(TriggerRequest("here"), 5).trigger_id == "here"
    assert [request["trigger_id"] for request in line.requests] == ["here"]


def test_an_endpoint_that_is_none_is_said_so():
    with pytest.raises(InputError, match="endpoint"):
        TriggerSender("control.sock")


def test_the_tool_prints_each_answer_and_its_ids_wrap(start_line):
    line = start_line(lambda name: [refusal(name) if name == "0" else ack(name)])
    command = [sys.executable, str(TOOL), line.endpoint, "--first-id", "65535", "--count", "2"]
    done = subprocess.run([*command, "--period-ms", "1"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "65535: accepted, top, verdict within 500 ms",
        "0: refused, overload: d",
    ]
    assert done.returncode == 1
    assert [request["part_id"] for request in line.requests] == ["part-65535", "part-65536"]
