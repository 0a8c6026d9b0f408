"""The live camera shows what is in front of it, as late as it says; its troubles are what they are called."""

from __future__ import annotations

import hashlib
import random
import time
import urllib.request

import cv2
import numpy as np
import pytest
from faults.live import Cutting, MjpegCamera, Repeating, decoded
from faults.parts import PartSource


def received(answer):
    """The next picture of a stream."""
    while not (line := answer.readline()).startswith(b"Content-Length"):
        assert line
    answer.readline()
    return answer.read(int(line.split(b":")[1]))


def sha256(jpeg):
    return hashlib.sha256(decoded(jpeg).tobytes()).hexdigest()


@pytest.mark.parametrize("latency_seconds", [0.0, 0.2])
def test_each_picture_is_of_what_was_in_front_of_the_camera_so_long_before(latency_seconds):
    source = PartSource(1)
    with MjpegCamera(1, latency_seconds=latency_seconds) as camera:
        first = camera.show(source.next())
        with urllib.request.urlopen(camera.url, timeout=5) as answer:
            assert sha256(received(answer)) in first
            second = camera.show(source.next())
            shown_ns = time.monotonic_ns()
            while (seen := sha256(received(answer))) not in second:
                assert seen in first
            late = (time.monotonic_ns() - camera.exposed_ns[seen]) / 1e9
            assert camera.exposed_ns[seen] >= shown_ns - int(5e6)
            assert latency_seconds <= late < latency_seconds + 0.1
    assert not first & second


def pictures(count):
    noise = np.random.default_rng(1).integers(0, 256, (count, 32, 32, 3), np.uint8)
    return [cv2.imencode(".jpg", pixels)[1].tobytes() for pixels in noise]


def test_a_cut_picture_has_lost_its_end():
    cutting = Cutting(random.Random(1), share=0.5)
    for jpeg in pictures(200):
        sent = cutting(jpeg)
        kept = next((n for n, (a, b) in enumerate(zip(jpeg, sent, strict=False)) if a != b), len(sent))
        assert sent == jpeg or 0.099 <= kept / len(jpeg) < 0.96
    assert 70 < cutting.cut < 130


@pytest.mark.parametrize(("frozen", "expected"), [(False, {2, 3, 4, 5}), (True, {5})])
def test_the_last_buffers_come_again(frozen, expected):
    repeating = Repeating()
    sent = [bytes([number]) for number in range(6)]
    assert [repeating(jpeg) for jpeg in sent] == sent
    repeating.begin(frozen=frozen)
    again = [repeating(b"new")[0] for _ in range(8)]
    assert set(again) == expected
    assert again[:4] == again[4:]
    repeating.end()
    assert repeating(b"new") == b"new"
