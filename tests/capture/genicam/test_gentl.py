"""Cameras that a GenTL producer reaches: one of our own, which simulates them and takes faults on command."""

import fcntl
import os
import shutil
import subprocess
import sys
import time
from ctypes.util import find_library
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from support.capture_child import CaptureChild
from support.gentl_camera import GentlCamera, picture

from inspectd.capture.driver import CameraError, CameraSettingsError
from inspectd.capture.genicam.gentl import producer_library
from inspectd.capture.genicam.gentl.way import need_genapi
from inspectd.capture.messages import ApplySettings
from inspectd.capture.registry import make_driver
from inspectd.ipc.messages import Failed
from inspectd.records import CameraPhase, CameraSettings, DropCause, Quality

pytestmark = pytest.mark.system

EYE = {"trigger_source": "Line1"}
DARK, BRIGHT = CameraSettings(4000.0), CameraSettings(8000.0)


@pytest.fixture
def camera():
    with GentlCamera() as camera:
        yield camera


@pytest.fixture
def opened():
    drivers = []

    def open_driver(camera, **settings):
        drivers.append(make_driver(camera.settings(**settings)))
        drivers[-1].open(lambda: None)
        return drivers[-1]

    yield open_driver
    for driver in drivers:
        driver.close()


def refusal(camera, **settings):
    driver = make_driver(camera.settings(**settings))
    with pytest.raises(CameraError) as caught:
        driver.open(lambda: None)
    driver.close()
    return str(caught.value)


def fired(camera, driver, tag):
    assert camera.tell("fire", tag) == "done"
    return driver.read()


def test_every_signal_gives_its_own_frame_with_what_the_camera_says_of_it(camera, opened):
    driver = opened(camera, **EYE, trigger_activation="FallingEdge", trigger_delay_us=20.0)
    assert driver.shape_ahead() == (192, 256, 1)
    frames = {tag: fired(camera, driver, tag) for tag in (5, 70_000, 3)}
    for number, (tag, frame) in enumerate(frames.items(), 1):
        np.testing.assert_array_equal(frame.pixels, picture(tag))
        said = frame.device
        assert (said.frame_id, said.encoder_count, said.counter_count) == (number, -1000 * tag, tag)
        assert (said.exposure_us, said.gain_db, frame.flaw, frame.lost_before) == (10_000, 0, Quality.OK, 0)


def test_frames_that_run_free_are_dated_by_the_cameras_clock(camera, opened):
    driver = opened(camera)
    frames = [driver.read() for _ in range(20)]
    for a, b in pairwise(frames[5:]):  # by its own stamps, however late its frames are taken and handed over
        by_its_clock_ns = b.device.time_ns - a.device.time_ns
        assert abs((b.captured_ns - a.captured_ns) - by_its_clock_ns) < 10_000_000
    assert 20 < median((b.captured_ns - a.captured_ns) / 1e6 for a, b in pairwise(frames)) < 30
    assert {(frame.flaw, frame.lost_before) for frame in frames} == {(Quality.OK, 0)}
    assert all(frame.age_ms < 30 for frame in frames)


@pytest.mark.parametrize(
    ("name", "bits", "channels"), [("Mono8", 8, 1), ("Mono12", 12, 1), ("BayerRG8", 8, 3)]
)
def test_pixel_formats_are_set_and_their_depth_is_said(camera, opened, name, bits, channels):
    frame = fired(camera, opened(camera, **EYE, pixel_format=name), 5)
    assert (frame.pixels.shape, frame.bit_depth) == ((192, 256, channels), bits)
    if channels == 1:
        np.testing.assert_array_equal(frame.pixels, picture(5))


@pytest.mark.parametrize("device", ["serial:SIM08", "name:right side", "id:SIM::SIM08"])
def test_it_is_found_by_what_names_it_alone(camera, opened, device):
    with GentlCamera("SIM08", "right side", folder=camera.folder) as other:
        np.testing.assert_array_equal(
            fired(other, opened(camera, **EYE, device=device), 4).pixels, picture(4)
        )


