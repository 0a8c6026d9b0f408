"""Live streams over HTTP: frames that carry no time, held-up readers, cut pictures, logins."""

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import deque

import cv2
import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.mjpeg_camera import MjpegCamera, stamp_of, stamped
from support.relay import Relay

from inspectd.capture.driver import CameraError
from inspectd.capture.registry import make_driver
from inspectd.config import OpenCvCamera, QualityGate
from inspectd.records import DropCause, Quality

DAY_MS = 86_400_000
CAMERA_NS = 100e6  # what this camera takes to encode and send a picture on a busy machine, at most


def settings(camera, **more):
    return OpenCvCamera(name="cam", recipe="r", source=camera.url, slots=64, **more)


UNDATED = QualityGate(max_age_ms=0)  # every frame is given, also at the beginning


def read(camera, count, **more):
    driver = make_driver(settings(camera, **more))
    driver.open(lambda: None)
    try:
        return [driver.read() for _ in range(count)]
    finally:
        driver.close()


def flaws_in_a_row(camera, count):
    """Flaws of so many frames in a row whose time is known; a busy machine reads some late, and says so."""
    driver = make_driver(settings(camera, quality=UNDATED))
    driver.open(lambda: None)
    flaws = deque(maxlen=count)
    try:
        for _ in range(100 * count):
            flaws.append(driver.read().flaw)
            if len(flaws) == count and Quality.STALE not in flaws:
                return list(flaws)
    finally:
        driver.close()
    pytest.fail(f"never {count} in a row")


def read_to_the_end(driver):
    while driver.read():
        pass


def true_ns(pixels):
    """When a stamped picture was made, within a millisecond."""
    days = time.monotonic_ns() // 1_000_000 // DAY_MS
    return int((days * DAY_MS + stamp_of(pixels)) * 1e6)


@pytest.mark.parametrize("says_length", [True, False])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_frame_is_dated_by_when_it_came(says_length, chunked):
    with MjpegCamera(stamped, period_seconds=0.04, says_length=says_length, chunked=chunked) as camera:
        doubts_ns = []
        for frame in read(camera, 30):
            if frame.doubt_ns > 1e9:  # the connection has just begun
                continue
            made_ns = true_ns(frame.pixels)
            assert frame.captured_ns - CAMERA_NS < made_ns < frame.captured_ns + frame.doubt_ns + 1e6
            assert frame.flaw is Quality.OK
            doubts_ns.append(frame.doubt_ns)
    assert min(doubts_ns) < 60e6


@pytest.mark.parametrize("running_share", [0.05, 0.3])
def test_a_reader_that_is_held_up_never_takes_an_old_frame_for_a_new_one(running_share):
    rng = random.Random(1)
    with MjpegCamera(stamped, period_seconds=1 / 50) as camera, CaptureChild(settings(camera)) as child:
        child.until(lambda: len(child.frames()) >= 10)
        ended = threading.Event()

        def hold_up():
            while not ended.is_set():
                os.kill(child.process.pid, signal.SIGSTOP)
                time.sleep(rng.uniform(0.0, 0.2))
                os.kill(child.process.pid, signal.SIGCONT)
                time.sleep(rng.uniform(0.0, 0.2) * running_share)

        thread = threading.Thread(target=hold_up)
        thread.start()
        end = time.monotonic() + 6
        while time.monotonic() < end:
            child.take(0.05)
        ended.set()
        thread.join()
        # Not held up any more, it soon knows the time again.
        mark = len(child.frames())
        child.until(lambda: any(f.doubt_ns < 50e6 and f.quality is Quality.OK for f in child.frames()[mark:]))
        frames = child.frames()
        for frame in frames:
            made_ns = true_ns(child.pixels[frame.seq])
            assert frame.captured_ns - CAMERA_NS < made_ns, "dated later than it was taken"
            assert made_ns < frame.captured_ns + frame.doubt_ns + 2e6


