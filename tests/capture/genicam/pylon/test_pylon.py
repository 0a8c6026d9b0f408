"""Cameras by Basler's pylon: its own emulated ones, in a process and a network of their own."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest
from support.capture_child import CaptureChild
from support.disks import needs_root
from support.lone_network import lone_network
from support.pylon_camera import EMULATED, QUICK, SERIALS, SMALL, PylonCameras, RefusedError

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.pylon.way import need_pylon
from inspectd.config import GenicamCamera
from inspectd.records import CameraPhase

pytestmark = pytest.mark.system

LINE = {"trigger_source": "Software"}


@pytest.fixture(scope="module")
def process():
    with lone_network(), PylonCameras() as process:
        yield process


@pytest.fixture
def cameras(process):
    yield process
    for camera in ("cam", "other"):
        process.tell("close", camera=camera)


def refusal(cameras, **settings):
    with pytest.raises(RefusedError) as caught:
        cameras.open(**settings)
    error, words = caught.value.args
    assert (error, "\n" in words) == ("CameraError", False)
    return words


def test_frames_that_run_free_come_in_order_and_each_is_its_own_picture(cameras):
    cameras.open(features=QUICK)
    frames = cameras.read(60)
    numbers = [frame["number"] for frame in frames]
    assert numbers == [None, *range(1, 60)]
    # The test image moves on by a pixel with every frame.
    assert [frame["corner"][0] for frame in frames] == [(number + 1) % 256 for number in range(60)]
    assert {frame["lost_before"] for frame in frames} == {0}
    # A busy machine reads some late: such a frame says that its time is not known.
    assert {"ok"} <= {frame["flaw"] for frame in frames} <= {"ok", "stale"}
    assert all(a["captured_ns"] <= b["captured_ns"] for a, b in pairwise(frames))


def test_a_frame_without_a_stamp_is_dated_by_when_nothing_was_there(cameras):
    """200 frames a second: most are waited for, and are known to some ms."""
    cameras.open(features=QUICK)
    doubts_ms = sorted(frame["doubt_ns"] / 1e6 for frame in cameras.read(40))
    assert 0 < doubts_ms[20] < 20
    time.sleep(0.2)  # they lie there meanwhile, and nobody knows for how long
    frames = cameras.read(5)
    assert frames[1]["doubt_ns"] > 100e6


def test_features_are_set_in_their_order_and_read_back(cameras):
    features = {**SMALL, "OffsetX": 64, "TestImageSelector": "Testimage1", "ReverseX": True, "Gamma": 1.25}
    cameras.open(features=features, trigger_source="Line1", trigger_delay_us=20.0)
    assert cameras.tell("value", "OffsetX") == "64"
    assert cameras.tell("value", "TestImageSelector") == "Testimage1"
    assert cameras.tell("value", "ReverseX") == "1"
    assert float(cameras.tell("value", "Gamma")) == 1.25
    assert cameras.tell("value", "TriggerMode") == "On"
    assert float(cameras.tell("value", "TriggerDelay")) == 20
    said = cameras.tell("facts")
    assert said["camera"] == f"Basler Emulation serial {SERIALS[0]}, id Emulation ({SERIALS[0]})"
    assert (said["transport"], said["frame_bytes"]) == ("CamEmu", 160 * 120)


@pytest.mark.parametrize(
    ("name", "bits", "channels"),
    [("Mono8", 8, 1), ("Mono12", 12, 1), ("BayerRG8", 8, 3), ("BGR8", 8, 3), ("RGB8", 8, 3)],
)
def test_pixel_formats_are_set_and_their_depth_is_said(cameras, name, bits, channels):
    """It calls BGR8 and RGB8 by their names from before the standard's list."""
    cameras.open(pixel_format=name)
    frame = cameras.read()[0]
    assert (frame["shape"], frame["bit_depth"]) == ([120, 160, channels], bits)
    if name != "BayerRG8":
        assert (frame["corner"], frame["last"]) == ([1] * channels, [(159 + 119 + 1) % 256] * channels)


def test_each_signal_gives_a_frame_and_without_a_trigger_it_runs_free_again(cameras):
    cameras.open(**LINE)
    assert cameras.tell("poll") is False
    for number in range(3):
        cameras.tell("execute", "TriggerSoftware")
        assert cameras.read()[0]["number"] == (number or None)
        assert cameras.tell("poll") is False
    cameras.open()
    assert len(cameras.read(3)) == 3