def test_two_cameras_of_one_producer_are_open_in_one_process_and_the_last_closes_it(camera, opened):
    """As `inspectd check` has them; a library can be opened only once in a process."""
    with GentlCamera("SIM08", "right side", folder=camera.folder) as other:
        left, right = opened(camera, **EYE), opened(other, **EYE)
        np.testing.assert_array_equal(fired(other, right, 4).pixels, picture(4))
        left.close()
        np.testing.assert_array_equal(fired(other, right, 5).pixels, picture(5))
        right.close()
        np.testing.assert_array_equal(fired(camera, opened(camera, **EYE), 6).pixels, picture(6))


@pytest.mark.parametrize("device", ["ip:192.168.40.12", "mac:00-11-1C-00-00-02"])
def test_it_is_found_by_an_address_where_the_interface_says_it(camera, opened, device):
    with GentlCamera("SIM08", "right side", folder=camera.folder):
        driver = opened(camera, device=device)
        assert ", mac 00:11:1c:00:00:02, at 192.168.40.12" in driver.facts()["camera"]


def test_another_camera_is_never_taken_in_its_place(camera):
    with GentlCamera("SIM08", "left side", folder=camera.folder):
        said = refusal(camera, device="serial:SIM09")
        assert "no camera with serial SIM09; cameras found: inspectd Simulated serial SIM0" in said
        said = refusal(camera, device="name:left side")
        assert "2 cameras have name left side" in said
        assert "give one of them by id" in said


def test_an_address_that_the_producer_does_not_say_is_refused_in_words(camera):
    (camera.folder / "interface.xml").unlink()
    said = refusal(camera, device="ip:192.168.40.11")
    assert "the producer says no ip of its cameras; give one by serial or id; cameras found: inspectd" in said


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("incomplete", "its producer calls it incomplete, 24620 bytes came"),
        ("short", "24620 of 49240 bytes came"),
        ("large", "the camera sent more than it said"),
        ("old", "its producer gave a buffer without new data"),
        ("cut", "96 of 192 rows came"),
    ],
)
def test_a_frame_that_is_not_whole_is_partial_and_says_why_and_no_buffer_is_lost(camera, opened, fault, why):
    driver = opened(camera, **EYE)
    fired(camera, driver, 1)
    for tag in range(2, 40):  # more than there are buffers
        camera.tell(fault, 1)
        frame = fired(camera, driver, tag)
        assert frame.flaw is Quality.PARTIAL
        assert f"frame {tag} is not whole: {why}" in frame.transfer_remark
        assert (frame.pixels.max(), frame.device) == (0, None)
    assert fired(camera, driver, 40).flaw is Quality.OK


def test_numbers_that_were_left_out_are_frames_that_were_lost(opened):
    with GentlCamera(options="first=65534") as camera:
        driver = opened(camera, **EYE)
        fired(camera, driver, 1)
        camera.tell("skip", 3)
        assert fired(camera, driver, 2).lost_before == 3
        assert fired(camera, driver, 3).lost_before == 0
        assert fired(camera, driver, 4).device.frame_id == 65_540  # 64 bits wide: it does not wrap


def test_frames_that_nobody_read_in_time_are_counted(camera):
    with CaptureChild(camera.settings(**EYE)) as child:
        child.until_phase(CameraPhase.UP)
        camera.tell("fire", 1)
        child.until(child.frames)
        camera.tell("skip", 2)
        camera.tell("fire", 2)
        child.until(lambda: len(child.frames()) == 2)
        assert [drop.cause for drop in child.drops()] == [DropCause.LOST_IN_TRANSFER] * 2
        assert child.stop() == 0


@pytest.mark.parametrize("options", ["ticks", "fast=500", "ticks fast=500"])
def test_its_clock_is_placed_whether_it_counts_nanoseconds_or_ticks(opened, options):
    with GentlCamera(options=options) as camera:
        driver = opened(camera, **EYE)
        for tag in range(8):
            sent_ns = time.monotonic_ns()
            camera.tell("later", tag)
            frame = driver.read()  # it is waited for
            assert frame.device.time_ns > 4e12
            assert sent_ns + 25e6 < frame.captured_ns + frame.doubt_ns
            assert (frame.captured_ns <= time.monotonic_ns(), frame.doubt_ns < 10e6) == (True, True)


def test_without_a_stamp_the_time_is_that_between_the_frame_before_and_its_arrival(opened):
    with GentlCamera(options="unstamped unnumbered") as camera:
        driver = opened(camera, **EYE, chunks=False)
        first = fired(camera, driver, 1)
        time.sleep(0.1)
        second = fired(camera, driver, 2)
        assert second.doubt_ns >= 100e6
        assert (second.captured_ns, second.device.time_ns) == (first.captured_ns, None)
        assert "no numbers" in first.transfer_remark


