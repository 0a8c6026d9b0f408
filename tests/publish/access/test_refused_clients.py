"""A key that is refused and allowed again: every kind of client comes back by itself, and says why."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import zmq
from support.ports import free_ports

from inspectd import wire
from inspectd.client import (
    AsyncTriggerSender,
    AsyncVerdictReader,
    ClientKeys,
    LiveReader,
    PreviewReader,
    RecipeAction,
    RecipeRequest,
    TriggerSender,
    UnavailableError,
    VerdictReader,
    ask_recipe,
    replay,
)
from inspectd.client import locked_out as client_locked_out
from inspectd.client import sockets as client_sockets
from inspectd.client.golden import GoldenAsker
from inspectd.client.locked_out import locked_out
from inspectd.client.sockets import LastingConnection, requester, subscriber
from inspectd.client.status import ask_status
from inspectd.publish.access import keys
from inspectd.wire import TriggerRequest
from inspectd.wire.golden import GoldenAction
from inspectd.wire.sockets import AuthCause
from tests.support.key_line import EVENT, Line, pair, received

TRIGGER = TriggerRequest("1")


@pytest.fixture
def line(tmp_path):
    line = Line(tmp_path)
    yield line
    line.close()


def keys_of(line: Line, name: str) -> ClientKeys:
    return ClientKeys(line.keys_dir / "server.key", line.keys_dir.parent / f"{name}.key_secret")


def at(line: Line, name: str) -> str:
    return f"tcp://127.0.0.1:{line.ports[name]}"


def has_asked(line: Line) -> bool:
    return bool(list(line.bus.requests("control")))


@contextlib.contextmanager
def live(line: Line) -> Iterator[Callable[[], bool]]:
    with LiveReader(at(line, "verdicts"), keys=keys_of(line, "reader")) as reader:
        yield lambda: reader.receive(0) is not None


@contextlib.contextmanager
def previews(line: Line) -> Iterator[Callable[[], bool]]:
    with PreviewReader(at(line, "previews"), "p", "l", keys=keys_of(line, "reader")) as reader:
        reader.show(["top"])

        def is_served() -> bool:
            reader.receive(0)
            line.bus.read_subscriptions("previews")
            return line.bus.subscriptions["previews"] > 0

        yield is_served


@contextlib.contextmanager
def verdicts(line: Line) -> Iterator[Callable[[], bool]]:
    events: list[object] = []
    ends = at(line, "verdicts"), at(line, "sync")
    with VerdictReader(*ends, keys=keys_of(line, "reader"), on_event=events.append) as reader:

        def is_served() -> bool:
            events.clear()
            reader.receive(0)
            return bool(events)

        yield is_served


@contextlib.contextmanager
def verdicts_awaited(line: Line) -> Iterator[Callable[[], bool]]:
    events: list[object] = []
    ends = at(line, "verdicts"), at(line, "sync")
    reader = AsyncVerdictReader(*ends, keys=keys_of(line, "reader"), on_event=events.append)
    with asyncio.Runner() as runner, contextlib.closing(reader):

        def is_served() -> bool:
            events.clear()
            runner.run(reader.receive(0.001))
            return bool(events)

        yield is_served


@contextlib.contextmanager
def triggers(line: Line) -> Iterator[Callable[[], bool]]:
    with TriggerSender(at(line, "control"), keys=keys_of(line, "controller")) as sender:
        yield lambda: sender.send(TRIGGER, 0.001) is None and has_asked(line)


@contextlib.contextmanager
def triggers_awaited(line: Line) -> Iterator[Callable[[], bool]]:
    sender = AsyncTriggerSender(at(line, "control"), keys_of(line, "controller"))
    with asyncio.Runner() as runner, contextlib.closing(sender):
        yield lambda: runner.run(sender.send(TRIGGER, 0.001)) is None and has_asked(line)


@contextlib.contextmanager
def golden(line: Line) -> Iterator[Callable[[], bool]]:
    with GoldenAsker(at(line, "control"), keys=keys_of(line, "controller")) as asker:

        def is_served() -> bool:
            with contextlib.suppress(UnavailableError):
                asker.ask(GoldenAction.BEGIN, timeout_seconds=0.001)
            return has_asked(line)

        yield is_served


@pytest.mark.parametrize(
    "client", [live, previews, verdicts, verdicts_awaited, triggers, triggers_awaited, golden]
)
def test_a_client_whose_key_was_refused_is_served_once_it_is_allowed_again(line, client, caplog):
    name = {live: "verdicts", verdicts: "verdicts", verdicts_awaited: "verdicts", previews: "previews"}.get(
        client, "control"
    )
    mine = 1 if name == "control" else 0
    with client(line) as is_served:
        line.turn_until(is_served)
        keys.write_allowed(line.keys_dir, [line.clients[1 - mine]])
        line.turn_until(lambda: not is_served() and line.refused[name, AuthCause.UNKNOWN_KEY] > 0)
        keys.write_allowed(line.keys_dir, line.clients)
        line.turn_until(is_served)
    (said,) = [record for record in caplog.records if at(line, name) in record.fields["endpoint"]]
    assert said.getMessage() == "line_refuses_key"


def test_a_key_that_stays_refused_is_said_once_and_knocks_every_two_seconds(line, caplog):
    now = 0.0
    socket = requester(line.context)
    connection = LastingConnection(socket, lambda: now)
    connection.connect(at(line, "control"), keys_of(line, "reader"))

    def knocked() -> int:
        connection.keep()
        return line.refused["control", AuthCause.ROLE]

    for knocks in (1, 2, 3):
        line.turn_until(lambda knocks=knocks: knocked() == knocks)
        now += 1.9
        line.turn_for(0.2)
        assert knocked() == knocks
        now += 0.1
    assert len(caplog.records) == 1
    connection.close()


@pytest.mark.parametrize(
    "hosts", [("127.0.0.1", "127.0.0.1"), ("127.1", "127.2")], ids=["addresses", "names"]
)
def test_an_endpoint_that_is_given_up_costs_another_one_of_the_reader_nothing(line, caplog, hosts):
    """`127.1` is a name, as all that has to be looked up; the lines of a plant have one port."""
    port = line.ports["verdicts"] if hosts[0] != hosts[1] else free_ports(1)[0]
    without_keys = line.socket(zmq.PUB)
    without_keys.bind(f"tcp://127.0.0.{hosts[1][-1]}:{port}")
    good, refused = f"tcp://{hosts[0]}:{line.ports['verdicts']}", f"tcp://{hosts[1]}:{port}"
    now = 0.0
    with LiveReader(
        good, refused, keys=keys_of(line, "reader"), clock=lambda: now, queue_messages=100_000
    ) as reader:
        line.turn_until(lambda: reader.receive(0))
        while reader.receive(0.2):  # of the turns before
            pass
        sent = count = 0
        while sent < 200 or not caplog.records:
            now += 0.1
            line.turn()
            sent += 1
            while reader.receive(0):
                count += 1
        while reader.receive(0.5):
            count += 1
    assert count == sent
    assert {said.fields["endpoint"] for said in caplog.records} == {refused}


def bind_again(socket: zmq.Socket[bytes], port: int) -> object:
    """Bind a port whose socket ZeroMQ is still closing."""
    while True:
        with contextlib.suppress(zmq.ZMQError):
            return socket.bind(f"tcp://127.0.0.1:{port}")


@pytest.mark.timeout(30)
def test_a_line_that_had_no_keys_for_a_while_is_found_again(line, caplog, monkeypatch):
    monkeypatch.setattr(client_sockets, "_SELDOM_MS", 200)
    monkeypatch.setattr(client_locked_out, "_STARTING_SECONDS", 0.0)
    (port,) = free_ports(1)
    with LiveReader(f"tcp://127.0.0.1:{port}", keys=keys_of(line, "reader")) as reader:
        bare = line.socket(zmq.PUB)
        bare.bind(f"tcp://127.0.0.1:{port}")
        # Both notice it, and it is chance who is first; is it the line, it breaks the hand-shake off.
        while not {"line_not_understood", "line_breaks_off"} & {said.getMessage() for said in caplog.records}:
            assert reader.receive(0.02) is None
        bare.close()
        with_keys = line.socket(zmq.PUB)
        with_keys.curve_server, with_keys.curve_secretkey = True, line.server.secret
        bind_again(with_keys, port)
        while reader.receive(0.02) is None:
            with_keys.send_multipart([b"i1/p/l/-/ev/", wire.encode(EVENT)])


class Host:
    """One port at which a line with this key or that is started and ended."""

    def __init__(self, line: Line) -> None:
        (self.port,) = free_ports(1)
        self.endpoint = f"tcp://127.0.0.1:{self.port}"
        self._line, self.knocks = line, 0

    def start(self, secret: bytes) -> None:
        self.socket = self._line.socket(zmq.PUB)
        self.socket.curve_server, self.socket.curve_secretkey = True, secret
        self._events = self.socket.get_monitor_socket(zmq.EVENT_ACCEPTED)
        bind_again(self.socket, self.port)

    def end(self) -> None:
        self.socket.disable_monitor()
        self._events.close(linger=0)
        self.socket.close(linger=0)

    def turn(self) -> None:
        time.sleep(0.01)
        self.socket.send(b"i1/")
        while self._events.poll(0):
            self._events.recv_multipart()
            self.knocks += 1


def test_of_two_lines_by_name_with_one_port_the_one_that_breaks_off_is_said_alone(line, caplog, monkeypatch):
    monkeypatch.setattr(client_locked_out, "_STARTING_SECONDS", 0.0)
    host = Host(line)
    host.start(pair(line.keys_dir.parent / "other", "server").secret)
    good = line.socket(zmq.PUB)
    good.curve_server, good.curve_secretkey = True, line.server.secret
    good.bind(f"tcp://127.0.0.2:{host.port}")
    named = [f"tcp://127.{number}:{host.port}" for number in (1, 2)]
    with LiveReader(*named, keys=keys_of(line, "reader")) as reader:
        while host.knocks < 4:  # from the second one on ZeroMQ names it by its address
            host.turn()
            reader.receive(0)
    assert {said.fields["endpoint"] for said in caplog.records} == {named[0]}
    assert named[1] not in locked_out.problems()


@pytest.mark.timeout(30)
def test_a_line_whose_own_key_was_replaced_is_said_once_knocked_at_seldom_and_found_again(
    line, caplog, monkeypatch
):
    monkeypatch.setattr(client_sockets, "_SELDOM_MS", 500)
    host, other, now = Host(line), pair(line.keys_dir.parent / "other", "server"), 1000.0
    socket = subscriber(line.context, 1000)
    socket.subscribe(b"")
    connection = LastingConnection(socket, lambda: now)
    connection.connect(host.endpoint, keys_of(line, "reader"))

    def until(condition, seconds: float = 10.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end
            connection.keep()
            host.turn()

    host.start(line.server.secret)
    until(lambda: received(socket))
    host.end()
    host.start(other.secret)
    until(lambda: connection.problem and connection._is_seldom)
    assert not caplog.records
    host.knocks, began = 0, time.monotonic()
    until(lambda: time.monotonic() - began > 1.2)
    assert 1 <= host.knocks <= 3  # with 50 ms between them: more than ten
    now += 5.0
    until(lambda: host.endpoint in locked_out.problems(now))
    now += 5.0
    knocks = host.knocks
    until(lambda: host.knocks == knocks + 2)
    (said,) = caplog.records
    assert said.getMessage() == "line_breaks_off"
    assert str(line.keys_dir / "server.key") in said.fields["detail"]
    assert host.endpoint in locked_out.problems(now)

    host.end()
    host.start(line.server.secret)
    until(lambda: received(socket))
    until(lambda: host.endpoint not in locked_out.problems(now))  # what let it in is looked at after that
    monkeypatch.setattr(client_sockets, "_SELDOM_MS", 60_000)
    host.end()
    host.start(line.server.secret)
    received(socket)
    until(lambda: received(socket), seconds=3.0)
    connection.close()


@pytest.fixture
def short(line, tmp_path, monkeypatch, request):
    """A line's socket, and a connection to it that ends at a message of more than 1000 bytes."""
    monkeypatch.setattr(client_sockets, "MAX_MESSAGE_BYTES", 1000)
    made = SimpleNamespace(now=0.0, sent=line.socket(zmq.PUB), socket=subscriber(line.context, 1000))
    made.endpoint = f"ipc://{tmp_path}/verdicts.sock"
    if host := getattr(request, "param", ""):
        made.endpoint = f"tcp://{host}:{free_ports(1)[0]}"
    made.socket.subscribe(b"")
    made.sent.bind(made.endpoint.replace("//127.1:", "//127.0.0.1:"))
    made.connection = LastingConnection(made.socket, lambda: made.now)
    made.connection.connect(made.endpoint)

    def until(condition: Callable[[], object], seconds: float = 0.0) -> None:
        end = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < end
            made.now += seconds
            made.connection.keep()
            made.sent.send(b"i1/")
            time.sleep(0.01)

    made.until = until
    yield made
    made.connection.close()


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("short", "event"),
    [
        ("", "line_sent_unreadable"),
        ("127.0.0.1", "line_sent_unreadable"),
        ("127.1", "line_not_connected_again"),  # a name: a name server that hangs looks the same
    ],
    indirect=["short"],
)
def test_a_connection_that_an_unreadable_message_ended_is_made_anew_and_said(short, event, caplog):
    for _ in range(2):
        short.until(lambda: received(short.socket))
        short.sent.send(bytes(1001))
        short.until(lambda: short.connection._ended_at is not None)
        while received(short.socket):
            pass
        short.until(lambda: short.connection.problem, seconds=1.0)
        assert "damaged, or longer than" in short.connection.problem
        short.until(lambda: received(short.socket))
        short.until(lambda: not short.connection.problem)
    (said,) = caplog.records
    assert (said.getMessage(), said.fields["endpoint"]) == (event, short.endpoint)
    assert ("name server" in said.fields["detail"]) == ("127.1:" in short.endpoint)