def test_grabs_that_fail_are_partial_and_say_why_and_no_buffer_is_lost(cameras):
    """40 of them, and there are 16 buffers; what they held before is not shown."""
    cameras.open(features={**QUICK, "ForcedFailedBuffersRemaining": 40})
    *broken, whole = cameras.read(41)
    assert {(frame["flaw"], *frame["corner"]) for frame in broken} == {("partial", 0)}
    assert "frame 7 is not whole: The buffer was incompletely grabbed. (error 0x" in broken[7]["remark"]
    assert (whole["flaw"], whole["number"], whole["lost_before"]) == ("ok", 40, 0)
    assert whole["corner"] == [41]


def test_exposure_and_gain_are_set_and_read_back(cameras):
    cameras.open()
    cameras.tell("apply", {"exposure_us": 4000.0, "gain_db": 3.0})
    assert float(cameras.tell("value", "ExposureTime")) == 4000
    assert abs(float(cameras.tell("value", "Gain")) - 3) < 0.1
    with pytest.raises(RefusedError) as caught:
        cameras.tell("apply", {"gain_db": 60.0})
    error, words = caught.value.args
    assert error == "CameraSettingsError"
    assert words.startswith("Gain: Value 60.000000 must be smaller than or equal 48")
    # One that lay there already, while this was set, may not be dated.
    assert "ok" in [frame["flaw"] for frame in cameras.read(20)]


def test_a_camera_that_was_removed_is_noticed_within_a_second_and_opened_again(cameras):
    cameras.open(features=QUICK)
    cameras.read(5)
    cameras.tell("execute", "FirePnPCallback")
    began = time.monotonic()
    with pytest.raises(RefusedError) as caught:
        cameras.read(1000)
    assert time.monotonic() - began < 1
    assert "does not answer: pylon says that it was removed; is it switched on and" in caught.value.args[1]
    cameras.open()
    assert cameras.read()[0]["corner"] == [1]


def test_two_cameras_are_open_in_one_process(cameras):
    cameras.open("cam", pixel_format="Mono8")
    cameras.open("other", device=f"id:Emulation ({SERIALS[1]})", pixel_format="BGR8")
    assert cameras.read(2)[1]["shape"] == [120, 160, 1]
    cameras.tell("close")
    assert cameras.read(2, "other")[1]["shape"] == [120, 160, 3]


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("serial:9", f"no camera with serial 9; cameras found: Basler Emulation serial {SERIALS[0]}"),
        ("name:left", "Basler's pylon says no name of its cameras; give one by serial or id; cameras found:"),
        ("id:Emulation", f"no camera with id Emulation; cameras found: Basler Emulation serial {SERIALS[0]}"),
        ("mac:00-30-53-01-02-03", "no camera with mac 00-30-53-01-02-03; cameras found: none"),
        ("ip:192.168.40.11", "no camera of Basler's answers at 192.168.40.11; is it switched on"),
    ],
)  # fmt: skip
def test_another_camera_is_never_taken_in_its_place(cameras, device, said):
    assert refusal(cameras, device=device).startswith(f"{device}: {said}")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pixel_format": "Mono14"}, "PixelFormat cannot be Mono14, expected one of: Mono8, Mono10, Mono12"),
        ({"trigger_source": "Line7"}, "TriggerSource cannot be Line7, expected one of: Software, Line1"),
        ({"chunks": True}, "chunks is true, but no chunk FrameID or ExposureTime"),
        ({"packet_bytes": 9015}, "GevSCPSPacketSize: Value = 9015 must be equal or smaller than Max = 9014"),
        ({"features": {"Nope": 1}}, "features.Nope = 1: has no feature Nope, which was to be 1"),
        ({"features": {"Width": 1.5}}, "features.Width = 1.5: Width is a whole number of 64 bits, and"),
        ({"features": {"Width": 5000}}, "features.Width = 5000: Width: Value = 5000 must be equal or"),
        ({"features": {"Width": "wide"}}, "features.Width = 'wide': Width: is IntegerParameter, which"),
        ({"features": {"ReverseX": 1}}, "features.ReverseX = 1: ReverseX: is BooleanParameter, which has no"),
        ({"features": {"Gamma": 99}}, "features.Gamma = 99: Gamma: Value"),
        ({"features": {"UserSetLoad": True}}, "features.UserSetLoad = True: UserSetLoad: is Command"),
        ({"features": {"DeviceVendorName": "a"}}, "features.DeviceVendorName = 'a': DeviceVendorName cannot"),
        ({"features": {"TestImageSelector": "X"}}, "features.TestImageSelector = 'X': TestImageSelector"),
    ],
)  # fmt: skip
def test_what_the_camera_cannot_do_is_refused_with_what_it_can(cameras, settings, said):
    assert refusal(cameras, **settings).startswith(f"serial:{SERIALS[0]}: {said}")


