"""The reader of previews on real sockets: the newest of each place, whatever came before it."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from support.messages import EPOCH

from inspectd import wire
from inspectd.client import InputError, Preview, PreviewHeader, PreviewHeat, PreviewReader, heat_of
from inspectd.client.decode import decode
from inspectd.wire import Evaluation, Reason


def header(seq: int, camera: str = "top", region: str | None = None, **other: object) -> PreviewHeader:
    said = {
        "width": 4, "height": 3, "evaluation": Evaluation.FAIL, "reason": Reason.ABOVE_THRESHOLD,
        "score": 3.0, "threshold": 2.0, "heat": PreviewHeat(2, 2), "jpeg_bytes": 4,
    }  # fmt: skip
    return PreviewHeader(EPOCH, seq, camera, region, 1_000_000_000, **(said | other))


def parts_of(shown: PreviewHeader, jpeg: bytes = b"jpeg", heat: bytes = b"heat") -> list[bytes]:
    return [wire.topic("demo", "line1", shown.camera, wire.Kind.PREVIEW), wire.encode(shown), jpeg, heat]


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"ipc://{tmp_path}/previews.sock"


@pytest.fixture
def publisher(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(endpoint)
        yield socket


@pytest.fixture
def reader(endpoint: str, publisher: zmq.Socket[bytes]) -> Iterator[PreviewReader]:
    with PreviewReader(endpoint, "demo", "line1") as made:
        yield made


def subscription(publisher: zmq.Socket[bytes]) -> bytes:
    assert publisher.poll(5000)
    return publisher.recv()


def last_of(reader: PreviewReader) -> Preview:
    """What is given once all that was sent has come: it ends with an unreadable message."""
    had = reader.unreadable
    while reader.unreadable == had:
        reader._socket.poll(1000)
        reader._take_in()
    found = reader.receive(5)
    assert found is not None
    return found


def test_the_newest_of_each_place_in_turn(publisher, reader):
    reader.show(["top", "side"])
    subscription(publisher), subscription(publisher)
    for shown in (header(1), header(2, "side"), header(3), header(4), header(5, "side", "label")):
        publisher.send_multipart(parts_of(shown))
    publisher.send_multipart([parts_of(header(1))[0], b"{}"])
    assert last_of(reader) == Preview("demo", "line1", header(4), b"jpeg", b"heat")
    assert [reader.receive(0).header for _ in range(2)] == [header(2, "side"), header(5, "side", "label")]
    assert reader.receive(0) is None
    assert (reader.skipped, reader.unreadable) == (2, 1)


def test_no_flood_of_what_cannot_be_read_keeps_a_reader(publisher, reader):
    reader.show(["top"])
    subscription(publisher)
    is_answered = threading.Event()

    def flood() -> None:
        while not is_answered.is_set():
            publisher.send_multipart([parts_of(header(1))[0], b"{}"])

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        assert reader.receive(0.1) is None
    finally:
        is_answered.set()
        thread.join()
    assert reader.unreadable


def test_what_is_not_shown_is_not_subscribed_to_and_not_given(publisher, reader):
    assert reader.receive(0) is None
    reader.show(["top"])
    assert subscription(publisher) == b"\x01i1/demo/line1/top/pv/"
    publisher.send_multipart(parts_of(header(1)))
    publisher.send_multipart([parts_of(header(1))[0], b"{}"])
    assert last_of(reader).header == header(1)
    publisher.send_multipart(parts_of(header(2)))
    reader._socket.poll(5000)
    reader.show(["side"])
    assert {subscription(publisher), subscription(publisher)} == {
        b"\x00i1/demo/line1/top/pv/",
        b"\x01i1/demo/line1/side/pv/",
    }
    publisher.send_multipart(parts_of(header(3)))
    publisher.send_multipart(parts_of(header(4, "side")))
    assert reader.receive(5).header == header(4, "side")
    reader.show([])
    assert subscription(publisher) == b"\x00i1/demo/line1/side/pv/"


@pytest.mark.parametrize(
    ("shown", "jpeg", "heat"),
    [
        (header(1), b"jpe", b"heat"),
        (header(1), b"jpeg", b"hea"),
        (header(1, heat=None), b"jpeg", b"heat"),
        (header(1, heat=PreviewHeat(0, 2)), b"jpeg", b""),
        (header(1, jpeg_bytes=0), b"", b"heat"),
        (header(1, width=0), b"jpeg", b"heat"),
    ],
)
def test_what_contradicts_itself_is_no_preview(shown, jpeg, heat):
    with pytest.raises(ValueError, match="preview"):
        decode(parts_of(shown, jpeg, heat))
    with pytest.raises(ValueError, match="parts"):
        decode(parts_of(shown, jpeg, heat)[:3])


def test_an_endpoint_that_is_none():
    with pytest.raises(InputError, match="expected ipc"):
        PreviewReader("previews.sock", "demo", "line1")


def test_the_scale_is_fixed_by_the_threshold():
    assert list(heat_of([0.0, 2.0, 4.0, 1.0, -9.0, 99.0], 2.0)) == [1, 128, 255, 64, 0, 255]
    assert list(heat_of([-4.0, -2.0, 0.0], -2.0)) == [1, 128, 255]
    assert list(heat_of([-1.0, 0.0, 1.0], 0.0)) == [1, 128, 255]
    assert list(heat_of([float("nan"), float("inf"), float("-inf")], 2.0)) == [255, 255, 0]


@given(st.floats(-1e300, 1e300), st.binary(max_size=64).filter(lambda data: len(data) % 2 == 0))
def test_any_heatmap_has_a_heat_and_above_the_threshold_is_never_below_128(threshold, payload):
    scores = struct.unpack(f"<{len(payload) // 2}e", payload)
    for score, value in zip(scores, heat_of(scores, threshold), strict=True):
        assert (value >= 128) or score < threshold
        assert (value <= 128) or not score <= threshold
