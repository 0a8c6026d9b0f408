"""How a GenICam camera is named in the settings."""

import pytest

from inspectd import config
from inspectd.errors import ConfigError

TEXT = (
    '[[recipes]]\nname = "a"\nbank = "a.bank"\n'
    '[[cameras]]\nkind = "genicam"\nname = "cam"\nrecipe = "a"\ndevice = "{device}"\n'
)


def load(folder, device, more=""):
    file = folder / "line.toml"
    file.write_text(TEXT.format(device=device) + more)
    return config.load(file)


@pytest.mark.parametrize(
    "device", ["serial:40012345", "ip:192.168.40.11", "mac:00-11-1C-00-00-01", "name:left side"]
)
def test_a_device_is_no_path(tmp_path, device):
    assert load(tmp_path, device).cameras[0].device == device


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("", "cameras[0].device"),
        ("40012345", "cameras[0].device"),
        ("first:1", "cameras[0].device"),
        ("ip:192.168.40.256", "expected an IPv4 address such as ip:192.168.40.11"),
        ("ip:camera-1", "expected an IPv4 address"),
        ("mac:00:11:1c:00:00", "expected six pairs of hexadecimal digits"),
    ],
)
def test_what_does_not_name_one_camera_is_refused(tmp_path, device, told):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, device)
    assert told in str(caught.value)


GENTL = 'backend = "gentl"\n'
CTI = 'cti = "/opt/vendor/producer.cti"\n'


PYLON = 'backend = "pylon"\n'


@pytest.mark.parametrize("device", ["serial:40012345", "ip:192.168.40.11", "id:Emulation (0815-0000)"])
def test_pylon_takes_every_way_to_name_a_camera_and_a_size_of_packets(tmp_path, device):
    camera = load(tmp_path, device, PYLON + "packet_bytes = 8192").cameras[0]
    assert (camera.backend, camera.packet_bytes) == ("pylon", 8192)


@pytest.mark.parametrize("device", ["serial:40012345", "name:left side", "id:VENDOR::DEV_1 (00:11)"])
def test_a_producer_is_named_by_its_file(tmp_path, device):
    camera = load(tmp_path, device, GENTL + CTI).cameras[0]
    assert (camera.backend, camera.cti) == ("gentl", "/opt/vendor/producer.cti")


@pytest.mark.parametrize(
    ("device", "more", "told"),
    [
        ("serial:1", GENTL, "cameras[0].cti: is missing, expected the path of the vendor's GenTL producer"),
        ("serial:1", GENTL + 'cti = "producer.cti"', "expected an absolute path: it is not looked for"),
        (
            "serial:1",
            GENTL + r'cti = "/opt/a\nb.cti"',
            "expected a path without line breaks and other control",
        ),
        ("serial:1", CTI, "cameras[0].cti: got '/opt/vendor/producer.cti', expected none unless backend ="),
        ("id:1", "", 'an id takes backend = "gentl" or "pylon"'),
        ("serial:1", PYLON + CTI, "cameras[0].cti: got '/opt/vendor/producer.cti', expected none unless"),
        ("serial:1", GENTL + CTI + "packet_bytes = 1500", "with gentl the producer sizes packets"),
        ("serial:1", 'backend = "harvesters"', "cameras[0].backend"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, device, more, told):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, device, more)
    assert told in str(caught.value)


def test_features_keep_their_order_and_their_types(tmp_path):
    features = 'features = {Width = 640, TriggerOverlap = "Off", ReverseX = true, Gamma = 1.0, A = ""}'
    found = load(tmp_path, "serial:1", features).cameras[0].features
    assert list(found.items()) == [
        ("Width", 640), ("TriggerOverlap", "Off"), ("ReverseX", True), ("Gamma", 1.0), ("A", ""),
    ]  # fmt: skip
    assert [type(value) for value in found.values()] == [int, str, bool, float, str]


@pytest.mark.parametrize(
    ("features", "told"),
    [
        ('TriggerMode = "On"', "features.TriggerMode: got 'On', expected the setting trigger_source instead"),
        ('TriggerSource = "Line1"', "expected the setting trigger_source instead"),
        ('TriggerSelector = "FrameStart"', "expected the setting trigger_source instead"),
        ("TriggerDelayAbs = 5.0", "expected the setting trigger_delay_us instead"),
        ('PixelFormat = "Mono8"', "expected the setting pixel_format instead"),
        ("ExposureTimeRaw = 5", "features.ExposureTimeRaw: got 5, expected the setting exposure_us instead"),
        ('GainAuto = "Off"', "expected the setting gain_db instead"),
        ("ChunkModeActive = true", "expected the setting chunks instead"),
        ("GevSCPSPacketSize = 1500", "expected the setting packet_bytes instead"),
        ('AcquisitionMode = "SingleFrame"', "got 'SingleFrame', expected none: the line itself sets it"),
        ('GevCCP = "OpenAccess"', "got 'OpenAccess', expected none: the line itself sets it"),
        ("Gamma = nan", "features.Gamma: got nan, expected a finite number"),
        ('"Wid th" = 5', "cameras[0].features"),
        ('"" = 5', "cameras[0].features"),
        (f"{'A' * 65} = 5", "cameras[0].features"),
        ("Width = [5]", "cameras[0].features"),
        (", ".join(f"A{number} = 1" for number in range(65)), "cameras[0].features"),
    ],
)  # fmt: skip
def test_features_that_settings_are_for_and_such_that_are_none_are_refused(tmp_path, features, told):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "serial:1", f"features = {{{features}}}")
    assert told in str(caught.value)
