from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar, Final

import pytest

from inspectd.fleet.names import LineNames
from inspectd.fleet.safety import ServerState, UnsafeServersError, ask, refuse_unsafe
from inspectd.fleet.streams import extras_config, problems, verdicts_config

REPLICAS = ["nats1", "nats2", "nats3"]
NAMES = LineNames("demo", "line1")


def state(name: str, *, flushes: bool | None = True) -> ServerState:
    return ServerState(
        f"https://{name}:8222", name if flushes is not None else "", "2.15.1", flushes, "as it says"
    )


def test_all_that_flush_are_taken() -> None:
    refuse_unsafe([state(name) for name in REPLICAS], REPLICAS)


def test_one_that_is_away_is_none_that_flushes_not() -> None:
    refuse_unsafe([state("nats1"), state("nats2"), state("nats3", flushes=None)], REPLICAS)


def test_one_that_flushes_now_and_then_is_enough_to_refuse() -> None:
    with pytest.raises(UnsafeServersError, match=r"nats3 \(https://nats3:8222\): as it says"):
        refuse_unsafe([state("nats1"), state("nats2"), state("nats3", flushes=False)], REPLICAS)


@pytest.mark.parametrize("known", [[], ["nats1"], ["nats1", "elsewhere1", "elsewhere2"]])
def test_without_the_word_of_a_majority_of_the_streams_servers_none_is_taken(known: list[str]) -> None:
    with pytest.raises(UnsafeServersError, match=r"nats2, nats3 do not say how they store"):
        refuse_unsafe([state(name) for name in known], REPLICAS)


def test_why_servers_do_not_answer_comes_before_what_settings_must_have() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        away = asyncio.run(ask(f"http://127.0.0.1:{closed.getsockname()[1]}", ssl.create_default_context()))
    with pytest.raises(UnsafeServersError) as refused:
        refuse_unsafe([state("nats1"), away], REPLICAS)
    assert str(refused.value).startswith(f"{away.monitor}: does not say how it stores: [Errno 111] Conn")


class Info:
    """Of a stream, as the servers give it."""

    def __init__(self, config) -> None:
        self.config = config


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"num_replicas": 1}, "has 1 copies, expected 3"),
        ({"storage": "memory"}, "is kept in memory"),
        ({"retention": "workqueue"}, "has the retention workqueue"),
        ({"discard": "new"}, "discards new messages"),
        ({"subjects": ["i1.>"]}, "takes ['i1.>']"),
        ({"duplicate_window": 1.0}, "knows ids again for 1.0 s"),
        ({"max_msgs_per_subject": 1}, "has other sources, other limits"),
    ],
)
def test_a_stream_of_another_form_is_named(change: dict[str, object], problem: str) -> None:
    right = verdicts_config(NAMES, days=1, max_gb=1)
    assert problems(Info(right), NAMES) == []
    (found,) = problems(Info(right.evolve(**change)), NAMES)
    assert found.startswith(problem)


def test_heatmaps_are_bounded() -> None:
    config = extras_config(NAMES, days=2, max_gb=5)
    assert (config.max_bytes, config.max_age, config.num_replicas) == (5_000_000_000, 172_800, 1)


class Monitoring(BaseHTTPRequestHandler):
    """A server's monitoring endpoint that says what it is told to."""

    says: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.says[self.path])

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("report", "flushes", "words"),
    [
        ({"config": {"sync_always": True, "sync_interval": 120_000_000_000}}, True, "flushes every message"),
        ({"config": {"sync_interval": 120_000_000_000}}, False, "flushes every 120 s"),
        ({"disabled": True, "config": {"sync_interval": 0}}, None, "stores nothing now"),
        ({"config": {}}, None, "stores nothing now"),
        ({}, None, "stores nothing now"),
        ([], None, "does not say how it stores"),
    ],
)
def test_a_servers_report_is_believed_and_nothing_else(
    report: object, flushes: bool | None, words: str
) -> None:
    Monitoring.says = {
        "/varz": b'{"server_name":"nats1","version":"2.15.1"}',
        "/jsz": json.dumps(report).encode(),
    }
    with HTTPServer(("127.0.0.1", 0), Monitoring) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        found = asyncio.run(ask(f"http://127.0.0.1:{server.server_port}", ssl.create_default_context()))
        server.shutdown()
        thread.join()
    assert found.always_flushes is flushes
    assert words in found.detail


LIMIT_SECONDS: Final = 6.0  # with room for a busy host; the question itself ends after half of it
HEAD: Final = b"HTTP/1.0 200 OK\r\n\r\n"


async def asked_of(says: bytes, then: bytes = b"") -> ServerState:
    """What comes of a server that says this, and then that again and again, a byte at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(says)
            while then and not writer.is_closing():
                writer.write(then)
                await asyncio.sleep(0.2)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        return await ask(f"http://127.0.0.1:{port}", ssl.create_default_context())


def test_a_server_that_drips_its_answer_does_not_say() -> None:
    async def ask_both() -> list[ServerState]:
        return await asyncio.gather(asked_of(HEAD, b" "), asked_of(HEAD[:-4] + b"\r\nX: ", b"a"))

    began = time.monotonic()
    both = asyncio.run(ask_both())
    assert time.monotonic() - began < LIMIT_SECONDS
    for found in both:
        assert found.always_flushes is None
        assert found.detail == "does not say how it stores: no whole answer within 3 s"


def test_each_of_the_two_answers_has_its_time() -> None:
    async def ask_slow(pause: float) -> ServerState:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            try:
                await asyncio.sleep(pause)
                writer.write(HEAD + b'{"server_name":"nats1","config":{"sync_always":true}}')
            finally:
                writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            return await ask(f"http://127.0.0.1:{port}", ssl.create_default_context(), seconds=2)

    assert asyncio.run(ask_slow(1.1)).detail == "flushes every message"
    assert asyncio.run(ask_slow(2.4)).detail == "does not say how it stores: no whole answer within 2 s"


def test_a_question_is_given_up_at_once() -> None:
    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await asked_of(HEAD, b" ")

    began = time.monotonic()
    asyncio.run(give_up())
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (HEAD + b'{"server_name":"nats1","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
        (HEAD + b" " * 2_000_000, "more than 1000000 bytes"),
        (b"HTTP/1.0 503 Starting\r\n\r\n", "/varz answered 503"),
        (b"\xff\xff", "/varz answered no HTTP"),
        (b"", "/varz answered no HTTP"),
    ],
)
def test_a_server_that_answers_anything_else_does_not_say(says: bytes, words: str) -> None:
    found = asyncio.run(asked_of(says))
    assert found.always_flushes is None
    assert words in found.detail
