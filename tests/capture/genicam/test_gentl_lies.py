"""What a GenTL producer can say or do that is not so: no old, torn or foreign picture is a new one."""

import io
import shutil
import threading
import time
import zipfile

import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.gentl_camera import GentlCamera, picture

from inspectd.capture.driver import CameraError, unadjusted_ahead_ns, unadjusted_ns
from inspectd.capture.genicam import driver as genicam_driver
from inspectd.capture.genicam import features
from inspectd.capture.genicam.camera import FeatureError
from inspectd.capture.genicam.gentl import chunks, discovery, nodes
from inspectd.capture.genicam.hanging import LibraryHangsError
from inspectd.capture.registry import make_driver
from inspectd.ipc.messages import Failed
from inspectd.records import CameraPhase, Quality

pytestmark = pytest.mark.system

EYE = {"trigger_source": "Line1"}
TIMESTAMP, IS_INCOMPLETE, SIZE_FILLED, WIDTH, HEIGHT, XPADDING, FRAMEID = 3, 7, 9, 10, 11, 14, 16
IMAGEPRESENT, IMAGEOFFSET, PAYLOADTYPE, PIXELFORMAT, DATA_SIZE, TIMESTAMP_NS = 17, 18, 19, 20, 27, 28


@pytest.fixture
def camera():
    with GentlCamera() as camera:
        yield camera


@pytest.fixture
def driver(camera):
    driver = make_driver(camera.settings(**EYE, chunks=False))
    driver.open(lambda: None)
    yield driver
    driver.close()


def fired(camera, driver, tag):
    assert camera.tell("fire", tag) == "done"
    return driver.read()


def waited_for(camera, driver, tag):
    """The reader waits when it comes: nothing of it has lain anywhere."""
    assert camera.tell("later", tag) == "done"
    return driver.read()


def say(camera, number, value):
    assert camera.tell("say", f"{number}={value}") == "done"


def refusal(camera, **settings):
    driver = make_driver(camera.settings(**settings))
    with pytest.raises(CameraError) as caught:
        driver.open(lambda: None)
    driver.close()
    return str(caught.value)


@pytest.mark.parametrize("command", ["again 0", "again 1"])
def test_an_old_frame_in_another_buffer_is_no_new_one(camera, driver, command):
    fired(camera, driver, 1)
    fired(camera, driver, 2)
    camera.tell(command)
    with pytest.raises(CameraError, match="gave a frame again, or an old one: number"):
        driver.read()


def test_a_frame_from_before_the_camera_was_opened_anew_is_no_new_one(camera, driver):
    say(camera, TIMESTAMP_NS, 5_000_000)
    fired(camera, driver, 1)
    driver.open(lambda: None)
    with pytest.raises(CameraError, match="gave a frame again, or an old one"):
        fired(camera, driver, 2)


def test_a_frame_that_was_held_while_the_camera_was_opened_anew_is_as_old_as_it_is(camera, driver):
    fired(camera, driver, 1)
    camera.tell("hold", 2)
    driver.close()
    opened_ns = time.monotonic_ns()
    driver.open(lambda: None)
    frame = driver.read()
    np.testing.assert_array_equal(frame.pixels, picture(2))
    assert frame.captured_ns < opened_ns
    asked_ns = time.monotonic_ns()
    new = waited_for(camera, driver, 3)
    assert (new.flaw, new.captured_ns > asked_ns) == (Quality.OK, True)


def test_a_held_frame_is_not_new_where_the_camera_took_long_to_say_its_time(camera, driver, monkeypatch):
    execute = nodes.NodeFeatures.execute

    def slowly(self, feature):
        execute(self, feature)
        time.sleep(0.3 if feature == "TimestampLatch" else 0)

    fired(camera, driver, 1)
    monkeypatch.setattr(nodes.NodeFeatures, "execute", slowly)
    camera.tell("hold", 2)
    driver.close()
    driver.open(lambda: None)
    frame = driver.read()
    np.testing.assert_array_equal(frame.pixels, picture(2))
    assert frame.flaw is Quality.STALE


