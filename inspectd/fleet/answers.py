"""What servers answer, as far as it is used here: of the type it must have, or no answer at all.

The client library hands on what stands in an answer, of whatever type it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from nats.aio.msg import Msg
from nats.js import api

_T = TypeVar("_T")
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Name = Annotated[str, Meta(pattern=r"^[^\s.*>]+\Z")]
"""It becomes part of a subject."""


class _Config(msgspec.Struct):
    name: str
    subjects: list[str] | None
    retention: str | None
    storage: str | None
    discard: str | None
    num_replicas: _Number | None
    max_msgs_per_subject: int | None
    duplicate_window: float | None
    no_ack: bool | None


class _State(msgspec.Struct):
    first_seq: _Number
    last_seq: _Number
    messages: _Number
    subjects: dict[str, _Number] | None


class _Peer(msgspec.Struct):
    name: str | None
    current: bool | None
    offline: bool | None
    active: int | None
    lag: int | None


class _Cluster(msgspec.Struct):
    leader: str | None
    replicas: list[_Peer] | None


class _Stream(msgspec.Struct):
    config: _Config
    state: _State
    cluster: _Cluster | None
    created: datetime | None


class _StoredMessage(msgspec.Struct):
    subject: str
    seq: _Number
    data: bytes | None
    headers: dict[str, str] | None
    time: datetime | None


class _Acknowledgement(msgspec.Struct):
    seq: _Number
    duplicate: bool | None


class _Consumer(msgspec.Struct):
    name: _Name


class _Sequence(msgspec.Struct):
    consumer: _Number
    stream: _Number


class _Given(msgspec.Struct):
    sequence: _Sequence
    timestamp: datetime


_SHAPES: Final[dict[type, Any]] = {
    api.StreamInfo: _Stream,
    api.RawStreamMsg: _StoredMessage,
    api.PubAck: _Acknowledgement,
    api.ConsumerInfo: _Consumer,
    Msg.Metadata: _Given,
}


def checked(answer: _T) -> _T:
    """An answer as it came, once it is known to have all that is used of it.

    Raises:
        msgspec.ValidationError: it has not; says what was expected, and where.
    """
    if isinstance(answer, list):
        for each in answer:
            checked(each)
    elif shape := _SHAPES.get(type(answer)):
        if isinstance(answer, api.RawStreamMsg) and answer.headers:
            # One with bytes that are no text is an object of the library's: no forwarder writes such.
            answer.headers = {name: text for name, text in answer.headers.items() if isinstance(text, str)}
        msgspec.convert(answer, shape, from_attributes=True)
    return answer


def max_payload(answer: Any) -> int:
    """The longest message that a server takes, as it says when it is connected to.

    Raises:
        msgspec.ValidationError: it says none.
    """
    return msgspec.convert(answer, _Number)
