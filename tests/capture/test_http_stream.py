"""When the bytes of a stream came in: bounds that hold however its reader is held up."""

import contextlib
import random
import re
import socket
import struct
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspectd.capture.arrival_log import ArrivalLog
from inspectd.capture.driver import CameraError
from inspectd.capture.http_stream import HttpStream, Stamps

MS = 1_000_000
SLICE = 2 * MS


def read_with_pauses(sent, pauses):
    """Read pictures sent at `sent` (ns, size 1 each) as the connection does, held up as `pauses` say.

    `pauses` is how long the process stands still after each look. The line is instant, and the sender waits
    while the reader's buffer of 3 pictures is full, as TCP lets it; what waited comes `ROUND_TRIP` later.
    """
    now, log, pending, spans = 0, ArrivalLog(0), list(sent), []
    held = iter(pauses)
    buffered, freed = [], 0  # what the reader's machine holds; when it last had room again
    while pending or buffered:
        while pending and len(buffered) < 3:
            at = max(pending[0], freed)
            if at > now:
                break
            buffered.append(pending.pop(0))
        if buffered:
            log.something_at(now)
            was_full = len(buffered) == 3
            at_ns, number = buffered.pop(0), len(spans)
            if was_full:
                freed = now + MS  # the sender hears of the room a round trip later
            log.received(1, now)
            spans.append((at_ns, log.picture(number, 1)))
        else:
            came = [max(at, freed) for at in pending[:1] if max(at, freed) < now + SLICE]
            if came:
                now = came[0]
                continue
            log.nothing_until(now + SLICE)
            now += SLICE
        now += next(held, 0)
    return spans


@given(
    st.lists(st.integers(10, 60), min_size=1, max_size=60),
    st.lists(st.integers(0, 300), max_size=80),
)
def test_a_picture_was_sent_within_its_span_whatever_holds_the_reader_up(intervals, pauses):
    sent, at = [], 5
    for interval in intervals:
        at += interval
        sent.append(at * MS)
    for true_ns, (earliest_ns, latest_ns) in read_with_pauses(sent, [pause * MS for pause in pauses]):
        assert earliest_ns <= true_ns <= latest_ns


def test_a_reader_that_is_not_held_up_knows_the_time_to_that_between_two_pictures():
    sent = [(5 + 20 * number) * MS for number in range(1, 100)]
    for _, (earliest_ns, latest_ns) in read_with_pauses(sent, [])[51:]:
        assert latest_ns - earliest_ns <= 20 * MS + SLICE


@given(
    st.integers(16, 120),
    st.lists(st.tuples(st.integers(1, 400), st.integers(0, 300)), max_size=20),
    st.floats(0, 0.75),
)
def test_what_the_network_held_back_is_not_new(interval_ms, holds, rest):
    """The link lets nothing through for some ms at a time: `(open, held)`; then all, with rests or none."""
    log, sent_ms, sent = ArrivalLog(0), interval_ms, []
    if rest:  # it has handed on what it kept before it is held again
        drained_ms = [0, *(5 * held + 2 * interval_ms for _, held in holds)]
        holds = [(span[0] + more, span[1]) for span, more in zip(holds, drained_ms, strict=False)]
    is_held = [held for span in [*holds, (150 * interval_ms, 0)] for held in [0] * span[0] + [1] * span[1]]
    kept, rests_until_ms = [], 0.0
    for now_ms, held in enumerate(is_held):
        came = []
        while sent_ms <= now_ms:
            kept.append(sent_ms)
            sent_ms += interval_ms
        while kept and not held and rests_until_ms <= now_ms:
            came.append(kept.pop(0))
            rests_until_ms = now_ms + rest * interval_ms
        for at_ms in came:
            log.something_at(now_ms * MS)
            log.received(1, now_ms * MS)
            sent.append((at_ms * MS, log.picture(len(sent), 1)))
        if not came:
            log.nothing_until((now_ms + 1) * MS)
    for true_ns, span in sent:
        assert span.earliest_ns <= true_ns <= span.latest_ns
    assert sent[-1][1].latest_ns - sent[-1][1].earliest_ns <= interval_ms * MS, "it knows the time again"