def test_a_backlog_is_passed_over_and_counted_and_said():
    camera = MjpegCamera(stamped, period_seconds=0.02)
    with camera, CaptureChild(settings(camera, quality=QualityGate(max_age_ms=300))) as child:
        child.until(lambda: len(child.frames()) >= 20)
        os.kill(child.process.pid, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(child.process.pid, signal.SIGCONT)
        mark = len(child.frames())
        child.until(lambda: len(child.frames()) >= mark + 60)
        assert child.frames()[-1].quality is Quality.OK
        backlog = [drop for drop in child.drops() if drop.cause is DropCause.BACKLOG]
        assert len(backlog) > 30
        assert [notice.event for notice in child.notices()] == ["camera_read_late"]
        seqs = sorted([frame.seq for frame in child.frames()] + [drop.seq for drop in child.drops()])
        assert seqs == list(range(1, len(seqs) + 1))


def test_pictures_that_the_network_held_back_are_not_taken_for_new():
    with MjpegCamera(stamped, period_seconds=1 / 25) as camera, Relay(camera.port) as relay:
        driver = make_driver(OpenCvCamera(name="cam", recipe="r", source=f"http://127.0.0.1:{relay.port}/"))
        driver.open(lambda: None)
        frames = []
        for _ in range(6):
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                frames.append(driver.read())
            relay.held.set()
            threading.Timer(0.3, relay.held.clear).start()
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            frames.append(driver.read())
        driver.close()
    for frame in frames:
        assert frame.captured_ns - CAMERA_NS < true_ns(frame.pixels), "dated later than it was taken"
    assert min(frame.doubt_ns for frame in frames[-10:]) < 70e6, "it knows the time again afterwards"


def test_a_url_that_is_none_shows_nothing_of_its_password():
    driver = make_driver(OpenCvCamera(name="cam", recipe="r", source="http://admin:S3cr/et@127.0.0.1/"))
    with pytest.raises(CameraError, match="percent-encoded") as caught:
        driver.open(lambda: None)
    assert "S3cr" not in f"{caught.value}{caught.value.__context__ and ''}"
    driver.close()


def test_a_stream_that_says_nothing_of_time_is_refused():
    jpegs = b"".join(cv2.imencode(".jpg", stamped(seed))[1].tobytes() for seed in range(20))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as client:
                client.sendall(jpegs)

        thread = threading.Thread(target=serve)
        thread.start()
        source = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        driver = make_driver(OpenCvCamera(name="cam", recipe="r", source=source))
        with pytest.raises(CameraError, match="does not date its pictures"):
            driver.open(lambda: None)
        driver.close()
        thread.join()


@pytest.mark.parametrize("content_type", ["image/jpeg", "video/x-motion-jpeg"])
def test_raw_motion_jpeg_over_http_is_dated_by_when_it_came(content_type):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as client, contextlib.suppress(OSError):
                client.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode())
                for seed in range(40):
                    client.sendall(cv2.imencode(".jpg", stamped(seed))[1].tobytes())
                    time.sleep(0.04)

        thread = threading.Thread(target=serve)
        thread.start()
        driver = make_driver(
            OpenCvCamera(name="cam", recipe="r", source=f"http://127.0.0.1:{listener.getsockname()[1]}/")
        )
        driver.open(lambda: None)
        frames = [driver.read() for _ in range(8)]
        driver.close()
        thread.join()
    for frame in frames:
        made_ns = true_ns(frame.pixels)
        assert frame.captured_ns - CAMERA_NS < made_ns < frame.captured_ns + frame.doubt_ns + 1e6


def cut(share, end=b"", fill=None):
    def spoil(seed, jpeg):
        kept = int(len(jpeg) * share)
        if seed % 3:
            return jpeg
        rest = b"" if fill is None else bytes([fill]) * (len(jpeg) - kept - len(end))
        return jpeg[:kept] + rest + end

    return spoil


@pytest.mark.parametrize("share", [0.1, 0.4, 0.68, 0.95])
@pytest.mark.parametrize(("end", "fill"), [(b"", None), (b"\xff\xd9", None), (b"\xff\xd9", 0)])
def test_a_picture_that_was_cut_is_partial_and_the_others_are_whole(share, end, fill):
    with MjpegCamera(stamped, cut(share, end, fill), period_seconds=0.01) as camera:
        flaws = flaws_in_a_row(camera, 9)
    assert flaws.count(Quality.PARTIAL) == 3
    assert flaws.count(Quality.OK) == 6