def test_a_camera_that_refused_its_time_once_is_still_asked(camera, driver, monkeypatch):
    execute, refused = nodes.NodeFeatures.execute, []

    def refuses_once(self, feature):
        if feature == "TimestampLatch" and not refused:
            refused.append(feature)
            raise FeatureError("busy")
        execute(self, feature)

    monkeypatch.setattr(nodes.NodeFeatures, "execute", refuses_once)
    deadline_ns = time.monotonic_ns() + 6_000_000_000
    while not refused and time.monotonic_ns() < deadline_ns:
        waited_for(camera, driver, 1)
        time.sleep(0.1)
        driver.poll()  # asks it when that is due
    assert refused
    assert driver.facts()["says_its_time"] == "yes"


def test_a_frame_that_lay_here_before_any_was_waited_for_is_dated_by_the_cameras_clock(camera, driver):
    before_ns = time.monotonic_ns()
    camera.tell("fire", 1)
    fired_ns = time.monotonic_ns()
    time.sleep(0.1)
    frame = driver.read()
    assert before_ns - 5_000_000 < frame.captured_ns < fired_ns
    assert frame.doubt_ns < 10_000_000
    assert frame.flaw is Quality.OK


def test_a_camera_that_gives_each_frame_at_the_next_trigger_dates_none_as_new(camera, driver):
    camera.tell("lag", 1)
    camera.tell("fire", 1)
    for tag in range(2, 12):
        next_ns = time.monotonic_ns()
        frame = fired(camera, driver, tag)
        np.testing.assert_array_equal(frame.pixels, picture(tag - 1))
        assert frame.captured_ns <= next_ns


def test_the_first_frame_after_a_pause_is_not_new_because_the_camera_said_its_time_an_hour_before(
    camera, driver, monkeypatch
):
    hour_ns = 3600 * 10**9
    camera.tell("lag", 1)
    assert camera.tell("pass", 3600) == "done"
    for module in (genicam_driver, features):  # and so it does here
        monkeypatch.setattr(module, "unadjusted_ns", lambda: unadjusted_ns() + hour_ns)
    monkeypatch.setattr(genicam_driver, "unadjusted_ahead_ns", lambda: unadjusted_ahead_ns() + hour_ns)
    camera.tell("fire", 1)
    soon_ns = time.monotonic_ns() + 10_000_000  # what its answer leaves open
    signal = threading.Timer(0.03, camera.tell, ("fire", 2))
    signal.start()
    frame = driver.read()
    signal.join()
    np.testing.assert_array_equal(frame.pixels, picture(1))
    assert frame.captured_ns < soon_ns or frame.flaw is Quality.STALE  # where this machine was too busy


def test_a_camera_that_begins_to_give_each_frame_at_the_next_trigger_dates_none_as_new_though_not_asked(
    camera,
):
    driver = make_driver(camera.settings(**EYE, chunks=False, ask_time=False))
    driver.open(lambda: None)
    for tag in range(1, 7):
        waited_for(camera, driver, tag)
    camera.tell("lag", 1)
    camera.tell("fire", 7)
    remarks = []
    for tag in range(8, 22):
        next_ns = time.monotonic_ns()
        signal = threading.Timer(0.03, camera.tell, ("fire", tag))
        signal.start()
        frame = driver.read()
        signal.join()
        np.testing.assert_array_equal(frame.pixels, picture(tag - 1))
        assert frame.captured_ns <= next_ns < frame.captured_ns + frame.doubt_ns
        remarks.append(frame.remark)
    driver.close()
    assert any("or the camera is opened anew" in remark for remark in remarks)


