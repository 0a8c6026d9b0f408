"""Both senders of triggers: an answer, or none in time, and never one that belongs to another trigger."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest
import zmq
from support.asleep import Host

from inspectd import wire
from inspectd.client import AsyncTriggerSender, RecipeAction, RecipeRequest, TriggerSender, ask_recipe
from inspectd.client.golden import GoldenAsker
from inspectd.client.sockets import LastingConnection
from inspectd.errors import InputError, UnavailableError
from inspectd.wire import Accepted, Refusal, RefusalReason, TriggerRequest
from inspectd.wire.golden import GoldenAction, GoldenRefusal, GoldenRefusalReason, GoldenRequest

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
                    for answer in self.answers(self.requests[-1].get("trigger_id")):
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


class Awaited:
    """An `AsyncTriggerSender` for tests that do not wait themselves."""

    def __init__(self, endpoint, **more):
        self.runner = asyncio.Runner()
        self.sender = AsyncTriggerSender(endpoint, **more)

    def send(self, trigger, timeout_seconds):
        return self.runner.run(self.sender.send(trigger, timeout_seconds))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sender.close()
        self.runner.close()


@pytest.fixture(params=[TriggerSender, Awaited])
def make_sender(request):
    return request.param


def test_an_answer_comes_back_as_what_it_is(start_line, make_sender):
    line = start_line(lambda name: [ack(name) if name == "1" else refusal(name)])
    with make_sender(line.endpoint) as sender:
        answer = sender.send(TriggerRequest("1", part_id="P", cameras={"top": "r"}), 5)
        assert answer == Accepted("1", 1, 2, 500.0, ["top"])
        assert sender.send(TriggerRequest("2"), 5) == Refusal("2", RefusalReason.OVERLOAD, "d")
    assert line.requests[0]["schema"] == "trigger/1"
    assert line.requests[0]["cameras"] == {"top": "r"}


def test_a_trigger_has_only_what_was_given(start_line, make_sender):
    """Or a line of an earlier version would refuse it for a field that it does not know."""
    line = start_line(lambda name: [ack(name)])
    with make_sender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("1", part_id="P"), 5)
    assert line.requests == [{"schema": "trigger/1", "trigger_id": "1", "part_id": "P"}]


@pytest.mark.parametrize(
    ("request_of_a_client", "sent"),
    [
        (
            RecipeRequest("q", RecipeAction.PREPARE, "washer"),
            {"schema": "recipe/1", "request": "q", "action": "prepare", "recipe": "washer"},
        ),
        (
            GoldenRequest("q", GoldenAction.BEGIN),
            {"schema": "golden/1", "request": "q", "action": "begin"},
        ),
    ],
)
def test_other_requests_too_have_only_what_was_given(request_of_a_client, sent):
    assert msgspec.to_builtins(request_of_a_client) == sent


def test_answers_to_other_triggers_and_rubbish_are_passed_over(start_line, make_sender):
    line = start_line(lambda name: [ack("before"), b"rubbish", ack(name)])
    with make_sender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("now"), 5).trigger_id == "now"


def test_no_answer_in_time_is_none(start_line, make_sender):
    line = start_line(lambda _: [])
    with make_sender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("1"), 0.2) is None
    assert len(line.requests) == 1


def test_a_trigger_is_not_kept_for_a_line_that_is_away(start_line, tmp_path, make_sender):
    with make_sender(f"ipc://{tmp_path}/control.sock") as sender:
        began = time.monotonic()
        assert sender.send(TriggerRequest("gone"), 0.2) is None
        assert time.monotonic() - began < 2
        line = start_line(lambda name: [ack(name)])
        assert sender.send(TriggerRequest("here"), 5).trigger_id == "here"
    assert [request["trigger_id"] for request in line.requests] == ["here"]


def test_a_program_that_was_held_up_sends_no_trigger_after_its_time(start_line):
    line = start_line(lambda name: [ack(name)])
    now = iter([0.0, 0.0, 5.0])  # the deadline, the wait for the connection, and after it
    with TriggerSender(line.endpoint, clock=now.__next__) as sender:
        assert sender.send(TriggerRequest("1"), 4) is None
    with TriggerSender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("2"), 5).trigger_id == "2"
    assert [request["trigger_id"] for request in line.requests] == ["2"]


def test_an_answer_that_a_program_that_was_held_up_reads_after_its_time_is_none(start_line, make_sender):
    line = start_line(lambda name: [ack(name)])
    held_up = iter([0.0, 0.0, 0.0, 0.0, 5.0])  # the last one once the answer is there
    with make_sender(line.endpoint, clock=lambda: next(held_up, 6.0)) as sender:
        assert sender.send(TriggerRequest("1"), 4) is None
        assert sender.send(TriggerRequest("2"), 4).trigger_id == "2"
    assert [request["trigger_id"] for request in line.requests] == ["1", "2"]


def test_an_answer_that_came_while_the_host_slept_is_none(start_line, make_sender, monkeypatch):
    host = Host(monkeypatch)
    line = start_line(lambda name: [host.sleep(60) or ack(name)] if name == "1" else [ack(name)])
    with make_sender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("1"), 5) is None
        assert sender.send(TriggerRequest("2"), 5).trigger_id == "2"


def test_the_answer_to_a_trigger_that_timed_out_is_not_the_next_ones(start_line, make_sender):
    late = threading.Event()
    line = start_line(lambda name: [ack(name)] if late.wait(5) else [])
    with make_sender(line.endpoint) as sender:
        assert sender.send(TriggerRequest("1"), 0.2) is None
        line.answers = lambda name: [refusal(name)]
        late.set()
        assert sender.send(TriggerRequest("1"), 5) == Refusal("1", RefusalReason.OVERLOAD, "d")


def test_an_awaited_answer_holds_up_no_other_task_and_no_second_trigger_waits_its_turn(start_line):
    line = start_line(lambda _: [])

    async def main():
        async with AsyncTriggerSender(line.endpoint) as sender:
            first = asyncio.create_task(sender.send(TriggerRequest("1"), 60))
            while not line.requests:
                await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="one for each task"):
                await sender.send(TriggerRequest("2"), 60)
            first.cancel()
            await asyncio.wait([first])
            assert first.cancelled()
            line.answers = lambda name: [ack(name)]
            return await sender.send(TriggerRequest("3"), 60)

    assert asyncio.run(main()).trigger_id == "3"
    assert [request["trigger_id"] for request in line.requests] == ["1", "3"]


def test_a_check_that_somebody_begins_has_another_name_than_the_one_before(start_line):
    line = start_line(lambda _: [wire.encode(GoldenRefusal(None, GoldenRefusalReason.MALFORMED, ""))])
    for _ in range(2):
        with GoldenAsker(line.endpoint, who="kim") as asker:
            asker.ask(GoldenAction.BEGIN)
    first, second = (request["request"] for request in line.requests)
    assert first != second


@pytest.mark.parametrize("who", ["kim", "k" * 64])
def test_a_late_answer_to_a_golden_request_is_not_taken_for_the_next_ones(start_line, who):
    line = start_line(lambda _: answered())

    def answered() -> list[bytes]:
        return [
            wire.encode(GoldenRefusal(request["request"], GoldenRefusalReason.NO_CHECK, request["action"]))
            for request in line.requests
        ]

    with GoldenAsker(line.endpoint, who=who) as asker:
        assert asker.ask(GoldenAction.STATUS).detail == "status"
        line.answers = lambda _: []
        with pytest.raises(UnavailableError, match="may be done all the same"):
            asker.ask(GoldenAction.BEGIN, timeout_seconds=0.5)
        line.answers = lambda _: answered()
        assert asker.ask(GoldenAction.END).detail == "end"


IDLE = """
import asyncio, sys
from inspectd.client import AsyncTriggerSender, TriggerSender, sockets
from inspectd.wire import TriggerRequest

