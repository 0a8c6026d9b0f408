"""Payloads against protobuf's own decoder and the definition that Eclipse Tahu ships."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sparkplug_host import command, decode, value

from inspectd.gateways.sparkplug.payload import (
    MAX_COMMAND_BYTES,
    Command,
    DataType,
    Metric,
    decode_commands,
    encode,
)

VALUES = {
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.DATE_TIME: st.integers(0, 2**63 - 1),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(st.characters(exclude_categories=["Cs"])),
}


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    datatype = draw(st.sampled_from(DataType))
    return Metric(
        datatype,
        draw(st.none() | VALUES[datatype]),
        draw(st.integers(-(2**63), 2**63)),
        name=draw(st.none() | VALUES[DataType.STRING]),
        alias=draw(st.none() | st.integers(0, 2**64 - 1)),
        is_historical=draw(st.booleans()),
    )


@given(st.lists(metrics(), max_size=5), st.none() | st.integers(0, 255), st.booleans())
def test_what_is_encoded_is_what_protobuf_decodes(
    sent: list[Metric], seq: int | None, with_datatypes: bool
) -> None:
    got = decode(encode(1_700_000_000_123, sent, seq, with_datatypes=with_datatypes))
    assert got.timestamp == 1_700_000_000_123
    assert (got.seq if got.HasField("seq") else None) == seq
    for metric, wanted in zip(got.metrics, sent, strict=True):
        assert metric.HasField("datatype") == with_datatypes
        metric.datatype = wanted.datatype
        read = value(metric)
        if wanted.datatype is DataType.INT32 and read is not None and read >= 2**31:
            read -= 2**32
        assert read == wanted.value
        assert (metric.name if metric.HasField("name") else None) == wanted.name
        assert (metric.alias if metric.HasField("alias") else None) == wanted.alias
        assert metric.is_historical == wanted.is_historical
        assert metric.timestamp == wanted.timestamp_ms % 2**64  # a clock that is wrong ends nothing


def test_commands_of_a_host_are_read() -> None:
    assert decode_commands(command()) == [Command("Node Control/Rebirth", None, value=True)]
    assert decode_commands(command(asked=False)) == [Command("Node Control/Rebirth", None, value=False)]
    assert decode_commands(b"") == []


@given(st.binary(max_size=200))
def test_noise_is_a_value_error_or_some_commands(noise: bytes) -> None:
    with suppress(ValueError):
        decode_commands(noise)


@pytest.mark.parametrize("at", range(len(command())))
def test_a_command_that_was_cut_is_never_another_one(at: int) -> None:
    try:
        got = decode_commands(command()[:at])
    except ValueError:
        return
    assert got == []


@pytest.mark.parametrize(
    "payload",
    [
        bytes(MAX_COMMAND_BYTES + 1),
        b"\xff" * 11,  # a number without end
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length of 2^64 - 1
        b"\x13",  # a group, which is no more
        b"\x12\x03\x0a\x01\xff",  # a name that is not UTF-8
    ],
)
def test_what_no_payload_can_be_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_commands(payload)