def test_of_a_camera_that_does_not_say_its_time_nothing_is_judged_before_a_frame_came_no_quicker(camera):
    camera.change_description(">TimestampLatch<", ">OtherLatch<")
    camera.change_description('"TimestampLatch"', '"OtherLatch"')
    driver = make_driver(camera.settings(**EYE, chunks=False))
    driver.open(lambda: None)
    flaws = [waited_for(camera, driver, tag).flaw for tag in (1, 2, 3)]
    camera.tell("hold", 4)
    driver.open(lambda: None)
    flaws += [driver.read().flaw] + [waited_for(camera, driver, tag).flaw for tag in (5, 6)]
    driver.close()
    assert flaws == [Quality.STALE, Quality.OK, Quality.OK, Quality.STALE, Quality.STALE, Quality.OK]


def frames_by_another_clock(camera, register, **settings):
    """Fifteen frames of a camera that says another register as its time, and what is said of them."""
    camera.change_description("<Address>0x100</Address>", f"<Address>{register}</Address>")
    driver = make_driver(camera.settings(**EYE, chunks=False, **settings))
    driver.open(lambda: None)
    frames = [waited_for(camera, driver, tag) for tag in range(1, 16)]
    driver.close()
    return frames, "; ".join(frame.remark for frame in frames)


def test_a_time_behind_that_of_its_frames_is_not_believed(camera):
    frames, said = frames_by_another_clock(camera, "0x110")  # a register that stays 0
    assert "its frames are stamped by another clock, which is ahead of it" in said
    assert frames[-1].flaw is Quality.OK
    assert frames[-1].age_ms < 1000


@pytest.mark.parametrize("ask_time", [True, False])
def test_a_time_ahead_of_that_of_its_frames_makes_them_old_unless_it_is_not_asked(camera, ask_time):
    frames, said = frames_by_another_clock(
        camera, "0xA0", ask_time=ask_time
    )  # its exposure as a whole number
    assert ("ms late, expected 500 ms at most" in said) == ask_time
    assert (min(frame.age_ms for frame in frames[1:]) > 1e9) == ask_time
    assert frames[-1].flaw is Quality.OK  # the gate finds it too old


def test_a_buffer_that_is_given_a_second_time_is_not_read_again(camera, driver):
    fired(camera, driver, 1)
    camera.tell("twice")
    with pytest.raises(CameraError, match="the buffer is queued"):
        driver.read()


def test_a_frame_that_is_written_over_while_it_is_read_is_partial(camera, driver):
    fired(camera, driver, 1)
    camera.tell("overwrite", 1)
    frame = fired(camera, driver, 2)
    assert frame.flaw is Quality.PARTIAL
    assert "its producer wrote another frame over it while it was read" in frame.transfer_remark
    assert frame.pixels.max() == 0


@pytest.mark.parametrize("ask_time", [True, False])
def test_the_number_and_stamp_of_a_frame_that_is_not_whole_are_no_news_of_those_after_it(camera, ask_time):
    """They may be those of what its buffer held before."""
    driver = make_driver(camera.settings(**EYE, chunks=False, ask_time=ask_time))
    driver.open(lambda: None)
    for tag in range(1, 21):
        before = waited_for(camera, driver, tag)
    say(camera, FRAMEID, 4)
    say(camera, TIMESTAMP_NS, 5_000_000)
    camera.tell("incomplete", 1)
    torn = waited_for(camera, driver, 21)
    say(camera, FRAMEID, "any")
    say(camera, TIMESTAMP_NS, "any")
    after = waited_for(camera, driver, 22)
    driver.close()
    assert torn.flaw is Quality.PARTIAL
    assert before.captured_ns <= torn.captured_ns
    assert (after.flaw, torn.lost_before, after.lost_before) == (Quality.OK, 0, 0)
    assert f"{torn.remark}{after.remark}{after.transfer_remark}" == ""
    assert after.captured_ns > torn.captured_ns + torn.doubt_ns