sockets._RECONNECT_MS = 1

async def main():
    sender = (AsyncTriggerSender if sys.argv[2] == "awaited" else TriggerSender)(sys.argv[1])
    for _ in range(2):
        answer = sender.send(TriggerRequest("1"), 0.3)
        print(await answer if sys.argv[2] == "awaited" else answer, flush=True)
        sys.stdin.readline()
    sender.close()

asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["plain", "awaited"])
def test_a_sender_that_was_idle_while_its_hand_shakes_were_broken_off_does_not_hang(start_line, how):
    """In a process of its own: one that hangs here lets none of its threads go on."""
    line = start_line(lambda _: [])
    program = [sys.executable, "-c", IDLE, line.endpoint, how]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as idle:
        try:
            assert idle.stdout.readline() == "None\n"
            line.ended.set()
            line.join()
            with socket.socket(socket.AF_UNIX) as other:
                path = Path(line.endpoint.removeprefix("ipc://"))
                path.unlink()
                other.bind(str(path))
                other.listen()
                other.settimeout(1)
                with contextlib.suppress(
                    TimeoutError
                ):  # until so much was broken off that none comes any more
                    while True:
                        other.accept()[0].close()
                out, _ = idle.communicate("\n\n", timeout=10)
        finally:
            idle.kill()
    assert (out, idle.returncode) == ("None\n", 0)


def test_an_endpoint_that_is_none_is_said_so():
    with pytest.raises(InputError, match="endpoint"):
        TriggerSender("control.sock")


def test_the_tool_prints_each_answer_and_its_ids_wrap(start_line):
    line = start_line(lambda name: [refusal(name) if name == "0" else ack(name)])
    command = [sys.executable, str(TOOL), line.endpoint, "--first-id", "65535", "--count", "2"]
    command += ["--golden", "crack-1"]
    done = subprocess.run([*command, "--period-ms", "1"], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "65535: accepted, top, verdict within 500 ms",
        "0: refused, overload: d",
    ]
    assert done.returncode == 1
    assert [request["part_id"] for request in line.requests] == ["part-65535", "part-65536"]
    assert {request["golden"] for request in line.requests} == {"crack-1"}


@pytest.mark.parametrize(
    "answer", [b"", b'{"schema": "recipe_refusal/1", "detail": "\xff"}', b'{"more": ' + b'{"a":' * 5000]
)
def test_an_answer_about_a_recipe_that_is_none_is_said_so(start_line, answer):
    line = start_line(lambda _: [answer])
    with pytest.raises(UnavailableError, match="answered with something else"):
        ask_recipe(line.endpoint, RecipeRequest("1", RecipeAction.PREPARE, 7))


def test_no_connection_watches_at_the_address_of_one_before_it():
    addresses = []

    class Watched(zmq.Socket):
        def monitor(self, address, events=None):
            addresses.extend([address] if address else [])
            return super().monitor(address, events)

    with zmq.Context() as context:
        for _ in range(20):  # ZeroMQ may free an address later than it closes; Python reuses an object's
            LastingConnection(context.socket(zmq.DEALER, socket_class=Watched)).close()
    assert len(set(addresses)) == 20