def test_chunks_are_read_by_their_layout_where_the_producer_does_not_list_them(opened):
    with GentlCamera(options="unlisted") as camera:
        said = fired(camera, opened(camera, **EYE), 6).device
        assert (said.exposure_us, said.encoder_count, said.frame_id) == (10_000, -6000, 1)


def test_chunks_are_switched_off_and_what_has_to_be_said_and_cannot_is_refused(camera, opened):
    driver = opened(camera, **EYE, chunks=False)
    assert fired(camera, driver, 6).device.exposure_us is None
    driver.close()
    camera.change_description('<EnumEntry Name="Gain"', '<EnumEntry Name="Other"')
    assert "chunks is true, but no chunk Gain can be read" in refusal(camera, chunks=True, gain_db=3.0)


def test_exposure_and_gain_are_set_read_back_and_said_by_the_frames(camera, opened):
    driver = opened(camera, **EYE)
    driver.apply(CameraSettings(exposure_us=4000.0, gain_db=3.0))
    said = fired(camera, driver, 1).device
    assert (said.exposure_us, said.gain_db) == (4000, 3)
    with pytest.raises(CameraSettingsError, match=r"exposure_us was set to 14, and the camera says 10"):
        driver.apply(CameraSettings(exposure_us=14.0))
    with pytest.raises(CameraSettingsError, match=r"Gain: Value 30.* must be smaller than or equal 24"):
        driver.apply(CameraSettings(gain_db=30.0))


def test_a_gain_without_decibels_is_refused(camera, opened):
    camera.change_description("<Unit>dB</Unit>", "<Unit>raw</Unit>")
    with pytest.raises(CameraSettingsError, match='gives the unit of its gain as "raw", expected dB'):
        opened(camera).apply(CameraSettings(gain_db=3.0))


def test_exposures_in_turn_are_known_of_each_frame(camera):
    own = camera.settings(**EYE, exposure_us=4000.0, chunks=True)
    with CaptureChild(own, settings=DARK) as child:
        child.until_phase(CameraPhase.UP)
        for number in range(30):
            assert camera.tell("fire", number) == "done"
            child.until(lambda count=number: len(child.frames()) > count)
            child.channel.send(ApplySettings((BRIGHT, DARK)[number % 2]))
        certain = [frame for frame in child.frames() if frame.camera_settings is not None]
        assert child.stop() == 0
    assert {frame.camera_settings for frame in certain} == {DARK, BRIGHT}
    assert all(frame.device.exposure_us == frame.camera_settings.exposure_us for frame in certain)


def test_what_the_camera_cannot_do_or_does_not_do_is_refused(camera):
    assert "PixelFormat cannot be Mono16, expected one of: Mono8, Mono12, BayerRG8" in refusal(
        camera, pixel_format="Mono16"
    )
    assert "TriggerSource cannot be Line7, expected one of: Line1, Line2" in refusal(
        camera, trigger_source="Line7"
    )
    with GentlCamera("SIM08", options="stubborn", folder=camera.folder) as stubborn:
        said = refusal(camera, **EYE, device=f"serial:{stubborn.serial}", trigger_activation="AnyEdge")
        assert "TriggerActivation was set to AnyEdge, and the camera says RisingEdge" in said
    for old, new in (('"TriggerDelay"', '"TriggerLater"'), (">TriggerDelay<", ">TriggerLater<")):
        camera.change_description(old, new)
    assert "has no feature TriggerDelay" in refusal(camera, **EYE, trigger_delay_us=5.0)


def test_a_camera_that_another_program_controls_is_refused(camera, opened):
    with (camera.folder / f"camera-{camera.serial}").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        said = refusal(camera)
    assert "another program controls it (inspectd Simulated serial SIM07" in said
    assert "in use): another program has opened it (IFOpenDevice: error -1005, ACCESS_DENIED)" in said
    opened(camera)


def test_a_camera_that_cannot_be_had_exclusively_is_controlled(opened):
    with GentlCamera(options="shy") as camera:
        assert opened(camera).read().flaw is Quality.OK