@pytest.mark.parametrize(
    ("said", "value", "why"),
    [
        (WIDTH, 128, "sent a frame of 128x192 pixels of format 0x1080001, and says that it sends 256x192"),
        (WIDTH, 2**31, "sent a frame of 2147483648x192 pixels"),
        (HEIGHT, 96, "sent a frame of 256x96 pixels"),
        (PIXELFORMAT, 0x01080009, "of format 0x1080009, and says that it sends 256x192 of 0x1080001"),
        (XPADDING, -1, "says -1 for BUFFER_INFO_XPADDING"),
        (IMAGEOFFSET, -4, "says -4 for BUFFER_INFO_IMAGEOFFSET"),
        (SIZE_FILLED, "none", "does not say whether a frame is whole"),
        (IS_INCOMPLETE, "none", "does not say whether a frame is whole"),
        (IMAGEPRESENT, 0, "sends payload of type 1, expected pictures"),
        (PAYLOADTYPE, 10, "sends payload of type 10, expected pictures"),
    ],
)
def test_what_is_not_the_picture_that_the_camera_said_it_sends_is_refused(camera, driver, said, value, why):
    fired(camera, driver, 1)
    say(camera, said, value)
    with pytest.raises(CameraError, match=why):
        fired(camera, driver, 2)
    say(camera, said, "any")
    np.testing.assert_array_equal(fired(camera, driver, 3).pixels, picture(3))  # no buffer is lost


@pytest.mark.parametrize(
    ("said", "value", "why"),
    [
        (SIZE_FILLED, 2**40, "1099511627776 bytes came, and a buffer has"),
        (SIZE_FILLED, 49_151, "49151 of 49152 bytes came"),
        (IMAGEOFFSET, 2**40, "49152 of 1099511676928 bytes came"),
        (XPADDING, 1, "49152 of 49344 bytes came"),
        (DATA_SIZE, 49_153, "49152 of 49153 bytes came"),
    ],
)
def test_sizes_that_do_not_fit_the_picture_make_it_partial(camera, driver, said, value, why):
    say(camera, said, value)
    frame = fired(camera, driver, 2)
    assert (frame.flaw, frame.pixels.max()) == (Quality.PARTIAL, 0)
    assert why in frame.transfer_remark


@pytest.mark.parametrize("layout", ["GEV", "U3V"])
def test_chunks_that_do_not_take_the_bytes_of_their_frame_are_refused(layout):
    tail = chunks._TAILS[layout]
    good = bytes(12) + tail.pack(7, 12) + bytes(8) + tail.pack(9, 8)
    assert chunks.laid_out(good, tail) == [(9, 20, 8), (7, 0, 12)]
    assert chunks.laid_out(b"", tail) == []
    for length in (0, 100, 2**32 - 8, 2**32 - 1):
        with pytest.raises(CameraError, match="sent chunks that do not fit its frame"):
            chunks.laid_out(bytes(12) + tail.pack(7, length), tail)


def test_a_frame_without_chunks_says_nothing_beside_its_number_and_stamp(camera):
    driver = make_driver(camera.settings(**EYE))
    driver.open(lambda: None)
    camera.tell("bare", 1)
    said = fired(camera, driver, 2).device
    assert (said.frame_id, said.exposure_us) == (1, None)
    driver.close()


def test_numbers_and_stamps_that_no_reader_can_keep_are_not_said(camera, driver):
    say(camera, FRAMEID, -1)  # of 64 bits without a sign, all of them set
    say(camera, TIMESTAMP_NS, "none")
    say(camera, TIMESTAMP, 2**62)  # in ticks of a clock that counts one a second
    with pytest.raises(CameraError, match="says -1 for BUFFER_INFO_FRAMEID"):
        fired(camera, driver, 1)
    say(camera, FRAMEID, "any")
    assert fired(camera, driver, 2).device.time_ns is None


