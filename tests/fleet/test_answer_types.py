"""Whatever type a value of an answer has, it is an error of the servers, or of use as it is."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from support.word_server import WordServer

from inspectd.fleet import streams
from inspectd.fleet.answers import checked
from inspectd.fleet.forward.session import refuse_unsafe
from inspectd.fleet.names import LineNames
from inspectd.fleet.safety import ServerState
from inspectd.fleet.servers import Servers, ServersError, as_servers_error
from inspectd.hub import reading

NAMES = LineNames("test", "line")
PEER = {"name": "nats2", "current": True, "offline": False, "active": 1_000_000, "lag": 0}
INFO = {
    "config": {
        "name": NAMES.stream, "subjects": [NAMES.verdicts(), NAMES.repairs()], "retention": "limits",
        "storage": "file", "discard": "old", "num_replicas": 3, "max_msgs_per_subject": -1,
        "duplicate_window": 120_000_000_000, "max_age": 86_400_000_000_000, "no_ack": False,
    },
    "state": {
        "messages": 2, "bytes": 900, "first_seq": 1, "last_seq": 2, "consumer_count": 0,
        "subjects": {"i1.test.line.v.1.top": 2},
    },
    "cluster": {"leader": "nats1", "replicas": [PEER, {**PEER, "name": "nats3", "current": False}]},
    "created": "2026-11-30T12:00:00.123456789Z",
}  # fmt: skip
MESSAGE = {
    "subject": "i1.test.line.v.1.top", "seq": 2, "data": "e30=", "time": "2026-11-30T12:00:00Z",
    "hdrs": "TkFUUy8xLjANCk5hdHMtTXNnLUlkOiAxOjINCg0K",
}  # fmt: skip
HOSTILE = (None, -1, 2**70, 1e300, "x", "", [], {}, True, [None], {"a": 1})
STATES = [ServerState("https://h", f"nats{i}", "2.15.1", True, "") for i in (1, 2, 3)]


def mutated(whole: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """A copy for each place and each hostile value there."""
    part = whole
    for key in path:
        part = part[key]
    for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        for value in HOSTILE:
            changed = copy.deepcopy(whole)
            inner = changed
            for step in path:
                inner = inner[step]
            inner[key] = value
            yield (*path, key, value), changed
        yield from mutated(whole, (*path, key))


async def used(servers: Servers) -> None:
    """What forwarder and hub do with answers about a line's stream."""
    info = await servers.asked(servers.js.stream_info(NAMES.stream, subjects_filter=">"))
    sum((info.state.subjects or {}).values())
    streams.problems(info, NAMES)
    streams.replicas_behind(info)
    refuse_unsafe(STATES, info)
    end = await streams.end_of(servers, NAMES)
    range(end.sequence, end.last_sequence + 1)
    for found in (await reading.streams_of(servers, "test")).verdicts.values():
        reading.created(found)
        assert 0 <= found.state.last_seq < 2**63


def test_well_formed_answers_are_used(tmp_path: Path) -> None:
    assert sweep(tmp_path, [((), INFO, MESSAGE)]) == 0


def test_a_value_of_any_type_ends_nothing(tmp_path: Path) -> None:
    infos = [(path, each, MESSAGE) for path, each in mutated(INFO)]
    messages = [(path, INFO, each) for path, each in mutated(MESSAGE)]
    assert sweep(tmp_path, infos + messages) > 200


def sweep(folder: Path, answers: list[tuple[Any, Any, Any]]) -> int:
    """Use each pair of answers; how many were called errors of the servers'. Any other error is a fault."""
    server, refused = WordServer(folder), 0

    async def work() -> None:
        nonlocal refused
        async with server.connected() as servers:
            for path, info, message in answers:
                server.answers = {
                    "INFO": lambda _, info=info: info,
                    "MSG": lambda _, message=message: {"message": message},
                    "LIST": lambda asked, info=info: {"streams": [] if asked["offset"] else [info]},
                }
                try:
                    await used(servers)
                except (ServersError, streams.WrongStreamError):
                    refused += 1
                except Exception as error:
                    raise AssertionError(f"{path}: {error!r}") from error

    asyncio.run(work())
    return refused


def test_how_long_a_message_may_be_is_a_number(tmp_path: Path) -> None:
    server = WordServer(tmp_path)
    server.info = {"max_payload": "x"}

    async def connect() -> None:
        async with server.connected():
            pass

    with pytest.raises(
        ServersError, match=r"^what they say is no answer to this: Expected `int`, got `str`$"
    ):
        asyncio.run(connect())


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (api.PubAck(stream="V", seq=None), "seq"),  # type: ignore[arg-type] # as a server may
        (api.PubAck(stream="V", seq=2**64), "seq"),
        (api.ConsumerInfo("a.b c", "V", api.ConsumerConfig(), created=None), "name"),
        (Msg(Client(), reply=f"$JS.ACK.s.c.1.{2**63}.1.1.1").metadata, "sequence.stream"),
        (Msg(Client(), reply="$JS.ACK.s.c.1.1.-1.1.1").metadata, "sequence.consumer"),
    ],
)
def test_what_comes_by_itself_is_looked_at_too(answer: Any, where: str) -> None:
    with pytest.raises(ServersError, match=rf"no answer to this: .* at `\$\.{where}`$"), as_servers_error():
        checked(answer)


def test_a_header_that_is_no_text_is_nobodys() -> None:
    header = BytesParser().parsebytes(b"Nats-Msg-Id: 1:\xff2\r\nA: b\r\n\r\n")
    message = api.RawStreamMsg(subject="i1.test.line.v.1.top", seq=1, headers=dict(header.items()))
    assert checked(message).headers == {"A": "b"}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            b"503\r\nNats-Subject: $JS.API.CONSUMER.MSG.NEXT.V+test+line.c1",
            "nobody gives it any more; it was",
        ),
        (b"409 Consumer Deleted", "the servers give no more of it: 409 Consumer Deleted$"),
        (b"409 Consumer Deleted\r\nX: y", "the servers give no more of it: 409 Consumer Deleted$"),
    ],
)
def test_a_stream_that_ends_under_its_reader_is_said_in_words(
    tmp_path: Path, status: bytes, said: str
) -> None:
    server = WordServer(tmp_path)
    consumer = {"name": "c1", "stream_name": "V+test+line", "config": {}, "created": INFO["created"]}
    server.answers["CREATE"] = lambda _: consumer
    server.answers["MSG"] = lambda _: b"NATS/1.0 " + status + b"\r\n\r\n"
    server.answers["DELETE"] = lambda _: {"success": True}

    async def read() -> None:
        async with (
            server.connected() as servers,
            servers.pull(NAMES.stream, api.ConsumerConfig()) as pull,
        ):
            await pull.fetch(1, 1.0)

    with pytest.raises(ServersError, match=rf"^V\+test\+line: {said}"):
        asyncio.run(read())