def test_rows_that_went_missing_in_the_middle_make_a_picture_partial():
    def spoil(seed, jpeg):
        return jpeg if seed % 2 else jpeg[: len(jpeg) // 3] + jpeg[len(jpeg) // 2 :]

    with MjpegCamera(stamped, spoil, period_seconds=0.01) as camera:
        flaws = flaws_in_a_row(camera, 8)
    assert flaws.count(Quality.PARTIAL) == 4


def test_buffers_that_come_round_again_are_frozen_from_the_first_repeat():
    pictures = [np.random.default_rng(seed).integers(0, 255, (48, 64, 3), np.uint8) for seed in range(4)]
    camera = MjpegCamera(lambda seed: pictures[seed % 4], period_seconds=0.02)
    with camera, CaptureChild(settings(camera, quality=UNDATED)) as child:
        child.until(lambda: len(child.frames()) >= 12)
        qualities = [frame.quality for frame in child.frames()]
    assert qualities[:4] == [Quality.OK] * 4
    assert set(qualities[4:]) == {Quality.FROZEN}


@pytest.mark.parametrize("digest", [False, True])
def test_a_camera_with_a_login_lets_the_line_in(digest):
    with MjpegCamera(login=("user", "pass/word"), digest=digest) as camera:
        camera.url = camera.url.replace("/word", "%2Fword")
        assert len(read(camera, 2)) == 2


def test_a_wrong_login_says_so_and_does_not_show_it():
    with MjpegCamera(login=("user", "right")) as camera:
        camera.url = camera.url.replace("right", "wrong")
        with pytest.raises(CameraError, match="refuses the user name or password") as caught:
            read(camera, 1)
    assert "wrong" not in str(caught.value)


def test_a_playlist_is_refused_since_its_pictures_are_old():
    camera = MjpegCamera(content_type="application/vnd.apple.mpegurl")
    with camera, pytest.raises(CameraError, match="is a playlist"):
        read(camera, 1)


def test_a_camera_whose_pictures_are_all_cut_is_down():
    camera = MjpegCamera(stamped, lambda _, jpeg: jpeg[:500], period_seconds=0.01)
    with camera, pytest.raises(CameraError, match="delivers no picture that can be decoded"):
        read(camera, 1)


def test_a_picture_without_end_ends_the_connection(monkeypatch):
    monkeypatch.setattr("inspectd.capture.http_stream._LONGEST_PICTURE_BYTES", 300_000)
    camera = MjpegCamera(stamped, lambda _, jpeg: jpeg[:-2] * 100, period_seconds=0.01, says_length=False)
    camera.content_type = "multipart/x-mixed-replace; boundary=another"
    with camera, pytest.raises(CameraError, match="without the end of a picture"):
        read(camera, 3)


def test_a_camera_that_goes_away_is_down_and_says_so():
    camera = MjpegCamera(stamped, period_seconds=0.01)
    camera.switch_on()
    driver = make_driver(settings(camera, stall_timeout_ms=1000))
    driver.open(lambda: None)
    assert driver.read() is not None
    camera.switch_off()
    with pytest.raises(CameraError, match=r"^http://127\.0\.0\.1:\d+: "):
        read_to_the_end(driver)
    driver.close()


@pytest.mark.parametrize("first", [b"", b"\r\n"])
def test_a_first_boundary_may_come_in_pieces_and_after_an_empty_line(first):
    jpeg = cv2.imencode(".jpg", stamped(1))[1].tobytes()
    part = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg + b"\r\n"
    head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with listener.accept()[0] as client, contextlib.suppress(OSError):
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in (head, first, b"--", b"f\r", b"\nContent-Type: image/jpeg\r\nContent-Length:"):
                    client.sendall(piece)
                    ended.wait(0.02)
                client.sendall(part[part.index(b"Length:") + 7 :])
                while not ended.wait(0.02):
                    client.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        source = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        driver = make_driver(OpenCvCamera(name="cam", recipe="r", source=source))
        try:
            driver.open(lambda: None)
            assert [driver.read().flaw for _ in range(3)] == [Quality.OK] * 3
        finally:
            driver.close()
            ended.set()
            thread.join()