@pytest.mark.timeout(30)
def test_a_connection_that_zeromq_makes_again_itself_is_left_to_it(line, short, caplog):
    short.until(lambda: received(short.socket))
    short.sent.close(linger=0)
    short.sent = line.socket(zmq.PUB)
    short.until(lambda: short.connection._ended_at is not None)
    short.until(lambda: short.connection._ended_at is None)  # it was said that ZeroMQ knocks
    for _ in range(20):
        short.now += 1
        short.connection.keep()
    short.sent.bind(short.endpoint)
    while received(short.socket):
        pass
    short.until(lambda: received(short.socket))
    assert not caplog.records
    assert not short.connection.problem


def ask_golden(endpoint: str, keys: ClientKeys, seconds: float) -> None:
    with GoldenAsker(endpoint, keys=keys) as asker:
        asker.ask(GoldenAction.STATUS, timeout_seconds=seconds)


def ask_recorded(endpoint: str, keys: ClientKeys, seconds: float) -> None:
    list(replay(endpoint, keys=keys, timeout_seconds=seconds))


def ask_for_recipe(endpoint: str, keys: ClientKeys, seconds: float) -> None:
    ask_recipe(endpoint, RecipeRequest("1", RecipeAction.PREPARE, "a"), keys, seconds)


ASKERS = pytest.mark.parametrize("ask", [ask_status, ask_recorded, ask_for_recipe, ask_golden])


@ASKERS
@pytest.mark.timeout(30)
def test_who_asks_a_line_with_another_key_is_told_why_and_knocks_seldom(line, ask):
    host = Host(line)
    host.start(pair(line.keys_dir.parent / "other", "server").secret)
    with pytest.raises(UnavailableError, match="the line's key may be another than the one in") as raised:
        ask(host.endpoint, keys_of(line, "reader"), 1.5)
    assert str(line.keys_dir / "server.key") in str(raised.value)
    host.turn()
    assert host.knocks <= 6


@ASKERS
def test_who_asks_a_line_that_refuses_the_key_is_told_so(line, ask):
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, at(line, "control"), keys_of(line, "stranger"), 0.5)
        line.turn_until(asked.done)
    with pytest.raises(UnavailableError, match="the line does not allow this program's key here"):
        asked.result()
