"""Streams of which a piece was left out cleanly, by an encoder or a relay: no transport shows that."""

import re
from fractions import Fraction

import av
import numpy as np
import pytest

from inspectd.video import open_video

FRAMES, LEFT_OUT = 36, 19
QUIET = "log-level=none:pools=1:frame-threads=1"


def picture(number):
    rng = np.random.default_rng(number)
    shown = np.kron(np.random.default_rng(0).integers(0, 255, (8, 10, 3)), np.ones((16, 16, 1)))
    shown[32:96, 4 * number : 4 * number + 16] = 250
    return np.clip(shown + rng.integers(-3, 4, shown.shape), 0, 255).astype(np.uint8)


def encoded(codec, options):
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 128, "yuv420p"
    encoder.time_base, encoder.gop_size, encoder.max_b_frames = Fraction(1, 25), 12, 0
    encoder.options = {"tune": "zerolatency"} | options
    packets = []
    for number in range(FRAMES):
        frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += encoder.encode(frame)
    return [(bytes(packet), packet.pts, packet.dts) for packet in packets + encoder.encode(None)]


def decoded(path, codec, packets):
    with av.open(str(path), "w", format="mpegts") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for data, pts, dts in packets:
            packet = av.Packet(data)
            packet.pts, packet.dts, packet.time_base, packet.stream = pts, dts, Fraction(1, 25), stream
            output.mux(packet)
    container, pictures = open_video(path)
    try:
        return list(pictures)
    finally:
        container.close()


def without_slice(data, which):
    units = [unit for unit in re.split(rb"(?=\x00\x00\x01)", data) if len(unit) > 3]
    slices = [unit for unit in units if unit[3] & 0x1F in {1, 5} or unit[3] >> 1 in {0, 1, 19, 20}]
    return b"".join(unit for unit in units if unit is not slices[which])


@pytest.mark.parametrize(
    ("codec", "options", "spoil"),
    [
        ("libx264", {"x264-params": "threads=1"}, lambda data: b""),
        ("libx264", {"x264-params": "slices=4:threads=1"}, lambda data: without_slice(data, -1)),
        ("libx265", {"x265-params": QUIET}, lambda data: b""),
        ("libx265", {"x265-params": f"slices=2:{QUIET}"}, lambda data: without_slice(data, -1)),
    ],
)
def test_what_was_predicted_from_a_missing_piece_is_not_whole(tmp_path, codec, options, spoil):
    packets = encoded(codec, options)
    sound = decoded(tmp_path / "sound.ts", codec, packets)
    assert all(each.whole for each in sound)
    data, pts, dts = packets[LEFT_OUT]
    spoilt = [*packets[:LEFT_OUT], (spoil(data), pts, dts), *packets[LEFT_OUT + 1 :]]
    shown = decoded(tmp_path / "spoilt.ts", codec, [packet for packet in spoilt if packet[0]])
    sent = {each.pixels.tobytes() for each in sound}
    assert [each.seconds for each in shown if each.whole and each.pixels.tobytes() not in sent] == []
    assert all(each.whole for each in shown[-5:]), "a later key frame begins anew"