@pytest.mark.parametrize("value", [0, 100, 2**40])
def test_a_payload_size_that_cannot_be_is_refused_before_memory_is_taken(camera, value):
    file = camera.folder / "camera.xml"
    text = file.read_text()
    at = text.index('<Integer Name="PayloadSize"')
    end = text.index("</Integer>", at)
    file.write_text(text[:at] + f'<Integer Name="PayloadSize"><Value>{value}</Value>' + text[end:])
    assert f"wants 16 buffers of {value} bytes" in refusal(camera)


def test_more_cameras_than_can_be_told_apart_are_refused(camera):
    (camera.folder / "many").touch()
    assert "it says 10000, expected 256 at most" in refusal(camera)


def test_a_producer_that_keeps_buffers_is_used_in_a_new_process(camera):
    with CaptureChild(camera.settings()) as child:
        child.until(lambda: len(child.frames()) > 3)
        camera.tell("keep")
        camera.switch_off()
        failed = child.until(lambda: next((r for r in child.records if isinstance(r, Failed)), None))
        assert child.exit_code() != 0
    assert "did not close what was opened: a buffer is not given back" in failed.detail


def test_a_producer_that_does_not_come_back_is_not_waited_for_by_a_command(camera, monkeypatch):
    monkeypatch.setattr(discovery, "_MOST_SECONDS", 0.3)
    with camera.hanging("TLOpen"), pytest.raises(LibraryHangsError, match=r"not come back within 0\.3 s"):
        discovery.ask_producer(str(camera.cti))


def packed(change):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("camera.xml", "<RegisterDescription/>" * 100)
    data = bytearray(file.getvalue())
    change(data)
    return bytes(data)


@pytest.mark.parametrize("at", [(6, 1), (8, 99), (45, 255), (50, 255)])  # flags, method, what is packed
def test_a_packed_description_that_is_broken_is_said(at):
    def broken(data):
        data[at[0]] = at[1]
        if at[0] < 10:
            data[data.index(b"PK\1\2") + at[0] + 2] = at[1]

    assert nodes._unpacked(packed(lambda data: None)).startswith(b"<RegisterDescription/>")
    with pytest.raises(CameraError, match="ZIP file that cannot be read"):
        nodes._unpacked(packed(broken))


def test_names_that_are_no_text_are_said_in_one_line(camera):
    odd = GentlCamera("S\udcff\n2", "x" * 3000, folder=camera.folder)
    with odd, CaptureChild(camera.settings(device="serial:SIM09")) as child:
        down = child.until_phase(CameraPhase.DOWN)
        assert "cameras found: " in down.detail
        assert down.detail.isprintable()
        assert child.stop() == 0


def test_a_link_is_followed_once_and_every_folder_above_is_looked_at(camera):
    above = camera.folder / "above"
    (above / "lib").mkdir(parents=True)
    shutil.copyfile(camera.cti, above / "lib" / "p.cti")
    above.chmod(0o777)
    assert "above has mode 777, and others may write it" in refusal(camera, cti=str(above / "lib" / "p.cti"))
    link = camera.folder / "link.cti"
    link.symlink_to(camera.cti)
    driver = make_driver(camera.settings(cti=str(link)))
    driver.open(lambda: None)
    assert f"({camera.cti.resolve()})" in driver.facts()["reached_through"]
    driver.close()


@pytest.mark.parametrize("what", ["segv", "abort", "exit", "close"])
def test_a_producer_that_ends_the_process_ends_no_other(camera, what):
    with CaptureChild(camera.settings()) as child:
        child.until(lambda: len(child.frames()) > 3)
        camera.tell("do", what)
        child.exit_code()


@pytest.mark.parametrize("what", ["signals", "move"])
def test_what_a_producer_changes_of_the_process_does_not_hold_it(camera, what):
    with CaptureChild(camera.settings()) as child:
        child.until(lambda: len(child.frames()) > 3)
        camera.tell("do", what)
        count = len(child.records)
        child.until(lambda: len(child.frames(count)) > 3)
        assert child.stop() == 0
