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
        ("id:1", "", 'an id takes backend = "gentl"'),
        ("serial:1", GENTL + CTI + "packet_bytes = 1500", "with gentl the producer sizes packets"),
        ("serial:1", 'backend = "harvesters"', "cameras[0].backend"),
    ],
)
def test_what_does_not_belong_together_is_refused(tmp_path, device, more, told):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, device, more)
    assert told in str(caught.value)
