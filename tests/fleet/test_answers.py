"""Answers of servers that are none: they are an error of the servers, and end no program."""

from __future__ import annotations

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.manager import JetStreamManager

from inspectd.fleet.servers import ServersError, as_servers_error


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
