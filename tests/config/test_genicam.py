"""How a GenICam camera is named in the settings."""

import pytest

from inspectd import config
from inspectd.errors import ConfigError

TEXT = (
    '[[recipes]]\nname = "a"\nbank = "a.bank"\n'
    '[[cameras]]\nkind = "genicam"\nname = "cam"\nrecipe = "a"\ndevice = "{device}"\n'
)


def load(folder, device):
    file = folder / "line.toml"
    file.write_text(TEXT.format(device=device))
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
