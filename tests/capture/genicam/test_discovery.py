"""GigE Vision cameras found by a broadcast, and what a probe says of one."""

import pytest
from support.gige_camera import GigeCamera
from support.lone_network import lone_network

from inspectd.capture.genicam.discovery import ask_interface, interfaces
from inspectd.capture.probe import probe

pytestmark = pytest.mark.system


def test_a_camera_is_found_through_the_interface_it_is_at_and_probed():
    with lone_network(), GigeCamera(serial="GV09") as camera:
        assert interfaces() == ["lo"]
        asked = ask_interface("lo")
        found = probe(camera.settings(), 1.0)
        silent = probe(camera.settings(trigger_source="Line0"), 0.3)
    (answer,) = asked.found
    assert (answer.camera.serial, answer.camera.interface, answer.is_reachable) == ("GV09", "lo", True)
    assert (asked.problem, asked.mtu_bytes) == ("", 65536)
    assert found.qualities == {"ok": found.frames}
    assert found.frames > 15
    facts = found.facts
    assert facts["pixel_format"] == "Mono8"
    assert facts["frame_bytes"] == 256 * 256
    assert 500 < facts["packet_bytes"] <= facts["path_mtu_bytes"]
    assert facts["most_socket_bytes"] > facts["frame_bytes"]
    assert facts["heartbeat_ms"] > 0
    assert (silent.frames, silent.interval_ms) == (0, None)


def test_an_interface_that_cannot_broadcast_says_why():
    with lone_network():
        asked = ask_interface("nosuch")
    assert (asked.found, asked.problem.startswith("not asked: ")) == ([], True)
