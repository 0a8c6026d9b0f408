"""An encoder that is given the same picture again and again, with timestamps that go on."""

from fractions import Fraction

import av
import numpy as np
import pytest
from support.pictures import noise

from inspectd.capture.driver import Frame
from inspectd.capture.quality import FrameGate, frame_digest
from inspectd.config import QualityGate
from inspectd.records import Quality
from inspectd.video import open_video

LIVE, STUCK = 40, 60
SCENE = np.kron(noise(7, 8, 10).astype(int), np.ones((16, 16, 1), int)) * 3 // 4 + 30


def live(number, left=20):
    shown = SCENE + np.random.default_rng(number).normal(0, 2, SCENE.shape)
    shown[40:80, left : left + 30] = 200
    return np.clip(shown, 0, 255).astype(np.uint8)


def qualities(path, pictures, codec, **options):
    with av.open(str(path), "w", format="mpegts") as output:
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        stream.gop_size, stream.bit_rate = 12, 150_000
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    container, decoded = open_video(path)
    gate = FrameGate(QualityGate())
    judged = [
        gate.judge(Frame(each.pixels, 0, 0, may_repeat=True), frame_digest(each.pixels).digest())
        for each in decoded
    ]
    container.close()
    return judged


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", {"tune": "zerolatency", "preset": "veryfast"}), ("mpeg4", {})]
)
def test_a_stalled_encoder_is_found_and_stays_so_until_something_moves(tmp_path, codec, options):
    before = [live(number) for number in range(LIVE)]
    after = [live(number, left=60 + number) for number in range(30)]
    judged = qualities(tmp_path / "v.ts", [*before, *[before[-1]] * STUCK, *after], codec, **options)
    stuck = judged[LIVE : LIVE + STUCK]
    first = stuck.index(Quality.FROZEN)
    assert judged[:LIVE] == [Quality.OK] * LIVE
    assert first < STUCK // 2
    assert set(stuck[first:]) == {Quality.FROZEN}
    assert set(judged[LIVE + STUCK :]) == {Quality.OK}


def test_a_still_scene_that_is_coded_with_its_noise_is_not_frozen(tmp_path):
    pictures = [live(number) for number in range(LIVE + STUCK)]
    assert set(qualities(tmp_path / "v.ts", pictures, "mpeg4")) == {Quality.OK}