def test_unplugged_it_is_down_within_a_second_and_back_within_two(camera):
    with CaptureChild(camera.settings(**EYE)) as child:
        child.until_phase(CameraPhase.UP)
        camera.tell("fire", 1)
        child.until(child.frames)
        for tag in (2, 3):
            count = len(child.records)
            camera.switch_off()
            began = time.monotonic()
            down = child.until_phase(CameraPhase.DOWN, count)
            assert time.monotonic() - began < 1.1
            assert "the camera does not answer" in down.detail
            assert camera.tell("fire", 99) != "done"
            count = len(child.records)
            camera.switch_on()
            began = time.monotonic()
            child.until(lambda tag=tag: camera.tell("fire", tag) == "done")
            child.until(lambda count=count: child.frames(count))
            assert time.monotonic() - began < 2
            np.testing.assert_array_equal(child.pixels[child.frames()[-1].seq], picture(tag))
        assert child.stop() == 0


def test_a_setting_that_comes_while_it_is_gone_does_not_hold_up_its_return(camera):
    with CaptureChild(camera.settings(exposure_us=4000.0, settle_ms=5.0)) as child:
        child.until(lambda: len(child.frames()) > 3)
        camera.switch_off()
        count = len(child.records)
        child.channel.send(ApplySettings(BRIGHT))
        child.until_phase(CameraPhase.DOWN, count)
        camera.switch_on()
        began, count = time.monotonic(), len(child.records)
        child.until(lambda: any(frame.camera_settings == BRIGHT for frame in child.frames(count)))
        assert time.monotonic() - began < 2
        assert child.stop() == 0


def test_control_that_is_taken_away_is_noticed_and_taken_again(camera):
    with CaptureChild(camera.settings()) as child:
        child.until(lambda: len(child.frames()) > 3)
        count = len(child.records)
        assert camera.tell("revoke") == "done"
        down = child.until_phase(CameraPhase.DOWN, count, 1.5)
        assert "no longer under this line's control" in down.detail
        count = len(child.records)
        child.until(lambda: len(child.frames(count)) > 3)
        assert child.stop() == 0


def test_an_error_that_the_producer_reports_has_the_camera_asked_at_once(opened, caplog):
    with GentlCamera(options="tells") as camera:
        driver = opened(camera, **EYE)
        camera.tell("error")
        driver.poll()
        assert "something went wrong" in caplog.text
        assert fired(camera, driver, 1).flaw is Quality.OK  # it answers, so it goes on
        camera.switch_off()
        with pytest.raises(CameraError, match="its producer reported: something went wrong"):
            driver.read()


def test_a_producer_that_does_not_let_go_ends_the_process(camera):
    with CaptureChild(camera.settings(stall_timeout_ms=1000)) as child:
        child.until(lambda: len(child.frames()) > 3)
        with camera.hanging("DevClose"):
            camera.switch_off()
            failed = child.until(lambda: next((r for r in child.records if isinstance(r, Failed)), None))
            assert child.exit_code() != 0
        assert "does not come back within 0.5 s; only a new process can use it again" in failed.detail


def cti_of_every_bad_kind(folder, good):
    """Files that are no producers, with what is said of each."""
    bad = folder / "bad.cti"
    yield bad, "cannot be read: No such file or directory; expected the GenTL producer"
    bad.write_text("not a library at all, but long enough")
    yield bad, "is no library, expected a GenTL producer for Linux"
    head = good.read_bytes()
    bad.write_bytes(head[:18] + (8 if sys.byteorder == "big" else 183).to_bytes(2, "little") + head[20:])
    yield bad, "is for another kind of machine (ARM64, 64 bits), expected"
    bad.write_bytes(head[:4] + b"\1" + head[5:])
    yield bad, "32 bits), expected"
    bad.write_bytes(head[:2000])
    yield bad, "was cut: it has 2000 bytes of"
    gone = folder / "libgone.so"
    for command in (["-o", str(gone)], ["-o", str(bad), "-Wl,--no-as-needed", f"-L{folder}", "-lgone"]):
        subprocess.run(["cc", "-shared", "-x", "c", "/dev/null", "-x", "none", *command], check=True)
    gone.unlink()
    yield bad, "libgone.so: cannot open shared object file: No such file or directory; are all parts of its"
    shutil.copyfile(next(Path("/usr/lib").rglob(find_library("z"))).resolve(), folder / "other.cti")
    yield folder / "other.cti", "is a library, but no GenTL producer: it lacks GCInitLib and "
    shutil.copyfile(good, folder / "open.cti")
    (folder / "open.cti").chmod(0o775)
    yield folder / "open.cti", "has mode 775, and others may write it, expected 755; run `chmod go-w"
    (folder / "all").mkdir()
    shutil.copyfile(good, folder / "all" / "p.cti")
    (folder / "all").chmod(0o777)
    yield folder / "all" / "p.cti", "all has mode 777, and others may write it"
    if os.geteuid() == 0:
        shutil.copyfile(good, folder / "theirs.cti")
        os.chown(folder / "theirs.cti", 12_345, 0)
        yield folder / "theirs.cti", "belongs to user 12345, expected root or the user that the line runs as"


