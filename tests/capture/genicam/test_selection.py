"""The one camera that is meant, and never another."""

import pytest

from inspectd.capture.driver import CameraError
from inspectd.capture.genicam.gvcp import GigeIdentity
from inspectd.capture.genicam.selection import choose


def camera(address, mac="00:11:1c:00:00:01", serial="40012345", name=""):
    return GigeIdentity(address, "192.168.40.1", mac, "Basler", "acA1920", serial, name)


LEFT = camera("192.168.40.11", name="left side")
RIGHT = camera("192.168.40.12", "00:11:1c:00:00:02", "40012346", "right")


@pytest.mark.parametrize(
    ("way", "wanted"),
    [("serial", "40012346"), ("mac", "00-11-1C-00-00-02"), ("mac", "00:11:1c:00:00:02"), ("name", "right")],
)
def test_it_is_found_by_what_it_says_of_itself(way, wanted):
    assert choose(way, wanted, [LEFT, RIGHT], []) == RIGHT


def test_none_is_refused_with_what_was_found():
    with pytest.raises(CameraError) as caught:
        choose("serial", "40012347", [LEFT, RIGHT], ["10.0.0.7"])
    for part in ("serial 40012347", "40012345", 'named "left side"', "192.168.40.12", "10.0.0.7 one answers"):
        assert part in str(caught.value)


def test_several_are_refused_with_what_was_found():
    with pytest.raises(CameraError, match=r"2 cameras have name right.*\.12.*\.13.*mac or ip"):
        choose("name", "right", [RIGHT, camera("192.168.40.13", name="right")], [])
