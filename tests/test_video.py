"""A picture that was not received whole is never called whole."""

import random
import re
from fractions import Fraction

import av
import numpy as np
import pytest
from support.pictures import write_video

from inspectd.video import open_video

PACKET = 188  # bytes of an MPEG transport stream's packet
FRAMES = 100


def picture(number):
    """Blocks that change every five frames; so a row of another picture is seen."""
    blocks = np.random.default_rng(number // 5).integers(0, 255, (15, 20, 3), np.uint8)
    return np.kron(blocks, np.ones((16, 16, 1), np.uint8))


def write_stream(path, codec, container):
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(
            codec, rate=25, options={"tune": "zerolatency"} if codec == "libx264" else {}
        )
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.gop_size, stream.bit_rate = 12, 2_000_000
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def decoded(path):
    container, pictures = open_video(path)
    try:
        return list(pictures)
    finally:
        container.close()


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_every_picture_of_a_sound_stream_is_whole(tmp_path, codec):
    write_stream(tmp_path / "v.ts", codec, "mpegts")
    assert [picture.whole for picture in decoded(tmp_path / "v.ts")] == [True] * FRAMES


@pytest.mark.parametrize(
    ("codec", "pixels"), [("ffvhuff", "yuv420p"), ("rawvideo", "yuv420p"), ("wmv2", "yuv420p")]
)
def test_a_recording_is_read_whose_size_only_the_container_knows(tmp_path, codec, pixels):
    with av.open(str(tmp_path / "v.avi"), "w") as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, pixels
        for number in range(10):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        output.mux(stream.encode(None))
    assert [shown.whole for shown in decoded(tmp_path / "v.avi")] == [True] * 10


def test_after_a_loss_an_open_group_of_pictures_is_whole_again(tmp_path):
    options = "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=2:threads=1"
    with av.open(str(tmp_path / "v.ts"), "w", format="mpegts") as output:
        stream = output.add_stream("libx264", rate=25, options={"x264-params": options})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(FRAMES):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        output.mux(stream.encode(None))
    data = (tmp_path / "v.ts").read_bytes()
    middle = len(data) // 3 // PACKET * PACKET
    (tmp_path / "lossy.ts").write_bytes(data[:middle] + data[middle + PACKET :])
    sent = {shown.pixels.tobytes() for shown in decoded(tmp_path / "v.ts")}
    shown = decoded(tmp_path / "lossy.ts")
    assert all(each.pixels.tobytes() in sent for each in shown if each.whole)
    assert not all(each.whole for each in shown)
    assert all(each.whole for each in shown[-20:])


def test_where_parameter_sets_came_once_nothing_is_whole_after_a_loss(tmp_path):
    """They may have changed with what was lost; a new decoder would go by those of the beginning."""
    pieces = []
    for part, quality in enumerate(("20", "34")):
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 320, 240, "yuv420p"
        encoder.time_base, encoder.gop_size, encoder.max_b_frames = Fraction(1, 25), 10, 0
        encoder.options = {"tune": "zerolatency", "qp": quality, "x264-params": "threads=1"}
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(picture(40 * part + number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in encoder.encode(frame):
                units = re.split(rb"\x00?\x00\x00\x01", bytes(packet))[1:]
                kept = [unit for unit in units if number == 0 or unit[0] & 0x1F not in {7, 8}]
                pieces.append(b"".join(b"\0\0\0\1" + unit for unit in kept))
    with av.open(str(tmp_path / "v.ts"), "w", format="mpegts") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number, piece in enumerate(pieces):
            packet = av.Packet(piece)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream = Fraction(1, 25), stream
            output.mux(packet)
    data = (tmp_path / "v.ts").read_bytes()
    sent = {shown.pixels.tobytes() for shown in decoded(tmp_path / "v.ts")}
    for sixteenth in range(9, 15):
        late = len(data) * sixteenth // 16 // PACKET * PACKET
        (tmp_path / "lossy.ts").write_bytes(data[:late] + data[late + PACKET :])
        shown = decoded(tmp_path / "lossy.ts")
        assert sum(each.whole for each in shown) > 30
        assert all(each.pixels.tobytes() in sent for each in shown if each.whole)


def test_pictures_that_lost_packets_spoilt_are_not_whole_until_the_next_key_frame(tmp_path):
    write_stream(tmp_path / "v.ts", "mpeg4", "mpegts")
    data = (tmp_path / "v.ts").read_bytes()
    packets = [data[i : i + PACKET] for i in range(0, len(data), PACKET)]
    sound = {round(p.seconds * 25): p.pixels for p in decoded(tmp_path / "v.ts")}
    for seed in range(8):
        rng = random.Random(seed)
        lossy = b"".join(packet for i, packet in enumerate(packets) if i < 40 or rng.random() > 0.01)
        (tmp_path / "lossy.ts").write_bytes(lossy)
        for shown in decoded(tmp_path / "lossy.ts"):
            if shown.whole:
                np.testing.assert_allclose(shown.pixels, sound[round(shown.seconds * 25)], rtol=0, atol=3)


def test_a_cut_recording_ends_with_its_last_whole_picture(tmp_path):
    write_video(tmp_path / "v.avi", frames=20, height=240, width=320)
    whole = decoded(tmp_path / "v.avi")
    data = (tmp_path / "v.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: int(len(data) * 0.66)])
    shown = [picture for picture in decoded(tmp_path / "cut.avi") if picture.whole]
    assert 10 <= len(shown) < 20
    for before, after in zip(whole, shown, strict=False):
        np.testing.assert_array_equal(before.pixels, after.pixels)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_no_picture_that_lost_packets_spoilt_is_called_whole(tmp_path, codec):
    """Its time may be wrong by a picture, so it has to equal any of those that were sent."""
    write_stream(tmp_path / "v.ts", codec, "mpegts")
    assert spoilt_but_whole(tmp_path, lost_packets=1, share=0.005, seeds=4) == 0


def test_what_was_lost_long_ago_spoils_no_picture(tmp_path):
    """Decoders keep pieces of what they could not decode, which show in the pictures of later groups."""
    noise = np.random.default_rng(0).integers(-2, 3, (400, 128, 128, 3), np.int8)
    with av.open(str(tmp_path / "v.ts"), "w", format="mpegts") as output:
        options = {"tune": "zerolatency", "preset": "ultrafast", "crf": "16"}
        stream = output.add_stream("libx264", rate=40, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 128, 128, "yuv420p", 8
        for number in range(len(noise)):
            seen = np.clip(picture(number)[:128, :128] * 0.3 + noise[number] + 80, 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(seen, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 40)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert spoilt_but_whole(tmp_path, lost_packets=7, share=0.02, seeds=6) == 0


def spoilt_but_whole(folder, *, lost_packets, share, seeds):
    """How many pictures of `v.ts` are called whole and equal none that was sent, if packets are lost."""
    data = (folder / "v.ts").read_bytes()
    size = lost_packets * PACKET
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    sent = {picture.pixels.tobytes() for picture in decoded(folder / "v.ts")}
    spoilt = 0
    for seed in range(seeds):
        rng = random.Random(seed)
        lossy = b"".join(piece for i, piece in enumerate(pieces) if i < 40 or rng.random() > share)
        (folder / "lossy.ts").write_bytes(lossy)
        shown = decoded(folder / "lossy.ts")
        assert any(picture.whole for picture in shown[-len(shown) // 2 :])
        spoilt += sum(picture.whole and picture.pixels.tobytes() not in sent for picture in shown)
    return spoilt