def test_a_capture_process_reads_it_and_ends():
    settings = GenicamCamera(
        name="cam", recipe="r", backend="pylon", device=f"serial:{SERIALS[1]}", features=QUICK
    )
    with lone_network(), CaptureChild(settings, env=EMULATED) as child:
        child.until_phase(CameraPhase.UP)
        child.until(lambda: len(child.frames()) > 20)
        assert [frame.device.frame_id for frame in child.frames()][1:20] == list(range(1, 20))
        assert not child.drops()
        assert child.stop() == 0


@needs_root
def test_it_leaves_nothing_behind_that_another_process_could_wait_for(tmp_path, monkeypatch):
    """Locks of descriptions that were read; one that a killed process holds would be waited for for ever."""
    monkeypatch.setenv("HOME", str(tmp_path))
    own_locks = "mount -t tmpfs none /dev/shm && trap 'ls /dev/shm >&2' EXIT && "
    command = [*inspectd_command("camera", "probe", f"serial:{SERIALS[0]}", "--pylon", "--seconds", "1")]
    alone = ["unshare", "--mount", "--net", "sh", "-c", f'{own_locks}"$@"', "sh", *command]
    done = subprocess.run(alone, env={**os.environ, **EMULATED}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


COMMAND = "import sys; from inspectd.cli import main; sys.exit(main(sys.argv[1:]))"


def inspectd_command(*words):
    return [sys.executable, "-c", COMMAND, *words]


def inspectd(*words, **environment):
    with lone_network():
        return subprocess.run(
            inspectd_command(*words), env=environment, capture_output=True, text=True, check=False
        )


def test_emulated_cameras_are_listed_and_probed_if_they_are_asked_for():
    listed = inspectd("camera", "list", "--pylon", **EMULATED).stdout
    assert "Cameras by Basler's pylon " in listed
    assert f"  Basler Emulation serial {SERIALS[1]}, id Emulation ({SERIALS[1]})" in listed
    said = json.loads(inspectd("camera", "list", "--pylon", "--no-broadcast", "--json").stdout)["pylon"]
    assert said["found"] == []
    probed = inspectd("camera", "probe", f"serial:{SERIALS[0]}", "--pylon", "--seconds", "0.5", **EMULATED)
    assert probed.returncode == 0, probed.stderr
    assert "1024x1040; 8 bits a channel" in probed.stdout


def test_without_the_package_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pypylon", None)
    with pytest.raises(CameraError, match=r"bin/pip install .* '\.\[pylon\]' in .* brings it"):
        need_pylon()


class GigeName:
    """Says that a GigE camera of Basler's is at an address, and no more; notes who else is asked."""

    def __init__(self, address):
        self._said = bytearray(248)
        self._said[0x0A:0x10] = bytes.fromhex("003053010203")
        self._said[0x24:0x28] = socket.inet_aton(address)
        for at, text in ((0x48, b"Basler"), (0x68, b"acA1300"), (0xD8, b"21234567"), (0xE8, b"left")):
            self._said[at : at + len(text)] = text
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("", 3956))
        self._socket.settimeout(0.1)
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self._off = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._off.set()
        self._thread.join()
        self._socket.close()
        self._wire.close()

    def _answer(self):
        while not self._off.is_set():
            try:
                request, asker = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            command, _, number = struct.unpack_from(">HHH", request, 2)
            if command == 2:
                self._socket.sendto(struct.pack(">HHHH", 0, 3, 248, number) + self._said, asker)

    def asked(self):
        """Addresses to which anything was sent on the camera's port."""
        found = set()
        self._wire.settimeout(0)
        while True:
            try:
                packet = self._wire.recv(2048)
            except BlockingIOError:
                return found
            if packet[9] == socket.IPPROTO_UDP and packet[22:24] == (3956).to_bytes(2, "big"):
                found.add(socket.inet_ntoa(packet[16:20]))


HERE = "192.168.40.1"


@pytest.fixture
def network_with_a_card():
    with lone_network():
        for words in (
            "link add card type veth peer name switch",
            f"addr add {HERE}/24 brd + dev card",
            "link set card up",
            "link set switch up",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        yield


@pytest.mark.usefixtures("network_with_a_card")
def test_by_its_address_a_camera_alone_is_asked_and_what_goes_wrong_there_is_said():
    with PylonCameras() as cameras, GigeName(HERE) as name:
        said = refusal(cameras, device=f"ip:{HERE}")
        assert name.asked() == {HERE}
        assert (
            f'Basler acA1300 serial 21234567 named "left", id Basler acA1300#003053010203#{HERE}:3956' in said
        )
        assert "cannot be opened (is another program using it, or did one die a moment ago?): " in said
        # Any other name has it look around.
        assert "cameras found: Basler acA1300 serial 21234567" in refusal(cameras, device="serial:1")
        assert "192.168.40.255" in name.asked()