def test_what_is_wrong_with_a_producer_is_said_in_one_line(camera):
    for file, why in cti_of_every_bad_kind(camera.folder, camera.cti):
        said = refusal(camera, cti=str(file))
        assert why in said, file
        assert "\n" not in said
    assert "got producer.cti, expected an absolute path" in refusal(camera, cti="producer.cti")


def test_a_description_that_cannot_be_read_is_said(camera):
    camera.change_description("</RegisterDescription>", "")
    assert "its description cannot be read: Error while parsing XML" in refusal(camera)


def test_without_the_package_it_is_said_how_to_install_it(monkeypatch, camera):
    for name in [name for name in sys.modules if name.partition(".")[0] == "genicam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "genicam", None)
    with pytest.raises(CameraError, match=r"bin/pip install .* '\.\[gentl\]' in .* brings it"):
        need_genapi()


def test_no_folder_is_searched_for_producers(camera, monkeypatch):
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(camera.folder))
    assert "cannot be read" in refusal(camera, cti="/nowhere/producer.cti")


def test_a_library_is_loaded_once(camera):
    cti = str(camera.cti)
    assert producer_library.open_library(cti) is producer_library.open_library(cti)


INDEPENDENT = """
import sys
from genicam import gentl
producer = gentl.GenTLProducer.create_producer()
producer.open(sys.argv[1])
system = producer.create_system()
system.open()
system.update_interface_info_list(100)
interface = system.interface_info_list[0].create_interface()
interface.open()
interface.update_device_info_list(100)
device = interface.device_info_list[0].create_device()
device.open(gentl.DEVICE_ACCESS_FLAGS_LIST.DEVICE_ACCESS_EXCLUSIVE)
stream = device.create_data_stream()
stream.open(device.data_stream_ids[0])
for number in range(4):
    stream.queue_buffer(stream.announce_buffer(gentl.BufferToken(bytes(60_000), number)))
events = gentl.EventManagerNewBuffer(stream.register_event(gentl.EVENT_TYPE_LIST.EVENT_NEW_BUFFER))
stream.start_acquisition(gentl.ACQ_START_FLAGS_LIST.ACQ_START_FLAGS_DEFAULT, -1)
device.remote_port.write(0x10, (1).to_bytes(4, "little"))
for _ in range(3):
    events.update_event_data(1000)
    seen = events.buffer
    print(seen.frame_id, seen.width, seen.height, seen.pixel_format, seen.is_complete(), seen.size_filled)
    stream.queue_buffer(seen)
"""


def test_the_producer_of_these_tests_is_one_to_the_standards_own_binding_too(camera):
    command = [sys.executable, "-c", INDEPENDENT, str(camera.cti)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert said.splitlines() == [f"{number} 256 192 {0x01080001} True 49152" for number in (1, 2, 3)]


def test_a_producer_of_another_maker_is_read(camera):
    """The one that comes with the package genicam; it has no clock, no triggers and no chunks."""
    viky = Path(find_spec("genicam").origin).with_name("viky.cti")
    own = camera.settings(cti=str(viky), device="id:VikyTL_DEV_red", pixel_format="Mono8")
    with CaptureChild(own) as child:
        child.until(lambda: len(child.frames()) >= 5)
        frames = child.frames()
        assert child.stop() == 0
    assert [frame.device.frame_id for frame in frames][:5] == [1, 2, 3, 4, 5]
    assert {(frame.height, frame.width, frame.channels) for frame in frames} == {(400, 400, 1)}
    assert not child.drops()
