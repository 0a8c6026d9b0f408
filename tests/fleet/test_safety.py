from __future__ import annotations

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

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
        found = ask(f"http://127.0.0.1:{server.server_port}", ssl.create_default_context())
        server.shutdown()
        thread.join()
    assert found.always_flushes is flushes
    assert words in found.detail
