"""Answers of servers that are none: they are an error of the servers, and end no program."""

from __future__ import annotations

import asyncio
import socket

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.manager import JetStreamManager

from inspectd.fleet import servers
from inspectd.fleet.keys import new_key
from inspectd.fleet.servers import ServersDoor, ServersError, as_servers_error
from inspectd.fleet.settings import ServersLink


@pytest.mark.parametrize(
    "headers", [None, {}, {"Nats-Subject": "a", "Nats-Sequence": "x"}, {"Status": "500"}]
)
def test_an_answer_that_is_none(headers) -> None:
    answer = Msg(Client(), data=b"" if headers else b"x", headers=headers)
    with pytest.raises(ServersError), as_servers_error():
        JetStreamManager._lift_msg_to_raw_msg(answer)


@pytest.mark.parametrize("reply", ["", "_INBOX.a", "$JS.ACK.s.c.1.x.1.1.1", "$JS.ACK.s.c.1.1.1.9e99.1"])
def test_a_message_that_is_of_no_stream(reply) -> None:
    with pytest.raises(ServersError), as_servers_error():
        _ = Msg(Client(), reply=reply, data=b"x").metadata.sequence.consumer


def test_a_server_that_says_nothing_is_called_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(servers, "_CONNECT_SECONDS", 0.1)
    seed, _ = new_key(tmp_path / "line")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = ServersLink(addresses=(f"tls://127.0.0.1:{silent.getsockname()[1]}",), seed_file=str(seed))

        async def connect() -> None:
            async with ServersDoor(link, "_INBOX.test", "test").connect():
                pass

        with pytest.raises(
            ServersError, match=r"^no connection to tls://127\.0\.0\.1:\d+: no answer in time$"
        ):
            asyncio.run(connect())