def read_as_it_comes(log, looked_ms, at_ms, *, stamped=False):
    """Look for something every 2 ms since the last look, and read the byte that comes; when that was."""
    while looked_ms + 2 <= at_ms:
        looked_ms += 2
        log.nothing_until(int(looked_ms * MS))
    at_ns = int(at_ms * MS)
    log.something_at(at_ns, at_ns if stamped else None)
    log.received(1, at_ns)
    return at_ms


def spans_of(came_ms, log=None):
    """Spans of pictures of one byte that are read as they come."""
    log, looked_ms, spans = log or ArrivalLog(0), 0.0, []
    for number, at_ms in enumerate(came_ms):
        looked_ms = read_as_it_comes(log, looked_ms, at_ms)
        spans.append(log.picture(number, 1))
    return spans


def test_a_silence_within_a_round_trip_shows_nothing():
    log = ArrivalLog(0)
    even_ms = [20 * number for number in range(1, 61)]
    assert spans_of(even_ms, log)[-1].earliest_ns == 1180 * MS
    log.round_trip_ns = 10 * MS
    for number, read_ms in enumerate([1220, 1233, 1251, 1275], len(even_ms)):
        log.nothing_until((read_ms - 1) * MS)
        log.something_at(read_ms * MS)
        log.received(1, read_ms * MS)
        assert log.picture(number, 1).earliest_ns == (1180 if read_ms < 1275 else 1251) * MS


@given(
    st.integers(8, 200),
    st.sampled_from([(1,), (2, 4), (3, 3, 3, 3, 6), (3, 6, 6), (1, 4)]),
    st.lists(st.floats(-0.3, 0.3), min_size=300, max_size=300),
    st.booleans(),
)
def test_a_camera_of_any_rate_and_rhythm_is_dated(interval_ms, rhythm, jitter, jitters):
    """Also one that leaves out some of its sensor's pictures, or takes each up to 30 % sooner or later."""
    came_ms, at_ms = [], 100.0
    step_ms = interval_ms * len(rhythm) / sum(rhythm)
    for number in range(300):
        at_ms += step_ms * rhythm[number % len(rhythm)]
        late = jitter[number] if jitters and len(rhythm) == 1 else 0.0
        came_ms.append(at_ms + interval_ms * late)
    for came, span in zip(came_ms, spans_of(came_ms), strict=True):
        if came > came_ms[0] + 2000 + 20 * interval_ms:
            assert came * MS - span.earliest_ns <= 4 * interval_ms * MS


@given(st.integers(12, 200), st.integers(1, 20), st.floats(0, 0.9))
def test_what_a_hop_kept_from_before_the_connection_is_not_new(interval_ms, kept, rest):
    """It begins with that, at once or with rests."""
    kept = min(kept, int(900 / interval_ms))
    rests_ms = [50 + number * rest * interval_ms for number in range(kept)]
    spans = spans_of(rests_ms)
    assert all(span.earliest_ns == 0 for span in spans)


def test_a_rate_that_changes_is_known_within_half_a_minute():
    for before_ms, after_ms in ((100, 33), (33, 100), (16, 200)):
        came_ms = [before_ms * number for number in range(1, 40_000 // before_ms)]
        came_ms += [came_ms[-1] + after_ms * number for number in range(1, 31_000 // after_ms)]
        assert spans_of(came_ms)[-1].earliest_ns >= came_ms[-2] * MS


@given(
    st.integers(20, 100),
    st.integers(2, 30),
    st.floats(0.3, 0.95),
    st.integers(0, 3000),
    st.integers(5, 40),
)
def test_a_sender_that_waits_for_the_network_makes_no_old_picture_new(
    interval_ms, packets, load, outage_ms, seed
):
    """Nothing comes for a while, and then a packet at a time, until what was kept has gone."""
    log, rate_ms = ArrivalLog(0), load * interval_ms / packets
    begins_ms = 2500 + seed
    free_ms, offset, looked_ms, done_ms = 0.0, 0, 0.0, 0.0
    for number in range(60 + 5000 // interval_ms):
        sent_ms = (number + 1) * interval_ms
        for _ in range(packets):
            free_ms = max(free_ms, sent_ms)
            if begins_ms <= free_ms < begins_ms + outage_ms:
                free_ms = begins_ms + outage_ms
            free_ms += rate_ms
            looked_ms = read_as_it_comes(log, looked_ms, free_ms)
            offset += 1
            done_ms = free_ms
        span = log.picture(offset - packets, packets)
        assert span.earliest_ns <= sent_ms * MS + 2 * rate_ms * MS, (number, done_ms)


def over_a_narrow_link(seed, interval_ms, spare, gap_share):
    """When 400 pictures were sent, in ms, and when each of their 12 pieces came.

    The link passes on `1 + spare` times what the camera sends, is down twice, and before a share of the
    pieces it rests a moment, as a radio does.
    """
    chance = random.Random(seed)
    downs = [(chance.uniform(2000, 9000), chance.uniform(200, 3000)) for _ in range(2)]
    free_ms, pictures = 0.0, []
    for number in range(400):
        sent_ms, came_ms = interval_ms * (number + chance.uniform(0, 0.02)), []
        for _ in range(12):
            free_ms = max(free_ms, sent_ms)
            for since_ms, lasted_ms in downs:
                if since_ms <= free_ms < since_ms + lasted_ms:
                    free_ms = since_ms + lasted_ms
            free_ms += chance.uniform(10, 50) if chance.random() < gap_share else 0.0
            free_ms += interval_ms / (1 + spare) / 12
            came_ms.append(free_ms)
        pictures.append((sent_ms, came_ms))
    return pictures


@pytest.mark.parametrize(
    ("interval_ms", "spare", "gap_share", "known"),
    [(40, 0.05, 0.03, 0.0), (100, 0.1, 0.02, 0.0), (100, 0.5, 0.002, 0.5), (40, 1, 0.001, 0.45)],
)
def test_a_rest_of_a_link_that_lags_behind_makes_no_old_picture_new(interval_ms, spare, gap_share, known):
    """Where what is sent fills the link, a silence shows that the link rests, not that nothing was left."""
    dated = 0
    for seed in range(12):
        log, looked_ms = ArrivalLog(0), 0.0
        for number, (sent_ms, came_ms) in enumerate(over_a_narrow_link(seed, interval_ms, spare, gap_share)):
            for at_ms in came_ms:
                looked_ms = read_as_it_comes(log, looked_ms, at_ms)
            span = log.picture(12 * number, 12)
            assert span.earliest_ns <= (sent_ms + 50) * MS, (seed, number)
            dated += span.earliest_ns >= (sent_ms - interval_ms) * MS
    assert dated >= known * 12 * 400


def test_what_comes_late_between_the_pictures_of_other_cameras_is_not_new():
    """Two share a link with 15 % to spare; what was kept while it was down comes evenly, after silences."""
    for seed in range(5):
        chance = random.Random(seed)
        down_ms = chance.uniform(3000, 5000), chance.uniform(1000, 3000)
        log, looked_ms, free_ms, number = ArrivalLog(0), 0.0, 0.0, 0
        for turn in range(2 * 900):
            sent_ms = 40 * (turn / 2 + chance.uniform(0, 0.02))
            free_ms = max(free_ms, sent_ms)
            if down_ms[0] <= free_ms < sum(down_ms):
                free_ms = sum(down_ms)
            began_ms, free_ms = free_ms, free_ms + 20 / 1.15
            if turn % 2:  # the other camera's
                continue
            for piece in range(1, 13):
                at_ms = began_ms + piece * 20 / 1.15 / 12
                looked_ms = read_as_it_comes(log, looked_ms, at_ms, stamped=True)
            span = log.picture(12 * number, 12)
            assert span.earliest_ns <= (sent_ms + 100) * MS, (seed, number)
            number += 1
        assert span.earliest_ns >= (sent_ms - 80) * MS, "it knows the time again"


def over_a_share_that_falls(seed, share_at, seconds, jitter=0.05):
    """When pictures were sent, in ms, and when each of their 4 pieces came, of 25 a second.

    The link passes on `share_at(second)` times what the camera takes, and others' pictures stand between. The
    sender keeps 12 pictures, and the camera leaves out those for which there is no room.
    """
    chance = random.Random(seed)
    free_ms, kept, pictures = 0.0, deque(), []
    for number in range(25 * seconds):
        sent_ms = 40 * (number + chance.uniform(0, 0.02))
        while kept and free_ms <= sent_ms:
            began_ms = max(free_ms, kept[0])
            slot_ms = 40 / share_at(began_ms / 1000) * (1 + chance.uniform(-jitter, jitter))
            pictures.append((kept.popleft(), [began_ms + slot_ms * piece / 10 for piece in range(1, 5)]))
            free_ms = began_ms + slot_ms
        if len(kept) < 12:
            kept.append(sent_ms)
            free_ms = max(free_ms, kept[0])
    return pictures


@pytest.mark.parametrize(
    ("least", "falls_seconds", "jitter"), [(0.95, 40, 0.05), (0.98, 20, 0.05), (0.97, 0, 0.05), (0.95, 40, 0)]
)
def test_what_gathers_while_the_share_of_a_link_falls_slowly_is_not_new(least, falls_seconds, jitter):
    """Pictures come evenly, each after a silence, a little more slowly than the camera takes them."""

    def share_at(second):
        fallen = min(1.0, (second - 15) / falls_seconds if falls_seconds else 1.0) if second > 15 else 0.0
        return 1.2 - (1.2 - least) * fallen if second < 65 else 1.2

    for seed in range(2):
        log, looked_ms, known = ArrivalLog(0), 0.0, []
        pictures = over_a_share_that_falls(seed, share_at, 110, jitter)
        for number, (sent_ms, came_ms) in enumerate(pictures):
            for at_ms in came_ms:
                looked_ms = read_as_it_comes(log, looked_ms, at_ms, stamped=True)
            span = log.picture(4 * number, 4)
            assert span.earliest_ns <= (sent_ms + 5) * MS, (seed, number)
            if span.earliest_ns >= (sent_ms - 80) * MS:
                known.append(sent_ms)
        assert sum(2_000 < sent_ms < 15_000 for sent_ms in known) >= 320, "it is known before"
        assert known[-1] == pictures[-1][0], "it knows the time again"
        if least == 0.95:
            assert not any(60_000 < sent_ms < 64_000 for sent_ms in known), "it would have been old"


def test_a_camera_that_becomes_a_little_slower_is_known_again_within_half_a_minute():
    came_ms = [40 * number for number in range(1, 500)]
    came_ms += [came_ms[-1] + 42 * number for number in range(1, 31_000 // 42)]
    spans = spans_of(came_ms)
    assert spans[498].earliest_ns == came_ms[497] * MS
    assert spans[498 + 100].earliest_ns <= came_ms[498 + 25] * MS, "it cannot be told from a backlog"
    assert spans[-1].earliest_ns == came_ms[-2] * MS


@pytest.mark.parametrize(("jitter", "left_out"), [(0.2, 0), (0.3, 0), (0.1, 3)])
def test_a_camera_of_a_steady_pace_stays_known(jitter, left_out):
    """Also one that leaves out pictures of its sensor."""
    chance = random.Random(7)
    came_ms = [
        100 + 40 * (number + chance.uniform(-jitter, jitter))
        for number in range(4000)
        if not left_out or number % left_out
    ]
    for came, span in list(zip(came_ms, spans_of(came_ms), strict=True))[100:]:
        assert came * MS - span.earliest_ns <= 4 * 40 * MS


def test_small_pictures_on_a_full_link_are_not_new_after_its_rests():
    """Their packets are as far apart as silences are long."""
    for seed in range(8):
        chance = random.Random(seed)
        down_ms = chance.uniform(3000, 5000), chance.uniform(1000, 3000)
        log, looked_ms, free_ms = ArrivalLog(0), 0.0, 0.0
        for number in range(200):
            sent_ms = 100 * (number + chance.uniform(0, 0.02))
            for _ in range(4):
                free_ms = max(free_ms, sent_ms)
                if down_ms[0] <= free_ms < sum(down_ms):
                    free_ms = sum(down_ms)
                free_ms += chance.uniform(10, 50) if chance.random() < 0.01 else 0.0
                free_ms += 100 / 1.1 / 4
                looked_ms = read_as_it_comes(log, looked_ms, free_ms, stamped=True)
            assert log.picture(4 * number, 4).earliest_ns <= (sent_ms + 50) * MS, (seed, number)


def test_a_silence_begins_when_the_last_bytes_came_however_late_they_were_read():
    log = ArrivalLog(0)
    even_ms = [20 * number for number in range(1, 61)]
    spans_of(even_ms, log)
    log.something_at(1220 * MS)
    log.received(1, 1300 * MS)  # this process stood still; nothing more had come
    log.picture(60, 1)
    log.nothing_until(1310 * MS)
    log.something_at(1311 * MS)
    log.received(1, 1311 * MS)
    assert log.picture(61, 1).earliest_ns == 1220 * MS


def test_what_waited_for_room_in_a_reader_that_stood_still_is_not_new():
    """While its buffer is full nothing comes, however much the sender has left."""
    log = ArrivalLog(0)
    spans_of([20 * number for number in range(1, 61)], log)
    log.round_trip_ns = 12 * MS
    log.something_at(1220 * MS, 1220 * MS)
    log.received(1, 1244 * MS)  # it stood still, and makes room only now
    log.something_at(1250 * MS, 1250 * MS)
    log.received(1, 1308 * MS)  # again; the next picture, sent at 1240, waits for room
    log.picture(60, 2)
    log.nothing_until(1318 * MS)  # the sender hears of it a round trip later
    log.something_at(1320 * MS, 1320 * MS)
    log.received(1, 1320 * MS)
    assert log.picture(62, 1).earliest_ns <= 1240 * MS


def test_what_was_forgotten_has_no_beginning():
    log = ArrivalLog(0)
    for at in range(10_000):
        log.something_at(at)
        log.received(1, at)
    assert log.picture(5, 1) == (0, 10_000 - 4096)
    assert log.picture(9_999, 1) == (0, 9_999)


def test_when_bytes_came_is_known_however_late_they_are_read():
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
                asked.wait(5)
                sent_ns = time.monotonic_ns()
                connection.sendall(b"picture")
                sent.set()
                read.wait(5)
                return sent_ns

        asked, sent, read = threading.Event(), threading.Event(), threading.Event()
        serving = pool.submit(serve)
        stream = HttpStream(
            f"http://127.0.0.1:{server.getsockname()[1]}/", "cam",
            open_seconds=5, read_seconds=5, most_seconds=5,
        )  # fmt: skip
        with contextlib.closing(stream):
            asked.set()
            sent.wait(5)
            before_ns = time.monotonic_ns()
            assert stream.read(100) == b"picture"
            read.set()
            span = stream.arrivals.picture(0, 7)
        assert serving.result() - MS <= span.latest_ns <= before_ns


def test_bytes_that_were_stamped_before_the_hosts_clock_was_set_are_not_dated_by_it():
    now = {"own": 0, "wall": 1_000 * 10**9}

    def stamp():
        seconds, ns = divmod(now["wall"], 10**9)
        return [(socket.SOL_SOCKET, 35, struct.pack("=qq", seconds, ns))]

    def goes_on(ms):
        for clock in now:
            now[clock] += ms * MS

    stamps = Stamps(lambda: now["own"], lambda: now["wall"])
    came = stamp()
    goes_on(700)
    assert stamps.came_ns(came) == 0
    for set_ms in (2000, -3000):
        came = stamp()
        goes_on(300)
        now["wall"] += set_ms * MS
        assert stamps.came_ns(came) is None
        goes_on(500)
        assert stamps.came_ns(came) is None, "it waited in the buffer since"
        goes_on(10_000)
        assert stamps.came_ns(stamp()) == now["own"]


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/json"])
def test_a_page_is_told_from_a_stream(content_type):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(f"HTTP/1.0 200 OK\r\nContent-Type: {content_type}\r\n\r\n".encode())

        serving = pool.submit(serve)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        said = f"cam: answers with {content_type.partition(';')[0]}, expected a stream such as multipart/"
        with pytest.raises(CameraError, match=re.escape(said)):
            HttpStream(url, "cam", open_seconds=5, read_seconds=5, most_seconds=5)
        serving.result()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            '401 U\r\nWWW-Authenticate: Digest realm="x", nonce="y", algorithm=SHA-512-256',
            "asks for a login of a kind that is not known (digest, algorithm=sha-512-256); expected",
        ),
        (
            '401 U\r\nWWW-Authenticate: Digest realm="x", nonce="y", qop="auth-int"',
            'asks for a login of a kind that is not known (digest, qop="auth-int"); expected basic, or',
        ),
        (
            "401 U\r\nWWW-Authenticate: Digest realm",
            "asks for a login of a kind that is not known (digest); ",
        ),
        (
            "302 F\r\nLocation: rtsp://user:s3cret@127.0.0.1:554/live?key=s3cret#s3cret",
            "leads to rtsp://127.0.0.1:554/live: name that in `source`",
        ),
        ("302 F\r\nLocation: http://a..b/", "cannot be opened (no host can have the name a..b); is it"),
    ],
)
def test_what_a_camera_asks_that_cannot_be_done_is_said(answer, said):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def serve():
            while True:
                connection, _ = server.accept()
                with connection:
                    if not connection.recv(4096):
                        return
                    connection.sendall(f"HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n".encode())

        serving = pool.submit(serve)
        url = f"http://user:s3cret@127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(CameraError, match=re.escape(f"cam: {said}")) as error:
            HttpStream(url, "cam", open_seconds=5, read_seconds=5, most_seconds=5)
        assert "s3cret" not in str(error.value)
        socket.create_connection(server.getsockname()).close()
        serving.result()


def test_a_redirect_to_what_is_no_host_is_said_so_after_a_login_too():
    challenge = '401 U\r\nWWW-Authenticate: Digest realm="x", nonce="y", qop="auth", algorithm=MD5'
    answers = [challenge, challenge, "302 F\r\nLocation: http://a..b/"]  # it is asked without digest at first
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        server.settimeout(5)

        def serve():
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(
                        f"HTTP/1.1 {answer}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
                    )

        serving = pool.submit(serve)
        url = f"http://user:s3cret@127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(CameraError, match=r"cannot be opened \(no host can have the name a\.\.b\)"):
            HttpStream(url, "cam", open_seconds=5, read_seconds=5, most_seconds=5)
        serving.result()


@pytest.mark.parametrize(
    ("at_once", "awaited"),
    [
        ("HTTP/1.1 200 ", "an answer of 127.0.0.1:"),
        (
            "HTTP/1.1 200 O\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n",
            "the beginning of its stream",
        ),
    ],
)
def test_a_stream_that_does_not_begin_in_time_is_given_up_however_busily_it_sends(at_once, awaited):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def serve():
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                connection.sendall(at_once.encode())
                while True:
                    connection.sendall(b"x")
                    time.sleep(0.02)

        serving = pool.submit(serve)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(CameraError, match=rf"not within 0\.3 s, waiting for {awaited}"):
            HttpStream(url, "cam", open_seconds=0.3, read_seconds=5, most_seconds=0.3).read(4096)
        serving.result()


def test_a_camera_that_answered_may_take_as_long_for_its_first_picture_as_for_the_next():
    """One that gives a picture every few seconds, or when something moves."""
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:
        looked = threading.Event()

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n")
                looked.wait(0.5)
                connection.sendall(b"picture")

        serving = pool.submit(serve)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        stream = HttpStream(url, "cam", open_seconds=0.2, read_seconds=5, most_seconds=6)
        with contextlib.closing(stream):
            assert stream.read(100) == b"picture"
        serving.result()
